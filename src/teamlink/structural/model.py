r"""The model of structural equations, bound to data: what the waist fits.

Minus twice the log-likelihood is a function of the implied moments of all blocks (`discrepancy`),
these are functions of the parameters x (`implied`), and x of working parameters theta
(`structure`). First and second derivatives are exact. With T the tangents of all slots, M the
derivative of what stands in the slots in the coordinates u, and H_m the curvature in the moments,

    Hessian in u = M' (T' H_m T + curvature of the moments themselves) M.

Exogenous variables that are fixed have the moments of the sample. They add the same to every
model's deviance; what they add is taken off, so the deviance is that of the others given them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from teamlink.errors import OptionError
from teamlink.fitting.estimates import Estimates
from teamlink.fitting.model import Derivatives, Groups, Model, Reach
from teamlink.structural import resample
from teamlink.structural.constraints import Coordinates
from teamlink.structural.defined import Dual, evaluate
from teamlink.structural.discrepancy import Likelihood, Point, block_diagonal
from teamlink.structural.drawing import simulated
from teamlink.structural.implied import (
    Adjoints,
    Moments,
    State,
    adjoints,
    gradient,
    implied,
    second_order,
    tangents,
)
from teamlink.structural.scoring import scored
from teamlink.structural.structure import Structure
from teamlink.typing import Array, Codes, Mask

if TYPE_CHECKING:
    from teamlink.structural.curved import CurvedModel
    from teamlink.structural.observations import Observations

__all__ = ["StructuralModel", "inverse_information"]


@dataclass(frozen=True, slots=True)
class StructuralModel:
    """Structural equations bound to data.

    Attributes
    ----------
    structure : from parameters to matrices
    likelihood : of implied moments
    sample : moments of each block by which moments of exogenous variables are fixed
    offset : (R,) deviance of the fixed exogenous variables, taken off
    first : (S, R, q) parameters from which the search starts
    information : "expected" or "observed", of which the covariance of estimates is the inverse
    observations : the rows
    shared : whether all replicates are of the same data, as when a parameter is held at values
    """

    structure: Structure
    likelihood: Likelihood
    sample: tuple[Moments, ...]
    offset: Array
    first: Array
    information: str
    observations: Observations
    shared: bool = False

    @property
    def coordinates(self) -> Coordinates:
        """From working parameters to parameters."""
        return self.structure.coordinates

    @property
    def n_replicates(self) -> int:
        """Number of replicates R."""
        return len(self.offset)

    def starts(self) -> Array:
        """See `teamlink.fitting.model.Model`."""
        return np.stack([self.coordinates.backward(x) for x in self.first])

    def further_starts(self) -> Array:
        """Starts around the first two, the same for every call."""
        rng = np.random.default_rng(0)
        found = []
        for middle in self.starts()[:2]:
            spread = 0.3 * np.maximum(np.abs(middle), 0.3)
            found.append(middle + spread * rng.standard_normal((4, *middle.shape)))
        return np.concatenate(found)

    def parameters(self, theta: Array, index: Codes | None = None) -> Array:
        """Parameters x (A, q) at working parameters (A, k)."""
        index = np.arange(len(theta)) if index is None else index
        return self.coordinates.forward(theta, index)[0]

    def states(self, x: Array, index: Codes) -> tuple[State, ...]:
        """Every block at parameters x (A, q) of replicates `index` (A,)."""
        return tuple(
            implied(block, x, own.Sigma[index], own.mu[index])
            for block, own in zip(self.structure.blocks, self.sample, strict=True)
        )

    def deviance(self, theta: Array, index: Codes | None = None) -> Derivatives:
        """See `teamlink.fitting.model.Model`."""
        index = np.arange(len(theta)) if index is None else index
        if not len(theta):
            none = np.zeros((0, self.coordinates.k))
            return Derivatives(np.zeros(0), none, np.zeros((0, *none.shape[1:] * 2)))
        x, first, second = self.coordinates.forward(theta, index)
        with np.errstate(all="ignore"):
            value, slope, curvature = self.derivatives(x, 0 * index if self.shared else index)
        K = self.coordinates.K
        g = slope @ K
        H = K.T @ curvature @ K
        H = H * first[:, :, None] * first[:, None, :]
        k = np.arange(K.shape[1])
        H[:, k, k] += g * second
        return Derivatives(value, g * first, H)

    def derivatives(
        self, x: Array, index: Codes, kind: str = "observed"
    ) -> tuple[Array, Array, Array]:
        """Deviance (A,), gradient (A, q) and second derivatives (A, q, q) in parameters x (A, q).

        The latter are "observed", or "expected" by the model, or those "along" the moments as if
        these were linear in the parameters.
        """
        states, point, backs = self._at(x, index)
        parts = zip(self.structure.blocks, states, backs, strict=True)
        slope = np.concatenate([gradient(*part) for part in parts], axis=1)
        value = point.value - self.offset[index]
        return value, self._gathered(slope), self._second(states, point, backs, kind)

    def _at(self, x: Array, index: Codes) -> tuple[tuple[State, ...], Point, list[Adjoints]]:
        """Every block, the likelihood there, and its slopes carried back."""
        states = self.states(x, index)
        point = self.likelihood.at([Moments(state.Sigma, state.mu) for state in states], index)
        parts = zip(self.structure.blocks, states, point.Sigma, point.mu, strict=True)
        return states, point, [adjoints(*part) for part in parts]

    def _second(
        self, states: Sequence[State], point: Point, backs: Sequence[Adjoints], kind: str
    ) -> Array:
        """Second derivatives of a kind (A, q, q), see `derivatives`."""
        blocks = self.structure.blocks
        along = [tangents(b, s) for b, s in zip(blocks, states, strict=True)]
        H = point.curvature(along, expected=kind == "expected")
        if kind == "observed":
            parts = zip(blocks, states, backs, strict=True)
            H += block_diagonal([second_order(*part) for part in parts])
        return self._gathered_twice(H)

    def _gathered(self, slots: Array) -> Array:
        """Slopes in slots (R, n) as slopes in parameters (R, q)."""
        found: Array = slots @ self.structure.selection
        return found

    def _gathered_twice(self, slots: Array) -> Array:
        """A Hessian in slots (R, n, n) as one in parameters (R, q, q)."""
        found: Array = self.structure.selection.T @ slots @ self.structure.selection
        return found

    def hessians(self, x: Array, index: Codes, kinds: Iterable[str]) -> dict[str, Array]:
        """Second derivatives of the deviance (A, q, q) of each kind, see `derivatives`."""
        there = self._at(x, index)
        return {kind: self._second(*there, kind) for kind in kinds}

    def hessian(self, x: Array, index: Codes, kind: str) -> Array:
        """Second derivatives of the deviance (A, q, q) of one kind."""
        return self.hessians(x, index, [kind])[kind]

    def n_clusters(self) -> int:
        """See `teamlink.fitting.model.Reweights`: clusters, or rows where there are none."""
        return resample.n_units(self)

    def with_clusters(self, cluster: Any = None) -> StructuralModel:
        """See `teamlink.fitting.model.Reweights`: its own, chosen when it was fitted."""
        if cluster is not None:
            raise OptionError("cluster: structural equations take it in the fit, sem(cluster=)")
        return self

    def estimable(self, weights: Array) -> Mask:
        """See `teamlink.fitting.model.Reweights`."""
        return resample.estimable(self, weights)

    def with_group_weights(self, weights: Array, theta: Array) -> StructuralModel:
        """See `teamlink.fitting.model.Reweights`."""
        return resample.reweighted(self, weights, theta)

    @property
    def row_labels(self) -> pd.Index[Any]:
        """See `teamlink.fitting.model.Simulates`: row, then variable."""
        return resample.labels_of_rows(self)

    def simulate(
        self, theta: Array, n: int, rng: np.random.Generator, groups: Groups = "new"
    ) -> Array:
        """See `teamlink.fitting.model.Simulates`."""
        return simulated(self, theta, n, rng, groups)

    def with_responses(self, Y: Array) -> StructuralModel:
        """See `teamlink.fitting.model.Refittable`."""
        return resample.with_rows(self, Y)

    def maximum_likelihood(self) -> StructuralModel:
        """See `teamlink.fitting.model.Pins`."""
        return self

    def reach(self, term: str, theta: Array) -> Reach:
        """See `teamlink.fitting.model.Pins`."""
        return resample.reach(self, term, theta)

    def pin(self, term: str, values: Array, theta: Array) -> StructuralModel | CurvedModel:
        """See `teamlink.fitting.model.Pins`."""
        return resample.pinned(self, term, values, theta)

    def on_boundary(self, theta: Array) -> Mask:
        """Which points (A,) have a parameter on a bound."""
        found: Mask = np.asarray(self.coordinates.on_bound(theta).any(axis=1))
        return found

    def settle(self, theta: Array, index: Codes) -> tuple[Array, Mask]:
        """Nothing to do: bounds are zeros of working parameters, and their saddles are left."""
        return theta, np.zeros(len(index), dtype=np.bool_)

    def covariance(self, theta: Array, hessian: Array | None = None) -> Array:
        """(R, q, q) covariance of the parameters by the inverse information.

        `hessian` (R, q, q) are the second derivatives at theta, where they are known already.
        """
        index = np.arange(len(theta))
        if hessian is None:
            hessian = self.hessian(self.parameters(theta, index), index, self.information)
        K = self.coordinates.K
        H = K.T @ hessian @ K
        held = self.coordinates.on_bound(theta)
        inverse = 2 * np.nan_to_num(inverse_information(H, held))
        found: Array = K @ inverse @ K.T
        # A parameter that moves with no free coordinate, but with one on its bound, has no error;
        # nor has one whose variance comes out negative, as may be where there is no minimum.
        none = (held @ (K != 0).T) & ~(~held @ (K != 0).T)
        q = np.arange(len(K))
        none |= found[:, q, q] < 0
        found[:, q, q] = np.where(none, np.nan, found[:, q, q])
        return found

    def estimates(self, theta: Array) -> Estimates:
        """Parameters, then defined ones, with their covariance by the inverse information."""
        x = self.parameters(theta)
        return self.estimates_from(x, self.covariance(theta), self.information)

    def estimates_from(self, x: Array, covariance: Array, method: str) -> Estimates:
        """Parameters (R, q) with a given covariance, and defined ones by the delta method."""
        values, slopes = [x], [np.broadcast_to(np.eye(x.shape[1]), covariance.shape)]
        for _, dual in self.defined(x):
            values.append(dual.value[:, None])
            slopes.append(dual.slope[:, None, :])
        J = np.concatenate(slopes, axis=1)
        names = (*self.structure.names, *(d.name for d in self.structure.definitions))
        found = np.concatenate(values, axis=1)
        V = J @ np.nan_to_num(covariance) @ J.transpose(0, 2, 1)
        q = np.arange(x.shape[1])
        V[:, q, q] = covariance[:, q, q]
        return Estimates(names, found, V, np.full(found.shape, np.inf), method)

    def defined(self, x: Array) -> list[tuple[str, Dual]]:
        """Defined parameters at x (R, q), with their slopes."""
        table = self.structure.table
        definitions = self.structure.definitions
        if not definitions:
            return []
        R, q = x.shape
        known: dict[str, Dual] = {}
        for i, row in enumerate(table.rows):
            if row.label and row.label not in known:
                j = self.structure.row_parameter[i]
                slope = np.zeros((R, q))
                if j >= 0:
                    slope[:, j] = 1.0
                value = x[:, j] if j >= 0 else np.full(R, row.value)
                known[row.label] = Dual(value, slope)
        like = Dual(np.zeros(R), np.zeros((R, q)))
        for definition in definitions:
            known[definition.name] = evaluate(definition.expression, known, like)
        return [(definition.name, known[definition.name]) for definition in definitions]

    def why_incomparable(self, other: Model) -> str | None:
        """See `teamlink.fitting.model.Comparable`."""
        if not isinstance(other, StructuralModel):
            return "one of them is no model of structural equations"
        if self.structure.table.meanstructure != other.structure.table.meanstructure:
            return "one of them models means and the other does not; see meanstructure="
        return self.observations.why_different(other.observations)

    def why_not_nested_in(self, other: Model) -> str | None:
        """See `teamlink.fitting.model.Comparable`; `difference` looks at the moments implied."""
        if not isinstance(other, StructuralModel):
            return "one of them is no model of structural equations"
        mine = {row.plain for row in self.structure.table.rows if row.exogenous}
        theirs = {row.plain for row in other.structure.table.rows if row.exogenous}
        return None if mine == theirs else "they do not fix the same exogenous variables"

    def started(self) -> StructuralModel:
        """The same from a better first point, working parameters in units of uncertainty there."""
        x, H = scored(self, self.first[0, 0])
        better = np.broadcast_to(x, self.first[:1].shape)
        K = self.coordinates.K
        n = self.observations.n_rows
        diagonal = np.diag(K.T @ H @ K) / (2 * n)
        scale = np.where(np.isfinite(diagonal) & (diagonal > 1e-12), diagonal, 1.0) ** -0.5
        structure = replace(self.structure, coordinates=self.coordinates.scaled(scale))
        return replace(self, structure=structure, first=np.concatenate([better, self.first]))


def inverse_information(H: Array, held: Mask) -> Array:
    """Inverses (R, k, k) of positive matrices; coordinates that are held have missing values.

    Parameters
    ----------
    H : (R, k, k)
    held : (R, k) coordinates on a bound
    """
    d = np.sqrt(np.maximum(np.diagonal(H, axis1=1, axis2=2), 1e-300))
    d = np.where(held, 1.0, d)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = H / (d[:, :, None] * d[:, None, :])
    out = held[:, :, None] | held[:, None, :]
    k = np.arange(H.shape[1])
    scaled = np.where(out, 0.0, scaled)
    scaled[:, k, k] = np.where(held, 1.0, scaled[:, k, k])
    bad: Mask = np.asarray(~np.isfinite(scaled).all(axis=(1, 2)))
    scaled = np.where(bad[:, None, None], np.eye(len(k)), scaled)
    try:
        found = np.linalg.inv(scaled)
    except np.linalg.LinAlgError:
        found = np.linalg.pinv(scaled, hermitian=True)
    found = np.where(bad[:, None, None], np.nan, found)
    found = np.where(out, 0.0, found) / (d[:, :, None] * d[:, None, :])
    found[:, k, k] = np.where(held, np.nan, found[:, k, k])
    return np.asarray(found)
