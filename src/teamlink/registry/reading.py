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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from teamlink.errors import DesignError, Fault, Faults, FormulaError, StudyError, nearest
from teamlink.registry.study import (
    Citation,
    Claim,
    Context,
    Levels,
    ModelText,
    Pipeline,
    PopulationValue,
    Provenance,
    RealData,
    Reference,
    Scale,
    Study,
)
from teamlink.simulation.design import SchoolSurvey
from teamlink.syntax.formula import parse
from teamlink.typing import Direction

__all__ = ["FORMULA_FUNCTIONS", "parse_study", "read_study"]

FORMULA_FUNCTIONS = frozenset({"between", "center", "exp", "log", "scale", "sqrt", "within"})
"""The only functions that a formula in a study file may call."""

SIZES = ("schools", "teachers", "students", "items", "points")
AVERAGES = {
    "teachers_per_school": ("teachers", "schools"),
    "students_per_school": ("students", "schools"),
}
KINDS = ("school-survey", "real-data")


@dataclass(frozen=True, slots=True)
class _Key:
    """What a key of a TOML table may hold."""

    kind: type | tuple[type, ...] = str
    required: bool = True
    allowed: tuple[str, ...] = ()


_NUMBER = (int, float)
_OPTIONAL = _Key(required=False)
_TOP = {
    "key": _Key(),
    "title": _Key(),
    "status": _Key(allowed=("ready", "draft")),
    "estimand": _Key(),
    "citation": _Key(dict),
    "sources": _Key(dict),
    "design": _Key(dict),
    "population": _Key(list),
    "pipeline": _Key(dict),
    "claims": _Key(list),
    "references": _Key(list, required=False),
}
_CITATION = {
    "authors": _Key(),
    "short": _Key(),
    "year": _Key(int),
    "title": _Key(),
    "published_in": _Key(),
    "doi": _OPTIONAL,
    "url": _OPTIONAL,
    "isbn": _OPTIONAL,
}
_SURVEY = {
    "kind": _Key(allowed=KINDS),
    "construct": _Key(),
    "backgrounds": _Key(list),
    "prior": _Key(),
    "outcomes": _Key(list),
    "context": _Key(list),
}
_REAL = {"kind": _Key(allowed=KINDS), "dataset": _Key()}
_VALUE = {
    "name": _Key(),
    "value": _Key(_NUMBER),
    "status": _Key(allowed=get_args(Provenance)),
    "source": _Key(),
    "reason": _Key(),
}
_PIPELINE = {
    "scales": _Key(list, required=False),
    "context": _Key(list, required=False),
    "levels": _Key(list, required=False),
    "models": _Key(list),
}
_SCALE = {"name": _Key(), "items": _Key(list), "by": _Key(), "standardize": _Key(bool)}
_CONTEXT = {"name": _Key(), "column": _Key()}
_LEVELS = {"column": _Key(), "levels": _Key(list)}
_MODEL = {"outcome": _Key(), "formula": _Key()}
_CLAIM = {
    "id": _Key(),
    "text": _Key(),
    "outcome": _Key(),
    "term": _Key(),
    "direction": _Key(allowed=get_args(Direction)),
    "level": _Key(),
    "source": _Key(),
    "effect": _OPTIONAL,
    "planted": _Key(_NUMBER, required=False),
    "unit": _OPTIONAL,
}
_REFERENCE = {
    "program": _Key(),
    "quantity": _Key(allowed=("estimate", "std_error", "deviance")),
    "term": _OPTIONAL,
    "value": _Key(_NUMBER),
    "tolerance": _Key(_NUMBER),
}


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
    top = _checked(raw, "", _TOP, faults)
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


