"""ICC(1) and ICC(2) by likelihood, and their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

import teamlink as tl
from teamlink.measurement.likelihood import OneWayLikelihood, likelihood_of
from teamlink.measurement.variance import one_way


def schools(sizes: list[int], tau: float = 0.5, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    code = np.repeat(np.arange(len(sizes)), sizes)
    y = 3 + np.sqrt(tau) * rng.normal(size=len(sizes))[code] + rng.normal(size=len(code))
    return pd.DataFrame({"school": code, "y": y})


UNEQUAL = [2, 3, 5, 8, 4, 9, 1, 12, 6, 7]


def likelihood(data: pd.DataFrame, reml: bool) -> OneWayLikelihood:
    codes = data["school"].to_numpy()
    return likelihood_of(data["y"].to_numpy(), codes, codes.max() + 1, reml)


@pytest.mark.parametrize("ratio", [0.0, 0.2, 3.0])
def test_deviance_is_that_of_the_dense_normal(ratio: float) -> None:
    data = schools(UNEQUAL)
    own = likelihood(data, reml=False)
    tau, sigma2 = own.variances(ratio)
    same = data["school"].to_numpy()[:, None] == data["school"].to_numpy()
    V = tau * same + sigma2 * np.eye(len(data))
    W = np.linalg.inv(V)
    mean = W.sum(axis=0) @ data["y"] / W.sum()
    dense = -2 * multivariate_normal(np.full(len(data), mean), V).logpdf(data["y"])
    assert own.deviance(ratio) == pytest.approx(dense, abs=1e-9)


@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("ratio", [0.01, 0.4, 5.0])
def test_slope(ratio: float, reml: bool) -> None:
    own, h = likelihood(schools(UNEQUAL), reml), 1e-6 * ratio
    slope = (own.deviance(ratio + h) - own.deviance(ratio - h)) / (2 * h)
    assert own.slope(ratio) == pytest.approx(slope, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("method", ["ml", "reml"])
def test_is_the_mixed_model(method: Any) -> None:
    data = schools(UNEQUAL)
    fit = tl.lmm("y ~ 1 + (1 | school)", data, reml=method == "reml")
    between, within = fit.varcorr["vcov"]
    found = tl.icc1(data, by="school", column="y", method=method)
    assert found.between == pytest.approx(between, rel=1e-6)
    assert found.within == pytest.approx(within, rel=1e-6)
    assert found == pytest.approx(between / (between + within), rel=1e-6)
    k = len(data) / len(UNEQUAL)
    two = tl.icc2(data, by="school", column="y", method=method)
    assert two == pytest.approx(k * between / (k * between + within), rel=1e-6)
    sizes = np.array(UNEQUAL)
    np.testing.assert_allclose(
        found.groups["reliability"], between * sizes / (between * sizes + within), rtol=1e-6
    )


def test_reml_is_anova_where_groups_are_equal() -> None:
    data = schools([6] * 12, tau=2.0)
    anova = tl.icc1(data, by="school", column="y")
    assert tl.icc1(data, by="school", column="y", method="reml") == pytest.approx(anova, rel=1e-10)


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("tau", [0.0, 0.5])
def test_interval_is_where_the_deviance_rises(method: Any, tau: float) -> None:
    data = schools(UNEQUAL, tau, seed=4)
    found = tl.icc1(data, by="school", column="y", method=method, level=0.9)
    own = likelihood(data, method == "reml")
    best = own.deviance(found / (1 - found))
    rise = 2.705543454095404
    assert own.deviance(found.high / (1 - found.high)) - best == pytest.approx(rise, abs=1e-6)
    if found.low > 0:
        assert own.deviance(found.low / (1 - found.low)) - best == pytest.approx(rise, abs=1e-6)
    else:
        assert own.deviance(0.0) - best < rise


def test_zero_variance_is_zero_and_not_negative() -> None:
    data = pd.DataFrame({"school": [0, 0, 1, 1, 2, 2], "y": [1.0, 3, 3.1, 1, 1, 3]})
    found = tl.icc1(data, by="school", column="y", method="ml")
    assert found == 0
    assert found.low == 0 < found.high
    assert tl.icc1(data, by="school", column="y") < 0
    assert (found.groups["reliability"] == 0).all()


def test_anova_interval_covers() -> None:
    """Exact for equal groups: of 600 samples 570 are expected, with a standard deviation of 5.3."""
    rng = np.random.default_rng(2)
    codes = np.repeat(np.arange(15), 5)
    covered = 0
    for _ in range(600):
        y = 0.5 * rng.normal(size=15)[codes] + rng.normal(size=75)
        low, high = one_way(y, codes, 15).ratio_interval(0.95)
        # the ratio of expected mean squares is 1 + 5 tau / sigma^2
        covered += low <= 1 + 5 * 0.25 <= high
    assert 550 <= covered <= 590


def test_interval_of_icc2_is_that_of_icc1_transformed() -> None:
    data = schools(UNEQUAL)
    for method in ("anova", "ml"):
        one = tl.icc1(data, by="school", column="y", method=method)
        two = tl.icc2(data, by="school", column="y", method=method)
        for a, b in zip((one, *one.conf_int), (two, *two.conf_int), strict=True):
            assert b == pytest.approx(one.k * a / (1 + (one.k - 1) * a), rel=1e-9)


def test_ratio_interval_holds_the_ratio() -> None:
    data = schools(UNEQUAL)
    anova = one_way(data["y"].to_numpy(), data["school"].to_numpy(), len(UNEQUAL))
    low, high = anova.ratio_interval(0.95)
    assert low < anova.ms_between / anova.ms_within < high


@settings(max_examples=settings().max_examples // 2)
@given(
    st.sampled_from(["anova", "ml", "reml"]), st.floats(-100, 100), st.sampled_from([0.01, 40.0])
)
def test_shift_stretch_and_names_change_nothing(method: Any, shift: float, stretch: float) -> None:
    data = schools(UNEQUAL)
    moved = pd.DataFrame(
        {"school": [f"s{9 - j}" for j in data["school"]], "y": shift + stretch * data["y"]}
    ).iloc[::-1]
    one = tl.icc1(data, by="school", column="y", method=method)
    two = tl.icc1(moved, by="school", column="y", method=method)
    np.testing.assert_allclose([two, *two.conf_int], [one, *one.conf_int], rtol=1e-6, atol=1e-9)


def test_no_variation_within() -> None:
    data = {"school": [1, 1, 2, 2], "y": [1.0, 1, 2, 2]}
    assert tl.icc1(data, by="school", column="y").conf_int == (1.0, 1.0)
    with pytest.raises(tl.DesignError, match="no group varies"):
        tl.icc1(data, by="school", column="y", method="ml")


def test_options() -> None:
    data = schools(UNEQUAL)
    with pytest.raises(tl.OptionError, match="method='aov'"):
        tl.icc1(data, by="school", column="y", method="aov")  # type: ignore[arg-type]
    with pytest.raises(tl.OptionError, match="level=0"):
        tl.icc2(data, by="school", column="y", level=0)


def test_summary_names_the_definition() -> None:
    data = schools(UNEQUAL)
    said = str(tl.icc1(data, by="school", column="y", method="reml").summary())
    assert "restricted maximum likelihood" in said
    assert "profile likelihood" in said
    assert "Shrout and Fleiss" in str(tl.icc2(data, by="school", column="y").summary())
