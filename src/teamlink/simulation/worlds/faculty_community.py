r"""Facets of professional community, measured on teachers, who work in schools: three levels.

For facet :math:`k` of teacher :math:`t` in school :math:`j`, with :math:`s_j` the school's size
(logarithm of enrolment, standardized) and :math:`f_j` its features, such as trust,

.. math::

    y_{ktj} &= \lambda_k \theta_{tj} + \sigma_e\, e_{ktj} &&\text{measure of a facet} \\
    \theta_{tj} &= c_j + \sigma_t\, r_{tj} &&\text{teacher} \\
    c_j &= \beta_0 s_j + \beta' f_j + \sigma_c\, u_j &&\text{school}

with :math:`\lambda` around 1. Every facet has its own origin at 0. Features are in no file but by
teachers' answers to items about them; larger schools have more teachers. A teacher's mood is no
part of this: what answers about features and facets share is the school.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from teamlink.errors import DesignError, Fault
from teamlink.simulation.sizes import too_few, too_thin
from teamlink.simulation.survey import likert
from teamlink.simulation.world import Parameter, Tables, check_population
from teamlink.typing import Array, Codes

__all__ = ["WORLD", "FacultyCommunity"]

LEAST_TEACHERS = 4


@dataclass(frozen=True, slots=True)
class FacultyCommunity:
    """Three files: schools with their enrolment, teachers' answers, teachers' facet measures.

    Attributes
    ----------
    schools, teachers : exact totals
    features : of schools, rated by teachers on items named after them ("trust1", ...)
    facets : of professional community; one row of the file `measures` each
    items : items a feature
    points : answer categories, coded 1 .. points
    unanswered : share of answers, and of facet measures, that are missing

    Examples
    --------
    >>> world = FacultyCommunity(248, 5690, ("trust",), ("dialogue", "collaboration"), items=2)
    >>> world.columns["measures"], world.columns["teachers"]
    (('school', 'teacher', 'facet', 'score'), ('school', 'teacher', 'trust1', 'trust2'))
    """

    sizes: ClassVar[tuple[str, ...]] = ("schools", "teachers")

    schools: int
    teachers: int
    features: tuple[str, ...]
    facets: tuple[str, ...]
    items: int = 3
    points: int = 4
    unanswered: float = 0.04

    def __post_init__(self) -> None:
        faults = too_few(self, schools=8, items=1, points=2)
        faults += too_thin(self, "schools", teachers=LEAST_TEACHERS)
        for name, own, least in (("features", self.features, 1), ("facets", self.facets, 2)):
            if len(own) < least or len(set(own)) < len(own):
                faults.append(Fault(f"different names are needed, at least {least}", name))
        if not 0 <= self.unanswered < 1:
            faults.append(Fault(f"{self.unanswered:g} is no share below 1", "unanswered"))
        if faults:
            raise DesignError(faults)

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns of each file."""
        items = (f"{f}{i}" for f in self.features for i in range(1, self.items + 1))
        return {
            "schools": ("school", "n_teachers", "enrolment"),
            "teachers": ("school", "teacher", *items),
            "measures": ("school", "teacher", "facet", "score"),
        }

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """The columns that name a row."""
        return {
            "schools": ("school",),
            "teachers": ("teacher",),
            "measures": ("teacher", "facet"),
        }

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Population values that a draw needs."""
        return (
            Parameter("community.size", "community <- an SD of log enrolment"),
            *(Parameter(f"community.{f}", f"community <- an SD of {f}") for f in self.features),
            Parameter("features.correlation", "correlation of any two features", 0, 0.99),
            Parameter("community.school_sd", "SD of schools that nothing explains", 0),
            Parameter("community.teacher_sd", "SD of teachers of a school", 0),
            Parameter("measure.sd", "SD of a measure about the teacher's community", 0.01),
            Parameter("measure.spread", "facets' loadings lie within 1 +- this", 0, 0.9, 0.0),
            Parameter("enrolment.median", "median enrolment", 20),
            Parameter("enrolment.log_sd", "SD of the logarithm of enrolment", 0.05, 1),
            Parameter("survey.agreement", "share of perceptions between schools", 0.01, 1),
            Parameter("survey.loading", "correlation of an answer with perception", 0, 1),
        )

    def check(self, population: Mapping[str, float]) -> tuple[Fault, ...]:
        """List what is wrong with `population`."""
        return check_population(self.parameters, population)

    def scaled(self, times: int) -> FacultyCommunity:
        """Give the same world with `times` as many schools and teachers."""
        return replace(self, schools=self.schools * times, teachers=self.teachers * times)

    def draw(self, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
        """Draw the files once."""
        p, J, K = population, self.schools, len(self.facets)
        size, u = rng.standard_normal((2, J))
        common, own = rng.standard_normal((J, 1)), rng.standard_normal((J, len(self.features)))
        r = p["features.correlation"]
        features = np.sqrt(r) * common + np.sqrt(1 - r) * own
        enrolment = p["enrolment.median"] * np.exp(p["enrolment.log_sd"] * size)
        n_teachers = shared_out(self.teachers, enrolment, LEAST_TEACHERS)
        at = np.repeat(np.arange(J), n_teachers)
        effects = np.array([p[f"community.{f}"] for f in self.features])
        community = p["community.size"] * size + features @ effects + p["community.school_sd"] * u
        theta = community[at] + p["community.teacher_sd"] * rng.standard_normal(self.teachers)
        loading = 1 + p["measure.spread"] * np.linspace(-1, 1, K)
        noise, lost = rng.standard_normal((self.teachers, K)), rng.random((self.teachers, K))
        score = loading * theta[:, None] + p["measure.sd"] * noise
        seen = (lost >= self.unanswered).ravel()
        teacher = np.arange(1, self.teachers + 1)
        measures = pd.DataFrame(
            {
                "school": np.repeat(at + 1, K)[seen],
                "teacher": np.repeat(teacher, K)[seen],
                "facet": np.tile(np.array(self.facets, dtype=object), self.teachers)[seen],
                "score": score.ravel()[seen],
            }
        )
        schools = pd.DataFrame(
            {
                "school": np.arange(1, J + 1),
                "n_teachers": n_teachers,
                "enrolment": np.maximum(np.rint(enrolment), 1.0),
            }
        )
        teachers = self._teachers(p, features, at, rng)
        return Tables(schools=schools, teachers=teachers, measures=measures)

    def _teachers(
        self, p: Mapping[str, float], features: Array, at: Codes, rng: np.random.Generator
    ) -> pd.DataFrame:
        """Answers about the school's features, some missing; `at` is each teacher's school."""
        n, between = len(at), p["survey.agreement"]
        columns: dict[str, Array | Codes] = {"school": at + 1, "teacher": np.arange(1, n + 1)}
        for k, name in enumerate(self.features):
            perception = np.sqrt(between) * features[at, k]
            perception += np.sqrt(1 - between) * rng.standard_normal(n)
            noise, unseen = rng.standard_normal((n, self.items)), rng.random((n, self.items))
            answers = likert(perception, noise, p["survey.loading"], self.points).astype(float)
            answers[unseen < self.unanswered] = np.nan
            columns |= {f"{name}{i + 1}": answers[:, i] for i in range(self.items)}
        return pd.DataFrame(columns)


def shared_out(total: int, weights: Array, least: int) -> Codes:
    """Share `total` among units in proportion to `weights`, each getting `least` or more.

    Examples
    --------
    >>> import numpy as np
    >>> shared_out(20, np.array([1.0, 2.0, 5.0]), 2).tolist()
    [4, 5, 11]
    """
    ideal = (total - least * len(weights)) * weights / weights.sum()
    sizes: Codes = np.floor(ideal).astype(np.intp)
    rest = total - least * len(weights) - int(sizes.sum())
    sizes[np.argsort(sizes - ideal, kind="stable")[:rest]] += 1
    return sizes + least


WORLD = FacultyCommunity
