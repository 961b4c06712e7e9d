"""Trials, differences over time and comparisons of groups: analyses and what breaks them."""

from importlib import resources

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import teamlink as tl
from teamlink.errors import FitError, StudyError
from teamlink.registry.analysis import FIELDS
from teamlink.registry.catalogue import find
from teamlink.registry.least_squares import Regression
from teamlink.registry.pipeline import analyse
from teamlink.registry.reading import parse_study
from teamlink.registry.study import Study
from teamlink.trials.within import within
from teamlink.typing import Array

IOWA, AIW = find("iowa-2012"), find("aiw-2025")
HIRED, INDUCTION = find("rockoff-2008"), find("sri-2017")


def entry_text(key: str) -> str:
    entries = resources.files("teamlink.registry") / "entries"
    return (entries / f"{key}.toml").read_text(encoding="utf-8")


Rows = dict[str, dict[str, float]]


def answers(study: Study, seed: int = 3) -> tuple[Rows, dict[str, pd.DataFrame]]:
    tables = tl.simulate_study(study, seed=seed)
    found = analyse(study.pipeline, study.claims, [tables], study.design.keys)[0]
    pairs = zip(study.claims, found.tolist(), strict=True)
    return {c.id: dict(zip(FIELDS, f, strict=True)) for c, f in pairs}, dict(tables)


def test_did_is_that_of_the_public_verb() -> None:
    found, tables = answers(AIW)
    panel = tables["panel"].merge(tables["schools"], on="school").dropna(subset=["math"])
    alone = tl.did(
        panel, "math", "school", "year", first_treated="first_year", weights="n_students"
    ).overall
    for name in ("estimate", "std_error", "df", "p_value", "conf_low", "conf_high"):
        # both are exact; sums are taken in another order
        assert found["A25-2"][name] == pytest.approx(alone[name], rel=1e-8), name


def test_scenarios_with_their_own_missing_rows_have_their_own_design() -> None:
    tables = tl.simulate_study(AIW, seed=4)
    panel = tables.panel.copy()
    panel.loc[panel["school"] < 30, "math"] = np.nan
    other = {**tables, "panel": panel}
    both = analyse(AIW.pipeline, AIW.claims, [tables, other], AIW.design.keys)
    alone = analyse(AIW.pipeline, AIW.claims, [other], AIW.design.keys)
    # mixed models fitted together stop within rounding of those fitted alone
    np.testing.assert_allclose(both[1], alone[0], rtol=1e-9)
    assert both[1, 1, 0] != both[0, 1, 0]
    np.testing.assert_array_equal(both[1, 0], both[0, 0])


def test_an_adjusted_difference_is_least_squares_with_cr2() -> None:
    found, tables = answers(IOWA)
    now = tables["panel"].merge(tables["schools"], on="school")
    now = now[(now["year"] == 2011) & now["math"].notna()]
    fit = sm.OLS(now["math"], sm.add_constant(now[["adopted", "poverty"]].astype(float))).fit()
    assert found["A12-2"]["estimate"] == pytest.approx(fit.params["adopted"], rel=1e-9)
    # each school its own cluster: CR2 is HC2
    assert found["A12-2"]["std_error"] == pytest.approx(fit.HC2_se["adopted"], rel=1e-9)


def test_absorbed_schools_are_school_indicators() -> None:
    found, tables = answers(HIRED)
    rows = tables["teachers"].dropna(subset=["tens_of_hours"])
    school = pd.factorize(rows["school"])[0]
    X = rows[["tens_of_hours", "prior"]].to_numpy()
    fit = within(rows["math"].to_numpy(), X, ["hours", "prior"], school, school, None, "CR2")
    assert found["F08b-1"]["estimate"] == pytest.approx(fit.b[0], rel=1e-8)
    assert found["F08b-1"]["std_error"] == pytest.approx(np.sqrt(fit.covariance[0, 0]), rel=1e-8)


def test_a_difference_of_shares_is_the_marginal_effect_of_a_logit() -> None:
    found, tables = answers(INDUCTION)
    rows = tables["teachers"].merge(tables["schools"], on="school")
    X = sm.add_constant(rows[["treated", "over30"]].astype(float))
    fit = sm.Logit(rows["retained"], X).fit(
        disp=0, tol=1e-12, cov_type="cluster", cov_kwds={"groups": rows["school"]}
    )
    margin = fit.get_margeff(dummy=True)
    assert found["V17-3"]["estimate"] == pytest.approx(margin.margeff[0], rel=1e-6)
    assert found["V17-3"]["std_error"] == pytest.approx(margin.margeff_se[0], rel=1e-6)
    assert found["V17-3"]["df"] == rows["school"].nunique() - 1


def test_a_logit_without_a_maximum_is_a_failure() -> None:
    tables = tl.simulate_study(INDUCTION, seed=3)
    teachers = tables.teachers.merge(tables.schools, on="school")
    apart = tables.teachers.assign(retained=teachers["treated"].to_numpy())
    claims = [c for c in INDUCTION.claims if c.id == "V17-3"]
    with pytest.raises(FitError, match="no maximum"):
        analyse(INDUCTION.pipeline, claims, [{**tables, "teachers": apart}], INDUCTION.design.keys)


