r"""Teachers who turn to each other, what they believe together, and how their schools do.

For school :math:`j` with connectedness :math:`g_j`, teachers :math:`s, t`

.. math::

    y_{st} = 1\{\mu + \kappa g_j + \sigma (p_s + q_t) + \sqrt{r}\, m_{\{s,t\}}
        + \sqrt{1 - r}\, e_{st} > 0\}

is whether s names t: p and q are how many one names and how often one is named, m is what the two
share. Connectedness acts on the school's efficacy and efficacy on its achievement, along paths as
in `school_chain`. Some teachers do not fill in the form; what they would have said is in no file.
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
from teamlink.simulation.worlds.school_chain import LEAST_RESIDUAL, path_effects
from teamlink.typing import Array, Codes, Mask

__all__ = ["WORLD", "SchoolNetworks"]

FEATURES = ("poverty", "connectedness", "efficacy", "achievement")


@dataclass(frozen=True, slots=True)
class SchoolNetworks:
    """Schools with the networks of their teachers: five files.

    Who is on the staff and who filled in the form is in `roster`, whom they name in `ties`, what
    they answer in `teachers`, what their students achieve in `results`.

    Attributes
    ----------
    schools, teachers : exact totals; teachers are spread unequally
    items : Likert items of collective efficacy, "efficacy1" and so on
    points : answer categories, coded 1 .. points
    min_teachers : teachers of the smallest school

    Examples
    --------
    >>> world = SchoolNetworks(schools=53, teachers=775, items=5, points=5)
    >>> world.columns["ties"], world.columns["roster"]
    (('school', 'source', 'target'), ('school', 'teacher', 'responded'))
    """

    sizes: ClassVar[tuple[str, ...]] = ("schools", "teachers", "items", "points")

    schools: int
    teachers: int
    items: int
    points: int
    min_teachers: int = 6

    def __post_init__(self) -> None:
        faults = too_few(self, schools=4, items=2, points=2)
        faults += too_thin(self, "schools", teachers=self.min_teachers)
        if faults:
            raise DesignError(faults)

    @property
    def item_names(self) -> tuple[str, ...]:
        """Columns of the teacher file with the items of efficacy."""
        return tuple(f"efficacy{i}" for i in range(1, self.items + 1))

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns of the five files."""
        return {
            "ties": ("school", "source", "target"),
            "roster": ("school", "teacher", "responded"),
            "teachers": ("school", "teacher", *self.item_names),
            "schools": ("school", "n_teachers", "poverty"),
            "results": ("school", "achievement"),
        }

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """The columns of each file that together name its rows."""
        return {
            "ties": ("source", "target"),
            "roster": ("teacher",),
            "teachers": ("teacher",),
            "schools": ("school",),
            "results": ("school",),
        }

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Population values that a draw needs; a path that is not stated is not there."""
        paths = [(y, x) for k, y in enumerate(FEATURES) for x in FEATURES[:k]]
        return (
            *(
                Parameter(f"{y}.{x}", f"{y} <- {x}, SD per SD", -0.99, 0.99, default=0.0)
                for y, x in paths
            ),
            Parameter("sizes.teachers_cv", "coefficient of variation of teachers a school", 0, 1),
            Parameter("ties.level", "tendency to name a colleague, SD above even odds"),
            Parameter("ties.connectedness", "change of that tendency per SD of connectedness", 0),
            Parameter("ties.persons", "SD of teachers' own tendencies to name and be named", 0),
            Parameter("ties.mutual", "correlation of the two directions of a pair", 0, 0.99),
            Parameter("ties.response", "share of teachers who fill in the form", 0.2, 1),
            Parameter(
                "efficacy.agreement", "share of perceived efficacy between schools", 0.001, 1
            ),
            Parameter("survey.loading", "correlation of an item's tendency with perception", 0, 1),
            Parameter("survey.mean", "mean perception above the scale's midpoint, SD"),
            Parameter("survey.item_spread", "items' means lie within +- this, SD", 0),
            Parameter("survey.step", "distance of neighbouring answer thresholds, SD", 0.01),
        )

    def scaled(self, times: int) -> SchoolNetworks:
        """Give the same world with `times` as many schools and teachers."""
        return replace(self, schools=self.schools * times, teachers=self.teachers * times)

    def check(self, population: Mapping[str, float]) -> tuple[Fault, ...]:
        """List what is wrong with `population`; no feature may have a variance above 1."""
        faults = check_population(self.parameters, population)
        if faults:
            return faults
        _, residual = path_effects(FEATURES, population)
        return tuple(
            Fault(f"the paths into {name!r} explain more than its variance", f"population {name}")
            for name, variance in zip(FEATURES, residual, strict=True)
            if variance < LEAST_RESIDUAL
        )

    def draw(self, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
        """Draw the files once."""
        J, m = self.schools, self.teachers
        n = spread(m, J, population["sizes.teachers_cv"], self.min_teachers, rng)
        of = np.repeat(np.arange(J), n)
        total, residual = path_effects(FEATURES, population)
        z = (rng.standard_normal((J, len(FEATURES))) * np.sqrt(residual)) @ total.T
        responded = rng.random(m) < population["ties.response"]
        ties = self._ties(population, z[:, 1], n, responded, rng)
        answers = self._answers(population, z[of, 2], rng)
        person, school = np.arange(1, m + 1), np.arange(1, J + 1)
        roster = pd.DataFrame({"school": of + 1, "teacher": person, "responded": responded})
        teachers = pd.DataFrame(answers[responded], columns=list(self.item_names), copy=False)
        teachers.insert(0, "school", (of + 1)[responded])
        teachers.insert(1, "teacher", person[responded])
        return Tables(
            ties=ties,
            roster=roster,
            teachers=teachers,
            schools=pd.DataFrame({"school": school, "n_teachers": n, "poverty": z[:, 0]}),
            results=pd.DataFrame({"school": school, "achievement": z[:, 3]}),
        )

    def _ties(
        self, population: Mapping[str, float], connected: Array, n: Codes, responded: Mask,
        rng: np.random.Generator,
    ) -> pd.DataFrame:  # fmt: skip
        """The file of ties: a row for each colleague whom someone names."""
        persons = rng.standard_normal((2, self.teachers))
        first, second, school = _pairs(n)
        shared, one, other = rng.standard_normal((3, len(first)))
        r = population["ties.mutual"]
        base = population["ties.level"] + population["ties.connectedness"] * connected[school]
        source, target = np.concatenate([first, second]), np.concatenate([second, first])
        own = np.sqrt(r) * np.tile(shared, 2) + np.sqrt(1 - r) * np.concatenate([one, other])
        spread_of = population["ties.persons"] * (persons[0, source] + persons[1, target])
        named = (np.tile(base, 2) + spread_of + own > 0) & responded[source]
        table = pd.DataFrame(
            {
                "school": np.tile(school, 2)[named] + 1,
                "source": source[named] + 1,
                "target": target[named] + 1,
            }
        )
        return table.sort_values(["source", "target"], ignore_index=True)

    def _answers(
        self, population: Mapping[str, float], efficacy: Array, rng: np.random.Generator
    ) -> Codes:
        """Answers (teachers, items), also those of teachers who do not give them."""
        m, a = self.teachers, population["efficacy.agreement"]
        return likert(
            np.sqrt(a) * efficacy + np.sqrt(1 - a) * rng.standard_normal(m),
            rng.standard_normal((m, self.items)),
            loading=population["survey.loading"],
            points=self.points,
            mean=population["survey.mean"],
            item_spread=population["survey.item_spread"],
            step=population["survey.step"],
        )


def _pairs(n: Codes) -> tuple[Codes, Codes, Codes]:
    """All pairs of teachers of one school, schools of sizes n: the two teachers, the school."""
    start = np.concatenate([[0], np.cumsum(n)[:-1]])
    school = np.repeat(np.arange(len(n)), n)
    person = np.arange(int(n.sum()))
    later = (start + n)[school] - person - 1  # colleagues with a higher number
    first = np.repeat(person, later)
    offset = np.arange(len(first)) - np.repeat(np.cumsum(later) - later, later)
    return first, first + 1 + offset, school[first]


WORLD = SchoolNetworks
