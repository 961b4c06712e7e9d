"""From students to schools."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import teamlink as tl
from teamlink.errors import DroppedRows

STUDENTS = {
    "school": ["b", "a", "a", "b", "c"],
    "ses": [1.0, 2.0, 4.0, None, None],
    "minority": [1, 0, 1, None, 1],
    "girl": [True, False, True, True, False],
    "sector": ["Catholic", "Public", None, "Catholic", "Public"],
}


@pytest.mark.parametrize("maker", [dict, pd.DataFrame, pl.DataFrame, pa.table])
def test_everything_from_every_kind(maker: Any) -> None:
    schools = tl.aggregate(
        maker(STUDENTS),
        by="school",
        mean=["ses"],
        share=["minority", "girl"],
        sd="ses",
        count="ses",
    )
    assert schools.index.tolist() == ["a", "b", "c"]
    assert schools.index.name == "school"
    assert list(schools.columns) == [
        "n", "ses_mean", "minority_share", "girl_share", "ses_sd", "ses_count",
    ]  # fmt: skip
    assert schools["n"].tolist() == [2, 2, 1]
    np.testing.assert_array_equal(schools["ses_mean"], [3.0, 1.0, np.nan])
    np.testing.assert_array_equal(schools["minority_share"], [0.5, 1.0, 1.0])
    np.testing.assert_array_equal(schools["girl_share"], [0.5, 1.0, 0.0])
    np.testing.assert_allclose(schools["ses_sd"], [np.sqrt(2), np.nan, np.nan])
    assert schools["ses_count"].tolist() == [2, 1, 0]


def test_share_of_a_category_leaves_missing_out() -> None:
    schools = tl.aggregate(STUDENTS, by="school", share={"sector": "Public"})
    np.testing.assert_array_equal(schools["sector_Public_share"], [1.0, 0.0, 1.0])


def test_share_of_several_categories() -> None:
    schools = tl.aggregate(STUDENTS, by="school", share={"sector": ["Public", "Catholic"]})
    total = schools["sector_Public_share"] + schools["sector_Catholic_share"]
    np.testing.assert_array_equal(total, 1.0)


def test_counts_alone() -> None:
    assert tl.aggregate(STUDENTS, by="school").columns.tolist() == ["n"]


def test_two_keys() -> None:
    schools = tl.aggregate(STUDENTS, by=["school", "girl"], mean="minority")
    assert schools.loc[("a", True), "minority_mean"] == 1.0
    assert schools.index.names == ["school", "girl"]


def test_result_can_be_merged_and_passed_on() -> None:
    schools = tl.aggregate(STUDENTS, by="school", mean="ses")
    merged = pd.DataFrame(STUDENTS).merge(schools, on="school")
    assert len(merged) == 5
    assert tl.aggregate(schools, by="school", mean="ses_mean")["n"].tolist() == [1, 1, 1]


def test_rows_without_group_are_counted() -> None:
    data = {"school": ["a", None, "a"], "x": [1.0, 100.0, 3.0]}
    with pytest.warns(DroppedRows, match="1 of 3 rows have no school") as caught:
        schools = tl.aggregate(data, by="school", mean="x", count="x")
    assert caught[0].filename == __file__
    assert schools.loc["a"].tolist() == [2, 2.0, 2]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.one_of(st.none(), st.floats(-1e3, 1e3))),
        min_size=1,
        max_size=40,
    ).filter(lambda rows: any(x is not None for _, x in rows))
)
def test_equals_pandas(rows: list[tuple[str, float | None]]) -> None:
    data = pd.DataFrame(rows, columns=["g", "x"]).astype({"x": float})
    ours = tl.aggregate(data, by="g", mean="x", sd="x", count="x")
    theirs = data.groupby("g")["x"].agg(["mean", "std", "count"])
    np.testing.assert_allclose(ours["x_mean"], theirs["mean"], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(ours["x_sd"], theirs["std"], rtol=1e-8, atol=1e-8)
    assert ours["x_count"].tolist() == theirs["count"].tolist()


def test_hsb_school_file() -> None:
    students = tl.datasets.load("hsb82")
    schools = tl.aggregate(students, by="school", mean="ses", share={"sector": "Catholic"})
    assert len(schools) == 160
    assert schools["n"].sum() == 7185
    assert set(schools["sector_Catholic_share"]) == {0.0, 1.0}


class TestBadInput:
    def test_share_of_other_values(self) -> None:
        with pytest.raises(tl.DataError, match=r"a share needs 0 and 1, but there are: 2, 4"):
            tl.aggregate({"g": [1, 1, 1], "x": [1, 2, 4]}, by="g", share="x")

    def test_category_that_does_not_occur(self) -> None:
        with pytest.raises(
            tl.DataError, match=r"no row has the value 'Publik' \(did you mean 'Public'"
        ):
            tl.aggregate(STUDENTS, by="school", share={"sector": "Publik"})

    def test_all_faults_at_once(self) -> None:
        with pytest.raises(tl.DataError) as caught:
            tl.aggregate(STUDENTS, by="schol", mean=["sector", "sess"])
        assert len(caught.value.faults) == 3

    def test_empty(self) -> None:
        with pytest.raises(tl.DataError, match="no rows"):
            tl.aggregate({"g": [], "x": []}, by="g", mean="x")
