r"""A generalized model with one of its parameters held at given values: what a profile needs.

Held coefficients move into the offset. A held threshold leaves the logarithms of the gaps to its
neighbours free. A standard deviation or correlation is held by the shape of the factor of the
effects as written: its rows are lower triangular in an order that puts the pinned effect first
within its block, whose row then has one entry, the standard deviation. For a correlation the two
effects come first, with rows ``(a, 0)`` and ``c (rho, sqrt(1 - rho^2))``; log a and log c are free.
All other coordinates are those of the model, and the gradient follows by the chain rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from teamlink.fitting.estimates import Estimates
from teamlink.fitting.model import Derivatives, Reach
from teamlink.mixed.covariance import lower_factor
from teamlink.mixed.generalized.families import Family
from teamlink.mixed.generalized.ordinal import Cumulative
from teamlink.typing import Array, Codes

if TYPE_CHECKING:
    from teamlink.mixed.generalized.model import GeneralizedMixed

__all__ = ["PinnedGeneralized", "pin_generalized", "reach_generalized"]

_STEP = 1e-5


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one factor's Lambda follows from its free coordinates.

    Attributes
    ----------
    carry : (q, q) working factor from the factor as written
    held : (R, q, q) held entries as written
    slopes : (R, v, q, q) derivative of the factor as written in each coordinate
    logs : how many coordinates, the first ones, are logarithms
    first : (v,) where to begin
    """

    carry: Array
    held: Array
    slopes: Array
    logs: int
    first: Array

    def factor(self, at: Array, of: Codes) -> tuple[Array, Array]:
        """Working factors (A, q, q) and their derivatives (A, v, q, q) at coordinates (A, v)."""
        size, rate = at.copy(), np.ones_like(at)
        size[:, : self.logs] = rate[:, : self.logs] = np.exp(at[:, : self.logs])
        free = self.carry @ self.slopes[of]
        factor = np.einsum("av,avij->aij", size, free) + self.carry @ self.held[of]
        return factor, rate[:, :, None, None] * free


@dataclass(frozen=True, slots=True)
class PinnedGeneralized:
    """A model with a parameter held at R values.

    Attributes
    ----------
    model : GeneralizedMixed with one response
    offset : (R, n) offset, in the model's order of rows; the held coefficient's part is in it
    Q : (n, p) working columns of the coefficients that are free
    back : (p,) how the thresholds as written exceed the working ones, for each coefficient
    shapes : each factor's; None for one that is free as in the model
    own : (R, P) natural own parameters that are held, NaN where free
    start : (v,) coordinates of the model's own optimum, held ones left out
    """

    model: GeneralizedMixed
    offset: Array
    Q: Array
    back: Array
    shapes: tuple[_Shape | None, ...]
    own: Array
    start: Array

    def _sizes(self) -> list[int]:
        """Number of coordinates of each factor."""
        pairs = zip(self.shapes, self.model.structures, strict=True)
        return [s.size if shape is None else len(shape.first) for shape, s in pairs]

    def starts(self) -> Array:
        """The model's own optimum, and one with smaller variances: (2, R, v)."""
        second = self.start.copy()
        ahead = sum(self._sizes())
        second[:ahead] = 0.5 * second[:ahead] + 0.1
        return np.repeat(np.stack([self.start, second])[:, None], len(self.offset), axis=1)

    def further_starts(self) -> Array:
        """One with larger variances: (1, R, v)."""
        point = self.start.copy()
        point[: sum(self._sizes())] *= 2.0
        return np.repeat(point[None, None], len(self.offset), axis=1)

    def _natural(self, free: Array, of: Codes) -> tuple[Array, Array]:
        """Natural own parameters (A, P) as written, and their derivative (A, P, f) in free ones."""
        return _natural(self.model.family, free, self.own[of])

    def _at(
        self, theta: Array, of: Codes, start: tuple[Array, ...] | None = None
    ) -> tuple[Array, Array, tuple[Array, ...]]:
        """Value (A,), gradient (A, v), and modes."""
        Lambdas: list[Array] = []
        slopes: list[Array | None] = []
        ahead = 0
        for shape, structure, size in zip(
            self.shapes, self.model.structures, self._sizes(), strict=True
        ):
            at = theta[:, ahead : ahead + size]
            ahead += size
            if shape is None:
                Lambdas.append(structure.factor(at))
                slopes.append(None)
            else:
                Lambda, slope = shape.factor(at, of)
                Lambdas.append(Lambda)
                slopes.append(slope)
        p = self.Q.shape[1]
        beta, free = theta[:, ahead : ahead + p], theta[:, ahead + p :]
        natural, jacobian = self._natural(free, of)
        # The working columns are centred where thresholds take the means up.
        natural = natural - (beta @ self.back)[:, None]
        offset = self.offset[of] + beta @ self.Q.T
        everyone = np.zeros(len(theta), dtype=np.intp)
        found = self.model.gradient(tuple(Lambdas), offset, natural.T[:, :, None], everyone, start)
        parts = [
            G[:, s.rows, s.cols] if slope is None else np.einsum("aij,avij->av", G, slope)
            for G, s, slope in zip(found.Lambda, self.model.structures, slopes, strict=True)
        ]
        along = found.rows @ self.Q - found.natural.sum(axis=1)[:, None] * self.back
        own = np.einsum("ap,apf->af", found.natural, jacobian)
        value = found.value - 2 * self.model.constant[0]
        return value, np.concatenate([*parts, along, own], axis=1), found.u

    def deviance(self, theta: Array, index: Codes | None = None) -> Derivatives:
        """Minus twice the log-likelihood at coordinates (A, v) with gradient and Hessian."""
        of = np.arange(len(theta)) if index is None else index
        value, gradient, u = self._at(theta, of)
        A, v = theta.shape
        step = _STEP * np.maximum(1.0, np.abs(theta))
        moved = (theta[:, None, :] + step[:, :, None] * np.eye(v)).reshape(A * v, v)
        start = tuple(np.repeat(part, v, axis=0) for part in u)
        _, there, _ = self._at(moved, np.repeat(of, v), start)
        hessian = (there.reshape(A, v, v) - gradient[:, None, :]) / step[:, :, None]
        return Derivatives(value, gradient, 0.5 * (hessian + hessian.transpose(0, 2, 1)))

    def estimates(self, theta: Array) -> Estimates:
        """Nothing: a profile asks for the deviance only."""
        R = len(theta)
        return Estimates((), np.empty((R, 0)), np.empty((R, 0, 0)), np.empty((R, 0)), "none")


