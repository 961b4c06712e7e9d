"""From the lower level to the upper: means, shares, spreads and counts by group."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from teamlink.data.center import group_means
from teamlink.data.schema import Key, as_frame, group_codes, names_of, numbers, validate
from teamlink.errors import DroppedRows, Faults, nearest
from teamlink.typing import Array, Codes, Table

__all__ = ["aggregate"]

Share: TypeAlias = Key | Mapping[str, Any]


def aggregate(
    data: Table,
    by: Key,
    *,
    mean: Key = (),
    share: Share = (),
    sd: Key = (),
    count: Key = (),
) -> pd.DataFrame:
    """Summarise the rows of each group in one row.

    Parameters
    ----------
    data : table
        n rows, one a lower-level unit (students).
    by : str or sequence of str
        The columns that identify the group (school).
    mean : str or sequence of str
        Columns whose mean is wanted, as ``<column>_mean``.
    share : str, sequence of str, or mapping
        Columns of 0 and 1 (or booleans) whose share of ones is wanted, as ``<column>_share``; or
        a mapping of columns to the category that is counted (or to a list of categories), as
        ``<column>_<category>_share``.
    sd : str or sequence of str
        Columns whose standard deviation is wanted (divisor: values minus one), as
        ``<column>_sd``; missing for a group with a single value.
    count : str or sequence of str
        Columns whose number of values that are not missing is wanted, as ``<column>_count``.

    Returns
    -------
    pandas.DataFrame
        A row for each group, in sorted order, indexed by `by`; the column ``n`` counts the rows
        of the group, then come the columns asked for. Means, shares and spreads are over the
        values that are not missing, and are missing where a group has none.

    Raises
    ------
    DataError
        Columns are missing or not numeric, a share is asked of other values than 0 and 1, or a
        category does not occur.

    Warns
    -----
    DroppedRows
        Rows without a group id belong to no group; they are left out and counted.

    Notes
    -----
    In R: ``aggregate(ses ~ school, students, mean)``. The index is found by its name in
    ``students.merge(schools, on="school")`` and wherever teamlink takes a table.

    Examples
    --------
    >>> import teamlink as tl
    >>> students = {
    ...     "school": ["a", "a", "b"],
    ...     "ses": [0.5, 1.5, -1.0],
    ...     "minority": [1, 0, 1],
    ...     "sector": ["Public", "Public", "Catholic"],
    ... }
    >>> tl.aggregate(students, by="school", mean="ses", share="minority").reset_index()
      school  n  ses_mean  minority_share
    0      a  2       1.0             0.5
    1      b  1      -1.0             1.0
    >>> shares = tl.aggregate(students, by="school", share={"sector": "Public"})
    >>> float(shares.loc["a", "sector_Public_share"])
    1.0
    """
    categories = dict(share) if isinstance(share, Mapping) else {}
    flags = [] if isinstance(share, Mapping) else names_of(share)
    means, sds, counts = names_of(mean), names_of(sd), names_of(count)
    validate(data, numeric=[*means, *sds, *flags], groups=[*names_of(by), *categories, *counts])
    frame = as_frame(data, [*names_of(by), *means, *flags, *categories, *sds, *counts])
    shares = _shares(frame, flags, categories)
    codes, levels = group_codes(frame, by)
    _warn_of_rows_without_group(codes, by)
    size = len(levels)
    columns: dict[str, Any] = {"n": np.bincount(codes[codes >= 0], minlength=size)}
    for name in means:
        columns[f"{name}_mean"] = group_means(numbers(frame, name), codes, size)
    for name, values in shares.items():
        columns[f"{name}_share"] = group_means(values, codes, size)
    for name in sds:
        columns[f"{name}_sd"] = group_sds(numbers(frame, name), codes, size)
    for name in counts:
        present = (codes >= 0) & frame[name].notna().to_numpy()
        columns[f"{name}_count"] = np.bincount(codes[present], minlength=size)
    return pd.DataFrame(columns, index=levels)


def group_sds(values: Array, codes: Codes, n_groups: int) -> Array:
    """Give the standard deviation of the available values of each group.

    Parameters
    ----------
    values : Array
        (n,); NaN marks a missing value.
    codes : Codes
        (n,), group of each row, 0 .. J-1; -1 for rows without a group.
    n_groups : int
        J.

    Returns
    -------
    Array
        (J,), divisor n_j - 1; NaN for a group with fewer than two values.

    Examples
    --------
    >>> import numpy as np
    >>> group_sds(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 1]), 2)
    array([1.41421356,        nan])
    """
    usable = (codes >= 0) & ~np.isnan(values)
    values, codes = values[usable], codes[usable]
    off = values - group_means(values, codes, n_groups)[codes]
    counts = np.bincount(codes, minlength=n_groups)
    sums = np.bincount(codes, weights=off**2, minlength=n_groups)
    variances: Array = np.full(n_groups, np.nan)
    np.divide(sums, counts - 1, out=variances, where=counts > 1)
    return np.sqrt(variances)


def _shares(
    frame: pd.DataFrame, flags: Sequence[str], categories: Mapping[str, Any]
) -> dict[str, Array]:
    """Give one column of 0, 1 and NaN for each share, by the name it will have."""
    faults = Faults()
    shares = {}
    for name in flags:
        values = numbers(frame, name)
        others = np.unique(values[~np.isin(values, (0.0, 1.0)) & ~np.isnan(values)])
        if len(others):
            shown = ", ".join(f"{value:g}" for value in others[:5])
            faults.add(
                f"a share needs 0 and 1, but there are: {shown}",
                f"column {name!r}",
                f"name the category, as in share={{{name!r}: {others[0]:g}}}",
            )
        shares[name] = values
    for name, wanted in categories.items():
        series = frame[name]
        for value in list(wanted) if isinstance(wanted, (list, tuple)) else [wanted]:
            matches = (series == value).to_numpy(dtype=np.float64, na_value=np.nan)
            if not np.nansum(matches):
                there = series.dropna().unique().tolist()
                faults.add(
                    f"no row has the value {value!r}",
                    f"column {name!r}",
                    nearest(str(value), [str(one) for one in there]),
                )
            matches[series.isna().to_numpy()] = np.nan
            shares[f"{name}_{value}"] = matches
    faults.raise_if_any()
    return shares


def _warn_of_rows_without_group(codes: Codes, by: Key) -> None:
    lost = int((codes < 0).sum())
    if lost:
        warnings.warn(
            f"{lost:,} of {len(codes):,} rows have no {' / '.join(names_of(by))} and were left out",
            DroppedRows,
            stacklevel=3,
        )
