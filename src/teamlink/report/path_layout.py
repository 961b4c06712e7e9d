"""Where the nodes of a path diagram stand: ranks from left to right, indicators outermost.

Explanatory variables stand left and outcomes right; the rank of a variable is the length of the
longest chain that leads to it, a chain that returns to itself being cut. Indicators stand in a
column outside their factor: left of factors that nothing explains, else on the right, in a band of
their own, so that no loading passes another factor. The order within columns is the best that
exchanging pairs can find: few crossings, no arrow through a node, short arrows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from teamlink.report.path_graph import Graph

__all__ = ["Box", "Sizes", "lay_out"]

Point = tuple[float, float]
Column = tuple[str, int]
"""("rank", r), or on side s, -1 or 1, ("indicators", s) and what lies beyond, ("beyond", s)."""

_BETWEEN = 0.26
"""Inches between the bands of two units."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Lengths in inches: half-width and half-height of nodes, and gaps between columns and rows."""

    latent: Point
    observed: Point
    rank_gap: float
    loading_gap: float
    pitch: float

    def half(self, kind: str) -> Point:
        """Half-width and half-height of a kind of node."""
        return self.latent if kind == "latent" else self.observed


@dataclass(frozen=True, slots=True)
class Box:
    """A node in its place: centre, half-width and half-height, inches; its kind and its column."""

    x: float
    y: float
    w: float
    h: float
    kind: str
    column: Column


@dataclass(frozen=True, slots=True)
class _Parts:
    """What each node of a graph is for the layout.

    Attributes
    ----------
    indicators : of each factor that has observed ones, its own first where several share them
    general : factors whose indicators include all those of two others or more
    satellites : observed variables that explain nothing but indicators, with the first of these
    structural : all other nodes
    links : arrows between structural nodes
    """

    indicators: Mapping[str, tuple[str, ...]]
    general: tuple[str, ...]
    satellites: Mapping[str, str]
    structural: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Unit:
    """Nodes that keep together: factors with indicators beside them, or one variable."""

    heads: tuple[str, ...]
    indicators: tuple[str, ...]
    rank: int
    height: float


def lay_out(panels: Sequence[Graph], sizes: Sizes) -> tuple[dict[str, Box], ...]:
    """Place the nodes of each level, so that the same variable stands in the same column.

    Parameters
    ----------
    panels : one graph a level, the lower one first
    sizes : of nodes and gaps

    Returns
    -------
    tuple of dict
        For each level boxes by name, their y around zero.
    """
    parts = [_parts(graph) for graph in panels]
    twins = _twins(parts)
    ranks = _ranks(parts, twins)
    last = max(ranks.values(), default=0)
    columns: list[dict[str, Column]] = []
    heights: list[dict[str, float]] = []
    for own, names in zip(parts, twins, strict=True):
        rank = {name: ranks[names.get(name, name)] for name in own.structural}
        column, y = _place(own, rank, last, sizes, heights[0] if heights else {})
        columns.append(column)
        heights.append(y)
    kinds = [{node.name: node.kind for node in graph.nodes} for graph in panels]
    x = _across(columns, kinds, sizes)
    return tuple(
        {
            name: Box(x[column[name]], y[name], *sizes.half(kind[name]), kind[name], column[name])
            for name in kind
        }
        for column, y, kind in zip(columns, heights, kinds, strict=True)
    )


