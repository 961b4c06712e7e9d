"""Score tests of equalities: how far the fit would improve if rows that share a label did not.

With u the slope of the log-likelihood in the parameters that the release of one label adds, and V
their expected information less what the free ones take up, the index is ``u' V^-1 u``, to first
order the drop of chi-square, on as many degrees of freedom as rows are set free.

References
----------
Sorbom (1989), doi:10.1007/BF02294623.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from teamlink.structural.model import StructuralModel
from teamlink.structural.structure import structure_of
from teamlink.typing import Array

__all__ = ["release_tests"]


def release_tests(model: StructuralModel, x: Array) -> pd.DataFrame:
    """Score test of every label that rows of several groups or levels share.

    Parameters
    ----------
    model : StructuralModel with one replicate
    x : (q,) at the optimum

    Returns
    -------
    DataFrame
        ``lhs, op, rhs, score, df, pvalue``, the largest score first; the rows are named by the
        first one of each label.
    """
    table = model.structure.table
    shared: dict[str, list[int]] = {}
    for i, row in enumerate(table.rows):
        if row.free and row.label:
            shared.setdefault(row.label, []).append(i)
    places = {
        label: {(table.rows[i].group, table.rows[i].level) for i in own}
        for label, own in shared.items()
    }
    shared = {label: own for label, own in shared.items() if len(places[label]) > 1}
    columns = ["lhs", "op", "rhs", "score", "df", "pvalue"]
    if not shared:
        return pd.DataFrame(columns=columns)
    loose = {i for own in shared.values() for i in own[1:]}
    rows = tuple(replace(r, label="") if i in loose else r for i, r in enumerate(table.rows))
    wider = structure_of(
        replace(table, rows=rows, definitions=(), constraints=()),
        [own.observed for own in table.roles], [own.latent for own in table.roles],
    )  # fmt: skip
    free = np.flatnonzero(wider.row_parameter >= 0)
    M = np.zeros((wider.q, model.structure.q))
    M[wider.row_parameter[free], model.structure.row_parameter[free]] = 1.0
    larger = replace(model, structure=wider)
    u, information, taken = _at(larger, M @ x, M @ model.coordinates.K)
    found = []
    for own in shared.values():
        new = wider.row_parameter[own[1:]]
        score = _score(u, information, taken, new)
        first = table.rows[own[0]]
        test = (score, len(new), float(chdtrc(len(new), max(score, 0.0))))
        found.append((first.lhs, first.op, first.rhs, *test))
    frame = pd.DataFrame(found, columns=columns)
    return frame.sort_values("score", ascending=False, ignore_index=True)


def _at(model: StructuralModel, x: Array, D: Array) -> tuple[Array, Array, Array]:
    """Slopes (q,), information (q, q), and what the directions D (q, k) take up of it (k, q)."""
    index = np.zeros(1, dtype=np.intp)
    slope = model.derivatives(x[None], index)[1]
    information = model.hessian(x[None], index, "expected")[0] / 2
    taken = np.linalg.lstsq(D.T @ information @ D, D.T @ information, rcond=None)[0]
    return -slope[0] / 2, information, np.asarray(D @ taken)


def _score(u: Array, information: Array, taken: Array, new: Iterable[int]) -> float:
    at = np.asarray(list(new))
    V = information[np.ix_(at, at)] - information[at] @ taken[:, at]
    return float(u[at] @ np.linalg.lstsq(V, u[at], rcond=None)[0])
