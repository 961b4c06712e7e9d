r"""Several grouping factors: Laplace's approximation of a generalized model, and its gradient.

All spherical effects u are integrated out together at their joint mode. With ``A = Z Lambda`` over
all factors, ``H = I + A'WA``,

    D = log|H| - 2 h(u^),    h(u) = sum_i l_i(eta_i) - |u|^2 / 2.

The factor with the most groups comes first; its block of H is block diagonal and is eliminated
group by group, whatever the other factors are (nested, crossed or partly crossed):

    H = [H1  B ]      S = H2 - B'H1^-1 B,      log|H| = sum_j log|H1_j| + log|S|.
        [B'  H2]

B has an entry only where a group of the first factor meets a group of another; S is dense, of the
order of the other factors' effects together. The gradient needs ``H^-1 a_i`` in the places where
``a_i`` (row i of A) is not zero only, which takes S^-1 and the entries of ``H1^-1 B S^-1`` where B
has some:

    d_i = a_i'H^-1 a_i,    v = H^-1 A'(d w'),    kappa = d w' - w (A v),
    dD/d o_i = kappa_i - 2 s_i,
    dD/d Lambda_k = sum_i z_i [ (kappa_i - 2 s_i) u^' + 2 w_i (H^-1 a_i)' + s_i v' ]_k

One replicate at a time: with several factors the work within one is large enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs

from teamlink.mixed.generalized import blocks
from teamlink.mixed.generalized.families import Family, Observed, Terms
from teamlink.mixed.generalized.integrand import Gradient, Grouped
from teamlink.typing import Array, Codes

__all__ = ["Joint", "evaluate_jointly", "joined", "spread_jointly"]

_STEPS = 100
_SURE = 1e-12
_EXACT = 1e-19
_HALVINGS = 30

_FULL = 0.2
"""Where a larger share of B is filled, its products are taken as of a full matrix."""

_PRODUCTS = 3_000_000
"""Up to so many products of entries of B in one row are listed; more go by sparse matrices."""

_CELLS = 4_000_000
"""Size of a chunk of H1^-1 B S^-1."""


@dataclass(frozen=True, slots=True)
class Joint:
    """The rows of a model with several factors, sorted by the group of the first.

    Attributes
    ----------
    first : rows by the first factor
    others : rows by each other factor; `starts` there has its length only
    columns : (t, n) which of the m effects of the other factors a row has
    pairs : (t, n) which filled place of B a row adds to
    row_of, column_of : (nnz,) where that place is
    products : (3, c) places of B whose products add to B'H1^-1 B, and where in it; None where
        these are too many to list
    """

    first: Grouped
    others: tuple[Grouped, ...]
    columns: Codes
    pairs: Codes
    row_of: Codes
    column_of: Codes
    products: Codes | None

    @property
    def m(self) -> int:
        """Number of effects of the other factors."""
        return sum(f.q * len(f.starts) for f in self.others)


def joined(first: Grouped, others: tuple[Grouped, ...]) -> Joint:
    """Work out where the groups of the first factor meet those of the others."""
    columns, ahead = [], 0
    for factor in others:
        J = len(factor.starts)
        columns += [ahead + c * J + factor.codes for c in range(factor.q)]
        ahead += factor.q * J
    stacked = np.stack(columns)
    places, pairs = np.unique(first.codes * ahead + stacked, return_inverse=True)
    row_of, column_of = places // ahead, places % ahead
    return Joint(
        first, others, stacked, pairs.reshape(stacked.shape), row_of, column_of,
        _products(row_of, column_of, ahead),
    )  # fmt: skip


def _products(row_of: Codes, column_of: Codes, m: int) -> Codes | None:
    """All pairs of places of B in the same row; see `Joint`."""
    count = np.bincount(row_of)
    if int(np.square(count).sum()) > _PRODUCTS:
        return None
    first = np.cumsum(count) - count
    left = np.repeat(np.arange(len(row_of)), count[row_of])
    ahead = np.arange(len(left)) - np.repeat(
        np.cumsum(count[row_of]) - count[row_of], count[row_of]
    )
    right = first[row_of[left]] + ahead
    return np.stack([left, right, column_of[left] * m + column_of[right]])


@dataclass(frozen=True, slots=True)
class _Eliminated:
    """H taken apart: the inverse of H1, B, C = H1^-1 B, and the root of S.

    Attributes
    ----------
    inverse : (q, q, J)
    B, C : (q, nnz)
    root : (m, m) lower
    log_det : of H
    """

    inverse: Array
    B: Array
    C: Array
    root: Array
    log_det: float


def _columns_of(rows: Joint, Lambdas: tuple[Array, ...]) -> tuple[Array, Array]:
    """A by columns: those of the first factor (q, n), and of the others (t, n)."""

    def of(factor: Grouped, Lambda: Array) -> Array:
        if factor.Z is None:
            return np.full((1, len(factor.codes)), Lambda[0, 0])
        mapped: Array = Lambda.T @ factor.Z
        return mapped

    rest = [of(f, L) for f, L in zip(rows.others, Lambdas[1:], strict=True)]
    return of(rows.first, Lambdas[0]), np.concatenate(rest)


def _eliminate(rows: Joint, A: Array, E: Array, w: Array) -> _Eliminated | None:
    """Take H apart for weights w (n,); None where it is not positive definite."""
    q, t, m, J = len(A), len(E), rows.m, len(rows.first.starts)
    H = np.empty((1, q, q, J))
    for a in range(q):
        for b in range(a + 1):
            H[0, a, b] = H[0, b, a] = rows.first.sums(w * A[a] * A[b]) + (a == b)
    M = blocks.lower_inverse(blocks.cholesky(H))
    if not np.isfinite(M).all():
        return None
    inverse = blocks.inverse(M)[0]
    nnz = len(rows.row_of)
    B: Array = np.stack(
        [np.bincount(rows.pairs.ravel(), (w * A[c] * E).ravel(), nnz) for c in range(q)]
    )
    C = np.stack([(inverse[c][:, rows.row_of] * B).sum(axis=0) for c in range(q)])
    S = np.zeros((m, m))
    for a in range(t):
        for b in range(t):
            index = rows.columns[a] * m + rows.columns[b]
            S += np.bincount(index, w * E[a] * E[b], m * m).reshape(m, m)
    S -= _gram(rows, B, C, J, m)
    S[np.diag_indices(m)] += 1.0
    root, failed = dpotrf(S, lower=True)
    if failed:
        return None
    log_det = (
        2 * np.log(np.diag(root)).sum() - 2 * np.log(np.diagonal(M[0], axis1=0, axis2=1)).sum()
    )
    return _Eliminated(inverse, B, C, root, float(log_det))


def _gram(rows: Joint, B: Array, C: Array, J: int, m: int) -> Array:
    """Sum over c of B_c'C_c (m, m)."""
    if B.shape[1] > _FULL * J * m:
        flat = rows.row_of * m + rows.column_of
        full = np.zeros((2, len(B), J * m))
        full[0][:, flat], full[1][:, flat] = B, C
        over = full.reshape(2, len(B) * J, m)
        return np.asarray(over[0].T @ over[1], dtype=float)
    if rows.products is not None:
        left, right, place = rows.products
        total = (B[:, left] * C[:, right]).sum(axis=0)
        return np.asarray(np.bincount(place, total, m * m).reshape(m, m), dtype=float)
    total = np.zeros((m, m))
    for b, c in zip(B, C, strict=True):
        total += (_matrix(rows, b, J, m).T @ _matrix(rows, c, J, m)).toarray()
    return total


