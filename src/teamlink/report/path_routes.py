"""Arrows of a path diagram as curves, and labels that touch neither nodes nor each other.

An arrow is a quadratic Bezier curve. Of several bends that one is taken which passes no node and
crosses least; then each label slides along its arrow to the first free place, and the arrow is
left open beneath it. All lengths are inches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from teamlink.report.path_graph import Edge
from teamlink.report.path_layout import Box
from teamlink.typing import Array

__all__ = ["Attachment", "Picture", "Rect", "Route", "curve", "part_of", "route"]

Rect = tuple[float, float, float, float]
"""x and y of the lower left, then of the upper right corner."""

Mask = NDArray[np.bool_]

Measure = Callable[[str], tuple[float, float]]
"""Width and height of a text."""

_T = np.linspace(0, 1, 41)
_PAD = 0.025


@dataclass(frozen=True, slots=True)
class Route:
    """An arrow between two nodes.

    Attributes
    ----------
    edge : what it stands for
    points : (3, 2) control points, ends on the borders of the nodes
    t : place of the label on the curve
    label : the rectangle of the label; of no size where there is none
    """

    edge: Edge
    points: Array
    t: float
    label: Rect


@dataclass(frozen=True, slots=True)
class Attachment:
    """A variance, drawn as a loop at its node, or an intercept, as an arrow from a triangle.

    Attributes
    ----------
    edge : what it stands for
    at : where it touches its node
    direction : unit vector away from the node
    label : the rectangle of the label
    """

    edge: Edge
    at: tuple[float, float]
    direction: tuple[float, float]
    label: Rect


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything of one panel; `clashes` counts labels that touch a node or another label."""

    boxes: Mapping[str, Box]
    routes: tuple[Route, ...]
    attachments: tuple[Attachment, ...]
    clashes: int

    def labels(self) -> tuple[Rect, ...]:
        """Rectangles of all labels."""
        every: tuple[Route | Attachment, ...] = (*self.routes, *self.attachments)
        return tuple(one.label for one in every if one.edge.text)

    def extent(self) -> Rect:
        """The smallest rectangle that holds all."""
        corners = [(b.x - b.w, b.y - b.h, b.x + b.w, b.y + b.h) for b in self.boxes.values()]
        for r in self.routes:
            line = curve(r.points, _T)
            corners.append((*line.min(axis=0), *line.max(axis=0)))
        corners += [*self.labels(), *(_body(a) for a in self.attachments)]
        known = np.array(corners)
        return (
            float(known[:, 0].min()), float(known[:, 1].min()),
            float(known[:, 2].max()), float(known[:, 3].max()),
        )  # fmt: skip


def curve(points: Array, t: Array) -> Array:
    """Points (n, 2) of a quadratic curve with control points (3, 2) at t (n,)."""
    s = t[:, None]
    line: Array = (1 - s) ** 2 * points[0] + 2 * s * (1 - s) * points[1] + s**2 * points[2]
    return line


def part_of(points: Array, start: float, end: float) -> Array:
    """Control points (3, 2) of the part of a curve from t = start to t = end."""
    ends = curve(points, np.array([start, end]))
    middle = (
        (1 - start) * (1 - end) * points[0]
        + ((1 - start) * end + start * (1 - end)) * points[1]
        + start * end * points[2]
    )
    return np.array([ends[0], middle, ends[1]])


