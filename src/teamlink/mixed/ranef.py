r"""Random effects of each group of each factor, and what prediction needs of them.

Given theta, the random effects of group j have conditional mean
``Sigma Z_j'V_j^-1 (y_j - X_j beta)`` and, beta known, conditional covariance

    sigma^2 Lambda (I + Lambda'Z_j'Z_j Lambda)^-1 Lambda'.

Because beta is estimated, the error of ``x'beta + z'b_j`` as an estimate of its true value is

    z'(error of b_j given beta) + (x - B_j'z)'(beta_hat - beta),    B_j = Sigma Z_j'V_j^-1 X_j,

two uncorrelated parts, whose variances add (Henderson's mixed-model equations).

References
----------
Robinson (1991), doi:10.1214/ss/1177011926.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, hstack

from teamlink.mixed.conditional import Conditional, conditional_effects, error_variance_of_parts
from teamlink.mixed.criterion import Criterion
from teamlink.mixed.factor import Factor
from teamlink.typing import Array

if TYPE_CHECKING:
    from teamlink.mixed.model import LinearMixed

__all__ = ["RandomEffects", "error_variance", "random_effects"]


@dataclass(frozen=True, slots=True)
class RandomEffects:
    """Random effects of one grouping factor, in the units of the data.

    Attributes
    ----------
    values : (J, q) conditional means (empirical Bayes residuals)
    covariance : (J, q, q) conditional covariance, fixed effects known
    loading : (J, q, p) B_j, how b_j falls as beta rises
    marginal : (q, q) covariance of the random effects of a new group
    """

    values: Array
    covariance: Array
    loading: Array
    marginal: Array


def random_effects(model: LinearMixed, theta: Array) -> tuple[RandomEffects, ...]:
    """Conditional means and covariances at the optimum, for each factor of the design.

    Parameters
    ----------
    model : LinearMixed with one response
    theta : (k,) working parameters
    """
    point = model.evaluate(theta[None])
    Lambda = model.structure.factor(theta)
    T, K, scale = model.random.T, model.fixed.K, model.response.scale[0]
    r, sigma2 = np.sqrt(point.r2[0]), model.sigma2(theta[None])[0]
    p = len(K)
    root = point.M_root[0, :p, :p]
    found: dict[int, RandomEffects] = {}
    for each in _conditional(model, point, Lambda):
        place = each.place
        back = T[place, place]
        Sigma = back @ Lambda[place, place] @ Lambda[place, place].T
        values = scale * r * each.N[:, :, p] @ Sigma.T
        h = each.N[:, :, :p] @ root.T  # undo the whitening: Z_j'V^-1 Q
        loading = Sigma @ h @ np.linalg.inv(K) if p else h
        covariance = sigma2 * back @ each.covariance @ back.T
        marginal = sigma2 * Sigma @ back.T
        found[place.start] = RandomEffects(values, covariance, loading, marginal)
    return tuple(found[place.start] for place in model.structure.factors)


def _conditional(model: LinearMixed, point: Criterion, Lambda: Array) -> tuple[Conditional, ...]:
    """Every factor's effects in units of sigma and the working basis."""
    if point.upper is not None:
        return conditional_effects(point, point.upper, model.roots)
    # F'Q: rows of Z_j'V_j^-1 [X, (y - X beta)] with [X y] whitened by the root of M
    N = np.einsum("caj,mcj->jam", point.F[0], point.Q[0])
    inner = np.einsum("ab,acj,dcj,de->jbe", Lambda, model.roots.S, model.roots.S, Lambda)
    inner += np.eye(len(Lambda))
    covariance = Lambda @ np.linalg.solve(inner, np.broadcast_to(Lambda.T, inner.shape))
    return (Conditional(slice(0, len(Lambda)), N, covariance),)


def error_variance(
    model: LinearMixed,
    theta: Array,
    X: Array,
    V: Array,
    rows: Sequence[Factor | None],
    effects: Sequence[RandomEffects],
    strangers: Sequence[Array],
) -> Array:
    """Error variance (m,) of the expected value of rows, that of their random effects included.

    Parameters
    ----------
    model : LinearMixed with one response
    theta : (k,) working parameters
    X : (m, p) fixed-effects columns
    V : (p, p) covariance of the fixed effects
    rows : each factor of the fit at the rows; None for one whose effects do not enter
    effects : of each factor
    strangers : (m,) for each factor, sum of the squared weights of groups that the fit has not seen
    """
    x = X
    variance = np.zeros(len(X))
    entering = [
        (factor, own, unseen)
        for factor, own, unseen in zip(rows, effects, strangers, strict=True)
        if factor is not None
    ] if effects else []  # fmt: skip
    for factor, own, unseen in entering:
        x = x - _of_rows(factor, own.loading)
        variance += unseen * np.einsum("iq,qr,ir->i", factor.Z, own.marginal, factor.Z)
    if model.roots.upper is None and entering:
        factor, own, _ = entering[0]
        codes = factor.only_codes
        error = np.einsum("iq,iqr,ir->i", factor.Z, own.covariance[codes], factor.Z)
        variance += np.where(codes >= 0, error, 0.0)
    elif entering:
        variance += model.sigma2(theta[None])[0] * _shared_error(model, theta, rows, len(X))
    variance += np.einsum("ip,pr,ir->i", x, V, x)
    return variance


def _of_rows(factor: Factor, loading: Array) -> Array:
    """(m, p) sum of z'B_j over the groups of each row."""
    total = np.zeros((len(factor.Z), loading.shape[2]))
    factor.add_to(total, loading)
    return total


def _shared_error(model: LinearMixed, theta: Array, rows: Sequence[Factor | None], m: int) -> Array:
    """Error variance (m,) of the random part in units of sigma^2, where rows tie groups."""
    point = model.evaluate(theta[None])
    upper = point.upper
    if upper is None:
        raise TypeError("one factor has no upper ones")
    J = model.roots.S.shape[2]
    Z, codes = np.zeros((m, point.F.shape[1])), np.zeros(m, dtype=np.intp)
    parts: dict[int, csr_array] = {}
    for f, factor in enumerate(rows):
        place = model.structure.factors[f]
        size = (place.stop - place.start) * model.design.factors[f].n_groups
        if J and place == upper.upper.bottom:
            if factor is not None:
                codes = factor.only_codes
                Z = np.where((codes >= 0)[:, None], model.random.columns(factor.Z, f), 0.0)
        elif factor is None:
            parts[place.start] = csr_array((m, size))
        else:
            parts[place.start] = factor.by_effect(model.random.columns(factor.Z, f))
    columns = hstack([parts[place.start] for place, _ in upper.upper.factors], format="csr")
    return error_variance_of_parts(upper, model.roots, Z, codes, csr_array(columns))
