"""Trajectories of a growth curve: of the mean, of groups, and of units; variance over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.special import ndtri

from teamlink.errors import OptionError, check_option, nearest
from teamlink.mixed.membership import Membership
from teamlink.typing import Array

if TYPE_CHECKING:
    from teamlink.growth.result import GrowthCurve

__all__ = ["At", "Band", "expected_variance", "grid_of_times", "trajectories"]

At: TypeAlias = Mapping[str, Any]
"""Column to one value, or to several."""

Band: TypeAlias = Literal["confidence", "prediction"] | None

POINTS = 41
"""Times of a trajectory that are not asked for."""


def trajectories(
    curve: GrowthCurve,
    at: At | None,
    level: str,
    interval: Band,
    times: Sequence[float] | None,
    coverage: float,
) -> pd.DataFrame:
    """See `GrowthCurve.trajectories`."""
    group = curve.specification.group
    check_option("level", level, ["population", "group", *([group] if group else [])])
    check_option("interval", interval, [None, "confidence", "prediction"])
    if not 0 < coverage < 1:
        raise OptionError(f"coverage={coverage!r}: a share between 0 and 1")
    chosen = {name: _several(value) for name, value in (at or {}).items()}
    if level == "group":
        if times is not None:
            raise OptionError("times: a unit's trajectory has the times of its own occasions")
        return _of_units(curve, chosen, interval, coverage)
    grid = grid_of_times(curve) if times is None else np.asarray(times, dtype=float)
    if level == "population":
        return _of_population(curve, chosen, interval, grid, coverage)
    return _of_groups(curve, chosen, interval, grid, coverage)


def grid_of_times(curve: GrowthCurve) -> Array:
    """Times over the whole range, knots among them."""
    seen = curve.coding.observed
    return np.unique([*np.linspace(seen[0], seen[-1], POINTS), *curve.coding.knots])


def _several(value: Any) -> list[Any]:
    plain = isinstance(value, str) or not isinstance(value, Sequence | np.ndarray | pd.Series)
    return [value] if plain else list(value)


def _check_names(chosen: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in chosen:
        if name not in names:
            raise OptionError(f"at: {name!r} is no column to choose by; {nearest(name, names)}")


def reference(curve: GrowthCurve, rows: pd.DataFrame) -> dict[str, Any]:
    """Typical values of the predictors: the mean of a number over units, else what is usual."""
    unit = curve.specification.unit
    found: dict[str, Any] = {}
    for name in curve.specification.covariates:
        held = rows[name]
        if pd.api.types.is_numeric_dtype(held) and not pd.api.types.is_bool_dtype(held):
            found[name] = float(held.groupby(rows[unit]).mean().mean())
        else:
            found[name] = held.mode().iloc[0]
    return found


def _grid(
    curve: GrowthCurve, chosen: Mapping[str, list[Any]], usual: Mapping[str, Any], times: Array
) -> pd.DataFrame:
    """A row for each time at each combination of the values chosen."""
    combinations = list(product(*chosen.values()))
    columns: dict[str, Any] = {}
    for k, name in enumerate(chosen):
        columns[name] = [combination[k] for combination in combinations for _ in times]
    columns[curve.coding.time] = np.tile(times, len(combinations))
    frame = pd.DataFrame(columns)
    return frame.assign(**{name: usual[name] for name in usual if name not in chosen})


def _of_population(
    curve: GrowthCurve, chosen: dict[str, list[Any]], interval: Band, times: Array, coverage: float
) -> pd.DataFrame:
    covariates = curve.specification.covariates
    _check_names(chosen, covariates)
    new = _grid(curve, chosen, reference(curve, curve.rows), times)
    kind: Band = None if interval is None else "confidence"
    found = curve.fit.predict(new, level="population", interval=kind, coverage=coverage)
    table = _joined(new[[*chosen, curve.coding.time]], found)
    if interval == "prediction":
        # Of a new unit in a new group, at one occasion: every variance counts.
        spread = (
            expected_variance(curve, times).groupby(curve.coding.time)["variance"].sum().to_numpy()
        )
        place = np.searchsorted(np.unique(times), new[curve.coding.time])
        z = ndtri(0.5 + coverage / 2)
        half = (table["conf_high"] - table["conf_low"]).to_numpy() / 2
        wide = np.sqrt(half**2 + z**2 * spread[place])
        table = table.assign(
            conf_low=table["prediction"] - wide, conf_high=table["prediction"] + wide
        )
    return table


def _of_groups(
    curve: GrowthCurve, chosen: dict[str, list[Any]], interval: Band, times: Array, coverage: float
) -> pd.DataFrame:
    """One trajectory a group, each with its own typical values of the predictors."""
    group = str(curve.specification.group)
    _check_names(chosen, [group, *curve.specification.covariates])
    if group not in curve.rows:
        raise OptionError(f"level={group!r}: groups with weights of your own have no trajectory")
    doses = group in (curve.memberships or {})
    if doses and not curve.shares:
        raise OptionError(f"level={group!r}: cumulative effects depend on the units' careers")
    wanted = chosen.pop(group, sorted(curve.rows[group].unique().tolist()))
    held = {str(name): rows for name, rows in curve.rows.groupby(curve.rows[group].astype(str))}
    missing = [name for name in wanted if str(name) not in held]
    if missing:
        raise OptionError(f"at: no {group!r} {missing[0]!r}; {nearest(str(missing[0]), held)}")
    parts = [
        _grid(curve, chosen, reference(curve, held[str(name)]), times).assign(**{group: name})
        for name in wanted
    ]
    new = pd.concat(parts, ignore_index=True)
    memberships = None
    if doses:
        codes, levels = pd.factorize(new[group])
        ones = csr_array((np.ones(len(new)), (np.arange(len(new)), codes)))
        memberships = {group: Membership(ones, pd.Index(levels))}
    found = curve.fit.predict(
        new, level=(group,), interval=interval, coverage=coverage, memberships=memberships
    )
    return _joined(new[[group, *chosen, curve.coding.time]], found)


def _of_units(
    curve: GrowthCurve, chosen: Mapping[str, list[Any]], interval: Band, coverage: float
) -> pd.DataFrame:
    """The units' own trajectories, at their own occasions."""
    spec, rows = curve.specification, curve.rows
    keys = [spec.unit, *([spec.group] if spec.group in rows else [])]
    _check_names(chosen, [*map(str, keys), *spec.covariates])
    found = curve.fit.predict(None, level="group", interval=interval, coverage=coverage)
    columns = list(dict.fromkeys([*keys, *chosen, curve.coding.time, spec.outcome]))
    table = _joined(rows[columns], found)
    for name, values in chosen.items():
        strange = [value for value in values if not rows[name].isin([value]).any()]
        if strange:
            raise OptionError(f"at: no row has {strange[0]!r} in {name!r}")
        table = table[table[name].isin(values)]
    return table.sort_values([spec.unit, curve.coding.time], kind="stable", ignore_index=True)