def route(boxes: Mapping[str, Box], edges: Sequence[Edge], measure: Measure) -> Picture:
    """Draw the arrows of one panel between nodes in their places.

    Parameters
    ----------
    boxes : nodes by name
    edges : of one graph
    measure : width and height of a label
    """
    turn = {"loading": 0, "path": 1, "slope": 1, "covariance": 2}
    between = sorted((e for e in edges if e.kind in turn), key=lambda e: turn[e.kind])
    # Long arcs go outside short ones.
    between.sort(key=lambda e: (turn[e.kind], abs(boxes[e.tail].y - boxes[e.head].y)))
    pairs = [(e.tail, e.head) for e in between if e.directed]
    drawn: list[Array] = []
    for edge in between:
        both = edge.directed and (edge.head, edge.tail) in pairs
        drawn.append(_best(edge, boxes, drawn, both))
    obstacles = [_rectangle(box) for box in boxes.values()]
    attached = _attach([e for e in edges if e.kind not in turn], boxes, drawn, measure)
    fixed = [a.label for a in attached if a.edge.text] + [_body(a) for a in attached]
    routes = [Route(e, p, 0.5, (0.0,) * 4) for e, p in zip(between, drawn, strict=True)]
    labelled = _label(routes, obstacles + fixed, measure)
    return Picture(boxes, labelled, attached, _clashes(labelled, attached, obstacles))


def _rectangle(box: Box, pad: float = 0.0) -> Rect:
    return box.x - box.w - pad, box.y - box.h - pad, box.x + box.w + pad, box.y + box.h + pad


def _inside(box: Box, line: Array, pad: float) -> Mask:
    """(n,) whether points lie in a node, an ellipse or a rectangle, widened by `pad`."""
    u, v = (line[:, 0] - box.x) / (box.w + pad), (line[:, 1] - box.y) / (box.h + pad)
    found: Mask = u**2 + v**2 < 1 if box.kind == "latent" else np.maximum(abs(u), abs(v)) < 1
    return found


def _best(edge: Edge, boxes: Mapping[str, Box], drawn: Sequence[Array], both: bool) -> Array:
    """The curve of an edge that passes no node, crosses little and bends little."""
    tail, head = boxes[edge.tail], boxes[edge.head]
    others = [box for name, box in boxes.items() if name not in (edge.tail, edge.head)]
    lines = [curve(points, _T[::4]) for points in drawn]
    best, least = None, np.inf
    for bend, points in _candidates(edge, tail, head, both):
        line = curve(points, _T)
        hits = sum(bool(_inside(box, line, 0.06).any()) for box in others)
        coarse = line[::4]
        cost = 100 * hits + 6 * abs(bend)
        cost += sum(9 * _crosses(coarse, other) + 60 * _along(coarse, other) for other in lines)
        if cost < least - 1e-9:
            best, least = points, cost
    assert best is not None
    return best


def _candidates(edge: Edge, tail: Box, head: Box, both: bool) -> Iterable[tuple[float, Array]]:
    """Bends and control points of the curves that an edge may take."""
    if edge.kind == "covariance" and abs(tail.x - head.x) < 0.05:
        yield from _arcs(tail, head)
        return
    a, b = np.array([tail.x, tail.y]), np.array([head.x, head.y])
    if edge.kind == "loading" and head.kind != "latent":
        b = b - np.array([np.sign(head.x - tail.x) * head.w, 0.0])
    across = b - a
    normal = np.array([-across[1], across[0]])
    bends: tuple[float, ...] = (0.0, 0.12, -0.12, 0.24, -0.24, 0.36, -0.36, 0.5, -0.5, 0.7, -0.7)
    if edge.kind == "loading":
        bends = (0.0,)
    elif edge.kind == "covariance" or both:
        bends = bends[1:] if not both else (0.16, -0.16, 0.28, -0.28)
    for bend in bends:
        yield bend, _clipped(np.array([a, (a + b) / 2 + bend * normal, b]), tail, head)


def _arcs(tail: Box, head: Box) -> Iterable[tuple[float, Array]]:
    """Curves between two nodes of a column, outwards first."""
    outward = -1.0 if tail.column[0] == "rank" and tail.column[1] == 0 else 1.0
    if tail.column[0] != "rank":
        outward = float(tail.column[1])
    size = 0.16 + 0.13 * abs(tail.y - head.y)
    for side, wish in ((outward, 0.0), (-outward, 1.0)):
        w = side * min(tail.w, head.w)
        for factor in (1.0, 0.8, 1.25, 1.55, 1.9, 2.4):
            middle = (tail.x + w + 2 * side * size * factor, (tail.y + head.y) / 2)
            points = np.array([(tail.x + w, tail.y), middle, (head.x + w, head.y)])
            yield wish + abs(factor - 1), points


