"""Difference-in-differences of schools over years, with one start of treatment or several.

The estimator of `teamlink.did`: effects by cohort and year with school and year effects, averaged
over the treated rows; CR2 by school with Satterthwaite's degrees of freedom. Scenarios that differ
in the outcome alone share their design.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from teamlink.errors import DesignError, Fault, FitError, nearest
from teamlink.registry.analysis import FIELDS
from teamlink.registry.least_squares import Regression, regression, same_columns
from teamlink.registry.prepared import Layout, Prepared
from teamlink.registry.study import Claim
from teamlink.trials.cells import cells
from teamlink.trials.panel import Panel, panel
from teamlink.typing import Array

__all__ = ["ANALYSIS", "DifferenceAnalysis"]

TERM = "effect"


@dataclass(frozen=True, slots=True)
class DifferenceAnalysis:
    """The effect on treated schools, by comparison with the change of untreated ones.

    Attributes
    ----------
    outcome : the response
    first_treated : column of the first treated period, missing where never treated
    unit, time : columns of the unit and the period
    weights : column of weights, such as the pupils behind a mean; equal where left out
    table : the file whose rows are units in periods
    """

    outcome: str
    first_treated: str
    unit: str = "school"
    time: str = "year"
    weights: str | None = None
    table: str = "panel"

    @property
    def _columns(self) -> list[str]:
        weights = [] if self.weights is None else [self.weights]
        return [self.unit, self.time, self.first_treated, *weights]

    @property
    def text(self) -> str:
        """The model in words."""
        return (
            f"difference-in-differences of {self.outcome}: {self.unit} and {self.time} effects, an "
            f"effect for each cohort by {self.first_treated} and treated {self.time}, averaged"
        )

    def faults(self, layout: Layout | None) -> Sequence[Fault]:
        """List columns that there are not."""
        if layout is None:
            return []
        names = [self.outcome, *self._columns]
        return layout.column_faults(self.table, names, f"model {self.outcome}", joined=True)

    def term_faults(self, claim: Claim, layout: Layout | None) -> Sequence[Fault]:
        """List an outcome or term that is not the model's; its term is "effect"."""
        where, found = f"claim {claim.id}", []
        if claim.outcome != self.outcome:
            text = f"the model has no outcome {claim.outcome!r}"
            found.append(Fault(text, where, nearest(claim.outcome, [self.outcome])))
        if claim.term != TERM:
            found.append(Fault(f"no term {claim.term!r}", where, nearest(claim.term, [TERM])))
        return found

    @property
    def design(self) -> tuple[str, ...]:
        """Models that agree in it are fitted together."""
        return "did", self.table, *self._columns

    def estimate(self, claims: Sequence[Claim], scenarios: Sequence[Prepared]) -> Array:
        """Give (S, C, 7): for each scenario and claim the numbers named in `FIELDS`."""
        return self.estimate_together([(self, claims)], scenarios)[0]

    @staticmethod
    def estimate_together(
        asked: Sequence[tuple[DifferenceAnalysis, Sequence[Claim]]], scenarios: Sequence[Prepared]
    ) -> list[Array]:
        """Give what `estimate` gives for several models with one `design`."""
        first = asked[0][0]
        outcomes = [model.outcome for model, _ in asked]
        made: list[tuple[dict[str, Any], Regression, Array]] = []
        results = [np.full((len(scenarios), len(c), len(FIELDS)), np.nan) for _, c in asked]
        for s, scenario in enumerate(scenarios):
            columns = scenario.columns(first.table, [*first._columns, *outcomes])
            for outcome, result in zip(outcomes, results, strict=True):
                used = ~np.isnan(columns[outcome])
                right = {name: columns[name][used] for name in first._columns}
                found = next((m for m in made if same_columns(m[0], right)), None)
                if found is None:
                    found = right, *first._made(right)
                    made.append(found)
                result[s] = found[1].answer(columns[outcome][used], found[2])
        return results

    def _made(self, right: dict[str, Any]) -> tuple[Regression, Array]:
        """The regression, and what averages its effects; any outcome shows which rows it takes."""
        n = len(right[self.unit])
        frame = pd.DataFrame(right).assign(row=np.arange(n))
        try:
            rows: Panel = panel(
                frame, "row", self.unit, self.time, treated=None, post=None,
                first_treated=self.first_treated, covariates=(), cluster=None, weights=self.weights,
            )  # fmt: skip
        except DesignError as error:
            raise FitError(str(error)) from error
        if len(rows.y) < n:
            raise FitError("some units are treated from the start, or none is left untreated")
        found = cells(rows, rows.treated)
        periods, names = rows.period_columns()
        X = np.column_stack([periods, found.columns])
        contrast = np.concatenate([np.zeros(len(names)), found.mass / found.mass.sum()])
        return regression(
            X, [*names, *found.names], rows.cluster, rows.unit, rows.weights
        ), contrast


ANALYSIS = DifferenceAnalysis
