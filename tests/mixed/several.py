"""A fit with several grouping factors at known parameters, with V written out.

The fit is the engine's own, but at parameters that are given: coefficients come from the n x n
covariance, random effects from the kernel. `dense_effects` has the same effects from the joint
normal distribution of response and effects.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from teamlink.fitting.estimates import Estimates
from teamlink.mixed.bind import bind
from teamlink.mixed.design import design
from teamlink.mixed.factor import Factor
from teamlink.mixed.model import LinearMixed
from teamlink.mixed.ranef import RandomEffects
from teamlink.mixed.result import MixedFit

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Known(LinearMixed):
    """A linear mixed model with a known sigma, and coefficients from dense matrices."""

    sd: float = 1.0

    def sigma2(self, theta: Array) -> Array:
        return np.full(len(theta), self.sd**2)

    def Sigma(self, theta: Array) -> Array:
        """Covariance (Q, Q) of the effects as written."""
        Lambda = self.relative_factor(theta[None])[0]
        return self.sd**2 * Lambda @ Lambda.T

    def big(self) -> Array:
        """(n, sum of J q) random-effects matrix of all factors."""
        return np.hstack([group_major(factor) for factor in self.design.factors])

    def prior(self, theta: Array) -> Array:
        """Covariance of all random effects."""
        Sigma, parts = self.Sigma(theta), []
        for factor, place in zip(self.design.factors, self.structure.factors, strict=True):
            parts.append(np.kron(np.eye(factor.n_groups), Sigma[place, place]))
        size = sum(len(part) for part in parts)
        whole, first = np.zeros((size, size)), 0
        for part in parts:
            whole[first : first + len(part), first : first + len(part)] = part
            first += len(part)
        return whole

    def V(self, theta: Array) -> Array:
        Z = self.big()
        return self.sd**2 * np.eye(self.design.n) + Z @ self.prior(theta) @ Z.T

    def estimates(self, theta: Array) -> Estimates:
        X = self.design.X
        Vi = np.linalg.inv(self.V(theta[0]))
        C = np.linalg.inv(X.T @ Vi @ X)
        beta = C @ X.T @ Vi @ self.design.y
        return Estimates(self.names, beta[None], C[None], np.full((1, len(beta)), np.inf), "normal")


def group_major(factor: Factor) -> Array:
    """(n, J q) random-effects matrix written out; column ``j q + a`` is effect a of group j."""
    columns = factor.weights.toarray()[:, :, None] * factor.Z[:, None, :]
    return columns.reshape(len(columns), -1)


def dense_effects(model: Known, theta: Array) -> tuple[RandomEffects, ...]:
    """Conditional means, covariances and loadings of every factor's effects."""
    X, Z, prior, Vi = model.design.X, model.big(), model.prior(theta), np.linalg.inv(model.V(theta))
    gain = prior @ Z.T @ Vi
    beta = model.estimates(theta[None]).values[0]
    b, B, left = gain @ (model.design.y - X @ beta), gain @ X, prior - gain @ Z @ prior
    Sigma, found, first = model.Sigma(theta), [], 0
    for factor, place in zip(model.design.factors, model.structure.factors, strict=True):
        J, q = factor.n_groups, factor.q
        at = slice(first, first + J * q)
        own = left[at, at].reshape(J, q, J, q)[np.arange(J), :, np.arange(J)]
        found.append(
            RandomEffects(b[at].reshape(J, q), own, B[at].reshape(J, q, -1), Sigma[place, place])
        )
        first += J * q
    return tuple(found)


def known_fit(formula: str, table: object, theta: Array, sd: float, memberships=None) -> MixedFit:
    """The fit of a formula at theta, in units of the columns as written, and sigma = sd."""
    found = design(formula, table, memberships)
    bound = bind(found, True, "normal")
    model = Known(*(getattr(bound, field.name) for field in fields(LinearMixed)), sd)
    structure, random = bound.structure, bound.random
    Lambda = structure.factor(np.asarray(theta, dtype=float))
    working = structure.parameters(structure.canonical(np.linalg.solve(random.T, Lambda)))
    return MixedFit(
        model=model, working_theta=working, deviance=0.0, method="REML",
        estimates=model.estimates(working[None]),
        convergence=SimpleNamespace(converged=True, boundary=False, message=""),
        nobs=found.n, n_parameters=1, label=str(found.formula),
    )  # fmt: skip