@pytest.mark.filterwarnings("ignore::teamlink.errors.DroppedRows")
def test_the_registry_gives_what_the_verb_for_trials_gives() -> None:
    found, tables = answers(INDUCTION)
    pupils = tables["students"].merge(tables["schools"], on="school")
    trial = tl.cluster_trial(
        pupils, "reading", "treated", "school", block="district", covariates=["prior", "frl"],
        method="satterthwaite",
    ).effects.iloc[0]  # fmt: skip
    assert trial["students"] == 6147
    for name, tolerance in (("estimate", 1e-4), ("std_error", 1e-4), ("df", 1e-2)):
        assert found["V17-1"][name] == pytest.approx(trial[name], rel=tolerance), name


def test_one_population_gives_the_report_and_the_later_null() -> None:
    """The same files: adopters score higher in one year, and did not gain more."""
    assert {n: v for n, v in AIW.values.items() if n in IOWA.values} == {
        n: v for n, v in IOWA.values.items() if n in AIW.values
    }
    tables = tl.simulate_study(IOWA, seed=11)
    for name, frame in tl.simulate_study(AIW, seed=11).items():
        pd.testing.assert_frame_equal(frame, tables[name])
    estimates = {"A12-2": [], "A25-2": []}  # type: dict[str, list[float]]
    for seed in range(10):
        tables = tl.simulate_study(IOWA, seed=seed)
        for study in (IOWA, AIW):
            found = analyse(study.pipeline, study.claims[:2], [tables], study.design.keys)[0]
            estimates[study.claims[1].id].append(found[1, 0])
    one_year, changes = (np.array(found) for found in estimates.values())
    assert one_year.mean() > 2 * one_year.std()
    assert abs(changes.mean()) < 0.02 < one_year.min()


def test_a_comparison_of_one_year_would_find_what_the_later_study_does_not() -> None:
    text = entry_text("aiw-2025")
    for o in ("reading", "math"):
        old = f'kind = "did"\noutcome = "{o}"\nfirst_treated = "first_year"\nweights = "n_students"'
        assert old in text
        text = text.replace(
            old,
            f'kind = "adjusted difference"\noutcome = "{o}"\nterms = ["adopted", "poverty"]\n'
            'only = [["year", "2011"]]\ntable = "panel"',
        )
    text = text.replace('term = "effect"', 'term = "adopted"')
    text = text.replace("truth_times = 20", "truth_times = 5")
    run = tl.replicate(parse_study(text, "cross.toml"), seed=1, replicates=16)
    assert run.claims.set_index("claim").loc[["A25-1", "A25-2"], "verdict"].tolist() == [
        "contradicted",
        "contradicted",
    ]
    assert not run.ok


def test_hours_across_schools_would_hide_their_effect() -> None:
    """Without the school effects the coefficient is pulled down, and intervals miss the truth."""
    text = entry_text("rockoff-2008")
    assert text.count('absorb = "school"') == 4
    whole = parse_study(text, "a.toml")
    broken = parse_study(text.replace('absorb = "school"', 'cluster = "school"'), "b.toml")
    claim = next(i for i, c in enumerate(whole.claims) if c.id == "F08b-1")
    one, two = (
        np.mean(
            [
                analyse(s.pipeline, s.claims, [tl.simulate_study(whole, seed=k)], s.design.keys)[
                    0, claim, 0
                ]
                for k in range(12)
            ]
        )
        for s in (whole, broken)
    )
    assert one - two > 0.01


def test_a_sign_error_makes_claims_and_controls_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Regression.answer

    def turned(self: Regression, y: Array, contrast: Array) -> Array:
        return right(self, -y, contrast)

    monkeypatch.setattr(Regression, "answer", turned)
    study = parse_study(entry_text("papay-2020").replace("times = 40", "times = 5"), "turned.toml")
    run = tl.replicate(study, seed=1, replicates=16)
    assert not run.claims["holds"].any()
    assert not run.controls["holds"].all()


def test_pupils_as_if_schools_did_not_matter_makes_the_null_fail() -> None:
    """Districts for schools in the random part: pupils count as if drawn one by one."""
    text = entry_text("glazerman-2009").replace(
        "+ district + grade + (1 | school)", "+ (1 | district)"
    )
    text = text.replace("truth_times = 40", "truth_times = 5")
    run = tl.replicate(parse_study(text, "broken.toml"), seed=1, replicates=12)
    assert not run.ok
    assert "reproduced" not in set(run.claims["verdict"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('term = "effect"', 'term = "efect"', "did you mean 'effect'"),
        ('first_treated = "first_year"', 'first_treated = "frist_year"', "no column 'frist_year'"),
        ('outcome = "authentic"\nformula', 'outcome = "autentic"\nformula', "autentic"),
    ],
)
def test_faults_of_a_did_are_listed(old: str, new: str, message: str) -> None:
    text = entry_text("aiw-2025")
    assert old in text
    with pytest.raises(StudyError, match=message):
        parse_study(text.replace(old, new), "x.toml")


def test_faults_of_a_comparison_are_listed() -> None:
    text = entry_text("iowa-2012")
    for old, new, message in (
        ('terms = ["adopted", "poverty"]', 'terms = ["adopted", "povrty"]', "no column 'povrty'"),
        ('only = [["year", "2011"]]', 'only = [["year"]]', "pairs of a column"),
        ('term = "adopted"', 'term = "adoptd"', "did you mean 'adopted'"),
    ):
        with pytest.raises(StudyError, match=message):
            parse_study(text.replace(old, new), "x.toml")
    text = entry_text("sri-2017").replace('["treated", "over30"]', '["treated", "ovr30"]')
    with pytest.raises(StudyError, match="no column 'ovr30'"):
        parse_study(text, "x.toml")
