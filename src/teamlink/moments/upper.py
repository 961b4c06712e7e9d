r"""What remains of several grouping factors once one of them is eliminated.

One factor, usually that with the most groups, is eliminated group by group (`GroupRoots`). The
effects of all others, the N *upper* columns ``Z_r``, are then correlated only where they meet in a
group of the eliminated factor: the graph of these meetings falls apart into connected components,
found in the data and not in the formula. Students in schools have one component a school; students
who move between the schools of a district one a district; a fully crossed design has one in all.

For a relative covariance ``Sigma`` of the eliminated factor, with ``Z_j = Q_j S_j'`` and
``G_j = I + S_j' Sigma S_j``, the remaining factors see

    Z_r'V^-1 Z_r = W + sum_j C_j' G_j^-1 C_j,        C_j = Q_j'Z_r,

W being what each group leaves over. It is *linear* in the elements of ``G_j^-1``: a map made once
(`teamlink.moments.meetings`) carries all of them to the elements of all components, and its adjoint
carries derivatives back. Components are padded to a few common shapes and kept as dense stacks
(K, s, s).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from teamlink.moments.meetings import Meetings, meetings
from teamlink.typing import Array, Codes

__all__ = ["Effects", "Products", "Slot", "Stack", "Upper", "upper"]

_ROUNDING = 1e-13
"""Smaller shares of the diagonal in W are what rounding leaves of zero."""

_FEW_SHAPES = 8
"""Up to so many different shapes of component are kept as they are; more are rounded up."""


@dataclass(frozen=True, slots=True)
class Effects:
    """The random effects of one factor, as columns over the rows of the data.

    Attributes
    ----------
    place : where they stand along Lambda
    columns : (n, groups * q) sparse, effect-major: column ``a * groups + g``
    groups : number of groups
    """

    place: slice
    columns: csr_array
    groups: int

    @property
    def q(self) -> int:
        """Effects a group."""
        return int(self.place.stop - self.place.start)


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the effects of one factor stand within a component of a stack.

    Attributes
    ----------
    place : their place along Lambda
    first : first position
    groups : groups of this factor in each component, padding included; effect-major
    """

    place: slice
    first: int
    groups: int

    @property
    def positions(self) -> slice:
        """The positions within a component."""
        return slice(self.first, self.first + (self.place.stop - self.place.start) * self.groups)


@dataclass(frozen=True, slots=True)
class Stack:
    """K components of one shape, s columns each.

    Attributes
    ----------
    columns : (K, s) which upper column each position holds; N where it is padding
    slots : place of each factor
    W : (K, s, s) Z_r'Z_r within the groups of the eliminated factor
    meetings : map from the elements of G_j^-1 to what they add to W
    member : (K,) a group of the eliminated factor that belongs to each component
    """

    columns: Codes
    slots: tuple[Slot, ...]
    W: Array
    meetings: Meetings
    member: Codes

    @property
    def shape(self) -> tuple[int, int]:
        """(K, s)."""
        K, s = self.columns.shape
        return int(K), int(s)


@dataclass(frozen=True, slots=True)
class Products:
    """Cross-products of the upper columns that the rows are needed for.

    Attributes
    ----------
    ZtZ : (N, N) sparse
    meeting : (N, q * J) sparse Z_r'Z of the eliminated factor
    ZtX : (N, p)
    Zty : (R, N)
    """

    ZtZ: csr_array
    meeting: csr_array
    ZtX: Array
    Zty: Array

    def take(self, index: Codes) -> Products:
        """The same with some of the responses, `index` integer (r,)."""
        return replace(self, Zty=self.Zty[index])


@dataclass(frozen=True, slots=True)
class Upper:
    """Statistics of the upper factors.

    Attributes
    ----------
    bottom : place of the eliminated factor along Lambda
    size : N, number of upper columns
    C : (N, q * J) sparse, transposed projections Q_j'Z_r; column ``a * J + j``
    across : its transpose
    WX : (p, N) X'Z_r within groups
    Wy : (R, N) y'Z_r within groups
    stacks : the components
    factors : each upper factor's place along Lambda and its number of groups
    products : the cross-products all this was made of
    """

    bottom: slice
    size: int
    C: csr_array
    across: csr_array
    WX: Array
    Wy: Array
    stacks: tuple[Stack, ...]
    factors: tuple[tuple[slice, int], ...]
    products: Products

    @property
    def first(self) -> Codes:
        """The first column of each upper factor."""
        sizes = [(place.stop - place.start) * groups for place, groups in self.factors]
        return np.cumsum([0, *sizes])[:-1]

    def take(self, index: Codes) -> Upper:
        """The same with some of the responses, `index` integer (r,)."""
        return replace(self, Wy=self.Wy[index], products=self.products.take(index))


