"""Several scales of one survey at once: school means of respondents' means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from teamlink.data.center import group_means
from teamlink.errors import Fault
from teamlink.registry.prepared import Layout, Prepared
from teamlink.typing import Array

__all__ = ["STEP", "ScalesStep", "mean_of_items"]


@dataclass(frozen=True, slots=True)
class ScalesStep:
    """Scales of groups of respondents, put into the groups' file.

    A respondent's score is the mean of the items answered; who answered fewer than half of a
    scale's items has none. These are the scores of `teamlink.survey_scale`, without its indices.

    Attributes
    ----------
    scales : name of each new column to its items
    by : the group's id
    standardize : divide by the SD over groups, so that coefficients are per SD of the scale
    table : the respondents' file
    into : the file that gets the columns, one row a group
    """

    scales: Mapping[str, tuple[str, ...]]
    by: str = "school"
    standardize: bool = False
    table: str = "teachers"
    into: str = "schools"

    @property
    def text(self) -> str:
        """The step in words."""
        names = ", ".join(f"`{name}`" for name in self.scales)
        end = f", divided by their standard deviations over {self.into}" if self.standardize else ""
        items = "its items" if len(self.scales) == 1 else "each one's items"
        over = "" if self.table == self.into else f" over the {self.table} of a {self.by}"
        own = ", ".join(f"`{item}`" for found in self.scales.values() for item in found)
        return f"{names}: mean of {own if self.table == self.into else items}{over}{end}"

    @property
    def touches(self) -> tuple[str, ...]:
        """Files that the step reads or writes."""
        return self.table, self.into

    def check(self, layout: Layout) -> tuple[Layout, Sequence[Fault]]:
        """Give what the files hold afterwards, and what is wrong."""
        where = "step scales"
        items = [item for own in self.scales.values() for item in own]
        faults = layout.column_faults(self.table, (*items, self.by), where)
        faults += layout.column_faults(self.into, (self.by,), where)
        faults += [Fault(f"{n!r} has no items", where) for n, own in self.scales.items() if not own]
        taken = {name for columns in layout.columns.values() for name in columns}
        faults += [
            Fault(f"{name!r} is the name of another column", where)
            for name in self.scales
            if name in taken
        ]
        return layout.adding(self.into, *self.scales), faults

    def apply(self, prepared: Prepared) -> Prepared:
        """Give the files with the scales."""
        table = prepared.tables[self.table]
        codes, levels = pd.factorize(table[self.by])
        scores = np.column_stack([mean_of_items(table, items) for items in self.scales.values()])
        means = group_means(scores, codes.astype(np.intp), len(levels))
        units = {}
        if self.standardize:
            sd = np.nanstd(means, axis=0, ddof=1)
            means = (means - np.nanmean(means, axis=0)) / sd
            units = dict(zip(self.scales, sd.tolist(), strict=True))
        place = pd.Index(levels).get_indexer(pd.Index(prepared.tables[self.into][self.by]))
        rows = np.where((place >= 0)[:, None], means[place], np.nan)
        new = dict(zip(self.scales, rows.T, strict=True))
        return prepared.with_columns(self.into, new, units)


def mean_of_items(table: pd.DataFrame, items: Sequence[str]) -> Array:
    """Mean (n,) of the items that each row answers; missing where fewer than half are."""
    total, answered = np.zeros(len(table)), np.zeros(len(table), dtype=np.intp)
    for item in items:
        answer = table[item].to_numpy(dtype=float)
        seen = ~np.isnan(answer)
        answered += seen
        total += np.where(seen, answer, 0.0)
    least = -(-len(items) // 2)
    return np.where(answered >= least, total / np.maximum(answered, 1), np.nan)


STEP = ScalesStep
