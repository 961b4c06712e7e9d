"""What a table must hold for a growth curve; every fault in one error."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from teamlink.data.schema import as_frame, numbers, validate
from teamlink.errors import DataError, DesignError, Faults
from teamlink.growth.specification import Specification
from teamlink.typing import Array, Table

__all__ = ["checked_rows"]


def checked_rows(
    data: Table,
    spec: Specification,
    time: str,
    coefficients: Sequence[str],
    knots: Sequence[float],
    *,
    nested: bool,
    grouped: bool,
    ordered: bool,
    occasions: bool,
) -> pd.DataFrame:
    """Check a table for a growth curve and take the rows that the fit will use.

    Parameters
    ----------
    data : any table
    spec : Specification
    time : column
    coefficients : names of the growth coefficients
    knots : of a piecewise coding
    nested : whether a unit may belong to one group only
    grouped : whether the group is a column of the table
    ordered : whether the groups of a unit are taken in the order of time
    occasions : whether a unit needs more occasions than random growth coefficients

    Returns
    -------
    DataFrame
        The rows that are complete in the columns of the curve.

    Raises
    ------
    DataError, DesignError
        Every fault is listed; a `DesignError` where the columns as such are fine.
    """
    faults = Faults()
    keys = [spec.unit, *([spec.group] if grouped and spec.group is not None else [])]
    columns = list(dict.fromkeys([spec.outcome, time, *keys, *spec.covariates]))
    complete = [*keys, time] if ordered else [spec.unit]
    unique = [spec.unit, time] if ordered else []
    try:
        validate(
            data,
            numeric=[spec.outcome, time],
            groups=[*keys, *spec.covariates],
            complete=complete,
            unique=unique,
        )
    except DataError as error:
        faults.found.extend(error.faults)
    unsound = bool(faults)
    bad = {fault.where for fault in faults.found}
    have = [name for name in columns if f"column {name!r}" not in bad]
    frame = as_frame(data, have) if have else pd.DataFrame()
    if spec.unit in have:
        group = keys[1] if len(keys) > 1 and keys[1] in have else None
        if group is not None and nested:
            _one_group(frame, spec.unit, group, faults)
        fixed = [name for name in spec.invariant if name in have and name not in keys]
        _invariant(frame, fixed, spec.unit, group, faults)
    rows = frame.dropna()
    if have and not len(rows) and not unsound:
        faults.add("no row is complete", f"columns {', '.join(map(repr, have))}")
    elif time in have and len(rows):
        times = numbers(rows, time)
        _shape(times, time, len(coefficients), faults)
        _knots(times, time, knots, faults)
        if spec.unit in have:
            _within(rows[spec.unit], times, time, spec, occasions, faults)
    faults.raise_if_any(DataError if unsound else DesignError)
    return rows


def _some(values: Sequence[Any] | pd.Index[Any], most: int = 5) -> str:
    shown = ", ".join(repr(value) for value in list(values[:most]))
    return shown + (", …" if len(values) > most else "")


def _varying(frame: pd.DataFrame, name: str, by: str) -> pd.Index[Any]:
    """Groups within which a column has several values."""
    pairs = frame[[by, name]].dropna().drop_duplicates()
    several: pd.Index[Any] = pd.Index(pairs.loc[pairs[by].duplicated(), by].drop_duplicates())
    return several


def _one_group(frame: pd.DataFrame, unit: str, group: str, faults: Faults) -> None:
    movers = _varying(frame, group, unit)
    if len(movers):
        faults.add(
            f"{len(movers)} unit{'s'[: len(movers) > 1]} with more than one {group!r}: "
            f"{_some(movers.tolist())}",
            f"column {unit!r}",
            "say by movers= how the groups of a unit that moves count: 'acute', 'cumulative' or "
            f"'share'; or, if ids repeat in every {group!r}, give each unit its own id",
        )


def _invariant(
    frame: pd.DataFrame, names: Sequence[str], unit: str, group: str | None, faults: Faults
) -> None:
    """A predictor is constant within units, or within groups, which movers may change."""
    for name in names:
        units = _varying(frame, name, unit)
        if len(units) and (group is None or len(_varying(frame, name, group))):
            faults.add(
                f"not constant within {len(units)} unit{'s'[: len(units) > 1]} of {unit!r}: "
                f"{_some(units.tolist())}",
                f"column {name!r}",
                "name it in time_varying, or correct it",
            )


def _shape(times: Array, time: str, K: int, faults: Faults) -> None:
    distinct = len(np.unique(times))
    if distinct < K:
        faults.add(
            f"{distinct} different time{'s'[: distinct > 1]} for {K} growth coefficients",
            f"column {time!r}",
            "choose a simpler shape",
        )


def _knots(times: Array, time: str, knots: Sequence[float], faults: Faults) -> None:
    if not len(knots):
        return
    where = "knots"
    k = np.asarray(knots, dtype=float)
    if not np.isfinite(k).all() or (np.diff(k) <= 0).any():
        faults.add(f"not in increasing order: {list(knots)}", where, "sort them, each once")
        return
    if not len(times):
        return
    first, last = times.min(), times.max()
    outside = k[(k <= first) | (k >= last)]
    if len(outside):
        faults.add(
            f"{_some(outside.tolist())} outside the times {first:g} to {last:g}, ends excluded",
            where,
            f"choose knots within the range of {time!r}",
        )
        return
    for low, high in pairwise(k):
        if not ((times > low) & (times <= high)).any():
            faults.add(
                f"no occasion between {low:g} and {high:g}", where, "leave one of the two out"
            )


def _within(
    units: pd.Series[Any],
    times: Array,
    time: str,
    spec: Specification,
    occasions: bool,
    faults: Faults,
) -> None:
    """Units need times that vary, and enough of them."""
    held = pd.Series(times).groupby(units.to_numpy())
    distinct, rows = int(held.nunique().max()), int(held.size().max())
    if distinct == 1:
        faults.add(
            f"does not vary within any {spec.unit!r}",
            f"column {time!r}",
            "a growth curve needs units with several occasions",
        )
    elif occasions and (distinct < len(spec.random) or rows <= len(spec.random)):
        faults.add(
            f"no unit has more than {rows} occasion{'s'[: rows > 1]}, at {distinct} times, but "
            f"{len(spec.random)} growth coefficients vary over units: {', '.join(spec.random)}",
            f"column {spec.unit!r}",
            "let fewer vary, such as random='intercept'",
        )
