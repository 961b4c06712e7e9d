"""Two studies of one population: the second takes design and population values from the first."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from teamlink.errors import Faults, StudyError, nearest
from teamlink.simulation.world import world

__all__ = ["with_shared_population"]


def with_shared_population(
    raw: dict[str, Any], folder: Path | None, faults: Faults
) -> dict[str, Any]:
    """Complete a study that shares the population of another.

    Parameters
    ----------
    raw : dict
        A study file as read; returned as it is where it has no table "reconciliation".
    folder : Path, optional
        Where else than in the registry the other study may lie.
    faults : Faults
        Takes what is wrong.

    Returns
    -------
    dict
        With the other's design, below the study's own keys of it; with the other's population
        values, but for the sizes that the study states itself; and with the sources of those.
    """
    table = raw.get("reconciliation")
    if not isinstance(table, dict) or not isinstance(table.get("with"), str):
        return raw
    other = _other(table["with"], folder, faults)
    if other is None:
        return raw
    if not all(isinstance(raw.get(name, {}), dict) for name in ("design", "sources")):
        return raw
    if not isinstance(raw.get("population", []), list):
        return raw
    design = {**other.get("design", {}), **raw.get("design", {})}
    own = [row for row in raw.get("population", []) if isinstance(row, dict)]
    _only_sizes(own, str(design.get("kind")), faults)
    stated = {row.get("name") for row in own}
    sources = dict(raw.get("sources", {}))
    rows = []
    for row in _whole_rows(other):
        total, mark, group = str(row["name"]).partition("_per_")
        if row["name"] in stated or (mark and {total, f"{group}s"} & stated):
            continue
        name = row["source"]
        text = other.get("sources", {}).get(name)
        if text is not None and sources.setdefault(name, text) != text:
            name = f"{name} of {other['key']}"
            sources[name] = text
        rows.append({**row, "source": name})
    return {**raw, "design": design, "population": [*own, *rows], "sources": sources}


def _whole_rows(other: dict[str, Any]) -> list[dict[str, Any]]:
    """Population values of the other file that can be read; checking it is its own affair."""
    rows = other.get("population", [])
    found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [row for row in found if isinstance(row.get("source"), str) and row.get("name")]


def _other(key: str, folder: Path | None, faults: Faults) -> dict[str, Any] | None:
    """The other study's file as read."""
    entries = resources.files("teamlink.registry") / "entries"
    known = sorted(e.name.removesuffix(".toml") for e in entries.iterdir() if e.is_file())
    if folder is not None and (folder / f"{key}.toml").is_file():
        text = (folder / f"{key}.toml").read_text(encoding="utf-8")
    elif key in known:
        text = (entries / f"{key}.toml").read_text(encoding="utf-8")
    else:
        faults.add(f"there is no study {key!r}", "reconciliation", nearest(key, known))
        return None
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        faults.add(f"{key!r} is no TOML: {error}", "reconciliation")
        return None
    if "reconciliation" in found:
        what = f"{key!r} has its population from another study"
        faults.add(what, "reconciliation", "name that one")
        return None
    tables = ("design", "sources")
    if any(not isinstance(found.get(name, {}), dict) for name in tables):
        faults.add(f"{key!r} is no study file", "reconciliation")
        return None
    return found


def _only_sizes(own: list[dict[str, Any]], kind: str, faults: Faults) -> None:
    """Note population values that would make it another population."""
    try:
        sizes = world(kind).sizes
    except StudyError as error:
        faults.add(str(error), "design")
        return
    for row in own:
        name = str(row.get("name"))
        if name not in sizes and "_per_" not in name:
            faults.add(
                f"{name!r} would make it another population",
                f"population {name}",
                "a study with 'reconciliation' states sizes only",
            )
