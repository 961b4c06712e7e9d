r"""Implied moments of one block, with first and second derivatives.

The reticular action model. The v variables of a block are the p observed ones, then the factors;
``A`` (v, v) holds directed paths, outcome in the row; ``S`` (v, v) holds variances and
covariances, ``m`` (v,) intercepts. With ``E = (I - A)^-1``, ``C = E S E'`` and F the first p rows,

    Sigma = F C F',    mu = F E m.

Any discrepancy with slopes ``G = dF/dSigma`` (symmetric, ``dF = tr(G dSigma)``) and ``g = dF/dmu``
is carried back: with ``U = E' F' G F E``, ``P = E' F' G F C`` and ``h = E' F' g``,

    dF/dA_ij = 2 P_ij + h_i (E m)_j,   dF/dS_ij = U_ij (twice, off the diagonal),   dF/dm_i = h_i.

A slot is a place in one of the three that holds a free parameter. Every array leads with
replicates.

References
----------
McArdle, McDonald (1984), doi:10.1111/j.2044-8317.1984.tb00802.x.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from teamlink.typing import Array, Codes

__all__ = [
    "Adjoints",
    "Block",
    "Moments",
    "State",
    "Tangents",
    "adjoints",
    "gradient",
    "implied",
    "second_order",
    "tangents",
]


@dataclass(frozen=True, slots=True)
class Block:
    """One level of one group: constants, and which parameters stand where.

    Attributes
    ----------
    variables : v names, the observed ones first
    p : number of observed variables
    A, S, m : (v, v), (v, v), (v,) constants, zero elsewhere
    a_row, a_col, a_of : (na,) places in A, and which of the q parameters stands there
    s_row, s_col, s_of : (ns,) places in S, row at or above column
    m_row, m_of : (nm,) places in m
    x_row, x_col : (nx,) places in S of variances and covariances that the data give
    x_mean : (nxm,) places in m of means that the data give
    twice : (ns,) in how many places of S a slot stands: 1 on the diagonal, else 2
    flat : (2 v^2 + v,) the constants A, S and m in one row
    places, place_of : (na + 2 ns + nm,) where parameters stand in it, and which
    """

    variables: tuple[str, ...]
    p: int
    A: Array
    S: Array
    m: Array
    a_row: Codes
    a_col: Codes
    a_of: Codes
    s_row: Codes
    s_col: Codes
    s_of: Codes
    m_row: Codes
    m_of: Codes
    x_row: Codes
    x_col: Codes
    x_mean: Codes
    twice: Array = field(init=False, repr=False, compare=False)
    flat: Array = field(init=False, repr=False, compare=False)
    places: Codes = field(init=False, repr=False, compare=False)
    place_of: Codes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        v = len(self.variables)
        upper, lower = self.s_row * v + self.s_col, self.s_col * v + self.s_row
        places = (self.a_row * v + self.a_col, v * v + upper, v * v + lower, 2 * v * v + self.m_row)
        derived = {
            "twice": np.where(self.s_row == self.s_col, 1.0, 2.0),
            "flat": np.concatenate([self.A.ravel(), self.S.ravel(), self.m]),
            "places": np.concatenate(places),
            "place_of": np.concatenate([self.a_of, self.s_of, self.s_of, self.m_of]),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @property
    def observed(self) -> tuple[str, ...]:
        """Names of the p observed variables."""
        return self.variables[: self.p]

    @property
    def of(self) -> Codes:
        """(n,) which parameter each slot of this block holds: those of A, of S, of m."""
        return np.concatenate([self.a_of, self.s_of, self.m_of])


@dataclass(frozen=True, slots=True)
class State:
    """A block at given slots.

    Attributes
    ----------
    A, S : (R, v, v)
    m : (R, v)
    E, C : (R, v, v) total effects, covariance of all variables
    mean : (R, v) expected values of all variables
    Sigma : (R, p, p) implied covariance
    mu : (R, p) implied means
    """

    A: Array
    S: Array
    m: Array
    E: Array
    C: Array
    mean: Array
    Sigma: Array
    mu: Array


@dataclass(frozen=True, slots=True)
class Moments:
    """Implied moments of one block.

    Attributes
    ----------
    Sigma : (R, p, p)
    mu : (R, p)
    """

    Sigma: Array
    mu: Array


@dataclass(frozen=True, slots=True)
class Tangents:
    """Derivatives of the moments of one block in n directions.

    Those of Sigma have rank two: ``dSigma = l r' + r l'``.

    Attributes
    ----------
    left, right : (R, n, p) l and r
    mu : (R, n, p)
    """

    left: Array
    right: Array
    mu: Array

    @property
    def Sigma(self) -> Array:
        """(R, n, p, p)."""
        half = self.left[..., :, None] * self.right[..., None, :]
        found: Array = half + half.swapaxes(-1, -2)
        return found

    def take(self, rows: Codes) -> Tangents:
        """Those of some replicates."""
        return Tangents(self.left[rows], self.right[rows], self.mu[rows])

    def turned(self, M: Array) -> Tangents:
        """Those of ``M Sigma M'`` and ``M mu``, M (R, p, p)."""
        Mt = M.transpose(0, 2, 1)
        return Tangents(self.left @ Mt, self.right @ Mt, self.mu @ Mt)


