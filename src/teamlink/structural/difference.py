r"""Likelihood ratios between two fits of structural equations, scaled where these are robust.

A ratio T is divided by a factor c that gives it the mean of its reference distribution. With d the
parameters that the larger model has more, and t the trace that `robust.test_trace` gives,

    Satorra and Bentler (2001)   c = (t_0 - t_1) / d, each model at its own estimates;
    Satorra and Bentler (2010)   c = (t_0 - t_10) / d, the larger one where it is the smaller one;
    Satorra (2000)               c = tr[(A V A')^-1 A V B V A'] / d,

where V is the inverse information of the larger model, B the sum of products of its scores, and A
what the smaller model holds at zero. The first may be negative, the others hardly. What the larger
model needs to be the smaller one is found by fitting it to the moments that the smaller one
implies; where it cannot imply them the smaller one is no special case of it.

References
----------
Satorra (2000). Scaled and adjusted restricted tests in multi-sample analysis of moment structures.
doi:10.1007/978-1-4615-4603-0_17. Satorra, Bentler (2001), doi:10.1007/BF02296192. Satorra, Bentler
(2010), doi:10.1007/s11336-009-9135-y. Bentler, Satorra (2010), doi:10.1037/a0019625.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc

from teamlink.errors import OptionError
from teamlink.fitting.fit import Correction, RatioMethod, solve
from teamlink.moments.samples import Samples
from teamlink.structural.discrepancy import CompleteData
from teamlink.structural.implied import Moments, tangents
from teamlink.structural.initial import first_points
from teamlink.structural.robust import contributions, inverse_hessian, meat, test_trace
from teamlink.typing import Array, Codes

if TYPE_CHECKING:
    from teamlink.structural.model import StructuralModel
    from teamlink.structural.result import StructuralFit

__all__ = ["Difference", "correction", "scaled_difference"]

_APART = 1e-4
"""The smaller model's moments fitted worse than this of the deviance are no case of the larger."""

_FAR = 1.0


@dataclass(frozen=True, slots=True)
class Difference:
    """A likelihood-ratio test.

    Attributes
    ----------
    chisq, df, pvalue : the test
    factor : by which chi-square was divided, one for "ml"
    method : how the factor was found, empty for "ml"
    """

    chisq: float
    df: int
    pvalue: float
    factor: float
    method: str


def scaled_difference(
    smaller: StructuralFit, larger: StructuralFit, method: RatioMethod | None = None
) -> Difference:
    """Test a fit against one with more parameters.

    Raises
    ------
    OptionError
        They must not be compared, or the scaling factor of the difference is not positive.
    """
    reason = smaller.model.why_incomparable(larger.model)
    reason = reason or smaller.model.why_not_nested_in(larger.model)
    df = larger.n_parameters - smaller.n_parameters
    if reason is None and df <= 0:
        reason = "the other one does not have more parameters"
    if reason is None:
        found = correction(smaller, larger, method)
        reason = found.reason or None
    if reason is not None:
        raise OptionError(f"these fits cannot be tested against each other: {reason}")
    chisq = (smaller.deviance - larger.deviance) / found.factor
    return Difference(chisq, df, float(chdtrc(df, max(chisq, 0.0))), found.factor, found.method)


def correction(
    smaller: StructuralFit, larger: StructuralFit, method: RatioMethod | None = None
) -> Correction:
    """By what the likelihood ratio of two fits is divided, or why there is none.

    Parameters
    ----------
    smaller, larger : fits of the same rows, the latter with more parameters
    method : by default that of 2001, or that of 2010 where its factor is not positive
    """
    kind = smaller.options.robust
    if kind != larger.options.robust:
        return Correction(reason="one is robust in another way than the other")
    if kind is not None and smaller.options.information != larger.options.information:
        return Correction(reason="they take the information in different ways")
    if not (smaller.converged and larger.converged):
        return Correction(reason="one of them has not converged")
    theta, excess = _at_the_smaller(smaller, larger)
    if excess > _APART:
        return Correction(
            reason="the larger model cannot imply what the smaller one does, so that this is no "
            "special case of it"
        )
    if kind is None:
        if method is not None:
            return Correction(reason=f"method={method!r} is for robust fits, estimator='mlr'")
        return Correction()
    factor = _factor(smaller, larger, method or "satorra-bentler-2001", theta)
    if method is None and not factor > 0:
        method = "satorra-bentler-2010"
        factor = _factor(smaller, larger, method, theta)
    if not factor > 0:
        return Correction(reason=f"the scaling factor is not positive ({factor:.3g})")
    return Correction(factor, method or "satorra-bentler-2001")


