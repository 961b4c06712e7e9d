"""Growth, value added and returns to experience: Bottia, Moller, Ronfeldt, Kraft, Pil."""

from dataclasses import replace
from importlib import resources

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.errors import FitError
from teamlink.registry.analyses.experience import ExperienceAnalysis, log_ratio
from teamlink.registry.analysis import FIELDS
from teamlink.registry.catalogue import find
from teamlink.registry.pipeline import analyse
from teamlink.registry.prepared import Layout, Prepared, prepare
from teamlink.registry.reading import parse_study
from teamlink.registry.replicate import replicate
from teamlink.registry.scenarios import scenarios
from teamlink.registry.steps.answers import AnswersStep
from teamlink.registry.steps.subset import SubsetStep
from teamlink.registry.study import Study
from teamlink.simulation.world import Tables

ENTRIES = resources.files("teamlink.registry") / "entries"
KEYS = ("bottia-2016", "kraft-2014", "moller-2013", "pil-2009", "ronfeldt-2015")


def entry_text(key: str) -> str:
    return (ENTRIES / f"{key}.toml").read_text(encoding="utf-8")


def files(study: Study, seed: int = 1) -> tuple[Tables, Prepared]:
    tables = tl.simulate_study(study, seed=seed)
    return tables, prepare(study.pipeline.steps, [tables], study.design.keys)[0]  # type: ignore[union-attr]


def scale_of(teachers: pd.DataFrame, items: list[str], by: str) -> pd.Series:
    means = teachers[items].mean(axis=1).groupby(teachers[by]).mean()
    return (means - means.mean()) / means.std()


def test_ledger_ids() -> None:
    ids = {claim.id.partition("-")[0] for key in KEYS for claim in find(key).claims}
    assert ids == {"B16a", "B16b", "B16c", "M13a", "M13b", "M13c", "R15a", "R15b", "K14", "L09"}


def test_groups_are_fitted_by_themselves() -> None:
    """One file through the pipeline is what `lmm` says of the pupils of one group who stayed."""
    study = find("bottia-2016")
    tables, _ = files(study)
    worlds = scenarios(study)
    found = analyse(study.pipeline, study.claims, [tables], study.design.keys)[0]  # type: ignore[union-attr]
    assert len(worlds.changes) == 5
    items = [f"collaboration{i}" for i in range(1, 5)]
    data = tables.scores.merge(tables.students, on="student")
    data["collaboration"] = data["school"].map(scale_of(tables.teachers, items, "school"))
    data = data[data["moved"] == 0]
    for c, rows in enumerate((data, data[data["immigrant"] == 1], data[data["non_english"] == 1])):
        model = study.pipeline.model(study.claims[c].answered_by)
        assert model is not None
        fit = tl.lmm(model.analysis.formula, rows)  # type: ignore[attr-defined]
        alone = [getattr(fit, n)["time:collaboration"] for n in ("params", "bse", "df", "pvalues")]
        np.testing.assert_allclose(found[c, :4], alone, rtol=1e-4, atol=1e-7)
        sd = tables.teachers[items].mean(axis=1).groupby(tables.teachers["school"]).mean().std()
        assert found[c, FIELDS.index("unit")] == pytest.approx(sd)


@pytest.mark.filterwarnings("ignore::teamlink.errors.DroppedRows")
def test_pupils_are_crossed_with_schools() -> None:
    study = find("moller-2013")
    tables, prepared = files(study)
    crossed = prepared.frame("scores", ["student", "school"])
    assert crossed.groupby("student")["school"].nunique().max() > 1
    fit = tl.lmm(
        study.pipeline.models[0].analysis.formula,  # type: ignore[attr-defined]
        prepared.frame(
            "scores",
            ["math", "time", "community", "collaboration", "black", "ses", "student", "school"],
        ),
    )
    found = analyse(study.pipeline, study.claims, [tables], study.design.keys)[0]  # type: ignore[union-attr]
    expected = [fit.params[name] for name in ("time:community", "time:collaboration")]
    np.testing.assert_allclose(found[:2, 0], expected, rtol=1e-4)


def test_the_ratio_is_that_of_the_public_function() -> None:
    study = find("kraft-2014")
    tables, _ = files(study)
    found = analyse(study.pipeline, study.claims, [tables], study.design.keys)[0]  # type: ignore[union-attr]
    items = [f"environment{i}" for i in range(1, 7)]
    data = tables.classes.copy()
    data["environment"] = data["school"].map(scale_of(tables.teachers, items, "school"))
    returns = tl.returns_to_experience(
        data, "math", "teacher", "experience", "environment", gain=True, covariates="poverty",
        interaction="full",
    )  # fmt: skip
    ratio, difference = returns.ratio(), returns.difference()
    assert np.exp(found[0, 0]) == pytest.approx(ratio["ratio"], rel=1e-6)
    assert found[0, 1] == pytest.approx(ratio["std_error"] / ratio["ratio"], rel=1e-6)
    g = data["experience"].clip(upper=10) / 10
    data = data.assign(g=g, g2=g**2)
    terms = ["poverty", "g", "g2", "environment", "g:environment", "g2:environment"]
    value = tl.vam(data, "math", "teacher", gain=True, covariates=terms)
    sd = value.reliability["sd"]["teacher"]
    assert found[1, 0] == pytest.approx(difference["gain"] / sd, rel=1e-5)
    # the delta method on the logarithm is near Fieller's interval here
    ends = np.exp(found[0, FIELDS.index("conf_low")]), np.exp(found[0, FIELDS.index("conf_high")])
    np.testing.assert_allclose(ends, [ratio["conf_low"], ratio["conf_high"]], rtol=0.06)


