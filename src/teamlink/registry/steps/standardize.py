"""Columns to mean 0 and SD 1 over the rows of their file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from teamlink.errors import Fault
from teamlink.registry.prepared import Layout, Prepared

__all__ = ["STEP", "StandardizeStep"]


@dataclass(frozen=True, slots=True)
class StandardizeStep:
    """Standardized columns, in place.

    Attributes
    ----------
    columns : which columns
    table : their file
    """

    columns: tuple[str, ...]
    table: str = "schools"

    @property
    def text(self) -> str:
        """The step in words."""
        columns = ", ".join(f"`{c}`" for c in self.columns)
        return f"{columns}: mean 0 and standard deviation 1 over {self.table}"

    @property
    def touches(self) -> tuple[str, ...]:
        """Files that the step reads or writes."""
        return (self.table,)

    def check(self, layout: Layout) -> tuple[Layout, Sequence[Fault]]:
        """Give what the files hold afterwards, and what is wrong."""
        return layout, layout.column_faults(self.table, self.columns, "step standardize")

    def apply(self, prepared: Prepared) -> Prepared:
        """Give the files with the columns standardized."""
        frame = prepared.tables[self.table]
        units = {c: prepared.unit(c) * float(frame[c].std(ddof=1)) for c in self.columns}
        new = {c: (frame[c] - frame[c].mean()) / frame[c].std(ddof=1) for c in self.columns}
        return prepared.with_columns(self.table, new, units)


STEP = StandardizeStep
