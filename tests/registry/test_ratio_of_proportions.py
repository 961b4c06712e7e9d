"""Schools that improve: the ratio, the steps before it, and what an odds ratio would do to it."""

import math
from importlib import resources

import numpy as np
import pandas as pd
import pytest

from teamlink.errors import FitError
from teamlink.registry.analyses import ratio_of_proportions
from teamlink.registry.analyses.ratio_of_proportions import RatioAnalysis, log_ratio
from teamlink.registry.analysis import FIELDS
from teamlink.registry.prepared import Prepared
from teamlink.registry.reading import parse_study
from teamlink.registry.replicate import replicate
from teamlink.registry.steps.extremes import ExtremesStep
from teamlink.registry.steps.trend import TrendStep
from teamlink.registry.study import Claim
from teamlink.typing import Array

CLAIM = Claim("C1", "", "improved", "strong", "positive", "school", "article", scale="ratio")
KEYS = {"schools": ("school",), "results": ("school", "year")}


def test_it_is_the_ratio_counted_by_hand() -> None:
    improved = [1.0] * 9 + [0.0] * 11 + [1.0] * 2 + [0.0] * 38 + [1.0, np.nan]
    strong = [1.0] * 20 + [0.0] * 40 + [np.nan, 1.0]
    frame = pd.DataFrame({"school": range(62), "improved": improved, "strong": strong})
    files = Prepared({"schools": frame}, {"schools": ("school",)})
    found = dict(
        zip(FIELDS, RatioAnalysis().estimate([CLAIM], [files])[0, 0].tolist(), strict=True)
    )
    assert found["estimate"] == pytest.approx(math.log((9.5 / 20.5) / (2.5 / 40.5)))
    variance = 1 / 9.5 - 1 / 20.5 + 1 / 2.5 - 1 / 40.5
    assert found["std_error"] == pytest.approx(math.sqrt(variance))
    assert found["conf_low"] == pytest.approx(found["estimate"] - 1.959964 * variance**0.5)


def test_half_a_case_leaves_next_to_no_bias() -> None:
    rng = np.random.default_rng(1)
    group = np.repeat([1.0, 0.0], [100, 100])
    draws = [log_ratio((rng.random(200) < 0.1 + 0.3 * group) * 1.0, group) for _ in range(3000)]
    estimate, std_error = np.array(draws).T
    # Monte-Carlo error of the mean is 0.006
    assert estimate.mean() == pytest.approx(math.log(4), abs=0.03)
    assert std_error.mean() == pytest.approx(estimate.std(), rel=0.06)


def test_a_group_without_units_fails_the_replicate() -> None:
    with pytest.raises(FitError, match="both groups"):
        log_ratio(np.ones(4), np.ones(4))


def test_a_trend_is_the_least_squares_slope_of_each_school() -> None:
    rng = np.random.default_rng(2)
    results = pd.DataFrame(
        {
            "school": np.repeat([3, 1, 2], 5),
            "year": np.tile(np.arange(5.0), 3),
            "score": rng.standard_normal(15),
        }
    )
    results.loc[[1, 7], "score"] = np.nan
    results.loc[10:13, "score"] = np.nan
    schools = pd.DataFrame({"school": [1, 2, 3]})
    files = TrendStep("trend", "score", "year").apply(
        Prepared({"schools": schools, "results": results}, KEYS)
    )
    found = files.tables["schools"]["trend"].to_numpy()
    for school, row in ((1, 0), (3, 2)):
        own = results[results["school"] == school].dropna()
        assert found[row] == pytest.approx(np.polyfit(own["year"], own["score"], 1)[0])
    assert np.isnan(found[1])


def test_the_ends_of_most_columns() -> None:
    frame = pd.DataFrame(
        {"school": range(8), "a": range(8), "b": range(8), "c": [7, 1, 2, 3, 4, 5, 6, 0]}
    )
    files = Prepared({"schools": frame.astype(float)}, {"schools": ("school",)})
    step = ExtremesStep("strong", ("a", "b", "c"), most=2)
    found = step.apply(files).tables["schools"]["strong"].to_numpy()
    np.testing.assert_array_equal(found, [0, 0, *[np.nan] * 4, 1, 1])
    one = ExtremesStep("top", ("c",), rest="zero").apply(files).tables["schools"]["top"]
    assert one.tolist() == [1, 0, 0, 0, 0, 0, 1, 0]


def log_odds_ratio(event: Array, group: Array) -> tuple[float, float]:
    cells = [float(e @ g) + 0.5 for e in (event, 1 - event) for g in (group, 1 - group)]
    estimate = math.log(cells[0] * cells[3] / (cells[1] * cells[2]))
    return estimate, math.sqrt(sum(1 / cell for cell in cells))


def test_an_odds_ratio_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # four times as many schools, whose intervals are half as wide
    entries = resources.files("teamlink.registry") / "entries"
    text = (entries / "bryk-2010.toml").read_text(encoding="utf-8")
    for old, new in (("value = 400", "value = 1600"), ("value = 6000", "value = 24000")):
        assert text.count(f"{old}\n") == 1
        text = text.replace(f"{old}\n", f"{new}\n")
    study = parse_study(text.replace("truth_times = 20", "truth_times = 4"))
    assert set(replicate(study, replicates=5).claims["verdict"]) == {"reproduced"}
    monkeypatch.setattr(ratio_of_proportions, "log_ratio", log_odds_ratio)
    broken = replicate(study, replicates=5)
    assert set(broken.claims["verdict"]) == {"another size"}
    assert not broken.ok


@pytest.mark.slow
def test_an_odds_ratio_is_found_out_at_the_published_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratio_of_proportions, "log_ratio", log_odds_ratio)
    broken = replicate("bryk-2010", replicates=200)
    assert broken.claims.set_index("claim")["verdict"]["Y10b"] == "miscalibrated"
    assert not broken.ok
