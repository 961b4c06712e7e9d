"""The parameter table: what a model says, and what is added to it by convention.

A block is one level of one group. Each block has rows ``lhs op rhs``; free rows that share a label
are one parameter. The rows that lavaan's ``sem()``, ``cfa()`` and ``growth()`` add are added here
under the same conventions, which the fields of `Conventions` name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from teamlink.errors import OptionError, nearest
from teamlink.structural.conventions import Conventions, Entry, Roles, completed, roles_of
from teamlink.structural.levelmeans import between_only
from teamlink.structural.slopes import Slope, between_entries, slope_names, within_entries
from teamlink.syntax.arithmetic import show
from teamlink.syntax.equations import Equations
from teamlink.syntax.statements import Block, Constraint, Definition, Modifier, Relation

__all__ = ["Parameter", "ParameterTable", "parameter_table", "variable_names"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A row of the parameter table.

    Attributes
    ----------
    lhs, op, rhs : ``op`` is "=~", "~", "~~" or "~1" (then rhs is empty)
    group, level : 1, 2, ...
    user : whether the model named it, and it was not added by convention
    free : whether it is estimated
    value : of a fixed one; missing where it is a moment of an exogenous variable, from the data
    start : where the search begins; missing where the program chooses
    label : rows with one label are one parameter; may be empty
    lower, upper : bounds
    exogenous : a moment of an exogenous variable, fixed at its sample value
    """

    lhs: str
    op: str
    rhs: str
    group: int
    level: int
    user: bool
    free: bool
    value: float
    start: float
    label: str
    lower: float
    upper: float
    exogenous: bool

    @property
    def plain(self) -> str:
        """The row as lavaan names coefficients: ``f=~x2``, ``y~x``, ``y~1``."""
        return f"{self.lhs}{self.op}{self.rhs}"


@dataclass(frozen=True, slots=True)
class ParameterTable:
    """All rows of a model, in the order of lavaan: those of the user first, block by block.

    Attributes
    ----------
    rows : one a parameter and block
    groups : labels of the groups, ("",) for one
    levels : labels of the levels, ("",) for one
    roles : what the variables of each block are; groups in order, within each the levels
    definitions : defined parameters
    constraints : equalities and bounds
    equations : what was read
    conventions : by which rows were added
    slopes : paths that vary among clusters
    """

    rows: tuple[Parameter, ...]
    groups: tuple[str, ...]
    levels: tuple[str, ...]
    roles: tuple[Roles, ...]
    definitions: tuple[Definition, ...]
    constraints: tuple[Constraint, ...]
    equations: Equations
    conventions: Conventions
    slopes: tuple[Slope, ...] = ()

    def block(self, group: int, level: int) -> tuple[int, ...]:
        """Places of the rows of one block."""
        return tuple(
            i for i, row in enumerate(self.rows) if (row.group, row.level) == (group, level)
        )

    @property
    def meanstructure(self) -> bool:
        """Whether the model has intercepts."""
        return any(row.op == "~1" for row in self.rows)

    def names(self) -> tuple[str, ...]:
        """A name for each row: its label, or what it is, with group and level where needed."""
        return tuple(
            row.label
            or row.plain
            + (f".l{row.level}" if row.level > 1 else "")
            + (f".g{row.group}" if row.group > 1 else "")
            for row in self.rows
        )

    def frame(self) -> pd.DataFrame:
        """The table as a data frame, which `teamlink.sem` takes as a model too.

        Definitions and constraints come last; their ``rhs`` is the text of an expression.
        """
        columns = (
            "lhs", "op", "rhs", "group", "level", "user", "free", "value", "start", "label",
            "lower", "upper", "exogenous",
        )  # fmt: skip
        rows = [{name: getattr(row, name) for name in columns} for row in self.rows]
        rest = dict.fromkeys(columns, float("nan")) | {
            "group": 0, "level": 0, "user": True, "free": False, "label": "", "exogenous": False,
        }  # fmt: skip
        rows += [
            rest | {"lhs": d.name, "op": ":=", "rhs": show(d.expression)} for d in self.definitions
        ]
        rows += [
            rest | {"lhs": show(c.left), "op": c.operator, "rhs": show(c.right)}
            for c in self.constraints
        ]
        return pd.DataFrame(rows, columns=list(columns))


