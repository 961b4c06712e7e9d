"""The checks of a report that need no rows: convergence, boundary, groups, rows, columns, tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from teamlink.mixed.collinearity import collinearity
from teamlink.mixed.correlated import CorrelatedMixed
from teamlink.mixed.present import method_words
from teamlink.mixed.shares import chain, where_it_varies
from teamlink.mixed.trust import Finding

if TYPE_CHECKING:
    from teamlink.mixed.generalized.result import GeneralizedFit
    from teamlink.mixed.result import MixedFit

__all__ = ["simple_checks"]

_NONE = float("nan")
_FEW, _HARDLY = 10, 5
_PER_COEFFICIENT = 10
_NORMAL_FROM, _SATTERTHWAITE_FROM, _ROBUST_FROM = 50, 20, 40
_DF = 4.0
_DROPPED, _MANY_DROPPED = 0.05, 0.20
_VIF, _HIGH_VIF = 5.0, 10.0


def simple_checks(fit: MixedFit | GeneralizedFit) -> list[Finding]:
    """Run all checks of this module."""
    return [
        _converged(fit),
        _boundary(fit),
        *_groups(fit),
        _groups_per_coefficient(fit),
        _tests(fit),
        _dropped(fit),
        _rank(fit),
        _collinear(fit),
    ]


def _converged(fit: MixedFit | GeneralizedFit) -> Finding:
    record = fit.convergence
    if fit.converged:
        return Finding("convergence", "ok", record.decrement, "", "The optimum is an optimum.")
    return Finding(
        "convergence",
        "problem",
        record.decrement,
        "deviance still to be won",
        f"The optimiser {record.message}.",
        "Rescale the predictors, leave out random slopes, or look for groups that decide alone.",
    )


def _boundary(fit: MixedFit | GeneralizedFit) -> Finding:
    if not fit.boundary:
        return Finding("boundary", "ok", _NONE, "", "All variances are inside their range.")
    table = fit.varcorr
    sd = table[table["term2"].isna()]
    zero = [
        f"{term} by {group}"
        for group, term, size in zip(sd["group"], sd["term1"], sd["sdcor"], strict=True)
        if size <= 1e-6 * fit.sigma and group != "Residual"
    ]
    what = (
        f"No variance is left for {', '.join(zero)}."
        if zero
        else "A correlation of random effects is one, or a combination of them has no variance."
    )
    return Finding(
        "boundary",
        "note",
        float(len(zero)),
        "",
        f"{what} The fit is valid; its tests take the variance as known to be zero.",
        "Keep it, leave the term out, or set tl.compare against the fit without it.",
    )


def _groups(fit: MixedFit | GeneralizedFit) -> list[Finding]:
    found = []
    for name, J in fit.ngroups.items():
        check, threshold = f"groups: {name}", f"under {_FEW}"
        if J >= _FEW:
            found.append(Finding(check, "ok", J, threshold, f"{J} groups."))
            continue
        found.append(
            Finding(
                check,
                "problem" if J < _HARDLY else "caution",
                J,
                threshold,
                f"{J} groups hardly say how much groups differ.",
                f"Take {name!r} as fixed indicators, or give the variance's profile interval "
                "(tl.profile) and Kenward-Roger tests.",
            )
        )
    return found


def _groups_per_coefficient(fit: MixedFit | GeneralizedFit) -> Finding:
    """Groups a coefficient of a predictor that is constant within them."""
    check = "groups a group-level coefficient"
    if not fit.ngroups:
        return Finding(check, "not checked", _NONE, "", "There are no random effects.")
    nested = chain(fit.model.design.factors)
    if nested is None:
        return Finding(check, "not checked", _NONE, "", "Groups are crossed or memberships.")
    share = where_it_varies(nested, fit.model.fixed_columns)
    worst, name, count = np.inf, "", 0
    for k, factor in enumerate(nested):
        # Those that vary at this level or above, and not below: they are told by these groups.
        own = int(((share[: k + 1] == 0).all(axis=0) & (share[k + 1] > 0)).sum())
        if own and factor.n_groups / own < worst:
            worst, name, count = factor.n_groups / own, factor.name, own
    if not name:
        return Finding(check, "ok", _NONE, "", "There is no group-level predictor.")
    threshold = f"under {_PER_COEFFICIENT}"
    if worst >= _PER_COEFFICIENT:
        return Finding(check, "ok", worst, threshold, f"{worst:.0f} groups of {name} each.")
    return Finding(
        check,
        "caution",
        worst,
        threshold,
        f"{count} coefficients of {name}-level predictors rest on {fit.ngroups[name]} groups.",
        "Leave predictors out, or read the intervals and not the p values.",
    )


def _tests(fit: MixedFit | GeneralizedFit) -> Finding:
    method, J = fit.estimates.method, min(fit.ngroups.values(), default=fit.nobs)
    smallest = float(fit.estimates.df[0].min(initial=np.inf))
    words = method_words(method)
    check, better = "tests", "tl.small_sample(fit, 'kenward-roger')"
    if isinstance(fit.model, CorrelatedMixed):
        better = "tl.bootstrap(fit)"
    if method in ("normal", "residual") and J < _NORMAL_FROM:
        says = f"{words} with {J} groups: group-level effects get p values that are too small."
        return Finding(check, "caution", J, f"under {_NORMAL_FROM} groups", says, f"Use {better}.")
    if method in ("CR0", "CR1", "CR1S") and J < _ROBUST_FROM:
        says = f"{method} with {J} groups has standard errors that are too small."
        advice = "Use tl.robust(fit, 'CR2')."
        return Finding(check, "caution", J, f"under {_ROBUST_FROM} groups", says, advice)
    if smallest < _DF:
        says = f"A test has {smallest:.1f} degrees of freedom; its p value leans on normality."
        return Finding(check, "caution", smallest, f"under {_DF:g} df", says, "Read the interval.")
    if method == "satterthwaite" and J < _SATTERTHWAITE_FROM:
        says = f"Satterthwaite's method with {J} groups leaves standard errors a little too small."
        threshold = f"under {_SATTERTHWAITE_FROM} groups"
        return Finding(check, "note", J, threshold, says, f"{better} mends that, for a REML fit.")
    return Finding(check, "ok", smallest, f"under {_DF:g} df", f"{words.capitalize()}.")


def _dropped(fit: MixedFit | GeneralizedFit) -> Finding:
    check, threshold = "rows left out", f"{_DROPPED:.0%} of the rows"
    gone = sum(fit.dropped.values())
    share = gone / (gone + fit.nobs)
    if not gone:
        return Finding(check, "ok", 0, threshold, "No row was left out.")
    columns = ", ".join(f"{count} for {name}" for name, count in fit.dropped.items())
    status = "note" if share < _DROPPED else "caution" if share < _MANY_DROPPED else "problem"
    return Finding(
        check,
        status,
        share,
        threshold,
        f"{gone} rows ({share:.1%}) have missing values: {columns}.",
        "Say so. The estimates hold for all rows only if what is missing does not depend on the "
        "response, given the predictors."
        + (" Impute, or compare who is missing." if status != "note" else ""),
    )


def _rank(fit: MixedFit | GeneralizedFit) -> Finding:
    gone = fit.aliased
    if not gone:
        return Finding("rank", "ok", 0, "1 column", "No predictor follows from the others.")
    return Finding(
        "rank",
        "caution",
        len(gone),
        "1 column",
        f"Left out, as the other columns determine them: {', '.join(gone)}.",
        "Decide yourself which predictor to leave out: the other coefficients depend on it.",
    )


def _collinear(fit: MixedFit | GeneralizedFit) -> Finding:
    table = collinearity(fit).terms
    check, threshold = "collinearity", f"VIF {_VIF:g}"
    if not len(table):
        return Finding(check, "ok", _NONE, threshold, "There is no predictor.")
    # For several columns of a term the square of the factor is on the scale of an ordinary VIF.
    vif = table["se_factor"] ** 2
    worst = float(vif.max())
    if worst < _VIF:
        return Finding(check, "ok", worst, threshold, "Predictors are told apart.")
    named = [str(name) for name in vif.index[vif >= _VIF]]
    product = any(":" in name for name in named)
    return Finding(
        check,
        "caution" if worst >= _HIGH_VIF else "note",
        worst,
        threshold,
        f"Overlapping: {', '.join(named)}. Standard errors are up to {worst**0.5:.1f} times those "
        "without overlap.",
        "A product overlaps with its parts: centre these and look again."
        if product
        else "Their sum is known better than each: test them jointly (tl.test), or leave one out.",
    )
