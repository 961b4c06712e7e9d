"""Sufficient statistics of clustered rows with missing values, or with random slopes.

Rows of one cluster that share a missing-data pattern form a cell. With ``d_i = (1, x_i)``, x being
predictors whose slopes vary among clusters, a normal likelihood needs of each cell

    gram = sum_i d_i d_i',      cross = sum_i d_i y_i',

and of each pattern the sum of y_i y_i'. Values that are missing count as zero in sums. All sums are
about a fixed point near the means, so that they lose no digits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from teamlink.moments.covariances import (
    PatternMoments,
    Patterns,
    find_patterns,
    moments_by_pattern,
)
from teamlink.typing import Array, Codes, Mask

__all__ = ["ClusterCells", "cluster_cells"]


@dataclass(frozen=True, slots=True)
class ClusterCells:
    """Cells sorted by pattern, and facts of the J clusters.

    Attributes
    ----------
    observed : (P, p) patterns of y
    pattern, cluster : (C,) of each cell
    starts : (P + 1,) where the cells of each pattern begin
    gram : (C, 1 + r, 1 + r)
    cross : (C, 1 + r, p)
    second : (C, p (p + 1) / 2) sums of y_i y_i', upper triangle by rows
    shift : (p,) point about which y was summed
    z : (J, q) variables of the clusters, NaN where missing
    z_patterns : patterns of z
    weights : (R, J) how often each cluster counts
    """

    observed: Mask
    pattern: Codes
    cluster: Codes
    starts: Codes
    gram: Array
    cross: Array
    second: Array
    shift: Array
    z: Array
    z_patterns: Patterns
    weights: Array

    @property
    def slopes(self) -> int:
        """Number of predictors with random slopes, r."""
        return int(self.gram.shape[1]) - 1

    def take(self, index: Codes) -> ClusterCells:
        """Those of some of the replicates, `index` integer (r,)."""
        return replace(self, weights=self.weights[index])

    def weighted(self, weights: Array) -> ClusterCells:
        """The same cells with clusters counting as weights (R, J) say."""
        return replace(self, weights=weights)

    def cluster_variables(self, z: Codes | None = None) -> PatternMoments:
        """The moments of z, or of those that an index `z` names, by their patterns."""
        if z is None:
            return moments_by_pattern(self.z, self.z_patterns, self.weights)
        return moments_by_pattern(self.z[:, z], find_patterns(self.z[:, z]), self.weights)

    def by_cluster(self, values: Array) -> csr_array:
        """The sparse matrix (J, P) with a value (C,) for each cell."""
        shape = (len(self.z), len(self.observed))
        return csr_array((values, (self.cluster, self.pattern)), shape=shape)

    def counts(self) -> Array:
        """(R, P) weighted number of rows of each pattern."""
        return (self.by_cluster(self.gram[:, 0, 0]).T @ self.weights.T).T

    def second_moments(self) -> Array:
        """(R, P, p, p) weighted sums of y_i y_i' about the shift."""
        R, P, p = len(self.weights), *self.observed.shape
        once = bool((self.weights == 1).all())
        packed = np.empty((R, P, self.second.shape[1]))
        for k in range(P):
            cells = slice(self.starts[k], self.starts[k + 1])
            if once:
                packed[:, k] = self.second[cells].sum(axis=0)
            else:
                packed[:, k] = self.weights[:, self.cluster[cells]] @ self.second[cells]
        sums = np.empty((R, P, p, p))
        upper = np.triu_indices(p)
        sums[..., upper[0], upper[1]] = packed
        sums[..., upper[1], upper[0]] = packed
        return sums

    def select(self, z: Codes, y: Codes) -> ClusterCells:
        """The cells of some variables: `z` indexes the cluster's, `y` the rows'."""
        p = len(self.shift)
        number = np.zeros((p, p), dtype=np.intp)
        upper = np.triu_indices(p)
        number[upper] = number[upper[1], upper[0]] = np.arange(len(upper[0]))
        own = np.where(self.observed[:, y], 0.0, np.nan)
        patterns = find_patterns(own)
        code = patterns.codes[self.pattern]
        seen = np.flatnonzero(code >= 0)
        J = len(self.z)
        key, cell = np.unique(code[seen] * J + self.cluster[seen], return_inverse=True)
        adds = csr_array((np.ones(len(seen)), (cell, seen)), shape=(len(key), len(code)))
        a, m = self.gram.shape[1], len(y)
        low = np.triu_indices(m)
        return ClusterCells(
            patterns.observed, key // J, key % J,
            np.searchsorted(key // J, np.arange(len(patterns.observed) + 1)),
            (adds @ self.gram.reshape(len(code), a * a)).reshape(len(key), a, a),
            (adds @ self.cross[:, :, y].reshape(len(code), a * m)).reshape(len(key), a, m),
            adds @ self.second[:, number[y[low[0]], y[low[1]]]],
            self.shift[y], self.z[:, z], find_patterns(self.z[:, z]), self.weights,
        )  # fmt: skip

    def part(self, clusters: Codes) -> ClusterCells:
        """The cells of some of the clusters, which are numbered anew in the order given."""
        number = np.full(len(self.z), -1, dtype=np.intp)
        number[clusters] = np.arange(len(clusters))
        kept = np.flatnonzero(number[self.cluster] >= 0)
        pattern = self.pattern[kept]
        return ClusterCells(
            self.observed, pattern, number[self.cluster[kept]],
            np.searchsorted(pattern, np.arange(len(self.observed) + 1)),
            self.gram[kept], self.cross[kept], self.second[kept], self.shift, self.z[clusters],
            Patterns(self.z_patterns.observed, self.z_patterns.codes[clusters]),
            self.weights[:, clusters],
        )  # fmt: skip


def cluster_cells(
    y: Array, z: Array, codes: Codes, n_clusters: int, x: Array | None = None
) -> ClusterCells:
    """Sum the rows of every cell.

    Parameters
    ----------
    y : (n, p), NaN where missing; a row of which nothing is observed adds nothing
    z : (J, q), NaN where missing
    codes : (n,) cluster of each row, 0 .. J - 1, in any order
    n_clusters : J
    x : (n, r) predictors with random slopes, none missing

    Returns
    -------
    ClusterCells
    """
    patterns = find_patterns(y)
    seen = np.flatnonzero(patterns.codes >= 0)
    key, cell = np.unique(patterns.codes[seen] * n_clusters + codes[seen], return_inverse=True)
    shift = np.array([column[~np.isnan(column)].mean() if len(column) else 0.0 for column in y.T])
    about = np.nan_to_num(y[seen] - shift)
    d = np.ones((len(seen), 1)) if x is None else np.column_stack([np.ones(len(seen)), x[seen]])
    order = np.argsort(cell, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=len(key)))])
    adds = csr_array((np.ones(len(seen)), order, ends), shape=(len(key), len(seen)))
    a, p = d.shape[1], y.shape[1]
    upper = np.triu_indices(p)
    gram = adds @ (d[:, :, None] * d[:, None, :]).reshape(len(seen), a * a)
    cross = adds @ (d[:, :, None] * about[:, None, :]).reshape(len(seen), a * p)
    pattern = key // n_clusters
    return ClusterCells(
        patterns.observed,
        pattern,
        key % n_clusters,
        np.searchsorted(pattern, np.arange(len(patterns.observed) + 1)),
        gram.reshape(len(key), a, a),
        cross.reshape(len(key), a, p),
        adds @ (about[:, upper[0]] * about[:, upper[1]]),
        shift,
        z,
        find_patterns(z),
        np.ones((1, n_clusters)),
    )
