"""What a table must hold: columns, kinds, nesting, ranges; one error reports every fault.

Tables of any kind enter here and leave as pandas frames. `as_frame` shares memory with a pandas
input, so its result is for reading: build new columns on a new frame.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import narwhals as nw
import numpy as np
import pandas as pd
from narwhals.exceptions import DuplicateError
from numpy.typing import NDArray

from teamlink.errors import DataError, Faults, nearest
from teamlink.typing import Array, Codes, Mask, Table

__all__ = ["as_frame", "group_codes", "names_of", "numbers", "validate"]

Key: TypeAlias = str | Sequence[str]
"""One column, or several that identify a group together."""

Bounds: TypeAlias = Mapping[str, tuple[float | None, float | None]]
"""Column to (lowest, highest) value allowed; None leaves that side open."""

NUMBER_KINDS = frozenset({"integer", "floating", "mixed-integer-float", "decimal", "boolean"})


def as_frame(data: Table, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Turn a table of any kind into a pandas frame, without copying more than needed.

    Parameters
    ----------
    data : table
        Any frame that narwhals understands (pandas, polars, pyarrow, lazy frames, ...), or a
        mapping of column names to equally long sequences. n rows.
    columns : sequence of str, optional
        The columns wanted, in this order; all of them when None. Only these are converted. A
        named level of a pandas index counts as a column, unless a column has that name.

    Returns
    -------
    pandas.DataFrame
        n rows. For a pandas input the index is kept and the columns share its memory.

    Raises
    ------
    DataError
        `data` is no table, or columns are missing or ambiguous; one fault for each.

    Examples
    --------
    >>> import teamlink as tl
    >>> as_frame({"school": ["a", "b"], "ses": [0.1, -0.4]}, ["ses"])
       ses
    0  0.1
    1 -0.4
    >>> as_frame({"school": ["a", "b"]}, ["shcool"])
    Traceback (most recent call last):
    teamlink.errors.DataError: column 'shcool': there is no such column (did you mean 'school'?)
    """
    wanted = None if columns is None else list(dict.fromkeys(names_of(columns)))
    if isinstance(data, Mapping):
        data = _frame_of_mapping(data)
    if isinstance(data, pd.DataFrame):
        if wanted is None:
            return data
        _check_present(_columns_of(data), wanted)
        columns_of_data = {name: _column(data, name) for name in wanted}
        return pd.DataFrame(columns_of_data, index=data.index, copy=False)
    return _frame_of_native(data, wanted)


def names_of(columns: Key) -> list[str]:
    """Give the column names in `columns`, which may be one name or a sequence of names.

    Examples
    --------
    >>> names_of("ses"), names_of(("school", "wave"))
    (['ses'], ['school', 'wave'])
    """
    return [columns] if isinstance(columns, str) else list(columns)


def numbers(frame: pd.DataFrame, column: str) -> Array:
    """Give a numeric column as float64, missing values as NaN.

    Parameters
    ----------
    frame : pandas.DataFrame
        n rows.
    column : str
        A column of numbers or booleans; `validate(..., numeric=[column])` tells beforehand.

    Returns
    -------
    Array
        (n,). Shares memory with the frame where the column is float64 already.

    Examples
    --------
    >>> import pandas as pd
    >>> numbers(pd.DataFrame({"n": pd.array([1, None], dtype="Int64")}), "n")
    array([ 1., nan])
    """
    series = frame[column]
    if isinstance(series.dtype, np.dtype) and series.dtype != object:
        return series.to_numpy(dtype=np.float64)
    return series.to_numpy(dtype=np.float64, na_value=np.nan)


def group_codes(frame: pd.DataFrame, by: Key) -> tuple[Codes, pd.Index[Any]]:
    """Give each row the number of its group, by one column or by several taken together.

    Parameters
    ----------
    frame : pandas.DataFrame
        n rows.
    by : str or sequence of str
        The columns that identify a group; at least one.

    Returns
    -------
    codes : Codes
        (n,), 0 .. J-1, and -1 where any of the columns is missing.
    levels : pandas.Index
        (J,), the group ids in sorted order; a MultiIndex for several columns.

    Examples
    --------
    >>> import pandas as pd
    >>> group_codes(pd.DataFrame({"school": ["b", None, "a", "b"]}), "school")[0]
    array([ 1, -1,  0,  1])
    """
    names = names_of(by)
    if not names:
        raise DataError("no column that identifies the groups was named")
    parts = [_codes_of(frame[name]) for name in names]
    if len(parts) == 1:
        codes, uniques = parts[0]
        return codes, pd.Index(uniques, name=names[0])
    return _crossed_codes(names, parts)


