r"""Indices of networks, for all schools at once.

All schools stand in one sparse matrix with a block for each, so that sums over rows of a product
are sums over people, and sums over people by school are what is wanted. Betweenness needs shortest
paths: products of small square matrices, or networkx where a network is large.

Freeman's centralization of an index c over n people is

.. math:: C = \frac{\sum_i (\max_k c_k - c_i)}{\text{the largest such sum that n people allow}},

the denominator that of a star: (n - 1)^2 for in- or outdegree, 2 (n - 1)(n - 2) for their sum,
(n - 1)(n - 2) for the degree of an undirected network, (n - 1)^2 (n - 2) for betweenness, half of
that where ties have no direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import networkx
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from teamlink.networks.edges import Networks
from teamlink.typing import Array, Codes, Mask

__all__ = ["Dyads", "betweenness", "centralization", "components", "dyads", "transitivity"]

_DENSE = 300
"""People in a network up to which square matrices are faster than a search from each person."""


@dataclass(frozen=True, slots=True)
class Dyads:
    """Pairs of people by school, each (J,).

    Attributes
    ----------
    ties : ties that are there; undirected ones count once
    possible : ties that are there or known not to be
    mutual, asymmetric, null : pairs of which both directions are known
    """

    ties: Array
    possible: Array
    mutual: Array
    asymmetric: Array
    null: Array


def dyads(nets: Networks) -> Dyads:
    """Count ties and pairs.

    A tie is known where its source answered; one without direction where either did.
    """
    n, r = nets.sizes.astype(float), nets.total(nets.responded)
    lost = np.bincount(nets.school[nets.unknown[:, 0]], minlength=len(n)).astype(float)
    ties = np.bincount(nets.school[nets.source], minlength=len(n)).astype(float)
    if not nets.directed:
        possible = n * (n - 1) / 2 - (n - r) * (n - r - 1) / 2 - lost
        return Dyads(ties, possible, ties, np.zeros_like(ties), possible - ties)
    possible = r * (n - 1) - lost
    unknown = np.unique(np.sort(nets.unknown, axis=1), axis=0)
    both = nets.responded[unknown].all(axis=1)
    known = r * (r - 1) / 2 - np.bincount(nets.school[unknown[both, 0]], minlength=len(n))
    sure = nets.responded[nets.target] & ~_among(nets, unknown)
    low = np.minimum(nets.source, nets.target)[sure]
    high = np.maximum(nets.source, nets.target)[sure]
    pairs, times = np.unique(np.column_stack([low, high]), axis=0, return_counts=True)
    school = nets.school[pairs[:, 0]]
    mutual = np.bincount(school[times == 2], minlength=len(n)).astype(float)
    asymmetric = np.bincount(school[times == 1], minlength=len(n)).astype(float)
    return Dyads(ties, possible, mutual, asymmetric, known - mutual - asymmetric)


def _among(nets: Networks, unknown: Codes) -> Mask:
    """(E,) whether the other direction of a tie, or the tie, is among pairs with low < high."""
    n = len(nets.school)
    low, high = np.minimum(nets.source, nets.target), np.maximum(nets.source, nets.target)
    return np.isin(low * n + high, unknown[:, 0] * n + unknown[:, 1])


def transitivity(nets: Networks, A: csr_array[Any, Any]) -> Array:
    """(J,) share of paths i -> j -> k, i and k different, with a tie i -> k; NaN without paths."""
    two = A @ A
    paths = np.asarray(two.sum(axis=1)).ravel() - two.diagonal()
    closed = np.asarray(two.multiply(A).sum(axis=1)).ravel()
    return share(nets.total(closed), nets.total(paths))


def share(part: Array, whole: Array) -> Array:
    """Ratios, NaN where there is nothing to divide by."""
    found: Array = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return found


def centralization(nets: Networks, values: Array, largest: Array) -> Array:
    """(J,) Freeman's centralization of an index (N,) with the largest sums (J,).

    NaN where a network is too small to have one.
    """
    start = np.searchsorted(nets.school, np.arange(len(nets.levels)))
    top = np.maximum.reduceat(values, start)
    return share(nets.total(top[nets.school] - values), largest)


def betweenness(nets: Networks) -> Array:
    """(N,) number of shortest paths between others that pass a person, shared out over ties.

    Pairs are ordered in directed networks and unordered in others; nothing is divided by.
    """
    found = np.zeros(len(nets.school))
    start = np.searchsorted(nets.school, np.arange(len(nets.levels) + 1))
    order = np.argsort(nets.school[nets.source], kind="stable")
    cuts = np.searchsorted(nets.school[nets.source][order], np.arange(len(nets.levels) + 1))
    for s, n in enumerate(nets.sizes):
        rows = order[cuts[s] : cuts[s + 1]]
        source, target = nets.source[rows] - start[s], nets.target[rows] - start[s]
        passed = _by_layers if n <= _DENSE else _by_search
        found[start[s] : start[s + 1]] = passed(int(n), source, target, nets.directed)
    return found


def _by_layers(n: int, source: Codes, target: Codes, directed: bool) -> Array:
    """(n,) betweenness, from all people at once, a step away at a time (Brandes 2001)."""
    A = np.zeros((n, n))
    A[source, target] = 1.0
    if not directed:
        A[target, source] = 1.0
    reached = np.eye(n, dtype=np.bool_)
    layer, layers = np.eye(n), []
    while (layer := np.where(reached, 0.0, layer @ A)).any():
        reached |= layer > 0
        layers.append(layer)  # (n, n) shortest paths from the row's person, this long
    passed = np.zeros((n, n))
    for before, layer in zip(layers[-2::-1], layers[:0:-1], strict=True):
        share = np.divide(1 + passed, layer, out=np.zeros((n, n)), where=layer > 0)
        passed += before * (share @ A.T)
    total: Array = passed.sum(axis=0)
    return total if directed else total / 2


def _by_search(n: int, source: Codes, target: Codes, directed: bool) -> Array:
    """(n,) the same by networkx, for networks too large for square matrices."""
    graph = networkx.DiGraph() if directed else networkx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from(zip(source.tolist(), target.tolist(), strict=True))
    value = networkx.betweenness_centrality(graph, normalized=False)
    return np.array([value[person] for person in range(n)])


def components(
    nets: Networks, A: csr_array[Any, Any], kind: Literal["weak", "strong"]
) -> tuple[Codes, Array]:
    """Component of each person (N,), and how many each school has (J,)."""
    _, label = connected_components(A, directed=True, connection=kind)
    _, first = np.unique(label, return_index=True)
    count = np.bincount(nets.school[first], minlength=len(nets.levels)).astype(float)
    return np.asarray(label, dtype=np.intp), count
