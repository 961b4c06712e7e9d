"""Covariance of the random effects: theta to the relative factor Lambda and back.

The random effects of one group are ``b ~ N(0, sigma^2 Lambda Lambda')``. `theta` holds the entries
of Lambda that are free, block by block, each block's lower triangle down the columns: lme4's order.
A term ``(1 + x | g)`` is one full block; ``(1 + x || g)`` is two blocks of one. Several grouping
factors stand one after the other along the diagonal of one (Q, Q) Lambda, Q the sum of their q.

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
from teamlink.typing import Array, Mask

__all__ = ["RandomBasis", "RandomStructure", "lower_factor", "random_basis"]


@dataclass(frozen=True, slots=True)
class RandomStructure:
    """Which entries of Lambda are free.

    Attributes
    ----------
    blocks : sizes of the diagonal blocks, summing to Q
    rows, cols : (k,) place in Lambda of each element of theta
    factors : place of each grouping factor's effects along the diagonal
    """

    blocks: tuple[int, ...]
    rows: Array
    cols: Array
    factors: tuple[slice, ...]

    @classmethod
    def of_factors(cls, factors: Sequence[Sequence[int]]) -> RandomStructure:
        """Unstructured blocks along the diagonal, given the sizes of each factor's blocks."""
        blocks = [size for sizes in factors for size in sizes]
        rows, cols, first = [], [], 0
        for size in blocks:
            for c in range(size):
                for r in range(c, size):
                    rows.append(first + r)
                    cols.append(first + c)
            first += size
        return cls(
            tuple(blocks),
            np.array(rows, dtype=np.intp),
            np.array(cols, dtype=np.intp),
            _consecutive([sum(sizes) for sizes in factors]),
        )

    @property
    def q(self) -> int:
        """Number of random effects Q: of one group of each factor, taken together."""
        return sum(self.blocks)

    @property
    def size(self) -> int:
        """Number of elements of theta."""
        return len(self.rows)

    @property
    def diagonal(self) -> Mask:
        """(k,) which elements of theta lie on the diagonal of Lambda."""
        mask: Mask = self.rows == self.cols
        return mask

    @property
    def slices(self) -> tuple[slice, ...]:
        """The place of each block along the diagonal."""
        return _consecutive(self.blocks)

    def factor(self, theta: Array) -> Array:
        """Lambda (..., q, q) from theta (..., k)."""
        Lambda = np.zeros((*theta.shape[:-1], self.q, self.q))
        Lambda[..., self.rows, self.cols] = theta
        return Lambda

    def parameters(self, Lambda: Array) -> Array:
        """Theta (..., k) from Lambda (..., q, q)."""
        theta: Array = Lambda[..., self.rows, self.cols]
        return theta

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
    """

    shift: Array
    scale: Array
    T: Array
    factors: tuple[slice, ...]

    def columns(self, Z: Array, factor: int = 0) -> Array:
        """Working columns of Z (n, q), the columns of one factor."""
        at = self.factors[factor]
        return (Z - self.shift[at]) / self.scale[at]


def random_basis(factors: Sequence[Factor], structure: RandomStructure) -> RandomBasis:
    """Centre the columns of blocks with an intercept; scale every other column to unit size.

    Parameters
    ----------
    factors : F grouping factors, in the order of `structure`
    structure : RandomStructure
    """
    Q = structure.q
    shift, scale, T = np.zeros(Q), np.ones(Q), np.eye(Q)
    for factor, place in zip(factors, structure.factors, strict=True):
        own = RandomStructure.of_factors([factor.blocks]).slices
        for block, constant in zip(own, factor.intercepts, strict=True):
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
    return RandomBasis(shift, scale, T, structure.factors)
