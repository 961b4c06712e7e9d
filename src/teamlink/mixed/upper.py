r"""The second stage of the criterion: the factors that remain once one is eliminated.

`criterion` eliminates one factor, group by group. What is left is a model for the upper columns
with ``A = Z_r'V_1^-1 Z_r`` (V_1 the covariance of the eliminated factor alone), and ``Lambda`` the
block-diagonal factor of their own covariance:

    Omega = I + Lambda'A Lambda = L L',        log|V| = log|V_1| + log|Omega|,
    U = L^-1 Lambda'A_m,                       M = M_1 - U'U,        A_m = Z_r'V_1^-1 [X y].

Derivatives are in `teamlink.mixed.products`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.mixed.stacks import Roots, packed, times
from teamlink.moments.upper import Stack, Upper
from teamlink.typing import Array, Codes, Mask

__all__ = ["StackPoint", "UpperPoint", "eliminate"]


@dataclass(frozen=True, slots=True)
class StackPoint:
    """A stack of components at one factor a replicate.

    Attributes
    ----------
    stack : Stack
    A : (R, K, s, s) Z_r'V_1^-1 Z_r
    A_m : (R, K, s, m) Z_r'V_1^-1 [X y]
    roots : lower roots of Omega
    U : (R, K, s, m)
    modes : (R, K, s, m) Phi A_m
    weights : (R, K) how often each component counts, where not once
    """

    stack: Stack
    A: Array
    A_m: Array
    roots: Roots
    U: Array
    modes: Array
    weights: Array | None


@dataclass(frozen=True, slots=True)
class UpperPoint:
    """All stacks at a point.

    Attributes
    ----------
    upper : Upper
    Lambda : (R, Q, Q) relative factors of all random effects
    inverse : (R, q, q, J) L_j^-1 of the eliminated factor
    stacks : the components
    """

    upper: Upper
    Lambda: Array
    inverse: Array
    stacks: tuple[StackPoint, ...]

    @property
    def largest(self) -> Array:
        """Largest diagonal element (R,) of any Omega."""
        each = [np.square(point.roots.L).sum(axis=3).max(axis=(1, 2)) for point in self.stacks]
        largest: Array = np.max(each, axis=0)
        return largest

    @property
    def units(self) -> tuple[Codes, Codes]:
        """Rows and columns of the units: of the eliminated factor first."""
        return units([self.upper.bottom, *(place for place, _ in self.upper.factors)])

    def of_groups(self, shape: tuple[int, ...]) -> Array:
        """(R, m, q, J) L_j^-1 Q_j'Z_r times the conditional modes."""
        R, m, q, J = shape
        modes = self.spread_out([point.modes for point in self.stacks])
        inner = self.upper.across @ modes.transpose(1, 0, 2).reshape(-1, R * m)
        met = np.ascontiguousarray(inner.T).reshape(R, m, q, J)
        own: Array = np.einsum("rcaj,rmaj->rmcj", self.inverse, met)
        return own

    def spread_out(self, values: Sequence[Array]) -> Array:
        """(R, N, ...) by upper column, from (R, K, s, ...) of each stack."""
        shape = values[0].shape
        out = np.zeros((shape[0], self.upper.size + 1, *shape[3:]))
        for point, value in zip(self.stacks, values, strict=True):
            out[:, point.stack.columns] = value
        return out[:, :-1]

    def gathered(self, values: Array) -> list[Array]:
        """(R, K, s, ...) of each stack from (R, N, ...) by upper column."""
        padded = np.concatenate([values, np.zeros_like(values[:, :1])], axis=1)
        return [padded[:, point.stack.columns] for point in self.stacks]


def units(places: Sequence[slice]) -> tuple[Codes, Codes]:
    """Rows and columns (t,) along Lambda of the units, factor by factor, lower triangles by row."""
    rows, cols = [], []
    for place in places:
        for a in range(place.start, place.stop):
            for b in range(place.start, a + 1):
                rows.append(a)
                cols.append(b)
    return np.array(rows, dtype=np.intp), np.array(cols, dtype=np.intp)


def eliminate(
    upper: Upper, Lambda: Array, inverse: Array, V: Array, weights: Array | None
) -> tuple[UpperPoint, Array, Array, Mask]:
    """Factor the upper columns.

    Parameters
    ----------
    upper : Upper
    Lambda : (R, Q, Q) relative factors of all random effects
    inverse : (R, q, q, J) L_j^-1 of the eliminated factor
    V : (R, m, q, J) L_j^-1 Q_j'[X y]
    weights : (R, J) or None

    Returns
    -------
    UpperPoint
    log_det : (R,) log|Omega|
    explained : (R, m, m) U'U
    failed : (R,) where a root does not exist
    """
    R, m, q, J = V.shape
    within = np.broadcast_to(upper.WX, (R, *upper.WX.shape))
    A_m = np.concatenate(
        [within, np.broadcast_to(upper.Wy, (R, upper.size))[:, None]], axis=1
    ).transpose(0, 2, 1)
    if J:
        inner = np.einsum("rcaj,rmcj->rmaj", inverse, V).reshape(R * m, q * J)
        A_m = A_m + (upper.C @ inner.T).reshape(-1, R, m).transpose(1, 0, 2)
    elements = packed(np.einsum("rcaj,rcbj->rabj", inverse, inverse))
    log_det, explained = np.zeros(R), np.zeros((R, m, m))
    failed: Mask = np.zeros(R, dtype=np.bool_)
    padded = np.concatenate([A_m, np.zeros((R, 1, m))], axis=1)
    found = []
    for stack in upper.stacks:
        w = None if weights is None else weights[:, stack.member]
        here = _stack_point(stack, Lambda, elements, padded[:, stack.columns], w)
        logs = here.roots.log_det()
        log_det += (logs if w is None else w * logs).sum(axis=1)
        left = here.U if w is None else here.U * w[:, :, None, None]
        explained += _summed(left, here.U)
        failed |= here.roots.failed
        found.append(here)
    return UpperPoint(upper, Lambda, inverse, tuple(found)), log_det, explained, failed


def _stack_point(
    stack: Stack, Lambda: Array, elements: Array, A_m: Array, weights: Array | None
) -> StackPoint:
    R = len(Lambda)
    K, s = stack.shape
    A = np.repeat(stack.W[None], R, axis=0)
    if elements.size:
        A += stack.meetings.apply(elements)
    Omega = times(A, Lambda, stack.slots)
    Omega = times(Omega.swapaxes(2, 3), Lambda, stack.slots)
    Omega.reshape(R, K, s * s)[:, :, :: s + 1] += 1.0
    found = Roots.of(Omega)
    right = times(A_m.swapaxes(2, 3), Lambda, stack.slots).swapaxes(2, 3)
    U = found.solve(right)
    transposed = np.swapaxes(Lambda, 1, 2)
    modes = times(found.solve(U, transpose=True).swapaxes(2, 3), transposed, stack.slots)
    return StackPoint(stack, A, A_m, found, U, modes.swapaxes(2, 3), weights)


def _summed(one: Array, two: Array) -> Array:
    """Sum over components and positions of (R, K, s, m) and (R, K, s, n), (R, m, n)."""
    R, K, s, m = one.shape
    flat = one.reshape(R, K * s, m)
    total: Array = flat.swapaxes(1, 2) @ two.reshape(R, K * s, -1)
    return total
