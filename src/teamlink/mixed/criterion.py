r"""The profiled criterion of a linear mixed model, and its derivatives.

The model: ``y = X beta + Z b + e`` with ``b_j ~ N(0, sigma^2 Sigma)`` for groups j = 1..J and
``e ~ N(0, sigma^2 I)``; ``V = I + Z Sigma Z'`` is the relative covariance. Profiled out are beta
(generalised least squares) and sigma^2 (= r^2 / nu, r^2 the weighted residual sum of squares,
nu = n for ML and n - p for REML), so that

    deviance = log|V| + [log|X'V^-1 X|] + nu (1 + log(2 pi r^2 / nu))

depends on ``Sigma = Lambda Lambda'`` alone; the bracket belongs to REML. With ``Z_j = Q_j S_j'``,

    G_j = I + S_j' Sigma S_j = L_j L_j'        log|V| = sum_j log|G_j|
    X'V^-1 X = W_XX + sum_j (Q_j'X_j)' G_j^-1 (Q_j'X_j),

sums of non-negative terms, so no digits cancel. Derivatives are taken in Sigma, where nothing is
special about zero (in Lambda zero is always stationary), and carried to Lambda by the chain rule.
With ``a_j = Z_j'V_j^-1 Z_j``, ``h_j = Z_j'V_j^-1 X_j`` scaled so that X'V^-1 X = I, and
``g_j = Z_j'V_j^-1 (y_j - X_j beta) / r``,

    score        d deviance / d Sigma = sum_j [ a_j - (h_j h_j') - nu g_j g_j' ].

Where groups carry weights (replicates of a cluster bootstrap), each sum over j is weighted, and n
is the weighted number of rows: a group of weight two counts as two groups.

With several grouping factors the sums above are those of one factor, eliminated first; the second
stage, for the others, is `teamlink.mixed.upper`.

Every array has replicates on its leading axis and groups on its last. Shapes: R replicates,
q random effects a group, p fixed effects, m = p + 1, J groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teamlink.mixed.products import VarianceProducts, variance_products
from teamlink.mixed.upper import UpperPoint, eliminate, units
from teamlink.moments.crossproducts import GroupRoots
from teamlink.typing import Array, Codes, Mask

__all__ = ["Criterion", "Curvature", "criterion", "curvature", "fixed_part", "products"]


_DIGITS = 1e-13
"""A residual sum of squares that is a smaller share of what it is a difference of has none left;
neither has a determinant with factors beyond its inverse."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """The criterion at one factor a replicate, with what its derivatives need.

    Attributes
    ----------
    deviance : (R,) minus twice the profiled (restricted) log-likelihood, constants included
    M_root : (R, m, m) lower Cholesky root of [X y]'V^-1 [X y]; its corner is r
    Q : (R, m, q, J) rows of M_root^-1 L_j^-1 Q_j'[X y]; where there are upper factors, of [X y]
        less Z_r times their conditional modes
    F : (R, q, q, J) L_j^-1 S_j'
    nu : (1,) or (R,) degrees of freedom of the residual sum of squares
    weights : (R, J) how often each group counts, where not once
    upper : the second stage, where there are several factors
    """

    deviance: Array
    M_root: Array
    Q: Array
    F: Array
    nu: Array
    weights: Array | None
    upper: UpperPoint | None = None

    @property
    def r2(self) -> Array:
        """(R,) weighted residual sum of squares."""
        r2: Array = self.M_root[:, -1, -1] ** 2
        return r2


@dataclass(frozen=True, slots=True)
class Curvature:
    """First and second derivatives of the criterion in Sigma.

    Sigma is block-diagonal, a block a factor. Unit i of its t free elements is the element
    ``(rows[i], cols[i])`` of the lower triangle of one of these blocks.

    Attributes
    ----------
    rows, cols : (t,) the units
    score : (R, Q, Q) derivative of the deviance in Sigma
    bends : (R, t, t) second derivative in the units
    forms : (R, t, m, m) N'E_i N, N = Z'V^-1 [X, y - X beta] whitened: how M moves
    """

    rows: Codes
    cols: Codes
    score: Array
    bends: Array
    forms: Array

    def second(self, D: Array, E: Array) -> Array:
        """Second derivative of the deviance along symmetric directions D and E.

        Parameters
        ----------
        D, E : (R, k, Q, Q) and (R, l, Q, Q)

        Returns
        -------
        (R, k, l)
        """
        left, right = D[..., self.rows, self.cols], E[..., self.rows, self.cols]
        second: Array = left @ self.bends @ right.transpose(0, 2, 1)
        return second

    def along(self, D: Array) -> Array:
        """N'D N (R, k, m, m) for symmetric directions D (R, k, Q, Q)."""
        R, t, m, _ = self.forms.shape
        flat = D[..., self.rows, self.cols] @ self.forms.reshape(R, t, m * m)
        return flat.reshape(R, -1, m, m)


