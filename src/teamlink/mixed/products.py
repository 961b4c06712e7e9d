r"""Traces and products of all variance parameters, where there are several factors.

Derivatives need ``M = Z'V^-1 Z`` between all factors. In the notation of `teamlink.mixed.upper`,
with

    Phi = Lambda Omega^-1 Lambda',    E = I - Phi A,    Phi = E Sigma,    T_j = G_j^-1 S_j',

and K the rows ``T_j'C_j`` of the eliminated factor's groups,

    M_rr = A E,    M_br = K E,    M_bb = diag(S_j G_j^-1 S_j') - K Phi K'.

Nothing of the size of M_br or M_bb is formed: traces of products of these need only
``K'E_i K``, which is again linear in small matrices a group, hence one product with P.

The variances are parametrised linearly: unit i is an element (a, b) of the covariance of one
factor, E_i the symmetric matrix with ones there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.mixed.stacks import inverse_blocks, left, minus_blocks, times
from teamlink.mixed.upper import StackPoint, UpperPoint
from teamlink.moments.meetings import lower_triangle
from teamlink.moments.upper import Slot, Upper
from teamlink.typing import Array, Codes, Mask

__all__ = ["VarianceProducts", "conditional", "variance_products"]

_REGULAR = 1e-2
"""Information times variance above which dividing by Lambda loses less than it saves."""


@dataclass(frozen=True, slots=True)
class VarianceProducts:
    """Traces and products in the linear variance parameters, one unit an element.

    With ``N = Z'V^-1 [X, y - X beta]`` in columns in which ``[X y]'V^-1 [X y]`` is the identity and
    ``M = Z'V^-1 Z``:

    Attributes
    ----------
    blocks : (R, Q, Q) sum over groups of M's diagonal blocks
    traces : (R, t, t) tr(M E_i M E_j)
    gram : (R, t, t, m, m) N_k'E_i M E_j N_l, or their weighted sum over k = l, (R, t, t)
    forms : (R, t, m, m) N_k'E_i N_l
    """

    blocks: Array
    traces: Array
    gram: Array
    forms: Array


def variance_products(
    point: UpperPoint,
    F: Array,
    Q: Array,
    M_inverse: Array,
    weights: Array | None,
    share: Array | None = None,
) -> VarianceProducts:
    """Traces and products of all variance parameters.

    Parameters
    ----------
    point : UpperPoint
    F : (R, q, q, J) L_j^-1 S_j' of the eliminated factor
    Q : (R, m, q, J) whitened L_j^-1 Q_j'([X y] - Z_r modes)
    M_inverse : (R, m, m) inverse root of M
    weights : (R, J) or None
    share : (R, m) weight of each column; where the weighted sum over columns is all that is needed

    Returns
    -------
    VarianceProducts
        Units in the order of `units` over the eliminated factor first, then the upper ones.
    """
    upper, Lambda = point.upper, point.Lambda
    rows, cols = point.units
    R, m, q, J = Q.shape
    t, tb = len(rows), q * (q + 1) // 2
    blocks = np.zeros_like(Lambda)
    traces = np.zeros((R, t, t))
    forms = np.zeros((R, t, m, m))
    gram = np.zeros((R, t, t, m, m) if share is None else (R, t, t))
    bottom = _Bottom.of(point, F, Q) if tb else None
    meetings = point.gathered(bottom.meetings) if bottom else [None] * len(point.stacks)
    correction = np.zeros((R, tb, J))
    for here, Y in zip(point.stacks, meetings, strict=True):
        E, M = conditional(here, Lambda)
        Sigma = Lambda @ Lambda.swapaxes(1, 2)
        N = E.swapaxes(2, 3) @ (here.A_m @ M_inverse.swapaxes(1, 2)[:, None])
        w = np.ones((R, here.stack.shape[0])) if here.weights is None else here.weights
        _upper_forms(here, N, M, w, rows, cols, tb, blocks, forms)
        _upper_traces(here, M, w, rows, cols, tb, traces)
        V = _unit_vectors(here.stack.slots, N, rows, cols, tb)
        weighted = V * w[:, :, None, None, None]
        gram[:, tb:, tb:] += _paired(V, _applied(M, weighted), share)
        if bottom is not None and Y is not None:
            Phi = times(E, Sigma, here.stack.slots)
            correction += here.stack.meetings.adjoint(Phi)
            cross = _paired(Y, _applied(E, weighted), share)
            gram[:, :tb, tb:] += cross
            gram[:, tb:, :tb] += cross.swapaxes(1, 2) if share is not None else _turned(cross)
            PhiY = _applied(Phi, Y * w[:, :, None, None, None])
            gram[:, :tb, :tb] -= _paired(Y, PhiY, share)
            _mixed_traces(here, E, Sigma, bottom.elements, w, rows, cols, tb, traces)
    if bottom is not None:
        place = upper.bottom
        bottom.finish(correction, weights, share, place, blocks, traces, forms, gram)
    return VarianceProducts(blocks, traces, gram, forms)


def _applied(A: Array, vectors: Array) -> Array:
    """A (R, K, x, s) times vectors (R, K, s, t, m) of each component."""
    R, K, s, t, m = vectors.shape
    product: Array = A @ vectors.reshape(R, K, s, t * m)
    return product.reshape(R, K, -1, t, m)


def _paired(one: Array, two: Array, share: Array | None) -> Array:
    """Inner products of vectors (R, K, s, t, m) and (R, K, s, u, m) over components and positions.

    (R, t, u, m, m); or of equal columns only, summed with weights `share` (R, m), (R, t, u).
    """
    R, K, s, t, m = one.shape
    u = two.shape[3]
    if share is None:
        left = one.reshape(R, K * s, t * m).swapaxes(1, 2)
        whole = left @ two.reshape(R, K * s, u * m)
        return whole.reshape(R, t, m, u, m).transpose(0, 1, 3, 2, 4)
    left = np.moveaxis(one * share[:, None, None, None], 3, 1).reshape(R, t, K * s * m)
    right = np.moveaxis(two, 3, 1).reshape(R, u, K * s * m)
    summed: Array = left @ right.swapaxes(1, 2)
    return summed


def _turned(pairs: Array) -> Array:
    """(R, u, t, m, m) from (R, t, u, m, m): both pairs of axes exchanged."""
    return pairs.transpose(0, 2, 1, 4, 3)


def conditional(point: StackPoint, Lambda: Array) -> tuple[Array, Array]:
    """E = I - Phi A and M_rr = A E, each (R, K, s, s).

    Where every variance is well away from zero both follow from Omega^-1 by division; elsewhere
    they are multiplied out, which no singular Lambda harms.
    """
    whole = point.roots.inverted()
    slots = point.stack.slots
    E, M = np.empty_like(point.A), np.empty_like(point.A)
    regular = _regular(point, Lambda)
    for chosen in (np.flatnonzero(regular), np.flatnonzero(~regular)):
        if not chosen.size:
            continue
        Lam, Oinv = Lambda[chosen], whole[chosen]
        if regular[chosen[0]]:
            back = inverse_blocks(Lam, slots)
            right = times(Oinv, back, slots)
            E[chosen] = left(right, Lam, slots)
            gap = minus_blocks(right, back, slots)
            M[chosen] = -left(gap, back.swapaxes(1, 2), slots)
        else:
            A = point.A[chosen]
            half = left(times(Oinv, Lam.swapaxes(1, 2), slots), Lam, slots)
            rest = -(half @ A)
            s = rest.shape[-1]
            rest.reshape(*rest.shape[:2], s * s)[:, :, :: s + 1] += 1.0
            E[chosen] = rest
            product = A @ rest
            M[chosen] = (product + product.swapaxes(2, 3)) / 2
    return E, M


def _regular(point: StackPoint, Lambda: Array) -> Mask:
    """Which replicates (R,) have no variance near zero, as the data see it."""
    regular: Mask = np.ones(len(Lambda), dtype=np.bool_)
    information = np.diagonal(point.A, axis1=2, axis2=3)
    for slot in point.stack.slots:
        smallest = np.linalg.svd(Lambda[:, slot.place, slot.place], compute_uv=False)[:, -1]
        own = information[:, :, slot.positions]
        size = own.sum(axis=(1, 2)) / np.maximum((own > 0).sum(axis=(1, 2)), 1)
        regular &= smallest**2 * size > _REGULAR
    return regular


def _upper_forms(
    here: StackPoint, N: Array, M: Array, w: Array, rows: Codes, cols: Codes, tb: int,
    blocks: Array, forms: Array,
) -> None:  # fmt: skip
    """Diagonal blocks of M_rr and N'E_i N, added in place."""
    weighted = N * w[:, :, None, None]
    for slot in here.stack.slots:
        g, start = slot.groups, slot.place.start
        for i in range(tb, len(rows)):
            if not slot.place.start <= rows[i] < slot.place.stop:
                continue
            a, b = rows[i] - start, cols[i] - start
            at = slice(slot.first + a * g, slot.first + (a + 1) * g)
            to = slice(slot.first + b * g, slot.first + (b + 1) * g)
            diagonal = np.diagonal(M[:, :, at, to], axis1=2, axis2=3).sum(axis=2)
            total = (diagonal * w).sum(axis=1)
            blocks[:, rows[i], cols[i]] += total
            product = (weighted[:, :, at].swapaxes(2, 3) @ N[:, :, to]).sum(axis=1)
            forms[:, i] += product
            if a != b:
                blocks[:, cols[i], rows[i]] += total
                forms[:, i] += product.swapaxes(1, 2)


