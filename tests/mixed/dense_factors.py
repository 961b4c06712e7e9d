"""Brute force for several grouping factors: V written out, n x n, for small designs.

Nothing here is shared with the engine. Each factor brings its weights (n, J), zeros and ones where
a row belongs to one group, and its columns (n, q); derivatives are central differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DenseFactor:
    """One grouping factor: `weights` (n, J) and `columns` (n, q)."""

    weights: Array
    columns: Array

    def matrix(self) -> Array:
        """Z of this factor written out, (n, J q), group after group."""
        J, q = self.weights.shape[1], self.columns.shape[1]
        wide = self.weights[:, :, None] * self.columns[:, None, :]
        return wide.reshape(-1, J * q)


@dataclass(frozen=True)
class DenseMixed:
    """``y = X beta + sum_k Z_k b_k + e`` with ``b_k ~ N(0, sigma^2 I x S_k)``."""

    y: Array
    X: Array
    factors: tuple[DenseFactor, ...]
    reml: bool

    @property
    def nu(self) -> int:
        """Divisor of sigma^2."""
        n, p = self.X.shape
        return n - p if self.reml else n

    def V(self, S: Sequence[Array]) -> Array:
        """Covariance of y over sigma^2, (n, n)."""
        V = np.eye(len(self.y))
        for factor, share in zip(self.factors, S, strict=True):
            same = factor.weights @ factor.weights.T
            V += same * (factor.columns @ share @ factor.columns.T)
        return V

    def beta(self, S: Sequence[Array]) -> tuple[Array, Array]:
        """Coefficients (p,), and their covariance over sigma^2 (p, p)."""
        inverse = np.linalg.inv(self.V(S))
        C = np.linalg.inv(self.X.T @ inverse @ self.X)
        return C @ self.X.T @ inverse @ self.y, C

    def sigma(self, S: Sequence[Array]) -> float:
        """Residual standard deviation that minimises the deviance at S."""
        e = self.y - self.X @ self.beta(S)[0]
        return float(np.sqrt(e @ np.linalg.solve(self.V(S), e) / self.nu))

    def deviance(self, S: Sequence[Array], sigma: float | None = None) -> float:
        """Minus twice the (restricted) log-likelihood; sigma profiled out where it is None."""
        sigma = self.sigma(S) if sigma is None else sigma
        V = sigma**2 * self.V(S)
        beta, C = self.beta(S)
        e = self.y - self.X @ beta
        value = np.linalg.slogdet(V)[1] + e @ np.linalg.solve(V, e) + self.nu * np.log(2 * np.pi)
        if self.reml:
            value -= np.linalg.slogdet(sigma**2 * C)[1]
        return float(value)

    def blups(self, S: Sequence[Array]) -> list[Array]:
        """E(b_k | y) of every factor, (J, q)."""
        solved = np.linalg.solve(self.V(S), self.y - self.X @ self.beta(S)[0])
        return [
            (f.matrix().T @ solved).reshape(f.weights.shape[1], -1) @ share
            for f, share in zip(self.factors, S, strict=True)
        ]

    def conditional_covariance(self, S: Sequence[Array]) -> Array:
        """Covariance over sigma^2 of all b given y and beta, factor after factor."""
        Z = np.hstack([f.matrix() for f in self.factors])
        D = _block_diagonal(
            [np.kron(np.eye(f.weights.shape[1]), s) for f, s in zip(self.factors, S, strict=True)]
        )
        return D - D @ Z.T @ np.linalg.solve(self.V(S), Z @ D)


def _block_diagonal(blocks: Sequence[Array]) -> Array:
    size = sum(len(b) for b in blocks)
    found, first = np.zeros((size, size)), 0
    for b in blocks:
        found[first : first + len(b), first : first + len(b)] = b
        first += len(b)
    return found


def dense_of(fit: Any) -> DenseMixed:
    """The rows of a fit, from its design alone."""
    design = fit.model.design
    factors = tuple(
        DenseFactor(np.asarray(f.weights.todense(), dtype=float), f.Z) for f in design.factors
    )
    return DenseMixed(design.y, design.X[:, fit.model.fixed.kept], factors, fit.method == "REML")


def relative_covariances(fit: Any, Lambda: Array) -> list[Array]:
    """Covariance of each factor's effects over sigma^2, from Lambda of them all (Q, Q)."""
    places = fit.model.structure.factors
    return [Lambda[at, at] @ Lambda[at, at].T for at in places]


def differences(function: Any, at: Array, step: float = 1e-5) -> Array:
    """Central differences of a scalar or array function."""
    columns = []
    for i in range(at.size):
        e = np.zeros(at.size)
        e[i] = step * max(1.0, abs(at[i]))
        high, low = function(at + e), function(at - e)
        columns.append((np.asarray(high) - np.asarray(low)) / (2 * e[i]))
    return np.stack(columns, axis=-1)
