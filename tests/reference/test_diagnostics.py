"""Diagnostics and effect sizes against lme4, performance, emmeans and brute force in R."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.errors import BoundaryFit

from .diagnostics.parse import KEYS, PRINTING, SCRIPT, data, frame, order, raw
from .lme4.parse import md5

SAME_THETA = 1e-8
"""Relative to the largest: both sides stand at lme4's theta; R writes V out."""

DF = 1e-4
"""Relative: lmerTest differentiates numerically, at a theta a little off the optimum."""

models = pytest.mark.parametrize("key", KEYS)


@cache
def fit(key: str) -> Any:
    """Our fit, moved to where lme4's optimiser stopped."""
    ours = tl.lmm(raw(key)["formula"], data(key))
    model = ours.model
    Lambda = model.structure.factor(np.array(raw(key)["theta"], dtype=float))
    working = model.structure.canonical(np.linalg.solve(model.random.T, Lambda))
    theta = model.structure.parameters(working)
    return replace(ours, working_theta=theta, estimates=model.estimates(theta[None]))


@cache
def diagnostics(key: str) -> Any:
    return tl.diagnose(fit(key))


def close(ours: Any, theirs: Any, tolerance: float = SAME_THETA) -> None:
    ours, theirs = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


def test_every_model_is_there() -> None:
    assert set(KEYS) == {"sleep", "hsb", "crossed", "nested"}


@models
def test_output_is_of_the_scripts_as_they_stand(key: str) -> None:
    assert raw(key)["script_md5"] == md5(SCRIPT), "run.R has changed: run it again"
    assert raw(key)["lme4_script_md5"] == md5(PRINTING), "fit.R has changed: run run.R again"


@models
def test_both_stand_at_the_same_theta(key: str) -> None:
    assert fit(key).sigma == pytest.approx(raw(key)["sigma"], rel=1e-9)
    close(diagnostics(key).rows["fitted"], raw(key)["fitted"])
    close(fit(key).fittedvalues, raw(key)["fitted"])


@models
def test_leverage(key: str) -> None:
    close(diagnostics(key).rows["leverage"], raw(key)["hat"])


@models
@pytest.mark.parametrize("measure", ["cooks_d", "mdffits", "covratio", "covtrace"])
def test_influence(key: str, measure: str) -> None:
    found, theirs = diagnostics(key), raw(key)
    close(found.rows[measure].iloc[:40], theirs["rows"][measure])
    for name, group in theirs["groups"].items():
        close(found.groups[name].loc[labels(found, name, group["levels"]), measure], group[measure])


def labels(found: Any, name: str, theirs: list[str]) -> list[Any]:
    """R's levels, which are text, as our index has them."""
    ours = {str(level): level for level in found.groups[name].index}
    return [ours[level] for level in theirs]


@models
def test_shifts_of_the_fixed_effects(key: str) -> None:
    found, names = diagnostics(key), list(fit(key).params.index)
    for name, group in raw(key)["groups"].items():
        theirs = np.array(group["shift"])[:, order(key, names)]
        ours = found.shifts[name].loc[labels(found, name, group["levels"])].to_numpy()
        for k in range(len(names)):
            close(ours[:, k], theirs[:, k])


def test_variances_without_a_group() -> None:
    """Against lme4's influence(), which refits; its optimiser stops a little early."""
    ref = raw("sleep")["refitted"]
    ours = tl.diagnose(tl.lmm(raw("sleep")["formula"], data("sleep")), variances=True).variances
    assert ours is not None
    assert ours["converged"].all()
    level = {str(label): label for label in ours.index}
    at = ours.loc[[level[name] for name in ref["levels"]]]
    theirs = pd.DataFrame(np.array(ref["varcomps"], dtype=float), columns=ref["names"])
    sd = {"sd__Intercept": "v[(Intercept)]", "sd__Days": "v[Days]", "sd__Observation": "sigma^2"}
    for mine, yours in sd.items():
        close(at[mine] ** 2, theirs[yours], 1e-3)


@models
def test_r2(key: str) -> None:
    ours = tl.r2(fit(key))
    assert ours.marginal == pytest.approx(raw(key)["r2"]["marginal"], rel=1e-9)
    assert ours.conditional == pytest.approx(raw(key)["r2"]["conditional"], rel=1e-9)
    assert ours.marginal + ours.by_factor.sum() == pytest.approx(ours.conditional, rel=1e-12)


