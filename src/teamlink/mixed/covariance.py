"""Covariance of the random effects: theta to the relative factor Lambda and back.

The random effects of one group are ``b ~ N(0, sigma^2 Lambda Lambda')``. `theta` holds the entries
of Lambda that are free, block by block, each block's lower triangle down the columns: lme4's order.
A term ``(1 + x | g)`` is one full block; ``(1 + x || g)`` is two blocks of one. Several grouping
factors stand one after the other along the diagonal of one (Q, Q) Lambda, Q the sum of their q.

A block of compound symmetry, ``cs(x | g)``, has one variance and one correlation for its effects:
``Sigma = H diag(l_1^2, l_2^2, ..., l_2^2) H'``, H orthonormal with its first column constant. It is
worked on in the columns ``Z H``, neither centred nor scaled, where Lambda is diagonal with all but
its first entry tied.

The engine works with columns of Z that are centred (where their block has an intercept) and
scaled; `RandomBasis` carries Lambda back: ``b = T b_work``, so Lambda is the lower factor of
``T Lambda_work``. Where rows belong to several groups nothing is centred: the weights of a row need
not sum to one, so an intercept would not take the shift up.
What stays invariant: ``Z b``, hence the likelihood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.mixed.factor import Factor
from teamlink.typing import Array, Codes

__all__ = ["RandomBasis", "RandomStructure", "lower_factor", "random_basis"]


@dataclass(frozen=True, slots=True)
class RandomStructure:
    """Which entries of Lambda are free, and which are equal.

    Attributes
    ----------
    blocks : sizes of the diagonal blocks, summing to Q
    rows, cols : (e,) place in Lambda of each entry that is not zero
    factors : place of each grouping factor's effects along the diagonal
    ties : (e,) which element of theta each entry equals; 0, 1, ... where none are tied
    compound : which of the blocks have compound symmetry
    """

    blocks: tuple[int, ...]
    rows: Codes
    cols: Codes
    factors: tuple[slice, ...]
    ties: Codes
    compound: tuple[int, ...]

    @classmethod
    def of_factors(
        cls, factors: Sequence[Sequence[int]], compound: Sequence[Sequence[int]] = ()
    ) -> RandomStructure:
        """Blocks along the diagonal, given the sizes of each factor's blocks.

        Blocks are unstructured, but for those that `compound` names for each factor.
        """
        sizes = [size for own in factors for size in own]
        starts = np.cumsum([0, *map(len, factors)])
        tied = {int(starts[f]) + b for f, own in enumerate(compound) for b in own}
        rows, cols, ties, first, k = [], [], [], 0, 0
        for b, size in enumerate(sizes):
            for c in range(size):
                for r in range(c, c + 1 if b in tied else size):
                    rows.append(first + r)
                    cols.append(first + c)
                    k += not (b in tied and c > 1)
                    ties.append(k - 1)
            first += size
        return cls(
            tuple(sizes),
            np.array(rows, dtype=np.intp),
            np.array(cols, dtype=np.intp),
            _consecutive([sum(own) for own in factors]),
            np.array(ties, dtype=np.intp),
            tuple(sorted(tied)),
        )

    @property
    def q(self) -> int:
        """Number of random effects Q: of one group of each factor, taken together."""
        return sum(self.blocks)

    @property
    def size(self) -> int:
        """Number of elements of theta, k."""
        return int(self.ties.max(initial=-1)) + 1

    @property
    def tied(self) -> bool:
        """Whether several entries of Lambda are one element of theta."""
        return len(self.ties) > self.size

    def gathered(self, values: Array, axis: int) -> Array:
        """Sums over the entries that one element of theta stands for, along an axis of values."""
        if not self.tied:
            return values
        first = np.flatnonzero(np.diff(self.ties, prepend=-1))
        summed: Array = np.add.reduceat(values, first, axis=axis)
        return summed

    @property
    def slices(self) -> tuple[slice, ...]:
        """The place of each block along the diagonal."""
        return _consecutive(self.blocks)

    def factor(self, theta: Array) -> Array:
        """Lambda (..., q, q) from theta (..., k)."""
        Lambda = np.zeros((*theta.shape[:-1], self.q, self.q))
        Lambda[..., self.rows, self.cols] = theta[..., self.ties] if self.tied else theta
        return Lambda

    def parameters(self, Lambda: Array) -> Array:
        """Theta (..., k) from Lambda (..., q, q); tied entries that differ are averaged."""
        theta: Array = Lambda[..., self.rows, self.cols]
        if not self.tied:
            return theta
        return self.gathered(theta, -1) / np.bincount(self.ties)

    def triangles(self, Lambda: Array) -> Array:
        """The lower triangle of every block of Lambda (..., q, q), down the columns."""
        full = RandomStructure.of_factors([self.blocks])
        entries: Array = Lambda[..., full.rows, full.cols]
        return entries

    def canonical(self, Lambda: Array) -> Array:
        """The factor with the same Lambda Lambda', lower triangular, diagonal >= 0, zeros last."""
        result = np.zeros_like(Lambda)
        for block in self.slices:
            result[..., block, block] = lower_factor(Lambda[..., block, block])
        return result


