"""Expressions of parameters: their values with slopes, and whether they are linear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from teamlink.syntax.arithmetic import Chain, Function, Negative, Node, Number, Power, Symbol
from teamlink.typing import Array

__all__ = ["Dual", "evaluate", "linear"]


@dataclass(frozen=True, slots=True)
class Dual:
    """A number with its slopes in q parameters, for R replicates; real, or with imaginary steps.

    Attributes
    ----------
    value : (R,)
    slope : (R, q)
    """

    value: Array
    slope: Array

    def _chain(self, value: Array, slope: Array) -> Dual:
        return Dual(value, slope[:, None] * self.slope)

    def plus(self, other: Dual, sign: float = 1.0) -> Dual:
        """Sum, or difference."""
        return Dual(self.value + sign * other.value, self.slope + sign * other.slope)

    def times(self, other: Dual) -> Dual:
        """Product."""
        return Dual(
            self.value * other.value,
            self.value[:, None] * other.slope + other.value[:, None] * self.slope,
        )

    def over(self, other: Dual) -> Dual:
        """Quotient."""
        return self.times(other._chain(1 / other.value, -1 / other.value**2))

    def power(self, other: Dual) -> Dual:
        """The base raised to an exponent; the exponent may be a parameter where the base is > 0."""
        value = self.value**other.value
        own = other.value * self.value ** (other.value - 1)
        slope = np.where(self.slope == 0, 0.0, own[:, None] * self.slope)
        if other.slope.any():
            slope = slope + (value * np.log(self.value))[:, None] * other.slope
        return Dual(value, slope)

    def function(self, name: str) -> Dual:
        """A function of one argument."""
        x = self.value
        match name:
            case "exp":
                return self._chain(np.exp(x), np.exp(x))
            case "log":
                return self._chain(np.log(x), 1 / x)
            case "sqrt":
                return self._chain(np.sqrt(x), 0.5 / np.sqrt(x))
            case "abs":
                # Not np.abs, so that a value with an imaginary step keeps it.
                return self._chain(np.sign(x.real) * x, np.sign(x.real))
            case "sin":
                return self._chain(np.sin(x), np.cos(x))
            case "cos":
                return self._chain(np.cos(x), -np.sin(x))
            case _:
                return self._chain(np.tan(x), 1 / np.cos(x) ** 2)


def evaluate(node: Node, known: Mapping[str, Dual], like: Dual) -> Dual:
    """Value and slopes of an expression.

    Parameters
    ----------
    node : Node
    known : value of every symbol
    like : a number of the right shape

    Returns
    -------
    Dual
        Missing values where the expression has none, as the logarithm of a negative number.
    """

    def of(inner: Node) -> Dual:
        match inner:
            case Number():
                return Dual(np.full_like(like.value, inner.value), np.zeros_like(like.slope))
            case Symbol():
                return known[inner.name]
            case Negative():
                own = of(inner.operand)
                return Dual(-own.value, -own.slope)
            case Power():
                return of(inner.base).power(of(inner.exponent))
            case Function():
                return of(inner.argument).function(inner.name)
            case Chain():
                total = of(inner.operands[0])
                for operator, operand in zip(inner.operators, inner.operands[1:], strict=True):
                    total = _combined(total, operator, of(operand))
                return total

    with np.errstate(all="ignore"):
        return of(node)


def _combined(one: Dual, operator: str, two: Dual) -> Dual:
    match operator:
        case "+":
            return one.plus(two)
        case "-":
            return one.plus(two, -1.0)
        case "*":
            return one.times(two)
        case _:
            return one.over(two)


def linear(node: Node, known: Mapping[str, Array]) -> Array | None:
    """An expression as a linear form: (q + 1,) coefficients and constant; None where it is none.

    Parameters
    ----------
    node : Node
    known : (q + 1,) form of every symbol that has one
    """

    def constant(form: Array | None) -> float | None:
        return None if form is None or form[:-1].any() else float(form[-1])

    def of(inner: Node, size: int) -> Array | None:
        match inner:
            case Number():
                form = np.zeros(size)
                form[-1] = inner.value
                return form
            case Symbol():
                return known.get(inner.name)
            case Negative():
                form_or = of(inner.operand, size)
                return None if form_or is None else -form_or
            case Power() | Function():
                parts: tuple[Node, ...] = (
                    (inner.base, inner.exponent) if isinstance(inner, Power) else (inner.argument,)
                )
                values = [constant(of(part, size)) for part in parts]
                if any(value is None for value in values):
                    return None
                one = Dual(np.zeros(1), np.zeros((1, 0)))
                form = np.zeros(size)
                plain = [Number(value or 0.0) for value in values]
                again = (
                    Power(plain[0], plain[1])
                    if isinstance(inner, Power)
                    else Function(inner.name, plain[0])
                )
                form[-1] = evaluate(again, {}, one).value[0]
                return form
            case Chain():
                total = of(inner.operands[0], size)
                for operator, operand in zip(inner.operators, inner.operands[1:], strict=True):
                    total = _joined(total, operator, of(operand, size))
                return total

    def _joined(one: Array | None, operator: str, two: Array | None) -> Array | None:
        if one is None or two is None:
            return None
        if operator in "+-":
            return one + two if operator == "+" else one - two
        first, second = constant(one), constant(two)
        if operator == "*" and (first is not None or second is not None):
            return two * first if first is not None else one * float(two[-1])
        return one / second if operator == "/" and second else None

    return of(node, len(next(iter(known.values()))) if known else 1)
