r"""Kenward and Roger's covariance and degrees of freedom, from the cross-products of each group.

The model is linear in its variances: ``V = sum_i s_i V_i`` with s the residual variance and the
free elements of the random effects' covariance, ``V_0 = I`` and ``V_i = Z E_i Z'``. With
``Phi = (X'V^-1 X)^-1``,

    P_i = -X'V^-1 V_i V^-1 X,    Q_ij = X'V^-1 V_i V^-1 V_j V^-1 X,
    W   = 2 [ tr(V^-1 V_i V^-1 V_j) - 2 tr(Phi Q_ij) + tr(Phi P_i Phi P_j) ]^-1,
    Phi_A = Phi + 2 Phi { sum_ij W_ij (Q_ij - P_i Phi P_j) } Phi.

W is the inverse of the expected information of REML. Because V is linear in s there is no term in
second derivatives of V.

Nothing of size n is formed. Where ``Z_j = R_j S_j'`` with R_j orthonormal and
``G_j = I + S_j' Sigma S_j = L_j L_j'``, V_j is G_j in the span of R_j and the identity outside it.
So there the whitened ``K_i = V^-1/2 V_i V^-1/2`` and ``c = V^-1/2 X`` are

    K_0 = L^-1 L^-T,    K_i = (L^-1 S') E_i (L^-1 S')',    c = L^-1 R'X,

and outside it K_0 is the identity and every other K_i zero; then ``P_i = -c'K_i c``,
``Q_ij = (K_i c)'(K_j c)`` and the trace is ``tr(K_i K_j)``: sums of products, no difference of
large numbers. Invariant: ``sum_i s_i K_i = I`` (Euler's identity).

Everything is in units in which sigma = 1, and in columns of X in which ``Phi = I``.

References
----------
Kenward, Roger (1997), doi:10.2307/2533558. Halekoh, Hojsgaard (2014), doi:10.18637/jss.v059.i09.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teamlink.errors import FitError
from teamlink.mixed.covariance import RandomStructure
from teamlink.mixed.products import VarianceProducts
from teamlink.moments.crossproducts import GroupRoots
from teamlink.typing import Array, Codes

__all__ = ["KenwardRoger", "kenward_roger", "kenward_roger_crossed"]

_ROUNDING = 1e-12
"""A difference of traces smaller than this share of them is rounding."""

_NO_INFORMATION = 1e-12
"""Eigenvalues of the information, scaled to a unit diagonal, that count as zero."""


@dataclass(frozen=True, slots=True)
class KenwardRoger:
    """What the adjusted tests are made of, in units of sigma and columns with Phi = I.

    Attributes
    ----------
    covariance : (p, p) Phi_A
    P : (k + 1, p, p) minus the derivative of the precision ``X'V^-1 X``, one matrix a variance
    W : (k + 1, k + 1) covariance of the estimated variances
    """

    covariance: Array
    P: Array
    W: Array

    def spread(self, contrasts: Array) -> tuple[Array, Array]:
        """A_1 and A_2 of the paper for the joint hypothesis ``contrasts`` (r, p)."""
        basis = np.linalg.qr(contrasts.T)[0]  # Theta = basis basis'
        inner = np.einsum("ar,iab,bs->irs", basis, self.P, basis)
        traces = np.einsum("irr->i", inner)
        A1 = traces @ self.W @ traces
        A2 = np.einsum("ij,irs,jsr->", self.W, inner, inner)
        return A1, A2

    def df(self, contrasts: Array) -> Array:
        """Degrees of freedom (c,) of the t test of each row of contrasts (c, p)."""
        slopes = np.einsum("ca,iab,cb->ci", contrasts, self.P, contrasts)
        slopes /= np.square(contrasts).sum(axis=1)[:, None]
        share = np.einsum("ci,ij,cj->c", slopes, self.W, slopes)
        df: Array = 2 / share
        return df

    def scaled_f(self, contrasts: Array) -> tuple[float, float]:
        """Denominator degrees of freedom and the factor of F for r independent contrasts (r, p).

        Raises `FitError` where no F distribution has the moments that F would have.
        """
        r = len(contrasts)
        if r == 1:
            return float(self.df(contrasts)[0]), 1.0
        A1, A2 = self.spread(contrasts)
        B = (A1 + 6 * A2) / (2 * r)
        g = ((r + 1) * A1 - (r + 4) * A2) / ((r + 2) * A2)
        base = 3 * r + 2 * (1 - g)
        c1, c2, c3 = g / base, (r - g) / base, (r + 2 - g) / base
        with np.errstate(divide="ignore", invalid="ignore"):
            rho = ((1 - A2 / r) / (1 - c2 * B)) ** 2 * (1 + c1 * B) / (1 - c3 * B) / r
            ddf = 4 + (r + 2) / (r * rho - 1)
            scale = ddf * (1 - A2 / r) / (ddf - 2)
        if not (ddf > 2 and scale > 0 and np.isfinite(scale)):
            raise FitError(
                f"Kenward-Roger: too few groups for a joint test of {r} equations; no F "
                "distribution has its moments. Test fewer at a time, or by Satterthwaite's method"
            )
        return float(ddf), float(scale)


def kenward_roger(
    roots: GroupRoots, structure: RandomStructure, Lambda: Array, whitening: Array
) -> KenwardRoger:
    """Adjusted covariance, and what degrees of freedom need.

    Parameters
    ----------
    roots : GroupRoots
    structure : which elements of the random effects' covariance are free
    Lambda : (q, q) relative factor at the REML optimum
    whitening : (p, p) inverse of the lower Cholesky root of X'V^-1 X

    Returns
    -------
    KenwardRoger

    Raises
    ------
    FitError
        The restricted likelihood says nothing of a variance on which standard errors depend.
    """
    K, c, outside = _whitened(roots, structure, Lambda, whitening)
    size, J, q, p = len(K), K.shape[1], K.shape[2], c.shape[2]
    Kc = K @ c  # (k + 1, J, q, p)
    P = -np.einsum("jqa,ijqb->iab", c, Kc)
    P[0] -= outside
    flat = Kc.transpose(0, 3, 1, 2).reshape(size * p, J * q)
    Q = (flat @ flat.T).reshape(size, p, size, p).transpose(0, 2, 1, 3)
    Q[0, 0] += outside
    traces = K.reshape(size, -1) @ K.reshape(size, -1).T
    traces[0, 0] += roots.n - q * J
    return _adjusted(P, Q, traces)


def kenward_roger_crossed(
    found: VarianceProducts,
    place: tuple[Codes, Codes],
    structure: RandomStructure,
    Lambda: Array,
    n: float,
    i: int = 0,
) -> KenwardRoger:
    """The same where there are several grouping factors.

    Parameters
    ----------
    found : traces and products of all elements of the covariances
    place : rows and columns of these elements along Lambda
    structure : which of them are free
    Lambda : (Q, Q) relative factors at the REML optimum
    n : number of rows
    i : which replicate

    Notes
    -----
    What concerns the residual variance follows from Euler's identity, ``V = sum_i s_i V_i``:
    ``sum_i s_i P_i = -I``, ``sum_j s_j Q_ij = -P_i``,
    ``sum_j s_j tr(V^-1 V_i V^-1 V_j) = tr(V^-1 V_i)`` and ``sum_i s_i tr(V^-1 V_i) = n``.
    """
    free = _free(place, structure)
    rows, cols = structure.rows, structure.cols
    own = found.blocks[i][rows, cols] * np.where(rows == cols, 1.0, 2.0)
    own = structure.gathered(own, 0)
    s = (Lambda @ Lambda.T)[rows, cols][np.unique(structure.ties, return_index=True)[1]]
    k, p = len(s), found.forms.shape[-1] - 1
    P, Q = np.empty((k + 1, p, p)), np.empty((k + 1, k + 1, p, p))
    traces = np.empty((k + 1, k + 1))
    P[1:] = -structure.gathered(found.forms[i][free, :p, :p], 0)
    P[0] = -np.eye(p) - np.tensordot(s, P[1:], axes=1)
    gram = found.gram[i][np.ix_(free, free)][..., :p, :p]
    Q[1:, 1:] = structure.gathered(structure.gathered(gram, 0), 1)
    Q[1:, 0] = -P[1:] - np.einsum("j,ijab->iab", s, Q[1:, 1:])
    Q[0, 1:] = Q[1:, 0].transpose(0, 2, 1)
    Q[0, 0] = -P[0] - np.tensordot(s, Q[0, 1:], axes=1)
    each = found.traces[i][np.ix_(free, free)]
    traces[1:, 1:] = structure.gathered(structure.gathered(each, 0), 1)
    traces[1:, 0] = traces[0, 1:] = own - traces[1:, 1:] @ s
    traces[0, 0] = n - s @ own - s @ traces[0, 1:]
    return _adjusted(P, Q, traces)


def _free(place: tuple[Codes, Codes], structure: RandomStructure) -> Codes:
    """Where among the elements those of the structure stand, in its order."""
    where = {pair: i for i, pair in enumerate(zip(*(c.tolist() for c in place), strict=True))}
    wanted = zip(structure.rows.tolist(), structure.cols.tolist(), strict=True)
    return np.array([where[pair] for pair in wanted], dtype=np.intp)


def _adjusted(P: Array, Q: Array, traces: Array) -> KenwardRoger:
    """The quantities from P_i (k + 1, p, p), Q_ij (k + 1, k + 1, p, p) and the traces."""
    size, p, _ = P.shape
    PP = P.reshape(size, -1) @ P.reshape(size, -1).T
    information = traces - 2 * np.einsum("ijaa->ij", Q) + PP
    W = _inverse(information, np.diag(traces), P)
    weighted = np.tensordot(W, P, axes=(1, 0))
    bias = np.einsum("ij,ijab->ab", W, Q) - np.einsum("iab,ibc->ac", P, weighted)
    return KenwardRoger(np.eye(p) + bias + bias.T, P, W)


def _whitened(
    roots: GroupRoots, structure: RandomStructure, Lambda: Array, whitening: Array
) -> tuple[Array, Array, Array]:
    """K_i (k + 1, J, q, q), c (J, q, p) in the span of Z, and c'c (p, p) outside it."""
    q = structure.q
    S = roots.S.transpose(2, 0, 1)
    inner = np.swapaxes(S, 1, 2) @ Lambda
    root = np.linalg.cholesky(np.eye(q) + inner @ np.swapaxes(inner, 1, 2))
    inverse = np.linalg.inv(root)
    F = inverse @ np.swapaxes(S, 1, 2)
    K = np.empty((1 + structure.size, *F.shape))
    K[0] = inverse @ np.swapaxes(inverse, 1, 2)
    K[1:] = 0.0
    for i, a, b in zip(structure.ties + 1, structure.rows, structure.cols, strict=True):
        E = F[:, :, a, None] * F[:, None, :, b]
        K[i] += E if a == b else E + np.swapaxes(E, 1, 2)
    c = inverse @ roots.CX.transpose(2, 1, 0) @ whitening.T
    return K, c, whitening @ roots.WXX @ whitening.T


def _inverse(information: Array, size: Array, P: Array) -> Array:
    """Twice the inverse of the information, without the directions in which V does not move.

    `size` (k + 1,) is what the diagonal was before the fixed effects took their part; a remainder
    that is rounding of it is none.
    """
    diagonal = np.diag(information)
    there = diagonal > _ROUNDING * size
    scale = np.sqrt(np.where(there, diagonal, np.where(size > 0, size, 1.0)))
    w, U = np.linalg.eigh(information / np.outer(scale, scale))
    known = w > _NO_INFORMATION
    idle = np.tensordot((U[:, ~known] / scale[:, None]).T, P, axes=(1, 0))
    # P of a unit direction is of order one where standard errors depend on it
    if np.abs(idle).max(initial=0.0) > 1e-5 * np.abs(P / scale[:, None, None]).max(initial=0.0):
        raise FitError(
            "Kenward-Roger: the fixed effects use up all that the data say of a variance on which "
            "their standard errors depend; leave out fixed effects or the random term"
        )
    B = U[:, known] / scale[:, None]
    W: Array = 2 * (B / w[known]) @ B.T
    return W
