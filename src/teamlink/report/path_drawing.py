"""The shapes of a path diagram: nodes, arrows, loops and their labels, on axes in inches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse, FancyArrowPatch, FancyBboxPatch, Patch, Polygon, Rectangle
from matplotlib.path import Path

from teamlink.report.path_graph import Edge, Node
from teamlink.report.path_layout import Box
from teamlink.report.path_routes import Attachment, Picture, Rect, Route, curve, part_of
from teamlink.report.plots import Palette
from teamlink.typing import Array

__all__ = ["LABEL", "NAME", "draw"]

NAME, LABEL = 9.0, 7.5
"""Sizes of type, points."""

Dashes: TypeAlias = str | tuple[float, tuple[float, ...]]


def draw(
    ax: Axes, picture: Picture, nodes: Mapping[str, Node], names: Mapping[str, str],
    shift: Array, palette: Palette,
) -> None:  # fmt: skip
    """Draw one panel.

    Parameters
    ----------
    ax : a unit is an inch
    picture : nodes and arrows in their places
    nodes : by name
    names : what to write for a variable
    shift : (2,) where the origin of the picture stands on the axes
    palette : colours
    """
    labels = picture.labels()
    for r in picture.routes:
        _draw_route(ax, r, labels, shift, palette)
    for attachment in picture.attachments:
        _draw_attachment(ax, attachment, shift, palette)
    for name, node in nodes.items():
        _draw_node(ax, picture.boxes[name], node, names.get(name, name), shift, palette)


def _draw_node(ax: Axes, box: Box, node: Node, name: str, shift: Array, palette: Palette) -> None:
    x, y = box.x + float(shift[0]), box.y + float(shift[1])
    own = palette.accent if node.kind == "latent" else palette.ink
    colour = palette.warn if node.improper else own
    width = 1.1 if node.kind == "latent" else 0.9
    for fill in (True, False):
        shape = _outline(box, x, y)
        shape.set_facecolor(colour if fill else "none")
        shape.set_edgecolor("none" if fill else colour)
        shape.set(alpha=0.09 if fill else 1, linewidth=width, zorder=3)
        ax.add_artist(shape)
    ax.text(
        x, y, name, ha="center", va="center", fontsize=NAME, color=palette.ink, zorder=4,
        gid="node", parse_math=False,
    )  # fmt: skip


def _outline(box: Box, x: float, y: float) -> Patch:
    """An ellipse, a rectangle, or a rectangle with round corners."""
    if box.kind == "latent":
        return Ellipse((x, y), 2 * box.w, 2 * box.h)
    corner = x - box.w, y - box.h
    if box.kind == "observed":
        return Rectangle(corner, 2 * box.w, 2 * box.h)
    r = 0.1
    style = f"round,pad={r},rounding_size={r}"
    inner = 2 * (box.w - r), 2 * (box.h - r)
    return FancyBboxPatch((corner[0] + r, corner[1] + r), *inner, boxstyle=style)


def _style(edge: Edge, palette: Palette) -> tuple[str, float, Dashes]:
    """Colour, width and dashes of an arrow."""
    if edge.kind == "variance" and edge.value < 0:
        return palette.warn, 1.1, "-"
    colour = palette.accent if edge.kind in ("path", "slope") else palette.ink
    width = 1.25 if edge.kind in ("path", "slope") else 0.8
    dashed = edge.value < 0 and edge.kind != "intercept"
    dashes: Dashes = (0.0, (3.2, 2.0)) if dashed else "-"
    return colour if edge.clear else palette.muted, width, dashes


def _draw_route(ax: Axes, r: Route, labels: Sequence[Rect], shift: Array, palette: Palette) -> None:
    """An arrow, open wherever a label lies on it."""
    style = _style(r.edge, palette)
    points = r.points + shift
    pieces = _pieces(r, labels)
    for start, end in pieces:
        first, last = start == 0 and not r.edge.directed, end == 1
        _arrow(ax, part_of(points, start, end), first, last, style)
    if r.edge.text:
        x, y = curve(points, np.array([r.t]))[0]
        _say(ax, r.edge, float(x), float(y), palette)
    if r.edge.kind == "slope":
        x, y = curve(points, np.array([0.76]))[0]
        ax.plot([x], [y], "o", color=style[0], markersize=5.5, zorder=5)


def _pieces(r: Route, labels: Sequence[Rect]) -> list[tuple[float, float]]:
    """The ranges of a curve on which no label lies."""
    t = np.linspace(0, 1, 401)
    x, y = curve(r.points, t).T
    free = np.ones(len(t), dtype=bool)
    for label in labels:
        low, high = np.array(label[:2]) - 0.03, np.array(label[2:]) + 0.03
        free &= ~((x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1]))
    # The ends bear the heads.
    free[[0, 1, -2, -1]] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[0], free.astype(np.int8), [0]])))
    return [(float(t[a]), float(t[b - 1])) for a, b in edges.reshape(-1, 2)]


def _arrow(
    ax: Axes, points: Array, first: bool, last: bool,
    style: tuple[str, float, Dashes],
) -> None:  # fmt: skip
    """A curve with heads at its first or last end; the heads are solid whatever the line is."""
    colour, width, dashes = style
    path = Path(points, [Path.MOVETO, Path.CURVE3, Path.CURVE3])
    shape = "<|-|>" if first and last else "<|-" if first else "-|>" if last else "-"
    ax.add_artist(
        FancyArrowPatch(
            path=path,
            arrowstyle=shape,
            mutation_scale=8 if width > 1 else 7,
            color=colour,
            linewidth=width,
            linestyle=dashes,
            shrinkA=0,
            shrinkB=0,
            zorder=2,
            capstyle="butt",
            joinstyle="miter",
        )
    )


def _say(ax: Axes, edge: Edge, x: float, y: float, palette: Palette) -> None:
    warned = edge.kind == "variance" and edge.value < 0
    colour = palette.warn if warned else palette.ink if edge.clear else palette.muted
    ax.text(
        x, y, edge.text, ha="center", va="center_baseline", fontsize=LABEL, color=colour, zorder=5,
        gid="label", parse_math=False,
    )  # fmt: skip


def _draw_attachment(ax: Axes, a: Attachment, shift: Array, palette: Palette) -> None:
    """A loop with two heads, or a small triangle with an arrow to the node."""
    colour, width, _ = _style(a.edge, palette)
    at, out = np.array(a.at) + shift, np.array(a.direction)
    side = np.array([-out[1], out[0]])
    if a.edge.kind == "variance":
        ends = at + 0.055 * side, at - 0.055 * side
        reach = 0.25
        points = [ends[0], at + reach * out + 0.16 * side, at + reach * out - 0.16 * side, ends[1]]
        path = Path(points, [Path.MOVETO, *[Path.CURVE4] * 3])
        ax.add_artist(
            FancyArrowPatch(
                path=path,
                arrowstyle="<|-|>",
                mutation_scale=5,
                color=colour,
                linewidth=0.8,
                shrinkA=0,
                shrinkB=0,
                zorder=2,
            )
        )
    else:
        far = at + 0.19 * out
        corners = [far, far + 0.13 * out + 0.075 * side, far + 0.13 * out - 0.075 * side]
        ax.add_artist(Polygon(corners, facecolor="none", edgecolor=colour, linewidth=0.8, zorder=3))
        _arrow(ax, np.array([far, (far + at) / 2, at]), False, True, (colour, width, "-"))
    if a.edge.text:
        x, y = (a.label[0] + a.label[2]) / 2, (a.label[1] + a.label[3]) / 2
        _say(ax, a.edge, x + float(shift[0]), y + float(shift[1]), palette)
