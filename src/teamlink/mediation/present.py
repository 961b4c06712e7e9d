"""What a mediation model says of itself, to be read aloud."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pandas as pd

from teamlink.fitting.summary import Summary, SummaryTable, number, p_text

if TYPE_CHECKING:
    from teamlink.mediation.result import Mediation, Method

__all__ = ["summarize"]

_WHERE = {"within": "Within clusters", "between": "Between clusters", "single": "Effects"}

_METHODS = {
    "delta": "delta method",
    "monte-carlo": "Monte Carlo, from the joint covariance of the estimates",
}


def summarize(found: Mediation, level: float) -> Summary:
    """See `Mediation.summary`."""
    spec, fit = found.specification, found.fit
    frame = found.effects if level == 0.95 else found.conf_int(_method(found), level)
    unit = spec.cluster or "rows"
    facts = [
        ("Design", f"{spec.design.name}: {spec.design.words}"),
        ("Path", " -> ".join([spec.x, _through(found), spec.y])),
        ("Rows", f"{fit.nobs}"),
        *([("Clusters", f"{found.variables.n_clusters} of {unit}")] if spec.cluster else []),
        ("Intervals", f"{100 * level:g}%, {_METHODS[str(frame['method'].iloc[0])]}"),
    ]
    tables = []
    for where, title in _WHERE.items():
        rows = frame[(frame["level"] == where) & (frame["effect"] != "contrast")]
        if len(rows):
            tables.append(_table(title, rows))
    rows = frame[frame["effect"] == "contrast"]
    if len(rows):
        tables.append(_table("Contrasts", rows, contrasts=True))
    remarks = [*_sentences(frame), *_proportions(found)]
    if len(found.reliability):
        remarks.append(_reliability(found))
    remarks += [f"CAUTION: {text}." for _, text in found.cautions]
    return Summary("Mediation", tuple(facts), tuple(tables), tuple(remarks))


def _method(found: Mediation) -> Method:
    return cast("Method", found.effects["method"].iloc[0])


def _through(found: Mediation) -> str:
    spec = found.specification
    return (" -> " if spec.serial else " | ").join(spec.mediators)


def _table(title: str, rows: pd.DataFrame, contrasts: bool = False) -> SummaryTable:
    header = ("Effect", "Path", "Estimate", "Std. error", "low", "high", "p")
    if contrasts:
        header = ("Level", "Contrast", *header[2:])
    lead = rows["level" if contrasts else "effect"].astype(str)
    numbers = rows[["estimate", "std_error", "conf_low", "conf_high", "p"]].to_numpy(dtype=float)
    cells = tuple(
        (first, path, *map(number, values[:4]), p_text(values[4]) if values[4] == values[4] else "")
        for first, path, values in zip(lead, rows["path"].astype(str), numbers, strict=True)
    )
    return SummaryTable(title, header, cells, labels=2)


def _sentences(frame: pd.DataFrame) -> list[str]:
    """Each indirect effect in words."""
    said = []
    for row in frame[frame["effect"].isin(["indirect", "total indirect"])].to_dict("records"):
        low, high = float(row["conf_low"]), float(row["conf_high"])
        where = "" if row["level"] == "single" else f", {row['level']} clusters"
        verdict = "excludes" if low > 0 or high < 0 else "includes"
        said.append(
            f"{str(row['effect']).capitalize()} effect {row['path']}{where}: "
            f"{number(row['estimate'], 3)}, interval {number(low, 3)} to {number(high, 3)}, "
            f"which {verdict} zero."
        )
    return said


def _proportions(found: Mediation) -> list[str]:
    if _method(found) != "monte-carlo":
        return []
    return [
        f"Proportion mediated, {r['level']}: {number(r['estimate'], 2)} "
        f"({number(r['conf_low'], 2)} to {number(r['conf_high'], 2)})."
        for r in found.proportion_mediated.to_dict("records")
    ]


def _reliability(found: Mediation) -> str:
    rows = found.reliability.to_dict("records")
    parts = [f"{row['column']} {row['icc1']:.2f}, {row['icc2']:.2f}" for row in rows]
    return f"ICC(1), ICC(2) of cluster means: {'; '.join(parts)}."
