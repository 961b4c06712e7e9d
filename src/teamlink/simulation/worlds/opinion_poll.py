r"""A poll of teachers and principals that reaches some kinds of schools better than others.

The population has strata (kinds of schools) of equal size. A respondent of stratum :math:`h` says
yes with

.. math:: p_h = p + 4 s\, p (1 - p)\, z_h

where the :math:`z_h` are equally spaced with mean 0 and variance 1, so that :math:`p` is the share
in the population and :math:`s` the SD between strata of a share near one half. Strata differ in how
well they are reached; the weight in the file is the inverse. Some answers are missing, more in
strata with higher shares.

Whether a school collaborates more or less does not depend on the stratum. Hours of collaboration
lie below 3 with a density that rises from 0 (mean 2), or are 3 and an exponential rest whose mean
gives all hours theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from teamlink.errors import DesignError, Fault, nearest
from teamlink.simulation.sizes import too_few
from teamlink.simulation.world import Parameter, Tables, check_population
from teamlink.typing import Array, Mask

__all__ = ["WORLD", "OpinionPoll"]

ASKED = {
    "agreement": ("agree", "strongly"),
    "yes": ("yes",),
    "by role": ("teachers", "principals"),
    "by collaboration": ("more", "less"),
}
"""How an item is asked, and the population shares that it then has."""

LONG, SHORT_MEAN = 3.0, 2.0
MOST_SPREAD = 0.15


@dataclass(frozen=True, slots=True)
class OpinionPoll:
    """One file: respondents, their weight, role, hours of collaboration, and answers.

    Attributes
    ----------
    teachers, principals : respondents
    items : how each is asked: "agreement" (1 strongly disagree .. 4 strongly agree), "yes" (1 or
        0), "by role" (same; shares differ between teachers and principals), "by collaboration"
        (same; shares differ between schools with more and with less collaboration). Principals
        answer those "by role" alone
    strata : kinds of schools; in no file but by the weights
    unanswered : share of answers that are missing

    Examples
    --------
    >>> world = OpinionPoll(1003, 500, {"trust": "by collaboration"})
    >>> world.columns["respondents"]
    ('respondent', 'role', 'weight', 'collaboration', 'hours', 'trust')
    """

    sizes: ClassVar[tuple[str, ...]] = ("teachers", "principals")

    teachers: int
    principals: int
    items: Mapping[str, str]
    strata: int = 4
    unanswered: float = 0.03

    def __post_init__(self) -> None:
        faults = too_few(self, teachers=2, principals=2, strata=2)
        faults += [
            Fault(f"{item!r} is asked {how!r}", "items", nearest(how, ASKED))
            for item, how in self.items.items()
            if how not in ASKED
        ]
        if not 0 <= self.unanswered <= 0.5:
            faults.append(Fault(f"{self.unanswered:g} is no share up to a half", "unanswered"))
        if faults:
            raise DesignError(faults)

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns of the one file."""
        first = ("respondent", "role", "weight", "collaboration", "hours")
        return {"respondents": (*first, *self.items)}

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """The column that names a row."""
        return {"respondents": ("respondent",)}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Population values that a draw needs."""
        shares = (
            Parameter(f"{item}.{part}", f"share of {item}, {part}", 0, 1)
            for item, how in self.items.items()
            for part in ASKED[how]
        )
        return (
            *shares,
            Parameter("hours.above", "share of teachers above 3 hours of collaboration", 0.01, 1),
            Parameter("hours.mean", "mean hours of collaboration of teachers", 0),
            Parameter("collaboration.more", "share of schools with more collaboration", 0.01, 0.99),
            Parameter("strata.spread", "SD between strata of a share near a half", 0, MOST_SPREAD),
            Parameter("strata.reached", "how many times as well the best stratum is reached", 1),
        )

    def check(self, population: Mapping[str, float]) -> tuple[Fault, ...]:
        """List what is wrong with `population`: shares that are not nested, hours too few."""
        faults = check_population(self.parameters, population)
        if faults:
            return faults
        more = [
            Fault(f"more agree strongly with {item!r} than agree", f"population {item}")
            for item, how in self.items.items()
            if how == "agreement" and population[f"{item}.strongly"] > population[f"{item}.agree"]
        ]
        if _rest(population) < 0:
            text = f"a mean below {_rest(population, bound=True):.3g} is not possible with them"
            more.append(Fault("so many hours above 3", "population hours.mean", text))
        return tuple(more)

    def scaled(self, times: int) -> OpinionPoll:
        """Give the same world with `times` as many respondents."""
        return replace(self, teachers=self.teachers * times, principals=self.principals * times)

    def draw(self, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
        """Draw the file once."""
        p, n = population, self.teachers + self.principals
        teacher = np.arange(n) < self.teachers
        z = np.linspace(-1, 1, self.strata)
        z = z / z.std()
        reached = np.geomspace(1, p["strata.reached"], self.strata)
        edges = np.cumsum(reached / reached.sum())
        stratum = np.minimum(np.searchsorted(edges, rng.random(n)), self.strata - 1)
        weight = 1 / reached[stratum]
        for role in (teacher, ~teacher):
            weight[role] /= weight[role].mean()
        place, tilt = z[stratum], 4 * p["strata.spread"]

        def yes(share: Array | float, u: Array) -> Mask:
            return np.asarray(u < share + tilt * np.multiply(share, np.subtract(1, share)) * place)

        more = rng.random(n) < p["collaboration.more"]
        above, short, rest = rng.random(n), rng.random(n), rng.standard_exponential(n)
        long = yes(p["hours.above"], above)
        hours = np.where(long, LONG + _rest(p) * rest, LONG * np.sqrt(short))
        columns: dict[str, object] = {
            "respondent": np.arange(1, n + 1),
            "role": np.where(teacher, "teacher", "principal"),
            "weight": weight,
            "collaboration": np.where(more, "more", "less"),
        }
        lost = self.unanswered * (1 + place / 3)
        values = {"hours": hours}
        for item, how in self.items.items():
            u, first = rng.random(n), p[f"{item}.{ASKED[how][0]}"]
            if how == "agreement":
                agree, strongly = yes(first, u), yes(p[f"{item}.strongly"], u)
                values[item] = 1.0 + (agree | (u < (1 + first) / 2)) + agree + strongly
            else:
                other = p[f"{item}.{ASKED[how][-1]}"]
                side = teacher if how == "by role" else more
                values[item] = yes(np.where(side, first, other), u).astype(float)
        for name, answer in values.items():
            gone = rng.random(n) < lost
            asked = teacher | (self.items.get(name) == "by role")
            columns[name] = np.where(asked & ~gone, answer, np.nan)
        return Tables(respondents=pd.DataFrame(columns))


def _rest(p: Mapping[str, float], bound: bool = False) -> float:
    """Mean hours beyond 3 of those above; with `bound` the least mean of all hours instead."""
    least = SHORT_MEAN * (1 - p["hours.above"]) + LONG * p["hours.above"]
    return float(least if bound else (p["hours.mean"] - least) / p["hours.above"])


WORLD = OpinionPoll
