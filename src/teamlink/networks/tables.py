"""Tables of networks: a row a school, or a row a person."""

from __future__ import annotations

import numpy as np
import pandas as pd

from teamlink.data.schema import Key
from teamlink.networks.edges import Networks, read_networks
from teamlink.networks.indices import (
    betweenness,
    centralization,
    components,
    dyads,
    share,
    transitivity,
)
from teamlink.typing import Array, Table

__all__ = ["describe", "nodes"]


def describe(
    edges: Table,
    by: Key | None = None,
    *,
    source: str = "source",
    target: str = "target",
    weight: str | None = None,
    roster: Table | None = None,
    node: str = "node",
    responded: str | None = None,
    directed: bool = True,
) -> pd.DataFrame:
    r"""Describe the network of each school by its density, reciprocity, centralization and more.

    Parameters
    ----------
    edges : table
        A row a tie: who names whom. Each tie once; in an undirected network it may stand in both
        directions.
    by : str or sequence of str, optional
        The columns that identify the school; one network when None. People are told apart by
        school and name, so that names may occur again in other schools.
    source, target : str
        Columns with who names and who is named.
    weight : str, optional
        A column of weights, not negative: zero is no tie, missing says that it is unknown
        whether there is one. Indices are of ties being there; weights enter `nodes` as strength.
    roster : table, optional
        A row for everybody in the school, with the columns of `by` and `node`. Without it people
        without any tie are unknown, and density is that of the people who occur.
    node : str
        The roster's column with the person.
    responded : str, optional
        The roster's column that says who answered (yes or no, or 1 and 0). What the others would
        have named is unknown, not absent.
    directed : bool
        Whether a tie from a to b differs from one from b to a.

    Returns
    -------
    pandas.DataFrame
        A row a school, indexed by school, with

        - ``n``, ``respondents``: people, and those who answered;
        - ``edges``, ``possible``: ties, and ties there could be as far as is known: respondents
          times (n - 1) less those with a missing weight (undirected: pairs of which one answered);
        - ``density``: edges / possible;
        - ``mutual``, ``asymmetric``, ``null``: pairs of which both directions are known;
        - ``reciprocity_edgewise``: share of ties returned, 2M / (2M + A);
        - ``reciprocity_dyadic``: share of connected pairs that are mutual, M / (M + A);
        - ``reciprocity_with_null``: share of all pairs alike in both directions,
          (M + N) / (M + A + N);
        - ``degree_centralization`` (in- plus outdegree), ``indegree_centralization``,
          ``outdegree_centralization``, ``betweenness_centralization``: Freeman's, 0 to 1;
        - ``transitivity``: share of two-step paths i to j to k that a tie i to k closes;
          ``transitivity_undirected``: the same where direction is left aside;
        - ``isolates``: respondents who name nobody and whom nobody names; ``unseen``: people who
          did not answer and whom nobody names;
        - ``components``, ``strong_components``: parts joined by ties in any direction, and by
          paths in both.

        What a network is too small or too empty for is missing.

    Raises
    ------
    DataError
        Columns are missing; negative weights; a tie stands twice; a person is not on the roster,
        or names others though the roster says they did not answer.

    Warns
    -----
    DroppedRows
        Rows without a school or person, or in which people name themselves, were left out.

    Notes
    -----
    "Reciprocity" has several meanings and programs differ: sna's default ``grecip(x, "dyadic")``
    is `reciprocity_with_null` here, its ``"edgewise"`` and igraph's and networkx's default
    `reciprocity_edgewise`, its ``"dyadic.nonnull"`` and igraph's ``mode = "ratio"``
    `reciprocity_dyadic`. Likewise ``sna::gtrans`` is `transitivity` and igraph's
    ``transitivity(x)`` `transitivity_undirected`.

    Centralization, transitivity, isolates and components are those of the ties seen. Where part
    of the staff did not answer, they are of a network with that part of its ties missing.

    References
    ----------
    Freeman, L. C. (1978). Centrality in social networks: Conceptual clarification. *Social
    Networks*, 1(3), 215-239. https://doi.org/10.1016/0378-8733(78)90021-7

    Examples
    --------
    >>> import teamlink as tl
    >>> ties = {
    ...     "school": ["a", "a", "a", "b", "b"],
    ...     "source": ["Ann", "Bob", "Cem", "Ann", "Dov"],
    ...     "target": ["Bob", "Ann", "Ann", "Dov", "Eva"],
    ... }
    >>> found = tl.networks.describe(ties, by="school")
    >>> found[["n", "edges", "density"]].round(3).to_dict("index")["b"]
    {'n': 3, 'edges': 2, 'density': 0.333}
    >>> found[["reciprocity_edgewise", "reciprocity_dyadic"]].round(3).to_dict("index")["a"]
    {'reciprocity_edgewise': 0.667, 'reciprocity_dyadic': 0.5}
    """
    nets = read_networks(edges, by, source, target, weight, roster, node, responded, directed)
    census = dyads(nets)
    A = nets.adjacency()
    M, asymmetric, null = census.mutual, census.asymmetric, census.null
    either = ((A + A.T) > 0).astype(np.float64)
    out, into = _degrees(nets)
    alone = (out + into) == 0
    columns: dict[str, Array] = {
        "n": nets.sizes.astype(float),
        "respondents": nets.total(nets.responded),
        "edges": census.ties,
        "possible": census.possible,
        "density": share(census.ties, census.possible),
        "mutual": M,
        "asymmetric": asymmetric,
        "null": null,
        "reciprocity_edgewise": share(2 * M, 2 * M + asymmetric),
        "reciprocity_dyadic": share(M, M + asymmetric),
        "reciprocity_with_null": share(M + null, M + asymmetric + null),
        **_centralizations(nets, out, into),
        "transitivity": transitivity(nets, A),
        "transitivity_undirected": transitivity(nets, either),
        "isolates": nets.total(alone & nets.responded),
        "unseen": nets.total(alone & ~nets.responded),
        "components": components(nets, A, "weak")[1],
        "strong_components": components(nets, A, "strong")[1],
    }
    table = pd.DataFrame(columns, index=nets.levels)
    whole = ["n", "respondents", "edges", "possible", "mutual", "asymmetric", "null"]
    whole += ["isolates", "unseen", "components", "strong_components"]
    return table.astype(dict.fromkeys(whole, np.int64))


