"""Regression by least squares with cluster-robust errors: a claim is one coefficient.

For comparisons of groups that were not assigned: adjusted for what was measured, within units such
as schools where `absorb` names them. CR2 with Satterthwaite's degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from teamlink.errors import Fault, nearest
from teamlink.registry.analysis import FIELDS
from teamlink.registry.least_squares import Regression, regression, same_columns
from teamlink.registry.prepared import Layout, Prepared
from teamlink.registry.study import Claim
from teamlink.typing import Array, Codes

__all__ = ["ANALYSIS", "AdjustedDifference"]


@dataclass(frozen=True, slots=True)
class AdjustedDifference:
    """A difference between groups, or a slope, at the same covariates.

    Attributes
    ----------
    outcome : the response
    terms : columns of numbers on the right-hand side; rows that lack one are left out
    absorb : column of units whose effects are absorbed; none where left out
    cluster : column of the clusters of the test; the absorbed units, or each row, where left out
    only : for each of some columns the one value whose rows are taken
    table : the file whose rows are the observations
    """

    outcome: str
    terms: tuple[str, ...]
    absorb: str | None = None
    cluster: str | None = None
    only: tuple[tuple[str, ...], ...] = ()
    table: str = "schools"

    @property
    def text(self) -> str:
        """The model in words."""
        where = "".join(f", {name} {value}" for name, value in self.only)
        within = "" if self.absorb is None else f" + {self.absorb} effects"
        return f"{self.outcome} ~ {' + '.join(self.terms)}{within} (least squares{where})"

    @property
    def _columns(self) -> list[str]:
        keys = [key for key in (self.absorb, self.cluster) if key is not None]
        return list(dict.fromkeys([*self.terms, *keys, *(row[0] for row in self.only)]))

    def faults(self, layout: Layout | None) -> Sequence[Fault]:
        """List columns that there are not, and rows of `only` that are no pairs."""
        where = f"model {self.outcome}"
        if any(len(row) != 2 for row in self.only):
            return [Fault("'only' lists pairs of a column and a value", where)]
        if layout is None:
            return []
        names = [self.outcome, *self._columns]
        return layout.column_faults(self.table, names, where, joined=True)

    def term_faults(self, claim: Claim, layout: Layout | None) -> Sequence[Fault]:
        """List an outcome or term that is not the model's."""
        where, found = f"claim {claim.id}", []
        if claim.outcome != self.outcome:
            text = f"the model has no outcome {claim.outcome!r}"
            found.append(Fault(text, where, nearest(claim.outcome, [self.outcome])))
        if claim.term not in self.terms:
            found.append(Fault(f"no term {claim.term!r}", where, nearest(claim.term, self.terms)))
        return found

    def estimate(self, claims: Sequence[Claim], scenarios: Sequence[Prepared]) -> Array:
        """Give (S, C, 7): for each scenario and claim the numbers named in `FIELDS`."""
        result = np.full((len(scenarios), len(claims), len(FIELDS)), np.nan)
        made: list[tuple[dict[str, Any], Regression]] = []
        for s, scenario in enumerate(scenarios):
            columns = scenario.columns(self.table, [self.outcome, *self._columns])
            used = ~pd.isna(columns[self.outcome])
            for values in columns.values():
                used &= ~pd.isna(values)
            for name, value in self.only:
                used &= columns[name].astype(str) == value
            right = {name: columns[name][used] for name in self._columns}
            found = next((m for m in made if same_columns(m[0], right)), None)
            if found is None:
                found = right, self._made(right, int(used.sum()))
                made.append(found)
            y = columns[self.outcome][used].astype(float)
            for c, claim in enumerate(claims):
                result[s, c] = found[1].answer(y, self._contrast(claim.term))
        return result

    def _contrast(self, term: str) -> Array:
        names = self.terms if self.absorb is not None else ("Intercept", *self.terms)
        return np.array([float(name == term) for name in names])

    def _made(self, right: dict[str, Any], n: int) -> Regression:
        X = np.column_stack([right[name].astype(float) for name in self.terms])
        own = self.cluster or self.absorb
        cluster = np.arange(n) if own is None else _codes(right[own])
        if self.absorb is None:
            X = np.column_stack([np.ones(n), X])
            return regression(X, ["Intercept", *self.terms], cluster)
        return regression(X, list(self.terms), cluster, _codes(right[self.absorb]))


def _codes(column: Any) -> Codes:
    return np.asarray(pd.factorize(column)[0], dtype=np.intp)


ANALYSIS = AdjustedDifference
