"""Comparisons of schools against clubSandwich, lme4 and lmerTest in R."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import teamlink as tl

from .lme4.parse import md5
from .trials.parse import HOME, PANEL, SCRIPT, TRIAL, raw

COMPARISONS: dict[str, dict[str, Any]] = {
    "extended": {},
    "covariate": {"covariates": "poverty", "cluster": "district"},
    "weighted": {"weights": "pupils"},
}

EXACT = 1e-9
"""Least squares and its sandwich on both sides: rounding alone, 1e-12 seen."""


@cache
def panel() -> pd.DataFrame:
    return pd.read_csv(PANEL)


@cache
def trial() -> pd.DataFrame:
    return pd.read_csv(TRIAL)


def agree(table: pd.DataFrame, theirs: dict[str, Any]) -> None:
    assert table["estimate"].to_numpy() == pytest.approx(theirs["estimate"], rel=EXACT, abs=EXACT)
    assert table["std_error"].to_numpy() == pytest.approx(theirs["se"], rel=EXACT)
    assert table["df"].to_numpy() == pytest.approx(theirs["df"], rel=EXACT)


def test_output_is_of_the_scripts_as_they_stand() -> None:
    assert raw()["script_md5"] == md5(SCRIPT), "run run.R again"
    assert raw()["lme4_script_md5"] == md5(HOME.parent / "lme4" / "fit.R"), "run run.R again"


@pytest.mark.parametrize("key", COMPARISONS)
def test_difference_in_differences(key: str) -> None:
    theirs = raw()["did"][key]
    ours = tl.did(panel(), "score", "school", "year", first_treated="first", **COMPARISONS[key])
    agree(ours.group_time, theirs)
    *events, overall = theirs["contrasts"]
    agree(ours.by_event, {k: [c[k] for c in events] for k in ("estimate", "se", "df")})
    agree(ours.overall.to_frame().T, {k: [overall[k]] for k in ("estimate", "se", "df")})


def test_event_study() -> None:
    theirs = raw()["did"]["event"]
    ours = tl.event_study(panel(), "score", "school", "year", first_treated="first")
    agree(ours.group_time, theirs)
    *events, overall = theirs["contrasts"]
    agree(ours.by_event, {k: [c[k] for c in events] for k in ("estimate", "se", "df")})
    agree(ours.overall.to_frame().T, {k: [overall[k]] for k in ("estimate", "se", "df")})
    test = theirs["pretrend"]
    expected = [test["F"], test["df_num"], test["df_denom"], test["p"]]
    assert ours.pretrend.to_numpy() == pytest.approx(expected, rel=1e-8)


def test_two_way_regression_and_its_weights() -> None:
    theirs = raw()["did"]
    ours = tl.did(panel(), "score", "school", "year", first_treated="first", method="twfe")
    agree(ours.overall.to_frame().T, theirs["twfe"])
    for name in ("cohort", "time"):
        assert ours.weights[name].tolist() == theirs["weights"][name]
    assert ours.weights["weight"].to_numpy() == pytest.approx(theirs["weights"]["weight"], rel=1e-8)
    one_start = panel()[panel()["first"].isna() | (panel()["first"] == 2008)]
    simple = tl.did(one_start, "score", "school", "year", treated="early", post=2008, method="twfe")
    agree(simple.overall.to_frame().T, theirs["simple"])


@pytest.mark.parametrize("key", ["plain", "full"])
def test_cluster_trial(key: str) -> None:
    theirs = raw()["trials"][key]
    options: dict[str, Any] = {} if key == "plain" else {"block": "block", "covariates": "prior"}
    ours = tl.cluster_trial(trial(), "score", "treated", "school", **options)
    row = ours.effects.iloc[0]
    assert row["estimate"] == pytest.approx(theirs["estimate"], rel=1e-7)
    assert row["std_error"] == pytest.approx(theirs["se"], rel=1e-6)
    # pbkrtest's degrees of freedom rest on its own inverse of the information: 1e-7 seen.
    assert row["df"] == pytest.approx(theirs["df"], rel=1e-5)
    robust = tl.cluster_trial(trial(), "score", "treated", "school", method="CR2", **options)
    # lme4's default optimiser leaves the variance ratio 1e-5 off.
    assert robust.effects.loc[0, "std_error"] == pytest.approx(theirs["cr_se"], rel=1e-4)
    assert robust.effects.loc[0, "df"] == pytest.approx(theirs["cr_df"], rel=1e-3)
    if key == "plain":
        tau2, sigma2 = theirs["varcorr"]
        assert row["icc"] == pytest.approx(tau2 / (tau2 + sigma2), rel=1e-5)


def test_baseline() -> None:
    theirs = raw()["baseline"]
    ours = tl.baseline(trial(), "treated", ["prior", "girl"], cluster="school").set_index(
        "covariate"
    )
    for name in ("prior", "girl"):
        reference, row = theirs[name], ours.loc[name]
        for key in ("mean_treated", "mean_comparison", "sd_treated", "sd_comparison", "df"):
            assert row[key] == pytest.approx(reference[key], rel=EXACT)
        assert row["p_value"] == pytest.approx(reference["p"], rel=1e-8)
        assert row["difference"] / row["statistic"] == pytest.approx(reference["se"], rel=EXACT)
    # effectsize has the exact correction, ours is 1 - 3 / (4 df - 1): they differ by 1 / df^2.
    assert ours.loc["prior", "effect_size"] == pytest.approx(theirs["hedges_g"], rel=1e-6)
    assert np.isfinite(ours["effect_size"].to_numpy()).all()
