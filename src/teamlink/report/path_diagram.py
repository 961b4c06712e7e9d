"""The verb `path_diagram`: a picture of structural equations.

Layout and routes are found in inches (`path_layout`, `path_routes`); here they are drawn. Figures
are made without pyplot and have no background, so they stand on light and on dark pages.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Ellipse, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from teamlink.errors import OptionError, check_option, nearest
from teamlink.report.path_graph import Edge, Graph, Node, Shown, graphs
from teamlink.report.path_layout import Box, Sizes, lay_out
from teamlink.report.path_routes import Attachment, Picture, Route, curve, part_of, route
from teamlink.report.plots import PLAIN, Palette
from teamlink.structural.result import StructuralFit
from teamlink.typing import Array

__all__ = ["path_diagram"]

_NAME, _LABEL, _NOTE = 9.0, 7.5, 7.0
"""Sizes of type, points."""

_MARGIN = 0.16


def path_diagram(
    fit: StructuralFit,
    estimates: Literal["standardized", "raw", "none"] | None = None,
    uncertainty: Literal["stars", "se", "none"] = "stars",
    *,
    covariances: bool = True,
    variances: bool = False,
    intercepts: bool = False,
    digits: int = 2,
    names: Mapping[str, str] | None = None,
    palette: Palette = PLAIN,
) -> Figure:
    """Draw a model of structural equations with its estimates.

    Parameters
    ----------
    fit : StructuralFit
        From `teamlink.sem`.
    estimates : {"standardized", "raw", "none"}, optional
        Which numbers stand at the arrows; by default standardized ones, and raw ones where slopes
        are random, since there is no standardized solution then.
    uncertainty : {"stars", "se", "none"}
        Stars for p below 0.05, 0.01 and 0.001, or the standard error in parentheses.
    covariances : bool
        Draw covariances as curved arrows. Those of exogenous observed variables are never drawn:
        they are the sample's, and no parameters.
    variances : bool
        Draw variances and residual variances as loops. A negative one is drawn always.
    intercepts : bool
        Draw intercepts and means as arrows from triangles.
    digits : int
        Decimals of the numbers.
    names : mapping, optional
        What to write for a variable; its own name where it is not in the mapping.
    palette : Palette
        Colours; ``teamlink.report.plots.DARK`` for dark pages.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each group, side by side, and for each level, between clusters above within.

    Raises
    ------
    OptionError
        `fit` is no fit of structural equations, a name is no variable, or an option is not
        offered.

    Notes
    -----
    Ellipses are factors, rectangles observed variables; rounded ones are the parts between clusters
    of variables that rows have too. Arrows of negative effects are dashed, those whose 95 %
    interval holds zero are grey, and what no population can have (a negative variance) is drawn in
    the colour of warnings. A dot on a path is a slope that varies between clusters, where it
    appears as a factor.

    Variables stand from left to right in the order of effects; indicators stand outermost. No label
    lies on a node or on another label.

    In R: ``semPlot::semPaths(fit, "std")``.

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82")
    >>> fit = tl.sem("ses ~ meanses + minority; mathach ~ ses + meanses + minority", hsb)
    >>> figure = tl.path_diagram(fit, names={"mathach": "achievement"})
    >>> sorted(t.get_text() for t in figure.axes[0].texts if t.get_gid() == "node")
    ['achievement', 'meanses', 'minority', 'ses']
    """
    shown = _shown(fit, estimates, uncertainty, covariances, variances, intercepts, digits)
    named = dict(names or {})
    panels = graphs(fit, shown)
    known = {node.name for graph in panels.values() for node in graph.nodes}
    for name in named:
        if name not in known:
            raise OptionError(f"names: no variable {name!r}; {nearest(name, known)}")
    pictures = _pictures(panels, named)
    return _figure(fit, shown, panels, pictures, named, palette)


def _shown(
    fit: StructuralFit, estimates: str | None, uncertainty: str, covariances: bool,
    variances: bool, intercepts: bool, digits: int,
) -> Shown:  # fmt: skip
    """The options, checked."""
    if not isinstance(fit, StructuralFit):
        raise OptionError(f"fit: path diagrams are of fits by tl.sem, not of {type(fit).__name__}")
    check_option("estimates", estimates, [None, "standardized", "raw", "none"])
    check_option("uncertainty", uncertainty, ["stars", "se", "none"])
    if isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= 6:
        raise OptionError(f"digits={digits!r}: give a number of decimals from 0 to 6")
    slopes = bool(fit.table.slopes)
    if slopes and estimates == "standardized":
        raise OptionError(
            "estimates='standardized': with random slopes variances depend on predictors, so there "
            "is no standardized solution; take 'raw'"
        )
    kind = estimates or ("raw" if slopes else "standardized")
    return Shown(kind, uncertainty, covariances, variances, intercepts, digits)  # type: ignore[arg-type]


def _measure(text: str, size: float) -> tuple[float, float]:
    """Width and height of a text, inches."""
    lines = text.split("\n")
    font = FontProperties()
    widths = [TextPath((0, 0), line or " ", size=size, prop=font).get_extents().x1 for line in lines]
    return float(max(widths)) / 72, 1.02 * size * (1.2 * len(lines) - 0.2) / 72


def _sizes(panels: Mapping[tuple[int, int], Graph], names: Mapping[str, str]) -> Sizes:
    """Sizes of nodes and gaps that hold every text."""
    wide = {"latent": [0.55], "observed": [0.3]}
    tall = [0.1]
    for node in (n for graph in panels.values() for n in graph.nodes):
        w, h = _measure(names.get(node.name, node.name), _NAME)
        wide["latent" if node.kind == "latent" else "observed"].append(w)
        tall.append(h)
    label = max(
        (_measure(e.text, _LABEL)[0] for g in panels.values() for e in g.edges if e.text), default=0
    )
    half = max(tall) / 2
    ports = max(len(g.of("variance")) + len(g.of("intercept")) for g in panels.values())
    both = ports and any(g.of("variance") and g.of("intercept") for g in panels.values())
    latent = max(wide["latent"]) * 0.62 + 0.14, half + 0.17
    observed = max(wide["observed"]) / 2 + 0.1, half + (0.11 if both else 0.085)
    return Sizes(latent, observed, label + 0.75, label + 0.72, 2 * observed[1] + 0.13)


def _pictures(
    panels: Mapping[tuple[int, int], Graph], names: Mapping[str, str]
) -> dict[tuple[int, int], Picture]:
    """Lay out and route all panels, wider and wider until no label touches anything."""
    levels = sorted({level for _, level in panels})
    union = [_union([g for (_, own), g in panels.items() if own == level]) for level in levels]
    sizes = _sizes(panels, names)
    best: dict[tuple[int, int], Picture] = {}
    for _ in range(9):
        boxes = dict(zip(levels, lay_out(union, sizes), strict=True))
        found = {
            key: route(boxes[key[1]], graph.edges, lambda text: _measure(text, _LABEL))
            for key, graph in panels.items()
        }
        clashes = sum(picture.clashes for picture in found.values())
        if not best or clashes < sum(picture.clashes for picture in best.values()):
            best = found
        if not clashes:
            break
        sizes = replace(
            sizes, rank_gap=1.12 * sizes.rank_gap, loading_gap=1.1 * sizes.loading_gap,
            pitch=1.08 * sizes.pitch,
        )  # fmt: skip
    return best


def _union(panels: Sequence[Graph]) -> Graph:
    """Nodes and edges of all groups, so that every group is laid out alike."""
    nodes = {node.name: node for graph in panels for node in graph.nodes}
    edges = {(e.tail, e.head, e.kind): e for graph in panels for e in graph.edges}
    return Graph(tuple(nodes.values()), tuple(edges.values()))


def _figure(
    fit: StructuralFit, shown: Shown, panels: Mapping[tuple[int, int], Graph],
    pictures: Mapping[tuple[int, int], Picture], names: Mapping[str, str], palette: Palette,
) -> Figure:  # fmt: skip
    """Put the panels on one sheet, a unit of its axes an inch."""
    extents = {key: picture.extent() for key, picture in pictures.items()}
    groups = sorted({group for group, _ in panels})
    levels = sorted({level for _, level in panels}, reverse=True)
    left = min(e[0] for e in extents.values())
    wide = max(e[2] for e in extents.values()) - left + 2 * _MARGIN
    titled = len(groups) > 1 or len(levels) > 1
    head = 0.3 if titled else 0.0
    tall = {}
    for level in levels:
        own = [extents[group, level] for group in groups]
        tall[level] = max(e[3] for e in own) - min(e[1] for e in own) + 2 * _MARGIN + head
    width = max(wide * len(groups), 3.0)
    notes = _notes(fit, shown, panels, width)
    foot = 0.14 * len(notes) + 0.1 if notes else 0.0
    height = sum(tall.values()) + foot
    figure = Figure(figsize=(width, height))
    figure.patch.set_alpha(0)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.set_axis_off()
    top = height
    for level in levels:
        bottom = min(extents[group, level][1] for group in groups)
        for i, group in enumerate(groups):
            shift = np.array([i * wide + _MARGIN - left, top - tall[level] + _MARGIN - bottom])
            if titled:
                where = (i * wide + _MARGIN, top - 0.1)
                ax.text(
                    *where, _title(fit, group, level), color=palette.muted, fontsize=_NAME,
                    va="top", gid="title", parse_math=False,
                )  # fmt: skip
            nodes = {node.name: node for node in panels[group, level].nodes}
            _draw(ax, pictures[group, level], nodes, names, shift, palette)
        top -= tall[level]
        if level != levels[-1]:
            ax.plot([0, width], [top, top], color=palette.faint, linewidth=0.8, zorder=0)
    for i, line in enumerate(notes):
        ax.text(
            _MARGIN, foot - 0.05 - 0.14 * i, line, color=palette.muted, fontsize=_NOTE, va="top",
            gid="note", parse_math=False,
        )  # fmt: skip
    return figure


def _title(fit: StructuralFit, group: int, level: int) -> str:
    """Which group and level a panel shows."""
    said = []
    if len(fit.table.groups) > 1:
        said.append(f"{fit.options.group}: {fit.table.groups[group - 1]}")
    if len(fit.table.levels) > 1:
        said.append(f"{'between' if level == 2 else 'within'} {fit.options.cluster}")
    return ", ".join(said)


def _notes(
    fit: StructuralFit, shown: Shown, panels: Mapping[tuple[int, int], Graph], width: float
) -> list[str]:
    """Lines below the picture: how to read it, and what is wrong with the solution."""
    edges = [edge for graph in panels.values() for edge in graph.edges]
    said = []
    if shown.estimates != "none":
        kind = "Standardized" if shown.estimates == "standardized" else "Unstandardized"
        errors = " (standard errors)" if shown.uncertainty == "se" else ""
        said.append(f"{kind} estimates{errors}.")
        if shown.uncertainty == "stars" and any(edge.text.endswith("*") for edge in edges):
            said.append("* p < 0.05, ** p < 0.01, *** p < 0.001.")
    if any(e.value < 0 and e.directed for e in edges):
        said.append("Dashed: negative.")
    if any(not edge.clear for edge in edges):
        said.append("Grey: the 95 % interval holds zero.")
    if any(edge.kind == "slope" for edge in edges):
        said.append("Dot: the slope varies between clusters.")
    if fit.improper:
        said.append(f"Improper: {'; '.join(fit.improper)}.")
    if not fit.converged:
        said.append("Not converged.")
    return textwrap.wrap(" ".join(said), max(int(width * 18), 30))


def _draw(
    ax: Axes, picture: Picture, nodes: Mapping[str, Node], names: Mapping[str, str],
    shift: Array, palette: Palette,
) -> None:  # fmt: skip
    for r in picture.routes:
        _draw_route(ax, r, shift, palette)
    for attachment in picture.attachments:
        _draw_attachment(ax, attachment, shift, palette)
    for name, node in nodes.items():
        _draw_node(ax, picture.boxes[name], node, names.get(name, name), shift, palette)


def _draw_node(
    ax: Axes, box: Box, node: Node, name: str, shift: Array, palette: Palette
) -> None:
    x, y = box.x + float(shift[0]), box.y + float(shift[1])
    colour = palette.warn if node.improper else palette.accent if node.kind == "latent" else palette.ink
    corner, size = (x - box.w, y - box.h), (2 * box.w, 2 * box.h)
    shapes = {
        "latent": lambda: Ellipse((x, y), *size),
        "observed": lambda: Rectangle(corner, *size),
        "part": lambda: FancyBboxPatch(
            (x - box.w + 0.1, y - box.h + 0.1), size[0] - 0.2, size[1] - 0.2,
            boxstyle="round,pad=0.1,rounding_size=0.1",
        ),
    }  # fmt: skip
    for fill in (True, False):
        shape = shapes[node.kind]()
        shape.set(
            facecolor=colour if fill else "none", edgecolor="none" if fill else colour,
            alpha=0.09 if fill else 1, linewidth=1.1 if node.kind == "latent" else 0.9, zorder=3,
        )  # fmt: skip
        ax.add_patch(shape)
    ax.text(
        x, y, name, ha="center", va="center", fontsize=_NAME, color=palette.ink, zorder=4,
        gid="node", parse_math=False,
    )  # fmt: skip


def _style(edge: Edge, palette: Palette) -> tuple[str, float, str | tuple[int, tuple[float, ...]]]:
    """Colour, width and dashes of an arrow."""
    if edge.kind == "variance" and edge.value < 0:
        return palette.warn, 1.1, "-"
    colour = palette.accent if edge.kind in ("path", "slope") else palette.ink
    width = 1.25 if edge.kind in ("path", "slope") else 0.8
    dashes: str | tuple[int, tuple[float, ...]] = (
        (0, (3.2, 2.0)) if edge.value < 0 and edge.kind != "intercept" else "-"
    )
    return colour if edge.clear else palette.muted, width, dashes


def _draw_route(ax: Axes, r: Route, shift: Array, palette: Palette) -> None:
    """An arrow in two parts, with its label between them."""
    style = _style(r.edge, palette)
    points = r.points + shift
    start, end = _gap(r)
    if start < end:
        _arrow(ax, part_of(points, 0, start), not r.edge.directed, False, style)
        _arrow(ax, part_of(points, end, 1), False, True, style)
    else:
        _arrow(ax, points, not r.edge.directed, True, style)
    if r.edge.text:
        x, y = curve(points, np.array([r.t]))[0]
        _say(ax, r.edge, float(x), float(y), palette)
    if r.edge.kind == "slope":
        x, y = curve(points, np.array([0.72]))[0]
        ax.plot([x], [y], "o", color=style[0], markersize=5.5, zorder=5)


def _gap(r: Route) -> tuple[float, float]:
    """From where to where on a curve its own label lies; an empty range where there is none."""
    if not r.edge.text:
        return 1.0, 0.0
    t = np.linspace(0, 1, 401)
    line = curve(r.points, t)
    low, high = np.array(r.label[:2]) - 0.03, np.array(r.label[2:]) + 0.03
    inside = np.flatnonzero(((line > low) & (line < high)).all(axis=1))
    return (float(t[inside[0]]), float(t[inside[-1]])) if len(inside) else (1.0, 0.0)


def _arrow(
    ax: Axes, points: Array, first: bool, last: bool,
    style: tuple[str, float, str | tuple[int, tuple[float, ...]]],
) -> None:  # fmt: skip
    """A curve with heads at its first or last end; the heads are solid whatever the line is."""
    colour, width, dashes = style
    path = Path(points, [Path.MOVETO, Path.CURVE3, Path.CURVE3])
    shape = "<|-|>" if first and last else "<|-" if first else "-|>" if last else "-"
    ax.add_patch(
        FancyArrowPatch(
            path=path, arrowstyle=shape, mutation_scale=8 if width > 1 else 7, color=colour,
            linewidth=width, linestyle=dashes, shrinkA=0, shrinkB=0, zorder=2, capstyle="butt",
            joinstyle="miter",
        )  # fmt: skip
    )


def _say(ax: Axes, edge: Edge, x: float, y: float, palette: Palette) -> None:
    warned = edge.kind == "variance" and edge.value < 0
    colour = palette.warn if warned else palette.ink if edge.clear else palette.muted
    ax.text(
        x, y, edge.text, ha="center", va="center_baseline", fontsize=_LABEL, color=colour, zorder=5,
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
        ax.add_patch(
            FancyArrowPatch(
                path=path, arrowstyle="<|-|>", mutation_scale=5, color=colour, linewidth=0.8,
                shrinkA=0, shrinkB=0, zorder=2,
            )  # fmt: skip
        )
    else:
        far = at + 0.19 * out
        corners = [far, far + 0.13 * out + 0.075 * side, far + 0.13 * out - 0.075 * side]
        ax.add_patch(Polygon(corners, facecolor="none", edgecolor=colour, linewidth=0.8, zorder=3))
        _arrow(ax, np.array([far, (far + at) / 2, at]), False, True, (colour, width, "-"))
    if a.edge.text:
        x, y = (a.label[0] + a.label[2]) / 2, (a.label[1] + a.label[3]) / 2
        _say(ax, a.edge, x + float(shift[0]), y + float(shift[1]), palette)
