import numpy as np
import pandas as pd
import pytest

from teamlink.errors import DesignError
from teamlink.simulation.world import generate
from teamlink.simulation.worlds.school_trends import SchoolTrends

SUPPORTS = ("leadership", "ties")
VALUES = {
    "trend.leadership": 0.3,
    "trend.ties": 0.2,
    "supports.correlation": 0.5,
    "trend.sd": 0.8,
    "score.sd": 2.0,
    "year.sd": 1.0,
    "survey.agreement": 0.3,
    "survey.loading": 0.8,
}


def test_trends_and_agreement_are_those_asked_for() -> None:
    world = SchoolTrends(6000, 36_000, SUPPORTS, years=5, items=2, unanswered=0.1)
    tables = generate(world, VALUES, np.random.default_rng(1))
    wide = tables.results["score"].to_numpy().reshape(-1, 5)
    time = np.arange(5) - 2.0
    slopes = wide @ time / (time @ time)
    # 0.3^2 + 0.2^2 + 2 * 0.5 * 0.3 * 0.2 of the supports, 0.8^2 of the rest, 1 / 10 of the years
    explained = 0.09 + 0.04 + 0.06
    assert np.var(slopes) == pytest.approx(explained + 0.64 + 0.1, rel=0.06)
    assert np.var(wide[:, 0]) == pytest.approx(4 + 1, rel=0.06)
    items = tables.teachers[["leadership1", "leadership2"]]
    assert items.isna().to_numpy().mean() == pytest.approx(0.1, abs=0.005)
    means = tables.teachers.groupby("school")[["leadership1", "ties1"]].mean()
    # a mean of six answers is school by 6 a / (1 + 5 a) with a = 0.3 * 0.8^2 less the cut into 4
    link = means["leadership1"].reset_index(drop=True).corr(pd.Series(slopes))
    latent = (0.3 + 0.5 * 0.2) / np.sqrt(explained + 0.74)
    assert 0.6 * latent < link < 0.85 * latent


def test_an_effect_changes_results_and_nothing_else() -> None:
    world = SchoolTrends(50, 300, SUPPORTS)
    one, other = (
        generate(world, VALUES | {"trend.ties": b}, np.random.default_rng(2)) for b in (0.2, 0.0)
    )
    pd.testing.assert_frame_equal(one.teachers, other.teachers)
    pd.testing.assert_frame_equal(one.schools, other.schools)
    assert not one.results.equals(other.results)
    first = one.results["year"] == 0
    assert one.results[first].equals(other.results[first])


def test_faults_of_a_design_come_together() -> None:
    with pytest.raises(DesignError) as caught:
        SchoolTrends(4, 4, ("a", "a"), years=2, items=0, unanswered=1.0)
    assert len(caught.value.faults) == 6