def upper(
    bottom: slice,
    S: Array,
    CU: Array,
    effects: Sequence[Effects],
    products: Products,
    p: int,
) -> Upper:
    """Reduce the upper factors to what the likelihood needs.

    Parameters
    ----------
    bottom : place of the eliminated factor along Lambda
    S : (q, q, J) roots of the eliminated factor
    CU : (p + R, q, J) its projections of [X y]
    effects : the upper factors
    products : their cross-products
    p : number of fixed effects

    Returns
    -------
    Upper
    """
    q, _, J = S.shape
    N = products.ZtZ.shape[0]
    C = _projected(products.meeting, S)
    whole = np.concatenate([products.ZtX.T, products.Zty])
    within = whole - CU.reshape(len(CU), q * J) @ C.T
    within[np.abs(within) < _ROUNDING * np.sqrt(products.ZtZ.diagonal())] = 0.0
    stacks = _stacks(C, products, effects, q, J)
    return Upper(
        bottom=bottom, size=N, C=C, across=csr_array(C.T), WX=within[:p], Wy=within[p:],
        stacks=stacks,
        factors=tuple((each.place, each.groups) for each in effects), products=products,
    )  # fmt: skip


def _projected(meeting: csr_array, S: Array) -> csr_array:
    """Products with Q_j (N, q * J) from those with Z_j = Q_j S_j'."""
    if not S.shape[2]:
        return meeting
    if len(S) > 1:
        product: csr_array = meeting @ _inverse_roots(S)
        return product
    size = S[0, 0]
    scale = np.where(size > 0, 1 / np.where(size > 0, size, 1.0), 0.0)
    scaled = meeting.copy()
    scaled.data *= scale[meeting.indices]
    return scaled


def _inverse_roots(S: Array) -> csr_array:
    """Sparse (q * J, q * J) that carries products with Z_j to products with Q_j, from the right."""
    q, _, J = S.shape
    inverse = np.zeros_like(S)
    for a in range(q):
        alive = S[a, a] > 0
        for b in range(a + 1):
            rest = (1.0 if a == b else 0.0) - (S[a, b:a] * inverse[b:a, b]).sum(axis=0)
            inverse[a, b] = np.where(alive, rest / np.where(alive, S[a, a], 1.0), 0.0)
    each = np.arange(J)
    places = [(a, b) for a in range(q) for b in range(a + 1)]
    values = np.concatenate([inverse[a, b] for a, b in places])
    rows = np.concatenate([b * J + each for _, b in places])
    columns = np.concatenate([a * J + each for a, _ in places])
    return csr_array((values, (rows, columns)), shape=(q * J, q * J))


def _stacks(
    C: csr_array, products: Products, effects: Sequence[Effects], q: int, J: int
) -> tuple[Stack, ...]:
    """Connected components, padded to a few shapes."""
    owner = np.concatenate(
        [np.tile(np.arange(e.groups) + first, e.q) for e, first in _numbered(effects)]
    )
    n_upper = int(owner.max(initial=-1)) + 1
    labels = _components(products, effects, owner, n_upper, q, J)
    K = int(labels.max(initial=-1)) + 1
    counts = np.zeros((K, len(effects)), dtype=np.intp)
    for f, (each, first) in enumerate(_numbered(effects)):
        counts[:, f] = np.bincount(labels[first : first + each.groups], minlength=K)
    shapes = _common_shapes(counts)
    kinds, kind = np.unique(shapes, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    member = _members(products, labels[owner], K, J)
    entries = _Entries.of(C, q, J)
    stacks = []
    for number, shape in enumerate(kinds):
        chosen = np.flatnonzero(kind == number)
        columns, slots = _layout(chosen, shape, labels, effects)
        stacks.append(_filled(columns, slots, products.ZtZ, entries, member[chosen], J))
    return tuple(stacks)


def _numbered(effects: Sequence[Effects]) -> list[tuple[Effects, int]]:
    """Each factor with the number of its first group among all upper groups."""
    first = np.cumsum([0, *(each.groups for each in effects)])
    return [(each, int(start)) for each, start in zip(effects, first, strict=False)]


def _components(
    products: Products, effects: Sequence[Effects], owner: Codes, n_upper: int, q: int, J: int
) -> Codes:
    """Component (n_upper,) of each upper group."""
    size = effects[0].q
    nested = products.meeting.nnz == J * q * size and products.ZtZ.nnz == n_upper * size**2
    if len(effects) == 1 and nested and J:
        # Each group of the eliminated factor meets one upper group, so these stand alone.
        return np.arange(n_upper)
    together = coo_array(products.ZtZ)
    a, b = owner[together.row], owner[together.col]
    if J:
        met = coo_array(products.meeting)
        a = np.concatenate([a, owner[met.row]])
        b = np.concatenate([b, n_upper + met.col % J])
    size = n_upper + J
    graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(size, size))
    _, labels = connected_components(graph.tocsr(), directed=False)
    _, own = np.unique(labels[:n_upper], return_inverse=True)
    return np.asarray(own, dtype=np.intp)


