"""Returns to experience by context: growth of teachers in high and in low contexts, compared."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from teamlink.errors import BoundaryFit, Fault, FitError, nearest
from teamlink.mixed.result import MixedFit
from teamlink.registry.analysis import numbers
from teamlink.registry.prepared import Layout, Prepared
from teamlink.registry.study import Claim
from teamlink.typing import Array
from teamlink.value_added.experience import returns_to_experience
from teamlink.value_added.returns import ExperienceReturns

__all__ = ["ANALYSIS", "ExperienceAnalysis"]

TERMS = ("ratio", "difference", "difference in teacher SD")
"""What a claim may ask for; see `ExperienceAnalysis`."""


@dataclass(frozen=True, slots=True)
class ExperienceAnalysis:
    """`teamlink.returns_to_experience` with random effects of teachers, and of schools if named.

    A claim's term is "ratio", the logarithm of the gain in the higher context over that in the
    lower one; "difference" of the two gains; or "difference in teacher SD", divided by the standard
    deviation of teachers' effects that the model estimates, which is taken as known. The unit of
    an answer is the distance of the two contexts in the sample, before standardization; a logarithm
    of a ratio grows with it in good approximation.

    Attributes
    ----------
    outcome : gain of a class, or of a pupil
    context : column of the context that is compared
    teacher, experience, school : columns
    covariates : further columns
    shape : of growth, as in `teamlink.returns_to_experience`
    cap : years after which nothing more is gained
    at : years of experience at which contexts are compared
    low, high : quantiles of the context over teachers
    table : the file whose rows are the observations
    """

    outcome: str
    context: str
    teacher: str = "teacher"
    experience: str = "experience"
    school: str = ""
    covariates: tuple[str, ...] = ()
    shape: Literal["linear", "quadratic", "cubic", "quartic", "log"] = "quadratic"
    cap: float = 10.0
    at: float = 10.0
    low: float = 0.25
    high: float = 0.75
    table: str = "classes"

    @property
    def text(self) -> str:
        """The model in words."""
        beside = "".join(f" + {x}" for x in self.covariates)
        school = f" + (1 | {self.school})" if self.school else ""
        return (
            f"{self.outcome} ~ f({self.experience}) * {self.context}{beside} + (1 | {self.teacher})"
            f"{school}, f {self.shape} up to {self.cap:g} years; returns after "
            f"{self.at:g} years compared at quantiles {self.low:g} and {self.high:g}"
        )

    @property
    def _columns(self) -> list[str]:
        keys = [self.outcome, self.teacher, self.experience, self.context, *self.covariates]
        return [*keys, self.school] if self.school else keys

    def faults(self, layout: Layout | None) -> Sequence[Fault]:
        """List what is wrong: columns that there are not, numbers out of range."""
        where = f"model {self.outcome}"
        found = []
        if not 0 <= self.low < self.high <= 1:
            found.append(Fault("'low' and 'high' are quantiles, the lower one first", where))
        for name, value in (("cap", self.cap), ("at", self.at)):
            if value <= 0:
                found.append(Fault(f"{name!r} is {value:g}; a positive number of years", where))
        if layout is not None:
            found += layout.column_faults(self.table, self._columns, where, joined=True)
        return found

    def term_faults(self, claim: Claim, layout: Layout | None) -> Sequence[Fault]:
        """List a term that is no answer of the model."""
        where = f"claim {claim.id}"
        found = []
        if claim.term not in TERMS:
            found.append(Fault(f"no term {claim.term!r}", where, nearest(claim.term, TERMS)))
        elif (claim.term == "ratio") != (claim.scale == "ratio"):
            found.append(Fault(f"term {claim.term!r} with scale {claim.scale!r}", where))
        if claim.outcome != self.outcome:
            remedy = nearest(claim.outcome, [self.outcome])
            found.append(Fault(f"the model has no outcome {claim.outcome!r}", where, remedy))
        return found

    def estimate(self, claims: Sequence[Claim], scenarios: Sequence[Prepared]) -> Array:
        """Give (S, C, 7): for each scenario and claim the numbers named in `FIELDS`."""
        return np.stack([self._answers(claims, scenario) for scenario in scenarios])

    def _answers(self, claims: Sequence[Claim], scenario: Prepared) -> Array:
        frame = scenario.frame(self.table, self._columns).dropna()
        found = self._returns(frame)
        assert found.fit is not None
        if not found.fit.converged:
            raise FitError("the fit did not converge")
        difference = found.difference()
        plain = difference["gain"], difference["std_error"]
        # contexts are compared at this sample's quantiles, and so is the true value
        unit = scenario.unit(self.context) * (found.contexts[1] - found.contexts[0])
        answers = []
        for claim in claims:
            values = plain if claim.term != "ratio" else log_ratio(found)
            if claim.term == "difference in teacher SD":
                sd = teacher_sd(found.fit, self.teacher)
                values = plain[0] / sd, plain[1] / sd
            answers.append(numbers(values[0], values[1], difference["df"], unit))
        return np.stack(answers)

    def _returns(self, frame: pd.DataFrame) -> ExperienceReturns:
        school = self.school or None
        with warnings.catch_warnings():
            # a variance at zero is a valid answer of one replicate
            warnings.simplefilter("ignore", BoundaryFit)
            return returns_to_experience(
                frame, self.outcome, self.teacher, self.experience, self.context, school,
                gain=True, covariates=self.covariates, shape=self.shape, cap=self.cap,
                interaction="full", at=self.at, quantiles=(self.low, self.high),
            )  # fmt: skip


def log_ratio(found: ExperienceReturns) -> tuple[float, float]:
    """Logarithm of the ratio of gains, and its standard error by the delta method.

    Raises
    ------
    FitError
        One of the gains is not positive.
    """
    ratio = found.ratio()
    if not ratio["ratio"] > 0:
        raise FitError("a gain since entry is not positive; the ratio has no logarithm")
    return float(np.log(ratio["ratio"])), float(ratio["std_error"] / ratio["ratio"])


def teacher_sd(fit: MixedFit, teacher: str) -> float:
    """Standard deviation of the effects of teachers.

    Raises
    ------
    FitError
        It is estimated at zero.
    """
    table = fit.tidy()
    sd = float(table.loc[table["group"] == teacher, "estimate"].iloc[0])
    if sd <= 0:
        raise FitError("the standard deviation of teachers is estimated at zero")
    return sd


ANALYSIS = ExperienceAnalysis