def variable_names(equations: Equations) -> tuple[str, ...]:
    """Observed variables of a model, in the order of the text."""
    relations = [s for s in equations.statements if isinstance(s, Relation)]
    latent = {name for r in relations if r.operator == "=~" for name in r.left}
    found = dict.fromkeys(
        name
        for r in relations
        for name in (*r.left, *(term.variable for term in r.terms))
        if name is not None and name not in latent
    )
    slopes = slope_names(equations)
    return tuple(name for name in found if name not in slopes)


def parameter_table(
    equations: Equations, conventions: Conventions, groups: Sequence[str] = ("",)
) -> ParameterTable:
    """Make the parameter table of a model.

    Parameters
    ----------
    equations : as read
    conventions : which rows are added, and how
    groups : labels of the groups in the data, in their order

    Raises
    ------
    FormulaError
        The model contradicts itself, or its blocks do not fit the groups; with the place.
    """
    blocks, levels = _split(equations, groups)
    definitions = tuple(s for s in equations.statements if isinstance(s, Definition))
    constraints = tuple(s for s in equations.statements if isinstance(s, Constraint))
    if len(levels) > 1 or any(
        term.variable is None
        for relations in blocks.values() for relation in relations for term in relation.terms
    ):  # fmt: skip
        conventions = replace(conventions, meanstructure=True)
    regressed = {
        name
        for relations in blocks.values() for relation in relations if relation.operator == "~"
        for name in relation.left
    }  # fmt: skip
    rows: list[Parameter] = []
    roles: list[Roles] = []
    slopes: list[Slope] = []
    for (g, k), relations in blocks.items():
        named, varying = within_entries(
            equations, _entries(equations, relations), g + 1, k + 1, len(levels)
        )
        slopes += varying
        if k:
            named = between_entries(named, [s for s in slopes if s.group == g + 1])
        roles.append(roles_of(named, frozenset(regressed) if k else frozenset()))
        entries = completed(named, roles[-1], conventions, g + 1)
        rows += [_parameter(equations, e, g, k, len(groups)) for e in entries]
    rows = between_only(rows) if len(levels) > 1 else rows
    rows = _equal_over_groups(rows, conventions)
    rows = _named_equal(rows, equations)
    rows = _fixed_by_label(rows)
    return ParameterTable(
        tuple(rows), tuple(groups), levels, tuple(roles), definitions, constraints, equations,
        conventions, tuple(slopes),
    )  # fmt: skip


def _split(
    equations: Equations, groups: Sequence[str]
) -> tuple[dict[tuple[int, int], list[Relation]], tuple[str, ...]]:
    """Relations of each (group, level), and the labels of the levels."""
    headers = [s for s in equations.statements if isinstance(s, Block)]
    named = list(dict.fromkeys(h.value for h in headers if h.kind == "group"))
    levels = tuple(dict.fromkeys(h.value for h in headers if h.kind == "level")) or ("",)
    if named:
        _check_groups(equations, headers, named, groups)
    if len(levels) > 2:
        third = next(h for h in headers if h.kind == "level" and h.value == levels[2])
        raise equations.fault("more than two levels are not supported", third)
    found: dict[tuple[int, int], list[Relation]] = {
        (g, k): [] for g in range(len(groups)) for k in range(len(levels))
    }
    order = {name: i for i, name in enumerate(_group_order(named, groups))}
    group: int | None = None
    level: int | None = None
    for statement in equations.statements:
        if isinstance(statement, Block) and statement.kind == "group":
            group, level = order[statement.value], None
        elif isinstance(statement, Block):
            level = levels.index(statement.value)
        elif isinstance(statement, Relation):
            if (named and group is None) or (levels != ("",) and level is None):
                raise equations.fault("this stands before the header of its block", statement)
            for g in range(len(groups)) if group is None else (group,):
                found[g, level or 0].append(statement)
    for (g, k), relations in found.items():
        if not relations:
            where = " ".join(filter(None, (groups[g], levels[k]))) or "the model"
            place = headers[-1] if headers else equations.statements[0]
            raise equations.fault(f"the block of {where} holds no relation", place)
    return found, levels


