"""Several grouping factors against V written out, n < 60, and against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import teamlink as tl

from .dense_factors import DenseMixed, dense_of, differences, relative_covariances


def sample(seed: int) -> pd.DataFrame:
    """Classes in schools, children who move between them, areas crossing both; below 60 rows."""
    rng = np.random.default_rng(seed)
    n = 58
    child = np.repeat(np.arange(20), 3)[:n]
    school = rng.integers(0, 6, 20)[child]
    kind = rng.integers(0, 3, n)
    moved = rng.random(n) < 0.15
    mover = np.where(moved, rng.integers(0, 6, n), school)
    area = rng.integers(0, 5, n)
    x, z = rng.normal(size=n) + 0.7, 2 * rng.normal(size=n)
    b, c = rng.normal(size=(6, 2)) * [0.9, 0.6], rng.normal(size=(20, 2)) * [0.8, 0.4]
    y = 1 + 0.5 * x + b[mover, 0] + b[mover, 1] * x + c[child, 0] + c[child, 1] * z
    y = y + 0.7 * rng.normal(size=5)[area] + rng.normal(size=n)
    data = pd.DataFrame(
        {
            "y": y, "x": x, "z": z, "w": rng.normal(size=6)[school], "school": school,
            "child": child, "mover": mover, "area": area, "kind": kind,
        }
    )  # fmt: skip
    return data.sample(frac=1, random_state=seed).reset_index(drop=True)


RANDOM = {
    "nested": "(1 | school/child)",
    "nested with slopes": "(x | school) + (z | child)",
    "three levels": "(1 | school) + (x | school:kind) + (1 | school:kind:area)",
    "crossed": "(1 | area) + (1 | mover)",
    "movers": "(x | mover) + (1 | child)",
    "movers with slopes": "(x | mover) + (z || child)",
    "three crossed": "(1 | area) + (1 | mover) + (1 | child)",
    "nested and crossed": "(1 | school) + (1 | child) + (0 + x | area)",
    "interaction": "(1 | area) + (1 | mover) + (1 | area:mover)",
    "terms apart": "(1 | mover) + (1 | area) + (0 + x | mover)",
}
CASES = [(random, reml) for random in RANDOM for reml in (True, False)]


@pytest.fixture(
    scope="module", params=CASES, ids=lambda case: f"{case[0]} {'REML' if case[1] else 'ML'}"
)
def fit(request: pytest.FixtureRequest) -> Any:
    random, reml = request.param
    return tl.lmm(f"y ~ x + w + {RANDOM[random]}", sample(5), reml=reml)


def at(fit: Any, theta: np.ndarray) -> list[np.ndarray]:
    """Relative covariances of the effects as written, from working theta (k,)."""
    working = fit.model.structure.factor(theta[None])[0]
    return relative_covariances(fit, fit.model.random.T @ working)


def away(fit: Any, seed: int) -> np.ndarray:
    """A working theta away from the optimum, with no entry at zero."""
    rng = np.random.default_rng(seed)
    return fit.working_theta + rng.uniform(0.1, 0.4, fit.working_theta.size)


def test_rows_are_few(fit: Any) -> None:
    assert fit.nobs < 60


def test_deviance_is_that_of_the_multivariate_normal(fit: Any) -> None:
    dense: DenseMixed = dense_of(fit)
    S = relative_covariances(fit, fit.Lambda)
    # the dense route inverts V, which costs it some digits
    assert fit.deviance == pytest.approx(dense.deviance(S, fit.sigma), rel=1e-10)
    assert fit.sigma == pytest.approx(dense.sigma(S), rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_deviance_away_from_the_optimum(fit: Any, seed: int) -> None:
    theta = away(fit, seed)
    value = fit.model.deviance(theta[None]).value[0]
    assert value == pytest.approx(dense_of(fit).deviance(at(fit, theta)), rel=1e-9)


def test_gradient_and_hessian_are_those_of_finite_differences(fit: Any) -> None:
    model, theta, dense = fit.model, away(fit, 7), dense_of(fit)
    exact = model.deviance(theta[None])
    hessian = differences(lambda t: model.deviance(t[None]).gradient[0], theta)
    gradient = differences(lambda t: dense.deviance(at(fit, t)), theta, 1e-4)
    scale = np.abs(exact.hessian[0]).max()
    # central differences of functions of size 1e2: step 1e-4 for the value, 1e-5 for the gradient
    assert exact.gradient[0] == pytest.approx(gradient, abs=1e-6 * scale)
    assert exact.hessian[0] == pytest.approx(hessian, abs=1e-6 * scale)
    assert exact.hessian[0] == pytest.approx(exact.hessian[0].T, abs=1e-10 * scale)


def test_gradient_vanishes_where_variances_are_free(fit: Any) -> None:
    """At the optimum; on the boundary theta's own derivative is zero as well."""
    exact = fit.model.deviance(fit.working_theta[None])
    assert np.abs(exact.gradient[0]).max() < 1e-4
    assert np.linalg.eigvalsh(exact.hessian[0]).min() > -1e-6 * np.abs(exact.hessian[0]).max()


