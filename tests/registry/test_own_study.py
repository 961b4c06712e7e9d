"""A study of one's own: the template, the validator, and what it refuses."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from teamlink.cli import app
from teamlink.errors import StudyError
from teamlink.registry.reading import parse_study
from teamlink.registry.replicate import replicate

RUNNER = CliRunner()


def test_the_template_is_well_formed_and_holds(template: str) -> None:
    again = replicate(parse_study(template), replicates=60)
    assert again.ok


def test_the_template_is_printed(template: str) -> None:
    assert RUNNER.invoke(app, ["studies", "--template"]).output.strip() == template.strip()


@pytest.mark.parametrize(
    ("old", "new", "message", "remedy"),
    [
        ('title = "Coll', 'titel = "Coll', "unknown key 'titel'", "did you mean 'title'?"),
        (
            'kind = "cross-section"',
            'kind = "cross-sektion"',
            "there is no generator 'cross-sektion'",
            "did you mean 'cross-section'?",
        ),
        ('unit = "school"', 'units = "school"', "unknown key 'units'", "did you mean 'unit'?"),
        (
            'kind = "correlation"',
            'kind = "corelation"',
            "there is no analysis 'corelation'",
            "did you mean 'correlation'?",
        ),
        (
            'term = "collaboration"',
            'term = "colaboration"',
            "no column 'colaboration' in schools",
            "did you mean 'collaboration'?",
        ),
        (
            'truth = "math.collaboration"',
            'truth = "math.colaboration"',
            "truth='math.colaboration' is neither",
            "did you mean 'math.collaboration'?",
        ),
        (
            'goals = ["learning"]',
            'goals = ["lerning"]',
            "'lerning' is not among the goals",
            "did you mean 'learning'?",
        ),
    ],
)
def test_each_fault_has_its_file_line_and_remedy(
    template: str, old: str, new: str, message: str, remedy: str
) -> None:
    assert old in template
    text = template.replace(old, new, 1)
    line = next(k for k, row in enumerate(text.splitlines(), 1) if new in row)
    with pytest.raises(StudyError) as caught:
        parse_study(text, "mine.toml")
    said = str(caught.value)
    assert said.startswith("mine.toml has ")
    row = next(r for r in said.splitlines() if message in r)
    assert f"line {line}" in row
    assert remedy in row


def test_a_formula_with_a_call_that_is_not_on_the_list(goddard: str) -> None:
    text = goddard.replace("math ~ collaboration", "math ~ eval(prior) + collaboration")
    line = next(k for k, row in enumerate(text.splitlines(), 1) if "eval(" in row)
    with pytest.raises(StudyError, match=rf"line {line}, model math: 'eval' is no function"):
        parse_study(text)


def test_the_validator_lists_all_faults_and_exits_2(template: str, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(template)
    bad.write_text(
        template.replace('unit = "school"', 'units = "school"').replace(
            'direction = "positive"', 'direction = "up"'
        )
    )
    result = RUNNER.invoke(app, ["studies", "--check", str(good), "--check", str(bad)])
    assert result.exit_code == 2
    assert "good.toml: well-formed" in result.output
    assert "bad.toml has 2 faults" in result.output or "bad.toml has 3 faults" in result.output
    assert "unknown key 'units'" in result.output
    assert "direction='up' is not offered" in result.output
    assert RUNNER.invoke(app, ["studies", "--check", str(good)]).exit_code == 0
