r"""Schools whose organization is surveyed and whose results are followed over years.

Schools have latent supports (leadership, professional capacity, ...) that correlate, and a trend:

.. math:: s_j \sim N(0, R), \quad \text{slope}_j = \sum_k \beta_k s_{jk} + \sigma u_j, \quad
          y_{jt} = a_j + \text{slope}_j\, t + \tau e_{jt}

Teachers answer items about each support. The files hold their answers and the yearly results.
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
from teamlink.typing import Array

__all__ = ["WORLD", "SchoolTrends"]


@dataclass(frozen=True, slots=True)
class SchoolTrends:
    """Three files: schools, their teachers' answers, and their results of each year.

    Attributes
    ----------
    schools, teachers : exact totals
    supports : what the survey measures; items are named after them ("leadership1", ...)
    years : years of results
    items : items a support
    points : answer categories
    unanswered : share of answers that are missing

    Examples
    --------
    >>> world = SchoolTrends(schools=400, teachers=6000, supports=("leadership", "ties"), items=2)
    >>> world.columns["teachers"]
    ('school', 'teacher', 'leadership1', 'leadership2', 'ties1', 'ties2')
    """

    sizes: ClassVar[tuple[str, ...]] = ("schools", "teachers")

    schools: int
    teachers: int
    supports: tuple[str, ...]
    years: int = 6
    items: int = 3
    points: int = 4
    unanswered: float = 0.05

    def __post_init__(self) -> None:
        faults = too_few(self, schools=8, years=3, items=1, points=2)
        faults += too_thin(self, "schools", teachers=2)
        if len(set(self.supports)) < max(1, len(self.supports)):
            faults.append(Fault("supports need different names, at least one", "supports"))
        if not 0 <= self.unanswered < 1:
            faults.append(Fault(f"{self.unanswered:g} is no share below 1", "unanswered"))
        if faults:
            raise DesignError(faults)

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns of each file."""
        items = tuple(f"{s}{i}" for s in self.supports for i in range(1, self.items + 1))
        return {
            "schools": ("school", "n_teachers"),
            "teachers": ("school", "teacher", *items),
            "results": ("school", "year", "score"),
        }

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """The columns that name a row."""
        return {"schools": ("school",), "teachers": ("teacher",), "results": ("school", "year")}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Population values that a draw needs."""
        paths = (
            Parameter(f"trend.{s}", f"yearly trend <- {s}, SD of trends an SD of schools")
            for s in self.supports
        )
        return (
            *paths,
            Parameter("supports.correlation", "correlation of any two supports", 0, 0.99),
            Parameter("trend.sd", "SD of schools' trends that supports leave unexplained", 0),
            Parameter("score.sd", "SD of schools' first results, in SD of trends", 0),
            Parameter("year.sd", "SD of a year's result about the trend, in SD of trends", 0),
            Parameter(
                "survey.agreement", "share of teachers' perceptions between schools", 0.01, 1
            ),
            Parameter("survey.loading", "correlation of an answer with perception", 0, 1),
            Parameter("sizes.teachers_cv", "variation of teachers a school", 0, 1, default=0.4),
        )

    def check(self, population: Mapping[str, float]) -> tuple[Fault, ...]:
        """List what is wrong with `population`."""
        return check_population(self.parameters, population)

    def scaled(self, times: int) -> SchoolTrends:
        """Give the same world with `times` as many schools."""
        return replace(self, schools=self.schools * times, teachers=self.teachers * times)

    def draw(self, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
        """Draw the files once."""
        p = population
        J, K = self.schools, len(self.supports)
        sizes = spread(self.teachers, J, p["sizes.teachers_cv"], 2, rng)
        common, own = rng.standard_normal((J, 1)), rng.standard_normal((J, K))
        r = p["supports.correlation"]
        supports = np.sqrt(r) * common + np.sqrt(1 - r) * own
        teachers = self._teachers(p, supports, np.repeat(np.arange(J), sizes), rng)
        start, rest = rng.standard_normal(J), rng.standard_normal(J)
        years = rng.standard_normal((J, self.years))
        effects = np.array([p[f"trend.{s}"] for s in self.supports])
        slope = supports @ effects + p["trend.sd"] * rest
        score = p["score.sd"] * start[:, None] + slope[:, None] * np.arange(self.years)
        score += p["year.sd"] * years
        results = pd.DataFrame(
            {
                "school": np.repeat(np.arange(1, J + 1), self.years),
                "year": np.tile(np.arange(self.years), J),
                "score": score.ravel(),
            }
        )
        schools = pd.DataFrame({"school": np.arange(1, J + 1), "n_teachers": sizes})
        return Tables(schools=schools, teachers=teachers, results=results)

    def _teachers(
        self, p: Mapping[str, float], supports: Array, at: Array, rng: np.random.Generator
    ) -> pd.DataFrame:
        """Answers of all teachers, some missing; `at` is each teacher's school."""
        n = len(at)
        between = p["survey.agreement"]
        columns: dict[str, object] = {"school": at + 1, "teacher": np.arange(1, n + 1)}
        for k, name in enumerate(self.supports):
            perception = np.sqrt(between) * supports[at, k]
            perception += np.sqrt(1 - between) * rng.standard_normal(n)
            noise = rng.standard_normal((n, self.items))
            answers = likert(perception, noise, p["survey.loading"], self.points).astype(float)
            answers[rng.random((n, self.items)) < self.unanswered] = np.nan
            columns |= {f"{name}{i + 1}": answers[:, i] for i in range(self.items)}
        return pd.DataFrame(columns)


WORLD = SchoolTrends
