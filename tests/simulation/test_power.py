"""Power of designs by formula: against closed forms, simulation, the mixed model, and refusals."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from teamlink.errors import DesignError, OptionError
from teamlink.mixed.linear import lmm
from teamlink.simulation.power import Power, errors_of, power_of_design
from teamlink.simulation.precision import DESIGNS, Precision, precision_of, sizes_of
from teamlink.typing import Array

TRIAL = {"schools": 40.0, "students": 25.0, "icc": 0.2}
SOUND = {
    "correlation": {"n": 47},
    "school-predictor": TRIAL,
    "student-predictor": TRIAL,
    "cross-level": TRIAL | {"slope_sd": 0.1},
    "cluster-trial": TRIAL,
    "blocked-cluster-trial": TRIAL | {"blocks": 5, "schools": 8},
    "student-trial": TRIAL,
    "difference-in-differences": TRIAL,
    "ratio-of-proportions": {"n": 50, "n_base": 100, "base": 0.1},
}


def solve(
    design: str,
    effect: float | None = None,
    power: float | None = None,
    level: float = 0.05,
    **sizes: float | None,
) -> Power:
    return power_of_design(design, effect, power, level, sizes)


@cache
def root_chi_squares(df: float) -> Array:
    """Midpoints of 200,000 equal parts of the law of sqrt(chi2(df) / df)."""
    return np.sqrt(stats.chi2.ppf((np.arange(200_000) + 0.5) / 200_000, df) / df)


@given(
    st.floats(-4, 4).filter(lambda d: abs(d) > 1e-3),
    st.floats(0.1, 5),
    st.sampled_from([3.0, 8.0, 45.0, math.inf]),
)
def test_power_is_that_of_the_noncentral_t(shift: float, error: float, df: float) -> None:
    power, type_s, type_m = errors_of(Precision(shift, error, df))
    cut, size = stats.t.isf(0.025, df), shift / error
    if math.isinf(df):
        expected = stats.norm.sf(cut - size) + stats.norm.sf(cut + size)
    else:
        # by the density, as scipy's own tail of the noncentral t errs far out
        q = root_chi_squares(df)
        expected = np.mean(stats.norm.sf(cut * q - size) + stats.norm.sf(cut * q + size))
    # the midpoint rule of the reference is good to 1e-5
    assert power == pytest.approx(expected, abs=2e-5)
    assert 0 <= type_s <= 0.5
    # the mean of what is left never falls below the effect; rounding
    assert type_m >= 1 - 1e-9


@pytest.mark.parametrize("df", [4.0, 40.0, math.inf])
def test_errors_of_sign_and_magnitude_are_those_of_drawn_estimates(df: float) -> None:
    rng = np.random.default_rng(7)
    n, effect, error = 1_000_000, 0.9, 0.7
    estimate = rng.normal(effect, error, n)
    q = np.ones(n) if math.isinf(df) else np.sqrt(rng.chisquare(df, n) / df)
    found = np.abs(estimate) > stats.t.isf(0.025, df) * error * q
    power, type_s, type_m = errors_of(Precision(effect, error, df))
    # three Monte-Carlo standard errors
    assert found.mean() == pytest.approx(power, abs=3 * 0.5 / math.sqrt(n))
    assert (estimate[found] < 0).mean() == pytest.approx(type_s, abs=3 * 0.05 / math.sqrt(1e5))
    assert np.abs(estimate[found]).mean() / effect == pytest.approx(type_m, abs=5e-3)


def test_detectable_effects_are_those_that_powerup_states() -> None:
    # Dong and Maynard (2013): MDES = M sqrt(v / (P (1 - P) J)), M the sum of two t quantiles
    found = solve("cluster-trial", power=0.8, schools=20, students=80, icc=0.2, r2_school=0.5,
                  r2_student=0.5, controls=1)  # fmt: skip
    df = 20 - 2 - 1
    multiplier = stats.t.isf(0.025, df) + stats.t.isf(0.2, df)
    variance = 0.2 * 0.5 / (0.25 * 20) + 0.8 * 0.5 / (0.25 * 20 * 80)
    # their sum of central quantiles approximates the noncentral t to about a hundredth
    assert found.minimum_detectable == pytest.approx(multiplier * math.sqrt(variance), rel=0.01)
    assert found.effect == found.minimum_detectable


@pytest.mark.parametrize("design", sorted(DESIGNS))
def test_the_three_questions_agree(design: str) -> None:
    sizes: dict[str, float | None] = dict(SOUND[design])
    detectable = power_of_design(design, None, 0.7, 0.05, sizes)
    back = power_of_design(design, detectable.effect, None, 0.05, sizes)
    assert back.power == pytest.approx(0.7, abs=1e-8)
    counted = next(name for name in ("schools", "n") if name in sizes)
    size = power_of_design(design, detectable.effect, 0.7, 0.05, sizes | {counted: None})
    # the size that reaches what its own effect needs is that size, but for rounding of the effect
    assert abs(size.sizes[counted] - float(sizes[counted] or 0)) <= 1
    assert size.power >= 0.7 or size.power == pytest.approx(0.7, abs=1e-8)


@pytest.mark.parametrize("design", sorted(DESIGNS))
def test_more_units_mean_more_power(design: str) -> None:
    counted = "n" if "n" in SOUND[design] else "schools"
    effect = 2.0 if design == "ratio-of-proportions" else 0.2
    few = power_of_design(design, effect, None, 0.05, dict(SOUND[design]))
    more = power_of_design(design, effect, None, 0.05, SOUND[design] | {counted: 400.0})
    assert more.power > few.power
    assert more.type_m < few.type_m


@pytest.mark.slow
def test_the_mixed_model_finds_what_the_formula_promises() -> None:
    rng = np.random.default_rng(11)
    J, n, icc, effect, runs = 30, 20, 0.2, 0.45, 600
    school = np.repeat(np.arange(J), n)
    treated = np.repeat(np.tile([0.0, 1.0], J // 2), n)
    found = 0
    for _ in range(runs):
        u = rng.normal(0, math.sqrt(icc), J)[school]
        y = effect * treated + u + rng.normal(0, math.sqrt(1 - icc), J * n)
        fit = lmm("y ~ treated + (1 | school)", {"y": y, "treated": treated, "school": school})
        found += fit.pvalues["treated"] < 0.05
    promised = solve("cluster-trial", effect=effect, schools=J, students=n, icc=icc).power
    # four Monte-Carlo standard errors
    assert found / runs == pytest.approx(promised, abs=4 * math.sqrt(0.25 / runs))


def test_sign_of_the_effect_does_not_matter() -> None:
    up, down = solve("cluster-trial", 0.3, **TRIAL), solve("cluster-trial", -0.3, **TRIAL)
    assert (up.power, up.type_s, up.type_m) == (down.power, down.type_s, down.type_m)


def test_summary_names_every_size_and_the_detectable_effect() -> None:
    found = solve("cluster-trial", 0.2, **TRIAL)
    text = str(found.summary())
    for name in sizes_of("cluster-trial"):
        assert name in text
    assert f"{found.minimum_detectable:.3f}" in text


def test_all_faults_of_the_sizes_come_at_once() -> None:
    with pytest.raises(DesignError) as caught:
        solve("cluster-trial", 0.2, school=40, students=0.5, icc=1.2)
    text = str(caught.value)
    for part in ("'school' is no size", "did you mean 'schools'", "'schools' is missing",
                 "students=0.5", "icc=1.2"):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"design": "cluster-trail", "effect": 0.2}, "cluster-trial"),
        ({"design": "cluster-trial", "effect": 0.2, "level": 0.0}, "level=0"),
        ({"design": "cluster-trial", "power": 0.01}, "power=0.01"),
        ({"design": "cluster-trial", "effect": 0.2, "power": 0.8}, "both given"),
        ({"design": "cluster-trial", "effect": 0.2, "schools": None}, "one size alone"),
        ({"design": "correlation", "effect": 1.2, "n": 50}, "no correlation"),
        (
            {"design": "ratio-of-proportions", "effect": 30, "n": 9, "n_base": 9, "base": 0.1},
            "no proportion",
        ),
    ],
)
def test_options_are_refused_by_name(options: dict[str, object], message: str) -> None:
    own = TRIAL if str(options["design"]).startswith("cluster") else {}
    with pytest.raises(OptionError, match=message):
        solve(**(own | options))  # type: ignore[arg-type]


def test_no_degree_of_freedom_and_no_size_are_design_errors() -> None:
    with pytest.raises(DesignError, match="degree of freedom"):
        precision_of("cluster-trial", 0.2, TRIAL | {"schools": 2.0})
    with pytest.raises(DesignError, match="gives a power"):
        solve("cluster-trial", 0.05, power=0.8, schools=10, students=None, icc=0.2)
