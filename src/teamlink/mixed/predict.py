"""Prediction from a linear mixed model, with intervals that count the random effects' own error."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy.special import ndtri

from teamlink.data.schema import as_frame
from teamlink.errors import DroppedRows, check_option
from teamlink.typing import Array, Codes, Table

if TYPE_CHECKING:
    from teamlink.mixed.result import MixedFit

__all__ = ["Interval", "Level", "fitted_values", "predict"]

Level: TypeAlias = Literal["group", "population"]
Interval: TypeAlias = Literal["confidence", "prediction"]


def fitted_values(fit: MixedFit) -> Array:
    """Fitted values (n,) of the rows of the fit, random effects included."""
    design = fit.model.design
    return _point(fit, design.X[:, fit.model.fixed.kept], design.Z, design.codes)


def predict(
    fit: MixedFit, newdata: Table | None, level: Level, interval: Interval | None, coverage: float
) -> pd.Series[Any] | pd.DataFrame:
    """See `MixedFit.predict`."""
    check_option("level", level, ["group", "population"])
    check_option("interval", interval, [None, "confidence", "prediction"])
    X, Z, codes, index = _rows(fit, newdata, level)
    usable = np.isfinite(X).all(axis=1) & np.isfinite(Z).all(axis=1)
    if not usable.all():
        warnings.warn(
            f"{int((~usable).sum())} of {len(X)} rows have a missing predictor; their prediction "
            "is missing",
            DroppedRows,
            stacklevel=3,
        )
    value = _point(fit, X, Z, codes)
    if interval is None:
        return pd.Series(value, index=index, name="prediction")
    variance = _variance(fit, X, Z, codes, level)
    if interval == "prediction":
        variance = variance + fit.sigma**2
    half = ndtri(0.5 + coverage / 2) * np.sqrt(variance)
    return pd.DataFrame(
        {"prediction": value, "conf_low": value - half, "conf_high": value + half}, index=index
    )


def _rows(
    fit: MixedFit, newdata: Table | None, level: Level
) -> tuple[Array, Array, Codes, pd.Index[Any]]:
    """Fixed columns (m, p), random columns (m, q), group codes (m,) and labels of the rows.

    The code is -1 for a group that the fit has not seen, and for every row at population level.
    """
    design, kept = fit.model.design, fit.model.fixed.kept
    nobody = -1
    if newdata is None:
        codes = design.codes if level == "group" else np.full(design.n, nobody)
        return design.X[:, kept], design.Z, codes, design.index
    names = [v for v in design.formula.variables if v in _needed(fit, level)]
    frame = as_frame(newdata, names)
    X = design.fixed.columns(frame)[:, kept]
    if level == "population":
        return X, np.zeros((len(frame), 0)), np.full(len(frame), nobody), frame.index
    Z = np.column_stack([encoding.columns(frame) for encoding in design.random])
    parts = [frame[name] for name in design.formula.random[0].group]
    labels = parts[0] if len(parts) == 1 else pd.Series(
        [":".join(map(str, key)) for key in zip(*parts, strict=True)]
    )  # fmt: skip
    codes = design.levels.get_indexer(pd.Index(labels)).astype(np.intp)
    return X, Z, codes, frame.index


def _needed(fit: MixedFit, level: Level) -> set[str]:
    """Variables that prediction reads: all but the response, and no groups for a population."""
    design = fit.model.design
    encodings = [design.fixed, *(design.random if level == "group" else ())]
    used = {name for encoding in encodings for name in encoding.variables}
    if level == "group":
        used |= {name for term in design.formula.random for name in term.group}
    return used


def _point(fit: MixedFit, X: Array, Z: Array, codes: Codes) -> Array:
    value: Array = X @ fit.estimates.values[0]
    seen = codes >= 0
    if seen.any():
        b = fit.random_effects.values
        for k in range(Z.shape[1]):
            value = value + np.where(seen, Z[:, k] * b[codes, k], 0.0)
    return value


def _variance(fit: MixedFit, X: Array, Z: Array, codes: Codes, level: Level) -> Array:
    """Error variance (m,) of the expected value, random effects' error included at group level."""
    effects, V = fit.random_effects, fit.estimates.covariance[0]
    if level == "population":
        population: Array = np.einsum("ip,pr,ir->i", X, V, X)
        return population
    seen = (codes >= 0)[:, None]
    x = X - np.where(seen, np.einsum("iq,iqp->ip", Z, effects.loading[codes]), 0.0)
    own = np.einsum("iq,iqr,ir->i", Z, effects.covariance[codes], Z)
    new = np.einsum("iq,qr,ir->i", Z, effects.marginal, Z)
    variance: Array = np.where(seen[:, 0], own, new) + np.einsum("ip,pr,ir->i", x, V, x)
    return variance
