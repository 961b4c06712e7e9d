"""`sem` with two levels and with missing values against lavaan, number by number."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import teamlink as tl

from .lme4 import parse as lme4
from .twolevel import parse

TWO = """
level: 1
    fw =~ y1 + y2 + y3
    fw ~ x1 + x2 + x3
level: 2
    fb =~ y1 + y2 + y3
    fb ~ w1 + w2
"""
ONE = "visual =~ x1 + x2 + x3; textual =~ x4 + x5 + x6; speed =~ x7 + x8 + x9"

UPPER = "level: 1\n y2 ~ y1\nlevel: 2\n y1 ~ a*w1\n y2 ~ b*y1 + c*w1"
LOWER = "level: 1\n y2 ~ y1\n y3 ~ y2 + y1\nlevel: 2\n y2 ~ y1\n y3 ~ y2 + y1"
CONTEXT = """
level: 1
    fw =~ y1 + a*y2 + b*y3
    y4 ~ fw
level: 2
    fb =~ y1 + a*y2 + b*y3
    y4 ~ fb
"""

MODELS: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "complete": (TWO, False, {}),
    "complete_random_x": (TWO, False, {"fixed_x": False}),
    "complete_mlr": (TWO, False, {"estimator": "mlr"}),
    "missing": (TWO, True, {"missing": "fiml"}),
    "upper": (UPPER, False, {}),
    "lower": (LOWER, False, {}),
    "context": (CONTEXT, False, {}),
    "rows_missing": (ONE, True, {"missing": "fiml"}),
    "rows_missing_mlr": (ONE, True, {"missing": "fiml", "estimator": "mlr"}),
}

SHORT = dict.fromkeys(["complete", "complete_random_x", "complete_mlr", "upper", "context"], 1e-5)
SHORT |= dict.fromkeys(["missing", "lower"], 1e-3)
"""How far below the optimum lavaan's log-likelihood may lie: with two levels its optimiser stops
with a slope left, at the tightest tolerance at which it reports success; and moments of what is
exogenous at both levels are those of its saturated model, which stops early too."""

AWAY = {key: 5e-3 if limit < 1e-4 else 2e-2 for key, limit in SHORT.items()}
"""How far its estimates may lie, in standard errors, for the same reasons."""


@cache
def fit(key: str) -> Any:
    model, holed, options = MODELS[key]
    if model is not ONE:
        return tl.sem(model, parse.demo(holed), cluster="cluster", **options)
    return tl.sem(model, parse.holzinger(holed), **options)


@cache
def matched(key: str) -> Any:
    """Our table beside lavaan's, row by row."""
    theirs = parse.reference(key).table
    ours = fit(key).parameters
    names = [name for name in ("lhs", "op", "rhs", "level") if name in theirs]
    found = theirs.merge(ours, on=names, suffixes=("_lavaan", ""), validate="one_to_one")
    assert len(found) == len(theirs)
    return found


@pytest.mark.parametrize(
    ("level", "key"), [("within", "saturated_between"), ("between", "saturated_within")]
)
def test_fit_of_a_level_is_that_of_the_other_one_saturated(level, key):
    ours, theirs = fit("complete").level_fit.loc[level], parse.reference(key).measures
    assert ours["df"] == theirs["df"]
    h1 = fit("complete").fit_measures["logl_h1"]
    assert ours["chisq"] == pytest.approx(2 * (h1 - theirs["logl"]), abs=1e-4)
    srmr = fit("complete").fit_measures[f"srmr_{level}"]
    assert ours["srmr"] == pytest.approx(srmr, abs=2e-3)


