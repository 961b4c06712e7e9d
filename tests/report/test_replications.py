import copy
from typing import Any

import pytest

from teamlink.registry.replicate import replicate
from teamlink.report.replications import check_lines, replication_text


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return replicate("hsb-1982", replicates=6, progress=False).to_dict()


def renamed(data: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    found = copy.deepcopy(data)
    for row in [*found["claims"], *found["controls"]]:
        row["claim"] = ids.get(row["claim"], row["claim"])
    return found


def test_long_titles_and_sizes_are_folded_to_eighty_columns(data: dict[str, Any]) -> None:
    long = data | {"title": "title " * 20, "sizes": "302,078 students, " * 8}
    lines = replication_text(long).splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert ("title " * 20).strip() in text
    assert ("302,078 students, " * 8).strip() in text


@pytest.mark.parametrize("name", ["H82a", "R15a-1", "ML09-11"])
def test_checks_stand_under_each_other_whatever_the_ids(data: dict[str, Any], name: str) -> None:
    checks = check_lines(renamed(data, {"H82a": name}))
    starts = {
        line.index(word)
        for line in checks
        for word in ("95 % intervals", "effect zero", "sign flipped", "13 of 13")
        if word in line
    }
    assert len(starts) == 1
    assert len(checks) == 3 * 3 + 1


def test_planted_effects_of_either_sign_are_told_apart(data: dict[str, Any]) -> None:
    found = copy.deepcopy(data)
    for control, value in zip(found["controls"][:2], (0.08, -0.08), strict=True):
        control |= {"control": "effect planted", "true_value": value}
    text = replication_text(found)
    assert "effect 0.080 planted: significant" in text
    assert "effect \u22120.080 planted: significant" in text


def test_a_narrow_interval_shows_more_decimals(data: dict[str, Any]) -> None:
    found = copy.deepcopy(data)
    found["claims"][0] |= {"estimate": 0.00059, "conf_low": -0.00035, "conf_high": 0.00153}
    assert "0.0006 [\u22120.0003, 0.0015]" in replication_text(found)
