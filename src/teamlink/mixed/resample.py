r"""What the bootstrap asks of the engine: weighted groups, reflated residuals.

Weights. All that the likelihood of one grouping factor sums, it sums over groups; a group drawn
twice is a weight of two. The cross-products of a weighting are weighted sums of the groups' own, so
a thousand resamples touch the rows once.

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

from teamlink.mixed.design import sole_factor
from teamlink.moments.crossproducts import GroupWeights
from teamlink.typing import Array, Codes, Mask

if TYPE_CHECKING:
    from teamlink.mixed.model import LinearMixed

__all__ = ["estimable", "reflated", "reweighted"]

_RANK = 1e-10
"""Weighted columns of X whose Gram matrix has a smaller relative eigenvalue lack rank."""


def reweighted(model: LinearMixed, W: Array, theta: Array) -> LinearMixed:
    """The model of one response with groups weighted by each row of W.

    Parameters
    ----------
    model : LinearMixed with one response
    W : (R, J) weights
    theta : (k,) working theta from which the search starts
    """
    within = model.within_groups()
    J, m, _ = within.shape
    total = (W @ within.reshape(J, m * m)).reshape(-1, m, m)
    p = m - 1
    counts = _sizes(model, J).astype(float)
    roots = replace(
        model.roots,
        WXX=total[:, :p, :p], WXy=total[:, p, :p], Wyy=total[:, p, p],
        weights=GroupWeights(W, W @ counts),
    )  # fmt: skip
    return replace(model, roots=roots, origin=theta)


def estimable(model: LinearMixed, W: Array) -> Mask:
    """Which weightings (R,) leave every parameter estimable.

    There must be two groups, one with more than one row, more rows than random effects, and fixed
    effects of full rank.
    """
    within = model.within_groups()[:, :-1, :-1]
    CX = model.roots.CX
    gram = within + np.einsum("xaj,zaj->jxz", CX, CX)
    J, p, _ = gram.shape
    weighted = (W @ gram.reshape(J, p * p)).reshape(-1, p, p)
    counts = _sizes(model, J)
    rows, groups = W @ counts, W.sum(axis=1)
    enough: Mask = ((W > 0).sum(axis=1) > 1) & ((W > 0) @ (counts > 1).astype(float) > 0)
    enough &= rows > p
    enough &= rows > max(model.structure.blocks) * groups
    if p:
        spread = np.linalg.eigvalsh(weighted)
        enough &= spread[:, 0] > _RANK * np.maximum(spread[:, -1], 1e-300)
    return enough


def _sizes(model: LinearMixed, J: int) -> Codes:
    """(J,) rows of each group."""
    return np.bincount(sole_factor(model.design, "clusters").only_codes, minlength=J)


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
