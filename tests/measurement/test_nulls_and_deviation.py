"""Null distributions of rwg, and average deviation."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.errors import DroppedRows
from teamlink.measurement.nulls import null_variance


def survey(seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(rng.integers(1, 6, size=(60, 3)).astype(float), columns=["a", "b", "c"])
    data.loc[::7, "b"] = np.nan
    return data.assign(school=np.repeat(np.arange(12), 5))


class TestNulls:
    @pytest.mark.parametrize(
        ("null", "variance"),
        # LeBreton and Senter (2008), table 2
        [
            ("uniform", 2.0), ("slight-skew", 1.34), ("moderate-skew", 0.90), ("heavy-skew", 0.44),
            ("triangular", 1.32), ("normal", 1.04), ("maximum", 4.0), (1.7, 1.7),
            ([0.5, 0, 0, 0, 0.5], 4.0),
        ],
    )  # fmt: skip
    def test_variances_of_five_options(self, null: Any, variance: float) -> None:
        assert null_variance(null, 1, 5, True) == pytest.approx(variance, abs=1e-12)

    def test_shares_are_the_uniform_null(self) -> None:
        for options in (2, 4, 7):
            shares = [1 / options] * options
            uniform = null_variance("uniform", 0, options - 1, True)
            assert null_variance(shares, 0, options - 1, True) == pytest.approx(uniform)

    @pytest.mark.parametrize("null", ["slight-skew", "maximum", 1.1])
    def test_rwg_against_it(self, null: Any) -> None:
        data = survey()
        found = tl.rwg(data, by="school", items="a", scale=(1, 5), null=null)
        s2 = data.groupby("school")["a"].var()
        expected = 1 - np.minimum(s2 / null_variance(null, 1, 5, True), 1)
        np.testing.assert_allclose(found, expected)
        assert str(found.name).startswith("rwg, ")

    def test_skewed_nulls_ask_for_more(self) -> None:
        data = survey()
        found = [
            tl.rwg(data, by="school", items=["a", "b", "c"], scale=(1, 5), null=null)
            for null in ("maximum", "uniform", "slight-skew", "moderate-skew", "heavy-skew")
        ]
        for more, less in pairwise(found):
            assert (less <= more + 1e-12).all()

    @pytest.mark.parametrize(
        ("null", "words"),
        [
            ("even", "null='even'"), (-1.0, "a variance is positive"), ([0.5, 0.5], "2 shares"),
            ([0.5, 0.5, 0.5, 0, 0], "add to 1.5"), ([0, 0, 1, 0, 0], "perfect agreement"),
            ([-0.5, 0.5, 0.5, 0.5, 0], "not negative"),
        ],
    )  # fmt: skip
    def test_refused(self, null: Any, words: str) -> None:
        with pytest.raises(tl.OptionError, match=words):
            tl.rwg(survey(), by="school", items="a", scale=(1, 5), null=null)

    def test_tabled_for_five_options(self) -> None:
        with pytest.raises(tl.OptionError, match="here are 7"):
            tl.rwg(survey(), by="school", items="a", scale=(1, 7), null="slight-skew")


class TestAverageDeviation:
    @pytest.mark.parametrize("center", ["mean", "median"])
    def test_by_brute_force(self, center: Any) -> None:
        data = survey()
        found = tl.average_deviation(data, by="school", items=["a", "b", "c"], center=center)
        for school, rows in data.groupby("school"):
            each = []
            for item in ("a", "b", "c"):
                x = rows[item].dropna()
                each.append((x - getattr(x, center)()).abs().mean())
            assert found[school] == pytest.approx(np.mean(each))

    def test_a_group_of_one_has_none(self) -> None:
        found = tl.average_deviation({"g": [1, 1, 2], "x": [1, 2, 4]}, by="g", items="x")
        assert found[1] == 0.5
        assert np.isnan(found[2])

    def test_shift_and_stretch(self) -> None:
        data = survey()
        moved = data.assign(a=3 - 2 * data["a"])
        one = tl.average_deviation(data, by="school", items="a")
        np.testing.assert_allclose(tl.average_deviation(moved, by="school", items="a"), 2 * one)

    def test_bad_input(self) -> None:
        with pytest.raises(tl.DataError, match="a"):
            tl.average_deviation(survey(), by="school", items="a", scale=(2, 4))
        with pytest.raises(tl.OptionError, match="center='middle'"):
            tl.average_deviation(survey(), by="school", items="a", center="middle")  # type: ignore[arg-type]
        with pytest.raises(tl.DataError, match="no item"):
            tl.average_deviation(survey(), by="school", items=[])
        gaps = survey().assign(school=[None, *([1] * 59)])
        with pytest.warns(DroppedRows, match="1 of 60"):
            tl.average_deviation(gaps, by="school", items="a")
