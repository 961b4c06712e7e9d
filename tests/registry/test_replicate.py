import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.errors import FitError, OptionError, StudyError
from teamlink.registry import replicate as module
from teamlink.registry.catalogue import find
from teamlink.registry.reading import parse_study
from teamlink.registry.replicate import replicate, simulate_study
from teamlink.registry.replication import Replication
from teamlink.registry.study import Study

Changed = Callable[..., Study]

R = 24
# Worlds that are far from their claims show it soon.
FEW = 16


@pytest.fixture(scope="module")
def goddard_again() -> Replication:
    return replicate("goddard-2007", seed=1, replicates=R)


@pytest.fixture(scope="module")
def hsb_again() -> Replication:
    return replicate("hsb-1982", seed=1, replicates=R)


def test_goddard_comes_back(goddard_again: Replication) -> None:
    claims = goddard_again.claims
    assert goddard_again.ok
    assert claims["claim"].tolist() == ["G07a", "G07b"]
    assert (claims["recovered"] == "positive").all()
    assert (claims["verdict"] == "reproduced").all()
    assert (claims["share_recovered"] > 0.5).all()
    assert claims["failed"].sum() == 0
    # attenuated: what can be found is smaller than what was put in
    assert (claims["true_value"] < 0.9 * claims["effect"]).all()


def test_every_claim_has_two_controls(goddard_again: Replication, hsb_again: Replication) -> None:
    for again in (goddard_again, hsb_again):
        controls = again.controls
        assert len(controls) == 2 * len(again.claims)
        zero = controls[controls["control"] == "effect zero"]
        flipped = controls[controls["control"] == "sign flipped"]
        assert (zero["verdict"] == "not detected").all()
        assert (zero["true_value"] == 0).all()
        assert zero["significant"].between(zero["least"], zero["most"]).all()
        assert (flipped["verdict"] == "contradicted").all()
        own = again.claims.set_index("claim")["effect"]
        assert (flipped["effect"].to_numpy() == -own[flipped["claim"]].to_numpy()).all()


@pytest.mark.parametrize("jobs", [2])
def test_jobs_do_not_change_a_number(goddard_again: Replication, jobs: int) -> None:
    again = replicate("goddard-2007", seed=1, replicates=R, jobs=jobs)
    pd.testing.assert_frame_equal(again.runs, goddard_again.runs, check_exact=True)
    assert json.dumps(again.to_dict()) == json.dumps(goddard_again.to_dict())


def test_the_seed_changes_the_numbers(goddard_again: Replication) -> None:
    other = replicate("goddard-2007", seed=2, replicates=2)
    assert other.runs["estimate"][0] != goddard_again.runs["estimate"][0]


def test_a_study_whose_population_contradicts_is_contradicted(changed: Changed) -> None:
    study = changed({"math.collaboration": -0.08})
    again = replicate(study, replicates=FEW)
    verdicts = again.claims.set_index("claim")["verdict"]
    assert verdicts["G07a"] == "contradicted"
    assert verdicts["G07b"] == "reproduced"
    # its own controls still behave: the pipeline is not at fault
    assert again.controls["holds"].all()
    assert not again.ok
    assert "NOT" not in again.summary()
    assert "contradicted" in again.summary()


def test_a_study_without_effect_is_not_detected(changed: Changed) -> None:
    study = changed({"math.collaboration": 0.0, "reading.collaboration": 0.0})
    again = replicate(study, replicates=FEW)
    assert (again.claims["verdict"] == "not detected").all()
    assert again.claims["true_value"].tolist() == [0, 0]
    assert not again.ok


def test_a_weak_effect_is_inconclusive(changed: Changed) -> None:
    again = replicate(changed({"math.collaboration": 0.035}), replicates=40)
    row = again.claims.iloc[0]
    assert 0.12 < row["share_recovered"] < 0.5
    assert row["verdict"] == "inconclusive"
    assert not again.ok


def test_a_negative_claim_is_reproduced_by_a_negative_effect(changed: Changed) -> None:
    study = changed(
        {"math.collaboration": -0.08, "reading.collaboration": -0.08},
        **{'direction = "positive"': 'direction = "negative"'},
    )
    again = replicate(study, replicates=FEW)
    assert (again.claims["verdict"] == "reproduced").all()
    assert (again.controls["effect"] >= 0).all()
    assert again.ok


NULL = {'direction = "positive"': 'direction = "null"\nplanted = 0.10'}


def test_a_null_claim_is_reproduced_by_no_effect(changed: Changed) -> None:
    study = changed({"math.collaboration": 0.0, "reading.collaboration": 0.0}, **NULL)
    again = replicate(study, replicates=FEW)
    assert (again.claims["verdict"] == "reproduced").all()
    assert (again.claims["share_recovered"] > 0.8).all()
    assert set(again.controls["control"]) == {"effect planted"}
    assert set(again.controls["effect"]) == {0.1, -0.1}
    assert (again.controls["verdict"] == "contradicted").all()
    assert again.ok


def test_a_null_claim_is_contradicted_by_an_effect(changed: Changed) -> None:
    again = replicate(changed({"math.collaboration": 0.10}, **NULL), replicates=FEW)
    assert again.claims["verdict"][0] == "contradicted"


