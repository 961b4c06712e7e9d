r"""Covariance matrices by their Cholesky roots: coordinates in which every point is valid.

``Sigma = L L'`` is positive semi-definite whatever L is, so a search over L needs no bounds and may
end on the boundary. In direction (r, c) of L,

    dSigma = e_r l_c' + l_c e_r'            d2Sigma = (e_r e_s' + e_s e_r') where c is the same,

so the Hessian of a function with gradient G in Sigma has 2 G[r, s] besides, for equal columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teamlink.typing import Array, Codes

__all__ = ["RootElements"]


@dataclass(frozen=True, slots=True)
class RootElements:
    """The elements of lower-triangular roots (R, p, p) that are free; the rest is held.

    Attributes
    ----------
    rows, columns : (K,) int
    """

    rows: Codes
    columns: Codes

    @classmethod
    def after(cls, p: int, held: int = 0) -> RootElements:
        """The elements of a root (p, p) whose first `held` rows are held."""
        rows, columns = np.tril_indices(p)
        free = rows >= held
        return cls(rows[free], columns[free])

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, L: Array) -> Array:
        """The free elements (R, K) of roots."""
        return L[:, self.rows, self.columns]

    def put(self, L: Array, values: Array) -> Array:
        """Roots with free elements (R, K) put into place."""
        filled = np.repeat(L, len(values), axis=0) if len(L) == 1 else L.copy()
        filled[:, self.rows, self.columns] = values
        return filled

    def directions(self, L: Array) -> Array:
        """Derivatives (R, K, p, p) of L L' in each free element."""
        R, p, _ = L.shape
        each = np.arange(len(self.rows))
        half = np.zeros((R, len(self.rows), p, p))
        half[:, each, self.rows] = L.swapaxes(-1, -2)[:, self.columns]
        return half + half.swapaxes(-1, -2)

    def bend(self, G: Array) -> Array:
        """What the second derivative of L L' adds to a Hessian (R, K, K), G (R, p, p) symmetric."""
        same = self.columns[:, None] == self.columns
        added: Array = 2 * G[:, self.rows[:, None], self.rows] * same
        return added