def _common_shapes(counts: Codes) -> Codes:
    """Group counts (K, F) rounded up to a few shapes, padding at most half as much again."""
    if len(np.unique(counts, axis=0)) <= _FEW_SHAPES:
        return counts
    steps = np.array(
        [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256], dtype=np.intp
    )
    small = counts <= steps[-1]
    rounded = steps[np.searchsorted(steps, np.minimum(counts, steps[-1]))]
    return np.where(small, rounded, counts)


def _members(products: Products, label: Codes, K: int, J: int) -> Codes:
    """A group (K,) of the eliminated factor in each component."""
    member = np.zeros(K, dtype=np.intp)
    if J:
        met = coo_array(products.meeting)
        member[label[met.row]] = met.col % J
    return member


def _layout(
    chosen: Codes, shape: Codes, labels: Codes, effects: Sequence[Effects]
) -> tuple[Codes, tuple[Slot, ...]]:
    """Upper columns (K, s) at each position of the chosen components, and the slots."""
    N = sum(each.groups * each.q for each in effects)
    rank_of = np.full(int(labels.max(initial=-1)) + 1, -1)
    rank_of[chosen] = np.arange(len(chosen))
    parts, slots, first, column = [], [], 0, 0
    for f, (each, start) in enumerate(_numbered(effects)):
        g = int(shape[f])
        component = rank_of[labels[start : start + each.groups]]
        inside = np.flatnonzero(component >= 0)
        order = inside[np.argsort(component[inside], kind="stable")]
        owner = component[order]
        begins = np.searchsorted(owner, np.arange(len(chosen)))
        groups = np.full((len(chosen), g), -1, dtype=np.intp)
        groups[owner, np.arange(len(owner)) - begins[owner]] = order
        starts = column + np.arange(each.q) * each.groups
        parts += [np.where(groups >= 0, at + groups, N) for at in starts]
        slots.append(Slot(each.place, first, g))
        first += g * each.q
        column += each.groups * each.q
    return np.concatenate(parts, axis=1), tuple(slots)


@dataclass(frozen=True, slots=True)
class _Entries:
    """The elements of C, all effects of a group and a column together, sorted by group.

    Attributes
    ----------
    values : (q, M)
    group, column : (M,)
    """

    values: Array
    group: Codes
    column: Codes

    @classmethod
    def of(cls, C: csr_array, q: int, J: int) -> _Entries:
        if not J:
            none = np.zeros(0, dtype=np.intp)
            return cls(np.zeros((0, 0)), none, none)
        entry = coo_array(C)
        key = (entry.col % J).astype(np.int64) * C.shape[0] + entry.row
        found, which = np.unique(key, return_inverse=True)
        values = np.zeros((q, len(found)))
        values[entry.col // J, which] = entry.data
        return cls(values, found // C.shape[0], found % C.shape[0])


def _filled(
    columns: Codes, slots: tuple[Slot, ...], ZtZ: csr_array, entries: _Entries, member: Codes,
    J: int,
) -> Stack:  # fmt: skip
    """A stack with its W and its map."""
    K, s = columns.shape
    N = ZtZ.shape[0]
    place = np.full(N + 1, -1, dtype=np.int64)
    place[columns] = np.arange(K * s).reshape(K, s)
    place[N] = -1
    at = place[entries.column]
    mine = at >= 0
    own = slice(None) if mine.all() else mine
    meet = meetings(entries.values[:, own], entries.group[own], at[own], (K, s), J)
    entry = coo_array(ZtZ)
    row, col = place[entry.row], place[entry.col]
    here = row >= 0
    W = np.zeros((K, s, s))
    W[row[here] // s, row[here] % s, col[here] % s] = entry.data[here]
    q = len(entries.values)
    if J:
        identity = [np.full(J, 1.0 if a == b else 0.0) for a in range(q) for b in range(a + 1)]
        W -= meet.apply(np.stack(identity)[None])[0]
    spread = np.sqrt(np.append(ZtZ.diagonal(), 0.0))[columns]
    W[np.abs(W) <= _ROUNDING * spread[:, :, None] * spread[:, None, :]] = 0.0
    return Stack(columns, slots, W, meet, member)