def _upper_traces(
    here: StackPoint, M: Array, w: Array, rows: Codes, cols: Codes, tb: int, traces: Array
) -> None:
    """tr(M_rr E_i M_rr E_j), added in place."""
    where = {}
    for slot in here.stack.slots:
        for a in range(slot.place.start, slot.place.stop):
            first = slot.first + (a - slot.place.start) * slot.groups
            where[a] = slice(first, first + slot.groups)

    def inner(a: int, b: int, c: int, d: int) -> Array:
        one, two = M[:, :, where[a], where[b]], M[:, :, where[c], where[d]]
        each = np.einsum("rkgl,rkgl->rk", one, two)
        total: Array = (each * w).sum(axis=1)
        return total

    for i in range(tb, len(rows)):
        for j in range(tb, i + 1):
            a, b, c, d = int(rows[i]), int(cols[i]), int(rows[j]), int(cols[j])
            if a == b and c == d:
                value = inner(a, c, a, c)
            else:
                half = (1 if a == b else 2) * (1 if c == d else 2) / 2
                value = half * (inner(a, d, b, c) + inner(a, c, b, d))
            traces[:, i, j] += value
            if i != j:
                traces[:, j, i] += value


def _unit_vectors(slots: Sequence[Slot], N: Array, rows: Codes, cols: Codes, tb: int) -> Array:
    """E_i N_k for each upper unit, (R, K, s, t - tb, m)."""
    R, K, s, m = N.shape
    out = np.zeros((R, K, s, len(rows) - tb, m))
    for slot in slots:
        g, start = slot.groups, slot.place.start
        for i in range(tb, len(rows)):
            if not slot.place.start <= rows[i] < slot.place.stop:
                continue
            at = slice(slot.first + (rows[i] - start) * g, slot.first + (rows[i] - start + 1) * g)
            to = slice(slot.first + (cols[i] - start) * g, slot.first + (cols[i] - start + 1) * g)
            out[:, :, at, i - tb] = N[:, :, to]
            out[:, :, to, i - tb] = N[:, :, at]
    return out


