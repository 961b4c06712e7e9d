"""The likelihood of independent groups of rows with values missing at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.moments.covariances import PatternMoments, find_patterns
from teamlink.structural.discrepancy import block_diagonal
from teamlink.structural.fiml import NormalPoint, normal_curvature, normal_point, row_scores
from teamlink.structural.implied import Moments, Tangents
from teamlink.typing import Array, Codes

__all__ = ["MissingData"]


@dataclass(frozen=True, slots=True)
class MissingPoint:
    """See `discrepancy.Point`.

    Attributes
    ----------
    points : of each group
    """

    value: Array
    Sigma: tuple[Array, ...]
    mu: tuple[Array, ...]
    points: tuple[NormalPoint, ...]

    def curvature(self, tangents: Sequence[Tangents], expected: bool = False) -> Array:
        """See `discrepancy.Point`."""
        return block_diagonal(
            [
                normal_curvature(point, expected).second(along.mu, along.Sigma)
                for point, along in zip(self.points, tangents, strict=True)
            ]
        )


@dataclass(frozen=True, slots=True)
class MissingData:
    """Rows of independent groups by missing-data pattern, one block each.

    Attributes
    ----------
    groups : moments by pattern of each group
    """

    groups: tuple[PatternMoments, ...]

    def at(self, moments: Sequence[Moments], index: Codes) -> MissingPoint:
        """See `discrepancy.Likelihood`."""
        points = tuple(
            normal_point(group.take(index), block.mu, block.Sigma)
            for group, block in zip(self.groups, moments, strict=True)
        )
        value = np.sum([point.deviance for point in points], axis=0)
        return MissingPoint(
            value, tuple(point.Sigma for point in points), tuple(point.mu for point in points),
            points,
        )  # fmt: skip

    def scores(
        self, moments: Sequence[Moments], tangents: Sequence[Tangents], values: Sequence[Array]
    ) -> tuple[Array, ...]:
        """See `discrepancy.Likelihood`."""
        return tuple(
            row_scores(
                Y, find_patterns(Y), block.mu[0], block.Sigma[0], along.mu[0], along.Sigma[0]
            )
            for block, along, Y in zip(moments, tangents, values, strict=True)
        )
