"""A residual structure meets the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from teamlink.data.schema import group_codes, numbers
from teamlink.errors import DesignError, Faults, OptionError, nearest
from teamlink.mixed.correlation import (
    Correlation,
    Exchangeable,
    Independent,
    Power,
    Stationary,
    Unstructured,
)
from teamlink.mixed.factor import Factor
from teamlink.mixed.residual import ResidualStructure
from teamlink.mixed.units import Bundle, ResidualShape, bundles_of, distance_cells, pair_cells
from teamlink.typing import Array, Codes, Mask

__all__ = ["Residuals", "bind_residuals"]

_WHOLE = 1e-9
"""Times whose distances are whole up to this share count as whole."""


@dataclass(frozen=True, slots=True)
class Residuals:
    """The residual structure of n rows.

    Attributes
    ----------
    structure : what the user asked for
    shape : its parameters
    bundles : units gathered by size and pattern
    strata : (n,) stratum of each row's variance
    strata_levels : label of each stratum; None where all variances are equal
    unit : (n,) unit of each row; rows are units of their own where residuals are independent
    unit_levels : labels of the units
    positions : (n,) position of each row as given; None where the structure has none
    """

    structure: ResidualStructure
    shape: ResidualShape
    bundles: tuple[Bundle, ...]
    strata: Codes
    strata_levels: pd.Index[Any] | None
    unit: Codes
    unit_levels: pd.Index[Any]
    positions: pd.Index[Any] | None

    def rows_of(self, unit: Any) -> Codes:
        """Rows of the unit of that label; of the first with the most rows where it is None."""
        if unit is None:
            code = int(np.bincount(self.unit).argmax())
        else:
            code = int(self.unit_levels.get_indexer(pd.Index([unit]))[0])
        if code < 0:
            known = map(str, self.unit_levels)
            raise OptionError(f"there is no unit {unit!r}; {nearest(str(unit), known)}")
        return np.flatnonzero(self.unit == code)

    def relative_deviations(self, eta: Array, frame: pd.DataFrame | None = None) -> Array:
        """Standard deviation of the residual of each row of a table, relative to sigma.

        Missing where the variance of a row's stratum was not estimated. The rows of the fit
        where no table is given.
        """
        sd = self.shape.deviations(eta)
        if frame is None or self.strata_levels is None:
            return sd[self.strata] if frame is None else np.ones(len(frame))
        columns = self.structure.variances
        labels = (
            pd.Index(frame[columns[0]])
            if len(columns) == 1
            else pd.MultiIndex.from_frame(frame[list(columns)])
        )
        codes = self.strata_levels.get_indexer(labels)
        return np.where(codes >= 0, sd[codes], np.nan)


def bind_residuals(
    structure: ResidualStructure, frame: pd.DataFrame, factors: Sequence[Factor]
) -> Residuals:
    """Find units, patterns and parameters of a residual structure.

    Parameters
    ----------
    structure : ResidualStructure
    frame : the complete rows
    factors : grouping factors of the random effects

    Raises
    ------
    OptionError
        Residuals are to correlate where rows belong to several groups.
    DesignError
        Units are not within groups, positions repeat or are no whole steps, or parameters cannot
        be told apart; every fault is listed.
    """
    n = len(frame)
    faults = Faults()
    strata, levels = _strata(structure, frame, faults)
    if structure.kind == "independent":
        unit, units = np.arange(n), pd.Index(np.arange(n))
    else:
        unit, units = group_codes(frame, structure.by)
        _check_units(structure, unit, units, factors, faults)
    faults.raise_if_any(DesignError)
    place, family = _family(structure, frame, unit, faults)
    _check_places(structure, unit, units, place, faults)
    faults.raise_if_any(DesignError)
    only = len(factors) == 1 and factors[0].codes is not None
    own_group = factors[0].only_codes if only else np.zeros(n, dtype=np.intp)
    bundles = []
    for bundle, places in bundles_of(unit, place, strata, own_group):
        bundles.append(replace(bundle, cells=_cells(family, places)))
    names = ("",) if levels is None else tuple(map(_label, levels))
    shape = ResidualShape(family, names)
    _check_identified(structure, family, bundles, _intercept_by(unit, factors), faults)
    faults.raise_if_any(DesignError)
    positions = None if structure.position is None else pd.Index(frame[structure.position])
    return Residuals(structure, shape, tuple(bundles), strata, levels, unit, units, positions)


def _strata(
    structure: ResidualStructure, frame: pd.DataFrame, faults: Faults
) -> tuple[Codes, pd.Index[Any] | None]:
    if not structure.variances:
        return np.zeros(len(frame), dtype=np.intp), None
    codes, levels = group_codes(frame, structure.variances)
    where = f"column {':'.join(structure.variances)!r}"
    if len(levels) == 1:
        faults.add(
            f"variances cannot differ by it: all rows have {_label(levels[0])!r}",
            where,
            "leave it out of the residual structure",
        )
    if len(levels) * 2 > len(frame):
        faults.add(
            f"{len(levels)} variances cannot be told from {len(frame)} rows",
            where,
            "group its values first",
        )
    return codes, levels


def _check_units(
    structure: ResidualStructure,
    unit: Codes,
    units: pd.Index[Any],
    factors: Sequence[Factor],
    faults: Faults,
) -> None:
    by = ":".join(structure.by)
    counts = np.bincount(unit)
    if counts.max() == 1:
        faults.add(
            "every unit has one row, so residuals have nothing to correlate with",
            f"units {by!r}",
            "is it the column of the rows?",
        )
    for factor in factors:
        if factor.membership is not None:
            raise OptionError(
                f"residual: rows belong to several groups of {factor.name!r}; residuals can then "
                "differ in variance (variance_by), but not correlate"
            )
        first = np.zeros(len(units), dtype=np.intp)
        first[unit] = factor.only_codes
        astray = np.unique(unit[first[unit] != factor.only_codes])
        if astray.size:
            shown = ", ".join(repr(_label(units[u])) for u in astray[:5])
            faults.add(
                f"{astray.size} units have rows in several groups of {factor.name!r}: {shown}",
                f"units {by!r}",
                "residuals correlate within one group only; give "
                f"by=[{', '.join(structure.by)}, {factor.name}] if labels repeat across groups",
            )


def _family(
    structure: ResidualStructure, frame: pd.DataFrame, unit: Codes, faults: Faults
) -> tuple[Array, Correlation]:
    """Place of each row in its unit, and the family with the cells that occur."""
    n, kind = len(frame), structure.kind
    if kind == "independent":
        return np.zeros(n), Independent()
    if kind == "compound_symmetry":
        return np.zeros(n), Exchangeable(int(np.bincount(unit).max()))
    column = str(structure.position)
    where = f"column {column!r}"
    if kind == "unstructured":
        codes, levels = group_codes(frame, column)
        return codes.astype(float), Unstructured(tuple(map(_label, levels)))
    if not pd.api.types.is_numeric_dtype(frame[column].dtype):
        faults.add("positions in time must be numbers", where)
        return np.arange(n, dtype=float), Independent()
    time = numbers(frame, column)
    if kind != "car1":
        steps = time - time.min()
        whole = np.round(steps)
        off = np.abs(steps - whole) > _WHOLE * np.maximum(1.0, steps)
        if off.any():
            faults.add(
                f"positions are not whole steps apart, such as {time.min():g} and {time[off][0]:g}",
                where,
                "number the occasions, or use car1",
            )
            return np.arange(n, dtype=float), Independent()
        time = whole
    # Only distances within a unit matter: each starts at zero, so that patterns repeat.
    start = np.full(unit.max() + 1, np.inf)
    np.minimum.at(start, unit, time)
    place = time - start[unit]
    if kind == "toeplitz":
        return place, Stationary(int(place.max()))
    return place, Power(_distances(unit, place), kind == "car1")


def _distances(unit: Codes, place: Array) -> Array:
    """The distances that occur within units, sorted, zero first."""
    found = [np.zeros(1)]
    order = np.lexsort((place, unit))
    unit, place = unit[order], place[order]
    for lag in range(1, int(np.bincount(unit).max())):
        same = unit[lag:] == unit[:-lag]
        found.append(np.unique(place[lag:][same] - place[:-lag][same]))
    return np.unique(np.concatenate(found))


def _cells(family: Correlation, places: Array) -> Codes:
    P, T = places.shape
    if isinstance(family, Exchangeable):
        return np.repeat(1 - np.eye(T, dtype=np.intp)[None], P, axis=0)
    if isinstance(family, Unstructured):
        return pair_cells(places.astype(np.intp))
    if isinstance(family, Stationary):
        lags: Codes = np.abs(places[:, :, None] - places[:, None, :]).astype(np.intp)
        return lags
    if isinstance(family, Power):
        return distance_cells(places, family.distances)
    return np.zeros((P, T, T), dtype=np.intp)


def _check_places(
    structure: ResidualStructure, unit: Codes, units: pd.Index[Any], place: Array, faults: Faults
) -> None:
    """Report units with two rows at one place."""
    if structure.position is None or faults:
        return
    order = np.lexsort((place, unit))
    u, p = unit[order], place[order]
    twice = np.unique(u[1:][(u[1:] == u[:-1]) & (p[1:] == p[:-1])])
    if twice.size:
        shown = ", ".join(repr(_label(units[i])) for i in twice[:5])
        faults.add(
            f"{twice.size} units of {':'.join(structure.by)!r} have two rows at one position: "
            f"{shown}",
            f"column {structure.position!r}",
            "each row of a unit has its own",
        )


def _check_identified(
    structure: ResidualStructure,
    family: Correlation,
    bundles: list[Bundle],
    intercept: str | None,
    faults: Faults,
) -> None:
    """Report parameters that no pair of rows speaks of, or that a random intercept takes up."""
    if isinstance(family, Independent):
        return
    occurs: Mask = np.zeros(len(family.jet(np.zeros(len(family.names))).value), dtype=np.bool_)
    for bundle in bundles:
        occurs[bundle.cells] = True
    where = f"residual {structure}"
    if isinstance(family, Stationary | Unstructured) and not occurs.all():
        missing = [family.names[i] for i in np.flatnonzero(~occurs[1:])]
        faults.add(
            f"no unit has rows at both occasions of {', '.join(missing[:8])}",
            where,
            "leave those occasions out, or take a structure with fewer parameters",
        )
    even = not structure.variances and (not isinstance(family, Power) or occurs[1:].sum() < 2)
    spans = even or isinstance(family, Unstructured)
    if intercept is not None and spans:
        faults.add(
            f"it cannot be told from the random intercept by {intercept!r}, which is itself a "
            "correlation that all pairs of rows share",
            where,
            f"drop (1 | {intercept}), or use ar1",
        )


def _intercept_by(unit: Codes, factors: Sequence[Factor]) -> str | None:
    """The factor with a random intercept whose groups are the units, if there is one."""
    count = len(np.unique(unit))
    for factor in factors:
        # Units lie within groups, so counting tells whether they are the groups.
        if "Intercept" in factor.names and factor.n_groups == count:
            return factor.name
    return None


def _label(value: Any) -> str:
    return ":".join(map(_label, value)) if isinstance(value, tuple) else (
        f"{value:g}" if isinstance(value, float) else str(value)
    )  # fmt: skip
