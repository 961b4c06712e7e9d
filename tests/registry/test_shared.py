from pathlib import Path

import pytest

from teamlink.errors import StudyError
from teamlink.registry.reading import parse_study, read_study
from teamlink.registry.study import Study

SCHOOLS = """
[[population]]
name = "schools"
value = 60
status = "published"
source = "abstract"
reason = "another sample"
"""


def test_the_population_is_the_other_studys(goddard: str, second: str) -> None:
    first, other = parse_study(goddard), parse_study(second)
    assert other.values == first.values
    assert other.design == first.design
    assert other.reconciliation is not None
    assert other.reconciliation.other == "goddard-2007"
    assert other.reconciliation.claims == ("G07a", "X1")


def test_sizes_and_names_may_differ(second: str) -> None:
    study: Study = parse_study(second + SCHOOLS)
    assert study.values["schools"] == 60
    assert study.values["math.prior"] == 0.7
    # averages of the first sample say nothing about this one
    assert "students_per_school" not in study.values


def test_another_value_would_be_another_population(second: str) -> None:
    text = second + SCHOOLS.replace('"schools"', '"math.prior"')
    with pytest.raises(StudyError, match=r"'math\.prior' would make it another population"):
        parse_study(text)


def test_a_source_that_means_something_else_is_kept_apart(second: str) -> None:
    text = second.replace('choice = "Our choice', 'choice = "Another choice')
    study = parse_study(text)
    assert study.sources["choice of goddard-2007"].startswith("Our choice")


def test_the_other_study_may_lie_beside_it(goddard: str, second: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(goddard.replace('"goddard-2007"', '"mine"', 1))
    path = tmp_path / "second.toml"
    path.write_text(second.replace('with = "goddard-2007"', 'with = "mine"'))
    assert read_study(path).values["math.prior"] == 0.7


def test_an_unknown_other_study_is_named_with_its_line(second: str) -> None:
    text = second.replace('with = "goddard-2007"', 'with = "goddart-2007"')
    line = text.splitlines().index('with = "goddart-2007"') + 1
    with pytest.raises(StudyError, match=rf"line {line}, reconciliation: there is no study"):
        parse_study(text)
