"""Standard deviations and correlations of the random effects, in the orders users know."""

from __future__ import annotations

from itertools import combinations
from typing import TypeAlias

import numpy as np
import pandas as pd

from teamlink.fitting.components import Components
from teamlink.mixed.covariance import RandomStructure
from teamlink.typing import Array

__all__ = ["components", "places", "varcorr"]

Effects: TypeAlias = tuple[tuple[str, str], ...]
"""Grouping factor and name of each of the Q random effects."""


def places(effects: Effects, structure: RandomStructure) -> dict[tuple[str, str], tuple[int, ...]]:
    """What the components are of, by (group, term) in broom's order: one effect, two, or none.

    Parameters
    ----------
    effects : grouping factor and name of each of the Q effects
    structure : RandomStructure
    """
    found: dict[tuple[str, str], tuple[int, ...]] = {}
    for block in structure.slices:
        each = range(block.start, block.stop)
        found |= {(effects[i][0], f"sd__{effects[i][1]}"): (i,) for i in each}
        for i, j in combinations(each, 2):
            found[effects[i][0], f"cor__{effects[i][1]}.{effects[j][1]}"] = (i, j)
    return found | {("Residual", "sd__Observation"): ()}


def components(
    effects: Effects, structure: RandomStructure, Lambda: Array, sigma2: Array
) -> Components:
    """Standard deviations and correlations of R replicates.

    Parameters
    ----------
    effects : grouping factor and name of each of the Q effects
    structure : RandomStructure
    Lambda : (R, Q, Q) relative factor of the effects as written
    sigma2 : (R,) residual variance
    """
    covariance = sigma2[:, None, None] * (Lambda @ Lambda.transpose(0, 2, 1))
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    where = places(effects, structure)
    values: list[Array] = []
    for place in where.values():
        if len(place) < 2:
            values.append(sd[:, place[0]] if place else np.sqrt(sigma2))
            continue
        i, j = place
        size = sd[:, i] * sd[:, j]
        alive = size > 0
        r = covariance[:, i, j] / np.where(alive, size, 1.0)
        values.append(np.where(alive, r, np.nan))
    groups, terms = zip(*where, strict=True)
    return Components(groups, terms, np.stack(values, axis=1))


def varcorr(
    effects: Effects, structure: RandomStructure, Lambda: Array, sigma: float
) -> pd.DataFrame:
    """Variances and covariances, in the order of lme4's ``as.data.frame(VarCorr(fit))``.

    Where lme4 has to sort the terms it also turns round those with equally many groups, the parts
    of one ``||`` among them; here these keep the order of the formula.

    Parameters
    ----------
    effects : grouping factor and name of each of the Q effects
    structure : RandomStructure
    Lambda : (Q, Q) relative factor of the effects as written
    sigma : residual standard deviation

    Returns
    -------
    DataFrame
        ``group, term1, term2, vcov, sdcor``; the residual last.
    """
    covariance = sigma**2 * Lambda @ Lambda.T
    sd = np.sqrt(np.diag(covariance))
    rows: list[tuple[str, str | None, str | None, float, float]] = []
    for block in structure.slices:
        each = range(block.start, block.stop)
        rows += [(*effects[i], None, covariance[i, i], sd[i]) for i in each]
        for i, j in combinations(each, 2):
            size = sd[i] * sd[j]
            r = covariance[i, j] / size if size > 0 else np.nan
            rows.append((*effects[i], effects[j][1], covariance[i, j], r))
    rows.append(("Residual", None, None, sigma**2, sigma))
    return pd.DataFrame(rows, columns=["group", "term1", "term2", "vcov", "sdcor"])
