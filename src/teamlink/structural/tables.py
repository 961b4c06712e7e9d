"""A parameter table as a data frame, turned into the language again."""

from __future__ import annotations

from typing import Any

import pandas as pd

from teamlink.errors import Faults
from teamlink.syntax.statements import is_plain_name, show_variable

__all__ = ["text_of_table"]

_NEEDED = ("lhs", "op", "rhs")
_RELATIONS = ("=~", "~", "~~", "~1")
_OTHERS = (":=", "==", "<", ">")


def text_of_table(frame: pd.DataFrame) -> str:
    """Write the rows of a parameter table as statements.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``lhs, op, rhs`` and, where there are any, ``group, level, free, value, start,
        label, lower, upper, exogenous``, as `ParameterTable.frame` gives them. A row is free unless
        `free` says otherwise; moments of exogenous variables are left out, as convention adds them.

    Raises
    ------
    DataError
        A column is missing, or an operator is not known.
    """
    faults = Faults()
    for name in _NEEDED:
        if name not in frame.columns:
            faults.add("there is no such column", f"column {name!r}", "a parameter table has it")
    faults.raise_if_any()
    for op in sorted(set(frame["op"]) - {*_RELATIONS, *_OTHERS}):
        faults.add(f"{op!r} is no operator", "column 'op'", f"one of {', '.join(_RELATIONS)}")
    faults.raise_if_any()
    rows: list[dict[str, Any]] = [
        {str(k): v for k, v in row.items()} for row in frame.to_dict("records")
    ]
    relations = [r for r in rows if r["op"] in _RELATIONS and not r.get("exogenous")]
    _with_plain_labels(relations)
    groups = list(dict.fromkeys(r.get("group", 1) for r in relations))
    levels = list(dict.fromkeys(r.get("level", 1) for r in relations))
    lines = []
    for group in groups:
        lines += [f"group: {group}"] if len(groups) > 1 else []
        for level in levels:
            lines += [f"level: {level}"] if len(levels) > 1 else []
            lines += [
                _statement(row)
                for row in relations
                if (row.get("group", 1), row.get("level", 1)) == (group, level)
            ]
    lines += [f"{r['lhs']} {r['op']} {r['rhs']}" for r in rows if r["op"] in _OTHERS]
    return "\n".join(lines)


def _with_plain_labels(rows: list[dict[str, Any]]) -> None:
    """Give rows that are equal without a label of the user one that can stand in a text."""
    taken = {str(row.get("label") or "") for row in rows}
    plain: dict[str, str] = {}
    for row in rows:
        label = str(row.get("label") or "")
        if label and not is_plain_name(label):
            if label not in plain:
                plain[label] = f"equal{len(taken)}"
                taken.add(plain[label])
            row["label"] = plain[label]


def _statement(row: dict[str, Any]) -> str:
    """One row with its modifiers."""
    value = row.get("value")
    free = bool(row.get("free", value is None or value != value))
    said = ["NA*" if free else f"{float(row['value'])!r}*"]
    for name in ("start", "lower", "upper"):
        number = row.get(name)
        if free and number is not None and abs(number) < float("inf"):
            said.append(f"{name}({float(number)!r})*")
    if row.get("label"):
        said.append(f"{row['label']}*")
    left = show_variable(str(row["lhs"]))
    if row["op"] == "~1":
        return f"{left} ~ {''.join(said)}1"
    return f"{left} {row['op']} {''.join(said)}{show_variable(str(row['rhs']))}"