def nodes(
    edges: Table,
    by: Key | None = None,
    *,
    source: str = "source",
    target: str = "target",
    weight: str | None = None,
    roster: Table | None = None,
    node: str = "node",
    responded: str | None = None,
    directed: bool = True,
) -> pd.DataFrame:
    """Describe the place of each person in the network of the school.

    Parameters
    ----------
    edges, by, source, target, weight, roster, node, responded, directed
        As in `teamlink.networks.describe`.

    Returns
    -------
    pandas.DataFrame
        A row a person, sorted by school and person: the columns of `by`, that of `node`,
        ``responded``; ``outdegree`` (missing for those who did not answer) and ``indegree``, or
        ``degree`` where ties have no direction; with weights also the sums of them,
        ``outstrength`` and ``instrength``, or ``strength``; ``betweenness``, the number of
        shortest paths between others that pass this person; ``component``, numbered within the
        school.

    Raises
    ------
    DataError
        As in `teamlink.networks.describe`.

    Examples
    --------
    >>> import teamlink as tl
    >>> ties = {"source": ["Ann", "Bob", "Cem"], "target": ["Bob", "Cem", "Bob"]}
    >>> staff = {"node": ["Ann", "Bob", "Cem", "Dov"], "answered": [1, 1, 1, 0]}
    >>> tl.networks.nodes(ties, roster=staff, responded="answered")
      node  responded  outdegree  indegree  betweenness  component
    0  Ann       True        1.0         0          0.0          0
    1  Bob       True        1.0         2          1.0          0
    2  Cem       True        1.0         1          0.0          0
    3  Dov      False        NaN         0          0.0          1
    """
    nets = read_networks(edges, by, source, target, weight, roster, node, responded, directed)
    school = pd.DataFrame({name: nets.people.get_level_values(name) for name in nets.by})
    table = school.assign(**{node: np.asarray(nets.names), "responded": nets.responded})
    out, into = _degrees(nets)
    table = table.assign(**_by_direction(nets, out, into, "degree"))
    if nets.weighted:
        table = table.assign(**_by_direction(nets, *_degrees(nets, nets.weight), "strength"))
    label, _ = components(nets, nets.adjacency(), "weak")
    first = np.searchsorted(nets.school, np.arange(len(nets.levels)))
    _, start, dense = np.unique(label, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(start))[dense]  # in the order of their first persons
    inside = rank - np.minimum.reduceat(rank, first)[nets.school]
    return table.assign(betweenness=betweenness(nets), component=inside)


def _degrees(nets: Networks, values: Array | None = None) -> tuple[Array, Array]:
    """Sums (N,) over the ties that a person sends and receives."""
    A = nets.adjacency(values)
    out, into = (np.asarray(A.sum(axis=k), dtype=float).ravel() for k in (1, 0))
    return out, into


def _by_direction(nets: Networks, out: Array, into: Array, word: str) -> dict[str, Array]:
    """Columns of the table of people; what those who did not answer send is unknown."""
    if not nets.directed:
        return {word: out if word == "strength" else out.astype(np.int64)}
    sent = np.where(nets.responded, out, np.nan)
    if word == "strength":
        return {"outstrength": sent, "instrength": into}
    return {"outdegree": sent, "indegree": into.astype(np.int64)}


def _centralizations(nets: Networks, out: Array, into: Array) -> dict[str, Array]:
    n = nets.sizes.astype(float)
    star, half = (n - 1) ** 2, (n - 1) * (n - 2)
    paths = star * (n - 2)
    if nets.directed:
        whole, receiving, sending = out + into, star, star
        largest = 2 * half
    else:
        whole, receiving, sending = out, half, half
        largest, paths = half, paths / 2
    return {
        "degree_centralization": centralization(nets, whole, largest),
        "indegree_centralization": centralization(nets, into, receiving),
        "outdegree_centralization": centralization(nets, out, sending),
        "betweenness_centralization": centralization(nets, betweenness(nets), paths),
    }
