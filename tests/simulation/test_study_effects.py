import numpy as np
import pytest

from teamlink.errors import DesignError
from teamlink.registry.prepared import Prepared
from teamlink.registry.steps.effects import EffectsStep
from teamlink.simulation.world import generate
from teamlink.simulation.worlds.study_effects import StudyEffects


def test_printed_numbers_give_back_the_effects() -> None:
    world = StudyEffects(20_000, correlational=10_000, least=60, most=300)
    tables = generate(world, {"effect.mean": 0.3, "effect.sd": 0.2}, np.random.default_rng(1))
    studies = EffectsStep().apply(Prepared(tables, world.keys)).tables["studies"]
    for design in ("groups", "correlation"):
        own = studies[studies["design"] == design]
        # standard errors of mean and variance are below 0.004 and 0.003
        assert own["effect"].mean() == pytest.approx(0.3, abs=0.012)
        assert own["effect"].var() == pytest.approx(0.04 + own["variance"].mean(), abs=0.01)
        assert own["n"].between(60, 300).all()
    assert studies["effect"].notna().all()


def test_the_mean_changes_effects_and_not_sizes() -> None:
    world = StudyEffects(12, correlational=4)
    one, other = (
        generate(world, {"effect.mean": d, "effect.sd": 0.1}, np.random.default_rng(2)).studies
        for d in (0.0, 0.4)
    )
    same = ["study", "design", "n", "sd1", "n1", "mean2", "sd2", "n2"]
    assert one[same].equals(other[same])
    assert (other["r"] > one["r"]).sum() == 4
    assert (other["mean1"] > one["mean1"]).sum() == 8


def test_faults_of_a_design_come_together() -> None:
    with pytest.raises(DesignError) as caught:
        StudyEffects(1, correlational=2, least=4)
    assert len(caught.value.faults) == 3
