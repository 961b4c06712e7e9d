r"""Draw a school study: students, teachers' survey answers and schools from population values.

Model, for school :math:`j`, teacher :math:`t`, item :math:`i`, pupil :math:`p`, outcome :math:`o`

.. math::

    (c_j, g_j) &\sim N(0, 1), \quad \mathrm{corr}(c_j, g_j) = \rho
        &&\text{climate, disadvantage} \\
    w_{tj} &= \sqrt{a}\, c_j + \sqrt{1 - a}\, d_{tj}
        &&\text{perception: climate and disagreement} \\
    y^*_{tij} &= \mu + \nu_i + \lambda w_{tj} + \sqrt{1 - \lambda^2}\, e_{tij},
        \quad y_{tij} = 1 + \#\{k : y^*_{tij} > \tau_k\} &&\text{item, } 1..K \\
    x_{pj} &= 1\{\sqrt{s}\, g_j + \sqrt{1 - s}\, z_{pj} < \Phi^{-1}(\pi)\}
        &&\text{background} \\
    a_{pj} &= \sum_x \alpha_x (x_{pj} - \pi_x) + v_j + r_{pj} &&\text{prior achievement} \\
    Y_{opj} &= \delta_o c_j + \beta_o' (a, x)_{pj} + \gamma_o' (\bar a, \bar x)_j
        + u_{oj} + \varepsilon_{opj}

The latent climate :math:`c_j` stays in the `SchoolDraw`; the three files do not hold it. Whoever
analyses them must aggregate the survey. Draws come in one fixed order that does not depend on the
effects :math:`\delta, \beta, \gamma`, so that the same seed gives the same schools, teachers,
students and residuals under any effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import special

from teamlink.errors import DesignError
from teamlink.simulation.sizes import spread
from teamlink.simulation.survey import likert
from teamlink.simulation.world import Tables
from teamlink.typing import Array, Codes

if TYPE_CHECKING:
    from teamlink.simulation.worlds.school_survey import SchoolSurvey

__all__ = ["SchoolDraw", "draw"]


@dataclass(frozen=True, slots=True, eq=False)
class SchoolDraw:
    """Everything drawn, the latent climate included: for those who check, not who analyse.

    Attributes
    ----------
    design : the design drawn from
    climate : (J,), latent school climate in SD
    students_of, teachers_of : (n,) and (m,), school of each student and teacher, 0 .. J-1
    answers : (m, items), integers 1 .. points
    background : (n, number of backgrounds), zeros and ones
    prior : (n,)
    outcomes : (n, number of outcomes)
    """

    design: SchoolSurvey
    climate: Array
    students_of: Codes
    teachers_of: Codes
    answers: Codes
    background: Array
    prior: Array
    outcomes: Array

    def tables(self) -> Tables:
        """Give the three files, without anything latent."""
        design, J = self.design, self.design.schools
        ids = np.arange(1, design.students + 1)
        students: dict[str, Array | Codes] = {"school": self.students_of + 1, "student": ids}
        students |= dict(zip(design.backgrounds, self.background.T.astype(np.intp), strict=True))
        students[design.prior] = self.prior
        students |= dict(zip(design.outcomes, self.outcomes.T, strict=True))
        teachers = {"school": self.teachers_of + 1, "teacher": np.arange(1, design.teachers + 1)}
        teachers |= dict(zip(design.item_names, self.answers.T, strict=True))
        schools = {
            "school": np.arange(1, J + 1),
            "n_teachers": np.bincount(self.teachers_of, minlength=J),
            "n_students": np.bincount(self.students_of, minlength=J),
        }
        return Tables(
            students=pd.DataFrame(students),
            teachers=pd.DataFrame(teachers),
            schools=pd.DataFrame(schools),
        )


def draw(
    design: SchoolSurvey, population: Mapping[str, float], rng: np.random.Generator
) -> SchoolDraw:
    """Draw a school study with its latent climate kept.

    Parameters
    ----------
    design : SchoolSurvey
    population : mapping
        A value for each of `design.parameters`.
    rng : numpy.random.Generator

    Returns
    -------
    SchoolDraw

    Raises
    ------
    DesignError
        Population values are unknown, missing or out of range; every fault is listed.
    """
    faults = design.check(population)
    if faults:
        raise DesignError(faults)
    students_of, teachers_of = _memberships(design, population, rng)
    rho = population[f"{design.construct}.disadvantage"]
    disadvantage = rng.standard_normal(design.schools)
    independent = rng.standard_normal(design.schools)
    climate = rho * disadvantage + np.sqrt(1 - rho**2) * independent
    answers = _survey(design, population, climate[teachers_of], rng)
    background = _backgrounds(design, population, disadvantage[students_of], rng)
    prior = _prior(design, population, background, students_of, rng)
    outcomes = _outcomes(design, population, climate, background, prior, students_of, rng)
    return SchoolDraw(
        design, climate, students_of, teachers_of, answers, background, prior, outcomes
    )


def _memberships(
    design: SchoolSurvey, population: Mapping[str, float], rng: np.random.Generator
) -> tuple[Codes, Codes]:
    J = design.schools
    cv = population["sizes.students_cv"], population["sizes.teachers_cv"]
    # sorted both ways: a school with more students has more teachers
    n_students = np.sort(spread(design.students, J, cv[0], design.min_students, rng))
    n_teachers = np.sort(spread(design.teachers, J, cv[1], design.min_teachers, rng))
    order = rng.permutation(J)
    ids = np.arange(J)
    return np.repeat(ids, n_students[order]), np.repeat(ids, n_teachers[order])


def _survey(
    design: SchoolSurvey, population: Mapping[str, float], climate: Array, rng: np.random.Generator
) -> Codes:
    """Answers (m, items) of teachers whose schools have `climate` (m,)."""
    a = population["survey.agreement"]
    perception = np.sqrt(a) * climate + np.sqrt(1 - a) * rng.standard_normal(len(climate))
    return likert(
        perception,
        rng.standard_normal((len(climate), design.items)),
        loading=population["survey.loading"],
        points=design.points,
        mean=population["survey.mean"],
        item_spread=population["survey.item_spread"],
        step=population["survey.step"],
    )


def _backgrounds(
    design: SchoolSurvey,
    population: Mapping[str, float],
    disadvantage: Array,
    rng: np.random.Generator,
) -> Array:
    columns = np.empty((len(disadvantage), len(design.backgrounds)))
    for k, name in enumerate(design.backgrounds):
        s = population[f"{name}.segregation"]
        own = rng.standard_normal(len(disadvantage))
        latent = np.sqrt(1 - s) * own - np.sqrt(s) * disadvantage
        columns[:, k] = latent < special.ndtri(population[f"{name}.share"])
    return columns


def _prior(
    design: SchoolSurvey,
    population: Mapping[str, float],
    background: Array,
    students_of: Codes,
    rng: np.random.Generator,
) -> Array:
    name = design.prior
    alpha = np.array([population[f"{name}.{x}"] for x in design.backgrounds])
    share = np.array([population[f"{x}.share"] for x in design.backgrounds])
    school = population[f"{name}.school_sd"] * rng.standard_normal(design.schools)
    pupil = population[f"{name}.pupil_sd"] * rng.standard_normal(design.students)
    prior: Array = (background - share) @ alpha + school[students_of] + pupil
    return prior


def _outcomes(
    design: SchoolSurvey,
    population: Mapping[str, float],
    climate: Array,
    background: Array,
    prior: Array,
    students_of: Codes,
    rng: np.random.Generator,
) -> Array:
    own = np.column_stack([prior, background])
    names = (design.prior, *design.backgrounds)
    counts = np.bincount(students_of, minlength=design.schools)
    means = {
        name: np.bincount(students_of, own[:, names.index(name)], design.schools) / counts
        for name in design.context
    }
    school = _correlated("school", design, population, design.schools, rng)
    pupil = _correlated("pupil", design, population, design.students, rng)
    scores = pupil
    for o, outcome in enumerate(design.outcomes):
        beta = np.array([population[f"{outcome}.{x}"] for x in names])
        level2 = school[:, o] + population[f"{outcome}.{design.construct}"] * climate
        for name, mean in means.items():
            level2 = level2 + population[f"{outcome}.school_{name}"] * mean
        scores[:, o] += own @ beta + level2[students_of]
    return scores


def _correlated(
    level: str,
    design: SchoolSurvey,
    population: Mapping[str, float],
    n: int,
    rng: np.random.Generator,
) -> Array:
    """Residuals (n, outcomes) that share one common part."""
    sd = np.array([population[f"{outcome}.{level}_sd"] for outcome in design.outcomes])
    r = population.get(f"outcomes.{level}_correlation", 0.0)
    common = rng.standard_normal((n, 1))
    noise = rng.standard_normal((n, len(design.outcomes)))
    residual: Array = sd * (np.sqrt(r) * common + np.sqrt(1 - r) * noise)
    return residual
