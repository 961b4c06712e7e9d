"""A model of structural equations under other weightings of its independent units.

The units are clusters, or rows where there are none. A weighting changes the sufficient statistics
and nothing else, so a bootstrap draw touches no row: sums by cluster size, by pattern, or over all
rows are taken anew with other weights, for many draws at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from teamlink.moments.covariances import find_patterns, moments_by_pattern
from teamlink.moments.samples import weighted_samples
from teamlink.structural.implied import Moments
from teamlink.structural.incomplete import MissingData
from teamlink.structural.nested import NestedData
from teamlink.typing import Array, Mask

if TYPE_CHECKING:
    from teamlink.structural.model import StructuralModel

__all__ = ["enough_clusters", "reweighted_clusters", "reweighted_patterns"]


def _by_group(model: StructuralModel, weights: Array) -> list[Array]:
    """The weights (R, J) of the clusters of each group."""
    return np.split(weights, np.cumsum(model.observations.n_clusters)[:-1], axis=1)


def enough_clusters(model: StructuralModel, weights: Array) -> Mask:
    """Which weightings (R, J) leave every group more clusters than it has variables, (R,)."""
    found: Mask = np.ones(len(weights), dtype=np.bool_)
    for g, own in enumerate(_by_group(model, weights)):
        most = max(block.p for block in model.structure.blocks[2 * g : 2 * g + 2])
        found &= (own > 0).sum(axis=1) > most
    return found


def reweighted_patterns(
    model: StructuralModel, rows: Sequence[Array], theta: Array
) -> StructuralModel:
    """A model of rows with missing values under other weights; the search starts at theta.

    Parameters
    ----------
    model : StructuralModel of one replicate
    rows : per group (R, n_g) how often each row counts
    theta : (k,)
    """
    from teamlink.structural.estimation import exogenous_deviance

    seen, table = model.observations, model.structure.table
    groups, sample = [], []
    for Y, w, block, roles, own in zip(
        seen.values, rows, model.structure.blocks, table.roles, model.sample, strict=True
    ):
        values = Y[:, seen.columns(block.observed)]
        groups.append(moments_by_pattern(values, find_patterns(values), w))
        x = [roles.observed.index(name) for name in roles.exogenous]
        sample.append(_with_exogenous(own, values, w, x))
    offset = exogenous_deviance(table, sample, [w.sum(axis=1) for w in rows])
    return replace(
        model, likelihood=MissingData(tuple(groups)), sample=tuple(sample), offset=offset,
        first=_first(model, theta, len(offset)),
    )  # fmt: skip


def _first(model: StructuralModel, theta: Array, R: int) -> Array:
    """Parameters (2, R, q) to start from: those of the fit, and those it started from."""
    x = model.parameters(theta[None])
    return np.stack([np.repeat(x, R, axis=0), np.tile(model.first[0, 0], (R, 1))])


def _with_exogenous(own: Moments, Y: Array, weights: Array, x: Sequence[int]) -> Moments:
    """Moments (R,) that for exogenous variables, which are complete, are those of the weighting."""
    R = len(weights)
    Sigma, mu = np.repeat(own.Sigma[:1], R, axis=0), np.repeat(own.mu[:1], R, axis=0)
    if x:
        place = np.array(x)
        found = weighted_samples(Y[:, place], weights)
        Sigma[:, place[:, None], place] = found.covariance
        mu[:, place] = found.mean
    return Moments(Sigma, mu)


def reweighted_clusters(model: StructuralModel, weights: Array, theta: Array) -> StructuralModel:
    """A two-level model under other weights of its clusters; the search starts at theta.

    Parameters
    ----------
    model : StructuralModel of one replicate
    weights : (R, J) clusters of all groups, one group after the other
    theta : (k,)
    """
    from teamlink.structural.binding import nested_deviance

    likelihood, table = model.likelihood, model.structure.table
    assert isinstance(likelihood, NestedData)
    by_group = _by_group(model, weights)
    groups = tuple(
        group.weighted(own) for group, own in zip(likelihood.groups, by_group, strict=True)
    )
    changed = NestedData(groups)
    sample: list[Moments] = []
    for g, (group, own) in enumerate(zip(groups, by_group, strict=True)):
        within, between = table.roles[2 * g], table.roles[2 * g + 1]
        shared = {*within.exogenous, *between.exogenous} & {*within.observed} & {*between.observed}
        if shared and table.conventions.fixed_x and not table.slopes:
            # What is exogenous at both levels has the moments of the saturated model.
            sample += group.places.blocks(group.saturated().moments)
            continue
        seen = model.observations
        assert seen.clusters is not None
        rows = own[:, seen.clusters[g]]
        Y = np.zeros((rows.shape[1], len(within.observed)))
        names = [within.observed[k] for k in group.places.own_w]
        Y[:, group.places.own_w] = seen.values[g][:, seen.columns(names)]
        x = [within.observed.index(name) for name in within.exogenous if name not in shared]
        sample.append(_with_exogenous(model.sample[2 * g], Y, rows, x))
        own_z = [name for name in between.exogenous if name not in within.observed]
        filled = np.zeros((own.shape[1], len(between.observed)))
        filled[:, group.places.own_b] = group.z
        place = [between.observed.index(name) for name in own_z]
        sample.append(_with_exogenous(model.sample[2 * g + 1], filled, own, place))
    offset = nested_deviance(table, changed, sample)
    return replace(
        model,
        likelihood=changed,
        sample=tuple(sample),
        offset=offset,
        first=_first(model, theta, len(weights)),
    )
