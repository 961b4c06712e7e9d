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
from teamlink.structural.observations import Observations, add_singular, check_moments
from teamlink.structural.parameters import ParameterTable
from teamlink.structural.saturated import saturated_clusterwise, saturated_normal
from teamlink.typing import Array, Codes

__all__ = [
    "exogenous_complete",
    "incomplete_likelihood",
    "nested_deviance",
    "nested_likelihood",
    "of_clusters",
]


def exogenous_complete(table: ParameterTable, seen: Observations) -> Observations:
    """Leave out rows in which a fixed exogenous variable is missing: it has no likelihood.

    Warns
    -----
    DroppedRows
    """
    if not table.conventions.fixed_x:
        return seen
    exogenous = [name for roles in table.roles for name in roles.exogenous]
    names = list(dict.fromkeys([*exogenous, *(slope.predictor for slope in table.slopes)]))
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
        slopes = [slope for slope in table.slopes if slope.group == g + 1]
        places = LevelMap.of(within, between, slopes)
        codes, J = seen.clusters[g], seen.n_clusters[g]
        names = [within[k] for k in places.own_w]
        Y = seen.values[g][:, seen.columns(names)]
        own = [between[k] for k in places.own_b]
        rows = seen.values[g][:, seen.columns(own)]
        where = f" in group {label!r}" if label else ""
        z = of_clusters(rows, codes, J, own, where, faults)
        _check_variation(Y, codes, names, where, faults)
        if J < 2:
            faults.add(f"{J} cluster{where}", "the data", "two levels need more")
        if faults:
            continue
        given = table.roles[2 * g].exogenous if slopes and table.conventions.fixed_x else ()
        _check_levels(Y, z, codes, names, own, where, faults, given)
        if faults:
            continue
        _warn_few(J, len(between), where)
        if slopes:
            x = seen.values[g][:, seen.columns([slope.predictor for slope in slopes])]
            groups.append(NestedGroup.incomplete(places, cluster_cells(Y, z, codes, J, x)))
        elif fiml and (np.isnan(Y).any() or np.isnan(z).any()):
            groups.append(NestedGroup.incomplete(places, cluster_cells(Y, z, codes, J)))
        else:
            groups.append(NestedGroup.complete(places, cluster_moments(Y, z, codes, J)))
    faults.raise_if_any(DesignError)
    return NestedData(tuple(groups)), _saturated_blocks(table, groups)


def _saturated_blocks(table: ParameterTable, groups: Sequence[NestedGroup]) -> tuple[Moments, ...]:
    """Saturated moments of every block."""
    sample: list[Moments] = []
    for g, (group, label) in enumerate(zip(groups, table.groups, strict=True)):
        slopes = [slope for slope in table.slopes if slope.group == g + 1]
        if slopes:
            within = table.roles[2 * g].observed
            y = [within[k] for k in group.places.own_w]
            outcomes = [y.index(s.outcome) if s.outcome in y else -1 for s in slopes]
            sample += _rough_blocks(group, outcomes)
            continue
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


def _rough_blocks(group: NestedGroup, outcomes: Sequence[int]) -> tuple[Moments, Moments]:
    """Moments to start from where slopes are random: there is no saturated model.

    `outcomes` are the places in y of what each slope acts on, -1 for a factor.
    """
    assert group.cells is not None
    cells, places = group.cells, group.places
    plain = replace(cells, gram=cells.gram[:, :1, :1], cross=cells.cross[:, :1])
    m = len(places.effects_b) + len(places.own_b)
    rest = np.setdiff1d(np.arange(m), places.slope_b)
    apart = LevelMap(
        np.arange(places.p), places.product_w[:0], places.both,
        np.searchsorted(rest, places.both_b), np.searchsorted(rest, places.own_b),
        places.slope_b[:0],
    )  # fmt: skip
    found = saturated_clusterwise(plain, places.varies_at_both).moments
    inner, outer = apart.blocks(found)
    v, p = places.p + len(places.product_w), places.p
    within, mean = np.zeros((1, v, v)), np.zeros((1, v))
    y, d = places.own_w, places.product_w
    within[:, y[:, None], y], mean[:, y] = inner.Sigma[:, :p, :p], inner.mu[:, :p]
    within[:, d, d] = 1.0
    between, mean_b = np.zeros((1, m, m)), np.zeros((1, m))
    between[:, rest[:, None], rest], mean_b[:, rest] = outer.Sigma, outer.mu
    total = cells.gram.sum(axis=0)
    spread = np.diag(total)[1:] / total[0, 0] - (total[0, 1:] / total[0, 0]) ** 2
    products = cells.cross.sum(axis=0)
    shared = products[1:] - np.outer(total[0, 1:], products[0]) / total[0, 0]
    for k, i in enumerate(outcomes):
        slope = places.slope_b[k]
        variance = np.diagonal(within[0])[y[i]] if i >= 0 else 1.0
        between[:, slope, slope] = 0.05 * variance / max(spread[k], 1e-300)
        if i >= 0:
            mean_b[:, slope] = shared[k, i] / (total[0, 0] * max(spread[k], 1e-300))
            within[:, y[i], y[i]] += 1.0
            within[:, y[i], d[k]] = within[:, d[k], y[i]] = 1.0
    return Moments(within, mean), Moments(between, mean_b)


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
    for name in np.array(names, dtype=object)[~seen.any(axis=0)]:
        faults.add("every value is missing", f"column {name!r}{where}", "leave it out")
    pairs = seen.T.astype(float) @ seen.astype(float)
    for i, j in zip(*np.nonzero(np.tril(pairs == 0, -1)), strict=True):
        if seen[:, i].any() and seen[:, j].any():
            faults.add(
                "they are never observed together", f"columns {names[j]!r} and {names[i]!r}{where}",
                "their covariance is not determined",
            )  # fmt: skip
    faults.raise_if_any(DesignError)


