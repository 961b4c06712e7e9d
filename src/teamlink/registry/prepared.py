"""Files on their way to the model: what they hold, the steps that prepare them, joining them.

A step is a frozen dataclass whose fields are the keys of a `[[pipeline.steps]]` table. It takes
`Prepared` files and gives them back with new columns or new files; the files it got stay as they
were. A column of a coarser file (schools) need not be copied into a finer one (students): a model
finds it through the coarser file's key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd

from teamlink.errors import Fault, StudyError, nearest
from teamlink.typing import Codes

__all__ = ["Layout", "Prepared", "Step", "prepare"]


@dataclass(frozen=True, slots=True)
class Layout:
    """What files hold, before any is drawn.

    Attributes
    ----------
    columns : file to its columns
    keys : file to the columns that together name a row of it
    """

    columns: Mapping[str, tuple[str, ...]]
    keys: Mapping[str, tuple[str, ...]]

    def adding(self, table: str, *names: str) -> Layout:
        """Give the layout with more columns in one file."""
        before = self.columns.get(table, ())
        new = tuple(n for n in names if n not in before)
        return replace(self, columns={**self.columns, table: (*before, *new)})

    def adding_table(self, table: str, columns: Sequence[str], key: Sequence[str]) -> Layout:
        """Give the layout with another file."""
        return Layout({**self.columns, table: tuple(columns)}, {**self.keys, table: tuple(key)})

    def reachable(self, table: str) -> tuple[str, ...]:
        """Columns that rows of `table` have: its own, then those of files it holds the key of."""
        found = dict.fromkeys(self.columns.get(table, ()))
        for other in self.joinable(table):
            found |= dict.fromkeys(self.columns[other])
        return tuple(found)

    def joinable(self, table: str) -> list[str]:
        """Files whose whole key is among the columns of `table`."""
        own = set(self.columns.get(table, ()))
        return [
            other
            for other, key in self.keys.items()
            if other != table and other in self.columns and key and set(key) <= own
        ]

    def column_faults(
        self, table: str, names: Sequence[str], where: str, joined: bool = False
    ) -> list[Fault]:
        """Faults for a file, or for columns of it, that there are not."""
        if table not in self.columns:
            return [Fault(f"no file {table!r}", where, nearest(table, self.columns))]
        known = self.reachable(table) if joined else self.columns[table]
        return [
            Fault(f"no column {name!r} in {table}", where, nearest(name, known))
            for name in names
            if name not in known
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Files as the models take them.

    Attributes
    ----------
    tables : file to frame
    keys : file to the columns that name its rows
    units : column to the SD it was divided by; columns not listed were not divided
    found : rows of one file in another, kept once they were looked up
    """

    tables: Mapping[str, pd.DataFrame]
    keys: Mapping[str, tuple[str, ...]]
    units: Mapping[str, float] = field(default_factory=dict)
    found: dict[tuple[str, str], Codes] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        """The columns that the files have."""
        return Layout({name: tuple(f.columns) for name, f in self.tables.items()}, self.keys)

    def with_columns(
        self,
        table: str,
        columns: Mapping[str, Any],
        units: Mapping[str, float] | None = None,
    ) -> Prepared:
        """Give the files with new columns in one of them; `columns` are arrays in row order."""
        frame = self.tables[table].assign(**columns)
        keyed = any(name in columns for key in self.keys.values() for name in key)
        return replace(
            self,
            tables={**self.tables, table: frame},
            units={**self.units, **(units or {})},
            found={} if keyed else dict(self.found),
        )

    def with_table(self, table: str, frame: pd.DataFrame, key: Sequence[str]) -> Prepared:
        """Give the files with one more, or with one replaced."""
        return replace(
            self,
            tables={**self.tables, table: frame},
            keys={**self.keys, table: tuple(key)},
            found={pair: rows for pair, rows in self.found.items() if table not in pair},
        )

    def unit(self, column: str) -> float:
        """SD that a column was divided by; 1 where it was not."""
        return self.units.get(column, 1.0)

    def frame(self, table: str, columns: Sequence[str]) -> pd.DataFrame:
        """Columns for the rows of `table`, fetched from coarser files where it lacks them.

        Parameters
        ----------
        table : str
            The file whose rows are wanted.
        columns : sequence of str
            Which columns, in which order.

        Returns
        -------
        pandas.DataFrame
            As many rows as `table`, same index.

        Raises
        ------
        StudyError
            No file within reach has such a column.
        """
        columns_found = self.columns(table, columns)
        return pd.DataFrame(columns_found, index=self.tables[table].index, copy=False)

    def columns(self, table: str, names: Sequence[str]) -> dict[str, Any]:
        """Give what `frame` gives as arrays by name."""
        own, layout = self.tables[table], self.layout
        found: dict[str, Any] = {}
        for name in names:
            if name in own:
                found[name] = own[name].array if _extended(own[name]) else own[name].to_numpy()
                continue
            homes = [o for o in layout.joinable(table) if name in self.tables[o]]
            if not homes:
                remedy = nearest(name, layout.reachable(table))
                raise StudyError(f"{table} has no column {name!r}; {remedy}")
            found[name] = _taken(self.tables[homes[0]][name], self._rows_in(table, homes[0]))
        return found

    def _rows_in(self, table: str, home: str) -> Codes:
        """For each row of `table` its row of `home`, -1 where there is none; found once."""
        if (table, home) not in self.found:
            key = list(self.keys[home])
            index: pd.Index[Any]
            if len(key) == 1:
                index = pd.Index(self.tables[home][key[0]])
                rows = index.get_indexer(pd.Index(self.tables[table][key[0]]))
            else:
                index = pd.MultiIndex.from_frame(self.tables[home][key])
                rows = index.get_indexer(pd.MultiIndex.from_frame(self.tables[table][key]))
            self.found[table, home] = rows
        return self.found[table, home]


