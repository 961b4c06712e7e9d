"""The report: silent on healthy fits, and naming the trouble of broken ones."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.errors import TeamlinkWarning
from teamlink.mixed.deletion import whitened
from teamlink.mixed.row_checks import residual_spread


def table(groups: int = 60, seed: int = 1, size: int = 15) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), size)
    n = len(g)
    x, w, b = rng.normal(size=n), rng.normal(size=groups)[g], rng.normal(size=groups)
    e = rng.normal(size=n)
    y = 1 + 0.5 * x + 0.4 * w + 0.8 * b[g] + e
    return pd.DataFrame({"y": y, "x": x, "w": w, "g": g, "e": e, "b": b[g]})


def fit(formula: str, frame: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeamlinkWarning)
        return tl.lmm(formula, frame, **options)


def flagged(ours: Any) -> dict[str, str]:
    """Checks that found something, with their status."""
    return {f.check: f.status for f in ours.report().findings if f.status not in ("ok",)}


@cache
def hsb() -> Any:
    data = tl.datasets.load("hsb82")
    return tl.lmm("mathach ~ meanses * cses + sector * cses + (cses | school)", data)


def test_a_healthy_fit_is_told_so() -> None:
    report = fit("y ~ x + w + (1 | g)", table()).report()
    assert report.status == "ok"
    assert report.verdict == "Nothing was found that speaks against this fit."
    assert {f.status for f in report.findings} == {"ok"}
    assert report.summary().remarks == ()


def test_high_school_and_beyond_is_trusted_and_its_unequal_spread_told() -> None:
    report = hsb().report()
    assert report.status == "note"
    assert report.verdict.startswith("This fit can be trusted.")
    assert list(flagged(hsb())) == ["residual spread: school"]
    assert "Brown and Forsythe" in str(report)


@pytest.mark.parametrize("groups", [30, 100])
def test_false_alarms_are_rare(groups: int) -> None:
    """Of 25 healthy fits with a slope at most two are not called trustworthy; 1 is expected."""
    grave = 0
    for seed in range(25):
        frame = table(groups, 100 + seed)
        status = fit("y ~ x + w + (x | g)", frame).report().status
        grave += status in ("caution", "problem")
    assert grave <= 2


def test_no_convergence() -> None:
    ours = fit("y ~ x + (1 | g)", table())
    stopped = replace(ours.convergence, converged=False, message="stopped after 50 steps")
    report = replace(ours, convergence=stopped).report()
    assert report.status == "problem"
    assert "convergence" in report.verdict
    assert "stopped after 50 steps" in str(report)


def test_a_variance_of_zero_is_a_note_that_names_it() -> None:
    frame = table().assign(y=lambda d: d["y"] - 0.8 * d["b"] - 0.4 * d["w"])
    frame["y"] -= frame.groupby("g")["y"].transform("mean")
    ours = fit("y ~ x + (1 | g)", frame)
    assert flagged(ours)["boundary"] == "note"
    assert "Intercept by g" in str(ours.report())
    perfect = fit("y ~ x + (x | g)", frame)
    assert flagged(perfect)["boundary"] == "note"


@pytest.mark.parametrize(("groups", "status"), [(4, "problem"), (7, "caution"), (12, None)])
def test_few_groups(groups: int, status: str | None) -> None:
    found = flagged(fit("y ~ x + (1 | g)", table(groups)))
    assert found.get("groups: g") == status


def test_many_group_level_predictors_on_few_groups() -> None:
    frame = table(16)
    rng = np.random.default_rng(0)
    for k in range(3):
        frame[f"w{k}"] = rng.normal(size=16)[frame["g"]]
    found = flagged(fit("y ~ x + w0 + w1 + w2 + (1 | g)", frame))
    assert found["groups a group-level coefficient"] == "caution"
    assert "groups a group-level coefficient" not in flagged(fit("y ~ x + w0 + (1 | g)", frame))


@pytest.mark.parametrize("method", ["normal", "residual"])
def test_a_method_of_tests_that_the_groups_do_not_bear(method: str) -> None:
    assert flagged(fit("y ~ w + (1 | g)", table(25), df=method))["tests"] == "caution"
    assert "tests" not in flagged(fit("y ~ w + (1 | g)", table(60), df=method))


def test_robust_standard_errors_that_few_groups_do_not_bear() -> None:
    ours = fit("y ~ w + (1 | g)", table(25))
    assert flagged(tl.robust(ours, "CR0"))["tests"] == "caution"
    assert "tests" not in flagged(tl.robust(ours, "CR2"))
    assert flagged(fit("y ~ w + (1 | g)", table(14)))["tests"] == "note"


@pytest.mark.parametrize(("gone", "status"), [(9, "note"), (90, "caution"), (270, "problem")])
def test_rows_left_out(gone: int, status: str) -> None:
    frame = table()
    frame.loc[np.random.default_rng(0).choice(900, gone, replace=False), "x"] = np.nan
    ours = fit("y ~ x + (1 | g)", frame)
    assert flagged(ours)["rows left out"] == status
    assert f"{gone} rows" in str(ours.report())


def test_a_redundant_column() -> None:
    frame = table().assign(v=lambda d: d["x"] + d["w"])
    ours = fit("y ~ x + w + v + (1 | g)", frame)
    assert flagged(ours)["rank"] == "caution"
    assert "determine them: v" in str(ours.report())


def test_collinear_predictors_and_their_number() -> None:
    frame = table().assign(v=lambda d: d["x"] + 0.1 * d["e"].sample(frac=1, random_state=1).values)
    ours = fit("y ~ x + v + w + (1 | g)", frame)
    assert flagged(ours)["collinearity"] == "caution"
    (found,) = [f for f in ours.report().findings if f.check == "collinearity"]
    assert found.value == pytest.approx(tl.collinearity(ours).terms["vif"].max())
    assert "x, v" in found.says
    product = fit("y ~ x * v + (1 | g)", table().assign(x=lambda d: d["x"] + 9, v=lambda d: d["w"]))
    assert "centre these" in str(product.report())


def test_the_influential_group_is_named() -> None:
    frame = table(40)
    frame.loc[frame["g"] == 17, "w"] = 12.0
    frame.loc[frame["g"] == 17, "y"] -= 9.0
    ours = fit("y ~ x + w + (1 | g)", frame)
    assert flagged(ours)["influential groups: g"] == "problem"
    (found,) = [f for f in ours.report().findings if f.check.startswith("influential")]
    assert "17 (moves w by" in found.says
    shift = tl.diagnose(ours).shifts["g"].loc[17, "w"] / ours.bse["w"]
    assert found.value == pytest.approx(abs(shift), rel=1e-6)


def test_a_group_that_alone_tells_a_coefficient_is_named() -> None:
    frame = table().assign(only=lambda d: (d["g"] == 5) * 1.0)
    ours = fit("y ~ x + only + (1 | g)", frame)
    assert flagged(ours)["influential groups: g"] == "caution"
    assert "cannot be estimated: 5." in str(ours.report())


def test_unequal_spread_between_groups() -> None:
    rng = np.random.default_rng(4)
    spread = np.exp(0.5 * rng.normal(size=60))
    frame = table().assign(y=lambda d: d["y"] + (spread[d["g"]] - 1) * d["e"])
    ours = fit("y ~ x + w + (1 | g)", frame)
    assert flagged(ours)["residual spread: g"] == "caution"
    rows = whitened(ours.model, ours.working_theta, ours.params.to_numpy())
    codes = ours.model.design.factors[0].only_codes
    p, excess, each = residual_spread(rows, ours.sigma, codes, 60)
    assert p < 1e-10
    assert excess == pytest.approx(0.5, abs=0.12)
    assert np.corrcoef(np.log(each), np.log(spread))[0, 1] > 0.9


def test_the_test_of_spread_is_brown_and_forsythe_s() -> None:
    """In groups of even size; scipy's is the same statistic on the same residuals."""
    from scipy import stats

    ours = fit("y ~ x + (1 | g)", table(20, size=12))
    rows = whitened(ours.model, ours.working_theta, ours.params.to_numpy())
    codes = ours.model.design.factors[0].only_codes
    p, _, _ = residual_spread(rows, ours.sigma, codes, 20)
    e = rows.u / np.sqrt(rows.p_diagonal)
    theirs = stats.levene(*(e[codes == j] for j in range(20)), center="median")
    assert p == pytest.approx(theirs.pvalue, rel=1e-9)


