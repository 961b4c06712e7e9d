"""Factor scores of a two-level model: what the rows say of the factors at each level.

Given its data a cluster's effects have a mean (`clusterwise`), and a factor between clusters is
regressed on these effects and on the cluster's own variables. A factor within clusters is regressed
on what the row has observed less those effects. Both are expectations given all data of the
cluster, the row's own included.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from teamlink.errors import OptionError
from teamlink.moments.cells import cluster_cells
from teamlink.structural.clusterwise import clusterwise_point
from teamlink.structural.implied import Block, Moments, State
from teamlink.structural.inverses import observed_inverses
from teamlink.structural.model import StructuralModel
from teamlink.structural.nested import NestedData, NestedGroup
from teamlink.typing import Array, Codes

__all__ = ["level_scores"]


def level_scores(model: StructuralModel, x: Array) -> pd.DataFrame:
    """Expected factors of every row, at both levels.

    Parameters
    ----------
    model : StructuralModel of two levels
    x : (q,)

    Returns
    -------
    DataFrame
        Indexed as the rows, a column a factor; a factor between clusters has one value a cluster.

    Raises
    ------
    OptionError
        There is no factor, slopes are random, or a variable of the clusters is missing.
    """
    likelihood, seen = model.likelihood, model.observations
    assert isinstance(likelihood, NestedData)
    assert seen.clusters is not None
    if model.structure.table.slopes:
        raise OptionError("factor scores are not offered with random slopes")
    blocks = model.structure.blocks
    columns = list(dict.fromkeys(name for block in blocks for name in block.variables[block.p :]))
    if not columns:
        raise OptionError("the model has no factors, hence no factor scores")
    states = model.states(x[None], np.zeros(1, dtype=np.intp))
    found = np.full((seen.n_rows, len(columns)), np.nan)
    for g, group in enumerate(likelihood.groups):
        if np.isnan(group.z).any():
            raise OptionError("factor scores need complete variables of the clusters")
        within, between = 2 * g, 2 * g + 1
        Y = seen.values[g][:, seen.columns(blocks[within].observed)]
        codes = seen.clusters[g]
        effects = _effects(group, Y, codes, states[within], states[between])
        both = group.places.both
        place_w = group.places.own_w[both]
        own = effects[:, both] - states[within].mu[0, place_w]
        parts = (
            (blocks[within], _within(blocks[within], states[within], Y - effects[codes])),
            (blocks[between], _between(group, blocks[between], states[between], own)[codes]),
        )
        for block, scores in parts:
            place = [columns.index(name) for name in block.variables[block.p :]]
            found[np.ix_(seen.rows[g], np.array(place, dtype=np.intp))] = scores
    return pd.DataFrame(found, index=seen.index, columns=columns)


def _effects(group: NestedGroup, Y: Array, codes: Codes, within: State, between: State) -> Array:
    """Expected means (J, p) of the clusters, given all that they have observed."""
    moments = group.places.joined(
        Moments(within.Sigma, within.mu), Moments(between.Sigma, between.mu)
    )
    cells = cluster_cells(Y, group.z, codes, group.n_clusters)
    expected: Array = clusterwise_point(cells, moments).eta[0] + cells.shift
    return expected


def _within(block: Block, state: State, rest: Array) -> Array:
    """Factors (n, f) within clusters, from rows less their clusters' means."""
    observed, code = np.unique(~np.isnan(rest), axis=0, return_inverse=True)
    W = observed_inverses(state.Sigma, observed).W[0]
    weights = state.C[0, block.p :, : block.p] @ W
    own = np.nan_to_num(rest)
    found = np.empty((len(rest), len(block.variables) - block.p))
    for k, weight in enumerate(weights):
        rows = code.reshape(-1) == k
        found[rows] = own[rows] @ weight.T
    return found + state.mean[0, block.p :]


def _between(group: NestedGroup, block: Block, state: State, parts: Array) -> Array:
    """Factors (J, f) between clusters, from the clusters' parts (J, b) of y, and from z."""
    places = group.places
    rest = np.zeros((len(parts), block.p))
    rest[:, places.own_b] = group.z - state.mu[0, places.own_b]
    rest[:, places.both_b] = parts - state.mu[0, places.both_b]
    # Where no residual varies between clusters this covariance is singular, and so are its data.
    weights = state.C[0, block.p :, : block.p] @ np.linalg.pinv(state.Sigma[0], hermitian=True)
    found: Array = rest @ weights.T + state.mean[0, block.p :]
    return found
