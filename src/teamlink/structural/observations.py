"""The rows of a table that a model of structural equations uses, group by group."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from teamlink.data.schema import as_frame, numbers, validate
from teamlink.errors import DesignError, DroppedRows, Faults
from teamlink.typing import Array, Codes, Mask, Table

__all__ = ["Observations", "add_singular", "check_moments", "observe"]

_SINGULAR = 1e-10
"""An eigenvalue of a correlation matrix below this says that variables determine each other."""


@dataclass(frozen=True, eq=False, slots=True)
class Observations:
    """Rows used, by group.

    Attributes
    ----------
    names : p observed variables
    groups : labels, ("",) for one group
    values : per group (n_g, p), missing values as NaN
    rows : per group (n_g,) positions among the rows used
    index : (n,) labels of the rows used, in the order of the table
    clusters : per group (n_g,) codes, or None
    n_clusters : per group number of clusters, 0 without
    dropped : rows left out, by the variable missing first
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    values: tuple[Array, ...]
    rows: tuple[Codes, ...]
    index: pd.Index[Any]
    clusters: tuple[Codes, ...] | None
    n_clusters: tuple[int, ...]
    dropped: Mapping[str, int]

    @property
    def n_rows(self) -> int:
        """Rows in all groups."""
        return len(self.index)

    def columns(self, names: Sequence[str]) -> list[int]:
        """Places of variables."""
        return [self.names.index(name) for name in names]

    def why_different(self, other: Observations) -> str | None:
        """Why two likelihoods of these rows must not be compared; None where they may."""
        if set(self.names) != set(other.names):
            odd = sorted(set(self.names) ^ set(other.names))
            return f"they are models of different variables ({', '.join(odd)})"
        if not self.index.equals(other.index):
            return "they were fitted to different rows"
        order = other.columns(self.names)
        mine, theirs = self._in_order(), other._in_order()[:, order]
        if not np.array_equal(mine, theirs, equal_nan=True):
            return "the values of a variable differ"
        return None

    def _in_order(self) -> Array:
        """All values (n, p) in the order of the table."""
        found = np.empty((self.n_rows, len(self.names)))
        for rows, values in zip(self.rows, self.values, strict=True):
            found[rows] = values
        return found


def observe(
    data: Table, names: Sequence[str], group: str | None, cluster: str | None, complete: bool
) -> Observations:
    """Take the variables of a model from a table.

    Parameters
    ----------
    data : any table
    names : observed variables; ``x:z`` is the product of two columns, unless there is such a column
    group, cluster : columns that identify groups and clusters
    complete : leave out rows with a missing value; else only those without any value

    Raises
    ------
    DataError
        The table lacks a column, or one holds no numbers; every fault is listed.
    DesignError
        No row is left, a variable is constant, or variables determine each other.

    Warns
    -----
    DroppedRows
    """
    keys = [name for name in (group, cluster) if name is not None]
    Y = None if keys else _at_once(data, names)
    if Y is None or not isinstance(data, pd.DataFrame):
        frame = as_frame(data, [*_columns(data, names), *keys])
        plain = [str(name) for name in frame.columns if name not in keys]
        if not all(_numeric(frame[name]) for name in plain) or not len(frame):
            validate(frame, numeric=plain, groups=keys)
        Y = np.column_stack([_values(frame, name) for name in names])
    else:
        frame, plain = data, list(names)
    if np.isinf(Y).any():
        validate(frame, numeric=plain, groups=keys)
    gone, dropped = _incomplete(frame, Y, names, keys, complete)
    if gone.all():
        raise DesignError(f"no row is complete in {', '.join([*names, *keys])}")
    if gone.any():
        shown = ", ".join(f"{count} for {name!r}" for name, count in dropped.items())
        warnings.warn(
            f"{int(gone.sum())} of {len(frame)} rows left out because of missing values ({shown})",
            DroppedRows,
            stacklevel=4,
        )
        frame, Y = frame.loc[~gone, keys], Y[~gone]
    labels, codes = _codes(frame, group)
    rows = tuple(np.flatnonzero(codes == g) for g in range(len(labels)))
    clusters, counts = _clusters(frame, cluster, rows)
    return Observations(
        tuple(names), labels, tuple(Y[r] for r in rows), rows, frame.index, clusters, counts,
        dropped,
    )  # fmt: skip


def _columns(data: Table, names: Sequence[str]) -> list[str]:
    """Columns to take: the variables, and the factors of products that are no columns."""
    if not any(":" in name for name in names):
        return list(names)
    there = {str(name) for name in as_frame(data).columns}
    found: list[str] = []
    for name in names:
        found += [name] if name in there or ":" not in name else name.split(":")
    return list(dict.fromkeys(found))


