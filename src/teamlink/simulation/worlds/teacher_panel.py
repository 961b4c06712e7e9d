r"""Teachers in schools or teams, surveyed, with the gains of their classes: three files.

Model, for group :math:`g`, teacher :math:`t`, class :math:`k` of n pupils, experience E

.. math::

    w_t &= \sqrt{a}\, c_g + \sqrt{1 - a}\, d_t &&\text{what a teacher meets with, and perceives} \\
    f(E) &= 1 - (1 - \min(E, 10) / 10)^2 &&\text{returns to experience, 1 at ten years} \\
    y_{kt} &= f(E) (\rho + \lambda c_g) + \pi c_g + \omega d_t
        + \textstyle\sum_x (\alpha_x + \eta_x c_g) x_t + \beta z_k
        + u_g + v_t + e_k + \bar r_k / \sqrt{n_k} &&\text{mean gain of a class}

Pupils are not drawn: a class has its mean gain and its size. The quality :math:`c_g` of a group
does not stand in the files; teachers' answers do. Teachers may change groups from year to year.
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

__all__ = ["GROWING_YEARS", "WORLD", "TeacherPanel"]

GROWING_YEARS = 10
"""Years of experience after which nothing more is gained."""


@dataclass(frozen=True, slots=True)
class TeacherPanel:
    """Classes of surveyed teachers, year by year.

    Attributes
    ----------
    groups, teachers, classes : exact totals; each teacher has a class or more, one a year
    group : what a group is: "school", "team"; its file is the plural
    construct : what the survey measures; items are named after it
    items : number of Likert items
    points : number of answer categories, coded 1 .. points
    outcomes : names of the gains
    traits : teachers' characteristics, standard normal
    context : a characteristic of classes, standard normal, that goes with the group

    Examples
    --------
    >>> world = TeacherPanel(groups=30, teachers=120, classes=300, group="team", construct="ties")
    >>> world.columns["classes"]
    ('teacher', 'year', 'team', 'experience', 'pupils', 'poverty', 'math')
    >>> [p.name for p in world.parameters if "ties" in p.name]
    ['ties.poverty', 'math.ties', 'math.own_ties', 'math.returns_ties']
    """

    sizes: ClassVar[tuple[str, ...]] = ("groups", "teachers", "classes", "items", "points")

    groups: int
    teachers: int
    classes: int
    group: str = "school"
    construct: str = "collaboration"
    items: int = 4
    points: int = 5
    outcomes: tuple[str, ...] = ("math",)
    traits: tuple[str, ...] = ()
    context: str = "poverty"
    min_teachers: int = 2

    def __post_init__(self) -> None:
        found = too_few(self, groups=2, items=1, points=2)
        found += too_thin(self, "groups", teachers=self.min_teachers)
        if self.classes < self.teachers:
            found.append(Fault(f"{self.classes} classes are fewer than teachers", "classes"))
        names = [*self.outcomes, *self.traits, self.context, self.group, "teacher", "year"]
        names += ["experience", "pupils"]
        found += [
            Fault(f"{name!r} names two columns", "columns")
            for name in sorted({n for n in names if names.count(n) > 1})
        ]
        if found:
            raise DesignError(found)

    @property
    def item_names(self) -> tuple[str, ...]:
        """Columns of the survey items in the teacher file."""
        return tuple(f"{self.construct}{i}" for i in range(1, self.items + 1))

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns of each of the three files."""
        of_class = ("teacher", "year", self.group, "experience", "pupils", self.context)
        return {
            "classes": (*of_class, *self.outcomes),
            "teachers": (self.group, "teacher", *self.traits, *self.item_names),
            f"{self.group}s": (self.group,),
        }

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """The columns of each file that name its rows."""
        return {
            "classes": ("teacher", "year"),
            "teachers": ("teacher",),
            f"{self.group}s": (self.group,),
        }

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Population values that a draw needs."""
        c = self.construct
        rows = [
            Parameter("sizes.teachers_cv", "coefficient of variation of teachers a group", 0, 1),
            Parameter("sizes.classes_cv", "coefficient of variation of classes a teacher", 0, 1, 0),
            Parameter("classes.pupils", "pupils a class, mean", 1),
            Parameter("experience.mean", "mean experience at a teacher's first class, years", 0.1),
            Parameter("moves.share", "share of teachers who change groups in a year", 0, 0.9, 0.0),
            Parameter(f"{self.context}.{self.group}", f"share of {self.context} between groups", 0,
                      1),
            Parameter(f"{c}.{self.context}", f"correlation of {c} with groups' {self.context}",
                      -0.99, 0.99, 0.0),
            Parameter("survey.agreement", "share of perceptions' variance between groups", 0.001,
                      0.999),
            Parameter("survey.loading", "correlation of an item's answer tendency with perception",
                      0, 1),
            Parameter("survey.mean", "mean perception above the scale's midpoint, SD"),
            Parameter("survey.item_spread", "items' means lie within +- this, SD", 0),
            Parameter("survey.step", "distance of neighbouring answer thresholds, SD", 0.01),
            Parameter("survey.missing", "share of items not answered", 0, 0.9, 0.0),
        ]  # fmt: skip
        for y in self.outcomes:
            rows += self._outcome_parameters(y)
        if len(self.outcomes) > 1:
            meaning = "correlation of the outcomes' effects of groups and of teachers"
            rows.append(Parameter("outcomes.correlation", meaning, 0, 0.999))
        return tuple(rows)

    def _outcome_parameters(self, y: str) -> list[Parameter]:
        c = self.construct
        return [
            Parameter(f"{y}.{c}", f"{y} <- {c} of the group, at entry, SD per SD"),
            Parameter(f"{y}.own_{c}", f"{y} <- a teacher's own {c} beyond the group's, SD per SD",
                      default=0.0),
            Parameter(f"{y}.returns", f"{y} <- ten years of experience, SD"),
            Parameter(f"{y}.returns_{c}", f"how much these returns differ by {c}, SD per SD",
                      default=0.0),
            *(Parameter(f"{y}.{x}", f"{y} <- {x}, SD per SD") for x in self.traits),
            *(Parameter(f"{y}.{x}_{c}", f"how much the effect of {x} differs by {c}, SD per SD",
                        default=0.0) for x in self.traits),
            Parameter(f"{y}.{self.context}", f"{y} <- {self.context} of the class, SD per SD"),
            Parameter(f"{y}.group_sd", "residual SD between groups", 0),
            Parameter(f"{y}.teacher_sd", "residual SD between teachers", 0),
            Parameter(f"{y}.class_sd", "residual SD between classes of a teacher", 0),
            Parameter(f"{y}.pupil_sd", "residual SD of pupils in a class", 0),
        ]  # fmt: skip

    def scaled(self, times: int) -> TeacherPanel:
        """Give the same design with `times` as many groups, teachers and classes."""
        return replace(
            self,
            groups=self.groups * times,
            teachers=self.teachers * times,
            classes=self.classes * times,
        )

    def check(self, population: Mapping[str, float]) -> tuple[Fault, ...]:
        """List what is wrong with `population`."""
        return check_population(self.parameters, population)

    def draw(self, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
        """Draw the three files once."""
        G, m = self.groups, self.teachers
        cv = population["sizes.teachers_cv"]
        home = np.repeat(np.arange(G), spread(m, G, cv, self.min_teachers, rng))
        counts = spread(self.classes, m, population["sizes.classes_cv"], 1, rng)
        counts = counts[rng.permutation(m)]
        rho = population[f"{self.construct}.{self.context}"]
        deprived, free = rng.standard_normal((2, G))
        quality = rho * deprived + np.sqrt(1 - rho**2) * free
        own = rng.standard_normal(m)
        traits = rng.standard_normal((m, len(self.traits)))
        of = np.repeat(np.arange(m), counts)
        year = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
        at = self._attended(population, home, of, year, rng)
        entry = np.floor(-population["experience.mean"] * np.log(rng.random(m)))
        experience = np.minimum(entry, 30.0)[of] + year.astype(float)
        spreads = 0.7 + 0.6 * rng.random(len(of))
        pupils = np.maximum(5, np.rint(population["classes.pupils"] * spreads))
        share = population[f"{self.context}.{self.group}"]
        own_context = rng.standard_normal(len(of))
        context = np.sqrt(share) * deprived[at] + np.sqrt(1 - share) * own_context
        fixed = _Fixed(quality[at], own[of], traits[of], experience, context)
        gains = self._gains(population, fixed, at, of, pupils, rng)
        last = np.empty(m, dtype=np.intp)
        last[of] = at  # rows are in order of years: the last one stays
        answers = self._answers(population, quality[last], own, rng)
        teachers = {self.group: last + 1, "teacher": np.arange(1, m + 1)}
        classes = {"teacher": of + 1, "year": year + 1, self.group: at + 1}
        classes |= {"experience": experience.astype(np.intp), "pupils": pupils.astype(np.intp)}
        return Tables(
            **{
                "classes": pd.DataFrame(classes | {self.context: context} | gains),
                "teachers": pd.DataFrame(
                    teachers | dict(zip(self.traits, traits.T, strict=True)) | answers
                ),
                f"{self.group}s": pd.DataFrame({self.group: np.arange(1, G + 1)}),
            }
        )

    def _attended(
        self,
        population: Mapping[str, float],
        home: Codes,
        of: Codes,
        year: Codes,
        rng: np.random.Generator,
    ) -> Codes:
        """The group of each class: some teachers move on between two years, and stay there."""
        moves = (rng.random(len(of)) < population["moves.share"]) & (year > 0)
        steps = np.where(moves, 1 + np.floor(rng.random(len(of)) * (self.groups - 1)), 0.0)
        total = np.cumsum(steps)
        since = total - total[np.flatnonzero(year == 0)][of]
        at: Codes = (home[of] + since.astype(np.intp)) % self.groups
        return at

    def _answers(
        self,
        population: Mapping[str, float],
        quality: Array,
        own: Array,
        rng: np.random.Generator,
    ) -> dict[str, Array]:
        """Answers by item, nan where there is none."""
        a = population["survey.agreement"]
        answers = likert(
            np.sqrt(a) * quality + np.sqrt(1 - a) * own,
            rng.standard_normal((len(own), self.items)),
            loading=population["survey.loading"],
            points=self.points,
            mean=population["survey.mean"],
            item_spread=population["survey.item_spread"],
            step=population["survey.step"],
        ).astype(float)
        answers[rng.random(answers.shape) < population["survey.missing"]] = np.nan
        return dict(zip(self.item_names, answers.T, strict=True))

    def _gains(
        self,
        population: Mapping[str, float],
        fixed: _Fixed,
        at: Codes,
        of: Codes,
        pupils: Array,
        rng: np.random.Generator,
    ) -> dict[str, Array]:
        """Mean gain of each class in each outcome."""
        r = population.get("outcomes.correlation", 0.0)
        common = rng.standard_normal(self.groups), rng.standard_normal(self.teachers)
        gains = {}
        for y in self.outcomes:
            group, teacher = (
                np.sqrt(r) * z + np.sqrt(1 - r) * rng.standard_normal(len(z)) for z in common
            )
            value = fixed.gain(self, population, y)
            value += population[f"{y}.group_sd"] * group[at]
            value += population[f"{y}.teacher_sd"] * teacher[of]
            value += population[f"{y}.class_sd"] * rng.standard_normal(len(of))
            value += population[f"{y}.pupil_sd"] * rng.standard_normal(len(of)) / np.sqrt(pupils)
            gains[y] = value
        return gains


@dataclass(frozen=True, slots=True, eq=False)
class _Fixed:
    """What the gain of a class depends on, a row a class."""

    quality: Array
    own: Array
    traits: Array
    experience: Array
    context: Array

    def gain(self, world: TeacherPanel, population: Mapping[str, float], y: str) -> Array:
        """The expected gain."""
        c = world.construct
        grown = 1 - (1 - np.minimum(self.experience, GROWING_YEARS) / GROWING_YEARS) ** 2
        returns = population[f"{y}.returns"] + population[f"{y}.returns_{c}"] * self.quality
        value = grown * returns + population[f"{y}.{c}"] * self.quality
        value += population[f"{y}.own_{c}"] * self.own
        value += population[f"{y}.{world.context}"] * self.context
        for x, column in zip(world.traits, self.traits.T, strict=True):
            slope = population[f"{y}.{x}"] + population[f"{y}.{x}_{c}"] * self.quality
            value += slope * column
        return np.asarray(value)


WORLD = TeacherPanel
