r"""The generalized linear mixed model, bound to its rows.

    y_i | b ~ family at eta_i,    eta = offset + X beta + Z b,    b_k ~ N(0, Lambda_k Lambda_k').

Optimised together are theta (the free elements of every factor's Lambda), the coefficients and the
family's own parameters: ``theta = (theta_1 .. theta_K, beta, own)``, all in a working basis. In it
the columns of X are orthonormal with n times unit length, and the columns of Z are centred where
their block has an intercept, and scaled. For an ordinal response X has no constant and is centred;
the thresholds take the means up. What leaves this module is in the units of the data.

The gradient is exact (`integrand`, `joint`); the Hessian is made of differences of it, for which
the modes are sought from those of the point itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from teamlink.errors import DesignError
from teamlink.fitting.components import Components
from teamlink.fitting.estimates import Estimates
from teamlink.fitting.model import Derivatives, Groups, Model, Reach
from teamlink.mixed.covariance import RandomBasis, RandomStructure
from teamlink.mixed.generalized.boundary import on_boundary, settle
from teamlink.mixed.generalized.families import Family, Observed
from teamlink.mixed.generalized.fixed import FixedColumns
from teamlink.mixed.generalized.glm import given_effects, glm_start, moment_deviations
from teamlink.mixed.generalized.integrand import Gradient, Grouped, Rule, evaluate
from teamlink.mixed.generalized.joint import Joint, evaluate_jointly
from teamlink.mixed.generalized.observed import GeneralizedDesign
from teamlink.mixed.generalized.ordinal import Cumulative
from teamlink.mixed.generalized.parts import components, drawn, why_incomparable, why_not_nested
from teamlink.mixed.generalized.pin import pin_generalized, reach_generalized
from teamlink.typing import Array, Codes, Mask

__all__ = ["GeneralizedMixed", "Point"]

_STEP = 1e-5
"""Step of the differences of the gradient that make the Hessian of a Newton step."""

_FINE_STEP = 1e-4
"""Step of the central differences that make the Hessian of standard errors."""

_DOMINANT, _MINOR = 1.5, 0.1
"""Standard deviations of effects where one factor is to explain nearly all."""

_CELLS = 3_000_000
"""Rows times nodes times points that are evaluated together."""


@dataclass(frozen=True, slots=True)
class Point:
    """The criterion at A points.

    Attributes
    ----------
    value : (A,)
    gradient : (A, k)
    profile : (A, p + P) gradient of -2 h(u^) alone in the coefficients and own parameters
    Lambda : each factor's (A, q, q) gradient in all elements of its Lambda
    natural : (A, P) gradient in the family's natural parameters
    u : each factor's (A, q, J) modes
    """

    value: Array
    gradient: Array
    profile: Array
    Lambda: tuple[Array, ...]
    natural: Array
    u: tuple[Array, ...]


@dataclass(frozen=True, slots=True)
class GeneralizedMixed:
    """A generalized mixed model of R responses on one design.

    Attributes
    ----------
    design : the rows as given
    family : the distribution of a response given its linear predictor
    structures : which elements of each factor's Lambda are free
    bases : how each factor's columns were centred and scaled
    fixed : how the columns of X were
    order : (n,) rows in the order in which they are computed, by group of the first factor
    Q : (n, p) working columns of X, in that order
    offset : (n,) in that order
    observed : the responses, in that order
    rows : the random-effects columns, in that order
    quadrature : None for Laplace's approximation
    constant : (R,) or (1,) what of the log-likelihood depends on the response alone
    se : "hessian" or "conditional"
    """

    design: GeneralizedDesign
    family: Family
    structures: tuple[RandomStructure, ...]
    bases: tuple[RandomBasis, ...]
    fixed: FixedColumns
    order: Codes
    Q: Array
    offset: Array
    observed: Observed
    rows: Grouped | Joint
    quadrature: Rule | None
    constant: Array
    se: str

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients of the fixed part that are estimated."""
        return tuple(self.design.x_names[i] for i in self.fixed.kept)

    @property
    def fixed_columns(self) -> Array:
        """(n, p) columns of X that are estimated."""
        return self.design.X[:, self.fixed.kept]

    @property
    def row_labels(self) -> pd.Index[Any]:
        """(n,) labels of the rows in the table that the model was fitted to."""
        return self.design.index

    @property
    def places(self) -> tuple[slice, ...]:
        """Where in theta each factor's elements stand."""
        ends = np.cumsum([s.size for s in self.structures])
        return tuple(
            slice(int(e - s.size), int(e)) for e, s in zip(ends, self.structures, strict=True)
        )

    @property
    def n_theta(self) -> int:
        """Number of free elements of all Lambda."""
        return sum(s.size for s in self.structures)

    def parts(self, theta: Array) -> tuple[tuple[Array, ...], Array, Array]:
        """Each factor's working Lambda (A, q, q), coefficients (A, p), own parameters (A, P)."""
        Lambdas = tuple(
            s.factor(theta[:, place]) for s, place in zip(self.structures, self.places, strict=True)
        )
        k, p = self.n_theta, self.Q.shape[1]
        return Lambdas, theta[:, k : k + p], theta[:, k + p :]

    def evaluate(
        self, theta: Array, index: Codes | None = None, start: tuple[Array, ...] | None = None
    ) -> Point:
        """The criterion at theta (A, k) with its gradient.

        Parameters
        ----------
        theta : (A, k)
        index : (A,) response of each row of theta, default all
        start : each factor's (A, q, J), where to look for the modes
        """
        index = np.arange(len(theta)) if index is None else index
        nodes = 1 if self.quadrature is None else len(self.quadrature.nodes)
        size = max(1, _CELLS // (len(self.order) * nodes))
        if size >= len(theta):
            return self._evaluate(theta, index, start)
        parts = []
        for first in range(0, len(theta), size):
            some = slice(first, first + size)
            own = None if start is None else tuple(u[some] for u in start)
            parts.append(self._evaluate(theta[some], index[some], own))
        return _stacked(parts)

    def _evaluate(self, theta: Array, index: Codes, start: tuple[Array, ...] | None) -> Point:
        Lambdas, beta, free = self.parts(theta)
        offset = self.offset + beta @ self.Q.T
        natural = self.family.natural(free).T[:, :, None]
        found = self.gradient(Lambdas, offset, natural, index, start)
        jacobian = self.family.jacobian(free)
        pieces = [
            slope[:, s.rows, s.cols] for slope, s in zip(found.Lambda, self.structures, strict=True)
        ]
        own = (found.natural[:, None, :] @ jacobian)[:, 0]
        own_profile = (found.profile_natural[:, None, :] @ jacobian)[:, 0]
        constant = self.constant if len(self.constant) == 1 else self.constant[index]
        return Point(
            found.value - 2 * constant,
            np.concatenate([*pieces, found.rows @ self.Q, own], axis=1),
            np.concatenate([found.profile_rows @ self.Q, own_profile], axis=1),
            found.Lambda,
            found.natural,
            found.u,
        )

    def gradient(
        self, Lambdas: tuple[Array, ...], offset: Array, natural: Array, index: Codes,
        start: tuple[Array, ...] | None,
    ) -> Gradient:  # fmt: skip
        """The criterion, without its constant, at A points in the kernels' own terms.

        Parameters
        ----------
        Lambdas : each factor's (A, q, q), of any shape
        offset : (A, n) fixed part
        natural : (P, A, 1) the family's natural parameters
        index : (A,) response of each point
        start : each factor's (A, q, J), where to look for the modes
        """
        data = self.observed.take(index)
        A = len(offset)
        if start is None:
            start = tuple(
                np.zeros((A, s.q, f.n_groups))
                for s, f in zip(self.structures, self.design.factors, strict=True)
            )
        if isinstance(self.rows, Grouped):
            return evaluate(
                self.rows, self.family, data, offset, Lambdas[0], natural, start[0],
                self.quadrature,
            )  # fmt: skip
        found = [
            evaluate_jointly(
                self.rows, self.family, data.take(np.array([a])), offset[a : a + 1],
                tuple(L[a] for L in Lambdas), natural[:, a : a + 1], tuple(u[a] for u in start),
            )
            for a in range(A)
        ]  # fmt: skip
        return Gradient(
            np.concatenate([g.value for g in found]),
            np.concatenate([g.rows for g in found]),
            tuple(np.concatenate(each) for each in zip(*[g.Lambda for g in found], strict=True)),
            np.concatenate([g.natural for g in found]),
            tuple(np.concatenate(each) for each in zip(*[g.u for g in found], strict=True)),
            np.concatenate([g.profile_rows for g in found]),
            np.concatenate([g.profile_natural for g in found]),
        )

    def deviance(self, theta: Array, index: Codes | None = None) -> Derivatives:
        """Minus twice the approximated log-likelihood with gradient and Hessian in theta."""
        index = np.arange(len(theta)) if index is None else index
        point = self.evaluate(theta, index)
        hessian = self._differences(theta, index, point, _STEP, False)[0]
        return Derivatives(point.value, point.gradient, hessian)

    def _differences(
        self, theta: Array, index: Codes, point: Point, size: float, central: bool
    ) -> tuple[Array, Array]:
        """Hessians (A, k, k) of the criterion, and (A, p + P, p + P) of -2 h alone."""
        A, k = theta.shape
        step = size * np.maximum(1.0, np.abs(theta))
        moves = step[:, :, None] * np.eye(k)
        every = np.repeat(index, k)
        start = tuple(np.repeat(u, k, axis=0) for u in point.u)

        def at(sign: float) -> tuple[Array, Array]:
            moved = (theta[:, None, :] + sign * moves).reshape(A * k, k)
            found = self.evaluate(moved, every, start)
            return found.gradient.reshape(A, k, k), found.profile.reshape(A, k, -1)

        (up, up_profile), width = at(1.0), step[:, :, None]
        if central:
            (down, down_profile), width = at(-1.0), 2 * width
        else:
            down, down_profile = point.gradient[:, None, :], point.profile[:, None, :]
        whole = (up - down) / width
        profile = ((up_profile - down_profile) / width)[:, self.n_theta :]
        return (
            0.5 * (whole + whole.transpose(0, 2, 1)),
            0.5 * (profile + profile.transpose(0, 2, 1)),
        )

    def curvature(self, theta: Array) -> tuple[Array, Array]:
        """The Hessians at theta (R, k) that standard errors are made of."""
        index = np.arange(len(theta))
        return self._differences(theta, index, self.evaluate(theta), _FINE_STEP, True)

    def starts(self) -> Array:
        """Starting points (S, R, k): by moments, at even odds, and each factor by turns dominant.

        What one factor explains another may explain as well where groups are few or nested, so that
        there are several minima.
        """
        beta, free = glm_start(self.family, self.observed, self.offset, self.Q)
        first, even = self._deviations(beta, free)
        turns = [
            [np.full_like(sd, _DOMINANT if i == k else _MINOR) for i, sd in enumerate(first)]
            for k in range(len(first))
        ]
        points = [first, even, *(turns if len(first) > 1 else [])]
        return np.stack([self._from(deviations, beta, free) for deviations in points])

    def further_starts(self) -> Array:
        """More starting points (T, R, k): smaller and larger."""
        beta, free = glm_start(self.family, self.observed, self.offset, self.Q)
        first, _ = self._deviations(beta, free)
        return np.stack([self._from([c * sd for sd in first], beta, free) for c in (0.2, 3.0)])

    def _deviations(self, beta: Array, free: Array) -> tuple[list[Array], list[Array]]:
        """Standard deviations (R, q) of each factor's effects, by moments and at even odds."""
        natural = self.family.natural(free).T[:, :, None]
        terms = self.family.terms(self.offset + beta @ self.Q.T, self.observed, natural)
        rows = self.rows
        factors = (rows,) if isinstance(rows, Grouped) else (rows.first, *rows.others)
        found = [moment_deviations(f, terms.score, np.maximum(terms.weight, 0.0)) for f in factors]
        # What is between the groups of one factor is in part between those of another.
        share = 1 / np.sqrt(len(factors))
        return [share * moments for moments, _ in found], [even for _, even in found]

    def _from(self, deviations: list[Array], beta: Array, free: Array) -> Array:
        """Theta (R, k) with uncorrelated effects of given standard deviations (R, q)."""
        spread = np.stack([np.square(sd).sum(axis=1) for sd in deviations]).sum(axis=0)
        beta, free = given_effects(self.family, beta, free, spread, self.Q)
        thetas = [
            s.parameters(sd[:, :, None] * np.eye(s.q))
            for s, sd in zip(self.structures, deviations, strict=True)
        ]
        return np.concatenate([*thetas, beta, free], axis=1)

    def settle(self, theta: Array, index: Codes) -> tuple[Array, Mask]:
        """Put vanishing variances at exactly zero; leave a zero that the score says is too small.

        Returns the points (A, k) and which of them (A,) have to be optimised again.
        """
        return settle(self, theta, index)

    def on_boundary(self, theta: Array) -> Mask:
        """Which points (A,) have a variance of zero or a perfect correlation."""
        return on_boundary(self, theta)

    def factors(self, theta: Array) -> tuple[Array, ...]:
        """Each factor's Lambda (A, q, q) in the units of the data, canonical."""
        Lambdas, _, _ = self.parts(theta)
        return tuple(
            s.canonical(basis.T @ L)
            for s, basis, L in zip(self.structures, self.bases, Lambdas, strict=True)
        )

    def own(self, theta: Array) -> Array:
        """(A, P) the family's own parameters; thresholds are those of the model as written."""
        _, beta, free = self.parts(theta)
        natural = self.family.natural(free)
        if isinstance(self.family, Cumulative):
            natural = natural + (beta @ (self.fixed.K.T @ self.fixed.shift))[:, None]
        return natural

    def estimates(self, theta: Array) -> Estimates:
        """Thresholds and coefficients at theta (R, k), with their covariance; normal tests."""
        _, beta, free = self.parts(theta)
        K = self.fixed.K
        R, p, P = len(theta), len(K), self.family.size
        values, names = beta @ K.T, self.names
        whole, profile = self.curvature(theta)
        covariance = np.stack(
            [
                _marginal(whole[r], self.n_theta) if self.se == "hessian" else _inverse(profile[r])
                for r in range(R)
            ]
        )
        if isinstance(self.family, Cumulative):
            G = np.zeros((R, P + p, p + P))
            G[:, :P, :p] = K.T @ self.fixed.shift
            G[:, :P, p:] = self.family.jacobian(free)
            G[:, P:, :p] = K
            values = np.concatenate([self.own(theta), values], axis=1)
            names = (*self.threshold_names, *names)
        else:
            G = np.zeros((R, p, p + P))
            G[:, :, :p] = K
        covariance = 2 * G @ covariance @ G.transpose(0, 2, 1)
        return Estimates(names, values, covariance, np.full(values.shape, np.inf), self.se)

    @property
    def threshold_names(self) -> tuple[str, ...]:
        """Names of an ordinal response's thresholds, as ``low|middle``."""
        labels = self.design.categories
        return tuple(f"{a}|{b}" for a, b in pairwise(labels))

    def components(self, theta: Array) -> Components:
        """Standard deviations and correlations at theta (R, k), then what the family adds."""
        return components(self, theta)

    def with_responses(self, Y: Array) -> GeneralizedMixed:
        """The same design with responses Y (n, R), in the order of the rows that were used."""
        Y = np.asarray(Y, dtype=float)
        Y = Y[:, None] if Y.ndim == 1 else Y
        if Y.shape[0] != self.design.n:
            raise DesignError(
                f"the responses have {Y.shape[0]} rows, but the model used {self.design.n}"
            )
        wrong = np.flatnonzero(~_possible(self, Y))
        if wrong.size:
            raise DesignError(
                f"responses {wrong[:5].tolist()} hold values that a {self.family.name} response "
                "cannot have"
            )
        observed = replace(self.observed, y=np.ascontiguousarray(Y[self.order].T))
        return replace(self, observed=observed, constant=self.family.constant(observed))

    def simulate(
        self, theta: Array, n: int, rng: np.random.Generator, groups: Groups = "new"
    ) -> Array:
        """Responses (rows, n) drawn at theta (k,): of new groups, or of the same ones again."""
        return drawn(self, theta, n, rng, groups)

    def maximum_likelihood(self) -> GeneralizedMixed:
        """The model itself: it knows no other likelihood."""
        return self

    def reach(self, term: str, theta: Array) -> Reach:
        """The range of a parameter at theta (k,); see `Reach`."""
        return reach_generalized(self, term, theta)

    def pin(self, term: str, values: Array, theta: Array) -> Model:
        """The model with a parameter held at each of values (R,)."""
        return pin_generalized(self, term, values, theta)

    def why_incomparable(self, other: Model) -> str | None:
        """Why the two criteria must not be set side by side; None where they may."""
        return why_incomparable(self, other)

    def why_not_nested_in(self, other: Model) -> str | None:
        """Why this model is no special case of the other; None where it is one."""
        return why_not_nested(self, other)

    def variances_added(self, other: Model) -> int:
        """How many variances of the other are zero where it is this model, a case of it."""
        if not isinstance(other, GeneralizedMixed):
            return 0
        effects = sum(s.q for s in other.structures) - sum(s.q for s in self.structures)
        return max(min(effects, other.n_theta - self.n_theta), 0)


def _stacked(parts: list[Point]) -> Point:
    """Several batches as one."""
    return Point(
        np.concatenate([p.value for p in parts]),
        np.concatenate([p.gradient for p in parts]),
        np.concatenate([p.profile for p in parts]),
        tuple(np.concatenate(each) for each in zip(*[p.Lambda for p in parts], strict=True)),
        np.concatenate([p.natural for p in parts]),
        tuple(np.concatenate(each) for each in zip(*[p.u for p in parts], strict=True)),
    )


def _inverse(hessian: Array) -> Array:
    """Inverse of a Hessian, NaN where it is not positive definite."""
    w, V = np.linalg.eigh(hessian)
    if not w.size or w[0] > 0:
        return np.asarray((V / w) @ V.T, dtype=float)
    return np.full_like(hessian, np.nan)


def _marginal(hessian: Array, k: int) -> Array:
    """Inverse without the first k rows and columns, which are those of theta.

    Directions of theta in which nothing changes (a factor that is not of full rank) take no part.
    """
    inner, cross = hessian[:k, :k], hessian[:k, k:]
    w, V = np.linalg.eigh(inner)
    alive = np.abs(w) > 1e-6 * max(float(np.abs(w).max(initial=0.0)), 1e-300)
    along = V[:, alive].T @ cross
    return _inverse(hessian[k:, k:] - along.T @ (along / w[alive][:, None]))


def _possible(model: GeneralizedMixed, Y: Array) -> Mask:
    """Which responses (R,) the family can have."""
    good: Mask = np.asarray(np.isfinite(Y).all(axis=0), dtype=np.bool_)
    if model.family.name == "gaussian":
        return good
    good &= np.logical_and(Y >= 0, Y % 1 == 0).all(axis=0)
    if model.family.name == "binomial":
        good &= (model.design.trials[:, None] >= Y).all(axis=0)
    if isinstance(model.family, Cumulative):
        good &= model.family.categories > Y.max(axis=0)
    return good
