"""What studies could have found: against the replicates themselves, and refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import teamlink as tl
from teamlink.registry.catalogue import find
from teamlink.registry.study_power import StudyPower

# True values from a smaller large world than the registry's; errors and power do not need them.
STUDY = replace(find("goddard-2007"), truth_times=5)


@pytest.fixture(scope="module")
def goddard() -> StudyPower:
    found = tl.power(STUDY, times=[1, 3], replicates=16, seed=5)
    assert isinstance(found, StudyPower)
    return found


def test_numbers_are_those_of_the_replicates(goddard: StudyPower) -> None:
    runs = tl.replicate(STUDY, seed=5, replicates=16).runs
    own = runs[(runs["scenario"] == "study") & (runs["claim"] == "G07a")]
    row = goddard.table.query("claim == 'G07a' and times == 1").iloc[0]
    assert row["power"] == pytest.approx((own["p_value"] < 0.05).mean())
    assert row["std_error"] == pytest.approx(np.sqrt((own["std_error"] ** 2).mean()))
    significant = own[own["p_value"] < 0.05]
    ratio = (significant["estimate"] / significant["true_value"]).abs().mean()
    assert row["type_m"] == pytest.approx(ratio, rel=0.02)


def test_three_times_the_schools_find_more_and_detect_less(goddard: StudyPower) -> None:
    one, three = (goddard.table.query(f"times == {t}").set_index("claim") for t in (1, 3))
    assert (three["power"] >= one["power"]).all()
    # standard errors fall with the root of the degrees of freedom between schools: 47 less the
    # intercept, the scale, its unit and five other columns; 10 % for 16 replicates
    ratio = one["minimum_detectable"] / three["minimum_detectable"]
    np.testing.assert_allclose(ratio, np.sqrt((3 * 47 - 8) / (47 - 8)), rtol=0.1)
    assert "3 times" in str(goddard.summary())


def test_detectable_effect_has_the_power_that_the_formula_gives(goddard: StudyPower) -> None:
    row = goddard.table.iloc[0]
    # normal quantiles; 43 degrees of freedom or so make the difference
    assert row["minimum_detectable"] / row["std_error"] == pytest.approx(1.96 + 0.8416, rel=0.05)


@pytest.mark.parametrize(
    ("design", "options", "message"),
    [
        ("godard-2007", {}, "did you mean 'goddard-2007'"),
        ("goddard-2007", {"times": 0}, "times=0"),
        ("goddard-2007", {"effect": 0.1}, "effect: for a named design"),
        ("goddard-2007", {"schools": 20}, "schools: for a named design"),
        ("goddard-2007", {"power": 0.01}, "power=0.01"),
        ("hsb-1982", {"times": 2}, "real data"),
        ("correlation", {"n": 50, "times": 2}, "go with a study"),
    ],
)
def test_options_that_do_not_go_together(
    design: str, options: dict[str, float], message: str
) -> None:
    with pytest.raises(tl.OptionError, match=message):
        tl.power(design, **options)  # type: ignore[arg-type]
