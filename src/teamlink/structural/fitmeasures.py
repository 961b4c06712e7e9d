r"""Indices of fit, from the deviances of three models.

With chi-square T on df degrees of freedom, that of independence T_b on df_b, n rows in G groups,

    CFI = 1 - max(T - df, 0) / max(T - df, T_b - df_b, 0)
    TLI = (T_b / df_b - T / df) / (T_b / df_b - 1)
    RMSEA = sqrt(G max(T / (n df) - 1 / n, 0))

and the interval of RMSEA holds the non-centralities that do not contradict T at 90 per cent. SRMR
is the root mean square of residuals over the sample's standard deviations, means included where
the model has them. Robust CFI and RMSEA estimate what the index would be in the population.

References
----------
Brosseau-Liard, Savalei, Li (2012), doi:10.1080/00273171.2012.715252.
Brosseau-Liard, Savalei (2014), doi:10.1080/00273171.2014.933697.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, chndtr, chndtrinc

from teamlink.structural.implied import Moments
from teamlink.structural.levelfit import srmr as correlation_residual
from teamlink.structural.robust import Scaling
from teamlink.typing import Array

__all__ = ["TestOfFit", "fit_indices", "level_srmr", "srmr"]

_CLOSE = 0.05
"""RMSEA at or below which a fit is called close."""


@dataclass(frozen=True, slots=True)
class TestOfFit:
    """A model and the model of independence, each against the saturated one.

    Attributes
    ----------
    chisq, df : of the model
    baseline, baseline_df : of independence
    n : rows
    groups : number of groups
    """

    chisq: float
    df: int
    baseline: float
    baseline_df: int
    n: int
    groups: int

    @property
    def pvalue(self) -> float:
        """Of the model; missing where it is saturated."""
        return float(chdtrc(self.df, max(self.chisq, 0.0))) if self.df else np.nan

    @property
    def baseline_pvalue(self) -> float:
        """Of independence."""
        if not self.baseline_df:
            return np.nan
        return float(chdtrc(self.baseline_df, max(self.baseline, 0.0)))


def comparative(test: TestOfFit, c: float = 1.0, c_baseline: float = 1.0) -> tuple[float, float]:
    """CFI and TLI; the factors make them robust, the test being the unscaled one."""
    own = test.chisq - c * test.df
    base = test.baseline - c_baseline * test.baseline_df
    worst = max(own, base, 0.0)
    cfi = 1 - max(own, 0.0) / worst if worst > 0 else 1.0
    if not test.df or not test.baseline_df:
        return cfi, 1.0
    below = base / test.baseline_df
    tli = (base / test.baseline_df - own / test.df) / below if below != 0 else np.nan
    return cfi, float(tli)


def _ncp(chisq: float, df: float, probability: float) -> float:
    """The non-centrality at which chi-square has a given distribution function; 0 below any."""
    if chndtr(chisq, df, 0.0) < probability:
        return 0.0
    found = chndtrinc(chisq, df, probability)
    # The inverse is good to 1e-8; a step of Newton's method squares that.
    value = chndtr(chisq, df, found)
    slope = (chndtr(chisq, df + 2, found) - value) / 2
    return float(found - (value - probability) / slope)


def rmsea(
    chisq: float, df: float, n: int, groups: int, factor: float = 1.0
) -> tuple[float, float, float, float]:
    """RMSEA, the ends of its 90 per cent interval, and the p value of close fit.

    The factor makes it robust, chi-square being the scaled one.
    """
    if not df:
        return 0.0, 0.0, 0.0, np.nan
    chisq = max(chisq, 0.0)
    unit = groups * factor / (n * df)
    point = np.sqrt(max(chisq - df, 0.0) * unit)
    low, high = (np.sqrt(_ncp(chisq, df, p) * unit) for p in (0.95, 0.05))
    close = 1 - chndtr(chisq, df, _CLOSE**2 / unit)
    return float(point), float(low), float(high), float(close)


def srmr(sample: Sequence[Moments], model: Sequence[Moments], sizes: Array, means: bool) -> float:
    """Standardised root mean square residual, groups weighted by their rows.

    Parameters
    ----------
    sample, model : moments of each group, one replicate
    sizes : (G,)
    means : whether residuals of means count
    """
    total = 0.0
    for seen, said, n in zip(sample, model, sizes, strict=True):
        S = seen.Sigma[0]
        sd = np.sqrt(np.diag(S))
        rest = ((S - said.Sigma[0]) / np.outer(sd, sd))[np.tri(len(S), dtype=np.bool_)]
        if means:
            rest = np.concatenate([rest, (seen.mu[0] - said.mu[0]) / sd])
        total += n * float(np.sqrt((rest**2).mean()))
    return total / float(sizes.sum())


def level_srmr(sample: Sequence[Moments], model: Sequence[Moments], sizes: Array) -> float:
    """Root mean square residual of the correlations of one level, groups weighted by their rows.

    Each matrix is scaled by its own variances; means do not count.
    """
    each = [
        correlation_residual(seen.Sigma[:1], said.Sigma[:1])[0]
        for seen, said in zip(sample, model, strict=True)
    ]
    return float(np.array(each) @ sizes / sizes.sum())


def fit_indices(test: TestOfFit, scaling: Scaling | None) -> dict[str, float]:
    """All indices that come from chi-squares, in the names of lavaan with underscores."""
    cfi, tli = comparative(test)
    point, low, high, close = rmsea(test.chisq, test.df, test.n, test.groups)
    found = {
        "chisq": test.chisq,
        "df": float(test.df),
        "pvalue": test.pvalue,
        "baseline_chisq": test.baseline,
        "baseline_df": float(test.baseline_df),
        "baseline_pvalue": test.baseline_pvalue,
        "cfi": cfi,
        "tli": tli,
        "nfi": 1 - test.chisq / test.baseline if test.baseline > 0 else np.nan,
        "rmsea": point,
        "rmsea_ci_lower": low,
        "rmsea_ci_upper": high,
        "rmsea_pvalue": close,
    }
    return found if scaling is None else found | _scaled(test, scaling)


def _scaled(test: TestOfFit, by: Scaling) -> dict[str, float]:
    """The indices of the scaled test, and the robust ones."""
    usable = test.df > 0 and by.test > 0
    chisq = test.chisq / by.test if usable else np.nan
    scaled = TestOfFit(
        chisq if usable else 0.0, test.df, test.baseline / by.baseline, test.baseline_df, test.n,
        test.groups,
    )  # fmt: skip
    cfi, tli = comparative(scaled)
    c = by.test if usable else 1.0
    cfi_robust, tli_robust = comparative(test, c, by.baseline)
    point = rmsea(scaled.chisq, test.df, test.n, test.groups)[0]
    # As in lavaan: the interval takes T itself as non-central on c df degrees of freedom.
    interval = rmsea(test.chisq, c * test.df, test.n, test.groups)
    robust = rmsea(scaled.chisq, test.df, test.n, test.groups, c)
    return {
        "chisq_scaled": chisq,
        "pvalue_scaled": scaled.pvalue if usable else np.nan,
        "chisq_scaling_factor": by.test,
        "baseline_chisq_scaled": scaled.baseline,
        "baseline_chisq_scaling_factor": by.baseline,
        "scaling_factor_h0": by.fitted,
        "scaling_factor_h1": by.saturated,
        "cfi_scaled": cfi,
        "tli_scaled": tli,
        "cfi_robust": cfi_robust,
        "tli_robust": tli_robust,
        "rmsea_scaled": point,
        "rmsea_ci_lower_scaled": interval[1],
        "rmsea_ci_upper_scaled": interval[2],
        "rmsea_pvalue_scaled": interval[3],
        "rmsea_robust": robust[0],
        "rmsea_ci_lower_robust": robust[1],
        "rmsea_ci_upper_robust": robust[2],
        "rmsea_pvalue_robust": robust[3],
    }
