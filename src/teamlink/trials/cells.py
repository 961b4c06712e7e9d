r"""Cohorts and periods: the cells that have an effect, and how a two-way regression weighs them.

A cohort g are the units first treated in period g. A cell (g, t) has the effect ``ATT(g, t)`` of
treatment on cohort g in period t; its event time is t - g.

The coefficient of one treatment indicator D in a regression with unit and period effects is a
weighted sum of the effects of the treated rows with the weights ``d / sum(d of treated rows)``, d
the residual of D on the unit and period effects (de Chaisemartin and D'Haultfoeuille 2020). Where
treatment starts at different times some of these weights may be negative.

References
----------
de Chaisemartin, D'Haultfoeuille (2020), doi:10.1257/aer.20181169. Goodman-Bacon (2021),
doi:10.1016/j.jeconom.2021.03.014. Sun, Abraham (2021), doi:10.1016/j.jeconom.2020.09.006.
Wooldridge (2025), doi:10.1007/s00181-025-02807-z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, hstack
from scipy.sparse.linalg import lsqr

from teamlink.trials.panel import Panel
from teamlink.typing import Array, Codes, Mask

__all__ = ["Cells", "cells", "two_way_weights"]


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells with an effect of their own.

    Attributes
    ----------
    cohort, time : (c,) of each cell
    mass : (c,) sum of the weights of its rows
    rows : (c,) number of its rows
    of_row : (n,) cell of each row, or -1
    names : of their coefficients
    """

    cohort: Array
    time: Array
    mass: Array
    rows: Codes
    of_row: Codes
    names: tuple[str, ...]

    @property
    def event(self) -> Array:
        """(c,) periods since the first treated one."""
        return self.time - self.cohort

    @property
    def columns(self) -> Array:
        """(n, c) indicators."""
        found: Array = (self.of_row[:, None] == np.arange(len(self.names))).astype(float)
        return found


def cells(rows: Panel, chosen: Mask) -> Cells:
    """Make the cells of the chosen rows (n,) of treated cohorts."""
    keys = np.column_stack([rows.first[chosen], rows.time[chosen]])
    found, place = np.unique(keys, axis=0, return_inverse=True)
    of_row = np.full(len(rows.y), -1, dtype=np.intp)
    of_row[chosen] = np.asarray(place).reshape(-1)
    own = of_row[chosen]
    mass = np.asarray(np.bincount(own, rows.mass[chosen], len(found)), dtype=float)
    names = tuple(f"effect[{g:g}, {t:g}]" for g, t in found)
    return Cells(
        found[:, 0], found[:, 1], mass, np.bincount(own, minlength=len(found)), of_row, names
    )


def two_way_weights(rows: Panel) -> pd.DataFrame:
    """Weights of the cells' effects in the two-way coefficient; they add up to one.

    Returns
    -------
    DataFrame
        ``cohort, time, weight, rows``.
    """
    D = rows.treated.astype(float)
    w = rows.mass
    d = w * _without_two_way(D, rows, np.sqrt(w))
    made = cells(rows, rows.treated)
    weight = np.bincount(made.of_row[rows.treated], d[rows.treated], len(made.names))
    return pd.DataFrame(
        {
            "cohort": made.cohort,
            "time": made.time,
            "weight": weight / weight.sum(),
            "rows": made.rows,
        }
    )


def _without_two_way(D: Array, rows: Panel, root: Array) -> Array:
    """Residual (n,) of D on unit and period effects."""
    n = len(D)
    _, period = np.unique(rows.time, return_inverse=True)
    each = [
        csr_array((root, (np.arange(n), codes)), shape=(n, int(codes.max()) + 1))
        for codes in (rows.unit, np.asarray(period).reshape(-1))
    ]
    F = csr_array(hstack(each, format="csr"))
    solved = lsqr(F, root * D, atol=1e-14, btol=1e-14, iter_lim=10_000)[0]
    residual: Array = D - np.asarray(F @ solved) / root
    return residual
