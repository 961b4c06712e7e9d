"""A fitted mediation model: its effects, their intervals, and what they rest on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from teamlink.errors import FewReplicates, FitError, OptionError, check_option
from teamlink.fitting.summary import Summary
from teamlink.inference.bootstrap import bootstrap
from teamlink.inference.bootstrapped import Bootstrap
from teamlink.inference.intervals import percentile
from teamlink.inference.simulate import generator
from teamlink.mediation import intervals
from teamlink.mediation.cautions import Caution, improper, tell
from teamlink.mediation.paths import Effect, paths_of
from teamlink.mediation.present import summarize
from teamlink.mediation.sensitivity import Sensitivity, correlations
from teamlink.mediation.specification import Specification
from teamlink.mediation.structure import structure_at
from teamlink.mediation.variables import Variables
from teamlink.structural.result import StructuralFit
from teamlink.typing import Array

__all__ = ["Mediation", "Method"]

Method = Literal["delta", "monte-carlo", "percentile", "bca"]

DRAWS = 20_000
"""Monte-Carlo draws: the ends of an interval at 95 per cent are known to 2 % of its width."""

_METHODS = ("delta", "monte-carlo", "percentile", "bca")


@dataclass(frozen=True)
class Mediation:
    """A mediation model that has been fitted; made by `teamlink.mediate`.

    Attributes
    ----------
    specification : Specification
        What was asked for.
    variables : Variables
        The table the model was fitted to, and where each column varies.
    equations : str
        The model in lavaan's language: ``tl.sem(result.equations, result.variables.frame,
        cluster=...)`` gives the same fit.
    listed : tuple of Effect
        The effects.
    fit : StructuralFit
        The structural equations, fitted.
    cautions : tuple
        What was warned of, as pairs of warning type and text.
    """

    specification: Specification
    variables: Variables
    equations: str
    listed: tuple[Effect, ...]
    fit: StructuralFit
    cautions: tuple[Caution, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the effects among the parameters of the fit."""
        return tuple(effect.label for effect in self.listed)

    @property
    def reliability(self) -> pd.DataFrame:
        """Reliability of cluster means: ``variable, column, icc1, size, icc2``.

        By analysis of variance; ICC(2) is for a cluster of ``size`` members.
        """
        return self.variables.spread

    @cached_property
    def effects(self) -> pd.DataFrame:
        """Every effect with its interval at 95 per cent, as `conf_int` gives them.

        Monte-Carlo intervals; by the delta method where there is no covariance to draw from.
        """
        singular = intervals.near_singular(self.fit, self.labels)
        if singular or self.fit.improper:
            return self.conf_int("delta")
        return self.conf_int("monte-carlo")

    def conf_int(
        self,
        method: Method = "monte-carlo",
        level: float = 0.95,
        n: int | None = None,
        seed: int | np.random.Generator | None = 1,
        boot: Bootstrap | None = None,
    ) -> pd.DataFrame:
        """Effects with intervals.

        Parameters
        ----------
        method : {"delta", "monte-carlo", "percentile", "bca"}
            Symmetric; quantiles of draws from the joint normal distribution of the estimates; or
            from whole clusters drawn with replacement.
        level : float
            Coverage.
        n : int, optional
            Draws, 20,000 by default; or bootstrap replicates, 1,000.
        seed : int or numpy.random.Generator, optional
            The same seed gives the same numbers.
        boot : Bootstrap, optional
            Replicates that exist already, of `bootstrap`.

        Returns
        -------
        DataFrame
            ``effect, level, path, label, estimate, std_error, conf_low, conf_high, p, method``.
            ``std_error`` is that of the delta method, or the standard deviation of the draws or
            replicates; ``p`` is one less the level at which the interval ends at zero.

        Raises
        ------
        FitError
            ``monte-carlo``: the covariance of the estimates is singular; or no bootstrap replicate
            is an estimate.

        Warns
        -----
        FewReplicates
            An end is the smallest or largest replicate.
        ImproperSolution
            ``monte-carlo``, where an estimate is one that no population can have.
        """
        check_option("method", method, _METHODS)
        if not 0 < level < 1:
            raise OptionError(f"level={level!r}: a confidence level lies between 0 and 1")
        estimate = self.fit.params[list(self.labels)].to_numpy()
        error = self.fit.bse[list(self.labels)].to_numpy()
        if method == "delta":
            ends, p = intervals.delta(estimate, error, level)
        elif method == "monte-carlo":
            tell(improper(self.fit.improper))
            sample = self.draws(n or DRAWS, seed)
            error, (ends, p) = sample.std(axis=0, ddof=1), _quantiles(sample, level)
        else:
            boot = boot or self.bootstrap(n or 1000, seed)
            error, ends, p = self._bootstrapped(boot, method, level)
        return pd.DataFrame(
            {
                "effect": [effect.kind for effect in self.listed],
                "level": [effect.level for effect in self.listed],
                "path": [effect.path for effect in self.listed],
                "label": list(self.labels),
                "estimate": estimate,
                "std_error": error,
                "conf_low": ends[:, 0],
                "conf_high": ends[:, 1],
                "p": p,
                "method": method,
            }
        )

    def draws(self, n: int = DRAWS, seed: int | np.random.Generator | None = 1) -> Array:
        """(n, effects) Monte-Carlo draws of the effects, columns in the order of ``labels``.

        Parameters
        ----------
        n : int
            Draws.
        seed : int or numpy.random.Generator, optional
            The same seed gives the same numbers.
        """
        reason = intervals.near_singular(self.fit, self.labels)
        if reason:
            raise FitError(
                f"no Monte-Carlo interval: {reason}; use method='percentile', or simplify the model"
            )
        x = intervals.drawn(self.fit, self.labels, n, generator(seed))
        return intervals.named_values(self.fit, x, self.labels)

    def bootstrap(
        self, n: int = 1000, seed: int | np.random.Generator | None = 1,
        progress: bool | None = None,
    ) -> Bootstrap:  # fmt: skip
        """Replicates of the fit from whole clusters drawn with replacement.

        Without clusters rows are drawn. Pass them to `conf_int` as ``boot``.

        Parameters
        ----------
        n : int
            Replicates.
        seed : int or numpy.random.Generator, optional
            The same seed gives the same numbers.
        progress : bool, optional
            Show a progress bar; None shows it on a terminal, after two seconds.
        """
        return bootstrap(self.fit, n, "cluster", seed, progress=progress)

    def _bootstrapped(
        self, boot: Bootstrap, method: str, level: float
    ) -> tuple[Array, Array, Array]:
        """Standard deviations, ends and p values from replicates of whole clusters."""
        if not boot.draws.good.any():
            raise FitError(f"none of the {boot.n} replicates is an estimate: {boot.failures}")
        names = list(boot.labels.terms)
        places = [names.index(label) for label in self.labels]
        good = boot.draws.values[boot.draws.good][:, places]
        without = boot.jackknifed[:, places] if method == "bca" else None
        estimate = boot.estimate[places]
        ends, p, few = intervals.resampled(good, estimate, without, level)
        if few.any():
            which = ", ".join(np.array(self.labels)[few])
            warnings.warn(
                f"{len(good)} replicates are too few for an interval at level {level:g} of "
                f"{which}: its end is the most extreme replicate",
                FewReplicates,
                stacklevel=3,
            )
        return good.std(axis=0, ddof=1), ends, p

    @cached_property
    def proportion_mediated(self) -> pd.DataFrame:
        """Indirect over total effect: ``level, estimate, conf_low, conf_high`` (Monte Carlo, 95 %).

        A row a level at which the indirect and the direct effect have the same sign: where they
        have not, the ratio is no proportion.
        """
        rows = []
        values = self.fit.params
        for level, whole, end in self._totals():
            if values[whole] * values[f"c{end}"] <= 0:
                continue
            columns = [self.labels.index(whole), self.labels.index(f"total{end}")]
            sample = self.draws()[:, columns]
            low, high = percentile(sample[:, 0] / sample[:, 1], 0.95)
            rows.append((level, values[whole] / values[f"total{end}"], low, high))
        return pd.DataFrame(rows, columns=["level", "estimate", "conf_low", "conf_high"])

    def _totals(self) -> list[tuple[str, str, str]]:
        """Levels with an indirect effect, its label, and the ending of labels there."""
        found = []
        for effect in self.listed:
            if effect.kind == "total":
                end = effect.label.removeprefix("total")
                found.append((effect.level, f"indirect{end}", end))
        return found

    def sensitivity(
        self,
        rho: Sequence[float] | None = None,
        mediator: str | None = None,
        level: str | None = None,
        confidence: float = 0.95,
    ) -> Sensitivity:
        """Effects if something unmeasured acted on a mediator and on the outcome.

        Parameters
        ----------
        rho : sequence of float, optional
            Correlations of the residuals of mediator and outcome, -0.9 to 0.9 by default.
        mediator : str, optional
            Which mediator; the only one by default, or the last.
        level : {"within", "between", "single"}, optional
            Level of the effect and of the confounder; by default that between clusters.
        confidence : float
            Of the intervals.

        Returns
        -------
        Sensitivity
            ``.table``, ``.tipping``, ``.summary()``.

        Notes
        -----
        See the page on mediation. A correlation other than zero fits the data equally well, so
        that no refit is needed and no data can tell.
        """
        offered = [one for one, _, _ in self._totals()]
        level = offered[-1] if level is None else level
        check_option("level", level, offered)
        mediators = self.specification.mediators
        mediator = mediators[-1] if mediator is None else mediator
        check_option("mediator", mediator, mediators)
        if not 0 < confidence < 1:
            raise OptionError(f"confidence={confidence!r} lies between 0 and 1")
        grid = correlations(rho)
        if not (np.abs(grid) < 1).all():
            raise OptionError(f"rho={rho!r}: correlations lie between -1 and 1")
        x, q = self.fit.x, self.fit.model.structure.q
        V = np.nan_to_num(self.fit.estimates.covariance[0][:q, :q])
        steps = 1e-4 * np.maximum(np.sqrt(np.maximum(np.diag(V), 0.0)), 1e-8)
        points = np.concatenate([x[None], x - np.diag(steps), x + np.diag(steps)])
        paths = paths_of(self.specification, level)
        found = structure_at(self.fit, self.specification, paths, level, points)
        return Sensitivity(
            level, mediator, self.specification.y, confidence, found, steps, V,
            mediators.index(mediator), grid,
        )  # fmt: skip

    def summary(self, level: float = 0.95) -> Summary:
        """Text to print; rich HTML in a notebook."""
        return summarize(self, level)

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        way = " -> ".join(self.specification.path)
        return f"<Mediation {self.specification.design.name}: {way}>"


def _quantiles(sample: Array, level: float) -> tuple[Array, Array]:
    found = [intervals.two_sided(column, level) for column in sample.T]
    return np.array([ends for ends, _ in found]), np.array([p for _, p in found])
