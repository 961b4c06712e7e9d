"""The checks of a report that need the rows: influence, spread, normality of group effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from teamlink.errors import FitError
from teamlink.fitting.fit import single_thread
from teamlink.mixed.correlated import CorrelatedMixed
from teamlink.mixed.deletion import (
    Whitened,
    groups_stand_alone,
    of_independent_groups,
    of_sets,
    rows_of_groups,
    whitened,
)
from teamlink.mixed.distances import spread_of_estimates
from teamlink.mixed.factor import Factor
from teamlink.mixed.trust import Finding
from teamlink.typing import Array, Codes

if TYPE_CHECKING:
    from teamlink.mixed.result import MixedFit

__all__ = ["residual_spread", "row_checks"]

_NONE = float("nan")
_SHIFT, _NOTED = 0.5, 1.0
_EXPECTED = 6.0
"""Over the root of J: the largest shift, in standard errors, that J like groups seldom exceed."""

_LARGE = 3000
"""Rows of a group that meets others, above which its deletion is not worked out for a report."""

_P_SPREAD, _SPREAD = 0.01, 0.15
_P_NORMAL = 0.001
_SKEW, _TAILS = 0.5, 1.5
"""Skewness and excess kurtosis of estimated effects below which intervals hardly mind."""

_ENOUGH = 20
"""Groups from which on a test of normality is worth making."""


def row_checks(fit: MixedFit) -> list[Finding]:
    """Run all checks of this module."""
    if isinstance(fit.model, CorrelatedMixed):
        says = "rows and groups are not looked at one by one where residuals have a structure"
        return [Finding("rows and groups", "not checked", float("nan"), "", says)]
    if fit.model.design.weights is not None:
        says = "rows and groups are not looked at one by one where rows have weights"
        return [Finding("rows and groups", "not checked", float("nan"), "", says)]
    with single_thread().limit(limits=1):
        try:
            rows = whitened(fit.model, fit.working_theta, fit.estimates.values[0])
        except FitError as error:
            says = f"{str(error).partition(':')[0].capitalize()}."
            advice = "Leave out random effects: there are too many for these rows."
            return [Finding("residual variance", "problem", fit.sigma, "", says, advice)]
        covariance = fit.sigma**2 * rows.back @ rows.back.T
        found = [_influence(fit, rows, f) for f in range(len(fit.ngroups))]
        found += [_spread(rows, fit.sigma, factor) for factor in fit.model.design.factors]
        for f in range(len(fit.ngroups)):
            found += _normality(fit, covariance, f)
    return found


def _influence(fit: MixedFit, rows: Whitened, f: int) -> Finding:
    """How far the fixed effects move without the group that moves them most."""
    factors = fit.model.design.factors
    factor = factors[f]
    check = f"influential groups: {factor.name}"
    limit = max(_SHIFT, _EXPECTED / np.sqrt(factor.n_groups))
    threshold = f"{limit:.2f} std. errors"
    if groups_stand_alone(factor, factors):
        found = of_independent_groups(rows, factor.only_codes, factor.n_groups)
    else:
        sets = rows_of_groups(factor)
        if max(len(at) for at in sets) > _LARGE:
            says = f"Groups have more than {_LARGE} rows; tl.diagnose(fit) works it out."
            return Finding(check, "not checked", _NONE, threshold, says)
        found = of_sets(rows, sets)
    se = fit.sigma * np.sqrt(np.square(rows.back).sum(axis=1))
    moved = np.abs(found.shift) / se
    alone = [str(name) for name in factor.levels[~found.estimable]]
    if alone:
        return Finding(
            check, "caution", float(len(alone)), "1 group",
            f"A coefficient rests on one group alone; without it, it cannot be estimated: "
            f"{_some(alone)}.",
            "Say so, or leave the predictor out that only this group tells.",
        )  # fmt: skip
    worst = float(moved.max(initial=0.0))
    if _NOTED < worst <= limit:
        j, k = divmod(int(moved.argmax()), moved.shape[1])
        return Finding(
            check, "note", worst, threshold,
            f"Group {factor.levels[j]} moves {fit.model.names[k]} by {worst:.2f} of its standard "
            f"errors; with {factor.n_groups} groups some group does.",
            "Report the fit with and without it.",
        )  # fmt: skip
    if worst <= limit:
        return Finding(check, "ok", worst, threshold, "No group moves a coefficient far.")
    shown = []
    for j in np.argsort(-moved.max(axis=1))[:5]:
        k = int(moved[j].argmax())
        if moved[j, k] > limit:
            shown.append(
                f"{factor.levels[j]} (moves {fit.model.names[k]} by {found.shift[j, k]:.3g})"
            )
    return Finding(
        check, "problem" if worst > 2 * limit else "caution", worst, threshold,
        f"Without it a coefficient moves by up to {worst:.2f} of its standard errors: "
        f"{_some(shown)}.",
        "Look at these groups' rows, and report the fit with and without them; tl.diagnose(fit) "
        "has all.",
    )  # fmt: skip


def residual_spread(
    rows: Whitened, sigma: float, codes: Codes, J: int
) -> tuple[float, float, Array]:
    """Brown and Forsythe's test of equal residual spread, and how much groups differ.

    Returns
    -------
    p : p value; NaN with fewer than two groups of three rows
    excess : standard deviation of the log of groups' residual spread beyond chance
    spread : (J,) root mean square of each group's studentized residuals; NaN for small groups
    """
    e = rows.u / (sigma * np.sqrt(np.maximum(rows.p_diagonal, 1e-12)))
    n = np.bincount(codes, minlength=J)
    large = n >= 3
    spread: Array = np.full(J, np.nan)
    spread[large] = np.sqrt((np.bincount(codes, e**2, J) / np.maximum(n, 1))[large])
    if large.sum() < 2:
        return _NONE, _NONE, spread
    keep = large[codes]
    series = pd.Series(e[keep]).groupby(codes[keep])
    away = np.abs(e[keep] - series.transform("median").to_numpy())
    # In an odd group one deviation is zero by construction; leaving it out keeps the size right.
    order = pd.Series(away).groupby(codes[keep]).rank(method="first").to_numpy()
    real = (order > 1) | (n[codes[keep]] % 2 == 0)
    away, code = away[real], codes[keep][real]
    size = np.bincount(code, minlength=J)
    there = size > 0
    means = np.bincount(code, away, J)[there] / size[there]
    k, total = int(there.sum()), len(away)
    between = float(size[there] @ np.square(means - away.mean())) / (k - 1)
    within = (float(np.square(away - away.mean()).sum()) - between * (k - 1)) / max(total - k, 1)
    p = float(stats.f.sf(between / within, k - 1, total - k)) if within > 0 else _NONE
    logs, df = np.log(np.maximum(spread[large], 1e-12)), n[large] - 1.0
    kurtosis = max(float(stats.kurtosis(e, fisher=False)) - 1, 0.5)
    chance = kurtosis / 4 / df  # variance of log s is (kappa - 1) / (4 n), 1 / (2 n) if normal
    centre = float(np.average(logs, weights=df))
    excess = float(np.average((logs - centre) ** 2 - chance, weights=df))
    return p, float(np.sqrt(max(excess, 0.0))), spread


def _spread(rows: Whitened, sigma: float, factor: Factor) -> Finding:
    check, threshold = f"residual spread: {factor.name}", f"p {_P_SPREAD:g} and {_SPREAD:.0%}"
    if factor.membership is not None:
        says = "Rows belong to several groups."
        return Finding(check, "not checked", _NONE, threshold, says)
    p, excess, spread = residual_spread(rows, sigma, factor.only_codes, factor.n_groups)
    if p != p:
        return Finding(check, "not checked", _NONE, threshold, "Groups have fewer than three rows.")
    test = f"Brown and Forsythe's test, p = {p:.2g}"
    if p >= _P_SPREAD:
        return Finding(check, "ok", p, threshold, f"Residuals spread alike ({test}).")
    order = np.argsort(np.where(np.isnan(spread), 0.0, -np.abs(np.log(spread))))
    named = ", ".join(f"{factor.levels[j]} ({spread[j]:.2f} times)" for j in order[:3])
    large = excess >= _SPREAD
    return Finding(
        check, "caution" if large else "note", p, threshold,
        f"Residual spread differs between groups ({test}), by about {excess:.0%} from group to "
        f"group beyond chance; farthest from the average: {named}.",
        "Use tl.robust(fit, 'CR2'), or model the spread."
        if large
        else "So little hardly touches the estimates; tl.robust(fit, 'CR2') checks the tests.",
    )  # fmt: skip


def _normality(fit: MixedFit, covariance: Array, f: int) -> list[Finding]:
    """Each random effect of a factor, standardized by the spread of its estimates."""
    factor, effects = fit.model.design.factors[f], fit.random_effects[f]
    spread = np.diagonal(spread_of_estimates(effects, covariance), axis1=1, axis2=2)
    found = []
    for k, name in enumerate(factor.names):
        check = f"normal effects: {name} by {factor.name}"
        alive = spread[:, k] > 1e-9 * max(float(effects.marginal[k, k]), 1e-300)
        z = effects.values[alive, k] / np.sqrt(spread[alive, k])
        if effects.marginal[k, k] <= 0 or len(z) < _ENOUGH:
            says = f"Fewer than {_ENOUGH} groups, or no variance."
            found.append(Finding(check, "not checked", _NONE, f"p {_P_NORMAL:g}", says))
            continue
        resolved = float(np.mean(spread[alive, k]) / effects.marginal[k, k])
        found.append(_normal(check, z, factor.levels[alive], resolved))
    return found


def _normal(check: str, z: Array, levels: Any, resolved: float) -> Finding:
    J = len(z)
    p = float(stats.normaltest(z).pvalue)
    far = float(stats.norm.isf(_P_NORMAL / 2 / J))
    outside = np.flatnonzero(np.abs(z) > far)
    threshold = f"p {_P_NORMAL:g}"
    blind = " Effects this unreliable hide a wrong shape." if resolved < 0.3 else ""
    if len(outside):
        order = outside[np.argsort(-np.abs(z[outside]))]
        named = _some([f"{levels[j]} ({z[j]:.1f} std. dev.)" for j in order])
        return Finding(
            check, "caution", p, threshold, f"Groups far from all others: {named}.",
            "Look for errors in their rows; the fixed effects mind outlying groups little, the "
            "variance much.",
        )  # fmt: skip
    if p < _P_NORMAL:
        skew, tails = float(stats.skew(z)), float(stats.kurtosis(z))
        large = abs(skew) >= _SKEW or abs(tails) >= _TAILS
        return Finding(
            check, "caution" if large else "note", p, threshold,
            f"The effects are not normal (D'Agostino and Pearson's test; skewness {skew:.2f}, "
            f"excess kurtosis {tails:.2f}).",
            "Fixed effects stand; intervals of single groups and of the variance lean on "
            "normality: use tl.bootstrap(fit, kind='cluster')."
            if large
            else "The test is sharp with so many groups; so small a departure hardly matters.",
        )  # fmt: skip
    return Finding(check, "ok", p, threshold, f"Compatible with normal effects.{blind}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