def _parts(graph: Graph) -> _Parts:
    kind = {node.name: node.kind for node in graph.nodes}
    listed: dict[str, list[str]] = {}
    for edge in graph.of("loading"):
        if kind[edge.head] != "latent":
            listed.setdefault(edge.tail, []).append(edge.head)
    indicators = {name: tuple(own) for name, own in listed.items()}
    measured = {name for own in indicators.values() for name in own}
    paths = [(e.tail, e.head) for e in graph.of("path", "slope")]
    tied = {name for pair in paths for name in pair}
    general = tuple(
        name
        for name, own in indicators.items()
        if name not in tied and sum(set(own) > set(other) for other in indicators.values()) > 1
    )
    satellites = {}
    for node in graph.nodes:
        heads = [head for tail, head in paths if tail == node.name]
        led = any(head == node.name for _, head in paths)
        alone = node.kind != "latent" and node.name not in measured and not led
        if alone and heads and set(heads) <= measured:
            satellites[node.name] = heads[0]
    aside = {*measured, *general, *satellites}
    structural = tuple(node.name for node in graph.nodes if node.name not in aside)
    own = set(structural)
    directed = [*paths, *((e.tail, e.head) for e in graph.of("loading"))]
    links = tuple(dict.fromkeys(p for p in directed if p[0] in own and p[1] in own))
    return _Parts(indicators, general, satellites, structural, links)


def _twins(parts: Sequence[_Parts]) -> list[dict[str, str]]:
    """For each level the name at the lowest one of a factor with the same indicators."""
    found: list[dict[str, str]] = []
    for own in parts:
        names = {}
        for factor, its in own.indicators.items():
            shared = {
                name: len(set(its) & set(other)) for name, other in parts[0].indicators.items()
            }
            best = max(shared, key=lambda name: shared[name], default="")
            if shared.get(best, 0) and best in parts[0].structural:
                names[factor] = best
        found.append(names)
    return found


def _ranks(parts: Sequence[_Parts], twins: Sequence[Mapping[str, str]]) -> dict[str, int]:
    """Length of the longest chain to each structural variable of any level."""
    after: dict[str, list[str]] = {}
    for own, names in zip(parts, twins, strict=True):
        for name in own.structural:
            after.setdefault(names.get(name, name), [])
        for tail, head in own.links:
            tail, head = names.get(tail, tail), names.get(head, head)
            if head != tail and head not in after[tail]:
                after[tail].append(head)
    order: list[str] = []
    back = _returning(after, order)
    rank = dict.fromkeys(after, 0)
    for tail in reversed(order):
        for head in after[tail]:
            if (tail, head) not in back:
                rank[head] = max(rank[head], rank[tail] + 1)
    return rank


def _returning(after: Mapping[str, Sequence[str]], order: list[str]) -> set[tuple[str, str]]:
    """Arrows that close a cycle; `order` gets the nodes, those first from which nothing leads."""
    back: set[tuple[str, str]] = set()
    state: dict[str, int] = {}

    def visit(name: str) -> None:
        state[name] = 1
        for other in after[name]:
            if state.get(other) == 1:
                back.add((name, other))
            elif other not in state:
                visit(other)
        state[name] = 2
        order.append(name)

    entered = {head for heads in after.values() for head in heads}
    for name in (*(n for n in after if n not in entered), *after):
        if name not in state:
            visit(name)
    return back


def _units(parts: _Parts, rank: Mapping[str, int], sizes: Sizes) -> list[_Unit]:
    """Factors that share several indicators keep together; any other variable stands by itself."""
    factors = [name for name in parts.indicators if name in parts.structural]
    first: dict[str, str] = {}
    for name in factors:
        own = set(parts.indicators[name])
        hosts = [h for h in first if len(own & set(parts.indicators[h])) > 1]
        first[name] = first[hosts[0]] if hosts else name
    owner: dict[str, str] = {}
    for name in (*sorted(factors, key=lambda f: len(parts.indicators[f])), *parts.general):
        for indicator in parts.indicators[name]:
            owner.setdefault(indicator, first.get(name, ""))
    owned: dict[str, list[str]] = {}
    for indicator in dict.fromkeys(
        i for f in (*factors, *parts.general) for i in parts.indicators[f]
    ):
        owned.setdefault(owner[indicator], []).append(indicator)
    found = []
    for name in parts.structural:
        if first.get(name, name) == name:
            heads = (name, *(other for other in factors if first[other] == name != other))
            own_indicators = tuple(owned.get(name, ()))
            high = _height(heads, own_indicators, name in factors, sizes)
            found.append(_Unit(heads, own_indicators, rank[name], high))
    if owned.get(""):
        rest = tuple(owned[""])
        found.append(_Unit((), rest, 0, _height((), rest, False, sizes)))
    return found


