"""The two models that a fit is judged against: the saturated one, and that of independence.

Exogenous variables that are fixed have the moments of the sample in both, and count in neither.
The model of independence has the variances (and means) of all other variables and no covariances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.structural.implied import Moments
from teamlink.structural.identification import degrees_of_freedom
from teamlink.structural.model import StructuralModel
from teamlink.typing import Array, Mask

__all__ = ["References", "complete_references", "fixed_exogenous"]


@dataclass(frozen=True, slots=True)
class References:
    """Saturated model and model of independence.

    Attributes
    ----------
    saturated : minus twice its log-likelihood
    independence : likewise
    df, df_independence : degrees of freedom of the fitted model, and of independence
    moments : saturated moments of each block, one replicate
    baseline : moments of each block under independence
    """

    saturated: float
    independence: float
    df: int
    df_independence: int
    moments: tuple[Moments, ...]
    baseline: tuple[Moments, ...]


def fixed_exogenous(model: StructuralModel) -> tuple[Mask, ...]:
    """Per block which observed variables (p,) are exogenous with moments of the sample."""
    table = model.structure.table
    return tuple(
        np.array(
            [table.conventions.fixed_x and name in roles.exogenous for name in roles.observed],
            dtype=np.bool_,
        )
        for roles in table.roles
    )


def complete_references(model: StructuralModel, sizes: Sequence[float]) -> References:
    """The references of complete rows, which the sample moments give at once.

    Parameters
    ----------
    model : StructuralModel
    sizes : rows of each group
    """
    offset = float(model.offset[0])
    saturated = independence = 0.0
    more = 0
    baseline = []
    for own, x, n in zip(model.sample, fixed_exogenous(model), sizes, strict=True):
        S = own.Sigma[:1]
        p = S.shape[1]
        B = independent(S, x)
        constant = p * (np.log(2 * np.pi) + 1)
        saturated += n * (constant + float(np.linalg.slogdet(S[0])[1]))
        independence += n * (constant + float(np.linalg.slogdet(B[0])[1]))
        baseline.append(Moments(B, own.mu[:1]))
        inner = int((~x).sum())
        more += inner * (inner - 1) // 2 + inner * int(x.sum())
    return References(
        saturated - offset, independence - offset, degrees_of_freedom(model), more,
        tuple(Moments(own.Sigma[:1], own.mu[:1]) for own in model.sample), tuple(baseline),
    )  # fmt: skip


def independent(S: Array, x: Mask) -> Array:
    """Covariances (R, p, p) without those of variables that are not exogenous."""
    keep = np.eye(len(x), dtype=np.bool_) | (x[:, None] & x[None, :])
    return np.where(keep, S, 0.0)
