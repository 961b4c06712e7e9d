r"""Each cluster in the few directions that its random effects and its predictors span.

An orthonormal basis of the columns ``[Z_j, X_j]`` of cluster j has at most q_j + p directions,
whatever the number of rows. In it V_j is the identity plus a small matrix, and outside it V_j is
the identity and X_j zero. So whatever is a function of V_j, X_j and their products with residuals
needs these directions only. Where a cluster has no more rows than that, its rows serve as they are.
Rows with precision weights are multiplied by their roots first.

Clusters are stacked with others of about the same size, smaller ones padded: a direction that a
cluster does not have carries zeros, with V the identity, and drops out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, hstack

from teamlink.mixed.clusters import Clusters
from teamlink.mixed.criterion import Criterion
from teamlink.typing import Array, Codes

if TYPE_CHECKING:
    from teamlink.mixed.model import LinearMixed

__all__ = ["Reduced", "reduced"]

_ABSENT = 1e-13
"""Directions of X_j outside Z_j with a smaller share of its sum of squares are rounding."""

_NUMBERS = 2_000_000
"""A stack of roots holds at most so many numbers."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """A stack of clusters, each in its own d directions.

    Attributes
    ----------
    members : (J,) which clusters these are
    U : (J, d, d) upper root of V_j = U'U, in units of sigma
    X : (J, d, p) in columns in which X'V^-1 X = I
    e : (J, d) residuals, in the working unit of the response
    """

    members: Codes
    U: Array
    X: Array
    e: Array


def reduced(
    model: LinearMixed, theta: Array, point: Criterion, clusters: Clusters
) -> list[Reduced]:
    """Reduce every cluster.

    Parameters
    ----------
    model : LinearMixed with one response
    theta : (1, k)
    point : the criterion there
    clusters : Clusters
    """
    Lambda = model.structure.factor(theta)[0]
    whitening: Array = np.asarray(np.linalg.inv(point.M_root[0, :-1, :-1]), dtype=float)
    gamma = point.M_root[0, -1, :-1]
    factors = model.design.factors
    if len(factors) == 1 and factors[0].codes is clusters.codes:
        return [_by_group(model, Lambda, whitening, gamma)]
    return list(_by_rows(model, Lambda, whitening, gamma, clusters))


def _by_group(model: LinearMixed, Lambda: Array, whitening: Array, gamma: Array) -> Reduced:
    """From the cross-products of one factor, where its groups are the clusters."""
    roots, within = model.roots, model.within_groups()
    q, p, J = len(Lambda), len(whitening), len(within)
    inside = roots.CX.transpose(2, 1, 0) @ whitening.T  # (J, q, p)
    WXX = whitening @ within[:, :p, :p] @ whitening.T
    WXe = within[:, p, :p] @ whitening.T - WXX @ gamma
    w, vectors = np.linalg.eigh(WXX)
    size = w.clip(min=0).sum(axis=1) + 1e-13 * np.square(inside).sum(axis=(1, 2))
    there = w > _ABSENT * size[:, None]
    length = np.sqrt(np.where(there, w, 1.0))
    directions = np.where(there[:, None, :], vectors, 0.0)
    X, e = np.zeros((J, q + p, p)), np.zeros((J, q + p))
    X[:, :q] = inside
    X[:, q:] = np.swapaxes(directions * length[:, None, :], 1, 2)
    e[:, :q] = roots.Cy[0].T - inside @ gamma
    e[:, q:] = np.einsum("jap,ja->jp", directions / length[:, None, :], WXe)
    S = roots.S.transpose(2, 1, 0) @ Lambda
    U = np.tile(np.eye(q + p), (J, 1, 1))
    U[:, :q, :q] = np.swapaxes(np.linalg.cholesky(np.eye(q) + S @ np.swapaxes(S, 1, 2)), 1, 2)
    return Reduced(np.arange(J), U, X, e)


def _by_rows(
    model: LinearMixed, Lambda: Array, whitening: Array, gamma: Array, clusters: Clusters
) -> Iterator[Reduced]:
    """From the rows of each cluster, whatever factors there are."""
    design = model.design
    Q = model.fixed.columns(design.X)
    X = Q @ whitening.T
    e = model.response.columns(design.y[:, None], Q)[:, 0] - X @ gamma
    H, root = _half(model, Lambda), design.root_weights
    if root is not None:
        H, X, e = csr_array(H.multiply(root[:, None])), root[:, None] * X, root * e
    order = np.argsort(clusters.codes, kind="stable")
    ends = np.cumsum(np.bincount(clusters.codes, minlength=clusters.count))
    H, X, e = csr_array(H[order]), X[order], e[order]
    parts = []
    for start, end in zip(np.append(0, ends[:-1]), ends, strict=True):
        parts.append(_directions(csr_array(H[start:end]), X[start:end], e[start:end]))
    sizes = np.array([len(part[1]) for part in parts])
    for members in _of_like_size(sizes):
        yield _stacked([parts[c] for c in members], members, int(sizes[members].max()))


def _half(model: LinearMixed, Lambda: Array) -> csr_array:
    """(n, all random effects) sparse H with V = I + H H'."""
    parts = []
    for f, (factor, place) in enumerate(
        zip(model.design.factors, model.structure.factors, strict=True)
    ):
        columns = model.random.columns(factor.Z, f) @ Lambda[place, place]
        parts.append(factor.by_effect(columns))
    return csr_array(hstack(parts, format="csr"))


def _directions(H: csr_array, X: Array, e: Array) -> tuple[Array, Array, Array]:
    """Half of V - I (d, K), X (d, p) and residuals (d,) of one cluster in d directions."""
    used = np.unique(H.indices)
    place = np.zeros(H.shape[1], dtype=np.intp)
    place[used] = np.arange(len(used))
    rows = np.repeat(np.arange(H.shape[0]), np.diff(H.indptr))
    dense = np.zeros((H.shape[0], len(used)))
    np.add.at(dense, (rows, place[H.indices]), H.data)
    if len(X) <= len(used) + X.shape[1]:
        return dense, X, e
    basis, root = np.linalg.qr(np.concatenate([dense, X], axis=1))
    return root[:, : len(used)], root[:, len(used) :], e @ basis


def _of_like_size(sizes: Codes) -> Iterator[Codes]:
    """Clusters to be stacked together: of sizes within a quarter, and not too many at a time."""
    order = np.argsort(sizes, kind="stable")
    start = 0
    while start < len(order):
        smallest = sizes[order[start]]
        end = int(np.searchsorted(sizes[order], max(smallest * 5 // 4, smallest + 3), "right"))
        most = max(1, _NUMBERS // int(sizes[order[end - 1]]) ** 2)
        end = min(end, start + most)
        yield order[start:end]
        start = end


def _stacked(parts: list[tuple[Array, Array, Array]], members: Codes, d: int) -> Reduced:
    J, p = len(parts), parts[0][1].shape[1]
    V, X, e = np.tile(np.eye(d), (J, 1, 1)), np.zeros((J, d, p)), np.zeros((J, d))
    for i, (half, x, rest) in enumerate(parts):
        size = len(x)
        V[i, :size, :size] += half @ half.T
        X[i, :size], e[i, :size] = x, rest
    return Reduced(members, np.swapaxes(np.linalg.cholesky(V), 1, 2), X, e)
