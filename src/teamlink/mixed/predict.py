"""Prediction from a linear mixed model, with intervals that count the random effects' own error."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy.special import ndtri

from teamlink.data.schema import as_frame
from teamlink.errors import DesignError, DroppedRows, OptionError, check_option, nearest
from teamlink.mixed.design import check_memberships, joined
from teamlink.mixed.factor import Factor
from teamlink.mixed.membership import Membership
from teamlink.mixed.ranef import error_variance
from teamlink.typing import Array, Table

if TYPE_CHECKING:
    from teamlink.mixed.result import MixedFit

__all__ = ["Interval", "Level", "at_rows", "factors_of", "fitted_values", "predict"]

Level: TypeAlias = str | Sequence[str]
"""Whose random effects enter: "group" for all factors, "population" for none, or names of some."""

Interval: TypeAlias = Literal["confidence", "prediction"]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows to predict.

    Attributes
    ----------
    X : (m, p) fixed-effects columns
    factors : each factor of the fit at these rows; None for one whose effects do not enter
    strangers : (m,) for each factor, sum of the squared weights of groups that the fit has not seen
    index : (m,) labels
    frame : the new table; None for the rows of the fit
    """

    X: Array
    factors: tuple[Factor | None, ...]
    strangers: tuple[Array, ...]
    index: pd.Index[Any]
    frame: pd.DataFrame | None = None

    @property
    def usable(self) -> Any:
        """(m,) which rows have every predictor."""
        fine = np.isfinite(self.X).all(axis=1)
        for factor in self.factors:
            if factor is not None:
                fine &= np.isfinite(factor.Z).all(axis=1)
        return fine


def fitted_values(fit: MixedFit) -> Array:
    """Fitted values (n,) of the rows of the fit, random effects included."""
    return _point(fit, _own_rows(fit, set(fit.ngroups)))


def predict(
    fit: MixedFit,
    newdata: Table | None,
    level: Level,
    interval: Interval | None,
    coverage: float,
    memberships: Mapping[str, Membership] | None = None,
) -> pd.Series[Any] | pd.DataFrame:
    """See `MixedFit.predict`."""
    wanted = factors_of(list(fit.ngroups), level)
    check_option("interval", interval, [None, "confidence", "prediction"])
    if newdata is None:
        if memberships:
            raise OptionError("memberships go with newdata; the rows of the fit have theirs")
        rows = _own_rows(fit, wanted)
    else:
        beside = _of_residuals(fit) if interval == "prediction" else ()
        rows = _new_rows(fit, newdata, wanted, dict(memberships or {}), beside)
    usable = rows.usable
    if not usable.all():
        warnings.warn(
            f"{int((~usable).sum())} of {len(usable)} rows have a missing predictor; their "
            "prediction is missing",
            DroppedRows,
            stacklevel=3,
        )
    value = _point(fit, rows)
    if interval is None:
        return pd.Series(value, index=rows.index, name="prediction")
    effects = fit.random_effects if wanted else ()
    V = fit.estimates.covariance[0]
    model, theta = fit.model.whitened(fit.working_theta)
    variance = error_variance(model, theta, rows.X, V, rows.factors, effects, rows.strangers)
    if interval == "prediction":
        spread = fit.model.relative_deviations(fit.working_theta, rows.frame)
        variance = variance + np.square(fit.sigma * spread)
    half = ndtri(0.5 + coverage / 2) * np.sqrt(variance)
    return pd.DataFrame(
        {"prediction": value, "conf_low": value - half, "conf_high": value + half}, index=rows.index
    )


def factors_of(names: Sequence[str], level: Level) -> set[str]:
    """Names of the factors, of all those of a fit, whose random effects a level takes in."""
    if isinstance(level, str):
        if level in ("group", "population"):
            return set(names) if level == "group" else set()
        check_option("level", level, ["group", "population", *names])
        return {level}
    for name in level:
        if name not in names:
            raise OptionError(f"level: no grouping factor {name!r}; {nearest(str(name), names)}")
    return set(level)


