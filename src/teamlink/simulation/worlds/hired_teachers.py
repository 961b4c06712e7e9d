r"""Teachers hired before and after a mentoring programme for those without experience.

For teacher :math:`t` of school :math:`j`, hired after the start (:math:`a = 1`) or before, without
experience (:math:`v = 1`) or with some, and outcome :math:`o`

.. math::

    h_t &= \bar h + \sigma_h (\sqrt{s}\, z_j + \sqrt{1 - s}\, z_t)
        && \text{hours, of teachers with } m_t = a_t v_t = 1 \\
    u_{oj} &= \sigma_o (-\rho z_j + \sqrt{1 - \rho^2}\, z_{oj}) && \text{school} \\
    Y_{ot} &= \beta_o x_t + \alpha_o a_t + \nu_o v_t
        + m_t \{\delta_o + \eta_o (h_t - \bar h)\} + u_{oj}
        + \sqrt{\tau_o^2 + \sigma^2 / n_t}\; e_{ot} && \text{mean score of the class}

Schools whose pupils score lower get more hours (:math:`\rho > 0`): across schools the hours look
useless or harmful, within schools they do not. Scores are drawn as means of a class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from teamlink.errors import DesignError, Fault
from teamlink.simulation.sizes import spread
from teamlink.simulation.world import Parameter, Tables, check_population

__all__ = ["WORLD", "HiredTeachers"]


@dataclass(frozen=True, slots=True)
class HiredTeachers:
    """Newly hired teachers with the mean scores of their classes.

    Attributes
    ----------
    schools, teachers : how many
    outcomes : names of the scores

    Examples
    --------
    >>> HiredTeachers(50, 400, outcomes=("math",)).columns["teachers"][-2:]
    ('prior', 'math')
    """

    sizes: ClassVar[tuple[str, ...]] = ("schools", "teachers")

    schools: int
    teachers: int
    outcomes: tuple[str, ...]

    def __post_init__(self) -> None:
        faults = []
        if self.teachers < 2 * self.schools:
            faults.append(Fault("two teachers a school are needed", "teachers"))
        if not self.outcomes or len(set(self.outcomes)) < len(self.outcomes):
            faults.append(Fault("one or more names, each once", "outcomes"))
        if faults:
            raise DesignError(faults)

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns of the files."""
        before = ("school", "teacher", "novice", "after", "mentored", "tens_of_hours", "n_students")
        return {"teachers": (*before, "prior", *self.outcomes), "schools": ("school", "n_teachers")}

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """The columns that name a row."""
        return {"teachers": ("teacher",), "schools": ("school",)}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Population values that a draw needs."""
        found = [
            Parameter("novice.share", "share hired without experience", 0.05, 0.95),
            Parameter("hours.mean", "hours with the mentor in the year", 0, 500),
            Parameter("hours.sd", "their standard deviation", 0.1, 200),
            Parameter("hours.school", "share of their variance between schools", 0, 0.95),
            Parameter("hours.need", "how far weak schools get more, correlation", -0.95, 0.95),
            Parameter("hours.unrecorded", "share of mentored without a record", 0, 0.9, 0.05),
            Parameter("class.size", "pupils a class", 5, 60, default=24),
            Parameter("pupil.sd", "scores within classes, at the same pretest, SD", 0.1, 2, 0.6),
        ]
        for o in self.outcomes:
            found += [
                Parameter(f"{o}.mentoring", "effect of being mentored at mean hours, SD", -1, 1),
                Parameter(f"{o}.hours", "effect of ten hours more, SD", -1, 1),
                Parameter(f"{o}.novice", "teachers without experience less others, SD", -1, 1),
                Parameter(f"{o}.after", "later less earlier years, SD", -1, 1, default=0.0),
                Parameter(f"{o}.prior", "slope of the class's pretest", -1, 1.2),
                Parameter(f"{o}.school_sd", "between schools, SD", 0, 2),
                Parameter(f"{o}.teacher_sd", "between teachers of a school, SD", 0, 2),
            ]
        return tuple(found)

    def scaled(self, times: int) -> HiredTeachers:
        """Give the same world with `times` as many schools."""
        return replace(self, schools=self.schools * times, teachers=self.teachers * times)

    def check(self, population: Mapping[str, float]) -> tuple[Fault, ...]:
        """List what is wrong with `population`."""
        return check_population(self.parameters, population)

    def draw(self, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
        """Draw the files once."""
        p, n = population, self.teachers
        school = np.repeat(np.arange(self.schools), spread(n, self.schools, 0.5, 2, rng))
        novice = rng.uniform(size=n) < p["novice.share"]
        after = rng.uniform(size=n) < 0.5
        mentored = novice & after
        need, own = rng.standard_normal(self.schools), rng.standard_normal(n)
        share = p["hours.school"]
        extra = np.sqrt(share) * need[school] + np.sqrt(1 - share) * own
        # nobody has negative hours; with a mean of three SD or more this touches hardly anyone
        hours = np.maximum(p["hours.mean"] + p["hours.sd"] * extra, 0.0)
        recorded = mentored & (rng.uniform(size=n) >= p["hours.unrecorded"])
        pupils = np.maximum(5, np.round(p["class.size"] + 3.5 * rng.standard_normal(n)))
        prior = 0.3 * rng.standard_normal(self.schools)[school] + 0.35 * rng.standard_normal(n)
        found: dict[str, object] = {
            "school": school + 1,
            "teacher": np.arange(1, n + 1),
            "novice": novice.astype(np.intp),
            "after": after.astype(np.intp),
            "mentored": mentored.astype(np.intp),
            "tens_of_hours": np.where(recorded, hours / 10, np.nan),
            "n_students": pupils.astype(np.intp),
            "prior": prior,
        }
        rho = p["hours.need"]
        for o in self.outcomes:
            z, e = rng.standard_normal(self.schools), rng.standard_normal(n)
            u = p[f"{o}.school_sd"] * (np.sqrt(1 - rho**2) * z - rho * need)
            spread_of_class = np.sqrt(p[f"{o}.teacher_sd"] ** 2 + p["pupil.sd"] ** 2 / pupils)
            y = p[f"{o}.prior"] * prior + p[f"{o}.after"] * after + p[f"{o}.novice"] * novice
            effect = p[f"{o}.mentoring"] + p[f"{o}.hours"] * (hours - p["hours.mean"]) / 10
            found[o] = y + mentored * effect + u[school] + spread_of_class * e
        schools = {
            "school": np.arange(1, self.schools + 1),
            "n_teachers": np.bincount(school, minlength=self.schools),
        }
        return Tables(teachers=pd.DataFrame(found), schools=pd.DataFrame(schools))


WORLD = HiredTeachers
