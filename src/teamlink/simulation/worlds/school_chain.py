r"""Schools whose features act on each other along paths; teachers answer questions about some.

For school :math:`j`, its features :math:`z_j` in causal order, teacher :math:`t`, item :math:`i`

.. math::

    z_{jv} &= \sum_{u < v} \beta_{vu} z_{ju} + \sqrt{1 - R^2_v}\, e_{jv}
        &&\text{features, each of variance 1} \\
    w_{tjv} &= \sqrt{a_v}\, z_{jv} + \sqrt{1 - a_v}\,
        (\sqrt{h}\, d_{tj} + \sqrt{1 - h}\, d_{tjv}) &&\text{a teacher's perception} \\
    y^*_{tjvi} &= \mu + \nu_i + \lambda w_{tjv} + \sqrt{1 - \lambda^2}\, \varepsilon_{tjvi}
        &&\text{item, cut into } 1..K \\
    x_{jv} &= \sqrt{r_v}\, z_{jv} + \sqrt{1 - r_v}\, \delta_{jv} &&\text{a report of the school}

Paths are per SD. :math:`R^2_v` follows from the paths into a feature and before it, so that every
feature keeps its variance of 1, and every scale its reliability, whatever the paths are. What
teachers answer about is in no file but by their answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import ClassVar

import numpy as np
import pandas as pd

from teamlink.errors import DesignError, Fault, nearest
from teamlink.simulation.sizes import spread, too_few, too_thin
from teamlink.simulation.survey import likert
from teamlink.simulation.world import Parameter, Tables, check_population
from teamlink.typing import Array, Codes

__all__ = ["WORLD", "SchoolChain", "path_effects"]

LEAST_RESIDUAL = 0.01
"""Least share of a feature's variance that no path explains."""


