"""A model of structural equations with other rows in the place of its own, value by value.

Each replicate's rows become sufficient statistics. Those of patterns of missing values and of
complete clusters stack, so that replicates are fitted as one batch; clusters with missing values
are evaluated one replicate after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from teamlink.errors import DesignError, Faults, OptionError
from teamlink.moments.cells import cluster_cells
from teamlink.moments.clusters import cluster_moments
from teamlink.structural.apart import Apart
from teamlink.structural.binding import of_clusters
from teamlink.structural.discrepancy import Likelihood
from teamlink.structural.implied import Moments
from teamlink.structural.incomplete import MissingData
from teamlink.structural.nested import NestedData, NestedGroup
from teamlink.structural.reweighted import reweighted_clusters, reweighted_patterns
from teamlink.typing import Array

if TYPE_CHECKING:
    from teamlink.structural.model import StructuralModel

__all__ = ["of_each"]


def of_each(model: StructuralModel, rows: Array) -> StructuralModel:
    """The model with rows (R, n, p) in the place of its own, missing where these are missing.

    Raises
    ------
    DesignError
        A variable of the clusters varies within them.
    OptionError
        Other values are missing than in the data, or slopes are random.
    """
    if model.structure.table.slopes:
        raise OptionError("models with random slopes cannot be refitted to new responses")
    seen = model.observations
    for values, own in zip(seen.values, seen.rows, strict=True):
        if (np.isnan(rows[:, own]) != np.isnan(values)).any():
            raise OptionError("other responses are missing than in the data of the fit")
    models = [_of_rows(model, [one[own] for own in seen.rows]) for one in rows]
    return replace(
        model,
        likelihood=_stacked([one.likelihood for one in models]),
        sample=tuple(
            Moments(np.concatenate([o.Sigma for o in own]), np.concatenate([o.mu for o in own]))
            for own in zip(*(one.sample for one in models), strict=True)
        ),
        offset=np.concatenate([one.offset for one in models]),
        first=np.concatenate([one.first for one in models], axis=1),
    )


def _of_rows(model: StructuralModel, values: Sequence[Array]) -> StructuralModel:
    """The model of one replicate's rows, per group (n_g, p)."""
    seen = replace(model.observations, values=tuple(values))
    theta = model.coordinates.backward(model.first[0, :1])[0]
    changed = replace(model, observations=seen)
    if isinstance(model.likelihood, NestedData):
        groups = [_of_group(changed, g, group) for g, group in enumerate(model.likelihood.groups)]
        changed = replace(changed, likelihood=NestedData(tuple(groups)))
        return reweighted_clusters(changed, np.ones((1, sum(seen.n_clusters))), theta)
    return reweighted_patterns(changed, [np.ones((1, len(Y))) for Y in values], theta)


def _of_group(model: StructuralModel, g: int, group: NestedGroup) -> NestedGroup:
    """The statistics of one group's rows, of the kind that it had."""
    seen, places = model.observations, group.places
    assert seen.clusters is not None
    within, between = model.structure.blocks[2 * g : 2 * g + 2]
    codes, J = seen.clusters[g], seen.n_clusters[g]
    Y = seen.values[g][:, seen.columns([within.observed[k] for k in places.own_w])]
    names = [between.observed[k] for k in places.own_b]
    faults = Faults()
    z = of_clusters(seen.values[g][:, seen.columns(names)], codes, J, names, "", faults)
    faults.raise_if_any(DesignError)
    if group.cells is not None:
        return NestedGroup.incomplete(places, cluster_cells(Y, z, codes, J))
    return NestedGroup.complete(places, cluster_moments(Y, z, codes, J))


def _stacked(likelihoods: Sequence[Likelihood]) -> Likelihood:
    """The likelihoods of R data sets with the same holes as one of R replicates."""
    first = likelihoods[0]
    if len(likelihoods) == 1:
        return first
    if isinstance(first, MissingData):
        each = [cast(MissingData, one).groups for one in likelihoods]
        return MissingData(
            tuple(
                replace(
                    own[0], n=np.concatenate([o.n for o in own]),
                    mean=np.concatenate([o.mean for o in own]),
                    cov=np.concatenate([o.cov for o in own]),
                )
                for own in zip(*each, strict=True)
            )
        )  # fmt: skip
    assert isinstance(first, NestedData)
    if any(group.sizes is None for group in first.groups):
        return Apart(tuple(likelihoods))
    nested = [cast(NestedData, one).groups for one in likelihoods]
    return NestedData(tuple(_complete_groups(own) for own in zip(*nested, strict=True)))


def _complete_groups(groups: Sequence[NestedGroup]) -> NestedGroup:
    """One group's statistics by size in R data sets."""
    own = [group.sizes for group in groups if group.sizes is not None]
    sizes = replace(
        own[0], count=np.concatenate([o.count for o in own]),
        mean=np.concatenate([o.mean for o in own]), cov=np.concatenate([o.cov for o in own]),
        within=np.concatenate([o.within for o in own]),
    )  # fmt: skip
    return replace(groups[0], sizes=sizes)
