r"""Least squares with units absorbed, and cluster-robust inference for few clusters.

Rows are multiplied by the roots of their weights and taken about the mean of their unit. In columns
Q with Q'Q = I the coefficients are Q'y, and with e the residuals and S_g = Q_g'Q_g of cluster g,

    CR2    V = sum_g K_g Q_g'e_g e_g'Q_g K_g,    K_g = (I - S_g)^{-1/2},

which is ``A_g = (I - Q_g Q_g')^{-1/2}`` carried over, as ``A_g Q_g = Q_g K_g``. Where units lie
within clusters the absorbed effects do not change A_g (Pustejovsky and Tipton 2018, theorem 2).
Degrees of freedom of contrasts t follow from
``P_gh = delta_gh t'K_g S_g K_g t - (S_g K_g t)'(S_h K_h t)``, joint tests from Hotelling's T
squared, as in `teamlink.mixed.sandwich`.

The coefficients, and the covariance "clustered" with G - 1 degrees of freedom, are those of
linearmodels.

References
----------
Bell, McCaffrey (2002), Survey Methodology 28(2). Pustejovsky, Tipton (2018),
doi:10.1080/07350015.2016.1247004.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy import stats
from scipy.linalg import solve_triangular

from teamlink.errors import DesignError, Fault, FitError, RankDeficient
from teamlink.moments.independent import independent_columns
from teamlink.typing import Array, Codes

__all__ = ["Covariance", "Within", "joint_test", "lines", "ordinary", "within"]

Covariance: TypeAlias = Literal["CR2", "clustered"]

_WHOLE = 1e-10
"""A leverage this close to one is one: the cluster alone determines a direction."""


@dataclass(frozen=True, slots=True)
class Within:
    """Least squares with units absorbed.

    Attributes
    ----------
    names : of the p columns that are kept
    b : (p,) coefficients
    covariance : (p, p) cluster-robust
    kind : "CR2" or "clustered"
    back : (p, p) from the orthonormal basis to coefficients: b = back Q'y
    S : (G, p, p) Q_g'Q_g of each cluster
    K : (G, p, p) (I - S_g)^{-1/2}
    sigma : residual standard deviation
    """

    names: tuple[str, ...]
    b: Array
    covariance: Array
    kind: str
    back: Array
    S: Array
    K: Array
    sigma: float

    def rows_of(self, names: Sequence[str]) -> Codes:
        """Where coefficients stand."""
        place = {name: k for k, name in enumerate(self.names)}
        return np.array([place[name] for name in names], dtype=np.intp)


def within(
    y: Array,
    X: Array,
    names: Sequence[str],
    unit: Codes,
    cluster: Codes,
    weights: Array | None,
    kind: Covariance,
) -> Within:
    """Regress y on X with the units absorbed.

    Parameters
    ----------
    y : (n,)
    X : (n, k), no constant among them
    names : of the columns
    unit, cluster : (n,) codes; each unit lies within one cluster
    weights : (n,) positive, or None
    kind : of the covariance

    Returns
    -------
    Within

    Warns
    -----
    RankDeficient
    """
    root = np.ones(len(y)) if weights is None else np.sqrt(weights)
    both = _about_units(np.column_stack([X, y]), unit, root)
    Xt, yt = both[:, :-1], both[:, -1]
    gram = Xt.T @ Xt
    kept = independent_columns(gram, np.square(X * root[:, None]).sum(axis=0))
    if len(kept) < len(names):
        gone = ", ".join(name for k, name in enumerate(names) if k not in set(kept.tolist()))
        warnings.warn(
            f"left out, as units, periods or earlier columns determine them: {gone}",
            RankDeficient,
            stacklevel=4,
        )
    Xt, own = np.asarray(Xt[:, kept]), [names[k] for k in kept]
    df = len(y) - len(np.unique(unit)) - len(kept)
    if not len(kept) or df < 1:
        raise DesignError([Fault("too few rows for the model", "the table", "fewer covariates")])
    b, plain = _by_linearmodels(y, X[:, kept], unit, cluster, weights)
    back = solve_triangular(np.linalg.cholesky(gram[np.ix_(kept, kept)]).T, np.eye(len(kept)))
    Q, e = Xt @ back, yt - Xt @ b
    S, u = _by_cluster(Q, e, cluster)
    K = _half_inverses(S)
    half = (K @ u[:, :, None])[:, :, 0] @ back.T
    covariance = half.T @ half if kind == "CR2" else plain
    sigma = float(np.sqrt(e @ e / df))
    return Within(tuple(own), b, covariance, kind, back, S, K, sigma)


def ordinary(y: Array, X: Array, names: Sequence[str], cluster: Codes) -> Within:
    """Regress y (n,) on X (n, p), of full rank, with CR2; nothing is absorbed."""
    back = solve_triangular(np.linalg.cholesky(X.T @ X).T, np.eye(X.shape[1]))
    Q = X @ back
    b = back @ (Q.T @ y)
    e = y - X @ b
    S, u = _by_cluster(Q, e, cluster)
    K = _half_inverses(S)
    half = (K @ u[:, :, None])[:, :, 0] @ back.T
    sigma = float(np.sqrt(e @ e / max(len(y) - X.shape[1], 1)))
    return Within(tuple(names), b, half.T @ half, "CR2", back, S, K, sigma)


def _about_units(columns: Array, unit: Codes, root: Array) -> Array:
    """Columns (n, k) about the weighted mean of their unit, times the roots of the weights."""
    w = np.square(root)
    total = np.bincount(unit, w)
    sums = np.column_stack([np.bincount(unit, w * c) for c in columns.T])
    means = sums / np.where(total > 0, total, 1.0)[:, None]
    found: Array = root[:, None] * (columns - means[unit])
    return found


def _by_linearmodels(
    y: Array, X: Array, unit: Codes, cluster: Codes, weights: Array | None
) -> tuple[Array, Array]:
    """Coefficients (p,) and their clustered covariance (p, p)."""
    from linearmodels.iv.absorbing import AbsorbingLS

    exog = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    model = AbsorbingLS(
        pd.Series(y, name="y"),
        exog,
        absorb=pd.DataFrame({"unit": pd.Categorical(unit)}),
        weights=None if weights is None else pd.Series(weights, name="w"),
    )
    groups = pd.DataFrame({"cluster": cluster})
    fit = model.fit(cov_type="clustered", clusters=groups, debiased=True)
    return np.asarray(fit.params, dtype=float), np.asarray(fit.cov, dtype=float)


def _by_cluster(Q: Array, e: Array, cluster: Codes) -> tuple[Array, Array]:
    """Q_g'Q_g (G, p, p) and Q_g'e_g (G, p)."""
    order = np.argsort(cluster, kind="stable")
    _, first = np.unique(cluster[order], return_index=True)
    Q, e = Q[order], e[order]
    u: Array = np.add.reduceat(Q * e[:, None], first, axis=0)
    if len(first) == len(e):
        return Q[:, :, None] * Q[:, None, :], u
    ends = [*first[1:].tolist(), len(order)]
    S = np.stack([Q[a:b].T @ Q[a:b] for a, b in zip(first.tolist(), ends, strict=True)])
    return S, u


def _half_inverses(S: Array) -> Array:
    """(I - S)^{-1/2} of each (G, p, p); generalised where a cluster determines a direction."""
    values, W = np.linalg.eigh(S)
    left = 1 - values
    half = np.where(left > _WHOLE, 1 / np.sqrt(np.maximum(left, _WHOLE)), 0.0)
    found: Array = (W * half[:, None, :]) @ W.swapaxes(1, 2)
    return found


def lines(fit: Within, L: Array, level: float) -> dict[str, Array]:
    """Estimates, standard errors, t tests and intervals of contrasts L (m, p)."""
    estimate = L @ fit.b
    se = np.sqrt(np.maximum(np.einsum("ma,ab,mb->m", L, fit.covariance, L), 0.0))
    df = _degrees_of_freedom(fit, L)
    t = estimate / np.where(se > 0, se, np.nan)
    half = stats.t.ppf(0.5 + level / 2, df) * se
    return {
        "estimate": estimate, "std_error": se, "statistic": t, "df": df,
        "p_value": 2 * stats.t.sf(np.abs(t), df),
        "conf_low": estimate - half, "conf_high": estimate + half,
    }  # fmt: skip


def _forms(fit: Within, L: Array) -> tuple[Array, Array]:
    """t'K_g S_g K_g s (G, m, m), and S_g K_g t (G, m, p), of contrasts t in the basis."""
    T = L @ fit.back
    KT = fit.K @ T.T
    SKT = fit.S @ KT
    return KT.swapaxes(1, 2) @ SKT, SKT.swapaxes(1, 2)


