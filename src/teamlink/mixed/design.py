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

from teamlink.data.schema import as_frame, group_codes, numbers, validate
from teamlink.errors import DesignError, DroppedRows, Faults, FewGroups, FormulaError
from teamlink.mixed.encoding import Encoding, encode
from teamlink.syntax.formula import Formula, parse
from teamlink.typing import Array, Codes, Mask, Table

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
    frame = as_frame(data, formula.variables)
    _check_table(formula, frame)
    frame, dropped = _complete_rows(frame)
    frame = _numbers_as_numbers(frame, group)
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


def _check_table(formula: Formula, frame: pd.DataFrame) -> None:
    """Report everything in the table that no model could use."""
    groups = {name for term in formula.random for name in term.group}
    numeric = [formula.response] if formula.response in frame.columns else []
    with np.errstate(invalid="ignore"):
        # A sum is finite only if every addend is: most columns are cleared in one pass.
        numeric += [
            name
            for name in frame.columns
            if name not in groups
            and pd.api.types.is_float_dtype(frame[name].dtype)
            and not np.isfinite(numbers(frame, name).sum())
        ]
    others = [name for name in frame.columns if name in groups or frame[name].dtype.kind == "O"]
    validate(frame, numeric=list(dict.fromkeys(numeric)), groups=others)


def _complete_rows(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Leave out rows with missing values; say how many, and because of which variable first."""
    gone: Mask = np.zeros(len(frame), dtype=np.bool_)
    dropped: dict[str, int] = {}
    for name in frame.columns:
        missing: Mask = frame[name].isna().to_numpy()
        if missing.any():
            fresh = int((missing & ~gone).sum())
            if fresh:
                dropped[str(name)] = fresh
            gone |= missing
    if not dropped:
        return frame, dropped
    kept = frame.loc[~gone]
    if kept.empty:
        raise DesignError(
            f"no row is complete in {', '.join(map(str, frame.columns))}; "
            "every row has a missing value in at least one of them"
        )
    shown = ", ".join(f"{count} for {name!r}" for name, count in dropped.items())
    warnings.warn(
        f"{int(gone.sum())} of {len(frame)} rows left out because of missing values ({shown})",
        DroppedRows,
        stacklevel=4,
    )
    return kept, dropped


def _numbers_as_numbers(frame: pd.DataFrame, groups: tuple[str, ...]) -> pd.DataFrame:
    """Numbers that a table holds as Python objects would be coded as categories otherwise."""
    objects = [
        name
        for name in frame.columns
        if name not in groups
        and frame[name].dtype == object
        and pd.api.types.infer_dtype(frame[name]) in {"integer", "floating", "decimal"}
    ]
    return frame.assign(**{name: numbers(frame, name) for name in objects}) if objects else frame


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
    if design.X.shape[1] >= n:
        faults.add(
            f"{design.X.shape[1]} fixed effects, but only {n} rows", "fixed part", "drop terms"
        )
    faults.raise_if_any(DesignError)
    if J < 5:
        warnings.warn(
            f"only {J} groups: the variance of {design.group!r} is hardly identified",
            FewGroups,
            stacklevel=4,
        )
