import copy
import itertools
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import resources
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
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        given = dict(attrs)
        self.ids += [str(given["id"])] if "id" in given else []
        self.links += [str(given["href"])] if tag == "a" else []
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
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
    other[0] |= {"goals": ["climate"], "claim_goals": {"G07a": ["climate"], "G07b": ["learning"]}}
    more["tags"] = {
        "practices": ["collaboration", "lesson study"],
        "goals": ["climate"],
        "supports": [],
    }
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
        },
        {
            "key": "reeves-2017",
            "citation": "Reeves et al. (2017)",
            "short": "Reeves et al. (2017)",
            "reason": "No document cites it",
            "cited_in": [],
            "quantitative": True,
            "practices": ["lesson study"],
            "goals": [],
            "supports": [],
        },
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


def test_only_claims_about_a_goal_are_counted_with_it(long_page: str) -> None:
    rows = long_page.partition('class="groups"')[2].split("<div><b>")
    assert "of 1 positive" in next(r for r in rows if r.startswith("climate<"))


def test_a_work_with_a_claim_that_is_not_run_stands_apart(long_page: str) -> None:
    rows = long_page.partition('class="groups"')[2].partition("<details")[0].split("<div><b>")
    assert "Reeves" not in next(r for r in rows if r.startswith("lesson study<"))
    assert "Cited without a quantitative claim, and why nothing is run (1)" in long_page
    part = long_page.partition("With a quantitative claim, and why nothing is run (1)")[2]
    assert "No document cites it" in part


def test_contradictions_are_shown_side_by_side(long_page: str) -> None:
    part = long_page.partition("Where studies contradict each other")[2].partition("<h2")[0]
    assert "What makes the &lt;difference&gt;." in part
    assert part.count(">G07a<") == 2
    assert "G07b" not in part


def checked(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    return checker


@pytest.mark.parametrize("which", ["page", "long_page"])
def test_ids_are_unique_and_links_within_the_page_lead_somewhere(
    which: str, request: pytest.FixtureRequest
) -> None:
    found = checked(request.getfixturevalue(which))
    assert len(set(found.ids)) == len(found.ids)
    inside = {link[1:] for link in found.links if link.startswith("#")}
    assert "claims" in inside
    assert inside <= set(found.ids)


@pytest.mark.parametrize("which", ["page", "long_page"])
def test_no_level_of_heading_is_skipped(which: str, request: pytest.FixtureRequest) -> None:
    levels = checked(request.getfixturevalue(which)).headings
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_a_narrow_screen_shows_rows_as_blocks_under_their_labels(long_page: str) -> None:
    narrow = long_page.partition("@media (max-width: 59.99rem) {")[2].partition("@media")[0]
    assert ".stack td { display: block; }" in narrow
    assert "content: attr(data-label)" in narrow
    # a table that stays a table scrolls in a container of its own, never the page
    for table in re.findall(r"<div class=\"[^\"]*\"><table[^>]*>", long_page):
        assert table.startswith('<div class="wide')
    assert long_page.count("<table") == len(re.findall(r'<div class="wide[^"]*"><table', long_page))
    for body in re.findall(r'<table class="stack.*?</table>', long_page, flags=re.DOTALL):
        assert len(re.findall(r"<td ", body)) == len(re.findall(r'<td data-label="', body)) > 0
        assert "<td>" not in body


def test_values_are_printed_as_they_were_stated(long_page: str) -> None:
    row = next(r for r in long_page.split("<tr>") if "<code>schools</code>" in r)
    assert 'data-label="value" class="n">47</td>' in row


def test_a_line_of_estimates_bears_the_name_of_its_control(long_page: str) -> None:
    names = re.findall(r'<div class="names">(.*?)</div>', long_page)
    assert names
    assert set(re.findall(r"<span>(.*?)</span>", names[0])) == {
        "as the study",
        "effect zero",
        "sign flipped",
    }


def palettes() -> Iterator[dict[str, str]]:
    css = (resources.files("teamlink.report") / "page.css").read_text(encoding="utf-8")
    for block in re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL):
        yield dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", block))


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_text_is_legible_in_light_in_dark_and_on_paper() -> None:
    pairs = [(ink, on) for ink in ("ink", "muted") for on in ("paper", "card", "chip")]
    pairs += [(ink, on) for ink in ("accent", "warn", "good") for on in ("paper", "card")]
    pairs += [("good", "good-bg"), ("warn", "bad-bg")]
    found = list(palettes())
    assert len(found) == 3
    for palette in found:
        for ink, on in pairs:
            dark, light = sorted((luminance(palette[ink]), luminance(palette[on])))
            # WCAG 2, AA
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, on, palette[ink], palette[on])


def test_every_claim_is_a_row_that_can_be_sorted(long_page: str) -> None:
    body = long_page.partition('class="stack sortable"')[2].partition("</table>")[0]
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
