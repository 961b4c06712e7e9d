"""ICC(1) and ICC(2) against dense formulas, invariances, and the limits of both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import teamlink as tl
from teamlink.errors import DroppedRows
from teamlink.measurement.variance import one_way

TEACHERS = {"school": ["a", "a", "b", "b", "b"], "trust": [1.0, 2.0, 3.0, 4.0, 8.0]}

designs = st.lists(
    st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=6), min_size=2, max_size=6
).filter(lambda groups: any(len(g) > 1 for g in groups) and len({x for g in groups for x in g}) > 1)


def frame_of(groups: list[list[float]]) -> pd.DataFrame:
    rows = [(j, x) for j, group in enumerate(groups) for x in group]
    return pd.DataFrame(rows, columns=["g", "x"])


def dense(frame: pd.DataFrame) -> tuple[float, float, float]:
    """MSB, MSW and k0 by projection matrices and the trace that makes the variance unbiased."""
    n = len(frame)
    Z = pd.get_dummies(frame["g"]).to_numpy(dtype=float)
    y = frame["x"].to_numpy()
    P = Z @ np.linalg.inv(Z.T @ Z) @ Z.T
    M = np.full((n, n), 1 / n)
    J = Z.shape[1]
    between, within = y @ (P - M) @ y / (J - 1), y @ (np.eye(n) - P) @ y / (n - J)
    return between, within, np.trace((P - M) @ Z @ Z.T) / (J - 1)


@settings(deadline=None)
@given(designs)
def test_equals_dense_formulas(groups: list[list[float]]) -> None:
    frame = frame_of(groups)
    between, within, k0 = dense(frame)
    ours = one_way(frame["x"].to_numpy(), frame["g"].to_numpy(), len(groups))
    np.testing.assert_allclose(
        [ours.ms_between, ours.ms_within, ours.k0], [between, within, k0], rtol=1e-9, atol=1e-9
    )
    for size, k in (("k0", k0), ("mean", len(frame) / len(groups))):
        expected = (between - within) / (between + (k - 1) * within)
        assert tl.icc1(frame, "g", "x", group_size=size) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(designs, st.floats(-1e3, 1e3), st.sampled_from([-3.0, 0.25, 2.0]))
def test_invariant_to_shift_stretch_and_row_order(
    groups: list[list[float]], shift: float, stretch: float
) -> None:
    frame = frame_of(groups)
    assume(len(set(frame.groupby("g")["x"].mean())) > 1)
    moved = frame.assign(x=shift + stretch * frame["x"]).sample(frac=1, random_state=1)
    moved["g"] = "school " + moved["g"].astype(str)
    assert tl.icc1(moved, "g", "x") == pytest.approx(tl.icc1(frame, "g", "x"), abs=1e-8)
    assert tl.icc2(moved, "g", "x") == pytest.approx(tl.icc2(frame, "g", "x"), rel=1e-5, abs=1e-8)


@settings(deadline=None)
@given(designs)
def test_limits_and_spearman_brown(groups: list[list[float]]) -> None:
    frame = frame_of(groups)
    assume(len(set(frame.groupby("g")["x"].mean())) > 1)
    k = one_way(frame["x"].to_numpy(), frame["g"].to_numpy(), len(groups)).k0
    one, two = tl.icc1(frame, "g", "x"), tl.icc2(frame, "g", "x")
    assert -1 / (k - 1) - 1e-9 <= one <= 1
    assert two <= 1
    assert two == pytest.approx(k * one / (1 + (k - 1) * one), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("maker", [dict, pd.DataFrame, pl.DataFrame, pa.table])
def test_by_hand_from_every_kind(maker: Any) -> None:
    # means 1.5 and 5, grand mean 3.6; SSB = 2*2.1^2 + 3*1.4^2 = 14.7, SSW = 0.5 + 14 = 14.5
    between, within, k0 = 14.7, 14.5 / 3, 5 - 13 / 5
    expected = (between - within) / (between + (k0 - 1) * within)
    assert tl.icc1(maker(TEACHERS), by="school", column="trust") == pytest.approx(expected)
    assert tl.icc2(maker(TEACHERS), by="school", column="trust") == pytest.approx(
        1 - within / between
    )


def test_known_population_is_recovered() -> None:
    rng = np.random.default_rng(7)
    sizes = rng.integers(2, 15, size=4000)
    g = np.repeat(np.arange(len(sizes)), sizes)
    x = rng.normal(scale=np.sqrt(0.2), size=len(sizes))[g] + rng.normal(
        scale=np.sqrt(0.8), size=len(g)
    )
    # the standard error of ICC(1) is near 0.007 here
    assert tl.icc1({"g": g, "x": x}, "g", "x") == pytest.approx(0.2, abs=0.025)


def test_rows_left_out_are_counted() -> None:
    data = {"g": ["a", "a", "b", "b", None, "c"], "x": [1.0, 2.0, 4.0, 3.0, 9.0, None]}
    with pytest.warns(DroppedRows, match="2 of 6 rows") as caught:
        value = tl.icc1(data, "g", "x")
    assert caught[0].filename == __file__
    assert value == tl.icc1({"g": ["a", "a", "b", "b"], "x": [1, 2, 4, 3]}, "g", "x")


@pytest.mark.parametrize("verb", [tl.icc1, tl.icc2])
class TestBadInput:
    def test_one_group(self, verb: Any) -> None:
        with pytest.raises(tl.DesignError, match="1 group has values"):
            verb({"g": [1, 1], "x": [1, 2]}, "g", "x")

    def test_single_respondents(self, verb: Any) -> None:
        with pytest.raises(tl.DesignError, match="single respondent"):
            verb({"g": [1, 2], "x": [1, 2]}, "g", "x")

    def test_constant(self, verb: Any) -> None:
        with pytest.raises(tl.DesignError, match="all values are equal"):
            verb({"g": [1, 1, 2, 2], "x": [0.1] * 4}, "g", "x")

    def test_columns(self, verb: Any) -> None:
        with pytest.raises(tl.DataError) as caught:
            verb({"g": ["a", "b"], "x": ["u", "v"]}, "h", "x")
        assert len(caught.value.faults) == 2


def test_equal_means_have_no_icc2() -> None:
    data = {"g": [1, 1, 2, 2], "x": [0.1, 0.3, 0.3, 0.1]}
    with pytest.raises(tl.DesignError, match="all group means are equal"):
        tl.icc2(data, "g", "x")
    assert tl.icc1(data, "g", "x") == pytest.approx(-1.0)


def test_group_size_option() -> None:
    with pytest.raises(tl.OptionError, match="Allowed: 'k0', 'mean'"):
        tl.icc1(TEACHERS, "school", "trust", group_size="median")  # type: ignore[arg-type]
