"""Ratios of proportions: how many times as likely an event is in one group as in another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.errors import Fault, FitError
from teamlink.registry.analysis import numbers
from teamlink.registry.prepared import Layout, Prepared
from teamlink.registry.study import Claim
from teamlink.typing import Array

__all__ = ["ANALYSIS", "RatioAnalysis", "log_ratio"]


@dataclass(frozen=True, slots=True)
class RatioAnalysis:
    """The logarithm of p1 / p0: a claim's outcome is the event, its term the group, both 0 or 1.

    Rows where either is missing are left out. This is no odds ratio: proportions of 0.45 and 0.045
    have the ratio 10 and the odds ratio 17.4.

    Attributes
    ----------
    table : the file whose rows are counted
    """

    table: str = "schools"

    @property
    def text(self) -> str:
        """The model in words."""
        return f"ratio of proportions over {self.table}"

    def faults(self, layout: Layout | None) -> Sequence[Fault]:
        """List what is wrong: a file that there is not."""
        return [] if layout is None else layout.column_faults(self.table, (), "ratio")

    def term_faults(self, claim: Claim, layout: Layout | None) -> Sequence[Fault]:
        """List columns of a claim that the file has not, and an answer that is no ratio."""
        where = f"claim {claim.id}"
        faults = []
        if claim.scale != "ratio":
            faults.append(Fault('the answer is a ratio; the claim needs scale = "ratio"', where))
        if layout is None:
            return faults
        names = claim.outcome, claim.term
        return [*faults, *layout.column_faults(self.table, names, where, joined=True)]

    def estimate(self, claims: Sequence[Claim], scenarios: Sequence[Prepared]) -> Array:
        """Give (S, C, 7): for each scenario and claim the numbers named in `FIELDS`."""
        answers = []
        for scenario in scenarios:
            rows = []
            for claim in claims:
                pair = scenario.frame(self.table, [claim.outcome, claim.term]).to_numpy(float)
                event, group = pair[~np.isnan(pair).any(axis=1)].T
                rows.append(numbers(*log_ratio(event, group)))
            answers.append(rows)
        return np.array(answers)


def log_ratio(event: Array, group: Array) -> tuple[float, float]:
    """Log of the ratio of proportions, and its standard error, with half a case added to each.

    Parameters
    ----------
    event : Array
        (n,), 1 where it came about, else 0.
    group : Array
        (n,), 1 or 0.

    Returns
    -------
    tuple of float
        ``log((x1 + 1/2) / (n1 + 1/2)) - log((x0 + 1/2) / (n0 + 1/2))``, nearly unbiased and finite
        where a group has no event, and its standard error [1]_.

    Raises
    ------
    FitError
        A group is empty.

    References
    ----------
    .. [1] Pettigrew, Gart, Thomas (1986). The bias and higher cumulants of the logarithm of a
       binomial variate. Biometrika 73(2). doi:10.1093/biomet/73.2.425

    Examples
    --------
    >>> import numpy as np
    >>> event, group = np.repeat([1.0, 0, 1, 0], [45, 55, 4, 96]), np.repeat([1.0, 0], 100)
    >>> estimate, std_error = log_ratio(event, group)
    >>> round(float(np.exp(estimate)), 2), round(std_error, 3)
    (10.11, 0.471)
    """
    n1, n0 = float(group.sum()), float((1 - group).sum())
    if min(n1, n0) < 1:
        raise FitError("a ratio of proportions needs units in both groups")
    x1, x0 = float(event @ group), float(event @ (1 - group))
    estimate = math.log((x1 + 0.5) / (n1 + 0.5)) - math.log((x0 + 0.5) / (n0 + 0.5))
    variance = 1 / (x1 + 0.5) - 1 / (n1 + 0.5) + 1 / (x0 + 0.5) - 1 / (n0 + 0.5)
    return estimate, math.sqrt(max(variance, 0.0))


ANALYSIS = RatioAnalysis
