r"""A trial that assigned whole schools within districts: pupils, their teachers, who stays.

For district :math:`d`, school :math:`j`, teacher :math:`t`, pupil :math:`p` and outcome :math:`o`

.. math::

    x_p &= 1\{z_p < \Phi^{-1}(\pi) + 0.6\, w_j\}, \quad
    a_p = 0.2\, v_d + \sigma_a w_j' + \alpha (x_p - \pi) + r_p \\
    Y_{op} &= (\delta_o + \gamma_o m_d)\, T_j + \beta_o a_p + \phi_o x_p
        + u_{oj} + v_{ot} + \varepsilon_{op} \\
    R_t &= 1\{\sqrt{\rho}\, z_j + \sqrt{1 - \rho}\, z_t
        < \Phi^{-1}(\pi_R + \delta_R (T_j - 1/2) + \omega (g_t - 1/2))\}

with poverty x, pretest a, assignment T (half of the schools of each district), m one where mentors
are based in schools, R whether the teacher stays, g whether the teacher is thirty or older. Where
some teachers are the programme's target, the effect in their classes and in other classes differ.
Only some teachers have classes whose scores count. Pupils on the lists who came or left in between
lack a pretest or a score; they come on top of `students`, those with both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy import special

from teamlink.errors import DesignError, Fault
from teamlink.simulation.sizes import spread
from teamlink.simulation.world import Parameter, Tables, check_population
from teamlink.typing import Array, Codes, Mask

__all__ = ["WORLD", "ClusterTrial"]

FEWEST_PUPILS = 4


@dataclass(frozen=True, slots=True)
class ClusterTrial:
    """Schools assigned within districts, their teachers, and the pupils of tested classes.

    Attributes
    ----------
    districts, schools, teachers : in the trial
    students : with a pretest and a score in the first outcome
    outcomes : names of the scores
    grades : grades that tested teachers teach; none for one group
    tested_districts, tested_schools, tested_teachers : those with scores; all where left out
    target : whether some teachers are the programme's target
    mentors : for each district "school-based" or "full-release"; none where it does not matter

    Examples
    --------
    >>> trial = ClusterTrial(2, 20, 40, 600, outcomes=("math",))
    >>> trial.columns["students"]
    ('school', 'teacher', 'student', 'prior', 'frl', 'math')
    """

    sizes: ClassVar[tuple[str, ...]] = ("districts", "schools", "teachers", "students")

    districts: int
    schools: int
    teachers: int
    students: int
    outcomes: tuple[str, ...]
    grades: tuple[str, ...] = ()
    tested_districts: int | None = None
    tested_schools: int | None = None
    tested_teachers: int | None = None
    target: bool = False
    mentors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        faults = []
        if not self.outcomes or len(set(self.outcomes)) < len(self.outcomes):
            faults.append(Fault("one or more names, each once", "outcomes"))
        if not 1 <= self._districts <= self.districts:
            faults.append(Fault("more than districts", "tested_districts"))
        if self.schools < 4 * self.districts:
            faults.append(Fault(f"{self.schools} schools; each district needs four", "schools"))
        if not self._schools <= min(self.schools, self._teachers):
            faults.append(Fault("each tested school needs a tested teacher", "tested_teachers"))
        rest = self.teachers - self._teachers
        if rest < (self.schools if rest else 0):
            faults.append(Fault("too few teachers besides the tested ones", "teachers"))
        if self.students < FEWEST_PUPILS * self._teachers:
            faults.append(Fault(f"each class needs {FEWEST_PUPILS}", "students"))
        if self.mentors and len(self.mentors) != self.districts:
            faults.append(Fault(f"name a kind for each of {self.districts} districts", "mentors"))
        if not set(self.mentors) <= {"school-based", "full-release"}:
            faults.append(Fault("are 'school-based' or 'full-release'", "mentors"))
        if faults:
            raise DesignError(faults)

    @property
    def _districts(self) -> int:
        return self.districts if self.tested_districts is None else self.tested_districts

    @property
    def _schools(self) -> int:
        return self.schools if self.tested_schools is None else self.tested_schools

    @property
    def _teachers(self) -> int:
        return self.teachers if self.tested_teachers is None else self.tested_teachers

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns of each file."""
        schools: tuple[str, ...] = ("school", "district", "treated")
        teachers: tuple[str, ...] = ("school", "teacher", "over30", "retained")
        schools += ("school_based",) if self.mentors else ()
        teachers += ("grade",) if self.grades else ()
        teachers += ("dose",) if self.mentors else ()
        teachers += ("other",) if self.target else ()
        students = ("school", "teacher", "student", "prior", "frl", *self.outcomes)
        return {"students": students, "teachers": teachers, "schools": schools}

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """The columns that name a row."""
        return {"students": ("student",), "teachers": ("teacher",), "schools": ("school",)}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Population values that a draw needs."""
        found = [
            Parameter("sizes.students_cv", "variation of class sizes", 0, 1, default=0.25),
            Parameter("sizes.teachers_cv", "variation of teachers a school", 0, 1, default=0.4),
            Parameter("sizes.moved", "pupils listed without pretest or score", 0, 0.8, default=0.1),
            Parameter("frl.share", "share of pupils in poverty", 0.01, 0.99),
            Parameter("prior.frl", "pretest of poor less other pupils, SD", -2, 2, default=-0.4),
            Parameter("prior.school_sd", "pretest between schools, SD", 0, 2, default=0.3),
            Parameter("retained.share", "share of teachers who stay", 0.01, 0.99, default=0.9),
            Parameter("retained.treated", "difference of that share", -0.2, 0.2, default=0.0),
            Parameter("retained.over30", "the same, of older teachers", -0.2, 0.2, default=0.0),
            Parameter("retained.school", "correlation within schools", 0, 0.9, default=0.0),
        ]
        for o in self.outcomes:
            found += self._outcome(o)
        if self.target:
            found.append(Parameter("target.share", "share of teachers who are target", 0.05, 0.95))
        for d in range(1, self.districts + 1) if self.mentors else ():
            found.append(
                Parameter(f"dose.D{d}", "mean dose above the threshold, teacher SD", -4, 4)
            )
        if self.mentors:
            found.append(Parameter("dose.school_sd", "dose between schools", 0, 0.99, default=0.4))
        return tuple(found)

    def _outcome(self, o: str) -> list[Parameter]:
        found = [
            Parameter(f"{o}.treated", "effect, in target classes if there are such, SD", -1, 1),
            Parameter(f"{o}.prior", "slope of the pretest, SD per SD", -1, 1),
            Parameter(f"{o}.frl", "poor less other pupils, SD", -2, 2, default=-0.1),
            Parameter(f"{o}.school_sd", "residual between schools, SD", 0, 2),
            Parameter(f"{o}.teacher_sd", "residual between classes of a school, SD", 0, 2),
            Parameter(f"{o}.pupil_sd", "residual within classes, SD", 0.01, 2),
            Parameter(f"{o}.untested", "share of classes without this score", 0, 0.9, default=0.0),
        ]
        if self.target:
            found.append(Parameter(f"{o}.treated_other", "effect in other classes, SD", -1, 1))
        if self.mentors:
            meaning = "effect with school-based less full-release mentors, SD"
            found.append(Parameter(f"{o}.school_based", meaning, -1, 1))
        return found

    def scaled(self, times: int) -> ClusterTrial:
        """Give the same trial with `times` as many schools in the same districts."""

        def more(n: int | None) -> int | None:
            return None if n is None else n * times

        return replace(
            self,
            schools=self.schools * times,
            teachers=self.teachers * times,
            students=self.students * times,
            tested_schools=more(self.tested_schools),
            tested_teachers=more(self.tested_teachers),
        )

    def check(self, population: Mapping[str, float]) -> tuple[Fault, ...]:
        """List what is wrong with `population`."""
        return check_population(self.parameters, population)

    def draw(self, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
        """Draw the files once."""
        p = population
        district, treated = self._schools_drawn(rng)
        of_school, tested = self._teachers_drawn(district, p, rng)
        teachers = self._teacher_columns(of_school, district, treated, p, rng)
        schools: dict[str, object] = {
            "school": np.arange(1, self.schools + 1),
            "district": np.array([f"D{d + 1}" for d in range(self.districts)], dtype=object)[district],
            "treated": treated.astype(np.intp),
        }
        if self.mentors:
            based = np.array([kind == "school-based" for kind in self.mentors])[district]
            schools["school_based"] = based.astype(np.intp)
        students = self._students_drawn(of_school, tested, district, treated, teachers, p, rng)
        frames = {"students": students, "teachers": teachers, "schools": schools}
        names = self.columns
        return Tables(
            **{n: pd.DataFrame({c: f[c] for c in names[n]}, copy=False) for n, f in frames.items()}
        )

    def _schools_drawn(self, rng: np.random.Generator) -> tuple[Codes, Mask]:
        """District of each school, and whether it is treated: every second of a random order."""
        sizes = spread(self.schools, self.districts, 0.3, 4, rng)
        district = np.repeat(np.arange(self.districts), sizes)
        order = np.lexsort((rng.uniform(size=self.schools), district))
        start = np.cumsum(sizes) - sizes
        coin = rng.integers(0, 2, self.districts)
        treated = np.empty(self.schools, dtype=np.bool_)
        place = np.arange(self.schools) - start[district]
        treated[order] = (place + coin[district]) % 2 == 0
        return district, treated

    def _teachers_drawn(
        self, district: Codes, p: Mapping[str, float], rng: np.random.Generator
    ) -> tuple[Codes, Mask]:
        """School of each teacher, the tested first, and whether the class is tested."""
        cv = p["sizes.teachers_cv"]
        chance = rng.uniform(size=self.schools) + (district >= self._districts)
        chosen = np.sort(np.argsort(chance, kind="stable")[: self._schools])
        each = spread(self._teachers, self._schools, cv, 1, rng)
        of_school = [np.repeat(chosen, each)]
        rest = self.teachers - self._teachers
        if rest:
            of_school.append(
                np.repeat(np.arange(self.schools), spread(rest, self.schools, cv, 1, rng))
            )
        return np.concatenate(of_school), np.arange(self.teachers) < self._teachers

    def _teacher_columns(
        self,
        of_school: Codes,
        district: Codes,
        treated: Mask,
        p: Mapping[str, float],
        rng: np.random.Generator,
    ) -> dict[str, Array | Codes]:
        n = self.teachers
        older = rng.uniform(size=n) < 0.5
        shared, own = rng.standard_normal(self.schools), rng.standard_normal(n)
        grade = rng.integers(0, max(len(self.grades), 1), n)
        rho = p["retained.school"]
        chance = p["retained.share"] + p["retained.treated"] * (treated[of_school] - 0.5)
        chance = np.clip(chance + p["retained.over30"] * (older - 0.5), 1e-9, 1 - 1e-9)
        tendency = np.sqrt(rho) * shared[of_school] + np.sqrt(1 - rho) * own
        found: dict[str, Array | Codes] = {
            "school": of_school + 1,
            "teacher": np.arange(1, n + 1),
            "over30": older.astype(np.intp),
            "retained": (tendency < special.ndtri(chance)).astype(np.intp),
        }
        if self.grades:
            found["grade"] = np.array(self.grades, dtype=object)[grade]
        if self.target:
            found["other"] = (rng.uniform(size=n) >= p["target.share"]).astype(np.intp)
        if self.mentors:
            between, within = rng.standard_normal(self.schools), rng.standard_normal(n)
            share = p["dose.school_sd"]
            mean = np.array([p[f"dose.D{d}"] for d in range(1, self.districts + 1)])
            dose = mean[district[of_school]] + share * between[of_school]
            dose += np.sqrt(1 - share**2) * within
            found["dose"] = np.where(treated[of_school], dose, np.nan)
        return found

    def _students_drawn(
        self,
        of_school: Codes,
        tested: Mask,
        district: Codes,
        treated: Mask,
        teachers: Mapping[str, Array | Codes],
        p: Mapping[str, float],
        rng: np.random.Generator,
    ) -> dict[str, Array | Codes]:
        classes = int(tested.sum())
        each = spread(self.students, classes, p["sizes.students_cv"], FEWEST_PUPILS, rng)
        moved = round(self.students * p["sizes.moved"] / (1 - p["sizes.moved"]))
        teacher = np.concatenate(
            [np.repeat(np.arange(classes), each), rng.integers(0, classes, moved)]
        )
        n = len(teacher)
        left = np.arange(n) >= self.students + moved // 2
        came = (np.arange(n) >= self.students) & ~left
        school = of_school[teacher]
        poverty = rng.standard_normal(self.schools)
        z = rng.standard_normal((2, n))
        share = p["frl.share"]
        frl = z[0] < np.sqrt(1.36) * special.ndtri(share) + 0.6 * poverty[school]
        place = 0.2 * rng.standard_normal(self.districts)[district]
        place += p["prior.school_sd"] * (0.8 * rng.standard_normal(self.schools) - 0.6 * poverty)
        prior = place[school] + p["prior.frl"] * (frl - share) + 0.9 * z[1]
        found: dict[str, Array | Codes] = {
            "school": school + 1,
            "teacher": teacher + 1,
            "student": np.arange(1, n + 1),
            "prior": np.where(came, np.nan, prior),
            "frl": frl.astype(np.intp),
        }
        for o in self.outcomes:
            u, v = rng.standard_normal(self.schools), rng.standard_normal(classes)
            e, untested = rng.standard_normal(n), rng.uniform(size=classes)
            score = p[f"{o}.prior"] * prior + p[f"{o}.frl"] * (frl - share)
            score += p[f"{o}.school_sd"] * u[school] + p[f"{o}.teacher_sd"] * v[teacher]
            score += p[f"{o}.pupil_sd"] * e
            score += treated[school] * self._effects(o, school, teacher, district, teachers, p)
            gone = left | (untested < p[f"{o}.untested"])[teacher]
            found[o] = np.where(gone, np.nan, score)
        return found

    def _effects(
        self,
        o: str,
        school: Codes,
        teacher: Codes,
        district: Codes,
        teachers: Mapping[str, Array | Codes],
        p: Mapping[str, float],
    ) -> Array | float:
        """Effect of treatment on each pupil."""
        effect: Array | float = p[f"{o}.treated"]
        if self.target:
            other = np.asarray(teachers["other"])[teacher]
            effect = np.where(other == 1, p[f"{o}.treated_other"], effect)
        if self.mentors:
            based = np.array([kind == "school-based" for kind in self.mentors])
            effect = effect + p[f"{o}.school_based"] * (based - based.mean())[district[school]]
        return effect


WORLD = ClusterTrial
