r"""The saturated two-level model: the best that any model of means and covariances can do.

Its parameters are all means, Sigma_w, and the covariance of the cluster's variables with the
effects of those that vary at both levels. The search runs over Cholesky roots of Sigma_w and of
that joint covariance, in standardised variables, by a trust-region Newton method on the exact
Hessian, so it ends at an optimum, not where progress became slow. The optimum is that over positive
semi-definite matrices; where the covariance between clusters is singular there, it says so.

Variables that vary only within clusters, and the cluster's own, have their moments at the sample's
values wherever they are complete: given those, the likelihood of the rest factors off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from teamlink.fitting.model import Derivatives
from teamlink.fitting.optimize import minimize
from teamlink.moments.clusters import SizeMoments
from teamlink.structural.cholesky import RootElements
from teamlink.structural.inverses import roots, symmetric
from teamlink.structural.levels import LevelMoments
from teamlink.structural.twolevel import cluster_variables, two_level_hessian, two_level_point
from teamlink.typing import Array, Codes, Mask

__all__ = [
    "Coordinates",
    "Likelihood",
    "Saturated",
    "baseline_two_level",
    "saturated_two_level",
    "search",
]

_SINGULAR = 1e-5
"""A standardised variance between clusters below this is none: the root has come to zero."""

_GRADIENT = 1e-6
"""The largest slope, in standardised roots, at which the optimum counts as found."""


class Likelihood(Protocol):
    """A two-level likelihood of some replicates."""

    def __call__(
        self, moments: LevelMoments, ways: LevelMoments, index: Codes
    ) -> tuple[Array, LevelMoments, Array]:
        """Deviance (R,), its gradient in the moments, and its Hessian (R, K, K) along `ways`."""
        ...


@dataclass(frozen=True, slots=True)
class Saturated:
    """The saturated model's optimum, one a replicate.

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
class Coordinates:
    """Two-level moments by Cholesky roots, variables that vary only within clusters first.

    Attributes
    ----------
    mu, mu_z : (R, p), (R, q) means; those of held variables stay
    within : (R, p, p) root of Sigma_w
    between : (R, q + b, q + b) root of the covariance of (z, effects of the last b variables)
    free_w, free_b : elements of the roots that are free
    held_y, held_z : how many of the first variables have their means held
    """

    mu: Array
    mu_z: Array
    within: Array
    between: Array
    free_w: RootElements
    free_b: RootElements
    held_y: int
    held_z: int

    @property
    def theta(self) -> Array:
        """The free coordinates (R, k)."""
        return np.concatenate(
            [
                *(self.mu[:, self.held_y :], self.mu_z[:, self.held_z :]),
                *(self.free_w.read(self.within), self.free_b.read(self.between)),
            ],
            axis=1,
        )

    def at(self, theta: Array, index: Codes) -> Coordinates:
        """The coordinates with theta (A, k) put into those of replicates `index` (A,)."""
        p, q = self.mu.shape[1], self.mu_z.shape[1]
        ends = np.cumsum([p - self.held_y, q - self.held_z, len(self.free_w)])
        mu, mu_z, w, b = np.split(theta, ends, axis=1)
        return Coordinates(
            np.concatenate([self.mu[index, : self.held_y], mu], axis=1),
            np.concatenate([self.mu_z[index, : self.held_z], mu_z], axis=1),
            self.free_w.put(self.within[index], w),
            self.free_b.put(self.between[index], b),
            self.free_w, self.free_b, self.held_y, self.held_z,
        )  # fmt: skip

    def moments(self) -> LevelMoments:
        """The moments (R,)."""
        joint = self.between @ self.between.swapaxes(-1, -2)
        return self._split(
            self.mu, self.mu_z, self.within @ self.within.swapaxes(-1, -2), joint
        )

    def _split(self, mu: Array, mu_z: Array, w: Array, joint: Array) -> LevelMoments:
        """The moments, or directions, from the covariance within and the joint one between."""
        p, q = mu.shape[-1], mu_z.shape[-1]
        low = p - (joint.shape[-1] - q)
        b = np.zeros((*mu.shape, p))
        b[..., low:, low:] = joint[..., q:, q:]
        bz = np.zeros((*mu.shape, q))
        bz[..., low:, :] = joint[..., q:, :q]
        return LevelMoments.without_slopes(mu, mu_z, w, b, bz, joint[..., :q, :q])

    def directions(self) -> LevelMoments:
        """Derivatives (R, k) of the moments in theta."""
        R, p = self.mu.shape
        q = self.mu_z.shape[1]
        a, c = p - self.held_y, q - self.held_z
        w, b = len(self.free_w), len(self.free_b)
        k = a + c + w + b
        mu, mu_z = np.zeros((R, k, p)), np.zeros((R, k, q))
        mu[:, np.arange(a), self.held_y + np.arange(a)] = 1.0
        mu_z[:, a + np.arange(c), self.held_z + np.arange(c)] = 1.0
        Sigma_w = np.zeros((R, k, p, p))
        Sigma_w[:, a + c : a + c + w] = self.free_w.directions(self.within)
        joint = np.zeros((R, k, *self.between.shape[1:]))
        joint[:, a + c + w :] = self.free_b.directions(self.between)
        return self._split(mu, mu_z, Sigma_w, joint)

    def bend(self, gradient: LevelMoments) -> Array:
        """What the second derivative of the moments adds to the Hessian, (R, k, k)."""
        R, p = self.mu.shape
        q = self.mu_z.shape[1]
        low = p - (self.between.shape[1] - q)
        G = np.zeros((R, *self.between.shape[1:]))
        G[:, :q, :q] = gradient.Sigma_zz
        G[:, q:, q:] = gradient.Sigma_b[:, low:, low:]
        G[:, q:, :q] = gradient.Sigma_bz[:, low:] / 2
        G[:, :q, q:] = G[:, q:, :q].swapaxes(-1, -2)
        means = p - self.held_y + q - self.held_z
        w, b = len(self.free_w), len(self.free_b)
        added = np.zeros((R, means + w + b, means + w + b))
        added[:, means : means + w, means : means + w] = self.free_w.bend(gradient.Sigma_w)
        added[:, means + w :, means + w :] = self.free_b.bend(G)
        return added


