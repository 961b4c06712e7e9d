"""Kenward-Roger against dense matrices of n rows, its identities, and what it refuses."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.errors import BoundaryFit, OptionError
from teamlink.mixed.kenward_roger import _whitened

from .dense import Dense, differences

RANDOM = [
    "(1 | school)", "(x | school)", "(x + z | school)", "(x + z || school)", "(0 + x | school)",
    "(1 | school) + (0 + x + z | school)",
]  # fmt: skip


def sample(seed: int, groups: int = 9, level: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(groups), rng.integers(1, 9, groups))
    n = len(school)
    x, z = rng.normal(size=n) + 1.5, rng.normal(size=n) * 3
    b = rng.normal(size=(groups, 3)) * [1.0, 0.8, 0.4]
    w = rng.normal(size=groups)[school]
    y = level + 1 + 0.5 * x + w + b[school, 0] + b[school, 1] * x + b[school, 2] * z
    return pd.DataFrame({"y": y + rng.normal(size=n), "x": x, "z": z, "w": w, "school": school})


def dense_kenward_roger(fit: tl.lmm) -> tuple[np.ndarray, np.ndarray]:
    """Adjusted covariance and df, every derivative of V and of X'V^-1X taken numerically."""
    design, structure = fit.model.design, fit.model.structure
    X = design.X[:, fit.model.fixed.kept]
    dense = Dense(design.y, X, design.factors[0].Z, design.factors[0].codes, True)

    def V(v: np.ndarray) -> np.ndarray:
        lower = structure.factor(v[1:])
        return dense.V(lower + lower.T - np.diag(np.diag(lower)), v[0])

    T = fit.sigma**2 * fit.Lambda @ fit.Lambda.T
    at = np.append(fit.sigma**2, structure.parameters(T))
    Vi = np.linalg.inv(V(at))
    dV = np.moveaxis(differences(V, at, 1e-3), -1, 0)  # V is linear: any step is exact
    Phi = np.linalg.inv(X.T @ Vi @ X)
    P = np.moveaxis(differences(lambda v: X.T @ np.linalg.inv(V(v)) @ X, at, 1e-5), -1, 0)
    H = Vi - Vi @ X @ Phi @ X.T @ Vi
    k = len(at)
    information = np.array(
        [[np.trace(H @ dV[i] @ H @ dV[j]) / 2 for j in range(k)] for i in range(k)]
    )
    W = np.linalg.inv(information)
    bias = np.zeros_like(Phi)
    for i in range(k):
        for j in range(k):
            Q = X.T @ Vi @ dV[i] @ Vi @ dV[j] @ Vi @ X
            bias += W[i, j] * (Q - P[i] @ Phi @ P[j])
    g = np.array([np.diag(Phi @ P[i] @ Phi) for i in range(k)])
    df = 2 * np.diag(Phi) ** 2 / np.einsum("ip,ij,jp->p", g, W, g)
    return Phi + 2 * Phi @ bias @ Phi, df