def validate(
    table: Table,
    *,
    numeric: Key = (),
    groups: Key = (),
    complete: Key = (),
    nested: Sequence[tuple[str, str]] = (),
    bounds: Bounds | None = None,
    unique: Key = (),
) -> pd.DataFrame:
    """Check what a table must hold, and report every fault in one error.

    Parameters
    ----------
    table : table
        Any frame that narwhals understands, or a mapping of columns. n rows.
    numeric : str or sequence of str
        Columns that must hold finite numbers. Missing values are allowed, but not only them.
    groups : str or sequence of str
        Columns that identify groups. Missing ids are allowed, but not only them.
    complete : str or sequence of str
        Columns in which nothing may be missing.
    nested : sequence of (lower, upper)
        Pairs of columns in which each lower group must belong to one upper group only, as in
        ``[("student", "school")]``.
    bounds : mapping of str to (lowest, highest), optional
        Range allowed for a numeric column, both ends included; None leaves an end open.
    unique : str or sequence of str
        Columns which together must identify a row: no combination may come twice.

    Returns
    -------
    pandas.DataFrame
        The columns named in any of the demands, or the whole table when there are no demands.

    Raises
    ------
    DataError
        At least one demand is not met. Its `faults` list all of them.

    Examples
    --------
    >>> import teamlink as tl
    >>> students = {"math": [9.0, float("inf")], "pupil": [1, 1], "school": ["a", "b"]}
    >>> tl.validate(students, numeric=["math", "ses"], nested=[("pupil", "school")])
    Traceback (most recent call last):
    teamlink.errors.DataError: 3 faults in the data:
      1. column 'ses': there is no such column (there are: math, pupil, school)
      2. column 'math': 1 infinite value, at row 1 (replace it or set it to missing)
      3. column 'pupil': 1 group of 'pupil' occurs in more than one 'school': 1 (give each ...)
    """
    bounds = dict(bounds or {})
    key = names_of(unique)
    pairs = [name for pair in nested for name in pair]
    wanted = _union(numeric, bounds, groups, complete, pairs, key)
    faults = Faults()
    frame = _what_there_is(table, wanted, faults)
    have = set(frame.columns)
    if not len(frame):
        faults.add("the table has no rows", remedy="check the file, or the filter that made it")
        faults.raise_if_any()
    for name in wanted:
        if name in have and frame[name].isna().all():
            faults.add("all values are missing", f"column {name!r}", "check how it was read")
            have.discard(name)
    for name in _union(numeric, bounds):
        if name in have:
            _check_numeric(frame, name, bounds.get(name, (None, None)), faults)
    for name in names_of(complete):
        if name in have:
            _check_complete(frame[name], name, faults)
    for lower, upper in nested:
        if {lower, upper} <= have:
            _check_nested(frame, lower, upper, faults)
    if key and set(key) <= have:
        _check_unique(frame, key, faults)
    faults.raise_if_any()
    return frame


def _union(*keys: Key | Bounds) -> list[str]:
    return list(
        dict.fromkeys(
            name
            for key in keys
            for name in names_of(tuple(key) if not isinstance(key, str) else key)
        )
    )


def _what_there_is(table: Table, wanted: list[str], faults: Faults) -> pd.DataFrame:
    """Give the wanted columns that exist, noting those that do not."""
    if not wanted:
        frame = as_frame(table)
        _note_duplicates(list(frame.columns), None, faults)
        return frame
    if isinstance(table, Mapping):
        table = _frame_of_mapping(table)
    present = _columns_of(table)
    _note_missing(present, wanted, faults)
    _note_duplicates(present, wanted, faults)
    usable = [name for name in wanted if present.count(name) == 1]
    if usable:
        return as_frame(table, usable)
    faults.raise_if_any()
    return as_frame(table)


def _columns_of(table: Table) -> list[Hashable]:
    if isinstance(table, pd.DataFrame):
        levels = [level for level in table.index.names if level is not None]
        return [*table.columns, *(level for level in levels if level not in table.columns)]
    return list(_narwhal(table).collect_schema().names())


