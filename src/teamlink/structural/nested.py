"""The likelihood of independent groups of clustered rows, with a block for each level.

A group's first block holds the variables of the rows, its second those of the clusters; a variable
in both has a part at each level. Its means add, and its slope in the mean belongs to both. Random
slopes come as `slopes` describes; as nothing is known of their expected information, products of
the clusters' scores stand for it where it is asked for.
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
from teamlink.structural.slopes import Slope
from teamlink.structural.twolevel import TwoLevelPoint, two_level_hessian, two_level_point
from teamlink.typing import Array, Codes, Mask

__all__ = ["LevelMap", "NestedData", "NestedGroup"]


@dataclass(frozen=True, slots=True)
class LevelMap:
    """Where the variables of the two blocks stand among y, z and the slopes.

    Attributes
    ----------
    own_w : (p,) places in the first block of the variables y of the rows
    product_w : (r,) places there of products of slope and predictor
    both : (b,) places in y of those that vary at both levels
    both_b : (b,) their places in the second block
    own_b : (q,) places in the second block of the cluster's own variables
    slope_b : (r,) places there of the slopes
    """

    own_w: Codes
    product_w: Codes
    both: Codes
    both_b: Codes
    own_b: Codes
    slope_b: Codes

    @classmethod
    def of(
        cls, within: Sequence[str], between: Sequence[str], slopes: Sequence[Slope] = ()
    ) -> LevelMap:
        """The places of named variables."""
        names = {slope.name for slope in slopes}
        products = [slope.product for slope in slopes]
        y = [name for name in within if name not in products]
        shared = [name for name in between if name in y]
        own = [name for name in between if name not in y and name not in names]
        places = (
            [within.index(name) for name in y],
            [within.index(name) for name in products],
            [y.index(name) for name in shared],
            [between.index(name) for name in shared],
            [between.index(name) for name in own],
            [between.index(slope.name) for slope in slopes],
        )
        return cls(*(np.array(place, dtype=np.intp) for place in places))

    @property
    def p(self) -> int:
        """Variables of the rows."""
        return len(self.own_w)

    @property
    def varies_at_both(self) -> Mask:
        """(p,) which variables of the rows vary at both levels."""
        found: Mask = np.isin(np.arange(self.p), self.both)
        return found

    @property
    def effects(self) -> Codes:
        """(b + r,) places among the cluster's effects of those that the second block has."""
        return np.concatenate([self.both, self.p + np.arange(len(self.slope_b))])

    @property
    def effects_b(self) -> Codes:
        """(b + r,) their places in the second block."""
        return np.concatenate([self.both_b, self.slope_b])

    def loadings(self, inner: Array) -> Array:
        """Effects (..., p, r) of a unit of each product on y, of Sigma (..., v, v) within."""
        found: Array = inner[..., self.own_w[:, None], self.product_w]
        return found

    def joined(
        self, within: Moments | Tangents, between: Moments | Tangents, at: Array | None = None
    ) -> LevelMoments:
        """Moments (R,) from those of the blocks; directions (R, K) where loadings are `at`."""
        lead = within.mu.shape[:-1]
        y, e, b, o = self.own_w, self.effects, self.effects_b, self.own_b
        m = self.p + len(self.slope_b)
        inner, outer = within.Sigma, between.Sigma
        L = self.loadings(inner)
        # The products' variances of one are no part of the covariance within clusters.
        if at is None:
            auxiliary = L @ L.swapaxes(-1, -2)
        else:
            half = L @ at[:, None].swapaxes(-1, -2)
            auxiliary = half + half.swapaxes(-1, -2)
        mu, Sigma_b = np.zeros((*lead, m)), np.zeros((*lead, m, m))
        mu[..., : self.p] = within.mu[..., y]
        mu[..., e] += between.mu[..., b]
        Sigma_b[..., e[:, None], e] = outer[..., b[:, None], b]
        Sigma_bz = np.zeros((*lead, m, len(o)))
        Sigma_bz[..., e, :] = outer[..., b[:, None], o]
        return LevelMoments(
            mu, between.mu[..., o], inner[..., y[:, None], y] - auxiliary, Sigma_b, Sigma_bz,
            outer[..., o[:, None], o], L,
        )  # fmt: skip

    def ways(self, within: Tangents, between: Tangents, at: Array) -> LevelMoments:
        """Directions (R, K): those of the first block, the second standing still; then others."""
        R, first, p = within.mu.shape
        second, m = between.mu.shape[1:]
        still_w = Tangents(*np.zeros((3, R, second, p)))
        still_b = Tangents(*np.zeros((3, R, first, m)))
        one, other = self.joined(within, still_b, at), self.joined(still_w, between, at)
        return LevelMoments(
            *(np.concatenate(pair, axis=1) for pair in zip(one.arrays, other.arrays, strict=True))
        )

    def split(self, gradient: LevelMoments, at: Array) -> tuple[Moments, Moments]:
        """Slopes in the moments of the two blocks, at loadings `at`."""
        y, d, e, b, o = self.own_w, self.product_w, self.effects, self.effects_b, self.own_b
        R, v, m = len(gradient.mu), len(y) + len(d), len(b) + len(o)
        inner, mean = np.zeros((R, v, v)), np.zeros((R, v))
        inner[:, y[:, None], y] = gradient.Sigma_w
        half = gradient.slopes / 2 - gradient.Sigma_w @ at
        inner[:, y[:, None], d] = half
        inner[:, d[:, None], y] = half.swapaxes(-1, -2)
        mean[:, y] = gradient.mu[:, : self.p]
        Sigma, mu = np.zeros((R, m, m)), np.zeros((R, m))
        mu[:, b], mu[:, o] = gradient.mu[:, e], gradient.mu_z
        Sigma[:, b[:, None], b] = gradient.Sigma_b[:, e[:, None], e]
        half = gradient.Sigma_bz[:, e] / 2
        Sigma[:, b[:, None], o] = half
        Sigma[:, o[:, None], b] = half.swapaxes(-1, -2)
        Sigma[:, o[:, None], o] = gradient.Sigma_zz
        return Moments(inner, mean), Moments(Sigma, mu)

    def bend(self, gradient: LevelMoments, within: Tangents, second: int) -> Array:
        """What the auxiliary variances add to the Hessian, `second` directions coming after."""
        L = self.loadings(within.Sigma)
        R, first = L.shape[:2]
        size = L.shape[2] * L.shape[3]
        found = np.zeros((R, first + second, first + second))
        turned = (gradient.Sigma_w[:, None] @ L).reshape(R, first, size)
        found[:, :first, :first] = -2 * turned @ L.reshape(R, first, size).swapaxes(-1, -2)
        return found

    def blocks(self, moments: LevelMoments) -> tuple[Moments, Moments]:
        """Moments of the two blocks of a model without random slopes.

        The mean of what varies at both levels stands in the second.
        """
        doubled = replace(moments, Sigma_bz=2 * moments.Sigma_bz)
        _, between = self.split(doubled, np.zeros((len(moments.mu), self.p, 0)))
        mu = moments.mu.copy()
        mu[:, self.both] = 0.0
        return Moments(moments.Sigma_w, mu), between


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
        return len(self.z)

    @property
    def z(self) -> Array:
        """(J, q) the clusters' own variables, NaN where missing."""
        if self.clusters is not None:
            return self.clusters.z
        assert self.cells is not None
        return self.cells.z

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

    def squared_scores(self, moments: LevelMoments, ways: LevelMoments) -> Array:
        """Twice the sum of products (R, K, K) of the clusters' scores, for the information."""
        found = []
        for r in range(len(moments.mu)):
            one = np.array([r])
            own = self.scores(moments.take(one), ways.take(one))
            found.append(2 * own.T @ own)
        return np.array(found).reshape(len(found), ways.mu.shape[1], ways.mu.shape[1])

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
    moments : at which, of each group
    """

    value: Array
    Sigma: tuple[Array, ...]
    mu: tuple[Array, ...]
    groups: tuple[NestedGroup, ...]
    points: tuple[TwoLevelPoint | ClusterwisePoint, ...]
    index: Codes
    moments: tuple[LevelMoments, ...]

    @property
    def loadings(self) -> list[Array]:
        """Effects of a unit of slope times predictor, of each group."""
        return [moments.slopes for moments in self.moments]

    def curvature(self, tangents: Sequence[Tangents], expected: bool = False) -> Array:
        """See `discrepancy.Point`."""
        parts = []
        for g, (group, point) in enumerate(zip(self.groups, self.points, strict=True)):
            within, between = tangents[2 * g], tangents[2 * g + 1]
            ways = group.places.ways(within, between, self.loadings[g])
            if len(group.places.slope_b) and expected:
                parts.append(group.squared_scores(self.moments[g], ways))
                continue
            part = group.curvature(point, ways, self.index, expected)
            if len(group.places.slope_b):
                part = part + group.places.bend(point.gradient, within, between.mu.shape[1])
            parts.append(part)
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
        points, Sigma, mu, at = [], [], [], []
        for g, group in enumerate(self.groups):
            joined = group.places.joined(moments[2 * g], moments[2 * g + 1])
            point = group.point(joined, index)
            points.append(point)
            at.append(joined)
            for slope in group.places.split(point.gradient, joined.slopes):
                Sigma.append(slope.Sigma)
                mu.append(slope.mu)
        value = np.sum([point.deviance for point in points], axis=0)
        return NestedPoint(
            value, tuple(Sigma), tuple(mu), self.groups, tuple(points), index, tuple(at)
        )

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
            ways = group.places.ways(tangents[2 * g], tangents[2 * g + 1], joined.slopes)
            found.append(group.scores(joined, ways))
        return tuple(found)
