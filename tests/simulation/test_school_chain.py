import numpy as np
import pandas as pd
import pytest

from teamlink.errors import DesignError
from teamlink.networks import describe
from teamlink.simulation.world import generate
from teamlink.simulation.worlds.school_chain import SchoolChain, path_effects
from teamlink.simulation.worlds.school_chain_students import SchoolChainStudents
from teamlink.simulation.worlds.school_networks import SchoolNetworks, _pairs
from teamlink.simulation.worlds.teacher_classes import TeacherClasses

CHAIN = SchoolChain(400, 8000, 4, 5, ("prior", "trust", "talk", "math"), ("trust", "talk"))
SURVEY = {
    "sizes.teachers_cv": 0.3,
    "survey.loading": 0.85,
    "survey.mean": 0.3,
    "survey.item_spread": 0.4,
    "survey.step": 0.9,
}
PATHS = {"trust.prior": -0.3, "talk.trust": 0.6, "math.talk": 0.5, "math.prior": 0.4}
VALUES = {**SURVEY, **PATHS, "trust.agreement": 0.3, "talk.agreement": 0.2}


def drawn(world, values, seed=1):
    return generate(world, values, np.random.default_rng(seed))


def scale(tables, name):
    items = [c for c in tables.teachers if c.startswith(name)]
    return tables.teachers.assign(own=tables.teachers[items].mean(axis=1))


def test_features_have_the_moments_asked_for():
    world = CHAIN.scaled(10)
    values = {**VALUES, "math.reliability": 0.8}
    defaults = {p.name: p.default for p in world.parameters if p.default is not None}
    z, schools, _ = world._draw({**defaults, **values}, np.random.default_rng(1))
    total, residual = path_effects(world.variables, values)
    implied = total * residual @ total.T
    assert np.allclose(np.diag(implied), 1)
    # 4000 schools: the standard error of a correlation is below 0.016
    assert np.abs(np.cov(z.T) - implied).max() < 0.08
    assert np.corrcoef(schools["math"], z[:, 3])[0, 1] == pytest.approx(np.sqrt(0.8), abs=0.02)
    assert np.array_equal(schools["prior"], z[:, 0])


def test_a_survey_shows_the_agreement_and_the_missing_answers_asked_for():
    tables = drawn(CHAIN, {**VALUES, "survey.missing": 0.1})
    items = [f"trust{i}" for i in range(1, 5)]
    assert tables.teachers[items].isna().mean().mean() == pytest.approx(0.1, abs=0.01)
    by_school = scale(tables, "trust").groupby("school")["own"]
    n, within = by_school.size(), by_school.var().mean()
    between = by_school.mean().var() - within * (1 / n).mean()
    icc = between / (between + within)
    # the items' own noise takes a little off the agreement of perceptions
    assert 0.2 < icc < 0.3
    assert n.sum() == 8000
    assert n.min() >= 4
    assert n.std() > 2


def test_a_path_changes_what_it_leads_to_and_nothing_else():
    one, two = (drawn(CHAIN, {**VALUES, "math.talk": b}) for b in (0.5, 0.0))
    pd.testing.assert_frame_equal(one.teachers, two.teachers)
    assert (one.schools["prior"] == two.schools["prior"]).all()
    assert (one.schools["math"] != two.schools["math"]).all()
    three = drawn(CHAIN, {**VALUES, "talk.trust": 0.0})
    same = [f"trust{i}" for i in range(1, 5)]
    pd.testing.assert_frame_equal(one.teachers[same], three.teachers[same])
    assert not one.teachers["talk1"].equals(three.teachers["talk1"])


def test_a_shared_mood_links_scales_that_nothing_else_links():
    def link(halo):
        tables = drawn(CHAIN, {**VALUES, "talk.trust": 0.0, "survey.halo": halo})
        means = [scale(tables, name).groupby("school")["own"].mean() for name in ("trust", "talk")]
        return np.corrcoef(*means)[0, 1]

    assert abs(link(0.0)) < 0.15
    assert link(0.6) > link(0.0) + 0.08


def test_paths_that_explain_too_much_are_refused():
    with pytest.raises(DesignError, match="the paths into 'math' explain more"):
        drawn(CHAIN, {**VALUES, "math.talk": 0.9, "math.prior": 0.9})
    with pytest.raises(DesignError, match="'talks' is no variable"):
        SchoolChain(40, 800, 4, 5, ("talk", "math"), ("talks",))
    with pytest.raises(DesignError, match="names two columns"):
        SchoolChain(40, 800, 4, 5, ("talk", "talk", "math"), ("talk",))


