"""Worlds of trials, of adoption by choice, and of newly hired teachers."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from teamlink.errors import DesignError
from teamlink.registry.catalogue import find
from teamlink.simulation.world import Tables, World, generate
from teamlink.simulation.worlds.cluster_trial import ClusterTrial
from teamlink.simulation.worlds.hired_teachers import HiredTeachers
from teamlink.simulation.worlds.school_adoption import SchoolAdoption

FINAL, PAIRED, SCALE = find("glazerman-2010"), find("papay-2020"), find("sri-2020")
HIRED, ADOPTED = find("rockoff-2008"), find("iowa-2012")


def drawn(world: World, values: Mapping[str, float], seed: int = 1) -> Tables:
    return generate(world, values, np.random.default_rng(seed))


def test_a_trial_has_the_sizes_asked_for_and_assigns_half_of_each_district() -> None:
    tables = drawn(FINAL.design, FINAL.parameters)
    assert (len(tables.schools), len(tables.teachers)) == (418, 882)
    analysed = tables.students.dropna(subset=["prior", "reading"])
    assert len(analysed) == 1333
    assert analysed["school"].nunique() == 55
    assert analysed["teacher"].nunique() == 75
    tested = tables.schools[tables.schools["school"].isin(analysed["school"])]
    assert set(tested["district"]) <= {f"D{d}" for d in range(1, 8)}
    by_district = tables.schools.groupby("district")["treated"]
    assert ((by_district.sum() - by_district.size() / 2).abs() <= 0.5).all()
    assert tables.students[["prior", "reading"]].isna().sum().min() > 50


def test_moments_of_a_trial_are_those_asked_for() -> None:
    values = FINAL.parameters | {"retained.treated": 0.04}
    tables = drawn(FINAL.design.scaled(40), values)
    pupils = tables.students.merge(tables.schools, on="school")
    by_arm = pupils.groupby("treated")[["reading", "math"]].mean()
    expected = [values["reading.treated"], values["math.treated"]]
    np.testing.assert_allclose(by_arm.loc[1] - by_arm.loc[0], expected, atol=0.03)
    teachers = tables.teachers.merge(tables.schools, on="school")
    stay = teachers.groupby("treated")["retained"].mean()
    assert stay[1] - stay[0] == pytest.approx(0.04, abs=0.006)
    assert teachers["retained"].mean() == pytest.approx(values["retained.share"], abs=0.004)
    rest = pupils["math"] - values["math.prior"] * pupils["prior"]
    rest = rest - values["math.frl"] * pupils["frl"] - values["math.treated"] * pupils["treated"]
    within = rest - rest.groupby(pupils["teacher"]).transform("mean")
    n = rest.groupby(pupils["teacher"]).transform("count")
    sd = np.sqrt((within**2 * n / (n - 1)).mean())
    assert sd == pytest.approx(values["math.pupil_sd"], rel=0.01)
    assert pupils["frl"].mean() == pytest.approx(values["frl.share"], abs=0.02)


def test_an_effect_changes_treated_pupils_scores_and_nothing_else() -> None:
    other = PAIRED.parameters | {"score.treated": 0.4, "score.treated_other": -0.1}
    before, after = drawn(PAIRED.design, PAIRED.parameters), drawn(PAIRED.design, other)
    pd.testing.assert_frame_equal(before.teachers, after.teachers)
    pd.testing.assert_frame_equal(before.schools, after.schools)
    same = [c for c in before.students if c != "score"]
    pd.testing.assert_frame_equal(before.students[same], after.students[same])
    frame = before.students.merge(before.schools, on="school").merge(
        before.teachers, on=["school", "teacher"]
    )
    change = np.where(frame["other"] == 1, -0.1 - 0.02, 0.4 - 0.12) * frame["treated"]
    moved = after.students["score"] - before.students["score"]
    there = moved.notna()
    assert there.mean() > 0.9
    np.testing.assert_allclose(moved[there], change[there], atol=1e-12)


def test_doses_lie_where_each_district_has_them_and_are_those_of_treated_teachers() -> None:
    tables = drawn(SCALE.design.scaled(20), SCALE.parameters)
    teachers = tables.teachers.merge(tables.schools, on="school")
    assert (teachers["dose"].notna() == (teachers["treated"] == 1)).all()
    means = teachers.groupby("district")["dose"].mean()
    expected = [SCALE.parameters[f"dose.{d}"] for d in means.index]
    # three standard errors of a district's mean over some 500 schools
    np.testing.assert_allclose(means, expected, atol=0.1)
    assert teachers["dose"].groupby(teachers["district"]).std().mean() == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schools": 3}, "each district needs four"),
        ({"tested_schools": 30}, "each tested school"),
        ({"teachers": 45, "tested_teachers": 40}, "besides the tested"),
        ({"students": 100}, "each class needs"),
        ({"mentors": ("full-release",)}, "for each of 2 districts"),
        ({"outcomes": ("math", "math")}, "each once"),
    ],
)
def test_a_trial_that_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    fields: dict[str, object] = {
        "districts": 2,
        "schools": 20,
        "teachers": 40,
        "students": 800,
        "outcomes": ("math",),
    }
    with pytest.raises(DesignError, match=message):
        ClusterTrial(**(fields | changes))  # type: ignore[arg-type]


def test_adoption_is_by_quality_that_no_file_holds() -> None:
    world, values = ADOPTED.design.scaled(20), ADOPTED.parameters
    tables = drawn(world, values)
    schools = tables.schools
    assert schools["adopted"].sum() == 20 * 106
    assert (schools["first_year"].notna() == (schools["adopted"] == 1)).all()
    assert tables.panel["n_students"].sum() == 20 * 302_078
    panel = tables.panel.merge(schools, on="school")
    assert panel.loc[panel["n_students"] < 10, "math"].isna().all()
    assert panel.loc[panel["n_students"] >= 10, "math"].notna().all()
    for year in (2006, 2011):
        now = panel[panel["year"] == year]
        by_arm = now.groupby("adopted")["math"].mean()
        expected = 0.15 * values["quality.adopters"] + -0.13 * values["poverty.adopters"]
        assert by_arm[1] - by_arm[0] == pytest.approx(expected, abs=0.02), year


def test_a_programme_changes_scores_from_its_first_year_on() -> None:
    before = drawn(ADOPTED.design, ADOPTED.parameters)
    after = drawn(ADOPTED.design, ADOPTED.parameters | {"math.adoption": 0.3})
    pd.testing.assert_frame_equal(before.work, after.work)
    pd.testing.assert_frame_equal(before.schools, after.schools)
    np.testing.assert_array_equal(before.panel["reading"], after.panel["reading"])
    panel = before.panel.merge(before.schools, on="school")
    moved = after.panel["math"] - before.panel["math"]
    treated = panel["year"] >= panel["first_year"]
    np.testing.assert_allclose(moved, np.where(moved.isna(), np.nan, 0.3 * treated), atol=1e-12)
    assert before.schools.groupby("first_year").size().iloc[0] == 9


def test_visited_schools_are_pairs_and_alike_in_what_was_measured() -> None:
    tables = drawn(ADOPTED.design.scaled(10), ADOPTED.parameters)
    schools = tables.schools
    assert schools.groupby("adopted")["visited"].sum().tolist() == [220, 220]
    assert len(tables.work) == 23_750
    first = tables.panel[tables.panel["year"] == 2006].merge(schools, on="school")
    gap = first.groupby(["visited", "adopted"])["math"].mean()
    assert abs(gap[1, 1] - gap[1, 0]) < 0.03 < gap[0, 1] - gap[0, 0]


def test_hours_are_those_of_mentored_teachers_and_go_to_weak_schools() -> None:
    values = HIRED.parameters
    tables = drawn(HIRED.design.scaled(20), values)
    teachers = tables.teachers
    assert (teachers["mentored"] == teachers["novice"] * teachers["after"]).all()
    recorded = teachers["tens_of_hours"].notna()
    assert not recorded[teachers["mentored"] == 0].any()
    assert recorded[teachers["mentored"] == 1].mean() == pytest.approx(0.95, abs=0.01)
    hours = teachers["tens_of_hours"]
    assert hours.mean() == pytest.approx(values["hours.mean"] / 10, rel=0.02)
    assert hours.std() == pytest.approx(values["hours.sd"] / 10, rel=0.03)
    rest = teachers["math"] - values["math.prior"] * teachers["prior"]
    rest = rest.where(teachers["mentored"] == 0)
    means = pd.DataFrame({"rest": rest, "hours": hours}).groupby(teachers["school"]).mean()
    assert means.corr().iloc[0, 1] < -0.05


def test_hours_change_scores_of_mentored_teachers_around_the_mean() -> None:
    before = drawn(HIRED.design, HIRED.parameters)
    after = drawn(HIRED.design, HIRED.parameters | {"math.hours": 0.25})
    moved = after.teachers["math"] - before.teachers["math"]
    hours = before.teachers["tens_of_hours"]
    known = hours.notna()
    np.testing.assert_allclose(moved[known], 0.2 * (hours[known] - 5.0), atol=1e-12)
    assert (moved[before.teachers["mentored"] == 0] == 0).all()
    np.testing.assert_array_equal(before.teachers["reading"], after.teachers["reading"])


def test_worlds_that_cannot_be_are_refused() -> None:
    with pytest.raises(DesignError, match="an even number"):
        SchoolAdoption(60, 20, 20_000, 11, 200, subjects=("math",))
    with pytest.raises(DesignError, match="too few adopters"):
        SchoolAdoption(60, 3, 20_000, 10, 200, subjects=("math",))
    with pytest.raises(DesignError, match="two teachers a school"):
        HiredTeachers(50, 80, outcomes=("math",))
