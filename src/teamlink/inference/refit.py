"""Many responses on one design: bootstrap replicates, power simulations, plausible values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from teamlink.errors import DesignError, OptionError
from teamlink.fitting.fit import Fit, Solution, single_thread, solve
from teamlink.fitting.model import Decomposes, Model, Refittable
from teamlink.inference.replicates import batch_size
from teamlink.typing import Array

__all__ = ["refit"]


def refit(fit: Fit, Y: Any, random: bool = False) -> pd.DataFrame:
    """Fit the same model to many responses in one vectorised call.

    Parameters
    ----------
    fit : Fit
        A fitted model whose engine takes new responses, such as that of `teamlink.lmm`.
    Y : array or data frame, (n,) or (n, R)
        Responses, in the order of the rows that the fit used, one column a replicate.
    random : bool
        Add rows for the standard deviations and correlations of the random effects, as terms
        ``sd__x``, ``cor__x.z`` and ``sd__Observation``; they have estimates only. Where several
        grouping factors have the same term it reads ``sd__x|school``.

    Returns
    -------
    DataFrame
        One row a replicate and coefficient: ``replicate, term, estimate, std_error, statistic,
        df, p_value``, and, constant within a replicate, ``deviance, converged, boundary``.
        Replicates bear the column names of a data frame, or 0 .. R-1. None is left out: one
        that did not converge says so.

    Raises
    ------
    DesignError
        The responses have another number of rows than the fit, or are not finite.
    OptionError
        The engine of `fit` cannot take new responses, or its standard errors were replaced after
        fitting (`robust`).

    Notes
    -----
    Only the cross-products with the response differ between replicates, so the design is
    read once and the optimiser advances all replicates together. Every replicate is fitted from
    the same starting points and to the same tolerance as a single fit.

    In R: ``lapply(Y, function(y) refit(fit, y))`` with lme4.

    Examples
    --------
    >>> import numpy as np
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82")
    >>> fit = tl.lmm("mathach ~ ses + (1 | school)", hsb)
    >>> again = tl.refit(fit, np.column_stack([hsb["mathach"], hsb["mathach"] * 2]))
    >>> again.loc[again["term"] == "ses", "estimate"].round(3).tolist()
    [2.39, 4.78]
    """
    if not isinstance(fit.model, Refittable):
        raise OptionError(
            f"a fit of {type(fit.model).__name__} cannot be refitted to new responses"
        )
    own = fit.model.estimates(fit.working_theta[None]).method
    if own != fit.estimates.method:
        raise OptionError(
            f"the standard errors of this fit ({fit.estimates.method}) were put in after fitting; "
            f"refits would have the model's own ({own}): refit the fit without them"
        )
    responses = np.asarray(Y, dtype=float)
    responses = responses[:, None] if responses.ndim == 1 else responses
    if responses.ndim != 2 or responses.shape[1] == 0:
        raise DesignError(f"responses of shape {responses.shape}; they must be (rows, replicates)")
    labels: list[Any] = (
        list(Y.columns) if isinstance(Y, pd.DataFrame) else [*range(responses.shape[1])]
    )
    parts = []
    size = batch_size(fit.model, len(responses))
    with single_thread().limit(limits=1):
        for start in range(0, responses.shape[1], size):
            columns = slice(start, start + size)
            bound = fit.model.with_responses(responses[:, columns])
            parts.append(_tidy(bound, solve(bound), labels[columns], random))
    return pd.concat(parts, ignore_index=True)


def _tidy(model: Model, solution: Solution, labels: list[Any], random: bool) -> pd.DataFrame:
    estimates = model.estimates(solution.theta)
    names, values = estimates.names, estimates.values
    if random and isinstance(model, Decomposes):
        components = model.components(solution.theta)
        names = names + components.keys
        values = np.concatenate([values, components.values], axis=1)
    t = len(names)

    def padded(column: Array) -> Array:
        extra = np.full((len(column), t - column.shape[1]), np.nan)
        return np.concatenate([column, extra], axis=1).ravel()

    return pd.DataFrame(
        {
            "replicate": np.repeat(np.asarray(labels), t),
            "term": np.tile(np.asarray(names, dtype=object), len(labels)),
            "estimate": values.ravel(),
            "std_error": padded(estimates.std_error),
            "statistic": padded(estimates.statistic),
            "df": padded(estimates.df),
            "p_value": padded(estimates.p_value),
            "deviance": np.repeat(solution.deviance, t),
            "converged": np.repeat(solution.converged, t),
            "boundary": np.repeat(solution.boundary, t),
        }
    )
