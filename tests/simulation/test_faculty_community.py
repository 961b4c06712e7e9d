import numpy as np
import pandas as pd
import pytest

from teamlink.errors import DesignError
from teamlink.simulation.world import generate
from teamlink.simulation.worlds.faculty_community import FacultyCommunity

FACETS = ("dialogue", "peers", "practice")
VALUES = {
    "community.size": -0.2,
    "community.trust": 0.3,
    "features.correlation": 0.0,
    "community.school_sd": 0.3,
    "community.teacher_sd": 0.8,
    "measure.sd": 0.9,
    "enrolment.median": 600,
    "enrolment.log_sd": 0.4,
    "survey.agreement": 0.3,
    "survey.loading": 0.8,
}


def test_variances_of_the_three_levels_are_those_asked_for() -> None:
    world = FacultyCommunity(2000, 40_000, ("trust",), FACETS, unanswered=0.0)
    tables = generate(world, VALUES, np.random.default_rng(1))
    scores = tables.measures["score"].to_numpy().reshape(-1, 3)
    teacher, at = scores.mean(axis=1), tables.teachers["school"].to_numpy() - 1
    sizes = np.bincount(at)
    school = np.bincount(at, teacher) / sizes
    assert scores.var(axis=1, ddof=1).mean() == pytest.approx(0.81, rel=0.02)
    within = np.square(teacher - school[at]).sum() / (len(at) - len(sizes))
    assert within == pytest.approx(0.64 + 0.27, rel=0.03)
    # between schools: 0.2^2 + 0.3^2 + 0.3^2, and the noise of the means
    assert school.var() == pytest.approx(0.22 + (0.91 / sizes).mean(), rel=0.08)
    log_size = np.log(tables.schools["enrolment"])
    assert np.exp(log_size.median()) == pytest.approx(600, rel=0.05)
    slope = np.cov(log_size, school)[0, 1] / log_size.var()
    assert slope == pytest.approx(-0.2 / 0.4, abs=0.08)
    assert np.corrcoef(log_size, sizes)[0, 1] > 0.8


def test_an_effect_changes_measures_and_nothing_else() -> None:
    world = FacultyCommunity(40, 400, ("trust",), FACETS)
    one, other = (
        generate(world, VALUES | {"community.trust": b}, np.random.default_rng(2))
        for b in (0.3, 0.0)
    )
    pd.testing.assert_frame_equal(one.teachers, other.teachers)
    pd.testing.assert_frame_equal(one.schools, other.schools)
    assert one.measures.drop(columns="score").equals(other.measures.drop(columns="score"))
    assert not one.measures["score"].equals(other.measures["score"])


def test_faults_of_a_design_come_together() -> None:
    with pytest.raises(DesignError) as caught:
        FacultyCommunity(4, 4, ("trust", "trust"), ("dialogue",), items=0)
    assert len(caught.value.faults) == 5