def _height(heads: Sequence[str], indicators: Sequence[str], measured: bool, sizes: Sizes) -> float:
    half = sizes.latent[1] + 0.15 if measured else sizes.observed[1] + 0.1
    return max(len(indicators) * sizes.pitch, len(heads) * 2 * half)


def _place(
    parts: _Parts, rank: Mapping[str, int], last: int, sizes: Sizes, hint: Mapping[str, float]
) -> tuple[dict[str, Column], dict[str, float]]:
    """Column and height of every node of a graph."""
    units = _units(parts, rank, sizes)
    # A factor on the right keeps the whole band to its indicators free of other nodes.
    banded = any(unit.indicators and (unit.rank or not last) for unit in units)
    units, links = (units, list(parts.links)) if banded else _with_passages(units, parts, rank)
    stacks: dict[int, list[_Unit]] = {}
    for unit in units:
        key = 0 if not unit.rank and last else 1 if banded or not last else unit.rank
        stacks.setdefault(key, []).append(unit)
    if hint:
        for stack in stacks.values():
            stack.sort(key=lambda unit: -_mean(hint.get(n, 0.0) for n in _names(unit)))
    y = _ordered(stacks, links, hint, sizes)
    column: dict[str, Column] = {}
    for unit in units:
        side = -1 if not unit.rank and last else 1
        column |= {name: ("rank", rank[name]) for name in unit.heads if name in rank}
        column |= dict.fromkeys(unit.indicators, ("indicators", side))
    y = {name: y[name] for name in column}
    for name in parts.general:
        column[name] = ("beyond", column[parts.indicators[name][0]][1])
        y[name] = _mean(y[i] for i in parts.indicators[name])
    for name, indicator in parts.satellites.items():
        column[name] = ("beyond", column[indicator][1])
        y[name] = y[indicator]
    _apart([name for name in column if column[name][0] == "beyond"], y, sizes.pitch)
    return column, y


def _with_passages(
    units: list[_Unit], parts: _Parts, rank: Mapping[str, int]
) -> tuple[list[_Unit], list[tuple[str, str]]]:
    """Units with a free place in every rank that an arrow passes, and arrows by way of them."""
    links: list[tuple[str, str]] = []
    found = list(units)
    for tail, head in parts.links:
        low, high = sorted((rank[tail], rank[head]))
        passed = [f"{tail}\n{head}\n{r}" for r in range(low + 1, high)]
        found += [_Unit((n,), (), low + 1 + i, 0.3) for i, n in enumerate(passed)]
        chain = [tail, *(passed if rank[tail] <= rank[head] else passed[::-1]), head]
        links += pairwise(chain)
    return found, links


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else 0.0


def _names(unit: _Unit) -> tuple[str, ...]:
    return (*unit.heads, *unit.indicators)


def _apart(names: list[str], y: dict[str, float], pitch: float) -> None:
    """Move nodes of one column down until none lies on another."""
    names.sort(key=lambda name: -y[name])
    for above, below in pairwise(names):
        y[below] = min(y[below], y[above] - pitch)


def _heights(stacks: Mapping[int, Sequence[_Unit]], sizes: Sizes) -> dict[str, float]:
    """Height of every node where stacks are centred on zero, in the order they have."""
    y: dict[str, float] = {}
    for stack in stacks.values():
        top = (sum(unit.height for unit in stack) + _BETWEEN * (len(stack) - 1)) / 2
        for unit in stack:
            middle = top - unit.height / 2
            for names, step in (
                (unit.heads, unit.height / max(len(unit.heads), 1)),
                (unit.indicators, sizes.pitch),
            ):
                for i, name in enumerate(names):
                    y[name] = middle + step * ((len(names) - 1) / 2 - i)
            top -= unit.height + _BETWEEN
    return y


