"""The table of a mediation model: where each column varies, and what has to be made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from teamlink.data.schema import group_codes, numbers, validate
from teamlink.errors import DataError, Faults
from teamlink.mediation.specification import Specification
from teamlink.typing import Array, Codes, Table

__all__ = ["Variables", "take"]


@dataclass(frozen=True, slots=True)
class Variables:
    """The columns of a model, checked.

    Attributes
    ----------
    frame : DataFrame
        What the model is fitted to: rows, or clusters where the design has but those.
    spec : Specification
    varies : mapping
        Column to whether it varies within clusters; in a design without clusters nothing does.
    spread : DataFrame
        ``variable, column, icc1, size, icc2``, of each column that varies within clusters.
    n_clusters : int
        Number of clusters, or of rows where there are none.
    made : mapping
        Column to the names of its deviation from and of its mean in the cluster.
    """

    frame: pd.DataFrame
    spec: Specification
    varies: Mapping[str, bool]
    spread: pd.DataFrame
    n_clusters: int
    made: Mapping[str, tuple[str, str]]

    def stands(self, name: str, level: str) -> bool:
        """Whether a variable of the path has a part at a level."""
        if level != "within":
            return True
        return any(self.varies[column] for column in self.spec.columns(name))

    def covariates(self, level: str) -> list[str]:
        """Covariates at a level."""
        if not self.spec.design.two_level:
            return list(self.spec.covariates)
        placed = {
            name: place or ("both" if self.varies[name] else "between")
            for name, place in self.spec.covariates.items()
        }
        return [name for name, place in placed.items() if place in (level, "both")]

    def inner(self, name: str) -> str:
        """The column by which a variable acts within clusters, where slopes are random."""
        return self.made[name][0] if name in self.made else name

    def outer(self, name: str) -> str:
        """The column by which a variable acts between clusters, where slopes are random."""
        return self.made[name][1] if name in self.made else name

    def mean(self, name: str) -> str:
        """The column of cluster means."""
        return self.made[name][1]


def take(data: Table, spec: Specification) -> Variables:
    """Take the columns of a model from a table.

    Raises
    ------
    DataError
        Columns are missing, hold no numbers, or vary at the wrong level; every fault is listed.
    """
    faults = Faults()
    frame = _checked(data, spec, faults)
    there = [name for name in spec.all_columns if name in frame.columns]
    codes, J = _clusters(frame, spec)
    varies = {name: _varies(numbers(frame, name), codes, J) for name in there}
    if spec.cluster is not None:
        if J < 2:
            faults.add(f"{J} cluster", f"column {spec.cluster!r}", "two levels need more")
        _check_levels(spec, varies, numbers_of(frame, there), codes, faults)
    faults.raise_if_any()
    spread = _spread(spec, frame, varies, codes, J)
    made: dict[str, tuple[str, str]] = {}
    if spec.design.name == "2-2-2" and spec.cluster is not None:
        frame = _means(frame, spec, codes, J)
    elif spec.random_slopes:
        frame, made = _centred(frame, spec, varies, codes, J)
    return Variables(frame, spec, varies, spread, J, made)


def _checked(data: Table, spec: Specification, faults: Faults) -> pd.DataFrame:
    """The columns that are there and hold numbers; what is wrong with others is noted.

    Raises
    ------
    DataError
        Nothing is left of which more could be told.
    """
    keys = [] if spec.cluster is None else [spec.cluster]
    try:
        return validate(data, numeric=spec.all_columns, groups=keys)
    except DataError as error:
        faults.found.extend(error.faults)
    bad = {fault.where for fault in faults.found}
    fine = [name for name in spec.all_columns if f"column {name!r}" not in bad]
    if not fine or any(f"column {key!r}" in bad for key in keys):
        faults.raise_if_any()
    try:
        return validate(data, numeric=fine, groups=keys)
    except DataError:
        faults.raise_if_any()
        raise


def numbers_of(frame: pd.DataFrame, names: list[str]) -> dict[str, Array]:
    """Columns as numbers."""
    return {name: numbers(frame, name) for name in names}


def _clusters(frame: pd.DataFrame, spec: Specification) -> tuple[Codes, int]:
    if spec.cluster is None:
        return np.arange(len(frame), dtype=np.intp), len(frame)
    codes, levels = group_codes(frame, spec.cluster)
    return codes, len(levels)


def _varies(values: Array, codes: Codes, J: int) -> bool:
    """Whether any cluster holds two different values; missing ones do not count."""
    known = ~np.isnan(values) & (codes >= 0)
    low, high = np.full(J, np.inf), np.full(J, -np.inf)
    np.minimum.at(low, codes[known], values[known])
    np.maximum.at(high, codes[known], values[known])
    return bool((high > low).any())


def _check_levels(
    spec: Specification, varies: Mapping[str, bool], values: Mapping[str, Array], codes: Codes,
    faults: Faults,
) -> None:  # fmt: skip
    """Each variable has to vary where the design says."""
    design = spec.design.name
    for name, level in spec.levels.items():
        for column in spec.columns(name):
            if column not in varies or design in ("2-2-2", "single"):
                continue
            if level == 1 and not varies[column]:
                other = design.replace("1", "2", 1) if name == spec.x else "another design"
                faults.add(
                    f"it does not vary within clusters of {spec.cluster!r}, as {design} has it",
                    f"column {column!r}", f"use {other!r}" if name == spec.x else f"use {other}",
                )  # fmt: skip
            if level == 2 and varies[column] and name not in spec.measures:
                some = _examples(values[column], codes)
                faults.add(
                    f"it varies within clusters of {spec.cluster!r} ({some}), though {design} has "
                    "it belong to them",
                    f"column {column!r}",
                    "take its mean by aggregate(), name its items in measures=, or use a design "
                    "with 1 in its place",
                )  # fmt: skip
    for name, place in spec.covariates.items():
        if name not in varies or not spec.design.two_level:
            continue
        if place in ("within", "both") and not varies[name]:
            faults.add("it does not vary within clusters", f"column {name!r}", "put it 'between'")
        if place == "between" and varies[name]:
            faults.add("it varies within clusters", f"column {name!r}", "put it in 'both'")


def _examples(values: Array, codes: Codes) -> str:
    """How many clusters hold more than one value."""
    by = pd.DataFrame({"v": values, "c": codes}).dropna().groupby("c")["v"]
    several = by.max() > by.min()
    return f"in {int(several.sum())} of {len(several)}"


def _spread(
    spec: Specification, frame: pd.DataFrame, varies: Mapping[str, bool], codes: Codes, J: int
) -> pd.DataFrame:
    """ICC(1), size and ICC(2) by analysis of variance of the columns that vary within clusters."""
    rows = [
        (name, column, *_reliability(numbers(frame, column), codes, J))
        for name in (*spec.path, *spec.covariates)
        for column in spec.columns(name)
        if spec.cluster is not None and varies[column]
    ]
    return pd.DataFrame(rows, columns=["variable", "column", "icc1", "size", "icc2"])


def _reliability(values: Array, codes: Codes, J: int) -> tuple[float, float, float]:
    """ICC(1), the size k0 for which group means are as reliable as they are on average, ICC(2)."""
    known = ~np.isnan(values) & (codes >= 0)
    y, own = values[known], codes[known]
    n = np.bincount(own, minlength=J).astype(float)
    filled, N = n > 0, float(n.sum())
    J_filled = int(filled.sum())
    means = np.bincount(own, y, J)[filled] / n[filled]
    between = float((n[filled] * (means - y.mean()) ** 2).sum()) / (J_filled - 1)
    squares = float(((y - y.mean()) ** 2).sum()) - between * (J_filled - 1)
    within = squares / (N - J_filled)
    size = (N - float((n**2).sum()) / N) / (J_filled - 1)
    icc1 = (between - within) / (between + (size - 1) * within)
    return icc1, size, (between - within) / between if between > 0 else np.nan


def _means(frame: pd.DataFrame, spec: Specification, codes: Codes, J: int) -> pd.DataFrame:
    """One row a cluster, with the means of what is known there."""
    columns = {}
    for name in spec.all_columns:
        columns[name] = _cluster_means(numbers(frame, name), codes, J)
    return pd.DataFrame(columns)


def _cluster_means(values: Array, codes: Codes, J: int) -> Array:
    """(J,) means of the known values; missing where a cluster has none."""
    known = ~np.isnan(values) & (codes >= 0)
    with np.errstate(invalid="ignore"):
        found: Array = np.bincount(codes[known], values[known], J) / np.bincount(
            codes[known], minlength=J
        )
    return found


def _centred(
    frame: pd.DataFrame, spec: Specification, varies: Mapping[str, bool], codes: Codes, J: int
) -> tuple[pd.DataFrame, dict[str, tuple[str, str]]]:
    """The table with deviations from cluster means, and these means, of every predictor."""
    made: dict[str, tuple[str, str]] = {}
    columns: dict[str, Array] = {}
    names = [spec.x, spec.mediators[0]]
    names += [name for name, place in spec.covariates.items() if varies[name] and place != "within"]
    for name in names:
        values = numbers(frame, name)
        # A mean is of all members of whom the variable is known, also of rows left out for others.
        means = np.append(_cluster_means(values, codes, J), np.nan)[codes]
        raw = spec.centring == "none" and name in (spec.x, spec.mediators[0])
        deviation, mean = f"{name}_within", f"{name}_mean"
        made[name] = (deviation, mean)
        columns[deviation], columns[mean] = (values if raw else values - means), means
    return frame.assign(**columns), made
