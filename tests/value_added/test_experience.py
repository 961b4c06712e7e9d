"""Returns to experience: what is recovered, the ratio's interval, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.value_added.returns import fieller


def world(seed: int, more: float = 0.012, teachers: int = 150, years: int = 6) -> pd.DataFrame:
    """Teachers grow by 0.03 a year for ten years, by `more` where the climate is better by 1."""
    rng = np.random.default_rng(seed)
    teacher = np.repeat(np.arange(teachers), years * 8)
    year = np.tile(np.repeat(np.arange(years), 8), teachers)
    n = len(teacher)
    experience = rng.integers(0, 14, teachers)[teacher] + year
    climate = rng.normal(size=20)[teacher % 20]
    gain = np.minimum(experience, 10) * (0.03 + more * climate)
    prior = rng.normal(size=n)
    score = 0.6 * prior + gain + rng.normal(0, 0.15, teachers)[teacher] + rng.normal(0, 0.5, n)
    return pd.DataFrame(
        {
            "score": score, "prior": prior, "teacher": teacher, "year": year,
            "experience": experience, "climate": climate, "school": teacher % 20,
        }
    )  # fmt: skip


def returns(data: pd.DataFrame, **options: Any) -> Any:
    options = {"prior": "prior", "shape": "linear"} | options
    return tl.returns_to_experience(data, "score", "teacher", "experience", "climate", **options)


@pytest.mark.parametrize("effects", ["random", "fixed"])
def test_recovers_growth_and_its_difference(effects: str) -> None:
    found = returns(world(1), effects=effects)
    low, high = found.contexts
    table = found.returns([5, 10])
    truth = np.repeat([0.03 + 0.012 * low, 0.03 + 0.012 * high], 2) * [5, 10, 5, 10]
    assert (np.abs(table["gain"] - truth) < 3 * table["std_error"]).all()
    difference = found.difference()
    assert abs(difference["gain"] - 0.12 * (high - low)) < 3 * difference["std_error"]
    assert difference["p_value"] < 0.01
    ratio = found.ratio()
    assert ratio["conf_low"] < truth[3] / truth[1] < ratio["conf_high"]
    assert ratio["conf_low"] > 1


def test_no_difference_where_there_is_none() -> None:
    share = np.mean(
        [returns(world(s, 0.0, 60, 3)).difference()["p_value"] < 0.05 for s in range(40)]
    )
    # Three binomial standard errors above 0.05.
    assert share <= 0.15


def test_gains_are_differences_of_predictions() -> None:
    data = world(2)
    found = returns(data, shape="cubic", interaction="full")
    model = found.fit
    for context in found.contexts:
        grid = pd.DataFrame({"experience": [0.0, 4.0, 12.0], "climate": context, "prior": 0.0})
        rows = found.growth.added_to(grid, "experience", "climate")
        predicted = model.predict(rows.assign(teacher=-1), level="population").to_numpy()
        table = found.returns([4, 12])
        own = table.loc[table["context"] == context, "gain"].to_numpy()
        assert own == pytest.approx(predicted[1:] - predicted[0], rel=1e-9)


def test_scale_of_the_context_does_not_matter() -> None:
    data = world(3)
    one = returns(data, shape="quadratic")
    two = returns(data.assign(climate=50 + 10 * data["climate"]), shape="quadratic")
    assert two.ratio().to_numpy() == pytest.approx(one.ratio().to_numpy(), rel=1e-6)
    assert two.difference().to_numpy() == pytest.approx(one.difference().to_numpy(), rel=1e-5)


def test_bootstrap_of_the_ratio_agrees_with_fieller() -> None:
    found = returns(world(4, teachers=400))
    boot = tl.bootstrap(found.fit, 399, statistic=found.ratio_of)
    interval, ratio = boot.conf_int().iloc[0], found.ratio()
    assert interval["estimate"] == pytest.approx(ratio["ratio"])
    # An end of 399 draws is uncertain by an eighth of a standard error; three of these.
    near = 3 / 8 * ratio["std_error"]
    assert interval["conf_low"] == pytest.approx(ratio["conf_low"], abs=near)
    assert interval["conf_high"] == pytest.approx(ratio["conf_high"], abs=near)


def test_another_covariance() -> None:
    found = returns(world(5), school="school")
    robust = found.using(tl.robust(found.fit, cluster=world(5)["school"]))
    assert robust.ratio()["ratio"] == found.ratio()["ratio"]
    assert robust.ratio()["std_error"] != found.ratio()["std_error"]
    with pytest.raises(tl.OptionError, match="another model"):
        found.using(returns(world(5), covariates="C(year)").fit)


def test_context_that_changes_keeps_its_main_effect_in_the_fixed_model() -> None:
    data = world(6)
    data["climate"] += np.random.default_rng(6).normal(size=150 * 6)[
        data["teacher"] * 6 + data["year"]
    ]
    found = returns(data, effects="fixed", cluster="teacher")
    assert "environment" in found.estimates.names
    assert (found.estimates.df == 149).all()
    assert "environment" not in returns(world(6), effects="fixed").estimates.names


def test_years_and_growth_need_a_cap_with_fixed_effects() -> None:
    with pytest.warns(tl.errors.RankDeficient), pytest.raises(tl.DesignError, match="set cap="):
        returns(world(7), effects="fixed", year="year", cap=None)
    assert returns(world(7), effects="fixed", year="year").difference()["gain"] > 0


def test_log_growth_and_slopes() -> None:
    found = returns(world(8), shape="log", cap=None, slopes=True, school="school")
    assert "(1 + growth1 | teacher)" in found.formula
    assert found.growth.columns(np.array([0.0, np.e - 1]))[:, 0].tolist() == pytest.approx([0, 1])
    assert "Ratio" in str(found.summary())
    assert "<table" in found._repr_html_()


def test_names_that_are_taken() -> None:
    data = world(9).assign(environment=1.0, growth1=2.0)
    found = tl.returns_to_experience(
        data.rename(columns={"climate": "growth1", "growth1": "spare"}),
        "score", "teacher", "experience", "growth1", prior="prior", shape="linear",
    )  # fmt: skip
    assert found.growth.names == ("growth1_",)


class TestFieller:
    def test_holds_the_values_that_are_not_rejected(self) -> None:
        a, b, V, t = 1.4, 1.0, np.array([[0.04, 0.01], [0.01, 0.03]]), 1.96
        low, high = fieller(a, b, V[0, 0], V[0, 1], V[1, 1], t)
        for end in (low, high):
            variance = V[0, 0] - 2 * end * V[0, 1] + end**2 * V[1, 1]
            assert abs(a - end * b) / np.sqrt(variance) == pytest.approx(t)

    def test_without_bounds(self) -> None:
        assert fieller(1.0, 0.1, 1.0, 0.0, 1.0, 1.96) == (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shape": "spline"}, "shape='spline' is not offered"),
        ({"cap": -1}, "cap=-1"),
        ({"at": 0}, "at=0"),
        ({"quantiles": (0.75, 0.25)}, "the lower one first"),
        ({"effects": "fixed", "slopes": True}, "slopes: goes with"),
        ({"cluster": "school"}, "cluster: goes with"),
    ],
)
def test_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(tl.OptionError, match=said):
        returns(world(10, teachers=40, years=2), **options)


def test_contexts_that_are_the_same() -> None:
    data = world(12, teachers=40, years=2)
    data["climate"] = (data["school"] < 10) * 1.0
    with pytest.raises(tl.OptionError, match="further apart"):
        returns(data, quantiles=(0.1, 0.3))


def test_data() -> None:
    data = world(11, teachers=20, years=2)
    with pytest.raises(tl.DataError, match="outside 0 to inf"):
        returns(data.assign(experience=data["experience"] - 3))
    with pytest.raises(tl.DesignError, match="does not vary"):
        returns(data.assign(climate=1.0))
