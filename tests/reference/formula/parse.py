"""Reads the raw output of `bars.R`: how R and lme4 read each formula."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOME = Path(__file__).parent
SCRIPT = HOME / "bars.R"
RAW: dict[str, Any] = json.loads((HOME / "bars.json").read_text(encoding="utf-8"))

Term = frozenset[str]
INTERCEPT: Term = frozenset()


@dataclass(frozen=True, slots=True)
class Reading:
    """What R makes of one formula.

    Attributes
    ----------
    intercept : whether R's `terms` sees an intercept in the whole formula
    fixed : terms of the part without bars, as lme4 takes it, as sets of factors
    blocks : lme4's random terms, each with its set of terms and its set of grouping variables;
        None where lme4 cannot read them
    written : the same, from the bars as written and R's `terms` of their right sides
    """

    formula: str
    intercept: bool
    fixed: frozenset[Term]
    blocks: list[tuple[frozenset[Term], frozenset[str]]] | None
    written: list[tuple[frozenset[Term], frozenset[str]]]


def term(label: str) -> Term:
    """Factors of a term; R writes `I(x^2)` for `I(x ** 2)` and keeps `z %in% x` for `z:x`."""
    return frozenset(label.replace("^", " ** ").replace(" %in% ", ":").split(":"))


def terms(side: dict[str, Any]) -> frozenset[Term]:
    intercept = {INTERCEPT} if side["intercept"] else set()
    return frozenset({term(label) for label in side["terms"]} | intercept)


def blocks_as_written(bar: dict[str, Any]) -> list[tuple[frozenset[Term], frozenset[str]]]:
    effects = terms(bar["effects"])
    pieces = [frozenset({t}) for t in effects] if "||" in bar["text"] else [effects]
    return [(piece, term(group)) for group in bar["groups"] for piece in pieces]


def reading(entry: dict[str, Any]) -> Reading:
    blocks = [(terms(bar), frozenset(bar["group"])) for bar in entry["findbars"]]
    return Reading(
        entry["formula"],
        entry["intercept"],
        terms(entry["fixed"]),
        None if entry["error"] else blocks,
        [block for bar in entry["written"] for block in blocks_as_written(bar)],
    )


READINGS = tuple(map(reading, RAW["formulas"]))


def script_md5() -> str:
    return hashlib.md5(SCRIPT.read_bytes(), usedforsecurity=False).hexdigest()
