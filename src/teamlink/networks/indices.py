r"""Indices of networks, for all schools at once.

All schools stand in one sparse matrix with a block for each, so that sums over rows of a product
are sums over people, and sums over people by school are what is wanted. Betweenness needs shortest
paths and comes from networkx, a school at a time.

Freeman's centralization of an index c over n people is

.. math:: C = \frac{\sum_i (\max_k c_k - c_i)}{\text{the largest such sum that n people allow}},

the denominator that of a star: (n - 1)^2 for in- or outdegree, 2 (n - 1)(n - 2) for their sum,
(n - 1)(n - 2) for the degree of an undirected network, (n - 1)^2 (n - 2) for betweenness, half of
that where ties have no direction.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import networkx
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from teamlink.networks.edges import Networks
from teamlink.typing import Array, Codes, Mask

__all__ = ["Dyads", "betweenness", "centralization", "components", "dyads", "transitivity"]


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
    order = np.argsort(nets.school[nets.source], kind="stable")
    cuts = np.searchsorted(nets.school[nets.source][order], np.arange(len(nets.levels) + 1))
    for first, last in itertools.pairwise(cuts):
        rows = order[first:last]
        graph = networkx.DiGraph() if nets.directed else networkx.Graph()
        graph.add_edges_from(
            zip(nets.source[rows].tolist(), nets.target[rows].tolist(), strict=True)
        )
        for person, value in networkx.betweenness_centrality(graph, normalized=False).items():
            found[person] = value
    return found


def components(
    nets: Networks, A: csr_array[Any, Any], kind: Literal["weak", "strong"]
) -> tuple[Codes, Array]:
    """Component of each person (N,), and how many each school has (J,)."""
    _, label = connected_components(A, directed=True, connection=kind)
    _, first = np.unique(label, return_index=True)
    count = np.bincount(nets.school[first], minlength=len(nets.levels)).astype(float)
    return np.asarray(label, dtype=np.intp), count
