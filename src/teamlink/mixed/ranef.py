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

from teamlink.errors import OptionError
from teamlink.mixed.design import sole_factor
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
    sole_factor(model.design, "random effects")
    point = model.evaluate(theta[None])
    Lambda = model.structure.factor(theta)
    T, K, scale = model.random.T, model.fixed.K, model.response.scale[0]
    Sigma = Lambda @ Lambda.T
    r = np.sqrt(point.r2[0])
    # F'Q: rows of Z_j'V_j^-1 [X, (y - X beta)] with [X y] whitened by the root of M
    N = np.einsum("caj,mcj->jam", point.F[0], point.Q[0])
    p = N.shape[2] - 1
    values = scale * r * N[:, :, p] @ (T @ Sigma).T
    root = point.M_root[0, :p, :p]
    h = N[:, :, :p] @ root.T  # undo the whitening: Z_j'V_j^-1 Q
    loading = (T @ Sigma) @ h @ np.linalg.inv(K) if p else h
    inner = np.einsum("ab,acj,dcj,de->jbe", Lambda, model.roots.S, model.roots.S, Lambda)
    inner += np.eye(len(Lambda))
    sigma2 = model.sigma2(theta[None])[0]
    factor = T @ Lambda
    covariance = sigma2 * factor @ np.linalg.solve(inner, np.broadcast_to(factor.T, inner.shape))
    return (RandomEffects(values, covariance, loading, sigma2 * factor @ factor.T),)


def error_variance(
    X: Array,
    V: Array,
    rows: Sequence[Factor | None],
    effects: Sequence[RandomEffects],
    strangers: Sequence[Array],
) -> Array:
    """Error variance (m,) of the expected value of rows, that of their random effects included.

    Parameters
    ----------
    X : (m, p) fixed-effects columns
    V : (p, p) covariance of the fixed effects
    rows : each factor of the fit at the rows; None for one whose effects do not enter
    effects : of each factor
    strangers : (m,) for each factor, sum of the squared weights of groups that the fit has not seen
    """
    entering = [f for f in range(len(rows)) if rows[f] is not None]
    if not entering:
        population: Array = np.einsum("ip,pr,ir->i", X, V, X)
        return population
    factor, own = rows[entering[0]], effects[entering[0]]
    if factor is None or factor.codes is None or len(rows) > 1:
        # The errors of two groups' effects in one row are correlated once rows tie groups together.
        raise OptionError("interval: not yet for a model with several groups a row")
    Z, codes = factor.Z, factor.codes
    seen = (codes >= 0)[:, None]
    x = X - np.where(seen, np.einsum("iq,iqp->ip", Z, own.loading[codes]), 0.0)
    error = np.einsum("iq,iqr,ir->i", Z, own.covariance[codes], Z)
    new = strangers[entering[0]] * np.einsum("iq,qr,ir->i", Z, own.marginal, Z)
    variance: Array = np.where(seen[:, 0], error, new) + np.einsum("ip,pr,ir->i", x, V, x)
    return variance
