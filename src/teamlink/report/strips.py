"""Small drawings that scale with the page: many numbers of one kind as a line with marks.

They are written as SVG whose places are per cent of the width, so that they are as sharp on a
telephone as on a desk, and take a few hundred bytes each.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from teamlink.typing import Array

__all__ = ["Axis", "axis_of", "spread_row", "standard_errors", "strip", "ticks"]

ROW = 22


@dataclass(frozen=True, slots=True)
class Axis:
    """Numbers to per cent of the width."""

    low: float
    high: float

    def at(self, value: float) -> str:
        """Give the place of a number, held inside the drawing.

        Examples
        --------
        >>> Axis(-1.0, 1.0).at(0.0)
        '50.0%'
        """
        share = (value - self.low) / (self.high - self.low)
        return f"{100 * min(max(share, 0.005), 0.995):.1f}%"


def axis_of(values: Sequence[float], room: float = 0.06) -> Axis:
    """An axis that holds all values and zero, with some room at its ends."""
    found = np.array([v for v in values if np.isfinite(v)] or [1.0])
    low, high = min(0.0, float(found.min())), max(0.0, float(found.max()))
    width = (high - low) or 1.0
    return Axis(low - room * width, high + room * width)


def ticks(axis: Axis, count: int = 5) -> list[float]:
    """Round numbers along an axis.

    Examples
    --------
    >>> ticks(Axis(-0.11, 0.31), 4)
    [-0.1, 0.0, 0.1, 0.2, 0.3]
    """
    raw = (axis.high - axis.low) / count
    size = 10.0 ** np.floor(np.log10(raw))
    step = size * min((1, 2, 5, 10), key=lambda k: abs(k - raw / size))
    first = np.ceil(axis.low / step)
    last = np.floor(axis.high / step)
    digits = max(0, -int(np.floor(np.log10(step))))
    return [round(float(k * step), digits) + 0.0 for k in np.arange(first, last + 1)]


def strip(parts: Sequence[str], rows: int, label: str, axis: Axis | None = None) -> str:
    """Put parts into an SVG of so many rows, with a scale below where an axis is given."""
    height = rows * ROW + (20 if axis is not None else 0)
    scale = ""
    if axis is not None:
        y = rows * ROW
        scale = "".join(
            f'<line x1="{axis.at(t)}" x2="{axis.at(t)}" y1="0" y2="{y}" class="grid"/>'
            f'<text x="{axis.at(t)}" y="{y + 14}">{_number(t)}</text>'
            for t in ticks(axis)
        )
    body = "".join(parts)
    return (
        f'<svg class="strip" height="{height}" width="100%" role="img" '
        f'aria-label="{html.escape(label)}">{scale}{body}</svg>'
    )


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "\u2212")


def spread_row(
    values: Array, axis: Axis, row: int, tone: str, true_value: float | None = None
) -> str:
    """One row: the middle 95 % of the values as a line, the middle half thick, the mean a dot.

    A mean beyond the axis is an arrow at its end, with the number.

    Parameters
    ----------
    values : Array
        (r,), such as the estimates of all replicates.
    axis : Axis
    row : int
        Counted from the top.
    tone : str
        Class that gives the colour.
    true_value : float, optional
        Drawn as an upright mark.

    Returns
    -------
    str
        Elements for `strip`; empty where there is no value.
    """
    if not len(values):
        return ""
    y = row * ROW + ROW / 2
    mean = float(values.mean())
    ends = np.quantile(values, [0.025, 0.25, 0.75, 0.975])
    at = [axis.at(float(v)) for v in ends]
    mark = ""
    if true_value is not None:
        x = axis.at(true_value)
        mark = f'<line class="truth" x1="{x}" x2="{x}" y1="{y - 8}" y2="{y + 8}"/>'
    return (
        f'<g class="{tone}"><line x1="{at[0]}" x2="{at[3]}" y1="{y}" y2="{y}"/>'
        f'<line class="half" x1="{at[1]}" x2="{at[2]}" y1="{y}" y2="{y}"/>'
        f"{_middle(mean, axis, y)}</g>{mark}"
    )


def _middle(mean: float, axis: Axis, y: float) -> str:
    """Draw the mean as a dot; beyond the axis, which would hold the dot back, as an arrow."""
    if mean > axis.high:
        return f'<text class="right" x="100%" y="{y + 4}">{_number(round(mean))} \u2192</text>'
    if mean < axis.low:
        return f'<text class="left" x="0%" y="{y + 4}">\u2190 {_number(round(mean))}</text>'
    return f'<circle cx="{axis.at(mean)}" cy="{y}" r="4"/>'


def standard_errors(run: Mapping[str, Any]) -> Array:
    """Estimates of all replicates in their own standard errors, from the 95 % intervals.

    Examples
    --------
    >>> run = {"estimate": [0.2], "conf_low": [0.004], "conf_high": [0.396]}
    >>> standard_errors(run).round(2).tolist()
    [2.0]
    """
    estimate, low, high = (
        np.array(run[name], dtype=float) for name in ("estimate", "conf_low", "conf_high")
    )
    half = (high - low) / 2 / 1.959964
    found: Array = estimate[half > 0] / half[half > 0]
    return found
