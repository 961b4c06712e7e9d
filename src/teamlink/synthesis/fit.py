"""The numbers of a meta-analysis: from arrays to estimates, as often as they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from teamlink.errors import FitError
from teamlink.synthesis.clusters import Working, sandwich
from teamlink.synthesis.nested import Nested, nested_variances
from teamlink.synthesis.pooling import Effects, heterogeneity
from teamlink.typing import Array, Codes

__all__ = ["Choices", "Numbers", "fit_numbers"]


@dataclass(frozen=True, slots=True)
class Choices:
    """How to pool.

    Attributes
    ----------
    method : one of `teamlink.synthesis.pooling.METHODS`
    knha : whether to use Knapp and Hartung's variance; "adhoc" never lets it shrink
    nested : whether effects lie in studies with a variance of their own
    robust : kind of cluster-robust covariance; None for the model's
    """

    method: str
    knha: bool | str
    nested: bool
    robust: str | None


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a model gives.

    Attributes
    ----------
    b : (p,)
    covariance : (p, p)
    df : (p,) degrees of freedom of t tests; infinite for normal ones
    tau2 : heterogeneity in all
    parts : (2,) between studies and within them; None unless nested
    weights : (k,) share of each effect in the pooled one, for a model without moderators; in
        others the diagonal of V^-1, summing to one
    q : Cochran's Q, at tau2 = 0
    llf : log-likelihood, restricted for REML; NaN where the method has none
    joint : F, its two degrees of freedom and p of all coefficients but the first; or None
    """

    b: Array
    covariance: Array
    df: Array
    tau2: float
    parts: Array | None
    weights: Array
    q: float
    llf: float
    joint: tuple[float, float, float, float] | None


def fit_numbers(effects: Effects, clusters: Codes | None, choices: Choices, joint: Any) -> Numbers:
    """Fit one model.

    Parameters
    ----------
    effects : y, v, X
    clusters : (k,) codes, where they are known
    choices : how
    joint : columns of X that the joint test is about; empty for none

    Raises
    ------
    FitError
        There is no optimum, or too few clusters for the joint test.
    """
    parts, llf = None, np.nan
    if choices.nested and clusters is not None:
        model = Nested(effects, clusters, choices.method == "reml")
        parts, value = nested_variances(model)
        tau2, llf = float(parts.sum()), -value / 2
        V = Working(effects.v + parts[1], float(parts[0]), clusters)
    else:
        tau2 = heterogeneity(effects, choices.method)
        V = Working(effects.v + tau2, 0.0, None)
        if choices.method in ("reml", "ml", "fe"):
            reml = choices.method == "reml"
            llf = float(-effects.criterion(np.array([tau2]), reml)[0] / 2)
    X, y = effects.X, effects.y
    weighted = V.solve(X)
    M: Array = np.linalg.inv(X.T @ weighted).astype(float)
    b = M @ (weighted.T @ y)
    residual = y - X @ b
    covariance, df = M, np.full(len(b), np.inf)
    test = None
    if choices.robust is not None and clusters is not None:
        robust = sandwich(X, V, M, residual, clusters, choices.robust)
        covariance, df = robust.covariance, robust.degrees_of_freedom()
        if len(joint):
            test = _robust_joint(b, robust, np.eye(len(b))[joint])
    else:
        if choices.nested and clusters is not None:
            if choices.knha:
                df = np.full(len(b), float(int(clusters.max()) + 1 - len(b)))
        elif choices.knha and choices.method != "fe":
            factor = float(residual @ V.solve(residual[:, None])[:, 0]) / effects.df
            covariance = M * (max(1.0, factor) if choices.knha == "adhoc" else factor)
            df = np.full(len(b), float(effects.df))
        if len(joint):
            test = _wald(b[joint], covariance[np.ix_(joint, joint)], df[0])
    share = weighted[:, 0] * X[:, 0] if X.shape[1] == 1 else V.inverse_diagonal()
    q = effects.q(0.0)
    return Numbers(b, covariance, df, tau2, parts, share / share.sum(), q, llf, test)


def _wald(b: Array, covariance: Array, df: float) -> tuple[float, float, float, float]:
    F = float(b @ np.linalg.solve(covariance, b)) / len(b)
    p = stats.f.sf(F, len(b), df) if np.isfinite(df) else stats.chi2.sf(F * len(b), len(b))
    return F, float(len(b)), df, float(p)


def _robust_joint(b: Array, robust: Any, L: Array) -> tuple[float, float, float, float]:
    r, eta = len(L), robust.hotelling(L)
    if not eta > r - 1:
        raise FitError(
            f"too few clusters for a joint robust test of {r} coefficients (their covariance has "
            f"{eta:.1f} degrees of freedom); use fewer moderators, or robust='none'"
        )
    wald = float((L @ b) @ np.linalg.solve(L @ robust.covariance @ L.T, L @ b))
    F = (eta - r + 1) / (eta * r) * wald
    return F, float(r), eta - r + 1, float(stats.f.sf(F, r, eta - r + 1))
