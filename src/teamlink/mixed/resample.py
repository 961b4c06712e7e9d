r"""What the bootstrap asks of the engine: weighted groups, reflated residuals.

Weights. All that the likelihood sums, it sums over clusters, which share no random effect; a
cluster drawn twice is a weight of two, of all groups of all factors in it. The cross-products of a
weighting are weighted sums of the clusters' own, so a thousand resamples touch the rows once.

Residuals. Predicted random effects are shrunken and residuals are short of their degrees of
freedom, so both are reflated before they are drawn: the J predicted effects, centred, are mapped
linearly so that their covariance becomes the estimated one; residuals, centred, are scaled to the
estimated standard deviation. With S the covariance of the centred effects the map is
``S^-1/2 Omega^1/2`` (symmetric roots, each effect first divided by its standard deviation; where a
variance is zero, the inverse is the pseudo-inverse).

References
----------
Carpenter, Goldstein, Rasbash (2003), doi:10.1111/1467-9876.00415.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from teamlink.mixed.clusters import Clusters
from teamlink.mixed.factor import Factor
from teamlink.moments.crossproducts import GroupWeights
from teamlink.typing import Array, Codes, Mask

if TYPE_CHECKING:
    from teamlink.mixed.model import LinearMixed

__all__ = ["estimable", "reflated", "reweighted"]

_RANK = 1e-10
"""Weighted columns of X whose Gram matrix has a smaller relative eigenvalue lack rank."""


def reweighted(model: LinearMixed, W: Array, theta: Array) -> LinearMixed:
    """The model of one response with clusters weighted by each row of W.

    Parameters
    ----------
    model : LinearMixed with one response
    W : (R, C) weights
    theta : (k,) working theta from which the search starts
    """
    of_group = _of_group(model)
    each = W[:, of_group]
    within = model.within_groups()
    J, m, _ = within.shape
    total = (each @ within.reshape(J, m * m)).reshape(-1, m, m)
    p = m - 1
    counts = np.bincount(model.resolved_clusters().codes, minlength=W.shape[1])
    roots = replace(
        model.roots,
        WXX=total[:, :p, :p], WXy=total[:, p, :p], Wyy=total[:, p, p],
        weights=GroupWeights(each, W @ counts.astype(float)),
    )  # fmt: skip
    return replace(model, roots=roots, origin=theta)


def estimable(model: LinearMixed, W: Array) -> Mask:
    """Which weightings (R,) leave every parameter estimable.

    There must be two clusters, more rows than fixed effects, and fixed effects of full rank; and
    for each factor more rows than random effects, and a group with more than one row.
    """
    clusters = model.resolved_clusters()
    within = model.within_groups()[:, :-1, :-1]
    CX = model.roots.CX
    gram = within + np.einsum("xaj,zaj->jxz", CX, CX)
    J, p, _ = gram.shape
    weighted = (W[:, _of_group(model)] @ gram.reshape(J, p * p)).reshape(len(W), p, p)
    rows = W @ np.bincount(clusters.codes, minlength=W.shape[1])
    enough: Mask = ((W > 0).sum(axis=1) > 1) & (rows > p)
    for factor in model.design.factors:
        groups, repeated = _groups_in(factor, clusters)
        enough &= ((W > 0) @ repeated > 0) & (rows > max(factor.blocks) * (W @ groups))
    if p:
        spread = np.linalg.eigvalsh(weighted)
        enough &= spread[:, 0] > _RANK * np.maximum(spread[:, -1], 1e-300)
    return enough


def _of_group(model: LinearMixed) -> Codes:
    """(J,) the cluster of each group of the eliminated factor."""
    factor = model.design.factors[max(model.eliminated, 0)]
    return model.resolved_clusters().of_groups(factor)


def _groups_in(factor: Factor, clusters: Clusters) -> tuple[Array, Array]:
    """(C,) how many groups of a factor each cluster holds, and how many with more than one row."""
    W = factor.weights.tocsc()
    W.eliminate_zeros()
    sizes = np.diff(W.indptr)
    there = sizes > 0
    home = clusters.codes[W.indices[W.indptr[:-1][there]]]
    groups = np.bincount(home, minlength=clusters.count).astype(float)
    repeated = np.bincount(home, (sizes[there] > 1).astype(float), clusters.count)
    return groups, np.asarray(repeated, dtype=float)


def reflated(values: Array, covariance: Array) -> Array:
    """Centre values (J, q) and map them so that their covariance (divisor J) is the given one."""
    sd = np.sqrt(np.diag(covariance))
    size = np.where(sd > 0, sd, 1.0)
    U = (values - values.mean(axis=0)) / size
    S = U.T @ U / len(U)
    mapped: Array = (U @ _root(S, inverse=True) @ _root(covariance / np.outer(size, size))) * size
    return mapped


def _root(S: Array, inverse: bool = False) -> Array:
    """Symmetric root of a positive semi-definite matrix (q, q), or the pseudo-inverse of that."""
    w, U = np.linalg.eigh(S)
    alive = w > 1e-12 * max(float(w[-1]), 1e-300)
    size = np.sqrt(np.where(alive, w, 1.0))
    root: Array = (U * np.where(alive, 1 / size if inverse else size, 0.0)) @ U.T
    return root
