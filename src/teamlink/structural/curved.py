r"""A model with a defined parameter held at a value, where it is not linear in the parameters.

The working parameters theta (k,) that meet ``g(theta) = c`` form a surface. Around a base point
theta_0 on it, with unit normal n and an orthonormal basis N of what is at right angles to n,

    theta(z) = theta_0 + N z + n s(z),    s such that g(theta(z)) = c,

so the k - 1 coordinates z are free and the waist minimises over them as over any others. With g_t
and G the derivatives of g in theta, d and H those of the deviance, and the Lagrange multiplier
lambda = (d'n) / (g_t'n),

    J = dtheta/dz = N - n (g_t'N) / (g_t'n),    gradient J'd,    Hessian J'(H - lambda G) J.

For a product a b this covers the whole branch of the hyperbola that theta_0 lies on. There may be
several branches, as a b = 0 where either is zero: descents begin on each that one parameter alone
leads to, and the lowest counts. Shapes: R values of c, each with its own base.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from teamlink.fitting.estimates import Estimates
from teamlink.fitting.model import Derivatives
from teamlink.fitting.optimize import minimize
from teamlink.structural.inverses import symmetric
from teamlink.typing import Array, Codes, Mask

if TYPE_CHECKING:
    from teamlink.structural.model import StructuralModel

__all__ = ["CurvedModel", "Surface", "held_curved"]

_TINY = 1e-30
"""An imaginary step so small that nothing of second order is left."""

_STEPS = 60
"""Newton's iterations towards a surface."""

_DESCENT = 25
"""Steps that a descent on one branch may take before the lowest is chosen."""

_MET = 1e-14
"""A defined parameter is at its value to this, relative to what it is made of."""

_SHORTEST = 1e-5
"""Where so small a share of a Newton step leads no closer, only rounding is left."""


@dataclass(frozen=True, slots=True)
class Surface:
    """A defined parameter as a function of the working parameters.

    Attributes
    ----------
    model : StructuralModel
    term : name of the defined parameter
    """

    model: StructuralModel
    term: str

    def slopes(self, theta: Array) -> tuple[Array, Array]:
        """Value (A,) and slopes (A, k) at theta (A, k)."""
        x, first, _ = self.model.coordinates.forward(theta, np.zeros(len(theta), dtype=np.intp))
        dual = dict(self.model.defined(x))[self.term]
        return dual.value, dual.slope @ self.model.coordinates.K * first

    def curvature(self, theta: Array) -> Array:
        """Second derivatives (A, k, k), by an imaginary step exact to rounding."""
        x, first, second = self.model.coordinates.forward(
            theta, np.zeros(len(theta), dtype=np.intp)
        )
        K = self.model.coordinates.K
        G = np.zeros((*x.shape, x.shape[1]))
        slope = dict(self.model.defined(x))[self.term].slope
        for j in np.flatnonzero(slope.any(axis=0)):
            aside = x.astype(complex)
            aside[:, j] += 1j * _TINY
            G[:, j] = dict(self.model.defined(aside))[self.term].slope.imag / _TINY
        found = symmetric(K.T @ G @ K) * first[:, :, None] * first[:, None, :]
        k = np.arange(K.shape[1])
        found[:, k, k] += slope @ K * second
        return np.asarray(found)

    def reached(self, theta: Array, ways: Array, values: Array) -> tuple[Array, Mask]:
        """Points (A, k) of the surface at values (A,), from theta along ways (A, k); and where.

        The second says which points were found.
        """
        s, share = np.zeros(len(theta)), np.ones(len(theta))
        with np.errstate(all="ignore"):
            value, slope = self.slopes(theta)
            for _ in range(_STEPS):
                size = _MET * (np.abs(values) + np.abs(slope * theta).max(axis=1, initial=0.0))
                gap = values - value
                step = gap / (slope * ways).sum(axis=1)
                go = (np.abs(gap) > size) & np.isfinite(step) & (share > _SHORTEST)
                if not go.any():
                    break
                # Beyond a pole the gap is wider: a shorter step stays on this side of it.
                trial = np.where(go, s + share * step, s)
                there, steep = self.slopes(theta + ways * trial[:, None])
                closer = go & (np.abs(values - there) < np.abs(gap))
                share = np.where(go & ~closer, share / 4, 1.0)
                s, value = np.where(closer, trial, s), np.where(closer, there, value)
                slope = np.where(closer[:, None], steep, slope)
            met = np.abs(values - value) <= 10 * size
        return theta + ways * s[:, None], np.asarray(met)


