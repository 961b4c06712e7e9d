"""Predicted means, simple slopes, regions: against predictions, by hand, and what is refused."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import teamlink as tl
from teamlink.errors import DesignError, OptionError, TeamlinkWarning


@cache
def table() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    g = np.repeat(np.arange(20), 9)
    x, w = rng.normal(size=180) + 3, rng.normal(size=20)[g]
    k = np.array(["low", "mid", "high"])[rng.integers(0, 3, 180)]
    y = 1 + 0.4 * x + 0.5 * w * (x - 3) + 0.6 * (k == "mid") + rng.normal(size=20)[g]
    y = y + rng.normal(size=180)
    return pd.DataFrame({"y": y, "x": x, "w": w, "k": k, "g": g, "e": np.exp(x / 4)})


@cache
def fit(formula: str, method: str = "satterthwaite") -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeamlinkWarning)
        return tl.lmm(formula, table(), df=method)  # type: ignore[arg-type]


def test_averages_are_those_of_predictions_for_everybody() -> None:
    """Each row with the chosen value and all else its own."""
    formula = "y ~ x * w + poly(e, degree=2) + C(k) + (1 | g)"
    ours = tl.effects(fit(formula), {"x": [2.0, 4.0], "k": ["mid"]}, "average", data=table())
    for _, row in ours.frame.iterrows():
        everyone = table().assign(x=row["x"], k=row["k"])
        expected = fit(formula).predict(everyone, level="population").mean()
        assert row["estimate"] == pytest.approx(expected, rel=1e-10)
    assert ours.others == "averaged over the rows of the fit: w, e"


def test_references_are_means_and_first_levels() -> None:
    formula = "y ~ x + w + k + (1 | g)"
    ours = tl.effects(fit(formula), {"x": [2.0]})
    new = {"x": [2.0], "w": [table()["w"].mean()], "k": ["high"], "g": [0]}
    expected = fit(formula).predict(new, level="population").iloc[0]
    assert ours.frame["estimate"].iloc[0] == pytest.approx(expected, rel=1e-10)
    assert "k = high (first level)" in ours.others
    assert "w = " in ours.others


def test_the_table_is_not_needed_where_the_design_suffices() -> None:
    formula = "y ~ x * w + k + (1 | g)"
    one, two = (tl.effects(fit(formula), ["x", "k"], data=data) for data in (None, table()))
    pd.testing.assert_frame_equal(one.frame, two.frame, rtol=1e-9)
    assert len(one.frame) == 9
    mean, sd = table()["x"].mean(), table()["x"].std()
    np.testing.assert_allclose(one.frame["x"].unique(), [mean - sd, mean, mean + sd])


def test_an_ordered_category_starts_with_its_reference() -> None:
    frame = table().assign(k=pd.Categorical(table()["k"], ["low", "mid", "high"]))
    ours = tl.lmm("y ~ x + k + (1 | g)", frame)
    assert tl.effects(ours, "k").frame["k"].tolist() == ["low", "mid", "high"]
    shift = tl.effects(ours, "k").contrasts("reference")["estimate"]
    assert shift.to_numpy() == pytest.approx(ours.params[["k[T.mid]", "k[T.high]"]], rel=1e-9)
    assert shift.index.tolist() == ["mid - low", "high - low"]


@pytest.mark.parametrize("method", ["satterthwaite", "kenward-roger", "residual", "normal"])
def test_intervals_and_contrasts_are_those_of_tests(method: str) -> None:
    ours = fit("y ~ x * w + (x | g)", method)
    found = tl.effects(ours, {"x": [2.0, 4.0], "w": [0.0]})
    single = tl.test(ours, found.rows[0]).table.iloc[0]
    assert found.frame["df"].iloc[0] == pytest.approx(single["df"], rel=1e-10)
    assert found.frame["std_error"].iloc[0] == pytest.approx(single["std_error"], rel=1e-10)
    half = stats.t.ppf(0.975, single["df"]) * single["std_error"]
    assert found.frame["conf_high"].iloc[0] == pytest.approx(single["estimate"] + half, rel=1e-9)
    contrast = found.contrasts().iloc[0]
    same = tl.test(ours, (found.rows[1] - found.rows[0])[None]).table.iloc[0]
    for name in ("estimate", "std_error", "df", "statistic", "p_value"):
        assert contrast[name] == pytest.approx(same[name], rel=1e-8)


def test_a_robust_covariance_carries_over() -> None:
    robust = tl.robust(fit("y ~ x * w + (1 | g)"), "CR2")
    slope = tl.simple_slopes(robust, "x", {"w": [0.0]}).iloc[0]
    assert slope["std_error"] == pytest.approx(robust.bse["x"], rel=1e-9)
    assert slope["df"] == pytest.approx(robust.df["x"], rel=1e-9)


def test_slopes_are_the_coefficients_they_are_made_of() -> None:
    ours = fit("y ~ x * w + k + (1 | g)")
    slopes = tl.simple_slopes(ours, "x", {"w": [0, 1.5]})
    b = ours.params
    np.testing.assert_allclose(slopes["estimate"], [b["x"], b["x"] + 1.5 * b["x:w"]], rtol=1e-9)
    C = ours.cov_params()
    variance = C.loc["x", "x"] + 2 * 1.5 * C.loc["x", "x:w"] + 1.5**2 * C.loc["x:w", "x:w"]
    assert slopes["std_error"].iloc[1] == pytest.approx(variance**0.5, rel=1e-9)
    alone = tl.simple_slopes(ours, "x")
    assert alone["estimate"].iloc[0] == pytest.approx(
        b["x"] + b["x:w"] * table()["w"].mean(), rel=1e-9
    )


def test_the_slope_of_a_square_is_its_derivative() -> None:
    formula = "y ~ x + I(x**2) + (1 | g)"
    b, x = fit(formula).params, table()["x"]
    at_mean = tl.simple_slopes(fit(formula), "x", data=table())["estimate"].iloc[0]
    assert at_mean == pytest.approx(b.iloc[1] + 2 * b.iloc[2] * x.mean(), rel=1e-8)
    average = tl.simple_slopes(fit(formula), "x", others="average", data=table())
    assert average["estimate"].iloc[0] == pytest.approx(at_mean, rel=1e-8)


def test_within_and_between_take_the_average() -> None:
    formula = "y ~ within(x, g) + between(x, g) + (1 | g)"
    with pytest.raises(OptionError, match="pass data="):
        tl.effects(fit(formula), {"x": [3.0]})
    with pytest.raises(OptionError, match="no reference value"):
        tl.effects(fit(formula), {"x": [3.0]}, data=table())
    found = tl.effects(fit(formula), {"x": [3.0, 4.0]}, "average", data=table())
    step = found.contrasts()["estimate"].iloc[0]
    assert step == pytest.approx(fit(formula).params["within(x, g)"], rel=1e-9)


def test_johnson_neyman_with_constant_degrees_of_freedom_is_the_quadratic() -> None:
    ours = fit("y ~ x * w + (1 | g)", "normal")
    found = tl.johnson_neyman(ours, "x", "w", span=(-10, 10))
    b, C, z = ours.params, ours.cov_params(), stats.norm.ppf(0.975)
    a2 = b["x:w"] ** 2 - z**2 * C.loc["x:w", "x:w"]
    a1 = 2 * (b["x"] * b["x:w"] - z**2 * C.loc["x", "x:w"])
    a0 = b["x"] ** 2 - z**2 * C.loc["x", "x"]
    roots = np.sort(np.roots([a2, a1, a0]))
    np.testing.assert_allclose(found.bounds, roots, rtol=1e-8)
    assert found.regions["significant"].tolist() == [True, False, True]
    assert found.regions["sign"].tolist()[::2] == ["negative", "positive"]
    assert "not told from zero" in str(found)
    assert "<table" in found._repr_html_()


def test_johnson_neyman_bounds_are_where_p_is_five_percent() -> None:
    ours = fit("y ~ x * w + (x | g)", "kenward-roger")
    found = tl.johnson_neyman(ours, "x", "w")
    low, high = table()["w"].min(), table()["w"].max()
    assert found.span == pytest.approx((low, high))
    assert len(found.bounds) > 0
    p = tl.simple_slopes(ours, "x", {"w": list(found.bounds)})["p_value"]
    np.testing.assert_allclose(p, 0.05, rtol=1e-6)


def test_what_does_not_apply_is_refused() -> None:
    ours = fit("y ~ x * w + k + (1 | g)")
    with pytest.raises(OptionError, match="no predictor 'z'"):
        tl.effects(ours, "z")
    with pytest.raises(OptionError, match="name a predictor"):
        tl.effects(ours, [])
    with pytest.raises(OptionError, match="is a number"):
        tl.effects(ours, {"x": ["many"]})
    with pytest.raises(OptionError, match="no value"):
        tl.effects(ours, {"x": []})
    with pytest.raises(tl.DataError, match="has not seen 'huge'"):
        tl.effects(ours, {"k": ["huge"]})
    with pytest.raises(OptionError, match="confidence level"):
        tl.effects(ours, "x", level=95)
    with pytest.raises(OptionError, match="pass data="):
        tl.effects(ours, "x", others="average")
    with pytest.raises(DesignError, match="rows that do not match"):
        tl.effects(ours, "x", data=table().iloc[:50])
    with pytest.raises(OptionError, match="has no slope"):
        tl.simple_slopes(ours, "k")
    with pytest.raises(OptionError, match="cannot moderate its own slope"):
        tl.simple_slopes(ours, "x", "x")
    with pytest.raises(OptionError, match="do not interact"):
        tl.johnson_neyman(fit("y ~ x + w + (1 | g)"), "x", "w")
    with pytest.raises(OptionError, match="holds no values"):
        tl.johnson_neyman(ours, "x", "w", span=(1, 0))
    with pytest.raises(OptionError, match="is no number"):
        tl.johnson_neyman(ours, "x", "k")
    with pytest.raises(OptionError, match="two points"):
        tl.effects(ours, {"x": [1.0]}).contrasts()
