"""Where the search for a saturated model sets out: moments by the analysis of variance.

An outset orders variables so that those whose moments are held at the sample's values come first:
variables that vary only within clusters and are complete, and complete variables of the clusters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teamlink.moments.cells import ClusterCells
from teamlink.moments.clusters import SizeMoments
from teamlink.moments.covariances import PatternMoments
from teamlink.structural.inverses import roots, symmetric
from teamlink.structural.twolevel import cluster_variables
from teamlink.typing import Array, Codes, Mask

__all__ = [
    "Outset",
    "cells_outset",
    "location",
    "normal_outset",
    "safe_root",
    "sizes_outset",
]

_FLOOR = 0.02
"""The least variance between clusters, as a share of the whole, to set out from."""


@dataclass(frozen=True, slots=True)
class Outset:
    """Moments to start from, in their own units and in the order of the search.

    Attributes
    ----------
    order_y, order_z : (p,), (q,) which variable stands at each place
    held_y, held_z : how many of the first have their moments held
    mu, mu_z : (R, p), (R, q)
    Sigma_w : (R, p, p)
    joint : (R, q + b, q + b) covariance of z and of the effects of the last b variables
    centre_y, scale_y, centre_z, scale_z : by which the search standardises
    """

    order_y: Codes
    order_z: Codes
    held_y: int
    held_z: int
    mu: Array
    mu_z: Array
    Sigma_w: Array
    joint: Array
    centre_y: Array
    scale_y: Array
    centre_z: Array
    scale_z: Array


def sizes_outset(stats: SizeMoments, both: Mask) -> Outset:
    """The outset for complete data: all that varies only within clusters is held, and all of z."""
    q, p = stats.q, len(both)
    order = np.argsort(both, kind="stable")
    only = int((~both).sum())
    picked = stats.select(np.arange(q), order)
    mean, cov = _totals(picked)
    J, N = picked.clusters, picked.rows
    w = picked.within / np.maximum(N - J, 1)[:, None, None]
    w = _with_marginal(safe_product(w), cov[:, q : q + only, q : q + only])
    share = picked.count / J[:, None]
    centre = (share[..., None] * picked.mean).sum(axis=1)
    joint = (share[..., None, None] * _about(picked.cov, picked.mean, centre)).sum(axis=1)
    keep = np.concatenate([np.arange(q), np.arange(q + only, q + p)])
    harmonic = J / (picked.count / picked.sizes).sum(axis=1)
    scale = _deviations(cov)
    between = _between(
        joint[:, keep[:, None], keep], w[:, only:, only:] / harmonic[:, None, None], scale[keep], q
    )
    where = mean.mean(axis=0)
    return Outset(
        order, np.arange(q), only, q, mean[:, q:], mean[:, :q], w, between,
        where[q:], scale[q:], where[:q], scale[:q],
    )  # fmt: skip


def cells_outset(cells: ClusterCells, both: Mask, z: tuple[Array, Array] | None) -> Outset:
    """The outset where values are missing.

    Parameters
    ----------
    cells : ClusterCells
    both : (p,) which variables vary at both levels
    z : mean (R, q) and covariance (R, q, q) of the cluster's variables, where some are missing
    """
    complete = cells.observed.all(axis=0) & (cells.gram.shape[0] > 0)
    rank = np.where(both, 2, np.where(complete, 0, 1))
    order = np.argsort(rank, kind="stable")
    only, held = int((~both).sum()), int((rank == 0).sum())
    if z is None:
        own = cells.cluster_variables()
        q = cells.z.shape[1]
        z = (own.mean[:, 0], own.cov[:, 0]) if q else (np.zeros((1, 0)), np.zeros((1, 0, 0)))
        held_z = q
    else:
        held_z, q = 0, z[0].shape[1]
    mean, total, within, between = _pairwise(cells)
    scale = _deviations(total)
    R = len(mean)
    correlation = total / np.outer(scale, scale)
    w_scale = np.sqrt(within)[:, :, None] * np.sqrt(within)[:, None, :]
    w = safe_product(correlation * w_scale)
    keep = order[:held]
    w = _with_marginal(w[:, order[:, None], order], total[:, keep[:, None], keep])
    b_scale = np.sqrt(np.maximum(between, _FLOOR * scale**2))
    b = safe_product(correlation * b_scale[:, :, None] * b_scale[:, None, :])
    joint = np.zeros((R, q + len(both) - only, q + len(both) - only))
    joint[:, :q, :q] = z[1]
    last = order[only:]
    joint[:, q:, q:] = b[:, last[:, None], last]
    return Outset(
        order, np.arange(q), held, held_z, mean[:, order],
        np.broadcast_to(z[0], (R, q)), w, joint,
        mean.mean(axis=0)[order], scale[order], z[0].mean(axis=0), _deviations(z[1]),
    )  # fmt: skip


def location(stats: SizeMoments) -> tuple[Array, Array]:
    """Mean and standard deviation (q + p,) of (z, y), over all replicates."""
    mean, cov = _totals(stats)
    return mean.mean(axis=0), _deviations(cov)


def normal_outset(moments: PatternMoments) -> tuple[Array, Array, Array, Array]:
    """Centre and scale (p,) of the variables, and standardised means and roots to start from."""
    observed = moments.observed
    seen = moments.n @ observed.astype(float)
    mean = (moments.n[..., None] * moments.mean).sum(axis=1) / np.maximum(seen, 1)
    about = np.where(observed, moments.mean - mean[:, None], 0.0)
    second = moments.cov + about[..., :, None] * about[..., None, :]
    summed = (moments.n[..., None, None] * second).sum(axis=1)
    pairs = np.einsum("rp,pa,pb->rab", moments.n, observed, observed)
    cov = summed / np.maximum(pairs, 1)
    centre, scale = mean.mean(axis=0), _deviations(cov)
    return centre, scale, (mean - centre) / scale, safe_root(cov / np.outer(scale, scale))


def safe_root(M: Array) -> Array:
    """Cholesky roots of (R, p, p), moved towards the diagonal where there is none."""
    if not M.shape[-1]:
        return M.copy()
    L, failed = roots(M)
    if not failed.any():
        return L
    variance = np.diagonal(M, axis1=-2, axis2=-1)
    scale = np.sqrt(np.where(variance > 0, variance, 1.0))
    unit = scale[..., :, None] * scale[..., None, :]
    values, vectors = np.linalg.eigh(M / unit)
    raised = (vectors * np.maximum(values, _FLOOR)[:, None]) @ vectors.swapaxes(-1, -2)
    return np.where(failed[:, None, None], roots(symmetric(raised) * unit)[0], L)


def safe_product(M: Array) -> Array:
    """The same matrices, positive definite."""
    L = safe_root(M)
    return L @ L.swapaxes(-1, -2)


def _with_marginal(w: Array, own: Array) -> Array:
    """Matrices w in which the first variables have covariance `own`, regressions on them kept."""
    h = own.shape[-1]
    if not h:
        return w
    slopes = np.linalg.solve(w[:, :h, :h], w[:, :h, h:]).swapaxes(-1, -2)
    rest = w[:, h:, h:] - slopes @ w[:, :h, h:]
    found = w.copy()
    found[:, :h, :h] = own
    found[:, h:, :h] = slopes @ own
    found[:, :h, h:] = found[:, h:, :h].swapaxes(-1, -2)
    found[:, h:, h:] = symmetric(rest + slopes @ own @ slopes.swapaxes(-1, -2))
    return found


def _deviations(cov: Array) -> Array:
    """Standard deviations (p,) over all replicates; 1 for a constant."""
    variance = np.diagonal(cov, axis1=-2, axis2=-1).mean(axis=0)
    return np.sqrt(np.where(variance > 0, variance, 1.0))


def _about(cov: Array, mean: Array, centre: Array) -> Array:
    """Second moments (R, S, m, m) about a centre (R, m)."""
    about = mean - centre[:, None]
    return cov + about[..., :, None] * about[..., None, :]


def _totals(stats: SizeMoments) -> tuple[Array, Array]:
    """Means (R, q + p) and covariances (R, q + p, q + p); z over clusters, y over rows."""
    q = stats.q
    share = stats.count * stats.sizes / stats.rows[:, None]
    own = stats.mean[..., q:]
    mean = (share[..., None] * own).sum(axis=1)
    spread = _about(stats.cov[..., q:, q:], own, mean)
    cov = np.zeros((len(mean), stats.mean.shape[-1], stats.mean.shape[-1]))
    cov[:, q:, q:] = (share[..., None, None] * spread).sum(axis=1)
    cov[:, q:, q:] += stats.within / stats.rows[:, None, None]
    if not q:
        return mean, cov
    z = cluster_variables(stats)
    cov[:, :q, :q] = z.cov[:, 0]
    return np.concatenate([z.mean[:, 0], mean], axis=1), cov


def _between(joint: Array, noise: Array, scale: Array, q: int) -> Array:
    """The covariance of (z, means) less the noise of the means, made positive definite."""
    unit = np.outer(scale, scale)
    L = safe_root(joint / unit)
    noise = noise / unit[q:, q:]
    rest = L[:, q:, q:] @ L[:, q:, q:].swapaxes(-1, -2) - noise
    values, vectors = np.linalg.eigh(symmetric(rest))
    raised = (vectors * np.maximum(values, _FLOOR)[:, None]) @ vectors.swapaxes(-1, -2)
    whole = L @ L.swapaxes(-1, -2)
    low = L[:, q:, :q]
    whole[:, q:, q:] = low @ low.swapaxes(-1, -2) + raised
    return symmetric(whole) * unit


def _pairwise(cells: ClusterCells) -> tuple[Array, Array, Array, Array]:
    """Means, covariances of available pairs, and variances within and between clusters."""
    R, p = len(cells.weights), len(cells.shift)
    observed = cells.observed.astype(float)
    n = cells.counts()
    pairs = np.maximum(np.einsum("rp,pa,pb->rab", n, observed, observed), 1.0)
    seen = np.maximum(n @ observed, 1.0)
    second = cells.second_moments().sum(axis=1)
    J = len(cells.z)
    each = cells.gram[:, :1, 0] * observed[cells.pattern]
    sums, sizes = np.zeros((J, p)), np.zeros((J, p))
    np.add.at(sums, cells.cluster, cells.cross[:, 0])
    np.add.at(sizes, cells.cluster, each)
    mean = cells.weights @ sums / seen
    total = second / pairs - mean[:, :, None] * mean[:, None, :]
    squares = cells.weights @ np.divide(sums**2, sizes, out=np.zeros((J, p)), where=sizes > 0)
    clusters = cells.weights @ (sizes > 0).astype(float)
    own = np.diagonal(second, axis1=-2, axis2=-1)
    within = (own - squares) / np.maximum(seen - clusters, 1.0)
    variance = np.diagonal(total, axis1=-2, axis2=-1)
    within = np.where(within > _FLOOR * variance, within, np.maximum(_FLOOR * variance, 1e-300))
    between = np.maximum(variance - within, 0.0)
    return mean.reshape(R, p) + cells.shift, total, within, between
