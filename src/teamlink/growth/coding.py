"""Codings of time: from the shape of growth to columns, each with its text in a formula.

Let ``u = (time - origin) / time_unit``. A coding gives K columns of which every one is zero at the
origin, those of orthogonal polynomials apart, so that the intercept is the status there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np

from teamlink.errors import OptionError, check_option
from teamlink.syntax.expression import show_name
from teamlink.typing import Array

__all__ = ["GrowthTerm", "Origin", "Shape", "TimeCoding", "code_time", "coefficient_names"]

Shape: TypeAlias = Literal["linear", "quadratic", "cubic", "polynomial", "piecewise"]
Origin: TypeAlias = float | Literal["first", "last", "mean"] | None

SHAPES = {"linear": 1, "quadratic": 2, "cubic": 3}
_POWERS = ("linear", "quadratic", "cubic", "quartic", "quintic")
_CODINGS = {"polynomial": ("raw", "orthogonal"), "piecewise": ("two-rate", "increment")}


@dataclass(frozen=True, slots=True)
class GrowthTerm:
    """One growth term: a column of time.

    Attributes
    ----------
    name : "linear", "rate1", ...: how `random` and `predictors` call it
    text : in a formula
    column : name of its column in a fit
    meaning : what its coefficient is
    """

    name: str
    text: str
    column: str
    meaning: str


@dataclass(frozen=True, slots=True)
class TimeCoding:
    """How time enters a growth curve.

    Attributes
    ----------
    time : column of the table
    shape : "polynomial" or "piecewise"
    coding : "raw", "orthogonal", "two-rate" or "increment"
    origin : time at which the intercept is the status; of orthogonal polynomials their centre
    time_unit : length of one unit of growth, in units of the column
    knots : (m,) of a piecewise coding, in units of the column
    powers : (K, K + 1) coefficients of each polynomial column in the powers of u, lowest first
    observed : (T,) the different times of the rows, in order
    terms : the K growth terms
    """

    time: str
    shape: str
    coding: str
    origin: float
    time_unit: float
    knots: tuple[float, ...]
    powers: Array
    observed: Array
    terms: tuple[GrowthTerm, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the growth coefficients: the intercept, then the K terms."""
        return ("intercept", *(term.name for term in self.terms))

    @property
    def status(self) -> str:
        """What the intercept is."""
        if self.coding == "orthogonal":
            return "Mean status over the occasions"
        word = "Initial status" if self.origin == self.observed[0] else "Status"
        return f"{word} at {self.time} = {number(self.origin)}"

    def columns(self, times: Array) -> Array:
        """The columns (T, 1 + K) at given times (T,), the intercept first."""
        x = np.asarray(times, dtype=float)
        if self.shape == "polynomial":
            growth = self._powers_of(x) @ self.powers.T
        else:
            low, high = self._pieces
            held = np.clip(x[:, None], low, high) - np.clip(self.origin, low, high)
            growth = held / self.time_unit
        return np.column_stack([np.ones(len(x)), growth])

    def slopes(self, times: Array) -> Array:
        """Derivatives (T, 1 + K) of the columns by a unit of growth; at a knot, those after it."""
        x = np.asarray(times, dtype=float)
        if self.shape == "polynomial":
            degree = np.arange(1, self.powers.shape[1])
            growth = self._powers_of(x)[:, :-1] @ (self.powers[:, 1:] * degree).T
        else:
            low, high = self._pieces
            growth = ((x[:, None] >= low) & (x[:, None] < high)).astype(float)
        return np.column_stack([np.zeros(len(x)), growth])

    def _powers_of(self, x: Array) -> Array:
        u = (x - self.origin) / self.time_unit
        powers: Array = np.vander(u, self.powers.shape[1], increasing=True)
        return powers

    @property
    def _pieces(self) -> tuple[Array, Array]:
        """Edges (K,) between which each column of a piecewise coding counts time."""
        low = np.array([-np.inf, *self.knots])
        if self.coding == "increment":
            return low, np.full(len(low), np.inf)
        return low, np.array([*self.knots, np.inf])


