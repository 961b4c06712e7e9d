"""Nothing that the documents cite is missing: every row of the ledger runs, or says why it cannot.

`ledger.csv` lists the claims with a number by the ids that the registry uses. A row may have become
several claims ("T12-1", "G15d2"), never none. The works without a number are listed here by key.
"""

import csv
import re
from pathlib import Path

import pytest

from teamlink.errors import OptionError, StudyError
from teamlink.registry.catalogue import find, keys, studies
from teamlink.registry.study import Claim
from teamlink.registry.tags import TAGS
from teamlink.registry.works import DOCUMENTS, works

LEDGER = Path(__file__).parent / "ledger.csv"
ROWS = list(csv.DictReader(LEDGER.read_text(encoding="utf-8").splitlines()))
SIGNED = {"positive", "negative", "null"}
WITHOUT_A_NUMBER = {
    "memo": {
        "achinstein-2002",
        "beaty-oferrall-2010",
        "clark-2013",
        "davidson-2006",
        "harris-2004",
        "jacobs-2013",
        "ketterlin-geller-2015",
        "kirp-2013",
        "salinas-2013",
        "szczesiul-2014",
        "webb-2008",
    },
    "post": {"busch-post"},
    "page": {"lesson-study-japan", "plc-survey-2014"},
    "guide": {
        "cultural-perspective-1989",
        "darling-hammond-2011",
        "fullan-1996",
        "johnson-2003",
        "lesson-study-japan",
        "nasir-2014",
        "nces-2016",
        "piercey",
        "plc-survey-2014",
        "rosenholtz-1985",
        "rosenholtz-1989",
        "vangrieken-2015",
    },
    "article": {
        "american-educator",
        "cincinnati-2013",
        "coleman-1988",
        "department-2012",
        "dufour-site",
        "edmonds",
        "johnson-unions",
        "mckinsey-2010",
        "ncea-act",
        "newmann-aiw",
        "rubinstein-2011",
        "springfield-2013",
        "togneri-2003",
        "work-practices",
    },
}
NOT_RUN = {
    "akiba-2016",
    "banerjee-2017",
    "berebitsky-2017",
    "daly-2014",
    "decesare-2017",
    "gallimore-2009",
    "mora-ruano-2019",
    "reeves-2017",
    "robertson",
    "ross-2006",
    "rubinstein-2014",
    "sawyer-2007",
}


def claims_of(row: str) -> list[Claim]:
    return [
        claim
        for key in keys()
        for claim in find(key).claims
        if re.fullmatch(rf"{row}(-?\d+)?", claim.id)
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_every_row_of_the_ledger_is_a_claim(row: dict[str, str]) -> None:
    found = claims_of(row["id"])
    assert found, f"{row['id']} ({row['work']}) is no claim of any study"
    if row["direction"] in SIGNED:
        assert row["direction"] in {claim.direction for claim in found}


def test_the_survey_without_a_row_runs_too() -> None:
    assert "metlife-2009" in keys()


def test_claim_ids_are_the_registrys_own() -> None:
    ids = [claim.id for key in keys() for claim in find(key).claims]
    assert len(ids) == len(set(ids))


def test_every_work_without_a_number_is_listed_with_its_reason() -> None:
    plain = [w for w in works() if not w.quantitative]
    found = {name: {w.key for w in plain if name in w.cited_in} for name in DOCUMENTS}
    assert found == WITHOUT_A_NUMBER
    assert all(work.cited_in for work in plain)
    assert {w.key for w in works()} - {w.key for w in plain} == NOT_RUN
    assert all(len(work.reason) > 20 for work in works())
    assert not {w.key for w in works()} & set(keys())


def test_a_work_without_a_number_is_not_run_and_says_why() -> None:
    with pytest.raises(StudyError, match="jacobs-2013 makes no quantitative claim: Focus groups"):
        find("jacobs-2013")


def test_a_work_with_a_claim_is_not_said_to_have_none() -> None:
    with pytest.raises(StudyError, match="reeves-2017 is not run: No document cites it"):
        find("reeves-2017")
    table = studies().set_index("key")
    assert table.loc["reeves-2017", "status"] == "not run"
    assert table.loc["jacobs-2013", "status"] == "not quantitative"


def test_every_ready_study_is_tagged() -> None:
    for key in keys():
        study = find(key)
        # the textbook example is there for its method
        if study.status == "ready" and key != "hsb-1982":
            assert study.practices, key
            assert study.goals, key


def test_studies_are_found_by_practice_and_goal() -> None:
    found = studies(practice="collaboration", goal="learning")
    assert "goddard-2007" in set(found["key"])
    assert "brookings-2012" not in set(found["key"])
    assert set(studies(practice="lesson study")["status"]) == {"not quantitative"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"practice": "mentorin"}, "did you mean 'mentoring'?"),
        ({"goal": "lerning"}, "did you mean 'learning'?"),
        ({"support": "leader"}, "did you mean 'leadership'?"),
    ],
)
def test_an_unknown_word_is_refused_with_the_nearest(options: dict[str, str], text: str) -> None:
    with pytest.raises(OptionError) as caught:
        studies(**options)
    assert text in str(caught.value)


def test_every_word_is_used() -> None:
    used = {
        word
        for item in [*(find(key) for key in keys()), *works()]
        for kind in TAGS
        for word in getattr(item, kind)
    }
    assert used == {word for words in TAGS.values() for word in words}
