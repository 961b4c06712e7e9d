"""Responses drawn from a fitted model of structural equations.

The variables of each level are normal with the moments that the model implies, given those of its
exogenous variables that are fixed; a variable at both levels is the sum of its two parts. One that
is exogenous at both levels is drawn too, from the moments it was given: its parts are not observed.
Values that are missing in the data are missing in every draw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from teamlink.errors import OptionError
from teamlink.fitting.model import Groups
from teamlink.structural.nested import NestedData
from teamlink.structural.references import fixed_exogenous
from teamlink.typing import Array, Mask

if TYPE_CHECKING:
    from teamlink.structural.model import StructuralModel

__all__ = ["simulated"]


def simulated(
    model: StructuralModel, theta: Array, n: int, rng: np.random.Generator, groups: Groups
) -> Array:
    """Responses (rows p, n) drawn at theta (k,), laid out row by row.

    Raises
    ------
    OptionError
        Slopes are random, effects of the clusters at hand are asked for, or the model implies
        covariances that no variables have.
    """
    if groups != "new":
        raise OptionError("groups='same': structural equations draw new clusters only")
    if model.structure.table.slopes:
        raise OptionError("models with random slopes cannot simulate responses")
    seen, blocks = model.observations, model.structure.blocks
    levels = 2 if isinstance(model.likelihood, NestedData) else 1
    states = model.states(model.parameters(theta[None]), np.zeros(1, dtype=np.intp))
    sizes = [
        seen.n_clusters[b // levels] if b % levels else len(seen.values[b // levels])
        for b in range(len(blocks))
    ]
    ends = np.cumsum([size * block.p for size, block in zip(sizes, blocks, strict=True)])
    noise = np.split(rng.standard_normal((n, int(ends[-1]))), ends[:-1], axis=1)
    found = np.zeros((n, seen.n_rows, len(seen.names)))
    for b, (block, state, fixed) in enumerate(zip(blocks, states, _given(model), strict=True)):
        g = b // levels
        mu = state.mu[0] if model.structure.table.meanstructure else model.sample[b].mu[0]
        columns = np.array(seen.columns(block.observed), dtype=np.intp)
        values = seen.values[g][:, columns]
        codes = np.arange(len(values))
        if b % levels:
            assert seen.clusters is not None
            codes = seen.clusters[g]
        own = np.zeros((sizes[b], block.p))
        own[codes] = np.nan_to_num(values)
        drawn = _given_some(state.Sigma[0], mu, fixed, own, noise[b].reshape(n, sizes[b], block.p))
        found[:, seen.rows[g][:, None], columns] += drawn[:, codes]
    for values, rows in zip(seen.values, seen.rows, strict=True):
        at, column = np.nonzero(np.isnan(values))
        found[:, rows[at], column] = np.nan
    return found.reshape(n, -1).T


def _given(model: StructuralModel) -> list[Mask]:
    """Per block which variables (p,) stay as they are: fixed, exogenous, and of this level only."""
    fixed = list(fixed_exogenous(model))
    if not isinstance(model.likelihood, NestedData):
        return fixed
    blocks = model.structure.blocks
    return [
        own & ~np.isin(block.observed, blocks[b + 1 - 2 * (b % 2)].observed)
        for b, (own, block) in enumerate(zip(fixed, blocks, strict=True))
    ]


def _given_some(Sigma: Array, mu: Array, x: Mask, values: Array, noise: Array) -> Array:
    """Normal variables (n, m, p) given those of them, x (p,), that have values (m, p)."""
    y = ~x
    B = np.linalg.lstsq(Sigma[np.ix_(x, x)], Sigma[np.ix_(x, y)], rcond=None)[0]
    rest = Sigma[np.ix_(y, y)] - Sigma[np.ix_(y, x)] @ B
    w, Q = np.linalg.eigh((rest + rest.T) / 2)
    if w.min(initial=0.0) < -1e-8 * max(w.max(initial=0.0), 1e-300):
        raise OptionError(
            "the fitted model implies a covariance matrix with a negative eigenvalue "
            f"({w.min():.3g}), from which nothing can be drawn; see fit.improper"
        )
    found = np.empty(noise.shape)
    found[..., x] = values[:, x]
    means = mu[y] + (values[:, x] - mu[x]) @ B
    found[..., y] = means + noise[..., y] @ (Q * np.sqrt(np.maximum(w, 0.0))).T
    return found