def criterion(roots: GroupRoots, Lambda: Array, reml: bool) -> Criterion:
    """Evaluate the profiled deviance.

    Parameters
    ----------
    roots : GroupRoots with R responses or weightings, or with one that serves every factor
    Lambda : (R, Q, Q) relative factors of all random effects
    reml : restricted likelihood

    Returns
    -------
    Criterion

    Notes
    -----
    Where the residual sum of squares is zero to rounding, or has lost its digits as a difference of
    larger ones, the deviance is infinite.
    """
    q, _, J = roots.S.shape
    p = roots.CX.shape[0]
    R = len(Lambda)
    nu = roots.rows - p if reml else roots.rows
    weights = None if roots.weights is None else roots.weights.values
    upper = roots.upper
    own = Lambda if upper is None else Lambda[:, upper.bottom, upper.bottom]
    groups = _by_group(roots, own, weights, upper is not None)
    V, log_V = groups.V, groups.log_det
    flat = V.reshape(R, p + 1, q * J)
    M = _weighted(flat, weights) @ flat.transpose(0, 2, 1)
    M[:, :p, :p] += roots.WXX
    M[:, p, :p] += roots.WXy
    M[:, :p, p] += roots.WXy
    M[:, p, p] += roots.Wyy
    lost: Mask = np.zeros(R, dtype=np.bool_)
    second = None
    if upper is not None:
        second, log_det, explained, lost = eliminate(upper, Lambda, groups.inverse, V, weights)
        log_V = log_V + log_det
        least = _DIGITS * M[:, p, p]
        M -= explained
        lost |= _largest(own, roots.S) > 1 / _DIGITS
        lost |= second.largest > 1 / _DIGITS
    M_root, failed = _cholesky(M)
    if second is not None:
        lost |= M_root[:, p, p] ** 2 < least
    diagonal = np.diagonal(M_root, axis1=1, axis2=2)
    deviance: Array = log_V + nu * (1 + np.log(2 * np.pi * diagonal[:, -1] ** 2 / nu))
    if reml:
        deviance = deviance + 2 * np.log(diagonal[:, :-1]).sum(axis=1)
    deviance = np.where(failed | lost, np.inf, deviance)
    if second is not None:
        flat = (V - second.of_groups(V.shape)).reshape(R, p + 1, q * J)
    whitened = np.empty_like(flat)
    np.matmul(np.linalg.inv(M_root), flat, out=whitened)
    return Criterion(deviance, M_root, whitened.reshape(V.shape), groups.F, nu, weights, second)


@dataclass(frozen=True, slots=True)
class _Groups:
    """What the groups of the eliminated factor contribute.

    Attributes
    ----------
    V : (R, m, q, J) L_j^-1 Q_j'[X y]
    F : (R, q, q, J) L_j^-1 S_j'
    inverse : (R, q, q, J) L_j^-1, where it was asked for
    log_det : (R,) weighted sum of log|G_j|
    """

    V: Array
    F: Array
    inverse: Array
    log_det: Array


