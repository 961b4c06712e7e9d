r"""Each cluster's share of the score: what robust covariances are made of.

A cluster's deviance is that of `twolevel` with one cluster and its own cross-products, or that of
`clusterwise`; its score is minus half the gradient, along directions in the moments. With one
cluster of size n, residual ``r = M (ybar - c)`` and ``g = 1 / (1 + n d)``, the deviance moves by

    tr[(diag(g) - n g r r' g)(D_w + n D_T)] + tr[((n - 1) I - M W_j M') D_w] - 2 n r' g (dc).
"""

from __future__ import annotations

import numpy as np

from teamlink.moments.cells import ClusterCells
from teamlink.moments.clusters import ClusterMoments
from teamlink.moments.covariances import find_patterns
from teamlink.structural.clusterwise import ClusterwisePoint, cluster_parts
from teamlink.structural.fiml import row_scores
from teamlink.structural.levels import LevelMoments, directions
from teamlink.structural.twolevel import TwoLevelPoint
from teamlink.typing import Array

__all__ = ["cluster_scores", "clusterwise_scores"]


def cluster_scores(
    clusters: ClusterMoments, point: TwoLevelPoint, moments: LevelMoments, ways: LevelMoments
) -> Array:
    """Derivatives of each cluster's log-likelihood along directions, no value missing.

    Parameters
    ----------
    clusters : ClusterMoments
    point : TwoLevelPoint of one replicate, at `moments`
    moments : LevelMoments (1,)
    ways : LevelMoments (1, K)

    Returns
    -------
    (J, K)
    """
    dc, dB, dT = (part[0, 0] for part in directions(point.given, ways))
    M, n = point.M[0], clusters.n
    size = np.searchsorted(point.sizes, n)
    g = point.g[0, size]
    dz = clusters.z - moments.mu_z[0]
    r = (clusters.mean - moments.mu[0] - dz @ point.given.B[0, 0].T) @ M.T
    gr = g * r
    K, p = dc.shape
    Dw = M @ ways.Sigma_w[0] @ M.T
    D_T = M @ dT @ M.T
    outer = -n[:, None, None] * gr[:, :, None] * gr[:, None, :]
    outer[:, np.arange(p), np.arange(p)] += g
    H = outer.reshape(-1, p * p)
    moved = H @ Dw.reshape(K, -1).T + n[:, None] * (H @ D_T.reshape(K, -1).T)
    moved += (n[:, None] - 1) * np.trace(Dw, axis1=-2, axis2=-1)
    moved -= clusters.within.reshape(-1, p * p) @ (M.T @ Dw @ M).reshape(K, -1).T
    turned = gr @ M
    effects = turned @ dc.T + np.einsum("ja,kab,jb->jk", turned, dB, dz)
    moved -= 2 * n[:, None] * effects
    scores: Array = _own(clusters.z, moments, ways) - moved / 2
    return scores


def clusterwise_scores(
    cells: ClusterCells, point: ClusterwisePoint, moments: LevelMoments, ways: LevelMoments
) -> Array:
    """Derivatives of each cluster's log-likelihood along directions; values may be missing.

    Parameters
    ----------
    cells : ClusterCells, each cluster counting once
    point : ClusterwisePoint of one replicate, at `moments`
    moments : LevelMoments (1,)
    ways : LevelMoments (1, K)

    Returns
    -------
    (J, K)
    """
    return -cluster_parts(cells, point, ways) / 2 + _own(cells.z, moments, ways)


def _own(z: Array, moments: LevelMoments, ways: LevelMoments) -> Array:
    """Scores of the cluster's own variables (J, K)."""
    patterns = find_patterns(z)
    return row_scores(
        z, patterns, moments.mu_z[0], moments.Sigma_zz[0], ways.mu_z[0], ways.Sigma_zz[0]
    )
