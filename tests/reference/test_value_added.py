"""Value-added models against lme4 and least squares with dummies in R."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import teamlink as tl

from .lme4.parse import md5
from .value_added.parse import HOME, PUPILS, SCRIPT, raw

MODELS: dict[str, dict[str, Any]] = {
    "nested": {"school": "site", "prior": ["prior", "reading"], "covariates": "poor"}
    | {"year": "year"},
    "crossed": {"school": "mobile", "prior": "prior", "year": "year"},
    "yearly": {"school": "site", "prior": "prior", "year": "year", "yearly": True},
    "gains": {"prior": "prior", "gain": True, "covariates": "poor"},
}
FIXED: dict[str, dict[str, Any]] = {"teachers": {}, "both": {"school": "mobile"}}


@cache
def pupils() -> pd.DataFrame:
    return pd.read_csv(PUPILS)


@cache
def model(key: str) -> Any:
    return tl.vam(pupils(), "score", "teacher", **MODELS[key])


@cache
def fixed(key: str) -> Any:
    return tl.vam(
        pupils(),
        "score",
        "teacher",
        prior="prior",
        covariates="poor",
        effects="fixed",
        **FIXED[key],
    )


def test_output_is_of_the_scripts_as_they_stand() -> None:
    assert raw()["script_md5"] == md5(SCRIPT), "run run.R again"
    assert raw()["lme4_script_md5"] == md5(HOME.parent / "lme4" / "fit.R"), "run run.R again"
    assert set(raw()["random"]) == set(MODELS)


@pytest.mark.parametrize("key", MODELS)
def test_random_effects(key: str) -> None:
    theirs, ours = raw()["random"][key], model(key)
    assert ours.fit.deviance == pytest.approx(theirs["criterion"], abs=1e-6)
    groups = {"teacher": ours.teachers}
    if ours.school_effects is not None:
        groups[ours.request.school] = ours.schools
    for name, frame in groups.items():
        reference = theirs["groups"][name]
        assert [str(level) for level in frame.index] == reference["levels"]
        tau = np.sqrt(theirs["variance"][name])
        # Both stand at the optimum, whose variances agree to 1e-6: 3e-8 seen.
        assert frame["effect"].to_numpy() == pytest.approx(reference["effect"], abs=1e-6 * tau)
        assert frame["std_error"].to_numpy() == pytest.approx(reference["se"], rel=1e-6)
        expected = 1 - (np.array(reference["se"]) / tau) ** 2
        assert frame["reliability"].to_numpy() == pytest.approx(expected, abs=2e-6)
    variances = ours.components.set_index("group")["variance"]
    for name, value in theirs["variance"].items():
        assert variances[name] == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("key", FIXED)
def test_fixed_effects(key: str) -> None:
    theirs, ours = raw()["fixed"][key], fixed(key)
    # Least squares on both sides: rounding alone.
    assert ours.estimates.values[0] == pytest.approx(theirs["coef"], rel=1e-9)
    assert ours.estimates.std_error[0] == pytest.approx(theirs["se"], rel=1e-9)
    assert ours.estimates.df[0] == pytest.approx([theirs["df"]] * 2)
    sigma = ours.components.set_index("group").loc["Residual", "sd"]
    assert sigma == pytest.approx(theirs["sigma"], rel=1e-9)
    groups = {"teachers": ours.teachers} | ({"schools": ours.schools} if key == "both" else {})
    for name, frame in groups.items():
        assert [str(level) for level in frame.index] == theirs[name]["levels"]
        assert frame["estimate"].to_numpy() == pytest.approx(theirs[name]["effect"], abs=1e-9)
        assert frame["estimate_se"].to_numpy() == pytest.approx(theirs[name]["se"], rel=1e-8)


def test_returns_to_experience() -> None:
    kinds: dict[str, dict[str, Any]] = {
        "random": {"school": "site", "year": "year"},
        "fixed": {"effects": "fixed"},
    }
    for kind, options in kinds.items():
        theirs = raw()["experience"][kind]
        ours = tl.returns_to_experience(
            pupils(), "score", "teacher", "experience", "climate", prior="prior", **options
        )
        # By lme4 both stand at the optimum of the variances; least squares is exact.
        rel = 1e-6 if kind == "random" else 1e-8
        table = ours.returns([10])
        assert table["gain"].to_numpy() == pytest.approx(theirs["gain"], rel=rel)
        assert table["std_error"].to_numpy() == pytest.approx(theirs["se"], rel=rel)
        difference, ratio = ours.difference(), ours.ratio()
        assert difference["gain"] == pytest.approx(theirs["difference"], rel=rel)
        assert difference["std_error"] == pytest.approx(theirs["difference_se"], rel=rel)
        assert ratio["ratio"] == pytest.approx(theirs["ratio"], rel=rel)
        assert ratio["std_error"] == pytest.approx(theirs["ratio_se"], rel=rel)
