"""Modification indices: how far the fit would improve if one fixed parameter were free.

With u_c the slope of the log-likelihood in a parameter that is fixed, and V_c the expected
information in it less what the free ones take up, the index is ``u_c^2 / V_c``, to first order the
drop of chi-square, and ``u_c / V_c`` the value that the parameter would move by.

References
----------
Sorbom (1989), doi:10.1007/BF02294623.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd

from teamlink.structural.model import StructuralModel
from teamlink.structural.parameters import Parameter
from teamlink.structural.standardized import standardized
from teamlink.structural.structure import structure_of
from teamlink.typing import Array

__all__ = ["modification_indices"]

_NOTHING = 1e-8
"""Information, relative to a parameter's own, below which the free ones leave nothing."""


def modification_indices(model: StructuralModel, x: Array) -> pd.DataFrame:
    """Score tests of every fixed parameter and of the usual ones that a model leaves out.

    Parameters
    ----------
    model : StructuralModel with one replicate
    x : (q,) at the optimum

    Returns
    -------
    DataFrame
        ``lhs, op, rhs, group, level, mi, epc, sepc_all``, the largest index first.
    """
    table = model.structure.table
    fixed = [row for row in table.rows if not row.free and not row.exogenous]
    kept = [row for row in table.rows if row.free or row.exogenous]
    new = [replace(row, free=True, label="", start=np.nan) for row in fixed]
    new += list(_left_out(model))
    columns = ["lhs", "op", "rhs", "group", "level", "mi", "epc", "sepc_all"]
    if not new:
        return pd.DataFrame(columns=columns)
    wider = replace(table, rows=(*kept, *new), definitions=(), constraints=())
    structure = structure_of(
        wider, [own.observed for own in table.roles], [own.latent for own in table.roles]
    )
    values = np.array([row.value if row in fixed else 0.0 for row in (*fixed, *new[len(fixed) :])])
    at = np.concatenate([x, np.nan_to_num(values)])
    larger = replace(model, structure=structure)
    mi, epc = _score_tests(larger, at, model.coordinates.K)
    rows = [
        (row.lhs, row.op, row.rhs, row.group, row.level, mi[i], epc[i]) for i, row in enumerate(new)
    ]
    frame = pd.DataFrame(rows, columns=columns[:-1])
    frame["sepc_all"] = _standardised_changes(larger, at, epc)
    known: pd.DataFrame = frame[np.isfinite(frame["mi"])]
    return known.sort_values("mi", ascending=False, ignore_index=True)


def _score_tests(model: StructuralModel, x: Array, K: Array) -> tuple[Array, Array]:
    """Indices and expected changes of the parameters beyond the first len(K)."""
    q, index = len(K), np.zeros(1, dtype=np.intp)
    _, slope, _ = model.derivatives(x[None], index)
    information = model.hessian(x[None], index, "expected")[0] / 2
    u = -slope[0] / 2
    own = K.T @ information[:q, :q] @ K
    cross = K.T @ information[:q, q:]
    taken = np.linalg.lstsq(own, cross, rcond=None)[0] if len(own) else cross
    V = np.diag(information[q:, q:]) - (cross * taken).sum(axis=0)
    size = np.diag(information[q:, q:])
    with np.errstate(invalid="ignore", divide="ignore"):
        V = np.where(_NOTHING * size < V, V, np.nan)
        return u[q:] ** 2 / V, u[q:] / V


def _standardised_changes(model: StructuralModel, x: Array, epc: Array) -> Array:
    """Expected changes in the units of the standardised solution."""
    q = len(x) - len(epc)
    changed = x.copy()
    changed[q:] = 1.0
    rows = model.structure.table.rows
    first = len(rows) - len(epc)
    found = np.full(len(epc), np.nan)
    # The factor of a row does not depend on the row's own value, but for variances.
    plain, slopes = standardized(model, x)
    for i in range(len(epc)):
        row = rows[first + i]
        if row.op == "~~" and row.lhs == row.rhs:
            continue
        factor = slopes[first + i, q + i] if x[q + i] == 0 else plain[first + i] / x[q + i]
        found[i] = epc[i] * factor
    return found


def _left_out(model: StructuralModel) -> Iterator[Parameter]:
    """Loadings, covariances and paths that are not in the table."""
    table = model.structure.table
    there = {(*_place(r.lhs, r.op, r.rhs), r.group, r.level) for r in table.rows}
    levels = len(table.levels)
    for b, roles in enumerate(table.roles):
        g, k = b // levels + 1, b % levels + 1
        own = [r for r in table.rows if (r.group, r.level) == (g, k)]
        exogenous = [name for name in roles.observed if name in roles.exogenous]
        inner = [name for name in roles.observed if name not in exogenous]
        indicators = {r.rhs for r in own if r.op == "=~"}
        found = [(f, "=~", y) for f in roles.latent for y in inner if y in indicators]
        found += [(a, "~~", c) for a, c in combinations(inner, 2)]
        found += [(a, "~~", c) for a, c in combinations(roles.latent, 2)]
        if any(r.op == "~" for r in own):
            outcomes = dict.fromkeys(r.lhs for r in own if r.op == "~")
            nodes = dict.fromkeys([*roles.latent, *outcomes, *(r.rhs for r in own if r.op == "~")])
            found += [
                (y, "~", z) for y in nodes for z in nodes
                if y != z and y not in exogenous
            ]  # fmt: skip
        for lhs, op, rhs in found:
            place = (*_place(lhs, op, rhs), g, k)
            if place not in there:
                there.add(place)
                yield Parameter(
                    lhs, op, rhs, g, k, False, True, np.nan, np.nan, "", -np.inf, np.inf, False
                )


def _place(lhs: str, op: str, rhs: str) -> tuple[str, str, str]:
    """What a row is, whichever way it is written: a loading is a path from factor to indicator."""
    if op == "=~":
        return "~", rhs, lhs
    if op == "~~":
        return op, min(lhs, rhs), max(lhs, rhs)
    return op, lhs, rhs
