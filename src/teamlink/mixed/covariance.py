"""Covariance of the random effects: theta to the relative factor Lambda and back.

The random effects of one group are ``b ~ N(0, sigma^2 Lambda Lambda')``. `theta` holds the entries
of Lambda that are free, block by block, each block's lower triangle down the columns: lme4's order.
A term ``(1 + x | g)`` is one full block; ``(1 + x || g)`` is two blocks of one.

The engine works with columns of Z that are centred (where their block has an intercept) and
scaled; `RandomBasis` carries Lambda back: ``b = T b_work``, so Lambda is the lower factor of
``T Lambda_work``.
What stays invariant: ``Z b``, hence the likelihood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.typing import Array, Mask

__all__ = ["RandomBasis", "RandomStructure", "lower_factor", "random_basis"]


@dataclass(frozen=True, slots=True)
class RandomStructure:
    """Which entries of Lambda are free.

    Attributes
    ----------
    blocks : sizes of the diagonal blocks, summing to q
    rows, cols : (k,) place in Lambda of each element of theta
    """

    blocks: tuple[int, ...]
    rows: Array
    cols: Array

    @classmethod
    def of_blocks(cls, blocks: Sequence[int]) -> RandomStructure:
        """Unstructured blocks of the given sizes along the diagonal."""
        rows, cols, first = [], [], 0
        for size in blocks:
            for c in range(size):
                for r in range(c, size):
                    rows.append(first + r)
                    cols.append(first + c)
            first += size
        return cls(tuple(blocks), np.array(rows, dtype=np.intp), np.array(cols, dtype=np.intp))

    @property
    def q(self) -> int:
        """Number of random effects a group."""
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
        ends = np.cumsum(self.blocks)
        return tuple(slice(int(e - b), int(e)) for b, e in zip(self.blocks, ends, strict=True))

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
    """How the columns of Z are centred and scaled.

    Attributes
    ----------
    shift, scale : (q,) the working column is (z - shift) / scale
    T : (q, q) maps working effects to effects of the columns as given
    """

    shift: Array
    scale: Array
    T: Array

    def columns(self, Z: Array) -> Array:
        """Working columns of Z (n, q)."""
        return (Z - self.shift) / self.scale


def random_basis(Z: Array, structure: RandomStructure, intercepts: Sequence[int]) -> RandomBasis:
    """Centre the columns of blocks with an intercept; scale every other column to unit size.

    Parameters
    ----------
    Z : (n, q)
    structure : RandomStructure
    intercepts : for each block the index of its constant column in Z, or -1
    """
    q = Z.shape[1]
    shift, scale = np.zeros(q), np.ones(q)
    T = np.eye(q)
    for block, constant in zip(structure.slices, intercepts, strict=True):
        for k in range(block.start, block.stop):
            if k == constant:
                continue
            if constant >= 0:
                shift[k] = Z[:, k].mean()
            centred = Z[:, k] - shift[k]
            size = float(np.sqrt(np.mean(np.square(centred))))
            scale[k] = size if size > 1e-13 * abs(shift[k]) and size > 0 else 1.0
            T[k, k] = 1.0 / scale[k]
            if constant >= 0:
                T[constant, k] = -shift[k] / scale[k]
    return RandomBasis(shift, scale, T)
