"""The top and the bottom of a ranking, and units that are at one end of most of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.errors import Fault
from teamlink.registry.prepared import Layout, Prepared
from teamlink.typing import Array

__all__ = ["STEP", "ExtremesStep"]


@dataclass(frozen=True, slots=True)
class ExtremesStep:
    """Strong against weak: 1 in the top share of most columns, 0 in the bottom share of most.

    Attributes
    ----------
    name : the new column; missing for units at neither end
    columns : one column, or several
    share : of units that are at each end of a column
    most : of how many columns a unit must be at the same end
    rest : "missing", or "zero" for top against all others
    table : the file
    """

    name: str
    columns: tuple[str, ...]
    share: float = 0.25
    most: int = 1
    rest: str = "missing"
    table: str = "schools"

    @property
    def text(self) -> str:
        """The step in words."""
        columns = ", ".join(f"`{c}`" for c in self.columns)
        of = f"{self.most} or more of " if len(self.columns) > 1 else ""
        other = f"the bottom {self.share:.0%}" if self.rest == "missing" else "the rest"
        return f"`{self.name}`: top {self.share:.0%} (1) against {other} (0) of {of}{columns}"

    @property
    def touches(self) -> tuple[str, ...]:
        """Files that the step reads or writes."""
        return (self.table,)

    def check(self, layout: Layout) -> tuple[Layout, Sequence[Fault]]:
        """Give what the file holds afterwards, and what is wrong."""
        where = f"step {self.name}"
        faults = layout.column_faults(self.table, self.columns, where)
        if not 0 < self.share <= 0.5:
            faults.append(Fault(f"share {self.share:g}", where, "above 0, at most 0.5"))
        if not len(self.columns) / 2 < self.most <= len(self.columns):
            faults.append(Fault(f"most {self.most}", where, "more than half of the columns"))
        if self.rest not in ("missing", "zero"):
            faults.append(Fault(f"rest {self.rest!r}", where, "'missing' or 'zero'"))
        return layout.adding(self.table, self.name), faults

    def apply(self, prepared: Prepared) -> Prepared:
        """Give the file with the column."""
        values = prepared.tables[self.table][list(self.columns)].to_numpy(dtype=float)
        low, high = np.nanquantile(values, [self.share, 1 - self.share], axis=0)
        strong, weak = (values > high).sum(axis=1), (values < low).sum(axis=1)
        other = np.nan if self.rest == "missing" else 0.0
        found: Array = np.full(len(values), other)
        found[weak >= self.most] = 0.0
        found[strong >= self.most] = 1.0
        found[np.isnan(values).all(axis=1)] = np.nan
        return prepared.with_columns(self.table, {self.name: found})


STEP = ExtremesStep