def _group_order(named: Sequence[str], groups: Sequence[str]) -> list[str]:
    """The names used in headers in the order of the groups of the data."""
    return list(groups) if set(named) == set(groups) else list(named)


def _check_groups(
    equations: Equations, headers: Sequence[Block], named: Sequence[str], groups: Sequence[str]
) -> None:
    if tuple(groups) == ("",):
        message = "the model has blocks of groups: name the column, group=..."
        raise equations.fault(message, next(h for h in headers if h.kind == "group"))
    numbered = named == [str(i + 1) for i in range(len(groups))]
    if set(named) == set(groups) or numbered:
        return
    for header in headers:
        if header.kind == "group" and header.value not in groups:
            message = f"there is no group {header.value!r} in the data"
            raise equations.fault(f"{message}; {nearest(header.value, groups)}", header)
    missing = [group for group in groups if group not in named]
    last = next(h for h in reversed(headers) if h.kind == "group")
    raise equations.fault(f"there is no block for group {missing[0]!r} of the data", last)


def _entries(equations: Equations, relations: Sequence[Relation]) -> list[Entry]:
    """The rows that a block's statements name, each once, with all its modifiers."""
    found: dict[tuple[str, str, str], Entry] = {}
    for relation in relations:
        for left in relation.left:
            for term in relation.terms:
                op = "~1" if term.variable is None else relation.operator
                right = term.variable or ""
                if op in ("~", "=~") and left == right:
                    raise equations.fault(f"{left!r} cannot be on both sides of {op}", term)
                key = (left, op, right)
                if op == "~~" and (right, op, left) in found:
                    key = (right, op, left)
                before = found.get(key)
                modifiers = (*(before.modifiers if before else ()), *term.modifiers)
                found[key] = Entry(*key, True, modifiers, term.start, term.end)
    return list(found.values())


def _parameter(equations: Equations, entry: Entry, g: int, k: int, n_groups: int) -> Parameter:
    """The row of an entry in one group, modifiers applied."""
    row = Parameter(
        entry.lhs, entry.op, entry.rhs, g + 1, k + 1, entry.user, entry.free, entry.value,
        float("nan"), "", -float("inf"), float("inf"), entry.exogenous,
    )  # fmt: skip
    said: dict[str, float | str | None] = {}
    for modifier in entry.modifiers:
        value = _of_group(equations, modifier, entry, g, n_groups)
        kind = modifier.kind
        if kind in said and said[kind] != value and None not in (said[kind], value):
            message = f"{entry.lhs}{entry.op}{entry.rhs} has two values of {kind}"
            raise equations.fault(message, modifier)
        said[kind] = value
        match kind:
            case "fix":
                free = value is None
                row = replace(
                    row, free=free, exogenous=False,
                    value=float("nan") if value is None else float(value),
                )  # fmt: skip
            case "label":
                row = replace(row, label="" if value is None else str(value))
            case "equal":
                row = replace(row, label=f"={value}")
            case "start" if value is not None:
                row = replace(row, start=float(value))
            case "lower" if value is not None:
                row = replace(row, lower=float(value))
            case "upper" if value is not None:
                row = replace(row, upper=float(value))
    if row.lower > row.upper:
        raise equations.fault("the lower bound is above the upper one", entry)
    return row


