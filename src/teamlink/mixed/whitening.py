r"""Residuals that correlate: whitening of the rows, and derivatives in what whitens them.

The model: ``y = X beta + Z b + e``, ``b_j ~ N(0, sigma^2 Sigma)``, ``e_u ~ N(0, sigma^2 R_u)`` for
units u, each inside one group j. With ``R_u = U_u U_u'`` the rows ``U_u^-1 [Z X y]_u`` follow the
model with independent residuals, so that

    deviance = sum_u log|R_u| + criterion of the whitened rows

(`teamlink.mixed.criterion`). R depends on coordinates eta. Write C for the root of
``[X y]'V^-1 [X y]``, ``T = [X y] C^-T``, ``K_j = (Sigma^-1 + Z_j'R^-1 Z_j)^-1 = k_j k_j'``, and
``Y = T - Z K Z'R^-1 T``, so that ``R^-1 Y = V^-1 T``. With shares s (1 for X under REML, else 0; nu
for y) and ``H_u = Z_u K Z_u' + Y_u s Y_u'``, summed over the units of a pattern,

    score in R   =  n Omega - Omega H Omega,    Omega = R^-1,
    d M_i        = -Y'Omega R_i Omega Y                       (M = [X y]'V^-1 [X y], normalised)

and the second derivative in eta_i, eta_k is

    tr(R_ik score) - n tr(Omega R_i Omega R_k) + 2 tr(R_i Omega R_k Omega H Omega)
    - sum_j { |k'A_i k : k'A_k k| + 2 |k'A_i Y s : k'A_k Y| } - w : M_i M_k,

with ``A_i = -Omega R_i Omega`` between a group's columns and w as in the criterion. All is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from teamlink.mixed.criterion import Criterion
from teamlink.mixed.units import Bundle, ResidualShape
from teamlink.moments.crossproducts import CrossProducts, GroupRoots
from teamlink.typing import Array, Codes

__all__ = ["ResidualSlopes", "Whitened", "residual_slopes", "whiten", "whitened_products"]


_SINGULAR = 1e-6
"""A residual whose standard deviation, the earlier ones of its unit given, is a smaller share."""


@dataclass(frozen=True, slots=True)
class Whitened:
    """Rows with independent residuals of equal variance.

    Attributes
    ----------
    rows : (n, d) the rows of [Z X y], each unit's multiplied by the inverse root of its covariance
    log_det : log|R|
    """

    rows: Array
    log_det: float


@dataclass(frozen=True, slots=True)
class ResidualSlopes:
    """Derivatives of the deviance in eta, Sigma held.

    Attributes
    ----------
    gradient : (k,)
    hessian : (k, k)
    M : (k, m, m) derivative of ``[X y]'V^-1 [X y]``, which is normalised to the identity
    direct : (k, q, q) second derivative in eta and Sigma, but for what M contributes
    weight : (m, m) how products of elements of M enter
    """

    gradient: Array
    hessian: Array
    M: Array
    direct: Array
    weight: Array

    def mixed(self, D: Array, forms: Array) -> Array:
        """(k, l) second derivative in eta and along directions in Sigma.

        Parameters
        ----------
        D : (l, q, q) symmetric directions
        forms : (l, m, m) how M falls along each; see `Curvature.along`
        """
        straight = np.einsum("icd,lcd->il", self.direct, D)
        across: Array = straight + np.einsum("iab,ab,lab->il", self.M, self.weight, forms)
        return across


def whiten(
    columns: Array, bundles: Sequence[Bundle], shape: ResidualShape, eta: Array
) -> Whitened | None:
    """Whiten rows of columns (n, d); None where a covariance is singular to rounding."""
    jet = shape.jet(eta)
    rows = np.empty_like(columns)
    log_det = 0.0
    for bundle in bundles:
        R = shape.covariance(bundle, eta, jet)
        if not np.isfinite(R).all():
            return None
        try:
            root = np.linalg.cholesky(R)
        except np.linalg.LinAlgError:
            return None
        diagonal = np.diagonal(root, axis1=1, axis2=2)
        if (diagonal < _SINGULAR * np.sqrt(np.diagonal(R, axis1=1, axis2=2))).any():
            return None
        units = np.bincount(bundle.pattern, minlength=len(R))
        log_det += 2 * float(units @ np.log(diagonal).sum(axis=1))
        inverse = np.linalg.inv(root)
        rows[bundle.rows] = inverse[bundle.pattern] @ columns[bundle.rows]
    return Whitened(rows, log_det)


def whitened_products(
    rows: Array, q: int, p: int, bundles: Sequence[Bundle], n_groups: int
) -> CrossProducts:
    """Cross-products of whitened rows (n, q + p + R) of [Z X y]."""
    grams = np.concatenate(
        [np.swapaxes(part[:, :, :q], 1, 2) @ part for part in (rows[b.rows] for b in bundles)]
    )
    group = np.concatenate([b.group for b in bundles])
    sums = _sum_by(group, grams.reshape(len(grams), q * rows.shape[1]), n_groups)
    sums = sums.reshape(n_groups, q, rows.shape[1])
    sums = np.ascontiguousarray(sums.transpose(2, 1, 0))  # (q + p + R, q, J)
    total = rows[:, q:].T @ rows[:, q:]
    counts = np.zeros(n_groups)
    for bundle in bundles:
        counts += np.bincount(bundle.group, minlength=n_groups) * bundle.rows.shape[1]
    return CrossProducts(
        counts=counts,
        ZtZ=sums[:q],
        ZtX=sums[q : q + p],
        Zty=sums[q + p :],
        XtX=total[:p, :p],
        Xty=total[p:, :p],
        yty=np.diag(total)[p:].copy(),
    )


def residual_slopes(
    columns: Array,
    bundles: Sequence[Bundle],
    shape: ResidualShape,
    eta: Array,
    roots: GroupRoots,
    Lambda: Array,
    point: Criterion,
    reml: bool,
) -> ResidualSlopes:
    """Exact first and second derivatives in eta.

    Parameters
    ----------
    columns : (n, q + m) the rows of [Z X y], not whitened
    bundles, shape, eta : the residual covariance
    roots : GroupRoots of the whitened rows
    Lambda : (q, q) relative factor
    point : the criterion there, a batch of one
    reml : restricted likelihood
    """
    q, k = len(Lambda), shape.size
    m = columns.shape[1] - q
    J = roots.S.shape[2]
    share, weight = _weights(float(point.nu[0]), m, reml)
    jet = shape.jet(eta)
    gradient, hessian = np.zeros(k), np.zeros((k, k))
    width = 2 * q + m
    by_group = np.zeros((J, k * width * width))
    maps = _maps(roots, Lambda, point)
    scale = np.concatenate([np.ones(q), np.zeros(q), share])
    for bundle in bundles:
        # Columns Z k, Z B and Y of each row.
        U = columns[bundle.rows] @ maps[bundle.group]
        R = shape.covariance(bundle, eta, jet)
        Ri = shape.slopes(bundle, eta, jet)
        Omega = np.linalg.inv(R)
        n = np.bincount(bundle.pattern, minlength=len(R)).astype(float)
        H = _sum_by(
            bundle.pattern, ((U * scale) @ np.swapaxes(U, 1, 2)).reshape(len(U), -1), len(R)
        ).reshape(R.shape)
        inside = Omega @ H @ Omega
        score = n[:, None, None] * Omega - inside
        gradient += np.einsum("ipst,pst->i", Ri, score)
        hessian += shape.bend(bundle, eta, jet, Ri, score)
        P = Omega @ Ri
        hessian -= np.einsum("ipst,kpts,p->ik", P, P, n)
        hessian += 2 * np.einsum("ipst,kpts->ik", Ri, P @ inside)
        Phi = Omega[bundle.pattern] @ U
        A = -np.swapaxes(Phi, 1, 2) @ (Ri[:, bundle.pattern] @ Phi)  # (k, U, width, width)
        flat = A.transpose(1, 0, 2, 3).reshape(len(U), -1)
        by_group += _sum_by(bundle.group, flat, J)
    A = by_group.reshape(J, k, width, width)
    M = A[:, :, 2 * q :, 2 * q :].sum(axis=0)
    kk = A[:, :, :q, :q].transpose(1, 0, 2, 3).reshape(k, J * q * q)
    kY = A[:, :, :q, 2 * q :]
    hessian -= kk @ kk.T
    flat = kY.transpose(1, 0, 2, 3)
    size = J * q * m
    hessian -= 2 * (flat * share).reshape(k, size) @ flat.reshape(k, size).T
    hessian -= np.einsum("iab,ab,kab->ik", M, weight, M)
    mixed = A[:, :, q : 2 * q, q : 2 * q].sum(axis=0)
    N = np.einsum("caj,mcj->jam", point.F[0], point.Q[0])
    cross = np.einsum("jam,m,jibm->iab", N, share, A[:, :, q : 2 * q, 2 * q :])
    mixed = mixed - cross - cross.transpose(0, 2, 1)
    return ResidualSlopes(gradient, hessian, M, mixed, weight)


def _weights(nu: float, m: int, reml: bool) -> tuple[Array, Array]:
    """How the diagonal of M, and products of its elements, enter the criterion: (m,), (m, m)."""
    share = np.full(m, 1.0 if reml else 0.0)
    weight = np.full((m, m), 1.0 if reml else 0.0)
    share[-1] = weight[-1] = weight[:, -1] = nu
    return share, weight


def _maps(roots: GroupRoots, Lambda: Array, point: Criterion) -> Array:
    """(J, q + m, 2 q + m) from columns [Z X y] to ``Z k``, ``Z B`` and Y of each group.

    ``k k' = K``, and ``B = (I + Sigma Z'R^-1 Z)^-1``.
    """
    q = len(Lambda)
    S = roots.S.transpose(2, 0, 1)
    J, m = len(S), point.Q.shape[1]
    half = np.swapaxes(S, 1, 2) @ Lambda  # S'Lambda
    inner = np.eye(q) + np.swapaxes(half, 1, 2) @ half
    k = Lambda @ np.swapaxes(np.linalg.inv(np.linalg.cholesky(inner)), 1, 2)
    gram = S @ np.swapaxes(S, 1, 2)
    B = np.eye(q) - k @ np.swapaxes(k, 1, 2) @ gram
    N = np.einsum("caj,mcj->jam", point.F[0], point.Q[0])
    maps = np.zeros((J, q + m, 2 * q + m))
    maps[:, :q, :q] = k
    maps[:, :q, q : 2 * q] = B
    maps[:, :q, 2 * q :] = -(Lambda @ Lambda.T) @ N
    maps[:, q:, 2 * q :] = np.linalg.inv(point.M_root[0]).T
    return maps


def _sum_by(codes: Codes, values: Array, size: int) -> Array:
    """Sum the rows of values (U, x) that have the same code, (size, x)."""
    U = len(codes)
    sparse = csr_array((np.ones(U), (codes, np.arange(U))), shape=(size, U))
    summed: Array = np.asarray(sparse @ values)
    return summed
