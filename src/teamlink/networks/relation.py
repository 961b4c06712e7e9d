"""Relations between people, as matrices or edge lists, on one list of dyads.

The matrices of J schools with n_s people each are held flat, one after the other: F = sum n_s^2
numbers. A dyad (i, j) of school s stands at ``base_s + i n_s + j``. Unknown are NaN, the diagonal
too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from teamlink.data.schema import Key, group_codes, names_of, numbers, validate
from teamlink.errors import DataError, Faults, check_option
from teamlink.networks.edges import Networks, read_networks
from teamlink.typing import Array, Codes, Table

__all__ = ["EdgeList", "People", "Relation", "attribute", "read_relations"]

Relation: TypeAlias = Any
"""A square matrix, a mapping of school to square matrix, or an edge list."""

KINDS = ("same", "difference", "absolute", "sender", "receiver")


@dataclass(frozen=True, slots=True)
class EdgeList:
    """How edge lists are to be read: the arguments of `teamlink.networks.describe`."""

    by: Key | None
    source: str
    target: str
    weight: str | None
    roster: Table | None
    node: str
    responded: str | None
    directed: bool

    @property
    def keys(self) -> list[str]:
        """The columns that identify the school."""
        return [] if self.by is None else names_of(self.by)

    def networks(self, edges: Table, roster: Table | None, responded: str | None) -> Networks:
        """Read one edge list; its weight column counts where it has it."""
        columns = list(edges if isinstance(edges, Mapping) else edges.columns)
        weight = self.weight if self.weight in columns else None
        return read_networks(
            edges, self.by, self.source, self.target, weight, roster, self.node, responded,
            self.directed, stacklevel=6,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Who stands where in the flat matrices.

    Attributes
    ----------
    schools : J labels; ``(None,)`` for one network
    names : J sequences of n_s labels; None where matrices have no labels
    """

    schools: tuple[Any, ...]
    names: tuple[tuple[Any, ...] | int, ...]

    @property
    def sizes(self) -> Codes:
        """(J,) people in each school."""
        return np.array([n if isinstance(n, int) else len(n) for n in self.names], dtype=np.intp)

    @property
    def base(self) -> Codes:
        """(J + 1,) where the matrix of each school begins, and where the last ends."""
        found: Codes = np.r_[0, np.cumsum(self.sizes**2)].astype(np.intp)
        return found

    def dyads(self, directed: bool) -> tuple[Codes, Codes, Codes]:
        """School, first and second person of every dyad, (D,) each; persons within schools."""
        parts = []
        for s, n in enumerate(self.sizes):
            if directed:
                i, j = np.nonzero(~np.eye(n, dtype=np.bool_))
            else:
                i, j = np.triu_indices(n, 1)
            parts.append(np.vstack([np.full(len(i), s), i, j]))
        found = np.concatenate(parts, axis=1).astype(np.intp)
        return found[0], found[1], found[2]


def attribute(
    people: Table, column: str, kind: str = "same", *, node: str = "node", by: Key | None = None
) -> Any:
    """Make a relation of what people are: same grade, difference in experience, and so on.

    Parameters
    ----------
    people : table
        A row a person.
    column : str
        What they are: numbers, or for ``kind="same"`` anything.
    kind : {"same", "difference", "absolute", "sender", "receiver"}
        1 where both have the same value and 0 elsewhere; the receiver's value less the sender's;
        the size of that; the value of the sender (the row), or of the receiver (the column).
    node : str
        The column with the person.
    by : str or sequence of str, optional
        The columns that identify the school.

    Returns
    -------
    pandas.DataFrame or dict
        A square frame labelled by person, or school to such a frame. Dyads with a person whose
        value is missing are missing, so is the diagonal.

    Raises
    ------
    DataError
        Columns are missing, a person stands twice, or values are not numbers where they must be.

    Examples
    --------
    >>> import teamlink as tl
    >>> staff = {"node": ["Ann", "Bob", "Cem"], "years": [2, 9, 4]}
    >>> tl.networks.attribute(staff, "years", "difference")
         Ann  Bob  Cem
    Ann  NaN  7.0  2.0
    Bob -7.0  NaN -5.0
    Cem -2.0  5.0  NaN
    """
    check_option("kind", kind, KINDS)
    keys = [] if by is None else names_of(by)
    numeric = [] if kind == "same" else [column]
    frame = validate(
        people, complete=[*keys, node], unique=[*keys, node], groups=column, numeric=numeric
    )
    frame = frame.sort_values([*keys, node], kind="stable")
    if kind == "same":
        codes = group_codes(frame, column)[0].astype(float)
        values = np.where(codes < 0, np.nan, codes)
    else:
        values = numbers(frame, column)
    if not keys:
        return _matrix_of(values, frame[node], kind)
    school, levels = group_codes(frame, keys)
    return {
        level: _matrix_of(values[school == s], frame[node][school == s], kind)
        for s, level in enumerate(levels)
    }


