"""Read a study from its text file and check it; one error lists every fault.

A study file is TOML and holds facts only. Its tables:

`key`, `title`, `status`
    The study's name, a few words, and "ready" or "draft".
`[citation]`
    `authors`, `short`, `year`, `title`, `published_in`, and `doi`, `url` or `isbn`.
`[sources]`
    Name to description. Every population value and claim names one of them.
`[design]`
    `kind = "school-survey"` with the names of construct, backgrounds, prior score, outcomes and
    context; or `kind = "real-data"` with `dataset`.
`[[population]]`
    `name`, `value`, `status` ("published", "derived", "assumed"), `source`, `reason`. A survey
    study has a value for each size (`schools`, `teachers`, `students`, `items`, `points`) and for
    each parameter of its design; averages such as `students_per_school` may be given and are
    checked.
`[[pipeline.scales]]`, `[[pipeline.context]]`, `[[pipeline.levels]]`, `[[pipeline.models]]`
    Survey items to school scale; student column to school mean; the levels of a categorical
    column, reference first; a formula for each outcome. A formula calls only functions in
    `FORMULA_FUNCTIONS` and names only columns that the pipeline has.
`[[claims]]`
    `id`, `text`, `outcome`, `term`, `direction` ("positive", "negative", "null"), `level`,
    `source`, and for simulated data `effect`, the population value behind it. A null claim needs
    `planted`, the size of effect that its controls plant. `unit` says what the coefficient is per.
`[[references]]`
    For real data: another program's answer: `program`, `quantity`, `term`, `value`, `tolerance`.
`estimand`
    What the true value of the claims' coefficients is, in words.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from teamlink.errors import DesignError, Fault, Faults, StudyError, nearest
from teamlink.registry import layout
from teamlink.registry.consistency import (
    AVERAGES,
    FORMULA_FUNCTIONS,
    check_averages,
    check_claims,
    check_columns,
    check_provenance,
    check_real,
)
from teamlink.registry.layout import checked, rows, words
from teamlink.registry.study import (
    Citation,
    Claim,
    Context,
    Levels,
    ModelText,
    Pipeline,
    PopulationValue,
    RealData,
    Reference,
    Scale,
    Study,
)
from teamlink.simulation.design import SchoolSurvey

__all__ = ["FORMULA_FUNCTIONS", "parse_study", "read_study"]

SIZES = ("schools", "teachers", "students", "items", "points")


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
    return parse_study(text, path.name)


def parse_study(text: str, where: str = "study") -> Study:
    r"""Read and check a study from the text of its file.

    Parameters
    ----------
    text : str
        TOML.
    where : str
        What messages call the text.

    Returns
    -------
    Study

    Raises
    ------
    StudyError
        The text is no TOML or holds faults; all faults are listed.

    Examples
    --------
    >>> parse_study("key = 'x'\nstatsu = 'ready'", "x.toml")
    Traceback (most recent call last):
    teamlink.errors.StudyError: x.toml has 10 faults:
      1. unknown key 'statsu' (did you mean 'status'?)
      ...
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{where} is no TOML: {error}") from error
    faults = Faults()
    top = checked(raw, "", layout.TOP, faults)
    _raise(faults, where)
    study = _study(top, faults)
    _raise(faults, where)
    return cast(Study, study)


def _raise(faults: Faults, where: str) -> None:
    if not faults:
        return
    lines = "\n".join(f"  {i}. {fault}" for i, fault in enumerate(faults.found, 1))
    count = "1 fault" if len(faults.found) == 1 else f"{len(faults.found)} faults"
    raise StudyError(f"{where} has {count}:\n{lines}")


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
    claims = [Claim(**row) for row in rows(top["claims"], "claim", layout.CLAIM, faults)]
    references = rows(top.get("references", []), "reference", layout.REFERENCE, faults)
    check_provenance(values, claims, sources, faults)
    design = _design(top["design"], values, faults)
    pipeline = _pipeline(top["pipeline"], faults)
    check_claims(claims, pipeline, design, values, faults)
    if isinstance(design, SchoolSurvey):
        check_columns(pipeline, design, faults)
        if references:
            faults.add("'references' are for real data; these are drawn anew", "references")
    elif design is not None:
        check_real(pipeline, faults)
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
    )


def _design(
    table: dict[str, Any], values: Sequence[PopulationValue], faults: Faults
) -> SchoolSurvey | RealData | None:
    real = table.get("kind") == "real-data"
    entry = checked(table, "design", layout.REAL if real else layout.SURVEY, faults)
    given = {v.name: v.value for v in values}
    check_averages(given, faults)
    if real:
        for name in given.keys() - {*SIZES, *AVERAGES}:
            faults.add(f"unknown value {name!r}", "population", nearest(name, SIZES))
        return RealData(entry["dataset"]) if "dataset" in entry else None
    if len(entry) < len(layout.SURVEY):
        return None
    sizes = {name: given.pop(name, None) for name in SIZES}
    for name, size in sizes.items():
        if size is None:
            faults.add(f"{name!r} is missing", "population", "a size of the design")
        elif size != int(size):
            faults.add(f"{name!r} is {size:g}, not a whole number", "population")
    for name in AVERAGES:
        given.pop(name, None)
    if None in sizes.values():
        return None
    counts = {name: int(cast(float, size)) for name, size in sizes.items()}
    names = {k: words(entry, k, "design", faults) for k in ("backgrounds", "outcomes", "context")}
    try:
        design = SchoolSurvey(
            schools=counts["schools"],
            teachers=counts["teachers"],
            students=counts["students"],
            construct=entry["construct"],
            items=counts["items"],
            points=counts["points"],
            backgrounds=names["backgrounds"],
            prior=entry["prior"],
            outcomes=names["outcomes"],
            context=names["context"],
        )
    except DesignError as error:
        faults.found.extend(Fault(f.what, "design", f.remedy) for f in error.faults)
        return None
    faults.found.extend(design.check(given))
    return design


def _pipeline(table: dict[str, Any], faults: Faults) -> Pipeline:
    entry = checked(table, "pipeline", layout.PIPELINE, faults)
    scales = rows(entry.get("scales", []), "scale", layout.SCALE, faults)
    context = rows(entry.get("context", []), "context", layout.CONTEXT, faults)
    levels = rows(entry.get("levels", []), "levels", layout.LEVELS, faults)
    models = rows(entry.get("models", []), "model", layout.MODEL, faults)
    return Pipeline(
        models=tuple(ModelText(**row) for row in models),
        scales=tuple(
            Scale(
                row["name"],
                words(row, "items", f"scale {row['name']}", faults),
                row["by"],
                row["standardize"],
            )
            for row in scales
        ),
        context=tuple(Context(**row) for row in context),
        levels=tuple(
            Levels(row["column"], words(row, "levels", f"levels {row['column']}", faults))
            for row in levels
        ),
    )
