"""Fitted values, residuals and predictions of a generalized mixed model."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from teamlink.data.schema import as_frame, numbers
from teamlink.errors import DroppedRows, OptionError, check_option
from teamlink.mixed.generalized.ordinal import Cumulative
from teamlink.mixed.generalized.parts import fixed_predictor
from teamlink.mixed.predict import Level, at_rows, factors_of
from teamlink.typing import Array, Table

if TYPE_CHECKING:
    from teamlink.mixed.generalized.result import GeneralizedFit

__all__ = ["Residuals", "Scale", "fitted_predictor", "predict_generalized", "residuals"]

Scale: TypeAlias = Literal["response", "link"]
Residuals: TypeAlias = Literal["deviance", "pearson", "response"]


def fitted_predictor(fit: GeneralizedFit) -> Array:
    """(n,) linear predictor of the rows of the fit, random effects included."""
    return _predictor(fit, None, set(fit.ngroups))[0]


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
    fit: GeneralizedFit, newdata: Table | None, level: Level, scale: Scale
) -> pd.Series[Any] | pd.DataFrame:
    """See `GeneralizedFit.predict`."""
    wanted = factors_of(list(fit.ngroups), level)
    check_option("type", scale, ["response", "link"])
    eta, index = _predictor(fit, newdata, wanted)
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
    fit: GeneralizedFit, newdata: Table | None, wanted: set[str]
) -> tuple[Array, pd.Index[Any]]:
    """Linear predictors (m,) and labels of the rows."""
    model = fit.model
    design = model.design
    frame = None if newdata is None else _frame(fit, newdata, wanted)
    if frame is None:
        eta = fixed_predictor(model, fit.working_theta)
    else:
        eta = design.fixed.columns(frame)[:, model.fixed.kept] @ fit.coefficients
        if design.roles.offset is not None:
            eta = eta + numbers(frame, design.roles.offset)
    eta = eta.copy()
    if wanted:
        for factor, effects in zip(design.factors, fit.random_effects, strict=True):
            if factor.name in wanted:
                at = factor if frame is None else at_rows(factor, frame, {})[0]
                at.add_to(eta[:, None], effects.values.T[:, :, None])
    return eta, design.index if frame is None else frame.index


def _frame(fit: GeneralizedFit, newdata: Table, wanted: set[str]) -> pd.DataFrame:
    """The columns of new data that prediction reads."""
    design = fit.model.design
    entering = [factor for factor in design.factors if factor.name in wanted]
    read = {name for factor in entering for name in factor.variables}
    for encoding in (design.fixed, *(e for factor in entering for e in factor.encodings)):
        read |= set(encoding.variables)
    roles = [design.roles.offset] if design.roles.offset is not None else []
    return as_frame(newdata, [v for v in design.formula.variables if v in read] + roles)
