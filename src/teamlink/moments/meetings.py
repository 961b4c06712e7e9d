r"""Which upper columns meet in a group of the eliminated factor, as a linear map.

With symmetric matrices w_j (q, q), one for each group, the sums ``sum_j C_j' w_j C_j`` are linear
in the elements of w. Where not too many columns meet in a group the map is written out as one
sparse matrix, and each evaluation is a product of it with a vector. Otherwise C itself is kept and
the sums are formed anew each time: slower, but no larger than the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from scipy.sparse import coo_array, csc_array, csr_array, hstack

from teamlink.typing import Array, Codes

__all__ = ["FactoredMeetings", "Meetings", "WrittenMeetings", "lower_triangle", "meetings"]

_WRITTEN = 30_000_000
"""Up to so many meetings the map is written out, at twelve bytes each."""

_FULL = 0.25
"""Where a larger share of C is not zero, and there is much of it, its own products are smaller."""

_MUCH = 2_000_000
"""Meetings from which on that matters."""

_DENSE = 0.03
"""A larger share of nonzero elements makes dense products the faster ones."""

_BLOCK = 4_194_304
"""Elements of a dense block of C."""


@cache
def lower_triangle(q: int) -> tuple[Codes, Codes]:
    """Rows and columns (t,) of the elements of a lower triangle, by row; not to be written to."""
    return np.tril_indices(q)


class Meetings(Protocol):
    """The map of one stack of K components with s columns each; t = q (q + 1) / 2."""

    def apply(self, elements: Array) -> Array:
        """Sums (R, K, s, s) from the elements (R, t, J) of symmetric matrices, rows first."""
        ...

    def adjoint(self, Phi: Array) -> Array:
        """Elements (R, t, J) of C_j Phi C_j' for symmetric Phi (R, K, s, s)."""
        ...


@dataclass(frozen=True, slots=True)
class WrittenMeetings:
    """The map as a sparse matrix.

    Attributes
    ----------
    P : (K * s * s, t * J)
    back : its transpose
    shape : (K, s)
    q : effects a group
    """

    P: csc_array
    back: csr_array
    shape: tuple[int, int]
    q: int

    def apply(self, elements: Array) -> Array:
        """See `Meetings`."""
        (K, s), R = self.shape, len(elements)
        result: Array = (self.P @ elements.reshape(R, -1).T).T.reshape(R, K, s, s)
        return result

    def adjoint(self, Phi: Array) -> Array:
        """See `Meetings`."""
        R, t = len(Phi), self.q * (self.q + 1) // 2
        sums: Array = (self.back @ Phi.reshape(R, -1).T).T.reshape(R, t, -1)
        if self.q > 1:
            a, b = lower_triangle(self.q)
            sums = sums * np.where(a == b, 1.0, 0.5)[:, None]
        return sums


