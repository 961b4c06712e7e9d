"""Likelihood profiles: where they end, what they say at the boundary, what they refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import teamlink as tl
from teamlink.fitting.fit import solve
from teamlink.fitting.model import Reach
from teamlink.inference.search import Curve, ends, inverse


@pytest.fixture(scope="module")
def table():
    hsb = tl.datasets.load("hsb82")
    return hsb[hsb["school"].isin(hsb["school"].unique()[:60])]


@pytest.fixture(scope="module")
def fit(table):
    return tl.lmm("mathach ~ ses + sector + (1 | school)", table)


@pytest.fixture(scope="module")
def found(fit):
    return tl.profile(fit)


@pytest.fixture(scope="module")
def flat():
    """Groups that do not differ: a variance at zero."""
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"x": rng.standard_normal(120), "g": np.repeat(np.arange(12), 10)})
    y = rng.standard_normal(120)
    return table.assign(y=y - table.assign(y=y).groupby("g")["y"].transform("mean") * 0.9)


def test_at_the_ends_the_deviance_has_risen_by_the_quantile(fit, found):
    model, theta = found.optimum.model, found.optimum.theta
    for row in found.conf_int().itertuples():
        held = solve(model.pin(row.term, np.array([row.conf_low, row.conf_high]), theta))
        rise = held.deviance - found.deviance
        assert rise == pytest.approx(stats.chi2.ppf(0.95, 1), abs=1e-6)


def test_terms_and_estimates_are_those_of_the_fit_by_ml(table, found):
    ml = tl.lmm("mathach ~ ses + sector + (1 | school)", table, reml=False)
    frame = found.conf_int()
    assert list(frame.columns) == [
        "effect", "group", "term", "estimate", "conf_low", "conf_high",
    ]  # fmt: skip
    assert frame["term"].tolist() == ml.tidy()["term"].tolist()
    assert frame["estimate"].to_numpy() == pytest.approx(ml.tidy()["estimate"].to_numpy())
    assert found.deviance == pytest.approx(ml.deviance, abs=1e-8)
    assert tl.profile(ml).ends == pytest.approx(found.ends, rel=1e-6)


def test_other_levels_are_sought_not_interpolated(fit, found):
    for level in (0.5, 0.9, 0.999):
        again = tl.profile(fit, level=level).conf_int()
        mine = found.conf_int(level)
        for end in ("conf_low", "conf_high"):
            assert mine[end].to_numpy() == pytest.approx(again[end].to_numpy(), rel=1e-6)


def test_zeta_rises_through_zero_at_the_estimate(found):
    for k, (term, curve) in enumerate(found.zeta.groupby("term", sort=False)):
        assert term == found.labels.terms[k]
        assert (np.diff(curve["value"]) > 0).all()
        assert (np.diff(curve["zeta"]) > 0).all()
        at = curve.loc[curve["zeta"] == 0, "value"]
        assert at.tolist() == pytest.approx([found.estimate[k]])
        assert curve["zeta"].min() < -2.4
        assert curve["zeta"].max() > 2.4


def test_scale_of_a_predictor_scales_its_interval(table, found):
    wide = table.assign(ses=table["ses"] * 1e4)
    other = tl.profile(tl.lmm("mathach ~ ses + sector + (1 | school)", wide), which="ses")
    mine = found.ends[found.labels.terms.index("ses")]
    assert other.ends[0] * 1e4 == pytest.approx(mine, rel=1e-6)


def test_coefficients_agree_with_wald_intervals_roughly(fit, found):
    wald = fit.conf_int()
    mine = found.conf_int().query("effect == 'fixed'")
    apart = mine[["conf_low", "conf_high"]].to_numpy() - wald.to_numpy()
    assert np.abs(apart / fit.bse.to_numpy()[:, None]).max() < 0.2


def test_a_variance_at_zero_begins_at_zero_and_says_so(flat):
    found = tl.profile(tl.lmm("y ~ x + (1 | g)", flat))
    k = found.labels.terms.index("sd__Intercept")
    assert found.estimate[k] == 0
    assert found.ends[k, 0] == 0
    assert found.ends[k, 1] > 0.05
    assert "sd__Intercept: the lower end is 0" in str(found)
    assert found.conf_int(0.5)["conf_low"].iloc[k] == 0


def test_a_correlation_without_estimate_may_be_anything_and_says_so(flat):
    fit = tl.lmm("y ~ x + (x | g)", flat)
    found = tl.profile(fit)
    k = found.labels.terms.index("cor__Intercept.x")
    assert np.isnan(found.estimate[k])
    assert found.ends[k].tolist() == [-1, 1]
    assert "cor__Intercept.x: no estimate" in str(found)


def test_a_weak_correlation_ends_at_its_bounds():
    fit = tl.lmm("mathach ~ meanses * cses + (cses | school)", tl.datasets.load("hsb82"))
    found = tl.profile(fit, which=["cor__Intercept.cses", "sd__cses"])
    frame = found.conf_int().set_index("term")
    assert (frame["conf_low"] <= frame["estimate"]).all()
    assert (frame["conf_high"] >= frame["estimate"]).all()
    assert frame.loc["cor__Intercept.cses", "conf_high"] <= 1


def test_which_chooses_and_names_the_nearest(fit, found):
    one = tl.profile(fit, which="ses")
    assert one.labels.terms == ("ses",)
    assert one.ends[0] == pytest.approx(found.ends[1])
    with pytest.raises(tl.OptionError, match="did you mean 'sd__Intercept'"):
        tl.profile(fit, which=["ses", "sd_Intercept"])


@pytest.mark.parametrize("level", [0, 1, 95])
def test_levels_that_are_none(fit, found, level):
    with pytest.raises(tl.OptionError, match="level="):
        tl.profile(fit, level=level)
    with pytest.raises(tl.OptionError, match="level="):
        found.conf_int(level)


class TestSearch:
    NOWHERE = Reach(-np.inf, np.inf, False, 0.1)

    def test_finds_the_crossings_of_a_bent_curve(self):
        curve = Curve(np.array([0.0]), np.zeros(1))
        both, points = ends(np.sinh, curve, self.NOWHERE, 2.0)
        assert both == pytest.approx(np.arcsinh([-2.0, 2.0]), abs=1e-8)
        assert len(points.values) < 20

    def test_stops_at_a_closed_end_that_is_too_low(self):
        curve = Curve(np.array([0.5]), np.zeros(1))
        both, _ = ends(lambda v: v - 0.5, curve, Reach(0.0, np.inf, True, 0.1), 2.0)
        assert both == pytest.approx([0.0, 2.5])

    def test_never_touches_an_open_end(self):
        seen = []

        def zeta(v):
            seen.extend(v)
            return np.log(v)

        both, _ = ends(zeta, Curve(np.ones(1), np.zeros(1)), Reach(0.0, np.inf, False, 5.0), 3.0)
        assert both == pytest.approx(np.exp([-3.0, 3.0]), rel=1e-6)
        assert min(seen) > 0

    def test_inverse_of_a_cubic_is_exact(self):
        heights = np.array([0.0, 1.0, 2.0, 3.0])
        assert inverse(heights**3, heights, 1.5) == pytest.approx(1.5**3)
        assert np.isnan(inverse(np.ones(1), np.ones(1), 2.0))
