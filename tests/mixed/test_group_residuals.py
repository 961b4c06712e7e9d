"""HLM's residual file and its chi-square tests, by hand and by what must not change."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import teamlink as tl
from teamlink.errors import OptionError, TeamlinkWarning


def table(seed: int = 2, variance: float = 1.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(24), rng.integers(4, 12, 24))
    x, w = rng.normal(size=len(g)), rng.normal(size=24)[g]
    b = variance * rng.normal(size=(24, 2))[g]
    y = 1 + 0.5 * x + 0.3 * w + 0.2 * w * x + b[:, 0] + b[:, 1] * x + rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "w": w, "g": g, "h": rng.integers(0, 5, len(g))})


def fit(formula: str, frame: pd.DataFrame) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeamlinkWarning)
        return tl.lmm(formula, frame)


def test_coefficients_are_those_of_each_group_s_own_regression() -> None:
    """Fitted plus least-squares residual is the group's own coefficient, where all of x varies."""
    frame = table()
    ours = fit("y ~ x * w + (x | g)", frame)
    found = tl.group_residuals(ours)
    for level in (0, 7, 23):
        rows = frame[frame["g"] == level]
        slope, intercept = np.polyfit(rows["x"], rows["y"], 1)
        own = found.loc[level]
        assert own["fitted_Intercept"] + own["ol_Intercept"] == pytest.approx(intercept, rel=1e-8)
        assert own["fitted_x"] + own["ol_x"] == pytest.approx(slope, rel=1e-8)
        b, w = ours.params, rows["w"].iloc[0]
        assert own["fitted_x"] == pytest.approx(b["x"] + b["x:w"] * w, rel=1e-10)
        assert own["ec_x"] == pytest.approx(own["fitted_x"] + own["eb_x"], rel=1e-12)
    np.testing.assert_allclose(found["eb_x"], ours.ranef()["g"]["x"], rtol=1e-12)
    np.testing.assert_allclose(found["eb_se_x"], ours.ranef()["g"]["x_se"], rtol=1e-9)


def test_empirical_bayes_is_reliability_times_least_squares() -> None:
    """For a random intercept alone, group by group; and their mean is `tl.reliability`."""
    ours = fit("y ~ x + (1 | g)", table())
    found = tl.group_residuals(ours)
    np.testing.assert_allclose(
        found["eb_Intercept"], found["reliability_Intercept"] * found["ol_Intercept"], rtol=1e-8
    )
    mean = tl.reliability(ours).loc["Intercept", "reliability"]
    assert found["reliability_Intercept"].mean() == pytest.approx(mean, rel=1e-10)


def test_the_distance_is_the_same_from_least_squares_residuals() -> None:
    """With fixed effects known it is exact; with estimated ones the variance is a little less."""
    rng = np.random.default_rng(0)
    frame = pd.concat([table().assign(g=lambda d, k=k: d["g"] + 24 * k) for k in range(6)])
    frame = frame.reset_index(drop=True).assign(y=lambda d: d["y"] + 0.1 * rng.normal(size=len(d)))
    ours = fit("y ~ x * w + (x | g)", frame)
    found = tl.group_residuals(ours)
    tau = ours.sigma**2 * ours.Lambda @ ours.Lambda.T
    ratio = []
    for level, rows in frame.groupby("g"):
        Z = np.column_stack([np.ones(len(rows)), rows["x"]])
        u = found.loc[level, ["ol_Intercept", "ol_x"]].to_numpy(dtype=float)
        spread = tau + ours.sigma**2 * np.linalg.inv(Z.T @ Z)
        ratio.append(found.loc[level, "mahalanobis"] / (u @ np.linalg.solve(spread, u)))
    assert min(ratio) >= 1 - 1e-9
    assert np.median(ratio) == pytest.approx(1, abs=0.05)


def test_chi_square_order() -> None:
    found = tl.group_residuals(fit("y ~ x + (x | g)", table()))
    order = found.sort_values("mahalanobis")["chi_square"].to_numpy()
    expected = stats.chi2.ppf((np.arange(1, 25) - 0.5) / 24, 2)
    np.testing.assert_allclose(order, expected, rtol=1e-12)


def test_a_group_without_an_estimate_of_its_own() -> None:
    frame = table()
    frame.loc[frame["g"] == 3, "x"] = 0.25
    ours = fit("y ~ x + (x | g)", frame)
    found = tl.group_residuals(ours)
    assert np.isnan(found.loc[3, "ol_x"])
    assert np.isfinite(found.loc[3, "eb_x"])
    assert found.loc[3, "df"] == 1  # its estimates vary in one direction
    tests = tl.variance_tests(ours)
    assert tests["groups"].tolist() == [23, 23]
    assert tests["df"].tolist() == [22, 22]


def test_degrees_of_freedom_count_each_coefficient_s_predictors() -> None:
    tests = tl.variance_tests(fit("y ~ x * w + (x | g)", table()))
    assert tests["df"].tolist() == [22, 22]
    tests = tl.variance_tests(fit("y ~ x + w + (x | g)", table()))
    assert tests["df"].to_dict() == {"Intercept": 22, "x": 23}


def test_p_values_hold_their_size_without_variance() -> None:
    p = [
        tl.variance_tests(fit("y ~ x * w + (1 | g)", table(seed, 0.0)))["p_value"].iloc[0]
        for seed in range(60)
    ]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_several_factors() -> None:
    ours = fit("y ~ x + (1 | g) + (1 | h)", table())
    found = tl.group_residuals(ours, "h")
    assert "ol_Intercept" not in found
    np.testing.assert_allclose(
        found["reliability_Intercept"].mean(),
        tl.reliability(ours).loc[("h", "Intercept"), "reliability"],
        rtol=1e-9,
    )
    with pytest.raises(OptionError, match="name one of the grouping factors g, h"):
        tl.group_residuals(ours)
    with pytest.raises(OptionError, match="no grouping factor 'k'"):
        tl.group_residuals(ours, "k")
    with pytest.raises(OptionError, match="several grouping factors"):
        tl.variance_tests(ours)