@pytest.mark.parametrize("key", [key for key in KEYS if raw(key)["collinearity"]["term"]])
def test_collinearity(key: str) -> None:
    ref, ours = raw(key)["collinearity"], tl.collinearity(fit(key)).terms
    names = {frozenset(str(name).split(":")): name for name in ours.index}
    at = ours.loc[[names[frozenset(term.split(":"))] for term in ref["term"]]]
    np.testing.assert_allclose(at["vif"], ref["vif"], rtol=1e-7)
    single = (at["columns"] == 1).to_numpy()
    # performance takes the plain root for terms of several columns too; ours is Fox and Monette's.
    theirs = np.array(ref["se_factor"])
    np.testing.assert_allclose(at["se_factor"][single], theirs[single], rtol=1e-7)
    np.testing.assert_allclose(at["se_factor"] ** at["columns"], np.sqrt(at["vif"]), rtol=1e-12)


@pytest.mark.parametrize("key", ["sleep", "hsb"])
def test_least_squares_group_by_group(key: str) -> None:
    ref, ours = raw(key)["own"], tl.group_residuals(fit(key))
    (terms,) = (factor.names for factor in fit(key).model.design.factors)
    level = {str(label): label for label in ours.index}
    at = ours.loc[[level[name] for name in ref["levels"]]]
    for k, term in enumerate(terms):
        close(at[f"ol_{term}"], np.array(ref["coef"])[:, k])
        close(at[f"ol_se_{term}"] ** 2, np.array(ref["v"])[:, k])
    close(at["residual_sd"], ref["sd"])
    tests = tl.variance_tests(fit(key))
    close(tests["chi_square"], ref["chi_square"])


@models
@pytest.mark.parametrize("method", ["satterthwaite", "kenward_roger"])
def test_means_over_a_grid(key: str, method: str) -> None:
    ours, ref = effects(key, method)
    theirs = frame(ref["means"])
    names = list(ours.predictors)
    for name in names:
        if pd.api.types.is_numeric_dtype(ours.frame[name]):
            theirs[name] = theirs[name].astype(float)
    both = ours.frame.merge(theirs, on=names, validate="1:1")
    assert len(both) == len(theirs) == len(ours.frame)
    np.testing.assert_allclose(both["estimate"], both["emmean"], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(both["std_error"], both["SE"], rtol=1e-7)
    np.testing.assert_allclose(both["df_x"], both["df_y"], rtol=DF)
    np.testing.assert_allclose(both["conf_low"], both["lower.CL"], rtol=1e-5, atol=1e-5)


@models
def test_contrasts_of_the_grid(key: str) -> None:
    ours, ref = effects(key, "satterthwaite")
    table, theirs = ours.contrasts(), frame(ref["pairs"])
    assert len(table) == len(theirs)
    np.testing.assert_allclose(
        np.sort(np.abs(table["estimate"])), np.sort(np.abs(theirs["estimate"])), rtol=1e-6,
        atol=1e-9,
    )  # fmt: skip
    np.testing.assert_allclose(np.sort(table["std_error"]), np.sort(theirs["SE"]), rtol=1e-6)


SLOPES = {
    "sleep": ("Days", None),
    "hsb": ("cses", {"sector": ["Public", "Catholic"], "meanses": [-0.5, 0.5]}),
    "crossed": ("x", "k"),
    "nested": ("x", None),
}


@models
@pytest.mark.parametrize("method", ["satterthwaite", "kenward_roger"])
def test_simple_slopes(key: str, method: str) -> None:
    ref = raw(key)[method]
    if ref is None:
        pytest.skip("pbkrtest was not asked for the large table")
    theirs = frame(ref["trends"])
    predictor, at = SLOPES[key]
    ours = tl.simple_slopes(by_method(key, method), predictor, at)
    shared = [name for name in ours if name in theirs and name != "df"]
    if shared:
        for name in shared:
            if pd.api.types.is_numeric_dtype(ours[name]):
                theirs[name] = theirs[name].astype(float)
        both = ours.merge(theirs, on=shared, validate="1:1")
    else:
        both = ours.merge(theirs, how="cross")
    assert len(both) == len(ours)
    np.testing.assert_allclose(both["estimate"], both["trend"], rtol=1e-7)
    np.testing.assert_allclose(both["std_error"], both["SE"], rtol=1e-6)
    np.testing.assert_allclose(both["df_x"], both["df_y"], rtol=1e-3)


@cache
def by_method(key: str, method: str) -> Any:
    if method == "satterthwaite":
        return fit(key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryFit)
        return tl.small_sample(fit(key), "kenward-roger")


@cache
def effects(key: str, method: str) -> Any:
    ref = raw(key)[method]
    if ref is None:
        pytest.skip("pbkrtest was not asked for the large table")
    means = frame(ref["means"])
    known = {"emmean", "SE", "df", "lower.CL", "upper.CL"}
    at = {name: list(dict.fromkeys(means[name])) for name in means if name not in known}
    return tl.effects(by_method(key, method), at), ref
