"""Any table in, every fault out."""

from __future__ import annotations

import datetime
import tracemalloc
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import teamlink as tl
from teamlink.data.schema import as_frame, group_codes, numbers

COLUMNS = {"school": ["a", "b", "b"], "ses": [0.5, None, 1.5], "n": [1, 2, 3]}
MAKERS = {
    "dict": dict,
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "polars lazy": lambda data: pl.DataFrame(data).lazy(),
    "pyarrow": pa.table,
}


@pytest.fixture(params=MAKERS, ids=str)
def table(request: pytest.FixtureRequest) -> Any:
    return MAKERS[request.param](COLUMNS)


def faults_of(*args: Any, **kwargs: Any) -> list[str]:
    with pytest.raises(tl.DataError) as caught:
        tl.validate(*args, **kwargs)
    return [str(fault) for fault in caught.value.faults]


class TestAsFrame:
    def test_every_kind_gives_the_same_frame(self, table: Any) -> None:
        frame = as_frame(table, ["ses", "school"])
        assert list(frame.columns) == ["ses", "school"]
        np.testing.assert_array_equal(frame["ses"], [0.5, np.nan, 1.5])
        assert frame["school"].tolist() == ["a", "b", "b"]

    def test_all_columns(self, table: Any) -> None:
        assert list(as_frame(table).columns) == ["school", "ses", "n"]

    def test_missing_columns_are_all_named(self, table: Any) -> None:
        with pytest.raises(tl.DataError) as caught:
            as_frame(table, ["sess", "n", "schol"])
        assert len(caught.value.faults) == 2
        assert "did you mean 'ses'?" in str(caught.value)
        assert "did you mean 'school'?" in str(caught.value)

    def test_polars_without_pyarrow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise ModuleNotFoundError("pyarrow")

        monkeypatch.setattr(pl.DataFrame, "to_pandas", refuse)
        frame = as_frame(pl.DataFrame(COLUMNS))
        np.testing.assert_array_equal(frame["ses"], [0.5, np.nan, 1.5])
        assert frame["school"].tolist() == ["a", "b", "b"]

    def test_pandas_memory_is_shared(self) -> None:
        n = 1_000_000
        data = pd.DataFrame({"x": np.arange(n, dtype=float), "y": np.ones(n), "g": np.arange(n)})
        tracemalloc.start()
        frame = as_frame(data, ["x", "g"])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert np.shares_memory(frame["x"].to_numpy(), data["x"].to_numpy())
        assert peak < 1_000_000
        assert as_frame(data) is data

    def test_index_is_kept_and_its_name_counts_as_a_column(self) -> None:
        data = pd.DataFrame({"ses": [1.0, 2.0]}, index=pd.Index(["b", "a"], name="school"))
        frame = as_frame(data, ["school", "ses"])
        assert frame["school"].tolist() == ["b", "a"]
        assert frame.index.tolist() == ["b", "a"]
        assert tl.validate(data, groups="school")["school"].tolist() == ["b", "a"]

    def test_a_column_goes_before_an_index_of_its_name(self) -> None:
        data = pd.DataFrame({"school": ["x", "y"]}, index=pd.Index(["b", "a"], name="school"))
        assert as_frame(data, ["school"])["school"].tolist() == ["x", "y"]

    @pytest.mark.parametrize(
        ("data", "says"),
        [
            ([1, 2], "builtins.list is not a table"),
            (None, "NoneType is not a table"),
            (pd.Series([1]), "Series is not a table"),
            ({"a": [1, 2], "b": [1]}, "'a' has 2, 'b' has 1"),
            ({"a": 1.0}, "must be a sequence"),
            ({"a": "xyz"}, "must be a sequence"),
        ],
    )
    def test_what_is_no_table(self, data: Any, says: str) -> None:
        with pytest.raises(tl.DataError, match=says):
            as_frame(data, ["a"])

    @pytest.mark.parametrize("maker", ["pandas", "pyarrow"])
    def test_two_columns_of_one_name(self, maker: str) -> None:
        data = (
            pd.DataFrame([[1, 2, 3]], columns=["a", "a", "b"])
            if maker == "pandas"
            else pa.table([[1], [2], [3]], names=["a", "a", "b"])
        )
        with pytest.raises(tl.DataError, match=r"same name|have this name"):
            as_frame(data, ["a"])

    def test_two_columns_of_one_name_elsewhere_do_no_harm(self) -> None:
        data = pd.DataFrame([[1, 2, 3]], columns=["a", "a", "b"])
        assert as_frame(data, ["b"])["b"].tolist() == [3]


