"""The engine against dense brute force and finite differences, in every combination of options."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import teamlink as tl

from .dense import Dense, differences

SLOPES = {"1": ["1"], "x": ["1", "x"], "xz": ["1", "x", "z"], "0x": ["x"]}


def sample(seed: int, groups: int = 9, size: int = 6, level: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(groups), rng.integers(2, 2 * size, groups))
    n = len(school)
    x, z = rng.normal(size=n) + 1.5, rng.normal(size=n) * 3
    b = rng.normal(size=(groups, 3)) * [1.0, 0.6, 0.2]
    w = rng.normal(size=groups)[school]
    y = level + 1 + 0.5 * x + w + b[school, 0] + b[school, 1] * x + b[school, 2] * z
    data = pd.DataFrame({"y": y + rng.normal(size=n), "x": x, "z": z, "w": w, "school": school})
    return data.sample(frac=1, random_state=seed).reset_index(drop=True)


def dense_of(fit: tl.lmm) -> Dense:
    design = fit.model.design
    X = design.X[:, fit.model.fixed.kept]
    return Dense(design.y, X, design.factors[0].Z, design.factors[0].codes, fit.method == "REML")


CASES = list(
    itertools.product(
        ["(1 | school)", "(x | school)", "(x + z | school)", "(x + z || school)",
         "(0 + x | school)", "(1 | school) + (0 + x + z | school)"],
        [True, False],
        ["y ~ x + w", "y ~ x * w", "y ~ 0 + x"],
    )
)  # fmt: skip


def name(case: tuple[str, bool, str]) -> str:
    return f"{case[2]} + {case[0]} {'REML' if case[1] else 'ML'}"


@pytest.fixture(scope="module", params=CASES, ids=name)
def fit(request: pytest.FixtureRequest) -> tl.lmm:
    return fitted(request.param)


@cache
def fitted(case: tuple[str, bool, str]) -> tl.lmm:
    random, reml, fixed = case
    return tl.lmm(f"{fixed} + {random}", sample(3, groups=12), reml=reml)


# Each random part with each fixed part, REML and ML in turn; the other half is slow.
IN_TURN = pytest.mark.parametrize(
    "fit",
    [
        pytest.param(case, marks=() if (k // 6 + k) % 2 == case[1] else pytest.mark.slow)
        for k, case in enumerate(CASES)
    ],
    ids=name,
    indirect=True,
)


def test_deviance_is_that_of_the_multivariate_normal(fit):
    # 1e-9: the dense route inverts V, which costs it some digits
    Sigma = fit.sigma**2 * fit.Lambda @ fit.Lambda.T
    assert fit.deviance == pytest.approx(dense_of(fit).deviance(Sigma, fit.sigma**2), rel=1e-9)


def test_no_general_optimiser_finds_a_lower_deviance(fit):
    structure, dense = fit.model.structure, dense_of(fit)

    def objective(theta):
        return dense.profiled(structure.factor(theta))

    found = min(
        minimize(objective, start, method="BFGS").fun
        for start in (fit.theta + 0.05, np.full_like(fit.theta, 0.5))
    )
    assert fit.deviance <= found + 1e-6


def test_gradient_and_hessian_are_those_of_finite_differences(fit):
    model = fit.model
    rng = np.random.default_rng(0)
    theta = fit.working_theta + rng.uniform(0.05, 0.2, fit.working_theta.size)
    exact = model.deviance(theta[None])
    gradient = differences(lambda t: model.deviance(t[None]).value[0], theta)
    hessian = differences(lambda t: model.deviance(t[None]).gradient[0], theta)
    scale = np.abs(exact.hessian[0]).max()
    # central differences with step 1e-5 of functions of size 1e2: error about 1e-8 of the scale
    assert exact.gradient[0] == pytest.approx(gradient, abs=1e-6 * scale)
    assert exact.hessian[0] == pytest.approx(hessian, abs=1e-6 * scale)


def test_fixed_effects_and_covariance_are_generalised_least_squares(fit):
    Sigma = fit.sigma**2 * fit.Lambda @ fit.Lambda.T
    beta, C = dense_of(fit).beta(Sigma, fit.sigma**2)
    assert fit.params.to_numpy() == pytest.approx(beta, rel=1e-8, abs=1e-10)
    assert fit.cov_params().to_numpy() == pytest.approx(C, rel=1e-7, abs=1e-10)


def test_satterthwaite_is_that_of_numerical_derivatives(fit):
    """In (theta of the model as written, log sigma), where the engine uses neither."""
    if fit.boundary:
        pytest.skip("on the boundary the unprofiled Hessian is singular by design")
    structure, dense = fit.model.structure, dense_of(fit)

    def unpack(v):
        Lambda = structure.factor(v[:-1])
        sigma2 = np.exp(2 * v[-1])
        return sigma2 * Lambda @ Lambda.T, sigma2

    at = np.append(fit.theta, np.log(fit.sigma))
    gradient = lambda v: differences(lambda u: dense.deviance(*unpack(u)), v, 1e-4)  # noqa: E731
    hessian = differences(gradient, at, 1e-4)
    slope = differences(lambda v: np.diag(dense.beta(*unpack(v))[1]), at)
    A = 2 * np.linalg.inv((hessian + hessian.T) / 2)
    v = np.diag(dense.beta(*unpack(at))[1])
    df = 2 * v**2 / np.einsum("pk,kl,pl->p", slope, A, slope)
    # second differences of the deviance carry about 1e-6 of its size
    assert fit.df.to_numpy() == pytest.approx(df, rel=2e-4)


def test_random_effects_are_henderson_s(fit):
    if fit.boundary:
        pytest.skip("Henderson's equations need Sigma to be invertible")
    Sigma = fit.sigma**2 * fit.Lambda @ fit.Lambda.T
    blups, inverse = dense_of(fit).blups(Sigma, fit.sigma**2)
    terms = list(fit.model.design.factors[0].names)
    frame = fit.ranef()["school"]
    assert frame[terms].to_numpy() == pytest.approx(blups, rel=1e-6, abs=1e-8)
    assert fit.resid.to_numpy() == pytest.approx(
        fit.model.design.y
        - fit.model.design.X[:, fit.model.fixed.kept] @ fit.params.to_numpy()
        - (fit.model.design.factors[0].Z * blups[fit.model.design.factors[0].codes]).sum(axis=1),
        abs=1e-6,
    )
    # the variance of a fitted value, from the joint covariance of the errors of (beta, b)
    X, Z = fit.model.design.X[:, fit.model.fixed.kept], fit.model.design.factors[0].Z
    p, q = X.shape[1], Z.shape[1]
    rows = np.zeros((len(X), len(inverse)))
    rows[:, :p] = X
    for i, j in enumerate(fit.model.design.factors[0].codes):
        rows[i, p + j * q : p + (j + 1) * q] = Z[i]
    variance = np.einsum("ij,jk,ik->i", rows, inverse, rows)
    interval = fit.predict(interval="confidence")
    half = (interval["conf_high"] - interval["conf_low"]).to_numpy() / 2
    assert half == pytest.approx(1.959963984540054 * np.sqrt(variance), rel=1e-6)


def test_conditional_standard_errors_given_beta(fit):
    Sigma, sigma2 = fit.sigma**2 * fit.Lambda @ fit.Lambda.T, fit.sigma**2
    design = fit.model.design
    se = fit.ranef()["school"][[f"{t}_se" for t in design.factors[0].names]].to_numpy()
    for j in range(design.factors[0].n_groups):
        Z = design.factors[0].Z[design.factors[0].codes == j]
        V = sigma2 * np.eye(len(Z)) + Z @ Sigma @ Z.T
        D = Sigma - Sigma @ Z.T @ np.linalg.solve(V, Z @ Sigma)
        assert se[j] ** 2 == pytest.approx(np.diag(D), rel=1e-6, abs=1e-9)


def test_refit_to_its_own_response_returns_the_fit(fit):
    again = tl.refit(fit, fit.model.design.y)
    assert again["deviance"].to_numpy() == pytest.approx(fit.deviance, abs=1e-8)
    assert again["estimate"].to_numpy() == pytest.approx(fit.params.to_numpy(), rel=1e-6)
    assert again["df"].to_numpy() == pytest.approx(fit.df.to_numpy(), rel=1e-5)


@IN_TURN
def test_many_refits_equal_single_fits(fit):
    Y = fit.model.simulate(fit.working_theta, 3, np.random.default_rng(5))
    many = tl.refit(fit, Y).groupby("replicate")["deviance"].first()
    for r in range(Y.shape[1]):
        # 1e-8: the bar for batches; both stop within 1e-10 of the optimum
        assert many[r] == pytest.approx(tl.refit(fit, Y[:, r])["deviance"].iloc[0], abs=1e-8)


def test_simulated_responses_have_the_moments_of_the_model():
    fit = tl.lmm("y ~ x + w + (x | school)", sample(3, groups=12))
    Y = fit.model.simulate(fit.working_theta, 4000, np.random.default_rng(1))
    Sigma = fit.sigma**2 * fit.Lambda @ fit.Lambda.T
    V = dense_of(fit).V(Sigma, fit.sigma**2)
    error = np.sqrt(np.diag(V) / 4000)
    mean = fit.predict(level="population").to_numpy()
    # five standard errors for the mean; the covariance of 4,000 draws is good to about 1/sqrt(4000)
    assert (np.abs(Y.mean(axis=1) - mean) < 5 * error).all()
    size = np.sqrt(np.outer(np.diag(V), np.diag(V)))
    assert np.abs((np.cov(Y) - V) / size).max() < 5 * np.sqrt(2 / 4000)
