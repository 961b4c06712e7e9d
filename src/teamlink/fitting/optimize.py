"""Trust-region Newton for many small problems at once.

Each replicate has its own trust region and stops when its own conditions hold; those that have
stopped cost nothing. The step minimises the quadratic model within a ball by the eigenvalues of the
exact Hessian, so it leaves saddle points along negative curvature instead of resting there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from teamlink.fitting.model import Derivatives
from teamlink.typing import Array, Codes, Mask

__all__ = ["Convergence", "Optimum", "minimize"]

Objective = Callable[[Array, Codes], Derivatives]


@dataclass(frozen=True, slots=True)
class Optimum:
    """Where a batch of optimisations ended.

    Attributes
    ----------
    theta : (R, k)
    derivatives : value, gradient and Hessian there
    decrement : (R,) reduction of the criterion that a Newton step from theta still promises
    iterations : (R,) int
    converged : (R,) bool
    """

    theta: Array
    derivatives: Derivatives
    decrement: Array
    iterations: Codes
    converged: Mask


@dataclass(frozen=True, slots=True)
class Convergence:
    """The record of one optimisation: whether to believe it, and why.

    Attributes
    ----------
    converged : the conditions of a local minimum hold
    boundary : the optimum lies on the edge of the parameter space; a valid fit
    iterations, starts : Newton steps in all, and from how many starting points
    gradient : largest absolute element of the gradient in theta
    decrement : reduction of the deviance that one more Newton step promises
    curvature : smallest eigenvalue of the Hessian in theta; below zero means a saddle
    message : the same in words
    """

    converged: bool
    boundary: bool
    iterations: int
    starts: int
    gradient: float
    decrement: float
    curvature: float
    message: str


_ROUNDING = 1e-14
"""A promise below this share of the criterion is lost in its rounding."""

_FLAT = 1e-8
"""Slopes and curvatures below this change no criterion within reach; they are rounding."""

_WIDEST = 10.0
"""A wider trust region than this, in units of theta or relative to it, is no region."""

_SLACK = 1e-11
"""Below this promised reduction, relative to the criterion, a Newton step is only rounding."""


def minimize(
    objective: Objective,
    start: Array,
    *,
    radius: float = 1.0,
    tolerance: float = 1e-10,
    max_iterations: int = 100,
) -> Optimum:
    """Minimise a batch of smooth functions from given points.

    Parameters
    ----------
    objective : function of theta (A, k) and index (A,), which replicate each row is
    start : (R, k)
    radius : first radius of the trust region, in units of theta or, where larger, relative to it
    tolerance : a replicate stops once a Newton step promises less than this; one last step is
        then taken, which squares what is left
    max_iterations : Newton steps a replicate may take

    Returns
    -------
    Optimum

    References
    ----------
    Conn, Gould, Toint (2000). Trust-region methods. doi:10.1137/1.9780898719857
    """
    R, k = start.shape
    theta = start.copy()
    everyone = np.arange(R)
    here = _checked(objective(theta, everyone))
    value, gradient, hessian = here.value.copy(), here.gradient.copy(), here.hessian.copy()
    radii = np.full(R, radius)
    iterations = np.zeros(R, dtype=np.intp)
    converged = np.zeros(R, dtype=bool)
    decrement = np.full(R, np.inf)
    if not k:
        return Optimum(theta, here, np.zeros(R), iterations, ~converged)
    active = everyone[np.isfinite(value)]
    while active.size:
        # The ball is measured in theta where that is small, and relative to it where it is large.
        unit = np.maximum(1.0, np.abs(theta[active]))
        step, promise, newton = _step(
            gradient[active] * unit,
            hessian[active] * unit[:, :, None] * unit[:, None, :],
            radii[active],
        )
        decrement[active] = promise
        noise = _SLACK * (1 + np.abs(value[active]))
        little = promise <= np.maximum(tolerance, _ROUNDING * np.abs(value[active]))
        # On a ridge the step ends on the sphere, yet nothing is to be had within a wide one.
        last = little & (newton | (radii[active] >= 0.1))
        trial = theta[active] + step * unit
        there = _checked(objective(trial, active))
        iterations[active] += 1
        gain = value[active] - there.value
        # Where the promise is lost in rounding the gain cannot judge the step; the model can.
        ratio = np.where(np.isfinite(gain), (gain + noise) / (promise + noise), -1.0)
        accept = ratio > 1e-4
        size = np.linalg.norm(step, axis=1)
        radii[active] = np.where(
            ratio < 0.25,
            0.25 * size,
            np.where(
                (ratio > 0.75) & (size > 0.9 * radii[active]),
                np.minimum(3 * radii[active], _WIDEST),
                radii[active],
            ),
        )
        moved = active[accept]
        theta[moved] = trial[accept]
        value[moved] = there.value[accept]
        gradient[moved] = there.gradient[accept]
        hessian[moved] = there.hessian[accept]
        stuck = ~accept & (size <= 1e-12)
        converged[active[last]] = True
        active = active[~(last | stuck | (iterations[active] >= max_iterations))]
    return Optimum(theta, Derivatives(value, gradient, hessian), decrement, iterations, converged)


def _checked(there: Derivatives) -> Derivatives:
    """The same, infinitely bad where any part of it is not finite."""
    k = there.gradient.shape[1]
    whole = (
        np.isfinite(there.value)
        & np.isfinite(there.gradient).all(axis=1)
        & np.isfinite(there.hessian).all(axis=(1, 2))
    )
    if whole.all():
        return there
    return Derivatives(
        np.where(whole, there.value, np.inf),
        np.where(whole[:, None], there.gradient, 0.0),
        np.where(whole[:, None, None], there.hessian, np.eye(k)),
    )


def _step(gradient: Array, hessian: Array, radius: Array) -> tuple[Array, Array, Mask]:
    """Minimise the quadratic model within the ball.

    Returns the step (A, k), the reduction it promises (A,) and whether it is the Newton step (A,).
    """
    w, Q = np.linalg.eigh(hessian)
    g = np.einsum("rik,ri->rk", Q, gradient)
    # Directions in which nothing changes (a redundant factor at the boundary) are left alone.
    flat = (np.abs(w) <= _FLAT) & (np.abs(g) <= _FLAT)
    g, w = np.where(flat, 0.0, g), np.where(flat, 1.0, w)
    convex = (w > 0).all(axis=1)
    s = -g / np.where(w > 0, w, 1.0)
    newton = convex & (np.linalg.norm(s, axis=1) <= radius)
    rest = np.flatnonzero(~newton)
    if rest.size:
        s[rest] = _on_sphere(g[rest], w[rest], radius[rest])
    promise = -(g * s).sum(axis=1) - 0.5 * (w * s * s).sum(axis=1)
    step: Array = np.einsum("rik,rk->ri", Q, s)
    return step, promise, newton


def _on_sphere(g: Array, w: Array, radius: Array) -> Array:
    """The step on the sphere: s = -(w + mu)^-1 g, to a tenth of the radius.

    mu comes from Newton's method on 1 / |s|, which is nearly linear in mu, kept within a bracket.
    Where the gradient has no part along the lowest eigenvector (a saddle's crest), the length is
    made up along that eigenvector.
    """
    slope = np.sqrt((g * g).sum(axis=1)) / radius
    size = np.abs(w).max(axis=1) + slope + 1e-300
    bottom = w.argmin(axis=1)
    each = np.arange(len(w))
    low = np.maximum(-w[each, bottom], 0.0)
    high = low + slope + 1e-10 * size
    mu = low + 1e-10 * size
    least = 1e-12 * size[:, None]
    for _ in range(30):
        shifted = np.maximum(w + mu[:, None], least)
        s = -g / shifted
        length = np.maximum(np.sqrt((s * s).sum(axis=1)), 1e-100 * radius)
        # Done for each by itself, so that no problem depends on its company.
        far = np.abs(length - radius) > 0.1 * radius
        if not far.any():
            break
        outside = length > radius
        low, high = np.where(outside, mu, low), np.where(outside, high, mu)
        rate = (s * s / shifted).sum(axis=1) / length**3
        newton = mu + (1 / radius - 1 / length) / np.where(rate > 0, rate, 1.0)
        # At the lower end of the bracket with a step still too short, the length cannot be had.
        better = np.where((newton > low) & (newton < high), newton, 0.5 * (low + high))
        mu = np.where(far, better, mu)
    missing = np.sqrt(np.maximum(radius**2 - (s * s).sum(axis=1), 0.0))
    short = (w[each, bottom] < 0) & (missing > 0.5 * radius)
    s[each, bottom] += np.where(short, np.where(s[each, bottom] < 0, -missing, missing), 0.0)
    step: Array = s
    return step
