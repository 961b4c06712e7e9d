"""Derivatives in the residual parameters by steps, where no exact ones are at hand.

With several grouping factors the effects of all groups are tied together, and the exact second
derivative would need their whole covariance. The deviance there is smooth and known to fourteen
digits, so steps of 1e-3 and formulas of fourth order give a gradient to about 1e-7 of its scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from teamlink.typing import Array

__all__ = ["Stepped", "stepped"]

_STEP = 1e-3
"""Rounding over the step, and the fourth power of the step, are both below 1e-7."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """The criterion at one point of the residual parameters.

    Attributes
    ----------
    value : the deviance
    gradient : (l,) in the parameters of the random effects
    M_root : (m, m) lower root of [X y]'V^-1 [X y]
    """

    value: float
    gradient: Array
    M_root: Array


def stepped(
    there: Callable[[Array], Stepped | None], here: Stepped, k: int
) -> tuple[Array, Array, Array, Array]:
    """Derivatives at a point.

    Parameters
    ----------
    there : the criterion a step (k,) away; None where there is none
    here : the criterion at the point itself
    k : number of residual parameters

    Returns
    -------
    gradient : (k,)
    hessian : (k, k)
    across : (k, l) second derivative in these and the parameters of the random effects
    M : (k, m, m) derivative of [X y]'V^-1 [X y], normalised to the identity

    Notes
    -----
    Where a point next to this one has no criterion all derivatives are missing, and the search
    takes a shorter step.
    """
    h = _STEP
    m, others = len(here.M_root), len(here.gradient)
    gradient, hessian = np.full(k, np.nan), np.full((k, k), np.nan)
    across, M = np.full((k, others), np.nan), np.full((k, m, m), np.nan)
    inverse: Array = np.asarray(np.linalg.inv(here.M_root), dtype=float)
    E = h * np.eye(k)
    near = [[there(s * e) for s in (-2, -1, 1, 2)] for e in E]
    for i, points in enumerate(near):
        if any(point is None for point in points):
            return gradient, hessian, across, M
        f = [point.value for point in points if point is not None]
        low, high = points[1], points[2]
        assert low is not None
        assert high is not None
        gradient[i] = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)
        hessian[i, i] = (-f[0] + 16 * f[1] - 30 * here.value + 16 * f[2] - f[3]) / (12 * h * h)
        across[i] = (high.gradient - low.gradient) / (2 * h)
        change = high.M_root @ high.M_root.T - low.M_root @ low.M_root.T
        M[i] = inverse @ change @ inverse.T / (2 * h)
    for i in range(k):
        for j in range(i):
            up, down = there(E[i] + E[j]), there(-E[i] - E[j])
            if up is None or down is None:
                return gradient, hessian, across, M
            ends = sum(p.value for axis in (i, j) for p in near[axis][1:3] if p is not None)
            hessian[i, j] = (up.value + down.value - ends + 2 * here.value) / (2 * h * h)
            hessian[j, i] = hessian[i, j]
    return gradient, hessian, across, M
