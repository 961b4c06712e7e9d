"""Survey items to a scale: the mean over a group's respondents and items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from teamlink.errors import Fault
from teamlink.measurement import survey_scale
from teamlink.registry.prepared import Layout, Prepared

__all__ = ["STEP", "ScaleStep"]


@dataclass(frozen=True, slots=True)
class ScaleStep:
    """A scale of a group of respondents, put into the group's file.

    Attributes
    ----------
    name : the new column
    items : columns of the respondents' file
    by : the group's id
    standardize : divide by the SD over groups, so that a coefficient is per SD of the scale
    table : the respondents' file
    into : the file that gets the column, one row a group
    """

    name: str
    items: tuple[str, ...]
    by: str = "school"
    standardize: bool = True
    table: str = "teachers"
    into: str = "schools"

    @property
    def text(self) -> str:
        """The step in words."""
        items = ", ".join(f"`{item}`" for item in self.items)
        end = f", divided by its standard deviation over {self.into}" if self.standardize else ""
        return f"`{self.name}`: mean of {items} over the {self.table} of a {self.by}{end}"

    @property
    def touches(self) -> tuple[str, ...]:
        """Files that the step reads or writes."""
        return self.table, self.into

    @property
    def reads(self) -> dict[str, tuple[str, ...]]:
        """Columns of the respondents' file that it reads."""
        return {} if self.table == self.into else {self.table: (*self.items, self.by)}

    def check(self, layout: Layout) -> tuple[Layout, Sequence[Fault]]:
        """Give what the files hold afterwards, and what is wrong."""
        where = f"step {self.name}"
        faults = layout.column_faults(self.table, (*self.items, self.by), where)
        faults += layout.column_faults(self.into, (self.by,), where)
        return layout.adding(self.into, self.name), faults

    def apply(self, prepared: Prepared) -> Prepared:
        """Give the files with the scale."""
        table = prepared.tables[self.table]
        scores = survey_scale(table, by=self.by, items=list(self.items)).scores["score"]
        units = {}
        if self.standardize:
            units[self.name] = float(scores.std(ddof=1))
            scores = (scores - scores.mean()) / units[self.name]
        found = prepared.tables[self.into][self.by].map(scores)
        return prepared.with_columns(self.into, {self.name: found}, units)


STEP = ScaleStep
