r"""One grouping factor: the likelihood of a generalized model by quadrature at the modes.

In each group the likelihood is an integral over q spherical effects u,

    int exp h(u) (2 pi)^{-q/2} du,    h(u) = sum_i l_i(eta_i) - |u|^2 / 2,    eta = o + Z Lambda u,

o being the fixed part. With the mode ``u^`` and ``H = I + Lambda'Z'W Z Lambda = L L'`` there,
nodes ``u_k = u^ + L^-T z_k`` and weights of the Gauss-Hermite rule for the normal density,

    D = sum_j [ log|H| - 2 log sum_k omega_k exp(h(u_k) + |z_k|^2 / 2) ].

One node at zero is Laplace's approximation. The gradient is that of D itself, the movement of modes
and nodes included. With p_k the share of node k in its sum, ``g_k = Lambda'Z's(eta_k) - u_k``,
``K = H^-1 + L^-T G L^-1``, G the symmetric matrix with the lower triangle of
``sum_k p_k z_k (L^-1 g_k)'``, d the diagonal of ``Z Lambda K Lambda'Z'``, and

    v = H^-1 [ Lambda'Z'(d w') - 2 sum_k p_k g_k ],    kappa = d w' - w (Z Lambda v),

it is, in the fixed part of a row and in Lambda,

    kappa - 2 sum_k p_k s(eta_k),
    Z'kappa u^' + 2 Z'W Z Lambda K + Z's(eta^) v' - 2 sum_k p_k Z's(eta_k) u_k'.

The family's own parameters enter likewise. Every array has replicates first and groups last; rows
are sorted by group.

References
----------
Pinheiro, Bates (1995), doi:10.1080/10618600.1995.10474663. Liu, Pierce (1994),
doi:10.1093/biomet/81.3.624.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teamlink.mixed.generalized import blocks
from teamlink.mixed.generalized.families import Family, Observed, Terms
from teamlink.typing import Array, Codes, Mask

__all__ = ["Gradient", "Grouped", "Modes", "Rule", "evaluate", "modes", "rule"]

_STEPS = 100
"""Newton steps a mode may take."""

_SURE = 1e-12
"""Once a Newton step promises less than this in every group, one last step is taken."""

_EXACT = 1e-19
"""Where a Newton step promises less than this there is nothing left to step over."""

_HALVINGS = 30


@dataclass(frozen=True, slots=True)
class Grouped:
    """The rows of a model with one grouping factor, sorted by group.

    Attributes
    ----------
    Z : (q, n) random-effects columns; None for an intercept alone
    codes : (n,) group of each row, not decreasing
    starts : (J,) first row of each group
    q : number of random effects a group
    """

    Z: Array | None
    codes: Codes
    starts: Codes
    q: int

    def sums(self, x: Array) -> Array:
        """Sums (..., J) over the rows of each group."""
        found: Array = np.add.reduceat(x, self.starts, axis=-1)
        return found

    def cross(self, x: Array) -> Array:
        """Z'x (..., q, J) of each group for x (..., n)."""
        if self.Z is None:
            return self.sums(x)[..., None, :]
        return np.stack([self.sums(x * z) for z in self.Z], axis=-2)

    def gram(self, w: Array) -> Array:
        """Z'diag(w) Z (..., q, q, J) of each group for w (..., n)."""
        if self.Z is None:
            return self.sums(w)[..., None, None, :]
        q = self.q
        found = np.empty((*w.shape[:-1], q, q, len(self.starts)))
        for a in range(q):
            weighted = w * self.Z[a]
            for b in range(a + 1):
                found[..., a, b, :] = self.sums(weighted * self.Z[b])
                found[..., b, a, :] = found[..., a, b, :]
        return found

    def spread(self, b: Array) -> Array:
        """Z b (..., n) for effects b (..., q, J)."""
        if self.Z is None:
            return b[..., 0, :][..., self.codes]
        found: Array = self.Z[0] * b[..., 0, :][..., self.codes]
        for k in range(1, self.q):
            found = found + self.Z[k] * b[..., k, :][..., self.codes]
        return found

    def quadratic(self, N: Array) -> Array:
        """Quadratic forms z_i'N_j z_i (R, n) for symmetric N (R, q, q, J)."""
        if self.Z is None:
            return N[:, 0, 0][:, self.codes]
        found: Array = np.zeros((len(N), len(self.codes)))
        for a in range(self.q):
            found += self.Z[a] * self.Z[a] * N[:, a, a][:, self.codes]
            for b in range(a):
                found += 2 * self.Z[a] * self.Z[b] * N[:, a, b][:, self.codes]
        return found