def test_students_have_the_share_of_variance_between_schools_asked_for():
    world = SchoolChainStudents(
        schools=400, teachers=8000, items=4, points=5, students=12000,
        variables=CHAIN.variables, surveyed=CHAIN.surveyed, tested=("math",),
    )  # fmt: skip
    tables = drawn(world, {**VALUES, "math.icc": 0.25})
    assert "math" not in tables.schools
    assert len(tables.students) == 12000
    by_school = tables.students.groupby("school")["math"]
    n, within = by_school.size(), by_school.var().mean()
    assert within == pytest.approx(0.75, abs=0.03)
    assert by_school.mean().var() - within * (1 / n).mean() == pytest.approx(0.25, abs=0.06)
    assert (n.to_numpy() == tables.schools["n_students"]).all()
    with pytest.raises(DesignError, match="no variable that is not surveyed"):
        SchoolChainStudents(
            schools=40, teachers=800, items=4, points=5, students=1200,
            variables=CHAIN.variables, surveyed=CHAIN.surveyed, tested=("talk",),
        )  # fmt: skip


NETWORKS = SchoolNetworks(schools=200, teachers=3000, items=5, points=5)
TIES = {
    **SURVEY,
    "efficacy.connectedness": 0.5,
    "achievement.efficacy": 0.5,
    "ties.level": -0.7,
    "ties.connectedness": 0.4,
    "ties.persons": 0.3,
    "ties.mutual": 0.4,
    "ties.response": 0.9,
    "efficacy.agreement": 0.35,
}


def test_pairs_are_all_pairs_within_schools():
    first, second, school = _pairs(np.array([3, 1, 4]))
    assert list(zip(first.tolist(), second.tolist(), school.tolist(), strict=True)) == [
        (0, 1, 0), (0, 2, 0), (1, 2, 0),
        (4, 5, 2), (4, 6, 2), (4, 7, 2), (5, 6, 2), (5, 7, 2), (6, 7, 2),
    ]  # fmt: skip


def test_networks_show_connectedness_response_and_mutual_ties():
    tables = drawn(NETWORKS, TIES)
    assert tables.roster["responded"].mean() == pytest.approx(0.9, abs=0.02)
    answered = tables.roster.loc[tables.roster["responded"], "teacher"]
    assert set(tables.ties["source"]) <= set(answered)
    assert tables.teachers["teacher"].tolist() == answered.tolist()
    home = tables.roster.set_index("teacher")["school"]
    assert (tables.ties["target"].map(home) == tables.ties["school"]).all()
    found = describe(
        tables.ties, by="school", roster=tables.roster, node="teacher", responded="responded"
    )
    assert found["density"].between(0.15, 0.45).mean() > 0.6
    # returned more often than a density of 0.3 would give
    assert found["reciprocity_edgewise"].mean() > found["density"].mean() + 0.1
    efficacy = scale(tables, "efficacy").groupby("school")["own"].mean()
    assert np.corrcoef(found["density"], efficacy)[0, 1] > 0.3


def test_efficacy_leaves_the_ties_as_they_are():
    one, two = (drawn(NETWORKS, {**TIES, "efficacy.connectedness": b}) for b in (0.5, 0.0))
    for name in ("ties", "roster", "schools"):
        pd.testing.assert_frame_equal(one[name], two[name])
    assert not one.teachers.equals(two.teachers)


def test_classes_differ_by_the_per_cent_asked_for():
    world = TeacherClasses(schools=400, teachers=8000, items=6, points=5)
    values = {
        **SURVEY,
        "capital.school_share": 0.25,
        "capital.experience": 0.2,
        "experience.mean": 8.0,
        "ability.missing": 0.1,
        "math.level": 60.0,
        "math.capital": 0.06,
        "math.ability": 0.02,
        "math.experience": 0.0,
        "math.prior": 0.1,
        "math.school_sd": 0.05,
        "math.class_sd": 0.1,
        "survey.missing": 0.02,
    }
    one = drawn(world, values).teachers
    two = drawn(world, {**values, "math.capital": 0.0}).teachers
    pd.testing.assert_frame_equal(one.drop(columns="math"), two.drop(columns="math"))
    capital = np.log(one["math"] / two["math"]) / 0.06
    assert capital.std() == pytest.approx(1, abs=0.03)
    items = one[[f"capital{i}" for i in range(1, 7)]].mean(axis=1)
    assert items.corr(capital) > 0.9
    slope = np.polyfit(capital, np.log(one["math"]), 1)[0]
    assert slope == pytest.approx(0.06, abs=0.01)
    assert one["ability"].isna().mean() == pytest.approx(0.1, abs=0.015)
    assert one["experience"].min() >= 1
