"""Many small symmetric matrices at once: matrix indices ahead, whatever is batched behind.

A stack of q x q matrices is an array (R, q, q, J), so that every entry is a contiguous run over the
groups and the loops are over q only, which is small.
"""

from __future__ import annotations

import numpy as np

from teamlink.typing import Array

__all__ = ["cholesky", "inverse", "lower_inverse", "product"]


def cholesky(H: Array) -> Array:
    """Lower roots (R, q, q, J) of positive definite (R, q, q, J); NaN where there is none."""
    q = H.shape[1]
    L = np.zeros_like(H)
    with np.errstate(invalid="ignore", divide="ignore"):
        for b in range(q):
            pivot = H[:, b, b] - np.square(L[:, b, :b]).sum(axis=1)
            L[:, b, b] = np.sqrt(pivot)
            for a in range(b + 1, q):
                L[:, a, b] = (H[:, a, b] - (L[:, a, :b] * L[:, b, :b]).sum(axis=1)) / L[:, b, b]
    return L


def lower_inverse(L: Array) -> Array:
    """Inverses (R, q, q, J) of lower triangular matrices."""
    q = L.shape[1]
    inverse = np.zeros_like(L)
    for a in range(q):
        inverse[:, a, a] = 1 / L[:, a, a]
        for b in range(a):
            inverse[:, a, b] = -(L[:, a, b:a] * inverse[:, b:a, b]).sum(axis=1) / L[:, a, a]
    return inverse


def inverse(M: Array) -> Array:
    """Inverses (R, q, q, J) of positive definite matrices, from the inverse M of their root."""
    if M.shape[1] == 1:
        return np.square(M)
    found: Array = np.einsum("rcaj,rcbj->rabj", M, M)
    return found


def product(A: Array, x: Array) -> Array:
    """Matrices (R, q, s, J) times vectors (R, s, J)."""
    if A.shape[1] == A.shape[2] == 1:
        return A[:, 0] * x
    found: Array = np.einsum("rabj,rbj->raj", A, x)
    return found
