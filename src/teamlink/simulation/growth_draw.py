r"""Draw a panel of pupils' scores, their schools over time, and the schools' teachers.

Model, for school :math:`j`, construct :math:`c`, pupil :math:`i` tested in round :math:`k` at time
:math:`t_k` in school :math:`j(k)`

.. math::

    (g_j, c_{1j}, c_{2j}) &\sim N(0, R) &&\text{disadvantage, climates} \\
    w_{jct} &= \sqrt{a}\, c_{cj} + \sqrt{1 - a}\, d_{jct} &&\text{a teacher's perception} \\
    s_{ij} &= \mu + \textstyle\sum_x \beta_x \tilde x_i + r_i + v_j
        + \sum_c c_{cj} \left(\gamma_c + \sum_x \gamma_{cx} \tilde x_i\right)
        &&\text{growth a year} \\
    y_{ik} &= \textstyle\sum_x \alpha_x \tilde x_i + b_i + u_{j(k)}
        + \sum_{l \le k} (t_l - t_{l-1})\, s_{i j(l)} + e_{ik} &&\text{score}

with :math:`\tilde x` a background less its mean in the population, so that :math:`\gamma_c` is the
effect averaged over pupils, whatever the groups' own effects. What is learnt between two tests is
learnt in the school of the second; a pupil who moves takes it along. Pupils move within districts.
The climates stay in the `GrowthDraw`; the files do not hold them. Draws come in one fixed order
that does not depend on the effects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import special

from teamlink.simulation.sizes import spread
from teamlink.simulation.survey import likert
from teamlink.simulation.world import Tables
from teamlink.typing import Array, Codes, Mask

if TYPE_CHECKING:
    from teamlink.simulation.worlds.school_growth import SchoolGrowth

__all__ = ["GrowthDraw", "correlations", "draw"]


@dataclass(frozen=True, slots=True, eq=False)
class GrowthDraw:
    """Everything drawn, the latent climates included: for those who check, not who analyse.

    Attributes
    ----------
    design : the design drawn from
    climates : (J, constructs), latent, SD 1
    teachers_of : (m,), school of each teacher, 0 .. J-1
    answers : (m, constructs * items), 1 .. points, nan where not answered
    background : (n, backgrounds), groups as zeros and ones
    school : (n, rounds), the school of each round
    scores : (n, rounds)
    taken : (n, rounds), whether the test was taken
    """

    design: SchoolGrowth
    climates: Array
    teachers_of: Codes
    answers: Array
    background: Array
    school: Codes
    scores: Array
    taken: Mask

    def tables(self) -> Tables:
        """Give the four files, without anything latent."""
        design, taken = self.design, self.taken
        n, T = taken.shape
        times = np.array(list(design.rounds.values()))
        ids, rounds = np.nonzero(taken)
        scores = {
            "student": ids + 1,
            "round": rounds + 1,
            "time": times[rounds],
            "school": self.school[taken] + 1,
            "moved": (self.school != self.school[:, :1])[taken].astype(np.intp),
            design.outcome: self.scores[taken],
        }
        students: dict[str, Array | Codes] = {"student": np.arange(1, n + 1)}
        for name, column in zip(design.backgrounds, self.background.T, strict=True):
            students[name] = column.astype(np.intp) if name in design.groups else column
        m, J = len(self.teachers_of), design.schools
        teachers: dict[str, Array | Codes] = {
            "school": self.teachers_of + 1,
            "teacher": np.arange(1, m + 1),
        }
        teachers |= dict(zip(design.item_names, self.answers.T, strict=True))
        schools = {"school": np.arange(1, J + 1), "district": np.arange(J) // design.district + 1}
        return Tables(
            scores=pd.DataFrame(scores),
            students=pd.DataFrame(students),
            teachers=pd.DataFrame(teachers),
            schools=pd.DataFrame(schools),
        )


def draw(
    design: SchoolGrowth, population: Mapping[str, float], rng: np.random.Generator
) -> GrowthDraw:
    """Draw a panel with its latent climates kept.

    Parameters
    ----------
    design : SchoolGrowth
    population : mapping
        A value for each of `design.parameters`.
    rng : numpy.random.Generator

    Returns
    -------
    GrowthDraw
    """
    J, n = design.schools, design.students
    n_students = spread(n, J, population["sizes.students_cv"], design.min_students, rng)
    cv = population["sizes.teachers_cv"]
    n_teachers = spread(design.teachers, J, cv, design.min_teachers, rng)
    first, teachers_of = np.repeat(np.arange(J), n_students), np.repeat(np.arange(J), n_teachers)
    root = np.linalg.cholesky(correlations(design, population))
    latent = rng.standard_normal((J, 1 + len(design.constructs))) @ root.T
    answers = _answers(design, population, latent[teachers_of, 1:], rng)
    background = _background(design, population, latent[first, 0], rng)
    school = _schools(design, population, first, rng)
    scores = _scores(design, population, latent[:, 1:], background, school, rng)
    missed = rng.random(school.shape)
    moved = school != school[:, :1]
    chance = population["tests.missing"] + population["tests.missing_moved"] * moved
    taken = missed >= chance
    taken[:, 0] = True
    return GrowthDraw(
        design, latent[:, 1:], teachers_of, answers, background, school, scores, taken
    )


def correlations(design: SchoolGrowth, population: Mapping[str, float]) -> Array:
    """Correlations of disadvantage and climates, (1 + constructs) squared."""
    names = design.constructs
    R = np.eye(1 + len(names))
    for i, a in enumerate(names, 1):
        R[0, i] = R[i, 0] = population.get(f"{a}.disadvantage", 0.0)
    for (i, a), (j, b) in combinations(enumerate(names, 1), 2):
        R[i, j] = R[j, i] = population.get(f"{a}.{b}", 0.0)
    return R


def _answers(
    design: SchoolGrowth, population: Mapping[str, float], climates: Array, rng: np.random.Generator
) -> Array:
    """Answers (m, constructs * items) of teachers whose schools have `climates` (m, constructs)."""
    a = population["survey.agreement"]
    perceived = np.sqrt(a) * climates + np.sqrt(1 - a) * rng.standard_normal(climates.shape)
    noise = rng.standard_normal((*climates.shape, design.items))
    unanswered = rng.random((len(climates), climates.shape[1] * design.items))
    answers = np.hstack(
        [
            likert(
                perceived[:, c],
                noise[:, c],
                loading=population["survey.loading"],
                points=design.points,
                mean=population["survey.mean"],
                item_spread=population["survey.item_spread"],
                step=population["survey.step"],
            )
            for c in range(climates.shape[1])
        ]
    ).astype(float)
    answers[unanswered < population["survey.missing"]] = np.nan
    return answers


def _background(
    design: SchoolGrowth, population: Mapping[str, float], deprived: Array, rng: np.random.Generator
) -> Array:
    """Backgrounds (n, k); one common part makes them correlate within schools."""
    k = len(design.backgrounds)
    r = population.get("backgrounds.correlation", 0.0)
    common = rng.standard_normal((len(deprived), 1))
    own = np.sqrt(r) * common + np.sqrt(1 - r) * rng.standard_normal((len(deprived), k))
    s = np.array([population[f"{x}.segregation"] for x in design.backgrounds])
    latent = np.sqrt(1 - s) * own - np.sqrt(s) * deprived[:, None]
    for i, name in enumerate(design.groups):
        latent[:, i] = latent[:, i] < special.ndtri(population[f"{name}.share"])
    return latent


def _schools(
    design: SchoolGrowth, population: Mapping[str, float], first: Codes, rng: np.random.Generator
) -> Codes:
    """The school of each round (n, rounds): some move to another school of their district."""
    T, J = len(design.rounds), design.schools
    moves = rng.random((len(first), T)) < population["moves.share"]
    where = rng.random((len(first), T))
    start = first // design.district * design.district
    size = np.minimum(start + design.district, J) - start
    place = first - start
    schools = np.empty((len(first), T), dtype=np.intp)
    for k in range(T):
        if k:
            steps = 1 + np.floor(where[:, k] * (size - 1)).astype(np.intp)
            place = np.where(moves[:, k], (place + steps) % size, place)
        schools[:, k] = start + place
    # the only school of a district is not left
    return np.where(size[:, None] > 1, schools, first[:, None])


def _scores(
    design: SchoolGrowth,
    population: Mapping[str, float],
    climates: Array,
    background: Array,
    school: Codes,
    rng: np.random.Generator,
) -> Array:
    """Scores (n, rounds)."""
    y, names = design.outcome, design.backgrounds
    n, T = school.shape
    status = population[f"{y}.pupil_sd"] * rng.standard_normal(n)
    rate = population["growth.mean"] + population["growth.pupil_sd"] * rng.standard_normal(n)
    school_status = population[f"{y}.school_sd"] * rng.standard_normal(design.schools)
    school_rate = population["growth.school_sd"] * rng.standard_normal(design.schools)
    error = population[f"{y}.error_sd"] * rng.standard_normal((n, T))
    centred = background - np.array([population.get(f"{x}.share", 0.0) for x in names])
    status += centred @ np.array([population[f"{y}.{x}"] for x in names])
    rate += centred @ np.array([population[f"growth.{x}"] for x in names])
    growth = rate[:, None] + school_rate[school]
    for c, construct in enumerate(design.constructs):
        by = np.array([population[f"growth.{construct}_{x}"] for x in names])
        effect = population[f"growth.{construct}"] + centred @ by
        growth += climates[school, c] * effect[:, None]
    gains = np.diff(list(design.rounds.values()), prepend=0.0) * growth
    scores: Array = status[:, None] + school_status[school] + np.cumsum(gains, axis=1) + error
    return scores
