r"""A mixed model with one of its parameters held at given values: what a profile needs.

By maximum likelihood. A coefficient held at b is a model without its column, of the responses
``y - x b``. A standard deviation or correlation is held by the shape of the factor. Without sigma
profiled out the deviance is

    D(Sigma, sigma) = d(Sigma) + n phi(rho / n),    rho = r^2 / sigma^2,    phi(x) = x - 1 - log x,

d the profiled deviance. Derivatives in Sigma are those of d with nu replaced by rho and the product
of residual terms left out, as r^2 now enters linearly; with tau = log sigma,

    dD/dtau = 2 n - 2 rho,    d2D/dtau2 = 4 rho,    d2D/dtau dSigma[E] = 2 rho sum_j g_j'E g_j.

The factor of the random effects as written, each row over sigma, is lower triangular in an order
that puts the pinned effect first within its block: its row then has one entry, s / sigma. For a
correlation the two effects come first, with rows ``(a, 0)`` and ``c (rho, sqrt(1 - rho^2))``; log a
and log c are free, as with a negative c the correlation would be -rho. All else is linear.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from teamlink.errors import OptionError
from teamlink.fitting.components import unique_names
from teamlink.fitting.estimates import Estimates
from teamlink.fitting.model import Derivatives, Reach
from teamlink.mixed.components import places
from teamlink.mixed.covariance import lower_factor
from teamlink.mixed.criterion import criterion, curvature
from teamlink.mixed.starts import even_factor, scattered_factors
from teamlink.typing import Array, Codes

if TYPE_CHECKING:
    from teamlink.mixed.model import LinearMixed

__all__ = ["PinnedComponent", "pinned_component", "place_of", "reach", "without_column"]


@dataclass(frozen=True, slots=True)
class PinnedComponent:
    """A model with a standard deviation or a correlation held at R values.

    Attributes
    ----------
    model : LinearMixed by maximum likelihood, one response
    carry : (q, q) working factor from the factor of the effects as written
    order : (q,) order of the effects in which the factor is lower triangular
    free : (R, v, q, q) the factor's derivative in each free entry
    logs : how many of these, the first ones, are optimised as logarithms
    held : (R, q, q) the factor's held entry times sigma
    tau : (R,) log sigma in working units where sigma is held; None where it is free
    theta : (k,) working theta of the model's own optimum, from which the search starts
    """

    model: LinearMixed
    carry: Array
    order: Codes
    free: Array
    logs: int
    held: Array
    tau: Array | None
    theta: Array

    def starts(self) -> Array:
        """The model's own optimum, and even reliability: (2, R, k)."""
        own = self.model.structure.factor(self.theta)
        return self._coordinates(
            np.stack([own, even_factor(self.model.roots, self.model.structure)])
        )

    def further_starts(self) -> Array:
        """Points spread widely, (T, R, k)."""
        return self._coordinates(scattered_factors(self.model.roots, self.model.structure))

    def _coordinates(self, factors: Array) -> Array:
        """Free coordinates (T, R, k) near working factors (T, q, q)."""
        written: Array = np.asarray(np.linalg.solve(self.carry, factors), dtype=float)
        L = np.zeros_like(written)
        for block in self.model.structure.slices:
            rows = self.order[block]
            L[:, rows, block] = lower_factor(written[:, rows, block])
        found: Array = np.einsum("rvab,tab->trv", self.free, L)
        if self.logs:
            sizes = np.linalg.norm(L[:, self.order[self._pair()]], axis=2)
            found[:, :, : self.logs] = np.log(np.maximum(sizes, 1e-3))[:, None]
        if self.tau is not None:
            return found
        r2 = criterion(self.model.roots, factors, False).r2
        tau = np.repeat(0.5 * np.log(r2 / self.model.roots.n)[:, None], len(self.free), axis=1)
        return np.concatenate([found, tau[:, :, None]], axis=2)

    def _pair(self) -> slice:
        """Where in `order` the two effects of a held correlation stand."""
        first = int(np.flatnonzero(self.free[0, 0].any(axis=0))[0])
        return slice(first, first + 2)

    def _factor(self, point: Array, of: Codes) -> tuple[Array, Array, Array]:
        """Working factor (A, q, q), its derivatives (A, k, q, q), and log sigma (A,)."""
        v = self.free.shape[1]
        size = point[:, :v].copy()
        size[:, : self.logs] = np.exp(size[:, : self.logs])
        slope = np.ones_like(size)
        slope[:, : self.logs] = size[:, : self.logs]
        free = self.carry @ self.free[of]
        tau = point[:, v] if self.tau is None else self.tau[of]
        held = np.exp(-tau)[:, None, None] * (self.carry @ self.held[of])
        factor = np.einsum("av,avij->aij", size, free) + held
        slopes = slope[:, :, None, None] * free
        if self.tau is None:
            slopes = np.concatenate([slopes, -held[:, None]], axis=1)
        return factor, slopes, tau

    def deviance(self, theta: Array, index: Codes | None = None) -> Derivatives:
        """Minus twice the log-likelihood at coordinates (A, k) with gradient and Hessian."""
        of = np.arange(len(theta)) if index is None else index
        factor, W, tau = self._factor(theta, of)
        n = float(self.model.roots.n)
        point = criterion(self.model.roots, factor, False)
        rho = point.r2 * np.exp(-2 * tau)
        value = point.deviance + n * (rho / n - 1 - np.log(rho / n))
        value = value + 2 * n * np.log(self.model.response.scale)
        slopes = curvature(replace(point, nu=rho), False)
        half = W @ factor[:, None].transpose(0, 1, 3, 2)
        D = half + half.transpose(0, 1, 3, 2)
        gradient = np.einsum("aij,akij->ak", slopes.score, D)
        bend = np.einsum("aij,akil,amjl->akm", slopes.score, W, W)
        g = slopes.along(D)[:, :, -1, -1]
        # Sigma is not profiled here: its part of the second derivative is taken back.
        hessian = (
            slopes.second(D, D) + rho[:, None, None] * g[:, :, None] * g[:, None, :] + 2 * bend
        )
        each = np.arange(self.logs)
        hessian[:, each, each] += gradient[:, : self.logs]
        if self.tau is None:
            hessian[:, -1, -1] -= gradient[:, -1]
            hessian[:, -1, :] += 2 * rho[:, None] * g
            hessian[:, :, -1] += 2 * rho[:, None] * g
            hessian[:, -1, -1] += 4 * rho
            gradient[:, -1] += 2 * n - 2 * rho
        return Derivatives(value, gradient, hessian)

    def estimates(self, theta: Array) -> Estimates:
        """Nothing: a profile asks for the deviance only."""
        R = len(theta)
        empty = np.empty((R, 0))
        return Estimates((), empty, np.empty((R, 0, 0)), empty, "none")