def coefficient_names(
    shape: str, degree: int | None, knots: Sequence[float], coding: str | None
) -> tuple[str, ...]:
    """Names of the growth coefficients of a shape: the intercept, then the growth terms.

    Examples
    --------
    >>> coefficient_names("quadratic", None, (), None)
    ('intercept', 'linear', 'quadratic')
    >>> coefficient_names("piecewise", None, (0.5,), "increment")
    ('intercept', 'rate', 'increment1')
    """
    check_option("shape", shape, [*SHAPES, "polynomial", "piecewise"])
    family = "piecewise" if shape == "piecewise" else "polynomial"
    check_option("coding", coding, [None, *_CODINGS[family]])
    if shape == "piecewise":
        if not len(knots):
            raise OptionError("knots: piecewise growth needs at least one, such as knots=[0.5]")
        if coding == "increment":
            return ("intercept", "rate", *(f"increment{k + 1}" for k in range(len(knots))))
        return ("intercept", *(f"rate{k + 1}" for k in range(len(knots) + 1)))
    if len(knots):
        raise OptionError(f"knots: they go with shape='piecewise', not with {shape!r}")
    if (degree is not None) != (shape == "polynomial"):
        raise OptionError("degree: goes with shape='polynomial', and with no other shape")
    K = SHAPES.get(shape, degree or 0)
    if not 1 <= K <= len(_POWERS) or int(K) != K:
        raise OptionError(f"degree={degree!r}: a whole number from 1 to {len(_POWERS)}")
    return ("intercept", *_POWERS[:K])


def code_time(
    time: str,
    times: Array,
    names: Sequence[str],
    coding: str | None,
    knots: Sequence[float],
    origin: Origin,
    time_unit: float,
) -> TimeCoding:
    """Code time.

    Parameters
    ----------
    time : column of the table
    times : (n,) its values in the rows of the fit
    names : growth coefficients, from `coefficient_names`
    coding : "raw", "orthogonal", "two-rate", "increment", or None for the first of its kind
    knots : of a piecewise coding
    origin : a time, or "first", "last" or "mean" of the rows; 0 when None
    time_unit : positive

    Returns
    -------
    TimeCoding
    """
    family = "polynomial" if names[1] == "linear" else "piecewise"
    coding = coding or _CODINGS[family][0]
    if coding == "orthogonal" and origin is not None:
        raise OptionError("origin: orthogonal polynomials have their own, the mean of time")
    spread = float(np.ptp(times)) or 1.0
    zero = _zero(times, "mean" if coding == "orthogonal" else origin, spread)
    powers = np.eye(len(names))[1:]
    if coding == "orthogonal":
        powers = _orthogonal((times - zero) / time_unit, len(names) - 1, spread / time_unit)
    knots = tuple(float(knot) for knot in knots)
    texts = (
        _polynomial_texts(time, zero, time_unit, powers)
        if family == "polynomial"
        else _piecewise_texts(time, zero, time_unit, knots, coding)
    )
    meanings = _meanings(time, coding, zero, time_unit, knots, len(names) - 1)
    columns = [time if text == show_name(time) else text for text in texts]
    terms = tuple(map(GrowthTerm, names[1:], texts, columns, meanings))
    return TimeCoding(time, family, coding, zero, time_unit, knots, powers, np.unique(times), terms)


def number(value: float) -> str:
    """A number as a formula has it, with all its digits."""
    return repr(float(value)).removesuffix(".0")


def _rounded(value: float, size: float) -> float:
    """To six digits of `size`, that the formula stay readable."""
    return round(float(value), 6 - int(np.floor(np.log10(size)))) + 0.0


def _zero(times: Array, origin: Origin, spread: float) -> float:
    if origin is None:
        return 0.0
    if isinstance(origin, str):
        check_option("origin", origin, ["first", "last", "mean"])
        if origin == "mean":
            return _rounded(times.mean(), spread)
        return float(times.min() if origin == "first" else times.max())
    if not np.isfinite(origin):
        raise OptionError(f"origin={origin!r}: give a time, or 'first', 'last' or 'mean'")
    return float(origin)


def _orthogonal(u: Array, K: int, spread: float) -> Array:
    """Coefficients (K, K + 1) of orthogonal polynomials over u (n,), each with leading one."""
    rows = np.eye(K + 1)
    V = np.vander(u, K + 1, increasing=True)
    for k in range(1, K + 1):
        for j in range(k):
            p = V @ rows[j]
            rows[k] -= (V[:, k] @ p) / (p @ p) * rows[j]
    out = rows[1:].copy()
    for k in range(1, K + 1):
        for j in range(k):
            out[k - 1, j] = _rounded(out[k - 1, j], spread ** (k - j))
    out[0, 0] = 0.0
    return out


