from collections.abc import Callable

import numpy as np
import pytest

from teamlink.errors import StudyError
from teamlink.registry.reading import parse_study
from teamlink.registry.scenarios import scenarios
from teamlink.registry.study import Study

Changed = Callable[..., Study]


def test_together_the_controls_of_all_claims_share_two_worlds(goddard: str) -> None:
    found = scenarios(parse_study(goddard))
    assert found.changes == (
        {},
        {"math.collaboration": 0.0, "reading.collaboration": 0.0},
        {"math.collaboration": -0.08, "reading.collaboration": -0.07},
    )
    assert found.which.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert found.effects.tolist() == [[0.08, 0.07], [0, 0], [-0.08, -0.07]]
    assert found.needed.all()


def test_each_claim_has_its_own_worlds_and_equal_ones_are_one(goddard: str) -> None:
    text = goddard.replace('status = "ready"\n', 'status = "ready"\ncontrols = "each"\n')
    head, mark, tail = text.partition('effect = "reading.collaboration"')
    both = 'controls = [{ "math.collaboration" = 0.0 }, { "reading.collaboration" = -0.2 }]'
    found = scenarios(parse_study(f"{head}{mark}\n{both}{tail}"))
    assert found.changes == (
        {},
        {"math.collaboration": 0.0},
        {"math.collaboration": -0.08},
        {"reading.collaboration": -0.2},
    )
    assert found.which.tolist() == [[0, 0], [1, 1], [2, 3]]
    # the claim's own value is not what its first control changes
    np.testing.assert_array_equal(found.effects[:, 1], [0.07, np.nan, -0.2])
    assert found.needed.tolist() == [[True, True], [True, True], [True, False], [False, True]]


def test_controls_that_cannot_be_together_are_refused(goddard: str) -> None:
    head, mark, tail = goddard.partition('effect = "reading.collaboration"')
    both = 'controls = [{ "math.collaboration" = 0.5 }, { "reading.collaboration" = -0.2 }]'
    with pytest.raises(StudyError, match='say controls = "each"'):
        scenarios(parse_study(f"{head}{mark}\n{both}{tail}"))


def test_a_study_without_effect_keeps_its_two_controls(changed: Changed) -> None:
    found = scenarios(changed({"math.collaboration": 0.0, "reading.collaboration": 0.0}))
    assert len(found.changes) == 3
    assert (found.effects == 0).all()
