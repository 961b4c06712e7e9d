"""Pooled evidence: a random-effects meta-analysis or meta-regression of studies' effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from teamlink.errors import Fault, FormulaError, nearest
from teamlink.registry.analyses.lmm import FORMULA_FUNCTIONS, coefficient
from teamlink.registry.analysis import numbers
from teamlink.registry.prepared import Layout, Prepared
from teamlink.registry.study import Claim
from teamlink.syntax.formula import parse
from teamlink.synthesis.meta import meta
from teamlink.typing import Array

__all__ = ["ANALYSIS", "MetaAnalysisModel"]


@dataclass(frozen=True, slots=True)
class MetaAnalysisModel:
    """`teamlink.meta`: a claim's outcome is the effect, its term "Intercept" or a moderator.

    Attributes
    ----------
    effects, variances : columns of the studies' file
    table : the studies' file
    moderators : what effects may depend on, as the right side of a formula; none where empty
    method : how heterogeneity is estimated
    knha : Knapp and Hartung's variance with t tests, rather than normal ones
    """

    effects: str = "effect"
    variances: str = "variance"
    table: str = "studies"
    moderators: str = ""
    method: Literal["reml", "ml", "dl", "pm", "fe"] = "reml"
    knha: bool = True

    @property
    def text(self) -> str:
        """The model as a formula with its method."""
        right = self.moderators or "1"
        by = "Knapp and Hartung's t tests" if self.knha else "normal tests"
        return f"{self.effects} ~ {right}, variances {self.variances}, {self.method} with {by}"

    @property
    def _variables(self) -> tuple[str, ...]:
        return tuple(parse(f"{self.effects} ~ {self.moderators or '1'}").variables)

    def faults(self, layout: Layout | None) -> Sequence[Fault]:
        """List what is wrong with the columns and the moderators."""
        where = "model meta"
        try:
            read = parse(f"{self.effects} ~ {self.moderators or '1'}")
        except FormulaError as error:
            return [Fault(str(error), where)]
        faults = [
            Fault(f"function {name!r} may not be called", where)
            for name in read.functions
            if name not in FORMULA_FUNCTIONS
        ]
        if self.knha and self.method == "fe":
            faults.append(Fault("knha does not go with method 'fe'", where))
        if layout is not None:
            names = (*read.variables, self.variances)
            faults += layout.column_faults(self.table, names, where, joined=True)
        return faults

    def term_faults(self, claim: Claim, layout: Layout | None) -> Sequence[Fault]:
        """List an outcome or a term that the model has not."""
        where, faults = f"claim {claim.id}", []
        if claim.outcome != self.effects:
            text = f"the model has no outcome {claim.outcome!r}"
            faults.append(Fault(text, where, nearest(claim.outcome, [self.effects])))
        try:
            known = ["Intercept", *self._variables]
        except FormulaError:
            return faults
        faults += [
            Fault(f"no term {claim.term!r}", where, nearest(part, known))
            for part in claim.term.split(":")
            if part.split("[")[0] not in known
        ]
        return faults

    def estimate(self, claims: Sequence[Claim], scenarios: Sequence[Prepared]) -> Array:
        """Give (S, C, 7): for each scenario and claim the numbers named in `FIELDS`."""
        names = list(dict.fromkeys((*self._variables, self.variances)))
        answers = []
        for scenario in scenarios:
            data = scenario.frame(self.table, names).dropna(subset=[self.effects, self.variances])
            found = meta(
                self.effects,
                self.variances,
                data=data,
                moderators=self.moderators or None,
                method=self.method,
                knha=self.knha,
            ).tidy()
            answers.append([_numbers(found, claim, scenario) for claim in claims])
        return np.array(answers)


def _numbers(found: pd.DataFrame, claim: Claim, scenario: Prepared) -> Array:
    """One coefficient of a tidy table."""
    row = found[found["term"] == coefficient(claim.term, found["term"].tolist())]
    names = ["estimate", "std_error", "df", "p_value", "conf_low", "conf_high"]
    b, se, df, p, low, high = row[names].to_numpy(dtype=float)[0].tolist()
    return numbers(b, se, df, scenario.unit(claim.term), p, low, high)


ANALYSIS = MetaAnalysisModel
