r"""A general factor above group factors: minres extraction, oblimin, Schmid and Leiman.

    minres    min over Psi of 1/2 sum of squares of the k - m smallest eigenvalues of R - Psi,
    oblimin   min over T of 1/4 sum_i sum_{s != t} l_is^2 l_it^2,  L = Lambda T^-T,  Phi = T'T,
    general   gamma: one factor of Phi;  loadings L gamma,  group loadings L (1 - gamma^2)^(1/2).

The first is the same as least squares of the correlations off the diagonal; its slope in Psi is
minus the sum of these eigenvalues times squared elements of their vectors.

References
----------
Harman, Jones (1966), doi:10.1007/BF02289468. Schmid, Leiman (1957), doi:10.1007/BF02289209.
Jennrich (2002), doi:10.1007/BF02294706.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from teamlink.typing import Array

__all__ = ["SchmidLeiman", "minres", "oblimin", "schmid_leiman", "varimax"]

_LOWEST = 0.005
"""Uniqueness below which a factor analysis does not go, as in psych."""


@dataclass(frozen=True, slots=True)
class SchmidLeiman:
    """A bifactor solution by Schmid and Leiman's transformation.

    Attributes
    ----------
    general : (k,) loadings on the general factor, none negative in sign
    group : (k, m) loadings on the group factors
    uniqueness : (k,)
    correlations : (k, k) of the items, each turned by `sign`
    sign : (k,) -1 where an item was turned
    """

    general: Array
    group: Array
    uniqueness: Array
    correlations: Array
    sign: Array

    def indices(self) -> dict[str, float]:
        """Omega hierarchical, total, asymptotic, and those of the subscales."""
        total = float(self.correlations.sum())
        common = total - float(self.uniqueness.sum())
        general = float(self.general.sum()) ** 2
        found = {
            "hierarchical": general / total, "total": common / total,
            "asymptotic": general / common,
        }  # fmt: skip
        belongs = np.abs(self.group).argmax(axis=1)
        for g in range(self.group.shape[1]):
            own = belongs == g
            if not own.any():
                continue
            variance = float(self.correlations[np.ix_(own, own)].sum())
            one = float(self.general[own].sum()) ** 2 / variance
            two = float(self.group[own, g].sum()) ** 2 / variance
            found |= {f"F{g + 1} total": one + two, f"F{g + 1} general": one,
                      f"F{g + 1} group": two}  # fmt: skip
        return found


def minres(R: Array, m: int) -> tuple[Array, bool]:
    """Extract m factors from correlations R (k, k): loadings (k, m), and whether it converged."""

    def discarded(psi: Array) -> tuple[float, Array]:
        values, vectors = np.linalg.eigh(R - np.diag(psi))
        rest = values[: len(R) - m]
        return 0.5 * float(rest @ rest), -(vectors[:, : len(R) - m] ** 2) @ rest

    smc = 1 / np.diag(np.linalg.pinv(R))
    start = np.clip(smc, 2 * _LOWEST, 0.95)
    done = minimize(
        discarded, start, jac=True, method="L-BFGS-B", bounds=[(_LOWEST, 1.0)] * len(R),
        options={"ftol": 1e-16, "gtol": 1e-9, "maxiter": 5000, "maxfun": 20000},
    )  # fmt: skip
    values, vectors = np.linalg.eigh(R - np.diag(done.x))
    top = np.argsort(values)[::-1][:m]
    loadings = vectors[:, top] * np.sqrt(np.maximum(values[top], 0.0))
    signs = np.where(loadings.sum(axis=0) < 0, -1.0, 1.0)
    slope = discarded(done.x)[1]
    inside = (done.x > _LOWEST) & (done.x < 1.0)
    return loadings * signs, bool(np.abs(slope[inside]).max(initial=0.0) < 1e-5)


def varimax(loadings: Array) -> Array:
    """Rotate loadings (k, m) by Kaiser's varimax, rows of length one while it turns."""
    length = np.sqrt((loadings**2).sum(axis=1))
    length = np.where(length > 0, length, 1.0)
    X = loadings / length[:, None]
    k, m = X.shape
    T, before = np.eye(m), 0.0
    for _ in range(1000):
        Z = X @ T
        B = X.T @ (Z**3 - Z * (Z**2).sum(axis=0) / k)
        U, values, Vt = np.linalg.svd(B)
        T = U @ Vt
        if values.sum() < before * (1 + 1e-12):
            break
        before = float(values.sum())
    return np.asarray((X @ T) * length[:, None])


def oblimin(loadings: Array) -> tuple[Array, Array]:
    """Rotate loadings (k, m) by direct quartimin: pattern (k, m), factor correlations (m, m)."""
    m = loadings.shape[1]
    others = np.ones((m, m)) - np.eye(m)

    def at(T: Array) -> tuple[float, Array, Array]:
        inverse = np.linalg.inv(T)
        L = loadings @ inverse.T
        X = (L**2) @ others
        return float((L**2 * X).sum()) / 4, -(L.T @ (L * X) @ inverse).T, L

    T, step = np.eye(m), 1.0
    value, G, L = at(T)
    for _ in range(5000):
        projected = G - T * (T * G).sum(axis=0)
        s2 = float((projected**2).sum())
        if s2 < 1e-20:
            break
        step *= 2
        for _ in range(40):
            X = T - step * projected
            new = X / np.sqrt((X**2).sum(axis=0))
            trial = at(new)
            if value - trial[0] > 0.5 * s2 * step or step * s2 < 1e-30:
                break
            step /= 2
        if trial[0] >= value:
            break
        T, (value, G, L) = new, trial
    return L, T.T @ T


def schmid_leiman(R: Array, m: int) -> tuple[SchmidLeiman, bool]:
    """Transform correlations R (k, k) with m >= 2 group factors; and whether all converged.

    With two group factors the loadings of these on the general one are taken as equal, since one
    correlation cannot tell them apart.
    """
    orthogonal, good = minres(R, m)
    pattern, Phi = oblimin(varimax(orthogonal))
    if m == 2:
        r = float(Phi[0, 1])
        gamma = np.sqrt(abs(r)) * np.array([1.0, np.sign(r)])
    else:
        found, also = minres(Phi, 1)
        gamma, good = found[:, 0], good and also
    general = pattern @ gamma
    # The general factor points where most items do.
    general = -general if 2 * (general < 0).sum() > len(general) else general
    group = pattern * np.sqrt(np.maximum(1 - gamma**2, 0.0))
    uniqueness = 1 - np.einsum("is,st,it->i", pattern, Phi, pattern)
    sign = np.where(general < 0, -1.0, 1.0)
    turned = SchmidLeiman(
        general * sign, group * sign[:, None], uniqueness, R * np.outer(sign, sign), sign
    )
    return turned, good
