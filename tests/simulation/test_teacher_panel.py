import numpy as np
import pandas as pd
import pytest

from teamlink.errors import DesignError
from teamlink.registry.catalogue import find
from teamlink.simulation.world import Tables, generate
from teamlink.simulation.worlds.teacher_panel import TeacherPanel

STUDY = find("kraft-2014")
WORLD = STUDY.design
assert isinstance(WORLD, TeacherPanel)
VALUES = STUDY.parameters
SDS = ("group_sd", "teacher_sd", "class_sd", "pupil_sd")


def made(changes: dict[str, float], seed: int = 3, times: int = 1) -> Tables:
    return generate(WORLD.scaled(times), VALUES | changes, np.random.default_rng(seed))  # type: ignore[union-attr]


def test_moments_are_those_asked_for() -> None:
    tables = made({"math.returns": 0.0, "math.poverty": 0.0}, times=10)
    classes = tables.classes
    assert len(classes) == 112000
    assert len(tables.teachers) == 32000
    assert classes["pupils"].mean() == pytest.approx(25, rel=0.02)
    assert classes["poverty"].std() == pytest.approx(1, rel=0.03)
    per_teacher = classes.groupby("teacher")
    assert per_teacher.size().std() / per_teacher.size().mean() == pytest.approx(0.6, abs=0.05)
    first = classes.loc[classes["year"] == 1, "experience"]
    assert first.mean() == pytest.approx(4.5, abs=0.2)  # whole years of an exponential, mean 5
    assert (per_teacher["experience"].diff().dropna() == 1).all()
    moved = per_teacher["school"].diff().dropna() != 0
    assert moved.mean() == pytest.approx(0.05, abs=0.005)
    within = (per_teacher["math"].var()).mean()
    assert within == pytest.approx(0.08**2 + 0.5**2 / 25, rel=0.1)
    last = per_teacher["school"].last().to_numpy()
    assert (tables.teachers.set_index("teacher")["school"].to_numpy() == last).all()
    items = tables.teachers.filter(like="environment")
    assert items.isna().to_numpy().mean() == pytest.approx(0.05, abs=0.005)


def test_effects_are_what_they_say_and_change_nothing_else() -> None:
    quiet = {f"math.{sd}": 0.0 for sd in SDS} | {"math.environment": 0.0, "math.poverty": 0.0}
    quiet |= {"math.returns": 0.1, "math.returns_environment": 0.0}
    one = made(quiet)
    grown = 1 - (1 - np.minimum(one.classes["experience"], 10) / 10) ** 2
    np.testing.assert_allclose(one.classes["math"], 0.1 * grown, atol=1e-12)
    two = made(quiet | {"math.returns_environment": 0.05})
    quality = (two.classes["math"] - one.classes["math"]) / (0.05 * grown)
    by_school = quality[grown > 0].groupby(two.classes["school"])
    assert by_school.std().max() < 1e-9
    assert by_school.first().std() == pytest.approx(1, abs=0.15)
    assert one.teachers.equals(two.teachers)
    assert one.classes.drop(columns="math").equals(two.classes.drop(columns="math"))
    # teachers see the environment that works: school means of answers go with it
    answers = two.teachers.filter(like="environment").mean(axis=1)
    means = answers.groupby(two.teachers["school"]).mean()
    assert np.corrcoef(means, by_school.first()[means.index])[0, 1] > 0.8


def test_traits_and_own_answers() -> None:
    study = find("pil-2009")
    zero = {f"growth.{sd}": 0.0 for sd in SDS}
    zero |= dict.fromkeys(("growth.ties", "growth.returns", "growth.poverty"), 0.0)

    def gains(**effects: float) -> pd.DataFrame:
        values = study.parameters | zero | {"growth.ability": 0.0, "growth.ability_ties": 0.0}
        values |= {name.replace("__", "."): value for name, value in effects.items()}
        tables = generate(study.design, values, np.random.default_rng(1))  # type: ignore[arg-type]
        assert tables.classes["team"].max() == 239
        return tables.classes.merge(tables.teachers.drop(columns="team"), on="teacher")

    ability = gains(growth__ability=0.2)
    np.testing.assert_allclose(ability["growth"], 0.2 * ability["ability"], atol=1e-12)
    both = gains(growth__ability_ties=0.2)
    ties = both["growth"] / (0.2 * both["ability"])
    assert ties.groupby(both["team"]).std().max() < 1e-6
    own = gains(growth__own_ties=0.3)["growth"] / 0.3
    assert own.std() == pytest.approx(1, abs=0.1)
    seen = gains().filter(like="ties").mean(axis=1)
    assert np.corrcoef(own, seen - seen.groupby(own.index).transform("mean") * 0)[0, 1] > 0.5


def test_outcomes_correlate() -> None:
    study = find("ronfeldt-2015")
    zero = {f"{y}.{sd}": 0.0 for y in ("math", "reading") for sd in ("class_sd", "pupil_sd")}
    tables = generate(study.design, study.parameters | zero, np.random.default_rng(1))  # type: ignore[arg-type]
    assert tables.classes[["math", "reading"]].corr().iloc[0, 1] == pytest.approx(0.65, abs=0.08)


def test_wrong_designs_are_refused_with_every_fault() -> None:
    with pytest.raises(DesignError) as caught:
        TeacherPanel(groups=1, teachers=1, classes=0, items=0, points=1, traits=("poverty",))
    assert len(caught.value.faults) == 6
    assert "needs" not in str(caught.value)
    assert WORLD.check({"math.returns": 1.0})[0].where == "population"  # type: ignore[union-attr]
