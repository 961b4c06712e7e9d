"""Returns to experience as estimated: gains since entry, and contexts compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from teamlink.errors import OptionError
from teamlink.fitting.estimates import Estimates
from teamlink.fitting.summary import Summary, SummaryTable, number, p_text
from teamlink.mixed.hypotheses import contrast_df
from teamlink.mixed.result import MixedFit
from teamlink.typing import Array
from teamlink.value_added.describe import coefficient_frame, coefficient_table
from teamlink.value_added.growth_terms import Growth

__all__ = ["ExperienceReturns", "fieller"]


@dataclass(frozen=True, slots=True)
class ExperienceReturns:
    """Returns to experience by context; made by `teamlink.returns_to_experience`.

    Attributes
    ----------
    formula : str
        The model as text; ``growth1, ...`` are its growth terms, ``environment`` the centred
        context.
    growth : Growth
        How experience and context enter: ``growth.columns(years)``, ``growth.centre``.
    estimates : Estimates
        Coefficients.
    fit : MixedFit or None
        The mixed model, with random effects.
    at : float
        Years of experience at which contexts are compared.
    contexts : (float, float)
        The contexts compared.

    Examples
    --------
    >>> import numpy as np, pandas as pd, teamlink as tl
    >>> rng = np.random.default_rng(1)
    >>> pupils = pd.DataFrame({"teacher": np.repeat(np.arange(200), 10)})
    >>> pupils["experience"] = np.repeat(rng.integers(0, 15, 200), 10)
    >>> pupils["climate"] = np.repeat(rng.normal(size=200), 10)
    >>> pupils["gain"] = 0.05 * pupils["experience"].clip(upper=10) + rng.normal(size=2000)
    >>> found = tl.returns_to_experience(
    ...     pupils, "gain", "teacher", "experience", "climate", gain=True, shape="linear"
    ... )
    >>> found.formula
    'gain ~ growth1 + environment + growth1:environment + (1 | teacher)'
    """

    formula: str
    growth: Growth
    estimates: Estimates
    fit: MixedFit | None
    at: float
    contexts: tuple[float, float]

    def returns(self, years: Sequence[float] | None = None, level: float = 0.95) -> pd.DataFrame:
        """Gain since entry over years of experience, in both contexts.

        Parameters
        ----------
        years : sequence of float, optional
            Years of experience; whole years up to `at` when None.
        level : float
            Of the intervals.

        Returns
        -------
        DataFrame
            ``context, experience, gain, std_error, conf_low, conf_high``.
        """
        wanted = np.arange(1, int(self.at) + 1) if years is None else years
        e = np.asarray(wanted, dtype=float)
        grid = np.repeat(self.contexts, len(e))
        table = self._lines(self._contrasts(np.tile(e, 2), grid), level)
        table.insert(0, "context", grid)
        table.insert(1, "experience", np.tile(e, 2))
        return table[["context", "experience", "gain", "std_error", "conf_low", "conf_high"]]

    def difference(self, level: float = 0.95) -> pd.Series[Any]:
        """Gain at `at` years in the higher context minus that in the lower one, with its test."""
        low, high = self._pair()
        return self._lines((high - low)[None], level).iloc[0].rename(f"gain at {self.at:g} years")

    def ratio(self, level: float = 0.95) -> pd.Series[Any]:
        """Gain at `at` years in the higher context over that in the lower one.

        Parameters
        ----------
        level : float
            Of Fieller's interval; it is without bounds where the lower gain may be zero.

        Returns
        -------
        Series
            ``ratio, std_error`` (delta method), ``conf_low, conf_high``.
        """
        L = np.vstack(self._pair())
        b, a = L @ self.estimates.values[0]
        V = L @ self.estimates.covariance[0] @ L.T
        slope = np.array([-a / b**2, 1 / b])
        low, high = fieller(a, b, V[1, 1], V[0, 1], V[0, 0], self._quantile(L, level))
        found = {
            "ratio": a / b,
            "std_error": np.sqrt(slope @ V @ slope),
            "conf_low": low,
            "conf_high": high,
        }
        return pd.Series(found, name=f"gain at {self.at:g} years")

    @property
    def interaction(self) -> pd.DataFrame:
        """The coefficients of growth by context, in broom's columns."""
        table = coefficient_frame(self.estimates, 0.95)
        return table[table["term"].isin(self.growth.products)].reset_index(drop=True)

    def ratio_of(self, estimates: Mapping[str, float]) -> float:
        """The ratio from other coefficients by name: a statistic for `teamlink.bootstrap`."""
        b = np.array([float(estimates[name]) for name in self.estimates.names])
        low, high = self._pair()
        return float(high @ b / (low @ b))

    def using(self, fit: MixedFit) -> ExperienceReturns:
        """The same model with another covariance, such as that of ``tl.robust(found.fit)``."""
        if fit.estimates.names != self.estimates.names:
            raise OptionError("using: that fit is of another model")
        return replace(self, fit=fit, estimates=fit.estimates)

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """Coefficients in broom's columns; with random effects standard deviations follow."""
        if self.fit is not None:
            return self.fit.tidy(level)
        return coefficient_frame(self.estimates, level)

    def summary(self, level: float = 0.95) -> Summary:
        """Text to print; rich HTML in a notebook."""
        difference, ratio = self.difference(level), self.ratio(level)
        facts = (
            ("Formula", self.formula),
            ("Contexts compared", f"{number(self.contexts[0])} and {number(self.contexts[1])}"),
            ("Years", f"{self.at:g}"),
        )
        rows = [
            _row(f"Gain where context is {number(r['context'])}", r["gain"], r, "")
            for r in self.returns([self.at], level).to_dict("records")
        ]
        rows.append(
            _row("Difference", difference["gain"], difference, p_text(difference["p_value"]))
        )
        rows.append(_row("Ratio", ratio["ratio"], ratio, ""))
        share = f"{100 * level:g}%"
        gains = SummaryTable(
            f"Gain in {self.at:g} years since entry",
            ("", "Estimate", "Std. error", f"{share} low", "high", "p"),
            tuple(rows),
        )
        coefficients = coefficient_table(coefficient_frame(self.estimates, level), level)
        return Summary("Returns to experience", facts, (gains, coefficients), ())

    def _pair(self) -> tuple[Array, Array]:
        low, high = self._contrasts(np.full(2, self.at), np.array(self.contexts))
        return low, high

    def _contrasts(self, years: Array, context: Array) -> Array:
        return self.growth.contrasts(self.estimates.names, years, context)

    def _lines(self, L: Array, level: float) -> pd.DataFrame:
        gain = L @ self.estimates.values[0]
        se = np.sqrt(np.einsum("ra,ab,rb->r", L, self.estimates.covariance[0], L))
        df, t = self._df(L), self._quantile(L, level)
        return pd.DataFrame(
            {
                "gain": gain, "std_error": se, "statistic": gain / se, "df": df,
                "p_value": 2 * stdtr(df, -np.abs(gain / se)),
                "conf_low": gain - t * se, "conf_high": gain + t * se,
            }
        )  # fmt: skip

    def _df(self, L: Array) -> Array:
        if self.fit is not None:
            return contrast_df(self.fit, L)
        return np.full(len(L), self.estimates.df.min())

    def _quantile(self, L: Array, level: float) -> Any:
        if not 0 < level < 1:
            raise OptionError(f"level={level!r}: a confidence level lies between 0 and 1")
        quantiles = stdtrit(self._df(L), 0.5 + level / 2)
        return quantiles.max() if len(L) == 2 else quantiles

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        found = self.ratio()
        return f"<ExperienceReturns {self.formula!r}: ratio {found['ratio']:.3f}>"


def _row(label: str, value: float, r: Any, p: str) -> tuple[str, ...]:
    return (
        label,
        number(value),
        number(r["std_error"]),
        number(r["conf_low"]),
        number(r["conf_high"]),
        p,
    )


def fieller(
    a: float, b: float, Vaa: float, Vab: float, Vbb: float, t: float
) -> tuple[float, float]:
    """Fieller's interval of a / b; without bounds where b may be zero at this level.

    Examples
    --------
    >>> fieller(2.0, 1.0, 0.0, 0.0, 0.0, 1.96)
    (2.0, 2.0)
    >>> fieller(2.0, 1.0, 1.0, 0.0, 1.0, 1.96)
    (-inf, inf)
    """
    A, B, C = b**2 - t**2 * Vbb, a * b - t**2 * Vab, a**2 - t**2 * Vaa
    if A <= 0:
        return -np.inf, np.inf
    half = np.sqrt(max(B**2 - A * C, 0.0))
    return float((B - half) / A), float((B + half) / A)