@dataclass(frozen=True, slots=True)
class CurvedModel:
    """A model on the surface on which a defined parameter has given values.

    Attributes
    ----------
    surface : of the defined parameter
    values : (R,) at which it is held
    base : (R, k) theta_0
    normal : (R, k) n
    tangents : (R, k, k - 1) N
    """

    surface: Surface
    values: Array
    base: Array
    normal: Array
    tangents: Array

    @classmethod
    def at(cls, surface: Surface, values: Array, base: Array) -> CurvedModel:
        """Coordinates around base points (R, k), which lie on the surface at values (R,)."""
        with np.errstate(all="ignore"):
            slope = surface.slopes(base)[1]
            normal = slope / np.linalg.norm(slope, axis=1, keepdims=True)
        normal = np.where(np.isfinite(normal), normal, 0.0)
        # Householder's reflection takes the first axis to n, and the others to its complement.
        mirror = normal.copy()
        mirror[:, 0] += np.where(normal[:, 0] < 0, -1.0, 1.0)
        across = mirror[:, :, None] * mirror[:, None, :] / (mirror**2).sum(axis=1)[:, None, None]
        return cls(surface, values, base, normal, (np.eye(base.shape[1]) - 2 * across)[:, :, 1:])

    def starts(self) -> Array:
        """See `teamlink.fitting.model.Model`: the base, and a point beside it."""
        beside = np.full((len(self.base), self.tangents.shape[2]), 0.05)
        return np.stack([np.zeros_like(beside), beside])

    def further_starts(self) -> Array:
        """See `teamlink.fitting.model.Model`."""
        rng = np.random.default_rng(0)
        return 0.2 * rng.standard_normal((4, *self.starts().shape[1:]))

    def theta(self, z: Array, index: Codes | None = None) -> tuple[Array, Mask]:
        """Working parameters (A, k) at coordinates z (A, k - 1), and which of them exist."""
        index = np.arange(len(z)) if index is None else index
        aside = self.base[index] + (self.tangents[index] @ z[:, :, None])[:, :, 0]
        return self.surface.reached(aside, self.normal[index], self.values[index])

    def _along(self, theta: Array, index: Codes) -> tuple[Array, Array]:
        """J (A, k, k - 1) and the slope (A,) of g along n."""
        slope = self.surface.slopes(theta)[1]
        normal, N = self.normal[index], self.tangents[index]
        steep = (slope * normal).sum(axis=1)
        share = (slope[:, None, :] @ N)[:, 0] / steep[:, None]
        return N - normal[:, :, None] * share[:, None, :], steep

    def deviance(self, theta: Array, index: Codes | None = None) -> Derivatives:
        """See `teamlink.fitting.model.Model`; infinite where the surface is not reached."""
        index = np.arange(len(theta)) if index is None else index
        full, met = self.theta(theta, index)
        full = np.where(met[:, None], full, self.base[index])
        found = self.surface.model.deviance(full, 0 * index)
        with np.errstate(all="ignore"):
            J, steep = self._along(full, index)
            multiplier = (found.gradient * self.normal[index]).sum(axis=1) / steep
            curved = multiplier[:, None, None] * self.surface.curvature(full)
            H = J.swapaxes(1, 2) @ (found.hessian - curved) @ J
            gradient = (found.gradient[:, None, :] @ J)[:, 0]
        fine = met & np.isfinite(gradient).all(axis=1) & np.isfinite(H).all(axis=(1, 2))
        return Derivatives(
            np.where(fine, found.value, np.inf),
            np.where(fine[:, None], gradient, 0.0),
            np.where(fine[:, None, None], H, 0.0),
        )

    def settle(self, theta: Array, index: Codes) -> tuple[Array, Mask]:
        """See `teamlink.fitting.model.Settles`: nothing to do."""
        return theta, np.zeros(len(index), dtype=np.bool_)

    def on_boundary(self, theta: Array) -> Mask:
        """See `teamlink.fitting.model.Settles`."""
        return self.surface.model.on_boundary(self.theta(theta)[0])

    def estimates(self, theta: Array) -> Estimates:
        """Parameters and defined ones, given the one that is held."""
        model = self.surface.model
        full = self.theta(theta)[0]
        index = np.arange(len(full))
        J, _ = self._along(full, index)
        H = self.deviance(theta).hessian
        first = model.coordinates.forward(full, 0 * index)[1]
        ways = model.coordinates.K @ (first[:, :, None] * J)
        V = 2 * ways @ np.linalg.pinv(H, hermitian=True) @ ways.swapaxes(1, 2)
        found = model.estimates_from(model.parameters(full, 0 * index), V, "observed")
        held = found.names.index(self.surface.term)
        covariance = found.covariance.copy()
        covariance[:, held, :] = covariance[:, :, held] = 0.0
        return replace(found, covariance=covariance)


def held_curved(model: StructuralModel, term: str, values: Array, theta: Array) -> CurvedModel:
    """The model with a defined parameter held at each of values (R,), near theta (k,).

    Its base is the optimum, sought from the point of the surface nearest to theta in units of
    uncertainty, and from those that one parameter alone leads to.
    """
    surface = Surface(model, term)
    R, k = len(values), len(theta)
    here = np.tile(theta, (R, 1))
    slope = surface.slopes(theta[None])[1][0]
    H = model.deviance(theta[None]).hessian[0]
    bases = [_nearest(surface, values, here, np.linalg.pinv(H, hermitian=True))]
    bases += [
        surface.reached(here, np.tile(np.eye(k)[j], (R, 1)), values)[0]
        for j in np.flatnonzero(slope)
    ]
    B = len(bases)
    base = np.concatenate(bases)
    base = np.where(np.isfinite(base).all(axis=1, keepdims=True), base, np.tile(here, (B, 1)))
    tried = CurvedModel.at(surface, np.tile(values, B), base)
    start = np.zeros((len(base), k - 1))
    found = minimize(tried.deviance, start, max_iterations=_DESCENT)
    worth = np.where(np.isfinite(found.derivatives.value), found.derivatives.value, np.inf)
    best = np.argmin(worth.reshape(B, R), axis=0) * R + np.arange(R)
    final = tried.theta(found.theta)[0][best]
    return CurvedModel.at(surface, values, final)


def _nearest(surface: Surface, values: Array, theta: Array, V: Array) -> Array:
    """Points (R, k) of the surface about nearest to theta (R, k) in the metric of V."""
    at = theta
    with np.errstate(all="ignore"):
        for _ in range(10):
            value, slope = surface.slopes(at)
            way = slope @ V
            # What is left of the gap once the part along the surface is taken back.
            gap = values - value + (slope * (at - theta)).sum(axis=1)
            at = theta + way * (gap / (slope * way).sum(axis=1))[:, None]
        at = np.where(np.isfinite(at), at, theta)
        return surface.reached(at, surface.slopes(at)[1], values)[0]
