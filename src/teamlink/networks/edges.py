"""Edge lists read into networks: who is in which school, who answered, who named whom.

A tie is one of three things: there, not there, or unknown. Unknown are all ties that a person who
did not answer would have named, and those whose weight is missing.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from teamlink.data.schema import Key, as_frame, group_codes, names_of, numbers, validate
from teamlink.errors import DataError, DroppedRows, Faults
from teamlink.typing import Array, Codes, Mask, Table

__all__ = ["Networks", "read_networks"]

_PERSON = "person"


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """The networks of J schools, over one list of N people sorted by school.

    Attributes
    ----------
    by : columns that identify the school; none where there is one network
    levels : (J,) the schools
    people : (N,) index of (school, person), or of person
    names : (N,) the persons alone
    school : (N,) code of the school of each person, ascending
    responded : (N,) whether the person answered
    source, target : (E,) codes of the ties; in an undirected network each stands once
    weight : (E,) above zero
    unknown : (U, 2) codes of pairs whose tie has no weight, apart from those who did not answer
    directed : whether a tie has a direction
    weighted : whether weights were given
    """

    by: tuple[str, ...]
    levels: pd.Index[Any]
    people: pd.Index[Any]
    names: pd.Index[Any]
    school: Codes
    responded: Mask
    source: Codes
    target: Codes
    weight: Array
    unknown: Codes
    directed: bool
    weighted: bool

    @property
    def sizes(self) -> Codes:
        """(J,) people in each school."""
        return np.bincount(self.school, minlength=len(self.levels)).astype(np.intp)

    def adjacency(self, values: Array | None = None) -> csr_array[Any, Any]:
        """(N, N) sparse, ones or `values` (E,) where there are ties; symmetric if undirected."""
        held = np.ones(len(self.source)) if values is None else values
        rows, columns = self.source, self.target
        if not self.directed:
            rows, columns = np.r_[rows, columns], np.r_[columns, rows]
            held = np.r_[held, held]
        n = len(self.school)
        return csr_array((held, (rows, columns)), shape=(n, n))

    def total(self, values: Array | Codes | Mask) -> Array:
        """(J,) sums of something that each person has, (N,)."""
        held = np.asarray(values, dtype=float)
        found: Array = np.bincount(self.school, weights=held, minlength=len(self.levels)).astype(
            float
        )
        return found


def read_networks(
    edges: Table,
    by: Key | None,
    source: str,
    target: str,
    weight: str | None,
    roster: Table | None,
    node: str,
    responded: str | None,
    directed: bool,
    stacklevel: int = 3,
) -> Networks:
    """Read an edge list, and perhaps a roster; see `teamlink.networks.describe`.

    Raises
    ------
    DataError
        All faults of both tables.
    """
    keys = [] if by is None else names_of(by)
    ties = _ties(edges, keys, source, target, weight, roster is None, stacklevel)
    persons = _roster(roster, keys, node, responded, stacklevel)
    everybody = _everybody(ties, persons, keys)
    codes, people = group_codes(everybody, [*keys, _PERSON])
    e = len(ties)
    pair = np.column_stack([codes[:e], codes[e : 2 * e]])
    answers = np.ones(len(people), dtype=np.bool_)
    faults = Faults()
    if roster is not None:
        listed = codes[2 * e :]
        answers[listed] = persons["responded"].to_numpy(dtype=np.bool_)
        _check_listed(people, pair, listed, faults)
    if directed:
        _check_silent(people, pair, answers, faults)
    faults.raise_if_any()
    school, levels, names = _schools(people, keys)
    held = ties["weight"].to_numpy(dtype=float)
    pair, held = _single(people, pair, held, directed)
    known, there = ~np.isnan(held), held > 0
    return Networks(
        tuple(keys), levels, people, names, school, answers,
        pair[there, 0], pair[there, 1], held[there], pair[~known],
        directed, weight is not None,
    )  # fmt: skip


def _ties(
    edges: Table,
    keys: Sequence[str],
    source: str,
    target: str,
    weight: str | None,
    needed: bool,
    stacklevel: int,
) -> pd.DataFrame:
    """The keys, ``source, target, weight`` of usable rows; warns of those left out."""
    names = [*keys, source, target]
    frame = as_frame(edges, [*names, *([] if weight is None else [weight])])
    if len(frame) or needed:
        bounds = {} if weight is None else {weight: (0.0, None)}
        frame = validate(frame, groups=names, bounds=bounds)
    held = np.ones(len(frame)) if weight is None else numbers(frame, weight)
    table = frame[names].set_axis([*keys, "source", "target"], axis=1).assign(weight=held)
    missing = table[[*keys, "source", "target"]].isna().any(axis=1).to_numpy()
    own = (table["source"] == table["target"]).to_numpy(dtype=np.bool_, na_value=False) & ~missing
    for lost, why in (
        (missing, "lack the school or one of the two persons"),
        (own, "name oneself"),
    ):
        if lost.any():
            message = f"edges: {int(lost.sum()):,} of {len(frame):,} rows {why} and were left out"
            warnings.warn(message, DroppedRows, stacklevel=stacklevel + 1)
    return table[~missing & ~own]


def _roster(
    roster: Table | None, keys: Sequence[str], node: str, responded: str | None, stacklevel: int
) -> pd.DataFrame:
    """The keys, ``person, responded`` of everybody listed."""
    if roster is None:
        if responded is not None:
            raise DataError("responded names a column of the roster, and there is no roster")
        return pd.DataFrame({name: [] for name in [*keys, _PERSON, "responded"]})
    answered = [] if responded is None else [responded]
    frame = validate(
        roster,
        groups=[*keys, node],
        unique=[*keys, node],
        complete=answered,
        bounds=dict.fromkeys(answered, (0.0, 1.0)),
    )
    said = np.ones(len(frame)) if responded is None else numbers(frame, responded)
    if not np.isin(said, (0.0, 1.0)).all():
        raise DataError(f"column {responded!r} holds values between 0 and 1; it is yes or no")
    table = frame[[*keys, node]].set_axis([*keys, _PERSON], axis=1).assign(responded=said > 0)
    missing = table[[*keys, _PERSON]].isna().any(axis=1).to_numpy()
    if missing.any():
        message = (
            f"roster: {int(missing.sum()):,} of {len(frame):,} rows lack the school or the person "
            "and were left out"
        )
        warnings.warn(message, DroppedRows, stacklevel=stacklevel + 1)
    return table[~missing]


def _everybody(ties: pd.DataFrame, persons: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """School and person of every source, then every target, then everybody listed."""
    parts = [
        ties[[*keys, "source"]].rename(columns={"source": _PERSON}),
        ties[[*keys, "target"]].rename(columns={"target": _PERSON}),
        persons[[*keys, _PERSON]],
    ]
    kept = [part for part in parts if len(part)]
    if not kept:
        raise DataError("there is nobody: neither a usable tie nor a person on the roster")
    table = pd.concat(kept, ignore_index=True)
    faults = Faults()
    for name in table.columns:
        kinds = {_kind(part[name]) for part in kept}
        if len(kinds) > 1 or "mixed" in kinds:
            faults.add(
                "numbers in one place, text in another: they would count as different",
                f"column {name!r}" if name != _PERSON else "identities of persons",
                "give them one type",
            )
    faults.raise_if_any()
    return table


def _kind(values: pd.Series[Any]) -> str:
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = pd.Series(np.asarray(values.cat.categories))
    if pd.api.types.is_numeric_dtype(values.dtype):
        return "number"
    inferred = pd.api.types.infer_dtype(values, skipna=True)
    if inferred in {"integer", "floating", "mixed-integer-float", "boolean", "decimal"}:
        return "number"
    return "mixed" if inferred.startswith("mixed") else inferred


def _schools(
    people: pd.Index[Any], keys: Sequence[str]
) -> tuple[Codes, pd.Index[Any], pd.Index[Any]]:
    """School of each person, the schools, and the persons' names alone."""
    if not keys:
        return np.zeros(len(people), dtype=np.intp), pd.RangeIndex(1), people
    school, levels = group_codes(people.to_frame(index=False), keys)
    return school, levels, people.get_level_values(_PERSON)


