r"""How far a group's estimated random effects lie from zero, in units of their own spread.

The empirical Bayes estimates b_j are shrunken, and vary less than the effects themselves: with
``var(b_j estimate - b_j)`` their error variance, fixed effects estimated,

    var(b_j estimate) = Sigma - cov_j - B_j var(beta) B_j',

and ``D_j = b_j'var(b_j estimate)^-1 b_j`` is chi-square with q degrees of freedom under the model.
The least-squares residuals of a group, with their own variance, have the same distance, as the
estimate is a linear map of them (Raudenbush and Bryk 2002, section 9; beta known).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from teamlink.mixed.criterion import fixed_part
from teamlink.mixed.model import LinearMixed
from teamlink.mixed.ranef import RandomEffects
from teamlink.typing import Array, Codes

if TYPE_CHECKING:
    from teamlink.mixed.generalized.result import GeneralizedFit
    from teamlink.mixed.result import MixedFit

__all__ = ["chi_square_order", "gls_covariance", "mahalanobis", "spread_of_estimates"]

_EMPTY = 1e-9
"""A direction whose estimates have so small a share of the effects' variance does not vary."""


def gls_covariance(fit: MixedFit | GeneralizedFit) -> Array:
    """(p, p) covariance of the fixed effects given the variances, whatever the fit's tests use."""
    if not isinstance(fit.model, LinearMixed):  # their tests never adjust the covariance
        plain: Array = fit.estimates.covariance[0]
        return plain
    theta = fit.working_theta[None]
    _, C = fixed_part(fit.model.evaluate(theta))
    K = fit.model.fixed.K
    covariance: Array = fit.model.sigma2(theta)[0] * K @ C[0] @ K.T
    return covariance


def spread_of_estimates(effects: RandomEffects, covariance: Array) -> Array:
    """(J, q, q) variance of the empirical Bayes estimates over samples.

    Parameters
    ----------
    effects : of one factor
    covariance : (p, p) of the fixed effects, given the variances
    """
    error = np.einsum("jap,pr,jbr->jab", effects.loading, covariance, effects.loading)
    spread: Array = effects.marginal - effects.covariance - error
    return (spread + spread.swapaxes(1, 2)) / 2


def mahalanobis(effects: RandomEffects, covariance: Array) -> tuple[Array, Codes]:
    """Distances (J,) and their degrees of freedom (J,): directions in which the estimates vary.

    Parameters
    ----------
    effects : of one factor
    covariance : (p, p) of the fixed effects, given the variances
    """
    size = np.sqrt(np.diag(effects.marginal))
    unit = np.where(size > 0, size, 1.0)
    spread = spread_of_estimates(effects, covariance) / (unit[:, None] * unit)
    w, U = np.linalg.eigh(spread)
    alive = w > _EMPTY
    along = np.einsum("jab,ja->jb", U, effects.values / unit)
    distance = np.where(alive, along**2 / np.where(alive, w, 1.0), 0.0).sum(axis=1)
    return distance, alive.sum(axis=1)


def chi_square_order(distance: Array, df: Codes) -> Array:
    """(J,) the chi-square quantile expected at each distance's rank, ``(rank - 1/2) / J``.

    Distances with fewer degrees of freedom are ranked by their p value; NaN where there are none.
    """
    order: Array = np.full(len(distance), np.nan)
    there = df > 0
    if there.any():
        share = np.asarray(stats.chi2.cdf(distance[there], df[there]))
        rank = np.argsort(np.argsort(share, kind="stable"), kind="stable") + 1
        order[there] = stats.chi2.ppf((rank - 0.5) / there.sum(), df[there])
    return order
