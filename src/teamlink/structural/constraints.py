"""Constraints among parameters: linear equalities eliminate, bounds bend the coordinates."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from teamlink.errors import nearest
from teamlink.structural.defined import linear
from teamlink.structural.parameters import ParameterTable
from teamlink.syntax.arithmetic import symbols
from teamlink.syntax.statements import Constraint, Definition
from teamlink.typing import Array, Codes, Mask

__all__ = ["Coordinates", "coordinates", "ordered_definitions"]

_ACTIVE = 1e-3
"""A working coordinate closer to zero than this lies on its bound."""


@dataclass(frozen=True, slots=True)
class Coordinates:
    """How q parameters depend on k working parameters.

    Attributes
    ----------
    x0 : (q,), or (R, q) where replicates hold a parameter at different values
    K : (q, k)
    low, high : (k,) bounds of the independent coordinates
    scale : (k,) of the coordinates without two bounds
    bounded : (k,) which coordinates have a bound
    """

    x0: Array
    K: Array
    low: Array
    high: Array
    scale: Array
    bounded: Mask = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bounded", np.isfinite(self.low) | np.isfinite(self.high))

    @property
    def k(self) -> int:
        """Number of working parameters."""
        return int(self.K.shape[1])

    def forward(self, theta: Array, index: Codes) -> tuple[Array, Array, Array]:
        """Parameters x (R, q), and the first and second derivatives of u in theta, (R, k) each."""
        u, first, second = self._bent(theta)
        x0 = self.x0 if self.x0.ndim == 1 else self.x0[index]
        return x0 + u @ self.K.T, first, second

    def _bent(self, theta: Array) -> tuple[Array, Array, Array]:
        c = self.scale
        if not self.bounded.any():
            first = np.empty_like(theta)
            first[:] = c
            return theta * c, first, np.zeros_like(theta)
        low, high = np.isfinite(self.low), np.isfinite(self.high)
        both, sign = low & high, np.where(low, 1.0, -1.0)
        edge = np.where(low, np.where(low, self.low, 0.0), np.where(high, self.high, 0.0))
        width = np.where(both, np.where(both, self.high, 0.0) - np.where(both, self.low, 0.0), 0.0)
        one = low ^ high
        u = np.where(
            both, edge + width * np.sin(theta) ** 2,
            np.where(one, edge + sign * c * theta**2, c * theta),
        )  # fmt: skip
        first = np.where(both, width * np.sin(2 * theta), np.where(one, 2 * sign * c * theta, c))
        second = np.where(both, 2 * width * np.cos(2 * theta), np.where(one, 2 * sign * c, 0.0))
        return u, first, np.broadcast_to(second, theta.shape)

    def backward(self, x: Array) -> Array:
        """Working parameters (R, k) of the point nearest to x (R, q) that meets the constraints."""
        x0 = self.x0 if self.x0.ndim == 1 else self.x0[: len(x)]
        # Without equalities K is the unit matrix.
        u = (x - x0) @ np.linalg.pinv(self.K).T if self.k < len(self.K) else x - x0
        if not self.bounded.any():
            return np.asarray(u / self.scale)
        low, high = np.isfinite(self.low), np.isfinite(self.high)
        both, one = low & high, low ^ high
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.clip((u - self.low) / (self.high - self.low), 0.02, 0.98)
            inside = np.where(low, u - self.low, self.high - u) / self.scale
            # A start on a bound would be a saddle.
            root = np.sqrt(np.maximum(inside, 0.01))
            theta = np.where(both, np.arcsin(np.sqrt(share)), np.where(one, root, u / self.scale))
        return np.asarray(theta)

    def on_bound(self, theta: Array) -> Mask:
        """Which coordinates (R, k) lie on a bound."""
        if not self.bounded.any():
            return np.zeros(theta.shape, dtype=np.bool_)
        low, high = np.isfinite(self.low), np.isfinite(self.high)
        near = np.where(low & high, np.abs(np.sin(2 * theta)), np.abs(theta))
        found: Mask = self.bounded & (near < _ACTIVE)
        return found

    def scaled(self, scale: Array) -> Coordinates:
        """The same with other scales."""
        return replace(self, scale=scale)

    def pinned(self, form: Array, values: Array) -> Coordinates:
        """With a linear form (q + 1,) of the parameters held at values (R,), one a replicate."""
        row = form[:-1] @ self.K
        j = int(np.argmax(np.abs(row) * np.where(self.bounded, 1e-6, 1.0)))
        direction = self.K[:, j] / row[j]
        at = values - form[-1] - self.x0 @ form[:-1]
        x0 = np.broadcast_to(self.x0, (len(values), len(self.K))) + at[:, None] * direction
        K = np.delete(self.K - np.outer(direction, row), j, axis=1)
        keep = np.arange(self.k) != j
        return Coordinates(x0, K, self.low[keep], self.high[keep], self.scale[keep])


def ordered_definitions(table: ParameterTable) -> tuple[Definition, ...]:
    """Definitions such that each comes after those that it uses.

    Raises
    ------
    FormulaError
        One names what is not there, is made twice, or is made of itself.
    """
    said = {definition.name: definition for definition in table.definitions}
    if not said:
        return ()
    labels = {row.label for row in table.rows if row.label}
    for definition in table.definitions:
        if said[definition.name] is not definition:
            message = f"{definition.name!r} is defined twice"
            raise table.equations.fault(message, said[definition.name])
        if definition.name in labels:
            message = f"{definition.name!r} is the label of a parameter already"
            raise table.equations.fault(message, definition)
        for symbol in symbols(definition.expression):
            if symbol.name not in labels and symbol.name not in said:
                hint = nearest(symbol.name, [*labels, *said]) if labels else "there are no labels"
                message = f"there is no label {symbol.name!r}; {hint}"
                raise table.equations.fault(message, symbol)
    waiting = list(table.definitions)
    done: dict[str, Definition] = {}
    while waiting:
        ready = [
            d for d in waiting
            if all(s.name in labels or s.name in done for s in symbols(d.expression))
        ]  # fmt: skip
        if not ready:
            raise table.equations.fault(f"{waiting[0].name!r} is made of itself", waiting[0])
        done |= {d.name: d for d in ready}
        waiting = [d for d in waiting if d.name not in done]
    return tuple(done.values())


def coordinates(table: ParameterTable, row_parameter: Codes, names: tuple[str, ...]) -> Coordinates:
    """Independent coordinates of the q parameters under the constraints of a table.

    Raises
    ------
    FormulaError
        A constraint names what is not there, is not linear, or contradicts another.
    """
    q = len(names)
    forms = linear_forms(table, row_parameter, q) if table.constraints else {}
    low, high = _row_bounds(table, row_parameter, q)
    system: list[Array] = []
    for constraint in table.constraints:
        form = _form(table, constraint, forms)
        if constraint.operator == "==":
            system = _joined(table, constraint, system, form)
            continue
        form = form if constraint.operator == ">" else -form
        which = np.flatnonzero(form[:-1])
        if len(which) != 1:
            message = "an inequality bounds one parameter by a number; others are not supported"
            raise table.equations.fault(message, constraint)
        i = int(which[0])
        edge = -form[-1] / form[i]
        if form[i] > 0:
            low[i] = max(low[i], edge)
        else:
            high[i] = min(high[i], edge)
        if low[i] >= high[i]:
            message = f"no value of {names[i]!r} lies within its bounds"
            raise table.equations.fault(message, constraint)
    if not system:
        return Coordinates(np.zeros(q), np.eye(q), low, high, np.ones(q))
    M = np.array(system)
    pivots = np.array([int(np.flatnonzero(row[:-1])[0]) for row in M])
    tied = np.flatnonzero((M[:, :-1] != 0).any(axis=0))
    for j in tied:
        if np.isfinite(low[j]) or np.isfinite(high[j]):
            message = f"{names[j]!r} has a bound and stands in an equality; leave one out"
            raise table.equations.fault(message, table.constraints[0])
    keep = np.setdiff1d(np.arange(q), pivots)
    K = np.eye(q)[:, keep]
    K[pivots] = -M[:, keep]
    x0 = np.zeros(q)
    x0[pivots] = -M[:, -1]
    return Coordinates(x0, K, low[keep], high[keep], np.ones(len(keep)))


def linear_forms(table: ParameterTable, row_parameter: Codes, q: int) -> dict[str, Array]:
    """Linear forms (q + 1,) of labels, of ``.p1.`` and so on, and of linear definitions."""
    forms: dict[str, Array] = {}
    for i, row in enumerate(table.rows):
        form = np.zeros(q + 1)
        if row_parameter[i] >= 0:
            form[row_parameter[i]] = 1.0
        else:
            form[-1] = row.value
        forms[f".p{i + 1}."] = form
        if row.label:
            forms[row.label] = form
    for definition in ordered_definitions(table):
        found = linear(definition.expression, forms)
        if found is not None:
            forms[definition.name] = found
    return forms


def _row_bounds(table: ParameterTable, row_parameter: Codes, q: int) -> tuple[Array, Array]:
    low, high = np.full(q, -np.inf), np.full(q, np.inf)
    of = row_parameter[row_parameter >= 0]
    free = [row for row, j in zip(table.rows, row_parameter, strict=True) if j >= 0]
    np.maximum.at(low, of, [row.lower for row in free])
    np.minimum.at(high, of, [row.upper for row in free])
    return low, high


def _form(table: ParameterTable, constraint: Constraint, forms: dict[str, Array]) -> Array:
    """Left minus right as a linear form."""
    known = {*forms, *(d.name for d in table.definitions)}
    for side in (constraint.left, constraint.right):
        for symbol in symbols(side):
            if symbol.name not in known:
                labels = [name for name in known if not name.startswith(".p")]
                hint = nearest(symbol.name, labels) if labels else "no parameter has a label"
                message = f"there is no label {symbol.name!r}; {hint}"
                raise table.equations.fault(message, symbol)
    left, right = linear(constraint.left, forms), linear(constraint.right, forms)
    if left is None or right is None:
        message = "constraints are linear in the parameters; this one is not"
        raise table.equations.fault(message, constraint)
    form = left - right
    if not np.abs(form[:-1]).any():
        message = "this constraint says nothing of a free parameter"
        raise table.equations.fault(message, constraint)
    return np.asarray(form)


def _joined(
    table: ParameterTable, constraint: Constraint, system: list[Array], form: Array
) -> list[Array]:
    """A reduced system (each pivot 1, alone in its column) with one more equation."""
    for row in system:
        pivot = int(np.flatnonzero(row[:-1])[0])
        form = form - form[pivot] * row
    form = np.where(np.abs(form) < 1e-12, 0.0, form)
    if not form[:-1].any():
        if form[-1]:
            raise table.equations.fault("this contradicts the other constraints", constraint)
        return system
    j = int(np.flatnonzero(form[:-1])[0])
    form = form / form[j]
    reduced = [np.where(np.abs(r := row - row[j] * form) < 1e-12, 0.0, r) for row in system]
    return [*reduced, form]
