"""Correlations of school culture, and the three levels of professional community."""

from collections.abc import Sequence
from importlib import resources

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.registry.analyses import correlation, lmm
from teamlink.registry.catalogue import find
from teamlink.registry.pipeline import analyse
from teamlink.registry.reading import parse_study
from teamlink.registry.replicate import replicate
from teamlink.typing import Array


def school_means(teachers: pd.DataFrame, scale: str) -> pd.Series:
    """School means of the teachers who answered two of a scale's three items or more."""
    items = [f"{scale}{i}" for i in (1, 2, 3)]
    answers = teachers[teachers[items].notna().sum(axis=1) >= 2]
    return answers[items].mean(axis=1).groupby(answers["school"]).mean()


@pytest.mark.parametrize(
    ("key", "claim", "factor"),
    [("gruenert-2005", 0, "leadership"), ("indiana-2007", 1, "collaboration")],
)
def test_a_correlation_is_that_of_school_means(key: str, claim: int, factor: str) -> None:
    study, tables = find(key), tl.simulate_study(key, seed=6)
    found = analyse(study.pipeline, study.claims, [tables], study.design.keys)[0, claim, 0]
    means = school_means(tables.teachers, factor)
    schools = tables.schools.set_index("school")
    expected = means.corr(schools["math"] / 2 + schools["language"] / 2)
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_regression_is_least_squares_on_all_six() -> None:
    study, tables = find("indiana-2007"), tl.simulate_study("indiana-2007", seed=6)
    found = analyse(study.pipeline, study.claims, [tables], study.design.keys)[0, 3]
    factors = study.design.factors
    scales = pd.DataFrame({f: school_means(tables.teachers, f) for f in factors})
    schools = tables.schools.set_index("school").loc[scales.index]
    X = np.column_stack([np.ones(len(scales)), scales.to_numpy()])
    y = schools[["math", "language"]].mean(axis=1).to_numpy()
    b = np.linalg.lstsq(X, y, rcond=None)[0]
    rest = y - X @ b
    V = np.linalg.inv(X.T @ X) * (rest @ rest) / (len(y) - 7)
    assert found[0] == pytest.approx(b[6])
    assert found[1] == pytest.approx(np.sqrt(V[6, 6]))
    assert len(scales) < 127


def test_a_correlation_without_its_sign_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = correlation._correlation

    def unsigned(pair: Array) -> Array:
        row = sound(pair)
        return sound(pair * [1.0, np.sign(row[0])])

    monkeypatch.setattr(correlation, "_correlation", unsigned)
    again = replicate("gruenert-2005", replicates=8)
    flipped = again.controls[again.controls["control"] == "sign flipped"]
    assert not flipped["holds"].any()


def test_community_is_the_public_function_on_the_same_files() -> None:
    study, tables = find("bryk-1999"), tl.simulate_study("bryk-1999", seed=6)
    found = analyse(study.pipeline, study.claims, [tables], study.design.keys)[0]
    schools = tables.schools.set_index("school")
    for name in ("leadership", "trust"):
        means = school_means(tables.teachers, name)
        schools[name] = (means - means.mean()) / means.std()
    data = tables.measures.join(schools, on="school")
    formula = "score ~ log(enrolment) + leadership + trust + (1 | school) + (1 | school:teacher)"
    fit = tl.lmm(formula, data)
    terms = ["log(enrolment)", "leadership", "trust"]
    np.testing.assert_allclose(found[:, 0], fit.params[terms], rtol=1e-5)
    np.testing.assert_allclose(found[:, 1], fit.bse[terms], rtol=1e-4)


def test_a_dropped_school_level_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = lmm.design

    def without_schools(formula: str, data: pd.DataFrame, *rest: Sequence[object]) -> object:
        return sound(formula.replace("(1 | school/teacher)", "(1 | teacher)"), data, *rest)

    # schools that differ as much as teachers do, so that few replicates show it
    entries = resources.files("teamlink.registry") / "entries"
    text = (entries / "bryk-1999.toml").read_text(encoding="utf-8")
    head, mark, tail = text.partition('name = "community.school_sd"\nvalue = 0.3')
    assert mark
    changed = head + mark.replace("0.3", "0.9") + tail
    study = parse_study(changed.replace("truth_times = 4", "truth_times = 1"))
    monkeypatch.setattr(lmm, "design", without_schools)
    again = replicate(study, replicates=6)
    zero = again.controls[again.controls["control"] == "effect zero"]
    assert not zero["holds"].all()
    assert not again.ok
