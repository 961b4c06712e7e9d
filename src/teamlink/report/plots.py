"""Figures: random effects, replicates, coverage. Each function returns a matplotlib `Figure`.

Figures are made without pyplot, so nothing global is opened or left behind. Save one with
`figure.savefig(path)`; a notebook shows it by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from teamlink.errors import DataError, OptionError, nearest
from teamlink.typing import Array

__all__ = ["DARK", "PLAIN", "Palette", "bare", "caterpillar", "coverage_plot", "replicates_plot"]


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of a figure."""

    ink: str = "#1f2933"
    muted: str = "#8a94a0"
    faint: str = "#d9dee4"
    accent: str = "#0b6e8f"
    warn: str = "#c2452d"


PLAIN = Palette()
DARK = Palette(
    ink="#e4e7eb", muted="#8f9aa6", faint="#3b444d", accent="#63b7d4", warn="#f0836c"
)  # fmt: skip
"""For pages with a dark background."""

_SCENARIOS = {"study": 0, "control 1": 1, "control 2": 2}


def caterpillar(
    effects: pd.DataFrame | Mapping[str, pd.DataFrame],
    term: str | None = None,
    level: float = 0.95,
    *,
    group: str | None = None,
    palette: Palette = PLAIN,
) -> Figure:
    """Draw random effects in order of size, each with its interval.

    Parameters
    ----------
    effects : pandas.DataFrame or mapping
        `fit.ranef()`, or one of its frames: a row a group, a column a term, and ``<term>_se``.
    term : str, optional
        One term; all terms side by side when None, all in the order of the first.
    level : float
        Of the intervals: estimate +- z x standard error.
    group : str, optional
        The grouping factor, where `effects` holds several.
    palette : Palette
        Colours.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        The frame has no such term, or no column with standard errors.
    OptionError
        `level` is no share between 0 and 1, or `group` is no factor of `effects`.

    Notes
    -----
    Intervals that leave out zero are drawn in the accent colour. They are of one effect at a
    time: do not read a comparison of two groups, or a ranking, off whether they overlap.

    Examples
    --------
    >>> import pandas as pd
    >>> effects = pd.DataFrame({"Intercept": [0.4, -1.0], "Intercept_se": [0.3, 0.3]})
    >>> len(caterpillar(effects).axes)
    1
    """
    if not 0 < level < 1:
        raise OptionError(f"level={level!r}: a confidence level lies between 0 and 1")
    effects = _of_group(effects, group)
    terms = [str(c) for c in effects.columns if f"{c}_se" in effects.columns]
    if not terms:
        raise DataError(
            "the frame has no column '<term>_se'; give one of the frames of fit.ranef()"
        )
    if term is not None and term not in terms:
        raise DataError(f"no random effect {term!r}; {nearest(term, terms)}")
    shown = terms if term is None else [term]
    order = np.argsort(effects[shown[0]].to_numpy(), kind="stable")
    height = max(2.2, 0.13 * len(order)) if len(order) <= 40 else min(0.055 * len(order) + 1, 14)
    figure = Figure(figsize=(4.2 * len(shown) + 0.6, height), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(shown), sharey=True))
    z = float(stats.norm.ppf(0.5 + level / 2))
    for ax, name in zip(axes, shown, strict=True):
        values = effects[name].to_numpy()[order]
        half = z * effects[f"{name}_se"].to_numpy()[order]
        _intervals(ax, values, half, palette)
        ax.set_title(name, color=palette.ink, fontsize=10, loc="left")
        ax.set_ylim(-1, len(order))
        bare(ax, palette)
    few = len(order) <= 40
    axes[0].set_yticks(range(len(order)) if few else [])
    if few:
        axes[0].set_yticklabels([str(effects.index[i]) for i in order], fontsize=7)
    axes[0].set_ylabel(
        str(effects.index.name if effects.index.name is not None else "group"), color=palette.ink
    )
    return figure


def _of_group(
    effects: pd.DataFrame | Mapping[str, pd.DataFrame], group: str | None
) -> pd.DataFrame:
    """The frame of one grouping factor."""
    if isinstance(effects, pd.DataFrame):
        if group is not None:
            raise OptionError("group: goes with all of fit.ranef(), not with one frame of it")
        return effects
    if group is None and len(effects) != 1:
        raise OptionError(f"group: name one of the grouping factors {', '.join(effects)}")
    name = next(iter(effects)) if group is None else group
    if name not in effects:
        raise OptionError(f"group: no grouping factor {name!r}; {nearest(name, effects)}")
    return effects[name]


def _intervals(ax: Axes, values: Array, half: Array, palette: Palette) -> None:
    rows = np.arange(len(values))
    away = np.abs(values) > half
    ax.axvline(0, color=palette.muted, linewidth=0.8)
    for mask, colour in ((~away, palette.muted), (away, palette.accent)):
        ax.hlines(rows[mask], (values - half)[mask], (values + half)[mask], colour, linewidth=1)
        ax.plot(values[mask], rows[mask], "o", color=colour, markersize=2.6)