def search(likelihood: Likelihood, start: Coordinates) -> Saturated:
    """Minimise the deviance over the free coordinates, from a start for each replicate.

    Parameters
    ----------
    likelihood : of R replicates
    start : Coordinates (R,), of standardised variables

    Returns
    -------
    Saturated
    """

    def objective(theta: Array, index: Codes) -> Derivatives:
        here = start.at(theta, index)
        ways = here.directions()
        value, gradient, hessian = likelihood(here.moments(), ways, index)
        return Derivatives(value, gradient.along(ways), hessian + here.bend(gradient))

    found = minimize(objective, start.theta, radius=0.5, max_iterations=200)
    end = start.at(found.theta, np.arange(len(found.theta)))
    slope = np.abs(found.derivatives.gradient).max(axis=1, initial=0.0)
    q = end.mu_z.shape[1]
    least = np.linalg.svd(end.between[:, q:, q:], compute_uv=False).min(axis=1, initial=np.inf)
    return Saturated(
        found.derivatives.value, end.moments(), slope,
        found.converged & (slope < _GRADIENT), least**2 < _SINGULAR, found.iterations,
    )  # fmt: skip


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
    order = np.argsort(both, kind="stable")
    canonical = stats.select(np.arange(stats.q), order)
    centre, scale = _location(canonical)
    scaled = canonical.scaled(centre, scale)

    def likelihood(
        moments: LevelMoments, ways: LevelMoments, index: Codes
    ) -> tuple[Array, LevelMoments, Array]:
        point = two_level_point(scaled.take(index), moments)
        return point.deviance, point.gradient, two_level_hessian(point, ways)

    found = search(likelihood, _start(scaled, int((~both).sum())))
    q = stats.q
    logs = np.log(scale)
    constant = 2 * (stats.rows * logs[q:].sum() + stats.clusters * logs[:q].sum())
    moments = rescaled(found.moments, centre, scale, np.argsort(order))
    return Saturated(
        found.deviance + constant, moments, found.gradient, found.converged, found.boundary,
        found.iterations,
    )  # fmt: skip


def baseline_two_level(stats: SizeMoments, both: Mask, kept_y: Mask, kept_z: Mask) -> Saturated:
    """Fit the model in which only the kept variables covary.

    Parameters
    ----------
    stats : SizeMoments of R replicates
    both : (p,) which variables vary at both levels
    kept_y, kept_z : (p,), (q,) variables that covary with each other, as exogenous ones do; every
        other variable has a mean and a variance a level

    Returns
    -------
    Saturated
        With the summed deviance and the moments; every part is a saturated model of its own.
    """
    blocks = [(np.flatnonzero(kept_z), np.flatnonzero(kept_y))]
    none = np.zeros(0, dtype=np.intp)
    blocks += [(none, np.array([k])) for k in np.flatnonzero(~kept_y)]
    blocks += [(np.array([k]), none) for k in np.flatnonzero(~kept_z)]
    R, p, q = len(stats.count), len(both), stats.q
    moments = LevelMoments.without_slopes(
        np.zeros((R, p)), np.zeros((R, q)), np.zeros((R, p, p)), np.zeros((R, p, p)),
        np.zeros((R, p, q)), np.zeros((R, q, q)),
    )  # fmt: skip
    parts = []
    for z, y in blocks:
        if not len(z) + len(y):
            continue
        part = saturated_two_level(stats.select(z, y), both[y])
        parts.append(part)
        for whole, piece, places in zip(
            moments.arrays[:6],
            part.moments.arrays[:6],
            ((y,), (z,), (y, y), (y, y), (y, z), (z, z)),
            strict=True,
        ):
            whole[(slice(None), *np.ix_(*places))] = piece
    return Saturated(
        np.sum([part.deviance for part in parts], axis=0),
        moments,
        np.max([part.gradient for part in parts], axis=0),
        np.all([part.converged for part in parts], axis=0),
        np.any([part.boundary for part in parts], axis=0),
        np.max([part.iterations for part in parts], axis=0),
    )


