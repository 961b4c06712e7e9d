"""Generalized models against glmer, clmm and glmmTMB: criterion, estimates, errors, effects.

With links that are not canonical glmer's Laplace approximation takes the expected curvature, a
different criterion; those fits are held against glmmTMB, which takes the observed one as we do,
and against glmer with 25 points, where the choice no longer matters. Where glmer uses quadrature
for anything but zeros and ones it leaves out a constant, so that differences are compared.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import teamlink as tl

from .generalized.parse import SCRIPT, array, data, fits, our_term, raw, reference
from .lme4.parse import md5

BETTER = 1e-6
"""Our criterion may be lower than theirs by any amount, never higher by more than this."""

OF_SE = 1e-3
"""A criterion that is 1e-6 above its minimum leaves coefficients this share of their error off."""

SE = {"glmer": 5e-4, "glmmTMB": 5e-4, "clmm": 1e-2}
"""Relative: each differentiates numerically, clmm through modes sought to a tolerance of 1e-4."""

FEW_CONSTANTS = {"cbpp", "cbpp_probit", "cbpp_cloglog", "ticks_brood"}
"""Where glmer with quadrature leaves out a constant of the log-likelihood."""

ALL = fits()


def other_criterion(key: str, program: str, nagq: int) -> bool:
    """Whether glmer optimises something else than Laplace's approximation."""
    model = raw(key)
    canonical = (model["family"], model["link"]) in {("binomial", "logit"), ("poisson", "log")}
    return program == "glmer" and nagq == 1 and not canonical


COMPARED = [each for each in ALL if not other_criterion(*each)]


@cache
def ours(key: str, nagq: int) -> Any:
    model = raw(key)
    return tl.glmm(
        model["formula"], data(key), model["family"], model["link"], nagq=nagq,
        trials=model.get("trials"),
    )  # fmt: skip


@pytest.mark.parametrize("key", sorted({key for key, _, _ in ALL}))
def test_the_output_is_that_of_the_script(key: str) -> None:
    assert raw(key)["script_md5"] == md5(SCRIPT)


@pytest.mark.parametrize(("key", "program", "nagq"), COMPARED)
def test_the_criterion_is_no_higher(key: str, program: str, nagq: int) -> None:
    fit, theirs = ours(key, nagq), reference(key, program, nagq)
    assert fit.converged
    if program == "glmer" and nagq > 1 and key in FEW_CONSTANTS:
        pytest.skip("glmer leaves out a constant here; see the test of differences")
    assert fit.deviance <= theirs["deviance"] + BETTER
    # Nor lower by more than what their optimisers leave on the table, which was seen: 1.2e-5.
    assert fit.deviance >= theirs["deviance"] - 2e-5


@pytest.mark.parametrize("key", sorted(FEW_CONSTANTS))
def test_glmers_missing_constant_does_not_depend_on_the_parameters(key: str) -> None:
    model = raw(key)
    points = [int(k) for k in model["fits"]["glmer"] if k != "1"]
    gaps = [ours(key, k).deviance - reference(key, "glmer", k)["deviance"] for k in points]
    # The same to what glmer's tolerance of modes leaves, for every number of points.
    assert np.ptp(gaps) < 1e-6
    saturated = gaps[0]
    assert saturated > 1


@pytest.mark.parametrize(("key", "program", "nagq"), COMPARED)
def test_coefficients_and_standard_errors(key: str, program: str, nagq: int) -> None:
    fit, theirs = ours(key, nagq), reference(key, program, nagq)
    names = [our_term(name) for name in theirs["names"]]
    assert sorted(names) == sorted(fit.params.index)
    gap = np.abs(fit.params[names].to_numpy() - array(theirs["fixef"]))
    assert (gap / fit.bse[names].to_numpy()).max() < OF_SE
    np.testing.assert_allclose(fit.bse[names], array(theirs["se"]), rtol=SE[program])


CANONICAL = [e for e in COMPARED if e[1] == "glmer" and raw(e[0])["link"] in ("logit", "log")]


@pytest.mark.parametrize(("key", "program", "nagq"), CANONICAL)
def test_conditional_standard_errors_are_lme4s_rx(key: str, program: str, nagq: int) -> None:
    if raw(key)["family"] == "negative-binomial":
        pytest.skip("glmer takes the expected curvature")
    fit, theirs = ours(key, nagq), reference(key, program, nagq)
    conditional = replace(fit.model, se="conditional").estimates(fit.working_theta[None])
    se = dict(zip(conditional.names, conditional.std_error[0], strict=True))
    names = [our_term(name) for name in theirs["names"]]
    # At the same point both are exact; the points differ by what OF_SE says.
    found = [se[name] for name in names]
    np.testing.assert_allclose(found, array(theirs["se_conditional"]), rtol=1e-4)


@pytest.mark.parametrize(("key", "program", "nagq"), CANONICAL)
def test_factors_effects_and_residuals_of_glmer(key: str, program: str, nagq: int) -> None:
    fit, theirs = ours(key, nagq), reference(key, program, nagq)
    np.testing.assert_allclose(fit.theta, array(theirs["theta"]), rtol=1e-3, atol=1e-4)
    effects = fit.ranef()
    for group, found in theirs["ranef"].items():
        frame = effects[group].loc[found["levels"]]
        for name, values in found["values"].items():
            column = frame[our_term(name) if name != "urbanY" else "urban[T.Y]"]
            np.testing.assert_allclose(column, array(values), atol=1e-3 * column.std())
        if len(found["values"]) == 1:
            se = frame.iloc[:, 1].to_numpy()
            np.testing.assert_allclose(se**2, array(found["variance"]), rtol=1e-3)
    head = slice(0, len(theirs["fitted"]))
    np.testing.assert_allclose(fit.fittedvalues[head], array(theirs["fitted"]), rtol=1e-4)
    pearson = fit.residuals("pearson")[head]
    np.testing.assert_allclose(pearson, array(theirs["pearson"]), rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(
        fit.resid[head], array(theirs["deviance_resid"]), rtol=2e-4, atol=2e-4
    )


@pytest.mark.parametrize(("key", "program", "nagq"), [e for e in ALL if e[1] != "glmer"])
def test_covariances_and_dispersion(key: str, program: str, nagq: int) -> None:
    fit, theirs = ours(key, nagq), reference(key, program, nagq)
    for group, values in theirs["vcov"].items():
        covariance = fit.Lambda[group] @ fit.Lambda[group].T
        scale = float(np.abs(values).max())
        # Variances rest on a flatter likelihood than coefficients do.
        np.testing.assert_allclose(covariance.ravel(), array(values), atol=1e-3 * scale)
    if fit.family == "negative-binomial":
        assert fit.dispersion["theta"] == pytest.approx(theirs["sigma"], rel=1e-4)
    elif fit.family == "gaussian":
        assert fit.sigma == pytest.approx(theirs["sigma"], rel=1e-4)


@pytest.mark.parametrize(("key", "program", "nagq"), [e for e in ALL if e[1] == "clmm"])
def test_probabilities_of_the_categories_seen(key: str, program: str, nagq: int) -> None:
    fit, theirs = ours(key, nagq), reference(key, program, nagq)
    head = slice(0, len(theirs["fitted"]))
    np.testing.assert_allclose(fit.fittedvalues[head], array(theirs["fitted"]), rtol=1e-3)
