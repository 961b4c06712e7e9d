r"""The inverse of the relative covariance V, in parts, and products with it.

With ``V = I + Z Sigma Z'`` and one factor eliminated first (columns Z_b, groups j),

    V^-1 = I - Z_b B Z_b' - T Phi T',      B_j = Lambda (I + Lambda'Z_j'Z_j Lambda)^-1 Lambda',
    T = V_b^-1 Z_r,                        V_b = I + Z_b Sigma_b Z_b',

where Z_r are the columns of the other factors and Phi their conditional covariance, dense within
each connected component. With one factor the last term is absent. Nothing of size n x n is formed;
the rows of a set I have the block ``(V^-1)_II`` of its own size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, hstack

from teamlink.mixed.criterion import Criterion
from teamlink.mixed.model import LinearMixed
from teamlink.mixed.products import conditional
from teamlink.mixed.stacks import times
from teamlink.mixed.upper import UpperPoint
from teamlink.typing import Array, Codes

__all__ = ["Precision", "precision"]

_CHUNK = 4096
"""Rows that are made dense at a time."""


@dataclass(frozen=True, slots=True)
class Precision:
    """V^-1 of n rows, V in units of sigma^2.

    Attributes
    ----------
    Z : (n, q) columns of the eliminated factor, working basis; q may be zero
    codes : (n,) its groups
    own : (J, q, q) B_j
    T : (n, N) sparse; N is zero where there is one factor
    parts : for each component of the upper columns, which (s,) and Phi (s, s)
    place : (N,) where each upper column stands in its component
    component : (n,) the component that a row's upper columns are of
    effects : (n, M) sparse ``Z Lambda`` of all factors, so that ``V = I + effects effects'``
    """

    Z: Array
    codes: Codes
    own: Array
    T: csr_array
    parts: tuple[tuple[Codes, Array], ...]
    place: Codes
    component: Codes
    effects: csr_array

    def times(self, B: Array) -> Array:
        """V^-1 B for B (n, k)."""
        out = B.astype(float, copy=True)
        if self.Z.shape[1]:
            sums = np.stack([_sums(self.Z[:, a : a + 1] * B, self.codes, len(self.own))
                             for a in range(self.Z.shape[1])], axis=1)  # fmt: skip
            inner = self.own @ sums
            for a in range(self.Z.shape[1]):
                out -= self.Z[:, a : a + 1] * inner[self.codes, a]
        if self.parts:
            met = self.T.T @ B
            moved = np.zeros_like(met)
            for columns, Phi in self.parts:
                moved[columns] = Phi @ met[columns]
            out -= self.T @ moved
        return out

    def diagonal(self) -> Array:
        """(n,) diagonal of V^-1."""
        total = np.ones(len(self.Z))
        if self.Z.shape[1]:
            total -= np.einsum("ia,iab,ib->i", self.Z, self.own[self.codes], self.Z)
        for rows, columns, Phi in self._by_component():
            part = csr_array(self.T[rows][:, columns])
            total[rows] -= np.asarray(part.multiply(part @ Phi).sum(axis=1)).ravel()
        return total

    def block(self, rows: Codes) -> Array:
        """(k, k) the rows and columns of V^-1 of a set of k rows."""
        out: Array = np.eye(len(rows))
        if self.Z.shape[1]:
            codes, Z = self.codes[rows], self.Z[rows]
            scaled = np.einsum("ia,iab->ib", Z, self.own[codes])
            out -= (scaled @ Z.T) * (codes[:, None] == codes)
        for c in np.unique(self.component[rows]) if self.parts else ():
            at = np.flatnonzero(self.component[rows] == c)
            met = csr_array(self.T[rows[at]])
            # Rows meet few of the columns: only these, and sparse times dense twice.
            touched, where = np.unique(met.indices, return_inverse=True)
            part = csr_array((met.data, where, met.indptr), shape=(len(at), len(touched)))
            own = self.place[touched]
            out[np.ix_(at, at)] -= part @ (part @ self.parts[c][1][np.ix_(own, own)]).T
        return out

    def covariance(self, rows: Codes) -> Array:
        """(k, k) the rows and columns of V itself of a set of k rows."""
        root = self.effects[rows]
        V: Array = (root @ root.T).toarray()
        V[np.diag_indices(len(rows))] += 1.0
        return V

    def variance(self) -> Array:
        """(n,) diagonal of V."""
        total: Array = np.asarray(self.effects.power(2).sum(axis=1), dtype=float).ravel()
        return 1.0 + total

    def _by_component(self) -> Iterator[tuple[Codes, Codes, Array]]:
        """Rows, columns and Phi of each component, a chunk of rows at a time."""
        if not self.parts:
            return
        order = np.argsort(self.component, kind="stable")
        first = np.searchsorted(self.component[order], np.arange(len(self.parts) + 1))
        for c, (columns, Phi) in enumerate(self.parts):
            for start in range(first[c], first[c + 1], _CHUNK):
                yield order[start : min(start + _CHUNK, first[c + 1])], columns, Phi


def precision(model: LinearMixed, theta: Array) -> Precision:
    """The inverse covariance of the rows of a model.

    Parameters
    ----------
    model : LinearMixed with one response
    theta : (k,) working parameters
    """
    point = model.evaluate(theta[None])
    Lambda = model.structure.factor(theta)
    design = model.design
    columns = [model.random.columns(f.Z, i) for i, f in enumerate(design.factors)]
    effects = hstack(
        [
            factor.by_effect(Z @ Lambda[place, place])
            for factor, Z, place in zip(
                design.factors, columns, model.structure.factors, strict=True
            )
        ],
        format="csr",
    )
    nothing = csr_array((design.n, 0))
    nowhere = np.zeros(design.n, dtype=np.intp)
    if point.upper is None:
        own = _own(model, Lambda)
        codes = design.factors[0].only_codes
        none = nowhere[:0]
        return Precision(columns[0], codes, own, nothing, (), none, nowhere, csr_array(effects))
    Z, codes, own = _eliminated(model, point.upper, Lambda, columns)
    T = _against_the_eliminated(model, point.upper, Z, codes, own, columns)
    parts = tuple(_components(point))
    place, component = _component(T, parts)
    return Precision(Z, codes, own, T, parts, place, component, csr_array(effects))


def _own(model: LinearMixed, Lambda: Array) -> Array:
    """B_j (J, q, q) of the eliminated factor, whose relative factor is Lambda (q, q)."""
    root = Lambda.T @ model.roots.S.transpose(2, 0, 1)
    inner = np.eye(len(Lambda)) + root @ root.swapaxes(1, 2)
    own: Array = Lambda @ np.linalg.solve(inner, np.broadcast_to(Lambda.T, inner.shape))
    return own


def _eliminated(
    model: LinearMixed, upper: UpperPoint, Lambda: Array, columns: list[Array]
) -> tuple[Array, Codes, Array]:
    """Columns, codes and B_j of the factor eliminated first; no columns where there is none."""
    place = upper.upper.bottom
    n, J = model.design.n, model.roots.S.shape[2]
    if not J or place.stop == place.start:
        return np.zeros((n, 0)), np.zeros(n, dtype=np.intp), np.zeros((0, 0, 0))
    f = model.structure.factors.index(place)
    return columns[f], model.design.factors[f].only_codes, _own(model, Lambda[place, place])


def _against_the_eliminated(
    model: LinearMixed, upper: UpperPoint, Z: Array, codes: Codes, own: Array, columns: list[Array]
) -> csr_array:
    """T (n, N): a row's upper columns less what the eliminated factor takes of them."""
    places = model.structure.factors
    parts = [
        model.design.factors[places.index(place)].by_effect(columns[places.index(place)])
        for place, _ in upper.upper.factors
    ]
    T = csr_array(hstack(parts, format="csr"))
    n, q = Z.shape
    if not q:
        return T
    J = len(own)
    W = own @ model.roots.S.transpose(2, 0, 1)
    loading = np.einsum("ia,iab->ib", Z, W[codes])
    at = (np.arange(q) * J + codes[:, None]).ravel()
    sparse = csr_array((loading.ravel(), at, np.arange(n + 1) * q), shape=(n, q * J))
    return csr_array(T - sparse @ upper.upper.C.T)


