"""Likelihoods of several data sets as replicates of one, where no batch of them is to be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.structural.discrepancy import Likelihood, Point
from teamlink.structural.implied import Moments, Tangents
from teamlink.typing import Array, Codes

__all__ = ["Apart"]


@dataclass(frozen=True, slots=True)
class ApartPoint:
    """See `discrepancy.Point`.

    Attributes
    ----------
    places, points : which rows (A,) are of each data set, and the point of these
    """

    value: Array
    Sigma: tuple[Array, ...]
    mu: tuple[Array, ...]
    places: tuple[Codes, ...]
    points: tuple[Point, ...]

    def curvature(self, tangents: Sequence[Tangents], expected: bool = False) -> Array:
        """See `discrepancy.Point`."""
        n = sum(way.mu.shape[1] for way in tangents)
        found = np.empty((len(self.value), n, n))
        for rows, point in zip(self.places, self.points, strict=True):
            ways = [way.take(rows) for way in tangents]
            found[rows] = point.curvature(ways, expected)
        return found


@dataclass(frozen=True, slots=True)
class Apart:
    """Replicates that are evaluated one by one.

    Attributes
    ----------
    likelihoods : one a replicate, each of a single one
    """

    likelihoods: tuple[Likelihood, ...]

    def at(self, moments: Sequence[Moments], index: Codes) -> ApartPoint:
        """See `discrepancy.Likelihood`."""
        value = np.empty(len(index))
        Sigma = [np.empty_like(own.Sigma) for own in moments]
        mu = [np.empty_like(own.mu) for own in moments]
        places, points = [], []
        for r in np.unique(index):
            rows = np.flatnonzero(index == r)
            own = [Moments(one.Sigma[rows], one.mu[rows]) for one in moments]
            point = self.likelihoods[r].at(own, np.zeros(len(rows), dtype=np.intp))
            value[rows] = point.value
            for b, (G, g) in enumerate(zip(point.Sigma, point.mu, strict=True)):
                Sigma[b][rows], mu[b][rows] = G, g
            places.append(rows)
            points.append(point)
        return ApartPoint(value, tuple(Sigma), tuple(mu), tuple(places), tuple(points))

    def scores(
        self, moments: Sequence[Moments], tangents: Sequence[Tangents], values: Sequence[Array]
    ) -> tuple[Array, ...]:
        """See `discrepancy.Likelihood`; of the first replicate."""
        return self.likelihoods[0].scores(moments, tangents, values)
