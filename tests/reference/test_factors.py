"""Models with several grouping factors against lme4, lmerTest and pbkrtest, number by number.

The yardstick is lme4's criterion at its optimum (`tight`), as in `test_lme4.py`, where the reasons
for the tolerances are; what differs here is said here.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.errors import BoundaryFit

from .factors.parse import (
    HOME,
    KEYS,
    OPTIMISER,
    SCRIPT,
    Reference,
    factor_key,
    label_key,
    new_rows,
    our_term,
    raw,
    reference,
    table,
)
from .lme4.parse import md5, unordered

CRITERION = 1e-6
"""Bar of the project: our criterion may be lower than theirs, never higher by more than this."""

ROUNDING = 1e-11
"""Of the criterion: what two sums over 70,000 rows in another order may differ by."""

LOWER: dict[str, str] = {}
"""Models where our criterion is below the tight reference by more than `CRITERION`, and why."""

ESTIMATE = 1e-6
"""Relative, or of a standard error: an optimum found to 1e-9 leaves 1e-5 of a flat variance."""

STANDARD_ERROR = 1e-5
"""Relative, for the same reason."""

DF = 1e-4
"""Relative. lmerTest differentiates numerically in (theta, sigma), with up to seven parameters."""

VARIANCE = 1e-5
"""Relative to the larger of the two variances a covariance belongs to."""

PREDICTION = 1e-6
"""Of the random effects' spread, or of sigma."""

SLOW = ("star", "insteval")
NAMES = {
    *("penicillin", "pastes", "movers", "movers_intercepts", "movers_flat", "movers_level"),
    *("levels3", "levels3_path", "scotssec", "egsingle", "egsingle_path", "chem97_null", "chem97"),
    *("star", "insteval_two", "insteval_three", "insteval_cell", "insteval_slope"),
    "insteval_diagonal",
}
UNHURRIED = {"insteval_slope_ml", "insteval_diagonal_ml", "insteval_diagonal_reml"}
"""Models of `fit.R` that take lme4 a quarter of an hour each; their outputs need not be there."""


def marked(keys: list[str]) -> list[Any]:
    """Parameters of a test, the large designs marked."""
    return [
        pytest.param(key, marks=pytest.mark.slow) if key.startswith(SLOW) else key for key in keys
    ]


models = pytest.mark.parametrize("key", marked(list(KEYS)))
with_modes = pytest.mark.parametrize("key", [k for k in KEYS if not k.startswith(SLOW)])
with_kr = pytest.mark.parametrize("key", [k for k in KEYS if "kenward_roger" in raw(k)["tight"]])


@cache
def fit(key: str) -> Any:
    return tl.lmm(raw(key)["ours"], table(key), reml=raw(key)["method"] == "REML")


@cache
def kenward_roger(key: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryFit)
        return tl.small_sample(fit(key), "kenward-roger")


def aligned(series: pd.Series, ref: Reference) -> np.ndarray:
    """Values of `series` in the order of the reference's terms."""
    by_name = {unordered(name): value for name, value in series.items()}
    assert by_name.keys() == {unordered(t) for t in ref.terms}
    return np.array([by_name[unordered(t)] for t in ref.terms])


def place(key: str, ours: list[str]) -> list[int]:
    """Where each of the reference's coefficients stands among ours."""
    order = [unordered(name) for name in ours]
    return [order.index(unordered(t)) for t in reference(key).terms]


def test_every_model_is_there() -> None:
    every = {f"{name}_{method}" for name in NAMES for method in ("ml", "reml")}
    assert every - UNHURRIED <= set(KEYS) <= every


@pytest.mark.parametrize("key", KEYS)
def test_output_is_of_the_scripts_as_they_stand(key: str) -> None:
    assert raw(key)["script_md5"] == md5(SCRIPT), "fit.R has changed: run it again"
    assert raw(key)["lme4_script_md5"] == md5(OPTIMISER), "lme4/fit.R has changed: run fit.R again"


@pytest.mark.parametrize("key", KEYS)
def test_data_are_those_that_lme4_saw(key: str) -> None:
    seen = raw(key)["data"]
    d = table(key)
    assert seen["md5"] == md5(HOME / "data" / seen["file"])
    assert len(d) == seen["rows"]
    for column, total in seen["sums"].items():
        # Sums of up to 70,000 terms in another order.
        assert d[column].sum() == pytest.approx(total, rel=1e-12, abs=1e-8)
        assert (d[column] ** 2).sum() == pytest.approx(seen["sums_of_squares"][column], rel=1e-12)


@models
@pytest.mark.parametrize("which", ["tight", "default"])
def test_criterion_is_never_above(key: str, which: str) -> None:
    theirs = reference(key, which).criterion
    assert fit(key).deviance <= theirs + CRITERION + ROUNDING * abs(theirs)


@models
def test_criterion_below_only_where_registered(key: str) -> None:
    theirs = reference(key).criterion
    lower = fit(key).deviance < theirs - CRITERION - ROUNDING * abs(theirs)
    assert lower == (key in LOWER)


