"""A respondent's own score on a scale: the mean of the items answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.errors import Fault
from teamlink.registry.prepared import Layout, Prepared
from teamlink.registry.steps.scales import mean_of_items

__all__ = ["STEP", "ScoreStep"]


@dataclass(frozen=True, slots=True)
class ScoreStep:
    """The score of each respondent, put into the respondents' file.

    Who answered fewer than half of the items has none.

    Attributes
    ----------
    name : the new column
    items : columns of the respondents' file
    standardize : mean 0 and SD 1 over respondents
    table : the respondents' file
    """

    name: str
    items: tuple[str, ...]
    standardize: bool = True
    table: str = "teachers"

    @property
    def text(self) -> str:
        """The step in words."""
        items = ", ".join(f"`{item}`" for item in self.items)
        end = f", standardized over {self.table}" if self.standardize else ""
        return f"`{self.name}`: each one's mean of {items}{end}"

    @property
    def touches(self) -> tuple[str, ...]:
        """Files that the step reads or writes."""
        return (self.table,)

    def check(self, layout: Layout) -> tuple[Layout, Sequence[Fault]]:
        """Give what the files hold afterwards, and what is wrong."""
        faults = layout.column_faults(self.table, self.items, f"step {self.name}")
        if not self.items:
            faults.append(Fault(f"{self.name!r} has no items", f"step {self.name}"))
        return layout.adding(self.table, self.name), faults

    def apply(self, prepared: Prepared) -> Prepared:
        """Give the files with the score."""
        frame = prepared.tables[self.table]
        score = mean_of_items(frame, self.items)
        units = {}
        if self.standardize:
            units[self.name] = float(np.nanstd(score, ddof=1))
            score = (score - np.nanmean(score)) / units[self.name]
        return prepared.with_columns(self.table, {self.name: score}, units)


STEP = ScoreStep
