"""The rows of a table that a formula can use: checked, complete, and the rest counted."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from teamlink.data.schema import as_frame, numbers, validate
from teamlink.errors import DesignError, DroppedRows
from teamlink.syntax.formula import Formula
from teamlink.typing import Mask, Table

__all__ = ["usable_rows"]


def usable_rows(
    formula: Formula,
    data: Table,
    elsewhere: Collection[str] = (),
    beside: Sequence[str] = (),
) -> tuple[pd.DataFrame, Mask, dict[str, int]]:
    """Take the columns of a formula from a table, and the rows that are complete in them.

    Parameters
    ----------
    formula : Formula
    data : any table
    elsewhere : variables of the formula that are no columns of the table
    beside : further columns that are needed

    Returns
    -------
    frame : the complete rows
    kept : (rows of the table,) which these are
    dropped : how many rows were left out, by the variable that is missing first

    Raises
    ------
    DataError
        The table lacks what the formula names, or holds what no model can use.
    DesignError
        No row is complete.

    Warns
    -----
    DroppedRows
    """
    needed = [name for name in formula.variables if name not in elsewhere]
    frame = as_frame(data, list(dict.fromkeys([*needed, *beside])))
    columns = {str(name): series for name, series in frame.items()}
    doubtful = [name for name, series in columns.items() if not _sound(series)]
    response = columns.get(formula.response)
    if doubtful or not len(frame) or (response is not None and not _plain(response, "iuf")):
        _validate(formula, frame, doubtful)
    frame, kept, dropped = _complete(frame, doubtful)
    objects = [name for name in columns if _numbers_as_objects(columns[name], formula)]
    if objects:
        frame = frame.assign(**{name: numbers(frame, name) for name in objects})
    return frame, kept, dropped


def _plain(series: pd.Series[Any], kinds: str) -> bool:
    return isinstance(series.dtype, np.dtype) and series.dtype.kind in kinds


def _sound(series: pd.Series[Any]) -> bool:
    """Whether a column surely holds no missing and no infinite value, at the least cost."""
    if _plain(series, "iub"):
        return True
    if _plain(series, "f"):
        with np.errstate(invalid="ignore"):
            # A sum is finite only if every addend is.
            return bool(np.isfinite(series.to_numpy().sum()))
    return not series.isna().to_numpy().any()


def _validate(formula: Formula, frame: pd.DataFrame, doubtful: list[str]) -> None:
    """Report everything in the table that no model could use."""
    groups = {name for term in formula.random for name in term.group}
    numeric = [formula.response] if formula.response in frame.columns else []
    numeric += [
        name
        for name in doubtful
        if name not in groups and pd.api.types.is_float_dtype(frame[name].dtype)
    ]
    others = [name for name in doubtful if name not in numeric]
    validate(frame, numeric=list(dict.fromkeys(numeric)), groups=others)


def _complete(
    frame: pd.DataFrame, doubtful: list[str]
) -> tuple[pd.DataFrame, Mask, dict[str, int]]:
    """Leave out rows with missing values; say how many, and because of which variable first."""
    gone: Mask = np.zeros(len(frame), dtype=np.bool_)
    dropped: dict[str, int] = {}
    for name in doubtful:
        missing: Mask = frame[name].isna().to_numpy()
        fresh = int((missing & ~gone).sum())
        if fresh:
            dropped[name] = fresh
        gone |= missing
    if not dropped:
        return frame, ~gone, dropped
    if gone.all():
        raise DesignError(
            f"no row is complete in {', '.join(map(str, frame.columns))}; "
            "every row has a missing value in at least one of them"
        )
    shown = ", ".join(f"{count} for {name!r}" for name, count in dropped.items())
    warnings.warn(
        f"{int(gone.sum())} of {len(frame)} rows left out because of missing values ({shown})",
        DroppedRows,
        stacklevel=5,
    )
    return frame.loc[~gone], ~gone, dropped


def _numbers_as_objects(series: pd.Series[Any], formula: Formula) -> bool:
    """Whether numbers are held as Python objects, which would be coded as categories."""
    if series.dtype != object or any(series.name in term.group for term in formula.random):
        return False
    return pd.api.types.infer_dtype(series) in {"integer", "floating", "decimal"}
