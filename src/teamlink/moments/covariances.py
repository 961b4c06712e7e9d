"""Means and covariances of rows that share what they have observed.

A row that lacks some values says nothing about them, so the normal likelihood needs the rows by
missing-data pattern only: how many, their mean and their covariance. Complete data are one pattern.

Replicates, the leading axis, are weightings of the same rows: a bootstrap draw counts each row so
many times, and the patterns stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from teamlink.typing import Array, Codes, Mask

__all__ = ["PatternMoments", "Patterns", "find_patterns", "moments_by_pattern"]


@dataclass(frozen=True, slots=True)
class Patterns:
    """Which values the rows have observed.

    Attributes
    ----------
    observed : (P, p) the distinct patterns, the most complete first; none is empty
    codes : (n,) pattern of each row, -1 where nothing is observed
    """

    observed: Mask
    codes: Codes

    def rows(self) -> Iterator[Codes]:
        """The rows of each pattern in turn."""
        order = np.argsort(self.codes, kind="stable")
        ends = np.searchsorted(self.codes[order], np.arange(len(self.observed) + 1))
        for start, stop in pairwise(ends):
            yield order[start:stop]


@dataclass(frozen=True, slots=True)
class PatternMoments:
    """Sufficient statistics of normal rows with values missing at random.

    Attributes
    ----------
    observed : (P, p) the patterns
    n : (R, P) weighted number of rows
    mean : (R, P, p) zero where not observed
    cov : (R, P, p, p) divisor n; zero where not observed
    """

    observed: Mask
    n: Array
    mean: Array
    cov: Array

    def take(self, index: Codes) -> PatternMoments:
        """Those of some of the replicates, `index` integer (r,)."""
        return PatternMoments(self.observed, self.n[index], self.mean[index], self.cov[index])

    def scaled(self, centre: Array, scale: Array) -> PatternMoments:
        """The moments of ``(y - centre) / scale``, both (p,)."""
        return PatternMoments(
            self.observed,
            self.n,
            np.where(self.observed, (self.mean - centre) / scale, 0.0),
            self.cov / np.outer(scale, scale),
        )


def find_patterns(y: Array) -> Patterns:
    """Find the distinct missing-data patterns of rows y (n, p); what is missing is NaN.

    Parameters
    ----------
    y : (n, p)

    Returns
    -------
    Patterns

    Examples
    --------
    >>> found = find_patterns(np.array([[1.0, 2.0], [np.nan, 3.0], [4.0, 5.0], [np.nan, np.nan]]))
    >>> found.observed.astype(int).tolist(), found.codes.tolist()
    ([[1, 1], [0, 1]], [0, 1, 0, -1])
    """
    observed = ~np.isnan(y)
    n, p = observed.shape
    packed = np.zeros((n, 8 * -(-p // 64)), dtype=np.uint8)
    packed[:, : -(-p // 8)] = np.packbits(observed, axis=1)
    # Eight bytes make one word: its order is cheap, and up to 64 variables need only one.
    words = packed.view(">u8").astype(np.uint64)
    if words.shape[1] == 1:
        distinct, first, codes = np.unique(words[:, 0], return_index=True, return_inverse=True)
    else:
        distinct, first, codes = np.unique(words, axis=0, return_index=True, return_inverse=True)
    # np.unique sorts upwards, and the leading bits are the first variables: reversed, the most
    # complete pattern stands first and the empty one, if there is one, last.
    shown = observed[first][::-1]
    codes = len(distinct) - 1 - codes.reshape(n)
    empty = not shown[-1].any() if len(shown) else False
    if empty:
        codes = np.where(codes == len(shown) - 1, -1, codes)
        shown = shown[:-1]
    return Patterns(np.ascontiguousarray(shown), codes.astype(np.intp))


def moments_by_pattern(
    y: Array, patterns: Patterns, weights: Array | None = None
) -> PatternMoments:
    """Count, mean and covariance of the rows of each pattern.

    Parameters
    ----------
    y : (n, p), NaN where missing
    patterns : those of y
    weights : (R, n) how often each row counts; once by default

    Returns
    -------
    PatternMoments
    """
    P, p = patterns.observed.shape
    R = 1 if weights is None else len(weights)
    n = np.zeros((R, P))
    mean = np.zeros((R, P, p))
    cov = np.zeros((R, P, p, p))
    for k, rows in enumerate(patterns.rows()):
        seen = np.flatnonzero(patterns.observed[k])
        block = y[np.ix_(rows, seen)]
        # Centred at the pattern's own mean, so that the products below lose no digits.
        centre = block.mean(axis=0)
        w = None if weights is None else weights[:, rows]
        n[:, k], about, cov[:, k, seen[:, None], seen] = _weighted(block - centre, w)
        mean[:, k, seen] = np.where(n[:, k, None] > 0, about + centre, 0.0)
    return PatternMoments(patterns.observed, n, mean, cov)


def _weighted(block: Array, weights: Array | None) -> tuple[Array, Array, Array]:
    """Count (R,), mean (R, p) and covariance (R, p, p) of rows (n, p) under weights (R, n)."""
    n, p = block.shape
    if weights is None:
        return np.array([float(n)]), np.zeros((1, p)), (block.T @ block / n)[None]
    count = weights.sum(axis=1)
    share = np.divide(1.0, count, out=np.zeros_like(count), where=count > 0)
    upper = np.triu_indices(p)
    mean = (weights @ block) * share[:, None]
    products = (weights @ (block[:, upper[0]] * block[:, upper[1]])) * share[:, None]
    cov = np.empty((len(weights), p, p))
    cov[:, upper[0], upper[1]] = products
    cov[:, upper[1], upper[0]] = products
    return count, mean, cov - mean[:, :, None] * mean[:, None, :]
