"""Algebra on stacks of components: replicates first, then components, then rows and columns.

A block-diagonal matrix that repeats one small block for every group of a factor is never written
out: it acts on the columns of each slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack, solve_triangular

from teamlink.moments.meetings import lower_triangle
from teamlink.moments.upper import Slot
from teamlink.typing import Array, Mask

__all__ = ["Roots", "inverse_blocks", "left", "minus_blocks", "packed", "times"]

_SMALL = 40
"""Up to this size a stack of inverses is faster than one factorisation after the other."""


def packed(matrices: Array) -> Array:
    """Elements (R, t, J) of the lower triangles of symmetric (R, q, q, J), by row."""
    q = matrices.shape[1]
    if q == 1:
        return matrices[:, 0]
    a, b = lower_triangle(q)
    elements: Array = matrices[:, a, b]
    return elements


def times(A: Array, blocks: Array, slots: Sequence[Slot]) -> Array:
    """A (R, K, x, s) times the block-diagonal matrix with blocks (R, Q, Q) on its last axis."""
    out = np.empty(A.shape)
    for slot in slots:
        block = blocks[:, slot.place, slot.place]
        q, g = block.shape[1], slot.groups
        for b in range(q):
            target = out[..., slot.first + b * g : slot.first + (b + 1) * g]
            target[:] = A[..., slot.first : slot.first + g] * block[:, 0, b][:, None, None, None]
            for a in range(1, q):
                part = A[..., slot.first + a * g : slot.first + (a + 1) * g]
                target += part * block[:, a, b][:, None, None, None]
    return out


def left(A: Array, blocks: Array, slots: Sequence[Slot]) -> Array:
    """Block-diagonal matrix with blocks (R, Q, Q) times A (R, K, s, x)."""
    product: Array = times(A.swapaxes(2, 3), blocks.swapaxes(1, 2), slots).swapaxes(2, 3)
    return product


@dataclass(frozen=True, slots=True)
class Roots:
    """Lower Cholesky roots of a stack of symmetric matrices.

    Attributes
    ----------
    L : (R, K, s, s)
    inverse : (R, K, s, s) L^-1 of small ones; None for large ones
    failed : (R,) replicates where one has no root; they get identities
    """

    L: Array
    inverse: Array | None
    failed: Mask

    @classmethod
    def of(cls, Omega: Array) -> Roots:
        """Factor a stack (R, K, s, s)."""
        failed: Mask = np.zeros(len(Omega), dtype=np.bool_)
        if Omega.shape[-1] == 1:
            failed = np.asarray(~(Omega > 0).all(axis=(1, 2, 3)))
            L: Array = np.sqrt(np.where(Omega > 0, Omega, 1.0))
            return cls(L, 1 / L, failed)
        if Omega.shape[-1] <= _SMALL:
            try:
                L = np.asarray(np.linalg.cholesky(Omega), dtype=float)
                return cls(L, np.asarray(np.linalg.inv(L), dtype=float), failed)
            except np.linalg.LinAlgError:
                pass
        L = np.zeros_like(Omega)
        for r, k in np.ndindex(*Omega.shape[:2]):
            # The transpose of a C-ordered lower root is a Fortran-ordered upper one.
            upper, info = lapack.dpotrf(Omega[r, k].T, lower=0, clean=1)
            L[r, k] = upper.T
            failed[r] |= info != 0
        L[failed] = np.eye(Omega.shape[-1])
        small = Omega.shape[-1] <= _SMALL
        return cls(L, np.asarray(np.linalg.inv(L), dtype=float) if small else None, failed)

    def log_det(self) -> Array:
        """(R, K) log-determinants of the matrices."""
        logs: Array = 2 * np.log(np.diagonal(self.L, axis1=2, axis2=3)).sum(axis=2)
        return logs

    def solve(self, right: Array, transpose: bool = False) -> Array:
        """L^-1 right, or L^-T right, for right (R, K, s, m)."""
        if self.inverse is not None:
            half = self.inverse.swapaxes(2, 3) if transpose else self.inverse
            small: Array = half @ right
            return small
        out = np.empty_like(right)
        for r, k in np.ndindex(*self.L.shape[:2]):
            out[r, k] = solve_triangular(
                self.L[r, k],
                right[r, k],
                lower=True,
                trans=1 if transpose else 0,
                check_finite=False,
            )
        return out

    def inverted(self) -> Array:
        """(L L')^-1, (R, K, s, s)."""
        if self.inverse is not None:
            small: Array = self.inverse.swapaxes(2, 3) @ self.inverse
            return small
        out = np.empty_like(self.L)
        for r, k in np.ndindex(*self.L.shape[:2]):
            half, _ = lapack.dpotri(self.L[r, k].T, lower=0)
            out[r, k] = np.triu(half)
            out[r, k] += np.triu(half, 1).T
        return out


def inverse_blocks(Lambda: Array, slots: Sequence[Slot]) -> Array:
    """Inverse of every factor's block, (R, Q, Q)."""
    out = np.zeros_like(Lambda)
    for slot in slots:
        out[:, slot.place, slot.place] = np.linalg.inv(Lambda[:, slot.place, slot.place])
    return out


def minus_blocks(right: Array, back: Array, slots: Sequence[Slot]) -> Array:
    """Subtract Lambda^-1 from Omega^-1 Lambda^-1, in place."""
    for slot in slots:
        block = back[:, slot.place, slot.place]
        g = slot.groups
        each = np.arange(g)
        for a in range(block.shape[1]):
            for b in range(block.shape[1]):
                rows, cols = slot.first + a * g + each, slot.first + b * g + each
                right[:, :, rows, cols] -= block[:, a, b][:, None, None]
    return right