def _mixed_traces(
    here: StackPoint, E: Array, Sigma: Array, elements: Array, w: Array, rows: Codes, cols: Codes,
    tb: int, traces: Array,
) -> None:  # fmt: skip
    """Traces between the eliminated factor and the upper ones, and tr(Phi B_i Phi B_j), in place.

    B_i = K'E_i K, whose elements a group are `elements` (R, tb, t', J).
    """
    slots = here.stack.slots
    through = []
    for i in range(tb):
        Y = here.stack.meetings.apply(elements[:, i]) @ E
        for slot in slots:
            g, start = slot.groups, slot.place.start
            for j in range(tb, len(rows)):
                if not slot.place.start <= rows[j] < slot.place.stop:
                    continue
                c = slice(
                    slot.first + (rows[j] - start) * g, slot.first + (rows[j] - start + 1) * g
                )
                d = slice(
                    slot.first + (cols[j] - start) * g, slot.first + (cols[j] - start + 1) * g
                )
                each = np.einsum("rksg,rksg->rk", E[..., c], Y[..., d])
                value = (each * w).sum(axis=1) * (1 if rows[j] == cols[j] else 2)
                traces[:, i, j] += value
                traces[:, j, i] += value
        through.append(times(Y, Sigma, slots))
        for j in range(i + 1):
            each = np.einsum("rkst,rkts->rk", through[i], through[j])
            value = (each * w).sum(axis=1)
            traces[:, i, j] += value
            if i != j:
                traces[:, j, i] += value