class TestNumbers:
    @pytest.mark.parametrize(
        "column",
        [
            [1, 2, None],
            pd.array([1, 2, None], dtype="Int64"),
            pd.array([1.0, 2.0, None], dtype="Float32"),
            pd.array([1, 2, None], dtype=pd.ArrowDtype(pa.int32())),
            pd.Series([1, 2.0, None], dtype=object),
        ],
        ids=["list", "Int64", "Float32", "arrow", "object"],
    )
    def test_missing_becomes_nan(self, column: Any) -> None:
        values = numbers(pd.DataFrame({"x": column}), "x")
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, [1.0, 2.0, np.nan])

    @pytest.mark.parametrize("dtype", [bool, "boolean", np.int8, np.float32])
    def test_other_kinds(self, dtype: Any) -> None:
        values = numbers(pd.DataFrame({"x": pd.Series([1, 0], dtype=dtype)}), "x")
        np.testing.assert_array_equal(values, [1.0, 0.0])

    def test_float64_is_not_copied(self) -> None:
        frame = pd.DataFrame({"x": np.arange(5.0)})
        assert np.shares_memory(numbers(frame, "x"), frame["x"].to_numpy())


class TestGroupCodes:
    @pytest.mark.parametrize(
        "column",
        [
            ["b", None, "a", "b"],
            [2.0, np.nan, 1.0, 2.0],
            pd.array([2, None, 1, 2], dtype="Int64"),
            pd.Categorical(["b", None, "a", "b"], categories=["a", "b", "unused"]),
        ],
        ids=["text", "float", "Int64", "categorical"],
    )
    def test_kinds(self, column: Any) -> None:
        codes, levels = group_codes(pd.DataFrame({"g": column}), "g")
        np.testing.assert_array_equal(codes, [1, -1, 0, 1])
        assert codes.dtype == np.intp
        assert len(levels) == 2
        assert levels.name == "g"

    @settings(deadline=None)
    @given(
        st.lists(st.one_of(st.integers(-40, 40), st.integers(-(2**63), 2**63 - 1)), min_size=1),
    )
    def test_integers_as_pandas_has_them(self, ids: list[int]) -> None:
        codes, levels = group_codes(pd.DataFrame({"g": np.array(ids, dtype=np.int64)}), "g")
        assert levels.tolist() == sorted(set(ids))
        assert levels.dtype == np.int64
        assert levels[codes].tolist() == ids

    @pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint64])
    def test_small_and_unsigned_integers(self, dtype: Any) -> None:
        top = np.iinfo(dtype).max
        ids = np.array([top, 0, top, 1], dtype=dtype)
        codes, levels = group_codes(pd.DataFrame({"g": ids}), "g")
        assert codes.tolist() == [2, 0, 2, 1]
        assert levels.tolist() == [0, 1, top]

    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from([None, "a", "b", "c"]),
                st.sampled_from([None, 1.0, 2.0]),
                st.sampled_from([True, False]),
            ),
            min_size=1,
            max_size=30,
        )
    )
    def test_several_columns_name_the_combinations(self, rows: list[tuple[Any, ...]]) -> None:
        frame = pd.DataFrame(rows, columns=["x", "y", "z"])
        codes, levels = group_codes(frame, ["x", "y", "z"])
        whole = [row for row in rows if None not in row]
        assert levels.tolist() == sorted(set(whole))
        for row, code in zip(rows, codes, strict=True):
            assert code == (levels.tolist().index(row) if None not in row else -1)


