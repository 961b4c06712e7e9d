"""A formula and a table become the arrays of a mixed model.

Rows with a missing value in any variable of the formula are left out first, and counted; group
means, contrasts and centring are learned from the rows that remain.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from teamlink.data.schema import group_codes, numbers
from teamlink.errors import DesignError, Faults, FewGroups, FormulaError
from teamlink.mixed.encoding import Encoding, encode
from teamlink.mixed.rows import usable_rows
from teamlink.syntax.formula import Formula, parse
from teamlink.typing import Array, Codes, Table

__all__ = ["MixedDesign", "design"]


@dataclass(frozen=True, slots=True)
class MixedDesign:
    """The rows of a mixed model with one grouping factor.

    Attributes
    ----------
    formula : as parsed
    y : (n,) response
    X : (n, p) fixed-effects columns; redundant ones are still among them
    Z : (n, q) random-effects columns, block after block
    codes : (n,) group of each row, 0 .. J-1
    levels : (J,) group labels in sorted order
    group : name of the grouping factor
    blocks : columns of Z in each covariance block
    fixed, random : how X and each block of Z were coded
    index : (n,) the table's row labels
    dropped : rows left out, by the variable that is missing first
    """

    formula: Formula
    y: Array
    X: Array
    Z: Array
    codes: Codes
    levels: pd.Index[Any]
    group: str
    blocks: tuple[int, ...]
    fixed: Encoding
    random: tuple[Encoding, ...]
    index: pd.Index[Any]
    dropped: Mapping[str, int]

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def n_groups(self) -> int:
        """Number of groups J."""
        return len(self.levels)

    @property
    def x_names(self) -> tuple[str, ...]:
        """Names of the columns of X."""
        return self.fixed.names

    @property
    def x_intercept(self) -> int:
        """Index of the constant column of X, or -1."""
        return self.fixed.intercept

    @property
    def z_names(self) -> tuple[str, ...]:
        """Names of the columns of Z."""
        return tuple(name for block in self.random for name in block.names)

    @property
    def z_intercepts(self) -> tuple[int, ...]:
        """For each block, the index in Z of its constant column, or -1."""
        first = np.cumsum([0, *self.blocks])
        return tuple(
            int(start) + block.intercept if block.intercept >= 0 else -1
            for start, block in zip(first, self.random, strict=False)
        )


def design(text: str, data: Table) -> MixedDesign:
    """Read a formula, check the table, and make the arrays.

    Parameters
    ----------
    text : the formula
    data : any table

    Returns
    -------
    MixedDesign

    Raises
    ------
    FormulaError
        The formula cannot be read, or asks for a model that is not fitted yet.
    DataError
        The table lacks what the formula names; every fault is listed.
    DesignError
        The rows are fine, but the model cannot be estimated from them.
    """
    formula = parse(text)
    group = _one_factor(formula)
    frame, dropped = usable_rows(formula, data)
    blocks = [piece for term in formula.random for piece in term.split()]
    fixed = "1" if formula.fixed == "1" else f"1 + {formula.fixed}"
    parts = {"response": formula.response, "fixed": fixed}
    parts |= {f"random{i}": piece for i, piece in enumerate(blocks)}
    plain = formula.response in frame.columns
    if plain:
        del parts["response"]
    coded = encode(parts, frame, formula.text)
    y = numbers(frame, formula.response) if plain else _one_column(coded["response"][0], formula)
    codes, levels = group_codes(frame, group)
    random = tuple(coded[f"random{i}"] for i in range(len(blocks)))
    Z = random[0][0] if len(random) == 1 else np.column_stack([columns for columns, _ in random])
    if isinstance(levels, pd.MultiIndex):
        levels = pd.Index([":".join(map(str, level)) for level in levels], name=":".join(group))
    result = MixedDesign(
        formula, y, coded["fixed"][0], Z, codes, levels, ":".join(group),
        tuple(columns.shape[1] for columns, _ in random), coded["fixed"][1],
        tuple(encoding for _, encoding in random), frame.index, dropped,
    )  # fmt: skip
    _check_estimable(result)
    return result


def _one_factor(formula: Formula) -> tuple[str, ...]:
    """The grouping factor; an error that points at the term where there are several."""
    if not formula.random:
        text = formula.text
        raise FormulaError(
            "there is no random term; add one such as (1 | school), or fit a linear model with "
            "statsmodels' ols",
            text,
            len(text.rstrip()),
        )
    first = formula.random[0].group
    for term in formula.random[1:]:
        if set(term.group) != set(first):
            raise FormulaError(
                f"not fitted yet: {term} brings in a second grouping factor; this version "
                f"fits models with one ({':'.join(first)})",
                formula.text,
                term.start,
                term.end,
            )
    return first


def _one_column(columns: Array, formula: Formula) -> Array:
    if columns.shape[1] != 1:
        raise DesignError(
            f"the response {formula.response!r} gives {columns.shape[1]} columns; it must be one "
            "numeric variable"
        )
    return columns[:, 0]


def _check_estimable(design: MixedDesign) -> None:
    """Report every reason why variances cannot be told apart in these rows."""
    faults = Faults()
    counts = np.bincount(design.codes, minlength=design.n_groups)
    where = f"group {design.group!r}"
    n, J, q = design.n, design.n_groups, max(design.blocks)
    if np.ptp(design.y) == 0:
        faults.add(
            f"the response is constant: all {n} values are {design.y[0]:g}",
            f"column {design.formula.response!r}",
            "there is no variance to model",
        )
    if J == 1:
        faults.add(
            f"there is one group only, {str(design.levels[0])!r}", where,
            "a variance between groups needs several; fit a linear model instead",
        )  # fmt: skip
    elif counts.max() == 1:
        faults.add(
            f"each of the {J} groups has one row",
            where,
            "the variance between groups cannot be told from the residual variance",
        )
    elif q * J >= n:
        faults.add(
            f"{q} correlated random effects in each of {J} groups make {q * J}, but there are only "
            f"{n} rows",
            where,
            "drop a random slope, or use more rows a group",
        )
    faults.raise_if_any(DesignError)
    if J < 5:
        warnings.warn(
            f"only {J} groups: the variance of {design.group!r} is hardly identified",
            FewGroups,
            stacklevel=4,
        )
