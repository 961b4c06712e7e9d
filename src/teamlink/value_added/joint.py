r"""The joint distribution of all random effects given the data, from the mixed-model equations.

With the variances known and a flat prior on beta, (beta, b) given y is normal with mean and
covariance from Henderson's equations,

    C (beta, b)' = (X'y, Z'y)',    C = [[X'X, X'Z], [Z'X, A]],    A = Z'Z + diag(sigma^2 / tau^2),
    cov(beta, b | y) = sigma^2 C^-1.

A is sparse and is factorised once; beta is eliminated after it. A draw of the error is
``C^-1 (X'e, Z'e + sigma lambda^1/2 z)`` with fresh e and z, because the covariance of the right
side is sigma^2 C. X'e and Z'e need no draw a row: rows of a cell (the same groups in every factor)
enter by their sum, and X about its cell means by one draw a column.

References
----------
Henderson (1975), doi:10.2307/2529430. Rue, Held (2005), Gaussian Markov random fields, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csc_array, csr_array, hstack
from scipy.sparse.linalg import splu

from teamlink.typing import Array, Codes

__all__ = ["JointEffects", "joint_effects"]

_CHUNK = 256
"""Right sides that are solved at a time."""


@dataclass(frozen=True, slots=True)
class JointEffects:
    """Random effects of all factors given the data.

    Attributes
    ----------
    mean : (q,) conditional means, factor after factor
    beta : (p,) generalised least squares
    places : where each factor stands along the effects
    factor : the sparse factors of A, over the effects whose variance is not zero
    alive : (q_alive,) which effects those are
    ridge : (q_alive,) sigma^2 / tau^2
    A_x : (q_alive, p) A^-1 Z'X
    schur : (p, p) X'X - X'Z A^-1 Z'X
    cells : (cells, q_alive) membership of the cells
    sizes : (cells,) their rows
    means : (cells, p) mean of X in each cell
    spread : (p, p) lower root of the sum of squares of X about its cell means
    sigma : residual standard deviation
    """

    mean: Array
    beta: Array
    places: tuple[slice, ...]
    factor: Any
    alive: Codes
    ridge: Array
    A_x: Array
    schur: Array
    cells: csr_array
    sizes: Array
    means: Array
    spread: Array
    sigma: float

    def variance(self, contrasts: csr_array) -> Array:
        """Conditional variance (m,) of contrasts (m, q) of the effects, fixed effects known."""
        K = csr_array(contrasts)[:, self.alive]
        found = np.zeros(K.shape[0])
        for start in range(0, K.shape[0] if len(self.alive) else 0, _CHUNK):
            block = K[start : start + _CHUNK].toarray()
            found[start : start + _CHUNK] = (block.T * self._solve(block.T)).sum(axis=0)
        return self.sigma**2 * found

    def draws(self, n: int, rng: np.random.Generator) -> Array:
        """Draws (n, q) of the effects, the uncertainty of beta included."""
        out = np.zeros((n, len(self.mean)))
        for start in range(0, n if len(self.alive) else 0, _CHUNK):
            m = min(_CHUNK, n - start)
            e = np.sqrt(self.sizes)[:, None] * rng.standard_normal((len(self.sizes), m))
            left = self.means.T @ e + self.spread @ rng.standard_normal((len(self.beta), m))
            right = self.cells.T @ e
            right += np.sqrt(self.ridge)[:, None] * rng.standard_normal((len(self.alive), m))
            b = self._solve(right)
            if self.beta.size:
                b -= self.A_x @ np.linalg.solve(self.schur, left - self.A_x.T @ right)
            out[start : start + m, self.alive] = self.sigma * b.T
        return self.mean + out

    def _solve(self, right: Array) -> Array:
        """A^-1 right."""
        solved: Array = self.factor.solve(np.ascontiguousarray(right))
        return solved


def joint_effects(
    y: Array, X: Array, codes: Sequence[Codes], sizes: Sequence[int], tau: Array, sigma: float
) -> JointEffects:
    """Solve the mixed-model equations of random intercepts.

    Parameters
    ----------
    y : (n,) response
    X : (n, p) fixed-effects columns, of full rank
    codes : for each factor the group of each row (n,)
    sizes : for each factor its number of groups
    tau : (factors,) standard deviations of the effects; zero where there are none
    sigma : residual standard deviation

    Returns
    -------
    JointEffects
    """
    n, p = X.shape
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.intp)
    places = tuple(slice(int(a), int(b)) for a, b in pairwise(ends))
    own = [_indicators(c, size) for c, size in zip(codes, sizes, strict=True)]
    there = np.repeat(tau > 0, sizes)
    alive = np.flatnonzero(there)
    ridge = sigma**2 / np.square(np.repeat(tau, sizes)[alive])
    Z = csr_array(hstack(own, format="csr"))[:, alive]
    first, cell = _cells(codes, n)
    count = np.bincount(cell).astype(float)
    means = (
        np.column_stack([np.bincount(cell, x) / count for x in X.T])
        if p
        else np.zeros((len(count), 0))
    )
    about = X - means[cell]
    spread = _root(about.T @ about)
    A = csc_array(Z.T @ Z + _diagonal(ridge)) if len(alive) else None
    factor = (
        None if A is None else splu(A, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    )
    ZX, Zy = Z.T @ X, Z.T @ y
    solve = (lambda b: factor.solve(b)) if factor is not None else (lambda b: b)
    A_x = solve(np.ascontiguousarray(ZX)) if p else np.zeros((len(alive), 0))
    schur = X.T @ X - ZX.T @ A_x
    beta = np.linalg.solve(schur, X.T @ y - A_x.T @ Zy) if p else np.zeros(0)
    mean = np.zeros(int(ends[-1]))
    mean[alive] = solve(np.ascontiguousarray(Zy)) - A_x @ beta
    return JointEffects(
        mean, beta, places, factor, alive, ridge, A_x, schur, Z[first], count, means, spread, sigma
    )


def _indicators(codes: Codes, size: int) -> csr_array:
    rows = len(codes)
    return csr_array((np.ones(rows), codes, np.arange(rows + 1)), (rows, size))


def _cells(codes: Sequence[Codes], n: int) -> tuple[Codes, Codes]:
    """A row of each cell, and the cell (n,) of each row."""
    together = np.column_stack(codes) if codes else np.zeros((n, 1), dtype=np.intp)
    _, first, cell = np.unique(together, axis=0, return_index=True, return_inverse=True)
    return first, np.asarray(cell).reshape(-1)


def _root(S: Array) -> Array:
    """A root R with R R' = S of a positive semidefinite S."""
    values, vectors = np.linalg.eigh(S)
    root: Array = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def _diagonal(values: Array) -> csr_array:
    size = len(values)
    return csr_array((values, np.arange(size), np.arange(size + 1)), (size, size))