class TestValidate:
    def test_gives_the_columns_named(self, table: Any) -> None:
        frame = tl.validate(table, numeric="ses", groups=["school"])
        assert list(frame.columns) == ["ses", "school"]

    def test_no_demand_gives_all(self, table: Any) -> None:
        assert list(tl.validate(table).columns) == ["school", "ses", "n"]

    def test_reports_every_fault_at_once(self) -> None:
        data = pd.DataFrame(
            {
                "math": [1.0, np.inf, -np.inf, 4.0],
                "text": ["1", "x", "y", None],
                "void": [np.nan] * 4,
                "pupil": [1, 1, 2, 3],
                "school": ["a", "b", "b", "b"],
                "age": [7.0, 199.0, 9.0, np.nan],
            }
        )
        found = faults_of(
            data,
            numeric=["math", "text", "void", "sess"],
            complete=["age"],
            nested=[("pupil", "school")],
            bounds={"age": (5, 25)},
            unique="pupil",
        )
        assert len(found) == 8
        for words in (
            "column 'sess': there is no such column",
            "column 'void': all values are missing",
            "column 'math': 2 infinite values, at rows 1, 2",
            "column 'text': 2 of 3 values are not numbers: 'x', 'y'",
            "column 'age': 1 value outside 5 to 25, at row 1: 199.0",
            "column 'age': 1 missing value, at row 3",
            "column 'pupil': 1 group of 'pupil' occurs in more than one 'school': 1",
            "column 'pupil': 1 row repeats an earlier one, at row 1",
        ):
            assert any(words in fault for fault in found), (words, found)

    @pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
    def test_empty_table(self, maker: Any) -> None:
        empty = maker({"ses": np.array([], dtype=float)})
        assert faults_of(empty, numeric="ses") == [
            "the table has no rows (check the file, or the filter that made it)"
        ]

    def test_empty_table_and_missing_column_together(self) -> None:
        found = faults_of(pd.DataFrame({"ses": []}), numeric=["ses", "math"])
        assert len(found) == 2

    def test_no_wanted_column_at_all(self, table: Any) -> None:
        assert len(faults_of(table, numeric=["x1", "x2"])) == 2

    def test_rows_are_named_by_their_labels(self) -> None:
        data = pd.DataFrame({"x": [1.0, np.inf]}, index=["first", "second"])
        assert "at row second" in faults_of(data, numeric="x")[0]

    def test_many_rows_are_cut(self) -> None:
        data = {"x": [np.inf] * 9 + [1.0]}
        assert "9 infinite values, at rows 0, 1, 2, 3, 4, …" in faults_of(data, numeric="x")[0]

    @pytest.mark.parametrize(
        ("values", "says"),
        [
            (["low", "high"], "2 of 2 values are not numbers: 'low', 'high'"),
            (["1", "2"], "where numbers are needed"),
            ([1.0, "n/a"], "1 of 2 values are not numbers: 'n/a'"),
            (pd.Categorical([1, 2]), "categories where numbers are needed"),
            ([datetime.datetime(2001, 1, 1)] * 2, "where numbers are needed"),
            ([1j, 2j], "where numbers are needed|not numbers"),
        ],
    )
    def test_not_numeric(self, values: Any, says: str) -> None:
        with pytest.raises(tl.DataError, match=says):
            tl.validate({"x": values}, numeric="x")

    @pytest.mark.parametrize(
        "values", [[True, False], pd.array([1, None], "Int64"), pd.Series([1, 2.5], dtype=object)]
    )
    def test_numeric(self, values: Any) -> None:
        assert len(tl.validate({"x": values}, numeric="x")) == 2

    def test_missing_ids_are_allowed_but_not_only_them(self) -> None:
        tl.validate({"g": ["a", None]}, groups="g")
        assert "all values are missing" in faults_of({"g": [None, None]}, groups="g")[0]

    def test_nesting_holds(self) -> None:
        data = {"pupil": [1, 1, 2, None], "school": ["a", "a", "b", "b"]}
        assert len(tl.validate(data, nested=[("pupil", "school")])) == 4

    def test_missing_upper_id_is_no_second_group(self) -> None:
        data = {"pupil": [1, 1], "school": ["a", None]}
        assert len(tl.validate(data, nested=[("pupil", "school")])) == 2

    @pytest.mark.parametrize(
        ("limits", "outside"),
        [
            ((1, 5), "2 values outside 1 to 5"),
            ((None, 5), "outside -inf to 5"),
            ((1, None), "1 to inf"),
        ],
    )
    def test_bounds(self, limits: Any, outside: str) -> None:
        assert outside in faults_of({"x": [0, 1, 5, 6]}, bounds={"x": limits})[0]
        tl.validate({"x": [1, 5, None]}, bounds={"x": limits})

    def test_unique_key_of_two_columns(self) -> None:
        data = {"pupil": [1, 1, 1], "wave": [1, 2, 2]}
        assert (
            "columns 'pupil', 'wave': 1 row repeats" in faults_of(data, unique=["pupil", "wave"])[0]
        )
        tl.validate({"pupil": [1, 1], "wave": [1, 2]}, unique=["pupil", "wave"])

    def test_duplicate_names_without_demands(self) -> None:
        data = pd.DataFrame([[1, 2]], columns=["a", "a"])
        assert faults_of(data) == ["column 'a': 2 columns have this name (rename all but one)"]


def test_no_group_column() -> None:
    with pytest.raises(tl.DataError, match="no column that identifies the groups"):
        group_codes(pd.DataFrame({"x": [1]}), [])
