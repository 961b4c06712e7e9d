"""Responses drawn from a fitted model: from its distributions, or from its residuals.

One replicate is drawn after the other, so that more replicates leave the first ones as they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from teamlink.fitting.model import Groups
from teamlink.mixed.ranef import RandomEffects
from teamlink.mixed.resample import reflated
from teamlink.typing import Array

if TYPE_CHECKING:
    from teamlink.mixed.correlated import CorrelatedMixed
    from teamlink.mixed.model import LinearMixed

__all__ = ["resample", "simulate"]


def simulate(
    model: LinearMixed | CorrelatedMixed,
    theta: Array,
    n: int,
    rng: np.random.Generator,
    groups: Groups,
) -> Array:
    """Responses (rows, n) drawn at theta (k,): of new groups, or of the same ones again."""
    design, structure = model.design, model.structure
    sigma = float(np.sqrt(model.sigma2(theta[None])[0]))
    sizes = [factor.q * factor.n_groups for factor in design.factors] if groups == "new" else []
    first = np.cumsum([0, *sizes])
    draws = rng.standard_normal((n, int(first[-1]) + design.n))
    effects = model.effects(theta) if groups == "same" else ()
    noise = model.with_noise(theta, draws[:, first[-1] :].T)
    y = _expected(model, theta, effects)[:, None] + sigma * noise
    if groups == "new":
        Lambda = model.relative_factor(theta[None])[0]
        for factor, place, start, size in zip(
            design.factors, structure.factors, first, sizes, strict=False
        ):
            standard = draws[:, start : start + size].reshape(n, factor.q, factor.n_groups)
            b = sigma * Lambda[place, place] @ standard
            factor.add_to(y, b.transpose(2, 1, 0))
    return y


def resample(model: LinearMixed, theta: Array, n: int, rng: np.random.Generator) -> Array:
    """Responses (rows, n) from reflated effects and residuals, drawn with replacement."""
    design = model.design
    effects = model.effects(theta)
    spread = model.relative_deviations(theta)
    # Rows of unequal precision have residuals of one variance once each is divided by its own.
    rest = (design.y - _expected(model, theta, effects)) / spread
    rest = rest - rest.mean()
    rest *= np.sqrt(model.sigma2(theta[None])[0] / np.mean(rest**2))
    J = [factor.n_groups for factor in design.factors]
    first = np.cumsum([0, *J])
    draws = rng.random((n, int(first[-1]) + design.n))
    y = np.repeat(_expected(model, theta, ())[:, None], n, axis=1)
    y += spread[:, None] * rest[(draws[:, first[-1] :].T * design.n).astype(np.intp)]
    for factor, own, start, count in zip(design.factors, effects, first, J, strict=False):
        U = reflated(own.values, own.marginal)
        chosen = (draws[:, start : start + count] * count).astype(np.intp)
        factor.add_to(y, U[chosen].transpose(1, 2, 0))
    return y


def _expected(
    model: LinearMixed | CorrelatedMixed, theta: Array, effects: tuple[RandomEffects, ...]
) -> Array:
    """(rows,) expectation of the response, given effects of each factor's groups if there are."""
    mean: Array = model.fixed_columns @ model.estimates(theta[None]).values[0]
    if effects:
        mean = mean.copy()
        for factor, own in zip(model.design.factors, effects, strict=True):
            factor.add_to(mean[:, None], own.values[:, :, None])
    return mean
