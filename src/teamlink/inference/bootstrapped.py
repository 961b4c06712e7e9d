"""What a bootstrap found: replicates, intervals, and how many replicates failed."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from teamlink.errors import BoundaryFit, FewReplicates, OptionError, check_option
from teamlink.fitting.fit import Fit, single_thread
from teamlink.fitting.summary import Summary, SummaryTable, number
from teamlink.inference import intervals
from teamlink.inference.replicates import Labels, Replicates
from teamlink.inference.resampling import Kind, Statistic, jackknife, of_statistic, original
from teamlink.typing import Array

__all__ = ["Bootstrap"]

IntervalKind = Literal["percentile", "basic", "bca", "studentized"]

_WORDS = {
    "parametric": "Parametric: responses drawn from the fitted model.",
    "cluster": "Cluster: whole clusters drawn with replacement.",
    "residual": "Residual: reflated residuals of every level drawn with replacement.",
    "wild": "Wild: residuals of whole clusters times random weights, variances held.",
}


@dataclass(frozen=True)
class Bootstrap:
    """Replicates of a fit, made by `teamlink.bootstrap`.

    Attributes
    ----------
    fit : Fit
        What was resampled.
    kind : {"parametric", "cluster", "residual", "wild"}
        How.
    labels : Labels
        What each of the t columns is.
    estimate, std_error : array, (t,)
        Of the fit itself; a variance component has no standard error.
    draws : Replicates
        Of every replicate asked for, failed ones included.
    statistic : callable, optional
        What was computed from each replicate instead of its estimates.
    """

    fit: Fit
    kind: Kind
    labels: Labels
    estimate: Array
    std_error: Array
    draws: Replicates
    statistic: Statistic | None

    @property
    def n(self) -> int:
        """Replicates asked for."""
        return len(self.draws.failure)

    @property
    def failures(self) -> dict[str, int]:
        """How many replicates failed, by reason; they stay in `replicates`."""
        return dict(Counter(reason for reason in self.draws.failure if reason))

    @property
    def replicates(self) -> pd.DataFrame:
        """One row a replicate and term.

        Columns ``replicate, effect, group, term, estimate, std_error, boundary, failure``;
        ``failure`` is empty, or the reason why the replicate counts in no interval.
        """
        R, t = self.draws.values.shape
        return pd.DataFrame(
            {
                "replicate": np.repeat(np.arange(R), t),
                **{name: np.tile(column, R) for name, column in self._text().items()},
                "estimate": self.draws.values.ravel(),
                "std_error": self.draws.std_error.ravel(),
                "boundary": np.repeat(self.draws.boundary, t),
                "failure": np.repeat(np.array(self.draws.failure, dtype=object), t),
            }
        )

    def _text(self) -> dict[str, Array]:
        said = {
            "effect": self.labels.effects, "group": self.labels.groups, "term": self.labels.terms
        }  # fmt: skip
        return {name: np.array(column, dtype=object) for name, column in said.items()}

    @property
    def bse(self) -> pd.Series[float]:
        """(t,) standard deviations of the replicates, by term."""
        spread = [sample.std(ddof=1) if len(sample) > 1 else np.nan for sample in self._samples()]
        return pd.Series(spread, index=pd.Index(self.labels.keys), name="std_error", dtype=float)

    def _samples(self) -> list[Array]:
        """The replicates that count, term by term."""
        good = self.draws.values[self.draws.good]
        return [column[np.isfinite(column)] for column in good.T]

    def conf_int(self, kind: IntervalKind = "percentile", level: float = 0.95) -> pd.DataFrame:
        """Intervals from the replicates.

        Parameters
        ----------
        kind : {"percentile", "basic", "bca", "studentized"}
            ``bca`` fits the model once more without each group; ``studentized`` exists for the
            terms with a standard error, that is for coefficients.
        level : float
            Coverage.

        Returns
        -------
        DataFrame
            ``effect, group, term, estimate, conf_low, conf_high``.

        Raises
        ------
        OptionError
            No such kind or level, no replicate to take it from, or ``studentized`` of a statistic.

        Warns
        -----
        FewReplicates
            An end is the smallest or largest replicate: more are needed for this level.
        BoundaryFit
            A BCa interval does not exist, as all replicates lie on one side of the estimate.
        """
        check_option("kind", kind, ["percentile", "basic", "bca", "studentized"])
        if not 0 < level < 1:
            raise OptionError(f"level={level!r}: a confidence level lies between 0 and 1")
        if not self.draws.good.any():
            raise OptionError(f"none of the {self.n} replicates is an estimate: {self.failures}")
        columns = np.arange(len(self.estimate))
        if kind == "studentized":
            columns = columns[np.isfinite(self.std_error)]
            if not columns.size:
                raise OptionError("kind='studentized': a statistic has no standard error")
        ends = np.array([self._ends(int(k), kind, level) for k in columns])
        text = {name: column[columns] for name, column in self._text().items()}
        return pd.DataFrame(
            {
                **text,
                "estimate": self.estimate[columns],
                "conf_low": ends[:, 0],
                "conf_high": ends[:, 1],
            }
        )

    def _ends(self, k: int, kind: IntervalKind, level: float) -> Array:
        sample, estimate = self._samples()[k], float(self.estimate[k])
        if not len(sample) or not np.isfinite(estimate):
            return np.full(2, np.nan)
        shares = np.array([(1 - level) / 2, (1 + level) / 2])
        if kind == "bca":
            without = self.jackknifed[:, k]
            ends, shares = intervals.bca(sample, estimate, without[np.isfinite(without)], level)
            if not np.isfinite(shares).all():
                warnings.warn(
                    f"{self.labels.keys[k]}: no BCa interval, as all replicates lie on one side "
                    "of the estimate; see the percentile interval",
                    BoundaryFit,
                    stacklevel=4,
                )
                return ends
        elif kind == "studentized":
            good = self.draws.good & np.isfinite(self.draws.values[:, k])
            ends = intervals.studentized(
                sample, self.draws.std_error[good, k], estimate, float(self.std_error[k]), level
            )
        elif kind == "basic":
            ends = intervals.basic(sample, estimate, level)
        else:
            ends = intervals.percentile(sample, level)
        ranks = shares * (len(sample) + 1)
        if ranks.min() < 1 or ranks.max() > len(sample):
            warnings.warn(
                f"{self.labels.keys[k]}: {len(sample)} replicates are too few for this interval "
                f"at level {level:g}; its end is the most extreme replicate",
                FewReplicates,
                stacklevel=4,
            )
        return ends

    def tests(self, null: float = 0.0) -> pd.DataFrame:
        """Bootstrap t tests of each coefficient.

        Parameters
        ----------
        null : float
            Value under the null.

        Returns
        -------
        DataFrame
            ``effect, group, term, estimate, statistic, p_value``, of terms with a standard error;
            p is the share of replicates, and of the fit itself, with
            ``|(t* - t) / s*| >= |(t - null) / s|``.

        Raises
        ------
        OptionError
            No replicate to take it from, or no term has a standard error.

        Notes
        -----
        The null is not imposed on the replicates, so that a test agrees with the symmetric
        studentized interval. With few clusters `teamlink.test` with ``wild=n`` does better.
        """
        if not self.draws.good.any():
            raise OptionError(f"none of the {self.n} replicates is an estimate: {self.failures}")
        columns = np.flatnonzero(np.isfinite(self.std_error))
        if not columns.size:
            raise OptionError("tests: a statistic has no standard error")
        good = self.draws.good
        away = self.draws.values[good][:, columns] - self.estimate[columns]
        with np.errstate(divide="ignore", invalid="ignore"):
            each = np.abs(away / self.draws.std_error[good][:, columns])
        t = (self.estimate[columns] - null) / self.std_error[columns]
        beyond = (each >= np.abs(t) * (1 - 1e-10)).sum(axis=0)
        return pd.DataFrame(
            {
                **{name: column[columns] for name, column in self._text().items()},
                "estimate": self.estimate[columns],
                "statistic": t,
                "p_value": (1 + beyond) / (1 + np.isfinite(each).sum(axis=0)),
            }
        )

    @cached_property
    def jackknifed(self) -> Array:
        """(J, t) estimates without each group in turn; missing where there are none."""
        with single_thread().limit(limits=1):
            left = jackknife(self.fit)
        values = np.where(left.good[:, None], left.values, np.nan)
        if self.statistic is None:
            return values
        labels, own, _ = original(self.fit, self.kind)
        values = values[:, : len(own)]
        failure = ("", *left.failure)
        _, found, _ = of_statistic(self.statistic, labels, np.vstack([own, values]), failure)
        return found[1:]

    def summary(self, level: float = 0.95) -> Summary:
        """Text to print, with percentile intervals; rich HTML in a notebook."""
        interval = self.conf_int("percentile", level)
        share = f"{100 * level:g}%"
        centre = [float(s.mean()) if len(s) else np.nan for s in self._samples()]
        rows = tuple(
            (
                term, number(estimate), number(mean - estimate), number(spread), number(low),
                number(high), f"{len(sample)}",
            )
            for term, estimate, mean, sample, spread, low, high in zip(
                self.labels.keys, self.estimate, centre, self._samples(), self.bse,
                interval["conf_low"], interval["conf_high"], strict=True,
            )
        )  # fmt: skip
        header = ("Term", "Estimate", "Bias", "Std. error", f"{share} low", "high", "Replicates")
        failed = sum(self.failures.values())
        facts = (
            ("Model", self.fit.label),
            ("Replicates", f"{self.n}, of which {failed} failed"),
            ("On the boundary", f"{int(self.draws.boundary[self.draws.good].sum())}"),
        )
        remarks = [_WORDS[self.kind], "Intervals: percentile."]
        remarks += [f"FAILED: {count} replicates: {why}." for why, count in self.failures.items()]
        table = SummaryTable("Estimates", header, rows)
        return Summary(f"Bootstrap of a fit by {self.fit.method}", facts, (table,), tuple(remarks))

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        failed = sum(self.failures.values())
        return f"<Bootstrap {self.kind}: {self.n} replicates, {failed} failed>"