def _of_group(
    equations: Equations, modifier: Modifier, entry: Entry, g: int, n_groups: int
) -> float | str | None:
    if len(modifier.values) == 1:
        return modifier.values[0]
    if len(modifier.values) != n_groups:
        message = (
            f"{len(modifier.values)} values for {n_groups} group{'s' * (n_groups > 1)} in "
            f"{entry.lhs}{entry.op}{entry.rhs}"
        )
        raise equations.fault(message, modifier)
    return modifier.values[g]


Equal = Literal[
    "loadings", "intercepts", "means", "regressions", "residuals", "residual_covariances",
    "lv_variances", "lv_covariances",
]  # fmt: skip
"""Classes of parameters that may be held equal over groups."""


def _class_of(row: Parameter, latent: frozenset[str]) -> Equal:
    if row.op == "=~":
        return "loadings"
    if row.op == "~":
        return "regressions"
    if row.op == "~1":
        return "means" if row.lhs in latent else "intercepts"
    factors = row.lhs in latent and row.rhs in latent
    if row.lhs == row.rhs:
        return "lv_variances" if factors else "residuals"
    return "lv_covariances" if factors else "residual_covariances"


def _equal_over_groups(rows: list[Parameter], conventions: Conventions) -> list[Parameter]:
    """Label alike what is to be equal over groups, but for the exceptions named."""
    if not conventions.group_equal or all(row.group == 1 for row in rows):
        return rows
    latent = frozenset(row.lhs for row in rows if row.op == "=~")
    plain = {row.plain for row in rows}
    partial = {"".join(name.split()) for name in conventions.group_partial}
    for name in sorted(partial - plain):
        raise OptionError(f"group_partial: there is no parameter {name!r}; {nearest(name, plain)}")
    first = {(r.lhs, r.op, r.rhs, r.level): r for r in rows if r.group == 1}
    found = []
    for row in rows:
        twin = first.get((row.lhs, row.op, row.rhs, row.level))
        shared = (
            row.free and not row.label and twin is not None and twin.free and not twin.label
            and row.plain not in partial and _class_of(row, latent) in conventions.group_equal
        )  # fmt: skip
        level = f".l{row.level}" if row.level > 1 else ""
        found.append(replace(row, label=f"={row.plain}{level}") if shared else row)
    return found


def _named_equal(rows: list[Parameter], equations: Equations) -> list[Parameter]:
    """Turn labels ``=name``, which say equal to what, into labels that both rows have."""
    asked = {row.label[1:] for row in rows if row.label.startswith("=")}
    if not asked:
        return rows
    plain = {row.plain + (f".l{row.level}" if row.level > 1 else "") for row in rows}
    for name in sorted(asked):
        if name.replace(" ", "") not in plain | {row.label for row in rows}:
            text = equations.text
            start = max(text.find(f'"{name}"'), 0)
            raise equations.fault(
                f"equal: there is no parameter {name!r}; {nearest(name, sorted(plain))}",
                Block("group", "", start, start + len(name) + 2),
            )
    marked: dict[str, str] = {}
    for name in asked:
        short = name.replace(" ", "")
        named = [r for r in rows if short == r.plain and r.label and not r.label.startswith("=")]
        marked[name] = named[0].label if named else short
    done = []
    for row in rows:
        own = row.plain + (f".l{row.level}" if row.level > 1 else "")
        if row.label.startswith("="):
            row = replace(row, label=marked[row.label[1:]])
        elif not row.label and row.group == 1 and own in marked.values():
            row = replace(row, label=own)
        done.append(row)
    return done


def _fixed_by_label(rows: list[Parameter]) -> list[Parameter]:
    """A free row that shares its label with a fixed one is fixed at the same value."""
    fixed = {row.label: row.value for row in rows if row.label and not row.free}
    return [
        replace(row, free=False, value=fixed[row.label])
        if row.free and row.label in fixed and fixed[row.label] == fixed[row.label]
        else row
        for row in rows
    ]