def _extended(column: pd.Series[Any]) -> bool:
    return isinstance(column.dtype, pd.api.extensions.ExtensionDtype)


def _taken(column: pd.Series[Any], rows: Codes) -> Any:
    """Values of a column at some rows, missing where the row is -1."""
    if _extended(column):
        return column.array.take(rows, allow_fill=True)
    values = column.to_numpy()[rows]
    if (rows < 0).any():
        values = np.where(rows < 0, np.nan, values)
    return values


class Step(Protocol):
    """One thing that an analyst does to the files before a model is fitted."""

    @property
    def text(self) -> str:
        """The step in words, with columns in backquotes."""

    @property
    def touches(self) -> tuple[str, ...]:
        """Files that the step reads or writes.

        A step may also have `reads`, file to columns, for files that it only reads: it is then done
        once for all scenarios that agree in these columns, whatever else differs.
        """

    def check(self, layout: Layout) -> tuple[Layout, Sequence[Fault]]:
        """Give what the files hold afterwards, and what is wrong with the step."""

    def apply(self, prepared: Prepared) -> Prepared:
        """Give the files with the step done."""


def prepare(
    steps: Sequence[Step],
    scenarios: Sequence[Mapping[str, pd.DataFrame]],
    keys: Mapping[str, tuple[str, ...]],
) -> list[Prepared]:
    """Take the files of several scenarios through the steps.

    A step that touches only files that are the same as in the first scenario is done once.

    Parameters
    ----------
    steps : sequence of Step
    scenarios : sequence of mapping
        Files of each scenario, by name.
    keys : mapping
        File to the columns that name its rows.

    Returns
    -------
    list of Prepared
        One a scenario; files that are equal to those of the first are the same objects.
    """
    first = dict(scenarios[0])
    states = [Prepared(first, keys)]
    states += [
        Prepared({n: first[n] if f.equals(first[n]) else f for n, f in tables.items()}, keys)
        for tables in scenarios[1:]
    ]
    for step in steps:
        done = step.apply(states[0])
        states = [
            done,
            *(_same_or_anew(step, state, states[0], done) for state in states[1:]),
        ]
    return states


def _same_or_anew(step: Step, state: Prepared, first: Prepared, done: Prepared) -> Prepared:
    if not _same_input(step, state, first):
        return step.apply(state)
    changed = {n: f for n, f in done.tables.items() if f is not first.tables.get(n)}
    return Prepared(
        {**state.tables, **changed}, {**state.keys, **done.keys}, {**state.units, **done.units}
    )


def _same_input(step: Step, state: Prepared, first: Prepared) -> bool:
    """Whether a step sees the same files, or the same columns of those it only reads."""
    reads: Mapping[str, Sequence[str]] = getattr(step, "reads", {})
    for name in step.touches:
        ours, theirs = state.tables.get(name), first.tables.get(name)
        if ours is theirs:
            continue
        if ours is None or theirs is None or name not in reads:
            return False
        if len(ours) != len(theirs) or not all(ours[c].equals(theirs[c]) for c in reads[name]):
            return False
    return True