def _minus(value: float) -> str:
    """``" - 2.5"``, ``" + 2.5"``, or nothing for zero."""
    return "" if value == 0 else f" {'-' if value > 0 else '+'} {number(abs(value))}"


def _over(text: str, time_unit: float) -> str:
    """Divide; in the parentheses that a printed formula has, and no others."""
    if time_unit == 1:
        return text
    return f"{f'({text})' if _is_sum(text) else text} / {number(time_unit)}"


def _is_sum(text: str) -> bool:
    """Whether an expression has a plus or a minus outside all parentheses and quotes."""
    bare = re.sub(r"`[^`]*`", "", text)
    while "(" in bare:
        bare = re.sub(r"\([^()]*\)", "", bare)
    return " + " in bare or " - " in bare


def _polynomial_texts(time: str, zero: float, time_unit: float, powers: Array) -> list[str]:
    shown = show_name(time, code=True)
    base = _over(f"{shown}{_minus(zero)}", time_unit)
    held = shown if base == shown else f"({base})"
    texts = [show_name(time) if base == shown else f"I({base})"]
    for k, row in enumerate(powers[1:], start=2):
        text = f"{held} ** {k}"
        for j in range(k - 1, -1, -1):
            power = "" if j == 0 else f" * {held}" if j == 1 else f" * {held} ** {j}"
            text += f"{_minus(-row[j])}{power}" if row[j] else ""
        texts.append(f"I({text})")
    return texts


def _piecewise_texts(
    time: str, zero: float, time_unit: float, knots: Sequence[float], coding: str
) -> list[str]:
    shown = show_name(time, code=True)

    def past(knot: float, sign: str) -> str:
        return f"({shown}{_minus(knot)}) * ({shown} {sign} {number(knot)})"

    after = [past(knot, ">") for knot in knots]
    if coding == "increment":
        texts = [f"{shown}{_minus(zero)}"]
        texts += [
            f"{text}{_minus(max(zero - knot, 0.0))}"
            for text, knot in zip(after, knots, strict=True)
        ]
    else:
        texts = [f"{past(knots[0], '<=')}{_minus(min(zero - knots[0], 0.0))}"]
        texts += [
            f"{one} - {two}{_minus(float(np.clip(zero, a, b)) - a)}"
            for one, two, a, b in zip(after[:-1], after[1:], knots[:-1], knots[1:], strict=True)
        ]
        texts.append(f"{after[-1]}{_minus(max(zero - knots[-1], 0.0))}")
    texts = [_over(text, time_unit) for text in texts]
    return [show_name(time) if text == shown else f"I({text})" for text in texts]


def _meanings(
    time: str, coding: str, zero: float, time_unit: float, knots: Sequence[float], K: int
) -> list[str]:
    """What the coefficient of each growth term is."""
    per = f"per {number(time_unit) + ' ' if time_unit != 1 else ''}{time}"
    at = f"at {time} = {number(zero)}"
    shown = [number(knot) for knot in knots]
    if coding == "two-rate":
        between = [f"from {a} to {b}" for a, b in pairwise(shown)]
        return [
            f"Rate of change {per}, {where}"
            for where in (f"up to {shown[0]}", *between, f"from {shown[-1]}")
        ]
    if coding == "increment":
        return [
            f"Base rate of change {per}, up to {shown[0]}",
            *(f"Change of the rate at {time} = {knot}" for knot in shown),
        ]
    if coding == "orthogonal":
        words = [f"Linear trend {per}", "Quadratic trend", "Cubic trend"]
        words += ["Quartic trend", "Quintic trend"]
        return words[:K]
    words = [
        f"Rate of change {per}" + (f", {at}" if K > 1 else ""),
        "Curvature: half the acceleration" + (f", {at}" if K > 2 else ""),
        "Cubic term: a sixth of the change of acceleration" + (f", {at}" if K > 3 else ""),
        "Quartic term",
        "Quintic term",
    ]
    return words[:K]
