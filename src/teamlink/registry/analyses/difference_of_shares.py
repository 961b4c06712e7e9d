r"""Logistic regression with cluster-robust errors; a claim is a difference of shares.

The answer is what a change of the term from 0 to 1 does to the share, averaged over the rows:

.. math:: \frac{1}{n} \sum_i \{\Lambda(x_i'b \mid 1) - \Lambda(x_i'b \mid 0)\}

with its standard error by the delta method from the sandwich of clusters, times
``G / (G - 1) (n - 1) / (n - p)``, and t tests with G - 1 degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from teamlink.errors import Fault, FitError, nearest
from teamlink.registry.analysis import FIELDS, numbers
from teamlink.registry.prepared import Layout, Prepared
from teamlink.registry.study import Claim
from teamlink.typing import Array, Codes

__all__ = ["ANALYSIS", "DifferenceOfShares", "marginal_effect"]


@dataclass(frozen=True, slots=True)
class DifferenceOfShares:
    """A share in two groups, such as teachers who stay, at the same covariates.

    Attributes
    ----------
    outcome : column of zeros and ones
    terms : columns of numbers; the groups' column holds zeros and ones
    cluster : column of clusters, such as the schools that were assigned
    table : the file whose rows are the observations
    """

    outcome: str
    terms: tuple[str, ...]
    cluster: str = "school"
    table: str = "teachers"

    @property
    def text(self) -> str:
        """The model in words."""
        return f"{self.outcome} ~ {' + '.join(self.terms)} (logit, clusters by {self.cluster})"

    def faults(self, layout: Layout | None) -> Sequence[Fault]:
        """List columns that there are not."""
        if layout is None:
            return []
        names = self.outcome, *self.terms, self.cluster
        return layout.column_faults(self.table, names, f"model {self.outcome}", joined=True)

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
        for s, scenario in enumerate(scenarios):
            columns = scenario.frame(self.table, [self.outcome, *self.terms, self.cluster])
            columns = columns[columns.notna().all(axis=1)]
            X = columns[list(self.terms)].to_numpy(dtype=float)
            X = np.column_stack([np.ones(len(X)), X])
            y = columns[self.outcome].to_numpy(dtype=float)
            cluster = np.asarray(pd.factorize(columns[self.cluster])[0], dtype=np.intp)
            b, covariance = _logit(X, y, cluster)
            for c, claim in enumerate(claims):
                column = 1 + self.terms.index(claim.term)
                difference, gradient = marginal_effect(X, b, column)
                se = np.sqrt(gradient @ covariance @ gradient)
                result[s, c] = numbers(difference, se, df=int(cluster.max()))
        return result


def _logit(X: Array, y: Array, cluster: Codes) -> tuple[Array, Array]:
    """Coefficients (p,) by Newton's method and their cluster-robust covariance (p, p)."""
    b = np.zeros(X.shape[1])
    for _ in range(50):
        p = special.expit(X @ b)
        H = (X.T * (p * (1 - p))) @ X
        if np.linalg.cond(H) > 1e10:
            break
        step = np.linalg.solve(H, X.T @ (y - p))
        b = b + step
        if np.abs(step).max() < 1e-10:
            scores = X * (y - special.expit(X @ b))[:, None]
            G, (n, k) = int(cluster.max()) + 1, X.shape
            sums = np.column_stack([np.bincount(cluster, s, G) for s in scores.T])
            bread = np.linalg.inv(H)
            scale = G / (G - 1) * (n - 1) / (n - k)
            return b, scale * bread @ (sums.T @ sums) @ bread
    raise FitError("a column tells those who stay from all others: the logit has no maximum")


def marginal_effect(X: Array, b: Array, column: int) -> tuple[float, Array]:
    """Mean difference of probabilities between 1 and 0 in one column, and its gradient (p,)."""
    one, none = X.copy(), X.copy()
    one[:, column], none[:, column] = 1.0, 0.0
    p, q = special.expit(one @ b), special.expit(none @ b)
    gradient: Array = (one.T @ (p * (1 - p)) - none.T @ (q * (1 - q))) / len(X)
    return float(np.mean(p - q)), gradient


ANALYSIS = DifferenceOfShares
