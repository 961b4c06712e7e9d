r"""Where the variance of a response lies: levels, and what varies there.

The grouping factors are nested, each within the next. Any column u splits into orthogonal parts,
one a level: the deviation of a row from its group's mean, of this mean from that of the next larger
group, and so on to the grand mean. At level l,

    fixed_l = SS(part_l of X beta) / (n - 1),
    slopes_l = sum over factors k above l of tr(Sigma_k Z_kl'Z_kl) / n,   Z_kl part_l of Z_k,
    means_l  = tr(Sigma_l M'M) / n,                                       M the group means of Z_l,

the residual variance stands at the level of the rows, and all of them add up to the variance of X
beta plus Johnson's mean variance of each factor plus sigma^2. With one factor these are
Rights and Sterba's f1, f2 (fixed), v (slopes), m (means) and sigma^2 where the predictors with
random slopes are centred within groups; where they are not, m takes in what a slope adds to
the differences between group means.

References
----------
Rights, Sterba (2019), doi:10.1037/met0000184. Johnson (2014), doi:10.1111/2041-210X.12225.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from teamlink.mixed.factor import Factor, lies_within
from teamlink.typing import Array

if TYPE_CHECKING:
    from teamlink.mixed.result import MixedFit

__all__ = ["ROWS", "chain", "decomposition", "parts", "where_it_varies"]

ROWS = "within"
"""Name of the level of the rows: within the smallest groups."""

_CONSTANT = 1e-12
"""A part with so small a share of a column's sum of squares is rounding."""


def chain(factors: Sequence[Factor]) -> tuple[Factor, ...] | None:
    """The factors from the smallest groups to the largest; None where they are not nested."""
    ordered = tuple(sorted(factors, key=lambda factor: -factor.n_groups))
    if any(factor.membership is not None for factor in ordered):
        return None
    nested = all(lies_within(a, b) for a, b in pairwise(ordered))
    return ordered if nested else None


def parts(nested: Sequence[Factor], U: Array) -> list[Array]:
    """Columns U (n, c) split by level, rows first; their sum is U less its grand means."""
    grand = U.mean(axis=0)
    rest = U - grand
    means = [rest]
    for factor in nested:
        codes = factor.only_codes
        size = np.bincount(codes, minlength=factor.n_groups)
        sums = np.empty((factor.n_groups, U.shape[1]))
        for k in range(U.shape[1]):
            sums[:, k] = np.bincount(codes, rest[:, k], factor.n_groups)
        means.append((sums / size[:, None])[codes])
    means.append(np.zeros_like(rest))
    return [lower - upper for lower, upper in pairwise(means)]


def decomposition(fit: MixedFit) -> pd.DataFrame | None:
    """Variance by level (rows of the frame, `ROWS` first) and source; None for crossed factors."""
    design, sigma2 = fit.model.design, fit.sigma**2
    nested = chain(design.factors)
    if nested is None:
        return None
    levels = [ROWS, *(factor.name for factor in nested)]
    fixed, slopes, means, residual = np.zeros((4, len(levels)))
    expected = fit.model.fixed_columns @ fit.estimates.values[0]
    for level, part in enumerate(parts(nested, expected[:, None])):
        fixed[level] = np.square(part).sum() / (design.n - 1)
    for k, factor in enumerate(nested):
        place = fit.model.structure.factors[design.factors.index(factor)]
        Sigma = sigma2 * fit.Lambda[place, place] @ fit.Lambda[place, place].T
        split = parts(nested, factor.Z)
        for level in range(k + 1):
            slopes[level] += _mean_form(split[level], Sigma)
        above = sum(split[k + 1 :], np.zeros_like(factor.Z)) + factor.Z.mean(axis=0)
        means[k + 1] = _mean_form(above, Sigma)
    residual[0] = sigma2
    return pd.DataFrame(
        {"fixed": fixed, "slopes": slopes, "means": means, "residual": residual}, index=levels
    )


def _mean_form(Z: Array, Sigma: Array) -> float:
    """Mean over the rows of z'Sigma z."""
    return float(np.einsum("ab,ab->", Z.T @ Z, Sigma)) / len(Z)


def where_it_varies(nested: Sequence[Factor], U: Array) -> Array:
    """Share (levels, c) of each column's variance that lies at each level; NaN for a constant."""
    squares = np.array([np.square(part).sum(axis=0) for part in parts(nested, U)])
    total = squares.sum(axis=0)
    size = np.square(U).sum(axis=0)
    varies = total > _CONSTANT * size
    share = squares / np.where(varies, total, np.nan)
    share[share < _CONSTANT] = 0.0
    return share
