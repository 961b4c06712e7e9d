"""Results of several years to a trend: the least squares slope of each group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from teamlink.errors import Fault
from teamlink.registry.prepared import Layout, Prepared

__all__ = ["STEP", "TrendStep"]


@dataclass(frozen=True, slots=True)
class TrendStep:
    """The slope of a column on time within each group, put into the group's file.

    Attributes
    ----------
    name : the new column
    column, time : columns of the file of results
    by : the group's id
    table : the file of results
    into : the file that gets the column, one row a group
    """

    name: str
    column: str
    time: str
    by: str = "school"
    table: str = "results"
    into: str = "schools"

    @property
    def text(self) -> str:
        """The step in words."""
        return f"`{self.name}`: slope of `{self.column}` on `{self.time}` in each {self.by}"

    @property
    def touches(self) -> tuple[str, ...]:
        """Files that the step reads or writes."""
        return self.table, self.into

    def check(self, layout: Layout) -> tuple[Layout, Sequence[Fault]]:
        """Give what the files hold afterwards, and what is wrong."""
        where = f"step {self.name}"
        faults = layout.column_faults(self.table, (self.column, self.time, self.by), where)
        faults += layout.column_faults(self.into, (self.by,), where)
        return layout.adding(self.into, self.name), faults

    def apply(self, prepared: Prepared) -> Prepared:
        """Give the files with the slopes; missing where a group has fewer than two times."""
        rows = prepared.tables[self.table][[self.by, self.time, self.column]].dropna()
        codes, levels = pd.factorize(rows[self.by])
        t, y = rows[self.time].to_numpy(dtype=float), rows[self.column].to_numpy(dtype=float)
        t = t - (np.bincount(codes, t) / np.bincount(codes))[codes]
        spread = np.bincount(codes, t * t)
        found = np.full(len(levels), np.nan)
        np.divide(np.bincount(codes, t * y), spread, out=found, where=spread > 0)
        slopes = prepared.tables[self.into][self.by].map(pd.Series(found, levels))
        return prepared.with_columns(self.into, {self.name: slopes})


STEP = TrendStep