def _matrix(rows: Joint, values: Array, J: int, m: int) -> sparse.csr_array:
    bounds = np.searchsorted(rows.row_of, np.arange(J + 1))
    return sparse.csr_array((values, rows.column_of, bounds), shape=(J, m))


def _inverse(parts: _Eliminated) -> Array:
    """S^-1 (m, m)."""
    found, _ = dpotri(parts.root, lower=True)
    lower = np.tril(found)
    inverse: Array = lower + lower.T
    inverse[np.diag_indices(len(inverse))] *= 0.5
    return inverse


def _solve(rows: Joint, parts: _Eliminated, first: Array, rest: Array) -> tuple[Array, Array]:
    """H^-1 times a vector in two parts, (q, J) and (m,)."""
    own = np.einsum("abj,bj->aj", parts.inverse, first)
    down = (parts.B * own[:, rows.row_of]).sum(axis=0)
    rest, _ = dpotrs(parts.root, rest - np.bincount(rows.column_of, down, rows.m), lower=True)
    up = parts.C * rest[rows.column_of]
    J = first.shape[1]
    own = own - np.stack([np.bincount(rows.row_of, line, J) for line in up])
    return own, rest


def _split(rows: Joint, rest: Array) -> tuple[Array, ...]:
    """Effects of the other factors (m,), each as (q, J)."""
    found, ahead = [], 0
    for factor in rows.others:
        size = factor.q * len(factor.starts)
        found.append(rest[ahead : ahead + size].reshape(factor.q, -1))
        ahead += size
    return tuple(found)


