"""Which keys each table of a study file has, and a reader that notes every departure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from teamlink.errors import Faults, nearest
from teamlink.registry.study import Provenance
from teamlink.typing import Direction

__all__ = [
    "CITATION",
    "CLAIM",
    "PIPELINE",
    "REAL",
    "RECONCILIATION",
    "REFERENCE",
    "TOP",
    "VALUE",
    "Key",
    "checked",
    "rows",
    "words",
]


@dataclass(frozen=True, slots=True)
class Key:
    """What a key of a TOML table may hold."""

    kind: type | tuple[type, ...] = str
    required: bool = True
    allowed: tuple[str, ...] = ()


_NUMBER = (int, float)
_OPTIONAL = Key(required=False)
TOP = {
    "key": Key(),
    "title": Key(),
    "status": Key(allowed=("ready", "draft")),
    "estimand": Key(),
    "citation": Key(dict),
    "sources": Key(dict),
    "design": Key(dict),
    "population": Key(list),
    "pipeline": Key(dict),
    "claims": Key(list),
    "references": Key(list, required=False),
    "practices": Key(list, required=False),
    "goals": Key(list, required=False),
    "supports": Key(list, required=False),
    "controls": Key(required=False, allowed=("together", "each")),
    "truth_times": Key(int, required=False),
    "reconciliation": Key(dict, required=False),
}
RECONCILIATION = {"with": Key(), "text": Key(), "claims": Key(list)}
CITATION = {
    "authors": Key(),
    "short": Key(),
    "year": Key(int),
    "title": Key(),
    "published_in": Key(),
    "doi": _OPTIONAL,
    "url": _OPTIONAL,
    "isbn": _OPTIONAL,
}
REAL = {"kind": Key(), "dataset": Key()}
VALUE = {
    "name": Key(),
    "value": Key(_NUMBER),
    "status": Key(allowed=get_args(Provenance)),
    "source": Key(),
    "reason": Key(),
}
PIPELINE = {"steps": Key(list, required=False), "models": Key(list)}
CLAIM = {
    "id": Key(),
    "text": Key(),
    "outcome": Key(),
    "term": Key(),
    "direction": Key(allowed=get_args(Direction)),
    "level": Key(),
    "source": Key(),
    "effect": _OPTIONAL,
    "planted": Key(_NUMBER, required=False),
    "unit": _OPTIONAL,
    "model": _OPTIONAL,
    "scale": Key(required=False, allowed=("difference", "ratio")),
    "magnitude": Key(_NUMBER, required=False),
    "controls": Key(list, required=False),
    "truth": _OPTIONAL,
    "power": Key(_NUMBER, required=False),
    "goals": Key(list, required=False),
}
REFERENCE = {
    "program": Key(),
    "quantity": Key(allowed=("estimate", "std_error", "deviance")),
    "term": _OPTIONAL,
    "value": Key(_NUMBER),
    "tolerance": Key(_NUMBER),
}


def checked(
    table: Mapping[str, Any], where: str, keys: Mapping[str, Key], faults: Faults
) -> dict[str, Any]:
    """Give the table's well-formed entries and note everything else."""
    for name in table:
        if name not in keys:
            faults.add(f"unknown key {name!r}", where, nearest(name, keys))
    good: dict[str, Any] = {}
    for name, key in keys.items():
        if name not in table:
            if key.required:
                faults.add(f"key {name!r} is missing", where)
            continue
        value = table[name]
        # TOML's true is an int to Python, but no number to a reader
        wrong_bool = isinstance(value, bool) and key.kind is not bool
        if wrong_bool or not isinstance(value, key.kind):
            kinds = key.kind if isinstance(key.kind, tuple) else (key.kind,)
            wanted = " or ".join(k.__name__ for k in kinds)
            faults.add(f"{name!r} is {type(value).__name__}, not {wanted}", where)
        elif key.allowed and value not in key.allowed:
            faults.add(f"{name}={value!r} is not offered", where, nearest(str(value), key.allowed))
        elif isinstance(value, float) and not math.isfinite(value):
            faults.add(f"{name!r} is {value}, not a finite number", where)
        elif isinstance(value, str) and key.required and not value.strip():
            faults.add(f"{name!r} is empty", where)
        else:
            good[name] = value
    return good


def rows(
    rows: Sequence[Any], where: str, keys: Mapping[str, Key], faults: Faults
) -> list[dict[str, Any]]:
    """Give those rows of an array of tables that are complete."""
    good = []
    for i, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            faults.add("is no table", f"{where} {i}")
            continue
        name = row.get("id") or row.get("name") or row.get("outcome") or i
        entry = checked(row, f"{where} {name}", keys, faults)
        if all(k in entry for k, key in keys.items() if key.required):
            good.append(entry)
    return good


def words(table: dict[str, Any], name: str, where: str, faults: Faults) -> tuple[str, ...]:
    """Give a list of words; none where it holds anything else."""
    found = table.get(name, [])
    if not all(isinstance(w, str) for w in found):
        faults.add(f"{name!r} must list words", where)
        return ()
    return tuple(found)