def test_failed_replicates_are_counted_and_held_against_the_study(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sound, calls = module.analyse, []

    def sometimes(*arguments: object) -> object:
        calls.append(1)
        if len(calls) % 5 == 4:
            raise FitError("no luck")
        return sound(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "analyse", sometimes)
    again = replicate("goddard-2007", replicates=20)
    assert len(again.failures) == 4
    assert again.claims["failed"].tolist() == [4, 4]
    assert again.claims["share_recovered"].max() <= 16 / 20
    assert set(again.claims["verdict"]) == {"inconclusive"}
    assert not again.ok
    assert "4 failed" in again.summary()
    assert again.to_dict()["failures"][0] == "replicate 3: FitError: no luck"


def test_all_replicates_failing_is_reported_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> np.ndarray:
        raise FitError("no luck")

    monkeypatch.setattr(module, "slopes_of", lambda *_: np.ones((3, 2)))
    monkeypatch.setattr(module, "analyse", never)
    again = replicate("goddard-2007", replicates=4)
    assert again.claims["failed"].tolist() == [4, 4]
    assert not again.ok
    assert json.loads(json.dumps(again.to_dict(), allow_nan=False))["failed"] == 4
    assert "4 failed" in again.summary()
    assert again.plot().axes


def test_a_wrong_true_value_is_found_out(goddard_again: Replication) -> None:
    """Coverage is checked: were the estimand another, the verdict would say so."""
    wrong = Replication(
        study=goddard_again.study,
        seed=1,
        replicates=R,
        effects=goddard_again.effects,
        runs=goddard_again.runs.assign(true_value=goddard_again.runs["true_value"] * 2),
        failures=(),
    )
    assert (wrong.claims["verdict"] == "miscalibrated").all()
    assert not wrong.ok


def test_hsb_comes_back_and_agrees_with_lme4(hsb_again: Replication) -> None:
    assert hsb_again.ok
    assert hsb_again.claims["recovered"].tolist() == ["positive", "positive", "negative"]
    assert hsb_again.fit is not None
    fixed = hsb_again.fit.params
    assert hsb_again.claims["estimate"][0] == fixed["meanses"]
    references = hsb_again.references
    assert len(references) == 13
    assert references["agrees"].all()


def test_another_programs_disagreement_is_a_failure(hsb: str) -> None:
    value = next(r.value for r in find("hsb-1982").references if r.term == "meanses")
    study = parse_study(hsb.replace(repr(value), repr(value + 0.001)))
    again = replicate(study, replicates=4)
    assert again.references["agrees"].sum() == 12
    assert not again.ok
    assert "NOT" in again.summary()


def test_real_data_that_contradict_are_contradicted(hsb: str) -> None:
    turned = hsb.replace('direction = "negative"', 'direction = "positive"')
    again = replicate(parse_study(turned), replicates=20)
    assert again.claims["verdict"].tolist() == ["reproduced", "reproduced", "contradicted"]
    assert not again.ok


def test_real_data_must_have_the_stated_sizes(hsb: str) -> None:
    text = hsb.replace("value = 7185", "value = 7186")
    with pytest.raises(StudyError, match="states 7186 students, but 'hsb82' has 7185"):
        replicate(parse_study(text), replicates=2)


def test_simulate_study_is_seeded_and_refuses_real_data() -> None:
    one, two = simulate_study("goddard-2007", seed=9), simulate_study("goddard-2007", seed=9)
    assert one.students.equals(two.students)
    assert not one.students.equals(simulate_study("goddard-2007", seed=10).students)
    with pytest.raises(StudyError, match=r"teamlink.datasets.load\('hsb82'\)"):
        simulate_study("hsb-1982")


def test_options() -> None:
    with pytest.raises(OptionError, match="replicates=1"):
        replicate("goddard-2007", replicates=1)
    with pytest.raises(StudyError, match="did you mean"):
        tl.replicate("goddard2007")


def test_summary_is_narrow_and_complete(goddard_again: Replication, hsb_again: Replication) -> None:
    for again in (goddard_again, hsb_again):
        text = again.summary()
        assert max(map(len, text.splitlines())) <= 80
        for claim in again.study.claims:
            assert claim.id in text
        assert str(again) == text
    assert "reproduced" in repr(goddard_again) or "claims hold" in repr(goddard_again)


def test_to_dict_is_plain(hsb_again: Replication) -> None:
    text = json.dumps(hsb_again.to_dict(), allow_nan=False)
    data = json.loads(text)
    assert data["ok"] is True
    assert {v["status"] for v in data["population"]} == {"published", "derived"}
    assert len(data["runs"]) == 9
    assert "seconds" not in text
    assert "jobs" not in text


def test_a_null_claims_control_must_be_found_with_the_stated_power(changed: Changed) -> None:
    weak = {'direction = "positive"': 'direction = "null"\nplanted = 0.05'}
    values = {"math.collaboration": 0.0, "reading.collaboration": 0.0}
    again = replicate(changed(values, **weak), replicates=30)
    controls = again.controls
    assert (controls["least"] > controls["significant"]).any()
    assert not again.ok


def test_a_ratio_is_printed_as_one(changed: Changed) -> None:
    word = {'direction = "positive"': 'direction = "positive"\nscale = "ratio"'}
    again = replicate(changed(None, **word), replicates=3)
    plain = replicate(changed(None), replicates=3)
    for name in ("estimate", "conf_low", "conf_high", "true_value"):
        np.testing.assert_allclose(again.claims[name], np.exp(plain.claims[name]))
    assert again.claims["verdict"].tolist() == plain.claims["verdict"].tolist()
