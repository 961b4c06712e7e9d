import numpy as np
import pandas as pd
import pytest

from teamlink.errors import DesignError
from teamlink.simulation.world import generate
from teamlink.simulation.worlds.school_culture import SchoolCulture

WORLD = SchoolCulture(4000, 80_000, ("a", "b"), ("math", "reading"), items=2)
VALUES = {
    "math.a": 0.4,
    "reading.b": -0.3,
    "factors.correlation": 0.5,
    "outcomes.correlation": 0.6,
    "survey.agreement": 0.4,
    "survey.loading": 0.8,
}


def test_correlations_are_those_asked_for() -> None:
    tables = generate(WORLD, VALUES, np.random.default_rng(1))
    means = tables.teachers.groupby("school")[["a1", "b1"]].mean()
    found = np.corrcoef(means.to_numpy().T, tables.schools[["math", "reading"]].to_numpy().T)
    assert tables.schools[["math", "reading"]].std().to_numpy() == pytest.approx(1, abs=0.04)
    # one item's ICC is 0.4 * 0.8^2 = 0.26, a mean of about 20 has a reliability of 0.85 or so
    shrunk = np.sqrt(0.85)
    assert found[0, 2] == pytest.approx(0.4 * shrunk, abs=0.05)
    assert found[1, 3] == pytest.approx(-0.3 * shrunk, abs=0.05)
    assert found[0, 3] == pytest.approx(0, abs=0.05)
    assert found[1, 2] == pytest.approx(0, abs=0.05)
    assert found[0, 1] == pytest.approx(0.5 * shrunk**2, abs=0.05)


def test_an_effect_changes_its_outcome_and_nothing_else() -> None:
    world = SchoolCulture(60, 600, ("a", "b"), ("math", "reading"), items=2)
    one, other = (
        generate(world, VALUES | {"math.b": r}, np.random.default_rng(2)) for r in (0.0, 0.3)
    )
    pd.testing.assert_frame_equal(one.teachers, other.teachers)
    assert one.schools.drop(columns="math").equals(other.schools.drop(columns="math"))
    assert not one.schools["math"].equals(other.schools["math"])


def test_schools_that_do_not_respond_have_results_and_no_answers() -> None:
    world = SchoolCulture(1000, 4000, ("a",), ("math",), items=2)
    values = {k: v for k, v in VALUES.items() if k in {p.name for p in world.parameters}}
    tables = generate(world, values | {"schools.responding": 0.7}, np.random.default_rng(3))
    assert len(tables.schools) == 1000
    assert tables.teachers["school"].nunique() == pytest.approx(700, abs=60)


def test_impossible_correlations_are_refused() -> None:
    with pytest.raises(DesignError, match="cannot hold together"):
        generate(WORLD, VALUES | {"math.b": -0.9}, np.random.default_rng(1))
    with pytest.raises(DesignError) as caught:
        SchoolCulture(3, 3, ("a",), ("a",), items=0)
    assert len(caught.value.faults) == 5