def _matrix_of(values: Array, names: pd.Series[Any], kind: str) -> pd.DataFrame:
    sender, receiver = values[:, None], values[None, :]
    unknown = np.isnan(sender) | np.isnan(receiver)
    if kind == "same":
        found = (sender == receiver).astype(float)
    elif kind in ("difference", "absolute"):
        found = receiver - sender if kind == "difference" else np.abs(receiver - sender)
    else:
        found = sender + 0 * receiver if kind == "sender" else receiver + 0 * sender
    found = np.where(unknown | np.eye(len(values), dtype=np.bool_), np.nan, found)
    labels = pd.Index(names.tolist())
    return pd.DataFrame(found, index=labels, columns=labels)


def read_relations(
    relations: Mapping[str, Relation], how: EdgeList
) -> tuple[People, dict[str, Array]]:
    """Bring relations onto one list of people.

    Returns
    -------
    People
        Schools and persons. Edge lists alone: everybody on the roster, else everybody who occurs
        in any. With matrices: the people of the matrices.
    dict
        Name to flat matrices (F,).

    Raises
    ------
    DataError
        Matrices that are not square, differ in size, labels or schools, hold infinite values, or
        are not symmetric where ties have no direction; faults of edge lists.
    """
    lists = {name: given for name, given in relations.items() if _is_list(given, how)}
    matrices = {
        name: _by_school(name, given, how) for name, given in relations.items() if name not in lists
    }
    faults = Faults()
    people = _people_of(matrices, faults) if matrices else _people_of_lists(lists, how)
    flat = {}
    for name, of_school in matrices.items():
        found = _flat_matrices(name, of_school, people, how.directed, faults)
        if found is not None:
            flat[name] = found
    faults.raise_if_any()
    roster = _as_roster(people, how)
    for name, edges in lists.items():
        flat[name] = _flat_list(edges, people, roster, how)
    return people, {name: flat[name] for name in relations}


def _is_list(given: Relation, how: EdgeList) -> bool:
    if isinstance(given, Mapping):
        return {how.source, how.target} <= set(given)
    columns = getattr(given, "columns", None)
    return columns is not None and {how.source, how.target} <= {str(c) for c in columns}


def _by_school(name: str, given: Relation, how: EdgeList) -> dict[Any, Any]:
    where = f"relation {name!r}"
    if isinstance(given, Mapping):
        if not how.keys:
            raise DataError(f"{where} holds matrices of several schools; say by= which column")
        return dict(given)
    if how.keys:
        raise DataError(f"{where} is one matrix; with by= give school to matrix, or an edge list")
    return {None: given}


def _people_of(matrices: Mapping[str, Mapping[Any, Any]], faults: Faults) -> People:
    """The people of the first labelled relation, else of the first."""
    labelled = [m for m in matrices.values() if all(hasattr(x, "index") for x in m.values())]
    first = (labelled or list(matrices.values()))[0]
    if not first:
        raise DataError("there is no school")
    names: list[tuple[Any, ...] | int] = []
    for matrix in first.values():
        named = isinstance(matrix, pd.DataFrame)
        names.append(tuple(matrix.index) if named else len(np.asarray(matrix)))
    schools = tuple(first)
    for s, who in zip(schools, names, strict=True):
        if not isinstance(who, int) and len(set(who)) < len(who):
            faults.add("a person stands twice", _place("the labels", s), "make labels unique")
    faults.raise_if_any()
    return People(schools, tuple(names))


def _people_of_lists(lists: Mapping[str, Table], how: EdgeList) -> People:
    if how.roster is not None:
        nets = how.networks(next(iter(lists.values())), how.roster, how.responded)
        people = nets.people
    else:
        parts = [how.networks(edges, None, None).people.to_frame(index=False) for edges in
                 lists.values()]  # fmt: skip
        joined = pd.concat([part.set_axis([*how.keys, "person"], axis=1) for part in parts])
        _, people = group_codes(joined, [*how.keys, "person"])
    if not how.keys:
        return People((None,), (tuple(people),))
    frame = people.to_frame(index=False)
    codes, levels = group_codes(frame, how.keys)
    persons = frame.iloc[:, -1].to_numpy()
    names = tuple(tuple(persons[codes == s]) for s in range(len(levels)))
    return People(tuple(levels), names)