def _column(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    if name in frame.columns:
        return frame[name]
    return pd.Series(frame.index.get_level_values(name), index=frame.index)


def _check_present(present: list[Hashable], wanted: list[str]) -> None:
    faults = Faults()
    _note_missing(present, wanted, faults)
    _note_duplicates(present, wanted, faults)
    faults.raise_if_any()


def _note_missing(present: list[Hashable], wanted: list[str], faults: Faults) -> None:
    for name in wanted:
        if name not in present:
            hint = nearest(str(name), [str(p) for p in present])
            faults.add("there is no such column", f"column {name!r}", hint)


def _note_duplicates(present: list[Hashable], wanted: list[str] | None, faults: Faults) -> None:
    for name in dict.fromkeys(present):
        times = present.count(name)
        if times > 1 and (wanted is None or name in wanted):
            faults.add(f"{times} columns have this name", f"column {name!r}", "rename all but one")


def _frame_of_mapping(data: Mapping[Any, Any]) -> pd.DataFrame:
    lengths = {name: len(v) for name, v in data.items() if hasattr(v, "__len__")}
    if len(lengths) < len(data) or any(isinstance(v, str) for v in data.values()):
        raise DataError("each column of a mapping must be a sequence of values")
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name!r} has {n}" for name, n in lengths.items())
        raise DataError(f"the columns differ in length: {shown}")
    return pd.DataFrame(dict(data), copy=False)


def _narwhal(data: Table) -> nw.DataFrame[Any] | nw.LazyFrame[Any]:
    try:
        frame: nw.DataFrame[Any] | nw.LazyFrame[Any] = nw.from_native(data)
    except DuplicateError as error:
        shown = " ".join(str(error).split())
        raise DataError(f"several columns have the same name: {shown}") from error
    except TypeError as error:
        kind = f"{type(data).__module__}.{type(data).__qualname__}"
        raise DataError(
            f"{kind} is not a table; pass a pandas, polars or pyarrow frame, or a dict of columns"
        ) from error
    return frame


def _frame_of_native(data: Table, wanted: list[str] | None) -> pd.DataFrame:
    frame = _narwhal(data)
    if wanted is not None:
        _check_present(list(frame.collect_schema().names()), wanted)
        frame = frame.select(wanted)
    eager = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    try:
        return eager.to_pandas()
    except ImportError:
        # polars needs pyarrow for its own conversion, and pyarrow is an optional dependency here
        return pd.DataFrame({name: eager[name].to_numpy() for name in eager.columns}, copy=False)


def _codes_of(series: pd.Series[Any]) -> tuple[Codes, Any]:
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "iu" and len(series):
        values = series.to_numpy()
        low, high = int(values.min()), int(values.max())
        if high - low < 4 * len(values) and high < 2**62:
            return _codes_of_integers(values, low, high)
    codes, uniques = pd.factorize(series, sort=True)
    return np.asarray(codes, dtype=np.intp), uniques


def _codes_of_integers(values: NDArray[Any], low: int, high: int) -> tuple[Codes, NDArray[Any]]:
    """Look ids up in a table of their range: ten times as fast as hashing them."""
    places = values.astype(np.intp) - low
    occurs = np.zeros(high - low + 1, dtype=np.bool_)
    occurs[places] = True
    rank = np.cumsum(occurs) - 1
    return rank[places], (np.flatnonzero(occurs) + low).astype(values.dtype)


def _crossed_codes(names: list[str], parts: list[tuple[Any, Any]]) -> tuple[Codes, pd.MultiIndex]:
    """Code the combinations that occur: mixed-radix codes, then made dense."""
    missing: Mask = np.any([codes < 0 for codes, _ in parts], axis=0)
    flat = np.zeros(len(missing), dtype=np.int64)
    for codes, uniques in parts:
        flat = flat * len(uniques) + codes
    kept, dense = np.unique(flat[~missing], return_inverse=True)
    out = np.full(len(missing), -1, dtype=np.intp)
    out[~missing] = dense
    digits: list[Any] = []
    for _, uniques in reversed(parts):
        kept, digit = np.divmod(kept, len(uniques))
        digits.append(digit)
    levels = [pd.Index(uniques) for _, uniques in parts]
    return out, pd.MultiIndex(levels, digits[::-1], names=names, verify_integrity=False)


