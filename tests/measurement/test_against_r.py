"""One survey, number by number against R's psych and multilevel."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import teamlink as tl

HOME = Path(__file__).parents[1] / "reference" / "measurement"
R: dict[str, Any] = json.loads((HOME / "output.json").read_text(encoding="utf-8"))
ITEMS = ["c1", "c2", "c3", "c4"]

EXACT = 1e-12
"""Relative. Closed formulas: what differs is the order of sums, and R prints 15 digits."""


@pytest.fixture(scope="module")
def survey() -> pd.DataFrame:
    return tl.load(HOME / "survey.csv")


@pytest.fixture(scope="module")
def scale(survey: pd.DataFrame) -> Any:
    return tl.survey_scale(
        survey, by="school", items=ITEMS, reverse="c3", scale=(1, 5), group_size="mean"
    )


@pytest.mark.parametrize(("file", "key"), [("run.R", "script_md5"), ("survey.csv", "survey_md5")])
def test_script_input_and_output_belong_together(file: str, key: str) -> None:
    raw = (HOME / file).read_bytes()
    assert hashlib.md5(raw, usedforsecurity=False).hexdigest() == R[key]


def test_mean_squares(scale: Any) -> None:
    ours = [scale.ms_between, scale.ms_within]
    np.testing.assert_allclose(ours, R["aov"]["mean_sq"], rtol=EXACT)
    assert [scale.n_groups - 1, scale.n_respondents - scale.n_groups] == R["aov"]["df"]


def test_icc(scale: Any) -> None:
    np.testing.assert_allclose([scale.icc1, scale.icc2], [R["icc1"], R["icc2"]], rtol=EXACT)


def test_icc_by_the_verbs(scale: Any) -> None:
    one = tl.icc1(scale.respondents, by="school", column="score", group_size="mean")
    two = tl.icc2(scale.respondents, by="school", column="score")
    np.testing.assert_allclose([one, two], [R["icc1"], R["icc2"]], rtol=EXACT)


def test_alpha_and_item_rest_correlations(scale: Any, survey: pd.DataFrame) -> None:
    turned = survey[ITEMS].assign(c3=6 - survey["c3"])
    np.testing.assert_allclose([scale.alpha, tl.alpha(turned)], R["alpha"], rtol=EXACT)
    np.testing.assert_allclose(scale.items["r_rest"], list(R["r_rest"].values()), rtol=EXACT)


def test_rwg(scale: Any, survey: pd.DataFrame) -> None:
    def theirs(key: str) -> np.ndarray:
        return np.array([np.nan if x is None else x for x in R[key].values()], dtype=float)

    one = tl.rwg(survey, by="school", items="c1", scale=(1, 5))
    assert one.index.tolist() == list(R["rwg"])
    np.testing.assert_allclose(one, theirs("rwg"), rtol=EXACT)
    np.testing.assert_allclose(scale.scores["rwg"], theirs("rwg_j"), rtol=EXACT)
    assert scale.rwg == pytest.approx(np.nanmean(theirs("rwg_j")), rel=EXACT)


def test_means(scale: Any) -> None:
    assert scale.scores.index.tolist() == list(R["means"])
    np.testing.assert_allclose(scale.scores["score"], list(R["means"].values()), rtol=EXACT)
