"""Rows without a missing value in some columns: what most published analyses kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from teamlink.errors import Fault
from teamlink.registry.prepared import Layout, Prepared

__all__ = ["STEP", "CompleteStep"]


@dataclass(frozen=True, slots=True)
class CompleteStep:
    """Rows that have all of some columns; the others are left out.

    Attributes
    ----------
    columns : columns that may not be missing
    table : their file
    """

    columns: tuple[str, ...]
    table: str = "students"

    @property
    def text(self) -> str:
        """The step in words."""
        columns = ", ".join(f"`{c}`" for c in self.columns)
        return f"only {self.table} with all of {columns}"

    @property
    def touches(self) -> tuple[str, ...]:
        """Files that the step reads or writes."""
        return (self.table,)

    def check(self, layout: Layout) -> tuple[Layout, Sequence[Fault]]:
        """Give what the files hold afterwards, and what is wrong."""
        return layout, layout.column_faults(self.table, self.columns, "step complete")

    def apply(self, prepared: Prepared) -> Prepared:
        """Give the files without the incomplete rows."""
        frame = prepared.tables[self.table]
        kept = frame.dropna(subset=list(self.columns)).reset_index(drop=True)
        return prepared.with_table(self.table, kept, prepared.keys.get(self.table, ()))


STEP = CompleteStep
