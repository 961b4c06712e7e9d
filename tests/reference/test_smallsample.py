"""Small-sample inference against pbkrtest, lmerTest and clubSandwich, number by number."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import teamlink as tl
from teamlink.errors import BoundaryFit

from .lme4.parse import md5
from .smallsample.parse import KEYS, OPTIMISER, SCRIPT, aligned, data, order, raw

STANDARD_ERROR = 1e-6
"""Relative. Both sides stand at the optimum; at one theta they agree to 1e-9."""

DF = 1e-5
"""Relative, for the same reason; pbkrtest inverts matrices of n rows."""

DF_NUMERIC = 1e-5
"""Relative, for Satterthwaite's: lmerTest differentiates numerically."""


@cache
def fit(key: str) -> Any:
    return tl.lmm(raw(key)["formula"], data(key))


@cache
def at_lme4_s_theta(key: str) -> Any:
    """Our fit moved to where lme4's default optimiser stopped."""
    ours = fit(key)
    model = ours.model
    Lambda = model.structure.factor(np.array(raw(key)["default"]["theta"], dtype=float))
    working = model.structure.canonical(np.linalg.solve(model.random.T, Lambda))
    theta = model.structure.parameters(working)
    return replace(ours, working_theta=theta, estimates=model.estimates(theta[None]))


@cache
def kenward_roger(key: str, which: str = "tight") -> Any:
    start = fit(key) if which == "tight" else at_lme4_s_theta(key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryFit)
        return tl.small_sample(start, "kenward-roger")


def names(key: str) -> list[str]:
    return list(fit(key).params.index)


models = pytest.mark.parametrize("key", KEYS)


def test_every_model_is_there() -> None:
    hsb = {f"hsb_{name}" for name in ("null", "meanses", "cses", "rb")}
    small = {"sleep_slope", "sleep_diagonal", "dyestuff", "dyestuff2"}
    assert set(KEYS) == hsb | small | {"unbalanced", "unbalanced_intercept"}


@models
def test_output_is_of_the_scripts_as_they_stand(key: str) -> None:
    assert raw(key)["script_md5"] == md5(SCRIPT), "run.R has changed: run it again"
    assert raw(key)["lme4_script_md5"] == md5(OPTIMISER), "fit.R has changed: run run.R again"


@models
def test_both_stand_at_the_same_optimum(key: str) -> None:
    assert fit(key).deviance == pytest.approx(raw(key)["tight"]["criterion"], abs=1e-6)
    assert at_lme4_s_theta(key).sigma == pytest.approx(raw(key)["default"]["sigma"], rel=1e-9)


@models
@pytest.mark.parametrize("which", ["tight", "default"])
def test_kenward_roger(key: str, which: str) -> None:
    ours, ref = kenward_roger(key, which), raw(key)[which]["kenward_roger"]
    se = aligned(key, ref["se"], names(key))
    np.testing.assert_allclose(ours.bse, se, rtol=STANDARD_ERROR)
    np.testing.assert_allclose(ours.df, aligned(key, ref["df"], names(key)), rtol=DF)
    difference = ours.cov_params().to_numpy() - aligned(key, ref["vcov"], names(key))
    assert np.abs(difference / np.outer(se, se)).max() <= STANDARD_ERROR


@models
def test_satterthwaite(key: str) -> None:
    again = tl.small_sample(fit(key), "satterthwaite")
    df = aligned(key, raw(key)["tight"]["satterthwaite"]["df"], names(key))
    np.testing.assert_allclose(again.df, df, rtol=DF_NUMERIC)


def test_the_two_methods_differ_where_pbkrtest_and_lmertest_do() -> None:
    """Else one could go by the other's name."""
    for key in ("hsb_rb", "unbalanced"):
        ours, ref = kenward_roger(key), raw(key)["tight"]
        theirs = np.array(ref["kenward_roger"]["df"]) - np.array(ref["satterthwaite"]["df"])
        assert np.abs(theirs).min() > 0.5
        np.testing.assert_allclose(
            ours.df - fit(key).df, aligned(key, theirs.tolist(), names(key)), rtol=1e-3
        )
        assert (ours.bse > fit(key).bse).all()


@models
@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR1S", "CR2", "CR3"])
@pytest.mark.parametrize("which", ["tight", "default"])
def test_cluster_robust(key: str, kind: str, which: str) -> None:
    ours = tl.robust(fit(key) if which == "tight" else at_lme4_s_theta(key), kind)
    ref = raw(key)[which]["robust"][kind]
    se = aligned(key, ref["se"], names(key))
    np.testing.assert_allclose(ours.bse, se, rtol=STANDARD_ERROR)
    np.testing.assert_allclose(ours.df, aligned(key, ref["df"], names(key)), rtol=DF)
    difference = ours.cov_params().to_numpy() - aligned(key, ref["vcov"], names(key))
    assert np.abs(difference / np.outer(se, se)).max() <= STANDARD_ERROR


joint = pytest.mark.parametrize(
    ("key", "i"), [(key, i) for key in KEYS for i in range(len(raw(key)["tight"]["joint"]))]
)


@joint
def test_hypothesis_is_read_as_meant(key: str, i: int) -> None:
    ref = raw(key)["tight"]["joint"][i]
    found = tl.test(fit(key), ref["text"])
    at = order(key, names(key))
    np.testing.assert_array_equal(found.contrasts, np.array(ref["L"])[:, at])
    np.testing.assert_array_equal(found.table["rhs"], ref["rhs"])


@joint
@pytest.mark.parametrize("method", ["kenward_roger", "satterthwaite"])
def test_joint_tests(key: str, i: int, method: str) -> None:
    said = raw(key)["tight"]["joint"][i]
    ref = said[method]
    start = kenward_roger(key) if method == "kenward_roger" else fit(key)
    for found in (
        tl.test(start, said["text"]),
        tl.test(start, np.array(said["L"])[:, order(key, names(key))], said["rhs"]),
    ):
        assert found.df_num == ref["ndf"]
        assert found.df_denom == pytest.approx(ref["ddf"], rel=DF)
        assert found.scale == pytest.approx(ref.get("F_scaling", 1.0), rel=DF)
        # F is quadratic in estimates that agree to 1e-7 and covariances that agree to 1e-6
        assert found.statistic == pytest.approx(ref["F"], rel=1e-5)
        # R's smallest p values are zero
        assert found.p_value == pytest.approx(ref["p"], rel=1e-3, abs=1e-300)


def test_some_joint_tests_tell_the_methods_apart() -> None:
    both = [j for j in raw("unbalanced")["tight"]["joint"] if len(j["L"]) > 1]
    assert all(abs(j["kenward_roger"]["F_scaling"] - 1) > 0.01 for j in both)
    assert all(abs(j["kenward_roger"]["ddf"] - j["satterthwaite"]["ddf"]) > 1 for j in both)
