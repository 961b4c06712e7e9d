"""Where the search for a generalized mixed model begins: the model without its random effects.

The coefficients come from Fisher scoring of the generalized linear model, the family's own
parameters and the variances from moments of what it leaves over: in group j an effect with column z
has the score ``g_j = sum_i z_i s_i``, whose expected square is ``I_j + sigma^2 I_j^2`` to first
order, ``I_j = sum_i z_i^2 w_i`` being its information.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logit, ndtri

from teamlink.mixed.generalized.families import Family, Observed
from teamlink.mixed.generalized.integrand import Grouped
from teamlink.mixed.generalized.log_mean import GaussianLog, NegativeBinomial
from teamlink.mixed.generalized.ordinal import Cumulative
from teamlink.typing import Array

__all__ = ["given_effects", "glm_start", "moment_deviations"]

_STEPS = 12
_SMALLEST, _LARGEST = 0.1, 3.0
"""Standard deviations of standardised effects that a search begins from."""


def _first_predictor(family: Family, data: Observed) -> Array:
    """Linear predictors (R, n) that follow the data a little."""
    y, m = data.y, data.trials
    if family.name == "binomial":
        share = (y + 0.5) / (m + 1)
        return np.asarray(logit(share) if family.link == "logit" else ndtri(share), dtype=float)
    if isinstance(family, GaussianLog):
        floor = 0.1 * np.abs(y).mean(axis=1, keepdims=True)
        y = np.maximum(y, floor) - 0.5
    first: Array = np.zeros_like(y) if family.name == "ordinal" else np.log(y + 0.5)
    return first


def _first_own(family: Family, data: Observed) -> Array:
    """Free parameters (R, P) of the family to begin with."""
    R = len(data.y)
    if isinstance(family, GaussianLog):
        spread: Array = np.log(data.y.std(axis=1))[:, None]
        return spread
    if isinstance(family, Cumulative):
        C = family.categories
        share = np.stack([(data.y <= c).mean(axis=1) for c in range(C - 1)], axis=1)
        share = np.clip(share, 0.5 / data.y.shape[1], 1 - 0.5 / data.y.shape[1])
        share = np.maximum.accumulate(share + 1e-6 * np.arange(C - 1), axis=1)
        cuts = np.asarray(logit(share) if family.link == "logit" else ndtri(share), dtype=float)
        return family.free(cuts)
    return np.full((R, family.size), 0.5)


def _own_by_moments(family: Family, data: Observed, eta: Array, free: Array) -> Array:
    """The family's own parameters from the residuals of the model without random effects."""
    if isinstance(family, NegativeBinomial):
        mu = family.mean(eta)
        extra = (np.square(data.y - mu) - mu).sum(axis=1) / np.square(mu).sum(axis=1)
        root: Array = np.sqrt(np.clip(0.5 * extra, 0.01, 4.0))[:, None]
        return root
    if isinstance(family, GaussianLog):
        rest = np.square(data.y - family.mean(eta)).mean(axis=1)
        log_sigma: Array = 0.5 * np.log(np.maximum(0.5 * rest, 1e-300))[:, None]
        return log_sigma
    return free


def glm_start(family: Family, data: Observed, offset: Array, Q: Array) -> tuple[Array, Array]:
    """Working coefficients (R, p) and free parameters (R, P) without random effects.

    Parameters
    ----------
    family : Family
    data : responses of R replicates
    offset : (n,)
    Q : (n, p) working columns
    """
    n, p = Q.shape
    free = _first_own(family, data)
    beta = (_first_predictor(family, data) - offset) @ Q / n
    if family.name == "ordinal":
        beta = np.zeros_like(beta)
    natural = family.natural(free).T[:, :, None]
    value = np.full(len(beta), -np.inf)
    step = np.zeros_like(beta)
    for _ in range(_STEPS):
        for _ in range(20):
            with np.errstate(over="ignore", invalid="ignore"):
                terms = family.terms(offset + (beta + step) @ Q.T, data, natural)
            there = terms.value.sum(axis=1)
            worse = ~(there >= value - 1e-9 * (1 + np.abs(value)))
            if not worse.any():
                break
            step[worse] *= 0.5
        beta = beta + step
        if (there - value < 1e-6).all():
            break
        value = there
        w = np.maximum(terms.weight, 1e-6 * np.abs(terms.weight).max(axis=1, keepdims=True))
        information = np.stack([Q.T @ (Q * row[:, None]) for row in w])
        if not np.isfinite(information).all():
            break
        information += 1e-8 * np.trace(information, axis1=1, axis2=2)[:, None, None] * np.eye(p)
        step = np.linalg.solve(information, (terms.score @ Q)[:, :, None])[:, :, 0]
    return beta, _own_by_moments(family, data, offset + beta @ Q.T, free)


_LATENT = {"logit": 3 / np.pi**2, "probit": 1.0, "cloglog": 6 / np.pi**2}
"""One over the variance of the latent error that belongs to a link."""


def given_effects(
    family: Family, beta: Array, free: Array, spread: Array, Q: Array
) -> tuple[Array, Array]:
    """Coefficients (R, p) and own parameters (R, P) given the effects, from marginal ones.

    Effects of variance `spread` (R,) multiply an expected count by ``exp(spread / 2)``, which comes
    off the constant; where a latent response is cut they widen its error, and all coefficients and
    thresholds grow by the root of ``1 + spread / error variance`` [1]_.

    References
    ----------
    .. [1] Zeger, Liang, Albert (1988), doi:10.2307/2531734.
    """
    if family.link == "log":
        return beta - 0.5 * spread[:, None] * Q.mean(axis=0), free
    growth = np.sqrt(1 + _LATENT[family.link] * spread)[:, None]
    if isinstance(family, Cumulative):
        free = family.free(growth * family.natural(free))
    return growth * beta, free


def moment_deviations(rows: Grouped, score: Array, weight: Array) -> tuple[Array, Array]:
    """Standard deviations (R, q) of one factor's working effects, by moments and at even odds.

    Parameters
    ----------
    rows : the factor
    score, weight : (R, n) of the model without random effects
    """
    J = len(rows.starts)
    by_moments, even = [], []
    for a in range(rows.q):
        z = np.ones(len(rows.codes)) if rows.Z is None else rows.Z[a]
        g = np.stack([np.bincount(rows.codes, line, J) for line in score * z])
        info = np.stack([np.bincount(rows.codes, line, J) for line in weight * z * z])
        excess = (g * g - info).sum(axis=1) / np.maximum(np.square(info).sum(axis=1), 1e-300)
        by_moments.append(np.sqrt(np.maximum(1.3 * excess, 0.0)))
        even.append(1 / np.sqrt(np.maximum(info.mean(axis=1), 1e-300)))
    limits = (_SMALLEST, _LARGEST)
    return (
        np.clip(np.stack(by_moments, axis=1), *limits),
        np.clip(np.stack(even, axis=1), *limits),
    )
