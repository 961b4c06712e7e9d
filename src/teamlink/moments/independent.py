"""Which columns of a design are independent, from their products."""

from __future__ import annotations

import numpy as np

from teamlink.typing import Array, Codes

__all__ = ["independent_columns"]

_PIVOT = 1e-11
"""Share of a column's sum of squares: less of it, outside the columns before, is rounding error."""


def independent_columns(gram: Array, size: Array) -> Codes:
    """Find the columns that the ones before them do not determine.

    Parameters
    ----------
    gram : (p, p) cross-products of the columns, effects that were absorbed taken out
    size : (p,) sums of squares of the columns as they were before

    Returns
    -------
    Codes
        Their indices, in order; the later of two dependent columns goes.

    Examples
    --------
    >>> X = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 1.0], [1.0, 2.0, 1.0]])
    >>> independent_columns(X.T @ X, np.diag(X.T @ X)).tolist()
    [0, 2]
    """
    scale = np.sqrt(np.where(size > 0, size, 1.0))
    rest = gram / np.outer(scale, scale)
    kept = []
    for k in range(len(gram)):
        pivot = rest[k, k]
        if pivot <= _PIVOT:
            continue
        kept.append(k)
        column = rest[k + 1 :, k].copy()
        rest[k + 1 :, k + 1 :] -= np.outer(column, column) / pivot
    return np.array(kept, dtype=np.intp)
