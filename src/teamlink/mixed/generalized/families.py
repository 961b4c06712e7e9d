r"""Families: the log density of one response given its linear predictor, with what fitting needs.

For a row with linear predictor eta every family gives, all constants included,

    l(eta),    s = dl/d eta,    w = -d2l/d eta2,    dw/d eta,

and, where it has parameters of its own (the dispersion of the negative binomial, the residual
standard deviation, the thresholds of an ordinal response), the derivatives of l, s and w in them.
The weight w is the observed curvature, not its expectation: with a link that is not canonical the
two differ, and it is the observed one that Laplace's approximation is made of.

Each family has two sets of parameters: `free` ones, which range over the whole real line and are
optimised, and `natural` ones, which the density is written in.

Shapes: eta (R, n), or (R, K, n) at K nodes; y broadcasts against it; natural parameters are
(P, R, 1) or (P, R, 1, 1), so that each broadcasts against eta. P is zero for most families.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from teamlink.typing import Array, Codes

__all__ = ["FAR", "LINKS", "Family", "NoParameters", "Observed", "Terms"]

FAR = 500.0
"""Linear predictors are cut here before they are exponentiated; 1e217 is as good as infinity."""

LINKS: dict[str, tuple[str, ...]] = {
    "binomial": ("logit", "probit", "cloglog"),
    "poisson": ("log",),
    "negative-binomial": ("log",),
    "gaussian": ("log",),
    "ordinal": ("logit", "probit"),
}
"""Families and their links, the default first."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What was observed, rows on the last axis.

    Attributes
    ----------
    y : (R, n) or (1, n), with a node axis (R, 1, n) where eta has one: successes, counts, values,
        or codes of categories from 0
    trials : (n,) number of trials of each row; ones for anything but a binomial response
    weights : (n,) prior weights, or None for ones
    """

    y: Array
    trials: Array
    weights: Array | None

    def at_nodes(self) -> Observed:
        """The same with an axis for nodes."""
        return Observed(self.y[:, None, :], self.trials, self.weights)

    def take(self, rows: Codes) -> Observed:
        """Responses of some replicates only; all where there is one that serves every replicate."""
        return self if len(self.y) == 1 else Observed(self.y[rows], self.trials, self.weights)

    def weighted(self, *parts: Array) -> tuple[Array, ...]:
        """Each part times the prior weights."""
        return parts if self.weights is None else tuple(p * self.weights for p in parts)


@dataclass(frozen=True, slots=True)
class Terms:
    """The log density of each row and its derivatives in eta.

    Attributes
    ----------
    value : log density without `Family.constant`
    score : first derivative
    weight : minus the second derivative
    slope : derivative of the weight
    """

    value: Array
    score: Array
    weight: Array
    slope: Array


class Family(Protocol):
    """What fitting asks of a family."""

    name: ClassVar[str]

    @property
    def link(self) -> str:
        """Name of the link."""
        ...

    @property
    def size(self) -> int:
        """Number P of parameters of its own."""
        ...

    def constant(self, data: Observed) -> Array:
        """What depends on the response alone: (R,) or (1,), summed over rows."""
        ...

    def density(self, eta: Array, data: Observed, natural: Array) -> tuple[Array, Array]:
        """Log density and score of each row."""
        ...

    def terms(self, eta: Array, data: Observed, natural: Array) -> Terms:
        """Log density of each row with three derivatives."""
        ...

    def own(
        self, eta: Array, data: Observed, natural: Array
    ) -> tuple[list[Array], list[Array], list[Array]]:
        """Derivatives of value, score and weight in each natural parameter."""
        ...

    def own_value(self, eta: Array, data: Observed, natural: Array) -> list[Array]:
        """Derivative of the value alone in each natural parameter."""
        ...

    def natural(self, free: Array) -> Array:
        """Natural parameters (R, P) from free ones."""
        ...

    def jacobian(self, free: Array) -> Array:
        """(R, P, P) derivative of natural parameter [:, i] in free parameter [:, :, j]."""
        ...

    def mean(self, eta: Array) -> Array:
        """Expected response, per trial."""
        ...

    def variance(self, mu: Array, data: Observed, natural: Array) -> Array:
        """Variance of the response, per trial, given its mean."""
        ...

    def unit_deviance(self, mu: Array, data: Observed, natural: Array) -> Array:
        """Twice the log density that a row loses against its best possible mean."""
        ...

    def draw(self, eta: Array, data: Observed, natural: Array, rng: np.random.Generator) -> Array:
        """Responses drawn at linear predictors (n,)."""
        ...


class NoParameters:
    """A family without parameters of its own."""

    @property
    def size(self) -> int:
        return 0

    def own(
        self, eta: Array, data: Observed, natural: Array
    ) -> tuple[list[Array], list[Array], list[Array]]:
        return [], [], []

    def own_value(self, eta: Array, data: Observed, natural: Array) -> list[Array]:
        return []

    def natural(self, free: Array) -> Array:
        return free

    def jacobian(self, free: Array) -> Array:
        return np.empty((len(free), 0, 0))