def _at_once(data: Table, names: Sequence[str]) -> Array | None:
    """All variables (n, p), where they are plain columns of numbers in a pandas frame."""
    if not isinstance(data, pd.DataFrame) or not len(data) or not data.columns.is_unique:
        return None
    if not all(name in data.columns for name in names):
        return None
    columns = [data[name] for name in names]
    if all(isinstance(own.dtype, np.dtype) and own.dtype.kind in "fiub" for own in columns):
        return np.column_stack([own.to_numpy(dtype=np.float64) for own in columns])
    return None


def _values(frame: pd.DataFrame, name: str) -> Array:
    if name in frame.columns:
        return numbers(frame, name)
    product = np.ones(len(frame))
    for part in name.split(":"):
        product = product * numbers(frame, part)
    return product


def _numeric(series: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(series.dtype)


def _incomplete(
    frame: pd.DataFrame, Y: Array, names: Sequence[str], keys: list[str], complete: bool
) -> tuple[Mask, dict[str, int]]:
    """Which rows to leave out, and how many because of which variable first."""
    missing = np.isnan(Y)
    if not keys and not missing.any():
        return np.zeros(len(Y), dtype=np.bool_), {}
    columns = [(name, missing[:, i]) for i, name in enumerate(names)] if complete else []
    columns += [(key, np.asarray(frame[key].isna(), dtype=np.bool_)) for key in keys]
    if not complete:
        columns.append(("every variable", np.asarray(missing.all(axis=1))))
    gone: Mask = np.zeros(len(Y), dtype=np.bool_)
    dropped: dict[str, int] = {}
    for name, absent in columns:
        fresh = int((absent & ~gone).sum())
        if fresh:
            dropped[name] = fresh
            gone = gone | absent
    return gone, dropped


def _codes(frame: pd.DataFrame, group: str | None) -> tuple[tuple[str, ...], Codes]:
    """Labels of groups in the order in which they appear, and the group of each row."""
    if group is None:
        return ("",), np.zeros(len(frame), dtype=np.intp)
    codes, levels = pd.factorize(frame[group])
    return tuple(str(level) for level in levels), np.asarray(codes, dtype=np.intp)


def _clusters(
    frame: pd.DataFrame, cluster: str | None, rows: tuple[Codes, ...]
) -> tuple[tuple[Codes, ...] | None, tuple[int, ...]]:
    if cluster is None:
        return None, (0,) * len(rows)
    found, counts = [], []
    ids = frame[cluster]
    for own in rows:
        codes, levels = pd.factorize(ids.iloc[own], sort=True)
        found.append(np.asarray(codes, dtype=np.intp))
        counts.append(len(levels))
    return tuple(found), tuple(counts)


def check_moments(
    covariances: Sequence[Array], sizes: Sequence[int], names: Sequence[Sequence[str]],
    groups: Sequence[str],
) -> None:  # fmt: skip
    """Refuse data whose covariance is not positive definite, naming the variables.

    Parameters
    ----------
    covariances : per group (p, p)
    sizes : rows of each group
    names : variables of each group
    groups : labels

    Raises
    ------
    DesignError
    """
    faults = Faults()
    for S, n, own, label in zip(covariances, sizes, names, groups, strict=True):
        add_singular(faults, S, f"{n} rows", n, own, f"group {label!r}" if label else "the data")
    faults.raise_if_any(DesignError)


def add_singular(
    faults: Faults, S: Array, counted: str, n: int, names: Sequence[str], where: str
) -> None:
    """Add the faults of a covariance (p, p) that is not positive definite.

    Parameters
    ----------
    faults : to which they are added
    S : (p, p)
    counted : of what and how many it is, as in "30 rows"
    n : how many
    names : p variables
    where : in words
    """
    p = len(names)
    d = np.diag(S)
    flat = [name for name, value in zip(names, d, strict=True) if not value > 0]
    for name in flat:
        faults.add("it is constant", f"column {name!r} in {where}", "leave it out")
    if flat or not p:
        return
    if n <= p:
        faults.add(
            f"{counted} for {p} variables: their covariance is singular", where,
            "use fewer variables or more rows",
        )  # fmt: skip
        return
    correlation = S / np.sqrt(np.outer(d, d))
    if np.linalg.eigvalsh(correlation)[0] < _SINGULAR:
        Q = np.linalg.eigh(correlation)[1]
        tied = [name for name, q in zip(names, Q[:, 0], strict=True) if abs(q) > 1e-3]
        faults.add(
            f"{', '.join(tied)} determine each other: the covariance is not positive definite",
            where, "leave one of them out",
        )  # fmt: skip
