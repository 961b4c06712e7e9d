import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teamlink.errors import DesignError
from teamlink.measurement import survey_scale
from teamlink.registry.catalogue import find
from teamlink.simulation.school_draw import draw
from teamlink.simulation.sizes import spread
from teamlink.simulation.world import generate

STUDY = find("goddard-2007")
DESIGN, POPULATION = STUDY.design, STUDY.parameters


@given(
    groups=st.integers(2, 80),
    extra=st.integers(0, 5000),
    least=st.integers(0, 20),
    cv=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=80, deadline=None)
def test_spread_keeps_total_and_minimum(
    groups: int, extra: int, least: int, cv: float, seed: int
) -> None:
    total = groups * least + extra
    sizes = spread(total, groups, cv, least, np.random.default_rng(seed))
    assert sizes.sum() == total
    assert sizes.min() >= least


def test_spread_varies_as_asked() -> None:
    sizes = spread(540_000, 10_000, 0.35, 15, np.random.default_rng(1))
    assert sizes.std() / sizes.mean() == pytest.approx(0.35, rel=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_totals_are_exact_and_unequal(seed: int) -> None:
    tables = generate(DESIGN, POPULATION, np.random.default_rng(seed))
    assert (len(tables.schools), len(tables.teachers), len(tables.students)) == (47, 452, 2536)
    for file, column in ((tables.students, "n_students"), (tables.teachers, "n_teachers")):
        counts = file.groupby("school").size()
        assert (counts.to_numpy() == tables.schools[column].to_numpy()).all()
        assert counts.nunique() > 3


def test_files_hold_only_what_an_analyst_has() -> None:
    world = draw(DESIGN, POPULATION, np.random.default_rng(1))
    tables = world.tables()
    for name, columns in DESIGN.columns.items():
        frame = getattr(tables, name)
        assert tuple(frame.columns) == columns
        by_school = frame.groupby("school")[list(columns[1:])].mean()
        gaps = (by_school.sub(world.climate, axis=0)).abs().max()
        assert (gaps > 0.1).all(), "a column is the latent climate"


def test_answers_are_likert_and_items_differ() -> None:
    tables = generate(DESIGN, POPULATION, np.random.default_rng(2))
    answers = tables.teachers[list(DESIGN.item_names)]
    assert answers.dtypes.map(lambda t: np.issubdtype(t, np.integer)).all()
    assert set(np.unique(answers)) == {1, 2, 3, 4, 5}
    assert answers.mean().diff().dropna().gt(0).all()


def test_same_seed_same_files_another_seed_others() -> None:
    one, two, other = (
        generate(DESIGN, POPULATION, np.random.default_rng(s)).students for s in (3, 3, 4)
    )
    assert one.equals(two)
    assert not one.equals(other)


def test_an_effect_changes_the_outcome_by_effect_times_climate_and_nothing_else() -> None:
    none = POPULATION | {"math.collaboration": 0.0}
    with_effect = draw(DESIGN, POPULATION, np.random.default_rng(5))
    without = draw(DESIGN, none, np.random.default_rng(5))
    a, b = with_effect.tables(), without.tables()
    assert a.teachers.equals(b.teachers)
    same = [c for c in a.students if c != "math"]
    assert a.students[same].equals(b.students[same])
    added = POPULATION["math.collaboration"] * with_effect.climate[with_effect.students_of]
    np.testing.assert_allclose(a.students["math"] - b.students["math"], added, atol=1e-12)


def test_a_large_world_has_the_moments_that_were_asked_for() -> None:
    world = draw(DESIGN.scaled(60), POPULATION, np.random.default_rng(6))
    tables = world.tables()
    scale = survey_scale(tables.teachers, by="school", items=list(DESIGN.item_names))
    # 2,820 schools: three standard errors of these are below the tolerances
    assert scale.alpha == pytest.approx(0.90, abs=0.02)
    assert scale.icc1 == pytest.approx(0.20, abs=0.03)
    shares = tables.students[["frl", "minority", "female"]].mean()
    wanted = [POPULATION[f"{x}.share"] for x in ("frl", "minority", "female")]
    np.testing.assert_allclose(shares, wanted, atol=0.02)
    assert tables.students["math"].std() == pytest.approx(1.0, abs=0.05)
    assert tables.students["prior"].std() == pytest.approx(1.0, abs=0.05)
    r = np.corrcoef(world.climate, scale.scores["score"])[0, 1]
    assert 0.75 < r < 0.9


def test_the_outcome_model_is_the_one_stated() -> None:
    """Least squares on everything, the latent climate included, gives back the coefficients."""
    world = draw(DESIGN.scaled(40), POPULATION, np.random.default_rng(7))
    of, J = world.students_of, world.design.schools
    counts = np.bincount(of)
    mean = [np.bincount(of, v, J)[of] / counts[of] for v in (world.prior, world.background[:, 0])]
    columns = [np.ones(len(of)), world.climate[of], world.prior, *world.background.T, *mean]
    X = np.column_stack(columns)
    beta, *_ = np.linalg.lstsq(X, world.outcomes[:, 0], rcond=None)
    names = ("collaboration", "prior", "frl", "minority", "female", "school_prior", "school_frl")
    wanted = np.array([POPULATION[f"math.{n}"] for n in names])
    # about four standard errors: pupils tell a student's slope, 1,880 schools a school's
    assert (np.abs(beta[1:] - wanted) < [0.015, 0.02, 0.02, 0.02, 0.02, 0.06, 0.08]).all()
    residual = world.outcomes - X @ np.linalg.lstsq(X, world.outcomes, rcond=None)[0]
    assert 0.3 < np.corrcoef(residual.T)[0, 1] < 0.5


def test_generate_refuses_an_incomplete_population() -> None:
    broken = {k: v for k, v in POPULATION.items() if not k.startswith("survey.")}
    with pytest.raises(DesignError, match="5 faults") as caught:
        generate(DESIGN, broken, np.random.default_rng(1))
    assert len(caught.value.faults) == 5
