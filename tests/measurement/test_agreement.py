"""rwg and rwg(j)."""

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

TEACHERS = {"school": ["a", "a", "b", "b"], "c1": [4, 5, 1, 5], "c2": [4, 4, 2, 3]}
rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=30
)


@pytest.mark.parametrize("maker", [dict, pd.DataFrame, pl.DataFrame, pa.table])
def test_by_hand_from_every_kind(maker: Any) -> None:
    one = tl.rwg(maker(TEACHERS), by="school", items="c1", scale=(1, 5))
    assert one.tolist() == [1 - 0.5 / 2, 0.0]
    assert one.name == "rwg"
    both = tl.rwg(maker(TEACHERS), by="school", items=["c1", "c2"], scale=(1, 5))
    ratio = np.array([0.25 / 2, 1.0])
    expected = 2 * (1 - ratio) / (2 * (1 - ratio) + ratio)
    np.testing.assert_allclose(both, expected, rtol=1e-14)
    assert both.name == "rwg(j)"


@settings(deadline=None)
@given(rows)
def test_equals_a_loop(drawn: list[tuple[int, int, int]]) -> None:
    frame = pd.DataFrame(drawn, columns=["g", "x", "y"])
    ours = tl.rwg(frame, by="g", items=["x", "y"], scale=(1, 5))
    for group, part in frame.groupby("g"):
        if len(part) < 2:
            assert np.isnan(ours[group])
            continue
        ratio = min(part[["x", "y"]].var().mean() / 2, 1.0)
        expected = 2 * (1 - ratio) / (2 * (1 - ratio) + ratio)
        assert ours[group] == pytest.approx(expected, rel=1e-12, abs=1e-12)


@settings(deadline=None)
@given(rows)
def test_invariant_to_reversal_and_shift_of_the_scale(drawn: list[tuple[int, int, int]]) -> None:
    frame = pd.DataFrame(drawn, columns=["g", "x", "y"])
    ours = tl.rwg(frame, by="g", items=["x", "y"], scale=(1, 5))
    turned = tl.rwg(
        frame.assign(x=6 - frame["x"], y=6 - frame["y"]), by="g", items=["x", "y"], scale=(1, 5)
    )
    moved = tl.rwg(
        frame.assign(x=frame["x"] - 1, y=frame["y"] - 1), by="g", items=["x", "y"], scale=(0, 4)
    )
    np.testing.assert_allclose(turned, ours, atol=1e-12)
    np.testing.assert_allclose(moved, ours, atol=1e-12)
    known = ours.dropna()
    assert ((known >= 0) & (known <= 1)).all()


def test_answers_between_the_options_have_the_continuous_null() -> None:
    data = {"g": [1, 1], "x": [0.25, 0.75]}
    assert tl.rwg(data, by="g", items="x", scale=(0, 1))[1] == 0.0
    data = {"g": [1, 1], "x": [0.4, 0.6]}
    assert tl.rwg(data, by="g", items="x", scale=(0, 1))[1] == pytest.approx(1 - 0.02 * 12)


def test_items_that_only_one_answered_are_passed_over() -> None:
    data = {"g": [1, 1], "x": [4, 5], "y": [3, None]}
    ratio = 0.5 / 2
    expected = 2 * (1 - ratio) / (2 * (1 - ratio) + ratio)
    assert tl.rwg(data, by="g", items=["x", "y"], scale=(1, 5))[1] == pytest.approx(expected)


def test_rows_left_out_are_counted() -> None:
    data = {"g": [1, 1, None, 2], "x": [4, 5, 1, None]}
    with pytest.warns(DroppedRows, match="2 of 4 rows") as caught:
        ours = tl.rwg(data, by="g", items="x", scale=(1, 5))
    assert caught[0].filename == __file__
    assert ours[1] == 0.75
    assert np.isnan(ours[2])


class TestBadInput:
    def test_off_the_scale(self) -> None:
        with pytest.raises(tl.DataError, match="1 value outside 1 to 4, at row 1: 5"):
            tl.rwg({"g": [1, 1], "x": [4, 5]}, by="g", items="x", scale=(1, 4))

    @pytest.mark.parametrize("scale", [(5, 1), (1, 1), (1,), 5, (1, np.inf), None, ("a", "b")])
    def test_scale(self, scale: Any) -> None:
        with pytest.raises(tl.OptionError, match="not a lowest and a highest answer"):
            tl.rwg(TEACHERS, by="school", items="c1", scale=scale)

    def test_columns(self) -> None:
        with pytest.raises(tl.DataError) as caught:
            tl.rwg(TEACHERS, by="shool", items=["c1", "cc"], scale=(1, 5))
        assert len(caught.value.faults) == 2

    def test_no_items(self) -> None:
        with pytest.raises(tl.DataError, match="no item"):
            tl.rwg(TEACHERS, by="school", items=[], scale=(1, 5))
