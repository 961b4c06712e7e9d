"""Rows to statistics, where values are missing or rows are nested in clusters."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from teamlink.errors import BoundaryFit, DesignError, DroppedRows, Faults, FewGroups
from teamlink.moments.cells import cluster_cells
from teamlink.moments.clusters import cluster_moments
from teamlink.moments.covariances import find_patterns, moments_by_pattern
from teamlink.structural.implied import Moments
from teamlink.structural.incomplete import MissingData
from teamlink.structural.nested import LevelMap, NestedData, NestedGroup
from teamlink.structural.observations import Observations, check_moments
from teamlink.structural.parameters import ParameterTable
from teamlink.structural.saturated import saturated_normal
from teamlink.typing import Array, Codes

__all__ = [
    "exogenous_complete",
    "incomplete_likelihood",
    "nested_deviance",
    "nested_likelihood",
]


def exogenous_complete(table: ParameterTable, seen: Observations) -> Observations:
    """Leave out rows in which a fixed exogenous variable is missing: it has no likelihood.

    Warns
    -----
    DroppedRows
    """
    if not table.conventions.fixed_x:
        return seen
    names = list(dict.fromkeys(name for roles in table.roles for name in roles.exogenous))
    columns = seen.columns(names)
    keep = [~np.isnan(values[:, columns]).any(axis=1) for values in seen.values]
    gone = sum(int((~own).sum()) for own in keep)
    if not gone:
        return seen
    warnings.warn(
        f"{gone} of {seen.n_rows} rows left out because an exogenous variable is missing "
        f"({', '.join(names)}); fixed_x=False models them instead",
        DroppedRows,
        stacklevel=4,
    )
    kept = np.sort(np.concatenate([r[k] for r, k in zip(seen.rows, keep, strict=True)]))
    clusters, counts = seen.clusters, seen.n_clusters
    if clusters is not None:
        renamed = [
            np.unique(codes[k], return_inverse=True)
            for codes, k in zip(clusters, keep, strict=True)
        ]
        clusters = tuple(codes.astype(np.intp) for _, codes in renamed)
        counts = tuple(len(levels) for levels, _ in renamed)
    dropped = dict(seen.dropped) | {"exogenous variables": gone}
    return replace(
        seen,
        values=tuple(values[k] for values, k in zip(seen.values, keep, strict=True)),
        rows=tuple(np.searchsorted(kept, r[k]) for r, k in zip(seen.rows, keep, strict=True)),
        index=seen.index[kept],
        clusters=clusters,
        n_clusters=counts,
        dropped=dropped,
    )


def incomplete_likelihood(
    table: ParameterTable, seen: Observations
) -> tuple[MissingData, tuple[Moments, ...]]:
    """The likelihood of rows with missing values, and the saturated moments of each group.

    Raises
    ------
    DesignError
        A variable is never observed, or the moments are singular.
    """
    groups, sample, sizes = [], [], []
    for values, roles, label in zip(seen.values, table.roles, table.groups, strict=True):
        Y = values[:, seen.columns(roles.observed)]
        _check_observed(Y, roles.observed, label)
        own = moments_by_pattern(Y, find_patterns(Y))
        found = saturated_normal(own)
        groups.append(own)
        sample.append(Moments(found.Sigma, found.mu))
        sizes.append(len(Y))
    check_moments(
        [one.Sigma[0] for one in sample], sizes, [own.observed for own in table.roles],
        table.groups,
    )  # fmt: skip
    return MissingData(tuple(groups)), tuple(sample)


def nested_likelihood(
    table: ParameterTable, seen: Observations, fiml: bool
) -> tuple[NestedData, tuple[Moments, ...]]:
    """The likelihood of clustered rows, and the saturated moments of each block.

    Raises
    ------
    DesignError
        A variable of the clusters varies within them, or one of the rows does not; every fault is
        listed.

    Warns
    -----
    FewGroups, BoundaryFit
    """
    assert seen.clusters is not None
    faults = Faults()
    groups: list[NestedGroup] = []
    for g, label in enumerate(table.groups):
        within, between = table.roles[2 * g].observed, table.roles[2 * g + 1].observed
        places = LevelMap.of(within, between)
        codes, J = seen.clusters[g], seen.n_clusters[g]
        Y = seen.values[g][:, seen.columns(within)]
        own = [between[k] for k in places.own_b]
        rows = seen.values[g][:, seen.columns(own)]
        where = f" in group {label!r}" if label else ""
        z = _of_clusters(rows, codes, J, own, where, faults)
        _check_variation(Y, codes, J, within, where, faults)
        if J < 2:
            faults.add(f"{J} cluster{where}", "the data", "two levels need more")
        if faults:
            continue
        _warn_few(J, len(between), where)
        if fiml and (np.isnan(Y).any() or np.isnan(z).any()):
            groups.append(NestedGroup.incomplete(places, cluster_cells(Y, z, codes, J)))
        else:
            groups.append(NestedGroup.complete(places, cluster_moments(Y, z, codes, J)))
    faults.raise_if_any(DesignError)
    return NestedData(tuple(groups)), _saturated_blocks(table, groups)


def _saturated_blocks(table: ParameterTable, groups: Sequence[NestedGroup]) -> tuple[Moments, ...]:
    """Saturated moments of every block."""
    sample: list[Moments] = []
    for group, label in zip(groups, table.groups, strict=True):
        found = group.saturated()
        if found.boundary[0]:
            where = f" of group {label!r}" if label else ""
            warnings.warn(
                f"the saturated model{where} has a singular covariance between clusters: fewer "
                "directions vary there than the model has variables, and scaled tests are not to "
                "be trusted",
                BoundaryFit,
                stacklevel=5,
            )
        sample += group.places.blocks(found.moments)
    return tuple(sample)


def nested_deviance(
    table: ParameterTable, likelihood: NestedData, sample: Sequence[Moments]
) -> Array:
    """Minus twice the log-likelihood (R,) of fixed exogenous variables of one level only.

    That of a variable at both levels does not factor off, so it stays in.
    """
    total = np.zeros(len(sample[0].Sigma))
    if not table.conventions.fixed_x:
        return total
    for g, group in enumerate(likelihood.groups):
        stats = group.sizes
        if stats is not None:
            n_rows, n_clusters = stats.rows, stats.clusters
        else:
            assert group.cells is not None
            n_rows = group.cells.counts().sum(axis=1)
            n_clusters = group.cells.weights.sum(axis=1)
        above = table.roles[2 * g + 1].observed
        for b, n in ((2 * g, n_rows), (2 * g + 1, n_clusters)):
            roles = table.roles[b]
            other = above if b % 2 == 0 else table.roles[2 * g].observed
            x = [roles.observed.index(name) for name in roles.exogenous if name not in other]
            if x:
                S = sample[b].Sigma[:, x][:, :, x]
                total += n * (len(x) * (np.log(2 * np.pi) + 1) + np.linalg.slogdet(S)[1])
    return total


def _check_observed(Y: Array, names: Sequence[str], label: str) -> None:
    """Refuse variables of which nothing is observed, and pairs never observed together."""
    faults = Faults()
    seen = ~np.isnan(Y)
    where = f" in group {label!r}" if label else ""
    for name in np.array(names)[~seen.any(axis=0)]:
        faults.add("every value is missing", f"column {name!r}{where}", "leave it out")
    pairs = seen.T.astype(float) @ seen.astype(float)
    for i, j in zip(*np.nonzero(np.tril(pairs == 0, -1)), strict=True):
        if seen[:, i].any() and seen[:, j].any():
            faults.add(
                "they are never observed together", f"columns {names[j]!r} and {names[i]!r}{where}",
                "their covariance is not determined",
            )  # fmt: skip
    faults.raise_if_any(DesignError)


def _of_clusters(
    rows: Array, codes: Codes, J: int, names: Sequence[str], where: str, faults: Faults
) -> Array:
    """The value (J, q) of each cluster."""
    low, high = np.full((J, len(names)), np.inf), np.full((J, len(names)), -np.inf)
    np.fmin.at(low, codes, rows)
    np.fmax.at(high, codes, rows)
    z = np.where(np.isfinite(low), low, np.nan)
    for k, name in enumerate(names):
        varies = np.flatnonzero(high[:, k] > low[:, k])
        if varies.size:
            faults.add(
                f"it varies within {varies.size} of {J} clusters, yet stands in level 2 only",
                f"column {name!r}{where}", "aggregate it, or name it in level 1 too",
            )  # fmt: skip
        elif np.isnan(z[:, k]).all():
            faults.add("every value is missing", f"column {name!r}{where}", "leave it out")
        elif np.nanmax(z[:, k]) == np.nanmin(z[:, k]):
            faults.add("it is constant", f"column {name!r}{where}", "leave it out")
    return z


def _check_variation(
    Y: Array, codes: Codes, J: int, names: Sequence[str], where: str, faults: Faults
) -> None:
    """Refuse variables of the rows that do not vary within any cluster."""
    low, high = np.full((J, Y.shape[1]), np.inf), np.full((J, Y.shape[1]), -np.inf)
    np.fmin.at(low, codes, Y)
    np.fmax.at(high, codes, Y)
    with np.errstate(invalid="ignore"):
        varies = (high > low).any(axis=0)
    for name in np.array(names)[~varies]:
        faults.add(
            "it does not vary within any cluster, yet stands in level 1",
            f"column {name!r}{where}", "name it in level 2 only",
        )  # fmt: skip


def _warn_few(n_clusters: int, p: int, where: str) -> None:
    if n_clusters <= p + 1:
        warnings.warn(
            f"{n_clusters} clusters{where} for {p} variables between them: their covariance is "
            "hardly identified",
            FewGroups,
            stacklevel=5,
        )
