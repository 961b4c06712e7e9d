from pathlib import Path

import pytest

from teamlink.errors import StudyError
from teamlink.registry.reading import parse_study, read_study
from teamlink.registry.study import Study

TABLE = """[reconciliation]
with = "goddard-2007"
text = "What makes the difference."
claims = ["G07a", "X1"]

"""


def second(goddard: str, population: str = "", design: str = "") -> str:
    """A study of the same population: its own pipeline and claims, no values of its own."""
    head, _, rest = goddard.partition("[design]")
    pipeline = rest[rest.index("# The article's controls") : rest.index("# Sizes")]
    text = head.replace('"goddard-2007"', '"second"', 1) + TABLE + design + pipeline + population
    return text.replace('id = "G07a"', 'id = "X1"').replace('id = "G07b"', 'id = "X2"')


SCHOOLS = """
[[population]]
name = "schools"
value = 60
status = "published"
source = "abstract"
reason = "another sample"
"""


def test_the_population_is_the_other_studys(goddard: str) -> None:
    first, other = parse_study(goddard), parse_study(second(goddard))
    assert other.values == first.values
    assert other.design == first.design
    assert other.reconciliation is not None
    assert other.reconciliation.other == "goddard-2007"
    assert other.reconciliation.claims == ("G07a", "X1")


def test_sizes_and_names_may_differ(goddard: str) -> None:
    study: Study = parse_study(second(goddard, SCHOOLS))
    assert study.values["schools"] == 60
    assert study.values["math.prior"] == 0.7
    # averages of the first sample say nothing about this one
    assert "students_per_school" not in study.values


def test_another_value_would_be_another_population(goddard: str) -> None:
    text = second(goddard, SCHOOLS.replace('"schools"', '"math.prior"'))
    with pytest.raises(StudyError, match="'math.prior' would make it another population"):
        parse_study(text)


def test_a_source_that_means_something_else_is_kept_apart(goddard: str) -> None:
    text = second(goddard).replace('choice = "Our choice', 'choice = "Another choice')
    study = parse_study(text)
    assert study.sources["choice of goddard-2007"].startswith("Our choice")


def test_the_other_study_may_lie_beside_it(goddard: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(goddard.replace('"goddard-2007"', '"mine"', 1))
    path = tmp_path / "second.toml"
    path.write_text(second(goddard).replace('with = "goddard-2007"', 'with = "mine"'))
    assert read_study(path).values["math.prior"] == 0.7


def test_an_unknown_other_study_is_named_with_its_line(goddard: str) -> None:
    text = second(goddard).replace('with = "goddard-2007"', 'with = "goddart-2007"')
    line = text.splitlines().index('with = "goddart-2007"') + 1
    with pytest.raises(StudyError, match=rf"line {line}, reconciliation: there is no study"):
        parse_study(text)