def _ordered(
    stacks: dict[int, list[_Unit]], links: Sequence[tuple[str, str]], hint: Mapping[str, float],
    sizes: Sizes,
) -> dict[str, float]:  # fmt: skip
    """Exchange units of a stack as long as that makes the picture better."""
    x = {
        name: 2.4 * unit.rank for stack in stacks.values() for unit in stack for name in unit.heads
    }
    best = _heights(stacks, sizes)
    cost = _cost(x, best, links, hint)
    improved = True
    while improved:
        improved = False
        for stack in stacks.values():
            for i, j in combinations(range(len(stack)), 2):
                stack[i], stack[j] = stack[j], stack[i]
                y = _heights(stacks, sizes)
                new = _cost(x, y, links, hint)
                if new < cost - 1e-9:
                    best, cost, improved = y, new, True
                else:
                    stack[i], stack[j] = stack[j], stack[i]
    return best


def _cost(
    x: Mapping[str, float], y: Mapping[str, float], links: Sequence[tuple[str, str]],
    hint: Mapping[str, float],
) -> float:  # fmt: skip
    """How far a picture is from a good one: crossings, nodes hit, length, order upset."""
    total = 0.0
    for tail, head in links:
        total += 0.5 * abs(y[tail] - y[head]) + 0.1 * max(y[head] - y[tail], 0.0)
        for name in x:
            if name not in (tail, head) and _near(x, y, tail, head, name):
                total += 12
    for one, two in combinations(links, 2):
        if not set(one) & set(two) and _crossing(x, y, one, two):
            total += 8
    known = [name for name in y if name in hint]
    for i, j in combinations(known, 2):
        total += 5 * ((y[i] - y[j]) * (hint[i] - hint[j]) < 0)
    return total


def _near(x: Mapping[str, float], y: Mapping[str, float], tail: str, head: str, name: str) -> bool:
    """Whether an arrow from tail to head passes a third node closely."""
    a, b = (x[tail], y[tail]), (x[head], y[head])
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = dx * dx + dy * dy
    if not length:
        return False
    t = ((x[name] - a[0]) * dx + (y[name] - a[1]) * dy) / length
    away = (x[name] - a[0] - t * dx) ** 2 + (y[name] - a[1] - t * dy) ** 2
    return 0 < t < 1 and away < 0.3**2


def _crossing(
    x: Mapping[str, float], y: Mapping[str, float], one: tuple[str, str], two: tuple[str, str]
) -> bool:
    """Whether two straight arrows cross."""

    def side(a: str, b: str, c: str) -> float:
        return (x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a])

    return (
        side(*one, two[0]) * side(*one, two[1]) < 0 and side(*two, one[0]) * side(*two, one[1]) < 0
    )


def _across(
    columns: Sequence[Mapping[str, Column]], kinds: Sequence[Mapping[str, str]], sizes: Sizes
) -> dict[Column, float]:
    """The x of every column, from left to right with gaps between the widest nodes."""
    half: dict[Column, float] = {}
    for column, kind in zip(columns, kinds, strict=True):
        for name, key in column.items():
            half[key] = max(half.get(key, 0.0), sizes.half(kind[name])[0])
    places = {
        ("beyond", -1): -2,
        ("indicators", -1): -1,
        ("indicators", 1): 998,
        ("beyond", 1): 999,
    }
    order = sorted(half, key=lambda key: places.get(key, key[1]))
    x: dict[Column, float] = {}
    at = 0.0
    for i, key in enumerate(order):
        if i:
            ranks = key[0] == "rank" == order[i - 1][0]
            at += half[order[i - 1]] + half[key] + (sizes.rank_gap if ranks else sizes.loading_gap)
        x[key] = at
    return x