def _joined(left: pd.DataFrame, found: pd.Series[Any] | pd.DataFrame) -> pd.DataFrame:
    right = found.to_frame() if isinstance(found, pd.Series) else found
    return pd.concat([left.reset_index(drop=True), right.reset_index(drop=True)], axis=1)


def expected_variance(curve: GrowthCurve, times: Sequence[float] | Array | None) -> pd.DataFrame:
    """See `GrowthCurve.expected_variance`."""
    if not curve.independent:
        raise OptionError(
            "expected_variance: the residuals have a structure of their own, whose variances "
            "curve.fit holds"
        )
    seen = curve.coding.observed
    if times is None:
        few = len(seen) <= 25 or curve.memberships
        at = seen if few else np.linspace(seen[0], seen[-1], 25)
    else:
        at = np.unique(np.asarray(times, dtype=float))
    names = ["Intercept", *(term.column for term in curve.coding.terms)]
    A, D = curve.coding.columns(at), curve.coding.slopes(at)
    model = curve.fit.model
    covariance = curve.fit.sigma**2 * curve.fit.Lambda @ curve.fit.Lambda.T
    parts: list[pd.DataFrame] = []
    for factor, place in zip(model.design.factors, model.structure.factors, strict=True):
        which = [names.index(name) for name in factor.names]
        T, a, d = covariance[place, place], A[:, which], D[:, which]
        status, rate = ((m @ T * m).sum(axis=1) for m in (a, d))
        size = np.sqrt(status * rate)
        # A part that vanishes up to rounding has no correlation.
        alive = size > 1e-12 * np.sqrt(np.trace(T) ** 2 + 1e-300)
        r = np.where(alive, (a @ T * d).sum(axis=1) / np.where(alive, size, 1.0), np.nan)
        status = status * _dose(curve, factor.name, at)
        parts.append(_part(at, factor.name, status, r))
    residual = np.full(len(at), curve.fit.sigma**2)
    parts.append(_part(at, "Residual", residual, np.full(len(at), np.nan)))
    table = pd.concat(parts, ignore_index=True)
    table.insert(3, "share", table["variance"] / table.groupby("time")["variance"].transform("sum"))
    table = table.sort_values("time", kind="stable", ignore_index=True)
    return table.rename(columns={"time": curve.coding.time})


def _part(at: Array, name: str, variance: Array, r: Array) -> pd.DataFrame:
    return pd.DataFrame(
        {"time": at, "group": name, "variance": variance, "status_rate_correlation": r}
    )


def _dose(curve: GrowthCurve, name: str, at: Array) -> Array:
    """Mean sum (T,) of the squared weights of a row, at the given times."""
    given = (curve.memberships or {}).get(name)
    if given is None:
        return np.ones(len(at))
    factor = next(f for f in curve.fit.model.design.factors if f.name == name)
    assert factor.membership is not None
    squares = np.asarray(factor.membership.power(2).sum(axis=1))
    mean = pd.Series(squares).groupby(curve.rows[curve.coding.time].to_numpy()).mean()
    unseen = [t for t in at.tolist() if t not in mean.index]
    if unseen:
        raise OptionError(
            f"times: the weights of {name!r} are known at the times of the rows only, not at "
            f"{unseen[0]:g}"
        )
    return mean.reindex(at).to_numpy()
