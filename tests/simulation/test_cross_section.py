import numpy as np
import pytest

from teamlink.errors import DesignError
from teamlink.simulation.world import generate, world
from teamlink.simulation.worlds.cross_section import CrossSection

WORLD = CrossSection(units=40_000, variables=("a", "b", "c"), unit="state")


def test_the_correlations_are_those_asked_for() -> None:
    tables = generate(WORLD, {"a.b": 0.5, "b.c": -0.3}, np.random.default_rng(1))
    found = tables.states[["a", "b", "c"]].corr().to_numpy()
    expected = [[1, 0.5, 0], [0.5, 1, -0.3], [0, -0.3, 1]]
    # the standard error of a correlation of 40,000 rows is 0.005
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_a_correlation_changes_its_own_pair_and_no_other() -> None:
    one, other = (generate(WORLD, {"a.c": r}, np.random.default_rng(2)).states for r in (0.0, 0.4))
    assert one[["state", "a", "b"]].equals(other[["state", "a", "b"]])
    assert not one["c"].equals(other["c"])


def test_impossible_correlations_are_refused() -> None:
    with pytest.raises(DesignError, match="cannot hold together"):
        generate(WORLD, {"a.b": 0.9, "b.c": 0.9, "a.c": -0.9}, np.random.default_rng(1))


def test_faults_of_a_design_come_together() -> None:
    with pytest.raises(DesignError) as caught:
        CrossSection(units=2, variables=("a", "a"))
    assert len(caught.value.faults) == 2


def test_a_kind_of_world_is_found_by_its_file() -> None:
    assert world("cross-section") is CrossSection
    assert CrossSection(units=5, variables=("a", "b")).scaled(3).units == 15
