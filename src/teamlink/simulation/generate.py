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

The latent climate :math:`c_j` stays in the `World`; the three files do not hold it. Whoever
analyses them must aggregate the survey. Draws come in one fixed order that does not depend on the
effects :math:`\delta, \beta, \gamma`, so that the same seed gives the same schools, teachers,
students and residuals under any effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from teamlink.errors import DesignError
from teamlink.simulation.design import SchoolSurvey
from teamlink.typing import Array, Codes

WIDEST = 3.0
"""Largest coefficient of variation of the gamma weights; beyond, all but a few would be zero."""

__all__ = ["Tables", "World", "draw", "generate", "spread"]


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """The three files of a school study.

    Attributes
    ----------
    students : one row a student; school, student, backgrounds, prior achievement, outcomes
    teachers : one row a teacher; school, teacher, integer answers to the items
    schools : one row a school; school, n_teachers, n_students
    """

    students: pd.DataFrame
    teachers: pd.DataFrame
    schools: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class World:
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
        return Tables(pd.DataFrame(students), pd.DataFrame(teachers), pd.DataFrame(schools))


def generate(
    design: SchoolSurvey, population: Mapping[str, float], rng: np.random.Generator
) -> Tables:
    """Draw the three files of a school study.

    Parameters
    ----------
    design : SchoolSurvey
        Sizes and names.
    population : mapping
        A value for each of `design.parameters`.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Tables
        students (n rows), teachers (m rows), schools (J rows).

    Raises
    ------
    DesignError
        Population values are unknown, missing or out of range; every fault is listed.

    Examples
    --------
    >>> import numpy as np
    >>> import teamlink as tl
    >>> tl.simulate_study("goddard-2007", seed=1).schools["n_students"].sum()
    np.int64(2536)
    """
    return draw(design, population, rng).tables()


def draw(design: SchoolSurvey, population: Mapping[str, float], rng: np.random.Generator) -> World:
    """Draw a `World`: what `generate` gives, with the latent climate kept.

    Parameters, errors: see `generate`.
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
    return World(design, climate, students_of, teachers_of, answers, background, prior, outcomes)


def spread(total: int, groups: int, cv: float, least: int, rng: np.random.Generator) -> Codes:
    """Share `total` members among groups, unequally, each getting `least` or more.

    Parameters
    ----------
    total, groups : int
        What is shared, among how many.
    cv : float
        Coefficient of variation of the part above `least`, drawn from a gamma distribution and
        scaled so that the whole sizes vary by about `cv`, as far as `least` leaves room; 0 for
        sizes as equal as can be.
    least : int
        The smallest size.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray
        (groups,) integers that sum to `total` exactly.

    Examples
    --------
    >>> import numpy as np
    >>> sizes = spread(452, 47, 0.3, 4, np.random.default_rng(1))
    >>> int(sizes.sum()), int(sizes.min()) >= 4
    (452, True)
    >>> spread(11, 4, 0.0, 1, np.random.default_rng(1)).tolist()
    [3, 3, 3, 2]
    """
    free = total - least * groups
    part_cv = min(cv * total / free, WIDEST) if free else 0.0
    weights = rng.gamma(1 / part_cv**2, size=groups) if part_cv > 1e-6 else np.ones(groups)
    ideal = free * weights / weights.sum()
    sizes: Codes = np.floor(ideal).astype(np.intp)
    rest = free - int(sizes.sum())
    sizes[np.argsort(sizes - ideal, kind="stable")[:rest]] += 1
    sizes += least
    return sizes


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
    a, loading = population["survey.agreement"], population["survey.loading"]
    perception = np.sqrt(a) * climate + np.sqrt(1 - a) * rng.standard_normal(len(climate))
    ease = population["survey.item_spread"] * np.linspace(-1, 1, design.items)
    noise = rng.standard_normal((len(climate), design.items))
    tendency = loading * perception[:, None] + np.sqrt(1 - loading**2) * noise
    tendency += population["survey.mean"] + (ease if design.items > 1 else 0.0)
    steps = np.arange(design.points - 1) - (design.points - 2) / 2
    answers: Codes = 1 + np.searchsorted(population["survey.step"] * steps, tendency)
    return answers


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
