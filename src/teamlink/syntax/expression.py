"""Expressions of a formula as trees: what the reader makes of the tokens.

Two grammars meet here. Outside a function call the operators build terms (``+ - * / %in% : **``);
inside one they are arithmetic. The tree keeps the operators in the order of the text, so that
printing it never changes what it means.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "Bar",
    "Call",
    "Chain",
    "Group",
    "Literal",
    "Name",
    "Node",
    "Signed",
    "Word",
    "calls",
    "names",
    "quoted_in_code",
    "show",
    "show_name",
    "walk",
]


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
    """A random term, parentheses included."""

    effects: Node
    group: Node
    correlated: bool
    start: int
    end: int


Node: TypeAlias = Name | Literal | Word | Call | Signed | Group | Chain | Bar


def quoted_in_code(name: str) -> bool:
    """Say whether a name needs backquotes within a call, where Python reads it."""
    return not name.isidentifier() or keyword.iskeyword(name)


def show_name(name: str, *, code: bool = False) -> str:
    """Print a name, in backquotes where it needs them."""
    plain = not code or not quoted_in_code(name)
    if plain and all(c in "._" or c.isalnum() for c in name):
        head = name[:1]
        allowed = name in ("class", "pass") or not keyword.iskeyword(name)
        if allowed and (head.isalpha() or (head == "_" and not name.startswith("__"))):
            return name
    return f"`{name}`"


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
            return f"({show(node.effects)} {mark} {show(node.group)})"


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case Group():
            return (node.inner,)
        case Signed():
            return (node.operand,)
        case Call():
            return node.arguments
        case Chain():
            return node.operands
        case Bar():
            return (node.effects, node.group)
        case _:
            return ()


def walk(node: Node, *, into_calls: bool) -> Iterator[Node]:
    """Yield an expression and all within it, the outer before the inner."""
    yield node
    if into_calls or not isinstance(node, Call):
        for child in _children(node):
            yield from walk(child, into_calls=into_calls)


def names(node: Node, *, into_calls: bool = True) -> list[Name]:
    """List the variables of an expression in the order of the text."""
    return [n for n in walk(node, into_calls=into_calls) if isinstance(n, Name)]


def calls(node: Node) -> list[Call]:
    """List the calls of an expression, the outer before the inner."""
    return [n for n in walk(node, into_calls=True) if isinstance(n, Call)]
