"""Sufficient statistics of rows in clusters: one mean a cluster, and what lies within.

Notation: ``y`` (n, p) varies among the rows of clusters j = 1..J, ``z`` (J, q) is a fact of the
cluster. A likelihood with random intercepts needs of each cluster its size, its means and its
cross-products about them; and of these only the sums over clusters of equal size.

Replicates, the leading axis, are weightings of the clusters, as a cluster bootstrap draws them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from teamlink.moments.memory import CHUNK
from teamlink.typing import Array, Codes

__all__ = ["ClusterMoments", "SizeMoments", "cluster_moments", "moments_by_size"]


@dataclass(frozen=True, slots=True)
class ClusterMoments:
    """What each cluster knows.

    Attributes
    ----------
    n : (J,) rows
    mean : (J, p) means of y
    z : (J, q)
    within : (J, p, p) cross-products of y about the cluster's mean
    """

    n: Array
    mean: Array
    z: Array
    within: Array


@dataclass(frozen=True, slots=True)
class SizeMoments:
    """Sums over clusters of equal size: all that a random-intercept likelihood needs.

    Attributes
    ----------
    sizes : (S,) the distinct sizes
    count : (R, S) weighted number of clusters of each size
    mean : (R, S, q + p) mean of (z, mean of y)
    cov : (R, S, q + p, q + p) their covariance, divisor count
    within : (R, p, p) cross-products within clusters, summed over clusters
    q : number of cluster-level variables
    """

    sizes: Array
    count: Array
    mean: Array
    cov: Array
    within: Array
    q: int

    @property
    def clusters(self) -> Array:
        """(R,) weighted number of clusters."""
        clusters: Array = self.count.sum(axis=1)
        return clusters

    @property
    def rows(self) -> Array:
        """(R,) weighted number of rows."""
        return self.count @ self.sizes

    def take(self, index: Codes) -> SizeMoments:
        """Those of some of the replicates, `index` integer (r,)."""
        return SizeMoments(
            self.sizes, self.count[index], self.mean[index], self.cov[index],
            self.within[index], self.q,
        )  # fmt: skip

    def scaled(self, centre: Array, scale: Array) -> SizeMoments:
        """The statistics of ``((z, y) - centre) / scale``, both (q + p,)."""
        y = scale[self.q :]
        return SizeMoments(
            self.sizes,
            self.count,
            np.where(self.count[:, :, None] > 0, (self.mean - centre) / scale, 0.0),
            self.cov / np.outer(scale, scale),
            self.within / np.outer(y, y),
            self.q,
        )

    def select(self, z: Codes, y: Codes) -> SizeMoments:
        """The statistics of some variables: `z` indexes the cluster's, `y` the rows'."""
        kept = np.concatenate([z, self.q + y]).astype(np.intp)
        return SizeMoments(
            self.sizes, self.count, self.mean[:, :, kept],
            self.cov[:, :, kept[:, None], kept], self.within[:, y[:, None], y], len(z),
        )  # fmt: skip


def cluster_moments(y: Array, z: Array, codes: Codes, n_clusters: int) -> ClusterMoments:
    """Means and cross-products of every cluster, in one pass over the rows.

    Parameters
    ----------
    y : (n, p) no value missing
    z : (J, q)
    codes : (n,) cluster of each row, 0 .. J - 1, in any order
    n_clusters : J

    Returns
    -------
    ClusterMoments

    Notes
    -----
    Rows are visited cluster by cluster, so that each is centred at its cluster's mean before it is
    multiplied: variance between clusters, however large, costs the products no digits.
    """
    p = y.shape[1]
    n = np.bincount(codes, minlength=n_clusters)
    ends = np.concatenate([[0], np.cumsum(n)])
    order = np.argsort(codes, kind="stable")
    upper = np.triu_indices(p)
    mean = np.zeros((n_clusters, p))
    packed = np.zeros((n_clusters, len(upper[0])))
    start = 0
    while start < n_clusters:
        stop = max(int(np.searchsorted(ends, ends[start] + CHUNK, side="right")) - 1, start + 1)
        size = n[start:stop]
        block = y[order[ends[start] : ends[stop]]]
        which = np.repeat(np.arange(stop - start), size)
        adds = csr_array(
            (np.ones(len(block)), np.arange(len(block)), ends[start : stop + 1] - ends[start]),
            shape=(stop - start, len(block)),
        )
        mean[start:stop] = (adds @ block) / np.maximum(size, 1)[:, None]
        block -= mean[start:stop][which]
        packed[start:stop] = adds @ (block[:, upper[0]] * block[:, upper[1]])
        start = stop
    within = np.empty((n_clusters, p, p))
    within[:, upper[0], upper[1]] = packed
    within[:, upper[1], upper[0]] = packed
    return ClusterMoments(n.astype(float), mean, z, within)


def moments_by_size(clusters: ClusterMoments, weights: Array | None = None) -> SizeMoments:
    """Sum clusters of equal size.

    Parameters
    ----------
    clusters : ClusterMoments, every cluster with at least one row
    weights : (R, J) how often each cluster counts; once by default

    Returns
    -------
    SizeMoments
    """
    J, p = clusters.mean.shape
    q = clusters.z.shape[1]
    w = np.ones((1, J)) if weights is None else weights
    R = len(w)
    sizes, codes = np.unique(clusters.n, return_inverse=True)
    v = np.concatenate([clusters.z, clusters.mean], axis=1)
    S, m = len(sizes), q + p
    upper = np.triu_indices(m)
    count = np.zeros((R, S))
    mean = np.zeros((R, S, m))
    cov = np.zeros((R, S, m, m))
    for s in range(S):
        members = np.flatnonzero(codes.reshape(J) == s)
        centre = v[members].mean(axis=0)
        block = v[members] - centre
        count[:, s] = w[:, members].sum(axis=1)
        share = np.divide(1.0, count[:, s], out=np.zeros(R), where=count[:, s] > 0)[:, None]
        about = (w[:, members] @ block) * share
        products = (w[:, members] @ (block[:, upper[0]] * block[:, upper[1]])) * share
        cov[:, s, upper[0], upper[1]] = products
        cov[:, s, upper[1], upper[0]] = products
        cov[:, s] -= about[:, :, None] * about[:, None, :]
        mean[:, s] = np.where(share > 0, about + centre, 0.0)
    within = (w @ clusters.within.reshape(J, p * p)).reshape(R, p, p)
    return SizeMoments(sizes, count, mean, cov, within, q)
