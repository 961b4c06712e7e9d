import pytest

from teamlink.errors import DesignError
from teamlink.simulation.worlds.school_survey import SchoolSurvey


def test_every_fault_of_a_design_is_listed() -> None:
    with pytest.raises(DesignError) as caught:
        SchoolSurvey(schools=1, teachers=3, students=10, items=0, points=1, context=("priro",))
    text = str(caught.value)
    for part in (
        "1 schools",
        "3 teachers",
        "10 students",
        "0 items",
        "1 answer",
        "did you mean 'prior'",
    ):
        assert part in text


def test_a_column_may_not_be_two_things() -> None:
    with pytest.raises(DesignError, match="'math' names two student columns"):
        SchoolSurvey(10, 100, 1000, prior="math", context=())


def test_parameters_are_unique_and_cover_every_outcome() -> None:
    design = SchoolSurvey(10, 100, 1000)
    names = [p.name for p in design.parameters]
    assert len(names) == len(set(names))
    for outcome in design.outcomes:
        assert {f"{outcome}.collaboration", f"{outcome}.prior", f"{outcome}.school_sd"} <= set(
            names
        )


def test_one_outcome_needs_no_correlation() -> None:
    design = SchoolSurvey(10, 100, 1000, outcomes=("math",))
    assert not [p for p in design.parameters if "correlation of the outcomes" in p.meaning]


def test_check_names_unknown_missing_and_out_of_range() -> None:
    design = SchoolSurvey(10, 100, 1000)
    values = {p.name: 0.5 for p in design.parameters}
    values["survey.agreement"] = 1.5
    values["math.priro"] = values.pop("math.prior")
    texts = [str(f) for f in design.check(values)]
    assert len(texts) == 3
    assert any("unknown value 'math.priro' (did you mean 'math.prior'?)" in t for t in texts)
    assert any("'math.prior' is missing" in t for t in texts)
    assert any("'survey.agreement' is 1.5, outside 0.001 .. 0.999" in t for t in texts)
