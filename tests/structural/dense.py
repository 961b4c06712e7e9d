"""The likelihood by its definition: one normal density a cluster, and nothing summed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teamlink.moments.cells import ClusterCells, cluster_cells
from teamlink.moments.clusters import ClusterMoments, SizeMoments, cluster_moments, moments_by_size
from teamlink.structural.levels import LevelMoments


@dataclass(frozen=True)
class Data:
    """Rows in clusters: y (n, p), z (J, q), codes (n,), predictors with random slopes x (n, r)."""

    y: np.ndarray
    z: np.ndarray
    codes: np.ndarray
    x: np.ndarray

    @property
    def J(self) -> int:
        return len(self.z)

    def clusters(self) -> ClusterMoments:
        return cluster_moments(self.y, self.z, self.codes, self.J)

    def sizes(self) -> SizeMoments:
        return moments_by_size(self.clusters())

    def cells(self) -> ClusterCells:
        x = self.x if self.x.shape[1] else None
        return cluster_cells(self.y, self.z, self.codes, self.J, x)


def made(seed, p=3, q=2, r=0, J=9, missing=0.0, largest=5):
    """Random rows; every cluster has at least one."""
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(J), rng.integers(1, largest, J)))
    n = len(codes)
    u = rng.normal(size=(J, p))
    y = rng.normal(size=(n, p)) + u[codes] + 1.0
    z = rng.normal(size=(J, q)) + (0.5 * u[:, :1] if p else 0.0)
    y[rng.random(y.shape) < missing] = np.nan
    z[rng.random(z.shape) < missing] = np.nan
    return Data(y, z, codes, rng.normal(size=(n, r)))


def definite(rng, p):
    A = rng.normal(size=(p, p))
    return A @ A.T + 0.5 * np.eye(p)


def moments(seed, p=3, q=2, r=0, only_within=0, lowered=0.0):
    """Valid moments (1,); the first variables vary only within clusters.

    With `lowered`, the last variance between clusters is that much less than what the others leave
    of it, so that the covariance between clusters is indefinite.
    """
    rng = np.random.default_rng(seed)
    m = p + r
    joint = definite(rng, q + m)
    joint[q : q + only_within] = 0.0
    joint[:, q : q + only_within] = 0.0
    if lowered:
        joint[-1, -1] -= 1 / np.linalg.inv(joint)[-1, -1] + lowered
    return LevelMoments(
        rng.normal(size=(1, m)), rng.normal(size=(1, q)), 2 * definite(rng, p)[None],
        joint[None, q:, q:], joint[None, q:, :q], joint[None, :q, :q], rng.normal(size=(1, p, r)),
    )  # fmt: skip


def ways(seed, like, K=5):
    """Random directions (1, K) in the moments."""
    rng = np.random.default_rng(seed)
    drawn = [rng.normal(size=(1, K, *array.shape[1:])) for array in like.arrays]
    for place in (2, 3, 5):
        drawn[place] = drawn[place] + drawn[place].swapaxes(-1, -2)
    return LevelMoments(*drawn)


def moved(like, along, k, step):
    """The moments, a step along direction k."""
    pairs = zip(like.arrays, along.arrays, strict=True)
    return LevelMoments(*(array + step * way[:, k] for array, way in pairs))


def deviance(data, like, only=None):
    """Minus twice the log-likelihood of all clusters, or of one."""
    mu, mu_z, Sigma_w, Sigma_b, Sigma_bz, Sigma_zz, slopes = (a[0] for a in like.arrays)
    p = data.y.shape[1]
    total = 0.0
    for j in range(data.J) if only is None else (only,):
        rows = np.flatnonzero(data.codes == j)
        H = np.vstack([np.hstack([np.eye(p), slopes * data.x[i]]) for i in rows])
        V = H @ Sigma_b @ H.T + np.kron(np.eye(len(rows)), Sigma_w)
        C = H @ Sigma_bz
        whole = np.block([[Sigma_zz, C.T], [C, V]])
        v = np.concatenate([data.z[j] - mu_z, data.y[rows].ravel() - H @ mu])
        seen = ~np.isnan(v)
        v, whole = v[seen], whole[np.ix_(seen, seen)]
        if not v.size:
            continue
        if np.linalg.eigvalsh(whole).min() <= 0:
            return np.inf
        total += v.size * np.log(2 * np.pi) + np.linalg.slogdet(whole)[1]
        total += v @ np.linalg.solve(whole, v)
    return total


def information(data, like, along):
    """Twice the Fisher information along directions, from the covariance of whole clusters."""
    K = along.mu.shape[1]

    def whole(at, n, seen):
        mu, mu_z, w, b, bz, zz, _ = (array[0] for array in at.arrays)
        V = np.kron(np.ones((n, n)), b) + np.kron(np.eye(n), w)
        C = np.kron(np.ones((n, 1)), bz)
        cov = np.block([[zz, C.T], [C, V]])
        return cov[np.ix_(seen, seen)], np.concatenate([mu_z, np.tile(mu, n)])[seen]

    total = np.zeros((K, K))
    for j in range(data.J):
        y = data.y[data.codes == j]
        seen = ~np.isnan(np.concatenate([data.z[j], y.ravel()]))

        rows = len(y)

        def moment(h, k, which, n=rows, seen=seen):
            return whole(moved(like, along, k, h), n, seen)[which]

        inverse = np.linalg.inv(whole(like, len(y), seen)[0])
        D = [slope(lambda h, k=k: moment(h, k, 0)) for k in range(K)]
        d = [slope(lambda h, k=k: moment(h, k, 1)) for k in range(K)]
        for a in range(K):
            for b in range(K):
                total[a, b] += np.trace(inverse @ D[a] @ inverse @ D[b])
                total[a, b] += 2 * d[a] @ inverse @ d[b]
    return total


def slope(function, step=1e-4):
    """Derivative of a function of a step at zero, by differences of order four."""
    near = np.asarray(function(step)) - np.asarray(function(-step))
    far = np.asarray(function(2 * step)) - np.asarray(function(-2 * step))
    return (8 * near - far) / (12 * step)
