"""The working basis: centre, scale and orthogonalise before products are formed.

Cancellation is the classical trap of cross-products: a mean of a million with a standard deviation
of one leaves no digits in ``y'y``. So the products are formed in a basis in which X has orthonormal
columns and every response is the residual of its least-squares fit, scaled to unit variance. The
likelihood moves by known constants; estimates are carried back exactly.

What stays invariant: fitted values, the likelihood, and which columns are redundant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from teamlink.typing import Array, Mask

__all__ = ["CHUNK", "FixedBasis", "ResponseBasis", "fixed_basis", "response_basis"]

CHUNK = 16_384
"""Rows worked on at a time: a chunk of a dozen columns stays in cache."""

_RANK_TOLERANCE = 1e-7
"""R's `lm` and lme4 drop a column whose residual norm is below this share of its norm."""

_CONSTANT = 1e-13
"""A column whose spread is below this share of its size is constant up to rounding."""


@dataclass(frozen=True, slots=True)
class FixedBasis:
    """How the columns of X become orthonormal.

    The working columns are ``Q = (X[:, kept] - shift) / scale @ inverse_root``.

    Attributes
    ----------
    kept : (p,) int, indices into the columns of X that are linearly independent
    shift, scale : (p,) what is subtracted from, and divides, each kept column
    inverse_root : (p, p) upper triangular
    K : (p, p) maps working coefficients to coefficients of the kept columns
    log_det : log |det K|, which carries log |X'V^-1 X| back
    intercept : position of the constant among the kept columns, or -1
    """

    kept: Array
    shift: Array
    scale: Array
    inverse_root: Array
    K: Array
    log_det: float
    intercept: int

    def columns(self, X: Array) -> Array:
        """Working columns (c, p) of a block (c, p_all) of rows of X."""
        Xk = X if self.kept.size == X.shape[1] else X[:, self.kept]
        return ((Xk - self.shift) / self.scale) @ self.inverse_root

    def pull(self, x: Array) -> Array:
        """Rows (m, p) of kept columns, as coefficients of the working columns: x beta = row b."""
        return x @ self.K


@dataclass(frozen=True, slots=True)
class ResponseBasis:
    """How each response becomes the scaled residual of its least-squares fit.

    The working response is ``((y - shift) - Q @ offset) / scale``.

    Attributes
    ----------
    shift, scale : (R,)
    offset : (R, p) least-squares coefficients of y - shift on the working columns
    """

    shift: Array
    scale: Array
    offset: Array

    def columns(self, Y: Array, Q: Array) -> Array:
        """Working responses (c, R) of a block of rows."""
        return ((Y - self.shift) - Q @ self.offset.T) / self.scale

    def moved(self, beta: Array) -> ResponseBasis:
        """The basis in which working coefficients (R, p) that are now `beta` become zero."""
        return ResponseBasis(self.shift, self.scale, self.offset + self.scale[:, None] * beta)


def fixed_basis(X: Array, intercept: int) -> FixedBasis:
    """Find the working basis of X, and which columns are redundant.

    Parameters
    ----------
    X : (n, p) fixed-effects columns
    intercept : index of the constant column, or -1

    Returns
    -------
    FixedBasis

    Notes
    -----
    Two passes of Cholesky-QR: the Gram matrix of the centred, scaled columns gives the triangular
    root, the products formed later in the rotated columns restore orthogonality to rounding.
    Columns are dropped in order, as R's `lm` does: the later of two dependent columns goes. Where
    the Gram matrix cannot tell (it sees squares, hence half the digits), a QR of the columns does.
    """
    n, p = X.shape
    shift = X.mean(axis=0) if intercept >= 0 and p else np.zeros(p)
    if intercept >= 0:
        shift[intercept] = 0.0
    gram = np.zeros((p, p))
    for start in range(0, n, CHUNK):
        block = X[start : start + CHUNK] - shift
        gram += block.T @ block
    norm = np.sqrt(np.diag(gram))
    size = np.sqrt(norm**2 + n * shift**2)
    nonzero = norm > _CONSTANT * size
    scale = np.where(nonzero, norm, 1.0)
    kept, doubtful = _independent(gram / np.outer(scale, scale), nonzero)
    if doubtful:
        kept = _independent_columns((X - shift) / scale, nonzero, size / scale)
    shift, scale = shift[kept], scale[kept]
    correlation = (gram[np.ix_(kept, kept)] / scale[:, None]) / scale
    root = np.linalg.cholesky(correlation).T if kept.size else np.zeros((0, 0))
    inverse_root = solve_triangular(root, np.eye(kept.size)) if kept.size else root
    position = int(np.flatnonzero(kept == intercept)[0]) if intercept in kept else -1
    K = inverse_root / scale[:, None]
    if position >= 0:
        K[position] -= shift @ K
    return FixedBasis(
        kept, shift, scale, inverse_root, K,
        float(np.log(np.abs(np.diag(inverse_root))).sum() - np.log(scale).sum()), position,
    )  # fmt: skip


def response_basis(X: Array, basis: FixedBasis, Y: Array) -> ResponseBasis:
    """Least-squares fit of each response on the working columns.

    Parameters
    ----------
    X : (n, p_all)
    basis : FixedBasis of X
    Y : (n, R)
    """
    n, R = Y.shape
    p = basis.kept.size
    shift = Y.mean(axis=0) if basis.intercept >= 0 else np.zeros(R)
    gram, cross, square = np.zeros((p, p)), np.zeros((p, R)), np.zeros(R)
    for start in range(0, n, CHUNK):
        rows = slice(start, start + CHUNK)
        Q, y = basis.columns(X[rows]), Y[rows] - shift
        gram += Q.T @ Q
        cross += Q.T @ y
        square += np.einsum("ir,ir->r", y, y)
    offset: Array = np.zeros((R, p))
    if p:
        offset[:] = np.linalg.solve(gram, cross).T
    rest = square - np.einsum("rp,pr->r", offset, cross)
    spread = np.where(rest > 1e-14 * square, rest, square) / n
    scale: Array = np.sqrt(np.where(spread > 0, spread, 1.0))
    return ResponseBasis(shift, scale, offset)


def _independent(gram: Array, nonzero: Mask) -> tuple[Array, bool]:
    """Indices of independent columns by a sequential Cholesky, and whether that is in doubt."""
    p = gram.shape[0]
    rest = gram.copy()
    kept, doubtful = [], False
    for k in range(p):
        pivot = rest[k, k]
        doubtful |= bool(pivot < 1e-9)
        if pivot < _RANK_TOLERANCE**2 or not nonzero[k]:
            continue
        kept.append(k)
        column = rest[k + 1 :, k].copy()
        rest[k + 1 :, k + 1 :] -= np.outer(column, column) / pivot
    return np.array(kept, dtype=np.intp), doubtful


def _independent_columns(X: Array, nonzero: Mask, size: Array) -> Array:
    """The same from the columns themselves: each is projected on those kept before it.

    `size` (p,) is the norm before centring, the yardstick of R's test.
    """
    kept: list[int] = []
    basis = np.zeros((X.shape[0], 0))
    for k in range(X.shape[1]):
        rest = X[:, k]
        for _ in range(2):  # twice is enough for orthogonality to rounding
            rest = rest - basis @ (basis.T @ rest)
        remainder = float(np.linalg.norm(rest))
        if not nonzero[k] or remainder < _RANK_TOLERANCE * size[k]:
            continue
        kept.append(k)
        basis = np.column_stack([basis, rest / remainder])
    return np.array(kept, dtype=np.intp)
