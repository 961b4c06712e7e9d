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
from teamlink.structural.discrepancy import CompleteData
from teamlink.structural.implied import Moments
from teamlink.structural.incomplete import MissingData
from teamlink.structural.nested import NestedData
from teamlink.typing import Array, Mask

if TYPE_CHECKING:
    from teamlink.structural.model import StructuralModel

__all__ = ["enough_units", "reweighted", "units"]


def units(model: StructuralModel) -> tuple[int, ...]:
    """How many independent units each group has."""
    seen = model.observations
    if seen.clusters is None:
        return tuple(len(values) for values in seen.values)
    return tuple(seen.n_clusters)


def _by_group(model: StructuralModel, weights: Array) -> list[Array]:
    """The weights (R, J) of the units of each group."""
    return np.split(weights, np.cumsum(units(model))[:-1], axis=1)


def enough_units(model: StructuralModel, weights: Array) -> Mask:
    """Which weightings (R, J) leave every group more units than it has variables, (R,)."""
    levels = len(model.structure.table.levels)
    found: Mask = np.ones(len(weights), dtype=np.bool_)
    for g, own in enumerate(_by_group(model, weights)):
        most = max(block.p for block in model.structure.blocks[g * levels : (g + 1) * levels])
        found &= (own > 0).sum(axis=1) > most
    return found


def reweighted(model: StructuralModel, weights: Array, theta: Array) -> StructuralModel:
    """The model under weightings of its units; the search starts at theta.

    Parameters
    ----------
    model : StructuralModel of one replicate
    weights : (R, J) the units of all groups, one group after the other
    theta : (k,)
    """
    x = model.parameters(theta[None])
    first = np.broadcast_to(x, (1, len(weights), x.shape[1]))
    by_group = _by_group(model, weights)
    likelihood = model.likelihood
    if isinstance(likelihood, NestedData):
        return _nested(model, likelihood, by_group, first)
    seen = model.observations
    rows = (
        by_group
        if seen.clusters is None
        else [own[:, codes] for own, codes in zip(by_group, seen.clusters, strict=True)]
    )
    values = [
        Y[:, seen.columns(block.observed)]
        for Y, block in zip(seen.values, model.structure.blocks, strict=True)
    ]
    if isinstance(likelihood, CompleteData):
        found = tuple(weighted_samples(Y, w) for Y, w in zip(values, rows, strict=True))
        sample = tuple(Moments(one.covariance, one.mean) for one in found)
        changed: CompleteData | MissingData = replace(likelihood, groups=found)
    else:
        assert isinstance(likelihood, MissingData)
        changed = MissingData(
            tuple(
                moments_by_pattern(Y, find_patterns(Y), w)
                for Y, w in zip(values, rows, strict=True)
            )
        )
        sample = tuple(
            _with_exogenous(own, Y, w, [roles.observed.index(name) for name in roles.exogenous])
            for own, Y, w, roles in zip(
                model.sample, values, rows, model.structure.table.roles, strict=True
            )
        )
    from teamlink.structural.estimation import exogenous_deviance

    sizes = [w.sum(axis=1) for w in rows]
    offset = exogenous_deviance(model.structure.table, sample, sizes)
    return replace(model, likelihood=changed, sample=sample, offset=offset, first=first)


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


def _nested(
    model: StructuralModel, likelihood: NestedData, weights: list[Array], first: Array
) -> StructuralModel:
    from teamlink.structural.binding import nested_deviance

    table = model.structure.table
    groups = tuple(
        group.weighted(own) for group, own in zip(likelihood.groups, weights, strict=True)
    )
    changed = NestedData(groups)
    sample: list[Moments] = []
    for g, (group, own) in enumerate(zip(groups, weights, strict=True)):
        within, between = table.roles[2 * g], table.roles[2 * g + 1]
        shared = {*within.exogenous, *between.exogenous} & {*within.observed} & {*between.observed}
        if shared and table.conventions.fixed_x:
            # What is exogenous at both levels has the moments of the saturated model.
            sample += group.places.blocks(group.saturated().moments)
            continue
        seen = model.observations
        rows = own[:, seen.clusters[g]] if seen.clusters is not None else own
        Y = seen.values[g][:, seen.columns(within.observed)]
        x = [within.observed.index(name) for name in within.exogenous]
        sample.append(_with_exogenous(model.sample[2 * g], Y, rows, x))
        own_z = [name for name in between.exogenous if name not in within.observed]
        stats = likelihood.groups[g]
        z = stats.clusters.z if stats.clusters is not None else stats.cells.z  # type: ignore[union-attr]
        filled = np.zeros((len(z), len(between.observed)))
        filled[:, stats.places.own_b] = z
        place = [between.observed.index(name) for name in own_z]
        sample.append(_with_exogenous(model.sample[2 * g + 1], filled, own, place))
    offset = nested_deviance(table, changed, sample)
    return replace(model, likelihood=changed, sample=tuple(sample), offset=offset, first=first)
