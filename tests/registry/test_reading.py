from pathlib import Path

import pytest

from teamlink.errors import StudyError
from teamlink.registry.reading import FORMULA_FUNCTIONS, parse_study, read_study
from teamlink.simulation.worlds.school_survey import SchoolSurvey


def faults_of(text: str) -> str:
    with pytest.raises(StudyError) as caught:
        parse_study(text, "x.toml")
    return str(caught.value)


def test_goddard_is_what_the_article_says(goddard: str) -> None:
    study = parse_study(goddard)
    assert isinstance(study.design, SchoolSurvey)
    assert (study.design.schools, study.design.teachers, study.design.students) == (47, 452, 2536)
    assert [(c.id, c.direction, c.source) for c in study.claims] == [
        ("G07a", "positive", "abstract"),
        ("G07b", "positive", "abstract"),
    ]


def test_only_what_the_abstract_prints_is_called_published(goddard: str) -> None:
    study = parse_study(goddard)
    published = {v.name for v in study.population if v.status == "published"}
    assert published == {"schools", "teachers", "students"}
    effects = [v for v in study.population if v.name.endswith(".collaboration")]
    assert {v.status for v in effects} == {"assumed"}
    assert all("recalled" in v.reason for v in effects)


def test_every_value_and_claim_has_a_described_source_and_a_reason(goddard: str, hsb: str) -> None:
    for text in (goddard, hsb):
        study = parse_study(text)
        assert all(v.source in study.sources and v.reason.strip() for v in study.population)
        assert all(c.source in study.sources for c in study.claims)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('status = "ready"', 'statsu = "ready"', "unknown key 'statsu' (did you mean 'status'?)"),
        ('status = "ready"', 'status = "read"', "status='read' is not offered (did you mean"),
        ('title = "Teacher', 'title = 3 # "', "'title' is int, not str"),
        ("value = 0.08\n", 'value = "0.08"\n', "'value' is str, not int or float"),
        ("value = 0.08\n", "value = true\n", "'value' is bool, not int or float"),
        ('source = "essay"', 'source = ""', "'source' is empty"),
        ('source = "essay"', 'source = "esay"', "source 'esay' is not described"),
        ('direction = "positive"', 'direction = "upward"', "direction='upward' is not offered"),
        ('direction = "positive"', 'direction = "null"', "a null claim needs 'planted'"),
        ('name = "math.prior"', 'name = "math.piror"', "unknown value 'math.piror' (did you mean"),
        ('name = "math.prior"', 'name = "math.piror"', "'math.prior' is missing"),
        ('name = "math.prior"', 'name = "math.frl"', "'math.frl' is given more than once"),
        ("value = 47\n", "value = 47.5\n", "'schools' is 47.5, not a whole number"),
        ("value = 9.6\n", "value = 8.6\n", "'teachers_per_school' is 8.6, but teachers/schools"),
        ("value = 47\n", "value = inf\n", "'value' is inf, not a finite number"),
        ("value = 0.7\n", "value = nan\n", "'value' is nan, not a finite number"),
        ("value = 0.85\n", "value = 1.85\n", "'survey.loading' is 1.85, outside 0 .. 1"),
        ('"collaboration5"]', '"collaboration6"]', "no column 'collaboration6' in teachers"),
        ('column = "frl"', 'column = "flr"', "no column 'flr' in students (did you mean 'frl'?)"),
        ('name = "school_frl"', 'name = "frl"', "'frl' is the name of another column"),
        (
            "+ minority + female + sch",
            "+ minorty + sch",
            "no column 'minorty' in students (did you mean",
        ),
        ('term = "collaboration"', 'term = "colaboration"', "no term 'colaboration'"),
        ('effect = "math.c', 'effect = "math.k', "unknown population value 'math.kollaboration'"),
        ('outcome = "math"\nterm', 'outcome = "maths"\nterm', "no model for outcome 'maths'"),
        ("math ~ collaboration", "math ~ (collaboration", "model math"),
        ("math ~ collaboration", "reading ~ collaboration", "the formula's outcome is 'reading'"),
        ("math ~ coll", "math ~ poly(prior, 2) + coll", "function 'poly' may not be called"),
        ('context = ["prior"', 'context = ["piror"', "is no student column"),
        ('url = "https', 'doi = "" # "https', "none of 'doi', 'url' and 'isbn' is given"),
    ],
)
def test_each_fault_is_named(goddard: str, old: str, new: str, message: str) -> None:
    assert old in goddard
    assert message in faults_of(goddard.replace(old, new))


