import copy
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from teamlink.registry.replicate import replicate
from teamlink.report.page import report_page

VOID = {"meta", "link", "br", "img", "hr", "input"}
VERSIONS = {"teamlink": "0.1.0", "numpy": "2.0"}


class Checker(HTMLParser):
    """Notes unbalanced tags, outside resources and all text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        given = dict(attrs)
        self.loaded += [str(given[k]) for k in ("src", "data") if k in given]
        if tag in ("link", "iframe", "img"):
            self.loaded.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    studies = [replicate(key, replicates=8).to_dict() for key in ("goddard-2007", "hsb-1982")]
    plain = {"ok": True, "seed": 1, "replicates": 8, "studies": studies}
    read: dict[str, Any] = json.loads(json.dumps(plain))
    return read


@pytest.fixture(scope="module")
def page(data: dict[str, Any]) -> str:
    return report_page(data, VERSIONS)


def test_the_page_is_well_formed_and_loads_nothing(page: str) -> None:
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert checker.loaded == []
    assert "@import" not in page
    assert "url(http" not in page


def test_the_page_says_what_was_checked(page: str, data: dict[str, Any]) -> None:
    checker = Checker()
    checker.feed(page)
    text = " ".join(" ".join(checker.text).split())
    for study in data["studies"]:
        assert study["estimand"] in text
        for claim in study["claims"]:
            assert claim["text"] in text
            assert claim["verdict"] in text
        for value in study["population"]:
            assert value["name"] in text
            assert value["reason"] in text
    assert "3 published, 2 derived, 41 assumed" in text
    assert "teamlink 0.1.0, numpy 2.0" in text
    assert "--seed 1" in text
    assert page.count("<figure>") == 2 * 5


def test_figures_take_the_colours_of_the_page(page: str) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert "var(--accent)" in drawn
    assert not re.search(r"#0[1-5]0[1-5]0[1-5]", drawn)
    assert "prefers-color-scheme: dark" in page


def test_the_same_data_give_the_same_page(page: str, data: dict[str, Any]) -> None:
    assert report_page(data, VERSIONS) == page


@pytest.fixture(scope="module")
def long_page(data: dict[str, Any]) -> str:
    """A page of more studies than are drawn in full, with all that the registry adds."""
    more = copy.deepcopy(data)
    other = copy.deepcopy(data["studies"])
    for study in other:
        study["study"] += "-again"
    other[0]["reconciliation"] = {
        "other": "goddard-2007",
        "text": "What makes the <difference>.",
        "claims": ["G07a"],
    }
    more["studies"] += other
    more["tags"] = {"practices": ["collaboration", "lesson study"], "goals": [], "supports": []}
    more["works"] = [
        {
            "key": "lesson-study-japan",
            "citation": "Lesson study in Japan",
            "short": "Lesson study in Japan",
            "reason": "No study, no number",
            "cited_in": ["guide"],
            "practices": ["lesson study"],
            "goals": [],
            "supports": [],
        }
    ]
    return report_page(more, VERSIONS)


def test_a_long_page_is_well_formed_and_small(long_page: str, page: str) -> None:
    checker = Checker()
    checker.feed(long_page)
    assert checker.open == []
    assert checker.loaded == []
    assert "<figure>" not in long_page
    assert len(long_page) < len(page)
    assert long_page.count('<details class="study"') == 4


def test_what_no_number_carries_is_said_plainly(long_page: str) -> None:
    rows = long_page.partition('class="groups"')[2].split("<div><b>")
    row = next(r for r in rows if r.startswith("lesson study<"))
    assert "no quantitative claim carries it" in row
    assert "Lesson study in Japan" in row
    row = next(r for r in rows if r.startswith("collaboration<"))
    assert "of 4 positive" in row
    assert "No study, no number" in long_page


def test_contradictions_are_shown_side_by_side(long_page: str) -> None:
    part = long_page.partition("Where studies contradict each other")[2].partition("<h2")[0]
    assert "What makes the &lt;difference&gt;." in part
    assert part.count(">G07a<") == 2
    assert "G07b" not in part


def test_every_claim_is_a_row_that_can_be_sorted(long_page: str) -> None:
    body = long_page.partition('class="sortable"')[2].partition("</table>")[0]
    rows = body.partition("<tbody>")[2].split("<tr>")[1:]
    assert len(rows) == 10
    assert all(row.count("data-v=") == body.count("<th ") for row in rows)


def test_what_fails_is_shown(data: dict[str, Any]) -> None:
    bad = copy.deepcopy(data)
    bad["ok"] = False
    del bad["studies"][1:]
    bad["studies"][0]["claims"][0] |= {"verdict": "contradicted", "holds": False}
    bad["studies"][0]["failures"] = ["replicate 3: FitError: <no luck>"]
    text = report_page(bad, VERSIONS)
    assert "not everything holds" in text
    assert '<span class="badge">contradicted</span>' in text
    assert "goddard-2007: replicate 3: FitError: &lt;no luck&gt;" in text
