"""Pearson correlations: a claim's term is one column, its outcome the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from teamlink.errors import Fault, FitError
from teamlink.registry.analysis import numbers
from teamlink.registry.prepared import Layout, Prepared
from teamlink.registry.study import Claim
from teamlink.typing import Array

__all__ = ["ANALYSIS", "CorrelationAnalysis"]


@dataclass(frozen=True, slots=True)
class CorrelationAnalysis:
    """Correlations over the rows of one file; t test, interval by Fisher's z.

    Attributes
    ----------
    table : the file whose rows are correlated
    """

    table: str = "schools"

    @property
    def text(self) -> str:
        """The model in words."""
        return f"Pearson correlations over {self.table}"

    def faults(self, layout: Layout | None) -> Sequence[Fault]:
        """List what is wrong: a file that there is not."""
        return [] if layout is None else layout.column_faults(self.table, (), "correlation")

    def term_faults(self, claim: Claim, layout: Layout | None) -> Sequence[Fault]:
        """List columns of a claim that the file has not."""
        if layout is None:
            return []
        names = claim.outcome, claim.term
        return layout.column_faults(self.table, names, f"claim {claim.id}", joined=True)

    def estimate(self, claims: Sequence[Claim], scenarios: Sequence[Prepared]) -> Array:
        """Give (S, C, 7): for each scenario and claim the numbers named in `FIELDS`."""
        names = list(dict.fromkeys(n for c in claims for n in (c.outcome, c.term)))
        at = [(names.index(c.outcome), names.index(c.term)) for c in claims]
        answers = []
        for scenario in scenarios:
            found = scenario.columns(self.table, names)
            columns = np.column_stack([np.asarray(found[n], dtype=float) for n in names])
            answers.append([_correlation(columns[:, [i, j]]) for i, j in at])
        return np.array(answers)


def _correlation(pair: Array) -> Array:
    """The numbers of one correlation of two columns (n, 2); rows with a missing value left out."""
    pair = pair[np.isnan(pair).sum(axis=1) == 0]
    n = len(pair)
    if n < 4 or not np.all(np.std(pair, axis=0)):
        raise FitError("a correlation needs four rows and two columns that vary")
    both: Array = np.asarray(np.corrcoef(pair, rowvar=False))
    r = float(both[0, 1])
    se = np.sqrt((1 - r**2) / (n - 2))
    half = float(special.ndtri(0.975)) / np.sqrt(n - 3)
    low, high = math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)
    return numbers(r, se, df=n - 2, conf_low=low, conf_high=high)


ANALYSIS = CorrelationAnalysis
