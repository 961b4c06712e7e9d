"""Variance components without each group, refitted through the batch of group weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from teamlink.fitting.fit import solve
from teamlink.mixed.design import sole_factor
from teamlink.typing import Mask

if TYPE_CHECKING:
    from teamlink.mixed.result import MixedFit

__all__ = ["deleted_variances"]


def deleted_variances(fit: MixedFit) -> pd.DataFrame:
    """Standard deviations and correlations refitted without each group.

    Parameters
    ----------
    fit : MixedFit
        With one grouping factor, one group a row.

    Returns
    -------
    DataFrame
        (J, components + 1) indexed by group; a column a component, in the order and under the
        names of `fit.tidy()`, and ``converged``. NaN for a group without which the model cannot
        be estimated.
    """
    model = fit.independent("variances=True")
    factor = sole_factor(model.design, "variances=True")
    J = factor.n_groups
    weights = np.ones((J, J)) - np.eye(J)
    everything: Mask = np.ones(J, dtype=np.bool_)
    fine = model.estimable(weights) if model.names else everything
    names = fit.model.components(fit.working_theta[None]).terms
    values = np.full((J, len(names)), np.nan)
    converged = np.zeros(J, dtype=bool)
    if fine.any():
        batch = model.with_group_weights(weights[fine], fit.working_theta)
        solution = solve(batch)
        values[fine] = batch.components(solution.theta).values
        converged[fine] = solution.converged
    frame = pd.DataFrame(values, index=factor.levels, columns=list(names))
    return frame.assign(converged=converged)
