"""The analyst's side of a study: aggregate the survey, add context, fit, read off the claims.

It sees the three files and nothing else. A study has several scenarios (its own effects, and those
of the controls) that differ in the outcomes alone, so scales and design are made once and all
outcomes of all scenarios are fitted on it together, by the same estimation as a single fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from teamlink.data.center import group_means
from teamlink.errors import FitError, StudyError, nearest
from teamlink.inference.refit import refit
from teamlink.measurement import survey_scale
from teamlink.mixed.linear import lmm
from teamlink.registry.study import Claim, Pipeline, Scale
from teamlink.report.comparison import unordered
from teamlink.simulation.generate import Tables
from teamlink.syntax.formula import parse
from teamlink.typing import Array

__all__ = ["FIELDS", "Prepared", "analyse", "coded", "coefficient", "prepare", "read_off"]

FIELDS = ("estimate", "std_error", "df", "p_value", "unit")
"""What `analyse` gives for each claim; `unit` is the SD of the scale that the term is in."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Data as the model takes them.

    Attributes
    ----------
    frame : one row a student, with school scales and context
    units : column to the SD it was divided by; columns not listed were not divided
    """

    frame: pd.DataFrame
    units: dict[str, float]


def prepare(pipeline: Pipeline, tables: Tables) -> Prepared:
    """Aggregate the survey to school scales and students to school context.

    Parameters
    ----------
    pipeline : Pipeline
        Which items make which scale, which columns get a school mean.
    tables : Tables
        The study's files.

    Returns
    -------
    Prepared
    """
    students = tables.students
    columns = {name: students[name] for name in students}
    units: dict[str, float] = {}
    for scale in pipeline.scales:
        scores = _scores(scale, tables.teachers)
        if scale.standardize:
            units[scale.name] = float(scores.std(ddof=1))
            scores = (scores - scores.mean()) / units[scale.name]
        columns[scale.name] = students[scale.by].map(scores)
    if pipeline.context:
        codes, levels = pd.factorize(students["school"])
        for context in pipeline.context:
            values = students[context.column].to_numpy(dtype=float)
            means = group_means(values, codes.astype(np.intp), len(levels))
            columns[context.name] = pd.Series(means[codes], index=students.index)
    return Prepared(coded(pipeline, pd.DataFrame(columns, copy=False)), units)


def coded(pipeline: Pipeline, frame: pd.DataFrame) -> pd.DataFrame:
    """Give categorical columns the levels that the study states, the reference first.

    Raises
    ------
    StudyError
        The column is missing, or holds a level that is not stated.
    """
    new = {}
    for each in pipeline.levels:
        if each.column not in frame:
            remedy = nearest(each.column, frame.columns)
            raise StudyError(f"levels: the data have no column {each.column!r}; {remedy}")
        found = set(frame[each.column].dropna().astype(str))
        if extra := sorted(found - set(each.levels)):
            raise StudyError(f"levels: column {each.column!r} also holds {', '.join(extra)}")
        values = frame[each.column].astype(str).where(frame[each.column].notna())
        new[each.column] = pd.Categorical(values, categories=list(each.levels))
    return frame.assign(**new) if new else frame


def _scores(scale: Scale, teachers: pd.DataFrame) -> pd.Series[float]:
    return survey_scale(teachers, by=scale.by, items=list(scale.items)).scores["score"]


def analyse(pipeline: Pipeline, claims: Sequence[Claim], scenarios: Sequence[Tables]) -> Array:
    """Run the study's analysis on files that differ in the outcomes alone.

    Parameters
    ----------
    pipeline : Pipeline
    claims : sequence of Claim
        C claims.
    scenarios : sequence of Tables
        S scenarios; teachers and the students' other columns are the same in all.

    Returns
    -------
    Array
        (S, C, 5), for each scenario and claim the numbers named in `FIELDS`.

    Raises
    ------
    FitError
        A fit did not converge.
    """
    prepared = prepare(pipeline, scenarios[0])
    result = np.full((len(scenarios), len(claims), len(FIELDS)), np.nan)
    for right, outcomes in _by_right_side(pipeline).items():
        fit = lmm(f"{outcomes[0]} ~ {right}", prepared.frame)
        Y = np.column_stack([s.students[o] for s in scenarios for o in outcomes])
        table = refit(fit, Y)
        for c, claim in enumerate(claims):
            if claim.outcome in outcomes:
                which = np.arange(len(scenarios)) * len(outcomes) + outcomes.index(claim.outcome)
                unit = prepared.units.get(claim.term, 1.0)
                result[:, c, :] = read_off(table, claim.term, unit)[which]
    return result


def _by_right_side(pipeline: Pipeline) -> dict[str, list[str]]:
    """Outcomes that have the same design, by its text."""
    groups: dict[str, list[str]] = {}
    for model in pipeline.models:
        right = str(parse(model.formula)).partition("~")[2].strip()
        groups.setdefault(right, []).append(model.outcome)
    return groups


def read_off(table: pd.DataFrame, term: str, unit: float) -> Array:
    """Read one term off a table of refits.

    Parameters
    ----------
    table : pandas.DataFrame
        From `teamlink.refit`, R responses.
    term : str
        The coefficient; the parts of an interaction may come in either order.
    unit : float
        SD that the term's column was divided by.

    Returns
    -------
    Array
        (R, 5), the numbers named in `FIELDS`.
    """
    rows = table[table["term"] == coefficient(term, table["term"].unique().tolist())]
    if not rows["converged"].all():
        raise FitError(f"the fit did not converge in {int((~rows['converged']).sum())} responses")
    numbers = rows[list(FIELDS[:-1])].to_numpy(dtype=float)
    return np.column_stack([numbers, np.full(len(numbers), unit)])


def coefficient(term: str, names: Sequence[str]) -> str:
    """Find a term among coefficient names, whatever the order of an interaction's parts.

    Examples
    --------
    >>> coefficient("cses:sector[T.Catholic]", ["Intercept", "sector[T.Catholic]:cses"])
    'sector[T.Catholic]:cses'
    """
    for name in names:
        if unordered(name) == unordered(term):
            return name
    raise StudyError(f"the model has no coefficient {term!r}; {nearest(term, names)}")