def rescaled(
    moments: LevelMoments, centre: Array, scale: Array, order: Codes
) -> LevelMoments:
    """Moments of standardised, reordered variables in their own units and order.

    Parameters
    ----------
    moments : LevelMoments (R,)
    centre, scale : (q + p,) of (z, y)
    order : (p,) position of each variable among those reordered
    """
    q = moments.mu_z.shape[1]
    z, y = scale[:q], scale[q:]
    both = np.ix_(order, order)
    return LevelMoments.without_slopes(
        (centre[q:] + y * moments.mu)[:, order],
        centre[:q] + z * moments.mu_z,
        (np.outer(y, y) * moments.Sigma_w)[(slice(None), *both)],
        (np.outer(y, y) * moments.Sigma_b)[(slice(None), *both)],
        (np.outer(y, z) * moments.Sigma_bz)[:, order],
        np.outer(z, z) * moments.Sigma_zz,
    )


def _location(stats: SizeMoments) -> tuple[Array, Array]:
    """Mean and standard deviation of (z, y), of all replicates together."""
    mean, cov = _totals(stats)
    centre = mean.mean(axis=0)
    variance = np.diagonal(cov, axis1=-2, axis2=-1).mean(axis=0)
    return centre, np.sqrt(np.where(variance > 0, variance, 1.0))


def _totals(stats: SizeMoments) -> tuple[Array, Array]:
    """Means (R, q + p) and covariances (R, q + p, q + p); z over clusters, y over rows."""
    q = stats.q
    z = cluster_variables(stats)
    share = stats.count * stats.sizes / stats.rows[:, None]
    own = stats.mean[..., q:]
    mean = (share[..., None] * own).sum(axis=1)
    about = own - mean[:, None]
    spread = stats.cov[..., q:, q:] + about[..., :, None] * about[..., None, :]
    cov = np.zeros((len(mean), stats.mean.shape[-1], stats.mean.shape[-1]))
    cov[:, q:, q:] = (share[..., None, None] * spread).sum(axis=1)
    cov[:, q:, q:] += stats.within / stats.rows[:, None, None]
    if not q:
        return mean, cov
    cov[:, :q, :q] = z.cov[:, 0]
    return np.concatenate([z.mean[:, 0], mean], axis=1), cov


def _start(stats: SizeMoments, only_within: int) -> Coordinates:
    """Moments by the analysis of variance, made positive definite."""
    q = stats.q
    mean, cov = _totals(stats)
    R, p = len(mean), cov.shape[-1] - q
    J, N = stats.clusters, stats.rows
    w = stats.within / np.maximum(N - J, 1)[:, None, None]
    # The larger variance of what varies only within keeps the matrix positive definite.
    w[:, :only_within, :only_within] = cov[:, q : q + only_within, q : q + only_within]
    share = stats.count / J[:, None]
    centre = (share[..., None] * stats.mean).sum(axis=1)
    about = stats.mean - centre[:, None]
    spread = stats.cov + about[..., :, None] * about[..., None, :]
    joint = (share[..., None, None] * spread).sum(axis=1)
    keep = np.concatenate([np.arange(q), np.arange(q + only_within, q + p)])
    joint = joint[:, keep[:, None], keep]
    harmonic = J / (stats.count / stats.sizes).sum(axis=1)
    between = _between_root(joint, w[:, only_within:, only_within:] / harmonic[:, None, None], q)
    return Coordinates(
        mean[:, q:], mean[:, :q], _safe_root(w), between,
        RootElements.after(p, only_within), RootElements.after(q + p - only_within, q),
        only_within, q,
    )  # fmt: skip


def _between_root(joint: Array, noise: Array, q: int) -> Array:
    """Root of the covariance (R, q + b, q + b) of (z, means), less the noise of the means."""
    L = _safe_root(joint)
    rest = L[:, q:, q:] @ L[:, q:, q:].swapaxes(-1, -2) - noise
    values, vectors = np.linalg.eigh(symmetric(rest))
    raised = (vectors * np.maximum(values, 0.02)[:, None]) @ vectors.swapaxes(-1, -2)
    L = L.copy()
    L[:, q:, q:] = np.linalg.cholesky(symmetric(raised))
    return L


def _safe_root(M: Array) -> Array:
    """Cholesky roots, of a matrix moved towards its diagonal where it has none."""
    L, failed = roots(M)
    if not failed.any():
        return L
    diagonal = np.diagonal(M, axis1=-2, axis2=-1)
    ridge = np.maximum(diagonal, 1e-3)[..., None] * np.eye(M.shape[-1])
    return np.where(failed[:, None, None], roots(0.9 * M + 0.1 * ridge)[0], L)