@dataclass(frozen=True, slots=True)
class Rule:
    """A quadrature rule for the standard normal density in q dimensions.

    Attributes
    ----------
    nodes : (K, q)
    log_weights : (K,) log omega_k + |z_k|^2 / 2
    """

    nodes: Array
    log_weights: Array


def rule(points: int, q: int) -> Rule | None:
    """The product of Gauss-Hermite rules with a number of points a dimension; None for one."""
    if points == 1:
        return None
    x, w = np.polynomial.hermite_e.hermegauss(points)
    w = w / w.sum()
    nodes = np.stack(np.meshgrid(*[x] * q, indexing="ij"), axis=-1).reshape(-1, q)
    logs = np.stack(np.meshgrid(*[np.log(w)] * q, indexing="ij"), axis=-1).reshape(-1, q)
    return Rule(nodes, logs.sum(axis=1) + 0.5 * np.square(nodes).sum(axis=1))


@dataclass(frozen=True, slots=True)
class Modes:
    """The modes of every group, and the curvature there.

    Attributes
    ----------
    u : (R, q, J)
    terms : of each row at the mode
    h : (R, J) the integrand's logarithm there
    M : (R, q, q, J) inverse of the root of H; NaN where H is not positive definite
    gram : (R, q, q, J) Z'WZ
    """

    u: Array
    terms: Terms
    h: Array
    M: Array
    gram: Array


@dataclass(frozen=True, slots=True)
class Gradient:
    """The criterion with its gradient.

    Attributes
    ----------
    value : (R,) the criterion without the family's constant
    rows : (R, n) derivative in the fixed part of each row
    Lambda : each factor's (R, q, q) derivative in all elements of its factor Lambda
    natural : (R, P) derivative in the family's natural parameters
    u : each factor's (R, q, J) modes of the spherical effects
    profile_rows, profile_natural : the part of `rows` and `natural` that is the gradient of
        -2 h at the modes alone, without the spread around them
    """

    value: Array
    rows: Array
    Lambda: tuple[Array, ...]
    natural: Array
    u: tuple[Array, ...]
    profile_rows: Array
    profile_natural: Array


def _take(terms: Terms, rows: Codes) -> Terms:
    return Terms(terms.value[rows], terms.score[rows], terms.weight[rows], terms.slope[rows])


def _put(into: Terms, rows: Codes, terms: Terms) -> None:
    for name in ("value", "score", "weight", "slope"):
        getattr(into, name)[rows] = getattr(terms, name)


def modes(
    rows: Grouped, family: Family, data: Observed, offset: Array, Lambda: Array, natural: Array,
    start: Array,
) -> Modes:  # fmt: skip
    """Find the modes of all groups by Newton's method with step halving, each group for itself.

    Parameters
    ----------
    rows, family : the model
    data : responses of the R replicates
    offset : (R, n) fixed part
    Lambda : (R, q, q)
    natural : (P, R, 1) the family's parameters, or (P, 1, 1)
    start : (R, q, J) where to begin
    """
    R, n = offset.shape
    natural = np.broadcast_to(natural, (len(natural), R, 1))
    u = np.broadcast_to(start, (R, rows.q, len(rows.starts))).copy()
    terms, h = _at(rows, family, data, offset, Lambda, natural, u)
    # A start that is out of reach of floating point is no start.
    lost = ~np.isfinite(h).all(axis=1)
    if lost.any():
        u[lost] = 0.0
        terms, h = _at(rows, family, data, offset, Lambda, natural, u)
    terms = Terms(*(np.broadcast_to(x, (R, n)).copy() for x in
                    (terms.value, terms.score, terms.weight, terms.slope)))  # fmt: skip
    gram = np.empty((R, rows.q, rows.q, len(rows.starts)))
    M = np.empty_like(gram)
    active = np.arange(R)
    last = np.zeros(R, dtype=np.bool_)
    for _ in range(_STEPS):
        L = Lambda[active]
        gram[active], M[active], step, promise = _newton(rows, _take(terms, active), L, u[active])
        finished = last[active] | ~(promise >= _EXACT)
        last[active] = promise < _SURE
        active, step = active[~finished], step[~finished]
        if not active.size:
            break
        _advance(rows, family, data, offset, Lambda, natural, active, step, u, terms, h)
    return Modes(u, terms, h, M, gram)


