"""What a value-added model was asked for: columns, the formula that they are, and their faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from teamlink.data.schema import as_frame, validate
from teamlink.errors import OptionError
from teamlink.syntax.expression import show_name
from teamlink.syntax.formula import parse
from teamlink.typing import Table

__all__ = ["Request", "fixed_terms", "request"]


@dataclass(frozen=True, slots=True)
class Request:
    """A value-added model in words.

    Attributes
    ----------
    response : left side of the formula: the score, or its gain
    fixed : terms of the fixed part, as a formula has them
    teacher, school, year, student : columns; None for what is not in the model
    nested : teachers' ids count within schools
    yearly : each teacher has an effect of each year beside the lasting one
    """

    response: str
    fixed: tuple[str, ...]
    teacher: str
    school: str | None
    year: str | None
    student: str | None
    nested: bool
    yearly: bool

    @property
    def teacher_factor(self) -> str:
        """Name of the grouping factor of teachers."""
        return f"{self.school}:{self.teacher}" if self.nested else self.teacher

    @property
    def fixed_text(self) -> str:
        """The formula without its random terms."""
        return f"{self.response} ~ {' + '.join(self.fixed) or '1'}"

    @property
    def text(self) -> str:
        """The formula with random effects of teachers, schools and the rest."""
        teacher = show_name(self.teacher)
        school = None if self.school is None else show_name(self.school)
        own = f"{school}:{teacher}" if self.nested else teacher
        groups = [own, *([school] if school else [])]
        if self.yearly and self.year is not None:
            groups.append(f"{own}:{show_name(self.year)}")
        if self.student is not None:
            groups.append(show_name(self.student))
        return " + ".join([self.fixed_text, *(f"(1 | {group})" for group in groups)])

    @property
    def columns(self) -> list[str]:
        """All columns of the table that the model needs."""
        keys = [self.teacher, self.school, self.year, self.student]
        return list(
            dict.fromkeys([*parse(self.fixed_text).variables, *(k for k in keys if k is not None)])
        )


def request(
    data: Table,
    score: str,
    teacher: str,
    school: str | None,
    *,
    prior: str | Sequence[str],
    gain: bool,
    year: str | None,
    student: str | None,
    covariates: str | Sequence[str],
    nested: bool,
    yearly: bool,
) -> tuple[Request, pd.DataFrame]:
    """Check what was asked for, and take its columns from the table.

    Returns
    -------
    Request
    DataFrame
        The columns of the model; rows with missing values are still among them.

    Raises
    ------
    OptionError
        Options that do not go together.
    DataError
        Every fault of the table.
    """
    priors = [prior] if isinstance(prior, str) else list(prior)
    _check_options(priors, gain, school, year, student, nested, yearly)
    _check_parts(score, priors, {"teacher": teacher, "school": school, "student": student})
    frame = as_frame(data)
    response = show_name(score)
    if gain and priors:
        response = f"I({show_name(score, code=True)} - {show_name(priors[0], code=True)})"
    fixed = [] if gain else [show_name(name) for name in priors]
    fixed += fixed_terms(covariates, frame)
    if year is not None:
        fixed.append(f"C({show_name(year, code=True)})")
    made = Request(response, tuple(fixed), teacher, school, year, student, nested, yearly)
    return made, _checked(frame, made, [score, *priors])


def fixed_terms(covariates: str | Sequence[str], frame: pd.DataFrame) -> list[str]:
    """Covariates as terms of a formula: names of columns as they are, other text as it stands.

    Examples
    --------
    >>> fixed_terms(["ses", "school size", "I(ses ** 2)"], pd.DataFrame({"school size": [1]}))
    ['ses', '`school size`', 'I(ses ** 2)']
    """
    given = [covariates] if isinstance(covariates, str) else list(covariates)
    return [show_name(term) if term in frame.columns else term for term in given]


def _check_options(
    priors: Sequence[str],
    gain: bool,
    school: str | None,
    year: str | None,
    student: str | None,
    nested: bool,
    yearly: bool,
) -> None:
    if not gain and not priors:
        raise OptionError(
            "prior: name the lagged score or scores; for a model of gains say gain=True"
        )
    if gain and len(priors) > 1:
        raise OptionError(
            f"prior: a gain is the difference from one score, not from {len(priors)}; give the "
            "others as covariates"
        )
    if nested and school is None:
        raise OptionError("nested: goes with school=, the column of the schools")
    if yearly and year is None:
        raise OptionError("yearly: goes with year=, the column of the years")
    if student is not None and not gain:
        raise OptionError(
            "student: a lagged score holds the student's own effect already, and both together "
            "are biased; leave out student=, or take gain=True"
        )


def _check_parts(score: str, priors: Sequence[str], keys: dict[str, str | None]) -> None:
    """Raise where one column has two parts to play."""
    parts = [("score", score), *(("prior", name) for name in priors)]
    parts += [(part, name) for part, name in keys.items() if name is not None]
    seen: dict[str, str] = {}
    for part, name in parts:
        if name in seen:
            raise OptionError(f"{seen[name]} and {part} are both {name!r}; they differ")
        seen[name] = part


def _checked(frame: pd.DataFrame, made: Request, scores: Sequence[str]) -> pd.DataFrame:
    keys = [k for k in (made.teacher, made.school, made.year, made.student) if k is not None]
    rest = [name for name in made.columns if name not in keys and name not in scores]
    validate(frame, numeric=scores, groups=[*keys, *rest])
    return as_frame(frame, made.columns)