def _checked(
    table: Mapping[str, Any], where: str, keys: Mapping[str, _Key], faults: Faults
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
        elif isinstance(value, str) and key.required and not value.strip():
            faults.add(f"{name!r} is empty", where)
        else:
            good[name] = value
    return good


def _rows(
    rows: Sequence[Any], where: str, keys: Mapping[str, _Key], faults: Faults
) -> list[dict[str, Any]]:
    """Give those rows of an array of tables that are complete."""
    good = []
    for i, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            faults.add("is no table", f"{where} {i}")
            continue
        name = row.get("id") or row.get("name") or row.get("outcome") or i
        entry = _checked(row, f"{where} {name}", keys, faults)
        if all(k in entry for k, key in keys.items() if key.required):
            good.append(entry)
    return good


def _words(table: dict[str, Any], name: str, where: str, faults: Faults) -> tuple[str, ...]:
    words = table.get(name, [])
    if not all(isinstance(w, str) for w in words):
        faults.add(f"{name!r} must list words", where)
        return ()
    return tuple(words)


def _study(top: dict[str, Any], faults: Faults) -> Study | None:
    citation = _checked(top["citation"], "citation", _CITATION, faults)
    if not any(top["citation"].get(name) for name in ("doi", "url", "isbn")):
        faults.add("none of 'doi', 'url' and 'isbn' is given", "citation")
    sources = {name: text for name, text in top["sources"].items() if isinstance(text, str)}
    for name in top["sources"].keys() - sources.keys():
        faults.add(f"{name!r} is no text", "sources")
    values = [
        PopulationValue(**row) for row in _rows(top["population"], "population", _VALUE, faults)
    ]
    claims = [Claim(**row) for row in _rows(top["claims"], "claim", _CLAIM, faults)]
    references = _rows(top.get("references", []), "reference", _REFERENCE, faults)
    _check_provenance(values, claims, sources, faults)
    design = _design(top["design"], values, faults)
    pipeline = _pipeline(top["pipeline"], faults)
    _check_claims(claims, pipeline, design, values, faults)
    if isinstance(design, SchoolSurvey):
        _check_columns(pipeline, design, faults)
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


def _check_provenance(
    values: Sequence[PopulationValue],
    claims: Sequence[Claim],
    sources: Mapping[str, str],
    faults: Faults,
) -> None:
    named = [(f"population {v.name}", v.source) for v in values]
    named += [(f"claim {c.id}", c.source) for c in claims]
    for where, source in named:
        if source not in sources:
            faults.add(f"source {source!r} is not described", where, nearest(source, sources))
    for kind, names in (
        ("population", [v.name for v in values]),
        ("claim", [c.id for c in claims]),
    ):
        for name in sorted({n for n in names if names.count(n) > 1}):
            faults.add(f"{name!r} is given more than once", kind)
    if not claims:
        faults.add("there is no claim", "claims")


def _design(
    table: dict[str, Any], values: Sequence[PopulationValue], faults: Faults
) -> SchoolSurvey | RealData | None:
    real = table.get("kind") == "real-data"
    entry = _checked(table, "design", _REAL if real else _SURVEY, faults)
    given = {v.name: v.value for v in values}
    _check_averages(given, faults)
    if real:
        for name in given.keys() - {*SIZES, *AVERAGES}:
            faults.add(f"unknown value {name!r}", "population", nearest(name, SIZES))
        return RealData(entry["dataset"]) if "dataset" in entry else None
    if len(entry) < len(_SURVEY):
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
    words = {k: _words(entry, k, "design", faults) for k in ("backgrounds", "outcomes", "context")}
    try:
        design = SchoolSurvey(
            schools=counts["schools"],
            teachers=counts["teachers"],
            students=counts["students"],
            construct=entry["construct"],
            items=counts["items"],
            points=counts["points"],
            backgrounds=words["backgrounds"],
            prior=entry["prior"],
            outcomes=words["outcomes"],
            context=words["context"],
        )
    except DesignError as error:
        faults.found.extend(Fault(f.what, "design", f.remedy) for f in error.faults)
        return None
    faults.found.extend(design.check(given))
    return design


def _check_averages(given: Mapping[str, float], faults: Faults) -> None:
    for name, (total, groups) in AVERAGES.items():
        if name in given and given.get(groups) and total in given:
            ratio = given[total] / given[groups]
            if abs(given[name] - ratio) > 0.05:
                text = f"{name!r} is {given[name]:g}, but {total}/{groups} is {ratio:.1f}"
                faults.add(text, "population")


def _pipeline(table: dict[str, Any], faults: Faults) -> Pipeline:
    entry = _checked(table, "pipeline", _PIPELINE, faults)
    scales = _rows(entry.get("scales", []), "scale", _SCALE, faults)
    context = _rows(entry.get("context", []), "context", _CONTEXT, faults)
    levels = _rows(entry.get("levels", []), "levels", _LEVELS, faults)
    models = _rows(entry.get("models", []), "model", _MODEL, faults)
    return Pipeline(
        models=tuple(ModelText(**row) for row in models),
        scales=tuple(
            Scale(
                row["name"],
                _words(row, "items", f"scale {row['name']}", faults),
                row["by"],
                row["standardize"],
            )
            for row in scales
        ),
        context=tuple(Context(**row) for row in context),
        levels=tuple(
            Levels(row["column"], _words(row, "levels", f"levels {row['column']}", faults))
            for row in levels
        ),
    )


def _check_columns(pipeline: Pipeline, design: SchoolSurvey, faults: Faults) -> None:
    students, teachers = design.columns["students"], design.columns["teachers"]
    for scale in pipeline.scales:
        for item in (*scale.items, scale.by):
            if item not in teachers:
                faults.add(
                    f"no teacher column {item!r}", f"scale {scale.name}", nearest(item, teachers)
                )
    for context in pipeline.context:
        if context.column not in students:
            remedy = nearest(context.column, students)
            faults.add(f"no student column {context.column!r}", f"context {context.name}", remedy)
    made = [s.name for s in pipeline.scales] + [c.name for c in pipeline.context]
    for name in made:
        if name in students or made.count(name) > 1:
            faults.add(f"{name!r} is the name of another column", "pipeline")
    columns = [*students, *made]
    for model in pipeline.models:
        for name in _formula_names(model, faults):
            if name not in columns:
                faults.add(f"no column {name!r}", f"model {model.outcome}", nearest(name, columns))


def _formula_names(model: ModelText, faults: Faults) -> tuple[str, ...]:
    where = f"model {model.outcome}"
    try:
        formula = parse(model.formula)
    except FormulaError as error:
        faults.add(str(error), where)
        return ()
    for name in formula.functions:
        if name not in FORMULA_FUNCTIONS:
            allowed = ", ".join(sorted(FORMULA_FUNCTIONS))
            faults.add(f"function {name!r} may not be called", where, f"only {allowed}")
    if formula.response != model.outcome:
        faults.add(f"the formula's outcome is {formula.response!r}", where)
    return tuple(formula.variables)


def _check_claims(
    claims: Sequence[Claim],
    pipeline: Pipeline,
    design: SchoolSurvey | RealData | None,
    values: Sequence[PopulationValue],
    faults: Faults,
) -> None:
    outcomes = [m.outcome for m in pipeline.models]
    names = [v.name for v in values]
    if isinstance(design, RealData):
        for model in pipeline.models:
            _formula_names(model, faults)
    for claim in claims:
        where = f"claim {claim.id}"
        if claim.outcome not in outcomes:
            faults.add(
                f"no model for outcome {claim.outcome!r}", where, nearest(claim.outcome, outcomes)
            )
        if claim.direction == "null" and claim.planted <= 0:
            faults.add("a null claim needs 'planted', the size of effect its controls plant", where)
        if isinstance(design, SchoolSurvey) and claim.effect not in names:
            faults.add(
                f"unknown population value {claim.effect!r}", where, nearest(claim.effect, names)
            )
        for model in pipeline.models:
            if model.outcome == claim.outcome:
                _check_term(claim, model, faults)


def _check_term(claim: Claim, model: ModelText, faults: Faults) -> None:
    """Note a term whose parts ("cses:sector[T.Catholic]" has two) the formula does not name."""
    try:
        variables = parse(model.formula).variables
    except FormulaError:
        return
    for part in claim.term.split(":"):
        name = part.split("[")[0]
        if "(" not in name and name not in variables:
            faults.add(f"no term {claim.term!r}", f"claim {claim.id}", nearest(name, variables))