@models
def test_converged_and_boundary(key: str) -> None:
    assert fit(key).converged
    assert fit(key).boundary == reference(key).singular


@models
def test_likelihood_and_information_criteria(key: str) -> None:
    ours, ref = fit(key), reference(key)
    tolerance = {"abs": CRITERION, "rel": ROUNDING}
    assert ours.nobs == ref.nobs
    assert {factor_key(g): count for g, count in ours.ngroups.items()} == ref.ngroups
    assert ours.llf == pytest.approx(ref.loglik, **tolerance)
    assert ours.aic == pytest.approx(ref.aic, **tolerance)
    assert ours.bic == pytest.approx(ref.bic, **tolerance)


@models
def test_fixed_effects(key: str) -> None:
    ours, ref = fit(key), reference(key)
    error = np.abs(aligned(ours.params, ref) - ref.fixef)
    assert (error <= ESTIMATE * ref.se).all()
    np.testing.assert_allclose(aligned(ours.bse, ref), ref.se, rtol=STANDARD_ERROR)


@models
def test_covariance_of_fixed_effects(key: str) -> None:
    ours, ref = fit(key).cov_params(), reference(key)
    at = place(key, list(map(str, ours.index)))
    difference = ours.to_numpy()[np.ix_(at, at)] - ref.vcov
    assert np.abs(difference / np.outer(ref.se, ref.se)).max() <= STANDARD_ERROR


@models
def test_satterthwaite(key: str) -> None:
    ours, ref = fit(key), reference(key)
    theirs = raw(key)["tight"]["satterthwaite"]
    np.testing.assert_allclose(aligned(ours.df, ref), theirs["df"], rtol=DF)
    # A p value of 1e-100 moves by a per cent where its t moves by 1e-5: compare its logarithm.
    p, theirs_p = aligned(ours.pvalues, ref), np.array(theirs["p"])
    seen = theirs_p > 0
    np.testing.assert_allclose(np.log(p[seen]), np.log(theirs_p[seen]), rtol=1e-3, atol=1e-3)
    assert (p[~seen] < 1e-300).all()


@with_kr
def test_kenward_roger(key: str) -> None:
    ours, ref, theirs = kenward_roger(key), reference(key), raw(key)["tight"]["kenward_roger"]
    np.testing.assert_allclose(aligned(ours.bse, ref), theirs["se"], rtol=STANDARD_ERROR)
    np.testing.assert_allclose(aligned(ours.df, ref), theirs["df"], rtol=DF)
    covariance = ours.cov_params()
    at = place(key, list(map(str, covariance.index)))
    difference = covariance.to_numpy()[np.ix_(at, at)] - np.array(theirs["vcov"])
    size = np.outer(theirs["se"], theirs["se"])
    assert np.abs(difference / size).max() <= STANDARD_ERROR


def test_the_two_methods_differ_where_pbkrtest_and_lmertest_do() -> None:
    """Else one could go by the other's name."""
    for key in ("movers_reml", "levels3_path_reml"):
        ref, tight = reference(key), raw(key)["tight"]
        theirs = np.array(tight["kenward_roger"]["df"]) - np.array(tight["satterthwaite"]["df"])
        assert np.abs(theirs).min() > 0.1
        ours = aligned(kenward_roger(key).df, ref) - aligned(fit(key).df, ref)
        np.testing.assert_allclose(ours, theirs, rtol=1e-2)
        assert (kenward_roger(key).bse > fit(key).bse).all()


joint = pytest.mark.parametrize(
    ("key", "i"), [(key, i) for key in KEYS for i in range(len(raw(key)["tight"].get("joint", ())))]
)


@joint
@pytest.mark.parametrize("method", ["kenward_roger", "satterthwaite"])
def test_joint_tests(key: str, i: int, method: str) -> None:
    said = raw(key)["tight"]["joint"][i]
    if method not in said:
        pytest.skip("Kenward and Roger's method is for REML")
    ref = said[method]
    start = kenward_roger(key) if method == "kenward_roger" else fit(key)
    found = tl.test(start, said["text"])
    assert found.df_num == ref["ndf"]
    assert found.df_denom == pytest.approx(ref["ddf"], rel=DF)
    assert found.statistic == pytest.approx(ref["F"], rel=STANDARD_ERROR)
    assert found.p_value == pytest.approx(ref["p"], rel=1e-3, abs=1e-300)


