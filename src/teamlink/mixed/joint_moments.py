r"""Variances of several factors by the method of moments.

With e = M y the least-squares residual, M = I - XX' in orthonormal columns, and u_g = Z_g'e,

    E[u_g u_g'] = sigma^2 Z_g'M Z_g + sum_l Z_g'M Z_l Sigma Z_l'M Z_g,    l over all groups,

is linear in the elements of every Sigma. Summed over the groups of each factor, with weights, this
makes one equation an element; the sum of squares within the groups of the eliminated factor makes
the last one, for sigma^2.

``Z_g'M Z_l`` is dense, but differs from the low-rank ``-Z_g'X X'Z_l`` only where groups meet. So a
sum over pairs of groups is one over those that meet, and a product of small matrices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array

from teamlink.moments.crossproducts import GroupRoots
from teamlink.moments.upper import Upper
from teamlink.typing import Array, Codes

__all__ = ["joint_moments"]


@dataclass(frozen=True, slots=True)
class _Factor:
    """One factor: place along Lambda, groups, u (R, q, J), Z'X (q, J, p), first upper column."""

    place: slice
    groups: int
    u: Array
    X: Array
    first: int

    @property
    def q(self) -> int:
        return int(self.place.stop - self.place.start)

    @property
    def elements(self) -> list[tuple[int, int]]:
        """The elements of the lower triangle."""
        return [(a, b) for a in range(self.q) for b in range(a + 1)]


def joint_moments(roots: GroupRoots, upper: Upper, Q: int) -> Array:
    """Sigma (R, Q, Q), in units of the residual variance; not necessarily positive definite."""
    factors = _factors(roots, upper)
    t = sum(len(f.elements) for f in factors)
    left, right = np.zeros((t + 1, t + 1)), np.zeros((roots.responses, t + 1))
    met = _all_meetings(roots, upper, factors)
    row = 0
    for k, f in enumerate(factors):
        own = met[k][k].within(f.groups)
        weight = 1 / np.maximum(np.einsum("aag->g", own), 1e-12) ** 2
        _equations(f, factors, met[k], weight, left[row:])
        for i, (a, b) in enumerate(f.elements):
            left[row + i, t] = weight @ (own[a, b] - (f.X[a] * f.X[b]).sum(axis=1))
            right[:, row + i] = (f.u[:, a] * f.u[:, b]) @ weight
        row += len(f.elements)
    left[t], right[:, t] = _within(roots, upper, factors, met, t), roots.Wyy
    size = np.abs(left).max(axis=1, keepdims=True) + 1e-300
    found = np.linalg.lstsq(left / size, (right / size.T).T, rcond=1e-12)[0].T
    sigma2 = np.maximum(found[:, t], 1e-3 * roots.Wyy / roots.n + 1e-300)
    return _assembled(factors, found / sigma2[:, None], Q)


def _factors(roots: GroupRoots, upper: Upper) -> list[_Factor]:
    R, J = roots.responses, roots.S.shape[2]
    found = []
    if J:
        u = np.einsum("abj,rbj->raj", roots.S, roots.Cy)
        X = np.einsum("abj,pbj->ajp", roots.S, roots.CX)
        found.append(_Factor(upper.bottom, J, u, X, -1))
    for first, (place, groups) in zip(upper.first, upper.factors, strict=True):
        size = (place.stop - place.start) * groups
        u = upper.products.Zty[:, first : first + size].reshape(R, -1, groups)
        X = upper.products.ZtX[first : first + size].reshape(-1, groups, roots.CX.shape[0])
        found.append(_Factor(place, groups, u, X, int(first)))
    return found


