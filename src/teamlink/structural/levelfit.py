"""How well a model fits each level: residual correlations, intraclass correlations, baselines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from teamlink.moments.cells import ClusterCells
from teamlink.moments.clusters import ClusterMoments, SizeMoments, moments_by_size
from teamlink.moments.covariances import PatternMoments
from teamlink.structural.levels import LevelMoments
from teamlink.structural.outset import location
from teamlink.structural.saturated import (
    Saturated,
    SaturatedNormal,
    saturated_clusterwise,
    saturated_normal,
    saturated_two_level,
)
from teamlink.typing import Array, Codes, Mask

__all__ = [
    "baseline_clusterwise",
    "baseline_normal",
    "baseline_two_level",
    "intraclass_correlations",
    "srmr",
    "srmr_between",
    "srmr_within",
]

_NONE = np.zeros(0, dtype=np.intp)


def srmr(saturated: Array, implied: Array) -> Array:
    """Root mean square difference of correlations, each matrix scaled by its own variances.

    Parameters
    ----------
    saturated, implied : (R, p, p) covariances

    Returns
    -------
    (R,)

    Notes
    -----
    The mean is over the p (p + 1) / 2 elements on and below the diagonal. Where a variance is not
    positive there is no correlation, and the result is missing.
    """
    p = saturated.shape[-1]
    lower = np.tril_indices(p)
    difference = (_correlations(saturated) - _correlations(implied))[:, lower[0], lower[1]]
    found: Array = np.sqrt((difference**2).mean(axis=1))
    return found


def srmr_within(saturated: LevelMoments, implied: LevelMoments) -> Array:
    """The residual correlations within clusters, (R,)."""
    return srmr(saturated.Sigma_w, implied.Sigma_w)


def srmr_between(saturated: LevelMoments, implied: LevelMoments, both: Mask) -> Array:
    """The residual correlations between clusters, of z and of what varies at both levels, (R,)."""
    return srmr(_joint(saturated, both), _joint(implied, both))


def intraclass_correlations(saturated: LevelMoments, both: Mask) -> Array:
    """Share of variance that lies between clusters, (R, b), of what varies at both levels."""
    between = np.diagonal(saturated.Sigma_b, axis1=-2, axis2=-1)[:, both]
    within = np.diagonal(saturated.Sigma_w, axis1=-2, axis2=-1)[:, both]
    return between / (between + within)


def baseline_normal(moments: PatternMoments, kept: Mask) -> SaturatedNormal:
    """Fit the one-level model in which only the kept variables covary.

    Parameters
    ----------
    moments : PatternMoments of R replicates
    kept : (p,) variables that covary with each other, as exogenous ones do
    """
    R, p = len(moments.n), len(kept)
    mu, Sigma = np.zeros((R, p)), np.zeros((R, p, p))
    blocks = [np.flatnonzero(kept)] * bool(kept.any())
    blocks += [np.array([k]) for k in np.flatnonzero(~kept)]
    parts = []
    for block in blocks:
        seen = moments.observed[:, block]
        some = seen.any(axis=1)
        picked = PatternMoments(
            seen[some], moments.n[:, some], moments.mean[:, some][..., block],
            moments.cov[:, some][..., block[:, None], block],
        )  # fmt: skip
        part = saturated_normal(picked)
        mu[:, block] = part.mu
        Sigma[:, block[:, None], block] = part.Sigma
        parts.append(part)
    return SaturatedNormal(
        np.sum([part.deviance for part in parts], axis=0), mu, Sigma,
        np.max([part.gradient for part in parts], axis=0),
        np.all([part.converged for part in parts], axis=0),
        np.max([part.iterations for part in parts], axis=0),
    )  # fmt: skip


def baseline_two_level(stats: SizeMoments, both: Mask, kept_y: Mask, kept_z: Mask) -> Saturated:
    """Fit the two-level model in which only the kept variables covary, to complete data.

    Parameters
    ----------
    stats : SizeMoments of R replicates
    both : (p,) which variables vary at both levels
    kept_y, kept_z : (p,), (q,) variables that covary with each other, as exogenous ones do; every
        other variable has a mean, and a variance a level

    Returns
    -------
    Saturated
        The likelihood is a product, so the deviances of the parts are summed.
    """
    R = len(stats.count)
    parts = []
    for z, y in _blocks(kept_y, kept_z):
        if len(z) or len(y) > 1 or kept_y[y].all():
            parts.append((z, y, saturated_two_level(stats.select(z, y), both[y])))
    # Single variables of one kind are one batch.
    for kind in (True, False):
        alone = np.flatnonzero(~kept_y & (both == kind))
        if not len(alone):
            continue
        centre, scale = location(stats)
        unit = [stats.q + alone[k : k + 1] for k in range(len(alone))]
        picked = [stats.select(_NONE, u - stats.q).scaled(centre[u], scale[u]) for u in unit]
        batch = saturated_two_level(_stacked(picked), np.array([kind]))
        for k, u in enumerate(unit):
            some = _replicates(batch, np.arange(k * R, k * R + R))
            some = _in_units(some, stats.rows, float(centre[u[0]]), float(scale[u[0]]))
            parts.append((_NONE, u - stats.q, some))
    return _summed(parts, R, len(both), stats.q)


def _stacked(parts: list[SizeMoments]) -> SizeMoments:
    """Statistics of equal shape, as replicates one after the other."""
    return replace(
        parts[0],
        count=np.concatenate([part.count for part in parts]),
        mean=np.concatenate([part.mean for part in parts]),
        cov=np.concatenate([part.cov for part in parts]),
        within=np.concatenate([part.within for part in parts]),
    )


def _in_units(part: Saturated, rows: Array, centre: float, scale: float) -> Saturated:
    """The model of one standardised variable in that variable's units."""
    m = part.moments
    moments = replace(
        m, mu=centre + scale * m.mu, Sigma_w=scale**2 * m.Sigma_w, Sigma_b=scale**2 * m.Sigma_b
    )
    deviance = part.deviance + 2 * rows * np.log(scale)
    return replace(part, moments=moments, deviance=deviance)