def components(ours: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """Our table of variance components by (factor, term1, term2)."""
    return {
        (
            factor_key(row.group),
            *("" if pd.isna(t) else t for t in (row.term1, row.term2)),
        ): row.vcov
        for row in ours.itertuples()
    }


@models
def test_variance_components(key: str) -> None:
    ours, ref = fit(key).varcorr, reference(key)
    assert list(ours.columns) == ["group", "term1", "term2", "vcov", "sdcor"]
    assert ours["group"].iloc[-1] == "Residual"
    found = components(ours)
    assert found.keys() == ref.varcorr.keys()
    for (group, a, b), value in ref.varcorr.items():
        scale = max(ref.varcorr[group, a, ""], ref.varcorr[group, b, ""]) if b else value
        # a variance at zero is zero to the square of the optimiser's step
        floor = 1e-10 * ref.sigma**2
        assert found[group, a, b] == pytest.approx(value, rel=0, abs=VARIANCE * scale + floor)
    assert fit(key).sigma == pytest.approx(ref.sigma, rel=VARIANCE)


def frames(key: str) -> dict[str, pd.DataFrame]:
    """Our random effects by factor, labels spelled as the reference's are."""
    found = {}
    for name, frame in fit(key).ranef().items():
        labels = [label_key(name, str(label)) for label in frame.index]
        found[factor_key(name)] = frame.set_axis(labels, axis=0)
    return found


@models
def test_random_effects(key: str) -> None:
    ours, ref = frames(key), reference(key)
    assert ours.keys() == ref.modes.keys()
    for factor, modes in ref.modes.items():
        for term, theirs in modes.values.items():
            mine = ours[factor][term]
            spread = float(np.sqrt(modes.sum_squares[term] / len(mine)))
            tolerance = 10 * PREDICTION * spread + 1e-6 * PREDICTION * ref.sigma
            np.testing.assert_allclose(mine[modes.values.index], theirs, rtol=0, atol=tolerance)
            assert (mine**2).sum() == pytest.approx(
                modes.sum_squares[term], rel=VARIANCE, abs=1e-12 * ref.sigma**2
            )


@with_modes
def test_standard_errors_of_random_effects(key: str) -> None:
    ours, ref = frames(key), reference(key)
    for factor, modes in ref.modes.items():
        for term, theirs in modes.se.items():
            mine = ours[factor].loc[theirs.index, f"{term}_se"]
            # a variance at zero is zero to the optimiser's step in theta
            np.testing.assert_allclose(
                mine, theirs, rtol=STANDARD_ERROR, atol=PREDICTION * ref.sigma
            )


@models
def test_fitted_values_and_residuals(key: str) -> None:
    ours, ref = fit(key), reference(key)
    response = raw(key)["formula"].split("~")[0].strip()
    np.testing.assert_allclose(table(key)[response].to_numpy()[:10], ref.response, rtol=1e-14)
    tolerance = 10 * PREDICTION * ref.sigma
    np.testing.assert_allclose(ours.fittedvalues[:10], ref.fitted, rtol=0, atol=tolerance)
    np.testing.assert_allclose(ours.resid[:10], ref.resid, rtol=0, atol=tolerance)
    assert np.sum(np.square(ours.fittedvalues)) == pytest.approx(ref.fitted_sum_squares, rel=1e-6)
    assert np.sum(np.square(ours.resid)) == pytest.approx(ref.resid_sum_squares, rel=1e-6)


@models
def test_predictions(key: str) -> None:
    said, tolerance = raw(key)["tight"]["predict"], 10 * PREDICTION * reference(key).sigma
    new = new_rows(key, said["newdata"])
    found = np.asarray(fit(key).predict(new, level="group"))
    np.testing.assert_allclose(found, said["group"], rtol=0, atol=tolerance)
    found = np.asarray(fit(key).predict(new, level="population"))
    np.testing.assert_allclose(found, said["population"], rtol=0, atol=tolerance)


@models
def test_predictions_with_the_effects_of_one_factor(key: str) -> None:
    said, tolerance = raw(key)["tight"]["predict"], 10 * PREDICTION * reference(key).sigma
    new = new_rows(key, said["newdata"])
    names = {factor_key(name): name for name in fit(key).ngroups}
    for partial in said["partial"]:
        found = np.asarray(fit(key).predict(new, level=names[factor_key(partial["group"])]))
        np.testing.assert_allclose(found, partial["values"], rtol=0, atol=tolerance)


@models
def test_predictions_with_a_group_that_nobody_saw(key: str) -> None:
    """Its own effects are zero; those of the row's other groups count."""
    said, tolerance = raw(key)["tight"]["predict"], 10 * PREDICTION * reference(key).sigma
    for unseen in said["unseen"]:
        new = new_rows(key, {**said["newdata"], unseen["group"]: "nobody"})
        found = np.asarray(fit(key).predict(new, level="group"))
        np.testing.assert_allclose(found, unseen["values"], rtol=0, atol=tolerance)


@models
def test_default_fit_of_lme4_is_near(key: str) -> None:
    """What a user of R sees: the default optimiser's numbers to four digits."""
    ours, ref = fit(key), reference(key, "default")
    assert (np.abs(aligned(ours.params, ref) - ref.fixef) <= 1e-3 * ref.se).all()
    np.testing.assert_allclose(aligned(ours.bse, ref), ref.se, rtol=1e-3)


def test_names_of_columns_are_those_of_the_fit() -> None:
    assert our_term("gr.L") == "C(gr, contr.poly)[.L]"
