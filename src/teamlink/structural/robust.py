r"""Standard errors and tests that hold without normality, and with clustered rows.

With s_i the score of a row (of a cluster: the sum of its rows' scores), A the information and
``B = sum s_i s_i'``, the covariance of the estimates is ``A^-1 B A^-1``. The test statistic is
divided by a factor c that gives it the mean of its reference distribution,

    Yuan-Bentler      c = (tr(A1^-1 B1) - tr(A0^-1 B0)) / df,
    Satorra-Bentler   c = tr(U Gamma) / df,

where 1 stands for the saturated model, 0 for the fitted one, and Gamma is the covariance of the
rows' second moments (given the exogenous variables, where those are fixed). The saturated part
splits into that of the exogenous variables and the rest, of which the latter counts.

References
----------
Satorra, Bentler (1994). Corrections to test statistics and standard errors in covariance
structure analysis. In von Eye, Clogg (eds.), Latent variables analysis. Sage.
Yuan, Bentler (2000), doi:10.1111/0081-1750.00078.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.errors import OptionError
from teamlink.structural.discrepancy import CompleteData, factor
from teamlink.structural.implied import Moments, Tangents, tangents
from teamlink.structural.model import StructuralModel, inverse_information
from teamlink.structural.nested import NestedData
from teamlink.structural.references import References, exogenous, fixed_exogenous
from teamlink.structural.traces import independence_directions, saturated_directions, trace
from teamlink.typing import Array, Codes, Mask

__all__ = ["Scaling", "inverse_hessian", "meat", "robust_covariance", "scaling", "test_trace"]

_CHUNK = 2_000_000
"""Numbers that are held at once while rows are summed."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """Factors by which test statistics are divided.

    Attributes
    ----------
    test : of the fitted model against the saturated one
    baseline : of independence against the saturated one
    fitted, saturated : of the log-likelihoods themselves; missing for Satorra and Bentler's
    """

    test: float
    baseline: float
    fitted: float
    saturated: float


def _at(model: StructuralModel, x: Array) -> tuple[list[Moments], list[Tangents]]:
    """Moments and tangents of every block at x (q,)."""
    states = model.states(x[None], np.zeros(1, dtype=np.intp))
    moments = [Moments(state.Sigma, state.mu) for state in states]
    along = [tangents(b, s) for b, s in zip(model.structure.blocks, states, strict=True)]
    return moments, along


def _values(model: StructuralModel) -> list[Array]:
    """Rows of each block, columns in its order."""
    seen = model.observations
    return [
        values[:, seen.columns(block.observed)]
        for values, block in zip(seen.values, model.structure.blocks, strict=True)
    ]


def _summed(model: StructuralModel, scores: Sequence[Array]) -> tuple[list[Array], float]:
    """Scores summed over clusters, and the factor J / (J - 1) that goes with them."""
    seen = model.observations
    if seen.clusters is None or isinstance(model.likelihood, NestedData):
        return list(scores), 1.0
    J = sum(seen.n_clusters)
    found = []
    for own, codes, count in zip(scores, seen.clusters, seen.n_clusters, strict=True):
        total = np.zeros((count, own.shape[1]))
        np.add.at(total, codes, own)
        found.append(total)
    return found, J / (J - 1) if J > 1 else np.nan


def meat(model: StructuralModel, scores: Sequence[Array]) -> Array:
    """Sum of products of scores (q, q), those of each block in its own slots."""
    summed, more = _summed(model, scores)
    q = model.structure.q
    total = np.zeros((q, q))
    at = 0
    for own in summed:
        n = own.shape[1]
        lifted = own @ model.structure.selection[at : at + n]
        total += lifted.T @ lifted
        at += n
    return more * total


def contributions(model: StructuralModel, x: Array, estimator: str) -> list[Array]:
    """What each row, at two levels each cluster, contributes to the score: per group (n_g, n_b)."""
    likelihood = model.likelihood
    moments, along = _at(model, x)
    if isinstance(likelihood, NestedData):
        return list(likelihood.scores(moments, along, ()))
    values = _values(model)
    if estimator == "mlr":
        return list(likelihood.scores(moments, along, values))
    if not isinstance(likelihood, CompleteData):
        raise OptionError("estimator='mlm' needs complete rows; use 'mlr'")
    found = []
    for g, (block, way, Y) in enumerate(zip(moments, along, values, strict=True)):
        Li = factor(block.Sigma)[0][0]
        n, p = way.Sigma.shape[1:3]
        X = (Li @ way.Sigma[0] @ Li.T).reshape(n, p * p)
        own = np.empty((len(Y), n))
        for rows, U, m in _residual_moments(Y, fixed_exogenous(model)[g]):
            white = (Li @ U @ Li.T).reshape(len(U), p * p)
            own[rows] = 0.5 * white @ X.T
            if likelihood.means:
                own[rows] += m @ Li.T @ (way.mu[0] @ Li.T).T
        found.append(own)
    return found


def _residual_moments(Y: Array, x: Mask) -> list[tuple[slice, Array, Array]]:
    """Second moments of rows less their expectation given the exogenous ones, and first ones.

    Chunks of rows, each with (r, p, p) and (r, p).
    """
    Z = Y - Y.mean(axis=0)
    n, p = Z.shape
    hat = np.zeros_like(Z)
    if x.any():
        hat = Z[:, x] @ np.linalg.lstsq(Z[:, x], Z, rcond=None)[0]
    rest = Z - hat
    R = rest.T @ rest / n
    size = max(1, _CHUNK // (p * p))
    found = []
    for start in range(0, n, size):
        rows = slice(start, start + size)
        z, h = Z[rows], hat[rows]
        U = z[:, :, None] * z[:, None, :] - h[:, :, None] * h[:, None, :] - R
        found.append((rows, U, rest[rows]))
    return found


def robust_covariance(model: StructuralModel, theta: Array, estimator: str) -> Array:
    """Sandwich covariance (q, q) of the parameters at theta (k,).

    Parameters
    ----------
    model : StructuralModel with one replicate
    theta : (k,)
    estimator : "mlr" or "mlm"
    """
    x = model.parameters(theta[None])
    bread = inverse_hessian(model, theta, x, model.information)
    found: Array = bread @ meat(model, contributions(model, x[0], estimator)) @ bread
    return found


def inverse_hessian(model: StructuralModel, theta: Array, x: Array, kind: str) -> Array:
    """Inverse information (q, q)."""
    index = np.zeros(1, dtype=np.intp)
    K = model.coordinates.K
    H = K.T @ model.hessian(x, index, kind) @ K / 2
    inverse = inverse_information(H, model.coordinates.on_bound(theta[None]))[0]
    found: Array = K @ np.nan_to_num(inverse) @ K.T
    return found


def test_trace(model: StructuralModel, theta: Array, estimator: str, information: str) -> float:
    """Degrees of freedom times the factor of the test of fit, up to what all models have.

    The difference of two models' traces is their difference in degrees of freedom times the factor
    of the likelihood ratio between them.

    Parameters
    ----------
    model : StructuralModel with one replicate
    theta : (k,)
    estimator : "mlr" or "mlm"
    information : see `StructuralModel.derivatives`
    """
    x = model.parameters(theta[None])
    B = meat(model, contributions(model, x[0], estimator))
    fitted = float(np.sum(inverse_hessian(model, theta, x, information) * B))
    if estimator == "mlr":
        return -fitted
    return _weighted_trace(model, _at(model, x[0])[0]) - fitted


def scaling(
    model: StructuralModel, theta: Array, estimator: str, references: References, information: str
) -> Scaling:
    """Factors of the tests of a fit.

    Parameters
    ----------
    model : StructuralModel with one replicate
    theta : (k,)
    estimator : "mlr" or "mlm"
    references : of the fit
    information : by which the fitted model's trace is taken, see `StructuralModel.hessian`
    """
    own = test_trace(model, theta, estimator, information)
    k, df, more = model.coordinates.k, references.df, references.df_independence
    with np.errstate(invalid="ignore", divide="ignore"):
        if estimator == "mlr":
            saturated, independence = _reference_traces(model, references)
            return Scaling(
                float(np.float64(saturated + own) / df),
                float(np.float64(saturated - independence) / more),
                -own / k,
                saturated / (k + df),
            )
        baseline = _weighted_trace(model, references.baseline) - _weighted_variances(model)
        return Scaling(
            float(np.float64(own) / df), float(np.float64(baseline) / more), np.nan, np.nan
        )


def _reference_traces(model: StructuralModel, references: References) -> tuple[float, float]:
    """tr(A^-1 B) of the saturated model and of independence."""
    if isinstance(model.likelihood, CompleteData):
        return _saturated_trace(model), _independence_trace(model)
    fixed = fixed_exogenous(model)
    found = []
    for moments, along in (
        (references.moments, saturated_directions(model, fixed)),
        (references.baseline, independence_directions(model, fixed, exogenous(model))),
    ):
        values = () if isinstance(model.likelihood, NestedData) else _values(model)
        scores, more = _summed(model, model.likelihood.scores(moments, along, values))
        found.append(trace(model, moments, along, scores, more))
    return found[0], found[1]


def _saturated_trace(model: StructuralModel) -> float:
    """tr(A1^-1 B1) of the saturated model, without the part of fixed exogenous variables."""
    total = 0.0
    means = model.structure.table.meanstructure
    for g, (Y, x) in enumerate(zip(_values(model), fixed_exogenous(model), strict=True)):
        codes = None if model.observations.clusters is None else model.observations.clusters[g]
        more = 1.0
        if codes is not None:
            J = sum(model.observations.n_clusters)
            more = J / (J - 1)
        total += more * (_moment_trace(Y, means, codes) - _moment_trace(Y[:, x], means, codes))
    return total


def _moment_trace(Y: Array, means: bool, codes: Codes | None) -> float:
    """tr(A^-1 B) of all means and covariances of rows (n, p)."""
    n, p = Y.shape
    if not p:
        return 0.0
    Z = Y - Y.mean(axis=0)
    Li = np.linalg.inv(np.linalg.cholesky(Z.T @ Z / n))
    W = Z @ Li.T
    if codes is None:
        m = (W * W).sum(axis=1)
        return float(0.5 * ((m * m).sum() / n - p) + (m.sum() / n if means else 0.0))
    J = int(codes.max()) + 1
    total = 0.0
    counts = np.bincount(codes, minlength=J)
    # Pair by pair: a cluster's sum of products less their expectation.
    for i in range(p):
        for j in range(i, p):
            sums = np.bincount(codes, W[:, i] * W[:, j], J) - (counts if i == j else 0)
            total += float(sums @ sums) * (0.5 if i == j else 1.0)
        if means:
            sums = np.bincount(codes, W[:, i], J)
            total += float(sums @ sums)
    return float(total / n)


def _independence_trace(model: StructuralModel) -> float:
    """tr(A^-1 B) of the model of independence, without the fixed exogenous variables."""
    total = 0.0
    means = model.structure.table.meanstructure
    fixed = model.structure.table.conventions.fixed_x
    for g, (Y, x) in enumerate(zip(_values(model), exogenous(model), strict=True)):
        codes = None if model.observations.clusters is None else model.observations.clusters[g]
        J = sum(model.observations.n_clusters)
        more = 1.0 if codes is None else J / (J - 1)
        parts = [Y[:, [i]] for i in np.flatnonzero(~x)] + ([] if fixed else [Y[:, x]])
        total += more * sum(_moment_trace(part, means, codes) for part in parts)
    return total


def _weighted_trace(model: StructuralModel, moments: Sequence[Moments]) -> float:
    """tr(W Gamma), W the weight of second moments at given implied moments."""
    total = 0.0
    means = model.structure.table.meanstructure
    for own, Y, x in zip(moments, _values(model), fixed_exogenous(model), strict=True):
        Li = factor(own.Sigma)[0][0]
        part = 0.0
        for _, U, m in _residual_moments(Y, x):
            white = Li @ U @ Li.T
            part += 0.5 * float((white * white).sum())
            part += float(((m @ Li.T) ** 2).sum()) if means else 0.0
        total += part / len(Y)
    return total


def _weighted_variances(model: StructuralModel) -> float:
    """The part of tr(W Gamma) that the parameters of independence take up."""
    total = 0.0
    means = model.structure.table.meanstructure
    fixed = model.structure.table.conventions.fixed_x
    for Y, given, x in zip(_values(model), fixed_exogenous(model), exogenous(model), strict=True):
        variance = Y.var(axis=0)
        part = 0.0
        Zx = Y[:, x] - Y[:, x].mean(axis=0)
        Lx = np.linalg.inv(np.linalg.cholesky(Zx.T @ Zx / len(Y)))
        for _, U, m in _residual_moments(Y, given):
            own = (np.diagonal(U, axis1=1, axis2=2) / variance)[:, ~x]
            part += 0.5 * float((own * own).sum())
            part += float((m[:, ~x] ** 2 / variance[~x]).sum()) if means else 0.0
            if not fixed:
                white = Lx @ U[:, x][:, :, x] @ Lx.T
                part += 0.5 * float((white * white).sum())
                part += float(((m[:, x] @ Lx.T) ** 2).sum()) if means else 0.0
        total += part / len(Y)
    return total
