r"""The normal likelihood of rows with missing values, and its derivatives.

The model: rows ``y_i ~ N(mu, Sigma)``, of which pattern P of the variables is observed (missing at
random). With ``W_P`` the inverse of the observed part of Sigma, zero elsewhere, and
``T_P = S_P + r_P r_P'``, ``r_P = ybar_P - mu``,

    deviance = sum_P n_P { p_P log 2 pi + log|Sigma_P| + tr(W_P T_P) }

    d deviance = tr(G dSigma) + g'dmu,
    G = sum_P n_P (W_P - W_P T_P W_P),      g = -2 sum_P n_P W_P r_P.

Complete data are one pattern. All is done for every pattern at once; nothing of length n is
touched. Replicates R (weightings, or points) are the leading axis, directions K the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teamlink.moments.covariances import PatternMoments, Patterns
from teamlink.structural.inverses import observed_inverses
from teamlink.typing import Array, Mask

__all__ = [
    "NormalCurvature",
    "NormalPoint",
    "normal_curvature",
    "normal_point",
    "pair_form",
    "row_scores",
]


@dataclass(frozen=True, slots=True)
class NormalPoint:
    """The deviance at one (mu, Sigma) a replicate, its gradient, and what the Hessian needs.

    Attributes
    ----------
    deviance : (R,) minus twice the log-likelihood; infinite where Sigma is not positive definite
    mu, Sigma : (R, p), (R, p, p) the gradient; Sigma's is symmetric, d deviance = sum(G * dSigma)
    n : (R, P) rows of each pattern
    W : (R, P, p, p) inverses of the observed parts
    r : (R, P, p) mean of each pattern less mu
    T : (R, P, p, p) second moments about mu
    """

    deviance: Array
    mu: Array
    Sigma: Array
    n: Array
    W: Array
    r: Array
    T: Array


@dataclass(frozen=True, slots=True)
class NormalCurvature:
    """The second derivative of the deviance in (mu, Sigma), as a form on pairs of directions.

    Attributes
    ----------
    pairs : (R, p, p, p, p) tensor Z with d2 = sum Z[i, l, j, k] D[j, k] E[l, i]
    cross : (R, p, p, p) tensor with d2 = sum cross[i, j, l] dmu[i] E[j, l]
    means : (R, p, p)
    """

    pairs: Array
    cross: Array
    means: Array

    def second(self, dmu: Array, dSigma: Array) -> Array:
        """The second derivative along directions, dmu (R, K, p) and dSigma (R, K, p, p): (R, K, K).

        Where mu and Sigma are no linear functions of a parameter, the Hessian in the parameters
        has the gradient times their second derivatives besides.
        """
        R, K, p = dmu.shape
        D = dSigma.reshape(R, K, p * p)
        left = D @ self.pairs.reshape(len(self.pairs), p * p, p * p).swapaxes(-1, -2)
        cross = dmu @ self.cross.reshape(len(self.cross), p, p * p) @ D.swapaxes(-1, -2)
        total: Array = left @ D.swapaxes(-1, -2) + cross + cross.swapaxes(-1, -2)
        return total + dmu @ self.means @ dmu.swapaxes(-1, -2)


def normal_point(moments: PatternMoments, mu: Array, Sigma: Array) -> NormalPoint:
    """Evaluate the deviance and its gradient in the implied moments.

    Parameters
    ----------
    moments : PatternMoments of R replicates, or of one that serves every point
    mu : (R, p)
    Sigma : (R, p, p)

    Returns
    -------
    NormalPoint
    """
    observed = moments.observed
    inverse = observed_inverses(Sigma, observed)
    W, n = inverse.W, moments.n
    r = np.where(observed, moments.mean - mu[:, None], 0.0)
    T = moments.cov + r[..., :, None] * r[..., None, :]
    fit = (W * T).sum(axis=(-1, -2))
    constant = np.log(2 * np.pi) * observed.sum(axis=1)
    # A pattern that a weighting leaves empty has moments zero and count zero: it adds nothing.
    deviance = (n * (constant + inverse.log_det + fit)).sum(axis=1)
    weighted = n[..., None, None] * W
    G = (weighted - weighted @ T @ W).sum(axis=1)
    g = -2 * (weighted @ r[..., None])[..., 0].sum(axis=1)
    return NormalPoint(
        np.where(inverse.valid, deviance, np.inf), g, G, np.broadcast_to(n, W.shape[:2]), W, r, T
    )


def normal_curvature(point: NormalPoint, expected: bool = False) -> NormalCurvature:
    """Second derivatives at a point.

    Parameters
    ----------
    point : NormalPoint
    expected : the expectation under the model, given the patterns: twice the information

    Returns
    -------
    NormalCurvature
    """
    R, P, p, _ = point.W.shape
    W = point.W
    weighted = point.n[..., None, None] * W
    other = W if expected else 2 * W @ point.T @ W - W
    means = 2 * weighted.sum(axis=1)
    if expected:
        cross = np.zeros((R, p, p, p))
    else:
        Wr = (W @ point.r[..., None])[..., 0]
        flat = weighted.reshape(R, P, p * p).swapaxes(1, 2) @ Wr
        cross = 2 * flat.reshape(R, p, p, p)
    return NormalCurvature(_pairs(weighted, other), cross, means)


def _pairs(A: Array, B: Array) -> Array:
    """The tensor Z[i, l, j, k] = sum_P A[i, j] B[k, l], with which tr(A D B E) is a contraction."""
    R, P, p, _ = A.shape
    product = A.reshape(R, P, p * p).swapaxes(1, 2) @ B.reshape(R, P, p * p)
    return product.reshape(R, p, p, p, p).transpose(0, 1, 4, 2, 3)


def pair_form(A: Array, B: Array, D: Array) -> Array:
    """Sum over P of tr(A_P D_k B_P D_l), for A, B (R, P, p, p) and D (R, K, p, p): (R, K, K)."""
    R, K, p, _ = D.shape
    flat = D.reshape(R, K, p * p)
    tensor = _pairs(A, B).reshape(len(A), p * p, p * p)
    form: Array = flat @ tensor.swapaxes(-1, -2) @ flat.swapaxes(-1, -2)
    return form


def row_scores(
    y: Array, patterns: Patterns, mu: Array, Sigma: Array, dmu: Array, dSigma: Array
) -> Array:
    """Derivative of each row's log-likelihood along directions.

    Parameters
    ----------
    y : (n, p), NaN where missing
    patterns : those of y
    mu, Sigma : (p,), (p, p)
    dmu, dSigma : (K, p), (K, p, p) derivatives of mu and Sigma in each parameter

    Returns
    -------
    (n, K)
        Scores of the log-likelihood (not of the deviance); a row with nothing observed has zeros.
    """
    n, p = y.shape
    K = len(dmu)
    scores = np.zeros((n, K))
    W = observed_inverses(Sigma[None], patterns.observed).W[0]
    for k, rows in enumerate(patterns.rows()):
        seen: Mask = patterns.observed[k]
        z = np.where(seen, y[rows] - mu, 0.0) @ W[k]
        trace = dSigma.reshape(K, -1) @ W[k].reshape(-1)
        products = (z[:, :, None] * z[:, None, :]).reshape(-1, p * p)
        scores[rows] = z @ dmu.T + 0.5 * (products @ dSigma.reshape(K, -1).T - trace)
    return scores
