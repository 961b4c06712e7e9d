"""Linear hypotheses as text: ``"ses = 0, 2*collab + trust = 3"``.

Equations are separated by commas; each side is linear in the names of coefficients. A name is read
whole, as the fit spells it (``sector[T.Catholic]``, ``cses:sector[T.Catholic]``), the parts of an
interaction in any order; the longest that fits is taken. Nothing is evaluated as code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations

import numpy as np

from teamlink.errors import FormulaError, nearest
from teamlink.typing import Array

__all__ = ["Hypothesis", "read_hypothesis"]

_NUMBER = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WORD = re.compile(r"[^\s=,+\-*/()`]+(?:\([^()]*\))?(?:\[[^\]]*\])?[^\s=,+\-*/()`]*")
_MARKS = "=,+-*/()"
_DEEPEST = 40


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a text says of p coefficients, ``contrasts @ beta = rhs``.

    Attributes
    ----------
    rows : (r) the text of each equation
    contrasts : (r, p)
    rhs : (r,)
    """

    rows: tuple[str, ...]
    contrasts: Array
    rhs: Array


@dataclass(frozen=True, slots=True)
class _Piece:
    """A mark, a value, or the end (no mark and no value), with its place."""

    mark: str
    value: Array | None
    start: int
    end: int


def read_hypothesis(text: str, names: Sequence[str]) -> Hypothesis:
    """Read equations that are linear in coefficients.

    Parameters
    ----------
    text : str
        Equations separated by commas; ``a = b = 0`` says two, and ``a`` alone says ``a = 0``.
    names : sequence of str
        The p coefficients.

    Returns
    -------
    Hypothesis

    Raises
    ------
    FormulaError
        At the place that cannot be read, or that names no coefficient.

    Examples
    --------
    >>> said = read_hypothesis("ses = 0, 2*ses - collab = 1", ["Intercept", "ses", "collab"])
    >>> said.contrasts.tolist(), said.rhs.tolist()
    ([[0.0, 1.0, 0.0], [0.0, 2.0, -1.0]], [0.0, 1.0])
    """
    return _Reader(text, names).equations()


def _spellings(names: Sequence[str]) -> dict[str, int]:
    """Every spelling of each name: the parts of an interaction in any order."""
    found: dict[str, int] = {}
    for i, name in enumerate(names):
        parts = re.findall(r"(?:\[[^\]]*\]|[^:\[])+", name)
        if 1 < len(parts) <= 4:
            found |= {":".join(order): i for order in permutations(parts)}
    return found | {name: i for i, name in enumerate(names)}


class _Reader:
    """Reads one text by recursive descent; a value is (p + 1,), the constant last."""

    def __init__(self, text: str, names: Sequence[str]) -> None:
        self._text, self._names = text, names
        self._spellings = _spellings(names)
        self._longest_first = sorted(self._spellings, key=len, reverse=True)
        self._depth = 0
        self._next = self._scan(0)

    def _fault(self, message: str, start: int, end: int | None = None) -> FormulaError:
        return FormulaError(message, self._text, start, end)

    def _scan(self, place: int) -> _Piece:
        text = self._text
        while place < len(text) and text[place].isspace():
            place += 1
        if place == len(text):
            return _Piece("", None, place, place)
        if text[place] == "`":
            end = text.find("`", place + 1)
            if end < 0:
                raise self._fault("the backquote is never closed", place)
            return self._named(text[place + 1 : end], place, end + 1)
        for name in self._longest_first:
            end = place + len(name)
            if text.startswith(name, place) and not self._goes_on(name, end):
                return self._named(name, place, end)
        number = _NUMBER.match(text, place)
        if number is not None and not self._goes_on("1", number.end()):
            value = np.zeros(len(self._names) + 1)
            value[-1] = float(number[0])
            return _Piece("", value, place, number.end())
        if text[place] in _MARKS:
            end = place + (2 if text.startswith("==", place) else 1)
            return _Piece(text[place], None, place, end)
        word = _WORD.match(text, place)
        end = word.end() if word is not None else place + 1
        return self._named(text[place:end], place, end)

    def _goes_on(self, name: str, end: int) -> bool:
        """Whether what follows a name belongs to a longer one, as in ``ses:x`` after ``ses``."""
        follows = self._text[end : end + 1]
        closed = name[-1:] in ")]"
        if not follows or follows in "[:.":
            return bool(follows)
        return not closed and (follows == "_" or follows.isalnum())

    def _named(self, name: str, start: int, end: int) -> _Piece:
        if name not in self._spellings:
            message = f"there is no coefficient {name!r}; {nearest(name, self._names)}"
            raise self._fault(message, start, end)
        value = np.zeros(len(self._names) + 1)
        value[self._spellings[name]] = 1.0
        return _Piece("", value, start, end)

    def _take(self) -> _Piece:
        piece = self._next
        self._next = self._scan(piece.end)
        return piece

    def equations(self) -> Hypothesis:
        """All equations of the text."""
        rows: list[str] = []
        values: list[Array] = []
        while True:
            start = self._next.start
            sides = [self._side()]
            while self._next.mark == "=":
                self._take()
                sides.append(self._side())
            if len(sides) == 1:
                sides.append(("0", 0.0 * sides[0][1]))
            for (left, one), (right, two) in pairwise(sides):
                if not (one - two)[:-1].any():
                    message = "this equation says nothing of a coefficient"
                    raise self._fault(message, start, self._next.start)
                values.append(one - two)
                rows.append(f"{left} = {right}")
            if self._next.mark != ",":
                break
            self._take()
        rest = self._next
        if rest.end != rest.start:
            raise self._fault("here an operator, = or a comma is missing", rest.start, rest.end)
        system = np.array(values)
        return Hypothesis(tuple(rows), system[:, :-1], 0.0 - system[:, -1])

    def _side(self) -> tuple[str, Array]:
        """One side of an equation, as written and as a value."""
        start = self._next.start
        value = self._sum()
        return " ".join(self._text[start : self._next.start].split()), value

    def _sum(self) -> Array:
        value = self._product()
        while self._next.mark in ("+", "-"):
            sign = 1.0 if self._take().mark == "+" else -1.0
            value = value + sign * self._product()
        return value

    def _product(self) -> Array:
        value = self._factor()
        while self._next.mark in ("*", "/"):
            sign = self._take()
            other = self._factor()
            if sign.mark == "/":
                if other[:-1].any() or other[-1] == 0:
                    raise self._fault("only a number that is not zero can divide", sign.start)
                value = value / other[-1]
            elif value[:-1].any() and other[:-1].any():
                raise self._fault("a hypothesis is linear: no products of coefficients", sign.start)
            else:
                value = value * other[-1] if value[:-1].any() else value[-1] * other
        return value

    def _factor(self) -> Array:
        piece = self._take()
        if piece.value is not None:
            return piece.value
        if piece.mark in ("+", "-", "("):
            self._depth += 1
            if self._depth > _DEEPEST:
                raise self._fault(f"more than {_DEEPEST} levels of nesting", piece.start)
            value = self._sum() if piece.mark == "(" else self._factor()
            if piece.mark == "(":
                if self._next.mark != ")":
                    raise self._fault("this parenthesis is never closed", piece.start)
                self._take()
            self._depth -= 1
            return -value if piece.mark == "-" else value
        where = (piece.start, max(piece.end, piece.start + 1))
        raise self._fault("here a coefficient or a number is missing", *where)
