"""Precision weights: the fit of rows multiplied by the roots of their weights is the same fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import teamlink as tl


def table(seed: int, J: int = 12, n: int = 90, spread: float = 1.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, J, n), rng.integers(0, 7, n)
    x, w = rng.standard_normal(n), np.exp(spread * rng.standard_normal(n))
    b, c, d = rng.standard_normal(J), rng.standard_normal(J), rng.standard_normal(7)
    y = 1 + 0.5 * x + b[g] + 0.6 * c[g] * x + d[h] + rng.standard_normal(n) / np.sqrt(w)
    return pd.DataFrame({"y": y, "x": x, "g": g, "h": h, "w": w})


def scaled(data: pd.DataFrame) -> pd.DataFrame:
    """Rows times the roots of their weights; the constant becomes the column r."""
    r = np.sqrt(data["w"])
    return data.assign(y=data["y"] * r, rx=data["x"] * r, r=r)


FORMULAS = [
    ("y ~ x + (x | g)", "y ~ 0 + r + rx + (0 + r + rx | g)"),
    ("y ~ x + (1 | g) + (1 | h)", "y ~ 0 + r + rx + (0 + r | g) + (0 + r | h)"),
    ("y ~ x + (x || g) + (1 | h)", "y ~ 0 + r + rx + (0 + r + rx || g) + (0 + r | h)"),
]


@pytest.mark.parametrize(("formula", "by_hand"), FORMULAS)
@pytest.mark.parametrize("reml", [True, False])
@settings(max_examples=3)
@given(seed=st.integers(0, 1000))
def test_same_as_scaled_rows(formula: str, by_hand: str, reml: bool, seed: int) -> None:
    data = table(seed)
    one = tl.lmm(formula, data, reml=reml, weights="w")
    two = tl.lmm(by_hand, scaled(data), reml=reml)
    # The density of y is that of y times root w, times root w.
    jacobian = np.log(data["w"]).sum()
    assert one.deviance == pytest.approx(two.deviance - jacobian, abs=1e-7)
    if one.boundary or not (one.converged and two.converged):
        return
    np.testing.assert_allclose(one.params, two.params, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(one.bse, two.bse, rtol=1e-5)
    np.testing.assert_allclose(one.df, two.df, rtol=1e-3)
    for name, frame in one.ranef().items():
        np.testing.assert_allclose(frame, two.ranef()[name], atol=1e-4)
    r = np.sqrt(data["w"])
    np.testing.assert_allclose(one.resid * r, two.resid, atol=1e-4)


def test_small_sample_and_robust_see_the_weights() -> None:
    data = table(2, n=200)
    one = tl.lmm("y ~ x + (x | g)", data, weights="w")
    assert not one.boundary
    two = tl.lmm("y ~ 0 + r + rx + (0 + r + rx | g)", scaled(data))
    for verb in (lambda f: tl.small_sample(f, "kenward-roger"), lambda f: tl.robust(f, "CR2")):
        np.testing.assert_allclose(verb(one).bse, verb(two).bse, rtol=1e-5)
        np.testing.assert_allclose(verb(one).df, verb(two).df, rtol=1e-4)


def test_what_does_not_know_weights_says_so() -> None:
    fit = tl.lmm("y ~ x + (1 | g)", table(3), weights="w")
    for verb in (tl.diagnose, tl.group_residuals, tl.variance_tests, tl.r2, tl.icc):
        with pytest.raises(tl.OptionError, match=r"precision weights \(w\)"):
            verb(fit)
    assert "where rows have weights" in str(fit.report())


def test_equal_weights_only_scale_sigma() -> None:
    data = table(5).assign(w=4.0)
    one, two = tl.lmm("y ~ x + (1 | g)", data, weights="w"), tl.lmm("y ~ x + (1 | g)", data)
    assert one.deviance == pytest.approx(two.deviance, abs=1e-9)
    assert one.sigma == pytest.approx(2 * two.sigma, rel=1e-7)
    np.testing.assert_allclose(one.bse, two.bse, rtol=1e-7)


@settings(max_examples=8)
@given(power=st.integers(-12, 12))
def test_the_unit_of_the_weights_does_not_matter(power: int) -> None:
    data = table(6)
    one = tl.lmm("y ~ x + (1 | g)", data, weights="w")
    two = tl.lmm("y ~ x + (1 | g)", data.assign(w=data["w"] * 10.0**power), weights="w")
    np.testing.assert_allclose(one.params, two.params, rtol=1e-7)
    assert one.deviance == pytest.approx(two.deviance, abs=1e-6)


def test_simulated_residuals_have_the_variance_of_their_row() -> None:
    fit = tl.lmm("y ~ x + (1 | g)", table(7), weights="w")
    draws = tl.simulate(fit, 4000, seed=1, groups="same").to_numpy()
    variance = draws.var(axis=1) * fit.model.design.weights.values
    # A variance of 4000 draws has a standard error of 2.2 %; five of them, over 90 rows.
    np.testing.assert_allclose(variance, fit.sigma**2, rtol=0.12)


def test_prediction_intervals_use_the_weights_of_the_new_rows() -> None:
    data = table(8)
    fit = tl.lmm("y ~ x + (1 | g)", data, weights="w")
    new = data.head(2).assign(w=[1.0, 4.0], x=0.0, g=data["g"].iloc[0])
    width = fit.predict(new, interval="prediction")
    ends = (width["conf_high"] - width["conf_low"]).to_numpy() / (2 * 1.959963984540054)
    confidence = fit.predict(new, interval="confidence")
    own = (confidence["conf_high"] - confidence["conf_low"]).to_numpy() / (2 * 1.959963984540054)
    np.testing.assert_allclose(ends**2 - own**2, fit.sigma**2 / np.array([1.0, 4.0]), rtol=1e-9)
    with pytest.raises(tl.DataError, match="'w'"):
        fit.predict(new.drop(columns="w"), interval="prediction")
    assert len(fit.predict(new.drop(columns="w"))) == 2


def test_bootstrap_of_every_kind() -> None:
    fit = tl.lmm("y ~ x + (1 | g)", table(9), weights="w")
    for kind in ("parametric", "residual", "cluster"):
        found = tl.bootstrap(fit, n=30, kind=kind, seed=1)
        assert not found.failures
        assert (found.bse > 0).all()


def test_weights_that_cannot_be_used() -> None:
    data = table(10)
    with pytest.raises(tl.DesignError, match="2 precision weights are not positive, such as 0"):
        tl.lmm("y ~ x + (1 | g)", data.assign(w=[0.0, -1.0] + [1.0] * 88), weights="w")
    with pytest.raises(tl.DesignError, match="must be numbers"):
        tl.lmm("y ~ x + (1 | g)", data.assign(w="a"), weights="w")
    with pytest.raises(tl.DataError, match="'v'"):
        tl.lmm("y ~ x + (1 | g)", data, weights="v")
    missing = data.assign(w=data["w"].where(data.index != 3))
    with pytest.warns(UserWarning, match="1 for 'w'"):
        fit = tl.lmm("y ~ x + (1 | g)", missing, weights="w")
    assert fit.nobs == 89


def test_models_of_other_weights_are_not_nested() -> None:
    data = table(11)
    one = tl.lmm("y ~ x + (1 | g)", data, weights="w")
    two = tl.lmm("y ~ x + (x | g)", data)
    remarks = tl.compare(one, two).remarks
    assert any("weight the rows differently" in remark for remark in remarks)
