"""Figures of diagnostics: normal plots, residuals, influence; and of effects over a grid.

Made as those of `teamlink.report.plots`: without pyplot, nothing global is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from teamlink.errors import DataError, OptionError, nearest
from teamlink.mixed.diagnostics import Diagnostics
from teamlink.mixed.marginal import Effects
from teamlink.mixed.regions import JohnsonNeyman
from teamlink.report.plots import PLAIN, Palette, bare
from teamlink.typing import Array, Codes

__all__ = [
    "effects_plot",
    "influence_plot",
    "johnson_neyman_plot",
    "qq_plot",
    "residual_plot",
    "scale_location_plot",
]

_LINES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
_MOST_POINTS = 20_000
"""More rows than this are thinned: their points would lie on each other."""


def qq_plot(
    diagnostics: Diagnostics, group: str | None = None, *, palette: Palette = PLAIN
) -> Figure:
    """Draw normal quantile plots of residuals and of each random effect of a factor.

    Parameters
    ----------
    diagnostics : Diagnostics
        From `teamlink.diagnose`.
    group : str, optional
        The grouping factor; all factors when None.
    palette : Palette
        Colours.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for the studentized residuals of the rows, one for each random effect over the
        spread of its estimates, and one for the Mahalanobis distances of factors with several
        effects. The band holds 95 % of the points of a normal sample, each by itself.

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ cses + (cses | school)", tl.datasets.load("hsb82"))
    >>> len(qq_plot(tl.diagnose(fit)).axes)
    4
    """
    panels: list[tuple[str, Array, Array | None]] = [
        ("residuals", diagnostics.rows["studentized"].to_numpy(), None)
    ]
    for name in _factors(diagnostics, group):
        frame = diagnostics.groups[name]
        effects = [str(c) for c in frame.columns if str(c).endswith("_standardized")]
        for column in effects:
            values = frame[column].to_numpy()
            panels.append((f"{column.removesuffix('_standardized')} by {name}", values, None))
        if len(effects) > 1:
            distance, expected = frame["mahalanobis"].to_numpy(), frame["chi_square"].to_numpy()
            panels.append((f"distance, {name}", distance, expected))
    figure, axes = _panels(len(panels))
    for ax, (title, points, order) in zip(axes, panels, strict=True):
        if order is None:
            _normal_panel(ax, points, palette)
        else:
            _diagonal_panel(ax, points, order, palette)
        ax.set_title(title, color=palette.ink, fontsize=9, loc="left")
        bare(ax, palette)
    return figure


def residual_plot(diagnostics: Diagnostics, *, palette: Palette = PLAIN) -> Figure:
    """Draw studentized residuals of the rows against fitted values, with their running mean.

    Parameters
    ----------
    diagnostics : Diagnostics
        From `teamlink.diagnose`.
    palette : Palette
        Colours.

    Returns
    -------
    matplotlib.figure.Figure
        Left the residuals given the groups against the fitted values, right the marginal ones
        against the fixed part. The line is the mean of twenty equally filled bins.

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ cses + (1 | school)", tl.datasets.load("hsb82"))
    >>> len(residual_plot(tl.diagnose(fit)).axes)
    2
    """
    rows = diagnostics.rows
    figure, axes = _panels(2)
    pairs = (("fitted", "studentized"), ("marginal_fitted", "marginal_studentized"))
    titles = ("given the groups", "marginal")
    for ax, (x, y), title in zip(axes, pairs, titles, strict=True):
        _cloud(ax, rows[x].to_numpy(), rows[y].to_numpy(), palette)
        ax.axhline(0, color=palette.muted, linewidth=0.8)
        ax.set_title(title, color=palette.ink, fontsize=9, loc="left")
        ax.set_xlabel("fitted value", color=palette.ink, fontsize=8)
        ax.set_ylabel("studentized residual", color=palette.ink, fontsize=8)
        bare(ax, palette)
    return figure


def scale_location_plot(
    diagnostics: Diagnostics,
    codes: Sequence[object] | Array | pd.Series[Any],
    *,
    palette: Palette = PLAIN,
) -> Figure:
    """Draw the spread of residuals: against fitted values, and group by group.

    Parameters
    ----------
    diagnostics : Diagnostics
        From `teamlink.diagnose`.
    codes : sequence or Series
        (n,) the group of each row of the fit; a Series is matched by its index.
    palette : Palette
        Colours.

    Returns
    -------
    matplotlib.figure.Figure
        Left the root of the absolute studentized residuals against fitted values; right each
        group's root mean square of these residuals against its number of rows, with the band
        that holds 95 % of groups where the spread is the same.

    Raises
    ------
    DataError
        There is not one group for every row.

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82")
    >>> found = tl.diagnose(tl.lmm("mathach ~ cses + (1 | school)", hsb))
    >>> len(scale_location_plot(found, hsb["school"]).axes)
    2
    """
    rows = diagnostics.rows
    if isinstance(codes, pd.Series):
        codes = codes.reindex(rows.index).to_numpy()
    labels = np.asarray(codes)
    if labels.shape != (len(rows),) or pd.isna(labels).any():
        raise DataError(f"codes: one group for each of the {len(rows)} rows of the fit is needed")
    e = rows["studentized"].to_numpy()
    figure, (left, right) = _panels(2)
    _cloud(left, rows["fitted"].to_numpy(), np.sqrt(np.abs(e)), palette)
    left.set_xlabel("fitted value", color=palette.ink, fontsize=8)
    left.set_ylabel("root of |studentized residual|", color=palette.ink, fontsize=8)
    grouped = pd.Series(e**2).groupby(labels)
    n, spread = grouped.size().to_numpy(), np.sqrt(grouped.mean().to_numpy())
    line = np.unique(n)
    low, high = (np.sqrt(stats.chi2.ppf(share, line) / line) for share in (0.025, 0.975))
    right.fill_between(line, low, high, color=palette.faint, linewidth=0)
    right.axhline(1, color=palette.muted, linewidth=0.8)
    right.plot(n, spread, "o", color=palette.accent, markersize=2.6, linestyle="none")
    right.set_xlabel("rows in the group", color=palette.ink, fontsize=8)
    right.set_ylabel("residual spread, 1 = average", color=palette.ink, fontsize=8)
    for ax in (left, right):
        bare(ax, palette)
    return figure


def influence_plot(
    diagnostics: Diagnostics, group: str | None = None, label: int = 5, *, palette: Palette = PLAIN
) -> Figure:
    """Draw Cook's distance of the groups of a factor, and each coefficient's shift.

    Parameters
    ----------
    diagnostics : Diagnostics
        From `teamlink.diagnose`.
    group : str, optional
        The grouping factor, where there are several.
    label : int
        How many groups to name, largest distance first.
    palette : Palette
        Colours.

    Returns
    -------
    matplotlib.figure.Figure
        Cook's distances against the number of rows.

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ cses + (1 | school)", tl.datasets.load("hsb82"))
    >>> len(influence_plot(tl.diagnose(fit)).axes)
    1
    """
    names = _factors(diagnostics, group)
    if len(names) > 1:
        raise OptionError(f"group: name one of the grouping factors {', '.join(names)}")
    frame = diagnostics.groups[names[0]]
    figure, (ax,) = _panels(1)
    d, n = frame["cooks_d"].to_numpy(), frame["n"].to_numpy()
    top = np.argsort(-np.nan_to_num(d), kind="stable")[:label]
    ax.vlines(n, 0, d, palette.faint, linewidth=0.8)
    ax.plot(n, d, "o", color=palette.muted, markersize=2.8, linestyle="none")
    ax.plot(n[top], d[top], "o", color=palette.accent, markersize=3.6, linestyle="none")
    for j in top:
        if np.isfinite(d[j]):
            ax.annotate(
                str(frame.index[j]), (n[j], d[j]), (3, 2), textcoords="offset points",
                fontsize=7, color=palette.ink,
            )  # fmt: skip
    ax.set_ylim(0, None)
    ax.set_xlabel(f"rows in the {names[0]}", color=palette.ink, fontsize=8)
    ax.set_ylabel("Cook's distance", color=palette.ink, fontsize=8)
    bare(ax, palette)
    return figure


def effects_plot(effects: Effects, *, palette: Palette = PLAIN) -> Figure:
    """Draw predicted means over a grid: the first predictor along, others as lines and panels.

    Parameters
    ----------
    effects : Effects
        From `teamlink.effects`, of one to three predictors.
    palette : Palette
        Colours.

    Returns
    -------
    matplotlib.figure.Figure
        Lines with bands along a number, points with bars along categories.

    Raises
    ------
    OptionError
        There are more than three predictors.

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ cses * sector + (cses | school)", tl.datasets.load("hsb82"))
    >>> len(effects_plot(tl.effects(fit, ["cses", "sector"])).axes)
    1
    """
    names = effects.predictors
    if len(names) > 3:
        raise OptionError(f"a figure shows three predictors at most; got {', '.join(names)}")
    frame = effects.frame
    panels = list(frame[names[2]].unique()) if len(names) > 2 else [None]
    figure, axes = _panels(len(panels), sharey=True)
    colours = (palette.accent, palette.warn, palette.ink, palette.muted)
    for ax, panel in zip(axes, panels, strict=True):
        here = frame if panel is None else frame[frame[names[2]] == panel]
        lines = list(here[names[1]].unique()) if len(names) > 1 else [None]
        for i, line in enumerate(lines):
            rows = here if line is None else here[here[names[1]] == line]
            label = "" if line is None else f"{names[1]} = {_shown(line)}"
            _effect(ax, rows, names[0], i, len(lines), label, colours[i % 4])
        if panel is not None:
            ax.set_title(f"{names[2]} = {_shown(panel)}", color=palette.ink, fontsize=9, loc="left")
        ax.set_xlabel(names[0], color=palette.ink, fontsize=8)
        bare(ax, palette)
    axes[0].set_ylabel("predicted mean", color=palette.ink, fontsize=8)
    if len(names) > 1:
        axes[-1].legend(frameon=False, fontsize=7, labelcolor=palette.ink)
    return figure


def johnson_neyman_plot(found: JohnsonNeyman, *, palette: Palette = PLAIN) -> Figure:
    """Draw a slope along its moderator, with the regions in which it differs from zero.

    Parameters
    ----------
    found : JohnsonNeyman
        From `teamlink.johnson_neyman`.
    palette : Palette
        Colours.

    Returns
    -------
    matplotlib.figure.Figure
        The slope with its interval; shaded in colour where the interval leaves out zero.

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ cses * disclim + (cses | school)", tl.datasets.load("hsb82"))
    >>> len(johnson_neyman_plot(tl.johnson_neyman(fit, "disclim", "cses")).axes)
    1
    """
    frame = found.frame
    w = frame[found.moderator].to_numpy()
    low, high = frame["conf_low"].to_numpy(), frame["conf_high"].to_numpy()
    figure, (ax,) = _panels(1)
    away = (low > 0) | (high < 0)
    ax.fill_between(w, low, high, color=palette.faint, linewidth=0)
    ax.fill_between(w, low, high, where=away, color=palette.accent, alpha=0.25, linewidth=0)
    ax.plot(w, frame["estimate"], color=palette.ink, linewidth=1.4)
    ax.axhline(0, color=palette.muted, linewidth=0.8)
    for bound in found.bounds:
        ax.axvline(bound, color=palette.warn, linewidth=1, linestyle=(0, (3, 3)))
        ax.annotate(
            f"{bound:.3g}", (bound, 0.98), (3, 0), xycoords=("data", "axes fraction"),
            textcoords="offset points", fontsize=7, color=palette.warn, va="top",
        )  # fmt: skip
    ax.set_xlabel(found.moderator, color=palette.ink, fontsize=8)
    ax.set_ylabel(f"slope of {found.predictor}", color=palette.ink, fontsize=8)
    bare(ax, palette)
    return figure


def _factors(diagnostics: Diagnostics, group: str | None) -> list[str]:
    if group is None:
        return list(diagnostics.groups)
    if group not in diagnostics.groups:
        raise OptionError(
            f"group: no grouping factor {group!r}; {nearest(group, diagnostics.groups)}"
        )
    return [group]


def _panels(count: int, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, three a row."""
    across = min(count, 3)
    down = -(-count // across)
    figure = Figure(figsize=(3.3 * across + 0.4, 2.7 * down + 0.1), layout="constrained")
    axes = np.atleast_1d(figure.subplots(down, across, sharey=sharey)).ravel()
    for ax in axes[count:]:
        ax.remove()
    return figure, list(axes[:count])


def _normal_panel(ax: Axes, values: Array, palette: Palette) -> None:
    values = np.sort(values[np.isfinite(values)])
    n = len(values)
    rank = np.arange(1, n + 1)
    expected = stats.norm.ppf((rank - 0.5) / n)
    low, high = (stats.norm.ppf(stats.beta.ppf(s, rank, n + 1 - rank)) for s in (0.025, 0.975))
    ax.fill_between(expected, low, high, color=palette.faint, linewidth=0)
    ax.plot(expected, expected, color=palette.muted, linewidth=0.8)
    shown = _thinned(n)
    ax.plot(
        expected[shown], values[shown], "o", color=palette.accent, markersize=2.2, linestyle="none"
    )
    ax.set_xlabel("normal quantile", color=palette.ink, fontsize=8)


def _diagonal_panel(ax: Axes, values: Array, expected: Array, palette: Palette) -> None:
    reach = float(np.nanmax(expected, initial=1.0))
    ax.plot([0, reach], [0, reach], color=palette.muted, linewidth=0.8)
    ax.plot(expected, values, "o", color=palette.accent, markersize=2.2, linestyle="none")
    ax.set_xlabel("chi-square quantile", color=palette.ink, fontsize=8)


def _cloud(ax: Axes, x: Array, y: Array, palette: Palette) -> None:
    """Points, with the mean of twenty equally filled bins."""
    usable = np.isfinite(x) & np.isfinite(y)
    x, y = x[usable], y[usable]
    order = np.argsort(x, kind="stable")
    bins = np.array_split(order, min(20, max(len(x) // 5, 1)))
    shown = order[_thinned(len(x))]
    ax.plot(
        x[shown], y[shown], "o", color=palette.muted, markersize=1.6, alpha=0.35,
        linestyle="none", markeredgewidth=0,
    )  # fmt: skip
    ax.plot(
        [x[b].mean() for b in bins], [y[b].mean() for b in bins],
        color=palette.accent, linewidth=1.4,
    )  # fmt: skip


def _thinned(n: int) -> Codes:
    """Places of at most `_MOST_POINTS` of n ordered points, both ends in full."""
    if n <= _MOST_POINTS:
        return np.arange(n)
    ends = 500
    inner = np.linspace(ends, n - ends - 1, _MOST_POINTS - 2 * ends).astype(np.intp)
    return np.concatenate([np.arange(ends), inner, np.arange(n - ends, n)])


def _effect(
    ax: Axes, rows: pd.DataFrame, name: str, i: int, count: int, label: str, colour: str
) -> None:
    """One line of predicted means: a band along numbers, bars along categories."""
    low, high = rows["conf_low"].to_numpy(), rows["conf_high"].to_numpy()
    mean = rows["estimate"].to_numpy()
    if pd.api.types.is_numeric_dtype(rows[name].dtype) and len(rows) > 1:
        x = rows[name].to_numpy(dtype=float)
        order = np.argsort(x)
        ax.fill_between(x[order], low[order], high[order], color=colour, alpha=0.14, linewidth=0)
        ax.plot(
            x[order], mean[order], color=colour, linewidth=1.5, label=label,
            linestyle=_LINES[i % len(_LINES)],
        )  # fmt: skip
        return
    x = np.arange(len(rows)) + 0.16 * (i - (count - 1) / 2)
    ax.vlines(x, low, high, colour, linewidth=1.2)
    ax.plot(x, mean, "o", color=colour, markersize=4, linestyle="none", label=label)
    ax.set_xticks(np.arange(len(rows)), [str(value) for value in rows[name]])
    ax.set_xlim(-0.5, len(rows) - 0.5)


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
