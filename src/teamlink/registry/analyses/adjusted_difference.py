"""Regression by least squares with cluster-robust errors: a claim is one coefficient.

For comparisons of groups that were not assigned: adjusted for what was measured, within units such
as schools where `absorb` names them. CR2 with Satterthwaite's degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from teamlink.errors import Fault, nearest
from teamlink.registry.analysis import FIELDS
from teamlink.registry.least_squares import Regression, regression
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

    def term_faults(self, claim: Claim, layout: Layout | None) -> Sequence[Fault]:  # noqa: ARG002
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
        made: list[tuple[pd.DataFrame, Regression]] = []
        for s, scenario in enumerate(scenarios):
            frame = scenario.frame(self.table, [self.outcome, *self._columns])
            for name, value in self.only:
                frame = frame[frame[name].astype(str) == value]
            frame = frame[frame.notna().all(axis=1)]
            right = frame.drop(columns=self.outcome)
            fit = next((fit for known, fit in made if known.equals(right)), None)
            if fit is None:
                fit = self._made(right)
                made.append((right, fit))
            y = frame[self.outcome].to_numpy(dtype=float)
            for c, claim in enumerate(claims):
                result[s, c] = fit.answer(y, self._contrast(claim.term))
        return result

    def _contrast(self, term: str) -> Array:
        names = self.terms if self.absorb is not None else ("Intercept", *self.terms)
        return np.array([float(name == term) for name in names])

    def _made(self, right: pd.DataFrame) -> Regression:
        X = right[list(self.terms)].to_numpy(dtype=float)
        own = self.cluster or self.absorb
        cluster = np.arange(len(right)) if own is None else _codes(right[own])
        if self.absorb is None:
            X = np.column_stack([np.ones(len(X)), X])
            return regression(X, ["Intercept", *self.terms], cluster)
        return regression(X, list(self.terms), cluster, _codes(right[self.absorb]))


def _codes(column: pd.Series[object]) -> Codes:
    return np.asarray(pd.factorize(column)[0], dtype=np.intp)


ANALYSIS = AdjustedDifference
