r"""Satterthwaite degrees of freedom, in closed form.

The variance of a contrast, ``v = sigma^2 l'C l`` with ``C = (X'V^-1 X)^-1``, is itself estimated.
Its own sampling variance by the delta method is ``g'A g``, where g is the derivative of v in the
variance parameters and A twice the inverse Hessian of the deviance in them; then

    df = 2 v^2 / (g'A g).

With ``(theta, log sigma^2)`` as the parameters and H the Hessian of the *profiled* deviance in
theta, eliminating log sigma^2 leaves, with ``rho_i = d log r^2 / d theta_i``,

    g'A g = 2 (g_theta + v rho)' H^-1 (g_theta + v rho) + 2 v^2 / nu.

At an interior optimum the result does not depend on how the variances are parametrised, so it
equals lmerTest's. At a boundary the directions in which nothing changes to first order carry no
information about v (their g and rho are zero) and drop out, as in lmerTest.

References
----------
Satterthwaite (1946), doi:10.2307/3002019. Kuznetsova, Brockhoff, Christensen (2017),
doi:10.18637/jss.v082.i13.
"""

from __future__ import annotations

import numpy as np

from teamlink.mixed.criterion import Criterion, Curvature
from teamlink.typing import Array

__all__ = ["degrees_of_freedom", "satterthwaite"]

_NO_INFORMATION = 1e-10
"""Eigenvalues of the Hessian below this share of the largest are left out of its inverse."""


def satterthwaite(
    contrasts: Array, point: Criterion, slopes: Curvature, directions: Array, hessian: Array
) -> Array:
    """Degrees of freedom of each contrast.

    Parameters
    ----------
    contrasts : (c, p) rows l, on the working coefficients
    point, slopes : the criterion at the optimum and its derivatives, R replicates
    directions : (R, k, Q, Q) symmetric derivative of Sigma in each element of theta
    hessian : (R, k, k) of the profiled deviance in theta

    Returns
    -------
    (R, c)
    """
    return degrees_of_freedom(contrasts, point, slopes.along(directions), hessian)


def degrees_of_freedom(contrasts: Array, point: Criterion, P: Array, hessian: Array) -> Array:
    """The same, for variance parameters of any kind.

    Parameters
    ----------
    contrasts, point : as for `satterthwaite`
    P : (R, k, m, m) how [X y]'V^-1 [X y], normalised to the identity, falls as each parameter rises
    hessian : (R, k, k) of the profiled deviance in the parameters

    Returns
    -------
    (R, c)
    """
    p = P.shape[-1] - 1
    rho = -P[:, :, p, p]
    whitened = np.linalg.inv(point.M_root[:, :p, :p]) @ contrasts.T  # (R, p, c)
    v = np.square(whitened).sum(axis=1)
    gradient = np.einsum("rac,riab,rbc->rci", whitened, P[:, :, :p, :p], whitened)
    gradient += v[:, :, None] * rho[:, None, :]
    w, U = np.linalg.eigh(hessian)
    informative = w > _NO_INFORMATION * np.maximum(w[:, -1:], 1.0)
    inverse = np.where(informative, 1.0 / np.where(informative, w, 1.0), 0.0)
    projected = gradient @ U
    spread = 2 * (projected**2 * inverse[:, None, :]).sum(axis=-1) + 2 * v**2 / point.nu[:, None]
    df: Array = 2 * v**2 / spread
    return df