@pytest.mark.parametrize(
    "formula",
    [
        "math ~ I(__import__('os').system('true')) + (1 | school)",
        "math ~ {prior.__class__} + (1 | school)",
        "math ~ eval(prior) + (1 | school)",
        "math ~ np.log(prior) + (1 | school)",
    ],
)
def test_a_formula_is_no_code(goddard: str, formula: str) -> None:
    line = next(x for x in goddard.splitlines() if x.startswith('formula = "math'))
    assert "model math" in faults_of(goddard.replace(line, f"formula = {formula!r}"))


def test_allowed_functions_are_read(goddard: str) -> None:
    assert {"within", "between", "log"} <= FORMULA_FUNCTIONS
    text = goddard.replace("school_prior + school_frl + (1", "within(prior, school) + (1")
    assert "within(prior, school)" in parse_study(text).pipeline.models[0].text


def test_a_claim_is_about_goals_of_its_study(goddard: str) -> None:
    line = 'effect = "math.collaboration"'
    assert goddard.count(line) == 1
    study = parse_study(goddard.replace(line, f'{line}\ngoals = ["learning"]'))
    assert [claim.goals for claim in study.claims] == [("learning",), ()]
    message = faults_of(goddard.replace(line, f'{line}\ngoals = ["lerning"]'))
    assert "claim G07a: 'lerning' is not among the study's goals" in message
    assert "did you mean 'learning'?" in message


def test_all_faults_come_at_once(goddard: str) -> None:
    text = goddard.replace('source = "essay"', 'source = "esay"')
    text = text.replace('term = "collaboration"', 'term = "colaboration"')
    text = text.replace("value = 9.6", "value = 8.6")
    message = faults_of(text)
    assert message.startswith("x.toml has ")
    assert "esay" in message
    assert "colaboration" in message
    assert "8.6" in message


def test_real_data_take_no_generator_values(hsb: str) -> None:
    text = hsb.replace('name = "students_per_school"', 'name = "math.prior"')
    assert "unknown value 'math.prior'" in faults_of(text)


def test_what_a_kind_of_study_does_not_have_is_refused(goddard: str, hsb: str) -> None:
    context = '[[pipeline.steps]]\nstep = "mean"\nname = "m"\ncolumn = "ses"\n'
    assert "only the step 'levels' is for them" in faults_of(f"{hsb}\n{context}")
    model = '[[pipeline.models]]\noutcome = "ses"\nformula = "ses ~ 1 + (1 | school)"\n'
    assert "2 models; real data take exactly one" in faults_of(f"{hsb}\n{model}")
    reference = "[[references]]" + hsb.split("[[references]]")[1]
    assert "'references' are for real data" in faults_of(f"{goddard}\n{reference}")


def test_no_toml(tmp_path: Path) -> None:
    assert "is no TOML" in faults_of("key = ")
    with pytest.raises(StudyError, match="cannot be read: No such file"):
        read_study(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match="it is not UTF-8 text"):
        read_study(tmp_path / "bytes.toml")


def test_a_study_file_can_be_read_from_anywhere(tmp_path: Path, goddard: str) -> None:
    (tmp_path / "mine.toml").write_text(goddard.replace('"goddard-2007"', '"mine"'))
    assert read_study(tmp_path / "mine.toml").key == "mine"


@pytest.mark.parametrize(
    ("key", "step"),
    [
        *((key, 11) for key in ("goddard", "hsb", "second")),
        ("template", 2),
        *(
            pytest.param(key, 1, marks=pytest.mark.slow)
            for key in ("goddard", "hsb", "second", "template")
        ),
    ],
)
def test_no_damage_to_a_file_ends_in_another_error(
    key: str, step: int, request: pytest.FixtureRequest
) -> None:
    """Lines left out, and values of another type: a study or a `StudyError`.

    Every second line of the template and every eleventh of the long files, whose tables repeat one
    another; all lines are slow.
    """
    lines = request.getfixturevalue(key).splitlines()
    refused = 0
    for i, line in enumerate(lines):
        if i % step:
            continue
        name, mark, _ = line.partition(" = ")
        others = [
            "",
            *(f"{name} = {v}" for v in ("[]", "[1]", "{}", "1", "-1", "''", "'x'") if mark),
        ]
        for other in others:
            try:
                parse_study("\n".join([*lines[:i], other, *lines[i + 1 :]]))
            except StudyError:
                refused += 1
    assert refused > 2 * len(lines) / step