def of_clusters(
    rows: Array, codes: Codes, J: int, names: Sequence[str], where: str, faults: Faults
) -> Array:
    """The value (J, q) of each cluster."""
    order, starts = _sorted(codes)
    z, high = np.fmin.reduceat(rows[order], starts), np.fmax.reduceat(rows[order], starts)
    for k, name in enumerate(names):
        varies = np.flatnonzero(high[:, k] > z[:, k])
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
    Y: Array, codes: Codes, names: Sequence[str], where: str, faults: Faults
) -> None:
    """Refuse variables of the rows that do not vary within any cluster."""
    order, starts = _sorted(codes)
    low, high = np.fmin.reduceat(Y[order], starts), np.fmax.reduceat(Y[order], starts)
    varies = (high > low).any(axis=0)
    for name in np.array(names, dtype=object)[~varies]:
        faults.add(
            "it does not vary within any cluster, yet stands in level 1",
            f"column {name!r}{where}", "name it in level 2 only",
        )  # fmt: skip


def _check_levels(
    Y: Array, z: Array, codes: Codes, names: Sequence[str], own: Sequence[str], where: str,
    faults: Faults, given: Sequence[str] = (),
) -> None:  # fmt: skip
    """Refuse variables that determine each other, within clusters or between them.

    Those given are looked at apart: a predictor with a random slope may be a mediator's deviation
    from its mean, which the mediator determines. There the other variables are modelled given it,
    and no saturated model has both. Where values are missing, rows and clusters that lack none are
    looked at, if they are enough.
    """
    whole = ~np.isnan(Y).any(axis=1)
    order, starts = _sorted(codes[whole])
    rest = Y[whole][order]
    sizes = np.diff(starts, append=len(rest))
    rest = rest - rest[np.repeat(starts, sizes)]
    rest = rest - np.repeat(np.add.reduceat(rest, starts) / sizes[:, None], sizes, axis=0)
    n = len(rest) - len(starts)
    if names and (whole.all() or n > len(names)):
        inside = f"the data within clusters{where}"
        S = rest.T @ rest / max(n, 1)
        is_given = np.isin(np.array(names, dtype=object), np.array(given, dtype=object))
        for part in (np.flatnonzero(~is_given), np.flatnonzero(is_given)):
            chosen = [names[int(k)] for k in part]
            counted = f"{n} rows beyond one a cluster"
            add_singular(faults, S[np.ix_(part, part)], counted, n, chosen, inside)
    known = z[~np.isnan(z).any(axis=1)]
    if own and (len(known) == len(z) or len(known) > len(own)):
        about = known - known.mean(axis=0)
        S = about.T @ about / len(known)
        counted = f"{len(known)} clusters"
        add_singular(faults, S, counted, len(known), own, f"the data between clusters{where}")


def _sorted(codes: Codes) -> tuple[Codes, Codes]:
    """Rows in the order of their clusters, and where each cluster begins among them."""
    order = np.argsort(codes, kind="stable")
    return order, np.flatnonzero(np.diff(codes[order], prepend=-1))


def _warn_few(n_clusters: int, p: int, where: str) -> None:
    if n_clusters <= p + 1:
        warnings.warn(
            f"{n_clusters} clusters{where} for {p} variables between them: their covariance is "
            "hardly identified",
            FewGroups,
            stacklevel=5,
        )
