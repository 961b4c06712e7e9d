"""From survey answers to school scores."""

from __future__ import annotations

import dataclasses
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

TEACHERS = {
    "school": ["b", "b", "a", "a", "c", "c", "c"],
    "c1": [2, 1, 4, 5, 3, 4, 4],
    "c2": [2, 1, 5, 5, 3, 3, None],
    "c3": [5, 4, 1, 1, 2, 3, None],
}
ITEMS = ["c1", "c2", "c3"]


def scale_of(data: Any = None, **options: Any) -> Any:
    options = {"by": "school", "items": ITEMS, "reverse": "c3", "scale": (1, 5)} | options
    return tl.survey_scale(TEACHERS if data is None else data, **options)


def survey(n_schools: int, n_teachers: int, seed: int, noise: float = 0.6) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(n_schools), n_teachers)
    latent = rng.normal(scale=0.6, size=n_schools)[school] + rng.normal(
        scale=noise, size=len(school)
    )
    items = np.clip(
        np.rint(3 + latent[:, None] + rng.normal(scale=0.8, size=(len(school), 4))), 1, 5
    )
    return pd.DataFrame(items, columns=["c1", "c2", "c3", "c4"]).assign(school=school)


class TestScores:
    @pytest.mark.parametrize("maker", [dict, pd.DataFrame, pl.DataFrame, pa.table])
    def test_by_hand_from_every_kind(self, maker: Any) -> None:
        with pytest.warns(DroppedRows, match="respondents with too few answers: 1") as caught:
            scale = scale_of(maker(TEACHERS))
        assert caught[0].filename == __file__
        assert scale.scores.index.tolist() == ["a", "b", "c"]
        assert scale.scores.index.name == "school"
        a, b, c = np.array([14 / 3, 5]), np.array([5 / 3, 4 / 3]), np.array([10 / 3, 10 / 3])
        np.testing.assert_allclose(scale.scores["score"], [a.mean(), b.mean(), c.mean()])
        assert scale.scores["n_respondents"].tolist() == [2, 2, 2]
        assert scale.scores["n_items"].tolist() == [6, 6, 6]
        within = sum(((x - x.mean()) ** 2).sum() for x in (a, b, c)) / 3
        means = np.array([a.mean(), b.mean(), c.mean()])
        between = 2 * means.var(ddof=1)
        assert scale.icc1 == pytest.approx((between - within) / (between + within))
        assert scale.icc2 == pytest.approx((between - within) / between)
        np.testing.assert_allclose(scale.scores["se"], np.sqrt(within / 2))
        # groups of one size: each school's reliability is ICC(2)
        np.testing.assert_allclose(scale.scores["reliability"], scale.icc2)
        assert scale.n_respondents == 6
        assert scale.n_groups == 3

    def test_reliability_of_unequal_groups_is_spearman_brown(self) -> None:
        data = survey(30, 6, seed=1).iloc[:-4]
        scale = tl.survey_scale(data, by="school", items=["c1", "c2", "c3", "c4"], scale=(1, 5))
        n = scale.scores["n_respondents"]
        expected = n * scale.icc1 / (1 + (n - 1) * scale.icc1)
        np.testing.assert_allclose(scale.scores["reliability"], expected, rtol=1e-12)
        assert scale.scores["reliability"].iloc[-1] == scale.scores["reliability"].min()

    def test_negative_variance_between_schools_gives_reliability_zero(self) -> None:
        data = {"g": [1, 1, 2, 2], "x": [1, 5, 1, 4], "y": [1, 5, 2, 4]}
        scale = tl.survey_scale(data, by="g", items=["x", "y"], scale=(1, 5))
        assert scale.icc1 < 0
        assert scale.scores["reliability"].tolist() == [0.0, 0.0]

    def test_partly_missing_answers(self) -> None:
        data = {**TEACHERS, "c3": [5, 4, 1, 1, 2, 3, 2]}
        scale = scale_of(data)
        assert scale.dropped == {
            "rows without school": 0,
            "respondents with too few answers": 0,
            "groups without any respondent left": 0,
        }
        assert scale.respondents["score"].iloc[-1] == (4 + 4) / 2
        assert scale.scores.loc["c", "n_items"] == 8
        # alpha is over those who answered every item
        complete = pd.DataFrame(data).dropna().assign(c3=lambda d: 6 - d["c3"])
        assert scale.alpha == pytest.approx(tl.alpha(complete, ITEMS))

    def test_min_items(self) -> None:
        assert scale_of(min_items=1).n_respondents == 7
        with pytest.warns(DroppedRows):
            assert scale_of(min_items=3).n_respondents == 6

    def test_school_that_loses_everybody_is_counted(self) -> None:
        data = {**TEACHERS, "school": ["b", "b", "a", "a", "c", None, "d"]}
        with pytest.warns(
            DroppedRows, match=r"rows without school: 1; resp.*: 1; groups without .*: 1"
        ):
            scale = scale_of(data)
        assert scale.scores.index.tolist() == ["a", "b", "c"]
        assert list(scale.dropped.values()) == [1, 1, 1]
        assert np.isnan(scale.scores.loc["c", "rwg"])
        assert scale.rwg == pytest.approx(scale.scores["rwg"].dropna().mean())

    def test_respondents_keep_their_labels(self) -> None:
        data = pd.DataFrame(TEACHERS, index=list("tuvwxyz"))
        with pytest.warns(DroppedRows):
            scale = scale_of(data, name="collaboration")
        assert scale.respondents.index.tolist() == list("tuvwxy")
        assert list(scale.respondents.columns) == ["school", "collaboration", "n_items"]
        assert "collaboration" in scale.scores.columns

    def test_observed_scale_when_none_is_given(self) -> None:
        with pytest.warns(DroppedRows):
            scale = scale_of(scale=None)
        assert scale.scale == (1.0, 5.0)
        assert not scale.scale_given
        assert "taken from the answers" in scale.summary()

    def test_two_keys(self) -> None:
        data = survey(8, 4, seed=2).assign(wave=[1, 2] * 16)
        scale = tl.survey_scale(data, by=["school", "wave"], items=["c1", "c2"], scale=(1, 5))
        assert scale.scores.index.names == ["school", "wave"]
        assert len(scale.scores) == 16

    def test_can_be_merged_and_aggregated(self) -> None:
        data = survey(8, 4, seed=3)
        scale = tl.survey_scale(data, by="school", items=["c1", "c2"], scale=(1, 5))
        assert len(data.merge(scale.scores, on="school")) == len(data)
        again = tl.aggregate(scale.respondents, by="school", mean="score")
        np.testing.assert_allclose(again["score_mean"], scale.scores["score"])

    def test_input_is_untouched(self) -> None:
        data = survey(8, 4, seed=4)
        before = data.copy()
        tl.survey_scale(data, by="school", items=["c1", "c2"], reverse=["c1"], scale=(1, 5))
        pd.testing.assert_frame_equal(data, before)


