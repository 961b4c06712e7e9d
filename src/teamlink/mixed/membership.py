"""Multiple membership: rows that belong to several groups, each with a weight.

A pupil who changed schools was taught by each of them. With weights w the pupil's row adds
``sum_j w_ij z_i'b_j`` to its expectation in place of one school's ``z_i'b_j``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from teamlink.data.schema import group_codes, numbers, validate
from teamlink.errors import DataError, Faults, check_option
from teamlink.typing import Array, Codes, Mask, Table

__all__ = ["Membership", "cumulative_membership", "membership"]


@dataclass(frozen=True, slots=True)
class Membership:
    """The groups of each row of a table, with weights; made by `teamlink.membership`.

    Attributes
    ----------
    weights : csr_array, (n, J)
        Weight of each group in each row; zero where the row does not belong to it.
    levels : pandas.Index, (J,)
        Group ids, one a column.

    Examples
    --------
    >>> import teamlink as tl
    >>> moved = {"first": ["a", "a", "b"], "second": ["b", None, None]}
    >>> tl.membership(moved, groups=["first", "second"]).weights.toarray()
    array([[0.5, 0.5],
           [1. , 0. ],
           [0. , 1. ]])
    """

    weights: csr_array
    levels: pd.Index[Any]

    def __post_init__(self) -> None:
        faults = Faults()
        if self.weights.ndim != 2 or self.weights.shape[1] != len(self.levels):
            faults.add(f"weights of shape {self.weights.shape} for {len(self.levels)} groups")
        if not self.levels.is_unique:
            twice = self.levels[self.levels.duplicated()].unique()[:5].tolist()
            faults.add(f"groups with more than one column: {', '.join(map(repr, twice))}")
        if not (np.isfinite(self.weights.data).all() and self.weights.data.min(initial=0) >= 0):
            faults.add("weights that are negative or not finite")
        faults.raise_if_any()

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.weights.shape[0])

    def at_rows(self, kept: Mask) -> Membership:
        """The rows that are kept (n,), and the groups that these belong to."""
        weights = csr_array(self.weights[np.flatnonzero(kept)])
        weights.eliminate_zeros()
        there = np.flatnonzero(np.bincount(weights.indices, minlength=len(self.levels)))
        return Membership(csr_array(weights[:, there]), self.levels[there])

    def among(self, levels: pd.Index[Any]) -> tuple[csr_array, Array]:
        """Weights (n, K) of the given groups, and (n,) the sum of squared weights of all others."""
        place = levels.get_indexer(self.levels)
        known = np.flatnonzero(place >= 0)
        chosen = csr_array(
            (np.ones(len(known)), (known, place[known])), (len(self.levels), len(levels))
        )
        squares = self.weights.power(2) @ (place < 0).astype(float)
        return csr_array(self.weights @ chosen), squares


def membership(
    data: Table, groups: Sequence[str], weights: Sequence[str] | None = None
) -> Membership:
    """Say to which groups each row of a table belongs, and with what weights.

    Parameters
    ----------
    data : table
        Any data frame of n rows.
    groups : sequence of str
        Columns with the ids of a row's groups, such as ``["school1", "school2"]``; an id may be
        missing. A group that stands in several columns of a row gets the sum of its weights.
    weights : sequence of str, optional
        Columns with the weight of each of them, in the same order; zero or missing where the id is
        missing. Equal shares of the ids that are not missing when None. Weights are taken as they
        are: they need not sum to one.

    Returns
    -------
    Membership
        For ``tl.lmm(..., memberships={"school": ...})``.

    Raises
    ------
    DataError
        Columns are missing, weights negative or without an id, ids without a weight, or rows
        without any group; every fault is listed.

    Notes
    -----
    Row i adds ``sum_j w_ij z_i'b_j`` to the expectation, so with an intercept alone its variance
    between groups is ``tau^2 sum_j w_ij^2`` [1]_.

    In R: the weights of ``lmerMultiMember::lmer(..., memberships = list(school = W))``, transposed.

    References
    ----------
    .. [1] Browne, Goldstein, Rasbash (2001). Multiple membership multiple classification (MMMC)
       models. Statistical Modelling 1(2). doi:10.1177/1471082X0100100202

    Examples
    --------
    >>> import teamlink as tl
    >>> pupils = {"school1": ["a", "b", "c"], "school2": ["b", None, "a"],
    ...           "months1": [9, 12, 6], "months2": [3, 0, 6]}
    >>> months = tl.membership(pupils, ["school1", "school2"], ["months1", "months2"])
    >>> months.weights.toarray()
    array([[ 9.,  3.,  0.],
           [ 0., 12.,  0.],
           [ 6.,  0.,  6.]])
    """
    groups = [groups] if isinstance(groups, str) else list(groups)
    named = [] if weights is None else [weights] if isinstance(weights, str) else list(weights)
    if not groups or (weights is not None and len(named) != len(groups)):
        raise DataError(f"{len(groups)} columns of groups and {len(named)} of weights")
    frame = validate(data, groups=groups, numeric=named)
    codes, levels = _codes_of_columns(frame, groups)
    if weights is None:
        shares = (codes >= 0) / np.maximum((codes >= 0).sum(axis=1, keepdims=True), 1)
    else:
        shares = np.column_stack([numbers(frame, name) for name in named])
    _check(frame, codes, shares, groups, named)
    return Membership(_weights(codes, np.nan_to_num(shares), len(levels)), levels)


def cumulative_membership(
    data: Table,
    group: str,
    unit: str,
    time: str,
    kind: Literal["cumulative", "share", "acute"] = "cumulative",
) -> Membership:
    """Carry the effects of earlier groups forward, as in growth over school years.

    Parameters
    ----------
    data : table
        Any data frame of n rows, one an occasion of a unit.
    group : str
        Column with the group at that occasion, such as the school.
    unit : str
        Column that identifies the unit, such as the child.
    time : str
        Numeric column that puts the occasions of a unit in order.
    kind : {"cumulative", "share", "acute"}
        How the groups up to an occasion enter it; see the notes.

    Returns
    -------
    Membership
        For ``tl.lmm(..., memberships={"school": ...})``; rows in the order of `data`.

    Raises
    ------
    DataError
        Columns are missing, values in them, or a unit has two occasions at one time; every fault
        is listed.

    Notes
    -----
    Let ``m_ij(t)`` be the number of occasions of unit i up to and including t that it spent in
    group j. The weight of group j at t is

    - cumulative: ``m_ij(t)``. Each occasion adds one dose of the effect of the group attended
      then, and no dose is lost.
    - share: ``m_ij(t)`` over the number of occasions so far. The weights of a row sum to one.
    - acute: one for the group at t, zero for any other. This is ordinary crossing of units and
      groups.

    A unit that never moves has weight ``1, 2, 3, ...`` in its one group when cumulative, so the
    group's effect is one on the slope of growth. Schools and pupils that change them were modelled
    as cross-classified growth in [2]_; weights over groups are those of [1]_.

    References
    ----------
    .. [1] Browne, Goldstein, Rasbash (2001). Multiple membership multiple classification (MMMC)
       models. Statistical Modelling 1(2). doi:10.1177/1471082X0100100202
    .. [2] Moller, Mickelson, Stearns, Banerjee, Bottia (2013). Collective pedagogical teacher
       culture and mathematics achievement. Sociology of Education 86(2).
       doi:10.1177/0038040712472911

    Examples
    --------
    >>> import teamlink as tl
    >>> child = {"child": [1, 1, 1], "grade": [1, 3, 5], "school": ["a", "a", "b"]}
    >>> tl.cumulative_membership(child, "school", "child", "grade").weights.toarray()
    array([[1., 0.],
           [2., 0.],
           [2., 1.]])
    >>> tl.cumulative_membership(child, "school", "child", "grade", "share").weights.toarray()[2]
    array([0.66666667, 0.33333333])
    """
    check_option("kind", kind, ["cumulative", "share", "acute"])
    keys = [group, unit, time]
    frame = validate(data, groups=[group, unit], numeric=[time], complete=keys, unique=[unit, time])
    codes, levels = group_codes(frame, group)
    units, _ = group_codes(frame, unit)
    if kind == "acute":
        return Membership(_weights(codes[:, None], np.ones((len(codes), 1)), len(levels)), levels)
    order = np.lexsort((numbers(frame, time), units))
    rank = np.arange(len(order)) - np.searchsorted(units[order], units[order])
    # Occasion k of a unit repeats the groups of occasions 0 .. k: entries (row, group), summed.
    counts = rank + 1
    row = np.repeat(np.arange(len(order)), counts)
    back = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    earlier = row - rank[row] + back
    value = np.ones(len(row)) if kind == "cumulative" else 1.0 / counts[row]
    entries = (order[row], codes[order[earlier]])
    return Membership(csr_array((value, entries), (len(order), len(levels))), levels)


def _codes_of_columns(frame: pd.DataFrame, groups: Sequence[str]) -> tuple[Codes, pd.Index[Any]]:
    """Codes (n, k) of the ids in k columns, -1 where missing, in one set of levels."""
    stacked = pd.concat([frame[name] for name in groups], ignore_index=True)
    codes, levels = group_codes(stacked.to_frame("id"), "id")
    return codes.reshape(len(groups), len(frame)).T, levels.rename(None)


def _weights(codes: Codes, shares: Array, J: int) -> csr_array:
    """Weights (n, J) from codes (n, k) and the weights (n, k) of each."""
    row, column = np.nonzero((codes >= 0) & (shares > 0))
    entries = (row, codes[row, column])
    return csr_array((shares[row, column], entries), (len(codes), J))


def _check(
    frame: pd.DataFrame, codes: Codes, shares: Array, groups: Sequence[str], named: Sequence[str]
) -> None:
    """Report every row whose ids and weights do not go together."""
    faults = Faults()
    for k, name in enumerate(named):
        where = f"columns {groups[k]!r} and {name!r}"
        w, there = shares[:, k], codes[:, k] >= 0
        _note(faults, frame, w < 0, "a negative weight", where)
        _note(faults, frame, there & np.isnan(w), "an id without a weight", where)
        _note(faults, frame, ~there & (w > 0), "a weight without an id", where)
    belongs: Mask = (codes >= 0) & (shares > 0)
    alone: Mask = np.asarray(~belongs.any(axis=1))
    _note(faults, frame, alone, "no group", f"column{'s'[: len(groups) > 1]} {', '.join(groups)}")
    faults.raise_if_any()


def _note(faults: Faults, frame: pd.DataFrame, rows: Mask, what: str, where: str) -> None:
    count = int(rows.sum())
    if count:
        s = "s"[: count > 1]
        shown = ", ".join(map(str, frame.index[rows][:5])) + (", …" if count > 5 else "")
        faults.add(f"{count} row{s} with {what}: row{s} {shown}", where)