def _natural(family: Family, free: Array, held: Array) -> tuple[Array, Array]:
    """Natural parameters (A, P) and their derivatives (A, P, f); see `PinnedGeneralized`."""
    A, P = held.shape
    fixed = np.isfinite(held).any(axis=0)
    if not fixed.any():
        return family.natural(free), family.jacobian(free)
    if not isinstance(family, Cumulative):
        return held, np.zeros((A, P, 0))
    c = int(np.flatnonzero(fixed)[0])
    gaps = np.exp(free)
    natural, jacobian = np.repeat(held[:, c : c + 1], P, axis=1), np.zeros((A, P, P - 1))
    for k in range(P - 1):
        # Gap k lies between thresholds k and k + 1; those on its far side from c move with it.
        moved = slice(k + 1, P) if k >= c else slice(0, k + 1)
        sign = 1.0 if k >= c else -1.0
        natural[:, moved] += sign * gaps[:, k : k + 1]
        jacobian[:, moved, k] = sign * gaps[:, k : k + 1]
    return natural, jacobian


def pin_generalized(
    model: GeneralizedMixed, term: str, values: Array, theta: Array
) -> PinnedGeneralized:
    """Hold a parameter at values.

    Parameters
    ----------
    model : GeneralizedMixed with one response
    term : a coefficient, a threshold, or a component by its key
    values : (R,)
    theta : (k,) the model's optimum
    """
    R, P = len(values), model.family.size
    Lambdas, beta, free = (part for part in model.parts(theta[None]))
    offset = np.repeat(model.offset[None], R, axis=0)
    Q, working = model.Q, beta[0]
    back = model.fixed.K.T @ model.fixed.shift if isinstance(model.family, Cumulative) else (
        np.zeros(Q.shape[1])
    )  # fmt: skip
    own, start_own = np.full((R, P), np.nan), free[0]
    if isinstance(model.family, Cumulative):
        start_own = model.family.free(model.own(theta[None]))[0]
    shapes: list[_Shape | None] = [None] * len(model.structures)
    place = _place(model, term)
    if term in model.names:
        j = model.names.index(term)
        offset = offset + values[:, None] * model.fixed_columns[model.order, j]
        Q, working = _without(model, j, working)
        back = np.zeros(len(working))
    elif isinstance(model.family, Cumulative) and term in model.threshold_names:
        c = model.threshold_names.index(term)
        own[:, c] = values
        start_own = start_own[1:]
    elif place is None:
        own[:, 0] = np.log(values) if model.family.name == "gaussian" else values
        start_own = start_own[:0]
    else:
        shapes[place[0]] = _shape(model, place, values, Lambdas[place[0]][0])
    coordinates = [
        theta[at] if shape is None else shape.first
        for shape, at in zip(shapes, model.places, strict=True)
    ]
    start = np.concatenate([*coordinates, working, start_own])
    return PinnedGeneralized(model, offset, Q, back, tuple(shapes), own, start)


