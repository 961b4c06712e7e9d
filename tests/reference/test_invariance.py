"""Ladders of invariance against lavaan, number by number."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import teamlink as tl

from .lavaan.parse import data
from .lme4.parse import md5

HOME = Path(__file__).parent / "invariance"
R: dict[str, Any] = json.loads((HOME / "output.json").read_text(encoding="utf-8"))
MODEL = "visual =~ x1 + x2 + x3; textual =~ x4 + x5 + x6; speed =~ x7 + x8 + x9"
RUNGS = list(R["ml"]["measures"])

MEASURES = 1e-6
"""Absolute, and relative to what is larger than one."""

SCALED = 1e-5
"""Relative. Scaling factors move with the estimates to first order, and lavaan's are 1e-6 off."""

SCORE = 1e-4
"""Of one unit of chi-square, for the same reason."""


@cache
def ladder(estimator: Any) -> Any:
    return tl.invariance(MODEL, data("hs"), group="school", rungs=RUNGS, estimator=estimator)


@cache
def levels() -> Any:
    return tl.invariance("f =~ y1 + y2 + y3", data("twolevel"), cluster="cluster", levels=True)


def test_output_is_of_the_script_as_it_stands() -> None:
    assert R["script_md5"] == md5(HOME / "fit.R"), "fit.R has changed: run it again"


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("estimator", ["ml", "mlr"])
def test_fit_of_each_rung(estimator: str, rung: str) -> None:
    own = ladder(estimator).fits[rung].fit_measures
    for name, value in R[estimator]["measures"][rung].items():
        limit = SCALED if "scaled" in name else MEASURES
        assert own[name.replace(".", "_")] == pytest.approx(value, rel=limit, abs=MEASURES), name


def test_the_table_holds_scaled_and_robust_indices() -> None:
    own, other = ladder("mlr").table, R["mlr"]["measures"]
    np.testing.assert_allclose(own["chisq"], [other[r]["chisq.scaled"] for r in RUNGS], rtol=SCALED)
    np.testing.assert_allclose(own["cfi"], [other[r]["cfi.robust"] for r in RUNGS], rtol=SCALED)
    np.testing.assert_allclose(own["rmsea"], [other[r]["rmsea.robust"] for r in RUNGS], rtol=SCALED)


@pytest.mark.parametrize("estimator", ["ml", "mlr"])
def test_differences(estimator: str) -> None:
    own, other = ladder(estimator).table.iloc[1:], R[estimator]["differences"]
    np.testing.assert_allclose(own["delta_chisq"], other["chisq"], rtol=2e-5)
    np.testing.assert_array_equal(own["delta_df"], other["df"])
    np.testing.assert_allclose(own["delta_pvalue"], other["pvalue"], rtol=3e-4)


def test_partial_invariance() -> None:
    found = tl.invariance(MODEL, data("hs"), group="school", free=["x3~1", "x7 ~ 1"])
    assert found.fits["scalar"].fit_measures["chisq"] == pytest.approx(R["partial"]["chisq"])
    assert found.fits["scalar"].n_parameters == R["partial"]["npar"]
    assert found.free == ("x3~1", "x7~1")


def test_unit_variances() -> None:
    """Later groups' variances are free once loadings are equal."""
    found = tl.invariance(MODEL, data("hs"), group="school", std_lv=True)
    assert found.fits["metric"].fit_measures["chisq"] == pytest.approx(R["std_lv"]["chisq"])
    for name in ("chisq", "df", "npar"):
        expected = ladder("ml").table[name].iloc[:4]
        np.testing.assert_allclose(found.table[name], expected, rtol=1e-8)


@pytest.mark.parametrize(
    ("key", "rung"), [("score_loadings", "metric"), ("score_intercepts", "scalar")]
)
def test_score_tests(key: str, rung: str) -> None:
    own = ladder("ml").release_tests(rung).set_index("parameter")
    other = R[key]
    assert set(own.index) == set(other["parameter"])
    np.testing.assert_allclose(own.loc[other["parameter"], "score"], other["score"], atol=SCORE)
    np.testing.assert_array_equal(own.loc[other["parameter"], "df"], other["df"])


@pytest.mark.parametrize("rung", ["configural", "metric", "strong"])
def test_across_levels(rung: str) -> None:
    own, other = levels().fits[rung].fit_measures, R["levels"]["measures"][rung]
    assert own["npar"] == other["npar"]
    assert own["df"] == other["df"]
    assert other["logl"] - 1e-6 <= own["logl"] <= other["logl"] + 1e-3
    assert own["srmr_between"] == pytest.approx(other["srmr_between"], abs=2e-4)


def test_means_of_factors_of_two_levels() -> None:
    """Of factors within, only that of items without a level between has means of its own."""
    expected = json.loads((HOME / "twolevel.json").read_text(encoding="utf-8"))
    assert expected["script_md5"] == md5(HOME / "twolevel.R"), "twolevel.R has changed"
    frame = pd.read_csv(HOME / "twolevel.csv.gz")
    frame = frame.assign(half=np.where(frame["cluster"] % 2 == 0, "even", "odd"))
    model = """
    level: 1
        fx =~ y4 + y5 + y6
        fw =~ y1 + y2 + y3
    level: 2
        fb =~ y1 + y2 + y3
    """
    equal = ["loadings", "intercepts"]
    fit = tl.sem(model, frame, cluster="cluster", group="half", group_equal=equal)
    where = ["lhs", "op", "rhs", "group", "level"]
    other = pd.DataFrame(expected["table"]).set_index(where)["est"]
    own = fit.parameters.assign(group=[row.group for row in fit.table.rows]).set_index(where)
    free = fit.model.structure.row_parameter >= 0
    assert set(own.index[free]) == set(other.index)
    # lavaan stops with a slope left, at every tolerance; the likelihood there is the same.
    x = fit.x.copy()
    x[fit.model.structure.row_parameter[free]] = other.loc[own.index[free]]
    there = fit.model.derivatives(x[None], np.zeros(1, dtype=np.intp))[0][0]
    assert -there / 2 == pytest.approx(expected["logl"], abs=1e-7)
    assert expected["logl"] <= fit.llf < expected["logl"] + 1
