"""The language of structural equations, as lavaan's users write it.

    visual =~ x1 + x2 + x3          measured by
    dem65 ~ a*dem60 + ind60         regressed on
    x1 ~~ x2                        covaries with
    x1 ~ 1                          has an intercept
    total := a + b*c                is computed from labels
    a == b;  a > 0                  constraints
    level: 1   group: Pasteur       blocks

A statement ends with its line or with ``;``, and goes on over lines while an operator is pending.
``#`` and ``!`` begin a comment. Every fault is raised with its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, cast

from teamlink.errors import FormulaError, OptionError
from teamlink.syntax.arithmetic import ArithmeticReader, Node, Symbol, constant
from teamlink.syntax.statements import (
    Block,
    Constraint,
    Definition,
    Modifier,
    ModifierKind,
    Relation,
    Statement,
    Term,
    is_plain_name,
)
from teamlink.syntax.tokens import HasPlace, Kind, Token, tokenize

__all__ = ["Equations", "read_equations"]

_RELATIONS = ("=~", "~", "~~")
_ARITHMETIC = ("==", ">", "<")
_REFUSED = {
    "|": "thresholds of categorical variables (|) are not supported",
    "<~": "formative composites (<~) are not supported; make the composite as a column",
    "~*~": "scaling factors of categorical variables (~*~) are not supported",
    ":~": "parameters defined by data (:~) are not supported",
    ">=": "write > for a lower bound; a bound may be touched",
    "<=": "write < for an upper bound; a bound may be touched",
    "=": "write =~ for measured by, == for a constraint, := to define",
}
_KINDS = (*_RELATIONS, *_ARITHMETIC, ":=", *_REFUSED)
_OPERATORS = (*_KINDS, ":", "+", "-", "*", "/", "^", "?", "(", ")", ",", ";")

_COMMENT = re.compile(r"""(?P<quoted>`[^`\n]*`?|"[^"\n]*"?|'[^'\n]*'?)|[#!][^\n]*""")
"""A comment, or what stands in quotes up to the end of the line, where # and ! begin none."""

_CALLS: dict[str, ModifierKind] = {
    "label": "label",
    "start": "start",
    "lower": "lower",
    "upper": "upper",
    "equal": "equal",
    "rv": "slope",
}


@dataclass(frozen=True, slots=True)
class Equations:
    """A model in the language of structural equations, as read.

    Attributes
    ----------
    statements : in the order of the text
    text : as given, for messages
    """

    statements: tuple[Statement, ...]
    text: str = field(compare=False, default="", repr=False)

    def __str__(self) -> str:
        shown = [str(statement) for statement in self.statements]
        # A line that begins with a sign or a parenthesis would go on with the one before.
        ends = [";" if after[0] in "-(" else "" for after in (*shown[1:], " ")]
        return "\n".join(text + end for text, end in zip(shown, ends, strict=True))

    def fault(self, message: str, place: HasPlace) -> FormulaError:
        """Make an error that points at a place of the text."""
        return _fault(self.text, message, place.start, place.end)


def _fault(text: str, message: str, start: int, end: int) -> FormulaError:
    """An error that also says line and column, where the text has more than one line."""
    line = text.count("\n", 0, start) + 1
    column = start - (text.rfind("\n", 0, start) + 1) + 1
    where = f"line {line}, column {column}: " if "\n" in text else ""
    return FormulaError(where + message, text, start, end)


def read_equations(text: str) -> Equations:
    """Read a model in the language of structural equations.

    Parameters
    ----------
    text : str
        Statements, one a line or separated by ``;``.

    Returns
    -------
    Equations
        Prints back to text; reading that gives the same.

    Raises
    ------
    FormulaError
        At the place that cannot be read, or that asks for what is not supported.
    OptionError
        It is no text.

    Notes
    -----
    Before a variable and a ``*`` may stand a number or an expression of numbers (fixed), ``NA``
    (free), a label, ``start(0.8)`` or ``0.8?``, ``lower(0)``, ``upper(1)``, ``equal("f=~x2")``,
    ``rv("s")``; ``c(...)`` gives each group its own.

    Examples
    --------
    >>> print(read_equations("f =~ x1 + a*x2 + start(.8)*x3  # one factor; x1 ~~ x2"))
    f =~ x1 + a*x2 + start(0.8)*x3
    >>> read_equations("f =~ x1 | t1")
    Traceback (most recent call last):
    teamlink.errors.FormulaError: thresholds of categorical variables (|) are not supported
      f =~ x1 | t1
              ^
    """
    if not isinstance(text, str):
        raise OptionError(f"a model is a text in the language of equations, not {text!r}")
    try:
        tokens = tokenize(_without_comments(text), _OPERATORS)
    except FormulaError as error:
        message = str(error).split("\n", 1)[0]
        raise _fault(text, message, error.start, error.end) from None
    return Equations(_Reader(text, tokens).statements(), text)


def _without_comments(text: str) -> str:
    """The text with blanks in the place of comments, so that places stay."""
    return _COMMENT.sub(lambda found: found["quoted"] or " " * len(found[0]), text)


class _Reader(ArithmeticReader):
    """Reads statement by statement."""

    def fault(self, place: HasPlace, message: str, end: HasPlace | None = None) -> FormulaError:
        """Make an error that points at `place`, or from there to `end`."""
        return _fault(self._text, message, place.start, (end or place).end)

    def statements(self) -> tuple[Statement, ...]:
        """All statements of the text."""
        found: list[Statement] = []
        while self.token.kind is not Kind.END:
            if self.token.is_operator(";"):
                self.take()
                continue
            found.append(self._statement())
            self._ended()
        if not found:
            raise self.fault(self.token, "the model is empty; write one as in f =~ x1 + x2 + x3")
        return tuple(found)

    def _ended(self) -> None:
        """Check that the statement is over: its line, or a semicolon."""
        token = self.token
        if token.kind is Kind.END or token.is_operator(";"):
            return
        before = self._tokens[self._at - 1].end
        new_line = "\n" in self._text[before : token.start]
        if new_line and (token.kind is not Kind.OPERATOR or token.value == "("):
            return
        if token.kind is Kind.OPERATOR:
            message = _REFUSED.get(token.value, f"{token.value!r} cannot stand here")
            raise self.fault(token, message)
        raise self.fault(token, "here an operator, a line end or ; is missing")

    def _statement(self) -> Statement:
        start = self.token
        if start.kind is Kind.NAME and self.after.is_operator(":"):
            header = self._header()
            if header is not None:
                return header
        operator = self._operator_ahead()
        if operator.value in _REFUSED:
            raise self.fault(operator, _REFUSED[operator.value])
        if operator.value == ":=":
            return self._definition()
        if operator.value in _ARITHMETIC:
            return self._constraint()
        return self._relation()

    def _header(self) -> Block | None:
        """A block header; None where the colon belongs to a product of variables."""
        name, colon = self.take(), self.take()
        kind = name.value.lower()
        if kind in ("class", "block"):
            raise self.fault(name, f"blocks by {kind}: are not supported; write group: or level:")
        if kind not in ("group", "level"):
            self._at -= 2
            return None
        block = cast(Literal["group", "level"], kind)
        first = self.token
        if self._over(colon) or first.is_operator(":"):
            raise self.fault(colon, f"after {kind}: the name of the {kind} is missing")
        last = self.take()
        while not self._over(last):
            last = self.take()
        # A name of several words, as Grant-White, stands as it is written.
        value = first.value if last is first else self._text[first.start : last.end]
        return Block(block, value, name.start, last.end)

    def _over(self, before: Token) -> bool:
        """Whether the line, or the statement, ends after a token."""
        token = self.token
        if token.kind is Kind.END or token.is_operator(";"):
            return True
        return "\n" in self._text[before.end : token.start]

    def _operator_ahead(self) -> Token:
        """The operator that says which kind of statement begins here."""
        for token in self._tokens[self._at :]:
            if token.is_operator(*_KINDS):
                return token
            if token.is_operator(";") or token.kind is Kind.END:
                break
        message = "this statement has no operator (=~, ~, ~~, :=, ==, < or >)"
        raise self.fault(self.token, message)

    def _definition(self) -> Definition:
        name = self.take()
        if name.kind is not Kind.NAME:
            raise self.fault(name, "a defined parameter needs a name of letters, digits, . and _")
        if not self.token.is_operator(":="):
            raise self.fault(self.token, "left of := stands one name")
        self.take()
        expression = self.expression()
        return Definition(name.value, expression, name.start, expression.end)

    def _constraint(self) -> Constraint:
        left = self.expression()
        operator = self.token
        if not operator.is_operator(*_ARITHMETIC):
            raise self.fault(operator, "here an operator is missing")
        self.take()
        right = self.expression()
        return Constraint(left, operator.value, right, left.start, right.end)

    def _relation(self) -> Relation:
        start = self.token.start
        left = [self._left_name()]
        while self.token.is_operator("+"):
            self.take()
            left.append(self._left_name())
        operator = self.token
        if not operator.is_operator(*_RELATIONS):
            if operator.is_operator("*", "?"):
                message = "modifiers stand right of the operator, before the variable"
                raise self.fault(operator, message)
            raise self.fault(operator, "here =~, ~ or ~~ is missing")
        self.take()
        terms = [self._term(operator)]
        while self.token.is_operator("+"):
            self.take()
            terms.append(self._term(operator))
        return Relation(tuple(left), operator.value, tuple(terms), start, terms[-1].end)

    def _left_name(self) -> str:
        token = self.take()
        if token.kind not in (Kind.NAME, Kind.QUOTED):
            shown = "the text ends" if token.kind is Kind.END else f"{token.value!r} stands"
            raise self.fault(token, f"{shown} where the name of a variable is expected")
        return self._with_products(token)

    def _with_products(self, token: Token) -> str:
        """A name, and what is joined to it by colons: a product of variables."""
        name = token.value
        while self.token.is_operator(":"):
            self.take()
            other = self.take()
            if other.kind not in (Kind.NAME, Kind.QUOTED):
                raise self.fault(other, "after : the other variable of the product is missing")
            name += f":{other.value}"
        return name

    def _term(self, operator: Token) -> Term:
        start = self.token.start
        modifiers: list[Modifier] = []
        while True:
            place = self._at
            found = self._modifier()
            if found is not None:
                modifiers.append(found)
                continue
            self._at = place
            variable, end = self._variable(operator)
            if variable == "0":
                modifiers.append(Modifier("fix", (0.0,), start, end))
                variable = None
            return Term(variable, tuple(modifiers), start, end)

    def _variable(self, operator: Token) -> tuple[str | None, int]:
        """The variable of a term, with the place of its end; None for 1, and "0" for ``~ 0``."""
        token = self.take()
        if token.kind in (Kind.NAME, Kind.QUOTED):
            if token.kind is Kind.NAME and self.token.is_operator("("):
                message = f"{token.value}(...) is no variable; a modifier is followed by *"
                raise self.fault(token, message)
            name = self._with_products(token)
            return name, self._tokens[self._at - 1].end
        if token.kind is Kind.NUMBER and operator.value == "~":
            if float(token.value) == 1:
                return None, token.end
            if float(token.value) == 0:
                return "0", token.end
        if token.kind is Kind.END:
            raise self.fault(token, "the text ends where a variable is expected")
        raise self.fault(token, f"{token.value!r} stands where a variable is expected")

    def _modifier(self) -> Modifier | None:
        """A modifier with its ``*`` or ``?``; None where the variable itself comes next."""
        token = self.token
        if token.kind is Kind.NAME and self.after.is_operator("("):
            if token.value in _CALLS or token.value in ("c", "efa", "prior", "fixed"):
                return self._called(token)
        elif token.kind is Kind.NAME and self.after.is_operator("*"):
            self.take()
            self.take()
            kind: ModifierKind = "fix" if token.value == "NA" else "label"
            value = None if token.value == "NA" else token.value
            return Modifier(kind, (value,), token.start, token.end)
        elif token.kind in (Kind.NAME, Kind.QUOTED, Kind.END):
            return None
        elif token.kind is Kind.STRING:
            message = f'a label in quotes is written label("{token.value}")*'
            raise self.fault(token, message)
        return self._number_before(token)

    def _number_before(self, token: Token) -> Modifier | None:
        """A number, or an expression of numbers, that fixes or starts a parameter."""
        node = self._chain(self.signed, "/")
        mark = self.token
        if not mark.is_operator("*", "?"):
            return None
        self.take()
        value = self._constant(node)
        kind: ModifierKind = "start" if mark.value == "?" else "fix"
        return Modifier(kind, (value,), token.start, node.end)

    def _constant(self, node: Node) -> float:
        try:
            value = constant(node)
        except (ArithmeticError, ValueError) as error:
            message = f"this is not a number ({error}); a modifier is a number, NA or a label"
            raise self.fault(node, message) from None
        if not abs(value) < float("inf"):
            raise self.fault(node, "this is not a finite number")
        return value

    def _called(self, name: Token) -> Modifier:
        """``label(...)*``, ``start(...)*``, ``c(...)*`` and their like."""
        if name.value in ("efa", "prior", "fixed"):
            raise self.fault(name, f"{name.value}(...) is not supported")
        self.take()
        if name.value == "c":
            kind, values = self._values(None)
        else:
            kind = _CALLS[name.value]
            opening = self.take()
            if self.token.kind is Kind.NAME and self.token.value == "c":
                self.take()
                _, values = self._values(kind)
            else:
                values = (self._value(kind)[1],)
            self.closing(opening)
        mark = self.token
        if not mark.is_operator("*"):
            raise self.fault(mark, f"after {name.value}(...) stands * and a variable")
        self.take()
        return Modifier(kind, values, name.start, self._tokens[self._at - 2].end)

    def _values(
        self, kind: ModifierKind | None
    ) -> tuple[ModifierKind, tuple[float | str | None, ...]]:
        """The values within ``c(...)``; where no kind is given they say what they are."""
        opening = self.token
        if not opening.is_operator("("):
            raise self.fault(opening, "c stands for several values: c(a, b)")
        self.take()
        found = [self._value(kind)]
        while self.token.is_operator(","):
            self.take()
            found.append(self._value(kind))
        self.closing(opening)
        kinds = {said for said, value in found if value is not None}
        if len(kinds) > 1:
            message = "c(...) holds numbers or labels, not both"
            raise self.fault(opening, message, self._tokens[self._at - 1])
        return (kinds.pop() if kinds else kind or "fix"), tuple(value for _, value in found)

    def _value(self, kind: ModifierKind | None) -> tuple[ModifierKind, float | str | None]:
        """One value and what it can be a value of."""
        token = self.token
        if token.kind is Kind.NAME and token.value == "NA":
            self.take()
            return kind or "fix", None
        named = token.kind is Kind.STRING or (
            token.kind is Kind.NAME and not self.after.is_operator("(")
        )
        if kind in ("equal", "slope") and token.kind is not Kind.STRING:
            raise self.fault(token, f'here a text in quotes is expected, as in {kind}("name")')
        if named and kind in (None, "label", "equal", "slope"):
            self.take()
            if kind in (None, "label") and not is_plain_name(token.value):
                message = "a label is made of letters, digits, . and _, and begins with a letter"
                raise self.fault(token, message)
            return kind or "label", token.value
        if kind == "label":
            raise self.fault(token, 'here a label is expected, as in label("a")')
        node = self.expression()
        if isinstance(node, Symbol):
            raise self.fault(node, f"{node.name!r} is no number")
        return kind or "fix", self._constant(node)