def _at(
    rows: Grouped, family: Family, data: Observed, offset: Array, Lambda: Array, natural: Array,
    u: Array,
) -> tuple[Terms, Array]:  # fmt: skip
    """Terms of each row and the integrand's logarithm (R, J) at effects u."""
    eta = offset + rows.spread(_mapped(Lambda, u))
    with np.errstate(over="ignore", invalid="ignore"):
        terms = family.terms(eta, data, natural)
        h = rows.sums(terms.value) - 0.5 * np.square(u).sum(axis=1)
    return terms, h


def _mapped(Lambda: Array, u: Array) -> Array:
    """Lambda u (..., q, J) for Lambda (R, q, q) and u (R, ..., q, J)."""
    if Lambda.shape[1] == 1:
        return Lambda.reshape(-1, *[1] * (u.ndim - 1)) * u
    shape = (len(Lambda), *[1] * (u.ndim - 3), *Lambda.shape[1:])
    return np.asarray(Lambda.reshape(shape) @ u, dtype=float)


def _sandwich(Lambda: Array, gram: Array) -> Array:
    """I + Lambda' gram Lambda (R, q, q, J)."""
    if Lambda.shape[1] == 1:
        return 1 + np.square(Lambda)[..., None] * gram
    half = np.einsum("rca,rcbj->rabj", Lambda, gram)
    H: Array = np.einsum("racj,rcb->rabj", half, Lambda)
    H += np.eye(Lambda.shape[1])[None, :, :, None]
    return H


def _newton(
    rows: Grouped, terms: Terms, Lambda: Array, u: Array
) -> tuple[Array, Array, Array, Array]:
    """Z'WZ, inverse root of H, Newton step (A, q, J), and the largest gain it promises (A,)."""
    g = _mapped(Lambda.transpose(0, 2, 1), rows.cross(terms.score)) - u
    gram = rows.gram(terms.weight)
    M = blocks.lower_inverse(blocks.cholesky(_sandwich(Lambda, gram)))
    M_step = M
    bad = np.asarray(~np.isfinite(M).all(axis=(1, 2)))
    if bad.any():
        # Away from the mode the curvature can be negative; what is left of it is always definite.
        positive = _sandwich(Lambda, rows.gram(np.maximum(terms.weight, 0.0)))
        safe = blocks.lower_inverse(blocks.cholesky(positive))
        M_step = np.where(bad[:, None, None], safe, M)
    step = blocks.product(blocks.inverse(M_step), g)
    promise = (g * step).sum(axis=1).max(axis=1)
    return gram, M, step, promise


def _advance(
    rows: Grouped, family: Family, data: Observed, offset: Array, Lambda: Array, natural: Array,
    active: Codes, step: Array, u: Array, terms: Terms, h: Array,
) -> None:  # fmt: skip
    """Take a Newton step in the active replicates, halved where a group would fall; in place."""
    length = np.ones((len(active), 1, step.shape[2]))
    here = h[active]
    noise = 1e-13 * (1 + np.abs(here))
    for _ in range(_HALVINGS):
        trial = u[active] + length * step
        at, there = _at(
            rows, family, data.take(active), offset[active], Lambda[active], natural[:, active],
            trial,
        )  # fmt: skip
        fell: Mask = ~(there >= here - noise)
        if not fell.any():
            break
        length = np.where(fell[:, None], 0.5 * length, length)
    u[active], h[active] = trial, there
    _put(terms, active, at)


