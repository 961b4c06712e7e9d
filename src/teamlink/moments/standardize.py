"""The working basis: centre, scale and orthogonalise before products are formed.

Cancellation is the classical trap of cross-products: a mean of a million with a standard deviation
of one leaves no digits in ``y'y``. So products are formed in centred columns, and carried into a
basis in which X has orthonormal columns and every response is the residual of its least-squares
fit, scaled to unit variance. Where carrying them would itself cancel, they are formed anew in that
basis. The likelihood moves by known constants; estimates are carried back exactly.

What stays invariant: fitted values, the likelihood, and which columns are redundant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from teamlink.moments.crossproducts import CrossProducts
from teamlink.typing import Array, Codes, Mask

__all__ = [
    "FixedBasis",
    "ResponseBasis",
    "centred_columns",
    "centred_responses",
    "fitted_responses",
    "orthonormal_columns",
]

_RANK_TOLERANCE = 1e-7
"""R's `lm` and lme4 drop a column whose residual norm is below this share of its norm."""

_DOUBTFUL = 1e-9
"""Below this pivot the Gram matrix cannot say whether a column is redundant."""

_COLLINEAR = 1e-4
"""Above this pivot rotating products costs at most four of their sixteen digits."""

_CONSTANT = 1e-13
"""A column whose spread is below this share of its size is constant up to rounding."""


@dataclass(frozen=True, slots=True)
class FixedBasis:
    """How the columns of X become working columns, ``Q = (X[:, kept] - shift) @ rotation``.

    Attributes
    ----------
    kept : (p,) int, indices into the columns of X that are linearly independent
    shift : (p,) what is subtracted from each kept column
    rotation : (p, p) upper triangular; None for columns that are only centred
    K : (p, p) maps working coefficients to coefficients of the kept columns
    log_det : log |det K|, which carries log |X'V^-1 X| back
    intercept : position of the constant among the kept columns, or -1
    """

    kept: Codes
    shift: Array
    rotation: Array | None
    K: Array
    log_det: float
    intercept: int

    def columns(self, X: Array) -> Array:
        """Working columns (c, p) of a block (c, p_all) of rows of X."""
        kept = X if self.kept.size == X.shape[1] else X[:, self.kept]
        centred: Array = kept - self.shift
        return centred if self.rotation is None else centred @ self.rotation


@dataclass(frozen=True, slots=True)
class ResponseBasis:
    """How each response becomes the scaled residual of its least-squares fit.

    The working response is ``((y - shift) - Q @ offset) / scale``.

    Attributes
    ----------
    shift, scale : (R,)
    offset : (R, p) coefficients of y - shift on the working columns
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


def centred_columns(X: Array, intercept: int) -> FixedBasis:
    """The columns of X less their means, where there is a constant to take the means up.

    Parameters
    ----------
    X : (n, p)
    intercept : index of the constant column, or -1
    """
    p = X.shape[1]
    # Any shift near the mean will do, so the fast sum of a matrix product is exact enough.
    shift: Array = np.full(len(X), 1 / len(X)) @ X if intercept >= 0 else np.zeros(p)
    K = np.eye(p)
    if intercept >= 0:
        shift[intercept] = 0.0
        K[intercept] -= shift
    return FixedBasis(np.arange(p), shift, None, K, 0.0, intercept)


def centred_responses(Y: Array, fixed: FixedBasis) -> ResponseBasis:
    """The responses (n, R) less their means, where X has a constant to take the means up."""
    R = Y.shape[1]
    shift = Y.mean(axis=0) if fixed.intercept >= 0 else np.zeros(R)
    return ResponseBasis(shift, np.ones(R), np.zeros((R, fixed.kept.size)))


def orthonormal_columns(X: Array, centred: FixedBasis, gram: Array) -> tuple[FixedBasis, bool]:
    """Find the orthonormal working basis of X, and which columns are redundant.

    Parameters
    ----------
    X : (n, p)
    centred : the basis of X in which `gram` was formed
    gram : (p, p) cross-products of the centred columns

    Returns
    -------
    FixedBasis
    bool
        Whether products formed in the centred columns may be rotated; where columns are nearly
        collinear that loses digits, and they have to be formed anew.

    Notes
    -----
    Cholesky-QR: a triangular root of the Gram matrix orthogonalises the columns; products formed in
    the rotated columns restore orthogonality to rounding. Columns are dropped in order, as R's `lm`
    does: the later of two dependent columns goes. Where the Gram matrix cannot tell (it sees
    squares, hence half the digits), a QR of the columns does.
    """
    norm = np.sqrt(np.diag(gram))
    size = np.sqrt(norm**2 + len(X) * centred.shift**2)
    nonzero = norm > _CONSTANT * size
    scale = np.where(nonzero, norm, 1.0)
    kept, pivots = _independent(gram / np.outer(scale, scale), nonzero)
    if pivots.min(initial=1.0) < _DOUBTFUL:
        kept = _independent_columns((X - centred.shift) / scale, nonzero, size / scale)
    p = kept.size
    scale = scale[kept]
    root = np.linalg.cholesky((gram[np.ix_(kept, kept)] / scale[:, None]) / scale).T
    rotation = solve_triangular(root, np.eye(p)) / scale[:, None] if p else np.zeros((0, 0))
    K = rotation.copy()
    position = (
        int(np.flatnonzero(kept == centred.intercept)[0]) if centred.intercept in kept else -1
    )
    if position >= 0:
        K[position] -= centred.shift[kept] @ K
    log_det = float(np.log(np.abs(np.diag(rotation))).sum())
    basis = FixedBasis(kept, centred.shift[kept], rotation, K, log_det, position)
    return basis, bool(np.diag(root).min(initial=1.0) ** 2 > _COLLINEAR)


def fitted_responses(
    products: CrossProducts, centred: ResponseBasis, n: int
) -> tuple[ResponseBasis, Array]:
    """Least-squares fit of each response on the working columns.

    Parameters
    ----------
    products : CrossProducts in working columns and centred responses
    centred : the basis of those responses
    n : number of rows

    Returns
    -------
    ResponseBasis
    share : (R,) residual sum of squares as a share of the total
    """
    offset: Array = np.zeros_like(products.Xty)
    if offset.size:
        offset[:] = np.linalg.solve(products.XtX, products.Xty.T).T
    rest = products.yty - (offset * products.Xty).sum(axis=1)
    share = rest / np.where(products.yty > 0, products.yty, 1.0)
    spread = np.where(share > 1e-14, rest, products.yty) / n
    scale: Array = np.sqrt(np.where(spread > 0, spread, 1.0))
    return ResponseBasis(centred.shift, scale, offset), share


def _independent(gram: Array, nonzero: Mask) -> tuple[Codes, Array]:
    """Indices of independent columns by a sequential Cholesky, and every column's pivot (p,)."""
    p = gram.shape[0]
    rest = gram.copy()
    kept = []
    pivots = np.ones(p)
    for k in range(p):
        pivots[k] = pivot = rest[k, k]
        if pivot < _RANK_TOLERANCE**2 or not nonzero[k]:
            continue
        kept.append(k)
        column = rest[k + 1 :, k].copy()
        rest[k + 1 :, k + 1 :] -= np.outer(column, column) / pivot
    return np.array(kept, dtype=np.intp), pivots


def _independent_columns(X: Array, nonzero: Mask, size: Array) -> Codes:
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