@pytest.mark.parametrize("random", RANDOM)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_is_that_of_dense_matrices(random: str, seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryFit)
        fit = tl.lmm(f"y ~ x * w + {random}", sample(seed), df="kenward-roger")
    covariance, df = dense_kenward_roger(fit)
    # central differences of X'V^-1X: error about 1e-9 of its size
    np.testing.assert_allclose(fit.bse, np.sqrt(np.diag(covariance)), rtol=1e-5)
    np.testing.assert_allclose(fit.cov_params(), covariance, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(fit.df, df, rtol=1e-5)


def test_some_of_these_designs_are_on_the_boundary_and_some_inside() -> None:
    found = {tl.lmm(f"y ~ x * w + {r}", sample(s)).boundary for r in RANDOM for s in (1, 2, 3)}
    assert found == {True, False}


def test_euler_s_identity() -> None:
    """V is the sum of its derivatives times the variances, hence the whitened ones sum to I."""
    fit = tl.lmm("y ~ x * w + (x | school)", sample(1))
    model, theta = fit.model, fit.working_theta
    Lambda = model.structure.factor(theta)
    Sigma = Lambda @ Lambda.T
    p = len(fit.params)
    K, _, _ = _whitened(model.roots, model.structure, Lambda, np.eye(p))
    variances = np.append(1.0, model.structure.parameters(Sigma))
    total = np.tensordot(variances, K, axes=(0, 0))
    np.testing.assert_allclose(total, np.broadcast_to(np.eye(2), total.shape), atol=1e-12)


@pytest.mark.parametrize("method", ["kenward-roger", "satterthwaite"])
def test_small_sample_is_lmm_with_that_option(method: str) -> None:
    data = sample(1)
    there = tl.small_sample(tl.lmm("y ~ x + (1 | school)", data, df="normal"), method)
    here = tl.lmm("y ~ x + (1 | school)", data, df=method)
    pd.testing.assert_frame_equal(there.tidy(), here.tidy())
    assert str(there.summary()) == str(here.summary())
    assert there.estimates.method == method


def test_everything_that_tests_follows() -> None:
    plain = tl.lmm("y ~ x * w + (x | school)", sample(4, groups=25))
    fit = tl.small_sample(plain, "kenward-roger")
    pd.testing.assert_series_equal(fit.params, plain.params)
    assert fit.deviance == plain.deviance
    assert (fit.bse > plain.bse).all()
    table = fit.tidy()
    np.testing.assert_array_equal(table["std_error"][:4], fit.bse)
    np.testing.assert_array_equal(table["df"][:4], fit.df)
    half = (fit.conf_int()["conf_high"] - fit.conf_int()["conf_low"]) / 2
    assert (half > (plain.conf_int()["conf_high"] - plain.conf_int()["conf_low"]) / 2).all()
    assert "Kenward and Roger's covariance and degrees of freedom" in str(fit.summary())
    assert plain.estimates.method == "satterthwaite"


def test_units_and_places_do_not_matter() -> None:
    data = sample(4, groups=25)
    moved = data.assign(y=1e3 * data["y"] + 1e6, x=data["x"] * 1e-3, w=data["w"] + 50)
    one = tl.lmm("y ~ x + w + (x | school)", data, df="kenward-roger")
    two = tl.lmm("y ~ x + w + (x | school)", moved, df="kenward-roger")
    np.testing.assert_allclose(one.df[1:], two.df[1:], rtol=1e-5)
    np.testing.assert_allclose(one.tvalues[1:], two.tvalues[1:], rtol=1e-5)


def test_variance_between_groups_a_million_times_that_within() -> None:
    """No digits are lost where the residual's part of X'V^-1X is a difference of large numbers."""
    data = sample(2)
    data["y"] += 1e3 * np.random.default_rng(0).normal(size=9)[data["school"]]
    fit = tl.lmm("y ~ x + w + (1 | school)", data, df="kenward-roger")
    assert fit.varcorr["vcov"][0] / fit.sigma**2 > 1e5
    # a mean between groups has their number less what is fitted, nearly exactly
    assert fit.df["w"] == pytest.approx(7, abs=1e-3)


def test_balanced_design_has_the_degrees_of_freedom_of_its_anova() -> None:
    rng = np.random.default_rng(5)
    school = np.repeat(np.arange(8), 5)
    w = np.repeat([0.0, 1.0], 20)
    y = w + rng.normal(size=8)[school] * 2 + rng.normal(size=40)
    fit = tl.lmm("y ~ w + (1 | school)", {"y": y, "w": w, "school": school}, df="kenward-roger")
    assert fit.df.to_numpy() == pytest.approx([6, 6], rel=1e-9)
    # in a balanced design the plain covariance is unbiased, and nothing is added
    plain = tl.small_sample(fit, "satterthwaite")
    np.testing.assert_allclose(fit.bse, plain.bse, rtol=1e-8)


def test_refits_keep_the_method() -> None:
    data = sample(1)
    fit = tl.lmm("y ~ x + (1 | school)", data, df="kenward-roger")
    table = tl.refit(fit, np.column_stack([data["y"], data["y"] * 2 + 3]))
    for i in (0, 1):
        rows = table[table["replicate"] == i]
        np.testing.assert_allclose(rows["df"], fit.df, rtol=1e-6)


class TestBoundary:
    @pytest.fixture
    def data(self) -> pd.DataFrame:
        rng = np.random.default_rng(1)
        school = np.repeat(np.arange(6), 5)
        e = rng.normal(size=30)
        e -= (np.bincount(school, e) / 5)[school]  # no variance between schools is left
        return pd.DataFrame({"y": e, "x": rng.normal(size=30), "school": school})

    def test_warns_and_computes(self, data: pd.DataFrame) -> None:
        plain = tl.lmm("y ~ x + (1 | school)", data)
        assert plain.boundary
        with pytest.warns(BoundaryFit, match="takes the optimum to be interior"):
            fit = tl.small_sample(plain, "kenward-roger")
        covariance, df = dense_kenward_roger(fit)
        np.testing.assert_allclose(fit.bse, np.sqrt(np.diag(covariance)), rtol=1e-6)
        np.testing.assert_allclose(fit.df, df, rtol=1e-5)

    def test_lmm_warns_too(self, data: pd.DataFrame) -> None:
        with pytest.warns(BoundaryFit):
            tl.lmm("y ~ x + (1 | school)", data, df="kenward-roger")


class TestRefuses:
    def test_maximum_likelihood(self) -> None:
        fit = tl.lmm("y ~ x + (1 | school)", sample(1), reml=False)
        with pytest.raises(OptionError, match="needs a fit by REML: its expansion"):
            tl.small_sample(fit, "kenward-roger")
        with pytest.raises(OptionError, match="needs a fit by REML"):
            tl.lmm("y ~ x + (1 | school)", sample(1), reml=False, df="kenward-roger")
        assert tl.small_sample(fit, "satterthwaite").estimates.method == "satterthwaite"

    def test_unknown_method(self) -> None:
        with pytest.raises(OptionError, match="did you mean 'kenward-roger'"):
            tl.small_sample(tl.lmm("y ~ x + (1 | school)", sample(1)), "kenward-rogers")

    def test_a_variance_that_the_fixed_effects_use_up(self) -> None:
        # as many fixed effects as groups: projected, nothing between groups is left
        dummies = tl.lmm("y ~ C(school) + (1 | school)", sample(1))
        with pytest.raises(tl.FitError, match="use up all"):
            tl.small_sample(replace(dummies, working_theta=np.array([0.7])), "kenward-roger")


def test_no_fixed_effect_at_all() -> None:
    fit = tl.lmm("y ~ 0 + (1 | school)", sample(2), df="kenward-roger")
    assert fit.df.empty
