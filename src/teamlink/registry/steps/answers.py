"""Survey items to each respondent's own score: the mean of the items answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.errors import Fault
from teamlink.registry.prepared import Layout, Prepared

__all__ = ["STEP", "AnswersStep"]


@dataclass(frozen=True, slots=True)
class AnswersStep:
    """A respondent's score, beside the items.

    Attributes
    ----------
    name : the new column
    items : columns of the respondents' file
    standardize : mean 0 and standard deviation 1 over respondents
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
        end = f", mean 0 and standard deviation 1 over {self.table}" if self.standardize else ""
        return f"`{self.name}`: a respondent's mean of {items}{end}"

    @property
    def touches(self) -> tuple[str, ...]:
        """Files that the step reads or writes."""
        return (self.table,)

    def check(self, layout: Layout) -> tuple[Layout, Sequence[Fault]]:
        """Give what the files hold afterwards, and what is wrong."""
        faults = layout.column_faults(self.table, self.items, f"step {self.name}")
        return layout.adding(self.table, self.name), faults

    def apply(self, prepared: Prepared) -> Prepared:
        """Give the files with the score; missing where no item was answered."""
        answers = prepared.tables[self.table][list(self.items)].to_numpy(dtype=float)
        given = ~np.isnan(answers)
        with np.errstate(invalid="ignore"):
            scores = np.nansum(answers, axis=1) / given.sum(axis=1)
        units = {}
        if self.standardize:
            units[self.name] = float(np.nanstd(scores, ddof=1))
            scores = (scores - np.nanmean(scores)) / units[self.name]
        return prepared.with_columns(self.table, {self.name: scores}, units)


STEP = AnswersStep
