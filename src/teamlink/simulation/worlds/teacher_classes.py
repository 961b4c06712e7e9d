r"""Teachers with a class each, in schools: a survey of the teachers, the classes' test scores.

For teacher :math:`t` of school :math:`j`, with social capital :math:`c`, ability :math:`a`,
experience :math:`x`

.. math::

    c_{tj} &= \sqrt{s}\, g_j + \sqrt{1 - s}\, d_{tj} \\
    \log Y_{tj} &= \mu + \beta_c c_{tj} + \beta_a a_{tj} + \beta_x x_{tj} + \beta_p p_{tj}
        + u_j + e_{tj}

A score is a mean number of right answers; effects are relative, a change of the logarithm. Each
teacher answers items about ties with colleagues, so social capital is known from one respondent.
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

__all__ = ["WORLD", "TeacherClasses"]


@dataclass(frozen=True, slots=True)
class TeacherClasses:
    """Teachers, each with one class, in schools: one file.

    Attributes
    ----------
    schools, teachers : exact totals; teachers are spread unequally
    items : Likert items of social capital, "capital1" and so on
    points : answer categories, coded 1 .. points
    min_teachers : teachers of the smallest school

    Examples
    --------
    >>> TeacherClasses(schools=130, teachers=1040, items=6, points=5).columns["teachers"][:5]
    ('school', 'teacher', 'ability', 'experience', 'prior')
    """

    sizes: ClassVar[tuple[str, ...]] = ("schools", "teachers", "items", "points")

    schools: int
    teachers: int
    items: int
    points: int
    min_teachers: int = 2

    def __post_init__(self) -> None:
        faults = too_few(self, schools=4, items=2, points=2)
        faults += too_thin(self, "schools", teachers=self.min_teachers)
        if faults:
            raise DesignError(faults)

    @property
    def item_names(self) -> tuple[str, ...]:
        """Columns with the items."""
        return tuple(f"capital{i}" for i in range(1, self.items + 1))

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns of the one file."""
        own = ("school", "teacher", "ability", "experience", "prior", "math")
        return {"teachers": (*own, *self.item_names)}

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """The column that names a row."""
        return {"teachers": ("teacher",)}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Population values that a draw needs."""
        relative = "relative change of the class's score per"
        return (
            Parameter("sizes.teachers_cv", "coefficient of variation of teachers a school", 0, 1),
            Parameter("capital.school_share", "share of its variance between schools", 0, 0.999),
            Parameter("capital.experience", "correlation with experience", -0.9, 0.9),
            Parameter("experience.mean", "years", 1),
            Parameter("ability.missing", "share of teachers without a score of ability", 0, 0.9),
            Parameter("math.level", "score of an average class", 1),
            Parameter("math.capital", f"{relative} SD of social capital", -1, 1),
            Parameter("math.ability", f"{relative} SD of ability", -1, 1),
            Parameter("math.experience", f"{relative} SD of the logarithm of years", -1, 1),
            Parameter("math.prior", f"{relative} SD of the class's prior score", -1, 1),
            Parameter("math.school_sd", "residual SD between schools, relative", 0, 1),
            Parameter("math.class_sd", "residual SD between classes, relative", 0, 1),
            Parameter("survey.loading", "correlation of an item's tendency with capital", 0, 1),
            Parameter("survey.mean", "mean above the scale's midpoint, SD"),
            Parameter("survey.item_spread", "items' means lie within +- this, SD", 0),
            Parameter("survey.step", "distance of neighbouring answer thresholds, SD", 0.01),
            Parameter("survey.missing", "share of answers that are missing", 0, 0.9),
        )

    def scaled(self, times: int) -> TeacherClasses:
        """Give the same world with `times` as many schools and teachers."""
        return replace(self, schools=self.schools * times, teachers=self.teachers * times)

    def check(self, population: Mapping[str, float]) -> tuple[Fault, ...]:
        """List what is wrong with `population`."""
        return check_population(self.parameters, population)

    def draw(self, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
        """Draw the file once."""
        v, J, m = population, self.schools, self.teachers
        of = np.repeat(np.arange(J), spread(m, J, v["sizes.teachers_cv"], self.min_teachers, rng))
        climate, residual = rng.standard_normal((2, J))
        own, ability, years, prior, error = rng.standard_normal((5, m))
        noise, unseen = rng.standard_normal((m, self.items)), rng.random((m, self.items))
        untested = rng.random(m) < v["ability.missing"]
        s, r = v["capital.school_share"], v["capital.experience"]
        capital = np.sqrt(s) * climate[of] + np.sqrt(1 - s) * own
        experience = r * capital + np.sqrt(1 - r**2) * years
        relative = (
            v["math.capital"] * capital
            + v["math.ability"] * ability
            + v["math.experience"] * experience
            + v["math.prior"] * prior
            + v["math.school_sd"] * residual[of]
            + v["math.class_sd"] * error
        )
        answers = likert(
            capital,
            noise,
            loading=v["survey.loading"],
            points=self.points,
            mean=v["survey.mean"],
            item_spread=v["survey.item_spread"],
            step=v["survey.step"],
        )
        seen = np.where(unseen < v["survey.missing"], np.nan, answers)
        table = pd.DataFrame(
            {
                "school": of + 1,
                "teacher": np.arange(1, m + 1),
                "ability": np.where(untested, np.nan, ability),
                # years have a long tail; their logarithm has an SD of 0.7
                "experience": np.ceil(np.exp(np.log(v["experience.mean"]) + 0.7 * experience)),
                "prior": prior,
                "math": v["math.level"] * np.exp(relative),
            }
        )
        items = pd.DataFrame(seen, columns=list(self.item_names), copy=False)
        return Tables(teachers=pd.concat([table, items], axis=1))


WORLD = TeacherClasses
