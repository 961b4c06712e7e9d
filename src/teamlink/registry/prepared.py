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

import pandas as pd

from teamlink.errors import Fault, StudyError, nearest

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
    """

    tables: Mapping[str, pd.DataFrame]
    keys: Mapping[str, tuple[str, ...]]
    units: Mapping[str, float] = field(default_factory=dict)

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
        return replace(
            self,
            tables={**self.tables, table: frame},
            units={**self.units, **(units or {})},
        )

    def with_table(self, table: str, frame: pd.DataFrame, key: Sequence[str]) -> Prepared:
        """Give the files with one more, or with one replaced."""
        return replace(
            self, tables={**self.tables, table: frame}, keys={**self.keys, table: tuple(key)}
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
        own = self.tables[table]
        layout = self.layout
        new: dict[str, object] = {}
        for name in columns:
            if name in own:
                new[name] = own[name]
                continue
            homes = [o for o in layout.joinable(table) if name in self.tables[o]]
            if not homes:
                remedy = nearest(name, layout.reachable(table))
                raise StudyError(f"{table} has no column {name!r}; {remedy}")
            new[name] = _fetched(own, self.tables[homes[0]], self.keys[homes[0]], name)
        return pd.DataFrame(new, index=own.index, copy=False)


def _fetched(rows: pd.DataFrame, home: pd.DataFrame, key: tuple[str, ...], name: str) -> object:
    """One column of `home` for each of `rows`, found by key."""
    if len(key) == 1:
        return rows[key[0]].map(home.set_index(key[0])[name])
    merged = rows[list(key)].merge(home[[*key, name]], on=list(key), how="left", validate="m:1")
    return merged[name].to_numpy()


class Step(Protocol):
    """One thing that an analyst does to the files before a model is fitted."""

    @property
    def text(self) -> str:
        """The step in words, with columns in backquotes."""

    @property
    def touches(self) -> tuple[str, ...]:
        """Files that the step reads or writes."""

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
    if any(state.tables.get(name) is not first.tables.get(name) for name in step.touches):
        return step.apply(state)
    changed = {n: f for n, f in done.tables.items() if f is not first.tables.get(n)}
    return Prepared(
        {**state.tables, **changed}, {**state.keys, **done.keys}, {**state.units, **done.units}
    )
