"""Structured covariance of the random effects: compound symmetry and diagonal blocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import teamlink as tl
from teamlink.mixed.bind import bind
from teamlink.mixed.covariance import RandomStructure, mean_direction
from teamlink.mixed.design import design

from .dense import Dense


def table(seed: int, rho: float = 0.4, J: int = 14, n: int = 220) -> pd.DataFrame:
    """Schools differ by subject: one variance, one correlation; teachers cross them."""
    rng = np.random.default_rng(seed)
    g, f, h = rng.integers(0, J, n), rng.integers(0, 3, n), rng.integers(0, 6, n)
    C = np.full((3, 3), rho) + (1 - rho) * np.eye(3)
    b = rng.multivariate_normal(np.zeros(3), C, J)
    x = rng.standard_normal(n)
    y = 1 + 0.4 * x + b[g, f] + 0.7 * rng.standard_normal(6)[h] + rng.standard_normal(n)
    return pd.DataFrame(
        {"y": y, "x": x, "f": np.array(list("abc"))[f], "g": g, "h": h, "gf": g * 3 + f}
    )


FORMULAS = [
    "y ~ x + cs(0 + f | g)",
    "y ~ x + cs(0 + f | g) + (1 | h)",
    "y ~ x + cs(x | g) + (x | h)",
    "y ~ x + diag(f | g) + cs(0 + f | h)",
]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("reml", [True, False])
@settings(max_examples=settings().max_examples // 12)
@given(seed=st.integers(0, 1000))
def test_derivatives(formula: str, reml: bool, seed: int) -> None:
    model = bind(design(formula, table(1)), reml, "satterthwaite")
    k = model.structure.size
    theta = np.random.default_rng(seed).uniform(-1, 1, (1, k))
    here = model.deviance(theta)
    h = 1e-5
    for i in range(k):
        e = np.zeros((1, k))
        e[0, i] = h
        up, down = model.deviance(theta + e), model.deviance(theta - e)
        # A deviance near 700 keeps eight digits in a difference of step 1e-5.
        slope = (up.value - down.value)[0] / (2 * h)
        assert here.gradient[0, i] == pytest.approx(slope, abs=1e-5, rel=1e-6)
        bend = (up.gradient - down.gradient)[0] / (2 * h)
        np.testing.assert_allclose(here.hessian[0, i], bend, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("seed", [2, 4])
def test_compound_symmetry_is_two_nested_intercepts(seed: int, reml: bool) -> None:
    """b_gf = u_g + v_gf: Sigma = tau_u^2 11' + tau_v^2 I, where the correlation is positive."""
    data = table(seed)
    one = tl.lmm("y ~ x + cs(0 + f | g)", data, reml=reml)
    two = tl.lmm("y ~ x + (1 | g) + (1 | gf)", data, reml=reml)
    assert not two.boundary
    assert one.deviance == pytest.approx(two.deviance, abs=1e-8)
    np.testing.assert_allclose(one.bse, two.bse, rtol=1e-6)
    np.testing.assert_allclose(one.df, two.df, rtol=1e-4)
    parts = two.varcorr.set_index("group")["vcov"]
    mine = one.varcorr.set_index(["term1", "term2"])["vcov"]
    assert mine.iloc[0] == pytest.approx(parts["g"] + parts["gf"], rel=1e-5)
    assert mine["f[a]", "f[b]"] == pytest.approx(parts["g"], rel=1e-5)
    effects = two.ranef()
    both = effects["g"]["Intercept"].loc[5] + effects["gf"]["Intercept"].loc[15]
    assert one.ranef()["g"].loc[5, "f[a]"] == pytest.approx(both, abs=1e-5)
    if reml:
        verb = tl.small_sample
        np.testing.assert_allclose(verb(one).df, verb(two).df, rtol=1e-5)
        np.testing.assert_allclose(verb(one).bse, verb(two).bse, rtol=1e-7)


def test_kenward_roger_beside_another_factor() -> None:
    data = table(4)
    one = tl.lmm("y ~ x + cs(0 + f | g) + (1 | h)", data, df="kenward-roger")
    two = tl.lmm("y ~ x + (1 | g) + (1 | gf) + (1 | h)", data, df="kenward-roger")
    np.testing.assert_allclose(one.df, two.df, rtol=1e-5)
    np.testing.assert_allclose(one.bse, two.bse, rtol=1e-6)


@pytest.mark.parametrize("rho", [-0.45, 0.0, 0.9])
@pytest.mark.parametrize("seed", [5, 6])
def test_never_above_a_dense_search(rho: float, seed: int) -> None:
    data = table(seed, rho, J=8, n=45)
    fit = tl.lmm("y ~ x + cs(0 + f | g)", data, reml=False)
    Z = np.stack([(data["f"] == level).to_numpy() for level in "abc"], axis=1).astype(float)
    X = np.column_stack([np.ones(len(data)), data["x"]])
    dense = Dense(data["y"].to_numpy(), X, Z, data["g"].to_numpy(), False)
    H = mean_direction(3)

    def deviance(point: np.ndarray) -> float:
        return dense.profiled(H @ np.diag([point[0], point[1], point[1]]))

    starts = [(1.0, 1.0), (0.0, 1.0), (1.0, 0.01)]
    best = min(minimize(deviance, s, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9,
               "maxiter": 2000}).fun for s in starts)  # fmt: skip
    assert fit.converged
    assert fit.deviance <= best + 1e-7
    assert fit.deviance >= best - 1e-7