def _consecutive(sizes: Sequence[int]) -> tuple[slice, ...]:
    """Slices of the given sizes, one after the other."""
    ends = np.cumsum(sizes)
    return tuple(slice(int(e - size), int(e)) for size, e in zip(sizes, ends, strict=True))


def lower_factor(root: Array) -> Array:
    """Lower-triangular L with ``L L' = root root'`` and a diagonal that is not negative.

    Parameters
    ----------
    root : (..., q, q) any square root; rank deficiency is allowed

    Returns
    -------
    (..., q, q); where the rank is short, trailing columns are zero as far as the order allows
    """
    upper = np.linalg.qr(np.swapaxes(root, -1, -2), mode="r")
    diagonal = np.diagonal(upper, axis1=-2, axis2=-1)
    sign = np.where(diagonal < 0, -1.0, 1.0)
    return np.swapaxes(upper * sign[..., None], -1, -2)


@dataclass(frozen=True, slots=True)
class RandomBasis:
    """How the columns of Z are centred and scaled, factor after factor.

    Attributes
    ----------
    shift, scale : (Q,) the working column is (z - shift) / scale
    T : (Q, Q) maps working effects to effects of the columns as given
    factors : place of each factor's columns among the Q
    turns : place among the Q of each block that is turned to its mean direction
    """

    shift: Array
    scale: Array
    T: Array
    factors: tuple[slice, ...]
    turns: tuple[slice, ...] = ()

    def columns(self, Z: Array, factor: int = 0) -> Array:
        """Working columns of Z (n, q), the columns of one factor."""
        at = self.factors[factor]
        work: Array = (Z - self.shift[at]) / self.scale[at]
        for turn in self.turns:
            if at.start <= turn.start < at.stop:
                own = slice(turn.start - at.start, turn.stop - at.start)
                work[:, own] = work[:, own] @ self.T[turn, turn]
        return work


def random_basis(factors: Sequence[Factor], structure: RandomStructure) -> RandomBasis:
    """Centre the columns of blocks with an intercept; scale every other column to unit size.

    Parameters
    ----------
    factors : F grouping factors, in the order of `structure`
    structure : RandomStructure
    """
    Q = structure.q
    shift, scale, T = np.zeros(Q), np.ones(Q), np.eye(Q)
    turns = tuple(structure.slices[b] for b in structure.compound)
    for turn in turns:
        T[turn, turn] = mean_direction(turn.stop - turn.start)
    for factor, place in zip(factors, structure.factors, strict=True):
        own = RandomStructure.of_factors([factor.blocks]).slices
        for block, constant in zip(own, factor.intercepts, strict=True):
            if slice(place.start + block.start, place.start + block.stop) in turns:
                continue
            centre = constant >= 0 and factor.membership is None
            for k in range(block.start, block.stop):
                if k == constant:
                    continue
                z, at = factor.Z[:, k], place.start + k
                if centre:
                    shift[at] = z.mean()
                size = float(np.sqrt(np.mean(np.square(z - shift[at]))))
                scale[at] = size if size > 1e-13 * abs(shift[at]) and size > 0 else 1.0
                T[at, at] = 1.0 / scale[at]
                if centre:
                    T[place.start + constant, at] = -shift[at] / scale[at]
    return RandomBasis(shift, scale, T, structure.factors, turns)


def mean_direction(q: int) -> Array:
    """An orthonormal H (q, q) whose first column is constant: Helmert's contrasts."""
    H = np.zeros((q, q))
    H[:, 0] = 1 / np.sqrt(q)
    for c in range(1, q):
        H[:c, c] = -1 / np.sqrt(c * (c + 1))
        H[c, c] = c / np.sqrt(c * (c + 1))
    return H
