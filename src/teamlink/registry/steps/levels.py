"""The levels of a categorical column, the reference category first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from teamlink.errors import Fault, StudyError, nearest
from teamlink.registry.prepared import Layout, Prepared

__all__ = ["STEP", "LevelsStep"]


@dataclass(frozen=True, slots=True)
class LevelsStep:
    """A categorical column with its levels in a stated order.

    Attributes
    ----------
    column : which column
    levels : its levels, the reference first
    table : its file
    """

    column: str
    levels: tuple[str, ...]
    table: str = "students"

    @property
    def text(self) -> str:
        """The step in words."""
        return f"`{self.column}`: levels {', '.join(self.levels)}, the first for reference"

    @property
    def touches(self) -> tuple[str, ...]:
        """Files that the step reads or writes."""
        return (self.table,)

    def check(self, layout: Layout) -> tuple[Layout, Sequence[Fault]]:
        """Give what the files hold afterwards, and what is wrong."""
        return layout, layout.column_faults(self.table, (self.column,), "step levels")

    def apply(self, prepared: Prepared) -> Prepared:
        """Give the files with the column coded."""
        frame = prepared.tables[self.table]
        return prepared.with_columns(self.table, {self.column: self.coded(frame)})

    def coded(self, frame: pd.DataFrame) -> pd.Categorical[Any]:
        """Give the column with its levels.

        Raises
        ------
        StudyError
            The column is missing, or holds a level that is not stated.
        """
        if self.column not in frame:
            remedy = nearest(self.column, frame.columns)
            raise StudyError(f"levels: the data have no column {self.column!r}; {remedy}")
        values = frame[self.column]
        found = set(values.dropna().astype(str))
        if extra := sorted(found - set(self.levels)):
            raise StudyError(f"levels: column {self.column!r} also holds {', '.join(extra)}")
        text = values.astype(str).where(values.notna())
        return pd.Categorical(text, categories=list(self.levels))


STEP = LevelsStep
