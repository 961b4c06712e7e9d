"""The forest and the funnel of a meta-analysis.

Figures are made without pyplot, so nothing global is opened or left behind.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from teamlink.typing import Array, Codes

if TYPE_CHECKING:
    from teamlink.synthesis.result import MetaAnalysis

__all__ = ["forest", "funnel"]

INK, MUTED, FAINT, ACCENT = "#1f2933", "#8a94a0", "#d9dee4", "#0b6e8f"


class Picture(Figure):
    """A figure that a notebook shows even where pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def forest(found: MetaAnalysis, sort: bool, label: str) -> Figure:
    """See `MetaAnalysis.plot`."""
    y, error = found.effects.y, np.sqrt(found.effects.v)
    order = np.argsort(-y, kind="stable") if sort else np.arange(len(y))
    half = stats.norm.ppf(0.5 + found.level / 2) * error
    pooled = found.encoding.names == ("Intercept",)
    extra = 2 if pooled else 0
    rows = np.arange(len(y))[::-1] + extra
    figure = Picture(figsize=(6.8, 0.26 * (len(y) + extra) + 0.9), layout="constrained")
    ax = figure.subplots()
    ax.axvline(0, color=MUTED, linewidth=0.8)
    ax.hlines(rows, (y - half)[order], (y + half)[order], INK, linewidth=1)
    share = found.numbers.weights[order] / found.numbers.weights.max()
    ax.scatter(y[order], rows, s=12 + 70 * share, marker="s", color=ACCENT, zorder=3, linewidths=0)
    texts = [f"{a:.2f} [{a - h:.2f}, {a + h:.2f}]" for a, h in zip(y[order], half[order],
             strict=True)]  # fmt: skip
    labels = [found.studies[i] for i in order]
    if pooled:
        texts.append(_diamond(ax, found))
        labels.append("pooled")
        rows = np.r_[rows, 0]
    else:
        fitted = found.predict()["prediction"].to_numpy()[order]
        ax.scatter(fitted, rows, s=70, marker="|", color=MUTED, zorder=4, linewidths=1.6)
    ax.set_yticks(rows, labels, fontsize=8, color=INK)
    ax.set_ylim(-0.8, len(y) + extra - 0.3)
    _numbers(ax, rows, texts)
    _bare(ax)
    ax.set_xlabel(label, color=INK, fontsize=9)
    return figure


def _diamond(ax: Axes, found: MetaAnalysis) -> str:
    """Draw the pooled effect on row 0, and say it."""
    row = found.predict().iloc[0]
    b, low, high = (float(row[name]) for name in ("prediction", "conf_low", "conf_high"))
    if found.tau2 > 0:
        ax.hlines(0, row["pred_low"], row["pred_high"], MUTED, linewidth=2.2)
    ax.fill([low, b, high, b], [0, 0.32, 0, -0.32], color=ACCENT, linewidth=0, zorder=3)
    ax.axvline(b, color=FAINT, linewidth=0.8, zorder=0)
    return f"{b:.2f} [{low:.2f}, {high:.2f}]"


def _numbers(ax: Axes, rows: Array | Codes, texts: list[str]) -> None:
    """Write the numbers to the right of the axes, in line with the rows."""
    beside = ax.twinx()
    beside.set_ylim(ax.get_ylim())
    beside.set_yticks(rows, texts, fontsize=8, color=INK)
    beside.tick_params(axis="y", length=0)
    for spine in beside.spines.values():
        spine.set_visible(False)


def funnel(found: MetaAnalysis, label: str) -> Figure:
    """See `MetaAnalysis.funnel`."""
    y, error = found.effects.y, np.sqrt(found.effects.v)
    centre, top = float(found.numbers.b[0]), 1.08 * float(error.max())
    z = float(stats.norm.ppf(0.5 + found.level / 2))
    figure = Picture(figsize=(4.8, 3.8), layout="constrained")
    ax = figure.subplots()
    ax.fill(
        [centre, centre - z * top, centre + z * top], [0, top, top], color=FAINT, alpha=0.5,
        linewidth=0,
    )  # fmt: skip
    ax.axvline(centre, color=MUTED, linewidth=0.8)
    ax.scatter(y, error, s=16, color=ACCENT, linewidths=0, zorder=3)
    ax.set_ylim(top, 0)
    ax.set_xlabel(label, color=INK, fontsize=9)
    ax.set_ylabel("standard error", color=INK, fontsize=9)
    _bare(ax)
    ax.tick_params(axis="y", length=3)
    ax.spines["left"].set_visible(True)
    ax.spines["left"].set_color(MUTED)
    return figure


def _bare(ax: Axes) -> None:
    for name in ("top", "right", "left"):
        ax.spines[name].set_visible(False)
    ax.spines["bottom"].set_color(MUTED)
    ax.tick_params(colors=MUTED, labelsize=8, labelcolor=INK)
    ax.tick_params(axis="y", length=0)
