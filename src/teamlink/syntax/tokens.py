"""Tokens with their place in the text: the one tokeniser of the model languages.

A language is told apart by its operators alone. Names, numbers, strings and names in backquotes
are the same everywhere, and blanks, line ends among them, only separate.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from teamlink.errors import FormulaError

__all__ = ["Cursor", "Kind", "Token", "tokenize"]


class Kind(Enum):
    """What a token is."""

    NAME = "name"
    QUOTED = "quoted name"
    NUMBER = "number"
    STRING = "string"
    OPERATOR = "operator"
    END = "end"


class HasPlace(Protocol):
    """Anything that knows its place in a text."""

    @property
    def start(self) -> int:
        """The first character."""

    @property
    def end(self) -> int:
        """One past the last character."""


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a text: its kind, its value and its place.

    Parameters
    ----------
    kind : Kind
        What it is.
    value : str
        The text without the quotes of a quoted name or a string.
    start, end : int
        Place in the text, end excluded, quotes included.
    """

    kind: Kind
    value: str
    start: int
    end: int

    def is_operator(self, *values: str) -> bool:
        """Say whether this is one of the operators `values`."""
        return self.kind is Kind.OPERATOR and self.value in values


_WORDS = (
    r"(?P<blank>\s+)"
    r"|(?P<name>\.?[^\W\d][\w.]*)"
    r"|(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|`(?P<quoted>[^`\\\n]+)`"
    r"|\"(?P<double>(?:[^\"\\\n]|\\x[0-9a-f]{2})*)\"|'(?P<single>(?:[^'\\\n]|\\x[0-9a-f]{2})*)'"
)

_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")

_KINDS = {
    "name": Kind.NAME,
    "number": Kind.NUMBER,
    "quoted": Kind.QUOTED,
    "double": Kind.STRING,
    "single": Kind.STRING,
    "operator": Kind.OPERATOR,
}

_REMEDIES = {
    "[": "square brackets have no meaning here; group with ( )",
    "]": "square brackets have no meaning here; group with ( )",
    "{": "braces have no meaning here; wrap arithmetic as I(...)",
    "}": "braces have no meaning here; wrap arithmetic as I(...)",
    ".": "a dot alone names nothing; name each variable",
    "\\": "a backslash has no meaning here",
    "−": "this is not the minus of the keyboard; write -",
    "–": "this is a dash; write - for minus",
    "—": "this is a dash; write - for minus",
    "×": "write * for crossing and : for an interaction",
    "∼": "this is not the tilde of the keyboard; write ~",
    "˜": "this is not the tilde of the keyboard; write ~",
    "’": "this is a typographic quote; write '",
    "‘": "this is a typographic quote; write '",
    "“": 'this is a typographic quote; write "',
    "”": 'this is a typographic quote; write "',
}


@functools.lru_cache(maxsize=8)
def _pattern(operators: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(operators, key=len, reverse=True)
    return re.compile(f"{_WORDS}|(?P<operator>{'|'.join(map(re.escape, longest_first))})")


def _name_end(text: str, end: int) -> int:
    """Extend a name over combining marks, which a regular expression does not count as letters."""
    while end < len(text):
        char = text[end]
        if not (char in "._" or char.isalnum() or unicodedata.category(char)[0] == "M"):
            break
        end += 1
    return end


def _unreadable(text: str, start: int) -> FormulaError:
    char = text[start]
    closing = text.find(char, start + 1)
    if char == "`" and closing == start + 1:
        return FormulaError("the backquotes hold no name", text, start, start + 2)
    if char in "`'\"":
        word = "backquote" if char == "`" else "quote"
        if closing < 0 or "\n" in text[start:closing]:
            message = f"the {word} is never closed on its line; end it with {char}"
            return FormulaError(message, text, start)
        place = text.index("\\", start)
        return FormulaError("a backslash cannot stand within quotes; leave it out", text, place)
    remedy = _REMEDIES.get(char, "a name with such a character goes in backquotes: `a name`")
    return FormulaError(f"{char!r} cannot be read here: {remedy}", text, start)


def _scan(text: str, operators: tuple[str, ...]) -> Iterator[Token]:
    match_at = _pattern(operators).match
    ascii_only = text.isascii()
    place, size = 0, len(text)
    while place < size:
        match = match_at(text, place)
        if match is None:
            raise _unreadable(text, place)
        group, start, place = match.lastgroup, place, match.end()
        if group is None or group == "blank":
            continue
        value = match[group]
        if group == "name" and not ascii_only:
            place = _name_end(text, place)
            value = text[start:place]
        if "\\" in value:
            value = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), value)
        if not value.isprintable() and not all(map(_is_printing, value)):
            raise FormulaError("control characters cannot be read here", text, start, place)
        if group == "number" and place < size and (text[place].isalnum() or text[place] == "_"):
            message = "a name begins with a letter; put this one in backquotes, or add an operator"
            raise FormulaError(message, text, start, place + 1)
        yield Token(_KINDS[group], value, start, place)
    yield Token(Kind.END, "", size, size)


def _is_printing(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp")


def tokenize(text: str, operators: tuple[str, ...]) -> tuple[Token, ...]:
    """Cut a text into tokens; the last one is of kind END.

    Parameters
    ----------
    text : str
        The text of a model.
    operators : tuple of str
        The operators and marks of the language; the longest that fits is taken.

    Returns
    -------
    tuple of Token
        In the order of the text.

    Raises
    ------
    FormulaError
        At the first character that begins no token.

    Examples
    --------
    >>> [t.value for t in tokenize("math ~ `prior score`", ("~", "+"))]
    ['math', '~', 'prior score', '']
    """
    return tuple(_scan(text, operators))


class Cursor:
    """Walks over tokens that end with one of kind END; the base of every reader.

    Parameters
    ----------
    text : str
        The whole text, for messages.
    tokens : tuple of Token
        What is to be read of it.
    """

    _deepest = 40

    def __init__(self, text: str, tokens: tuple[Token, ...]) -> None:
        self._text, self._tokens, self._at, self._depth = text, tokens, 0, 0

    @property
    def token(self) -> Token:
        """The token that comes next."""
        return self._tokens[self._at]

    @property
    def after(self) -> Token:
        """The token after the next, or the last one."""
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)]

    def rank(self, ranks: Mapping[str, int]) -> int:
        """Give the rank of the next token among operators; -1 for any other token."""
        token = self._tokens[self._at]
        return ranks.get(token.value, -1) if token.kind is Kind.OPERATOR else -1

    def take(self) -> Token:
        """Step over the next token, but never over the end."""
        token = self.token
        if token.kind is not Kind.END:
            self._at += 1
        return token

    def fault(self, place: HasPlace, message: str, end: HasPlace | None = None) -> FormulaError:
        """Make an error that points at `place`, or from there to `end`."""
        return FormulaError(message, self._text, place.start, (end or place).end)

    @contextmanager
    def nested(self, place: Token) -> Iterator[None]:
        """Count a level of nesting, of which there is a limit."""
        self._depth += 1
        if self._depth > self._deepest:
            message = f"more than {self._deepest} levels of nesting; write the formula flatter"
            raise self.fault(place, message)
        yield
        self._depth -= 1
