"""Which mixed models may be compared, and which is a special case of which."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from teamlink.mixed.covariance import RandomStructure
from teamlink.mixed.design import MixedDesign
from teamlink.mixed.factor import Factor, same_groups
from teamlink.typing import Array

__all__ = [
    "variances_added",
    "why_incomparable",
    "why_model_not_nested",
    "why_models_incomparable",
    "why_not_nested",
]


@runtime_checkable
class Mixed(Protocol):
    """A mixed model, as far as comparing it goes."""

    @property
    def design(self) -> MixedDesign:
        """The rows."""
        ...

    @property
    def structure(self) -> RandomStructure:
        """The covariance of the random effects."""
        ...

    @property
    def fixed_columns(self) -> Array:
        """(n, p) the fixed-effects columns that it estimates."""
        ...

    @property
    def reml(self) -> bool:
        """Restricted likelihood."""
        ...


def why_models_incomparable(one: Mixed, other: object) -> str | None:
    """Why the criteria of two models must not be set side by side; None where they may."""
    if not isinstance(other, Mixed):
        return f"one is a linear mixed model, the other a {type(other).__name__}"
    if one.reml != other.reml:
        return "one is fitted by REML, the other by ML"
    return why_incomparable(
        one.design, other.design, one.fixed_columns, other.fixed_columns, one.reml
    )


def why_model_not_nested(one: Mixed, other: object) -> str | None:
    """Why the one model is no special case of the other; None where it is one."""
    if not isinstance(other, Mixed):
        return "they are models of different kinds"
    return why_not_nested(one.design, other.design, one.fixed_columns, other.fixed_columns)


def variances_added(one: Mixed, other: object) -> int:
    """How many variances of the other are zero where it is the one, a special case of it.

    One parameter for several effects more, as compound symmetry has, counts as one variance.
    """
    if not isinstance(other, Mixed):
        return 0
    added = max(other.structure.q - one.structure.q, 0)
    return min(added, max(other.structure.size - one.structure.size, 0))


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
    if not _same_weights(small, large):
        return "they weight the rows differently"
    if not _structure_within(small, large):
        return "the residual structure of the smaller is no special case of that of the larger"
    for factor in small.factors:
        alike = [other for other in large.factors if same_groups(factor, other)]
        if not alike:
            return (
                "they group the rows differently"
                if len(small.factors) == len(large.factors) == 1
                else f"the larger has no factor that groups the rows as {factor.name!r} does"
            )
        wide = _blocks(alike[0])
        if not all(any(_within(block, other) for other in wide) for block in _blocks(factor)):
            return "the random effects of the smaller are not among those of the larger"
    return None


_WIDER = {
    "independent": {"ar1", "car1", "compound_symmetry", "toeplitz", "unstructured"},
    "ar1": {"toeplitz", "unstructured"},
    "compound_symmetry": {"toeplitz", "unstructured"},
    "toeplitz": {"unstructured"},
}
"""Families of correlations, and those that hold them as special cases."""


def _structure_within(small: MixedDesign, large: MixedDesign) -> bool:
    """Whether the residual structure of the one is a special case of the other's."""
    if small.residuals is None:
        return True
    if large.residuals is None:
        return False
    one, two = small.residuals.structure, large.residuals.structure
    if not set(one.variances) <= set(two.variances):
        return False
    if one.kind == "independent":
        return True
    same_place = one.kind == "compound_symmetry" or one.position == two.position
    wider = two.kind == one.kind or two.kind in _WIDER.get(one.kind, set())
    return set(one.by) == set(two.by) and same_place and wider


def _same_weights(one: MixedDesign, two: MixedDesign) -> bool:
    """Whether two designs have the same precision weights."""
    mine, theirs = one.root_weights, two.root_weights
    if mine is None or theirs is None:
        return mine is theirs
    return np.array_equal(mine, theirs)


def _blocks(factor: Factor) -> list[tuple[Array, bool]]:
    """The columns of Z in each covariance block, and whether it has compound symmetry."""
    slices = RandomStructure.of_factors([factor.blocks]).slices
    return [(factor.Z[:, b], i in factor.compound) for i, b in enumerate(slices)]


def _within(block: tuple[Array, bool], other: tuple[Array, bool]) -> bool:
    """Whether a covariance block is a special case of another."""
    if other[1]:
        return block[1] and _same_columns(block[0], other[0])
    return _spans(other[0], block[0])


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
