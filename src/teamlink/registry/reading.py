"""Read a study from its text file and check it; one error lists every fault.

A study file is TOML and holds facts only. Its tables:

`key`, `title`, `status`
    The study's name, a few words, and "ready" or "draft".
`[citation]`
    `authors`, `short`, `year`, `title`, `published_in`, and `doi`, `url` or `isbn`.
`[sources]`
    Name to description. Every population value and claim names one of them.
`practices`, `goals`, `supports`
    Words of `teamlink.registry.tags` by which the study is found.
`[design]`
    `kind`, a world of `teamlink.simulation.worlds`, with the names that this kind of world takes;
    or `kind = "real-data"` with `dataset`.
`[[population]]`
    `name`, `value`, `status` ("published", "derived", "assumed"), `source`, `reason`. A simulated
    study has a value for each size of its world (such as `schools`, `teachers`, `students`) and for
    each parameter that has no default; averages such as `students_per_school` may be given and are
    checked.
`[[pipeline.steps]]`
    `step`, one of `teamlink.registry.steps`, and its keys: survey items to a scale, a school mean,
    the levels of a categorical column, reference first.
`[[pipeline.models]]`
    `kind`, one of `teamlink.registry.analyses` ("lmm" where none is given), `name` (the outcome
    where none is given) and the keys of the kind. A formula calls only functions in
    `FORMULA_FUNCTIONS` and names only columns that the files have.
`[[claims]]`
    `id`, `text`, `outcome`, `model` (the outcome where none is given), `term`, `direction`
    ("positive", "negative", "null"), `level`, `source`, and for simulated data `effect`, the
    population value behind it. A null claim needs `planted`, the size of effect that its controls
    plant, or `controls`; `power` is the share of replicates that must find it. `controls` lists
    two tables of population values, for controls that change more than `effect`. `scale = "ratio"`
    for an answer that is a logarithm of a ratio. `magnitude` is a size seen in a source. `truth`
    says where the true value comes from. `unit` says what the coefficient is per. `goals` names
    those of the study's goals that the claim is about, where not all.
`[reconciliation]`
    For a study that contradicts another: `with`, the other study; `text`, how one population gives
    both; `claims`, those of both studies that contradict. The design and the population values are
    then the other study's; this file states sizes only, and the keys of `[design]` that differ.
`controls`
    "together": the controls of all claims share two worlds; "each": every claim has its own.
`truth_times`
    How many times as large the world is whose answers give the true values; 100.
`[[references]]`
    For real data: another program's answer: `program`, `quantity`, `term`, `value`, `tolerance`.
`estimand`
    What the true value of the claims' coefficients is, in words.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from teamlink.errors import Faults, StudyError, nearest
from teamlink.registry import layout
from teamlink.registry.analyses.lmm import FORMULA_FUNCTIONS
from teamlink.registry.analysis import analysis, step
from teamlink.registry.consistency import (
    check_averages,
    check_claims,
    check_pipeline,
    check_provenance,
    check_real,
    is_average,
)
from teamlink.registry.layout import checked, rows, words
from teamlink.registry.places import places
from teamlink.registry.prepared import Step
from teamlink.registry.shared import with_shared_population
from teamlink.registry.study import (
    Citation,
    Claim,
    Model,
    Pipeline,
    PopulationValue,
    RealData,
    Reconciliation,
    Reference,
    Study,
)
from teamlink.registry.tags import TAGS
from teamlink.registry.typed import built
from teamlink.simulation.world import World, world, world_kinds

__all__ = ["FORMULA_FUNCTIONS", "parse_study", "read_study"]

REAL_SIZES = ("schools", "teachers", "students", "items", "points")


def read_study(path: str | Path) -> Study:
    """Read and check the study file at `path`.

    Parameters
    ----------
    path : str or Path
        A TOML file; its format is described at the top of this module.

    Returns
    -------
    Study

    Raises
    ------
    StudyError
        The file cannot be read, is no TOML, or holds faults; all faults are listed.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise StudyError(f"the study file {path} cannot be read: {reason}") from error
    return parse_study(text, path.name, path.parent)