def _by_group(roots: GroupRoots, Lambda: Array, weights: Array | None, keep: bool) -> _Groups:
    """Factor every G_j, its Cholesky unrolled over the effects of a group."""
    q, _, J = roots.S.shape
    p, R = roots.CX.shape[0], len(Lambda)
    inverse = np.zeros((R, q, q, J) if keep else (R, q, 0, 0))
    # F0[r, b, a] = sum_c Lambda[c, b] S[c, a], the rows of Lambda'S
    F0 = (Lambda.transpose(0, 2, 1).reshape(R * q, q) @ roots.S.reshape(q, q * J)).reshape(
        R, q, q, J
    )
    V = np.empty((R, p + 1, q, J))
    F = np.empty((R, q, q, J))
    L: list[list[Array]] = []
    product = np.ones((R, J))
    log_V = np.zeros(R)
    for a in range(q):
        row: list[Array] = []
        V[:, :p, a] = roots.CX[:, a]
        V[:, p, a] = roots.Cy[:, a]
        F[:, a] = roots.S[:, a]
        carried = [V[:, :, a], F[:, a]]
        if keep:
            inverse[:, a, a] = 1.0
            carried.append(inverse[:, a])
        for b in range(a + 1):
            entry = (F0[:, :, a] * F0[:, :, b]).sum(axis=1)
            for c in range(b):
                entry -= row[c] * L[b][c] if b < a else row[c] ** 2
            if b < a:
                entry /= L[b][b]
                earlier = (V[:, :, b], F[:, b], inverse[:, b])
                for into, part in zip(carried, earlier, strict=False):
                    into -= entry[:, None] * part
            else:
                # G_j less a positive semi-definite part of G_j - I: at least 1 but for rounding
                entry = np.maximum(entry + 1.0, 1.0)
                product *= entry
                entry = np.sqrt(entry)
            row.append(entry)
        for into in carried:
            into /= row[a][:, None]
        L.append(row)
        if a % 4 == 3 or a == q - 1:
            logs = np.log(product)
            log_V += logs.sum(axis=-1) if weights is None else (weights * logs).sum(axis=-1)
            product = np.ones((R, J))
    return _Groups(V, F, inverse, log_V)


def _largest(Lambda: Array, S: Array) -> Array:
    """Largest diagonal element (R,) of any G_j - I."""
    R, q, _ = Lambda.shape
    if not S.size:
        return np.zeros(R)
    rows = Lambda.swapaxes(1, 2).reshape(R * q, q) @ S.reshape(q, -1)
    size = np.square(rows.reshape(R, q, -1)).sum(axis=1)
    largest: Array = np.max(size, axis=1, initial=0.0)
    return largest


def _weighted(flat: Array, weights: Array | None) -> Array:
    """Columns of flat (R, x, y * J) times the weights (R, J) of their groups."""
    if weights is None:
        return flat
    R, x, _ = flat.shape
    weighted: Array = (flat.reshape(R, x, -1, weights.shape[1]) * weights[:, None, None]).reshape(
        flat.shape
    )
    return weighted


def _cholesky(M: Array) -> tuple[Array, Mask]:
    """Roots (R, m, m), and which matrices (R,) have none; those get the identity instead."""
    failed: Mask = np.zeros(len(M), dtype=np.bool_)
    roots: Array = np.empty_like(M)
    try:
        roots[:] = np.linalg.cholesky(M)
    except np.linalg.LinAlgError:
        for i, matrix in enumerate(M):
            try:
                roots[i] = np.linalg.cholesky(matrix)
            except np.linalg.LinAlgError:
                roots[i], failed[i] = np.eye(len(matrix)), True
    return roots, failed