@dataclass(frozen=True, slots=True)
class _Meetings:
    """The pairs of groups of two factors that share rows.

    Attributes
    ----------
    row, col : (M,) group of the one and of the other
    values : (q, q', M) Z_g'Z_l
    """

    row: Codes
    col: Codes
    values: Array

    @classmethod
    def of(cls, roots: GroupRoots, upper: Upper, f: _Factor, g: _Factor) -> _Meetings:
        if f.first < 0 and g.first < 0:
            each = np.arange(f.groups)
            return cls(each, each, np.einsum("acj,bcj->abj", roots.S, roots.S))
        rows = slice(f.first, f.first + f.q * f.groups)
        if g.first < 0:
            block = upper.products.meeting[rows]
        else:
            block = upper.products.ZtZ[rows][:, g.first : g.first + g.q * g.groups]
        entry = coo_array(block)
        key = (entry.row % f.groups).astype(np.int64) * g.groups + entry.col % g.groups
        pairs, which = np.unique(key, return_inverse=True)
        values = np.zeros((f.q, g.q, len(pairs)))
        values[entry.row // f.groups, entry.col // g.groups, which] = entry.data
        return cls(pairs // g.groups, pairs % g.groups, values)

    def turned(self) -> _Meetings:
        """The same pairs, the other factor first."""
        return _Meetings(self.col, self.row, self.values.swapaxes(0, 1))

    def within(self, groups: int) -> Array:
        """Z_g'Z_g (q, q, groups), for the pairs of a factor with itself."""
        own = np.zeros((*self.values.shape[:2], groups))
        same = self.row == self.col
        own[:, :, self.row[same]] = self.values[:, :, same]
        return own


def _all_meetings(roots: GroupRoots, upper: Upper, factors: list[_Factor]) -> list[list[_Meetings]]:
    """The meetings of every factor with every other."""
    lower = [
        [_Meetings.of(roots, upper, f, g) for g in factors[: k + 1]] for k, f in enumerate(factors)
    ]
    size = range(len(factors))
    return [[lower[k][j] if j <= k else lower[j][k].turned() for j in size] for k in size]


def _equations(
    f: _Factor, factors: list[_Factor], met: list[_Meetings], weight: Array, left: Array
) -> None:
    """Coefficients of every Sigma in the equations of one factor, in place."""
    column = 0
    p = f.X.shape[2]
    near = np.einsum("agi,bgj,g->abij", f.X, f.X, weight).reshape(f.q * f.q, p * p)
    for g, pairs in zip(factors, met, strict=True):
        fixed = np.einsum("ami,cmi->acm", f.X[:, pairs.row], g.X[:, pairs.col])
        w, size = weight[pairs.row], f.q * g.q
        whole = (pairs.values - fixed).reshape(size, -1)
        fixed = fixed.reshape(size, -1)
        sums = ((whole * w) @ whole.T - (fixed * w) @ fixed.T).reshape(f.q, g.q, f.q, g.q)
        far = np.einsum("cli,dlj->cdij", g.X, g.X).reshape(g.q * g.q, p * p)
        sums += (near @ far.T).reshape(f.q, f.q, g.q, g.q).transpose(0, 2, 1, 3)
        for i, (a, b) in enumerate(f.elements):
            for j, (c, d) in enumerate(g.elements):
                value = sums[a, c, b, d]
                left[i, column + j] = value if c == d else value + sums[a, d, b, c]
        column += len(g.elements)


def _within(
    roots: GroupRoots, upper: Upper, factors: list[_Factor], met: list[list[_Meetings]], t: int
) -> Array:
    """Coefficients (t + 1,) of the sum of squares within the groups of the eliminated factor."""
    result = np.zeros(t + 1)
    result[t] = max(roots.n - roots.rank, 1)
    column = 0
    for k, f in enumerate(factors):
        if f.first >= 0:
            whole = met[k][k].within(f.groups).sum(axis=2)
            between = [upper.C[f.first + a * f.groups :][: f.groups] for a in range(f.q)]
            for j, (c, d) in enumerate(f.elements):
                rest = whole[c, d] - between[c].multiply(between[d]).sum()
                result[column + j] = rest * (1 if c == d else 2)
        column += len(f.elements)
    return result


def _assembled(factors: list[_Factor], elements: Array, Q: int) -> Array:
    Sigma = np.zeros((len(elements), Q, Q))
    column = 0
    for f in factors:
        for j, (c, d) in enumerate(f.elements):
            at, to = f.place.start + c, f.place.start + d
            Sigma[:, at, to] = Sigma[:, to, at] = elements[:, column + j]
        column += len(f.elements)
    return Sigma
