"""Statements of the language of structural equations, as trees that print back to text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from teamlink.syntax.arithmetic import Node, show, show_number

__all__ = [
    "Block",
    "Constraint",
    "Definition",
    "Modifier",
    "ModifierKind",
    "Relation",
    "Statement",
    "Term",
    "is_plain_name",
    "show_variable",
]

ModifierKind: TypeAlias = Literal["fix", "label", "start", "lower", "upper", "equal", "slope"]
"""What a modifier does: fix or free, name, start, bound below and above, equate, let vary."""

_PLAIN = re.compile(r"\.?[^\W\d][\w.]*")
_WHOLE = re.compile(r"[0-9]+")


def is_plain_name(name: str) -> bool:
    """Whether a name can stand without quotes."""
    return _PLAIN.fullmatch(name) is not None and name.isascii()


def show_variable(name: str) -> str:
    """Print a variable, in backquotes where it needs them."""
    return name if all(map(is_plain_name, name.split(":"))) else f"`{name}`"


def _show_string(text: str) -> str:
    shown = "".join(
        f"\\x{ord(c):02x}" if c in '"\\' or (ord(c) < 256 and not c.isprintable()) else c
        for c in text
    )
    return f'"{shown}"'


@dataclass(frozen=True, slots=True)
class Modifier:
    """What stands before a variable and a ``*``, one value for all groups or one for each.

    Attributes
    ----------
    kind : what it does
    values : numbers for "fix", "start", "lower" and "upper" (None frees, or says nothing); texts
        for "label", "equal" and "slope" (None gives no label)
    """

    kind: ModifierKind
    values: tuple[float | str | None, ...]
    start: int = field(compare=False, default=0)
    end: int = field(compare=False, default=0)

    def __str__(self) -> str:
        if self.kind in ("equal", "slope"):
            shown = [_show_string(str(value)) for value in self.values]
        elif self.kind == "label":
            shown = ["NA" if value is None else str(value) for value in self.values]
        else:
            shown = [_show_value(value) for value in self.values]
        inner = shown[0] if len(shown) == 1 else f"c({', '.join(shown)})"
        if self.kind in ("fix", "label"):
            return f"{inner}*"
        return f"{'rv' if self.kind == 'slope' else self.kind}({inner})*"


def _show_value(value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return "NA"
    return f"-{show_number(-value)}" if value < 0 else show_number(value)


@dataclass(frozen=True, slots=True)
class Term:
    """One variable right of an operator with its modifiers; no variable stands for ``1``."""

    variable: str | None
    modifiers: tuple[Modifier, ...]
    start: int = field(compare=False, default=0)
    end: int = field(compare=False, default=0)

    def __str__(self) -> str:
        name = "1" if self.variable is None else show_variable(self.variable)
        return "".join(map(str, self.modifiers)) + name


@dataclass(frozen=True, slots=True)
class Relation:
    """``left =~ right``, ``left ~ right`` or ``left ~~ right``, each side a sum."""

    left: tuple[str, ...]
    operator: str
    terms: tuple[Term, ...]
    start: int = field(compare=False, default=0)
    end: int = field(compare=False, default=0)

    def __str__(self) -> str:
        left = " + ".join(map(show_variable, self.left))
        return f"{left} {self.operator} {' + '.join(map(str, self.terms))}"


@dataclass(frozen=True, slots=True)
class Block:
    """A header: the statements below it are about one group, or one level."""

    kind: Literal["group", "level"]
    value: str
    start: int = field(compare=False, default=0)
    end: int = field(compare=False, default=0)

    def __str__(self) -> str:
        plain = is_plain_name(self.value) or _WHOLE.fullmatch(self.value)
        return f"{self.kind}: {self.value if plain else _show_string(self.value)}"


@dataclass(frozen=True, slots=True)
class Definition:
    """``name := expression``."""

    name: str
    expression: Node
    start: int = field(compare=False, default=0)
    end: int = field(compare=False, default=0)

    def __str__(self) -> str:
        return f"{self.name} := {show(self.expression)}"


@dataclass(frozen=True, slots=True)
class Constraint:
    """``left == right``, ``left > right`` or ``left < right``."""

    left: Node
    operator: str
    right: Node
    start: int = field(compare=False, default=0)
    end: int = field(compare=False, default=0)

    def __str__(self) -> str:
        return f"{show(self.left)} {self.operator} {show(self.right)}"


Statement: TypeAlias = Relation | Block | Definition | Constraint