@dataclass(frozen=True, slots=True)
class SchoolChain:
    """Features of schools in causal order, some surveyed among teachers: two files.

    Attributes
    ----------
    schools, teachers : exact totals; teachers are spread unequally
    items : Likert items for each surveyed feature, named after it ("collaboration1", ...)
    points : answer categories, coded 1 .. points
    variables : features, causes before effects
    surveyed : those that teachers answer items about; the others are columns of the school file
    min_teachers : teachers of the smallest school

    Examples
    --------
    >>> world = SchoolChain(96, 1600, 4, 5, ("leadership", "math"), ("leadership",))
    >>> world.columns["schools"]
    ('school', 'n_teachers', 'math')
    >>> world.item_names["leadership"]
    ('leadership1', 'leadership2', 'leadership3', 'leadership4')
    """

    sizes: ClassVar[tuple[str, ...]] = ("schools", "teachers", "items", "points")

    schools: int
    teachers: int
    items: int
    points: int
    variables: tuple[str, ...]
    surveyed: tuple[str, ...]
    min_teachers: int = 4

    def __post_init__(self) -> None:
        if faults := self._faults():
            raise DesignError(faults)

    def _faults(self) -> list[Fault]:
        found = too_few(self, schools=4, items=2, points=2)
        found += too_thin(self, "schools", teachers=self.min_teachers)
        names = self.variables
        found += [
            Fault(f"{name!r} names two columns", "variables")
            for name in sorted({*names} | {"school", "teacher", "n_teachers"})
            if (*names, "school", "teacher", "n_teachers").count(name) > 1
        ]
        found += [
            Fault(f"{name!r} is no variable", "surveyed", nearest(name, names))
            for name in self.surveyed
            if name not in names
        ]
        return found

    @property
    def reported(self) -> tuple[str, ...]:
        """Features that the school file has a column of."""
        return tuple(name for name in self.variables if name not in self.surveyed)

    @property
    def item_names(self) -> dict[str, tuple[str, ...]]:
        """Columns of the teacher file with the items of each surveyed feature."""
        numbers = range(1, self.items + 1)
        return {name: tuple(f"{name}{i}" for i in numbers) for name in self.surveyed}

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns of the two files."""
        items = (item for names in self.item_names.values() for item in names)
        return {
            "teachers": ("school", "teacher", *items),
            "schools": ("school", "n_teachers", *self.reported),
        }

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """The column of each file that names its rows."""
        return {"teachers": ("teacher",), "schools": ("school",)}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Population values that a draw needs; a path that is not stated is not there."""
        share = "share of the variance of teachers' perceived {} between schools"
        return (
            *(
                Parameter(f"{y}.{x}", f"{y} <- {x}, SD per SD", -0.99, 0.99, default=0.0)
                for x, y in combinations(self.variables, 2)
            ),
            *(
                Parameter(f"{name}.agreement", share.format(name), 0.001, 0.999)
                for name in self.surveyed
            ),
            *(
                Parameter(f"{name}.reliability", f"reliability of a school's {name}", 0.01, 1, 1.0)
                for name in self.reported
            ),
            Parameter("sizes.teachers_cv", "coefficient of variation of teachers a school", 0, 1),
            Parameter("survey.loading", "correlation of an item's tendency with perception", 0, 1),
            Parameter("survey.mean", "mean perception above the scale's midpoint, SD"),
            Parameter("survey.item_spread", "items' means lie within +- this, SD", 0),
            Parameter("survey.step", "distance of neighbouring answer thresholds, SD", 0.01),
            Parameter("survey.missing", "share of answers that are missing", 0, 0.9, 0.0),
            Parameter("survey.halo", "share of disagreement common to all scales", 0, 1, 0.0),
        )

    def scaled(self, times: int) -> SchoolChain:
        """Give the same world with `times` as many schools and teachers."""
        return replace(self, schools=self.schools * times, teachers=self.teachers * times)

    def check(self, population: Mapping[str, float]) -> tuple[Fault, ...]:
        """List what is wrong with `population`; no feature may have a variance above 1."""
        faults = check_population(self.parameters, population)
        if faults:
            return faults
        _, residual = path_effects(self.variables, population)
        return tuple(
            Fault(f"the paths into {name!r} explain more than its variance", f"population {name}")
            for name, variance in zip(self.variables, residual, strict=True)
            if variance < LEAST_RESIDUAL
        )

    def draw(self, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
        """Draw the files once."""
        _, schools, teachers = self._draw(population, rng)
        return Tables(teachers=teachers, schools=schools)

    def _draw(
        self, population: Mapping[str, float], rng: np.random.Generator
    ) -> tuple[Array, pd.DataFrame, pd.DataFrame]:
        """Features (schools, variables) as they are, the school file and the teacher file."""
        J, V = self.schools, len(self.variables)
        cv = population["sizes.teachers_cv"]
        n_teachers = spread(self.teachers, J, cv, self.min_teachers, rng)
        of = np.repeat(np.arange(J), n_teachers)
        noise, report = rng.standard_normal((2, J, V))
        total, residual = path_effects(self.variables, population)
        z = (noise * np.sqrt(residual)) @ total.T
        columns: dict[str, Array | Codes] = {
            "school": np.arange(1, J + 1),
            "n_teachers": n_teachers,
        }
        for v, name in enumerate(self.variables):
            if name in self.reported:
                r = population[f"{name}.reliability"]
                columns[name] = np.sqrt(r) * z[:, v] + np.sqrt(1 - r) * report[:, v]
        return z, pd.DataFrame(columns), self._teachers(population, z, of, rng)

    def _teachers(
        self, population: Mapping[str, float], z: Array, of: Codes, rng: np.random.Generator
    ) -> pd.DataFrame:
        """The teacher file; `of` (teachers,) are their schools."""
        m, items = len(of), self.items
        answers = np.empty((m, items * len(self.surveyed)))
        h, mood = population["survey.halo"], rng.standard_normal(m)
        for k, name in enumerate(self.surveyed):
            own = rng.standard_normal(m)
            noise, unseen = rng.standard_normal((m, items)), rng.random((m, items))
            a = population[f"{name}.agreement"]
            disagreement = np.sqrt(h) * mood + np.sqrt(1 - h) * own
            latent = z[of, self.variables.index(name)]
            block = likert(
                np.sqrt(a) * latent + np.sqrt(1 - a) * disagreement,
                noise,
                loading=population["survey.loading"],
                points=self.points,
                mean=population["survey.mean"],
                item_spread=population["survey.item_spread"],
                step=population["survey.step"],
            )
            seen = unseen >= population["survey.missing"]
            answers[:, k * items : (k + 1) * items] = np.where(seen, block, np.nan)
        names = [item for own in self.item_names.values() for item in own]
        table = pd.DataFrame(answers, columns=names, copy=False)
        table.insert(0, "school", of + 1)
        table.insert(1, "teacher", np.arange(1, m + 1))
        return table


def path_effects(
    variables: tuple[str, ...], population: Mapping[str, float]
) -> tuple[Array, Array]:
    """Total effects along paths, and what they leave of each variable's variance of 1.

    Parameters
    ----------
    variables : tuple of str
        V names, causes before effects.
    population : mapping
        "y.x" to the path from x to y; a path that is not named is zero.

    Returns
    -------
    Array, Array
        (V, V), total effect of the column's variable on the row's, 1 on itself; (V,), residual
        variances, below zero where the paths are too strong.

    Examples
    --------
    >>> paths = {"b.a": 0.5, "c.b": 0.6}
    >>> total, residual = path_effects(("a", "b", "c"), paths)
    >>> total[2].tolist(), residual.round(4).tolist()
    ([0.3, 0.6, 1.0], [1.0, 0.75, 0.64])
    """
    V = len(variables)
    total, residual, R = np.eye(V), np.ones(V), np.eye(V)
    for i, name in enumerate(variables):
        b = np.array([population.get(f"{name}.{x}", 0.0) for x in variables[:i]])
        total[i, :i] = b @ total[:i, :i]
        R[i, :i] = R[:i, i] = R[:i, :i] @ b
        residual[i] = 1 - b @ R[:i, :i] @ b
    return total, residual


WORLD = SchoolChain
