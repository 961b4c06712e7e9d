"""The mean of a column over a group's members, as a column of the group's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from teamlink.data.center import group_means
from teamlink.errors import Fault
from teamlink.registry.prepared import Layout, Prepared

__all__ = ["STEP", "MeanStep"]


@dataclass(frozen=True, slots=True)
class MeanStep:
    """A group mean: the context that a member is in.

    Attributes
    ----------
    name : the new column
    column : column of the members' file
    by : the group's id
    standardize : divide by the SD over groups and centre
    table : the members' file
    into : the file that gets the column, one row a group
    """

    name: str
    column: str
    by: str = "school"
    standardize: bool = False
    table: str = "students"
    into: str = "schools"

    @property
    def text(self) -> str:
        """The step in words."""
        end = f", divided by its standard deviation over {self.into}" if self.standardize else ""
        return f"`{self.name}`: {self.by} mean of `{self.column}`{end}"

    @property
    def touches(self) -> tuple[str, ...]:
        """Files that the step reads or writes."""
        return self.table, self.into

    @property
    def reads(self) -> dict[str, tuple[str, ...]]:
        """Columns of the members' file that it reads."""
        return {} if self.table == self.into else {self.table: (self.column, self.by)}

    def check(self, layout: Layout) -> tuple[Layout, Sequence[Fault]]:
        """Give what the files hold afterwards, and what is wrong."""
        where = f"step {self.name}"
        faults = layout.column_faults(self.table, (self.column, self.by), where)
        faults += layout.column_faults(self.into, (self.by,), where)
        return layout.adding(self.into, self.name), faults

    def apply(self, prepared: Prepared) -> Prepared:
        """Give the files with the mean; missing values are left out of it."""
        members = prepared.tables[self.table]
        values = members[self.column].to_numpy(dtype=float)
        of_group = pd.Index(prepared.tables[self.into][self.by])
        codes = of_group.get_indexer(pd.Index(members[self.by]))
        seen = ~np.isnan(values) & (codes >= 0)
        empty = np.bincount(codes[seen], minlength=len(of_group)) == 0
        with np.errstate(invalid="ignore"):
            means = group_means(values[seen], codes[seen], len(of_group))
        means = np.where(empty, np.nan, means)
        units = {}
        if self.standardize:
            units[self.name] = float(np.nanstd(means, ddof=1))
            means = (means - np.nanmean(means)) / units[self.name]
        return prepared.with_columns(self.into, {self.name: means}, units)


STEP = MeanStep
