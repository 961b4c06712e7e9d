"""A replication as text of 80 columns: one row a claim, then what was checked."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from teamlink.report.comparison import answers
from teamlink.report.numbers import decimals, digits_for, interval, percent, sign
from teamlink.report.tables import text_table

__all__ = ["check_lines", "replication_text"]

WIDTH = 80
INDENT = "  "


def replication_text(data: Mapping[str, Any]) -> str:
    """Lay out `Replication.to_dict()` as text.

    Parameters
    ----------
    data : mapping
        From `Replication.to_dict`.

    Returns
    -------
    str
        Lines of at most 80 columns.
    """
    failed = f"{data['failed']} failed" if data["failed"] else "none failed"
    indent = len(_check(" " * _widest(data["claims"]), "", good=True))
    lines = [
        *_folded("", f"{data['study']}: {data['title']}", indent=2),
        f"{data['short']}",
        *_folded("", f"{data['sizes']}; {data['basis']}", indent=2),
        f"{data['replicates']} replicates, {failed}; seed {data['seed']}",
        "",
        *_claim_rows(data["claims"]),
        "",
        *(part for line in check_lines(data) for part in _folded("", line, indent)),
    ]
    if data["fit"]:
        lines += ["", *_fit_lines(data)]
    return "\n".join(line if not line or i == 0 else INDENT + line for i, line in enumerate(lines))


def _claim_rows(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    head = ["claim", "published", "found", "estimate [95 %]", "share", "verdict"]
    rows = [
        [
            c["claim"],
            f"{sign(c['published'])} {c['source']}",
            sign(c["recovered"]),
            _estimate(c),
            percent(c["share_recovered"]),
            c["verdict"],
        ]
        for c in claims
    ]
    numeric = [False, False, False, True, True, False]
    table = text_table(head, rows, numeric).split("\n")
    texts = [line for c in claims for line in _folded(f"{c['claim']}: ", _with_unit(c))]
    return [*table, "", *texts]


def _estimate(claim: Mapping[str, Any]) -> str:
    digits = digits_for(claim["conf_low"], claim["conf_high"])
    ends = interval(claim["conf_low"], claim["conf_high"], digits)
    return f"{decimals(claim['estimate'], digits)} {ends}"


def _with_unit(claim: Mapping[str, Any]) -> str:
    return f"{claim['text']} ({claim['unit']})" if claim["unit"] else str(claim["text"])


def _folded(head: str, text: str, indent: int | None = None) -> list[str]:
    """Fold a line, later lines indented below the text, without touching spaces inside it."""
    return textwrap.wrap(
        head + text,
        WIDTH - len(INDENT),
        subsequent_indent=" " * (len(head) if indent is None else indent),
        break_on_hyphens=False,
    )


def _widest(claims: Sequence[Mapping[str, Any]]) -> int:
    return max([5, *(len(claim["claim"]) for claim in claims)])


def check_lines(data: Mapping[str, Any]) -> list[str]:
    """List the checks of a replication, each with its outcome."""
    lines = []
    wide = _widest(data["claims"])
    for claim in data["claims"]:
        covered = percent(claim["coverage"])
        value = decimals(claim["true_value"], digits_for(claim["conf_low"], claim["conf_high"]))
        truth = f"the fitted value {value}"
        if not data["fit"]:
            truth = f"the true value {value} (latent {decimals(claim['effect'])})"
        text = f"95 % intervals hold {truth} in {covered}"
        good = claim["verdict"] != "miscalibrated"
        lines.append(_check(claim["claim"].ljust(wide), text, good))
        lines += [
            _check(" " * wide, _control_text(control), control["holds"])
            for control in data["controls"]
            if control["claim"] == claim["claim"]
        ]
    programs = dict.fromkeys(ref["program"] for ref in data["references"])
    lines += [
        _agreement([r for r in data["references"] if r["program"] == program], wide)
        for program in programs
    ]
    return lines


def _agreement(references: Sequence[Mapping[str, Any]], wide: int) -> str:
    good = [ref["agrees"] for ref in references]
    worst = max(ref["difference"] for ref in references)
    text = f"{sum(good)} of {len(good)} numbers agree with {references[0]['program']}"
    return _check(" " * wide, f"{text}, to {worst:.0e} or closer", all(good))


def _control_text(control: Mapping[str, Any]) -> str:
    found = f"significant in {control['significant']} of {control['replicates']}"
    if control["expected"] == "not detected":
        found += f" ({control['least']}-{control['most']} allowed)"
    planted = control["control"] == "effect planted"
    # either sign is planted: only the value tells the two controls apart
    name = f"effect {decimals(control['true_value'])} planted" if planted else control["control"]
    return f"{name}: {found}, {control['verdict']}"


def _check(head: str, text: str, good: bool) -> str:
    return f"{'ok ' if good else 'NOT'} {head} {text}"


def _fit_lines(data: Mapping[str, Any]) -> list[str]:
    """Lay out the fit to real data, with another program's numbers beside it."""
    theirs = answers(data["references"])
    program = data["references"][0]["program"] if data["references"] else ""
    criterion = f"REML criterion {decimals(data['criterion'], 4)}"
    if (other := theirs("deviance", "")) is not None:
        criterion += f" ({program}: {decimals(other, 4)})"
    head = ["fit to the data", "estimate", "std. error", "t"]
    numeric = [False, True, True, True]
    rows = []
    for row in data["fit"]:
        ours = [decimals(row["estimate"], 4)]
        if row["effect"] == "fixed":
            ours += [decimals(row["std_error"], 4), decimals(row["statistic"], 2)]
        found = [theirs(q, row["term"]) for q in ("estimate", "std_error")] if program else []
        beside = ["" if v is None else decimals(v, 4) for v in found]
        rows.append([row["term"], *ours, *[""] * (4 - 1 - len(ours)), *beside])
    if program:
        head, numeric = [*head, program, "std. error"], [*numeric, True, True]
    table = text_table(head, rows, numeric).split("\n")
    return [*_folded("", "; ".join(data["models"].values())), criterion, *table]