def _clipped(points: Array, tail: Box, head: Box) -> Array:
    """The part of a curve between the borders of its two nodes."""
    t = np.linspace(0, 1, 401)
    line = curve(points, t)
    left = np.flatnonzero(~_inside(tail, line, 0.0))
    entered = np.flatnonzero(~_inside(head, line, 0.0))
    start = float(t[left[0]]) if len(left) else 0.0
    end = float(t[entered[-1]]) if len(entered) else 1.0
    return part_of(points, start, max(end, start + 0.01))


def _crosses(one: Array, two: Array) -> int:
    """Number of crossings of two polylines (n, 2) and (m, 2)."""

    def side(a: Array, b: Array, c: Array) -> Array:
        d: Array = (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1])
        return d - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])

    a, b = one[:-1, None], one[1:, None]
    c, d = two[None, :-1], two[None, 1:]
    found = (side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)
    return int(found.sum())


def _along(one: Array, two: Array) -> bool:
    """Whether two curves run on each other for more than a third of the first."""
    apart = np.linalg.norm(one[:, None] - two[None], axis=-1).min(axis=1)
    return bool((apart < 0.06).mean() > 0.34)


def _attach(
    edges: Sequence[Edge], boxes: Mapping[str, Box], drawn: Sequence[Array], measure: Measure
) -> tuple[Attachment, ...]:
    """Loops and triangles at the freest side of their nodes."""
    lines = np.concatenate([curve(points, _T) for points in drawn]) if drawn else np.zeros((0, 2))
    taken = [_rectangle(box) for box in boxes.values()]
    found: list[Attachment] = []
    for edge in edges:
        box = boxes[edge.tail]
        options = [_attached(edge, d, at, measure) for d, at in _sides(box, edge, edges)]
        costs = []
        for i, option in enumerate(options):
            bodies = [_body(option), *([option.label] if edge.text else [])]
            hits = sum(_overlap(body, other) for body in bodies for other in taken)
            near = sum(_within(body, lines, 0.02) for body in bodies)
            costs.append(100 * hits + near + 0.5 * i)
        best = options[int(np.argmin(costs))]
        taken += [_body(best), *([best.label] if edge.text else [])]
        found.append(best)
    return tuple(found)


def _sides(
    box: Box, edge: Edge, edges: Sequence[Edge]
) -> Iterable[tuple[tuple[float, float], tuple[float, float]]]:
    """Directions in which something may be attached to a node, and the points of its border."""
    if box.column[0] != "rank":
        outward = float(box.column[1])
        several = sum(other.tail == edge.tail for other in edges) > 1
        shift = 0.0 if not several else 0.09 if edge.kind == "variance" else -0.09
        yield (outward, 0.0), (box.x + outward * box.w, box.y + shift)
        return
    for degrees in (90, 270, 60, 120, 240, 300, 0, 180):
        c, s = float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))
        if box.kind == "latent":
            yield (c, s), (box.x + c * box.w, box.y + s * box.h)
        else:
            reach = min(
                box.w / abs(c) if abs(c) > 1e-9 else 9, box.h / abs(s) if abs(s) > 1e-9 else 9
            )
            yield (c, s), (box.x + c * reach, box.y + s * reach)


_LOOP = 0.2
"""How far a loop, or a triangle with its arrow, stands out from its node."""