@dataclass(frozen=True, slots=True)
class _Bottom:
    """The eliminated factor's part of the products.

    Attributes
    ----------
    D : (R, q, q, J) S_j G_j^-1 S_j'
    T : (R, q, q, J) G_j^-1 S_j'
    N : (R, m, q, J) Z_j'V^-1 [X y], whitened
    meetings : (R, N, tb, m) K'E_i N_k
    elements : (R, tb, tb, J) elements of T_j E_i T_j'
    """

    D: Array
    T: Array
    N: Array
    meetings: Array
    elements: Array

    @classmethod
    def of(cls, point: UpperPoint, F: Array, Q: Array) -> _Bottom:
        R, _, q, J = Q.shape
        D = np.einsum("rcaj,rcbj->rabj", F, F)
        T = np.einsum("rcaj,rcbj->rabj", point.inverse, F)
        N = np.einsum("rcaj,rmcj->rmaj", F, Q)
        a, b = lower_triangle(q)
        tb = len(a)
        elements = np.empty((R, tb, tb, J))
        for i in range(tb):
            np.multiply(T[:, a, a[i]], T[:, b, b[i]], out=elements[:, i])
            if a[i] != b[i]:
                elements[:, i] += T[:, b, a[i]] * T[:, a, b[i]]
        return cls(D, T, N, _met(point.upper, T, N), elements)

    def finish(
        self, correction: Array, weights: Array | None, share: Array | None, place: slice,
        blocks: Array, traces: Array, forms: Array, gram: Array,
    ) -> None:  # fmt: skip
        """Add what concerns the eliminated factor alone, in place; `correction` is C_j Phi C_j'."""
        R, _, q, J = self.N.shape
        a, b = lower_triangle(q)
        tb = len(a)
        H = np.empty((R, q, q, J))
        H[:, a, b] = correction
        H[:, b, a] = correction
        HT = (H[:, :, :, None] * self.T[:, None]).sum(axis=2)  # H_cd T_db
        less = (self.T[:, :, :, None] * HT[:, :, None]).sum(axis=1)
        whole, N = self.D, self.N
        if weights is not None:
            whole = whole * weights[:, None, None]
            less = less * weights[:, None, None]
            N = N * weights[:, None, None]
        blocks[:, place, place] += (whole - less).sum(axis=-1)
        for i in range(tb):
            product = N[:, :, a[i]] @ self.N[:, :, b[i]].swapaxes(1, 2)
            forms[:, i] += product if a[i] == b[i] else product + product.swapaxes(1, 2)
        traces[:, :tb, :tb] += _unit_traces(whole - 2 * less, self.D)
        if share is None:
            gram[:, :tb, :tb] += self._grams(whole)
            return
        summed = np.empty((R, q, q, J))  # sum_k share_k N_k N_k'
        for c, d in zip(a, b, strict=True):
            summed[:, c, d] = np.einsum("rk,rkj,rkj->rj", share, N[:, :, c], self.N[:, :, d])
            summed[:, d, c] = summed[:, c, d]
        gram[:, :tb, :tb] += _unit_traces(summed, self.D)

    def _grams(self, whole: Array) -> Array:
        """N_k'E_i D E_j N_l (R, tb, tb, m, m), D = `whole` (R, q, q, J)."""
        R, m, q, J = self.N.shape
        a, b = lower_triangle(q)
        vectors = np.zeros((R, len(a), m, q, J))  # E_i N_k
        for i in range(len(a)):
            vectors[:, i, :, a[i]] = self.N[:, :, b[i]]
            vectors[:, i, :, b[i]] = self.N[:, :, a[i]]
        flat = vectors.reshape(R, len(a) * m, q * J)
        applied = np.einsum("rabj,rimbj->rimaj", whole, vectors).reshape(flat.shape)
        product: Array = flat @ applied.swapaxes(1, 2)
        return product.reshape(R, len(a), m, len(a), m).transpose(0, 1, 3, 2, 4)


def _met(upper: Upper, T: Array, N: Array) -> Array:
    """K'E_i N_k (R, N, tb, m) from T (R, q, q, J) and N (R, m, q, J).

    One unit of one replicate at a time: what it passes through stays in the cache.
    """
    R, m, q, J = N.shape
    a, b = lower_triangle(q)
    out = np.empty((R, upper.size, len(a), m))
    through = np.empty((m, q, J))  # T E_i N_k
    for r in range(R):
        for i in range(len(a)):
            np.multiply(T[r, :, a[i]], N[r, :, b[i], None], out=through)
            if a[i] != b[i]:
                through += T[r, :, b[i]] * N[r, :, a[i], None]
            out[r, :, i] = upper.C @ through.reshape(m, q * J).T
    return out


def _unit_traces(X: Array, Y: Array) -> Array:
    """sum_j tr(X_j E_i Y_j E_k) (R, t, t) of symmetric X and Y (R, q, q, J)."""
    a, b = lower_triangle(X.shape[1])
    out = np.empty((len(X), len(a), len(a)))
    for i in range(len(a)):
        for k in range(i + 1):
            out[:, i, k] = out[:, k, i] = _unit_trace(X, Y, a[i], b[i], a[k], b[k])
    return out


def _unit_trace(X: Array, Y: Array, a: int, b: int, c: int, d: int) -> Array:
    """sum_j tr(X_j E_ab Y_j E_cd) (R,), symmetrised in X and Y."""

    def inner(one: Array, two: Array) -> Array:
        total: Array = (one[:, None] @ two[:, :, None])[:, 0, 0]
        return total

    if a == b and c == d:
        return inner(X[:, a, c], Y[:, a, c])
    half = (1 if a == b else 2) * (1 if c == d else 2) / 4
    return half * (
        inner(X[:, a, d], Y[:, b, c]) + inner(X[:, a, c], Y[:, b, d])
        + inner(Y[:, a, d], X[:, b, c]) + inner(Y[:, a, c], X[:, b, d])
    )  # fmt: skip