def curvature(point: Criterion, reml: bool) -> Curvature:
    """First and second derivatives in Sigma at a point already evaluated.

    Parameters
    ----------
    point : Criterion
    reml : as for `criterion`

    Notes
    -----
    With ``P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1`` the second derivative along V_i and V_j is
    ``-tr(P V_i P V_j) + 2 nu g'V_i P V_j g - nu (g'V_i g)(g'V_j g)``, g = P y / r; the trace is of
    V^-1 instead of P under ML.
    """
    m = point.M_root.shape[1]
    share = np.full((len(point.nu), m), 1.0 if reml else 0.0)
    share[:, -1] = point.nu
    weight = np.full((len(point.nu), m, m), 1.0 if reml else 0.0)
    weight[:, -1, :] = weight[:, :, -1] = point.nu[:, None]
    if point.upper is None:
        return _of_one_factor(point, share, weight)
    found = products(point.upper, point, share)
    R, t = found.traces.shape[:2]
    rows, cols = point.upper.units
    own = np.einsum("rk,rikk->ri", share, found.forms) * np.where(rows == cols, 1.0, 0.5)
    score = found.blocks
    apart = rows != cols
    score[:, rows, cols] -= own
    score[:, cols[apart], rows[apart]] -= own[:, apart]
    flat = found.forms.reshape(R, t, m * m)
    bends = 2 * found.gram - found.traces
    bends -= (flat * weight.reshape(-1, 1, m * m)) @ flat.transpose(0, 2, 1)
    return Curvature(rows, cols, score, bends, found.forms)


def products(upper: UpperPoint, point: Criterion, share: Array | None = None) -> VarianceProducts:
    """Traces and products of several factors in their linear parameters, at a point.

    With weights `share` (R, m) of the columns only the weighted sum of the products over columns.
    """
    inverse: Array = np.asarray(np.linalg.inv(point.M_root), dtype=float)
    return variance_products(upper, point.F, point.Q, inverse, point.weights, share)


def _of_one_factor(point: Criterion, share: Array, weight: Array) -> Curvature:
    """The derivatives where all is a sum over the groups of one factor."""
    R, m, q, J = point.Q.shape
    a = np.einsum("rxaj,rxbj->rabj", point.F, point.F)
    N = np.empty_like(point.Q)
    for c in range(q):
        N[:, :, c] = (point.F[:, None, :, c] * point.Q).sum(axis=2)
    B = np.einsum("rk,rkaj,rkbj->rabj", share, N, N)
    score = _weighted((a - B).reshape(R, q * q, J), point.weights).sum(axis=-1)
    B *= 2.0
    B -= a
    flat_a = _weighted(a.reshape(R, q * q, J), point.weights)
    pairs = (flat_a @ B.reshape(R, q * q, J).transpose(0, 2, 1)).reshape(R, q, q, q, q)
    flat = N.reshape(R, m * q, J)
    cross = (_weighted(flat, point.weights) @ flat.transpose(0, 2, 1)).reshape(R, m, q, m, q)
    rows, cols = units([slice(0, q)])
    t = len(rows)
    matrices = np.zeros((t, q, q))
    matrices[np.arange(t), rows, cols] = matrices[np.arange(t), cols, rows] = 1.0
    E = matrices.reshape(t, q * q)
    forms: Array = E @ cross.transpose(0, 2, 4, 1, 3).reshape(R, q * q, m * m)
    # tr(D a E B) = sum D[x, a] a[a, b] E[b, d] B[d, x]
    bends = E @ pairs.transpose(0, 4, 1, 2, 3).reshape(R, q * q, q * q) @ E.T
    bends -= (forms * weight.reshape(-1, 1, m * m)) @ forms.transpose(0, 2, 1)
    return Curvature(rows, cols, score.reshape(R, q, q), bends, forms.reshape(R, t, m, m))


def fixed_part(point: Criterion) -> tuple[Array, Array]:
    """Generalised least squares at a point: coefficients (R, p) and (X'V^-1 X)^-1 (R, p, p)."""
    root = point.M_root[:, :-1, :-1]
    inverse = np.linalg.inv(root)
    beta = (point.M_root[:, -1:, :-1] @ inverse)[:, 0]
    return beta, inverse.transpose(0, 2, 1) @ inverse
