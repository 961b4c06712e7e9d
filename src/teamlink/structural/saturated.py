r"""Saturated models: the best that any model of means and covariances can do.

One level: all means and covariances. Two levels: all means, Sigma_w, and the covariance of the
cluster's variables with the effects of those that vary at both levels. The search runs over
Cholesky roots, in standardised variables, by a trust-region Newton method on the exact Hessian, so
it ends at an optimum and not where progress became slow. It is the optimum over positive
semi-definite matrices; where the covariance between clusters is singular there, it says so.

Variables that vary only within clusters, and the cluster's own, have their moments at the sample's
values wherever they are complete: given those, the likelihood of the rest factors off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from teamlink.fitting.model import Derivatives
from teamlink.fitting.optimize import Optimum, minimize
from teamlink.moments.cells import ClusterCells
from teamlink.moments.clusters import SizeMoments
from teamlink.moments.covariances import PatternMoments
from teamlink.structural.cholesky import RootElements
from teamlink.structural.clusterwise import clusterwise_hessian, clusterwise_point
from teamlink.structural.coordinates import Coordinates
from teamlink.structural.fiml import normal_curvature, normal_point
from teamlink.structural.levels import LevelMoments
from teamlink.structural.outset import (
    Outset,
    cells_outset,
    normal_outset,
    safe_root,
    sizes_outset,
)
from teamlink.structural.twolevel import two_level_hessian, two_level_point
from teamlink.typing import Array, Codes, Mask

__all__ = [
    "Likelihood",
    "Saturated",
    "SaturatedNormal",
    "saturated_clusterwise",
    "saturated_normal",
    "saturated_two_level",
]

_SINGULAR = 1e-6
"""A standardised variance between clusters below this is none: the root has come to zero."""

_GRADIENT = 1e-6
"""The largest slope, in standardised roots, at which the optimum counts as found; more is allowed
in proportion to a deviance beyond 100,000, whose terms leave that much rounding in the slope."""

_EXACT, _STEPS = 1e-8, 4
"""Steps are added until the slope is below the first number, or does not fall, or this often."""

Likelihood = Callable[[LevelMoments, LevelMoments, Codes], tuple[Array, LevelMoments, Array]]
"""Of moments (R,), directions (R, K) and the replicates they belong to: deviance (R,), gradient in
the moments, Hessian (R, K, K) along the directions; in the units and the order of the search."""


@dataclass(frozen=True, slots=True)
class Saturated:
    """The saturated two-level model's optimum, one a replicate.

    Attributes
    ----------
    deviance : (R,) minus twice the log-likelihood, constants included
    moments : LevelMoments (R,)
    gradient : (R,) largest slope in standardised roots
    converged : (R,)
    boundary : (R,) whether the covariance between clusters, given z, is singular
    iterations : (R,)
    """

    deviance: Array
    moments: LevelMoments
    gradient: Array
    converged: Mask
    boundary: Mask
    iterations: Codes


@dataclass(frozen=True, slots=True)
class SaturatedNormal:
    """The saturated one-level model's optimum, one a replicate.

    Attributes
    ----------
    deviance : (R,) minus twice the log-likelihood, constants included
    mu, Sigma : (R, p), (R, p, p)
    gradient : (R,) largest slope in standardised roots
    converged : (R,)
    iterations : (R,)
    """

    deviance: Array
    mu: Array
    Sigma: Array
    gradient: Array
    converged: Mask
    iterations: Codes


def saturated_normal(moments: PatternMoments) -> SaturatedNormal:
    """Means and covariances of largest likelihood, some values missing at random.

    Parameters
    ----------
    moments : PatternMoments of R replicates; every variable observed somewhere

    Returns
    -------
    SaturatedNormal
    """
    p = moments.observed.shape[1]
    centre, scale, first, root = normal_outset(moments)
    scaled = moments.scaled(centre, scale)
    free = RootElements.after(p)

    def objective(theta: Array, index: Codes) -> Derivatives:
        mu, L = theta[:, :p], free.put(root[index], theta[:, p:])
        point = normal_point(scaled.take(index), mu, L @ L.swapaxes(-1, -2))
        ways = free.directions(L)
        R, K = ways.shape[:2]
        dmu = np.zeros((R, p + K, p))
        dmu[:, np.arange(p), np.arange(p)] = 1.0
        dSigma = np.zeros((R, p + K, p, p))
        dSigma[:, p:] = ways
        hessian = normal_curvature(point).second(dmu, dSigma)
        hessian[:, p:, p:] += free.bend(point.Sigma)
        slope = (ways * point.Sigma[:, None]).sum(axis=(-1, -2))
        return Derivatives(point.deviance, np.concatenate([point.mu, slope], axis=1), hessian)

    start = np.concatenate([first, free.read(root)], axis=1)
    found = _polished(objective, minimize(objective, start, radius=0.5, max_iterations=200))
    L = free.put(root, found.theta[:, p:])
    slope = np.abs(found.derivatives.gradient).max(axis=1, initial=0.0)
    seen = moments.n @ moments.observed.astype(float)
    return SaturatedNormal(
        found.derivatives.value + 2 * seen @ np.log(scale),
        centre + scale * found.theta[:, :p],
        np.outer(scale, scale) * (L @ L.swapaxes(-1, -2)),
        slope,
        found.converged & _flat(found),
        found.iterations,
    )


def saturated_two_level(stats: SizeMoments, both: Mask) -> Saturated:
    """Fit the saturated two-level model to complete data.

    Parameters
    ----------
    stats : SizeMoments of R replicates
    both : (p,) which variables vary at both levels; the others vary only within clusters

    Returns
    -------
    Saturated

    Notes
    -----
    A variable that is constant within every cluster has no variance within, and the likelihood no
    maximum; such a variable belongs to the cluster.
    """
    outset = sizes_outset(stats, both)
    scaled = stats.select(outset.order_z, outset.order_y).scaled(
        np.concatenate([outset.centre_z, outset.centre_y]),
        np.concatenate([outset.scale_z, outset.scale_y]),
    )
    units = stats.rows * np.log(outset.scale_y).sum()
    units = 2 * (units + stats.clusters * np.log(outset.scale_z).sum())

    def likelihood(
        moments: LevelMoments, ways: LevelMoments, index: Codes
    ) -> tuple[Array, LevelMoments, Array]:
        point = two_level_point(scaled.take(index), moments)
        return point.deviance + units[index], point.gradient, two_level_hessian(point, ways)

    return _search(likelihood, outset)


def saturated_clusterwise(cells: ClusterCells, both: Mask) -> Saturated:
    """Fit the saturated two-level model where values are missing at random.

    Parameters
    ----------
    cells : ClusterCells of R weightings, without random slopes
    both : (p,) which variables vary at both levels; the others vary only within clusters

    Returns
    -------
    Saturated
    """
    z = None
    if cells.z.shape[1] and np.isnan(cells.z).any():
        own = saturated_normal(cells.cluster_variables())
        z = own.mu, own.Sigma

    outset = cells_outset(cells, both, z)

    def likelihood(
        moments: LevelMoments, ways: LevelMoments, index: Codes
    ) -> tuple[Array, LevelMoments, Array]:
        some = cells.take(index)
        point = clusterwise_point(some, _units(moments, outset))
        hessian = clusterwise_hessian(some, point, _units(ways, outset, moved=False))
        return point.deviance, _standardised(point.gradient, outset), hessian

    return _search(likelihood, outset)


def _search(likelihood: Likelihood, outset: Outset) -> Saturated:
    """Minimise the deviance over standardised coordinates, from a start for each replicate."""
    start = _coordinates(outset)

    def objective(theta: Array, index: Codes) -> Derivatives:
        here = start.at(theta, index)
        ways = here.directions()
        value, gradient, hessian = likelihood(here.moments(), ways, index)
        return Derivatives(value, gradient.along(ways), hessian + here.bend(gradient))

    found = minimize(objective, start.theta, radius=0.5, max_iterations=200)
    found = _polished(objective, found)
    end = start.at(found.theta, np.arange(len(found.theta)))
    largest = np.abs(found.derivatives.gradient).max(axis=1, initial=0.0)
    q = end.mu_z.shape[1]
    root = end.between[:, q:, q:]
    least = (
        np.linalg.svd(root, compute_uv=False).min(axis=1) if root.size else np.full(len(root), 1.0)
    )
    return Saturated(
        found.derivatives.value, _units(end.moments(), outset), largest,
        found.converged & _flat(found), least**2 < _SINGULAR, found.iterations,
    )  # fmt: skip


def _polished(objective: Callable[[Array, Codes], Derivatives], found: Optimum) -> Optimum:
    """The optimum after Newton steps that the slope alone judges.

    Where there are many rows, the deviance has rounding that hides the last digits of an optimum;
    the slope has not.
    """
    theta, best = found.theta.copy(), found.derivatives
    for _ in range(_STEPS):
        slope = np.abs(best.gradient).max(axis=1, initial=0.0)
        active = np.flatnonzero(found.converged & (slope > _EXACT))
        if not active.size:
            break
        w, Q = np.linalg.eigh(best.hessian[active])
        g = np.einsum("rik,ri->rk", Q, best.gradient[active])
        steep = w > 1e-8 * w.max(axis=1, keepdims=True)
        step = np.einsum("rik,rk->ri", Q, np.where(steep, g / np.where(steep, w, 1.0), 0.0))
        trial = theta[active] - step
        there = objective(trial, active)
        better = np.abs(there.gradient).max(axis=1) < slope[active]
        if not better.any():
            break
        moved = active[better]
        theta[moved] = trial[better]
        parts = [array.copy() for array in (best.value, best.gradient, best.hessian)]
        for whole, part in zip(parts, (there.value, there.gradient, there.hessian), strict=True):
            whole[moved] = part[better]
        best = Derivatives(*parts)
    return replace(found, theta=theta, derivatives=best)


def _flat(found: Optimum) -> Mask:
    """Where the slope is none (R,)."""
    slope = np.abs(found.derivatives.gradient).max(axis=1, initial=0.0)
    allowed = _GRADIENT * np.maximum(1.0, np.abs(found.derivatives.value) / 1e5)
    flat: Mask = slope < allowed
    return flat


def _coordinates(outset: Outset) -> Coordinates:
    """The coordinates of an outset, in standardised variables with those held first."""
    q = outset.mu_z.shape[1]
    p = outset.mu.shape[1]
    only_within = p - (outset.joint.shape[-1] - q)
    y, z = outset.scale_y, outset.scale_z
    keep = np.concatenate([z, y[only_within:]])
    return Coordinates(
        (outset.mu - outset.centre_y) / y,
        (outset.mu_z - outset.centre_z) / z,
        safe_root(outset.Sigma_w / np.outer(y, y)),
        safe_root(outset.joint / np.outer(keep, keep)),
        RootElements.after(p, outset.held_y),
        RootElements.after(q + p - only_within, outset.held_z),
        outset.held_y,
        outset.held_z,
    )


def _units(moments: LevelMoments, outset: Outset, moved: bool = True) -> LevelMoments:
    """Standardised, reordered moments (or directions, which are not moved) in their own units."""
    y, z = outset.scale_y, outset.scale_z
    back_y, back_z = np.argsort(outset.order_y), np.argsort(outset.order_z)
    mu, mu_z = y * moments.mu, z * moments.mu_z
    if moved:
        mu, mu_z = mu + outset.centre_y, mu_z + outset.centre_z
    both = (..., back_y[:, None], back_y)
    return LevelMoments.without_slopes(
        mu[..., back_y],
        mu_z[..., back_z],
        (np.outer(y, y) * moments.Sigma_w)[both],
        (np.outer(y, y) * moments.Sigma_b)[both],
        (np.outer(y, z) * moments.Sigma_bz)[..., back_y[:, None], back_z],
        (np.outer(z, z) * moments.Sigma_zz)[..., back_z[:, None], back_z],
    )


def _standardised(gradient: LevelMoments, outset: Outset) -> LevelMoments:
    """A gradient in the moments as one in standardised, reordered moments."""
    y, z, by_y, by_z = outset.scale_y, outset.scale_z, outset.order_y, outset.order_z
    both = (..., by_y[:, None], by_y)
    return LevelMoments.without_slopes(
        y * gradient.mu[..., by_y],
        z * gradient.mu_z[..., by_z],
        np.outer(y, y) * gradient.Sigma_w[both],
        np.outer(y, y) * gradient.Sigma_b[both],
        np.outer(y, z) * gradient.Sigma_bz[..., by_y[:, None], by_z],
        np.outer(z, z) * gradient.Sigma_zz[..., by_z[:, None], by_z],
    )