def _components(point: Criterion) -> Iterator[tuple[Codes, Array]]:
    """The columns and Phi of every component, padding left out."""
    upper = point.upper
    assert upper is not None
    Sigma = upper.Lambda @ upper.Lambda.swapaxes(1, 2)
    for here in upper.stacks:
        E, _ = conditional(here, upper.Lambda)
        Phi = times(E, Sigma, here.stack.slots)[0]
        for own, block in zip(here.stack.columns, Phi, strict=True):
            real = np.flatnonzero(own < upper.upper.size)
            yield own[real], block[np.ix_(real, real)]


def _component(T: csr_array, parts: tuple[tuple[Codes, Array], ...]) -> tuple[Codes, Codes]:
    """Where each column stands in its component, and the component (n,) of each row.

    All of a row's upper columns are of one component.
    """
    place, of_column = np.zeros((2, T.shape[1]), dtype=np.intp)
    for c, (columns, _) in enumerate(parts):
        place[columns], of_column[columns] = np.arange(len(columns)), c
    first = T.indices[np.minimum(T.indptr[:-1], max(len(T.indices) - 1, 0))]
    component: Codes = np.where(np.diff(T.indptr) > 0, of_column[first], 0)
    return place, component


def _sums(values: Array, codes: Codes, J: int) -> Array:
    """(J, k) sums of values (n, k) over groups."""
    sums = np.empty((J, values.shape[1]))
    for k in range(values.shape[1]):
        sums[:, k] = np.bincount(codes, values[:, k], J)
    return sums