def test_no_general_optimiser_finds_a_lower_deviance(fit: Any) -> None:
    dense, k = dense_of(fit), fit.working_theta.size

    def objective(theta: np.ndarray) -> float:
        return dense.deviance(at(fit, theta))

    found = minimize(objective, np.full(k, 0.3), method="BFGS").fun
    assert fit.deviance <= found + 1e-6


def test_fixed_effects_and_covariance_are_generalised_least_squares(fit: Any) -> None:
    beta, C = dense_of(fit).beta(relative_covariances(fit, fit.Lambda))
    assert fit.params.to_numpy() == pytest.approx(beta, rel=1e-8, abs=1e-9)
    assert fit.cov_params().to_numpy() == pytest.approx(fit.sigma**2 * C, rel=1e-7, abs=1e-9)


def test_random_effects_and_their_standard_errors(fit: Any) -> None:
    dense, S = dense_of(fit), relative_covariances(fit, fit.Lambda)
    variances = np.diag(dense.conditional_covariance(S)) * fit.sigma**2
    first = 0
    frames = fit.ranef()
    for factor, expected in zip(fit.model.design.factors, dense.blups(S), strict=True):
        frame = frames[factor.name]
        assert frame[list(factor.names)].to_numpy() == pytest.approx(expected, rel=1e-6, abs=1e-8)
        own = variances[first : first + expected.size].reshape(expected.shape)
        se = frame[[f"{name}_se" for name in factor.names]].to_numpy()
        assert se**2 == pytest.approx(own, rel=1e-6, abs=1e-9)
        first += expected.size


def test_fitted_values_are_the_sum_of_the_parts(fit: Any) -> None:
    dense, S = dense_of(fit), relative_covariances(fit, fit.Lambda)
    expected = dense.X @ fit.params.to_numpy()
    for factor, b in zip(dense.factors, dense.blups(S), strict=True):
        expected = expected + factor.matrix() @ b.ravel()
    assert fit.fittedvalues.to_numpy() == pytest.approx(expected, abs=1e-7)
    assert fit.resid.to_numpy() == pytest.approx(dense.y - expected, abs=1e-7)


def test_satterthwaite_is_that_of_numerical_derivatives(fit: Any) -> None:
    """In (theta, log sigma), where the engine profiles sigma out."""
    if fit.boundary:
        pytest.skip("on the boundary the unprofiled Hessian is singular by design")
    dense, k = dense_of(fit), fit.working_theta.size
    point = np.append(fit.working_theta, np.log(fit.sigma))

    def gradient(v: np.ndarray) -> np.ndarray:
        return differences(lambda u: dense.deviance(at(fit, u[:k]), np.exp(u[k])), v, 1e-4)

    hessian = differences(gradient, point, 1e-4)
    slope = differences(lambda v: np.exp(2 * v[k]) * np.diag(dense.beta(at(fit, v[:k]))[1]), point)
    A = 2 * np.linalg.inv((hessian + hessian.T) / 2)
    v = np.square(fit.bse.to_numpy())
    df = 2 * v**2 / np.einsum("pk,kl,pl->p", slope, A, slope)
    # second differences of the deviance carry about 1e-6 of its size
    assert fit.df.to_numpy() == pytest.approx(df, rel=1e-3)


def test_some_fits_are_on_the_boundary_and_most_are_not() -> None:
    flags = [tl.lmm(f"y ~ x + w + {r}", sample(5)).boundary for r in RANDOM.values()]
    assert 1 <= sum(flags) <= 5
