r"""The likelihood of a two-level model with random intercepts, from sums over clusters of a size.

The model is that of `levels`; no value is missing. Of S distinct sizes n_s, each of J_s clusters,
``d_s`` is the mean and ``Y_s`` the second moment of (z_j, ybar_j) about their means. Given z,

    R_s = [-B, I] Y_s [-B, I]'              Sigma_s = Sigma_w + n_s T

    deviance = sum_s J_s { log|Sigma_s| + n_s tr(Sigma_s^-1 R_s) }
             + (N - J) log|Sigma_w| + tr(Sigma_w^-1 W) + N p log 2 pi + (that of z).

One Cholesky and one eigendecomposition serve every size: with ``M Sigma_w M' = I`` and
``M T M' = diag(d)``, each ``M Sigma_s M' = diag(1 + n_s d)``. The cost depends on the number of
distinct sizes alone. T may be singular or indefinite: what is asked is ``1 + n_s d_k > 0``.

Derivatives are taken in that basis, where the Hessian is a few tensors of order three.
Replicates R are the leading axis, directions K the next; g = 1 / (1 + n_s d).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from teamlink.moments.clusters import SizeMoments
from teamlink.moments.covariances import PatternMoments
from teamlink.structural.fiml import NormalPoint, normal_curvature, normal_point
from teamlink.structural.inverses import roots, symmetric
from teamlink.structural.levels import (
    Conditional,
    LevelMoments,
    carry_back,
    condition,
    directions,
    second_order,
)
from teamlink.typing import Array, Mask

__all__ = ["TwoLevelPoint", "cluster_variables", "two_level_hessian", "two_level_point"]


@dataclass(frozen=True, slots=True)
class TwoLevelPoint:
    """The deviance at one set of moments a replicate, its gradient, and what the Hessian needs.

    Attributes
    ----------
    deviance : (R,) infinite outside the space of valid moments
    gradient : LevelMoments, d deviance = sum over all entries of gradient * d moments
    given : Conditional on z
    z : the deviance of the cluster's own variables
    M : (R, p, p) basis in which every covariance is diagonal
    g : (R, S, p) inverse variances there
    weight : (R, S) number of clusters of each size
    sizes : (S,)
    R : (R, S, p, p) residual second moments in the basis
    E : (R, S, p, 1 + q) moments of residuals with (1, z - mu_z), in the basis
    Z : (R, S, 1 + q, 1 + q) second moments of (1, z - mu_z)
    within : (R, p, p) cross-products within, in the basis
    inside : (R,) rows less clusters
    """

    deviance: Array
    gradient: LevelMoments
    given: Conditional
    z: NormalPoint
    M: Array
    g: Array
    weight: Array
    sizes: Array
    R: Array
    E: Array
    Z: Array
    within: Array
    inside: Array


def two_level_point(stats: SizeMoments, moments: LevelMoments) -> TwoLevelPoint:
    """Evaluate the deviance and its gradient in the implied moments.

    Parameters
    ----------
    stats : SizeMoments of R replicates, or of one that serves every point
    moments : LevelMoments (R,) without slopes

    Returns
    -------
    TwoLevelPoint
    """
    q, p = stats.q, moments.Sigma_w.shape[-1]
    given = condition(moments, np.ones((min(q, 1), q), dtype=bool))
    z = normal_point(cluster_variables(stats), moments.mu_z, moments.Sigma_zz)
    M, D, log_w, failed = _basis(moments.Sigma_w, given.T[:, 0])
    variance = 1 + stats.sizes[:, None] * D[:, None]
    bad = failed | ~given.valid | (variance <= 0).any(axis=(1, 2))
    variance = np.where(bad[:, None, None], 1.0, variance)
    R, E, Z = _residual_moments(stats, moments, given.B[:, 0], M)
    within = M @ stats.within @ M.swapaxes(-1, -2)
    inside = stats.rows - stats.clusters
    g, weight = 1 / variance, stats.count
    spread = np.log(variance) + stats.sizes[:, None] * g * np.diagonal(R, axis1=-2, axis2=-1)
    deviance = (
        z.deviance
        + stats.rows * (log_w + p * np.log(2 * np.pi))
        + np.trace(within, axis1=-2, axis2=-1)
        + (weight[..., None] * spread).sum(axis=(1, 2))
    )
    point = TwoLevelPoint(
        np.where(bad, np.inf, deviance), moments, given, z, M, g,
        np.broadcast_to(weight, g.shape[:2]), stats.sizes, R, E, Z, within,
        np.broadcast_to(inside, (len(g),)),
    )  # fmt: skip
    return _with_gradient(point)


def cluster_variables(stats: SizeMoments) -> PatternMoments:
    """The moments of z over all clusters."""
    q = stats.q
    J = stats.clusters
    share = stats.count / J[:, None]
    mean = (share[..., None] * stats.mean[..., :q]).sum(axis=1)
    about = stats.mean[..., :q] - mean[:, None]
    spread = stats.cov[..., :q, :q] + about[..., :, None] * about[..., None, :]
    cov = (share[..., None, None] * spread).sum(axis=1)
    observed = np.ones((min(q, 1), q), dtype=bool)
    n = np.repeat(J[:, None], min(q, 1), axis=1)
    if not q:
        return PatternMoments(observed, n, np.zeros((len(J), 0, 0)), np.zeros((len(J), 0, 0, 0)))
    return PatternMoments(observed, n, mean[:, None], cov[:, None])


def _basis(Sigma_w: Array, T: Array) -> tuple[Array, Array, Array, Mask]:
    """M with M Sigma_w M' = I and M T M' = diag(D); D, log|Sigma_w|, and which failed."""
    L, failed = roots(Sigma_w)
    inverse = np.linalg.inv(L)
    inner = symmetric(inverse @ T @ inverse.swapaxes(-1, -2))
    failed = failed | ~np.isfinite(inner).all(axis=(-1, -2))
    D, U = np.linalg.eigh(np.where(failed[:, None, None], 0.0, inner))
    log_det = 2 * np.log(np.diagonal(L, axis1=-2, axis2=-1)).sum(axis=-1)
    return U.swapaxes(-1, -2) @ inverse, D, log_det, failed


def _residual_moments(
    stats: SizeMoments, moments: LevelMoments, B: Array, M: Array
) -> tuple[Array, Array, Array]:
    """Second moments of the residuals given z, of them with (1, z - mu_z), and of the latter."""
    q = stats.q
    d = stats.mean - np.concatenate([moments.mu_z, moments.mu], axis=1)[:, None]
    Y = stats.cov + d[..., :, None] * d[..., None, :]
    B, M = B[:, None], M[:, None]
    d_z = d[..., :q]
    r = M @ (d[..., q:] - (B @ d_z[..., None])[..., 0])[..., None]
    with_z = M @ (Y[..., q:, :q] - B @ Y[..., :q, :q])
    own = M @ (Y[..., q:, q:] - B @ Y[..., :q, q:]) @ M.swapaxes(-1, -2)
    R = own - with_z @ (M @ B).swapaxes(-1, -2)
    Z = np.ones((*d.shape[:2], 1 + q, 1 + q))
    Z[..., 0, 1:] = Z[..., 1:, 0] = d_z
    Z[..., 1:, 1:] = Y[..., :q, :q]
    return symmetric(R), np.concatenate([r, with_z], axis=-1), Z


def _gradient_given_z(point: TwoLevelPoint) -> tuple[Array, Array, Array]:
    """Gradients in Sigma_w (R, p, p), T (R, p, p) and [c, B] (R, p, 1 + q)."""
    g, n = point.g, point.sizes
    outer = g[..., :, None] * g[..., None, :]
    H = g[..., None] * np.eye(g.shape[-1]) - n[:, None, None] * outer * point.R
    H = point.weight[..., None, None] * H
    T = (n[:, None, None] * H).sum(axis=1)
    inside = point.inside[:, None, None] * np.eye(g.shape[-1])
    w = H.sum(axis=1) + inside - point.within
    effects = -2 * ((point.weight * n)[..., None, None] * g[..., None] * point.E).sum(axis=1)
    M, transposed = point.M, point.M.swapaxes(-1, -2)
    return transposed @ w @ M, transposed @ T @ M, transposed @ effects


def _with_gradient(point: TwoLevelPoint) -> TwoLevelPoint:
    """The point with its gradient in the moments, where `gradient` held the moments."""
    w, T, effects = _gradient_given_z(point)
    given = _first(point.given)
    c, B = effects[..., 0], effects[..., 1:]
    mu, mu_z, b, bz, zz = carry_back(given, c[:, None], B[:, None], T[:, None])
    gradient = LevelMoments(
        mu, mu_z + point.z.mu, w, b, bz, zz + point.z.Sigma, point.gradient.slopes
    )
    return replace(point, gradient=gradient, given=given)


def _first(given: Conditional) -> Conditional:
    """The one pattern of a complete z."""
    return Conditional(given.X[:, :1], given.B[:, :1], given.T[:, :1], given.valid)


def two_level_hessian(point: TwoLevelPoint, ways: LevelMoments, expected: bool = False) -> Array:
    """The second derivative of the deviance along directions in the moments.

    Parameters
    ----------
    point : TwoLevelPoint
    ways : LevelMoments (R, K) of directions
    expected : the expectation under the model: twice the Fisher information

    Returns
    -------
    (R, K, K)

    Notes
    -----
    Where the moments are no linear functions of the parameters, the Hessian in the parameters has
    the gradient times their second derivatives besides.
    """
    given = point.given
    dc, dB, dT = (part[:, 0] for part in directions(given, ways))
    M, Mt = point.M[:, None], point.M.swapaxes(-1, -2)[:, None]
    Dw, DT = M @ ways.Sigma_w @ Mt, M @ dT @ Mt
    effects = M @ np.concatenate([dc[..., None], dB], axis=-1)
    left_w, left_T = _covariance_part(point, Dw, DT, expected)
    hessian = _gram(left_w, Dw) + _gram(left_T, DT) + _effects_part(point, effects, expected)
    z = normal_curvature(point.z, expected).second(ways.mu_z, ways.Sigma_zz)
    if expected:
        return hessian + z
    for power, D in ((1, Dw), (2, DT)):
        cross = _gram(effects, _cross(point, D, power))
        hessian += cross + cross.swapaxes(-1, -2)
    _, T, E = _gradient_given_z(point)
    hessian += second_order(
        given, ways, dB[:, None], E[:, None, :, 0], E[:, None, :, 1:], T[:, None]
    )
    return hessian + z


def _gram(left: Array, right: Array) -> Array:
    """Inner products (R, K, K) of directions (R, K, ...)."""
    size = int(np.prod(left.shape[2:]))
    flat = right.reshape(*right.shape[:2], size)
    return left.reshape(*left.shape[:2], size) @ flat.swapaxes(-1, -2)


def _covariance_part(
    point: TwoLevelPoint, Dw: Array, DT: Array, expected: bool
) -> tuple[Array, Array]:
    """What is to be multiplied with Dw and with DT, each (R, K, p, p)."""
    zero, one, two = (_turned(point, D, k, expected) for D, k in ((Dw, 0), (Dw, 1), (DT, 2)))
    inside = point.inside[:, None, None, None]
    within = point.within[:, None]
    own = inside * Dw if expected else within @ Dw + Dw @ within - inside * Dw
    return zero + _turned(point, DT, 1, expected) + own, one + two


def _turned(point: TwoLevelPoint, D: Array, power: int, expected: bool) -> Array:
    """Sum over sizes of n^power times the second derivative of the normal part, applied to D.

    tr(g D g E) needs sum_s J_s n^power g_a g_b, and tr(g D g R g E) a tensor of order three.
    """
    scale = point.weight * point.sizes**power
    g = point.g
    pairs = (scale[..., None] * g).swapaxes(-1, -2) @ g
    if expected:
        return pairs[:, None] * D
    # middle[a, b, c] = sum_s J_s n^(power + 1) g_a g_b R_bc g_c
    R, S, p = g.shape
    whitened = g[..., :, None] * g[..., None, :] * point.R
    weighted = (scale * point.sizes)[..., None] * g
    middle = weighted.swapaxes(-1, -2) @ whitened.reshape(len(whitened), S, p * p)
    # out[k, a, c] = sum_b D[k, a, b] middle[a, b, c]
    rows = D.swapaxes(1, 2) @ middle.reshape(R, p, p, p)
    out = rows.swapaxes(1, 2)
    return out + out.swapaxes(-1, -2) - pairs[:, None] * D


def _effects_part(point: TwoLevelPoint, effects: Array, expected: bool) -> Array:
    """The second derivative in (c, B) along directions (R, K, p, 1 + q)."""
    R, S, p = point.g.shape
    t = point.Z.shape[-1]
    scale = (point.weight * point.sizes)[..., None] * point.g
    Z = point.Z
    if expected:
        Z = np.zeros((R, S, t, t))
        Z[..., 0, 0] = 1.0
        Z[..., 1:, 1:] = _zz(point)[:, None]
    per_variable = scale.swapaxes(-1, -2) @ Z.reshape(len(Z), S, t * t)
    turned = effects.swapaxes(1, 2) @ per_variable.reshape(R, p, t, t)
    return 2 * _gram(turned.swapaxes(1, 2), effects)


def _zz(point: TwoLevelPoint) -> Array:
    """Sigma_zz, from its inverse."""
    return np.asarray(np.linalg.inv(point.given.X[:, 0]), dtype=np.float64)


def _cross(point: TwoLevelPoint, D: Array, power: int) -> Array:
    """2 sum_s J_s n^power g D g E, directions (R, K, p, p) to (R, K, p, 1 + q)."""
    g = point.g
    R, S, p = g.shape
    t = point.E.shape[-1]
    weighted = (point.weight * point.sizes**power)[..., None] * g
    inner = (g[..., None] * point.E).reshape(len(point.E), S, p * t)
    tensor = (weighted.swapaxes(-1, -2) @ inner).reshape(R, p, p, t)
    # out[k, a, t] = 2 sum_b D[k, a, b] tensor[a, b, t]
    return 2 * (D.swapaxes(1, 2) @ tensor).swapaxes(1, 2)
