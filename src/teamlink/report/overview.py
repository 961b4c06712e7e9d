"""The first part of the evidence page: all claims, a forest plot, practices, contradictions."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from teamlink.report.numbers import decimals, digits_for, interval, percent, sign
from teamlink.report.stacked import Column, stacked_table
from teamlink.report.strips import Axis, spread_row, standard_errors, strip

__all__ = ["badge", "claims_table", "contradictions", "forest", "grouped", "not_run", "safe"]

Data = Mapping[str, Any]
Z_AXIS = Axis(-9.0, 9.0)
CRITICAL = 1.96


def safe(value: object) -> str:
    """Text without markup."""
    return html.escape(str(value))


def badge(text: str, good: bool) -> str:
    """A coloured word."""
    return f'<span class="badge{" yes" if good else ""}">{safe(text)}</span>'


COLUMNS = (
    Column("claim"),
    Column("verdict"),
    Column("what is claimed"),
    Column("published"),
    Column("found"),
    Column("estimate [95 %]", True),
    Column("share", True),
    Column("power", True),
    Column("too large", True),
    Column("coverage", True),
)


def claims_table(studies: Sequence[Data]) -> str:
    """All claims, one row each, sortable by every column."""
    pairs = [_row(study, claim) for study in studies for claim in study["claims"]]
    cells = [[text for _, text in row] for row in pairs]
    order = [[value for value, _ in row] for row in pairs]
    return stacked_table("all claims", COLUMNS, cells, order)


def _row(study: Data, claim: Data) -> list[tuple[object, str]]:
    """What each cell is sorted by, and its markup."""
    share, error = claim["share_recovered"], claim["share_error"]
    size = ""
    if claim["magnitude"] is not None:
        size = f"<small>size {decimals(claim['magnitude'], 2)}</small>"
    digits = digits_for(claim["conf_low"], claim["conf_high"])
    ends = interval(claim["conf_low"], claim["conf_high"], digits)
    return [
        (claim["claim"], f'<a href="#{safe(study["study"])}">{safe(claim["claim"])}</a>'),
        (claim["verdict"], badge(claim["verdict"], claim["holds"])),
        (study["short"], f"{safe(claim['text'])}<small>{safe(study['short'])}</small>"),
        (claim["published"], f"{_signed(claim['published'])}{size}"),
        (claim["recovered"], _signed(claim["recovered"])),
        (claim["estimate"], f"{decimals(claim['estimate'], digits)}<small>{ends}</small>"),
        (share, f"{percent(share)} \u00b1 {100 * (error or 0):.0f}"),
        (claim["power"], percent(claim["power"])),
        (claim["exaggeration"], times(claim["exaggeration"])),
        (claim["coverage"], percent(claim["coverage"])),
    ]


def _signed(direction: str) -> str:
    return f'<span class="sign">{sign(direction)} {safe(direction)}</span>'


def times(value: float | None) -> str:
    """A factor: how many times too large."""
    return "\u2014" if value is None else f"{value:.2f} \u00d7"


def forest(studies: Sequence[Data]) -> str:
    """Every claim as one line: its estimates in standard errors of one study."""
    blocks = []
    for study in studies:
        runs = {r["claim"]: r for r in study["runs"] if r["scenario"] == "study"}
        rows = []
        for claim in study["claims"]:
            tone = "holds" if claim["holds"] else "fails"
            run = runs.get(claim["claim"], {"estimate": [], "conf_low": [], "conf_high": []})
            line = spread_row(standard_errors(run), Z_AXIS, 0, tone)
            label = f"{claim['claim']}: estimates in standard errors"
            drawn = strip([_critical(1), line], 1, label)
            rows.append(
                f'<div class="row"><span><b>{safe(claim["claim"])}</b> '
                f'<span class="chip" title="published: {safe(claim["published"])}">'
                f"{sign(claim['published'])}</span> {safe(claim['text'])}</span>{drawn}</div>"
            )
        blocks.append(
            f'<div class="block"><a href="#{safe(study["study"])}">{safe(study["short"])}</a>'
            f"{''.join(rows)}</div>"
        )
    scale = strip([_critical(0)], 0, "scale", Z_AXIS)
    return (
        '<p class="small">Each line is a claim: the middle 95 % of the estimates of single '
        "studies, the middle half thick, their mean a dot, in standard errors of one study. "
        "Left and right of the shaded band a single study is significant. A null claim belongs "
        "into the band, a claim with a sign on its side of it; the sign before its text is the "
        "published one. An arrow points to a mean beyond the scale.</p>"
        '<div class="forest"><div class="row scale"><span class="small">standard errors of one '
        f"study</span>{scale}</div>{''.join(blocks)}</div>"
    )


def _critical(rows: int) -> str:
    low, high = (float(Z_AXIS.at(v).rstrip("%")) for v in (-CRITICAL, CRITICAL))
    middle = Z_AXIS.at(0)
    height = "100%" if rows else "0"
    return (
        f'<rect class="band" x="{low:.1f}%" width="{high - low:.1f}%" y="0" height="{height}"/>'
        f'<line class="zero" x1="{middle}" x2="{middle}" y1="0" y2="{height}"/>'
    )


def grouped(data: Data) -> str:
    """What the documents recommend, and which quantitative claims carry it."""
    parts = []
    called = {"practices": "Practices", "goals": "Goals", "supports": "The five supports"}
    for kind, title in called.items():
        words = data.get("tags", {}).get(kind, [])
        rows = "".join(_group(data, kind, word) for word in words)
        if rows:
            parts.append(f'<h3>{title}</h3><div class="groups">{rows}</div>')
    return "".join(parts)


def _group(data: Data, kind: str, word: str) -> str:
    studies = [s for s in data["studies"] if word in s.get(kind, [])]
    works = [w for w in data.get("works", []) if word in w[kind] and not w.get("quantitative")]
    if not studies and not works:
        return ""
    claims = [c for s in studies for c in s["claims"] if _about(s, c, kind, word)]
    links = ", ".join(f'<a href="#{safe(s["study"])}">{safe(s["short"])}</a>' for s in studies)
    named = ", ".join(safe(w["short"]) for w in works)
    said = "<strong>no quantitative claim carries it</strong>"
    if claims:
        counts = [
            f"{sum(c['holds'] for c in claims if c['published'] == d)} of "
            f"{sum(c['published'] == d for c in claims)} {d}"
            for d in ("positive", "negative", "null")
            if any(c["published"] == d for c in claims)
        ]
        said = f"{', '.join(counts)} come back: {links}"
    also = named and f'<p class="small">Cited without a number: {named}</p>'
    return f"<div><b>{safe(word)}</b><div><p>{said}</p>{also}</div></div>"


def _about(study: Data, claim: Data, kind: str, word: str) -> bool:
    """Whether a claim of a study so tagged is about `word`: claims name goals of their own."""
    return kind != "goals" or word in study.get("claim_goals", {}).get(claim["claim"], [word])


def contradictions(studies: Sequence[Data]) -> str:
    """Pairs of studies that contradict each other, run in one population."""
    by_key = {s["study"]: s for s in studies}
    cards = []
    for study in studies:
        found = study.get("reconciliation")
        if not found or found["other"] not in by_key:
            continue
        pair = [by_key[found["other"]], study]
        rows = [_side(s, c) for s in pair for c in s["claims"] if c["claim"] in found["claims"]]
        cards.append(
            f'<article class="claim"><header><strong>{safe(pair[0]["short"])} and '
            f"{safe(pair[1]['short'])}</strong></header><p>{safe(found['text'])}</p>"
            f"{stacked_table('claims of both', SIDES, rows)}</article>"
        )
    if not cards:
        return ""
    return (
        '<h2 id="contradictions">Where studies contradict each other</h2>'
        "<p>Both studies of a pair are drawn from one population, with the same values.</p>"
        f"{''.join(cards)}"
    )


SIDES = (Column("claim"), Column("what is claimed"), Column("verdict"))


def _side(study: Data, claim: Data) -> list[str]:
    digits = digits_for(claim["conf_low"], claim["conf_high"])
    ends = interval(claim["conf_low"], claim["conf_high"], digits)
    return [
        f'<a href="#{safe(study["study"])}">{safe(claim["claim"])}</a>',
        f"{safe(claim['text'])}<small>{_signed(claim['published'])}, found "
        f"{decimals(claim['estimate'], digits)} {ends}</small>",
        badge(claim["verdict"], claim["holds"]),
    ]


WORKS = (Column("work"), Column("why nothing is run"), Column("cited in"))


def not_run(works: Sequence[Data]) -> str:
    """Works that are not run, each with the reason."""
    if not works:
        return ""
    plain = [w for w in works if not w.get("quantitative")]
    others = [w for w in works if w.get("quantitative")]
    first = _works("Cited without a quantitative claim, and why nothing is run", plain)
    second = _works("With a quantitative claim, and why nothing is run", others)
    return f'<div id="not-run">{first}{second}</div>'


def _works(title: str, works: Sequence[Data]) -> str:
    if not works:
        return ""
    rows = [[safe(w["citation"]), safe(w["reason"]), safe(", ".join(w["cited_in"]))] for w in works]
    table = stacked_table(title, WORKS, rows)
    return f"<details><summary>{title} ({len(works)})</summary>{table}</details>"
