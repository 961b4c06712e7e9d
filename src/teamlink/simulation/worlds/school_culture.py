r"""Schools with correlated factors of culture, surveyed among teachers, and test results.

For school :math:`j`, its factors :math:`f_j`, and an outcome :math:`y_j`, all of variance 1,

.. math:: f_j \sim N(0, R), \quad y_j = \rho' R^{-1} f_j + \sqrt{1 - \rho' R^{-1} \rho}\; e_j

so that :math:`\rho` are the correlations of the factors with the outcome, whatever the factors have
in common; R has one correlation for all pairs. Teachers answer items about each factor; some
schools return no questionnaires.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from teamlink.errors import DesignError, Fault
from teamlink.simulation.sizes import spread, too_few, too_thin
from teamlink.simulation.survey import likert
from teamlink.simulation.world import Parameter, Tables, check_population
from teamlink.typing import Array, Codes

__all__ = ["WORLD", "SchoolCulture"]

LEAST_RESIDUAL = 0.01
"""Least share of an outcome's variance that the factors leave."""


@dataclass(frozen=True, slots=True)
class SchoolCulture:
    """Two files: schools with their results, and the answers of their teachers.

    Attributes
    ----------
    schools : schools that are asked
    teachers : their teachers, spread unequally
    factors : what the survey measures; items are named after them ("leadership1", ...)
    outcomes : test results of schools
    items : items a factor
    points : answer categories, coded 1 .. points
    unanswered : share of answers that are missing

    Examples
    --------
    >>> world = SchoolCulture(81, 2000, ("leadership", "support"), ("math",), items=2)
    >>> world.columns["teachers"]
    ('school', 'teacher', 'leadership1', 'leadership2', 'support1', 'support2')
    """

    sizes: ClassVar[tuple[str, ...]] = ("schools", "teachers")

    schools: int
    teachers: int
    factors: tuple[str, ...]
    outcomes: tuple[str, ...]
    items: int = 4
    points: int = 6
    unanswered: float = 0.04

    def __post_init__(self) -> None:
        faults = too_few(self, schools=4, items=1, points=2)
        faults += too_thin(self, "schools", teachers=2)
        names = (*self.factors, *self.outcomes)
        for name, own in (("factors", self.factors), ("outcomes", self.outcomes)):
            if not own or len(set(names)) < len(names):
                faults.append(Fault("different names are needed, at least one", name))
        if not 0 <= self.unanswered < 1:
            faults.append(Fault(f"{self.unanswered:g} is no share below 1", "unanswered"))
        if faults:
            raise DesignError(faults)

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns of the two files."""
        items = (f"{f}{i}" for f in self.factors for i in range(1, self.items + 1))
        return {
            "schools": ("school", "n_teachers", *self.outcomes),
            "teachers": ("school", "teacher", *items),
        }

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """The column of each file that names its rows."""
        return {"schools": ("school",), "teachers": ("teacher",)}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Population values that a draw needs; correlations that are not stated are zero."""
        return (
            *(
                Parameter(f"{y}.{f}", f"correlation of {y} and {f} over schools", -0.99, 0.99, 0.0)
                for y in self.outcomes
                for f in self.factors
            ),
            Parameter("factors.correlation", "correlation of any two factors", 0, 0.99),
            Parameter("outcomes.correlation", "same of what factors leave of outcomes", 0, 1),
            Parameter("schools.responding", "share of schools that return answers", 0.05, 1, 1.0),
            Parameter("survey.agreement", "share of perceptions between schools", 0.01, 1),
            Parameter("survey.loading", "correlation of an answer with perception", 0, 1),
            Parameter("sizes.teachers_cv", "variation of teachers a school", 0, 1, 0.4),
        )

    def check(self, population: Mapping[str, float]) -> tuple[Fault, ...]:
        """List what is wrong with `population`; the correlations must be possible together."""
        faults = check_population(self.parameters, population)
        if faults:
            return faults
        left = self._paths(population)[1]
        return tuple(
            Fault(f"the correlations with {name!r} cannot hold together", f"population {name}")
            for name, variance in zip(self.outcomes, left, strict=True)
            if variance < LEAST_RESIDUAL
        )

    def scaled(self, times: int) -> SchoolCulture:
        """Give the same world with `times` as many schools and teachers."""
        return replace(self, schools=self.schools * times, teachers=self.teachers * times)

    def _paths(self, p: Mapping[str, float]) -> tuple[Array, Array]:
        """Regression weights (factors, outcomes), and what they leave of the variance of 1."""
        k, r = len(self.factors), p["factors.correlation"]
        R = np.full((k, k), r) + (1 - r) * np.eye(k)
        rho = np.array([[p.get(f"{y}.{f}", 0.0) for y in self.outcomes] for f in self.factors])
        weights = np.linalg.solve(R, rho)
        return weights, 1 - (rho * weights).sum(axis=0)

    def draw(self, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
        """Draw the files once."""
        p, J = population, self.schools
        sizes = spread(self.teachers, J, p["sizes.teachers_cv"], 2, rng)
        common, own = rng.standard_normal((J, 1)), rng.standard_normal((J, len(self.factors)))
        shared, rest = rng.standard_normal((J, 1)), rng.standard_normal((J, len(self.outcomes)))
        responds = rng.random(J) < p["schools.responding"]
        r, s = p["factors.correlation"], p["outcomes.correlation"]
        factors = np.sqrt(r) * common + np.sqrt(1 - r) * own
        weights, left = self._paths(p)
        results = factors @ weights + np.sqrt(left) * (np.sqrt(s) * shared + np.sqrt(1 - s) * rest)
        columns: dict[str, Array | Codes] = {"school": np.arange(1, J + 1), "n_teachers": sizes}
        columns |= dict(zip(self.outcomes, results.T, strict=True))
        teachers = self._teachers(p, factors, np.repeat(np.arange(J), sizes), rng)
        teachers = teachers[responds[teachers["school"] - 1]].reset_index(drop=True)
        return Tables(schools=pd.DataFrame(columns), teachers=teachers)

    def _teachers(
        self, p: Mapping[str, float], factors: Array, at: Codes, rng: np.random.Generator
    ) -> pd.DataFrame:
        """Answers of all teachers, some missing; `at` (teachers,) is each teacher's school."""
        n, between = len(at), p["survey.agreement"]
        columns: dict[str, Array | Codes] = {"school": at + 1, "teacher": np.arange(1, n + 1)}
        for k, name in enumerate(self.factors):
            perception = np.sqrt(between) * factors[at, k]
            perception += np.sqrt(1 - between) * rng.standard_normal(n)
            noise, unseen = rng.standard_normal((n, self.items)), rng.random((n, self.items))
            answers = likert(perception, noise, p["survey.loading"], self.points).astype(float)
            answers[unseen < self.unanswered] = np.nan
            columns |= {f"{name}{i + 1}": answers[:, i] for i in range(self.items)}
        return pd.DataFrame(columns)


WORLD = SchoolCulture