def _attached(
    edge: Edge, direction: tuple[float, float], at: tuple[float, float], measure: Measure
) -> Attachment:
    width, height = measure(edge.text) if edge.text else (0.0, 0.0)
    reach = _LOOP + (0.12 if edge.kind == "intercept" else 0.0)
    out = reach + 0.03 + abs(direction[0]) * width / 2 + abs(direction[1]) * height / 2
    x, y = at[0] + direction[0] * out, at[1] + direction[1] * out
    label = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return Attachment(edge, at, direction, label)


def _body(a: Attachment) -> Rect:
    """The rectangle of a loop or triangle itself."""
    reach = _LOOP + (0.12 if a.edge.kind == "intercept" else 0.0)
    x, y = a.at[0] + a.direction[0] * reach / 2, a.at[1] + a.direction[1] * reach / 2
    half = reach / 2 - 0.02
    wide = (half, 0.07) if abs(a.direction[0]) > 0.9 else (0.09, half)
    return x - wide[0], y - wide[1], x + wide[0], y + wide[1]


def _overlap(one: Rect, two: Rect) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def _within(box: Rect, line: Array, pad: float) -> int:
    """How many points of a line lie in a rectangle."""
    x, y = line[:, 0], line[:, 1]
    inside = (x > box[0] - pad) & (x < box[2] + pad) & (y > box[1] - pad) & (y < box[3] + pad)
    return int(inside.sum())


def _label(
    routes: Sequence[Route], obstacles: Sequence[Rect], measure: Measure
) -> tuple[Route, ...]:
    """Slide every label to the best place on its arrow, given the others; twice over."""
    fine = np.linspace(0, 1, 81)
    lines = [curve(r.points, fine) for r in routes]
    found = list(routes)
    placed: dict[int, Rect] = {}
    for _ in range(2):
        for i, r in enumerate(routes):
            if not r.edge.text:
                continue
            placed.pop(i, None)
            hard = [*obstacles, *placed.values()]
            others = [line for j, line in enumerate(lines) if j != i]
            t, label = _slide(r, hard, others, measure(r.edge.text))
            placed[i] = label
            found[i] = replace(r, t=t, label=label)
    return tuple(found)


def _slide(
    r: Route, hard: Sequence[Rect], others: Sequence[Array], size: tuple[float, float]
) -> tuple[float, Rect]:
    wish = 0.6 if r.edge.kind == "loading" else 0.5
    every = np.linspace(0.16, 0.84, 35)
    order = every[np.argsort(abs(every - wish), kind="stable")]
    rest = np.concatenate(others) if others else np.zeros((0, 2))
    w, h = size[0] / 2, size[1] / 2
    best, least = (wish, (0.0, 0.0, 0.0, 0.0)), np.inf
    for t, (x, y) in zip(order, curve(r.points, order), strict=True):
        label = (float(x - w), float(y - h), float(x + w), float(y + h))
        wide = (label[0] - _PAD, label[1] - _PAD, label[2] + _PAD, label[3] + _PAD)
        cost = 1000.0 * sum(_overlap(wide, other) for other in hard) + 25 * abs(t - wish)
        cost += 12 * min(_within(label, rest, 0.015), 5)
        cost += 200 * _within(wide, r.points[[0, 2]], 0.09)
        if cost < least - 1e-9:
            best, least = (float(t), label), cost
    return best


def _clashes(routes: Sequence[Route], attached: Sequence[Attachment], nodes: Sequence[Rect]) -> int:
    """How many labels touch a node or one another."""
    labels = [r.label for r in routes if r.edge.text] + [a.label for a in attached if a.edge.text]
    bodies = [_body(a) for a in attached]
    found = 0
    for i, label in enumerate(labels):
        wide = (label[0] - 0.01, label[1] - 0.01, label[2] + 0.01, label[3] + 0.01)
        found += sum(_overlap(wide, node) for node in nodes)
        found += sum(_overlap(wide, other) for other in labels[:i])
        found += sum(_overlap(label, body) for body in bodies) if i < len(routes) else 0
    return found
