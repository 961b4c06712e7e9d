r"""Cluster-robust covariance of pooled effects, with Satterthwaite degrees of freedom.

Clusters are studies with several effects, or laboratories. With M = (X'V^-1 X)^-1, V the working
covariance, e_j the residuals of cluster j, V_j = U_j'U_j and B_j = U_j (V_j - X_j M X_j') U_j',

    V_R = M { sum_j E_j e_j e_j'E_j' } M,    E_j = X_j'V_j^-1 A_j,
    A_j = U_j' B_j^-1/2 U_j  (CR2),

A_j = I for CR0 and CR1, which multiplies by J / (J - 1). Degrees of freedom as in
`teamlink.mixed.sandwich`, whose formulas these are with V known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teamlink.typing import Array, Codes

__all__ = ["KINDS", "Sandwich", "Working", "sandwich"]

KINDS = ("CR0", "CR1", "CR2")
_SINGULAR = 1e-10


@dataclass(frozen=True, slots=True)
class Sandwich:
    """A robust covariance.

    Attributes
    ----------
    covariance : (p, p)
    forms : (J, p, p) p_s'V_j p_t of the coefficients s and t
    sides : (J, p, p) X_j'p_s, one row a coefficient s
    M : (p, p)
    """

    covariance: Array
    forms: Array
    sides: Array
    M: Array

    def degrees_of_freedom(self) -> Array:
        """(p,) of each coefficient: (tr P)^2 / tr(PP)."""
        p = len(self.M)
        return np.array([self._eta(np.eye(p)[[s]]) for s in range(p)])

    def hotelling(self, contrasts: Array) -> float:
        """Degrees of freedom eta of a joint test of r contrasts (r, p); see the mixed models."""
        return self._eta(contrasts)

    def _eta(self, contrasts: Array) -> float:
        a = contrasts @ self.forms @ contrasts.T
        b = contrasts @ self.sides
        own = b @ self.M @ np.swapaxes(b, 1, 2)
        w, vectors = np.linalg.eigh((a - own).sum(axis=0))
        scale = (vectors / np.sqrt(w)).T
        a, b = scale @ a @ scale.T, scale @ b
        root = np.linalg.cholesky(self.M)
        b = b @ root
        own = b @ np.swapaxes(b, 1, 2)
        G = np.einsum("jsa,jtb->stab", b, b)
        each, mine = np.einsum("jss->js", a), np.einsum("jss->js", own)
        total = (each.T @ (each - 2 * mine)).sum() + np.square(G).sum()
        total += (a * (a - 2 * own)).sum() + np.einsum("stab,stba->", G, G)
        r = len(contrasts)
        return float(r * (r + 1) / total)


@dataclass(frozen=True, slots=True)
class Working:
    """Working covariance V: independent effects, and perhaps a variance that a cluster shares.

    Attributes
    ----------
    variance : (k,) of each effect by itself
    between : shared by the effects of a cluster; zero where they share nothing
    clusters : (k,) codes 0 .. J-1; None where `between` is zero
    """

    variance: Array
    between: float
    clusters: Codes | None

    def solve(self, B: Array) -> Array:
        """V^-1 B for B (k, m)."""
        w = 1 / self.variance
        found: Array = w[:, None] * B
        if self.between == 0 or self.clusters is None:
            return found
        total = np.bincount(self.clusters, weights=w)
        sums = np.zeros((len(total), B.shape[1]))
        np.add.at(sums, self.clusters, found)
        shrunk = sums * (self.between / (1 + self.between * total))[:, None]
        return found - w[:, None] * shrunk[self.clusters]

    def inverse_diagonal(self) -> Array:
        """(k,) diagonal of V^-1."""
        w = 1 / self.variance
        if self.between == 0 or self.clusters is None:
            return w
        total = np.bincount(self.clusters, weights=w)
        found: Array = w - w**2 * (self.between / (1 + self.between * total))[self.clusters]
        return found

    def block(self, own: Codes) -> Array:
        """V of the effects of one cluster."""
        found: Array = np.diag(self.variance[own]) + self.between
        return found


def sandwich(
    X: Array, V: Working, M: Array, residual: Array, clusters: Codes, kind: str
) -> Sandwich:
    """Robust covariance of generalised least squares.

    Parameters
    ----------
    X : (k, p)
    V : working covariance
    M : (p, p) (X'V^-1 X)^-1
    residual : (k,)
    clusters : (k,) codes 0 .. J-1
    kind : one of `KINDS`
    """
    p, J = X.shape[1], int(clusters.max()) + 1
    scores, forms, sides = np.empty((J, p)), np.empty((J, p, p)), np.empty((J, p, p))
    order = np.argsort(clusters, kind="stable")
    cuts = np.searchsorted(clusters[order], np.arange(J + 1))
    for j in range(J):
        own = order[cuts[j] : cuts[j + 1]]
        Xj, Vj = X[own], V.block(own)
        E = np.linalg.solve(Vj, Xj).T
        if kind == "CR2":
            E = E @ _adjustment(Xj, Vj, M)
        EM = M @ E
        scores[j] = EM @ residual[own]
        forms[j] = EM @ Vj @ EM.T
        sides[j] = EM @ Xj
    covariance = scores.T @ scores * (J / (J - 1) if kind == "CR1" else 1.0)
    return Sandwich(covariance, forms, sides, M)


def _adjustment(X: Array, V: Array, M: Array) -> Array:
    U = np.linalg.cholesky(V).T
    w, vectors = np.linalg.eigh(U @ (V - X @ M @ X.T) @ U.T)
    regular = w > _SINGULAR * np.linalg.eigvalsh(U @ V @ U.T).max()
    power = np.where(regular, np.where(regular, w, 1.0) ** -0.5, 0.0)
    found: Array = U.T @ (vectors * power) @ vectors.T @ U
    return found