def parse_study(text: str, where: str = "study", folder: Path | None = None) -> Study:
    r"""Read and check a study from the text of its file.

    Parameters
    ----------
    text : str
        TOML.
    where : str
        What messages call the text.
    folder : Path, optional
        Where else than in the registry a study may lie that this one shares its population with.

    Returns
    -------
    Study

    Raises
    ------
    StudyError
        The text is no TOML or holds faults; all faults are listed, with their lines.

    Examples
    --------
    >>> parse_study("key = 'x'\nstatsu = 'ready'", "x.toml")
    Traceback (most recent call last):
    teamlink.errors.StudyError: x.toml has 10 faults:
      1. line 2: unknown key 'statsu' (did you mean 'status'?)
      ...
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{where} is no TOML: {error}") from error
    faults = Faults()
    raw = with_shared_population(raw, folder, faults)
    _raise(faults, where, text)
    top = checked(raw, "", layout.TOP, faults)
    _raise(faults, where, text)
    study = _study(top, faults)
    _raise(faults, where, text)
    return cast(Study, study)


def _raise(faults: Faults, where: str, text: str) -> None:
    if not faults:
        return
    found, shown = places(text), []
    for i, fault in enumerate(faults.found, 1):
        line = found.line(fault)
        mark = "" if line is None else f"line {line}, " if fault.where else f"line {line}: "
        shown.append(f"  {i}. {mark}{fault}")
    count = "1 fault" if len(shown) == 1 else f"{len(shown)} faults"
    raise StudyError(f"{where} has {count}:\n" + "\n".join(shown))


def _study(top: dict[str, Any], faults: Faults) -> Study | None:
    citation = checked(top["citation"], "citation", layout.CITATION, faults)
    if not any(top["citation"].get(name) for name in ("doi", "url", "isbn")):
        faults.add("none of 'doi', 'url' and 'isbn' is given", "citation")
    sources = {name: text for name, text in top["sources"].items() if isinstance(text, str)}
    for name in top["sources"].keys() - sources.keys():
        faults.add(f"{name!r} is no text", "sources")
    values = [
        PopulationValue(**row)
        for row in rows(top["population"], "population", layout.VALUE, faults)
    ]
    claims = _claims(top["claims"], words(top, "goals", "", Faults()), faults)
    references = rows(top.get("references", []), "reference", layout.REFERENCE, faults)
    check_provenance(values, claims, sources, faults)
    if top.get("truth_times", 1) < 1:
        faults.add(f"'truth_times' is {top['truth_times']}, less than 1", "", "100 is usual")
    tags = {name: _tags(top, name, faults) for name in TAGS}
    design = _design(top["design"], values, faults)
    pipeline = _pipeline(top["pipeline"], faults)
    columns = None
    if isinstance(design, RealData):
        check_real(pipeline, faults)
    elif design is not None:
        columns = check_pipeline(pipeline, design, faults)
        if references:
            faults.add("'references' are for real data; these are drawn anew", "references")
    check_claims(claims, pipeline, design, values, columns, faults)
    reconciliation = _reconciliation(top, faults)
    if faults or design is None:
        return None
    return Study(
        key=top["key"],
        title=top["title"],
        status=top["status"],
        citation=Citation(**citation),
        sources=sources,
        design=design,
        population=tuple(values),
        pipeline=pipeline,
        claims=tuple(claims),
        estimand=" ".join(top["estimand"].split()),
        references=tuple(Reference(**{"term": "", **row}) for row in references),
        kind=top["design"]["kind"],
        reconciliation=reconciliation,
        controls=top.get("controls", "together"),
        truth_times=top.get("truth_times", 100),
        **tags,
    )


def _reconciliation(top: dict[str, Any], faults: Faults) -> Reconciliation | None:
    if "reconciliation" not in top:
        return None
    table = top["reconciliation"]
    entry = checked(table, "reconciliation", layout.RECONCILIATION, faults)
    names = words(entry, "claims", "reconciliation", faults)
    return Reconciliation(
        entry.get("with", ""), " ".join(str(entry.get("text", "")).split()), names
    )


def _tags(top: dict[str, Any], name: str, faults: Faults) -> tuple[str, ...]:
    found = words(top, name, "", faults)
    for word in found:
        if word not in TAGS[name]:
            faults.add(f"{word!r} is not among the {name}", name, nearest(word, TAGS[name]))
    return found


def _claims(found: Sequence[Any], goals: Sequence[str], faults: Faults) -> list[Claim]:
    claims = []
    for row in rows(found, "claim", layout.CLAIM, faults):
        where = f"claim {row['id']}"
        controls = row.pop("controls", [])
        good = all(
            isinstance(c, dict)
            and c
            and all(isinstance(v, int | float) and not isinstance(v, bool) for v in c.values())
            for c in controls
        )
        if controls and (len(controls) != 2 or not good):
            faults.add("'controls' must list two tables of population values", where)
            controls = []
        about = words(row, "goals", where, faults)
        for word in about:
            if word not in goals:
                faults.add(f"{word!r} is not among the study's goals", where, nearest(word, goals))
        claims.append(Claim(**{**row, "goals": about}, controls=tuple(controls)))
    return claims


def _design(
    table: dict[str, Any], values: Sequence[PopulationValue], faults: Faults
) -> World | RealData | None:
    given = {v.name: v.value for v in values}
    check_averages(given, faults)
    kind = table.get("kind")
    if kind == "real-data":
        entry = checked(table, "design", layout.REAL, faults)
        for name in given:
            if name not in REAL_SIZES and not is_average(name, given):
                faults.add(f"unknown value {name!r}", "population", nearest(name, REAL_SIZES))
        return RealData(entry["dataset"]) if "dataset" in entry else None
    try:
        kind_of_world = world(str(kind))
    except StudyError:
        known = (*world_kinds(), "real-data")
        faults.add(f"there is no generator {kind!r}", "design", nearest(str(kind), known))
        return None
    own = {name: value for name, value in table.items() if name != "kind"}
    sizes = _sizes(kind_of_world.sizes, given, faults)
    if sizes is None:
        return None
    design = built(kind_of_world, own, "design", faults, sizes)
    if design is not None:
        rest = {n: v for n, v in given.items() if n not in sizes and not is_average(n, given)}
        faults.found.extend(design.check(rest))
    return design


def _sizes(
    names: Sequence[str], given: Mapping[str, float], faults: Faults
) -> dict[str, int] | None:
    for name in names:
        if name not in given:
            faults.add(f"{name!r} is missing", "population", "a size of the design")
        elif given[name] != int(given[name]):
            faults.add(f"{name!r} is {given[name]:g}, not a whole number", f"population {name}")
    if any(n not in given for n in names):
        return None
    return {name: int(given[name]) for name in names}


def _pipeline(table: dict[str, Any], faults: Faults) -> Pipeline:
    entry = checked(table, "pipeline", layout.PIPELINE, faults)
    steps = [_step(row, i, faults) for i, row in enumerate(entry.get("steps", []), 1)]
    models = [_model(row, i, faults) for i, row in enumerate(entry.get("models", []), 1)]
    return Pipeline(
        models=tuple(m for m in models if m is not None),
        steps=tuple(s for s in steps if s is not None),
    )


def _step(row: Any, i: int, faults: Faults) -> Step | None:
    if not isinstance(row, dict):
        faults.add("is no table", f"step {i}")
        return None
    name = str(row.get("name") or i)
    try:
        kind = step(str(row.get("step")))
    except StudyError as error:
        faults.add(str(error), f"step {name}")
        return None
    own = {key: value for key, value in row.items() if key != "step"}
    return built(kind, own, f"step {name}", faults)


def _model(row: Any, i: int, faults: Faults) -> Model | None:
    if not isinstance(row, dict):
        faults.add("is no table", f"model {i}")
        return None
    kind, name = str(row.get("kind", "lmm")), str(row.get("name") or row.get("outcome") or i)
    try:
        kind_of_analysis = analysis(kind)
    except StudyError as error:
        faults.add(str(error), f"model {name}")
        return None
    own = {key: value for key, value in row.items() if key not in ("kind", "name")}
    found = built(kind_of_analysis, own, f"model {name}", faults)
    return None if found is None else Model(name, kind, found)