def test_effects_that_are_not_normal_and_a_group_far_away() -> None:
    rng = np.random.default_rng(6)
    skewed = table(120).assign(y=lambda d: d["y"] + 3 * rng.exponential(size=120)[d["g"]])
    found = flagged(fit("y ~ x + w + (1 | g)", skewed))
    assert found["normal effects: Intercept by g"] == "caution"
    far = table().assign(y=lambda d: d["y"] + 9.0 * (d["g"] == 33))
    ours = fit("y ~ x + w + (1 | g)", far)
    assert flagged(ours)["normal effects: Intercept by g"] == "caution"
    assert "33 (" in str(ours.report())


def test_several_factors_have_each_their_checks() -> None:
    rng = np.random.default_rng(8)
    frame = table().assign(h=rng.integers(0, 25, 900))
    frame["y"] += rng.normal(size=25)[frame["h"]]
    report = fit("y ~ x + (1 | g) + (1 | h)", frame).report()
    checks = [f.check for f in report.findings]
    for start in ("groups", "influential groups", "residual spread", "normal effects: Intercept"):
        assert sum(check.startswith(start) and check.endswith(("g", "h")) for check in checks) == 2
    assert report.status == "ok"
    assert report.verdict.endswith("Not checked: groups a group-level coefficient.")
    assert {f.check: f.status for f in report.findings}[
        "groups a group-level coefficient"
    ] == "not checked"


