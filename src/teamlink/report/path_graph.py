"""Nodes and edges of a path diagram: what a fit of structural equations has to show.

A panel is one level of one group. Variables are nodes; loadings, paths, covariances, variances and
intercepts are edges, each with its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from teamlink.report.numbers import decimals
from teamlink.report.records import records
from teamlink.structural.result import StructuralFit

__all__ = ["Edge", "EdgeKind", "Graph", "Node", "Shown", "graphs", "stars"]

EdgeKind = Literal["loading", "path", "slope", "covariance", "variance", "intercept"]
NodeKind = Literal["latent", "observed", "part"]

_KINDS: dict[str, EdgeKind] = {"=~": "loading", "~": "path", "~~": "covariance", "~1": "intercept"}


@dataclass(frozen=True, slots=True)
class Node:
    """A variable.

    Attributes
    ----------
    name : as in the model
    kind : "latent"; "observed"; "part", the part between clusters of what was observed in rows
    improper : whether its variance is negative
    """

    name: str
    kind: NodeKind
    improper: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """A parameter as an arrow.

    Attributes
    ----------
    tail, head : names of nodes; the same for a variance and an intercept
    kind : what it is
    text : its label; may be empty
    value : the estimate that the label shows
    clear : whether the 95 % interval leaves out zero, or the parameter is fixed
    """

    tail: str
    head: str
    kind: EdgeKind
    text: str
    value: float
    clear: bool

    @property
    def directed(self) -> bool:
        """Whether it points from one node to another."""
        return self.kind in ("loading", "path", "slope")


@dataclass(frozen=True, slots=True)
class Graph:
    """One level of one group."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def of(self, *kinds: EdgeKind) -> tuple[Edge, ...]:
        """Edges of these kinds."""
        return tuple(edge for edge in self.edges if edge.kind in kinds)


@dataclass(frozen=True, slots=True)
class Shown:
    """What is drawn, and how estimates are written."""

    estimates: Literal["standardized", "raw", "none"]
    uncertainty: Literal["none", "stars", "se"]
    covariances: bool
    variances: bool
    intercepts: bool
    digits: int


def graphs(fit: StructuralFit, shown: Shown) -> dict[tuple[int, int], Graph]:
    """Make the graph of every group and level, numbered from 1."""
    frame = _estimates(fit, shown)
    slopes = {(s.outcome, s.predictor, s.group): s.name for s in fit.table.slopes}
    found = {}
    for group in range(1, len(fit.table.groups) + 1):
        for level in range(1, len(fit.table.levels) + 1):
            rows = frame[(frame["group"] == group) & (frame["level"] == level)]
            edges = [edge for row in records(rows) if (edge := _edge(row, shown)) is not None]
            if level == 1:
                edges += [
                    Edge(predictor, outcome, "slope", name, 0.0, True)
                    for (outcome, predictor, own), name in slopes.items()
                    if own == group
                ]
            nodes = _nodes(fit, group, level, edges)
            found[group, level] = Graph(nodes, tuple(edges))
    return found


def _estimates(fit: StructuralFit, shown: Shown) -> pd.DataFrame:
    """Rows that may be drawn: ``lhs, op, rhs, group, level, value, error, p, fixed``."""
    raw = fit.parameters
    own = fit.standardized if shown.estimates == "standardized" else raw
    value = own["est_std" if shown.estimates == "standardized" else "est"]
    frame = raw[["lhs", "op", "rhs", "group", "level", "est"]].assign(
        value=value, error=own["se"], p=own["pvalue"], fixed=raw["se"] == 0
    )
    given = {
        (row.lhs, row.op, row.rhs, row.group, row.level) for row in fit.table.rows if row.exogenous
    }
    products = {slope.product for slope in fit.table.slopes}
    keys = zip(*(frame[c] for c in ("lhs", "op", "rhs", "group", "level")), strict=True)
    mask = [key not in given and key[1] in _KINDS and key[2] not in products for key in keys]
    kept: pd.DataFrame = frame[mask]
    return kept[~(kept["fixed"] & (kept["est"] == 0))]


def _edge(row: Mapping[str, Any], shown: Shown) -> Edge | None:
    """The arrow of a row; None where it is not to be shown."""
    left, right = row["lhs"], row["rhs"]
    kind = _KINDS[row["op"]]
    value = row["est"]
    if kind == "covariance" and left == right:
        kind = "variance"
    hidden = {
        "covariance": not shown.covariances,
        "variance": not shown.variances and value >= 0,
        "intercept": not shown.intercepts,
    }
    if hidden.get(kind, False):
        return None
    tail, head = (right, left) if kind == "path" else (left, right or left)
    clear = row["fixed"] or row["p"] is None or row["p"] < 0.05
    return Edge(tail, head, kind, _text(row, shown), value, clear)


def _text(row: Mapping[str, Any], shown: Shown) -> str:
    """The label of an arrow: its estimate, with stars or a standard error."""
    value = row["value"]
    if shown.estimates == "none" or value is None:
        return ""
    whole = row["fixed"] and shown.estimates == "raw" and float(value).is_integer()
    said = decimals(value, 0 if whole else shown.digits)
    if shown.uncertainty == "se" and row["error"]:
        said += f" ({decimals(row['error'], shown.digits)})"
    starred = shown.uncertainty == "stars" and row["p"] is not None
    return said + (stars(row["p"]) if starred else "")


def stars(p: float) -> str:
    """Give one star below 0.05, two below 0.01, three below 0.001.

    Examples
    --------
    >>> [stars(p) for p in (0.2, 0.03, 0.0002)]
    ['', '*', '***']
    """
    return "*" * sum(p < bound for bound in (0.05, 0.01, 0.001))


def _nodes(fit: StructuralFit, group: int, level: int, edges: list[Edge]) -> tuple[Node, ...]:
    """Variables of a block in the order of the model, factors first."""
    levels = len(fit.table.levels)
    roles = fit.table.roles[(group - 1) * levels + level - 1]
    lower = fit.table.roles[(group - 1) * levels].observed if level == 2 else ()
    products = {slope.product for slope in fit.table.slopes}
    negative = {e.tail for e in edges if e.kind == "variance" and e.value < 0}
    found = [Node(name, "latent", name in negative) for name in roles.latent]
    random = [s.name for s in fit.table.slopes if s.group == group] if level == 2 else []
    found += [Node(name, "latent", name in negative) for name in random]
    taken = {node.name for node in found} | products
    found += [
        Node(name, "part" if name in lower else "observed", name in negative)
        for name in roles.observed
        if name not in taken
    ]
    return tuple(found)
