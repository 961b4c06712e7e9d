"""Traces tr(A^-1 B) of the models that a fit is judged against, for any likelihood.

A is the information and B the sum of products of the scores of independent units, both along
directions in the moments: for the saturated model all of them, but for those that concern fixed
exogenous variables alone; for independence the variances and means of all other variables, and the
covariances of exogenous ones that are not fixed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from teamlink.structural.implied import Moments, Tangents
from teamlink.structural.model import StructuralModel
from teamlink.typing import Array, Codes, Mask

__all__ = ["independence_directions", "saturated_directions", "trace"]


def saturated_directions(model: StructuralModel, fixed: Sequence[Mask]) -> list[Tangents]:
    """Directions of the saturated model in each block.

    Parameters
    ----------
    model : StructuralModel
    fixed : per block which variables (p,) are exogenous with moments of the sample
    """
    found = []
    for b, x in enumerate(fixed):
        rows, columns = np.tril_indices(len(x))
        free = ~(x[rows] & x[columns])
        found.append(_elements(len(x), rows[free], columns[free], _means(model, b, x)))
    return found


def independence_directions(
    model: StructuralModel, fixed: Sequence[Mask], exogenous: Sequence[Mask]
) -> list[Tangents]:
    """Directions of the model of independence, in which exogenous variables covary, in each block.

    Parameters
    ----------
    model : StructuralModel
    fixed, exogenous : per block which variables (p,) are exogenous with moments of the sample, and
        which are exogenous at all
    """
    found = []
    for b, (x, covary) in enumerate(zip(fixed, exogenous, strict=True)):
        rows, columns = np.tril_indices(len(x))
        free = ((rows == columns) | (covary[rows] & covary[columns])) & ~(x[rows] & x[columns])
        found.append(_elements(len(x), rows[free], columns[free], _means(model, b, x)))
    return found


def _means(model: StructuralModel, b: int, x: Mask) -> Codes:
    """Places of the means that are free in block b; of a variable at both levels, in the second."""
    blocks = model.structure.blocks
    there: Mask = ~x
    levels = len(model.structure.table.levels)
    if levels == 2 and b % 2 == 0:
        there = there & ~np.isin(blocks[b].observed, blocks[b + 1].observed)
    return np.flatnonzero(there).astype(np.intp)


def _elements(p: int, rows: Codes, columns: Codes, means: Codes) -> Tangents:
    k, n = len(rows), len(rows) + len(means)
    left, right, mu = np.zeros((3, 1, n, p))
    left[0, np.arange(k), rows] = 1.0
    right[0, np.arange(k), columns] = np.where(rows == columns, 0.5, 1.0)
    mu[0, k + np.arange(len(means)), means] = 1.0
    return Tangents(left, right, mu)


def trace(
    model: StructuralModel,
    moments: Sequence[Moments],
    along: Sequence[Tangents],
    scores: Sequence[Array],
    factor: float,
) -> float:
    """Trace tr(A^-1 B) along directions at given moments.

    Parameters
    ----------
    model : StructuralModel of one replicate
    moments, along : of each block
    scores : of each group, units by the directions of its blocks
    factor : by which B is multiplied
    """
    point = model.likelihood.at(moments, np.zeros(1, dtype=np.intp))
    A = point.curvature(along)[0] / 2
    B = np.zeros_like(A)
    at = 0
    for own in scores:
        n = own.shape[1]
        B[at : at + n, at : at + n] = own.T @ own
        at += n
    return float(factor * np.trace(np.linalg.solve(A, B)))
