import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.errors import FitError, StudyError
from teamlink.fitting.estimates import Estimates
from teamlink.registry.analyses.lmm import coefficient, read_off
from teamlink.registry.analysis import FIELDS
from teamlink.registry.catalogue import find
from teamlink.registry.pipeline import analyse
from teamlink.registry.prepared import Prepared, prepare
from teamlink.registry.replicate import _FromWorld
from teamlink.registry.scenarios import scenarios
from teamlink.registry.steps.levels import LevelsStep
from teamlink.registry.truth import true_slopes
from teamlink.simulation.school_draw import draw
from teamlink.simulation.world import Tables

STUDY = find("goddard-2007")
KEYS = STUDY.design.keys
COLUMNS = ["collaboration", "prior", "frl", "minority", "female", "school_prior", "school_frl"]


def prepared_files(tables: Tables) -> Prepared:
    return prepare(STUDY.pipeline.steps, [tables], KEYS)[0]


def test_the_school_scale_is_the_standardised_mean_of_the_teachers_answers() -> None:
    tables = tl.simulate_study(STUDY, seed=3)
    prepared = prepared_files(tables)
    items = list(STUDY.pipeline.steps[0].items)
    by_hand = tables.teachers.groupby("school")[items].mean().mean(axis=1)
    z = (by_hand - by_hand.mean()) / by_hand.std()
    expected = z.loc[tables.students["school"]].to_numpy()
    found = prepared.frame("students", ["collaboration"])["collaboration"]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert prepared.units == {"collaboration": pytest.approx(by_hand.std())}


def test_context_is_the_school_mean() -> None:
    tables = tl.simulate_study(STUDY, seed=3)
    frame = prepared_files(tables).frame("students", ["school_prior", "school_frl"])
    for name, column in (("school_prior", "prior"), ("school_frl", "frl")):
        expected = tables.students.groupby("school")[column].transform("mean")
        np.testing.assert_allclose(frame[name], expected, atol=1e-12)


def test_one_call_equals_a_fit_for_each_outcome_and_scenario() -> None:
    """Refits on a shared design give what `lmm` gives for each outcome alone."""
    worlds = scenarios(STUDY)
    together = _FromWorld(STUDY, worlds)(np.random.default_rng(8))
    for s, row in enumerate(worlds.effects):
        changed = STUDY.parameters | {c.effect: e for c, e in zip(STUDY.claims, row, strict=True)}
        tables = draw(STUDY.design, changed, np.random.default_rng(8)).tables()
        frame = prepared_files(tables).frame("students", ["math", "reading", *COLUMNS, "school"])
        for c, model in enumerate(STUDY.pipeline.models):
            fit = tl.lmm(model.analysis.formula, frame)
            alone = [
                getattr(fit, name)["collaboration"] for name in ("params", "bse", "df", "pvalues")
            ]
            # optimisers stop within 1e-6 of the same point; df are the most sensitive
            np.testing.assert_allclose(together[s, c, :4], alone, rtol=1e-4, atol=1e-7)


def test_the_true_slope_is_what_regression_on_the_latent_climate_says() -> None:
    """An independent route to the estimand: project the climate on what the analyst sees.

    At the population's variances, generalised least squares of c on scale, background and context
    gives the share of a latent effect that arrives at the scale's slope.
    """
    world = draw(STUDY.design.scaled(150), STUDY.parameters, np.random.default_rng(77))
    tables = world.tables()
    frame = prepared_files(tables).frame("students", COLUMNS)
    J, of = world.design.schools, world.students_of
    n = np.bincount(of, minlength=J)
    X = np.column_stack([np.ones(len(of)), frame.to_numpy(dtype=float)])
    M = np.column_stack([X, world.climate[of]])
    tau2, sigma2 = 0.09**2 + 0.003, 0.64**2
    shrink = 1 - np.sqrt(sigma2 / (sigma2 + n * tau2))
    means = np.column_stack([np.bincount(of, column, J) / n for column in M.T])
    M = M - (shrink[:, None] * means)[of]
    slope = np.linalg.lstsq(M[:, :-1], M[:, -1], rcond=None)[0][1]
    scale = tables.teachers[list(STUDY.design.item_names)].mean(axis=1)
    sd = scale.groupby(tables.teachers["school"]).mean().std()
    # both routes have a simulation error near 0.8 %
    worlds = scenarios(STUDY)
    found = true_slopes(STUDY, worlds)[0] / worlds.effects[0]
    np.testing.assert_allclose(found, slope / sd, rtol=0.03)
    assert 0.75 < slope < 0.85


def test_coefficient_ignores_the_order_of_parts_and_suggests() -> None:
    assert coefficient("b:a", ["a", "a:b"]) == "a:b"
    with pytest.raises(StudyError, match="did you mean 'collaboration'"):
        coefficient("colaboration", ["Intercept", "collaboration"])


def test_a_fit_that_did_not_converge_is_a_failure() -> None:
    two = Estimates(
        ("w", "x"), np.array([[9.0, 0.1], [9.0, 0.2]]), np.tile(np.diag([9.0, 0.04]), (2, 1, 1)),
        np.full((2, 2), 10.0), "satterthwaite",
    )  # fmt: skip
    with pytest.raises(FitError, match="did not converge in 1 responses"):
        read_off(two, np.array([True, False]), "x", 1.0)
    rows = read_off(two, np.array([True, True]), "x", 2.0)
    assert rows.shape == (2, len(FIELDS))
    found = dict(zip(FIELDS, rows[0].tolist(), strict=True))
    assert found["unit"] == 2.0
    assert (found["estimate"], found["std_error"], found["df"]) == (0.1, 0.2, 10.0)
    assert found["p_value"] == pytest.approx(two.p_value[0, 1], rel=1e-12)
    assert found["conf_low"] < 0.1 < found["conf_high"]


def test_levels_are_as_stated() -> None:
    frame = pd.DataFrame({"sector": ["Catholic", "Public", None]})
    found = LevelsStep("sector", ("Public", "Catholic")).coded(frame)
    assert list(found.categories) == ["Public", "Catholic"]
    assert found.isna().sum() == 1
    with pytest.raises(StudyError, match="also holds Catholic"):
        LevelsStep("sector", ("Public",)).coded(frame)
    with pytest.raises(StudyError, match="did you mean 'sector'"):
        LevelsStep("sectr", ("Public",)).coded(frame)


def test_analyse_sees_files_only() -> None:
    """Whatever the climate was, the same files give the same answer."""
    tables = tl.simulate_study(STUDY, seed=4)
    once = analyse(STUDY.pipeline, STUDY.claims, [tables], KEYS)
    shuffled = tables.teachers.sample(frac=1, random_state=1)
    again = analyse(STUDY.pipeline, STUDY.claims, [dict(tables) | {"teachers": shuffled}], KEYS)
    np.testing.assert_allclose(once, again, rtol=1e-9)
