"""A formula and a table become the arrays of a mixed model.

Rows with a missing value in any variable of the formula are left out first, and counted; group
means, contrasts and centring are learned from the rows that remain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from teamlink.data.schema import group_codes, numbers
from teamlink.errors import DesignError, FormulaError, OptionError, nearest
from teamlink.mixed.encoding import Encoding, encode
from teamlink.mixed.estimable import check_estimable
from teamlink.mixed.factor import Factor
from teamlink.mixed.membership import Membership
from teamlink.mixed.residual import ResidualStructure
from teamlink.mixed.residuals import Residuals, bind_residuals
from teamlink.mixed.rows import usable_rows
from teamlink.syntax.formula import Formula, RandomTerm, parse
from teamlink.typing import Array, Mask, Table

__all__ = ["MixedDesign", "Weights", "check_memberships", "design", "joined", "sole_factor"]

Memberships: TypeAlias = Mapping[str, Membership]
ByFactor: TypeAlias = dict[tuple[str, ...], list[RandomTerm]]


@dataclass(frozen=True, slots=True)
class MixedDesign:
    """The rows of a mixed model.

    Attributes
    ----------
    formula : as parsed
    y : (n,) response
    X : (n, p) fixed-effects columns; redundant ones are still among them
    factors : grouping factors, those with more groups first, else in the order of the formula
    fixed : how X was coded
    index : (n,) the table's row labels
    dropped : rows left out, by the variable that is missing first
    weights : precision of each row; None where all are one
    residuals : how residuals correlate or differ in variance; None where they do not
    """

    formula: Formula
    y: Array
    X: Array
    factors: tuple[Factor, ...]
    fixed: Encoding
    index: pd.Index[Any]
    dropped: Mapping[str, int]
    weights: Weights | None = None
    residuals: Residuals | None = None

    @property
    def root_weights(self) -> Array | None:
        """(n,) roots of the precision weights; None where all are one."""
        return None if self.weights is None else np.sqrt(self.weights.values)

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def x_names(self) -> tuple[str, ...]:
        """Names of the columns of X."""
        return self.fixed.names

    @property
    def x_intercept(self) -> int:
        """Index of the constant column of X, or -1."""
        return self.fixed.intercept

    @property
    def effects(self) -> tuple[tuple[str, str], ...]:
        """Grouping factor and name of each of the Q random effects, in the order of Lambda."""
        return tuple((factor.name, name) for factor in self.factors for name in factor.names)


@dataclass(frozen=True, slots=True)
class Weights:
    """Precision weights: the residual variance of a row is sigma^2 over its weight.

    Attributes
    ----------
    name : the column
    values : (n,) positive
    """

    name: str
    values: Array


def sole_factor(design: MixedDesign, what: str) -> Factor:
    """The grouping factor of a model with one; an error where there are several.

    Parameters
    ----------
    design : MixedDesign
    what : what can be done with one factor only, for the error
    """
    factor = design.factors[0]
    if len(design.factors) > 1 or factor.membership is not None:
        names = ", ".join(f.name for f in design.factors)
        several = "several grouping factors" if len(design.factors) > 1 else "multiple membership"
        raise OptionError(f"{what}: not yet for a model with {several} ({names})")
    return factor


def design(
    text: str,
    data: Table,
    memberships: Memberships | None = None,
    weights: str | None = None,
    residual: ResidualStructure | None = None,
    has_residual: bool = True,
) -> MixedDesign:
    """Read a formula, check the table, and make the arrays.

    Parameters
    ----------
    text : the formula
    data : any table
    memberships : grouping name to the groups of each row of the table, where these are several
    weights : column of precision weights
    residual : residual structure; with one, there need be no random term
    has_residual : the rows have a residual variance, from which the others must be told apart

    Returns
    -------
    MixedDesign

    Raises
    ------
    FormulaError
        The formula cannot be read.
    DataError
        The table lacks what the formula names; every fault is listed.
    DesignError
        The rows are fine, but the model cannot be estimated from them.
    OptionError
        A membership that the formula does not name.
    """
    formula = parse(text)
    several = dict(memberships or {})
    terms = _by_factor(formula, several, residual is not None)
    beside = (() if weights is None else (weights,)) + (residual.variables if residual else ())
    frame, kept, dropped = usable_rows(formula, data, several, beside)
    check_memberships(several, len(kept))
    pieces = [piece for own in terms.values() for term in own for piece in term.split()]
    fixed = "1" if formula.fixed == "1" else f"1 + {formula.fixed}"
    parts = {"response": formula.response, "fixed": fixed}
    parts |= {f"random{i}": piece for i, piece in enumerate(pieces)}
    plain = formula.response in frame.columns
    if plain:
        del parts["response"]
    coded = encode(parts, frame, formula.text)
    y = numbers(frame, formula.response) if plain else _one_column(coded["response"][0], formula)
    factors: list[Factor] = []
    first = 0
    for group, own in terms.items():
        count = sum(len(term.split()) for term in own)
        blocks = [coded[f"random{i}"] for i in range(first, first + count)]
        factors.append(_factor(group, own, blocks, frame, kept, several))
        first += count
    factors.sort(key=lambda factor: -factor.n_groups)
    check_estimable(formula.response, y, factors, has_residual)
    return MixedDesign(
        formula, y, coded["fixed"][0], tuple(factors), coded["fixed"][1], frame.index, dropped,
        None if weights is None else _weights(weights, frame),
        None if residual is None else bind_residuals(residual, frame, factors),
    )  # fmt: skip


def _weights(name: str, frame: pd.DataFrame) -> Weights:
    """A column of precision weights, each positive."""
    if not pd.api.types.is_numeric_dtype(frame[name].dtype):
        raise DesignError(f"column {name!r}: precision weights must be numbers")
    values = numbers(frame, name)
    wrong = np.flatnonzero(~(values > 0))
    if wrong.size:
        raise DesignError(
            f"column {name!r}: {wrong.size} precision weights are not positive, such as "
            f"{values[wrong[0]]:g} in row {frame.index[wrong[0]]!r}; a weight divides the "
            "variance, so leave such rows out"
        )
    return Weights(name, values)


def check_memberships(memberships: Memberships, rows: int) -> None:
    """Raise where a membership is none, or of another number of rows than the table."""
    for name, given in memberships.items():
        if not isinstance(given, Membership):
            raise OptionError(
                f"memberships: {name!r} is a {type(given).__name__}; make one by tl.membership, or "
                "by Membership(weights, levels)"
            )
    wrong = [f"{k!r} has {len(v)}" for k, v in memberships.items() if len(v) != rows]
    if wrong:
        raise DesignError(
            f"memberships: the table has {rows} rows, but {', '.join(wrong)}; make them from the "
            "same table, rows with missing values included"
        )


def _by_factor(formula: Formula, memberships: Memberships, may_be_none: bool) -> ByFactor:
    """The random terms by grouping variables; in whatever order these are named, one factor."""
    text = formula.text
    if not formula.random and not may_be_none:
        raise FormulaError(
            "there is no random term; add one such as (1 | school), or a residual structure, or "
            "fit a linear model with statsmodels' ols",
            text,
            len(text.rstrip()),
        )
    found: dict[frozenset[str], tuple[tuple[str, ...], list[RandomTerm]]] = {}
    for term in formula.random:
        if len(term.group) > 1 and set(term.group) & memberships.keys():
            raise FormulaError(
                f"{':'.join(term.group)} has no groups: rows belong to several groups of "
                f"{next(g for g in term.group if g in memberships)!r}",
                text,
                term.start,
                term.end,
            )
        found.setdefault(frozenset(term.group), (term.group, []))[1].append(term)
    named = {name for group in found for name in group}
    for name in memberships:
        if name not in named:
            raise OptionError(
                f"memberships: the formula has no random term by {name!r}; {nearest(name, named)}"
            )
    return dict(found.values())


def _factor(
    group: tuple[str, ...],
    own: list[RandomTerm],
    blocks: list[tuple[Array, Encoding]],
    frame: pd.DataFrame,
    kept: Mask,
    memberships: Memberships,
) -> Factor:
    """A factor with its groups, its columns, and how these were coded."""
    Z = blocks[0][0] if len(blocks) == 1 else np.column_stack([columns for columns, _ in blocks])
    sizes, compound = _blocks(own, [columns.shape[1] for columns, _ in blocks])
    encodings = tuple(encoding for _, encoding in blocks)
    name = ":".join(group)
    if name in memberships:
        used = memberships[name].at_rows(kept)
        return Factor(name, used.levels, None, used.weights, Z, sizes, encodings, group, compound)
    codes, levels = group_codes(frame, group)
    if isinstance(levels, pd.MultiIndex):
        levels = joined(levels, name)
    return Factor(name, levels, codes, None, Z, sizes, encodings, group, compound)


def _blocks(own: list[RandomTerm], columns: list[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes of the covariance blocks of a factor's terms, and which have compound symmetry.

    `columns` are those of each piece of the terms. One column alone has a variance and no more.
    """
    sizes: list[int] = []
    compound: list[int] = []
    structures = [term.structure for term in own for _ in term.split()]
    for structure, k in zip(structures, columns, strict=True):
        if structure == "cs" and k > 1:
            compound.append(len(sizes))
        sizes += [1] * k if structure == "diag" else [k]
    return tuple(sizes), tuple(compound)


def joined(keys: pd.MultiIndex, name: str) -> pd.Index[Any]:
    """One label for several: ``a:b``."""
    labels: Any = ""
    for i, (level, codes) in enumerate(zip(keys.levels, keys.codes, strict=True)):
        values = level.to_numpy(dtype=object)
        if level.inferred_type != "string":
            values = np.array([str(value) for value in values], dtype=object)
        text = values[codes]
        labels = text if i == 0 else labels + ":" + text
    index: pd.Index[Any] = pd.Index(labels, name=name)
    return index


def _one_column(columns: Array, formula: Formula) -> Array:
    if columns.shape[1] != 1:
        raise DesignError(
            f"the response {formula.response!r} gives {columns.shape[1]} columns; it must be one "
            "numeric variable"
        )
    return columns[:, 0]
