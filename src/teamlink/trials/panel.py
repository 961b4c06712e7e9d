"""The rows of a comparison over time: units, periods, and when each unit was first treated."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from teamlink.data.schema import as_frame, group_codes, numbers, validate
from teamlink.errors import DataError, DesignError, DroppedRows, Fault, Faults, OptionError
from teamlink.mixed.encoding import encode
from teamlink.mixed.rows import usable_rows
from teamlink.syntax.expression import show_name
from teamlink.syntax.formula import parse
from teamlink.typing import Array, Codes, Mask, Table

__all__ = ["Panel", "panel"]


@dataclass(frozen=True, slots=True)
class Panel:
    """Rows of units over periods.

    Attributes
    ----------
    y : (n,) outcome
    X : (n, k) covariates, coded; their names
    unit : (n,) codes; labels of the units
    time : (n,) period of each row
    first : (n,) first treated period of the row's unit; infinite for never
    cluster : (n,) codes
    weights : (n,) or None
    labels : what tables call outcome, unit and time
    """

    y: Array
    X: Array
    names: tuple[str, ...]
    unit: Codes
    units: pd.Index[Any]
    time: Array
    first: Array
    cluster: Codes
    weights: Array | None
    labels: tuple[str, str, str]

    @property
    def treated(self) -> Mask:
        """(n,) whether the unit is treated in the row's period."""
        return np.asarray(self.time >= self.first)

    @property
    def cohorts(self) -> Array:
        """First treated periods, in order."""
        return np.unique(self.first[np.isfinite(self.first)])

    @property
    def mass(self) -> Array:
        """(n,) what each row counts in averages."""
        return np.ones(len(self.y)) if self.weights is None else self.weights

    @property
    def counts(self) -> dict[str, int]:
        """Rows, units, treated units, clusters and periods."""
        first = np.full(len(self.units), np.inf)
        first[self.unit] = self.first
        seen = np.unique(self.unit)
        return {
            "rows": len(self.y),
            "units": len(seen),
            "treated": int(np.isfinite(first[seen]).sum()),
            "clusters": len(np.unique(self.cluster)),
            "periods": len(np.unique(self.time)),
        }

    def period_columns(self) -> tuple[Array, list[str]]:
        """Indicators of the periods but the first (n, T - 1), and their names."""
        periods = np.unique(self.time)[1:]
        columns = (self.time[:, None] == periods).astype(float)
        return columns, [f"{self.labels[2]}[{period:g}]" for period in periods]

    def take(self, rows: Mask) -> Panel:
        """Some of the rows."""
        weights = None if self.weights is None else self.weights[rows]
        return Panel(
            self.y[rows], self.X[rows], self.names, self.unit[rows], self.units, self.time[rows],
            self.first[rows], self.cluster[rows], weights, self.labels,
        )  # fmt: skip


def panel(
    data: Table,
    outcome: str,
    unit: str,
    time: str,
    *,
    treated: str | None,
    post: float | None,
    first_treated: str | None,
    covariates: str | Sequence[str],
    cluster: str | None,
    weights: str | None,
) -> Panel:
    """Check a table for a comparison over time, and take its rows.

    Raises
    ------
    OptionError
        Treatment is not said, or said twice.
    DataError, DesignError
        Every fault of the table.

    Warns
    -----
    DroppedRows
    """
    _check_options(treated, post, first_treated)
    given = [covariates] if isinstance(covariates, str) else list(covariates)
    table = as_frame(data)
    terms = [show_name(term) if term in table.columns else term for term in given]
    source = f"{show_name(outcome)} ~ {' + '.join(terms) or '1'}"
    formula = parse(source)
    status = treated if treated is not None else str(first_treated)
    numeric = [outcome, time, *([weights] if weights else [])]
    groups = [unit, *([cluster] if cluster else [])]
    bounds = {treated: (0.0, 1.0)} if treated is not None else {}
    if first_treated is not None:
        _check_first(table, first_treated)
    validate(table, numeric=numeric, groups=groups, bounds=bounds)
    own = list(
        dict.fromkeys([*formula.variables, *numeric, *groups, *([treated] if treated else [])])
    )
    rows, kept, _ = usable_rows(formula, as_frame(table, own), (), own)
    unit_codes, units = group_codes(rows, unit)
    times = numbers(rows, time)
    if first_treated is not None:
        first = _numbers_or_never(table[first_treated])[kept]
    else:
        first = _first_of_status(numbers(rows, status), times, unit_codes, post)
    # Who is treated only after the last period is not treated in these rows.
    first = np.where(first > times.max(), np.inf, first)
    coded = encode({"fixed": f"1 + {formula.fixed}"}, rows, source)["fixed"]
    clusters = unit_codes if cluster is None else group_codes(rows, cluster)[0]
    made = Panel(
        numbers(rows, outcome), coded[0][:, 1:], coded[1].names[1:], unit_codes, units, times,
        first, clusters, None if weights is None else numbers(rows, weights), (outcome, unit, time),
    )  # fmt: skip
    again = post is None and treated is not None and (made.treated & (numbers(rows, status) == 0))
    _check(made, status, cluster, weights, bool(np.any(again)))
    return _usable(made)


