"""Cronbach's alpha."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import teamlink as tl
from teamlink.errors import DroppedRows
from teamlink.measurement.consistency import item_table

ITEMS = {"c1": [1, 2, 3, 4], "c2": [2, 2, 3, 5], "c3": [1, 3, 3, 4]}
answers = st.tuples(st.integers(3, 20), st.integers(2, 5)).flatmap(
    lambda shape: hnp.arrays(float, shape, elements=st.integers(1, 5).map(float))
)


def usable(matrix: np.ndarray) -> bool:
    return bool((np.ptp(matrix, axis=0) > 0).all() and np.ptp(matrix.sum(axis=1)) > 0)


@pytest.mark.parametrize("maker", [dict, pd.DataFrame, pl.DataFrame, pa.table])
def test_by_hand_from_every_kind(maker: Any) -> None:
    # variances 5/3, 2, 19/12; totals 4, 7, 9, 13 with variance 57/4
    expected = 1.5 * (1 - (5 / 3 + 2 + 19 / 12) / (57 / 4))
    assert tl.alpha(maker(ITEMS)) == pytest.approx(expected, rel=1e-14)


@settings(deadline=None)
@given(answers)
def test_equals_the_covariance_formula(matrix: np.ndarray) -> None:
    assume(usable(matrix))
    S = np.cov(matrix.T)
    k = len(S)
    expected = k**2 * (S.sum() - np.trace(S)) / (k * (k - 1)) / S.sum()
    frame = pd.DataFrame(matrix).rename(columns=str)
    assert tl.alpha(frame) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(answers, st.floats(-10, 10), st.sampled_from([-2.0, 0.5, 3.0]))
def test_invariances(matrix: np.ndarray, shift: float, stretch: float) -> None:
    assume(usable(matrix))
    frame = pd.DataFrame(matrix).rename(columns=str)
    moved = (shift + stretch * frame).iloc[::-1, ::-1]
    assert tl.alpha(moved) == pytest.approx(tl.alpha(frame), rel=1e-7, abs=1e-7)


def test_parallel_items_have_alpha_one() -> None:
    assert tl.alpha({"a": [1, 2, 4], "b": [3, 4, 6]}) == pytest.approx(1.0)


def test_opposed_items_are_negative() -> None:
    assert tl.alpha({"a": [1, 2, 3, 4], "b": [4, 3, 2, 2]}) < 0


def test_columns() -> None:
    data = {**ITEMS, "school": ["a", "b", "c", "d"]}
    assert tl.alpha(data, ["c1", "c2", "c3"]) == tl.alpha(ITEMS)


def test_incomplete_rows_are_counted() -> None:
    data = {name: [*values, None] for name, values in ITEMS.items()}
    data["c1"][-1] = 5
    with pytest.warns(DroppedRows, match="1 of 5 rows miss an item") as caught:
        assert tl.alpha(data) == tl.alpha(ITEMS)
    assert caught[0].filename == __file__


def test_item_table() -> None:
    matrix = np.array([[1.0, 2.0, 1.0], [2.0, np.nan, 4.0], [3.0, 3.0, 1.0], [5.0, 1.0, 1.0]])
    table = item_table(matrix, ["a", "b", "c"])
    assert table["n"].tolist() == [4, 3, 4]
    assert table.loc["b", "mean"] == 2.0
    complete = matrix[[0, 2, 3]]
    expected = np.corrcoef(complete[:, 0], complete[:, 1:].sum(axis=1))[0, 1]
    assert table.loc["a", "r_rest"] == pytest.approx(expected)
    # the third item is constant over complete rows, so it has no correlation
    assert np.isnan(table.loc["c", "r_rest"])


class TestBadInput:
    def test_one_item(self) -> None:
        with pytest.raises(tl.DataError, match=r"1 item \(a scale needs at least two"):
            tl.alpha({"c1": [1, 2]})

    def test_constant_items_are_all_named(self) -> None:
        with pytest.raises(tl.DataError) as caught:
            tl.alpha({"a": [1, 1], "b": [2, 2], "c": [1, 2]})
        assert [fault.where for fault in caught.value.faults] == ["column 'a'", "column 'b'"]

    def test_text(self) -> None:
        with pytest.raises(tl.DataError, match="not numbers: 'agree'"):
            tl.alpha({"a": [1, 2], "b": ["agree", "agree"]})

    def test_unknown_column(self) -> None:
        with pytest.raises(tl.DataError, match="did you mean"):
            tl.alpha(ITEMS, ["c1", "c22"])

    def test_same_total(self) -> None:
        with pytest.raises(tl.DataError, match="same total"):
            tl.alpha({"a": [0.1, 0.2, 0.3], "b": [0.3, 0.2, 0.1]})

    def test_too_few_complete_rows(self) -> None:
        data = {"a": [1, 2, None], "b": [None, 1, 2]}
        with pytest.warns(DroppedRows), pytest.raises(tl.DataError, match="there are 1"):
            tl.alpha(data)

    def test_empty(self) -> None:
        with pytest.raises(tl.DataError, match="no rows"):
            tl.alpha({"a": [], "b": []})