def replicates_plot(
    data: Mapping[str, Any], *, width: float = 7.2, palette: Palette = PLAIN
) -> Figure:
    """Draw the estimates of all replicates, for the study and its two controls.

    Parameters
    ----------
    data : mapping
        From `Replication.to_dict()`.
    width : float
        Of the figure, inches; each claim adds 2.3 to its height.
    palette : Palette
        Colours.

    Returns
    -------
    matplotlib.figure.Figure
        A panel a claim with three rows; a dot a replicate, filled where it is significant. The
        side that the publication claims is shaded; a line marks the true value.
    """
    claims = data["claims"]
    figure = Figure(figsize=(width, 2.3 * len(claims) + 0.2), layout="constrained")
    axes = np.atleast_1d(figure.subplots(len(claims), 1))
    for ax, claim in zip(axes, claims, strict=True):
        runs = [r for r in data["runs"] if r["claim"] == claim["claim"]]
        controls = [c for c in data["controls"] if c["claim"] == claim["claim"]]
        labels = ["as the study", *(c["control"] for c in controls)]
        _claim_panel(ax, runs, labels, claim, width, palette)
    return figure


def _claim_panel(
    ax: Axes,
    runs: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    claim: Mapping[str, Any],
    width: float,
    palette: Palette,
) -> None:
    everything = [x for run in runs for x in run["estimate"]]
    reach = 1.08 * max((abs(x) for x in everything), default=1.0)
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-2.12, 1.0)
    if claim["published"] != "null":
        side = (0, reach) if claim["published"] == "positive" else (-reach, 0)
        ax.axvspan(*side, color=palette.faint, alpha=0.45, linewidth=0)
    ax.axvline(0, color=palette.muted, linewidth=0.8)
    for run in runs:
        row = -_SCENARIOS[run["scenario"]]
        colour = palette.accent if row == 0 else palette.muted
        _dots(ax, run, row, 2 * reach / (15 * width), colour)
        if run["true_value"]:
            truth = float(np.mean(run["true_value"]))
            ax.plot(
                [truth, truth],
                [row - 0.08, row + 0.82],
                color=palette.warn,
                linewidth=1.4,
                zorder=3,
            )
    ax.set_yticks([0.35, -0.65, -1.65], labels, color=palette.ink, fontsize=8)
    if claim["text"]:
        title = f"{claim['claim']}  {claim['text']}"
        ax.set_title(title, color=palette.ink, fontsize=9, loc="left")
    bare(ax, palette)
    ax.tick_params(axis="y", length=0)


def _dots(ax: Axes, run: Mapping[str, Any], row: int, width: float, colour: str) -> None:
    """Stack a dot a replicate over bins of `width`; filled where its interval leaves out zero."""
    estimate = np.asarray(run["estimate"], dtype=float)
    if not estimate.size:
        return
    low, high = np.asarray(run["conf_low"]), np.asarray(run["conf_high"])
    bins = np.floor(estimate / width).astype(int)
    order = np.lexsort((estimate, bins))
    sorted_bins = bins[order]
    first = np.searchsorted(sorted_bins, sorted_bins)
    stack = np.empty(len(order))
    stack[order] = np.arange(len(order)) - first
    step = min(0.055, 0.85 / max(float(stack.max()) + 1, 1.0))
    x, y = (bins + 0.5) * width, row + stack * step
    found = (low > 0) | (high < 0)
    for mask, filled in ((~found, False), (found, True)):
        face = colour if filled else "none"
        ax.scatter(x[mask], y[mask], s=9, facecolors=face, edgecolors=colour, linewidths=0.6)


def coverage_plot(
    data: Mapping[str, Any], claim: str, *, width: float = 3.7, palette: Palette = PLAIN
) -> Figure:
    """Draw every replicate's interval for one claim, ordered by its distance from the truth.

    Parameters
    ----------
    data : mapping
        From `Replication.to_dict()`.
    claim : str
        The claim's id.
    width : float
        Of the figure, inches.
    palette : Palette
        Colours.

    Returns
    -------
    matplotlib.figure.Figure
        Intervals less the true value; those that miss it lie on top, in another colour. With
        honest 95 % intervals one in twenty misses.

    Raises
    ------
    DataError
        There is no such claim.
    """
    runs = [r for r in data["runs"] if r["claim"] == claim and r["scenario"] == "study"]
    if not runs:
        ids = dict.fromkeys(c["claim"] for c in data["claims"])
        raise DataError(f"no claim {claim!r} with replicates; {nearest(claim, ids)}")
    estimate, low, high, truth = (
        np.asarray(runs[0][name], dtype=float)
        for name in ("estimate", "conf_low", "conf_high", "true_value")
    )
    distance = np.abs(estimate - truth) / (high - low)
    order = np.argsort(distance, kind="stable")
    share = (np.arange(len(order)) + 0.5) / len(order) * 100
    missed = ((low > truth) | (high < truth))[order]
    figure = Figure(figsize=(width, 2.5), layout="constrained")
    ax = figure.subplots()
    for mask, colour in ((~missed, palette.muted), (missed, palette.warn)):
        ends = (low - truth)[order][mask], (high - truth)[order][mask]
        ax.hlines(share[mask], *ends, colour, linewidth=0.9)
    ax.axvline(0, color=palette.ink, linewidth=0.8)
    ax.axhline(95, color=palette.ink, linewidth=0.8, linestyle=(0, (2, 3)))
    ax.set_ylim(0, 100)
    ax.set_xlabel("95 % interval less the true value", color=palette.ink, fontsize=8)
    ax.set_ylabel("replicates, nearest first (%)", color=palette.ink, fontsize=8)
    ax.locator_params(axis="x", nbins=5)
    bare(ax, palette)
    return figure


def bare(ax: Axes, palette: Palette) -> None:
    """Leave an axes its bottom line and its labels."""
    for name in ("top", "right", "left"):
        ax.spines[name].set_visible(False)
    ax.spines["bottom"].set_color(palette.muted)
    ax.tick_params(colors=palette.muted, labelsize=8, labelcolor=palette.ink)
    ax.patch.set_alpha(0)
    ax.figure.patch.set_alpha(0)
