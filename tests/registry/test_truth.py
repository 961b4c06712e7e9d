from collections.abc import Callable

import numpy as np
import pytest

from teamlink.registry.catalogue import find, keys
from teamlink.registry.reading import parse_study
from teamlink.registry.scenarios import scenarios
from teamlink.registry.stored import form, stored_slopes
from teamlink.registry.study import RealData, Study
from teamlink.registry.truth import true_slopes

Changed = Callable[..., Study]
SIMULATED = [key for key in keys() if not isinstance(find(key).design, RealData)]


@pytest.mark.parametrize("key", SIMULATED)
def test_true_values_are_stored_for_this_form_of_the_study(key: str) -> None:
    found = stored_slopes(find(key))
    assert found is not None, f"run: python -m teamlink.registry.stored {key}"
    assert found.shape == (3, len(find(key).claims))
    assert np.isfinite(found).all()


@pytest.mark.slow
@pytest.mark.parametrize("key", SIMULATED)
def test_stored_values_are_what_is_worked_out(key: str) -> None:
    study = find(key)
    # optimisers stop within 1e-6 of the same point, on any processor
    np.testing.assert_allclose(
        stored_slopes(study), true_slopes(study, scenarios(study)), rtol=1e-4, atol=1e-6
    )


def test_another_population_has_another_form(changed: Changed, goddard: str) -> None:
    study = parse_study(goddard)
    assert form(study) == form(parse_study(goddard))
    other = changed({"math.prior": 0.6})
    assert form(other) != form(study)
    assert stored_slopes(other) is None
    assert stored_slopes(study) is not None


def test_a_closed_form_is_the_population_value_in_every_world() -> None:
    study = find("brookings-2012")
    worlds = scenarios(study)
    expected = [
        [
            (study.values | dict(worlds.changes[s]))[claim.truth]
            for claim, s in zip(study.claims, row, strict=True)
        ]
        for row in worlds.which
    ]
    np.testing.assert_array_equal(true_slopes(study, worlds), expected)


def test_the_large_world_agrees_with_the_closed_form(goddard: str) -> None:
    """An estimate in a large world is its closed form, where there is one, but for noise."""
    from importlib import resources

    entries = resources.files("teamlink.registry") / "entries"
    text = (entries / "brookings-2012.toml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("truth = ")]
    study = parse_study("\n".join(lines))
    assert {claim.truth for claim in study.claims} == {"difference"}
    worlds = scenarios(study)
    closed = true_slopes(find("brookings-2012"), worlds)
    found = true_slopes(study, worlds)
    # 5,000 states: a correlation has a standard error of 0.014, a difference about as much
    np.testing.assert_allclose(found, closed, atol=0.05)
    null = [c.direction == "null" for c in study.claims]
    assert (found[0, null] == 0).all()
    assert (found[1, ~np.array(null)] == 0).all()


def test_without_an_effect_the_true_value_is_zero_exactly(goddard: str) -> None:
    study = parse_study(
        goddard.replace('status = "ready"\n', 'status = "ready"\ntruth_times = 3\n')
    )
    slopes = true_slopes(study, scenarios(study))
    assert (slopes[1] == 0).all()
    np.testing.assert_allclose(slopes[2], -slopes[0], rtol=0.02)
