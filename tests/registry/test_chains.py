"""The studies of chains: leadership, collaboration, efficacy, achievement; and their analyses."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.errors import FormulaError
from teamlink.registry.analyses import path_regression
from teamlink.registry.analyses.path_regression import PathRegressionAnalysis, Regression, _read
from teamlink.registry.analyses.sem import StructuralAnalysis
from teamlink.registry.catalogue import find
from teamlink.registry.prepared import Prepared, prepare
from teamlink.registry.replicate import replicate
from teamlink.registry.replication import Replication
from teamlink.registry.steps.network import NetworkStep
from teamlink.registry.steps.scales import ScalesStep
from teamlink.registry.study import Claim

KEYS = [
    "goddard-2010", "goddard-2015", "leana-2006", "leana-2011", "moolenaar-2012", "pisa-2015",
    "ross-2004", "rubinstein-2016",
]  # fmt: skip


def claim(term: str, outcome: str = "") -> Claim:
    return Claim("X1", "", outcome, term, "positive", "school", "abstract")


def prepared(key: str, seed: int = 1, steps: int | None = None) -> Prepared:
    study = find(key)
    tables = tl.simulate_study(study, seed=seed)
    return prepare(study.pipeline.steps[:steps], [tables], study.design.keys)[0]


@pytest.fixture(scope="module")
def leana() -> Prepared:
    return prepared("leana-2006")


@pytest.mark.parametrize("key", KEYS)
def test_every_claim_has_sizes_sources_and_controls(key: str) -> None:
    study = find(key)
    assert study.status == "ready"
    assert study.practices
    assert study.goals
    for own in study.claims:
        zero, other = own.changes(study.values)
        assert zero != other
        assert own.source in study.sources


def test_scales_are_those_of_survey_scale(leana: Prepared) -> None:
    tables = tl.simulate_study("leana-2006", seed=1)
    items = [f"internal{i}" for i in range(1, 7)]
    own = tl.survey_scale(tables.teachers, by="school", items=items).scores["score"]
    assert np.allclose(leana.tables["schools"]["internal"], own, rtol=1e-13)
    step = ScalesStep({"internal": tuple(items)}, standardize=True)
    again = step.apply(Prepared(dict(tables), find("leana-2006").design.keys))
    z = again.tables["schools"]["internal"]
    assert z.mean() == pytest.approx(0, abs=1e-12)
    assert z.std() == pytest.approx(1)
    assert again.unit("internal") == pytest.approx(own.std())


def test_who_answers_fewer_than_half_of_the_items_has_no_score() -> None:
    nan = np.nan
    teachers = pd.DataFrame(
        {"school": [1, 1, 2], "a1": [5, 1, nan], "a2": [3, nan, nan], "a3": [nan, nan, 2.0]}
    )
    files = {"teachers": teachers, "schools": pd.DataFrame({"school": [2, 1, 3]})}
    found = ScalesStep({"a": ("a1", "a2", "a3")}).apply(Prepared(files, {}))
    assert found.tables["schools"]["a"].isna().tolist() == [True, False, True]
    assert found.tables["schools"]["a"][1] == 4.0


def test_indices_of_networks_are_those_of_describe() -> None:
    tables = tl.simulate_study("moolenaar-2012", seed=3)
    table = tl.networks.describe(
        tables.ties, by="school", roster=tables.roster, node="teacher", responded="responded"
    )
    bare = Prepared(dict(tables), find("moolenaar-2012").design.keys)
    for indices in (("density",), ("density", "transitivity")):
        found = NetworkStep(indices).apply(bare).tables["schools"].set_index("school")
        for name in indices:
            assert np.allclose(found[name], table[name], equal_nan=True)
    _, faults = NetworkStep(("densty",)).check(bare.layout)
    assert "did you mean 'density'" in str(faults[0])


def test_path_regressions_are_structural_equations_with_t(leana: Prepared) -> None:
    text = """
    instruction ~ a*internal + external + poverty
    math ~ m*instruction + internal + external + poverty
    math_indirect := a*m
    """
    terms = ["a", "math ~ internal", "math_indirect"]
    found = PathRegressionAnalysis(text).estimate([claim(t) for t in terms], [leana])[0]
    fit = tl.sem(text, leana.tables["schools"])
    n = len(leana.tables["schools"])
    assert np.allclose(found[:, 0], fit.params[["a", "math~internal", "math_indirect"]], rtol=1e-6)
    # residual variances over n - p - 1 in the place of n
    for row, name, p in ((0, "a", 3), (1, "math~internal", 4)):
        assert found[row, 2] == n - p - 1
        assert found[row, 1] == pytest.approx(fit.bse[name] * np.sqrt(n / (n - p - 1)), rel=1e-6)
    public = tl.mediate(
        "single", x="internal", m="instruction", y="math", data=leana.tables["schools"],
        covariates=["external", "poverty"],
    ).effects.set_index("effect")  # fmt: skip
    row = public.loc["indirect"]
    # the same Monte-Carlo interval but for t in the place of z, and for fewer draws
    assert found[2, 0] == pytest.approx(row["estimate"], rel=1e-6)
    assert found[2, 4:6] == pytest.approx([row["conf_low"], row["conf_high"]], rel=0.12, abs=0.01)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("f =~ x + y", "lines 'y ~ x1 \\+ x2'"),
        ("y ~ x\ny ~ z", "'y' has two equations"),
        ("y ~ 1 + x", "variables and labels alone"),
        ("y ~ b*x + b*z", "labels two paths"),
        ("y ~ b*x\nindirect := a*b", "no label 'a'"),
    ],
)
def test_what_is_no_path_regression_is_refused(text: str, said: str) -> None:
    with pytest.raises(FormulaError, match=said):
        _read(text)
    assert PathRegressionAnalysis(text).faults(None)


def test_structural_fits_together_are_those_alone() -> None:
    study = find("goddard-2010")
    model = study.pipeline.models[0].analysis
    assert isinstance(model, StructuralAnalysis)
    files = [prepared("goddard-2010", seed) for seed in (1, 2, 3)]
    together = model.estimate(study.claims, files)
    for own, file in zip(together, files, strict=True):
        fit = tl.sem(model.equations, file.tables["schools"])
        terms = [c.term for c in study.claims]
        assert np.allclose(own[:, 0], fit.params[terms], rtol=1e-6)
        assert np.allclose(own[:, 1], fit.bse[terms], rtol=1e-6)
    alone = np.concatenate([model.estimate(study.claims, [file]) for file in files])
    assert np.allclose(together, alone, rtol=1e-8)


def test_terms_without_a_label_and_with_a_level_are_found() -> None:
    file = prepared("pisa-2015")
    study = find("pisa-2015")
    model = study.pipeline.models[0].analysis
    named = ["achievement ~ leadership @ between", "achievement ~~ achievement @ within"]
    found = model.estimate([claim("c"), *(claim(t) for t in named)], [file])[0]
    assert found[0].tolist() == found[1].tolist()
    students = file.tables["students"]["achievement"]
    assert found[2, 0] == pytest.approx(0.8, abs=0.05)
    assert found[2, 0] < students.var()


def test_three_studies_share_one_population() -> None:
    first = find("goddard-2010")
    for key in ("goddard-2015", "pisa-2015"):
        other = find(key)
        assert other.reconciliation is not None
        assert other.reconciliation.other == "goddard-2010"
        values = other.values
        sizes = {*other.design.sizes, "teachers_per_school"}
        own = {n: v for n, v in first.values.items() if n not in sizes}
        assert own.items() <= values.items()


def test_without_efficacy_the_path_is_there_and_with_it_it_is_gone() -> None:
    shown, gone = (
        replicate(key, seed=1, replicates=10).claims.set_index("claim")
        for key in ("goddard-2010", "goddard-2015")
    )
    assert shown.loc["G10b", "recovered"] == "positive"
    assert gone.loc["G15d4", "recovered"] == "null"
    assert gone.loc[["G15c", "G15d1", "G15d2"], "recovered"].eq("positive").all()
    assert abs(gone.loc["G15d4", "estimate"]) < 0.4 * shown.loc["G10b", "estimate"]


def test_mediation_for_mathematics_alone() -> None:
    again = replicate("leana-2006", seed=1, replicates=16)
    assert again.claims.set_index("claim")["recovered"].to_dict() == {
        "L06a1": "positive", "L06a2": "positive", "L06a3": "positive", "L06a4": "positive",
        "L06b1": "positive", "L06b2": "null",
    }  # fmt: skip
    assert again.controls["holds"].all()


def _any_reproduced(again: Replication, *claims: str) -> bool:
    """Whether any of the claims is reproduced."""
    found = again.claims.set_index("claim")["verdict"]
    return bool((found[list(claims)] == "reproduced").any())


def _wrong_sign(y: np.ndarray, X: np.ndarray) -> Regression:
    found = RIGHT(y, X)
    return Regression(-found.coefficients, found.covariance, found.df)


def _without_covariates(y: np.ndarray, X: np.ndarray) -> Regression:
    """Each predictor alone: what is shared by several is counted for each."""
    each = [RIGHT(y, X[:, [k]]) for k in range(X.shape[1])]
    covariance = np.diag([float(one.covariance[0, 0]) for one in each])
    return Regression(np.array([one.coefficients[0] for one in each]), covariance, each[0].df)


RIGHT = path_regression.least_squares


@pytest.mark.parametrize(
    ("broken", "found_out"),
    [
        (_wrong_sign, lambda again: (again.claims["verdict"] == "contradicted").any()),
        # intervals that miss what schools alike in poverty would show; a mediation of reading
        (_without_covariates, lambda again: not _any_reproduced(again, "L06a1", "L06b2")),
    ],
)
def test_a_broken_estimator_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[..., Regression],
    found_out: Callable[[Replication], bool],
) -> None:
    monkeypatch.setattr(path_regression, "least_squares", broken)
    again = replicate("leana-2006", seed=1, replicates=12)
    assert not again.ok
    assert found_out(again)


def test_a_per_cent_is_a_ratio_of_scores() -> None:
    again = replicate("leana-2011", seed=1, replicates=10)
    row = again.claims.iloc[0]
    assert row["verdict"] == "reproduced"
    assert 1.05 < row["estimate"] < 1.065
    study = find("leana-2011")
    tables = tl.simulate_study(study, seed=1)
    file = prepare(study.pipeline.steps, [tables], study.design.keys)[0]
    fit = tl.lmm(study.pipeline.models[0].text, file.tables["teachers"])
    assert np.exp(fit.params["capital"]) == pytest.approx(
        again.runs["estimate"].pipe(np.exp)[0], abs=0.03
    )