def test_a_correlation_at_its_lower_end_is_on_the_boundary() -> None:
    rng = np.random.default_rng(8)
    data = table(8)
    b = rng.standard_normal((14, 3))
    b -= b.mean(axis=1, keepdims=True)
    level = data["f"].map({"a": 0, "b": 1, "c": 2}).to_numpy()
    data["y"] = b[data["g"].to_numpy(), level] + 0.3 * rng.standard_normal(len(data))
    fit = tl.lmm("y ~ 1 + cs(0 + f | g)", data)
    assert fit.boundary
    assert fit.varcorr["sdcor"][3] == pytest.approx(-0.5, abs=1e-6)


def test_diagonal_is_column_by_column() -> None:
    data = table(9)
    one = tl.lmm("y ~ x + diag(0 + f | g)", data)
    dummies = data.assign(**{level: 1.0 * (data["f"] == level) for level in "abc"})
    two = tl.lmm("y ~ x + (0 + a | g) + (0 + b | g) + (0 + c | g)", dummies)
    assert one.deviance == pytest.approx(two.deviance, abs=1e-8)
    assert len(one.varcorr) == 4
    # lme4 keeps the levels of a factor together in (f || g): one block of three.
    assert len(tl.lmm("y ~ x + (0 + f || g)", data).varcorr) == 7


def test_numeric_columns_diagonal_is_two_bars() -> None:
    data = table(10)
    one, two = tl.lmm("y ~ x + diag(x | g)", data), tl.lmm("y ~ x + (x || g)", data)
    assert one.deviance == pytest.approx(two.deviance, abs=1e-9)
    same, plain = tl.lmm("y ~ x + us(x | g)", data), tl.lmm("y ~ x + (x | g)", data)
    assert same.deviance == plain.deviance
    assert same.formula == plain.formula


def test_one_column_has_a_variance_and_no_more() -> None:
    data = table(11)
    one, two = tl.lmm("y ~ x + cs(1 | g)", data), tl.lmm("y ~ x + (1 | g)", data)
    assert one.deviance == two.deviance


def test_verbs_that_go_with_it() -> None:
    data = table(12)
    fit = tl.lmm("y ~ x + cs(0 + f | g)", data)
    assert fit.model.structure.size == 2
    assert fit.theta.size == 6  # the triangle, as written
    assert tl.icc(fit)["icc"].iloc[0] > 0
    assert (tl.reliability(fit)["reliability"] > 0).all()
    assert (tl.bootstrap(fit, n=20, seed=1).bse > 0).all()
    assert np.isfinite(tl.robust(fit).bse).all()
    interval = tl.profile(fit, which="x")
    assert interval.conf_int().shape[0] == 1
    with pytest.raises(tl.OptionError, match="compound symmetry"):
        tl.profile(fit, which="sd__f[a]")
    wide = tl.lmm("y ~ x + (0 + f | g)", data)
    assert tl.compare(fit, wide).table["df"].iloc[1] == 4
    remarks = tl.compare(fit, tl.lmm("y ~ x + (1 | g)", data)).remarks
    assert any("random effects of the smaller" in remark for remark in remarks)
    again = fit.predict(data)
    np.testing.assert_allclose(again, fit.fittedvalues, rtol=1e-10)


def test_with_a_residual_structure() -> None:
    data = table(13)
    data["t"] = data.groupby("g").cumcount()
    fit = tl.lmm("y ~ x + cs(0 + f | g)", data, residual=tl.ar1("t", by="g"))
    plain = tl.lmm("y ~ x + cs(0 + f | g)", data)
    assert fit.converged
    assert fit.deviance <= plain.deviance + 1e-8
    assert tl.compare(plain, fit).table["df"].iloc[1] == 1


def test_generalized_models_have_no_compound_symmetry() -> None:
    data = table(14)
    data["hit"] = (data["y"] > 1).astype(int)
    with pytest.raises(tl.FormulaError, match="is not offered for a generalized model"):
        tl.glmm("hit ~ x + cs(0 + f | g)", data, family="binomial")


def test_ties() -> None:
    structure = RandomStructure.of_factors([(3, 2), (2,)], [(0,), ()])
    assert structure.ties.tolist() == [0, 1, 1, 2, 3, 4, 5, 6, 7]
    theta = np.arange(1.0, 9.0)
    Lambda = structure.factor(theta)
    assert np.diag(Lambda).tolist() == [1, 2, 2, 3, 5, 6, 8]
    np.testing.assert_allclose(structure.parameters(Lambda), theta)
    H = mean_direction(4)
    np.testing.assert_allclose(H.T @ H, np.eye(4), atol=1e-15)
    np.testing.assert_allclose(H[:, 0], 0.5)
