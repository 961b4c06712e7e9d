"""How much of what groups differ by is real: reliability and intraclass correlation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from teamlink.mixed.factor import Factor, lies_within
from teamlink.mixed.result import MixedFit
from teamlink.typing import Array

__all__ = ["icc", "reliability"]


def reliability(fit: MixedFit) -> pd.DataFrame:
    """Reliability of each random coefficient's least-squares estimate, averaged over groups.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    DataFrame
        Indexed by term (by group and term where there are several grouping factors):
        ``reliability`` and ``groups``, the number of groups it averages over.

    Notes
    -----
    For coefficient q and group j it is ``tau_qq / (tau_qq + v_qqj)`` with ``v_j`` the diagonal of
    ``sigma^2 (Z_j'Z_j)^-1``, the sampling variance of the group's own least-squares estimate
    [1]_. A group too small for an estimate of its own (Z_j short of rank) does not enter, as in
    HLM; ``groups`` counts those that do.

    With several grouping factors, or rows in several groups, a group has no least-squares estimate
    of its own. Then it is the share of the effect's variance that the data resolve,
    ``1 - var(b_qj | y) / tau_qq``, averaged over all groups, fixed effects known; for one factor
    with an intercept alone the two are the same number.

    References
    ----------
    .. [1] Raudenbush, Bryk (2002). Hierarchical linear models, 2nd ed., equation 3.58. Sage.

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ 1 + (1 | school)", tl.datasets.load("hsb82"))
    >>> tl.reliability(fit).round(4)
               reliability  groups
    Intercept       0.9014     160
    """
    design = fit.independent("reliability").design
    tau = fit.sigma**2 * np.diag(fit.Lambda @ fit.Lambda.T)
    if len(design.factors) > 1 or design.factors[0].membership is not None:
        return _resolved(fit, tau)
    v, usable = _sampling_variance(fit)
    if not usable.any():
        share = np.full(len(tau), np.nan)
    else:
        total = tau[:, None] + v[:, usable]
        share = np.where(total > 0, tau[:, None] / np.where(total > 0, total, 1.0), 0.0).mean(
            axis=1
        )
    return pd.DataFrame(
        {"reliability": share, "groups": int(usable.sum())},
        index=pd.Index(design.factors[0].names),
    )


def _resolved(fit: MixedFit, tau: Array) -> pd.DataFrame:
    """The share of each effect's variance tau (Q,) that the data resolve."""
    design, structure = fit.model.design, fit.model.structure
    share, groups = np.zeros(len(tau)), np.zeros(len(tau), dtype=int)
    for factor, place, effects in zip(
        design.factors, structure.factors, fit.random_effects, strict=True
    ):
        left = np.einsum("jaa->a", effects.covariance) / factor.n_groups
        alive = tau[place] > 0
        share[place] = np.where(alive, 1 - left / np.where(alive, tau[place], 1.0), 0.0)
        groups[place] = factor.n_groups
    index = pd.MultiIndex.from_tuples(design.effects, names=["group", "term"])
    return pd.DataFrame({"reliability": share, "groups": groups}, index=index)


def _sampling_variance(fit: MixedFit) -> tuple[Array, Any]:
    """Diagonal (q, J) of sigma^2 (Z_j'Z_j)^-1 in units of the data, and which groups have it."""
    model = fit.independent("reliability")
    S, T = model.roots.S, model.random.T
    usable = np.all(np.einsum("aaj->aj", S) > 0, axis=0)
    v = np.full((S.shape[0], S.shape[2]), np.nan)
    if usable.any():
        # (Z'Z)^-1 = T S^-T S^-1 T' in the units of the data
        root = np.linalg.solve(
            S[:, :, usable].transpose(2, 0, 1), np.broadcast_to(T.T, (int(usable.sum()), *T.shape))
        )
        v[:, usable] = fit.sigma**2 * np.square(root).sum(axis=1).T
    return v, usable


def icc(fit: MixedFit) -> pd.DataFrame:
    """Intraclass correlation: the share of the variance, fixed effects given, between groups.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    DataFrame
        Indexed by grouping factor: ``variance`` (mean variance due to its random effects),
        ``residual``, ``icc``, its share of the sum of all variances, and ``cumulative``.

    Notes
    -----
    With a random intercept alone it is ``tau / (tau + sigma^2)``: unconditional for a model without
    predictors, else conditional on them. With random slopes the variance between groups
    depends on the predictors; the mean over the rows, ``trace(Z Sigma Z') / n``, is used [1]_.
    Where a row belongs to several groups, its variance is multiplied by the sum of its squared
    weights.

    With several factors ``icc`` is the variance partition coefficient: the factor's part of
    the variance of a response. ``cumulative`` adds the parts of all factors that it lies within
    (``district`` for ``district:school``): with intercepts alone, the correlation of two responses
    that share a group of this factor and, besides those, no group of any other [2]_.

    In R: ``performance::icc(fit)$ICC_adjusted``.

    References
    ----------
    .. [1] Johnson (2014). Extension of Nakagawa & Schielzeth's R2. Methods in Ecology and
       Evolution 5. doi:10.1111/2041-210X.12225
    .. [2] Snijders, Bosker (2012). Multilevel analysis, 2nd ed., section 4.9. Sage.

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ 1 + (1 | school)", tl.datasets.load("hsb82"))
    >>> tl.icc(fit).round(4)
            variance  residual     icc  cumulative
    school     8.614   39.1483  0.1804      0.1804
    """
    factors = fit.unweighted("icc").design.factors
    Sigma = fit.sigma**2 * fit.Lambda @ fit.Lambda.T
    variance = np.array(
        [
            _mean_variance(factor, Sigma[place, place])
            for factor, place in zip(factors, fit.model.structure.factors, strict=True)
        ]
    )
    residual = fit.sigma**2
    total = variance.sum() + residual
    above = np.array([[one is two or lies_within(one, two) for two in factors] for one in factors])
    return pd.DataFrame(
        {
            "variance": variance,
            "residual": residual,
            "icc": variance / total,
            "cumulative": above @ variance / total,
        },
        index=pd.Index([factor.name for factor in factors]),
    )


def _mean_variance(factor: Factor, Sigma: Array) -> float:
    """Mean over the rows of the variance due to a factor's random effects."""
    Z = factor.Z
    if factor.membership is not None:
        Z = Z * np.sqrt(np.asarray(factor.membership.power(2).sum(axis=1)))[:, None]
    return float(np.einsum("ab,ab->", Z.T @ Z, Sigma)) / len(Z)
