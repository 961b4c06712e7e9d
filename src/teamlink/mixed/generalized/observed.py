"""A formula and a table become the arrays of a generalized mixed model.

The response is coded by what the family needs: zeros and ones or counts out of trials, counts,
numbers, or the codes of ordered categories. All else is read as for a linear mixed model.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from teamlink.data.schema import as_frame, numbers, validate
from teamlink.errors import DataError, DesignError, DroppedRows, Faults, FormulaError
from teamlink.mixed.design import design
from teamlink.mixed.encoding import Encoding
from teamlink.mixed.factor import Factor
from teamlink.syntax.formula import Formula, parse
from teamlink.typing import Array, Mask, Table

__all__ = ["GeneralizedDesign", "Roles", "read"]


@dataclass(frozen=True, slots=True)
class Roles:
    """Columns with a role of their own.

    Attributes
    ----------
    trials : number of trials of each row, for counts out of a number
    offset : what is added to the linear predictor
    weights : prior weights
    """

    trials: str | None = None
    offset: str | None = None
    weights: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that have a role."""
        return tuple(n for n in (self.trials, self.offset, self.weights) if n is not None)


@dataclass(frozen=True, slots=True)
class GeneralizedDesign:
    """The rows of a generalized mixed model.

    Attributes
    ----------
    formula : as parsed
    family : name of the family
    y : (n,) response: successes, counts, values, or codes of categories
    categories : labels of a response in categories, the lowest or the non-event first; else empty
    trials : (n,) number of trials; ones for anything but a binomial response
    offset : (n,)
    weights : (n,) prior weights, or None
    X : (n, p) fixed-effects columns; redundant ones are still among them
    factors : grouping factors, those with more groups first
    fixed : how X was coded
    roles : columns with a role of their own
    index : (n,) the table's row labels
    dropped : rows left out, by the variable that is missing first
    """

    formula: Formula
    family: str
    y: Array
    categories: tuple[Any, ...]
    trials: Array
    offset: Array
    weights: Array | None
    X: Array
    factors: tuple[Factor, ...]
    fixed: Encoding
    roles: Roles
    index: pd.Index[Any]
    dropped: Mapping[str, int]

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


def read(text: str, data: Table, family: str, roles: Roles) -> GeneralizedDesign:
    """Read a formula, check the table, and make the arrays.

    Parameters
    ----------
    text : the formula
    data : any table
    family : name of the family
    roles : columns with a role of their own

    Raises
    ------
    FormulaError
        The formula cannot be read.
    DataError
        The table lacks what is named; every fault is listed.
    DesignError
        The rows are fine, but the model cannot be estimated from them.
    """
    formula = parse(text)
    _refuse_compound(formula)
    frame = as_frame(data, list(dict.fromkeys([*formula.variables, *roles.names])))
    labels = frame.index
    frame = frame.reset_index(drop=True)
    frame, gone = _complete_roles(frame, roles)
    categories: tuple[Any, ...] = ()
    if formula.response in frame.columns:
        frame, categories = _coded_response(frame, formula.response, family)
    rows = design(text, frame, has_residual=False)
    # The table was numbered above, so the design's labels say which of its rows were used.
    places = rows.index.to_numpy()
    used = frame.loc[places]
    trials = np.ones(rows.n) if roles.trials is None else numbers(used, roles.trials)
    y, categories = _checked_response(rows.y, trials, categories, formula.response, family, roles)
    return GeneralizedDesign(
        formula, family, y, categories, trials,
        np.zeros(rows.n) if roles.offset is None else numbers(used, roles.offset),
        None if roles.weights is None else numbers(used, roles.weights),
        rows.X, rows.factors, rows.fixed, roles, labels[places], {**gone, **rows.dropped},
    )  # fmt: skip


def _refuse_compound(formula: Formula) -> None:
    """Raise where effects are to have compound symmetry, which is fitted for linear models only."""
    for term in formula.random:
        if term.structure == "cs":
            raise FormulaError(
                "cs() is not offered for a generalized model; leave out the name for an "
                "unstructured covariance, or write diag()",
                formula.text,
                term.start,
                term.end,
            )


def _complete_roles(frame: pd.DataFrame, roles: Roles) -> tuple[pd.DataFrame, dict[str, int]]:
    """Check the columns with a role, and leave out rows where one is missing."""
    if not roles.names:
        return frame, {}
    bounds: dict[str, tuple[float | None, float | None]] = {}
    if roles.trials is not None:
        bounds[roles.trials] = (0.0, None)
    if roles.weights is not None:
        bounds[roles.weights] = (0.0, None)
    validate(frame, numeric=roles.names, bounds=bounds)
    faults = Faults()
    for name in (roles.trials, roles.weights):
        if name is None:
            continue
        values = numbers(frame, name)
        if (values == 0).any():
            faults.add("some are zero", f"column {name!r}", "leave those rows out")
        if name == roles.trials and (values[np.isfinite(values)] % 1 != 0).any():
            faults.add("trials are whole numbers", f"column {name!r}")
    faults.raise_if_any()
    gone, missing = {}, np.zeros(len(frame), dtype=np.bool_)
    for name in roles.names:
        fresh: Mask = frame[name].isna().to_numpy() & ~missing
        if fresh.any():
            gone[name] = int(fresh.sum())
        missing |= fresh
    if gone:
        shown = ", ".join(f"{count} for {name!r}" for name, count in gone.items())
        warnings.warn(
            f"{int(missing.sum())} of {len(frame)} rows left out because of missing values "
            f"({shown})",
            DroppedRows,
            stacklevel=5,
        )
    return frame.loc[~missing], gone


