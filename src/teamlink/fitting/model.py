"""The waist's protocol: what an engine brings to be fitted.

An engine binds a specification to sufficient statistics and answers a few questions about it. All
that comes after a fit (intervals, refits, comparison, tables) asks nothing else. Abilities that not
every engine has are separate, small protocols.

Every array has replicates on its leading axis: an ordinary fit is a batch of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from teamlink.fitting.components import Components
from teamlink.fitting.estimates import Estimates
from teamlink.typing import Array, Codes, Mask

__all__ = [
    "Batches",
    "Bounded",
    "Comparable",
    "Decomposes",
    "Derivatives",
    "Groups",
    "Model",
    "Perturbs",
    "Pins",
    "Reach",
    "Refittable",
    "Resamples",
    "Reweights",
    "Settles",
    "Simulates",
]

Groups = Literal["new", "same"]
"""Whose responses are drawn: those of new groups, or of the groups in the data once more."""


@dataclass(frozen=True, slots=True)
class Derivatives:
    """A criterion with its first two derivatives, for a batch of points.

    Attributes
    ----------
    value : (R,)
    gradient : (R, k)
    hessian : (R, k, k)
    """

    value: Array
    gradient: Array
    hessian: Array


class Model(Protocol):
    """A specification bound to statistics."""

    def starts(self) -> Array:
        """Starting points (S, R, k), S of them for each of R responses, the best informed first."""
        ...

    def further_starts(self) -> Array:
        """More of them (T, R, k), for responses where those of `starts` end in different minima."""
        ...

    def deviance(self, theta: Array, index: Codes | None = None) -> Derivatives:
        """Minus twice the log-likelihood with all constants; a pure function.

        `theta` is (A, k); `index` (A,) says which response each row belongs to, default all.
        """
        ...

    def estimates(self, theta: Array) -> Estimates:
        """Names, values, covariance and degrees of freedom at theta (R, k)."""
        ...


@runtime_checkable
class Settles(Protocol):
    """An engine whose parameter space has a boundary."""

    def settle(self, theta: Array, index: Codes) -> tuple[Array, Mask]:
        """Put points that touch the boundary exactly on it, or leave a saddle there.

        Returns the points (A, k) and which of them (A,) have to be optimised again.
        """
        ...

    def on_boundary(self, theta: Array) -> Mask:
        """Which points (A,) lie on the boundary."""
        ...


@runtime_checkable
class Comparable(Protocol):
    """An engine that knows which of its models may be compared."""

    def why_incomparable(self, other: Model) -> str | None:
        """Why the two criteria must not be set side by side; None where they may."""
        ...

    def why_not_nested_in(self, other: Model) -> str | None:
        """Why this model is no special case of the other; None where it is one."""
        ...


@runtime_checkable
class Bounded(Protocol):
    """An engine that knows which variances of a larger model are zero where it is this one."""

    def variances_added(self, other: Model) -> int:
        """How many variances of the other are zero where it is this model, a case of it."""
        ...


@runtime_checkable
class Refittable(Protocol):
    """An engine that can take many responses on one design."""

    def with_responses(self, Y: Array) -> Model:
        """The same design with responses Y (n, R)."""
        ...


@runtime_checkable
class Decomposes(Protocol):
    """An engine whose models have variance components."""

    def components(self, theta: Array) -> Components:
        """Standard deviations and correlations at theta (R, k)."""
        ...


@runtime_checkable
class Batches(Protocol):
    """An engine that knows what a replicate takes, so that a batch is made to fit into memory."""

    @property
    def numbers(self) -> int:
        """About how many numbers one replicate of a batch takes."""
        ...


@runtime_checkable
class Reweights(Protocol):
    """An engine whose likelihood is a sum over clusters, each of which may count more than once."""

    def n_clusters(self) -> int:
        """Number of clusters J."""
        ...

    def with_clusters(self, cluster: Any = None) -> Model:
        """The same with clusters chosen: a factor by name, or a label for each row; or its own."""
        ...

    def estimable(self, weights: Array) -> Mask:
        """Which weightings (R, J) of the clusters leave every parameter estimable, (R,)."""
        ...

    def with_group_weights(self, weights: Array, theta: Array) -> Model:
        """The response under weightings (R, J) of clusters; the search starts at theta (k,)."""
        ...


@runtime_checkable
class Resamples(Protocol):
    """An engine that can draw responses from its residuals at every level.

    As with `Simulates`, drawing n and then m gives the same numbers as drawing n + m.
    """

    def resample(self, theta: Array, n: int, rng: np.random.Generator) -> Array:
        """Responses (rows, n) at theta (k,)."""
        ...


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a parameter may lie.

    Attributes
    ----------
    low, high : ends of its range
    closed : whether the parameter may lie on a finite end
    step : a first step away from the estimate, of the size of its uncertainty
    """

    low: float
    high: float
    closed: bool
    step: float


@runtime_checkable
class Perturbs(Protocol):
    """An engine that can change coefficients by random weights on the residuals of clusters.

    As with `Simulates`, drawing n and then m gives the same numbers as drawing n + m.
    """

    def wild(
        self, theta: Array, n: int, rng: np.random.Generator, weights: str
    ) -> tuple[Array, Array, Array]:
        """Coefficients (n, p) at theta (k,), robust standard errors (n, p), and the fit's own."""
        ...


@runtime_checkable
class Pins(Protocol):
    """An engine that can hold a parameter at given values, for likelihood profiles."""

    def maximum_likelihood(self) -> Model:
        """The same model by maximum likelihood."""
        ...

    def reach(self, term: str, theta: Array) -> Reach:
        """The range of a parameter, at theta (k,)."""
        ...

    def pin(self, term: str, values: Array, theta: Array) -> Model:
        """The model with a parameter held at each of values (R,); the search starts at theta."""
        ...


@runtime_checkable
class Simulates(Protocol):
    """An engine that can draw responses from a fitted model.

    Drawing n and then m replicates from one generator gives the same numbers as drawing n + m.
    """

    @property
    def row_labels(self) -> pd.Index[Any]:
        """(rows,) labels of the rows in the user's table."""
        ...

    def simulate(
        self, theta: Array, n: int, rng: np.random.Generator, groups: Groups = "new"
    ) -> Array:
        """Responses (rows, n) drawn at theta (k,)."""
        ...
