import numpy as np
import pytest

from teamlink.errors import DesignError
from teamlink.simulation.world import generate
from teamlink.simulation.worlds.opinion_poll import OpinionPoll

ITEMS = {
    "help": "agreement",
    "observe": "yes",
    "impact": "by role",
    "trust": "by collaboration",
}
VALUES = {
    "help.agree": 0.9,
    "help.strongly": 0.5,
    "observe.yes": 0.25,
    "impact.teachers": 0.6,
    "impact.principals": 0.8,
    "trust.more": 0.7,
    "trust.less": 0.4,
    "hours.above": 0.24,
    "hours.mean": 2.7,
    "collaboration.more": 0.3,
    "strata.spread": 0.08,
    "strata.reached": 3.0,
}


def test_weighted_shares_are_those_of_the_population_and_plain_ones_are_not() -> None:
    world = OpinionPoll(80_000, 80_000, ITEMS, unanswered=0.0)
    d = generate(world, VALUES, np.random.default_rng(1)).respondents
    t, p = d[d["role"] == "teacher"], d[d["role"] == "principal"]

    def share(rows: object, yes: object) -> float:
        return float(np.average(yes, weights=rows["weight"]))  # type: ignore[index]

    more = t["collaboration"] == "more"
    found = [
        share(t, t["help"] >= 3),
        share(t, t["help"] == 4),
        share(t, t["observe"]),
        share(t, t["impact"]),
        share(p, p["impact"]),
        share(t[more], t["trust"][more]),
        share(t[~more], t["trust"][~more]),
        share(t, t["hours"] > 3),
        share(t, more),
    ]
    expected = [0.9, 0.5, 0.25, 0.6, 0.8, 0.7, 0.4, 0.24, 0.3]
    # standard errors are below 0.004
    np.testing.assert_allclose(found, expected, atol=0.012)
    assert share(t, t["hours"]) == pytest.approx(2.7, abs=0.02)
    assert t["observe"].mean() > 0.27
    assert p["help"].isna().all()
    assert p["hours"].isna().all()
    assert sorted(t["help"].unique()) == [1, 2, 3, 4]


def test_a_share_changes_its_own_answers_and_no_other() -> None:
    world = OpinionPoll(400, 100, ITEMS)
    one, other = (
        generate(world, VALUES | {"observe.yes": p}, np.random.default_rng(2)).respondents
        for p in (0.25, 0.5)
    )
    assert one.drop(columns="observe").equals(other.drop(columns="observe"))
    assert np.nansum(one["observe"]) < np.nansum(other["observe"])
    assert one["observe"].isna().equals(other["observe"].isna())


def test_what_cannot_be_is_refused() -> None:
    world = OpinionPoll(400, 100, ITEMS)
    with pytest.raises(DesignError) as caught:
        generate(
            world, VALUES | {"help.strongly": 0.95, "hours.above": 0.9}, np.random.default_rng(1)
        )
    assert len(caught.value.faults) == 2
    with pytest.raises(DesignError, match="did you mean 'by role'"):
        OpinionPoll(400, 100, {"impact": "by rolle"})
