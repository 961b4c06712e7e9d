"""Fitted values, residuals and predictions of a generalized mixed model."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from teamlink.data.schema import as_frame, numbers
from teamlink.errors import DroppedRows, OptionError, check_option
from teamlink.mixed.generalized_parts import fixed_predictor
from teamlink.mixed.ordinal import Cumulative
from teamlink.typing import Array, Codes, Table

if TYPE_CHECKING:
    from teamlink.mixed.generalized_result import GeneralizedFit

__all__ = ["Residuals", "Scale", "fitted_predictor", "predict_generalized", "residuals"]

Scale: TypeAlias = Literal["response", "link"]
Residuals: TypeAlias = Literal["deviance", "pearson", "response"]


def fitted_predictor(fit: GeneralizedFit) -> Array:
    """(n,) linear predictor of the rows of the fit, random effects included."""
    model = fit.model
    eta = fixed_predictor(model, fit.working_theta)
    for factor, effects in zip(model.design.factors, fit.random_effects, strict=True):
        eta = eta + (factor.Z * effects.values[:, factor.only_codes].T).sum(axis=1)
    return eta


def residuals(fit: GeneralizedFit, kind: Residuals) -> Array:
    """(n,) residuals; see `GeneralizedFit.residuals`."""
    check_option("kind", kind, ["deviance", "pearson", "response"])
    model = fit.model
    if isinstance(model.family, Cumulative):
        raise OptionError(
            "an ordinal response has no residuals of this kind; compare fit.predict() with the "
            "categories"
        )
    design, family = model.design, model.family
    data = type(model.observed)(design.y[None], design.trials, design.weights)
    natural = model.own(fit.working_theta[None]).T
    mu = family.mean(fitted_predictor(fit))
    rest = design.y / design.trials - mu
    if kind == "response":
        return rest
    weights = 1.0 if design.weights is None or family.name == "gaussian" else design.weights
    if kind == "pearson":
        scale = 1.0 if family.name == "gaussian" else None
        variance = family.variance(mu, data, natural)
        if scale is not None:
            variance = np.ones_like(mu) if design.weights is None else 1 / design.weights
        pearson: Array = rest * np.sqrt(weights / variance)
        return pearson
    if family.name == "gaussian" and design.weights is not None:
        weights = design.weights
    loss = np.maximum(family.unit_deviance(mu, data, natural)[0] * weights, 0.0)
    deviance: Array = np.sign(rest) * np.sqrt(loss)
    return deviance


def predict_generalized(
    fit: GeneralizedFit, newdata: Table | None, level: str, scale: str
) -> pd.Series[Any] | pd.DataFrame:
    """See `GeneralizedFit.predict`."""
    check_option("level", level, ["group", "population"])
    check_option("type", scale, ["response", "link"])
    eta, index = _predictor(fit, newdata, level)
    missing = int((~np.isfinite(eta)).sum())
    if missing:
        warnings.warn(
            f"{missing} of {len(eta)} rows have a missing predictor; their prediction is missing",
            DroppedRows,
            stacklevel=3,
        )
    family = fit.model.family
    if scale == "link":
        return pd.Series(eta, index=index, name="prediction")
    if isinstance(family, Cumulative):
        thresholds = fit.model.own(fit.working_theta[None])[0]
        return pd.DataFrame(
            family.probabilities(eta, thresholds),
            index=index,
            columns=pd.Index(fit.model.design.categories),
        )
    return pd.Series(family.mean(eta), index=index, name="prediction")


def _predictor(
    fit: GeneralizedFit, newdata: Table | None, level: str
) -> tuple[Array, pd.Index[Any]]:
    """Linear predictors (m,) and labels of the rows."""
    model = fit.model
    design = model.design
    if newdata is None:
        eta = fitted_predictor(fit) if level == "group" else fixed_predictor(
            model, fit.working_theta
        )  # fmt: skip
        return eta, design.index
    encodings = [design.fixed]
    needed: set[str] = set()
    if level == "group":
        for factor in design.factors:
            encodings += factor.encodings
            needed |= set(factor.variables)
    needed |= {name for encoding in encodings for name in encoding.variables}
    roles = [design.roles.offset] if design.roles.offset is not None else []
    frame = as_frame(newdata, [v for v in design.formula.variables if v in needed] + roles)
    eta = design.fixed.columns(frame)[:, model.fixed.kept] @ fit.coefficients
    if design.roles.offset is not None:
        eta = eta + numbers(frame, design.roles.offset)
    if level == "population":
        return eta, frame.index
    for factor, effects in zip(design.factors, fit.random_effects, strict=True):
        Z = np.column_stack([encoding.columns(frame) for encoding in factor.encodings])
        codes = _codes(frame, factor.variables, factor.levels)
        seen = codes >= 0
        eta = eta + np.where(seen, (Z * effects.values[:, codes].T).sum(axis=1), 0.0)
    return eta, frame.index


def _codes(frame: pd.DataFrame, variables: tuple[str, ...], levels: pd.Index[Any]) -> Codes:
    """Group of each row, -1 for one that the fit has not seen."""
    parts = [frame[name] for name in variables]
    labels = parts[0] if len(parts) == 1 else pd.Series(
        [":".join(map(str, key)) for key in zip(*parts, strict=True)]
    )  # fmt: skip
    return levels.get_indexer(pd.Index(labels)).astype(np.intp)
