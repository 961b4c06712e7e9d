r"""Each group's own least-squares estimates, and which fixed effects explain which coefficient.

For one grouping factor. With e_j the marginal residuals of group j and Z_j its columns, the
least-squares residual is ``u_j = (Z_j'Z_j)^-1 Z_j'e_j`` with sampling covariance
``sigma^2 (Z_j'Z_j)^-1``; it needs Z_j of full rank. A column x of X belongs to random coefficient q
where in every group it is a constant multiple of z_q: HLM's level-2 equation of that coefficient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teamlink.typing import Array, Codes, Mask

__all__ = ["OwnEstimates", "belonging", "own_estimates"]

_RANK = 1e-10
"""Smallest over largest eigenvalue of Z_j'Z_j, columns scaled, below which Z_j is short of rank."""

_SAME = 1e-8
"""What is left of a column by a smaller share of its size is rounding."""


@dataclass(frozen=True, slots=True)
class OwnEstimates:
    """Least squares group by group.

    Attributes
    ----------
    residual : (J, q) least-squares residuals; NaN where Z_j is short of rank
    inverse : (J, q, q) (Z_j'Z_j)^-1; NaN there
    usable : (J,) where Z_j has full rank
    df : (J,) n_j - q, degrees of freedom of a group's own residual variance
    variance : (J,) the group's own residual variance; NaN without degrees of freedom
    """

    residual: Array
    inverse: Array
    usable: Mask
    df: Codes
    variance: Array


def own_estimates(e: Array, Z: Array, codes: Codes, J: int) -> OwnEstimates:
    """Regress marginal residuals e (n,) on Z (n, q) within each of J groups."""
    q = Z.shape[1]
    scale = np.sqrt(np.square(Z).mean(axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    W = Z / scale
    G, g = _sums(W[:, :, None] * W[:, None], codes, J), _sums(W * e[:, None], codes, J)
    w = np.linalg.eigvalsh(G)
    n = np.bincount(codes, minlength=J)
    usable = (w[:, 0] > _RANK * w[:, -1]) & (n >= q)
    inverse, residual = np.full((J, q, q), np.nan), np.full((J, q), np.nan)
    inverse[usable] = np.linalg.inv(G[usable])
    residual[usable] = np.einsum("jab,jb->ja", inverse[usable], g[usable])
    rest = e - np.einsum("ia,ia->i", W, np.nan_to_num(residual)[codes])
    squares = np.bincount(codes, np.square(rest), J)
    df = np.where(usable, n - q, 0)
    variance = np.where(df > 0, squares / np.maximum(df, 1), np.nan)
    return OwnEstimates(residual / scale, inverse / (scale[:, None] * scale), usable, df, variance)


def belonging(X: Array, Z: Array, codes: Codes, J: int) -> tuple[Codes, Array]:
    """Which random coefficient each fixed column belongs to, and its group-level value.

    Returns
    -------
    owner : (p,) column of Z, or -1 where there is none
    values : (J, p) the multiple of that column in each group; NaN where the column is zero there
    """
    p, q = X.shape[1], Z.shape[1]
    owner, values = np.full(p, -1, dtype=np.intp), np.full((J, p), np.nan)
    squares = _sums(np.square(Z), codes, J)
    for k in range(p):
        size = float(np.square(X[:, k]).sum())
        for a in range(q):
            there = squares[:, a] > 0
            ratio = np.where(
                there,
                np.bincount(codes, X[:, k] * Z[:, a], J) / np.where(there, squares[:, a], 1.0),
                0.0,
            )
            rest = X[:, k] - ratio[codes] * Z[:, a]
            if float(np.square(rest).sum()) <= _SAME**2 * size:
                owner[k], values[:, k] = a, np.where(there, ratio, np.nan)
                break
    return owner, values


def _sums(values: Array, codes: Codes, J: int) -> Array:
    """Sums (J, ...) of values (n, ...) over groups; a group without rows gets zero."""
    order = np.argsort(codes, kind="stable")
    first = np.searchsorted(codes[order], np.arange(J))
    sums: Array = np.add.reduceat(values[order], first, axis=0)
    return sums