def test_a_fit_without_predictors_and_one_of_memberships() -> None:
    assert fit("y ~ 1 + (1 | g)", table()).report().status == "ok"
    frame = table().assign(h=lambda d: (d["g"] + 1) % 60)
    members = tl.membership(frame, groups=["g", "h"])
    report = fit("y ~ x + (1 | m)", frame, memberships={"m": members}).report()
    assert {f.status for f in report.findings} <= {"ok", "note", "not checked"}


def test_text_table_and_html() -> None:
    report = fit("y ~ x + (1 | g)", table(8)).report()
    text = str(report)
    assert text.splitlines()[0] == "Can this fit be trusted?"
    assert report.verdict in text
    assert repr(report) == text
    html = report._repr_html_()
    assert "<table" in html
    assert "groups: g" in html
    assert list(report.table.columns) == ["check", "status", "value", "threshold", "says", "advice"]
    grave = report.table[report.table["status"].isin(["note", "caution", "problem"])]
    assert (grave["advice"].str.len() > 0).all()
    assert len(report.table) == len(report.findings)


def test_random_effects_that_leave_no_residual_variance() -> None:
    """At variances 1e20 times that of the residuals what is left of a row is rounding."""
    frame = table(12, size=3).assign(h=np.arange(36) % 5)
    ours = fit("y ~ x + (x | g) + (x | h)", frame)
    structure = ours.model.structure
    theta = structure.parameters(1e10 * np.eye(structure.q))
    broken = replace(ours, working_theta=theta)
    report = broken.report()
    assert report.status == "problem"
    assert "residual variance" in report.verdict
    with pytest.raises(tl.FitError, match="next to no residual variance"):
        tl.diagnose(broken)
