r"""The likelihood of a two-level model cluster by cluster: missing values and random slopes.

The model is that of `levels`, and in row i of cluster j the effects ``eta_j`` (m) of the cluster,
its intercepts and then its slopes, act on y by ``H_i = [I, slopes * x_i]``. With ``W_P`` the padded
inverse of Sigma_w for pattern P, ``c_j`` and T the mean and covariance of eta_j given z, and

    A_j = sum_i H_i' W H_i,      h_j = sum_i H_i' W y_i,      K_j = I + T A_j,
    V_j = K_j^-1 T,              e_j = h_j - A_j eta_j,       eta_j = c_j + V_j (h_j - A_j c_j),

V_j and eta_j are the variance and mean of the cluster's effects given all that is observed, and

    deviance = sum_i { log|Sigma_P| + y_i' W y_i + p_P log 2 pi }
             + sum_j { log|K_j| - (h - A c)'V (h - A c) - 2 c'h + c'A c } + (that of z).

Its derivatives in (A, h, c, T) are V + eta eta', -2 eta, -2 e and A - A V A - e e', from which all
others follow. T may be singular or indefinite. A_j is a sum over patterns, h_j over cells: rows are
not touched. Replicates R are the leading axis, directions K the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from teamlink.moments.cells import ClusterCells
from teamlink.structural.fiml import NormalPoint, normal_curvature, normal_point, pair_form
from teamlink.structural.inverses import observed_inverses, symmetric
from teamlink.structural.levels import (
    Conditional,
    LevelMoments,
    carry_back,
    condition,
    directions,
    second_order,
)
from teamlink.typing import Array, Codes, Mask

__all__ = ["ClusterwisePoint", "cluster_parts", "clusterwise_hessian", "clusterwise_point"]

_BLOCK = 4_000_000
"""Numbers that a Hessian holds at a time."""


@dataclass(frozen=True, slots=True)
class ClusterwisePoint:
    """The deviance at one set of moments a replicate, its gradient, and what the Hessian needs.

    Attributes
    ----------
    deviance : (R,) infinite outside the space of valid moments
    gradient : LevelMoments (R,), d deviance = sum over all entries of gradient * d moments
    given : Conditional on z, a set a pattern
    z : the deviance of the cluster's own variables
    W : (R, P, p, p) padded inverses of Sigma_w
    L : (R, p, m) [I, slopes]
    n : (R, P) rows of each pattern
    A, V, Ki : (R, J, m, m) as above, and K_j^-1
    eta, e : (R, J, m) as above
    dz : (R, J, q) z less mu_z, zero where missing
    Sigma_zz : (R, q, q)
    M : (R, P, m, m) sum over rows of E(eta eta') d_i d_i', by the predictor of each effect
    N : (R, P, m, p) sum over rows of E(eta) d_i y_i', likewise
    Q : (R, P, p, p) expected residual cross-products
    """

    deviance: Array
    gradient: LevelMoments
    given: Conditional
    z: NormalPoint
    W: Array
    L: Array
    n: Array
    A: Array
    V: Array
    Ki: Array
    eta: Array
    e: Array
    dz: Array
    Sigma_zz: Array
    M: Array
    N: Array
    Q: Array


def clusterwise_point(cells: ClusterCells, moments: LevelMoments) -> ClusterwisePoint:
    """Evaluate the deviance and its gradient in the implied moments.

    Parameters
    ----------
    cells : ClusterCells of R weightings, or of one that serves every point
    moments : LevelMoments (R,)

    Returns
    -------
    ClusterwisePoint
    """
    R, p = len(moments.mu), len(cells.shift)
    given = condition(moments, cells.z_patterns.observed)
    z = normal_point(cells.cluster_variables(), moments.mu_z, moments.Sigma_zz)
    inverse = observed_inverses(moments.Sigma_w, cells.observed)
    L = np.concatenate([np.broadcast_to(np.eye(p), (R, p, p)), moments.slopes], axis=-1)
    WL = inverse.W @ L[:, None]
    A = _to_clusters(cells, L.swapaxes(-1, -2)[:, None] @ WL)
    h = _effects_sums(cells, WL)
    dz = np.where(np.isnan(cells.z), 0.0, cells.z - moments.mu_z[:, None])
    code = cells.z_patterns.codes
    c = moments.mu[:, None] + (given.B[:, code] @ dz[..., None])[..., 0]
    c[..., :p] -= cells.shift
    T = given.T[:, code]
    Ki, log_det, bad = _posterior(A, T, given.T)
    V = symmetric(Ki @ T)
    b = h - _times(A, c)
    eta = c + _times(V, b)
    e = h - _times(A, eta)
    own = log_det - (b * _times(V, b)).sum(axis=-1) - (c * (h + b)).sum(axis=-1)
    n, second = cells.counts(), cells.second_moments()
    constant = np.log(2 * np.pi) * cells.observed.sum(axis=1)
    deviance = (
        z.deviance
        + (n * (constant + inverse.log_det)).sum(axis=1)
        + (inverse.W * second).sum(axis=(1, 2, 3))
        + (cells.weights * own).sum(axis=1)
    )
    bad = bad | ~inverse.valid | ~given.valid | ~np.isfinite(deviance)
    M, N = _expectations(cells, V, eta)
    LN = L[:, None] @ N
    Q = second + L[:, None] @ M @ L.swapaxes(-1, -2)[:, None] - LN - LN.swapaxes(-1, -2)
    point = ClusterwisePoint(
        np.where(bad, np.inf, deviance), moments, given, z, inverse.W, L,
        np.broadcast_to(n, inverse.W.shape[:2]), A, V, Ki, eta, e, dz,
        moments.Sigma_zz, M, N, Q,
    )  # fmt: skip
    return _with_gradient(cells, point)


def _times(matrices: Array, vectors: Array) -> Array:
    """Matrices (..., m, m) times vectors (..., m)."""
    product: Array = (matrices @ vectors[..., None])[..., 0]
    return product


def _predictors(cells: ClusterCells, m: int) -> list[tuple[int, slice]]:
    """Which of (1, x) each run of effects belongs to."""
    p = len(cells.shift)
    runs = [(0, slice(0, p))]
    return runs + [(1 + k, slice(p + k, p + k + 1)) for k in range(m - p)]


def _to_clusters(cells: ClusterCells, patterns: Array) -> Array:
    """Sums over cells of gram * (..., P, m, m), by cluster: (..., J, m, m)."""
    *lead, P, m, _ = patterns.shape
    first = np.moveaxis(patterns, -3, 0)
    total = np.empty((len(cells.z), *lead, m, m))
    for a, rows in _predictors(cells, m):
        for b, columns in _predictors(cells, m):
            block = first[..., rows, columns]
            flat = block.reshape(P, int(np.prod(block.shape[1:])))
            summed = cells.by_cluster(cells.gram[:, a, b]) @ flat
            total[..., rows, columns] = summed.reshape(len(cells.z), *block.shape[1:])
    return np.moveaxis(total, 0, -3)


def _effects_sums(cells: ClusterCells, WL: Array) -> Array:
    """Sums over cells of WL' times cross, (..., P, p, m) to (..., J, m)."""
    *lead, P, p, m = WL.shape
    flat = WL.reshape(-1, P, p, m)
    each = np.empty((len(cells.pattern), len(flat), m))
    for k in range(P):
        here = slice(cells.starts[k], cells.starts[k + 1])
        for a, run in _predictors(cells, m):
            each[here, :, run] = (cells.cross[here, a] @ flat[:, k, :, run]).swapaxes(0, 1)
    adds = _adds(cells)
    summed = (adds @ each.reshape(len(each), len(flat) * m)).reshape(len(cells.z), *lead, m)
    return np.moveaxis(summed, 0, -2)


def _adds(cells: ClusterCells) -> csr_array:
    """The sparse matrix (J, C) that sums cells by cluster."""
    C = len(cells.cluster)
    return csr_array((np.ones(C), (cells.cluster, np.arange(C))), shape=(len(cells.z), C))


def _posterior(A: Array, T: Array, patterns: Array) -> tuple[Array, Array, Mask]:
    """K^-1 and log|K| of K = I + T A, (R, J, m, m) each, and where they are not valid (R,)."""
    m = A.shape[-1]
    K = np.eye(m) + T @ A
    bad = ~np.isfinite(K.sum(axis=(1, 2, 3)))
    K = np.where(bad[:, None, None, None], np.eye(m), K)
    least = np.linalg.eigvalsh(np.where(bad[:, None, None, None], 0.0, patterns))
    size = np.abs(least).max(axis=(1, 2), initial=0.0)
    # Only an indefinite T can make a cluster's covariance indefinite.
    for i in np.flatnonzero(least.min(axis=(1, 2), initial=0.0) < -1e-14 * size):
        w, U = np.linalg.eigh(A[i])
        root = U * np.sqrt(np.maximum(w, 0.0))[:, None]
        inner = np.eye(m) + root.swapaxes(-1, -2) @ T[i] @ root
        bad[i] |= bool(np.linalg.eigvalsh(symmetric(inner)).min(initial=1.0) <= 0)
    K = np.where(bad[:, None, None, None], np.eye(m), K)
    inverse = np.asarray(np.linalg.inv(K), dtype=np.float64)
    log_det: Array = np.linalg.slogdet(K)[1]
    return inverse, log_det, bad


def _expectations(cells: ClusterCells, V: Array, eta: Array) -> tuple[Array, Array]:
    """M and N of `ClusterwisePoint`."""
    R, _, m = eta.shape
    P, p = cells.observed.shape
    weights = cells.weights[..., None]
    moment = weights[..., None] * (V + eta[..., :, None] * eta[..., None, :])
    first = np.moveaxis(moment, 1, 0)
    M = np.empty((P, R, m, m))
    N = np.empty((R, P, m, p))
    weighted = weights * eta
    for a, rows in _predictors(cells, m):
        for b, columns in _predictors(cells, m):
            block = first[..., rows, columns]
            summed = cells.by_cluster(cells.gram[:, a, b]).T @ block.reshape(len(block), -1)
            M[..., rows, columns] = summed.reshape(P, *block.shape[1:])
        for k in range(P):
            here = slice(cells.starts[k], cells.starts[k + 1])
            effects = weighted[:, cells.cluster[here], rows].swapaxes(-1, -2)
            N[:, k, rows] = effects @ cells.cross[here, a]
    return np.moveaxis(M, 0, 1), N


def _given_z(cells: ClusterCells, point: ClusterwisePoint) -> tuple[Array, Array, Array]:
    """Gradients in c, B and T summed over the clusters of each pattern of z."""
    R, _, m = point.eta.shape
    Q, q = point.given.B.shape[1], point.dz.shape[-1]
    U = point.A - point.A @ point.V @ point.A
    S = U - point.e[..., :, None] * point.e[..., None, :]
    S = cells.weights[..., None, None] * S
    c = -2 * cells.weights[..., None] * point.e
    totals = np.zeros((R, Q, m)), np.zeros((R, Q, m, q)), np.zeros((R, Q, m, m))
    for k, members in _z_patterns(cells, Q):
        totals[0][:, k] = c[:, members].sum(axis=1)
        totals[1][:, k] = c[:, members].swapaxes(-1, -2) @ point.dz[:, members]
        totals[2][:, k] = symmetric(S[:, members].sum(axis=1))
    return totals


def _z_patterns(cells: ClusterCells, Q: int) -> Iterator[tuple[int, Codes]]:
    """The clusters of each pattern of z that has any; the last is that of nothing observed."""
    codes = np.where(cells.z_patterns.codes < 0, Q - 1, cells.z_patterns.codes)
    for k in range(Q):
        members = np.flatnonzero(codes == k)
        if members.size:
            yield k, members


def _with_gradient(cells: ClusterCells, point: ClusterwisePoint) -> ClusterwisePoint:
    """The point with its gradient in the moments, where `gradient` held the moments."""
    p = len(cells.shift)
    W = point.W
    mu, mu_z, b, bz, zz = carry_back(point.given, *_given_z(cells, point))
    w = (point.n[..., None, None] * W - W @ point.Q @ W).sum(axis=1)
    rest = point.L[:, None] @ point.M - point.N.swapaxes(-1, -2)
    slopes = 2 * (W @ rest).sum(axis=1)[..., p:]
    gradient = LevelMoments(mu, mu_z + point.z.mu, symmetric(w), b, bz, zz + point.z.Sigma, slopes)
    return replace(point, gradient=gradient)


def clusterwise_hessian(
    cells: ClusterCells, point: ClusterwisePoint, ways: LevelMoments, expected: bool = False
) -> Array:
    """The second derivative of the deviance along directions in the moments.

    Parameters
    ----------
    cells : those of `point`
    point : ClusterwisePoint
    ways : LevelMoments (R, K) of directions
    expected : the expectation under the model, given the patterns: twice the information; not for
        random slopes

    Returns
    -------
    (R, K, K)
    """
    dc, dB, dT = directions(point.given, ways)
    # Along directions the patterns are the third axis: (R, K, P, ...).
    W, L = point.W[:, None], point.L[:, None, None]
    D = ways.Sigma_w[:, :, None]
    dW = -W @ D @ W
    dL = np.zeros((*ways.Sigma_w.shape[:2], 1, *point.L.shape[1:]))
    dL[..., 0, :, len(cells.shift) :] = ways.slopes
    dWL = dW @ L + W @ dL
    half = dL.swapaxes(-1, -2) @ W @ L
    dLWL = L.swapaxes(-1, -2) @ dW @ L + half + half.swapaxes(-1, -2)
    R, K, _, _, m = dWL.shape
    if expected:
        total = _expected_pattern_part(cells, point, ways.Sigma_w)
    else:
        total = _pattern_part(point, ways.Sigma_w, dW, dL)
    step = max(1, _BLOCK // max(1, R * K * m * m))
    for k, members in _z_patterns(cells, dB.shape[1]):
        for start in range(0, len(members), step):
            some = members[start : start + step]
            part = cells.part(some)
            dA = _to_clusters(part, dLWL)
            if expected:
                total += _expected_cluster_part(
                    part.weights, point, some, dA, dc[:, k], dB[:, k], dT[:, k]
                )
                continue
            dh = _effects_sums(part, dWL)
            total += _cluster_part(
                part.weights, point, some, dA, dh,
                dc[:, k][:, :, None] + point.dz[:, None, some] @ dB[:, k].swapaxes(-1, -2),
                dT[:, k],
            )  # fmt: skip
    if not expected:
        total += second_order(point.given, ways, dB, *_given_z(cells, point))
    z = normal_curvature(point.z, expected).second(ways.mu_z, ways.Sigma_zz)
    return total + z


def _pattern_part(point: ClusterwisePoint, D: Array, dW: Array, dL: Array) -> Array:
    """Second derivatives of the padded inverses and of the slopes, the clusters' effects held."""
    W = point.W
    total = pair_form(W, 2 * W @ point.Q @ W - point.n[..., None, None] * W, D)
    if point.L.shape[-1] == W.shape[-1]:
        return total
    R, K = D.shape[:2]
    # Patterns are summed: sum_P W_P dL_a M_P dL_b', and dW_P,a (L M_P - N_P') dL_b'.
    turned = (W[:, None] @ dL @ point.M[:, None]).sum(axis=2).reshape(R, K, -1)
    rest = point.L[:, None] @ point.M - point.N.swapaxes(-1, -2)
    mixed = (dW @ rest[:, None]).sum(axis=2).reshape(R, K, -1)
    flat = dL.reshape(R, K, -1).swapaxes(-1, -2)
    cross = 2 * mixed @ flat
    total += 2 * turned @ flat + cross + cross.swapaxes(-1, -2)
    return total


def _cluster_part(
    weights: Array,
    point: ClusterwisePoint,
    some: Codes,
    dA: Array,
    dh: Array,
    dc: Array,
    dT: Array,
) -> Array:
    """Second derivatives in (A, h, c, T) of some clusters that share a pattern of z.

    dA (R, K, J, m, m), dh and dc (R, K, J, m), dT (R, K, m, m).
    """
    R, K, J, m, _ = dA.shape
    A, V, Ki = point.A[:, some], point.V[:, some], point.Ki[:, some]
    w = weights[..., None, None]
    U = A @ Ki
    alpha = dh - _times(dA, point.eta[:, None, some])
    # dT e for every direction and cluster: (R, K, m, m) times (R, J, m)
    beta = dc + point.e[:, None, some] @ dT.swapaxes(-1, -2)
    X = V[:, None] @ dA
    flat = X.reshape(R, K, J * m * m)
    turned = (w[:, None] * X).swapaxes(-1, -2).reshape(R, K, J * m * m)
    total = -(turned @ flat.swapaxes(-1, -2))
    through = (w[:, None] * (Ki.swapaxes(-1, -2)[:, None] @ dA @ Ki[:, None])).sum(axis=2)
    mixed = dT.reshape(R, K, m * m) @ through.reshape(R, K, m * m).swapaxes(-1, -2)
    steps = [
        (alpha, -2 * _times(w[:, None] * V[:, None], alpha)),
        (beta, 2 * _times(w[:, None] * U[:, None], beta)),
    ]
    for left, right in steps:
        total += left.reshape(R, K, J * m) @ right.reshape(R, K, J * m).swapaxes(-1, -2)
    onto = -2 * _times(w[:, None] * Ki[:, None], beta).reshape(R, K, J * m)
    mixed = mixed + alpha.reshape(R, K, J * m) @ onto.swapaxes(-1, -2)
    total += mixed + mixed.swapaxes(-1, -2)
    return total - pair_form(np.broadcast_to(w, U.shape) * U, U, dT)


def _expected_pattern_part(cells: ClusterCells, point: ClusterwisePoint, D: Array) -> Array:
    """tr(W D W D) over rows, less what the clusters' effects take up."""
    J, m = point.V.shape[1], point.V.shape[-1]
    weighted = (cells.weights[..., None, None] * point.V).swapaxes(0, 1).reshape(J, -1)
    V = cells.by_cluster(cells.gram[:, 0, 0]).T @ weighted
    M = np.moveaxis(V.reshape(len(V), -1, m, m), 0, 1)
    W = point.W
    return pair_form(W, point.n[..., None, None] * W - 2 * W @ M @ W, D)


def _expected_cluster_part(
    weights: Array, point: ClusterwisePoint, some: Codes, dA: Array, dc: Array, dB: Array, dT: Array
) -> Array:
    """The expectation of `_cluster_part`, the clusters' own variables being random too."""
    R, K, J, m, _ = dA.shape
    V, Ki = point.V[:, some], point.Ki[:, some]
    w = weights[..., None, None]
    U = point.A[:, some] @ Ki
    X = V[:, None] @ dA
    turned = (w[:, None] * X).swapaxes(-1, -2).reshape(R, K, J * m * m)
    total = turned @ X.reshape(R, K, J * m * m).swapaxes(-1, -2)
    through = (w[:, None] * (Ki.swapaxes(-1, -2)[:, None] @ dA @ Ki[:, None])).sum(axis=2)
    mixed = dT.reshape(R, K, m * m) @ through.reshape(R, K, m * m).swapaxes(-1, -2)
    total -= mixed + mixed.swapaxes(-1, -2)
    total += pair_form(np.broadcast_to(w, U.shape) * U, U, dT)
    summed = symmetric((w * U).sum(axis=1))
    total += 2 * dc @ summed @ dc.swapaxes(-1, -2)
    q = dB.shape[-1]
    spread = (summed[:, None] @ dB @ point.Sigma_zz[:, None]).reshape(R, K, m * q)
    return total + 2 * spread @ dB.reshape(R, K, m * q).swapaxes(-1, -2)


def cluster_parts(cells: ClusterCells, point: ClusterwisePoint, ways: LevelMoments) -> Array:
    """Derivatives (J, K) of each cluster's deviance given z, along directions; one replicate.

    Parameters
    ----------
    cells : those of `point`, one weighting
    point : ClusterwisePoint
    ways : LevelMoments (1, K)
    """
    dc, dB, dT = directions(point.given, ways)
    W, L, D = point.W[0], point.L[0], ways.Sigma_w[0][:, None]
    dW = -W @ D @ W
    dL = np.zeros((len(D), 1, *L.shape))
    dL[:, 0, :, len(cells.shift) :] = ways.slopes[0]
    dWL = dW @ L + W @ dL
    half = dL.swapaxes(-1, -2) @ W @ L
    dLWL = L.T @ dW @ L + half + half.swapaxes(-1, -2)
    code = cells.z_patterns.codes
    eta, e, V = point.eta[0], point.e[0], point.V[0]
    second = V + eta[:, :, None] * eta[:, None, :]
    U = point.A[0] - point.A[0] @ V @ point.A[0] - e[:, :, None] * e[:, None, :]
    moved = np.einsum("jab,kjab->jk", second, _to_clusters(cells, dLWL))
    moved -= 2 * np.einsum("ja,kja->jk", eta, _effects_sums(cells, dWL))
    moved -= 2 * np.einsum("ja,jka->jk", e, dc[0][code])
    moved -= 2 * np.einsum("ja,jkab,jb->jk", e, dB[0][code], point.dz[0])
    moved += np.einsum("jab,jkab->jk", U, dT[0][code])
    # log|Sigma_P| and y'Wy of every cell, by pattern
    log_det = np.einsum("pab,kab->pk", W, ways.Sigma_w[0])
    p = len(cells.shift)
    upper = np.triu_indices(p)
    packed = dW[..., upper[0], upper[1]] * np.where(upper[0] == upper[1], 1.0, 2.0)
    each = cells.gram[:, :1, 0] * log_det[cells.pattern]
    for k in range(len(cells.observed)):
        here = slice(cells.starts[k], cells.starts[k + 1])
        each[here] += cells.second[here] @ packed[:, k].T
    moved += _adds(cells) @ each
    parts: Array = moved
    return parts
