"""Intervals of alpha: against brute force, and what must not move them."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import teamlink as tl
from teamlink.errors import DroppedRows
from teamlink.measurement.alpha_intervals import ends, influences, replicated
from teamlink.measurement.consistency import cronbach

EVERY = ["feldt", "bonett", "normal", "adf", "percentile", "bca"]
CLUSTERED = ["adf", "percentile", "bca"]


def survey(n: int = 120, k: int = 4, seed: int = 1, schools: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    school = np.arange(n) % schools
    trust = rng.normal(size=n) + 0.7 * rng.normal(size=schools)[school]
    items = {f"t{i}": trust + rng.normal(size=n) for i in range(k)}
    return pd.DataFrame({**items, "school": school})


def items(data: pd.DataFrame) -> pd.DataFrame:
    return data.drop(columns="school")


def weighted_alpha(X: np.ndarray, w: np.ndarray) -> float:
    """Alpha of rows with weights, from the weighted covariance matrix."""
    w = w / w.sum()
    Z = X - w @ X
    S = (Z * w[:, None]).T @ Z
    k = X.shape[1]
    return float(k / (k - 1) * (1 - np.trace(S) / S.sum()))


def test_influence_is_the_derivative_in_the_weight_of_a_row() -> None:
    X = items(survey(40)).to_numpy()
    found, h = influences(X, None), 1e-5
    for i in (0, 7, 39):
        up, down = np.ones(40), np.ones(40)
        up[i] += h
        down[i] -= h
        slope = (weighted_alpha(X, up) - weighted_alpha(X, down)) / (2 * h)
        # the mean of n influences is what alpha moves by per unit of weight
        assert found[i] / 40 == pytest.approx(slope, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("by_school", [False, True])
def test_resamples_are_alpha_of_rows_drawn_again(by_school: bool) -> None:
    data = survey(60, schools=6)
    X, codes = items(data).to_numpy(), data["school"].to_numpy()
    J = 6 if by_school else 60
    found, without = replicated(X, codes if by_school else None, 5, np.random.default_rng(3))
    units = codes if by_school else np.arange(60)
    again = np.random.default_rng(3).multinomial(J, np.full(J, 1 / J), size=5)
    for alpha, weight in zip(found, again, strict=True):
        assert alpha == pytest.approx(weighted_alpha(X, weight[units].astype(float)), rel=1e-10)
    for j in (0, J - 1):
        assert without[j] == pytest.approx(cronbach(X[units != j]), rel=1e-10)


def test_bonett_by_hand() -> None:
    found = tl.alpha(items(survey()), interval="bonett", level=0.9)
    half = 1.6448536269514722 * math.sqrt(2 * 4 / (3 * 118))
    assert found.low == pytest.approx(1 - (1 - found) * math.exp(half))
    assert found.high == pytest.approx(1 - (1 - found) * math.exp(-half))


def test_clusters_of_one_are_rows() -> None:
    data = survey().assign(school=range(120))
    one, two = tl.alpha(items(data), interval="adf"), tl.alpha(data, cluster="school")
    assert two == one
    assert two.standard_error == pytest.approx(one.standard_error * math.sqrt(120 / 119))
    assert two.n_clusters == 120


def test_clusters_widen_the_interval_where_answers_cluster() -> None:
    rng = np.random.default_rng(5)
    school = np.repeat(np.arange(20), 30)
    trust = 2 * rng.normal(size=20)[school]
    data = pd.DataFrame({f"t{i}": trust + rng.normal(size=600) for i in range(3)})
    one = tl.alpha(data, interval="adf")
    two = tl.alpha(data.assign(school=school), cluster="school")
    assert two.standard_error > 1.5 * one.standard_error


def test_intervals_agree_where_their_assumptions_hold() -> None:
    data = items(survey(4000, schools=4000))
    found = [tl.alpha(data, interval=kind, n=500) for kind in EVERY]
    width = found[0].high - found[0].low
    for one in found:
        assert abs(one.low - found[0].low) < 0.25 * width
        assert abs(one.high - found[0].high) < 0.25 * width


@pytest.mark.parametrize("kind", ["feldt", "bonett", "adf"])
def test_coverage(kind: Any) -> None:
    """Of 400 samples of 40 with alpha 0.8; 95 per cent less what chance allows."""
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(400):
        X = rng.normal(size=(40, 1)) + rng.normal(size=(40, 4))
        low, high, _ = ends(X, None, kind, 0.95, 0, None)
        covered += low <= 0.8 <= high
    # 380 are expected, with a standard deviation of 4.4; "adf" is known to be a little narrow
    assert covered >= (357 if kind == "adf" else 366)


@settings(max_examples=settings().max_examples // 2)
@given(st.sampled_from(EVERY), st.floats(-50, 50), st.sampled_from([0.01, 3.0, 100.0]))
def test_shift_stretch_and_order_change_nothing(kind: Any, shift: float, stretch: float) -> None:
    data = items(survey(30))
    moved = (shift + stretch * data).iloc[:, ::-1]
    one, two = tl.alpha(data, interval=kind, n=200), tl.alpha(moved, interval=kind, n=200)
    np.testing.assert_allclose([two, *two.conf_int], [one, *one.conf_int], rtol=1e-7)
    np.testing.assert_allclose(
        two.items["alpha_dropped"], one.items["alpha_dropped"].iloc[::-1], rtol=1e-7
    )


def test_few_clusters_are_remarked() -> None:
    assert "12 clusters are few" in str(tl.alpha(survey(), cluster="school"))
    assert "few" not in str(tl.alpha(survey(schools=30), cluster="school"))


@pytest.mark.parametrize("kind", CLUSTERED)
def test_names_of_clusters_change_nothing(kind: Any) -> None:
    data = survey()
    renamed = data.assign(school=[f"s{j:02d}" for j in data["school"]])
    one = tl.alpha(data, cluster="school", interval=kind)
    assert tl.alpha(renamed, cluster="school", interval=kind).conf_int == one.conf_int


def test_alpha_without_an_item_is_alpha_of_the_others() -> None:
    data = items(survey())
    found = tl.alpha(data).items["alpha_dropped"]
    for name in data.columns:
        assert found[name] == pytest.approx(tl.alpha(data.drop(columns=name)), rel=1e-12)


def test_two_items_leave_none_to_drop() -> None:
    assert tl.alpha(items(survey(k=2))).items["alpha_dropped"].isna().all()


def test_it_is_a_number() -> None:
    found = tl.alpha(items(survey()))
    assert isinstance(found, float)
    assert np.asarray([found, 1.0]).dtype == float
    assert f"{found:.2f}" == f"{float(found):.2f}"
    assert found + 1 == float(found) + 1
    assert "95% interval" in str(found.summary())
    assert "<table" in found._repr_html_()
    for twin in (pickle.loads(pickle.dumps(found)), copy.copy(found)):
        assert twin == found
        assert twin.conf_int == found.conf_int


class TestBadInput:
    def test_rows_without_a_cluster(self) -> None:
        data = survey(30)
        data["school"] = data["school"].astype(object)
        data.loc[3, "school"] = None
        with pytest.warns(DroppedRows, match="1 of 30 rows miss an item or the cluster"):
            assert tl.alpha(data, cluster="school").n == 29

    def test_one_cluster(self) -> None:
        with pytest.raises(tl.DesignError, match="one cluster"):
            tl.alpha(survey().assign(school=1), cluster="school")

    @pytest.mark.parametrize("kind", ["feldt", "bonett", "normal"])
    def test_rows_taken_as_independent(self, kind: Any) -> None:
        with pytest.raises(tl.OptionError, match="use 'adf'"):
            tl.alpha(survey(), cluster="school", interval=kind)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"interval": "feld"}, "did you mean 'feldt'"),
            ({"level": 95}, "level=95"),
            ({"interval": "bca", "n": 1}, "n=1"),
            ({"cluster": "schol"}, None),
        ],
    )
    def test_options(self, options: dict[str, Any], words: str | None) -> None:
        with pytest.raises(tl.TeamlinkError, match=words):
            tl.alpha(items(survey()), **options)
