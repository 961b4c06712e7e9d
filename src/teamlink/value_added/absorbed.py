r"""Teachers and schools as fixed effects: absorbed, then recovered with their covariance.

The coefficients b of the covariates and their covariance V_b come from linearmodels, which absorbs
the effects. With D the indicators of teachers (and schools) and G a generalised inverse of D'D,

    theta = G D'(y - X b),    cov(theta) = sigma^2 G + B V_b B',    B = G D'X.

Effects are centred over teachers, and over schools. With both, the centred effects are identified
only within a set of schools that teachers who move connect (Abowd, Kramarz, Margolis 1999); such a
set is a component of the graph of teachers and schools.

References
----------
Abowd, Kramarz, Margolis (1999), doi:10.1111/1468-0262.00020. Mansfield (2015), doi:10.1086/679683.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from teamlink.errors import RankDeficient
from teamlink.fitting.estimates import Estimates
from teamlink.moments.independent import independent_columns
from teamlink.typing import Array, Codes

__all__ = ["Absorbed", "absorbed", "components_of"]


@dataclass(frozen=True, slots=True)
class Absorbed:
    """Least squares with absorbed effects.

    Attributes
    ----------
    estimates : of the covariates
    effects : for each factor its centred effects (J,)
    covariances : for each factor their covariance (J, J)
    sigma : residual standard deviation
    df : residual degrees of freedom
    """

    estimates: Estimates
    effects: tuple[Array, ...]
    covariances: tuple[Array, ...]
    sigma: float
    df: int


def components_of(one: Codes, two: Codes, sizes: tuple[int, int]) -> Codes:
    """The connected set of each row's groups, 0 for the one with the most rows.

    Parameters
    ----------
    one, two : (n,) groups of the rows by two factors
    sizes : numbers of groups

    Examples
    --------
    >>> components_of(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]), (3, 3)).tolist()
    [0, 0, 0, 1]
    """
    total = sum(sizes)
    graph = csr_array((np.ones(len(one)), (one, two + sizes[0])), shape=(total, total))
    count, label = connected_components(graph, directed=False)
    of_row = label[one]
    order = np.argsort(-np.bincount(of_row, minlength=count), kind="stable")
    rank = np.empty(count, dtype=np.intp)
    rank[order] = np.arange(count)
    return np.asarray(rank[of_row], dtype=np.intp)


def absorbed(
    y: Array,
    X: Array,
    names: Sequence[str],
    codes: Sequence[Codes],
    sizes: Sequence[int],
    cluster: Codes | None = None,
) -> Absorbed:
    """Fit covariates by least squares with one or two factors absorbed.

    Parameters
    ----------
    y : (n,) response
    X : (n, k) covariates, no constant among them
    names : of the covariates
    codes, sizes : the factors; two must be connected
    cluster : (n,) clusters of the covariance of the covariates' coefficients

    Returns
    -------
    Absorbed

    Warns
    -----
    RankDeficient
    """
    n, rank = len(y), sum(sizes) - (len(sizes) - 1)
    D = _dummies(codes, sizes, n)
    G = _inverse(D, sizes)
    X, names = _not_absorbed(X, X - D @ (G @ (D.T @ X)), names)
    df = n - rank - X.shape[1]
    estimates = _coefficients(y, X, names, codes, cluster, df)
    b, V = estimates.values[0], estimates.covariance[0]
    B = G @ (D.T @ X)
    theta = G @ (D.T @ (y - X @ b))
    residual = y - X @ b - D @ theta
    s2 = float(residual @ residual) / df
    effects, covariances = [], []
    first = 0
    for size in sizes:
        own = slice(first, first + size)
        effects.append(theta[own] - theta[own].mean())
        half = B[own] - B[own].mean(axis=0)
        covariances.append(s2 * _centred(G[own, own]) + half @ V @ half.T)
        first += size
    return Absorbed(estimates, tuple(effects), tuple(covariances), float(np.sqrt(s2)), df)


def _not_absorbed(X: Array, within: Array, names: Sequence[str]) -> tuple[Array, list[str]]:
    """The columns whose part outside the effects is not determined by earlier columns."""
    kept = independent_columns(within.T @ within, np.square(X).sum(axis=0)).tolist()
    if len(kept) < len(names):
        gone = ", ".join(name for k, name in enumerate(names) if k not in kept)
        warnings.warn(
            "left out, as the effects of teachers or schools, or earlier columns, determine them: "
            f"{gone}",
            RankDeficient,
            stacklevel=5,
        )
    return X[:, kept], [names[k] for k in kept]


def _coefficients(
    y: Array,
    X: Array,
    names: Sequence[str],
    codes: Sequence[Codes],
    cluster: Codes | None,
    df: int,
) -> Estimates:
    """Coefficients of covariates of full rank beside the effects, by linearmodels."""
    from linearmodels.iv.absorbing import AbsorbingLS

    method = "classical" if cluster is None else "clustered"
    if not X.shape[1]:
        empty = np.zeros((1, 0))
        return Estimates((), empty, np.zeros((1, 0, 0)), empty, method)
    absorb = pd.DataFrame({f"f{i}": pd.Categorical(c) for i, c in enumerate(codes)})
    exog = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    # Releases differ in whether absorbed effects count in the factor of the classical covariance.
    options: dict[str, Any] = {"cov_type": "unadjusted", "debiased": False}
    factor = len(y) / df
    if cluster is not None:
        groups = pd.DataFrame({"cluster": cluster})
        options = {"cov_type": "clustered", "clusters": groups, "debiased": True}
        df, factor = len(np.unique(cluster)) - 1, 1.0
    fit = AbsorbingLS(pd.Series(y, name="y"), exog, absorb=absorb).fit(**options)
    return Estimates(
        tuple(names),
        np.asarray(fit.params, dtype=float)[None],
        factor * np.asarray(fit.cov, dtype=float)[None],
        np.full((1, len(names)), float(df)),
        method,
    )


def _dummies(codes: Sequence[Codes], sizes: Sequence[int], n: int) -> csr_array:
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    columns = np.column_stack([c + s for c, s in zip(codes, starts, strict=True)])
    pointer = np.arange(n + 1) * len(codes)
    return csr_array((np.ones(columns.size), columns.ravel(), pointer), (n, int(sum(sizes))))


def _inverse(D: csr_array, sizes: Sequence[int]) -> Array:
    """A generalised inverse of D'D; of two factors, D'D is singular along (1, -1)."""
    cross = (D.T @ D).toarray()
    if len(sizes) == 1:
        return np.asarray(np.diag(1 / np.diag(cross)), dtype=float)
    null = np.concatenate([np.ones(sizes[0]), -np.ones(sizes[1])])
    scale = cross.trace() / null.size**2
    return np.asarray(np.linalg.inv(cross + scale * np.outer(null, null)), dtype=float)


def _centred(S: Array) -> Array:
    """M S M with M taking out the mean."""
    left = S - S.mean(axis=0)
    both: Array = left - left.mean(axis=1)[:, None]
    return both
