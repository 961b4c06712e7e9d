"""What a simulated study looks like before any number is drawn: sizes, files, survey, parameters.

A three-file school study has a student file, a teacher file with a survey of several Likert items,
and a school file. The design names its files' columns and says which population values a draw from
it needs; the values themselves come from elsewhere (a registry entry, a power analysis).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from teamlink.errors import DesignError, Fault, nearest
from teamlink.simulation.school_draw import draw
from teamlink.simulation.sizes import too_few, too_thin
from teamlink.simulation.world import Parameter, Tables, check_population

__all__ = ["WORLD", "SchoolSurvey"]


@dataclass(frozen=True, slots=True)
class SchoolSurvey:
    """A study of students, surveyed teachers and schools: three files.

    Attributes
    ----------
    schools, teachers, students : exact totals; teachers and students are spread unequally
    construct : what the survey measures; items are named after it ("collaboration1", ...)
    items : number of Likert items
    points : number of answer categories, coded 1 .. points
    backgrounds : binary student characteristics
    prior : name of the prior achievement score
    outcomes : names of the test scores
    context : student columns whose school means act on the outcomes
    min_teachers, min_students : the smallest school

    Examples
    --------
    >>> design = SchoolSurvey(schools=47, teachers=452, students=2536)
    >>> design.item_names
    ('collaboration1', 'collaboration2', 'collaboration3', 'collaboration4', 'collaboration5')
    >>> design.columns["schools"]
    ('school', 'n_teachers', 'n_students')
    """

    sizes: ClassVar[tuple[str, ...]] = ("schools", "teachers", "students", "items", "points")

    schools: int
    teachers: int
    students: int
    construct: str = "collaboration"
    items: int = 5
    points: int = 5
    backgrounds: tuple[str, ...] = ("frl", "minority", "female")
    prior: str = "prior"
    outcomes: tuple[str, ...] = ("math", "reading")
    context: tuple[str, ...] = ("prior", "frl")
    min_teachers: int = 4
    min_students: int = 15

    def __post_init__(self) -> None:
        if faults := self._faults():
            raise DesignError(faults)

    def _faults(self) -> list[Fault]:
        found = too_few(self, schools=2, items=1, points=2)
        each = {"teachers": self.min_teachers, "students": self.min_students}
        found += too_thin(self, "schools", **each)
        known = (self.prior, *self.backgrounds)
        found += [
            Fault(f"context {name!r} is no student column; {nearest(name, known)}", "context")
            for name in self.context
            if name not in known
        ]
        names = [*self.backgrounds, self.prior, *self.outcomes, "school", "student"]
        found += [
            Fault(f"{name!r} names two student columns", "columns")
            for name in sorted({n for n in names if names.count(n) > 1})
        ]
        return found

    @property
    def item_names(self) -> tuple[str, ...]:
        """Columns of the survey items in the teacher file."""
        return tuple(f"{self.construct}{i}" for i in range(1, self.items + 1))

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns of each of the three files."""
        return {
            "students": ("school", "student", *self.backgrounds, self.prior, *self.outcomes),
            "teachers": ("school", "teacher", *self.item_names),
            "schools": ("school", "n_teachers", "n_students"),
        }

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """The column of each file that names its rows."""
        return {"students": ("student",), "teachers": ("teacher",), "schools": ("school",)}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Population values that a draw needs, in the order of the drawing."""
        return (*self._school_parameters(), *self._student_parameters(), *self._outcome_ones())

    def _school_parameters(self) -> tuple[Parameter, ...]:
        climate = self.construct
        return (
            Parameter("sizes.students_cv", "coefficient of variation of students a school", 0, 1),
            Parameter("sizes.teachers_cv", "coefficient of variation of teachers a school", 0, 1),
            Parameter(
                f"{climate}.disadvantage",
                f"correlation of school {climate} with the school's disadvantage",
                -0.99,
                0.99,
            ),
            Parameter(
                "survey.agreement",
                f"share of the variance of teachers' perceived {climate} between schools",
                0.001,
                0.999,
            ),
            Parameter(
                "survey.loading", "correlation of an item's answer tendency with perception", 0, 1
            ),
            Parameter("survey.mean", "mean perception above the scale's midpoint, SD"),
            Parameter("survey.item_spread", "items' means lie within +- this, SD", 0),
            Parameter("survey.step", "distance of neighbouring answer thresholds, SD", 0.01),
        )

    def _student_parameters(self) -> tuple[Parameter, ...]:
        rows = []
        for name in self.backgrounds:
            rows.append(Parameter(f"{name}.share", f"share of students with {name}", 0.001, 0.999))
            meaning = f"share of the latent variance of {name} that is the school's disadvantage"
            rows.append(Parameter(f"{name}.segregation", meaning, 0, 0.999))
        rows += [
            Parameter(f"{self.prior}.{name}", f"{self.prior} <- {name}, SD")
            for name in self.backgrounds
        ]
        rows.append(Parameter(f"{self.prior}.school_sd", "SD between schools, given background", 0))
        rows.append(Parameter(f"{self.prior}.pupil_sd", "SD within schools, given background", 0))
        return tuple(rows)

    def _outcome_ones(self) -> tuple[Parameter, ...]:
        rows = []
        for name in self.outcomes:
            meaning = f"{name} <- latent school {self.construct}, SD per SD"
            rows.append(Parameter(f"{name}.{self.construct}", meaning))
            rows.append(Parameter(f"{name}.{self.prior}", f"{name} <- {self.prior}, SD per SD"))
            rows += [Parameter(f"{name}.{x}", f"{name} <- {x}, SD") for x in self.backgrounds]
            rows += [
                Parameter(f"{name}.school_{x}", f"{name} <- school mean of {x}, SD per unit")
                for x in self.context
            ]
            rows.append(Parameter(f"{name}.school_sd", "residual SD between schools", 0))
            rows.append(Parameter(f"{name}.pupil_sd", "residual SD within schools", 0))
        if len(self.outcomes) > 1:
            for level in ("school", "pupil"):
                meaning = f"correlation of the outcomes' {level} residuals"
                rows.append(Parameter(f"outcomes.{level}_correlation", meaning, 0, 0.999))
        return tuple(rows)

    def scaled(self, times: int) -> SchoolSurvey:
        """Give the same design with `times` as many schools, teachers and students.

        Examples
        --------
        >>> SchoolSurvey(schools=47, teachers=452, students=2536).scaled(10).teachers
        4520
        """
        return replace(
            self,
            schools=self.schools * times,
            teachers=self.teachers * times,
            students=self.students * times,
        )

    def check(self, population: Mapping[str, float]) -> tuple[Fault, ...]:
        """List what is wrong with `population`: unknown, missing, or out of range.

        Parameters
        ----------
        population : mapping
            Parameter name to value.

        Returns
        -------
        tuple of Fault
            Empty where nothing is wrong.

        Examples
        --------
        >>> design = SchoolSurvey(schools=47, teachers=452, students=2536, backgrounds=("frl",))
        >>> for fault in design.check({"frl.shar": 0.5})[:2]:
        ...     print(fault)
        population: unknown value 'frl.shar' (did you mean 'frl.share'?)
        population: 'sizes.students_cv' is missing (coefficient of variation of students a school)
        """
        return check_population(self.parameters, population)

    def draw(self, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
        """Draw the three files once; see `teamlink.simulation.school_draw`."""
        return draw(self, population, rng).tables()


WORLD = SchoolSurvey