def _single(people: pd.Index[Any], pair: Codes, held: Array, directed: bool) -> tuple[Codes, Array]:
    """Each tie once; an undirected one may be listed in both directions, with one weight."""
    if not directed:
        turned = pair[:, 0] > pair[:, 1]
        pair = np.sort(pair, axis=1)
        stated = np.column_stack([pair, turned])
    else:
        stated = pair
    again = pd.DataFrame(stated).duplicated().to_numpy()
    if again.any():
        raise DataError(
            f"edges: {int(again.sum()):,} ties are listed more than once, such as "
            f"{_shown(people, pair[again][0])}; keep one row for each, or add them up as a weight"
        )
    if directed:
        return pair, held
    order = np.lexsort((pair[:, 1], pair[:, 0]))
    pair, held = pair[order], held[order]
    second = np.r_[False, (pair[1:] == pair[:-1]).all(axis=1)] if len(pair) else np.zeros(0, bool)
    before = np.r_[np.nan, held[:-1]] if len(held) else held
    apart = second & (held != before) & ~(np.isnan(held) & np.isnan(before))
    if apart.any():
        raise DataError(
            f"edges: {int(apart.sum()):,} undirected ties have two weights, such as "
            f"{_shown(people, pair[apart][0])}; give one, or say directed=True"
        )
    return pair[~second], held[~second]


def _check_listed(people: pd.Index[Any], pair: Codes, listed: Codes, faults: Faults) -> None:
    strangers = np.setdiff1d(pair.ravel(), listed)
    if len(strangers):
        shown = ", ".join(str(people[i]) for i in strangers[:5])
        faults.add(
            f"{len(strangers):,} persons are not on the roster: {shown}"
            + (", …" if len(strangers) > 5 else ""),
            "edges",
            "add them to the roster, or leave their rows out",
        )


def _check_silent(people: pd.Index[Any], pair: Codes, answers: Mask, faults: Faults) -> None:
    silent = np.unique(pair[~answers[pair[:, 0]], 0])
    if len(silent):
        shown = ", ".join(str(people[i]) for i in silent[:5])
        faults.add(
            f"{len(silent):,} persons name others though they did not answer: {shown}"
            + (", …" if len(silent) > 5 else ""),
            "edges",
            "correct the roster or leave these rows out",
        )


def _shown(people: pd.Index[Any], pair: Codes) -> str:
    return f"{people[pair[0]]} and {people[pair[1]]}"
