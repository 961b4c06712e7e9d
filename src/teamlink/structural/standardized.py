"""The standardised solution, with the slopes that its standard errors need.

A loading or path is multiplied by the standard deviation of its cause over that of its outcome; an
intercept and a variance are divided by those of their own variable; a covariance becomes the
correlation of what it joins: of residuals, where it joins residuals. ``all`` takes the implied
standard deviations of all variables, ``lv`` those of factors alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from teamlink.structural.defined import Dual, evaluate
from teamlink.structural.implied import Block, State
from teamlink.structural.model import StructuralModel
from teamlink.structural.parameters import Parameter
from teamlink.typing import Array

__all__ = ["row_values", "standardized", "standardized_values"]


def row_values(model: StructuralModel, x: Array, states: Sequence[State]) -> Array:
    """Value (rows,) of each row of the table at x (q,), moments of exogenous variables included."""
    table, of = model.structure.table, model.structure.row_parameter
    found = np.array([row.value for row in table.rows])
    found[of >= 0] = x[of[of >= 0]]
    for i, row in enumerate(table.rows):
        if row.exogenous:
            b = _block_of(model, row)
            place = {name: k for k, name in enumerate(model.structure.blocks[b].variables)}
            left = place[row.lhs]
            state = states[b]
            found[i] = state.m[0, left] if row.op == "~1" else state.S[0, left, place[row.rhs]]
    return found


def _block_of(model: StructuralModel, row: Parameter) -> int:
    return (row.group - 1) * len(model.structure.table.levels) + row.level - 1


def standardized(
    model: StructuralModel, x: Array, kind: Literal["all", "lv"] = "all"
) -> tuple[Array, Array]:
    """Standardised values of all rows, then of defined parameters.

    Parameters
    ----------
    model : StructuralModel
    x : (q,)
    kind : by which standard deviations

    Returns
    -------
    values : (rows + definitions,)
    slopes : (rows + definitions, q)
    """
    table = model.structure.table
    states = model.states(x[None], np.zeros(1, dtype=np.intp))
    values = row_values(model, x, states)
    duals: list[Dual] = []
    logs = [
        _log_sd(model, b, block, state, kind)
        for b, (block, state) in enumerate(zip(model.structure.blocks, states, strict=True))
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        for i, row in enumerate(table.rows):
            own = np.zeros(model.structure.q)
            if model.structure.row_parameter[i] >= 0:
                own[model.structure.row_parameter[i]] = 1.0
            duals.append(_of_row(row, values[i], own, *logs[_block_of(model, row)]))
    known: dict[str, Dual] = {}
    for row, dual in zip(table.rows, duals, strict=True):
        if row.label:
            known.setdefault(row.label, dual)
    like = Dual(np.zeros(1), np.zeros((1, model.structure.q)))
    for definition in model.structure.definitions:
        known[definition.name] = evaluate(definition.expression, known, like)
        duals.append(known[definition.name])
    return (
        np.array([float(dual.value[0]) for dual in duals]),
        np.array([dual.slope[0] for dual in duals]).reshape(len(duals), model.structure.q),
    )


def _log_sd(
    model: StructuralModel, b: int, block: Block, state: State, kind: str
) -> tuple[dict[str, int], Array, Array, Array]:
    """Places; sd and residual sd (2, v) of all variables; slopes (v, q) of their logarithms."""
    E, C, S = state.E[0], state.C[0], state.S[0]
    a = 2 * E[:, block.a_row] * C[:, block.a_col]
    s = E[:, block.s_row] * E[:, block.s_col] * block.twice
    slots = np.concatenate([a, s, np.zeros((len(E), len(block.m_row)))], axis=1)
    at = sum(len(other.of) for other in model.structure.blocks[:b])
    selection = model.structure.selection[at : at + len(block.of)]
    total = slots @ selection
    own = np.zeros((len(E), len(block.of)))
    diagonal = np.flatnonzero(block.s_row == block.s_col)
    own[block.s_row[diagonal], len(block.a_row) + diagonal] = 1.0
    residual = own @ selection
    with np.errstate(invalid="ignore", divide="ignore"):
        variance, rest = np.diag(C), np.diag(S)
        log_total = total / (2 * variance[:, None])
        log_rest = residual / (2 * rest[:, None])
        sd, residual_sd = np.sqrt(variance), np.sqrt(rest)
    if kind == "lv":
        sd, residual_sd = sd.copy(), residual_sd.copy()
        sd[: block.p] = residual_sd[: block.p] = 1.0
        log_total[: block.p] = log_rest[: block.p] = 0.0
    place = {name: i for i, name in enumerate(block.variables)}
    both = np.stack([sd, residual_sd])
    return place, both, log_total, log_rest


def _of_row(
    row: Parameter, value: float, own: Array, place: dict[str, int], sd: Array, total: Array,
    rest: Array,
) -> Dual:  # fmt: skip
    """One row, its value times a product of standard deviations to the power 1 or -1."""
    left, right = place[row.lhs], place[row.rhs or row.lhs]
    factor = _factor(row.op, left, right, sd[0], sd[1])
    match row.op:
        case "=~":
            log = total[left] - total[right]
        case "~":
            log = total[right] - total[left]
        case "~1":
            log = -total[left]
        case _ if left == right:
            log = -2 * total[left]
        case _:
            log = -rest[left] - rest[right]
    scaled = value * factor
    slope = own * factor + (scaled * log if scaled else 0.0)
    return Dual(np.array([scaled]), slope[None])


def _factor(op: str, left: int, right: int, sd: Sequence[float], rest: Sequence[float]) -> float:
    """What a row is multiplied with, given standard deviations of all variables."""
    match op:
        case "=~":
            return sd[left] / sd[right]
        case "~":
            return sd[right] / sd[left]
        case "~1":
            return 1 / sd[left]
        case _ if left == right:
            return 1 / sd[left] ** 2
        case _:
            return 1 / (rest[left] * rest[right])


def standardized_values(
    model: StructuralModel, values: Array, states: Sequence[State], kind: Literal["all", "lv"]
) -> Array:
    """Standardised values of all rows, then of defined parameters, without slopes.

    Parameters
    ----------
    model : StructuralModel
    values : (rows,) of all rows
    states : every block at the same parameters
    kind : by which standard deviations
    """
    table = model.structure.table
    sizes = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for block, state in zip(model.structure.blocks, states, strict=True):
            both = np.sqrt(np.stack([np.diag(state.C[0]), np.diag(state.S[0])]))
            if kind == "lv":
                both[:, : block.p] = 1.0
            place = {name: i for i, name in enumerate(block.variables)}
            sizes.append((place, both[0], both[1]))
        found = np.empty(len(table.rows))
        for i, row in enumerate(table.rows):
            place, sd, rest = sizes[_block_of(model, row)]
            left, right = place[row.lhs], place[row.rhs or row.lhs]
            found[i] = values[i] * _factor(row.op, left, right, sd, rest)
    definitions = model.structure.definitions
    if not definitions:
        return found
    known: dict[str, Dual] = {}
    for row, value in zip(table.rows, found, strict=True):
        if row.label:
            known.setdefault(row.label, Dual(np.array([value]), np.zeros((1, 0))))
    like = Dual(np.zeros(1), np.zeros((1, 0)))
    for definition in definitions:
        known[definition.name] = evaluate(definition.expression, known, like)
    more = [float(known[definition.name].value[0]) for definition in definitions]
    return np.concatenate([found, more])
