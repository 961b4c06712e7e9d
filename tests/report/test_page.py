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


def test_what_fails_is_shown(data: dict[str, Any]) -> None:
    bad = copy.deepcopy(data)
    bad["ok"] = False
    bad["studies"][0]["claims"][0] |= {"verdict": "contradicted", "holds": False}
    bad["studies"][0]["failures"] = ["replicate 3: FitError: <no luck>"]
    text = report_page(bad, VERSIONS)
    assert "not everything holds" in text
    assert '<span class="badge">contradicted</span>' in text
    assert "goddard-2007: replicate 3: FitError: &lt;no luck&gt;" in text