@dataclass(frozen=True, slots=True)
class FactoredMeetings:
    """The map by its factors.

    Attributes
    ----------
    C : (J, K * s) sparse, one for each effect
    shape : (K, s)
    """

    C: tuple[csr_array, ...]
    shape: tuple[int, int]

    def apply(self, elements: Array) -> Array:
        """See `Meetings`."""
        K, s = self.shape
        result = np.zeros((len(elements), K, s, s))
        for r, own in enumerate(elements):
            for a, b, w in self._elements(own):
                part = self._sum(a, b, w)
                result[r] += part if a == b else part + part.swapaxes(1, 2)
        return result

    def adjoint(self, Phi: Array) -> Array:
        """See `Meetings`."""
        K, s = self.shape
        q, J = len(self.C), self.C[0].shape[0]
        result = np.zeros((len(Phi), q * (q + 1) // 2, J))
        for k in range(K):
            columns = slice(k * s, (k + 1) * s)
            own = [C if K == 1 else csr_array(C[:, columns]) for C in self.C]
            for rows in _row_blocks(J, s):
                for r in range(len(Phi)):
                    through = [C[rows] @ Phi[r, k] for C in own]
                    for t, (a, b) in enumerate(zip(*lower_triangle(q), strict=True)):
                        result[r, t, rows] += own[a][rows].multiply(through[b]).sum(axis=1)
        return result

    def _elements(self, own: Array) -> Iterator[tuple[int, int, Array]]:
        for t, (a, b) in enumerate(zip(*lower_triangle(len(self.C)), strict=True)):
            yield int(a), int(b), own[t]

    def _sum(self, a: int, b: int, w: Array) -> Array:
        """sum_j w_j C_a[j]'C_b[j], (K, s, s)."""
        K, s = self.shape
        left, right = self.C[a], self.C[b]
        total = np.zeros((K, s, s))
        if K == 1 and left.nnz > _DENSE * left.shape[0] * s:
            for rows in _row_blocks(len(w), s):
                one = left[rows].toarray() * w[rows, None]
                total[0] += one.T @ (right[rows].toarray() if a != b else left[rows].toarray())
            return total
        weighted = left.copy()
        weighted.data = left.data * np.repeat(w, np.diff(left.indptr))
        product = coo_array(csr_array(weighted.T) @ right)
        total[product.row // s, product.row % s, product.col % s] = product.data
        return total


def meetings(values: Array, group: Codes, place: Codes, shape: tuple[int, int], J: int) -> Meetings:
    """The map of one stack.

    Parameters
    ----------
    values : (q, M) elements of C that are not zero for all effects, sorted by group
    group : (M,) group of each
    place : (M,) its column: component * s + position
    shape : (K, s)
    J : number of groups
    """
    counts = np.bincount(group, minlength=J)
    K, s = shape
    count = float(np.square(counts.astype(float)).sum()) * (len(values) + 1) / 2
    full = K == 1 and len(group) > _FULL * J * s
    if count > (_MUCH if full else _WRITTEN):
        pointer = np.concatenate([[0], np.cumsum(counts)])
        C = tuple(csr_array((v, place, pointer), shape=(J, K * s)) for v in values)
        return FactoredMeetings(C, shape)
    return _written(values, place, counts, shape)


def _row_blocks(J: int, s: int) -> list[slice]:
    step = max(_BLOCK // max(s, 1), 1)
    return [slice(start, start + step) for start in range(0, J, step)]


def _written(values: Array, place: Codes, counts: Codes, shape: tuple[int, int]) -> WrittenMeetings:
    """The map written out: every two columns that meet, group after group."""
    (K, s), q, J = shape, len(values), len(counts)
    if not q:
        nothing = csc_array((K * s * s, 0))
        return WrittenMeetings(nothing, csr_array(nothing.T), shape, q)
    pointer = np.concatenate([[0], np.cumsum(counts**2)])
    # Narrow integers: there are far more pairs than groups, and memory is what they cost.
    narrow = max(K * s * s, int(pointer[-1])) < 2**31
    index: Any = np.int32 if narrow else np.int64
    begins = np.concatenate([[0], np.cumsum(counts)]).astype(index)
    each = np.repeat(counts, counts).astype(index)
    one = np.repeat(np.arange(len(each), dtype=index), each)
    two = np.arange(pointer[-1], dtype=index)
    two -= np.repeat(np.concatenate([[0], np.cumsum(each)])[:-1].astype(index), each)
    two += np.repeat(np.repeat(begins[:-1], counts), each)
    component, position = place // s, place % s
    rows = (component * s * s + position * s).astype(index)[one]
    rows += position.astype(index)[two]
    maps = []
    for a in range(q):
        for b in range(a + 1):
            v = values[a, one] * values[b, two]
            if a != b:
                v += values[b, one] * values[a, two]
            maps.append(csc_array((v, rows, pointer.astype(index)), shape=(K * s * s, J)))
    P = csc_array(hstack(maps)) if len(maps) > 1 else maps[0]
    return WrittenMeetings(P, csr_array(P.T), shape, q)