def test_terms_of_the_experience_model_are_checked() -> None:
    text = entry_text("kraft-2014")
    with pytest.raises(Exception, match="no term 'ratios'"):
        parse_study(text.replace('term = "ratio"', 'term = "ratios"'))
    with pytest.raises(Exception, match="with scale 'difference'"):
        parse_study(text.replace('scale = "ratio"\n', ""))
    with pytest.raises(Exception, match="quantiles"):
        parse_study(text.replace('context = "environment"', 'context = "environment"\nlow = 0.9'))
    with pytest.raises(Exception, match="no column 'environs'"):
        parse_study(text.replace('context = "environment"', 'context = "environs"'))


def test_a_gain_that_is_not_positive_has_no_logarithm() -> None:
    rng = np.random.default_rng(1)
    teacher = np.repeat(np.arange(200), 4)
    data = pd.DataFrame({"teacher": teacher, "experience": rng.integers(0, 12, 800)})
    data["climate"] = rng.normal(size=200)[teacher]
    grown = data["experience"].clip(upper=10)
    data["gain"] = 0.2 * grown * data["climate"] + rng.normal(size=800)
    found = tl.returns_to_experience(
        data, "gain", "teacher", "experience", "climate", gain=True, shape="linear"
    )
    with pytest.raises(FitError, match="no logarithm"):
        log_ratio(found)
    analysis = ExperienceAnalysis("gain", "climate", shape="linear", table="rows")
    claim = replace(find("kraft-2014").claims[0], outcome="gain")
    with pytest.raises(FitError):
        analysis.estimate([claim], [Prepared({"rows": data}, {})])


def test_a_subset_may_go_by_a_coarser_files_column() -> None:
    study = find("bottia-2016")
    tables, prepared = files(study)
    merged = tables.scores.merge(tables.students, on="student")
    expected = merged[(merged["immigrant"] == 1) & (merged["moved"] == 0)]
    assert len(prepared.tables["immigrants"]) == len(expected)
    assert (prepared.tables["immigrants"]["math"].to_numpy() == expected["math"].to_numpy()).all()
    step = SubsetStep("immigrant", 1.0, table="scores", into="scores")
    layout = Layout(study.design.columns, study.design.keys)  # type: ignore[union-attr]
    faults = [str(fault) for fault in step.check(layout)[1]]
    assert any("no column 'immigrant' in scores" in fault for fault in faults)
    assert any("a file 'scores' already" in fault for fault in faults)
    away = SubsetStep("district", 1.0, table="students", of="schools").check(layout)[1]
    assert "no key of 'schools'" in str(away[0])
    assert step.text == "scores: scores with `immigrant` = 1"


def test_a_respondents_score_is_the_mean_of_what_was_answered() -> None:
    frame = pd.DataFrame(
        {"teacher": [1, 2, 3], "a": [1.0, np.nan, np.nan], "b": [3.0, 4.0, np.nan]}
    )
    step = AnswersStep("own", ("a", "b"), standardize=False)
    found = step.apply(Prepared({"teachers": frame}, {})).tables["teachers"]["own"]
    np.testing.assert_array_equal(found, [2, 4, np.nan])
    z = AnswersStep("own", ("a", "b")).apply(Prepared({"teachers": frame}, {}))
    assert z.unit("own") == pytest.approx(np.sqrt(2))
    assert z.tables["teachers"]["own"].mean() == pytest.approx(0)


def test_claims_and_controls_come_back() -> None:
    again = replicate("pil-2009", seed=1, replicates=15)
    assert again.claims["recovered"].tolist() == again.claims["published"].tolist()
    assert (again.controls["verdict"] == again.controls["expected"]).all()


def test_a_sign_error_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    study = find("pil-2009")

    def turned(self: Prepared, names: object) -> dict[str, np.ndarray]:
        return {n: -v if n == "ability" else v for n, v in real(self, "classes", names).items()}

    real = Prepared.columns
    monkeypatch.setattr(Prepared, "columns", lambda self, _, names: turned(self, names))
    again = replicate(study, replicates=15)
    verdicts = again.claims.set_index("claim")["verdict"]
    assert verdicts["L09-1"] == "reproduced"
    assert verdicts["L09-2"] == "contradicted"
    assert not again.ok


def test_without_random_slopes_of_pupils_too_much_is_found() -> None:
    """Pupils grow at rates of their own; a model that denies it is sure where it may not be."""
    text = entry_text("moller-2013").replace("(time | student) + (1 | school)", "(1 | student)")
    text = text.replace("truth_times = 20", "truth_times = 2")
    changes = {"students": 800, "schools": 80, "teachers": 480, "growth.pupil_sd": 0.4}
    for name, value in changes.items():
        head, mark, tail = text.partition(f'name = "{name}"\nvalue = ')
        text = head + mark + repr(value) + tail[tail.index("\n") :]
    again = replicate(parse_study(text), replicates=18)
    zero = again.controls[again.controls["control"] == "effect zero"]
    assert (zero["significant"] > zero["most"]).any()
    assert not zero["holds"].all()
    assert not again.ok


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS)
def test_every_claim_and_control_holds(key: str) -> None:
    assert replicate(key, seed=1, replicates=200).ok