class TestInvariance:
    @settings(max_examples=settings().max_examples // 2)
    @given(st.integers(0, 10_000))
    def test_rows_labels_and_direction(self, seed: int) -> None:
        data = survey(6, 4, seed)
        items = ["c1", "c2", "c3", "c4"]
        one = tl.survey_scale(data, by="school", items=items, scale=(1, 5))
        mixed = data.assign(school="s" + data["school"].astype(str), c2=6 - data["c2"])
        two = tl.survey_scale(
            mixed.sample(frac=1, random_state=seed),
            by="school",
            items=items[::-1],
            reverse="c2",
            scale=(1, 5),
        )
        np.testing.assert_allclose(two.scores, one.scores, rtol=1e-9, atol=1e-9)
        for name in ("alpha", "icc1", "icc2", "rwg"):
            assert getattr(two, name) == pytest.approx(getattr(one, name), rel=1e-9)

    @settings(max_examples=settings().max_examples // 2)
    @given(st.integers(0, 10_000), st.sampled_from([2.0, 0.5]), st.sampled_from([-3.0, 10.0]))
    def test_stretching_the_scale(self, seed: int, stretch: float, shift: float) -> None:
        data = survey(6, 4, seed)
        items = ["c1", "c2", "c3", "c4"]
        moved = data.assign(**{item: shift + stretch * data[item] for item in items})
        one = tl.survey_scale(data, by="school", items=items)
        two = tl.survey_scale(moved, by="school", items=items)
        np.testing.assert_allclose(two.scores["score"], shift + stretch * one.scores["score"])
        np.testing.assert_allclose(two.scores["se"], stretch * one.scores["se"])
        for name in ("alpha", "icc1", "icc2"):
            assert getattr(two, name) == pytest.approx(getattr(one, name), rel=1e-9)


def test_summary_states_every_definition_and_count() -> None:
    with pytest.warns(DroppedRows):
        scale = scale_of()
    text = scale.summary()
    for words in (
        "6 respondents in 3 groups (2 to 2 each), 3 items, answers 1 to 5 (as given)",
        "left out: respondents with too few answers: 1",
        f"{scale.alpha:.4f}  Cronbach's alpha",
        f"{scale.icc1:.4f}  (MSB - MSW) / (MSB + (k - 1) MSW)",
        f"{scale.icc2:.4f}  (MSB - MSW) / MSB",
        "evenly spread answers (James, Demaree & Wolf 1984)",
        "reversed: c3",
    ):
        assert words in text, text
    assert repr(scale).startswith("SurveyScale('score': 3 items, 6 respondents, 3 groups")


def test_scale_is_frozen() -> None:
    with pytest.warns(DroppedRows):
        scale = scale_of()
    with pytest.raises(dataclasses.FrozenInstanceError):
        scale.alpha = 1.0


class TestBadInput:
    def test_unknown_columns_are_all_named(self) -> None:
        with pytest.raises(tl.DataError) as caught:
            scale_of(by="skool", items=["c1", "c9"], reverse=None)
        assert len(caught.value.faults) == 2

    def test_off_the_scale(self) -> None:
        with pytest.raises(tl.DataError, match="outside 1 to 4") as caught:
            scale_of(scale=(1, 4))
        assert len(caught.value.faults) == 3

    @pytest.mark.parametrize("items", [["c1"], ["c1", "c1"]])
    def test_fewer_than_two_items(self, items: list[str]) -> None:
        with pytest.raises(tl.DataError, match="at least two different items"):
            scale_of(items=items, reverse=None)

    def test_constant_item(self) -> None:
        with pytest.raises(tl.DataError, match="column 'c2': constant: every answer is 3"):
            scale_of({**TEACHERS, "c2": [3] * 7})

    def test_text_item(self) -> None:
        with pytest.raises(tl.DataError, match="not numbers"):
            scale_of({**TEACHERS, "c2": ["agree"] * 7})

    def test_infinite_answer(self) -> None:
        with pytest.raises(tl.DataError, match="1 infinite value"):
            scale_of({**TEACHERS, "c2": [np.inf, 1, 2, 3, 4, 5, 1]})

    def test_one_school(self) -> None:
        with pytest.warns(DroppedRows), pytest.raises(tl.DesignError, match="1 group"):
            scale_of({**TEACHERS, "school": ["a"] * 7})

    def test_one_respondent_a_school(self) -> None:
        with pytest.warns(DroppedRows), pytest.raises(tl.DesignError, match="single respondent"):
            scale_of({**TEACHERS, "school": list("abcdefg")})

    def test_nobody_answered_enough(self) -> None:
        data = {"g": [1, 1, 2, 2], "x": [1, None, 3, None], "y": [None, 4, None, 3]}
        with pytest.warns(DroppedRows), pytest.raises(tl.DesignError, match="0 groups"):
            tl.survey_scale(data, by="g", items=["x", "y"], min_items=2)

    @pytest.mark.parametrize("least", [0, 4, -1])
    def test_min_items(self, least: int) -> None:
        with pytest.raises(tl.OptionError, match="between 1 and 3"):
            scale_of(min_items=least)

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"reverse": "c4"}, "reverse='c4' is not offered"),
            ({"scale": (5, 1)}, "not a lowest and a highest"),
            ({"group_size": "median"}, "group_size='median'"),
            ({"name": "se"}, "name of another column"),
            ({"name": "school"}, "name of another column"),
        ],
    )
    def test_options(self, options: dict[str, Any], says: str) -> None:
        with pytest.raises(tl.OptionError, match=says):
            scale_of(**options)

    def test_empty(self) -> None:
        with pytest.raises(tl.DataError, match="no rows"):
            scale_of({"school": [], "c1": [], "c2": [], "c3": []})
