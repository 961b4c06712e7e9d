"""The likelihood of independent groups of clustered rows, with a block for each level.

A group's first block holds the variables of the rows, its second those of the clusters; a variable
in both has a part at each level. Its means add, and its slope in the mean belongs to both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from teamlink.moments.cells import ClusterCells
from teamlink.moments.clusters import ClusterMoments, SizeMoments, moments_by_size
from teamlink.structural.clusterscores import cluster_scores, clusterwise_scores
from teamlink.structural.clusterwise import (
    ClusterwisePoint,
    clusterwise_hessian,
    clusterwise_point,
)
from teamlink.structural.discrepancy import block_diagonal
from teamlink.structural.implied import Moments, Tangents
from teamlink.structural.levels import LevelMoments
from teamlink.structural.saturated import Saturated, saturated_clusterwise, saturated_two_level
from teamlink.structural.twolevel import TwoLevelPoint, two_level_hessian, two_level_point
from teamlink.typing import Array, Codes, Mask

__all__ = ["LevelMap", "NestedData", "NestedGroup"]


@dataclass(frozen=True, slots=True)
class LevelMap:
    """Where the variables of the two blocks stand among y and z.

    Attributes
    ----------
    p : variables of the rows; the first block has them in the same order
    both : (b,) places in y of those that vary at both levels
    both_b : (b,) their places in the second block
    own_b : (q,) places in the second block of the cluster's own variables
    """

    p: int
    both: Codes
    both_b: Codes
    own_b: Codes

    @classmethod
    def of(cls, within: Sequence[str], between: Sequence[str]) -> LevelMap:
        """The places of named variables."""
        shared = [name for name in between if name in within]
        own = [name for name in between if name not in within]
        places = (
            [list(within).index(name) for name in shared],
            [list(between).index(name) for name in shared],
            [list(between).index(name) for name in own],
        )
        return cls(len(within), *(np.array(place, dtype=np.intp) for place in places))

    @property
    def varies_at_both(self) -> Mask:
        """(p,) which variables of the rows vary at both levels."""
        found: Mask = np.isin(np.arange(self.p), self.both)
        return found

    def joined(self, within: Moments | Tangents, between: Moments | Tangents) -> LevelMoments:
        """Moments (R,), or directions (R, K), of the model from those of its blocks."""
        lead = within.mu.shape[:-1]
        b, o = self.both_b, self.own_b
        mu = within.mu.copy()
        mu[..., self.both] += between.mu[..., b]
        Sigma_b = np.zeros((*lead, self.p, self.p))
        Sigma_b[..., self.both[:, None], self.both] = between.Sigma[..., b[:, None], b]
        Sigma_bz = np.zeros((*lead, self.p, len(o)))
        Sigma_bz[..., self.both, :] = between.Sigma[..., b[:, None], o]
        return LevelMoments.without_slopes(
            mu, between.mu[..., o], within.Sigma, Sigma_b, Sigma_bz,
            between.Sigma[..., o[:, None], o],
        )  # fmt: skip

    def ways(self, within: Tangents, between: Tangents) -> LevelMoments:
        """Directions (R, K): those of the first block, the second standing still; then others."""
        R, first, p = within.mu.shape
        second, m = between.mu.shape[1:]
        still_w = Tangents(np.zeros((R, second, p, p)), np.zeros((R, second, p)))
        still_b = Tangents(np.zeros((R, first, m, m)), np.zeros((R, first, m)))
        one, other = self.joined(within, still_b), self.joined(still_w, between)
        return LevelMoments(
            *(np.concatenate(pair, axis=1) for pair in zip(one.arrays, other.arrays, strict=True))
        )

    def split(self, gradient: LevelMoments) -> tuple[Moments, Moments]:
        """Slopes in the moments of the two blocks."""
        b, o = self.both_b, self.own_b
        R, m = len(gradient.mu), len(b) + len(o)
        Sigma, mu = np.zeros((R, m, m)), np.zeros((R, m))
        mu[:, b], mu[:, o] = gradient.mu[:, self.both], gradient.mu_z
        Sigma[:, b[:, None], b] = gradient.Sigma_b[:, self.both[:, None], self.both]
        half = gradient.Sigma_bz[:, self.both] / 2
        Sigma[:, b[:, None], o] = half
        Sigma[:, o[:, None], b] = half.swapaxes(-1, -2)
        Sigma[:, o[:, None], o] = gradient.Sigma_zz
        return Moments(gradient.Sigma_w, gradient.mu), Moments(Sigma, mu)

    def blocks(self, moments: LevelMoments) -> tuple[Moments, Moments]:
        """Moments of the two blocks; the mean of what varies at both stands in the second."""
        doubled = replace(moments, Sigma_bz=2 * moments.Sigma_bz)
        within, between = self.split(doubled)
        mu = within.mu.copy()
        mu[:, self.both] = 0.0
        return Moments(within.Sigma, mu), between


@dataclass(frozen=True, slots=True)
class NestedGroup:
    """The statistics of one group: sums by size where all is complete, else cells.

    Attributes
    ----------
    places : LevelMap
    clusters : each cluster, where no value is missing
    sizes : their sums by size
    cells : sums by cluster and pattern, where values are missing
    """

    places: LevelMap
    clusters: ClusterMoments | None
    sizes: SizeMoments | None
    cells: ClusterCells | None

    @classmethod
    def complete(cls, places: LevelMap, clusters: ClusterMoments) -> NestedGroup:
        """A group without missing values."""
        return cls(places, clusters, moments_by_size(clusters), None)

    @classmethod
    def incomplete(cls, places: LevelMap, cells: ClusterCells) -> NestedGroup:
        """A group with missing values."""
        return cls(places, None, None, cells)

    @property
    def n_clusters(self) -> int:
        """Number of clusters J."""
        return len(self.cells.z if self.clusters is None else self.clusters.z)  # type: ignore[union-attr]

    def weighted(self, weights: Array) -> NestedGroup:
        """The same clusters counting as weights (R, J) say."""
        if self.clusters is not None:
            return replace(self, sizes=moments_by_size(self.clusters, weights))
        assert self.cells is not None
        return replace(self, cells=self.cells.weighted(weights))

    def point(self, moments: LevelMoments, index: Codes) -> TwoLevelPoint | ClusterwisePoint:
        """The deviance with its gradient."""
        if self.sizes is not None:
            return two_level_point(self.sizes.take(index), moments)
        assert self.cells is not None
        return clusterwise_point(self.cells.take(index), moments)

    def curvature(
        self, point: TwoLevelPoint | ClusterwisePoint, ways: LevelMoments, index: Codes,
        expected: bool,
    ) -> Array:  # fmt: skip
        """Second derivatives (R, K, K) along directions."""
        if isinstance(point, TwoLevelPoint):
            return two_level_hessian(point, ways, expected)
        assert self.cells is not None
        return clusterwise_hessian(self.cells.take(index), point, ways, expected)

    def scores(self, moments: LevelMoments, ways: LevelMoments) -> Array:
        """Scores (J, K) of the clusters along directions, one replicate."""
        point = self.point(moments, np.zeros(1, dtype=np.intp))
        if isinstance(point, TwoLevelPoint):
            assert self.clusters is not None
            return cluster_scores(self.clusters, point, moments, ways)
        assert self.cells is not None
        return clusterwise_scores(self.cells, point, moments, ways)

    def saturated(self) -> Saturated:
        """The saturated model."""
        if self.sizes is not None:
            return saturated_two_level(self.sizes, self.places.varies_at_both)
        assert self.cells is not None
        return saturated_clusterwise(self.cells, self.places.varies_at_both)


@dataclass(frozen=True, slots=True)
class NestedPoint:
    """See `discrepancy.Point`.

    Attributes
    ----------
    groups, points : of each group
    index : which replicate of the data each row is of
    """

    value: Array
    Sigma: tuple[Array, ...]
    mu: tuple[Array, ...]
    groups: tuple[NestedGroup, ...]
    points: tuple[TwoLevelPoint | ClusterwisePoint, ...]
    index: Codes

    def curvature(self, tangents: Sequence[Tangents], expected: bool = False) -> Array:
        """See `discrepancy.Point`."""
        parts = []
        for g, (group, point) in enumerate(zip(self.groups, self.points, strict=True)):
            ways = group.places.ways(tangents[2 * g], tangents[2 * g + 1])
            parts.append(group.curvature(point, ways, self.index, expected))
        return block_diagonal(parts)


@dataclass(frozen=True, slots=True)
class NestedData:
    """Clustered rows of independent groups, two blocks each.

    Attributes
    ----------
    groups : the statistics of each group
    """

    groups: tuple[NestedGroup, ...]

    def at(self, moments: Sequence[Moments], index: Codes) -> NestedPoint:
        """See `discrepancy.Likelihood`."""
        points, Sigma, mu = [], [], []
        for g, group in enumerate(self.groups):
            joined = group.places.joined(moments[2 * g], moments[2 * g + 1])
            point = group.point(joined, index)
            points.append(point)
            for slope in group.places.split(point.gradient):
                Sigma.append(slope.Sigma)
                mu.append(slope.mu)
        value = np.sum([point.deviance for point in points], axis=0)
        return NestedPoint(value, tuple(Sigma), tuple(mu), self.groups, tuple(points), index)

    def scores(
        self,
        moments: Sequence[Moments],
        tangents: Sequence[Tangents],
        values: Sequence[Array],  # noqa: ARG002
    ) -> tuple[Array, ...]:
        """Scores of the clusters of each group along the directions of its two blocks.

        The rows themselves are not needed.
        """
        found = []
        for g, group in enumerate(self.groups):
            joined = group.places.joined(moments[2 * g], moments[2 * g + 1])
            ways = group.places.ways(tangents[2 * g], tangents[2 * g + 1])
            found.append(group.scores(joined, ways))
        return tuple(found)
