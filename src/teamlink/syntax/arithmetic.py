"""Arithmetic of labels: what stands right of ``:=``, on both sides of ``==``, and in modifiers.

The tree keeps sums and products flat, so that a text of any length is read, printed and evaluated
without deep recursion. Nothing is evaluated as code: the functions are a closed list.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from teamlink.errors import nearest
from teamlink.syntax.tokens import Cursor, Kind, Token

__all__ = [
    "FUNCTIONS",
    "ArithmeticReader",
    "Chain",
    "Function",
    "Negative",
    "Node",
    "Number",
    "Power",
    "Symbol",
    "constant",
    "show",
    "show_number",
    "symbols",
]

FUNCTIONS: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "exp": math.exp,
        "log": math.log,
        "sqrt": math.sqrt,
        "abs": abs,
        "sin": math.sin,
        "cos": math.cos,
        "tan": math.tan,
    }
)
"""Functions that an expression may call, each of one argument."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number that is not negative."""

    value: float
    start: int = field(compare=False, default=0)
    end: int = field(compare=False, default=0)


@dataclass(frozen=True, slots=True)
class Symbol:
    """The label of a parameter, or a defined parameter."""

    name: str
    start: int = field(compare=False, default=0)
    end: int = field(compare=False, default=0)


@dataclass(frozen=True, slots=True)
class Negative:
    """An operand with a minus before it."""

    operand: Node
    start: int = field(compare=False, default=0)
    end: int = field(compare=False, default=0)


@dataclass(frozen=True, slots=True)
class Power:
    """A base raised to an exponent."""

    base: Node
    exponent: Node
    start: int = field(compare=False, default=0)
    end: int = field(compare=False, default=0)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of one argument."""

    name: str
    argument: Node
    start: int = field(compare=False, default=0)
    end: int = field(compare=False, default=0)


@dataclass(frozen=True, slots=True)
class Chain:
    """A sum or a product; ``operators[i]`` stands between operands i and i + 1."""

    operands: tuple[Node, ...]
    operators: tuple[str, ...]
    start: int = field(compare=False, default=0)
    end: int = field(compare=False, default=0)


Node: TypeAlias = Number | Symbol | Negative | Power | Function | Chain

_SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(5)


def _rank(node: Node) -> int:
    if isinstance(node, Chain):
        return _SUM if node.operators[0] in "+-" else _PRODUCT
    if isinstance(node, Negative):
        return _SIGN
    return _POWER if isinstance(node, Power) else _ATOM


def show_number(value: float) -> str:
    """Print a number so that reading it gives the same."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(float(value))


def show(node: Node) -> str:
    """Print an expression; reading it back gives the same tree.

    Examples
    --------
    >>> show(Chain((Symbol("a"), Power(Symbol("b"), Number(2.0))), ("*",)))
    'a * b^2'
    """

    def within(inner: Node, least: int) -> str:
        return show(inner) if _rank(inner) >= least else f"({show(inner)})"

    match node:
        case Number():
            return show_number(node.value)
        case Symbol():
            return node.name
        case Negative():
            return f"-{within(node.operand, _SIGN)}"
        case Power():
            return f"{within(node.base, _ATOM)}^{within(node.exponent, _SIGN)}"
        case Function():
            return f"{node.name}({show(node.argument)})"
        case Chain():
            least = _rank(node) + 1
            parts = [within(node.operands[0], least)]
            for operator, operand in zip(node.operators, node.operands[1:], strict=True):
                parts.append(f" {operator} {within(operand, least)}")
            return "".join(parts)


def _parts(node: Node) -> tuple[Node, ...]:
    match node:
        case Negative():
            return (node.operand,)
        case Power():
            return (node.base, node.exponent)
        case Function():
            return (node.argument,)
        case Chain():
            return node.operands
    return ()


def symbols(node: Node) -> Iterator[Symbol]:
    """Walk over the symbols of an expression, in the order of the text."""
    ahead = [node]
    while ahead:
        inner = ahead.pop()
        if isinstance(inner, Symbol):
            yield inner
        ahead.extend(reversed(_parts(inner)))


def constant(node: Node) -> float:
    """The value of an expression without symbols.

    Raises
    ------
    ArithmeticError, ValueError
        It has none: a division by zero, an overflow, a logarithm or root of a negative number.
    """
    match node:
        case Number():
            return node.value
        case Symbol():
            raise ValueError(f"{node.name} is no number")
        case Negative():
            return -constant(node.operand)
        case Power():
            value = constant(node.base) ** constant(node.exponent)
            if isinstance(value, complex):
                raise ValueError("a root of a negative number")
            return float(value)
        case Function():
            return float(FUNCTIONS[node.name](constant(node.argument)))
        case Chain():
            value = constant(node.operands[0])
            for operator, operand in zip(node.operators, node.operands[1:], strict=True):
                other = constant(operand)
                match operator:
                    case "+":
                        value += other
                    case "-":
                        value -= other
                    case "*":
                        value *= other
                    case _:
                        value /= other
            return value


class ArithmeticReader(Cursor):
    """Reads expressions; the precedence is that of R."""

    def expression(self) -> Node:
        """A sum."""
        return self._chain(self.product, "+", "-")

    def product(self) -> Node:
        """A product or quotient."""
        return self._chain(self.signed, "*", "/")

    def _chain(self, read: Callable[[], Node], *operators: str) -> Node:
        first = read()
        operands: list[Node] = [first]
        found: list[str] = []
        while self.token.is_operator(*operators):
            found.append(self.take().value)
            operands.append(read())
        if not found:
            return first
        return Chain(tuple(operands), tuple(found), first.start, operands[-1].end)

    def signed(self) -> Node:
        """An operand with any number of signs before it."""
        if not self.token.is_operator("+", "-"):
            return self._power()
        sign = self.take()
        with self.nested(sign):
            operand = self.signed()
        return operand if sign.value == "+" else Negative(operand, sign.start, operand.end)

    def _power(self) -> Node:
        base = self._atom()
        if not self.token.is_operator("^"):
            return base
        mark = self.take()
        with self.nested(mark):
            exponent = self.signed()
        return Power(base, exponent, base.start, exponent.end)

    def _atom(self) -> Node:
        token = self.take()
        if token.kind is Kind.NUMBER:
            value = float(token.value)
            if not math.isfinite(value):
                raise self.fault(token, "this number is too large")
            return Number(value, token.start, token.end)
        if token.kind is Kind.NAME:
            gap = self._text[token.end : self.token.start]
            if self.token.is_operator("(") and "\n" not in gap:
                return self._call(token)
            return Symbol(token.value, token.start, token.end)
        if token.is_operator("("):
            with self.nested(token):
                inner = self.expression()
            self.closing(token)
            return inner
        if token.kind is Kind.END:
            raise self.fault(token, "the text ends where a number or a label is expected")
        raise self.fault(token, f"{token.value!r} stands where a number or a label is expected")

    def _call(self, name: Token) -> Node:
        if name.value not in FUNCTIONS:
            hint = nearest(name.value, FUNCTIONS)
            raise self.fault(name, f"there is no function {name.value!r}; {hint}")
        opening = self.take()
        with self.nested(opening):
            argument = self.expression()
        closing = self.closing(opening)
        return Function(name.value, argument, name.start, closing.end)

    def closing(self, opening: Token) -> Token:
        """Take the parenthesis that closes an opening one."""
        if not self.token.is_operator(")"):
            if self.token.kind is Kind.END:
                raise self.fault(opening, "this parenthesis is never closed")
            raise self.fault(self.token, "here an operator or a closing parenthesis is missing")
        return self.take()
