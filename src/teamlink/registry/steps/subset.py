"""Some rows of a file, in place or as a file of their own: one group, the pupils who stayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.errors import Fault
from teamlink.registry.prepared import Layout, Prepared

__all__ = ["STEP", "SubsetStep"]


@dataclass(frozen=True, slots=True)
class SubsetStep:
    """Rows in which a column has a value; the column may be that of a coarser file.

    Attributes
    ----------
    column : which column
    equals : the value that it must have
    table : the file
    of : the coarser file that has the column, where `table` has it not
    into : the file that gets the rows; `table` itself where it is left out
    """

    column: str
    equals: float
    table: str = "students"
    of: str = ""
    into: str = ""

    @property
    def text(self) -> str:
        """The step in words."""
        rows = f"{self.table} with `{self.column}` = {self.equals:g}"
        return f"{self.into}: {rows}" if self.into else f"only {rows}"

    @property
    def touches(self) -> tuple[str, ...]:
        """Files that the step reads or writes."""
        return tuple(name for name in (self.table, self.of, self.into) if name)

    def check(self, layout: Layout) -> tuple[Layout, Sequence[Fault]]:
        """Give what the files hold afterwards, and what is wrong."""
        where = f"step {self.into or self.column}"
        home = self.of or self.table
        faults = layout.column_faults(home, (self.column,), where)
        if not faults and self.of and self.of not in layout.joinable(self.table):
            faults.append(Fault(f"{self.table} has no key of {self.of!r}", where))
        if self.into in layout.columns:
            faults.append(Fault(f"there is a file {self.into!r} already", where))
        if not self.into or self.table not in layout.columns:
            return layout, faults
        columns, key = layout.columns[self.table], layout.keys.get(self.table, ())
        return layout.adding_table(self.into, columns, key), faults

    def apply(self, prepared: Prepared) -> Prepared:
        """Give the files with the rows chosen."""
        values = prepared.columns(self.table, [self.column])[self.column]
        rows = np.asarray(values, dtype=float) == self.equals
        chosen = prepared.tables[self.table][rows].reset_index(drop=True)
        key = prepared.keys.get(self.table, ())
        return prepared.with_table(self.into or self.table, chosen, key)


STEP = SubsetStep
