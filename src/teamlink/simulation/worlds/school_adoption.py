r"""Schools over years, some of which take up a programme of their own will.

For school :math:`j` in year :math:`t` and subject :math:`s`

.. math::

    q_j &= \Delta (A_j - \bar A) + z_j && \text{what makes schools good, and adopt} \\
    y_{sjt} &= \lambda_{st} + \kappa_s q_j + \gamma_s w_j + \sigma_s a_{sj} + \tau_s c_{sjt}
        + \sigma\, e_{sjt} / \sqrt{n_{jt}} + \delta_s 1\{t \ge g_j\} && \text{mean score} \\
    Y_{ip} &= \delta A_j + \beta\, x_p + u_j + \varepsilon_p && \text{scored work}

with adoption A from year g, poverty w, and n pupils. Quality q is in no file. A comparison of
schools holds :math:`\kappa_s \Delta` besides the programme; changes over years do not. The scored
work comes from visited schools: adopters drawn at random, each with the school without the
programme that is nearest in the first year's scores and poverty. Means of few pupils are withheld.

Scores are drawn as means of a school and year: with school and year effects and the numbers of
pupils the estimator needs no more than these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from teamlink.errors import DesignError, Fault
from teamlink.simulation.sizes import spread
from teamlink.simulation.world import Parameter, Tables, check_population
from teamlink.typing import Array, Codes

__all__ = ["WORLD", "SchoolAdoption"]


@dataclass(frozen=True, slots=True)
class SchoolAdoption:
    """Schools over years with a programme that some take up, and work scored in some of them.

    Attributes
    ----------
    schools, adopters : all, and those that take the programme up
    students : scores over all schools and years
    visited_schools : schools whose pupils' work is scored, half of them adopters
    work_samples : pieces of work scored
    subjects : names of the tests
    first_year, years : first of the years, and how many
    pioneers : adopters in the second year; the others follow in equal parts
    withheld : means of fewer pupils are missing

    Examples
    --------
    >>> world = SchoolAdoption(60, 20, 20_000, 10, 200, subjects=("math",))
    >>> world.columns["panel"]
    ('school', 'year', 'n_students', 'math')
    """

    sizes: ClassVar[tuple[str, ...]] = (
        "schools",
        "adopters",
        "students",
        "visited_schools",
        "work_samples",
    )

    schools: int
    adopters: int
    students: int
    visited_schools: int
    work_samples: int
    subjects: tuple[str, ...]
    first_year: int = 2006
    years: int = 6
    pioneers: int = 0
    withheld: int = 10

    def __post_init__(self) -> None:
        faults = []
        half, odd = divmod(self.visited_schools, 2)
        if odd or half < 2:
            faults.append(Fault("an even number, four or more", "visited_schools"))
        if not half <= self.adopters <= self.schools - half:
            faults.append(Fault("too few adopters or others for the visits", "adopters"))
        if self.years < 3:
            faults.append(Fault(f"{self.years}; at least 3 are needed", "years"))
        if self.students < 4 * self.schools * self.years:
            faults.append(Fault("four a school and year are needed", "students"))
        if self.work_samples < 4 * self.visited_schools:
            faults.append(Fault("four a visited school are needed", "work_samples"))
        if not 0 <= self.pioneers <= self.adopters:
            faults.append(Fault("more than adopters", "pioneers"))
        if not self.subjects or len(set(self.subjects)) < len(self.subjects):
            faults.append(Fault("one or more names, each once", "subjects"))
        if faults:
            raise DesignError(faults)

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns of each file."""
        return {
            "panel": ("school", "year", "n_students", *self.subjects),
            "schools": ("school", "adopted", "first_year", "poverty", "visited"),
            "work": ("school", "student", "prior", "authentic"),
        }

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """The columns that name a row."""
        return {"panel": ("school", "year"), "schools": ("school",), "work": ("student",)}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Population values that a draw needs."""
        found = [
            Parameter("quality.adopters", "quality of adopters above others, school SD", -3, 3),
            Parameter(
                "poverty.adopters", "poverty of adopters above others, school SD", -3, 3, 0.0
            ),
            Parameter("sizes.students_cv", "variation of school sizes", 0, 1.5, default=0.8),
            Parameter("pupil.sd", "scores within a school and year, SD", 0.1, 2, default=0.93),
            Parameter("authentic.adoption", "effect on scored work, SD", -1, 1),
            Parameter("authentic.prior", "slope of earlier achievement", -1, 1),
            Parameter("authentic.school_sd", "residual between schools, SD", 0, 2),
            Parameter("authentic.pupil_sd", "residual within schools, SD", 0.01, 2),
        ]
        for s in self.subjects:
            found += [
                Parameter(f"{s}.adoption", "effect of the programme on the test, SD", -1, 1),
                Parameter(f"{s}.quality", "score per school SD of quality, SD", -1, 1),
                Parameter(f"{s}.poverty", "score per school SD of poverty, SD", -1, 1),
                Parameter(f"{s}.school_sd", "lasting differences of schools besides, SD", 0, 2),
                Parameter(f"{s}.year_sd", "differences of a school's years, SD", 0, 2),
                Parameter(f"{s}.trend", "change of all schools a year, SD", -0.5, 0.5, default=0.0),
            ]
        return tuple(found)

    def scaled(self, times: int) -> SchoolAdoption:
        """Give the same world with `times` as many schools."""
        return replace(
            self,
            schools=self.schools * times,
            adopters=self.adopters * times,
            students=self.students * times,
            visited_schools=self.visited_schools * times,
            work_samples=self.work_samples * times,
            pioneers=self.pioneers * times,
        )

    def check(self, population: Mapping[str, float]) -> tuple[Fault, ...]:
        """List what is wrong with `population`."""
        return check_population(self.parameters, population)

    def draw(self, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
        """Draw the files once."""
        p, J, T = population, self.schools, self.years
        adopted = np.arange(J) < self.adopters
        excess = adopted - adopted.mean()
        quality = p["quality.adopters"] * excess + rng.standard_normal(J)
        poverty = p["poverty.adopters"] * excess + rng.standard_normal(J)
        first = np.where(adopted, self._starts(), np.nan)
        n = self._pupils(p["sizes.students_cv"], rng)
        year = np.arange(T)
        treated = self.first_year + year[None, :] >= first[:, None]
        scores = {}
        for s in self.subjects:
            lasting, shock = rng.standard_normal(J), rng.standard_normal((J, T))
            e = rng.standard_normal((J, T))
            level = p[f"{s}.quality"] * quality + p[f"{s}.poverty"] * poverty
            level += p[f"{s}.school_sd"] * lasting
            y = level[:, None] + p[f"{s}.trend"] * year + p[f"{s}.year_sd"] * shock
            y += p["pupil.sd"] * e / np.sqrt(n) + p[f"{s}.adoption"] * treated
            scores[s] = y
        before = np.column_stack([y[:, 0] for y in scores.values()] + [poverty])
        visited = self._visited(before, adopted, rng)
        order = rng.permutation(J)
        name = np.empty(J, dtype=np.intp)
        name[order] = np.arange(1, J + 1)
        shown = n >= self.withheld
        panel = {
            "school": np.repeat(name, T),
            "year": np.tile(self.first_year + year, J),
            "n_students": n.ravel(),
        } | {s: np.where(shown, y, np.nan).ravel() for s, y in scores.items()}
        schools = {
            "school": name,
            "adopted": adopted.astype(np.intp),
            "first_year": first,
            "poverty": poverty,
            "visited": np.isin(np.arange(J), visited).astype(np.intp),
        }
        before = before[:, :-1].mean(axis=1)
        work = self._work(visited, name, adopted, before, p, rng)
        return Tables(
            panel=pd.DataFrame(panel).sort_values(["school", "year"], ignore_index=True),
            schools=pd.DataFrame(schools).sort_values("school", ignore_index=True),
            work=pd.DataFrame(work),
        )

    def _starts(self) -> Array:
        """First year of each school, were it to adopt: pioneers in the second, others later."""
        later = self.adopters - self.pioneers
        place = np.arange(self.schools) - self.pioneers
        wave = np.where(place < 0, 1, 2 + place * (self.years - 2) // max(later, 1))
        found: Array = (self.first_year + wave).astype(float)
        return found

    def _pupils(self, cv: float, rng: np.random.Generator) -> Codes:
        """Pupils (J, T): a school's number, spread over its years as equally as can be."""
        each = spread(self.students, self.schools, cv, 4 * self.years, rng)
        n: Codes = each[:, None] // self.years + (
            np.arange(self.years)[None, :] < (each % self.years)[:, None]
        )
        return n

    def _visited(self, before: Array, adopted: Array, rng: np.random.Generator) -> Codes:
        """Schools that are visited: adopters at random, then their nearest others."""
        half = self.visited_schools // 2
        ours = np.sort(np.argsort(rng.uniform(size=self.adopters))[:half])
        others = np.flatnonzero(~np.asarray(adopted))
        z = (before - before.mean(axis=0)) / before.std(axis=0)
        _, nearest = linear_sum_assignment(cdist(z[ours], z[others], "sqeuclidean"))
        return np.concatenate([ours, others[nearest]])

    def _work(
        self,
        visited: Codes,
        name: Codes,
        adopted: Array,
        before: Array,
        p: Mapping[str, float],
        rng: np.random.Generator,
    ) -> dict[str, Array | Codes]:
        """Scored work of the visited schools; earlier scores go with the school's first year."""
        each = spread(self.work_samples, len(visited), 0.3, 4, rng)
        school = np.repeat(visited, each)
        u = rng.standard_normal(len(visited))
        e, r = rng.standard_normal((2, len(school)))
        prior = before[school] + p["pupil.sd"] * e
        score = p["authentic.prior"] * prior + p["authentic.adoption"] * adopted[school]
        score += p["authentic.school_sd"] * np.repeat(u, each) + p["authentic.pupil_sd"] * r
        return {
            "school": name[school],
            "student": np.arange(1, len(school) + 1),
            "prior": prior,
            "authentic": score,
        }


WORLD = SchoolAdoption
