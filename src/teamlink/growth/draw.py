"""The picture of a growth curve: mean trajectories with their band, and lines of single units.

Figures are made without pyplot, so nothing global is opened or left behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from teamlink.errors import OptionError, nearest
from teamlink.growth.trajectories import At, Band

if TYPE_CHECKING:
    from teamlink.growth.result import GrowthCurve

__all__ = ["draw"]

INK, MUTED = "#1f2933", "#8a94a0"
QUARTILES = (0.25, 0.75)
COLOURS = ("#0b6e8f", "#c2452d", "#5b8c3a", "#8a5aa8", "#b8860b")


class Picture(Figure):
    """A figure that a notebook shows even where pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def draw(
    curve: GrowthCurve,
    by: str | None,
    at: At,
    individuals: int,
    interval: Band,
    coverage: float,
    seed: int,
) -> Figure:
    """See `GrowthCurve.plot`."""
    if by is not None and by not in curve.specification.covariates:
        hint = nearest(by, curve.specification.covariates) if curve.specification.covariates else ""
        raise OptionError(f"by: {by!r} is no predictor of the curve; {hint}".rstrip("; "))
    values = [None] if by is None else _values(curve, by)
    if len(values) > len(COLOURS):
        raise OptionError(f"by={by!r}: {len(values)} categories are too many for one picture")
    figure = Picture(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.subplots()
    _units(ax, curve, by, values, individuals, seed)
    for value, colour in zip(values, COLOURS, strict=False):
        chosen = dict(at) if by is None else {**at, by: value}
        label = "mean" if by is None else _label(by, value)
        _mean(ax, curve, chosen, interval, coverage, colour, label)
    if by is not None:
        ax.legend(frameon=False, fontsize=9, labelcolor=INK)
    ax.set_xlabel(curve.coding.time, color=INK)
    ax.set_ylabel(curve.specification.outcome, color=INK)
    _bare(ax)
    return figure


def _values(curve: GrowthCurve, by: str) -> list[Any]:
    """The values of a predictor at which mean trajectories are drawn."""
    held = curve.rows[by]
    seen = sorted(held.unique().tolist())
    if len(seen) <= 5 or not pd.api.types.is_numeric_dtype(held):
        return seen
    own = held.groupby(curve.rows[curve.specification.unit]).mean()
    return [float(own.quantile(share)) for share in QUARTILES]


def _label(by: str, value: Any) -> str:
    return f"{by} {value:.3g}" if isinstance(value, float) else f"{by} {value}"


def _mean(
    ax: Axes,
    curve: GrowthCurve,
    at: Mapping[str, Any],
    interval: Band,
    coverage: float,
    colour: str,
    label: str,
) -> None:
    table = curve.trajectories(at, interval=interval, coverage=coverage)
    if len({*map(tuple, table[list(at)].to_numpy())}) > 1:
        raise OptionError("at: one value for each predictor; name the one to compare by")
    x = table[curve.coding.time].to_numpy()
    if interval is not None:
        ax.fill_between(
            x, table["conf_low"], table["conf_high"], color=colour, alpha=0.22, linewidth=0
        )
    ax.plot(x, table["prediction"], color=colour, linewidth=2.4, label=label, zorder=4)


def _units(
    ax: Axes, curve: GrowthCurve, by: str | None, values: list[Any], count: int, seed: int
) -> None:
    """Fitted lines of some units, each in the colour of its value of `by` where it has one."""
    unit = curve.specification.unit
    ids = np.unique(curve.rows[unit].to_numpy())
    drawn = np.random.default_rng(seed).permutation(len(ids))[: max(count, 0)]
    chosen: dict[str, Any] = {unit: ids[drawn].tolist()}
    if by is not None:
        chosen[by] = curve.rows[by].unique().tolist()
    table = curve.trajectories(chosen, "group", None)
    for _, own in table.groupby(unit):
        colour = MUTED
        if by is not None and own[by].iloc[0] in values:
            colour = COLOURS[values.index(own[by].iloc[0])]
        ax.plot(own[curve.coding.time], own["prediction"], color=colour, linewidth=0.7, alpha=0.45)


def _bare(ax: Axes) -> None:
    for name in ("top", "right"):
        ax.spines[name].set_visible(False)
    for name in ("left", "bottom"):
        ax.spines[name].set_color(MUTED)
    ax.tick_params(colors=MUTED, labelsize=8, labelcolor=INK)
