"""The picture of an event study: effects with their intervals over time since treatment."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

__all__ = ["draw_events"]

INK, MUTED = "#1f2933", "#8a94a0"


def draw_events(events: pd.DataFrame, base: int, labels: tuple[str, str, str]) -> Figure:
    """Draw effects (a row an event time) with their intervals; see `EventStudy.plot`."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    ax = figure.subplots()
    x, y = events["event"].to_numpy(dtype=float), events["estimate"].to_numpy(dtype=float)
    low, high = (events[name].to_numpy(dtype=float) for name in ("conf_low", "conf_high"))
    ax.axhline(0, color=MUTED, linewidth=0.8)
    ax.axvline(-0.5, color=MUTED, linewidth=0.8, linestyle="--")
    ax.vlines(x, low, high, color=INK, linewidth=1.2)
    ax.plot(x, y, "o", color=INK, markersize=5)
    ax.plot([base], [0], "o", color="white", markeredgecolor=INK, markersize=5)
    ax.set_xlabel(f"{labels[2]} since the first treated one")
    ax.set_ylabel(f"effect on {labels[0]}")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return figure
