"""Standard deviations and correlations of the random effects, in the orders users know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
import pandas as pd

from teamlink.fitting.components import Components
from teamlink.mixed.covariance import RandomStructure
from teamlink.typing import Array

__all__ = ["Block", "components", "places", "varcorr"]

Effects: TypeAlias = tuple[tuple[str, str], ...]
"""Grouping factor and name of each of the Q random effects."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Random effects of one grouping factor that may correlate.

    Attributes
    ----------
    group : name of the grouping factor
    names : of the q effects
    covariance : (q, q)
    """

    group: str
    names: tuple[str, ...]
    covariance: Array

    @property
    def sd(self) -> Array:
        """(q,) standard deviations."""
        found: Array = np.sqrt(np.diag(self.covariance))
        return found

    def correlation(self, i: int, j: int) -> float:
        """Correlation of two effects; NaN where one has no variance."""
        size = self.sd[i] * self.sd[j]
        return float(self.covariance[i, j] / size) if size > 0 else float("nan")


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


def varcorr(blocks: Iterable[Block], residual_sd: float | None) -> pd.DataFrame:
    """Variances and covariances, in the order of lme4's ``as.data.frame(VarCorr(fit))``.

    Where lme4 has to sort the terms it also turns round those with equally many groups, the parts
    of one ``||`` among them; here these keep the order of the formula.

    Parameters
    ----------
    blocks : iterable of Block
        Random effects that may correlate, with their covariance.
    residual_sd : float or None
        Residual standard deviation; None where the family has none.

    Returns
    -------
    DataFrame
        ``group, term1, term2, vcov, sdcor``; the residual last.
    """
    rows: list[tuple[str, str | None, str | None, float, float]] = []
    for block in blocks:
        sd, names = block.sd, block.names
        rows += [
            (block.group, name, None, block.covariance[i, i], sd[i]) for i, name in enumerate(names)
        ]
        for i, j in combinations(range(len(names)), 2):
            covariance = block.covariance[i, j]
            rows.append((block.group, names[i], names[j], covariance, block.correlation(i, j)))
    if residual_sd is not None:
        rows.append(("Residual", None, None, residual_sd**2, residual_sd))
    return pd.DataFrame(rows, columns=["group", "term1", "term2", "vcov", "sdcor"])
