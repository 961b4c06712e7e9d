"""What must agree between the parts of a study file: sources, sizes, columns, formulas, claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from teamlink.errors import Faults, FormulaError, nearest
from teamlink.registry.study import Claim, ModelText, Pipeline, PopulationValue, RealData
from teamlink.simulation.design import SchoolSurvey
from teamlink.syntax.formula import parse

__all__ = [
    "AVERAGES",
    "FORMULA_FUNCTIONS",
    "check_averages",
    "check_claims",
    "check_columns",
    "check_provenance",
    "check_real",
]

FORMULA_FUNCTIONS = frozenset({"between", "center", "exp", "log", "scale", "sqrt", "within"})
"""The only functions that a formula in a study file may call."""

AVERAGES = {
    "teachers_per_school": ("teachers", "schools"),
    "students_per_school": ("students", "schools"),
}


def check_provenance(
    values: Sequence[PopulationValue],
    claims: Sequence[Claim],
    sources: Mapping[str, str],
    faults: Faults,
) -> None:
    """Note values and claims without a described source, or given twice, and a lack of claims."""
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


def check_real(pipeline: Pipeline, faults: Faults) -> None:
    """Note parts of a pipeline that a study with real data does not have."""
    for name in ("scales", "context"):
        if getattr(pipeline, name):
            faults.add(
                f"{name!r} is for simulated files; real data are taken as they are", "pipeline"
            )
    if len(pipeline.models) != 1:
        faults.add(f"{len(pipeline.models)} models; real data take exactly one", "pipeline")


def check_averages(given: Mapping[str, float], faults: Faults) -> None:
    """Note averages that are not total over number, to the digits that an average is given with."""
    for name, (total, groups) in AVERAGES.items():
        if name in given and given.get(groups) and total in given:
            ratio = given[total] / given[groups]
            if abs(given[name] - ratio) > 0.05:
                text = f"{name!r} is {given[name]:g}, but {total}/{groups} is {ratio:.1f}"
                faults.add(text, "population")


def check_columns(pipeline: Pipeline, design: SchoolSurvey, faults: Faults) -> None:
    """Note items, columns and formula variables that the study's files do not have."""
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


def check_claims(
    claims: Sequence[Claim],
    pipeline: Pipeline,
    design: SchoolSurvey | RealData | None,
    values: Sequence[PopulationValue],
    faults: Faults,
) -> None:
    """Note claims about outcomes, terms or population values that the study does not have."""
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
