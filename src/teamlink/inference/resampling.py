"""Draw replicates of a fit, a batch at a time, and say what became of each.

Draws come from one generator, one replicate after the other, and every replicate of a batch is
solved as if it were alone: neither the size of a batch nor the number of replicates changes those
that come first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from teamlink.errors import FitError, OptionError
from teamlink.fitting.fit import Fit
from teamlink.fitting.model import Perturbs, Refittable, Resamples, Reweights, Simulates
from teamlink.inference.replicates import (
    Labels,
    Replicates,
    batch_size,
    nothing,
    reason_of,
    replicates_of,
    said_by,
    stacked,
)
from teamlink.typing import Array

__all__ = ["Kind", "Statistic", "draw", "jackknife", "of_statistic", "original"]

Kind = Literal["parametric", "cluster", "residual", "wild"]
"""What is drawn: errors of the model, whole clusters, residuals of all levels, or weights."""

Statistic = Callable[["pd.Series[Any]"], "float | Mapping[str, float] | pd.Series[Any]"]
"""From the estimates of one replicate by term to a number, or to several with names."""

NOT_ESTIMABLE = "the groups drawn do not identify the model"


def original(fit: Fit, kind: Kind = "parametric") -> tuple[Labels, Array, Array]:
    """Labels, estimates (t,) and standard errors (t,) of the fit itself.

    The wild bootstrap is about coefficients alone, and its errors are robust; in the other kinds
    they are the model's own, as those of the replicates are.
    """
    if kind == "wild" and isinstance(fit.model, Perturbs):
        own, p = fit.estimates, len(fit.estimates.names)
        _, _, errors = fit.model.wild(fit.working_theta, 0, np.random.default_rng(0), "rademacher")
        return Labels(("fixed",) * p, (None,) * p, own.names), own.values[0], errors
    theta = fit.working_theta[None]
    labels, values, std_error = said_by(fit.model, fit.model.estimates(theta), theta)
    return labels, values[0], std_error[0]


def draw(
    fit: Fit,
    kind: Kind,
    n: int,
    rng: np.random.Generator,
    advance: Callable[[int], None],
    weights: str = "rademacher",
) -> Replicates:
    """Draw and fit n replicates.

    Parameters
    ----------
    fit : Fit
    kind : what is drawn
    n : number of replicates
    rng : generator
    advance : told after each batch how many are done
    weights : of the wild bootstrap

    Raises
    ------
    OptionError
        The engine cannot draw in this way.
    """
    one_batch = _sampler(fit, kind, rng, weights)
    size = n if kind == "wild" else batch_size(fit.model, fit.nobs)
    parts = []
    for start in range(0, n, size):
        parts.append(one_batch(min(size, n - start)))
        advance(min(start + size, n))
    return stacked(parts)


def _sampler(
    fit: Fit, kind: Kind, rng: np.random.Generator, weights: str
) -> Callable[[int], Replicates]:
    model, theta = fit.model, fit.working_theta
    terms = len(original(fit)[0].terms)
    if kind == "cluster" and isinstance(model, Reweights):
        J = model.n_clusters()
        even = np.full(J, 1 / J)
        return lambda R: weighted(fit, rng.multinomial(J, even, size=R).astype(float))
    if kind == "parametric" and isinstance(model, Simulates) and isinstance(model, Refittable):
        return lambda R: _refitted(model, model.simulate(theta, R, rng), terms)
    if kind == "residual" and isinstance(model, Resamples) and isinstance(model, Refittable):
        return lambda R: _refitted(model, model.resample(theta, R, rng), terms)
    if kind == "wild" and isinstance(model, Perturbs):

        def perturbed(R: int) -> Replicates:
            values, errors, _ = model.wild(theta, R, rng, weights)
            return Replicates(values, errors, np.zeros(R, dtype=np.bool_), ("",) * R)

        return perturbed
    raise OptionError(f"kind={kind!r}: a {type(model).__name__} cannot be resampled in this way")


def _refitted(model: Refittable, Y: Array, terms: int) -> Replicates:
    try:
        return replicates_of(model.with_responses(Y))
    except FitError as error:
        if Y.shape[1] == 1:
            return nothing(1, terms, reason_of(error))
    return stacked([_refitted(model, Y[:, r : r + 1], terms) for r in range(Y.shape[1])])


def weighted(fit: Fit, W: Array) -> Replicates:
    """Fit under weightings (R, J) of the groups, from the fit's own optimum."""
    model = fit.model
    if not isinstance(model, Reweights):
        raise OptionError(f"a {type(model).__name__} has no groups to weight")
    sound = model.estimable(W)
    terms = len(original(fit)[0].terms)
    parts = [nothing(int((~sound).sum()), terms, NOT_ESTIMABLE)]
    if sound.any():
        parts.append(replicates_of(model.with_group_weights(W[sound], fit.working_theta)))
    order = np.concatenate([np.flatnonzero(~sound), np.flatnonzero(sound)])
    return stacked(parts, order)


def jackknife(fit: Fit) -> Replicates:
    """Fit without each group in turn.

    Raises
    ------
    OptionError
        The engine has no groups to leave out.
    """
    model = fit.model
    if not isinstance(model, Reweights):
        raise OptionError(f"a {type(model).__name__} has no groups to leave out, as BCa needs")
    J = model.n_clusters()
    size = batch_size(model, fit.nobs)
    parts = []
    for start in range(0, J, size):
        W = np.ones((min(size, J - start), J))
        W[np.arange(len(W)), start + np.arange(len(W))] = 0.0
        parts.append(weighted(fit, W))
    return stacked(parts)


def of_statistic(
    statistic: Statistic, labels: Labels, values: Array, failure: tuple[str, ...]
) -> tuple[Labels, Array, tuple[str, ...]]:
    """Apply a statistic to every replicate that is an estimate.

    Parameters
    ----------
    statistic : see `Statistic`
    labels : what the columns are
    values : (R, t), the fit's own estimates first
    failure : (R,) reasons

    Returns
    -------
    labels, values : of the statistic, (R, s)
    failure : with the replicates for which it raised

    Raises
    ------
    OptionError
        What the statistic gives for the fit itself is not a number, or numbers with names.
    """
    index = pd.Index(labels.keys)
    first = _numbers(statistic, statistic(pd.Series(values[0], index=index)))
    if first is None:
        raise OptionError(
            "statistic: it must turn a Series of estimates by term into a number, or into a "
            "mapping of names to numbers"
        )
    found = np.full((len(values), len(first)), np.nan)
    reasons = list(failure)
    for r, row in enumerate(values):
        if reasons[r]:
            continue
        try:
            said = _numbers(statistic, statistic(pd.Series(row, index=index)))
        except (ArithmeticError, ValueError, LookupError) as error:
            reasons[r] = f"the statistic raised {type(error).__name__}"
            continue
        if said is None or said.keys() != first.keys():
            reasons[r] = "the statistic gave other names"
            continue
        found[r] = list(said.values())
    s = len(first)
    return Labels(("statistic",) * s, (None,) * s, tuple(first)), found, tuple(reasons)


def _numbers(statistic: Statistic, said: object) -> dict[str, float] | None:
    """What a statistic gave, by name; None where that is no number and no numbers with names."""
    if isinstance(said, Mapping | pd.Series):
        pairs = {str(name): value for name, value in said.items()}
    else:
        pairs = {getattr(statistic, "__name__", "statistic").strip("<>"): said}
    try:
        return {name: float(value) for name, value in pairs.items()} or None
    except (TypeError, ValueError):
        return None
