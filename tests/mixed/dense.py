"""Brute force: the linear mixed model with V written out, for small designs.

Nothing here is shared with the engine. V is n x n, derivatives are central differences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Dense:
    """y = X beta + sum_j Z_j b_j + e with V = sigma^2 I + Z Sigma Z'."""

    y: Array
    X: Array
    Z: Array
    codes: NDArray[np.intp]
    reml: bool

    def V(
        self,
        Sigma: Array,
        sigma2: float,
    ) -> Array:
        same = self.codes[:, None] == self.codes[None, :]
        return sigma2 * np.eye(len(self.y)) + same * (self.Z @ Sigma @ self.Z.T)

    def beta(self, Sigma: Array, sigma2: float) -> tuple[Array, Array]:
        Vi = np.linalg.inv(self.V(Sigma, sigma2))
        C = np.linalg.inv(self.X.T @ Vi @ self.X)
        return C @ self.X.T @ Vi @ self.y, C

    def deviance(self, Sigma: Array, sigma2: float) -> float:
        n, p = self.X.shape
        V = self.V(Sigma, sigma2)
        beta, C = self.beta(Sigma, sigma2)
        e = self.y - self.X @ beta
        value = np.linalg.slogdet(V)[1] + e @ np.linalg.solve(V, e)
        if self.reml:
            return value - np.linalg.slogdet(C)[1] + (n - p) * np.log(2 * np.pi)
        return value + n * np.log(2 * np.pi)

    def profiled(self, Lambda: Array) -> float:
        """Minimum over sigma^2 of the deviance with Sigma = sigma^2 Lambda Lambda'."""
        n, p = self.X.shape
        relative = Lambda @ Lambda.T
        V = self.V(relative, 1.0)
        beta, _ = self.beta(relative, 1.0)
        e = self.y - self.X @ beta
        sigma2 = e @ np.linalg.solve(V, e) / (n - p if self.reml else n)
        return self.deviance(sigma2 * relative, sigma2)

    def blups(self, Sigma: Array, sigma2: float) -> tuple[Array, Array]:
        """Random effects (J, q), and the joint error covariance of (beta, b) (p + Jq, p + Jq)."""
        J, q = self.codes.max() + 1, self.Z.shape[1]
        big = np.zeros((len(self.y), J * q))
        for i, j in enumerate(self.codes):
            big[i, j * q : (j + 1) * q] = self.Z[i]
        W = np.hstack([self.X, big])
        M = W.T @ W / sigma2
        p = self.X.shape[1]
        M[p:, p:] += np.kron(np.eye(J), np.linalg.inv(Sigma))
        inverse = np.linalg.inv(M)
        solution = inverse @ W.T @ self.y / sigma2
        return solution[p:].reshape(J, q), inverse


def differences(function: object, at: Array, step: float = 1e-5) -> Array:
    """Central differences of a scalar or array function."""
    columns = []
    for i in range(at.size):
        e = np.zeros(at.size)
        e[i] = step * max(1.0, abs(at[i]))
        high, low = function(at + e), function(at - e)  # type: ignore[operator]
        columns.append((np.asarray(high) - np.asarray(low)) / (2 * e[i]))
    return np.stack(columns, axis=-1)
