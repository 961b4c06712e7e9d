"""One grouping factor: which group each row belongs to, and in which columns groups differ.

A row belongs to one group, or to several with a weight each (multiple membership). Row i adds
``sum_j w_ij z_i'b_j`` to its expectation, where w is 0 or 1 for an ordinary factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from teamlink.mixed.encoding import Encoding
from teamlink.typing import Array, Codes

__all__ = ["Factor", "lies_within", "same_groups"]


@dataclass(frozen=True, slots=True)
class Factor:
    """A grouping factor with the effects that vary by it, at n rows.

    Attributes
    ----------
    name : such as "school" or "school:class"
    levels : (J,) group labels
    codes : (n,) group of each row, 0 .. J-1, or -1 for a group that is none of the levels; None
        for a multiple-membership factor
    membership : (n, J) weights of each row's groups; None where a row belongs to one group
    Z : (n, q) columns of its random effects, block after block
    blocks : columns of Z in each covariance block
    encodings : how each block of Z was coded
    variables : names of the grouping columns
    compound : which of the blocks have compound symmetry
    """

    name: str
    levels: pd.Index[Any]
    codes: Codes | None
    membership: csr_array | None
    Z: Array
    blocks: tuple[int, ...]
    encodings: tuple[Encoding, ...]
    variables: tuple[str, ...]
    compound: tuple[int, ...] = ()

    @property
    def n_groups(self) -> int:
        """Number of groups J."""
        return len(self.levels)

    @property
    def q(self) -> int:
        """Number of random effects a group."""
        return sum(self.blocks)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of Z."""
        return tuple(name for block in self.encodings for name in block.names)

    @property
    def intercepts(self) -> tuple[int, ...]:
        """For each block, the index in Z of its constant column, or -1.

        A block of compound symmetry has none to speak of: all its columns are alike.
        """
        first = 0
        constant: set[int] = set()
        for encoding in self.encodings:
            if encoding.intercept >= 0:
                constant.add(first + encoding.intercept)
            first += len(encoding.names)
        found, start = [], 0
        for b, size in enumerate(self.blocks):
            own = constant & set(range(start, start + size)) if b not in self.compound else set()
            found.append(min(own, default=-1))
            start += size
        return tuple(found)

    @property
    def weights(self) -> csr_array:
        """(n, J) weight of each group in each row: the membership, or zeros and ones."""
        if self.membership is not None:
            return self.membership
        codes = self.only_codes
        seen = codes >= 0
        pointer = np.concatenate([[0], np.cumsum(seen)])
        return csr_array((np.ones(pointer[-1]), codes[seen], pointer), (len(codes), self.n_groups))

    @property
    def only_codes(self) -> Codes:
        """(n,) group of each row of a factor that is not one of multiple membership."""
        if self.codes is None:
            raise TypeError(f"rows belong to several groups of {self.name!r}")
        return self.codes

    def by_effect(self, Z: Array) -> csr_array:
        """(n, q J) random-effects matrix with columns Z (n, q); column ``a J + j``, effect a."""
        W, J, q = self.weights, self.n_groups, Z.shape[1]
        each = np.diff(W.indptr)
        values = W.data[:, None] * (Z if (each == 1).all() else np.repeat(Z, each, axis=0))
        places = W.indices[:, None].astype(np.intp) + J * np.arange(q)
        return csr_array((values.ravel(), places.ravel(), W.indptr * q), (W.shape[0], J * q))

    def of_rows(self, effects: Array) -> Array:
        """(n, R) what rows get of effects (J, R) of their groups; zero for a group not known."""
        if self.codes is None:
            gathered: Array = self.weights @ effects
            return gathered
        if self.codes.min(initial=0) >= 0:
            return effects[self.codes]
        return np.where((self.codes >= 0)[:, None], effects[self.codes], 0.0)

    def add_to(self, y: Array, effects: Array) -> None:
        """Add effects (J, q, R), times the columns of Z, to y (n, R) in place."""
        for a in range(self.q):
            y += self.Z[:, a : a + 1] * self.of_rows(effects[:, a])


def same_groups(one: Factor, two: Factor) -> bool:
    """Whether two factors group the rows alike, whatever the groups are called."""
    if one.n_groups != two.n_groups:
        return False
    if one.codes is not None and two.codes is not None:
        return lies_within(one, two)
    return _columns(one) == _columns(two)


def lies_within(inner: Factor, outer: Factor) -> bool:
    """Whether the rows of each group of `inner` belong to one group of `outer` only."""
    if inner.codes is None or outer.codes is None:
        return False
    parent = np.zeros(inner.n_groups, dtype=np.intp)
    parent[inner.codes] = outer.codes
    return np.array_equal(parent[inner.codes], outer.codes)


def _columns(factor: Factor) -> set[tuple[bytes, bytes]]:
    """The columns of the weights, each as the rows it touches and their weights."""
    W = factor.weights.tocsc()
    W.sort_indices()
    ends = zip(W.indptr[:-1], W.indptr[1:], strict=True)
    return {(W.indices[a:b].astype(np.intp).tobytes(), W.data[a:b].tobytes()) for a, b in ends}
