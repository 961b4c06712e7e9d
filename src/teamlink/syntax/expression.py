"""Expressions of a formula as trees: what the reader makes of the tokens.

Two grammars meet here. Outside a function call the operators build terms (``+ - * / %in% : **``);
inside one they are arithmetic. The tree keeps the operators in the order of the text, so that
printing it never changes what it means.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "KEYWORDS_AS_NAMES",
    "Bar",
    "Call",
    "Chain",
    "Group",
    "Literal",
    "Name",
    "Node",
    "Signed",
    "Word",
    "show",
    "show_name",
    "walk",
]


KEYWORDS_AS_NAMES = ("class", "pass")
"""Words of Python that are likely columns of a school's data, and that build no expression."""

_DOTTED = re.compile(r"[A-Za-z_][\w.]*")


@dataclass(frozen=True, slots=True)
class Name:
    """A variable of the data."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a string, or a truth value within a call; `text` is how it prints."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Word:
    """The name of a contrast, which is no variable."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments, each with its keyword or the empty string."""

    function: str
    keywords: tuple[str, ...]
    arguments: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Signed:
    """A sign before an operand: within a call, or of one operand of a sum."""

    sign: str
    operand: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Group:
    """An expression in parentheses."""

    inner: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Chain:
    """Operands joined by operators of one rank.

    ``operators[i]`` stands before ``operands[i]``. The first one is ``""``, but may be ``"-"`` in a
    sum.
    """

    operators: tuple[str, ...]
    operands: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Bar:
    """A random term, parentheses included, with the name of its structure where it has one."""

    effects: Node
    group: Node
    correlated: bool
    start: int
    end: int
    structure: str = ""


Node: TypeAlias = Name | Literal | Word | Call | Signed | Group | Chain | Bar


def show_name(name: str, *, code: bool = False) -> str:
    """Print a name, in backquotes where it needs them: more often within a call."""
    reserved = keyword.iskeyword(name) and name not in KEYWORDS_AS_NAMES
    if reserved or name.startswith("__"):
        return f"`{name}`"
    if name.isascii() or code:
        plain = name.isidentifier() or (not code and _DOTTED.fullmatch(name))
    else:
        plain = all(c in "._" or c.isalnum() for c in name) and name[0].isalpha()
    return name if plain else f"`{name}`"


def show(node: Node, *, code: bool = False) -> str:
    """Print an expression in canonical form; reading it back gives the same tree."""
    match node:
        case Name():
            return show_name(node.name, code=code)
        case Literal() | Word():
            return node.text
        case Group():
            return f"({show(node.inner, code=code)})"
        case Signed():
            return node.sign + show(node.operand, code=True)
        case Call():
            pairs = zip(node.keywords, node.arguments, strict=True)
            shown = (f"{k}={show(a, code=True)}" if k else show(a, code=True) for k, a in pairs)
            return f"{node.function}({', '.join(shown)})"
        case Chain():
            parts = [node.operators[0] + show(node.operands[0], code=code)]
            for operator, operand in zip(node.operators[1:], node.operands[1:], strict=True):
                gap = "" if operator == ":" or (operator == "**" and not code) else " "
                parts.append(f"{gap}{operator}{gap}{show(operand, code=code)}")
            return "".join(parts)
        case Bar():
            mark = "|" if node.correlated else "||"
            return f"{node.structure}({show(node.effects)} {mark} {show(node.group)})"


def _parts(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Chain):
        return node.operands
    if isinstance(node, Group):
        return (node.inner,)
    if isinstance(node, Signed):
        return (node.operand,)
    if isinstance(node, Bar):
        return (node.effects, node.group)
    return node.arguments if isinstance(node, Call) else ()


def walk(node: Node, *, into_calls: bool) -> list[Node]:
    """List an expression and all within it in the order of the text, the outer before the inner."""
    found: list[Node] = []
    ahead = [node]
    while ahead:
        inner = ahead.pop()
        found.append(inner)
        if not isinstance(inner, Name) and (into_calls or not isinstance(inner, Call)):
            ahead.extend(reversed(_parts(inner)))
    return found
