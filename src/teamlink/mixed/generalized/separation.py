"""Separation: a combination of predictors that tells the responses apart without error.

Along a direction d of the coefficients no row's likelihood may fall, and some row's must rise
for ever, for the likelihood to have no maximum. For a binomial response this asks ``x'd >= 0`` of
rows that are all successes, ``x'd <= 0`` of rows that are all failures, and ``x'd = 0`` of the
rest; for counts ``x'd <= 0`` where the count is zero and ``x'd = 0`` elsewhere; for an ordered
response in category c, with a direction a of the thresholds, ``a_{c-1} <= x'd <= a_c``. A linear
program finds such a direction or shows that there is none.

References
----------
Albert, Anderson (1984), doi:10.1093/biomet/71.1.1. Konis (2007), Linear programming algorithms for
detecting separated data in binary logistic regression models.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize

from teamlink.mixed.generalized.families import Family
from teamlink.mixed.generalized.ordinal import Cumulative
from teamlink.typing import Array

__all__ = ["separating_direction"]

_REAL = 1e-6
"""A direction that raises no row by more than this is rounding."""


def separating_direction(family: Family, y: Array, trials: Array, Q: Array) -> Array | None:
    """A direction (p,) of working coefficients along which the likelihood rises for ever.

    Parameters
    ----------
    family : Family
    y, trials : (n,) responses
    Q : (n, p) working columns

    Returns
    -------
    None where there is none, as always for a Gaussian response.
    """
    if family.name == "gaussian" or not Q.shape[1]:
        return None
    rising, level = _demands(family, y, trials, Q)
    if not len(rising):
        return None
    size = rising.shape[1]
    found = optimize.linprog(
        -rising.sum(axis=0) / len(rising),
        A_ub=-rising, b_ub=np.zeros(len(rising)),
        A_eq=level if len(level) else None, b_eq=np.zeros(len(level)) if len(level) else None,
        bounds=[(-1.0, 1.0)] * size, method="highs",
    )  # fmt: skip
    if not found.success:
        return None
    direction: Array = np.asarray(found.x, dtype=float)
    if (rising @ direction).max() < _REAL:
        return None
    return direction[: Q.shape[1]]


def _demands(family: Family, y: Array, trials: Array, Q: Array) -> tuple[Array, Array]:
    """Rows that must not be negative, and rows that must be zero, times the direction."""
    if isinstance(family, Cumulative):
        C = family.categories
        below, above = y < C - 1, y > 0
        cut = np.eye(C - 1)
        codes = y.astype(np.intp)
        lower = np.column_stack([-Q[below], cut[codes[below]]])
        upper = np.column_stack([Q[above], -cut[codes[above] - 1]])
        return np.unique(np.concatenate([lower, upper]), axis=0), np.empty((0, 0))
    if family.name == "binomial":
        won, lost = y == trials, y == 0
        rising = np.concatenate([Q[won], -Q[lost]])
        level = Q[~won & ~lost]
    else:
        rising, level = -Q[y == 0], Q[y > 0]
    return np.unique(rising, axis=0), np.unique(level, axis=0)
