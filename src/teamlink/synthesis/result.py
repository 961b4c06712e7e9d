"""A meta-analysis: estimates, heterogeneity, predictions, and what they rest on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from teamlink.data.schema import as_frame
from teamlink.errors import DataError, OptionError
from teamlink.fitting.summary import Summary, SummaryTable, number, p_text
from teamlink.mixed.encoding import Encoding
from teamlink.synthesis.fit import Choices, Numbers
from teamlink.synthesis.pooling import METHODS, Effects
from teamlink.synthesis.sensitivity import asymmetry, left_out
from teamlink.typing import Array, Codes, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MetaAnalysis"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MetaAnalysis:
    """Effects pooled over studies; made by `teamlink.meta`.

    Attributes
    ----------
    effects : Effects
        ``y``, ``v`` and ``X``: effects (k,), sampling variances (k,), columns (k, p).
    encoding : Encoding
        How moderators become columns.
    studies : tuple of str
        A label for each effect.
    clusters : (k,) codes or None
        Which effects belong together.
    choices : Choices
        How it was pooled.
    numbers : Numbers
        What came out.
    tau2_interval : (low, high) or None
        Of tau2, by the Q-profile method; None for three levels and for fixed effects.
    level : float
        Of the intervals.
    dropped : int
        Rows left out because of missing values.

    Examples
    --------
    >>> import teamlink as tl
    >>> studies = {"d": [0.1, 0.3, 0.4, 0.7], "v": [0.03, 0.02, 0.03, 0.04], "year": [1, 2, 3, 4]}
    >>> found = tl.meta("d", "v", data=studies, moderators="year")
    >>> found.params.round(3).to_dict()
    {'Intercept': -0.089, 'year': 0.186}
    """

    effects: Effects
    encoding: Encoding
    studies: tuple[str, ...]
    clusters: Codes | None
    choices: Choices
    numbers: Numbers
    tau2_interval: tuple[float, float] | None
    level: float
    dropped: int

    def _series(self, values: Array) -> pd.Series[Any]:
        return pd.Series(values, index=list(self.encoding.names))

    @property
    def params(self) -> pd.Series[Any]:
        """The pooled effect, or the coefficients of the moderators."""
        return self._series(self.numbers.b)

    @property
    def bse(self) -> pd.Series[Any]:
        """Standard errors."""
        return self._series(np.sqrt(np.diag(self.numbers.covariance)))

    @property
    def df(self) -> pd.Series[Any]:
        """Degrees of freedom; infinite for normal tests."""
        return self._series(self.numbers.df)

    @property
    def tvalues(self) -> pd.Series[Any]:
        """Estimates over standard errors."""
        return self.params / self.bse

    @property
    def pvalues(self) -> pd.Series[Any]:
        """Two-sided."""
        return self._series(np.asarray(2 * stats.t.sf(np.abs(self.tvalues), self.numbers.df)))

    @property
    def nobs(self) -> int:
        """Number k of effects."""
        return len(self.effects.y)

    @property
    def tau2(self) -> float:
        """Variance of the true effects, what moderators explain left out; all levels together."""
        return self.numbers.tau2

    @property
    def variances(self) -> pd.Series[Any]:
        """Variance between clusters and within them, of three levels; else tau2 alone."""
        if self.numbers.parts is None:
            return pd.Series({"tau2": self.numbers.tau2})
        return pd.Series(self.numbers.parts, index=["between", "within"])

    @property
    def q(self) -> float:
        """Cochran's Q, of what moderators leave."""
        return self.numbers.q

    @property
    def q_df(self) -> int:
        """Degrees of freedom of Q: k - p."""
        return self.effects.df

    @property
    def q_pvalue(self) -> float:
        """Chance of so large a Q if there is no heterogeneity."""
        return float(stats.chi2.sf(self.q, self.q_df))

    @property
    def i2(self) -> float:
        """Share of tau2 in tau2 plus the typical sampling variance, (k - p) / tr(P).

        With ``method="fe"`` the share of Q beyond its expectation.
        """
        if self.choices.method == "fe":
            return max(0.0, 1 - self.q_df / self.q) if self.q > 0 else 0.0
        return self.tau2 / (self.tau2 + self._typical)

    @property
    def h2(self) -> float:
        """Total over sampling variance, 1 / (1 - I2)."""
        if self.choices.method == "fe":
            return self.q / self.q_df
        return self.tau2 / self._typical + 1

    @property
    def _typical(self) -> float:
        return self.effects.df / self.effects.projection_trace()

    @property
    def llf(self) -> float:
        """Log-likelihood, restricted for REML, all constants kept; missing for moments' methods."""
        return self.numbers.llf

    @property
    def weights(self) -> pd.Series[Any]:
        """Share of each effect in the pooled one."""
        return pd.Series(self.numbers.weights, index=list(self.studies))

    @property
    def moderator_test(self) -> dict[str, float]:
        """F test of all moderators: ``statistic, df_num, df_denom, p_value``.

        The second degrees of freedom are infinite for a chi-square test.
        """
        if self.numbers.joint is None:
            raise OptionError("there are no moderators to test")
        names = ("statistic", "df_num", "df_denom", "p_value")
        return dict(zip(names, self.numbers.joint, strict=True))

    def cov_params(self) -> pd.DataFrame:
        """Covariance of the estimates."""
        names = list(self.encoding.names)
        return pd.DataFrame(self.numbers.covariance, index=names, columns=names)

    def conf_int(self, level: float | None = None) -> pd.DataFrame:
        """Intervals of the estimates: ``conf_low``, ``conf_high``."""
        quantile = stats.t.ppf(0.5 + self._level(level) / 2, self.numbers.df)
        half = quantile * self.bse
        return pd.DataFrame({"conf_low": self.params - half, "conf_high": self.params + half})

    def _level(self, level: float | None) -> float:
        level = self.level if level is None else level
        if not 0 < level < 1:
            raise OptionError(f"level={level!r}: a confidence level lies between 0 and 1")
        return level

    def predict(self, newdata: Table | None = None, level: float | None = None) -> pd.DataFrame:
        """Expected effects, with intervals for the mean and for the effect in a new study.

        Parameters
        ----------
        newdata : table, optional
            Moderators; those of the studies when None. Without moderators there is one row.
        level : float, optional
            Of the intervals; that of the analysis when None.

        Returns
        -------
        DataFrame
            ``prediction, std_error, conf_low, conf_high, pred_low, pred_high``. The last two add
            tau2 to the variance: 95 % of new studies' true effects lie there. With a robust
            covariance t has the fewest degrees of freedom that any coefficient has.
        """
        simple = self.encoding.names == ("Intercept",)
        if simple:
            X = np.ones((1, 1))
        elif newdata is None:
            X = self.effects.X
        else:
            X = self.encoding.columns(as_frame(newdata, list(self.encoding.variables)))
            if np.isnan(X).any():
                raise DataError("newdata: moderators are missing")
        variance = np.einsum("np,pq,nq->n", X, self.numbers.covariance, X)
        t = float(stats.t.ppf(0.5 + self._level(level) / 2, self.numbers.df.min()))
        mean = X @ self.numbers.b
        error, wide = np.sqrt(variance), np.sqrt(variance + self.tau2)
        return pd.DataFrame(
            {
                "prediction": mean,
                "std_error": error,
                "conf_low": mean - t * error,
                "conf_high": mean + t * error,
                "pred_low": mean - t * wide,
                "pred_high": mean + t * wide,
            }
        )

    def prediction_interval(self, level: float | None = None) -> tuple[float, float]:
        """Where the true effect of a new study is expected.

        Notes
        -----
        The pooled effect plus and minus t times the root of its variance plus tau2, t on the
        degrees of freedom of its test. Doubtful with fewer than about ten studies, for tau2 is
        then hardly known.
        """
        if self.encoding.names != ("Intercept",):
            raise OptionError("with moderators the interval depends on them: use predict(newdata)")
        row = self.predict(level=level).iloc[0]
        return float(row["pred_low"]), float(row["pred_high"])

    def leave_one_out(self) -> pd.DataFrame:
        """Pool again without each study, or each cluster, in turn.

        Returns
        -------
        DataFrame
            Indexed by what is left out: ``estimate, std_error, conf_low, conf_high, p_value``
            of the first coefficient, ``tau2``, ``i2``, ``q``.

        Raises
        ------
        FitError
            Too few would be left to pool.
        """
        groups = np.arange(self.nobs) if self.clusters is None else self.clusters
        labels = [
            self.studies[int(np.flatnonzero(groups == g)[0])] for g in range(groups.max() + 1)
        ]
        return left_out(self.effects, groups, labels, self.clusters, self.choices, self.level)

    def egger(self) -> pd.Series[Any]:
        """Egger's test of whether small studies show other effects than large ones.

        Returns
        -------
        Series
            ``bias`` (slope of the effect on its standard error, weighted), ``std_error,
            statistic, df, p_value``, and ``limit``, the effect at a standard error of zero.

        Raises
        ------
        OptionError
            Effects depend on each other, or on moderators.
        FitError
            Fewer than three studies, or all of one precision.

        Notes
        -----
        Small studies may differ for other reasons than that some were not published. With fewer
        than about ten studies the test finds little. In R: ``metafor::regtest(fit, model =
        "lm")``. Egger, Davey Smith, Schneider & Minder (1997), *BMJ*, 315,
        https://doi.org/10.1136/bmj.315.7109.629.
        """
        if self.clusters is not None:
            raise OptionError("Egger's test takes effects as independent; pool clusters first")
        if self.encoding.names != ("Intercept",):
            raise OptionError("Egger's test goes with an analysis without moderators")
        return asymmetry(self.effects)

    def tidy(self, level: float | None = None) -> pd.DataFrame:
        """Give ``term, estimate, std_error, statistic, df, p_value, conf_low, conf_high``."""
        table = pd.DataFrame(
            {
                "term": list(self.encoding.names),
                "estimate": self.numbers.b,
                "std_error": self.bse.to_numpy(),
                "statistic": self.tvalues.to_numpy(),
                "df": self.numbers.df,
                "p_value": self.pvalues.to_numpy(),
            }
        )
        ends = self.conf_int(level)
        return table.assign(
            conf_low=ends["conf_low"].to_numpy(), conf_high=ends["conf_high"].to_numpy()
        )

    def summary(self) -> Summary:
        """Text to print; rich HTML in a notebook."""
        share = f"{self.level:.0%} interval"
        facts = [("Effects", self._counted()), ("Method", self._method())]
        if self.choices.method != "fe":
            facts.append(("tau", f"{number(math.sqrt(self.tau2))} (tau2 {number(self.tau2)})"))
        if self.numbers.parts is not None:
            between, within = self.numbers.parts
            facts.append(("of it", f"between {number(between)}, within clusters {number(within)}"))
        if self.tau2_interval is not None:
            low, high = self.tau2_interval
            facts.append((f"tau2, {share}", f"{number(low)} to {number(high)} (Q-profile)"))
        facts.append(("I2, H2", f"{100 * self.i2:.1f} %, {self.h2:.2f}"))
        facts.append(("Q", f"{number(self.q, 2)} on {self.q_df} df, p {p_text(self.q_pvalue)}"))
        if self.encoding.names == ("Intercept",) and self.choices.method != "fe":
            low, high = self.prediction_interval()
            facts.append((f"New study, {share}", f"{number(low)} to {number(high)}"))
        header = ("Term", "Estimate", "Std. error", "df", "t", "p", "Low", "High")
        rows = tuple(
            (str(term), number(b), number(se), number(df, 1), number(t, 2), p_text(p),
             number(low), number(high))
            for term, (b, se, t, df, p, low, high) in zip(
                self.encoding.names, self.tidy().iloc[:, 1:].to_numpy(dtype=float), strict=True
            )
        )  # fmt: skip
        title = "Pooled effect" if len(rows) == 1 else "Coefficients"
        return Summary(
            "Meta-analysis", tuple(facts), (SummaryTable(f"{title}, {share}", header, rows),),
            self._remarks(),
        )  # fmt: skip

    def _counted(self) -> str:
        words = f"{self.nobs}"
        if self.clusters is not None:
            words += f" in {int(self.clusters.max()) + 1} clusters"
        return words + (f"; {self.dropped} rows with missing values left out" * (self.dropped > 0))

    def _method(self) -> str:
        words = METHODS[self.choices.method] + (", three levels" if self.choices.nested else "")
        if self.choices.robust is not None:
            return f"{words}; {self.choices.robust} standard errors by cluster"
        if self.choices.knha and self.choices.method != "fe" and not self.choices.nested:
            return f"{words}; Knapp and Hartung's standard errors"
        return words

    def _remarks(self) -> tuple[str, ...]:
        remarks = []
        if self.numbers.joint is not None:
            F, r, df, p = self.numbers.joint
            shown = "inf" if math.isinf(df) else number(df, 1)
            remarks.append(f"Moderators: F({r:.0f}, {shown}) = {F:.2f}, p {p_text(p)}.")
        if np.isfinite(self.numbers.df).all() and self.numbers.df.min() < 4:
            remarks.append(
                "Fewer than four degrees of freedom: intervals are wide, and robust ones doubtful."
            )
        return tuple(remarks)

    def plot(self, *, sort: bool = False, label: str = "effect") -> Figure:
        """Draw a forest plot.

        Parameters
        ----------
        sort : bool
            By size of the effect, rather than in the order given.
        label : str
            Of the axis.

        Returns
        -------
        matplotlib.figure.Figure
            A row an effect, its square as large as its weight, then the pooled effect as a
            diamond, with a line for the effect of a new study. With moderators the diamond is
            left out and the expected effect of each study is marked.
        """
        from teamlink.synthesis.draw import forest

        return forest(self, sort, label)

    def funnel(self, *, label: str = "effect") -> Figure:
        """Draw effects against their standard errors, with the region that sampling allows.

        Parameters
        ----------
        label : str
            Of the axis.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        OptionError
            There are moderators.
        """
        from teamlink.synthesis.draw import funnel

        if self.encoding.names != ("Intercept",):
            raise OptionError("a funnel has one centre; it goes with no moderators")
        return funnel(self, label)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()
