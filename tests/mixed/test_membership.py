"""Who belongs to which groups, and with what weights."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

import teamlink as tl
from teamlink.mixed.membership import Membership


@st.composite
def careers(draw):
    """Occasions of a few children, in any order, each at one of a few schools."""
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))
    child = np.repeat(np.arange(len(lengths)), lengths)
    n = len(child)
    year = np.concatenate([np.arange(length) * 2.0 for length in lengths])
    school = draw(st.lists(st.sampled_from("abcd"), min_size=n, max_size=n))
    order = draw(st.permutations(range(n)))
    frame = pd.DataFrame({"child": child, "year": year, "school": school})
    return frame.iloc[list(order)].reset_index(drop=True)


def by_hand(frame, kind):
    """Weights by the definition, row by row."""
    levels = sorted(frame["school"].unique())
    W = np.zeros((len(frame), len(levels)))
    for i, row in frame.iterrows():
        past = frame[(frame["child"] == row["child"]) & (frame["year"] <= row["year"])]
        if kind == "acute":
            past = past[past["year"] == row["year"]]
        for school in past["school"]:
            W[i, levels.index(school)] += 1 / len(past) if kind == "share" else 1
    return W, levels


@pytest.mark.parametrize("kind", ["cumulative", "share", "acute"])
@given(frame=careers())
def test_weights_are_those_of_the_definition(kind, frame):
    found = tl.cumulative_membership(frame, "school", "child", "year", kind)
    W, levels = by_hand(frame, kind)
    assert list(found.levels) == levels
    assert found.weights.toarray() == pytest.approx(W, abs=1e-12)


@given(frame=careers())
def test_shares_sum_to_one_and_doses_to_the_number_of_occasions(frame):
    share = tl.cumulative_membership(frame, "school", "child", "year", "share").weights
    dose = tl.cumulative_membership(frame, "school", "child", "year").weights
    occasion = frame.groupby("child")["year"].rank()
    assert share.sum(axis=1) == pytest.approx(np.ones(len(frame)))
    assert np.array_equal(dose.sum(axis=1), occasion)


@given(frame=careers())
def test_acute_is_dummy_coding(frame):
    acute = tl.cumulative_membership(frame, "school", "child", "year", "acute")
    dummies = pd.get_dummies(frame["school"]).astype(float)
    assert list(acute.levels) == list(dummies.columns)
    assert np.array_equal(acute.weights.toarray(), dummies)


def test_careers_must_be_complete_and_in_order():
    frame = pd.DataFrame({"child": [1, 1, 2], "year": [1, 1, 1], "school": ["a", None, "b"]})
    with pytest.raises(tl.DataError) as error:
        tl.cumulative_membership(frame, "school", "child", "year")
    assert len(error.value.faults) == 2
    assert "repeats an earlier one" in str(error.value)
    with pytest.raises(tl.OptionError, match="did you mean 'cumulative'"):
        tl.cumulative_membership(frame, "school", "child", "year", "cumulatve")


def test_equal_shares_of_the_ids_that_are_there():
    frame = {"s1": ["b", "a", "c"], "s2": ["a", None, "c"], "s3": ["c", None, None]}
    found = tl.membership(pl.DataFrame(frame), ["s1", "s2", "s3"])
    assert list(found.levels) == ["a", "b", "c"]
    expected = [[1 / 3, 1 / 3, 1 / 3], [1, 0, 0], [0, 0, 1]]
    assert found.weights.toarray() == pytest.approx(np.array(expected))
    assert len(found) == 3


def test_weights_are_taken_as_they_are():
    frame = pd.DataFrame(
        {"s1": [1, 2, 2], "s2": [2, np.nan, 2], "w1": [3, 1, 1], "w2": [0, np.nan, 0.5]}
    )
    found = tl.membership(frame, ["s1", "s2"], ["w1", "w2"])
    assert found.weights.toarray().tolist() == [[3, 0], [0, 1], [0, 1.5]]


def test_every_fault_of_the_weights_at_once():
    frame = pd.DataFrame(
        {
            "s1": ["a", "a", None, "b", "b"],
            "s2": ["b", None, None, "a", "a"],
            "w1": [1, -1, np.nan, 1, 0],
            "w2": [np.nan, 0.5, 0, 1, 0],
        }
    )
    with pytest.raises(tl.DataError) as error:
        tl.membership(frame, ["s1", "s2"], ["w1", "w2"])
    assert [fault.what for fault in error.value.faults] == [
        "1 row with a negative weight: row 1",
        "1 row with an id without a weight: row 0",
        "1 row with a weight without an id: row 1",
        "3 rows with no group: rows 1, 2, 4",
    ]
    with pytest.raises(tl.DataError, match="2 columns of groups and 1 of weights"):
        tl.membership(frame, ["s1", "s2"], ["w1"])
    with pytest.raises(tl.DataError, match=r"did you mean 's1'\?|there are"):
        tl.membership(frame, ["s11", "s2"])


def test_a_membership_made_by_hand_is_checked():
    W = csr_array(np.array([[1.0, -1.0], [0.0, np.nan]]))
    with pytest.raises(tl.DataError) as error:
        Membership(W, pd.Index(["a", "a", "b"]))
    assert len(error.value.faults) == 3


def test_weights_of_groups_that_are_not_known_are_counted_apart():
    made = tl.membership({"s1": ["a", "b"], "s2": ["c", "z"], "w1": [3, 1], "w2": [4, 2]},
                         ["s1", "s2"], ["w1", "w2"])  # fmt: skip
    weights, squares = made.among(pd.Index(["b", "a", "q"]))
    assert weights.toarray().tolist() == [[0, 3, 0], [1, 0, 0]]
    assert squares.tolist() == [16, 4]