def _check_options(treated: str | None, post: float | None, first_treated: str | None) -> None:
    if (treated is None) == (first_treated is None):
        raise OptionError(
            "say who is treated when by one of two: treated=, a column of zeros and ones, perhaps "
            "with post=, the first treated period; or first_treated=, a column of periods"
        )
    if post is not None and treated is None:
        raise OptionError("post: goes with treated=")


def _check_first(table: pd.DataFrame, name: str) -> None:
    if name not in table.columns:
        validate(table, groups=[name])
    series = table[name]
    if not (pd.api.types.is_numeric_dtype(series.dtype) or series.isna().all()):
        raise DataError(
            [Fault("first treated periods must be numbers, missing for units never treated",
                   f"column {name!r}", "recode it")]
        )  # fmt: skip


def _numbers_or_never(series: pd.Series[Any]) -> Array:
    """First treated periods; missing and infinite ones are never."""
    values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    found: Array = np.where(np.isfinite(values), values, np.inf)
    return found


def _first_of_status(status: Array, times: Array, unit: Codes, post: float | None) -> Array:
    """First treated period (n,) from an indicator of treated units, or of treated rows."""
    if post is not None:
        found: Array = np.where(status == 1, float(post), np.inf)
        return found
    first = np.full(int(unit.max()) + 1, np.inf)
    np.minimum.at(first, unit[status == 1], times[status == 1])
    row: Array = first[unit]
    return row


def _check(made: Panel, status: str, cluster: str | None, weights: str | None, ended: bool) -> None:
    outcome, unit, _ = made.labels
    faults = Faults()
    low = np.full(len(made.units), np.inf)
    high = np.full(len(made.units), -np.inf)
    np.minimum.at(low, made.unit, made.first)
    np.maximum.at(high, made.unit, made.first)
    if (low < high).any():
        shown = ", ".join(map(repr, made.units[low < high][:5].tolist()))
        faults.add(
            f"changes within {int((low < high).sum())} units of {unit!r}: {shown}",
            f"column {status!r}",
            "a unit that is treated stays so; give each unit one first treated period",
        )
    if ended:
        faults.add(
            "treatment ends in some units", f"column {status!r}", "a unit that is treated stays so"
        )
    if made.weights is not None and not (made.weights > 0).all():
        faults.add("weights must be positive", f"column {weights!r}", "leave such rows out")
    if cluster is not None:
        pairs = np.unique(np.column_stack([made.unit, made.cluster]), axis=0)
        if len(pairs) > len(np.unique(made.unit)):
            faults.add(
                f"units of {unit!r} lie in several clusters",
                f"column {cluster!r}",
                "clusters hold whole units",
            )
    if not np.isfinite(made.first).any():
        faults.add("no unit is treated", f"column {status!r}", "check how it was coded")
    elif not (made.treated.any() and (~made.treated).any()):
        faults.add(
            "treated and untreated rows are both needed", f"column {status!r}", "check the periods"
        )
    if len(np.unique(made.time)) < 2:
        faults.add("there is one period only", f"column {made.labels[2]!r}", "two at least")
    if np.ptp(made.y) == 0:
        faults.add("does not vary", f"column {outcome!r}")
    faults.raise_if_any(DesignError)


def _usable(made: Panel) -> Panel:
    """Leave out units treated from the start, and periods without any untreated unit."""
    always = np.zeros(len(made.units), dtype=np.bool_)
    begin = np.full(len(made.units), np.inf)
    np.minimum.at(begin, made.unit, made.time)
    always[made.unit] = made.first <= begin[made.unit]
    gone = always[made.unit]
    if gone[np.isfinite(made.first)].all():
        raise DesignError(
            [Fault("no treated unit has a period before its treatment", "treatment",
                   "with a column of treated units give post=, the first treated period")]
        )  # fmt: skip
    if gone.any():
        warnings.warn(
            f"{int(always.sum())} units ({int(gone.sum())} rows) left out, as they are treated in "
            "all their periods",
            DroppedRows,
            stacklevel=4,
        )
        made = made.take(~gone)
    if not np.isfinite(made.first).all():
        return made
    last = made.cohorts.max(initial=-np.inf)
    late = made.time >= last
    if late.all() or len(made.cohorts) < 2:
        raise DesignError(
            [Fault("no unit is left untreated while others are treated", "treatment",
                   "a comparison needs units never treated, or treated later")]
        )  # fmt: skip
    warnings.warn(
        f"{int(late.sum())} rows from period {last:g} on left out, as every unit is treated then; "
        "units first treated then serve as comparison",
        DroppedRows,
        stacklevel=4,
    )
    left = made.take(~late)
    never = np.where(left.first == last, np.inf, left.first)
    return Panel(
        left.y, left.X, left.names, left.unit, left.units, left.time, never, left.cluster,
        left.weights, left.labels,
    )  # fmt: skip