def _factor(
    smaller: StructuralFit, larger: StructuralFit, method: RatioMethod, theta: Array | None
) -> float:
    """The factor by a method; `theta` is where the larger model is the smaller one."""
    if method == "satorra-2000":
        return _of_restrictions(smaller, larger)
    at = larger.working_theta
    if method == "satorra-bentler-2010":
        if theta is None:
            return float("nan")
        at = theta
    d = larger.n_parameters - smaller.n_parameters
    return (_trace(smaller, smaller.working_theta) - _trace(larger, at)) / d


def _trace(fit: StructuralFit, theta: Array) -> float:
    assert fit.options.robust is not None
    return test_trace(fit.model, theta, fit.options.robust, fit.options.test_information)


def _of_restrictions(smaller: StructuralFit, larger: StructuralFit) -> float:
    """Satorra's factor of 2000: that of a robust Wald test of the restrictions."""
    model, theta = larger.model, larger.working_theta
    order = _orders(smaller, larger)
    if order is None:
        return float("nan")
    mine = _slopes(larger, [np.arange(block.p) for block in model.structure.blocks])
    H = np.linalg.lstsq(mine, _slopes(smaller, order), rcond=None)[0]
    U, _, _ = np.linalg.svd(H)
    A = U[:, H.shape[1] :].T @ np.linalg.pinv(model.coordinates.K)
    x = larger.x[None]
    complete = isinstance(model.likelihood, CompleteData) and larger.options.cluster is None
    B = meat(model, contributions(model, larger.x, "mlm" if complete else "mlr"))
    V = inverse_hessian(model, theta, x, model.information)
    AV = A @ V
    return float(np.trace(np.linalg.solve(AV @ A.T, AV @ B @ AV.T))) / len(A)


def _slopes(fit: StructuralFit, order: Sequence[Codes]) -> Array:
    """Derivatives (moments, k) of all moments in the free coordinates, variables in an order."""
    structure = fit.model.structure
    parts, at = [], 0
    for block, state, own in zip(structure.blocks, fit.states, order, strict=True):
        way = tangents(block, state)
        n = len(block.of)
        rows, columns = np.tril_indices(block.p)
        turned = way.Sigma[0][:, own][:, :, own][:, rows, columns]
        moved = [turned, way.mu[0][:, own]] if structure.table.meanstructure else [turned]
        parts.append(np.concatenate(moved, axis=1).T @ structure.selection[at : at + n])
        at += n
    found: Array = np.concatenate(parts) @ structure.coordinates.K
    return found


def _orders(smaller: StructuralFit, larger: StructuralFit) -> list[Codes] | None:
    """Places in each block of the smaller model of the variables of the larger one's."""
    one, two = smaller.model.structure.blocks, larger.model.structure.blocks
    same = smaller.table.groups == larger.table.groups and len(one) == len(two)
    if not same or any(set(a.observed) != set(b.observed) for a, b in zip(one, two, strict=True)):
        return None
    return [
        np.array([a.observed.index(name) for name in b.observed], dtype=np.intp)
        for a, b in zip(one, two, strict=True)
    ]


def _at_the_smaller(smaller: StructuralFit, larger: StructuralFit) -> tuple[Array | None, float]:
    """Where the larger model (k,) implies what the smaller one does, and how far it is from it.

    None and zero where that cannot be said: with random slopes, blocks of other variables, or
    implied covariances that are none.
    """
    order = _orders(smaller, larger)
    if order is None or smaller.table.slopes or larger.table.slopes:
        return None, 0.0
    model = larger.model
    said = [
        Moments(state.Sigma[:, own][:, :, own], state.mu[:, own])
        for state, own in zip(smaller.states, order, strict=True)
    ]
    if min(np.linalg.eigvalsh(own.Sigma[0])[0] for own in said) <= 0:
        return None, 0.0
    fitted = _fitted_to(model, said, larger)
    solution = solve(fitted)
    p = sum(own.Sigma.shape[1] for own in said)
    n = float(model.observations.n_rows)
    logdet = sum(float(np.linalg.slogdet(own.Sigma[0])[1]) for own in said)
    excess = float(solution.deviance[0]) - n * (p * (np.log(2 * np.pi) + 1) + logdet)
    # A search that ends at infinity, far from these moments from every start, has missed them too.
    if not solution.converged[0] and excess < _FAR:
        return None, 0.0
    return model.coordinates.backward(fitted.parameters(solution.theta))[0], excess


def _fitted_to(
    model: StructuralModel, said: list[Moments], larger: StructuralFit
) -> StructuralModel:
    """The model of rows that have given moments, every block by itself; from its estimates too."""
    n = np.array([float(model.observations.n_rows)])
    groups = tuple(Samples(n, own.mu, own.Sigma) for own in said)
    first = np.concatenate([larger.x[None, None], first_points(model.structure, said)])
    return replace(
        model, likelihood=CompleteData(groups, model.structure.table.meanstructure),
        sample=tuple(said), offset=np.zeros(1), first=first,
    ).started()  # fmt: skip