def _without(model: GeneralizedMixed, j: int, working: Array) -> tuple[Array, Array]:
    """Working columns of all coefficients but one, and those coefficients."""
    rest = [i for i in range(len(model.names)) if i != j]
    columns = model.fixed_columns[model.order][:, rest]
    coefficients = (model.fixed.K @ working)[rest]
    # Made orthonormal anew; thresholds as written need no centred columns.
    scale = np.sqrt(np.square(columns).mean(axis=0))
    Q, R = np.linalg.qr(columns / scale)
    size = float(np.sqrt(len(Q)))
    return Q * size, np.asarray(R @ (scale * coefficients) / size, dtype=float)


def _place(model: GeneralizedMixed, term: str) -> tuple[int, ...] | None:
    """Factor and effects (one or two) that a component is of; None for the family's own."""
    found: dict[tuple[str, str], tuple[int, ...]] = {}
    for k, (factor, structure) in enumerate(
        zip(model.design.factors, model.structures, strict=True)
    ):
        for block in structure.slices:
            for i in range(block.start, block.stop):
                found[factor.name, f"sd__{factor.names[i]}"] = (k, i)
                for j in range(i + 1, block.stop):
                    found[factor.name, f"cor__{factor.names[i]}.{factor.names[j]}"] = (k, i, j)
    terms = [name for _, name in found]
    keys = {
        name if terms.count(name) == 1 else f"{name}|{group}": place
        for (group, name), place in found.items()
    }
    return keys.get(term)


def _shape(model: GeneralizedMixed, place: tuple[int, ...], values: Array, Lambda: Array) -> _Shape:
    """The shape of a factor with a standard deviation or correlation held."""
    k, *effects = place
    structure, T, R = model.structures[k], model.bases[k].T, len(values)
    q = structure.q
    order = np.arange(q)
    for block in structure.slices:
        if block.start <= effects[0] < block.stop:
            rest = [i for i in range(block.start, block.stop) if i not in effects]
            order[block] = [*effects, *rest]
    entries = [(int(order[r]), int(c)) for r, c in zip(structure.rows, structure.cols, strict=True)]
    written = T @ Lambda
    L = np.zeros((q, q))
    for block in structure.slices:
        L[order[block], block] = lower_factor(written[order[block]][:, block])
    c = int(np.flatnonzero(order == effects[0])[0])
    held, logs = np.zeros((R, q, q)), []
    first: list[float] = []
    if len(effects) == 1:
        entries.remove((effects[0], c))
        held[:, effects[0], c] = values
        at_end, column = values == 0, c
    else:
        i, j = effects
        for gone in ((i, c), (j, c), (j, c + 1)):
            entries.remove(gone)
        one, two = np.zeros((R, q, q)), np.zeros((R, q, q))
        one[:, i, c] = 1.0
        two[:, j, c], two[:, j, c + 1] = values, np.sqrt(1 - np.square(values))
        logs = [one, two]
        first = [float(np.log(max(float(np.linalg.norm(L[e])), 1e-3))) for e in effects]
        at_end, column = np.abs(values) == 1, c + 1
    plain = np.zeros((len(entries), q, q))
    for v, (r, col) in enumerate(entries):
        plain[v, r, col] = 1.0
    slopes = np.concatenate(
        [np.stack(logs, axis=1) if logs else np.zeros((R, 0, q, q)), np.repeat(plain[None], R, 0)],
        axis=1,
    )
    # Beside a held zero the rest of its column only rotates the others: leave it out there.
    redundant = plain[:, :, column].any(axis=1)
    slopes[np.ix_(np.flatnonzero(at_end), len(logs) + np.flatnonzero(redundant))] = 0.0
    start = np.array([*first, *(L[r, col] for r, col in entries)])
    carry: Array = np.asarray(np.linalg.inv(T), dtype=float)
    return _Shape(carry, held, slopes, len(logs), start)


def reach_generalized(model: GeneralizedMixed, term: str, theta: Array) -> Reach:
    """Where a parameter may lie, and a step in which its deviance changes by a few units."""
    said = model.estimates(theta[None])
    if term in said.names:
        std_error = float(said.std_error[0, said.names.index(term)])
        return Reach(-np.inf, np.inf, False, 2 * std_error)
    parts = model.components(theta[None])
    value = float(parts.values[0, parts.keys.index(term)])
    n, place = model.design.n, _place(model, term)
    if term == "sd__Observation":
        return Reach(0.0, np.inf, False, 2 * value / np.sqrt(2 * n))
    if place is None:
        return Reach(0.0, np.inf, True, max(0.3 * value, 1 / np.sqrt(n)))
    J = model.design.factors[place[0]].n_groups
    if len(place) == 3:
        return Reach(-1.0, 1.0, True, float(np.clip(1 / np.sqrt(J), 0.01, 0.3)))
    info = model.bases[place[0]].scale[place[1]] * np.sqrt(n)
    return Reach(0.0, np.inf, True, max(2 * value / np.sqrt(2 * J), float(1 / info)))