def _pulled(rows: Joint, A: Array, E: Array, x: Array) -> tuple[Array, Array]:
    """A'x in two parts, (q, J) and (m,)."""
    first = rows.first.sums(A * x)
    rest = np.bincount(rows.columns.ravel(), (E * x).ravel(), rows.m)
    return first, np.asarray(rest, dtype=float)


def _raised(rows: Joint, A: Array, E: Array, first: Array, rest: Array) -> Array:
    """A times a vector in two parts: (n,)."""
    own: Array = (A * first[:, rows.first.codes]).sum(axis=0)
    other: Array = (E * rest[rows.columns]).sum(axis=0)
    return own + other


@dataclass(frozen=True, slots=True)
class _Mode:
    first: Array
    rest: Array
    terms: Terms
    h: float
    parts: _Eliminated | None


def _mode(
    rows: Joint, family: Family, data: Observed, offset: Array, A: Array, E: Array,
    natural: Array, first: Array, rest: Array,
) -> _Mode:  # fmt: skip
    """The joint mode by Newton's method with step halving; offset is (1, n)."""

    def at(first: Array, rest: Array) -> tuple[Terms, float]:
        eta = offset + _raised(rows, A, E, first, rest)
        with np.errstate(over="ignore", invalid="ignore"):
            terms = family.terms(eta, data, natural)
            h = terms.value.sum() - 0.5 * (np.square(first).sum() + np.square(rest).sum())
        return terms, float(h)

    terms, h = at(first, rest)
    if not np.isfinite(h):
        first, rest = np.zeros_like(first), np.zeros_like(rest)
        terms, h = at(first, rest)
    last = False
    for _ in range(_STEPS):
        parts = _eliminate(rows, A, E, terms.weight[0])
        steer = parts or _eliminate(rows, A, E, np.maximum(terms.weight[0], 0.0))
        if steer is None or not np.isfinite(h):
            return _Mode(first, rest, terms, h, None)
        g1, g2 = _pulled(rows, A, E, terms.score[0])
        g1, g2 = g1 - first, g2 - rest
        d1, d2 = _solve(rows, steer, g1, g2)
        promise = float((g1 * d1).sum() + g2 @ d2)
        if last or promise < _EXACT:
            return _Mode(first, rest, terms, h, parts)
        last, length = promise < _SURE, 1.0
        for _ in range(_HALVINGS):
            trial, there = at(first + length * d1, rest + length * d2)
            if there >= h - 1e-13 * (1 + abs(h)):
                break
            length *= 0.5
        first, rest, terms, h = first + length * d1, rest + length * d2, trial, there
    return _Mode(first, rest, terms, h, parts)


