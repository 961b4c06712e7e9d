"""A panel of pupils who grow, some of whom change schools, and a survey of teachers: four files.

A pupil's file says who the pupil is, the file of scores which test was taken when and in which
school, the teachers' file what they answered. The drawing stands in
`teamlink.simulation.growth_draw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import ClassVar

import numpy as np

from teamlink.errors import DesignError, Fault
from teamlink.simulation.growth_draw import correlations, draw
from teamlink.simulation.sizes import too_few, too_thin
from teamlink.simulation.world import Parameter, Tables, check_population

__all__ = ["WORLD", "SchoolGrowth"]


@dataclass(frozen=True, slots=True)
class SchoolGrowth:
    """A study of pupils over several rounds of tests, with the survey of their schools' teachers.

    Attributes
    ----------
    schools, teachers, students : exact totals; teachers and students are spread unequally
    rounds : name of each round of tests to its time in years, the first at 0
    constructs : what the survey measures; items are named after it ("collaboration1", ...)
    items : number of Likert items of each construct
    points : number of answer categories, coded 1 .. points
    groups : binary characteristics of pupils
    traits : continuous characteristics of pupils, standard normal
    outcome : name of the test score
    district : schools among which pupils move

    Examples
    --------
    >>> world = SchoolGrowth(
    ...     schools=60, teachers=300, students=400, rounds={"fall": 0.0, "spring": 0.6},
    ...     groups=("immigrant",),
    ... )
    >>> world.columns["scores"]
    ('student', 'round', 'time', 'school', 'moved', 'math')
    >>> [p.name for p in world.parameters if p.name.startswith("growth.collab")]
    ['growth.collaboration', 'growth.collaboration_immigrant']
    """

    sizes: ClassVar[tuple[str, ...]] = ("schools", "teachers", "students", "items", "points")

    schools: int
    teachers: int
    students: int
    rounds: Mapping[str, float] = field(default_factory=dict)
    constructs: tuple[str, ...] = ("collaboration",)
    items: int = 5
    points: int = 5
    groups: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    outcome: str = "math"
    district: int = 4
    min_teachers: int = 2
    min_students: int = 2

    def __post_init__(self) -> None:
        if faults := self._faults():
            raise DesignError(faults)

    def _faults(self) -> list[Fault]:
        found = too_few(self, schools=2, items=1, points=2)
        each = {"teachers": self.min_teachers, "students": self.min_students}
        found += too_thin(self, "schools", **each)
        if self.district < 1:
            found.append(
                Fault(f"{self.district} schools a district; at least 1 is needed", "district")
            )
        times = list(self.rounds.values())
        if len(times) < 2 or times[0] != 0 or not (np.diff(times) > 0).all():
            found.append(
                Fault("growth needs two rounds or more, the first at 0, in order", "rounds")
            )
        if not self.constructs:
            found.append(Fault("the survey measures nothing", "constructs"))
        names = [*self.constructs, *self.groups, *self.traits, self.outcome]
        names += ["student", "round", "time", "school", "moved", "teacher", "district"]
        found += [
            Fault(f"{name!r} names two columns", "columns")
            for name in sorted({n for n in names if names.count(n) > 1})
        ]
        return found

    @property
    def backgrounds(self) -> tuple[str, ...]:
        """Characteristics of pupils, binary ones first."""
        return (*self.groups, *self.traits)

    @property
    def item_names(self) -> tuple[str, ...]:
        """Columns of the survey items, construct by construct."""
        return tuple(f"{c}{i}" for c in self.constructs for i in range(1, self.items + 1))

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns of each of the four files."""
        return {
            "scores": ("student", "round", "time", "school", "moved", self.outcome),
            "students": ("student", *self.backgrounds),
            "teachers": ("school", "teacher", *self.item_names),
            "schools": ("school", "district"),
        }

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """The columns of each file that name its rows."""
        return {
            "scores": ("student", "round"),
            "students": ("student",),
            "teachers": ("teacher",),
            "schools": ("school",),
        }

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Population values that a draw needs."""
        return (*self._school_parameters(), *self._pupil_parameters(), *self._growth_parameters())

    def _school_parameters(self) -> tuple[Parameter, ...]:
        return (
            Parameter("sizes.students_cv", "coefficient of variation of students a school", 0, 1),
            Parameter("sizes.teachers_cv", "coefficient of variation of teachers a school", 0, 1),
            *(
                Parameter(f"{a}.{b}", f"correlation of school {a} and {b}", -0.99, 0.99, 0.0)
                for a, b in combinations(self.constructs, 2)
            ),
            *(
                Parameter(
                    f"{c}.disadvantage", f"correlation of school {c} with disadvantage", -0.99,
                    0.99, 0.0,
                )
                for c in self.constructs
            ),
            Parameter("survey.agreement", "share of perceptions' variance between schools", 0.001,
                      0.999),
            Parameter("survey.loading", "correlation of an item's answer tendency with perception",
                      0, 1),
            Parameter("survey.mean", "mean perception above the scale's midpoint, SD"),
            Parameter("survey.item_spread", "items' means lie within +- this, SD", 0),
            Parameter("survey.step", "distance of neighbouring answer thresholds, SD", 0.01),
            Parameter("survey.missing", "share of items not answered", 0, 0.9, 0.0),
        )  # fmt: skip

    def _pupil_parameters(self) -> tuple[Parameter, ...]:
        rows = [
            Parameter(f"{name}.share", f"share of students with {name}", 0.001, 0.999)
            for name in self.groups
        ]
        for name in self.backgrounds:
            meaning = f"share of the latent variance of {name} that is the school's disadvantage"
            rows.append(Parameter(f"{name}.segregation", meaning, 0, 0.999, 0.0))
        if len(self.backgrounds) > 1:
            meaning = "correlation of backgrounds' latent variables within schools"
            rows.append(Parameter("backgrounds.correlation", meaning, 0, 0.999, 0.0))
        return (
            *rows,
            Parameter("moves.share", "share of students who change school from round to round", 0,
                      0.9),
            Parameter("tests.missing", "share of later tests that a student misses", 0, 0.9),
            Parameter("tests.missing_moved", "share missed by those who moved, beyond that", 0,
                      0.9, 0.0),
        )  # fmt: skip

    def _growth_parameters(self) -> tuple[Parameter, ...]:
        y = self.outcome
        rows = [
            Parameter(f"{y}.school_sd", f"SD of schools in {y}, given background", 0),
            Parameter(f"{y}.pupil_sd", f"SD of students in {y} at the first test", 0),
            Parameter(f"{y}.error_sd", f"SD of a single test of {y}", 0),
            *(Parameter(f"{y}.{x}", f"{y} at the first test <- {x}, SD", default=0.0)
              for x in self.backgrounds),
            Parameter("growth.mean", "mean growth a year, SD"),
            Parameter("growth.school_sd", "SD of schools in growth a year", 0),
            Parameter("growth.pupil_sd", "SD of students in growth a year, within schools", 0),
            *(Parameter(f"growth.{x}", f"growth a year <- {x}, SD", default=0.0)
              for x in self.backgrounds),
        ]  # fmt: skip
        for c in self.constructs:
            meaning = f"growth a year <- latent school {c}, average over students, SD per SD"
            rows.append(Parameter(f"growth.{c}", meaning))
            rows += [
                Parameter(f"growth.{c}_{x}", f"how much the effect of {c} differs by {x}, SD per "
                          "SD", default=0.0)
                for x in self.backgrounds
            ]  # fmt: skip
        return tuple(rows)

    def scaled(self, times: int) -> SchoolGrowth:
        """Give the same design with `times` as many schools, teachers and students."""
        return replace(
            self,
            schools=self.schools * times,
            teachers=self.teachers * times,
            students=self.students * times,
        )

    def check(self, population: Mapping[str, float]) -> tuple[Fault, ...]:
        """List what is wrong with `population`; the correlations must be possible together."""
        faults = check_population(self.parameters, population)
        if not faults and np.linalg.eigvalsh(correlations(self, population)).min() < 1e-9:
            return (Fault("these correlations of schools cannot hold together", "population"),)
        return faults

    def draw(self, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
        """Draw the four files once; see `teamlink.simulation.growth_draw`."""
        return draw(self, population, rng).tables()


WORLD = SchoolGrowth
