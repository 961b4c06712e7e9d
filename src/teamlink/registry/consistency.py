"""What must agree between the parts of a study file: sources, sizes, columns, formulas, claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from teamlink.errors import Faults, nearest
from teamlink.registry.prepared import Layout
from teamlink.registry.study import Claim, Pipeline, PopulationValue, RealData
from teamlink.simulation.world import World

__all__ = [
    "check_averages",
    "check_claims",
    "check_pipeline",
    "check_provenance",
    "check_real",
    "is_average",
]


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
    if any(type(step).__name__ != "LevelsStep" for step in pipeline.steps):
        faults.add(
            "real data are taken as they are; only the step 'levels' is for them", "pipeline"
        )
    if len(pipeline.models) != 1:
        faults.add(f"{len(pipeline.models)} models; real data take exactly one", "pipeline")
    elif pipeline.models[0].kind != "lmm":
        faults.add(f"{pipeline.models[0].kind!r} is not for real data", "pipeline", "use 'lmm'")


def _parts(name: str, given: Mapping[str, float]) -> tuple[str, str] | None:
    """Total and number behind an average: ("students", "schools") for "students_per_school"."""
    total, mark, group = name.partition("_per_")
    found = total, f"{group}s"
    return found if mark and all(n in given for n in found) else None


def is_average(name: str, given: Mapping[str, float]) -> bool:
    """Whether a value is total over number of two given sizes, such as students_per_school.

    Examples
    --------
    >>> is_average("students_per_school", {"students": 2536, "schools": 47})
    True
    """
    return _parts(name, given) is not None


def check_averages(given: Mapping[str, float], faults: Faults) -> None:
    """Note averages that are not total over number, to the digits that an average is given with."""
    for name, value in given.items():
        parts = _parts(name, given)
        if parts is None or not given[parts[1]]:
            continue
        ratio = given[parts[0]] / given[parts[1]]
        if abs(value - ratio) > 0.05:
            text = f"{name!r} is {value:g}, but {parts[0]}/{parts[1]} is {ratio:.1f}"
            faults.add(text, f"population {name}")


def check_pipeline(pipeline: Pipeline, design: World, faults: Faults) -> Layout:
    """Give what the files hold after all steps.

    Columns that steps and models want and the files do not have are noted, and names made twice.
    """
    layout = Layout(design.columns, design.keys)
    for step in pipeline.steps:
        before = layout
        layout, found = step.check(layout)
        faults.found += found
        made = getattr(step, "name", None)
        if made is not None and any(made in columns for columns in before.columns.values()):
            faults.add(f"{made!r} is the name of another column", f"step {made}")
    names = [m.name for m in pipeline.models]
    for name in sorted({n for n in names if names.count(n) > 1}):
        faults.add(f"{name!r} is the name of two models", "pipeline", "give each a 'name'")
    for model in pipeline.models:
        faults.found += model.analysis.faults(layout)
    return layout


def check_claims(
    claims: Sequence[Claim],
    pipeline: Pipeline,
    design: World | RealData | None,
    values: Sequence[PopulationValue],
    layout: Layout | None,
    faults: Faults,
) -> None:
    """Note claims about models, terms or population values that the study does not have."""
    models = [m.name for m in pipeline.models]
    if isinstance(design, RealData):
        for model in pipeline.models:
            faults.found += model.analysis.faults(None)
    for claim in claims:
        where = f"claim {claim.id}"
        answering = pipeline.model(claim.answered_by)
        if answering is None:
            what = "model" if claim.model else "model for outcome"
            faults.add(
                f"no {what} {claim.answered_by!r}", where, nearest(claim.answered_by, models)
            )
        else:
            faults.found += answering.analysis.term_faults(claim, layout)
        if claim.direction == "null" and claim.planted <= 0 and not claim.controls:
            faults.add("a null claim needs 'planted', the size of effect its controls plant", where)
        if claim.scale == "ratio" and claim.magnitude is not None and claim.magnitude <= 0:
            faults.add(f"'magnitude' is {claim.magnitude:g}, but a ratio is positive", where)
        if not 0 < claim.power < 1:
            faults.add(f"'power' is {claim.power:g}, outside 0 .. 1", where)
        if not isinstance(design, RealData) and design is not None:
            _check_values(claim, design, [v.name for v in values], faults)


def _check_values(claim: Claim, design: World, names: Sequence[str], faults: Faults) -> None:
    """Note population values that a claim refers to and the study does not have."""
    where = f"claim {claim.id}"
    if claim.effect not in names:
        faults.add(
            f"unknown population value {claim.effect!r}", where, nearest(claim.effect, names)
        )
    known = [p.name for p in design.parameters]
    for changes in claim.controls:
        for name in changes:
            if name not in known:
                faults.add(f"unknown population value {name!r}", where, nearest(name, known))
    if claim.truth not in ("difference", "estimate"):
        closed = [*known, *closed_forms(design)]
        if claim.truth not in closed:
            text = f"truth={claim.truth!r} is neither a population value nor a closed form"
            faults.add(text, where, nearest(claim.truth, ["difference", "estimate", *closed]))


def closed_forms(design: World) -> tuple[str, ...]:
    """Names of the closed forms that a world offers."""
    return tuple(getattr(design, "closed_forms", ()))