@pytest.mark.parametrize("key", MODELS)
class TestAgainstLavaan:
    def test_log_likelihood(self, key):
        theirs = parse.reference(key).measures["logl"]
        assert fit(key).converged
        assert theirs <= fit(key).llf + 1e-6
        assert fit(key).llf == pytest.approx(theirs, abs=SHORT.get(key, 1e-6))

    def test_estimates(self, key):
        table = matched(key)
        away = np.abs(table["est"] - table["est_lavaan"])
        if key in AWAY:
            assert (away / table["se_lavaan"]).max() < AWAY[key]
        else:
            assert (away / np.abs(table["est_lavaan"])).max() < 1e-5

    def test_standard_errors(self, key):
        table = matched(key)
        # They move with the estimates, from which lavaan's are a little way off, and lavaan's
        # information is a difference of slopes.
        tolerance = 3e-4 if key in ("complete_mlr", "context") else 1e-4
        assert table["se"].to_numpy() == pytest.approx(table["se_lavaan"].to_numpy(), rel=tolerance)

    def test_degrees_of_freedom_and_counts(self, key):
        ours, theirs = fit(key).fit_measures, parse.reference(key).measures
        names = {"npar": "npar", "df": "df"}
        if key != "complete_random_x":
            # lavaan keeps the covariances of random x in its baseline at two levels; we do not.
            names["baseline_df"] = "baseline.df"
        for name, other in names.items():
            assert ours[name] == theirs[other]

    def test_chisquare_is_that_against_the_true_saturated_model(self, key):
        ours, theirs = fit(key).fit_measures, parse.reference(key).measures
        saturated = theirs["unrestricted.logl"]
        assert saturated <= ours["logl_h1"] + 1e-6
        chisq = 2 * (ours["logl_h1"] - ours["logl"])
        assert ours["chisq"] == pytest.approx(chisq, abs=1e-9)
        # lavaan's saturated model stops early: its chi-square is too small by that much.
        short = 2 * (ours["logl_h1"] - saturated) + 2 * SHORT.get(key, 1e-6)
        assert ours["chisq"] == pytest.approx(theirs["chisq"], abs=short)

    def test_indices(self, key):
        ours, theirs = fit(key).fit_measures, parse.reference(key).measures
        names = {"cfi": "cfi", "tli": "tli", "rmsea": "rmsea"}
        if key in SHORT:
            names |= {"srmr_within": "srmr_within", "srmr_between": "srmr_between"}
            if key == "complete_random_x":
                names = {"cfi": "cfi", "rmsea": "rmsea"}
        else:
            names["srmr"] = "srmr"
        # Those of a saturated model are zero; lavaan's compare it with where its EM stopped.
        limit = 5e-4 if key in ("missing", "upper", "lower") else 2e-5
        for name, other in names.items():
            assert ours[name] == pytest.approx(theirs[other], abs=limit)

    def test_scaling_factors(self, key):
        if not key.endswith("mlr"):
            assert "chisq_scaling_factor" not in fit(key).fit_measures
            return
        ours, theirs = fit(key).fit_measures, parse.reference(key).measures
        for name in (
            *("chisq_scaling_factor", "scaling_factor_h0", "scaling_factor_h1"),
            "baseline_chisq_scaling_factor",
        ):
            other = name.replace("_", ".")
            assert ours[name] == pytest.approx(theirs[other], abs=1e-3)


def test_factor_scores_within_clusters():
    # lavaan's scores between clusters are not expectations given the data: ours, which are, are
    # compared with whole clusters in tests/structural/test_nested.py.
    found = fit("complete").factor_scores()["fw"].to_numpy()[:30]
    assert found == pytest.approx(np.array(parse.raw()["scores"]), abs=2e-4)


LONG = 'level: 1\n normexam ~ rv("s")*standLRT\nlevel: 2\n normexam ~~ s'
WIDE = 'level: 1\n lang ~ rv("s")*iq\nlevel: 2\n lang ~ avg_iq\n lang ~~ s'


@pytest.mark.parametrize(
    ("model", "key", "table", "cluster"),
    [(LONG, "exam_slope_ml", "exam", "school"), (WIDE, "bdf_slope_ml", "bdf", "school")],
)
def test_a_mixed_model_is_that_of_lme4(model, key, table, cluster):
    theirs = lme4.reference(key)
    fit = tl.sem(model, lme4.table(table), cluster=cluster)
    outcome = "normexam" if table == "exam" else "lang"
    assert fit.llf == pytest.approx(theirs.loglik, abs=1e-6)
    rows = fit.parameters.set_index(["lhs", "op", "rhs", "level"])
    # Slopes and intercepts are correlated, so a coefficient shares its digits with the variances.
    assert rows.loc[("s", "~1", "", 2), "est"] == pytest.approx(theirs.fixef[1], rel=1e-5)
    found = {
        ("Intercept", ""): rows.loc[(outcome, "~~", outcome, 2), "est"],
        ("x", ""): rows.loc[("s", "~~", "s", 2), "est"],
        ("Intercept", "x"): rows.loc[(outcome, "~~", "s", 2), "est"],
    }
    predictor = "standLRT" if table == "exam" else "iq"
    for (one, other), value in found.items():
        names = ("school", *(predictor if name == "x" else name for name in (one, other)))
        assert value == pytest.approx(theirs.varcorr[names], rel=1e-4)
