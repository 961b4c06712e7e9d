"""The verb `path_diagram`: a picture of structural equations.

Layout and routes are found in inches (`path_layout`, `path_routes`); here they are drawn. Figures
are made without pyplot and have no background, so they stand on light and on dark pages.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from teamlink.errors import OptionError, check_option, nearest
from teamlink.report.path_drawing import LABEL, NAME, draw
from teamlink.report.path_graph import Graph, Shown, graphs
from teamlink.report.path_layout import Sizes, lay_out
from teamlink.report.path_routes import Picture, route
from teamlink.report.plots import PLAIN, Palette
from teamlink.structural.result import StructuralFit

__all__ = ["path_diagram"]

_NOTE = 7.0
"""Size of type of the notes, points."""

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
        Draw covariances as curved arrows. Moments of exogenous observed variables are never drawn
        while they are the sample's, and no parameters.
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
    given: object = fit
    if not isinstance(given, StructuralFit):
        raise OptionError(f"fit: give a fit by tl.sem, not {type(given).__name__}")
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
    check_option("estimates", estimates, [None, "standardized", "raw", "none"])
    check_option("uncertainty", uncertainty, ["stars", "se", "none"])
    check_option("digits", digits, list(range(7)))
    slopes = bool(fit.table.slopes)
    if slopes and estimates == "standardized":
        raise OptionError(
            "estimates='standardized': with random slopes variances depend on predictors, so there "
            "is no standardized solution; take 'raw'"
        )
    kind = estimates or ("raw" if slopes else "standardized")
    return Shown(kind, uncertainty, covariances, variances, intercepts, digits)  # type: ignore[arg-type]


@cache
def _measure(text: str, size: float) -> tuple[float, float]:
    """Width and height of a text, inches."""
    lines = text.split("\n")
    font = FontProperties()
    paths = [TextPath((0, 0), line or " ", size=size, prop=font) for line in lines]
    widths = [path.vertices[:, 0].max(initial=0) for path in paths]
    return float(max(widths)) / 72, 1.02 * size * (1.2 * len(lines) - 0.2) / 72


def _sizes(panels: Mapping[tuple[int, int], Graph], names: Mapping[str, str]) -> Sizes:
    """Sizes of nodes and gaps that hold every text."""
    wide = {"latent": [0.55], "observed": [0.3]}
    tall = {"latent": [0.1], "observed": [0.1]}
    for node in (n for graph in panels.values() for n in graph.nodes):
        w, h = _measure(names.get(node.name, node.name), NAME)
        kind = "latent" if node.kind == "latent" else "observed"
        wide[kind].append(w)
        tall[kind].append(h)
    label = max(
        (_measure(e.text, LABEL)[0] for g in panels.values() for e in g.edges if e.text), default=0
    )
    both = any(g.of("variance") and g.of("intercept") for g in panels.values())
    latent = max(wide["latent"]) * 0.62 + 0.14, max(tall["latent"]) / 2 + 0.17
    observed = (
        max(wide["observed"]) / 2 + 0.1,
        max(tall["observed"]) / 2 + (0.11 if both else 0.085),
    )
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
            key: route(boxes[key[1]], graph.edges, lambda text: _measure(text, LABEL))
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
    rows = _arranged(pictures)
    extents = {key: picture.extent() for key, picture in pictures.items()}
    left = min(e[0] for e in extents.values())
    wide = max(e[2] for e in extents.values()) - left + 2 * _MARGIN
    head = 0.3 if len(panels) > 1 else 0.0
    bottoms = [min(extents[key][1] for key in row) for row in rows]
    tops = [max(extents[key][3] for key in row) for row in rows]
    tall = [t - b + 2 * _MARGIN + head for t, b in zip(tops, bottoms, strict=True)]
    width = max(wide * len(rows[0]), 3.0)
    notes = _notes(fit, shown, panels, width)
    foot = 0.14 * len(notes) + 0.1 if notes else 0.0
    figure, ax = _sheet(width, sum(tall) + foot)
    top = sum(tall) + foot
    for row, bottom, height in zip(rows, bottoms, tall, strict=True):
        if row is not rows[0]:
            ax.plot([0, width], [top, top], color=palette.faint, linewidth=0.8, zorder=0)
        for i, key in enumerate(row):
            if head:
                _write(ax, i * wide + _MARGIN, top - 0.1, _title(fit, *key), NAME, palette, "title")
            shift = np.array([i * wide + _MARGIN - left, top - height + _MARGIN - bottom])
            nodes = {node.name: node for node in panels[key].nodes}
            draw(ax, pictures[key], nodes, names, shift, palette)
        top -= height
    for i, line in enumerate(notes):
        _write(ax, _MARGIN, foot - 0.05 - 0.14 * i, line, _NOTE, palette, "note")
    return figure


def _arranged(pictures: Mapping[tuple[int, int], Picture]) -> list[list[tuple[int, int]]]:
    """Rows of panels: upper level first, groups side by side but for very wide ones."""
    levels = sorted({level for _, level in pictures}, reverse=True)
    groups = sorted({group for group, _ in pictures})
    x0, y0, x1, y1 = pictures[1, 1].extent()
    if len(levels) == 1 and x1 - x0 > 2 * (y1 - y0):
        return [[(group, 1)] for group in groups]
    return [[(group, level) for group in groups] for level in levels]


def _sheet(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height))
    figure.patch.set_alpha(0)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.set_axis_off()
    return figure, ax


def _write(
    ax: Axes, x: float, y: float, text: str, size: float, palette: Palette, kind: str
) -> None:
    """A title or a note, its upper left corner at a place."""
    ax.text(
        x, y, text, color=palette.muted, fontsize=size, va="top", gid=kind, parse_math=False
    )  # fmt: skip


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