def _own_columns(rows: Joint, parts: _Eliminated, A: Array, E: Array) -> tuple[Array, Array]:
    """H^-1 a_i where a_i is not zero: (q, n) and (t, n)."""
    m, J, q = rows.m, len(rows.first.starts), len(A)
    inverse = _inverse(parts)
    T = np.empty_like(parts.C)
    bounds = np.searchsorted(rows.row_of, np.arange(J + 1))
    chunk = max(1, _CELLS // max(m, 1))
    for c in range(q):
        whole = _matrix(rows, parts.C[c], J, m)
        for start in range(0, J, chunk):
            stop = min(start + chunk, J)
            place = slice(bounds[start], bounds[stop])
            dense = whole[start:stop] @ inverse
            T[c, place] = dense[rows.row_of[place] - start, rows.column_of[place]]
    codes = rows.first.codes
    own = np.empty_like(A)
    for c in range(q):
        own[c] = -(T[c][rows.pairs] * E).sum(axis=0)
        for d in range(q):
            back = np.bincount(rows.row_of, T[c] * parts.C[d], J)
            own[c] += (parts.inverse[c, d] + back)[codes] * A[d]
    rest = np.empty_like(E)
    for a in range(len(E)):
        rest[a] = (inverse[rows.columns[a], rows.columns] * E).sum(axis=0)
        rest[a] -= (T[:, rows.pairs[a]] * A).sum(axis=0)
    return own, rest


def evaluate_jointly(
    rows: Joint, family: Family, data: Observed, offset: Array, Lambdas: tuple[Array, ...],
    natural: Array, start: tuple[Array, ...],
) -> Gradient:  # fmt: skip
    """Laplace's criterion and its gradient for one replicate.

    Parameters
    ----------
    rows, family, data : the model
    offset : (1, n) fixed part
    Lambdas : each factor's (q, q)
    natural : (P, 1, 1)
    start : each factor's (q, J), where to begin the search for the mode
    """
    A, E = _columns_of(rows, Lambdas)
    packed = np.concatenate([part.ravel() for part in start[1:]])
    found = _mode(rows, family, data, offset, A, E, natural, start[0], packed)
    if found.parts is None:
        return _nowhere(family, offset, Lambdas, start)
    terms, parts = found.terms, found.parts
    s, w, slope = terms.score[0], terms.weight[0], terms.slope[0]
    own, rest = _own_columns(rows, parts, A, E)
    leverage = (A * own).sum(axis=0) + (E * rest).sum(axis=0)
    bend = leverage * slope
    v1, v2 = _solve(rows, parts, *_pulled(rows, A, E, bend))
    rise = _raised(rows, A, E, v1, v2)
    kappa = bend - w * rise
    factors = (rows.first, *rows.others)
    u = (found.first, *_split(rows, found.rest))
    v = (v1, *_split(rows, v2))
    slopes, ahead = [], 0
    for k, factor in enumerate(factors):
        inner = own if k == 0 else rest[ahead : ahead + factor.q]
        ahead += 0 if k == 0 else factor.q
        along = (kappa - 2 * s) * u[k][:, factor.codes]
        along += 2 * w * inner + s * v[k][:, factor.codes]
        Z = np.ones((1, len(s))) if factor.Z is None else factor.Z
        slopes.append((Z @ along.T)[None])
    eta = offset + _raised(rows, A, E, found.first, found.rest)
    values, scores, weights = family.own(eta, data, natural)
    natural_slope = np.array(
        [
            -2 * value.sum() + (leverage * weight).sum() + (rise * score).sum()
            for value, score, weight in zip(values, scores, weights, strict=True)
        ]
    )
    return Gradient(
        np.array([parts.log_det - 2 * found.h]),
        (kappa - 2 * s)[None],
        tuple(slopes),
        natural_slope[None],
        tuple(part[None] for part in u),
        -2 * terms.score,
        np.array([[-2 * value.sum() for value in values]]),
    )


def _nowhere(
    family: Family, offset: Array, Lambdas: tuple[Array, ...], start: tuple[Array, ...]
) -> Gradient:
    """The criterion where it cannot be evaluated: infinite."""
    return Gradient(
        np.array([np.inf]),
        np.zeros_like(offset),
        tuple(np.zeros_like(L)[None] for L in Lambdas),
        np.zeros((1, family.size)),
        tuple(np.zeros_like(part)[None] for part in start),
        np.zeros_like(offset),
        np.zeros((1, family.size)),
    )


def spread_jointly(
    rows: Joint, family: Family, data: Observed, offset: Array, Lambdas: tuple[Array, ...],
    natural: Array, start: tuple[Array, ...],
) -> tuple[Array, ...]:  # fmt: skip
    """Conditional covariance (q, q, J) of each factor's spherical effects: blocks of H^-1."""
    A, E = _columns_of(rows, Lambdas)
    packed = np.concatenate([part.ravel() for part in start[1:]])
    parts = _mode(rows, family, data, offset, A, E, natural, start[0], packed).parts
    if parts is None:
        return tuple(np.full((f.q, *part.shape), np.nan) for f, part in zip(
            (rows.first, *rows.others), start, strict=True))  # fmt: skip
    J, m, q = len(rows.first.starts), rows.m, len(A)
    inverse = _inverse(parts)
    first = parts.inverse.copy()
    for c in range(q):
        T = _matrix(rows, parts.C[c], J, m) @ inverse
        for d in range(q):
            at = T[rows.row_of, rows.column_of] * parts.C[d]
            first[c, d] += np.bincount(rows.row_of, at, J)
    found, ahead = [first], 0
    for factor in rows.others:
        size = len(factor.starts)
        each = np.arange(size)
        block = np.empty((factor.q, factor.q, size))
        for c in range(factor.q):
            for d in range(factor.q):
                block[c, d] = inverse[ahead + c * size + each, ahead + d * size + each]
        found.append(block)
        ahead += factor.q * size
    return tuple(found)
