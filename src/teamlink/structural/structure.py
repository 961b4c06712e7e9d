"""From free parameters to the matrices of every block: equalities, linear constraints, bounds.

Free rows with one label are one of q parameters x. Linear constraints leave k independent
coordinates u, ``x = x0 + K u``; each u is a working parameter theta by

    u = c theta                          without a bound,
    u = low + c theta^2                  above a bound (and likewise below one),
    u = low + (high - low) sin^2(theta)  between two,

where c is a scale. So the working space has no edge; at an active bound theta is zero, and its
second derivative there says whether the bound holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from teamlink.structural.constraints import Coordinates, coordinates, ordered_definitions
from teamlink.structural.implied import Block
from teamlink.structural.parameters import ParameterTable
from teamlink.syntax.statements import Definition
from teamlink.typing import Array, Codes

__all__ = ["Structure", "structure_of"]


@dataclass(frozen=True, slots=True)
class Structure:
    """A parameter table bound to matrices.

    Attributes
    ----------
    table : ParameterTable
    blocks : one a group and level, in that order
    row_parameter : (rows,) which of the q parameters a row is, -1 for a fixed one
    names : q names of parameters
    coordinates : from k working parameters to the q parameters
    definitions : defined parameters, each after those that it uses
    selection : (n, q) which parameter each slot holds, as a matrix of zeros and ones
    """

    table: ParameterTable
    blocks: tuple[Block, ...]
    row_parameter: Codes
    names: tuple[str, ...]
    coordinates: Coordinates
    definitions: tuple[Definition, ...]
    selection: Array = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        selection = np.zeros((len(self.of), self.q))
        selection[np.arange(len(self.of)), self.of] = 1.0
        object.__setattr__(self, "selection", selection)

    @property
    def q(self) -> int:
        """Number of distinct free parameters."""
        return len(self.names)

    @property
    def of(self) -> Codes:
        """(n,) which parameter each slot of all blocks holds."""
        return np.concatenate([block.of for block in self.blocks])


def structure_of(
    table: ParameterTable,
    observed: Sequence[tuple[str, ...]],
    latent: Sequence[tuple[str, ...]],
) -> Structure:
    """Bind a parameter table to matrices.

    Parameters
    ----------
    table : ParameterTable
    observed, latent : names of the variables of each block

    Raises
    ------
    FormulaError
        A definition or a constraint names what is not there, or a constraint is not linear.
    """
    definitions = ordered_definitions(table)
    levels = len(table.levels)
    row_parameter, names = _parameters(table)
    blocks = tuple(
        _block(table, table.block(b // levels + 1, b % levels + 1), (*inner, *outer), len(inner),
               row_parameter)
        for b, (inner, outer) in enumerate(zip(observed, latent, strict=True))
    )  # fmt: skip
    bound = coordinates(table, row_parameter, names)
    return Structure(table, blocks, row_parameter, names, bound, definitions)


def _parameters(table: ParameterTable) -> tuple[Codes, tuple[str, ...]]:
    """Which parameter each row is, and the names of the parameters."""
    row_parameter = np.full(len(table.rows), -1, dtype=np.intp)
    names: list[str] = []
    named = table.names()
    of_label: dict[str, int] = {}
    for i, row in enumerate(table.rows):
        if not row.free:
            continue
        if row.label not in of_label:
            if row.label:
                of_label[row.label] = len(names)
            row_parameter[i] = len(names)
            names.append(named[i])
        else:
            row_parameter[i] = of_label[row.label]
    return row_parameter, tuple(names)


def _block(
    table: ParameterTable, rows: tuple[int, ...], variables: tuple[str, ...], p: int,
    row_parameter: Codes,
) -> Block:  # fmt: skip
    place = {name: i for i, name in enumerate(variables)}
    v = len(variables)
    A, S, m = np.zeros((v, v)), np.zeros((v, v)), np.zeros(v)
    slots: dict[str, list[tuple[int, int, int]]] = {kind: [] for kind in ("A", "S", "m", "x", "t")}
    for i in rows:
        row = table.rows[i]
        kind, r, c = _place(row.op, place[row.lhs], place[row.rhs or row.lhs])
        if row.exogenous:
            slots["x" if kind == "S" else "t"].append((r, c, -1))
        elif row.free:
            slots[kind].append((r, c, int(row_parameter[i])))
        elif kind == "A":
            A[r, c] = row.value
        elif kind == "S":
            S[r, c] = S[c, r] = row.value
        else:
            m[r] = row.value
    a, s, t, x, means = (np.array(found, dtype=np.intp).reshape(-1, 3) for found in slots.values())
    return Block(
        variables, p, A, S, m, a[:, 0], a[:, 1], a[:, 2], s[:, 0], s[:, 1], s[:, 2],
        t[:, 0], t[:, 2], x[:, 0], x[:, 1], means[:, 0],
    )  # fmt: skip


def _place(op: str, left: int, right: int) -> tuple[str, int, int]:
    """Which matrix a row belongs to, and where in it."""
    match op:
        case "=~":
            return "A", right, left
        case "~":
            return "A", left, right
        case "~~":
            return "S", min(left, right), max(left, right)
        case _:
            return "m", left, left