def _own_rows(fit: MixedFit, wanted: set[str]) -> _Rows:
    """The rows of the fit."""
    design = fit.model.design
    factors = tuple(factor if factor.name in wanted else None for factor in design.factors)
    nobody = tuple(np.zeros(design.n) for _ in factors)
    return _Rows(fit.model.fixed_columns, factors, nobody, design.index)


def _of_residuals(fit: MixedFit) -> tuple[str, ...]:
    """Columns on which the variance of a residual depends."""
    design = fit.model.design
    weights = () if design.weights is None else (design.weights.name,)
    return weights + (() if design.residuals is None else design.residuals.structure.variances)


def _new_rows(
    fit: MixedFit,
    newdata: Table,
    wanted: set[str],
    memberships: Mapping[str, Membership],
    beside: tuple[str, ...],
) -> _Rows:
    """New rows, coded as those of the fit; with further columns where these are needed."""
    design = fit.model.design
    entering = [factor for factor in design.factors if factor.name in wanted]
    read = {name for factor in entering if factor.membership is None for name in factor.variables}
    for encoding in (design.fixed, *(e for factor in entering for e in factor.encodings)):
        read |= set(encoding.variables)
    named = [name for name in design.formula.variables if name in read]
    frame = as_frame(newdata, list(dict.fromkeys([*named, *beside])))
    _check_memberships(entering, memberships, len(frame))
    X = design.fixed.columns(frame)[:, fit.model.fixed.kept]
    factors: list[Factor | None] = []
    strangers: list[Array] = []
    for factor in design.factors:
        at, unseen = None, np.zeros(len(frame))
        if factor.name in wanted:
            at, unseen = at_rows(factor, frame, memberships)
        factors.append(at)
        strangers.append(unseen)
    return _Rows(X, tuple(factors), tuple(strangers), frame.index, frame)


def _check_memberships(
    entering: Sequence[Factor], memberships: Mapping[str, Membership], rows: int
) -> None:
    """Raise where the factors that need a membership and those given are not the same."""
    needed = [factor.name for factor in entering if factor.membership is not None]
    missing = [name for name in needed if name not in memberships]
    if missing:
        raise DesignError(
            f"memberships: the groups of the new rows are missing for {', '.join(missing)}; make "
            "them from the new table by tl.membership"
        )
    for name in memberships:
        if name not in needed:
            hint = nearest(name, needed) if needed else "this prediction takes none"
            raise OptionError(f"memberships: no multiple-membership factor {name!r}; {hint}")
    check_memberships(memberships, rows)


def at_rows(
    factor: Factor, frame: pd.DataFrame, memberships: Mapping[str, Membership]
) -> tuple[Factor, Array]:
    """A factor at new rows, and (m,) the squared weight of groups that the fit has not seen."""
    Z = np.column_stack([encoding.columns(frame) for encoding in factor.encodings])
    if factor.membership is not None:
        weights, unseen = memberships[factor.name].among(factor.levels)
        return replace(factor, Z=Z, membership=weights), unseen
    if len(factor.variables) == 1:
        labels = pd.Index(frame[factor.variables[0]])
    else:
        keys = pd.MultiIndex.from_frame(frame[list(factor.variables)])
        labels = joined(keys, factor.name)
    codes = factor.levels.get_indexer(labels).astype(np.intp)
    return replace(factor, Z=Z, codes=codes), (codes < 0).astype(float)


def _point(fit: MixedFit, rows: _Rows) -> Array:
    value: Array = rows.X @ fit.estimates.values[0]
    if any(factor is not None for factor in rows.factors):
        value = value.copy()
        for factor, effects in zip(rows.factors, fit.random_effects, strict=True):
            if factor is not None:
                factor.add_to(value[:, None], effects.values[:, :, None])
    return value