def _as_roster(people: People, how: EdgeList) -> pd.DataFrame | None:
    """The people as a roster with the answers of the one given; None where they have no names."""
    rows = [
        (*(school if isinstance(school, tuple) else (school,)), person)
        for school, who in zip(people.schools, people.names, strict=True)
        if not isinstance(who, int)
        for person in who
    ]
    if len(rows) < people.sizes.sum():
        return None
    columns = [*how.keys, how.node] if how.keys else ["_", how.node]
    frame = pd.DataFrame(rows, columns=columns)[[*how.keys, how.node]]
    if how.roster is None or how.responded is None:
        return frame
    said = validate(how.roster, unique=[*how.keys, how.node], complete=how.responded)
    return frame.merge(said, how="left", on=[*how.keys, how.node])


def _flat_list(edges: Table, people: People, roster: pd.DataFrame | None, how: EdgeList) -> Array:
    if roster is None:
        raise DataError("edge lists name people, but the matrices beside them have no labels")
    nets = how.networks(edges, roster, how.responded)
    place = _places(nets, people)
    sizes, base = people.sizes, people.base
    flat = np.zeros(base[-1])
    school, local = place

    def at(i: Codes, j: Codes) -> Codes:
        found: Codes = base[school[i]] + local[i] * sizes[school[i]] + local[j]
        return found

    pairs = [(nets.source, nets.target, nets.weight)]
    pairs.append((nets.unknown[:, 0], nets.unknown[:, 1], np.full(len(nets.unknown), np.nan)))
    for i, j, value in pairs:
        flat[at(i, j)] = value
        if not nets.directed:
            flat[at(j, i)] = value
    silent = [np.zeros(n, dtype=np.bool_) for n in sizes]
    for person in np.flatnonzero(~nets.responded):
        silent[school[person]][local[person]] = True
    for s, n in enumerate(sizes):
        block = flat[base[s] : base[s + 1]].reshape(n, n)
        rows = silent[s]
        block[np.ix_(rows, rows) if not nets.directed else rows] = np.nan
        np.fill_diagonal(block, np.nan)
    return flat


def _places(nets: Networks, people: People) -> tuple[Codes, Codes]:
    """School and place within it of each person of `nets`."""
    found = {}
    for s, who in enumerate(people.names):
        for i, person in enumerate(who if not isinstance(who, int) else ()):
            found[(s, person)] = i
    order = {school: s for s, school in enumerate(people.schools)}
    known = nets.levels if nets.by else [None]
    school = np.array([order[level] for level in known], dtype=np.intp)[nets.school]
    local = [found[(s, person)] for s, person in zip(school, nets.names, strict=True)]
    return school, np.array(local, dtype=np.intp)


def _flat_matrices(
    name: str, of_school: Mapping[Any, Any], people: People, directed: bool, faults: Faults
) -> Array | None:
    here, there = set(of_school), set(people.schools)
    if here != there:
        odd = ", ".join(repr(s) for s in list(here ^ there)[:5])
        faults.add(f"other schools than the rest: {odd}", f"relation {name!r}", "give the same")
        return None
    blocks = [
        _block(name, s, of_school[s], who, directed, faults)
        for s, who in zip(people.schools, people.names, strict=True)
    ]
    if any(block is None for block in blocks):
        return None
    return np.concatenate([block.ravel() for block in blocks if block is not None])


def _block(
    name: str, school: Any, given: Any, who: Sequence[Any] | int, directed: bool, faults: Faults
) -> Array | None:
    where = _place(f"relation {name!r}", school)
    n = who if isinstance(who, int) else len(who)
    if isinstance(given, pd.DataFrame) and not isinstance(who, int):
        if set(given.index) != set(who) or set(given.columns) != set(who) or given.shape != (n, n):
            odd = list({*given.index, *given.columns} ^ set(who))[:5]
            faults.add(f"rows and columns name other people: {odd}", where, "label all alike")
            return None
        given = given.loc[list(who), list(who)]
    try:
        block = np.array(given, dtype=float)
    except (TypeError, ValueError):
        faults.add("not a matrix of numbers", where, "code it as numbers")
        return None
    if block.shape != (n, n):
        faults.add(f"shape {block.shape}, where {n} people are", where, "give n rows, n columns")
        return None
    np.fill_diagonal(block, np.nan)
    if np.isinf(block).any():
        faults.add(f"{int(np.isinf(block).sum())} infinite values", where, "set them to missing")
    if not directed and not np.array_equal(block, block.T, equal_nan=True):
        faults.add("not symmetric", where, "say directed=True, or make it symmetric")
    return block


def _place(what: str, school: Any) -> str:
    return what if school is None else f"{what}, school {school!r}"
