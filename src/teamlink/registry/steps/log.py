"""The natural logarithm of a column, for effects that are relative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.errors import Fault, StudyError
from teamlink.registry.prepared import Layout, Prepared

__all__ = ["STEP", "LogStep"]


@dataclass(frozen=True, slots=True)
class LogStep:
    """A new column with the logarithm of another.

    Attributes
    ----------
    name : the new column
    column : the column, above zero
    table : their file
    """

    name: str
    column: str
    table: str = "students"

    @property
    def text(self) -> str:
        """The step in words."""
        return f"`{self.name}`: natural logarithm of `{self.column}`"

    @property
    def touches(self) -> tuple[str, ...]:
        """Files that the step reads or writes."""
        return (self.table,)

    def check(self, layout: Layout) -> tuple[Layout, Sequence[Fault]]:
        """Give what the files hold afterwards, and what is wrong."""
        faults = layout.column_faults(self.table, (self.column,), f"step {self.name}")
        return layout.adding(self.table, self.name), faults

    def apply(self, prepared: Prepared) -> Prepared:
        """Give the files with the logarithm."""
        values = prepared.tables[self.table][self.column].to_numpy(dtype=float)
        if (values <= 0).any():
            raise StudyError(f"{self.column!r} has values of zero or below: no logarithm")
        return prepared.with_columns(self.table, {self.name: np.log(values)})


STEP = LogStep
