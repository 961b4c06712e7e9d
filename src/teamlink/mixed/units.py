"""Units of correlated residuals, gathered so that equal ones are worked on together.

A unit is a set of rows whose residuals correlate: the occasions of a child. Units of one size make
a bundle; those of a bundle whose rows have the same places and variances share one pattern, hence
one covariance matrix, which is formed and inverted once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from teamlink.mixed.correlation import Correlation, Jet
from teamlink.typing import Array, Codes

__all__ = ["Bundle", "ResidualShape", "bundles_of", "distance_cells", "pair_cells"]


@dataclass(frozen=True, slots=True)
class Bundle:
    """The U units of T rows, in P patterns.

    Attributes
    ----------
    rows : (U, T) rows of each unit, by place
    pattern : (U,) pattern of each unit
    cells : (P, T, T) which correlation each pair of rows has
    strata : (P, T) which standard deviation each row has
    group : (U,) group of the random effects that each unit belongs to
    """

    rows: Codes
    pattern: Codes
    cells: Codes
    strata: Codes
    group: Codes


def distance_cells(places: Array, distances: Array) -> Codes:
    """Index among `distances` (C,), sorted, of each pair's distance; places are (P, T)."""
    apart = np.abs(places[:, :, None] - places[:, None, :])
    after = np.searchsorted(distances, apart).clip(1, len(distances) - 1)
    nearer = apart - distances[after - 1] < distances[after] - apart
    cells: Codes = after - nearer
    return cells


def pair_cells(levels: Codes) -> Codes:
    """Cell of each pair of occasions (P, T), as `Unstructured.pairs` counts them."""
    late = np.maximum(levels[:, :, None], levels[:, None, :])
    early = np.minimum(levels[:, :, None], levels[:, None, :])
    cells: Codes = np.where(late == early, 0, late * (late - 1) // 2 + early + 1)
    return cells


def bundles_of(unit: Codes, place: Array, strata: Codes, group: Codes) -> Iterator[
    tuple[Bundle, Array]
]:  # fmt: skip
    """Gather units by size, and by pattern of places and strata.

    Parameters
    ----------
    unit : (n,) unit of each row, 0 .. U - 1, each with a row
    place : (n,) where in its unit a row stands; what matters of it, equal for equal patterns
    strata : (n,) stratum of the standard deviation
    group : (n,) group of the random effects, constant within units

    Yields
    ------
    Bundle
        With cells left at zero, to be filled.
    (P, T)
        Places of each pattern.
    """
    order = np.lexsort((place, unit))
    counts = np.bincount(unit)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    for T in np.unique(counts):
        members = np.flatnonzero(counts == T)
        rows = order[first[members][:, None] + np.arange(T)]
        key = np.concatenate([place[rows], strata[rows].astype(float)], axis=1)
        patterns, inverse = np.unique(key, axis=0, return_inverse=True)
        cells = np.zeros((len(patterns), T, T), dtype=np.intp)
        yield (
            Bundle(
                rows, inverse.reshape(-1).astype(np.intp), cells,
                patterns[:, T:].astype(np.intp), group[rows[:, 0]],
            ),
            patterns[:, :T],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ResidualShape:
    """Correlations and standard deviations of the residuals, relative to sigma.

    The coordinates eta (k,) are those of the correlation, then for each stratum but the first the
    logarithm of its standard deviation over that of the first.

    Attributes
    ----------
    correlation : the family
    strata : names of the strata; one where all variances are equal
    """

    correlation: Correlation
    strata: tuple[str, ...]

    @property
    def split(self) -> int:
        """Number of coordinates of the correlation."""
        return len(self.correlation.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the k parameters."""
        return (*self.correlation.names, *(f"sd_ratio__{s}" for s in self.strata[1:]))

    @property
    def size(self) -> int:
        """Number of parameters k."""
        return len(self.names)

    def natural(self, eta: Array) -> Array:
        """The k parameters as users know them."""
        c = self.split
        return np.concatenate([self.correlation.natural(eta[:c]), np.exp(eta[c:])])

    def coordinates(self, natural: Array) -> Array:
        """The inverse of `natural`."""
        c = self.split
        return np.concatenate([self.correlation.coordinates(natural[:c]), np.log(natural[c:])])

    def at_edge(self, eta: Array) -> bool:
        """Whether a correlation is at the end of its range, or a variance vanishes."""
        return self.correlation.at_edge(eta[: self.split]) or bool(
            (np.abs(eta[self.split :]) > 9).any()
        )

    def candidates(self, deviations: Array) -> Array:
        """(S, k) points worth a try, given a guess of each stratum's standard deviation (S,)."""
        points = self.correlation.candidates()
        ratios = np.log(deviations[1:] / deviations[0])
        return np.concatenate([points, np.tile(ratios, (len(points), 1))], axis=1)

    def jet(self, eta: Array) -> Jet:
        """Correlation of each cell with its derivatives."""
        return self.correlation.jet(eta[: self.split])

    def deviations(self, eta: Array) -> Array:
        """(S,) standard deviation of each stratum relative to the first."""
        with np.errstate(over="ignore"):  # an infinite one makes the covariance unusable
            return np.concatenate([[1.0], np.exp(eta[self.split :])])

    def covariance(self, bundle: Bundle, eta: Array, jet: Jet | None = None) -> Array:
        """(P, T, T) covariance of each pattern, in units of sigma^2."""
        jet = self.jet(eta) if jet is None else jet
        sd = self.deviations(eta)[bundle.strata]
        with np.errstate(over="ignore", invalid="ignore"):
            R: Array = jet.value[bundle.cells] * sd[:, :, None] * sd[:, None, :]
        return R

    def slopes(self, bundle: Bundle, eta: Array, jet: Jet) -> Array:
        """(k, P, T, T) derivative of each pattern's covariance in eta."""
        sd = self.deviations(eta)[bundle.strata]
        scale = sd[:, :, None] * sd[:, None, :]
        correlation = jet.first[:, bundle.cells] * scale
        R = jet.value[bundle.cells] * scale
        mine = _strata_mask(bundle.strata, len(self.strata))
        variance = (mine[:, :, :, None] + mine[:, :, None, :]) * R
        return np.concatenate([correlation, variance])

    def bend(self, bundle: Bundle, eta: Array, jet: Jet, slopes: Array, score: Array) -> Array:
        """(k, k) the second derivative of the covariances, weighted by score (P, T, T)."""
        c, k = self.split, self.size
        sd = self.deviations(eta)[bundle.strata]
        scale = sd[:, :, None] * sd[:, None, :]
        by_cell = np.bincount(bundle.cells.reshape(-1), (score * scale).reshape(-1), len(jet.value))
        total = np.zeros((k, k))
        total[:c, :c] = jet.second @ by_cell
        if c < k:
            mine = _strata_mask(bundle.strata, len(self.strata))
            rows = (slopes[:c] * score).sum(axis=3)
            total[:c, c:] = 2 * np.einsum("ips,aps->ia", rows, mine)
            total[c:, :c] = total[:c, c:].T
            weighted = jet.value[bundle.cells] * scale * score
            within = np.einsum("aps,pst,bpt->ab", mine, weighted, mine)
            alone = np.einsum("aps,pst->a", mine, weighted)
            total[c:, c:] = 2 * (within + np.diag(alone))
        return total


def _strata_mask(strata: Codes, n: int) -> Array:
    """(S - 1, P, T) which rows belong to each stratum but the first."""
    mask: Array = (strata == np.arange(1, n)[:, None, None]).astype(float)
    return mask