def _degrees_of_freedom(fit: Within, L: Array) -> Array:
    if fit.kind == "clustered":
        return np.full(len(L), len(fit.S) - 1.0)
    own, loads = _forms(fit, L)
    a = np.einsum("gmm->gm", own)
    norms = np.square(loads).sum(axis=2)
    cross = np.einsum("gma,gmb->mab", loads, loads)
    # P = diag(a) - B B', of which neither trace needs P itself
    trace = a.sum(axis=0) - norms.sum(axis=0)
    square = (
        np.square(a).sum(axis=0) - 2 * (a * norms).sum(axis=0) + np.square(cross).sum(axis=(1, 2))
    )
    found: Array = np.square(trace) / square
    return found


def joint_test(fit: Within, L: Array) -> tuple[float, float, float, float]:
    """F test that all contrasts L (r, p) are zero: F, its degrees of freedom, p.

    HTZ with CR2; else the Wald statistic over r with G - 1 degrees of freedom.
    """
    r, G = len(L), len(fit.S)
    estimate, V = L @ fit.b, L @ fit.covariance @ L.T
    if np.linalg.matrix_rank(V) < r:
        raise FitError(f"{G} clusters are too few for a joint test of {r} coefficients")
    wald = float(estimate @ np.linalg.solve(V, estimate))
    if fit.kind == "clustered":
        return wald / r, float(r), G - 1.0, float(stats.f.sf(wald / r, r, G - 1))
    eta = _eta(fit, L)
    if eta <= r - 1:
        raise FitError(f"{G} clusters are too few for a joint test of {r} coefficients")
    df = eta - r + 1
    F = df / (eta * r) * wald
    return F, float(r), float(df), float(stats.f.sf(F, r, df))


def _eta(fit: Within, L: Array) -> float:
    """Degrees of freedom of the covariance of r contrasts, scaled to expectation I."""
    r = len(L)
    P = _quadratics(fit, L)
    Omega = np.einsum("stgg->st", P)
    C = np.linalg.inv(np.linalg.cholesky((Omega + Omega.T) / 2))
    P = _quadratics(fit, C @ L)
    same = np.einsum("ssgh,tthg->st", P, P)
    cross = np.einsum("stgh,sthg->st", P, P)
    return float(r * (r + 1) / (same + cross).sum())


def _quadratics(fit: Within, L: Array) -> Array:
    """P_st (r, r, G, G)."""
    own, loads = _forms(fit, L)
    P: Array = -np.einsum("gsa,hta->stgh", loads, loads)
    g = np.arange(len(own))
    P[:, :, g, g] += own.transpose(1, 2, 0)
    return P
