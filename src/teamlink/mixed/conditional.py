r"""Random effects of several factors given the data: modes, covariances, and what errors share.

With the variances known, the upper effects have conditional covariance ``sigma^2 Phi``, and those
of group j of the eliminated factor, with W_j = Sigma T_j'C_j,

    cov(b_j) = sigma^2 (Lambda Omega_j^-1 Lambda' + W_j Phi W_j'),

so that the error of any ``z_b'b_j + z_r'b_r`` has the variance

    sigma^2 { z_b'Lambda Omega_j^-1 Lambda'z_b + (z_r - W_j'z_b)'Phi (z_r - W_j'z_b) }.

All are sums of non-negative terms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from teamlink.mixed.criterion import Criterion
from teamlink.mixed.products import conditional
from teamlink.mixed.stacks import times
from teamlink.mixed.upper import UpperPoint
from teamlink.moments.crossproducts import GroupRoots
from teamlink.typing import Array, Codes

__all__ = ["Conditional", "conditional_effects", "error_variance_of_parts"]

_CHUNK = 4096
"""Rows whose error variance is worked out at a time."""


@dataclass(frozen=True, slots=True)
class Conditional:
    """One factor's effects in units of sigma and the working basis.

    Attributes
    ----------
    place : the factor's place along Lambda
    N : (groups, q, m) Z'V^-1 [X, y - X beta], whitened
    covariance : (groups, q, q) conditional covariance, fixed effects known
    """

    place: slice
    N: Array
    covariance: Array


def conditional_effects(
    point: Criterion, upper: UpperPoint, roots: GroupRoots
) -> tuple[Conditional, ...]:
    """Every factor's effects, the eliminated one first; of one replicate."""
    Lambda = upper.Lambda
    inverse = np.linalg.inv(point.M_root)
    Sigma = Lambda @ Lambda.swapaxes(1, 2)
    q, J = point.F.shape[1], point.F.shape[3]
    correction = np.zeros((1, q * (q + 1) // 2, J))
    N_all, Phi_all = [], []
    for here in upper.stacks:
        E, _ = conditional(here, Lambda)
        Phi = times(E, Sigma, here.stack.slots)
        N_all.append(E.swapaxes(2, 3) @ (here.A_m @ inverse.swapaxes(1, 2)[:, None]))
        Phi_all.append(Phi)
        if q and J:
            correction += here.stack.meetings.adjoint(Phi)
    found = []
    if q and J:
        found.append(_of_eliminated(point, upper, roots, correction))
    m = point.M_root.shape[1]
    for f, (place, groups) in enumerate(upper.upper.factors):
        size = place.stop - place.start
        covariance = np.zeros((groups, size, size))
        N = np.zeros((groups, size, m))
        for here, n, Phi in zip(upper.stacks, N_all, Phi_all, strict=True):
            slot = here.stack.slots[f]
            own = here.stack.columns[:, slot.first : slot.first + slot.groups]
            first = int(upper.upper.first[f])
            real = own < upper.upper.size
            group = own[real] - first
            for a in range(size):
                at = slice(slot.first + a * slot.groups, slot.first + (a + 1) * slot.groups)
                N[group, a] = n[0][:, at][real]
                for b in range(size):
                    to = slice(slot.first + b * slot.groups, slot.first + (b + 1) * slot.groups)
                    block = np.diagonal(Phi[0][:, at, to], axis1=1, axis2=2)
                    covariance[group, a, b] = block[real]
        found.append(Conditional(place, N, covariance))
    return tuple(found)


def _of_eliminated(
    point: Criterion, upper: UpperPoint, roots: GroupRoots, correction: Array
) -> Conditional:
    place = upper.upper.bottom
    Lambda = upper.Lambda[0, place, place]
    q = len(Lambda)
    own, W = _own_part(upper, roots)
    a, b = np.tril_indices(q)
    H = np.empty((correction.shape[2], q, q))
    H[:, a, b] = H[:, b, a] = correction[0].T
    covariance = own + W @ H @ W.swapaxes(1, 2)
    N = np.einsum("caj,mcj->jam", point.F[0], point.Q[0])
    return Conditional(place, N, covariance)


def _own_part(upper: UpperPoint, roots: GroupRoots) -> tuple[Array, Array]:
    """Lambda Omega_j^-1 Lambda' (J, q, q) and Sigma T_j' (J, q, q) of the eliminated factor."""
    place = upper.upper.bottom
    Lambda = upper.Lambda[0, place, place]
    S = roots.S.transpose(2, 0, 1)
    root = Lambda.T @ S
    inner = np.eye(len(Lambda)) + root @ root.swapaxes(1, 2)
    own = Lambda @ np.linalg.solve(inner, np.broadcast_to(Lambda.T, inner.shape))
    # Sigma S G^-1 = Lambda (I + Lambda'S S'Lambda)^-1 Lambda'S
    return own, own @ S


def error_variance_of_parts(
    upper: UpperPoint, roots: GroupRoots, Z: Array, codes: Codes, columns: csr_array
) -> Array:
    """Variance (rows,) in units of sigma^2 of the error of random parts, fixed effects known.

    Parameters
    ----------
    upper : UpperPoint of one replicate
    roots : GroupRoots
    Z : (rows, q) columns of the eliminated factor, working basis; zero where it has no part
    codes : (rows,) its groups; a row with -1 has none
    columns : (rows, N) sparse columns of the upper factors, working basis
    """
    q, J = Z.shape[1], roots.S.shape[2]
    total = np.zeros(len(Z))
    rest = columns
    if q and J:
        seen = codes >= 0
        own, W = _own_part(upper, roots)
        at = np.where(seen, codes, 0)
        total += np.where(seen, np.einsum("ia,iab,ib->i", Z, own[at], Z), 0.0)
        loading = np.where(seen[:, None], np.einsum("ia,iab->ib", Z, W[at]), 0.0)
        row = np.repeat(np.arange(len(Z)), q)
        column = (np.arange(q) * J + at[:, None]).ravel()
        sparse = csr_array((loading.ravel(), (row, column)), shape=(len(Z), q * J))
        rest = csr_array(columns - sparse @ upper.upper.C.T)
    for here in upper.stacks:
        E, _ = conditional(here, upper.Lambda)
        Phi = times(E, upper.Lambda @ upper.Lambda.swapaxes(1, 2), here.stack.slots)[0]
        total += _quadratic(rest, here.stack.columns, Phi, upper.upper.size)
    return total


def _quadratic(rest: csr_array, columns: Codes, Phi: Array, size: int) -> Array:
    """Sums v'Phi v (rows,) over the components of a stack; v the rows of `rest`."""
    total = np.zeros(rest.shape[0])
    K, s = columns.shape
    place = np.full(size + 1, -1, dtype=np.intp)
    place[columns] = np.arange(K * s).reshape(K, s)
    for start in range(0, rest.shape[0], _CHUNK):
        part = rest[start : start + _CHUNK].tocoo()
        at = place[part.col]
        mine = at >= 0
        row, at, value = part.row[mine].astype(np.int64), at[mine], part.data[mine]
        # A new row may join groups of several components, whose errors are independent.
        pairs, which = np.unique(row * K + at // s, return_inverse=True)
        dense = np.zeros((len(pairs), s))
        np.add.at(dense, (which, at % s), value)
        each = _by_component(dense, pairs % K, Phi)
        total[start : start + part.shape[0]] += np.bincount(pairs // K, each, part.shape[0])
    return total


def _by_component(dense: Array, component: Codes, Phi: Array) -> Array:
    """Quadratic forms v'Phi_k v of rows (r, s), each of component k."""
    if len(Phi) == 1:
        whole: Array = ((dense @ Phi[0]) * dense).sum(axis=1)
        return whole
    each: Array = np.einsum("ra,rab,rb->r", dense, Phi[component], dense, optimize=True)
    return each