def _replicates(batch: Saturated, index: Codes) -> Saturated:
    """Some of the replicates."""
    return Saturated(
        batch.deviance[index], batch.moments.take(index), batch.gradient[index],
        batch.converged[index], batch.boundary[index], batch.iterations[index],
    )  # fmt: skip


def baseline_clusterwise(cells: ClusterCells, both: Mask, kept_y: Mask, kept_z: Mask) -> Saturated:
    """Fit the two-level model in which only the kept variables covary; values may be missing.

    The parameters are those of `baseline_two_level`, but for the cells.
    """
    parts = []
    for z, y in _blocks(kept_y, kept_z):
        if not len(y):
            parts.append((z, y, _clusters_alone(cells.cluster_variables(z))))
            continue
        picked = cells.select(z, y)
        complete = _complete(picked)
        found = (
            saturated_clusterwise(picked, both[y])
            if complete is None
            else saturated_two_level(complete, both[y])
        )
        parts.append((z, y, found))
    return _summed(parts, len(cells.weights), len(both), cells.z.shape[1])


def _clusters_alone(moments: PatternMoments) -> Saturated:
    """A saturated model of variables of the clusters only."""
    own = saturated_normal(moments)
    R, q = own.mu.shape
    implied = LevelMoments.without_slopes(
        np.zeros((R, 0)), own.mu, np.zeros((R, 0, 0)), np.zeros((R, 0, 0)), np.zeros((R, 0, q)),
        own.Sigma,
    )  # fmt: skip
    return Saturated(
        own.deviance, implied, own.gradient, own.converged, np.zeros(R, dtype=bool), own.iterations
    )


def _complete(cells: ClusterCells) -> SizeMoments | None:
    """The statistics of complete data, where what is there is complete."""
    J, p = len(cells.z), len(cells.shift)
    if len(cells.observed) != 1 or not cells.observed.all() or np.isnan(cells.z).any():
        return None
    if cells.z.shape[1] and len(cells.cluster) < J:
        return None
    n, mean = cells.gram[:, 0, 0], cells.cross[:, 0] / cells.gram[:, :1, 0]
    upper = np.triu_indices(p)
    within = np.empty((len(n), p, p))
    within[:, upper[0], upper[1]] = within[:, upper[1], upper[0]] = cells.second
    within -= n[:, None, None] * mean[:, :, None] * mean[:, None, :]
    own = ClusterMoments(n, mean + cells.shift, cells.z[cells.cluster], within)
    return moments_by_size(own, cells.weights[:, cells.cluster])


def _blocks(kept_y: Mask, kept_z: Mask) -> list[tuple[Codes, Codes]]:
    """Sets (of z, of y) of variables that covary."""
    blocks = [(np.flatnonzero(kept_z), np.flatnonzero(kept_y))]
    blocks += [(_NONE, np.array([k])) for k in np.flatnonzero(~kept_y)]
    blocks += [(np.array([k]), _NONE) for k in np.flatnonzero(~kept_z)]
    return [(z, y) for z, y in blocks if len(z) + len(y)]


def _summed(parts: list[tuple[Codes, Codes, Saturated]], R: int, p: int, q: int) -> Saturated:
    """Independent parts as one."""
    moments = LevelMoments.without_slopes(
        np.zeros((R, p)), np.zeros((R, q)), np.zeros((R, p, p)), np.zeros((R, p, p)),
        np.zeros((R, p, q)), np.zeros((R, q, q)),
    )  # fmt: skip
    for z, y, part in parts:
        places = ((y,), (z,), (y, y), (y, y), (y, z), (z, z))
        for whole, piece, place in zip(moments.arrays, part.moments.arrays, places, strict=False):
            whole[np.ix_(np.arange(R), *place)] = piece
    found = [part for _, _, part in parts]
    return replace(
        found[0],
        deviance=np.sum([part.deviance for part in found], axis=0),
        moments=moments,
        gradient=np.max([part.gradient for part in found], axis=0),
        converged=np.all([part.converged for part in found], axis=0),
        boundary=np.any([part.boundary for part in found], axis=0),
        iterations=np.max([part.iterations for part in found], axis=0),
    )


def _correlations(Sigma: Array) -> Array:
    variance = np.diagonal(Sigma, axis1=-2, axis2=-1)
    scale = np.sqrt(np.where(variance > 0, variance, np.nan))
    found: Array = Sigma / (scale[..., :, None] * scale[..., None, :])
    return found


def _joint(moments: LevelMoments, both: Mask) -> Array:
    """The covariance (R, q + b, q + b) of z and of the effects that vary between clusters."""
    b = np.flatnonzero(both)
    bz = moments.Sigma_bz[:, b]
    top = np.concatenate([moments.Sigma_zz, bz.swapaxes(-1, -2)], axis=-1)
    return np.concatenate(
        [top, np.concatenate([bz, moments.Sigma_b[:, b[:, None], b]], axis=-1)], axis=-2
    )