def pinned_component(
    model: LinearMixed, place: tuple[int, ...], values: Array, theta: Array
) -> PinnedComponent:
    """Hold a component at values.

    Parameters
    ----------
    model : LinearMixed by maximum likelihood
    place : () for sigma, (i,) for the standard deviation of effect i, (i, j) for a correlation
    values : (R,) in the units of the data
    theta : (k,) working theta of the optimum
    """
    structure, q, R = model.structure, model.structure.q, len(values)
    size = 1 / model.random.scale
    order = np.arange(q)
    for block in structure.slices:
        if place and block.start <= place[0] < block.stop:
            rest = [i for i in range(block.start, block.stop) if i not in place]
            order[block] = [*place, *rest]
    entries = [(int(order[r]), int(c)) for r, c in zip(structure.rows, structure.cols, strict=True)]
    held, tau, unit = np.zeros((R, q, q)), None, float(model.response.scale[0])
    logs: list[Array] = []
    if not place:
        tau = np.log(values / unit)
    elif len(place) == 1:
        corner = (place[0], int(np.flatnonzero(order == place[0])[0]))
        entries.remove(corner)
        held[:, corner[0], corner[1]] = values / unit / size[place[0]]
    else:
        i, j = place
        c = int(np.flatnonzero(order == i)[0])
        for gone in ((i, c), (j, c), (j, c + 1)):
            entries.remove(gone)
        a_part, c_part = np.zeros((R, q, q)), np.zeros((R, q, q))
        a_part[:, i, c] = 1.0
        c_part[:, j, c], c_part[:, j, c + 1] = values, np.sqrt(1 - values**2)
        logs = [a_part, c_part]
    plain = np.zeros((len(entries), q, q))
    for k, (r, c) in enumerate(entries):
        plain[k, r, c] = 1.0
    free = np.concatenate(
        [np.stack(logs, axis=1) if logs else np.zeros((R, 0, q, q)), np.repeat(plain[None], R, 0)],
        axis=1,
    )
    if place:
        # Beside a held zero the rest of its column only rotates the others: leave it out there.
        column = int(np.flatnonzero(order == place[-1])[0])
        at_end = np.flatnonzero(values == 0 if len(place) == 1 else np.abs(values) == 1)
        redundant = plain[:, :, column].any(axis=1)
        free[np.ix_(at_end, len(logs) + np.flatnonzero(redundant))] = 0.0
    carry: Array = np.asarray(np.linalg.solve(model.random.T, np.diag(size)), dtype=float)
    return PinnedComponent(model, carry, order, free, len(logs), held, tau, theta)


def without_column(model: LinearMixed, k: int) -> tuple[Array, tuple[str, ...]]:
    """The estimated columns of X but column k (n, p - 1), and their names."""
    names = model.names
    return np.delete(model.fixed_columns, k, axis=1), names[:k] + names[k + 1 :]


def place_of(model: LinearMixed, key: str) -> tuple[int, ...]:
    """Which random effects a component is of: none, one, or two; by its key in `Components`."""
    if model.structure.tied:
        raise OptionError(
            f"{key!r} cannot be held: a term has compound symmetry, where variances are equal; "
            "profile the fixed effects, or bootstrap"
        )
    where = places(model.design.effects, model.structure)
    groups, terms = zip(*where, strict=True)
    return dict(zip(unique_names(groups, terms), where.values(), strict=True))[key]


def reach(model: LinearMixed, term: str, theta: Array) -> Reach:
    """Where a parameter may lie, and a step in which its deviance changes by a few units.

    Parameters
    ----------
    model : LinearMixed
    term : a coefficient, or the key of a component
    theta : (k,) working theta of the optimum
    """
    if term in model.names:
        k = model.names.index(term)
        std_error = float(model.estimates(theta[None]).std_error[0, k])
        return Reach(-np.inf, np.inf, False, 2 * std_error)
    place, parts = place_of(model, term), model.components(theta[None])
    estimate, sigma = float(parts.values[0, parts.keys.index(term)]), float(parts.values[0, -1])
    n = model.roots.n
    if not place:
        return Reach(0.0, np.inf, False, 2 * estimate / np.sqrt(2 * n))
    J = [factor.n_groups for factor in model.design.factors for _ in range(factor.q)][place[0]]
    if len(place) == 2:
        return Reach(-1.0, 1.0, True, float(np.clip(1 / np.sqrt(J), 0.01, 0.3)))
    least = sigma / float(model.random.scale[place[0]]) / np.sqrt(n)
    return Reach(0.0, np.inf, True, max(2 * estimate / np.sqrt(2 * J), least))