def evaluate(
    rows: Grouped, family: Family, data: Observed, offset: Array, Lambda: Array, natural: Array,
    start: Array, quadrature: Rule | None,
) -> Gradient:  # fmt: skip
    """The criterion and its gradient; see the module.

    Parameters
    ----------
    rows, family, data, offset, Lambda, natural, start : as for `modes`
    quadrature : None for Laplace's approximation
    """
    found = modes(rows, family, data, offset, Lambda, natural, start)
    terms, M, u = found.terms, found.M, found.u
    logs = -2 * np.log(np.diagonal(M, axis1=1, axis2=2)).sum(axis=(1, 2))
    K = blocks.inverse(M)
    transposed = Lambda.transpose(0, 2, 1)
    own = family.own(offset + rows.spread(_mapped(Lambda, u)), data, natural)
    if quadrature is None:
        value = logs - 2 * found.h.sum(axis=1)
        score, pull = terms.score, np.zeros_like(u)
        outer = np.einsum("raj,rbj->rab", rows.cross(terms.score), u)
        own_value = [part.sum(axis=1) for part in own[0]]
        H_inverse = K
    else:
        H_inverse = K
        nodes = _nodes(rows, family, data, offset, Lambda, natural, found, quadrature)
        value, score, pull, outer, own_value = (
            logs + nodes.value, nodes.score, nodes.pull, nodes.outer, nodes.own,
        )  # fmt: skip
        K = K + np.einsum("rcaj,rcdj,rdbj->rabj", M, nodes.G, M)
    half = np.einsum("rab,rbcj->racj", Lambda, K)
    leverage = rows.quadratic(np.einsum("racj,rbc->rabj", half, Lambda))
    bend = leverage * terms.slope
    v = blocks.product(H_inverse, _mapped(transposed, rows.cross(bend)) - 2 * pull)
    rise = rows.spread(_mapped(Lambda, v))
    kappa = bend - terms.weight * rise
    slope = np.einsum("raj,rbj->rab", rows.cross(kappa), u)
    slope += 2 * np.einsum("racj,rcbj->rab", found.gram, half)
    slope += np.einsum("raj,rbj->rab", rows.cross(terms.score), v) - 2 * outer
    natural_slope = np.empty((len(offset), family.size))
    for k in range(family.size):
        natural_slope[:, k] = -2 * own_value[k]
        natural_slope[:, k] += (leverage * own[2][k]).sum(axis=1) + (rise * own[1][k]).sum(axis=1)
    at_modes = np.empty_like(natural_slope)
    for k in range(family.size):
        at_modes[:, k] = -2 * own[0][k].sum(axis=1)
    return Gradient(
        value, kappa - 2 * score, (slope,), natural_slope, (u,), -2 * terms.score, at_modes
    )


@dataclass(frozen=True, slots=True)
class _AtNodes:
    """What the nodes contribute.

    Attributes
    ----------
    value : (R,)
    score : (R, n) sum_k p_k s(eta_k)
    pull : (R, q, J) sum_k p_k g_k
    outer : (R, q, q) sum_k p_k Z's(eta_k) u_k'
    G : (R, q, q, J)
    own : (R,) derivatives of the value in the family's own parameters
    """

    value: Array
    score: Array
    pull: Array
    outer: Array
    G: Array
    own: list[Array]


def _nodes(
    rows: Grouped, family: Family, data: Observed, offset: Array, Lambda: Array, natural: Array,
    found: Modes, quadrature: Rule,
) -> _AtNodes:  # fmt: skip
    """Sum over the nodes."""
    z = quadrature.nodes
    away = np.einsum("rbaj,kb->rkaj", found.M, z)  # L^-T z
    u = found.u[:, None] + away
    eta = offset[:, None] + rows.spread(_mapped(Lambda, u))
    wide, seen = natural[..., None], data.at_nodes()
    with np.errstate(over="ignore", invalid="ignore"):
        value, score = family.density(eta, seen, wide)
        h = rows.sums(value) - 0.5 * np.square(u).sum(axis=2)
    h = h + quadrature.log_weights[:, None]
    top = h.max(axis=1, keepdims=True)
    share = np.exp(h - top)
    total = share.sum(axis=1, keepdims=True)
    share /= total
    sums = rows.cross(score)  # (R, K, q, J)
    g = _mapped(Lambda.transpose(0, 2, 1), sums) - u
    weighted = share[:, :, None] * g
    lower = np.einsum("rabj,rkbj->rkaj", found.M, weighted)
    G = np.einsum("ka,rkbj->rabj", z, lower)
    q = rows.q
    for a in range(q):
        for b in range(a):
            G[:, b, a] = G[:, a, b]
    per_row = share[..., rows.codes]
    return _AtNodes(
        -2 * (top + np.log(total)).sum(axis=(1, 2)),
        (per_row * score).sum(axis=1),
        weighted.sum(axis=1),
        np.einsum("rkaj,rkbj->rab", share[:, :, None] * sums, u),
        G,
        [(per_row * part).sum(axis=(1, 2)) for part in family.own_value(eta, seen, wide)],
    )
