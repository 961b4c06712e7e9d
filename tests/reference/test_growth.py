"""Growth curves of egsingle against lme4 and lmerTest, and the verb against its formula."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import teamlink as tl

from .growth.parse import OPTIMISER, SCRIPT, raw, reference
from .lme4.parse import md5

THREE_LEVELS = {"unit": "childid", "group": "schoolid"}

CURVES: dict[str, dict[str, Any]] = {
    "linear": THREE_LEVELS,
    "linear_ml": THREE_LEVELS | {"reml": False},
    "predicted": THREE_LEVELS | {"predictors": ["female", "lowinc"], "time_varying": "retained"},
    "quadratic": THREE_LEVELS
    | {
        "shape": "quadratic",
        "random": ["intercept", "linear"],
        "group_random": ["intercept", "linear"],
    },
    "diagonal": THREE_LEVELS
    | {
        "shape": "quadratic",
        "origin": "first",
        "time_unit": 2,
        "random": ["intercept", "linear"],
        "group_random": "intercept",
        "correlated": False,
        "reml": False,
    },
    "two_rate": THREE_LEVELS | {"shape": "piecewise", "knots": [0.5], "group_random": "intercept"},
    "increment": THREE_LEVELS
    | {"shape": "piecewise", "knots": [0.5], "coding": "increment", "group_random": "intercept"},
    "orthogonal": {
        "unit": "childid",
        "shape": "quadratic",
        "coding": "orthogonal",
        "random": ["intercept", "linear"],
    },
}
"""Keywords of each model of `growth.R`."""

KEYS = tuple(CURVES)

CRITERION = 1e-6
"""Bar of the project: ours may be lower than theirs, never higher by more than this."""


@cache
def pupils() -> pd.DataFrame:
    return tl.datasets.load("egsingle")


@cache
def curve(key: str) -> Any:
    return tl.growth_curve(pupils(), "math", "year", **CURVES[key])


def test_output_is_of_the_scripts_and_data_as_they_stand() -> None:
    assert set(raw()["models"]) == set(KEYS)
    assert raw()["script_md5"] == md5(SCRIPT), "run growth.R again"
    assert raw()["lme4_script_md5"] == md5(OPTIMISER), "run growth.R again"
    assert raw()["data"]["rows"] == len(pupils())
    for name, total in raw()["data"]["sums"].items():
        # R and NumPy add in different orders
        assert pupils()[name].sum() == pytest.approx(total, rel=1e-12)
        squares = raw()["data"]["sums_of_squares"][name]
        assert (pupils()[name] ** 2).sum() == pytest.approx(squares, rel=1e-12)


@pytest.mark.parametrize("key", KEYS)
def test_r_reads_the_text_that_the_verb_writes(key: str) -> None:
    assert curve(key).formula == reference(key).formula


@pytest.mark.parametrize("key", KEYS)
def test_the_formula_is_the_curve(key: str) -> None:
    """Bit by bit: the verb hands its text to lmm and does nothing else."""
    ours = curve(key)
    again = tl.lmm(ours.formula, pupils(), reml=CURVES[key].get("reml", True))
    assert again.deviance == ours.fit.deviance
    assert again.params.equals(ours.fit.params)
    assert again.varcorr.equals(ours.fit.varcorr)
    assert again.df.equals(ours.fit.df)


@pytest.mark.parametrize("key", KEYS)
def test_criterion(key: str) -> None:
    assert curve(key).fit.deviance <= reference(key, "default").criterion + CRITERION
    assert curve(key).fit.deviance == pytest.approx(reference(key).criterion, abs=CRITERION)


@pytest.mark.parametrize("key", KEYS)
def test_fixed_effects(key: str) -> None:
    theirs, ours = reference(key), curve(key).fit
    assert list(ours.params.index) == theirs.terms
    # Both sides stand at the optimum: 2e-9 seen.
    assert (np.abs(ours.params.to_numpy() - theirs.fixef) <= 1e-7 * theirs.se).all()
    assert ours.bse.to_numpy() == pytest.approx(theirs.se, rel=1e-7)
    # lmerTest differentiates numerically: 1e-7 seen.
    assert ours.df.to_numpy() == pytest.approx(theirs.df, rel=1e-5)


@pytest.mark.parametrize("key", KEYS)
def test_variances(key: str) -> None:
    theirs, found = reference(key), {}
    for row in curve(key).fit.varcorr.itertuples():
        terms = ("" if pd.isna(term) else term for term in (row.term1, row.term2))
        found[row.group, *terms] = row.vcov
    assert found.keys() == theirs.varcorr.keys()
    for (group, a, b), value in theirs.varcorr.items():
        scale = np.sqrt(theirs.varcorr[group, a, ""] * theirs.varcorr[group, b or a, ""])
        # Variances are the least certain part of a flat optimum: 7e-9 seen.
        assert found[group, a, b] == pytest.approx(value, abs=1e-6 * scale)


@pytest.mark.parametrize("key", KEYS)
def test_mean_trajectory(key: str) -> None:
    theirs, ours = reference(key), curve(key)
    at = {"female": "Male", "retained": 1, "lowinc": 60} if key == "predicted" else None
    table = ours.trajectories(at, times=theirs.years)
    assert table["year"].to_numpy() == pytest.approx(theirs.years)
    half = 1.959963984540054 * theirs.mean_se
    assert (np.abs(table["prediction"] - theirs.mean) <= 1e-7 * theirs.mean_se).all()
    width = (table["conf_high"] - table["conf_low"]).to_numpy() / 2
    assert width == pytest.approx(half, rel=1e-7)


def test_the_two_codings_of_pieces_are_one_model() -> None:
    one, two = curve("two_rate"), curve("increment")
    assert one.fit.deviance == pytest.approx(two.fit.deviance, abs=1e-7)
    first, second = one.fit.params.to_numpy(), two.fit.params.to_numpy()
    assert first[2] == pytest.approx(second[1] + second[2], rel=1e-7)
