"""Cross-products from arrays in memory, a chunk of rows at a time.

Nothing of length n is made besides what came in: each chunk is carried into the working basis,
multiplied, and forgotten. The per-group sums are one sparse-times-dense product a random effect, so
rows need not be sorted by group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import csc_array, csr_array, hstack

from teamlink.moments.crossproducts import CrossProducts, GroupRoots, project
from teamlink.moments.standardize import FixedBasis, ResponseBasis
from teamlink.moments.upper import Effects, Products
from teamlink.typing import Array, Codes

__all__ = ["CHUNK", "accumulate", "accumulate_upper", "recompute_within", "within_by_group"]

CHUNK = 16_384
"""Rows worked on at a time: a chunk of a dozen columns stays in cache."""

_SPARSE_CHUNK = 1_000_000
"""The same for sparse products, which cost more to add up."""


def accumulate(
    X: Array,
    Y: Array,
    Z: Array,
    codes: Codes,
    n_groups: int,
    fixed: FixedBasis,
    response: ResponseBasis,
    root: Array | None = None,
) -> CrossProducts:
    """Form the cross-products of ``[Z Q y]``, Q and y in the working basis.

    Parameters
    ----------
    X : (n, p_all) fixed-effects columns as given
    Y : (n, R) responses as given
    Z : (n, q) random-effects columns, already in their own working basis
    codes : (n,) group of each row, 0 .. n_groups - 1
    n_groups : J
    fixed, response : the working basis
    root : (n,) what rows of Q and y are multiplied by, the root of their precision; those of Z are
        already. None for ones.

    Returns
    -------
    CrossProducts
    """
    n, q = Z.shape
    p, R = fixed.kept.size, Y.shape[1]
    by_group = np.zeros((q, n_groups, q + p + R))
    total = np.zeros((p, p + R))
    yty = np.zeros(R)
    # A chunk at least as long as there are groups keeps the additions below the work on rows.
    chunk = max(CHUNK, 2 * n_groups)
    for start in range(0, n, chunk):
        rows = slice(start, start + chunk)
        z = Z[rows]
        Q = fixed.columns(X[rows])
        y = response.columns(Y[rows], Q)
        if root is not None:
            Q, y = root[rows, None] * Q, root[rows, None] * y
        U = np.concatenate([z, Q, y], axis=1)
        total += Q.T @ U[:, q:]
        yty += np.einsum("ir,ir->r", y, y)
        for a in range(q):
            by_group[a] += _by_group(z[:, a], codes[rows], n_groups) @ U
    sums = np.ascontiguousarray(by_group.transpose(2, 0, 1))  # (q + p + R, q, J)
    return CrossProducts(
        counts=np.bincount(codes, minlength=n_groups).astype(float),
        ZtZ=sums[:q],
        ZtX=sums[q : q + p],
        Zty=sums[q + p :],
        XtX=total[:, :p],
        Xty=total[:, p:].T,
        yty=yty,
    )


def accumulate_upper(
    X: Array,
    Y: Array,
    effects: Sequence[Effects],
    eliminated: csr_array,
    fixed: FixedBasis,
    response: ResponseBasis,
    root: Array | None = None,
) -> Products:
    """Form the cross-products of the upper factors' columns with everything.

    Parameters
    ----------
    X, Y, fixed, response, root : as for `accumulate`; rows of effects are multiplied already
    effects : the upper factors, in their own working basis
    eliminated : (n, q * J) columns of the factor that is eliminated, effect-major

    Returns
    -------
    Products
    """
    n = len(X)
    each = [factor.columns for factor in effects]
    columns = each[0] if len(each) == 1 else hstack(each, format="csr")
    N, p = columns.shape[1], fixed.kept.size
    m = p + Y.shape[1]
    ZtU = np.zeros((N, m))
    ZtZ, meeting = csr_array((N, N)), csr_array((N, eliminated.shape[1]))
    chunk = max(_SPARSE_CHUNK, 2 * N)
    for start in range(0, n, chunk):
        rows = slice(start, start + chunk)
        Z = columns if n <= chunk else columns[rows]
        other = eliminated if n <= chunk else eliminated[rows]
        Q = fixed.columns(X[rows])
        across = Z.T.tocsr()
        U = np.concatenate([Q, response.columns(Y[rows], Q)], axis=1)
        ZtU += across @ (U if root is None else root[rows, None] * U)
        own, shared = across @ Z, across @ other
        ZtZ, meeting = (own, shared) if start == 0 else (ZtZ + own, meeting + shared)
    Zty = np.ascontiguousarray(ZtU[:, p:].T)
    return Products(ZtZ, meeting, ZtU[:, :p], Zty)


def recompute_within(
    roots: GroupRoots,
    X: Array,
    Y: Array,
    Z: Array,
    codes: Codes,
    fixed: FixedBasis,
    response: ResponseBasis,
    root: Array | None = None,
) -> GroupRoots:
    """Refine the projections on Z, and form what they leave from the rows themselves.

    Where nearly all variance lies between groups, ``y'y`` less its projection on Z keeps no digits,
    and the projection on a slope loses those that the far group mean takes up. So each row's own
    projection is subtracted first; what is left is projected once more, and then summed. The
    parameters are those of `accumulate`; `roots` come from its result.
    """
    p, q, J = fixed.kept.size, len(roots.S), roots.S.shape[2]
    C = np.concatenate([roots.CX, roots.Cy])
    ZtU = np.zeros((q, J, len(C)))
    for rows, U in _rests(_coefficients(roots.S, C), X, Y, Z, codes, fixed, response, root):
        for a in range(q):
            ZtU[a] += _by_group(Z[rows, a], codes[rows], J) @ U
    C += project(roots.S, ZtU.transpose(2, 0, 1))
    within = np.zeros((len(C), len(C)))
    for _, U in _rests(_coefficients(roots.S, C), X, Y, Z, codes, fixed, response, root):
        within += U.T @ U
    return replace(
        roots,
        CX=C[:p],
        Cy=C[p:],
        WXX=within[:p, :p],
        WXy=within[p:, :p],
        Wyy=np.diag(within)[p:].copy(),
    )


def within_by_group(
    roots: GroupRoots,
    X: Array,
    Y: Array,
    Z: Array,
    codes: Codes,
    fixed: FixedBasis,
    response: ResponseBasis,
    root: Array | None = None,
) -> Array:
    """Each group's cross-products of ``[X y]`` that its Z_j leaves over, (J, m, m).

    The parameters are those of `accumulate`; the sum over groups is W of `GroupRoots`.
    """
    m, J = fixed.kept.size + Y.shape[1], roots.S.shape[2]
    within = np.zeros((m, m, J))
    coefficients = _coefficients(roots.S, np.concatenate([roots.CX, roots.Cy]))
    for rows, U in _rests(coefficients, X, Y, Z, codes, fixed, response, root):
        for a in range(m):
            for b in range(a + 1):
                within[a, b] += np.bincount(codes[rows], U[:, a] * U[:, b], minlength=J)
    upper = np.triu_indices(m, 1)
    within[upper] = within.transpose(1, 0, 2)[upper]
    return np.ascontiguousarray(within.transpose(2, 0, 1))


def _rests(
    coefficients: Array,
    X: Array,
    Y: Array,
    Z: Array,
    codes: Codes,
    fixed: FixedBasis,
    response: ResponseBasis,
    root: Array | None,
) -> Iterator[tuple[slice, Array]]:
    """Rows of ``[X y]`` less Z_j times coefficients (m, q, J), a chunk (rows, (c, m)) at a time."""
    for start in range(0, len(Z), CHUNK):
        rows = slice(start, start + CHUNK)
        Q = fixed.columns(X[rows])
        U = np.concatenate([Q, response.columns(Y[rows], Q)], axis=1)
        if root is not None:
            U *= root[rows, None]
        for a in range(Z.shape[1]):
            U -= Z[rows, a : a + 1] * coefficients[:, a, codes[rows]].T
        yield rows, U


def _coefficients(S: Array, C: Array) -> Array:
    """Coefficients (m, q, J) of Z_j that reproduce the projections C: S_j' coefficient = C_j."""
    result = C.copy()
    for a in reversed(range(len(S))):
        result[:, a] -= (result[:, a + 1 :] * S[a + 1 :, a]).sum(axis=1)
        alive = S[a, a] > 0
        result[:, a] = np.where(alive, result[:, a] / np.where(alive, S[a, a], 1.0), 0.0)
    return result


def _by_group(z: Array, codes: Codes, n_groups: int) -> csc_array:
    """The sparse matrix (J, c) that sums rows by group, each weighted by its z."""
    pointer = np.arange(len(z) + 1)
    return csc_array((np.ascontiguousarray(z), codes, pointer), shape=(n_groups, len(z)))
