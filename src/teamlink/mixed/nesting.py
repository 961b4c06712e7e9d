"""Which mixed models may be compared, and which is a special case of which."""

from __future__ import annotations

import numpy as np

from teamlink.mixed.covariance import RandomStructure
from teamlink.mixed.design import MixedDesign
from teamlink.mixed.factor import Factor, same_groups
from teamlink.typing import Array

__all__ = ["why_incomparable", "why_not_nested"]


def why_incomparable(
    one: MixedDesign, two: MixedDesign, X_one: Array, X_two: Array, reml: bool
) -> str | None:
    """Why the criteria of two models must not be set side by side; None where they may.

    Parameters
    ----------
    one, two : the designs
    X_one, X_two : (n, p) the fixed-effects columns that each estimates
    reml : both are fitted by REML
    """
    if one.n != two.n:
        return f"they use {one.n} and {two.n} rows; fit both to the rows that both can use"
    if not np.array_equal(one.y, two.y):
        return "they have different responses, or the same rows in another order"
    if reml and not _same_columns(X_one, X_two):
        # log|X'V^-1 X| changes with the columns, even where their span is the same.
        return (
            "REML criteria of models with different fixed effects are not comparable; "
            "fit both with reml=False"
        )
    return None


def why_not_nested(
    small: MixedDesign, large: MixedDesign, X_small: Array, X_large: Array
) -> str | None:
    """Why the smaller model is no special case of the larger; None where it is one."""
    if not _spans(X_large, X_small):
        return "the fixed effects of the smaller are not among those of the larger"
    for factor in small.factors:
        alike = [other for other in large.factors if same_groups(factor, other)]
        if not alike:
            return (
                "they group the rows differently"
                if len(small.factors) == len(large.factors) == 1
                else f"the larger has no factor that groups the rows as {factor.name!r} does"
            )
        columns = _blocks(alike[0])
        if not all(any(_spans(wide, block) for wide in columns) for block in _blocks(factor)):
            return "the random effects of the smaller are not among those of the larger"
    return None


def _blocks(factor: Factor) -> list[Array]:
    """The columns of Z in each covariance block."""
    return [factor.Z[:, b] for b in RandomStructure.of_factors([factor.blocks]).slices]


def _same_columns(one: Array, two: Array) -> bool:
    """Whether two sets of columns are equal, in whatever order."""
    if one.shape != two.shape:
        return False
    return np.array_equal(one[:, np.lexsort(one[:64])], two[:, np.lexsort(two[:64])])


def _spans(columns: Array, others: Array) -> bool:
    """Whether every one of `others` (n, k) is a linear combination of `columns` (n, p)."""
    size = np.linalg.norm(columns, axis=0)
    scaled = columns / np.where(size > 0, size, 1.0)
    rest = others - scaled @ np.linalg.lstsq(scaled, others, rcond=None)[0]
    return bool((np.linalg.norm(rest, axis=0) <= 1e-8 * np.linalg.norm(others, axis=0)).all())
