r"""Where a profile crosses a level: both ends of an interval at once.

``zeta(v) = sign(v - v_hat) sqrt(D(v) - D_hat)`` is nearly a straight line, so the value at which it
reaches a target comes from inverse interpolation through the points known, kept within a bracket. A
range that ends before the target is reached ends the interval there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np

from teamlink.errors import FitError
from teamlink.fitting.model import Reach
from teamlink.typing import Array

__all__ = ["Curve", "ends", "inverse"]

_CLOSE = 1e-8
"""Zeta is met to this; the end then errs by as small a share of a standard error."""

_ROUNDS = 80


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a profile, in increasing order.

    Attributes
    ----------
    values : (c,) of the parameter
    zeta : (c,) signed root of the rise of the deviance
    """

    values: Array
    zeta: Array

    def with_points(self, values: Array, zeta: Array) -> Curve:
        """The curve with more points; of two at one value the first stays."""
        fine = np.isfinite(zeta)
        both = np.concatenate([self.values, values[fine]])
        found, first = np.unique(both, return_index=True)
        return Curve(found, np.concatenate([self.zeta, zeta[fine]])[first])


Zeta = Callable[[Array], Array]
"""Zeta at values (c,)."""


def ends(zeta: Zeta, curve: Curve, reach: Reach, target: float) -> tuple[Array, Curve]:
    """Both values at which zeta reaches minus and plus a target.

    Parameters
    ----------
    zeta : evaluates the profile
    curve : points known, the estimate with a zeta of zero among them
    reach : range of the parameter
    target : positive

    Returns
    -------
    (2,) : values; an end of the range where the target is not reached within it
    curve : with the points that were evaluated
    """
    sides = [_seek(-1.0, curve, reach, target), _seek(1.0, curve, reach, target)]
    estimate = float(curve.values[np.argmin(np.abs(curve.zeta))])
    # A generator that is over before it has asked is at the end of the range.
    asked = [next(side, None) for side in sides]
    found = [estimate, estimate]
    while any(value is not None for value in asked):
        values = np.array([value for value in asked if value is not None])
        answers = zeta(values)
        curve = curve.with_points(values, answers)
        said = iter(answers)
        for i, value in enumerate(asked):
            if value is None:
                continue
            try:
                asked[i] = sides[i].send(float(next(said)))
            except StopIteration as stop:
                found[i], asked[i] = stop.value, None
    return np.array(found), curve


def _seek(sign: float, curve: Curve, reach: Reach, target: float) -> Generator[float, float, float]:
    """Ask for zeta at values on one side of the estimate; give the value of the target."""
    side = curve.zeta * sign >= 0
    values, heights = list(curve.values[side]), list(np.abs(curve.zeta[side]))
    estimate = float(values[int(np.argmin(heights))])
    limit = reach.low if sign < 0 else reach.high
    if estimate == limit:
        return estimate
    bounded = bool(np.isfinite(limit))
    if reach.closed and bounded:
        height = abs((yield limit))
        if height <= target:
            return limit
        if not np.isfinite(height):
            raise FitError(f"the model with the parameter held at {limit:g} cannot be fitted")
        values.append(limit)
        heights.append(height)
    below = [v for v, h in zip(values, heights, strict=True) if h < target]
    above = [v for v, h in zip(values, heights, strict=True) if h >= target]
    inner: float = max(below, key=lambda v: sign * v)
    outer: float | None = min(above, key=lambda v: sign * v) if above else None
    for _ in range(_ROUNDS):
        guess = inverse(np.array(values), np.array(heights), target) if len(values) > 1 else np.nan
        value = _within(guess, inner, outer, sign, estimate, reach, limit)
        height = abs((yield value))
        if abs(height - target) <= _CLOSE or value in (inner, outer):
            return value
        if height < target:
            inner = value
        else:
            outer = value
        if np.isfinite(height):
            values.append(value)
            heights.append(height)
    raise FitError(f"the profile does not reach {target:.3g} near {values[-1]:g}")


def _within(
    guess: float, inner: float, outer: float | None, sign: float, estimate: float, reach: Reach,
    limit: float,
) -> float:  # fmt: skip
    """The guess, if it lies in the bracket; else a step that makes the bracket smaller or wider."""
    if outer is not None:
        inside = np.isfinite(guess) and (guess - inner) * sign > 0 and (outer - guess) * sign > 0
        return float(guess) if inside else (inner + outer) / 2
    far = inner + sign * max(3 * abs(inner - estimate), reach.step)
    if np.isfinite(guess) and (guess - inner) * sign > 0:
        far = min(far, guess, key=lambda v: sign * v)
    if np.isfinite(limit) and (limit - far) * sign <= 0:
        far = (inner + limit) / 2
    return float(far)


def inverse(values: Array, heights: Array, target: float, apart: float = 1e-12) -> float:
    """The value at a height, by inverse interpolation through the four nearest points.

    Of points whose heights are not `apart` one counts; missing where fewer than two are left.
    """
    order = np.argsort(np.abs(heights - target), kind="stable")
    chosen: list[int] = []
    for i in order:
        if all(abs(heights[i] - heights[k]) > apart for k in chosen):
            chosen.append(int(i))
        if len(chosen) == 4:
            break
    if len(chosen) < 2:
        return float("nan")
    h, v = heights[chosen], values[chosen]
    total = 0.0
    for k in range(len(chosen)):
        others = np.delete(h, k)
        total += float(v[k] * np.prod((target - others) / (h[k] - others)))
    return total