def _check_numeric(
    frame: pd.DataFrame, name: str, limits: tuple[float | None, float | None], faults: Faults
) -> None:
    where = f"column {name!r}"
    series = frame[name]
    if not _holds_numbers(series):
        kind, remedy = _not_numeric(series)
        faults.add(kind, where, remedy)
        return
    values = numbers(frame, name)
    infinite: Mask = np.isinf(values)
    if infinite.any():
        count = _count(infinite, "infinite value")
        faults.add(
            f"{count}, at {_rows(frame, infinite)}", where, "replace it or set it to missing"
        )
    low, high = limits
    outside: Mask = np.zeros(len(values), dtype=np.bool_)
    if low is not None:
        outside |= values < low
    if high is not None:
        outside |= values > high
    outside &= ~infinite
    if outside.any():
        span = f"{'-inf' if low is None else low} to {'inf' if high is None else high}"
        faults.add(
            f"{_count(outside, 'value')} outside {span}, at {_rows(frame, outside)}: "
            f"{_some(series[outside])}",
            where,
            "correct it or set it to missing",
        )


def _holds_numbers(series: pd.Series[Any]) -> bool:
    if pd.api.types.is_complex_dtype(series.dtype):
        return False
    if pd.api.types.is_numeric_dtype(series.dtype):
        return True
    if series.dtype != object:
        return False
    return pd.api.types.infer_dtype(series, skipna=True) in NUMBER_KINDS


def _not_numeric(series: pd.Series[Any]) -> tuple[str, str]:
    present = series.dropna()
    if isinstance(series.dtype, pd.CategoricalDtype):
        return f"categories where numbers are needed: {_some(present)}", "code it as numbers"
    as_number = pd.to_numeric(present.astype(str), errors="coerce")
    text = present[as_number.isna()]
    if pd.api.types.is_datetime64_any_dtype(series.dtype) or text.empty:
        return f"{series.dtype} where numbers are needed: {_some(present)}", "convert it"
    return (
        f"{len(text)} of {len(present)} values are not numbers: {_some(text)}",
        "recode them, or set them to missing",
    )


def _check_complete(series: pd.Series[Any], name: str, faults: Faults) -> None:
    missing: Mask = series.isna().to_numpy()
    if missing.any():
        faults.add(
            f"{_count(missing, 'missing value')}, at {_rows(series, missing)}",
            f"column {name!r}",
            "fill it or drop the row",
        )


def _check_nested(frame: pd.DataFrame, lower: str, upper: str, faults: Faults) -> None:
    pairs = frame[[lower, upper]].dropna().drop_duplicates()
    several = pairs.loc[pairs[lower].duplicated(), lower].drop_duplicates()
    if len(several):
        groups = f"{len(several)} group{'s'[: len(several) > 1]} of {lower!r}"
        faults.add(
            f"{groups} occur{'' if len(several) > 1 else 's'} in more than one {upper!r}: "
            f"{_some(several)}",
            f"column {lower!r}",
            f"give each group its own id if ids repeat in every {upper!r}, "
            "or use a crossed design if members do move",
        )


def _check_unique(frame: pd.DataFrame, key: list[str], faults: Faults) -> None:
    again: Mask = frame.duplicated(subset=key).to_numpy()
    if again.any():
        faults.add(
            f"{_count(again, 'row')} repeat{'' if again.sum() > 1 else 's'} an earlier one, "
            f"at {_rows(frame, again)}",
            f"column{'s'[: len(key) > 1]} {', '.join(map(repr, key))}",
            "keep one row for each, or add the column that tells them apart",
        )


def _count(mask: Mask, noun: str) -> str:
    count = int(mask.sum())
    return f"{count:,} {noun}{'s'[: count > 1]}"


def _rows(frame: pd.DataFrame | pd.Series[Any], mask: Mask, most: int = 5) -> str:
    """Name the first rows by their index labels."""
    labels = frame.index[mask]
    shown = ", ".join(str(label) for label in labels[:most])
    return f"row{'s'[: len(labels) > 1]} {shown}{', …' if len(labels) > most else ''}"


def _some(values: pd.Series[Any], most: int = 5) -> str:
    """Show a few different values, in the order in which they occur."""
    different = values.drop_duplicates()
    shown = ", ".join(repr(value) for value in different.head(most).tolist())
    return shown + (", …" if len(different) > most else "")
