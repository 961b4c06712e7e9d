"""Columns of the fixed part made orthonormal, redundant ones left out as R leaves them out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teamlink.typing import Array, Codes

__all__ = ["FixedColumns", "fixed_columns"]

_RANK = 1e-7
"""R drops a column whose residual norm is below this share of its norm."""


@dataclass(frozen=True, slots=True)
class FixedColumns:
    """How coefficients of working columns become coefficients of the columns as given.

    Attributes
    ----------
    kept : (p,) columns that are estimated
    shift : (p,) what was subtracted from each of them; zero unless something else takes it up
    K : (p, p) coefficients are ``K @ working``
    """

    kept: Codes
    shift: Array
    K: Array


def fixed_columns(X: Array, centred: bool) -> tuple[FixedColumns, Array]:
    """Orthonormal columns, n times unit length, that span those of X; earlier ones first.

    Parameters
    ----------
    X : (n, c)
    centred : take the means out first, as thresholds take them up

    Returns
    -------
    FixedColumns, and the working columns (n, p)
    """
    n, c = X.shape
    shift = X.mean(axis=0) if centred else np.zeros(c)
    size = np.sqrt(np.square(X).mean(axis=0))
    size = np.where(size > 0, size, 1.0)
    scaled = (X - shift) / size
    Q, R = np.zeros((n, 0)), np.zeros((0, 0))
    kept: list[int] = []
    for k in range(c):
        column, along = scaled[:, k], np.zeros(Q.shape[1])
        for _ in range(2):  # once more: what one pass leaves over is rounding of the first
            part = Q.T @ column / n
            column, along = column - Q @ part, along + part
        rest = float(np.sqrt(np.mean(np.square(column))))
        if rest <= _RANK * max(float(np.sqrt(np.mean(np.square(scaled[:, k])))), 1e-5):
            continue
        p = len(kept)
        wider = np.zeros((p + 1, p + 1))
        wider[:p, :p], wider[:p, p], wider[p, p] = R, along, rest
        Q, R = np.column_stack([Q, column / rest]), wider
        kept.append(k)
    at = np.array(kept, dtype=np.intp)
    K: Array = np.asarray(np.linalg.inv(R), dtype=float) / size[at][:, None]
    return FixedColumns(at, shift[at], K), Q