def _coded_response(
    frame: pd.DataFrame, name: str, family: str
) -> tuple[pd.DataFrame, tuple[Any, ...]]:
    """The frame with a response in categories made numbers, and the categories."""
    series = frame[name]
    numeric = pd.api.types.is_numeric_dtype(series.dtype)
    if pd.api.types.is_bool_dtype(series.dtype):
        coded = series.astype("Float64").to_numpy(dtype=float, na_value=np.nan)
        return frame.assign(**{name: coded}), (False, True)
    if numeric or pd.api.types.infer_dtype(series.dropna()) in {"integer", "floating", "decimal"}:
        return frame, ()
    where = f"column {name!r}"
    if family not in {"binomial", "ordinal"}:
        return frame, ()
    ordered = isinstance(series.dtype, pd.CategoricalDtype) and series.cat.ordered
    if isinstance(series.dtype, pd.CategoricalDtype):
        labels = [c for c in series.cat.categories if (series == c).any()]
    else:
        labels = sorted(series.dropna().unique())
    faults = Faults()
    if family == "binomial" and len(labels) != 2:
        faults.add(
            f"it has {len(labels)} categories", where,
            "a binomial response has two; for ordered ones take family='ordinal'",
        )  # fmt: skip
    if family == "ordinal" and not ordered:
        faults.add(
            "its categories have no order", where,
            "make it an ordered pandas Categorical, or code it 1, 2, 3, ...",
        )  # fmt: skip
    faults.raise_if_any()
    codes = pd.Index(labels, dtype=object).get_indexer(series.astype(object)).astype(float)
    codes[codes < 0] = np.nan
    return frame.assign(**{name: codes}), tuple(labels)


def _checked_response(
    y: Array, trials: Array, categories: tuple[Any, ...], name: str, family: str, roles: Roles
) -> tuple[Array, tuple[Any, ...]]:
    """The response as the family counts it; an error where it cannot be of that family."""
    where = f"column {name!r}"
    if family == "ordinal":
        found, codes = np.unique(y, return_inverse=True)
        labels = categories or tuple(int(v) if v == int(v) else float(v) for v in found)
        labels = tuple(labels[int(v)] for v in found) if categories else labels
        if len(found) < 3:
            raise DesignError(
                f"{where}: it takes {len(found)} values; an ordinal response has three or more "
                "(for two take family='binomial')"
            )
        if not categories and (found % 1 != 0).any():
            raise DataError(f"{where}: an ordinal response is coded in whole numbers")
        return codes.astype(float), labels
    if family == "binomial":
        return _successes(y, trials, categories, where, roles)
    if family in {"poisson", "negative-binomial"}:
        if (y < 0).any() or (y % 1 != 0).any():
            raise DataError(
                f"{where}: counts are whole numbers from 0 on (for rates take the counts, and the "
                "logarithm of the exposure as offset)"
            )
        if not y.any():
            raise DesignError(f"{where}: all counts are zero; the likelihood has no maximum")
    if np.ptp(y) == 0:
        raise DesignError(f"{where}: the response is constant; there is no variance to model")
    return y, ()


def _successes(
    y: Array, trials: Array, categories: tuple[Any, ...], where: str, roles: Roles
) -> tuple[Array, tuple[Any, ...]]:
    """Number of successes of each row."""
    if roles.trials is None:
        if not np.isin(y, (0.0, 1.0)).all():
            raise DataError(
                f"{where}: without trials a binomial response is 0 or 1 (for counts or shares name "
                "the column of denominators: trials=...)"
            )
    elif (y % 1 != 0).any():
        counts = y * trials
        if ((y < 0) | (y > 1)).any() or (np.abs(counts - np.round(counts)) > 1e-6 * trials).any():
            raise DataError(
                f"{where}: shares of trials lie between 0 and 1, and times trials they are whole "
                "numbers"
            )
        y = np.round(counts)
    if ((y < 0) | (y > trials)).any():
        raise DataError(f"{where}: successes lie between 0 and the number of trials")
    if not y.any() or (y == trials).all():
        which = "no" if not y.any() else "every"
        raise DesignError(f"{where}: {which} trial is a success; the likelihood has no maximum")
    return y, categories
