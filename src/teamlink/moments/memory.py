"""Cross-products from arrays in memory, a chunk of rows at a time.

Nothing of length n is made besides what came in: each chunk is carried into the working basis,
multiplied, and forgotten. The per-group sums are one sparse-times-dense product a random effect, so
rows need not be sorted by group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy.sparse import csc_array

from teamlink.moments.crossproducts import CrossProducts, GroupRoots
from teamlink.moments.standardize import FixedBasis, ResponseBasis
from teamlink.typing import Array, Codes

__all__ = ["CHUNK", "accumulate", "recompute_within", "within_by_group"]

CHUNK = 16_384
"""Rows worked on at a time: a chunk of a dozen columns stays in cache."""


def accumulate(
    X: Array,
    Y: Array,
    Z: Array,
    codes: Codes,
    n_groups: int,
    fixed: FixedBasis,
    response: ResponseBasis,
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
        U = np.concatenate([z, Q, y], axis=1)
        total += Q.T @ U[:, q:]
        yty += np.einsum("ir,ir->r", y, y)
        pointer = np.arange(len(z) + 1)
        for a in range(q):
            spread = csc_array(
                (np.ascontiguousarray(z[:, a]), codes[rows], pointer), shape=(n_groups, len(z))
            )
            by_group[a] += spread @ U
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


def recompute_within(
    roots: GroupRoots,
    X: Array,
    Y: Array,
    Z: Array,
    codes: Codes,
    fixed: FixedBasis,
    response: ResponseBasis,
) -> GroupRoots:
    """Form the within-group cross-products from the rows themselves, not as a difference.

    Where nearly all variance lies between groups, ``y'y`` less its projection on Z keeps no digits.
    This second pass subtracts each row's own projection first. The parameters are those of
    `accumulate`; `roots` come from its result.
    """
    p = fixed.kept.size
    within = np.zeros((p + Y.shape[1], p + Y.shape[1]))
    for _, U in _rests(roots, X, Y, Z, codes, fixed, response):
        within += U.T @ U
    return replace(
        roots,
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
) -> Array:
    """Each group's cross-products of ``[X y]`` that its Z_j leaves over, (J, m, m).

    They sum to what `recompute_within` gives; the parameters are the same.
    """
    m, J = fixed.kept.size + Y.shape[1], roots.S.shape[2]
    within = np.zeros((m, m, J))
    for rows, U in _rests(roots, X, Y, Z, codes, fixed, response):
        for a in range(m):
            for b in range(a + 1):
                within[a, b] += np.bincount(codes[rows], U[:, a] * U[:, b], minlength=J)
    upper = np.triu_indices(m, 1)
    within[upper] = within.transpose(1, 0, 2)[upper]
    return np.ascontiguousarray(within.transpose(2, 0, 1))


def _rests(
    roots: GroupRoots,
    X: Array,
    Y: Array,
    Z: Array,
    codes: Codes,
    fixed: FixedBasis,
    response: ResponseBasis,
) -> Iterator[tuple[slice, Array]]:
    """Rows of ``[X y]`` less their own projection on Z_j, a chunk (rows, (c, m)) at a time."""
    q = len(roots.S)
    # Coefficients of Z_j that reproduce the projections: S_j' coefficient = Q_j'[X y]
    coefficients = np.concatenate([roots.CX, roots.Cy])  # (m, q, J)
    for a in reversed(range(q)):
        later = (coefficients[:, a + 1 :] * roots.S[a + 1 :, a]).sum(axis=1)
        pivot = roots.S[a, a]
        alive = pivot > 0
        coefficients[:, a] = np.where(
            alive, (coefficients[:, a] - later) / np.where(alive, pivot, 1.0), 0.0
        )
    for start in range(0, len(Z), CHUNK):
        rows = slice(start, start + CHUNK)
        Q = fixed.columns(X[rows])
        U = np.concatenate([Q, response.columns(Y[rows], Q)], axis=1)
        for a in range(q):
            U -= Z[rows, a : a + 1] * coefficients[:, a, codes[rows]].T
        yield rows, U