def implied(block: Block, x: Array, covariance: Array, means: Array) -> State:
    """Implied moments.

    Parameters
    ----------
    block : Block
    x : (R, q) parameters
    covariance : (R, p, p) of the data, from which moments of exogenous variables are taken
    means : (R, p) of the data, likewise

    Returns
    -------
    State
        Missing values where the paths have no total effects (``I - A`` is singular).
    """
    R, v = len(x), len(block.variables)
    flat = np.empty((R, len(block.flat)))
    flat[:] = block.flat
    flat[:, block.places] = x[:, block.place_of]
    A = flat[:, : v * v].reshape(R, v, v)
    S = flat[:, v * v : 2 * v * v].reshape(R, v, v)
    m = flat[:, 2 * v * v :]
    if len(block.x_row):
        S[:, block.x_row, block.x_col] = covariance[:, block.x_row, block.x_col]
        S[:, block.x_col, block.x_row] = covariance[:, block.x_row, block.x_col]
        m[:, block.x_mean] = means[:, block.x_mean]
    E = _inverse(np.eye(v) - A)
    C = E @ S @ E.transpose(0, 2, 1)
    C = (C + C.transpose(0, 2, 1)) / 2
    mean = (E @ m[:, :, None])[:, :, 0]
    p = block.p
    return State(A, S, m, E, C, mean, C[:, :p, :p], mean[:, :p])


def _inverse(M: Array) -> Array:
    """Inverses (R, v, v); missing values where there is none."""
    try:
        return np.asarray(np.linalg.inv(M))
    except np.linalg.LinAlgError:
        found = np.full_like(M, np.nan)
        for r, matrix in enumerate(M):
            if np.linalg.matrix_rank(matrix) == len(matrix):
                found[r] = np.linalg.inv(matrix)
        return found


@dataclass(frozen=True, slots=True)
class Adjoints:
    """Slopes of a discrepancy in moments, carried back to all variables of a block.

    Attributes
    ----------
    U, P : (R, v, v)
    h : (R, v)
    """

    U: Array
    P: Array
    h: Array


def adjoints(block: Block, state: State, G: Array, g: Array) -> Adjoints:
    """Carry slopes back.

    Parameters
    ----------
    block, state : at which
    G : (R, p, p) slopes in Sigma, symmetric
    g : (R, p) slopes in mu
    """
    Eo = state.E[:, : block.p, :]
    Et = Eo.transpose(0, 2, 1)
    EG = Et @ G
    return Adjoints(EG @ Eo, EG @ state.C[:, : block.p, :], (Et @ g[:, :, None])[:, :, 0])


def gradient(block: Block, state: State, back: Adjoints) -> Array:
    """Slopes of a discrepancy in the slots of a block.

    Returns
    -------
    (R, n) : in the order of `Block.of`
    """
    h = back.h
    a = 2 * back.P[:, block.a_row, block.a_col] + h[:, block.a_row] * state.mean[:, block.a_col]
    s = back.U[:, block.s_row, block.s_col] * block.twice
    return np.concatenate([a, s, h[:, block.m_row]], axis=1)


def tangents(block: Block, state: State) -> Tangents:
    """Derivatives of the moments in the slots of a block."""
    p = block.p
    Eo = state.E[:, :p, :].transpose(0, 2, 1)
    Co = state.C[:, :p, :].transpose(0, 2, 1)
    left = Eo.take(np.concatenate([block.a_row, block.s_row, block.m_row]), axis=1)
    right, mu = np.zeros(left.shape), np.zeros(left.shape)
    a = len(block.a_row)
    s = a + len(block.s_row)
    right[:, :a] = Co.take(block.a_col, axis=1)
    right[:, a:s] = Eo.take(block.s_col, axis=1) * (block.twice / 2)[:, None]
    mu[:, :a] = left[:, :a] * state.mean[:, block.a_col, None]
    mu[:, s:] = left[:, s:]
    return Tangents(left, right, mu)


def second_order(block: Block, state: State, back: Adjoints) -> Array:
    """``tr(G d2Sigma) + g' d2mu`` for every pair of slots of a block.

    The part of a Hessian that is due to the curvature of the moments themselves.

    Returns
    -------
    (R, n, n) : in the order of `Block.of`
    """
    U, P, h = back.U, back.P, back.h
    E, C, mean = state.E, state.C, state.mean
    i, j, k, l = block.a_row, block.a_col, block.s_row, block.s_col  # noqa: E741
    half = (2 * _part(P, i, j) + h[:, i, None] * mean[:, None, j]) * _part(E, j, i)
    half += _part(U, i, i) * _part(C, j, j)
    mixed = _part(E, j, k) * _part(U, i, l) + _part(E, j, l) * _part(U, i, k)
    means = h[:, i, None] * _part(E, j, block.m_row)
    R, na = len(E), len(block.a_row)
    n = na + len(block.s_row) + len(block.m_row)
    found = np.zeros((R, n, n))
    found[:, :na, :na] = half + half.transpose(0, 2, 1)
    cross = np.concatenate([block.twice * mixed, means], axis=2)
    found[:, :na, na:] = cross
    found[:, na:, :na] = cross.transpose(0, 2, 1)
    return found


def _part(M: Array, rows: Codes, columns: Codes) -> Array:
    """Some rows and columns of matrices (R, v, v)."""
    return M.take(rows, axis=1).take(columns, axis=2)
