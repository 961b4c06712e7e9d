"""Cross-products of one grouping factor: everything a linear mixed model needs of its rows.

Notation: ``Z`` (n, q) carries the random effects, ``X`` (n, p) the fixed effects, ``Y`` (n, R) one
or many responses; rows belong to groups j = 1..J. The group is the last, contiguous axis, so that a
kernel vectorises over groups; responses are a leading axis.

Invariant: cross-products add. Those of two sets of rows over the same groups, in the same
basis, sum to those of their union.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from teamlink.moments.upper import Upper
from teamlink.typing import Array, Codes

__all__ = ["CrossProducts", "GroupRoots", "GroupWeights", "group_roots", "project"]


@dataclass(frozen=True, slots=True)
class CrossProducts:
    """Sums over rows, by group where ``Z`` is involved.

    Attributes
    ----------
    counts : (J,) rows in each group
    ZtZ : (q, q, J) per-group Z'Z
    ZtX : (p, q, J) per-group Z'X, the columns of X first
    Zty : (R, q, J) per-group Z'y, one row a response
    XtX : (p, p)
    Xty : (R, p)
    yty : (R,)
    """

    counts: Array
    ZtZ: Array
    ZtX: Array
    Zty: Array
    XtX: Array
    Xty: Array
    yty: Array

    def __add__(self, other: CrossProducts) -> CrossProducts:
        return CrossProducts(
            self.counts + other.counts,
            self.ZtZ + other.ZtZ,
            self.ZtX + other.ZtX,
            self.Zty + other.Zty,
            self.XtX + other.XtX,
            self.Xty + other.Xty,
            self.yty + other.yty,
        )

    def rotated(self, kept: Codes, rotation: Array) -> CrossProducts:
        """The products with the working columns ``X[:, kept] @ rotation``, rotation (p, p)."""
        ZtX = self.ZtX[kept]
        return CrossProducts(
            self.counts,
            self.ZtZ,
            np.tensordot(rotation.T, ZtX, axes=(1, 0)),
            self.Zty,
            rotation.T @ self.XtX[np.ix_(kept, kept)] @ rotation,
            self.Xty[:, kept] @ rotation,
            self.yty,
        )

    def residuals(self, offset: Array, scale: Array) -> CrossProducts:
        """The products with responses ``(y - X @ offset) / scale``, offset (R, p), scale (R,)."""
        fitted = np.tensordot(offset, self.ZtX, axes=(1, 0))
        return CrossProducts(
            self.counts,
            self.ZtZ,
            self.ZtX,
            (self.Zty - fitted) / scale[:, None, None],
            self.XtX,
            (self.Xty - offset @ self.XtX) / scale[:, None],
            (self.yty - (offset * (2 * self.Xty - offset @ self.XtX)).sum(axis=1)) / scale**2,
        )


@dataclass(frozen=True, slots=True)
class GroupWeights:
    """How often each group counts, one row a replicate; all that the likelihood sums is weighted.

    Attributes
    ----------
    values : (R, J) not negative; whole numbers are frequencies
    n : (R,) weighted number of rows
    """

    values: Array
    n: Array

    def take(self, index: Codes) -> GroupWeights:
        """Those of some of the replicates, `index` integer (r,)."""
        return GroupWeights(self.values[index], self.n[index])


@dataclass(frozen=True, slots=True)
class GroupRoots:
    """The same facts in the form the likelihood wants, free of later cancellation.

    With ``Z_j = Q_j S_j'`` (Q_j orthonormal, S_j lower triangular) everything a likelihood needs is
    S_j, the projections ``Q_j'[X y]`` and what remains of ``[X y]`` within groups.

    Attributes
    ----------
    n : number of rows
    S : (q, q, J) lower-triangular roots, Z_j'Z_j = S_j S_j'; zero columns where Z_j lacks rank
    CX : (p, q, J) projections Q_j'X_j
    Cy : (R, q, J) projections Q_j'y_j
    WXX, WXy, Wyy : (p, p), (R, p), (R,) cross-products of [X y] after projecting out every Z_j
    rank : rank of the block-diagonal Z, summed over groups
    weights : how often each group counts, where not once; then R replicates share Cy (1, q, J),
        WXX is (R, p, p), WXy (R, p), Wyy (R,), all three weighted
    upper : the other grouping factors, where there are several
    """

    n: int
    S: Array
    CX: Array
    Cy: Array
    WXX: Array
    WXy: Array
    Wyy: Array
    rank: int
    weights: GroupWeights | None = None
    upper: Upper | None = None

    @property
    def responses(self) -> int:
        """Number of responses, or of weightings of one response, R."""
        return int(self.Wyy.shape[0])

    @property
    def rows(self) -> Array:
        """(1,) number of rows, or (R,) weighted numbers of rows."""
        return np.array([float(self.n)]) if self.weights is None else self.weights.n

    def written_out(self, i: int) -> GroupRoots:
        """Replicate i of a weighting by whole numbers with its groups repeated, not weighted."""
        if self.weights is None:
            return self
        each = np.repeat(np.arange(self.S.shape[2]), self.weights.values[i].astype(np.intp))
        S = self.S[:, :, each]
        return GroupRoots(
            int(self.weights.n[i]), S, self.CX[:, :, each], self.Cy[:, :, each], self.WXX[i],
            self.WXy[i : i + 1], self.Wyy[i : i + 1], int((np.einsum("aaj->aj", S) > 0).sum()),
        )  # fmt: skip

    def take(self, index: Codes) -> GroupRoots:
        """The same design with some of the responses, `index` integer (r,)."""
        if self.weights is not None:
            return replace(
                self, WXX=self.WXX[index], WXy=self.WXy[index], Wyy=self.Wyy[index],
                weights=self.weights.take(index),
            )  # fmt: skip
        if self.responses == 1:
            return self
        return GroupRoots(
            self.n, self.S, self.CX, self.Cy[index], self.WXX, self.WXy[index], self.Wyy[index],
            self.rank, upper=None if self.upper is None else self.upper.take(index),
        )  # fmt: skip


# Relative pivot below which a group's Z column counts as determined by the earlier ones. Rounding
# leaves about 1e-15; a smaller pivot that is real contributes below 1e-13 of the criterion.
_PIVOT = 1e-13


def group_roots(products: CrossProducts) -> GroupRoots:
    """Factor every group's Z'Z and project X and y, by one Cholesky unrolled over columns.

    Parameters
    ----------
    products : CrossProducts

    Returns
    -------
    GroupRoots
    """
    q, _, J = products.ZtZ.shape
    p = products.ZtX.shape[0]
    S = np.zeros((q, q, J))
    rank = 0
    for a in range(q):
        remainder = products.ZtZ[a, a] - np.square(S[a, :a]).sum(axis=0)
        alive = remainder > _PIVOT * products.ZtZ[a, a]
        rank += int(alive.sum())
        pivot = np.sqrt(np.where(alive, remainder, 1.0))
        S[a, a] = np.where(alive, pivot, 0.0)
        for b in range(a + 1, q):
            rest = products.ZtZ[b, a] - (S[b, :a] * S[a, :a]).sum(axis=0)
            S[b, a] = np.where(alive, rest / pivot, 0.0)
    C = project(S, np.concatenate([products.ZtX, products.Zty]))
    CX, Cy = C[:p], C[p:]
    flatX, flaty = CX.reshape(p, q * J), Cy.reshape(len(Cy), q * J)
    return GroupRoots(
        n=int(products.counts.sum()),
        S=S,
        CX=CX,
        Cy=Cy,
        WXX=_without_rounding(products.XtX - flatX @ flatX.T, products.XtX),
        WXy=products.Xty - flaty @ flatX.T,
        Wyy=products.yty - np.einsum("ri,ri->r", flaty, flaty),
        rank=rank,
    )


def project(S: Array, ZtU: Array) -> Array:
    """Projections Q_j'U_j (m, q, J) from Z_j'U_j (m, q, J), with Z_j = Q_j S_j'."""
    C = np.empty_like(ZtU)
    for a in range(len(S)):
        alive = S[a, a] > 0
        rest = ZtU[:, a] - (C[:, :a] * S[a, :a]).sum(axis=1)
        C[:, a] = np.where(alive, rest / np.where(alive, S[a, a], 1.0), 0.0)
    return C


def _without_rounding(WXX: Array, XtX: Array) -> Array:
    """What lies within groups, exactly nothing in directions that are constant within them.

    A difference leaves rounding there, which a large variance between groups would magnify. What
    is more than rounding stays whatever its sign: where the projections have lost digits it makes
    up for them, so that the sum of both is right.
    """
    w, U = np.linalg.eigh((WXX + WXX.T) / 2)
    kept = np.where(np.abs(w) > _PIVOT * np.diag(XtX).max(initial=0.0), w, 0.0)
    cleaned: Array = (U * kept) @ U.T
    return cleaned
