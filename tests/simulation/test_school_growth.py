from dataclasses import replace

import numpy as np
import pytest

from teamlink.errors import DesignError
from teamlink.registry.catalogue import find
from teamlink.simulation.growth_draw import GrowthDraw, draw
from teamlink.simulation.world import generate
from teamlink.simulation.worlds.school_growth import SchoolGrowth

STUDY = find("bottia-2016")
WORLD = STUDY.design
assert isinstance(WORLD, SchoolGrowth)
VALUES = {p.name: p.default for p in WORLD.parameters if p.default is not None} | STUDY.parameters
QUIET = dict.fromkeys(("math.error_sd", "math.pupil_sd", "math.school_sd", "growth.pupil_sd"), 0.0)
TIMES = np.array(list(WORLD.rounds.values()))


@pytest.fixture(scope="module")
def large() -> GrowthDraw:
    return draw(WORLD.scaled(20), VALUES, np.random.default_rng(5))


def test_moments_are_those_asked_for(large: GrowthDraw) -> None:
    immigrant, other_language, ses = large.background.T
    assert immigrant.mean() == pytest.approx(0.5, abs=0.02)
    assert other_language.mean() == pytest.approx(0.5, abs=0.02)
    assert ses.std() == pytest.approx(1, abs=0.03)
    assert np.corrcoef(immigrant, other_language)[0, 1] > 0.1
    moved = large.school != large.school[:, :1]
    assert moved[:, 1].mean() == pytest.approx(VALUES["moves.share"], abs=0.005)
    assert large.taken[:, 0].all()
    stayed = ~moved[:, 1:]
    missed = 1 - large.taken[:, 1:]
    assert missed[stayed].mean() == pytest.approx(0.05, abs=0.005)
    assert missed[~stayed].mean() == pytest.approx(0.45, abs=0.02)
    assert np.isnan(large.answers).mean() == pytest.approx(0.06, abs=0.005)
    residual = large.scores[:, 0] - large.background @ [-0.1, -0.35, 0.25]
    total = 0.35**2 + 0.75**2 + 0.35**2
    assert residual.var() == pytest.approx(total, rel=0.03)
    growth = (large.scores[:, -1] - large.scores[:, 0]) / TIMES[-1]
    assert growth.mean() == pytest.approx(VALUES["growth.mean"], abs=0.01)


def test_the_average_effect_is_zero_and_groups_differ(large: GrowthDraw) -> None:
    """The null is a balance: growth on the latent climate over all, and by group."""
    stayed = (large.school == large.school[:, :1]).all(axis=1)
    growth = (large.scores[:, -1] - large.scores[:, 0])[stayed] / TIMES[-1]
    climate = large.climates[large.school[stayed, 0], 0]
    immigrant, other_language = large.background[stayed, :2].T.astype(bool)

    def slope(rows: np.ndarray) -> float:
        return float(np.polyfit(climate[rows], growth[rows], 1)[0])

    assert slope(np.full(len(growth), True)) == pytest.approx(0, abs=0.004)
    assert slope(immigrant & ~other_language) == pytest.approx(0.05, abs=0.008)
    assert slope(other_language & ~immigrant) == pytest.approx(-0.05, abs=0.008)
    assert slope(other_language & immigrant) == pytest.approx(0, abs=0.008)


def test_an_effect_changes_scores_by_what_it_says_and_nothing_else() -> None:
    one = draw(WORLD, VALUES, np.random.default_rng(2))
    two = draw(WORLD, VALUES | {"growth.collaboration": 0.1}, np.random.default_rng(2))
    a, b = one.tables(), two.tables()
    for name in ("students", "teachers", "schools"):
        assert a[name].equals(b[name])
    assert a.scores.drop(columns="math").equals(b.scores.drop(columns="math"))
    years = np.diff(TIMES, prepend=0.0)
    expected = np.cumsum(years * 0.1 * one.climates[one.school, 0], axis=1)
    np.testing.assert_allclose(two.scores - one.scores, expected, atol=1e-12)


def test_who_moves_stays_in_the_district_and_keeps_what_was_learnt() -> None:
    values = VALUES | QUIET | {"moves.share": 0.5, "growth.collaboration": 0.2}
    values |= {"growth.collaboration_immigrant": 0.0, "growth.collaboration_non_english": 0.0}
    world = replace(WORLD, schools=322)  # the last district has two schools
    found = draw(world, values, np.random.default_rng(3))
    assert (found.school // 4 == found.school[:, :1] // 4).all()
    changed = (found.school[:, 1:] != found.school[:, :-1]).mean()
    assert changed == pytest.approx(0.5, abs=0.02)
    gains = np.diff(found.scores, axis=1) / np.diff(TIMES)
    climate = found.climates[found.school[:, 1:], 0]
    slope = np.polyfit(climate.ravel(), gains.ravel(), 1)[0]
    assert slope == pytest.approx(0.2, abs=0.002)
    scores = found.tables().scores
    first = scores.groupby("student")["school"].transform("first")
    assert (scores["moved"] == (scores["school"] != first)).all()


def test_climates_correlate_as_asked() -> None:
    study = find("moller-2013")
    world = study.design
    assert isinstance(world, SchoolGrowth)
    defaults = {p.name: p.default for p in world.parameters if p.default is not None}
    found = draw(world.scaled(40), defaults | study.parameters, np.random.default_rng(4))
    r = np.corrcoef(found.climates.T)[0, 1]
    assert r == pytest.approx(0.2, abs=0.03)


def test_wrong_designs_are_refused_with_every_fault() -> None:
    with pytest.raises(DesignError) as caught:
        SchoolGrowth(schools=1, teachers=1, students=1, groups=("math",), district=0)
    assert len(caught.value.faults) == 6
    with pytest.raises(DesignError, match="first at 0"):
        replace(WORLD, rounds={"fall": 1.0, "spring": 2.0})
    impossible = STUDY.parameters | {"collaboration.disadvantage": 0.99}
    assert not WORLD.check(impossible)
    with pytest.raises(DesignError, match=r"unknown value 'growth.colaboration'"):
        generate(WORLD, VALUES | {"growth.colaboration": 0.1}, np.random.default_rng(1))
    two = find("moller-2013")
    together = {"community.disadvantage": 0.9, "collaboration.disadvantage": -0.9}
    assert "cannot hold together" in str(two.design.check(two.parameters | together)[0])  # type: ignore[union-attr]
