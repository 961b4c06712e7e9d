"""What a batch of refits says, as arrays: one row a replicate, one column a term."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from teamlink.errors import FitError
from teamlink.fitting.components import unique_names
from teamlink.fitting.estimates import Estimates
from teamlink.fitting.fit import solve
from teamlink.fitting.model import Batches, Decomposes, Model
from teamlink.typing import Array, Codes, Mask

__all__ = [
    "Labels",
    "Replicates",
    "batch_size",
    "nothing",
    "replicates_of",
    "said_by",
    "stacked",
]

NOT_CONVERGED = "did not converge"

_BATCH = 250
"""Replicates solved together: enough to spread the cost of a call, few enough to stay in cache."""

_NUMBERS = 10_000_000
"""A batch holds at most so many numbers; where several starts are tried it takes a few times it."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What each column is: three texts a term.

    Attributes
    ----------
    effects : "fixed", "ran_pars" or "statistic"
    groups : grouping factor of a variance component
    terms : names
    """

    effects: tuple[str, ...]
    groups: tuple[str | None, ...]
    terms: tuple[str, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """A name for each that no other has: the term, or ``term|group`` where terms repeat."""
        return unique_names(self.groups, self.terms)


@dataclass(frozen=True, slots=True)
class Replicates:
    """Estimates of R replicates.

    Attributes
    ----------
    values : (R, t) missing where a replicate has no estimate
    std_error : (R, t) missing for variance components too
    boundary : (R,) whether the optimum lies on the edge of the parameter space
    failure : R reasons why a replicate is no estimate; empty where it is one
    """

    values: Array
    std_error: Array
    boundary: Mask
    failure: tuple[str, ...]

    @property
    def good(self) -> Mask:
        """(R,) which replicates are estimates."""
        return np.array([not reason for reason in self.failure], dtype=np.bool_)


def batch_size(model: object, rows: int) -> int:
    """How many replicates of a model of so many rows are solved together."""
    numbers = model.numbers if isinstance(model, Batches) else 3 * rows
    return max(1, min(_BATCH, _NUMBERS // max(numbers, 1)))


def said_by(model: Model, estimates: Estimates, theta: Array) -> tuple[Labels, Array, Array]:
    """Labels, values (R, t) and standard errors (R, t): coefficients, then components."""
    R, p = estimates.values.shape
    effects, groups = ("fixed",) * p, (None,) * p
    if not isinstance(model, Decomposes):
        return Labels(effects, groups, estimates.names), estimates.values, estimates.std_error
    parts = model.components(theta)
    c = len(parts.terms)
    labels = Labels(
        effects + ("ran_pars",) * c, groups + parts.groups, estimates.names + parts.terms
    )
    values = np.concatenate([estimates.values, parts.values], axis=1)
    std_error = np.concatenate([estimates.std_error, np.full((R, c), np.nan)], axis=1)
    return labels, values, std_error


def replicates_of(model: Model) -> Replicates:
    """Fit every replicate of a model and say what came of it."""
    solution = solve(model)
    _, values, std_error = said_by(model, model.estimates(solution.theta), solution.theta)
    finite = np.isfinite(solution.deviance)
    values[~finite], std_error[~finite] = np.nan, np.nan
    failure = tuple("" if fine else NOT_CONVERGED for fine in solution.converged & finite)
    return Replicates(values, std_error, solution.boundary, failure)


def nothing(R: int, terms: int, reason: str) -> Replicates:
    """R replicates that failed for a reason."""
    empty = np.full((R, terms), np.nan)
    return Replicates(empty, empty.copy(), np.zeros(R, dtype=np.bool_), (reason,) * R)


def stacked(parts: Iterable[Replicates], order: Codes | None = None) -> Replicates:
    """Several batches as one, put back in order: `order` holds the place of each replicate."""
    parts = list(parts)
    values = np.concatenate([part.values for part in parts])
    place = np.arange(len(values)) if order is None else np.argsort(order, kind="stable")
    failure = [reason for part in parts for reason in part.failure]
    return Replicates(
        values[place],
        np.concatenate([part.std_error for part in parts])[place],
        np.concatenate([part.boundary for part in parts])[place],
        tuple(failure[i] for i in place),
    )


def reason_of(error: FitError) -> str:
    """The first sentence of an error, as the reason of a failure."""
    return str(error).split(":")[0]
