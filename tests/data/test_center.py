"""Centring, and the memory of what was subtracted."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import teamlink as tl
from teamlink.data.center import Centering, center_like, group_means
from teamlink.errors import DroppedRows

SCHOOLS = {"school": ["a", "a", "b", "b"], "ses": [1.0, 2.0, 6.0, np.nan]}
values_and_codes = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        hnp.arrays(float, n, elements=st.one_of(st.floats(-1e3, 1e3), st.just(np.nan))),
        hnp.arrays(np.intp, n, elements=st.integers(-1, 4)),
    )
)


class TestGroupMeans:
    @settings(deadline=None)
    @given(values_and_codes)
    def test_equals_a_loop(self, drawn: tuple[Any, Any]) -> None:
        values, codes = drawn
        means = group_means(values, codes, 5)
        for j in range(5):
            mine = values[(codes == j) & ~np.isnan(values)]
            expected = mine.mean() if len(mine) else np.nan
            np.testing.assert_allclose(means[j], expected, rtol=1e-12, atol=1e-10)

    def test_columns_are_independent(self) -> None:
        values = np.array([[1.0, np.nan], [3.0, 4.0], [5.0, 6.0]])
        means = group_means(values, np.array([0, 0, 1]), 3)
        np.testing.assert_array_equal(means, [[2.0, 4.0], [5.0, 6.0], [np.nan, np.nan]])

    def test_no_digits_are_lost_to_a_large_level(self) -> None:
        rng = np.random.default_rng(1)
        small = rng.standard_normal(10_000)
        codes = np.repeat(np.arange(100), 100)
        level = 2.0**30
        shifted = small + level
        exact = group_means(shifted - level, codes, 100)
        np.testing.assert_allclose(group_means(shifted, codes, 100) - level, exact, atol=2e-7)

    @settings(deadline=None)
    @given(st.floats(-1e6, 1e6), st.integers(1, 200))
    def test_a_group_of_one_value_has_that_mean(self, value: float, n: int) -> None:
        values = np.append(np.full(n, value), 12345.678)
        means = group_means(values, np.append(np.zeros(n, dtype=np.intp), 1), 2)
        assert means.tolist() == [value, 12345.678]

    def test_nobody_in_any_group(self) -> None:
        assert np.isnan(group_means(np.array([1.0]), np.array([-1]), 2)).all()


class TestCenter:
    @pytest.mark.parametrize("maker", [dict, pd.DataFrame, pl.DataFrame, pa.table])
    def test_group(self, maker: Any) -> None:
        centred = tl.center(maker(SCHOOLS), "ses", by="school", method="group")
        np.testing.assert_array_equal(centred["ses_cwc"], [-0.5, 0.5, 0.0, np.nan])
        assert list(centred.columns) == ["school", "ses", "ses_cwc"]

    def test_group_is_the_default(self) -> None:
        assert "ses_cwc" in tl.center(SCHOOLS, "ses", by="school").columns

    def test_contextual(self) -> None:
        centred = tl.center(SCHOOLS, "ses", by="school", method="contextual")
        np.testing.assert_array_equal(centred["ses_cwc"], [-0.5, 0.5, 0.0, np.nan])
        np.testing.assert_array_equal(centred["ses_mean"], [1.5, 1.5, 6.0, 6.0])

    @pytest.mark.parametrize("by", [None, "school"])
    def test_grand(self, by: str | None) -> None:
        centred = tl.center(SCHOOLS, "ses", by=by, method="grand")
        np.testing.assert_array_equal(centred["ses_gmc"], [-2.0, -1.0, 3.0, np.nan])

    def test_several_columns_and_several_keys(self) -> None:
        data = {"s": [1, 1, 1, 1], "w": [1, 1, 2, 2], "x": [1, 3, 5, 9], "y": [0, 0, 0, 2]}
        centred = tl.center(data, ["x", "y"], by=["s", "w"])
        assert centred["x_cwc"].tolist() == [-1, 1, -2, 2]
        assert centred["y_cwc"].tolist() == [0, 0, -1, 1]

    def test_input_is_untouched_and_index_kept(self) -> None:
        data = pd.DataFrame(SCHOOLS, index=[7, 8, 9, 10])
        before = data.copy()
        centred = tl.center(data, "ses", by="school", method="contextual")
        centred.loc[7, "ses"] = -99.0
        pd.testing.assert_frame_equal(data, before)
        assert data.attrs == {}
        assert centred.index.tolist() == [7, 8, 9, 10]

    def test_rows_without_a_group_stay_and_are_counted(self) -> None:
        data = {"school": ["a", None, "a"], "ses": [1.0, 5.0, 3.0]}
        with pytest.warns(DroppedRows, match="1 of 3 rows have no school") as caught:
            centred = tl.center(data, "ses", by="school", method="contextual")
        assert caught[0].filename == __file__
        np.testing.assert_array_equal(centred["ses_cwc"], [-1.0, np.nan, 1.0])
        np.testing.assert_array_equal(centred["ses_mean"], [2.0, np.nan, 2.0])
        (record,) = Centering.of(centred)
        assert record.n_without_group == 1

    def test_missing_values_are_counted(self) -> None:
        (record,) = Centering.of(tl.center(SCHOOLS, "ses", by="school"))
        assert record.n_missing == (1,)

    def test_hsb_school_means(self) -> None:
        students = tl.datasets.load("hsb82")
        centred = tl.center(students, "ses", by="school", method="contextual")
        np.testing.assert_allclose(centred["ses_mean"], students["meanses"], atol=1e-15)
        np.testing.assert_allclose(centred["ses_cwc"], students["cses"], atol=1e-15)

    @settings(deadline=None)
    @given(values_and_codes, st.floats(-100, 100), st.floats(0.5, 4))
    def test_within_part_has_no_means_and_ignores_shift(
        self, drawn: tuple[Any, Any], shift: float, stretch: float
    ) -> None:
        values, codes = drawn
        if np.isnan(values).all():
            values[0] = 1.0
        data = pd.DataFrame({"g": np.abs(codes), "x": values})
        moved = data.assign(x=shift + stretch * data["x"])
        within = tl.center(data, "x", by="g")["x_cwc"]
        sums = within.groupby(data["g"]).sum()
        np.testing.assert_allclose(sums, 0.0, atol=1e-9)
        np.testing.assert_allclose(
            tl.center(moved, "x", by="g")["x_cwc"], stretch * within, rtol=1e-9, atol=1e-9
        )


class TestMemory:
    @pytest.mark.parametrize("method", ["grand", "group", "contextual"])
    def test_new_data_get_the_old_means(self, method: Any) -> None:
        train = tl.center(SCHOOLS, "ses", by="school", method=method)
        new = {"school": ["b", "a"], "ses": [0.0, 0.0]}
        again = center_like(new, train)
        subtracted = [-3.0, -3.0] if method == "grand" else [-6.0, -1.5]
        assert again["ses_gmc" if method == "grand" else "ses_cwc"].tolist() == subtracted
        assert set(again.columns) == set(train.columns)

    def test_two_calls_are_both_remembered(self) -> None:
        data = pd.DataFrame(SCHOOLS).assign(age=[7.0, 8.0, 9.0, 10.0])
        train = tl.center(tl.center(data, "ses", by="school"), "age", method="grand")
        assert [record.columns for record in Centering.of(train)] == [("ses",), ("age",)]
        again = center_like(data, train)
        pd.testing.assert_frame_equal(again, train)

    @pytest.mark.parametrize("ids", [[3, 5], ["a", "b"], [1.5, 2.5], [True, False]])
    def test_memory_is_exact_and_survives_parquet(self, ids: list[Any], tmp_path: Path) -> None:
        data = pd.DataFrame({"g": ids * 3, "x": np.random.default_rng(2).normal(500, 1, 6)})
        train = tl.center(data, "x", by="g", method="contextual")
        train.to_parquet(tmp_path / "train.parquet")
        back = pd.read_parquet(tmp_path / "train.parquet")
        assert Centering.of(back) == Centering.of(train)
        pd.testing.assert_frame_equal(center_like(data, back), train)

    def test_memory_travels_with_the_frame(self) -> None:
        train = tl.center(SCHOOLS, "ses", by="school")
        assert Centering.of(train[train["ses"] > 1].copy()) == Centering.of(train)

    def test_keys_of_two_columns(self) -> None:
        data = {"s": ["a", "a", "b"], "w": [1, 2, 1], "x": [1.0, 2.0, 3.0]}
        train = tl.center(data, "x", by=["s", "w"])
        again = center_like({"s": ["b", "a"], "w": [1, 2], "x": [0.0, 0.0]}, train)
        assert again["x_cwc"].tolist() == [-3.0, -2.0]

    def test_integer_ids_are_found_again_as_floats(self) -> None:
        train = tl.center({"g": [1, 2], "x": [1.0, 5.0]}, "x", by="g")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DroppedRows)
            again = center_like({"g": [2.0, np.nan], "x": [0.0, 0.0]}, train)
        np.testing.assert_array_equal(again["x_cwc"], [-5.0, np.nan])

    def test_unknown_groups_are_named(self) -> None:
        train = tl.center(SCHOOLS, "ses", by="school")
        with pytest.raises(tl.DataError, match="2 groups have no mean to subtract: 'x', 'z'"):
            center_like({"school": ["a", "z", "x"], "ses": [1.0, 2.0, 3.0]}, train)

    def test_nothing_remembered(self) -> None:
        with pytest.raises(tl.DataError, match="remembers no centring"):
            center_like(SCHOOLS, pd.DataFrame(SCHOOLS))

    def test_dates_as_ids_are_refused(self) -> None:
        data = {"day": pd.to_datetime(["2001-01-01", "2001-01-02"]), "x": [1.0, 2.0]}
        with pytest.raises(tl.DataError, match="group ids of kind Timestamp"):
            tl.center(data, "x", by="day")


class TestBadInput:
    def test_method(self) -> None:
        with pytest.raises(tl.OptionError, match="did you mean 'group'"):
            tl.center(SCHOOLS, "ses", by="school", method="grp")  # type: ignore[arg-type]

    @pytest.mark.parametrize("method", ["group", "contextual"])
    def test_groups_are_needed(self, method: Any) -> None:
        with pytest.raises(tl.DataError, match="needs groups"):
            tl.center(SCHOOLS, "ses", method=method)

    def test_no_column(self) -> None:
        with pytest.raises(tl.DataError, match="no column to centre"):
            tl.center(SCHOOLS, [], by="school")

    def test_text_and_missing_columns_together(self) -> None:
        with pytest.raises(tl.DataError) as caught:
            tl.center(SCHOOLS, ["sess", "school"], method="grand")
        assert len(caught.value.faults) == 2

    def test_name_is_taken(self) -> None:
        data = {**SCHOOLS, "ses_mean": [0.0] * 4, "ses_cwc": [0.0] * 4}
        with pytest.raises(tl.DataError) as caught:
            tl.center(data, "ses", by="school", method="contextual")
        assert len(caught.value.faults) == 2
