"""The two models that a fit is judged against: the saturated one, and that of independence.

Exogenous variables that are fixed have the moments of the sample in both, and count in neither.
The model of independence has the variances (and means) of all other variables and no covariances;
exogenous variables covary in it, whether fixed or not, as in lavaan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from teamlink.errors import OptionError
from teamlink.structural.discrepancy import CompleteData
from teamlink.structural.identification import degrees_of_freedom
from teamlink.structural.implied import Moments
from teamlink.structural.incomplete import MissingData
from teamlink.structural.levelfit import (
    baseline_clusterwise,
    baseline_normal,
    baseline_two_level,
)
from teamlink.structural.nested import NestedData, NestedGroup
from teamlink.typing import Array, Mask

if TYPE_CHECKING:
    from teamlink.structural.model import StructuralModel

__all__ = ["References", "complete_references", "exogenous", "fixed_exogenous", "references_of"]


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


def exogenous(model: StructuralModel) -> tuple[Mask, ...]:
    """Per block which observed variables (p,) are exogenous."""
    return tuple(
        np.array([name in roles.exogenous for name in roles.observed], dtype=np.bool_)
        for roles in model.structure.table.roles
    )


def fixed_exogenous(model: StructuralModel) -> tuple[Mask, ...]:
    """Per block which observed variables (p,) are exogenous with moments of the sample."""
    fixed = model.structure.table.conventions.fixed_x
    return tuple(own & fixed for own in exogenous(model))


def references_of(model: StructuralModel) -> References:
    """The references of a model, whatever its likelihood."""
    likelihood = model.likelihood
    if isinstance(likelihood, CompleteData):
        return complete_references(model, [float(one.n[0]) for one in likelihood.groups])
    if model.structure.table.slopes:
        raise OptionError("with random slopes there is no saturated model, hence no test of fit")
    first = np.zeros(1, dtype=np.intp)
    sample = tuple(Moments(own.Sigma[:1], own.mu[:1]) for own in model.sample)
    fixed = exogenous(model)
    baseline: list[Moments] = []
    if isinstance(likelihood, MissingData):
        for patterns, x in zip(likelihood.groups, fixed, strict=True):
            apart = baseline_normal(patterns, x)
            baseline.append(Moments(apart.Sigma[:1], apart.mu[:1]))
    else:
        assert isinstance(likelihood, NestedData)
        for g, group in enumerate(likelihood.groups):
            baseline += _apart(group, fixed[2 * g], fixed[2 * g + 1])
    offset = float(model.offset[0])
    more = sum(_zeros(x) for x in fixed)
    return References(
        float(likelihood.at(sample, first).value[0]) - offset,
        float(likelihood.at(baseline, first).value[0]) - offset,
        degrees_of_freedom(model), more, sample, tuple(baseline),
    )  # fmt: skip


def _apart(group: NestedGroup, within: Mask, between: Mask) -> tuple[Moments, Moments]:
    """Moments of the blocks of a group under independence."""
    places = group.places
    kept = within.copy()
    kept[places.both] &= between[places.both_b]
    both, kept_z = places.varies_at_both, between[places.own_b]
    if group.sizes is not None:
        found = baseline_two_level(group.sizes, both, kept, kept_z)
    else:
        assert group.cells is not None
        found = baseline_clusterwise(group.cells, both, kept, kept_z)
    return places.blocks(found.moments)


def _zeros(x: Mask) -> int:
    """Covariances of a block that are zero under independence."""
    inner = int((~x).sum())
    return inner * (inner - 1) // 2 + inner * int(x.sum())


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
    for own, x, n in zip(model.sample, exogenous(model), sizes, strict=True):
        S = own.Sigma[:1]
        p = S.shape[1]
        B = independent(S, x)
        constant = p * (np.log(2 * np.pi) + 1)
        saturated += n * (constant + float(np.linalg.slogdet(S[0])[1]))
        independence += n * (constant + float(np.linalg.slogdet(B[0])[1]))
        baseline.append(Moments(B, own.mu[:1]))
        more += _zeros(x)
    return References(
        saturated - offset, independence - offset, degrees_of_freedom(model), more,
        tuple(Moments(own.Sigma[:1], own.mu[:1]) for own in model.sample), tuple(baseline),
    )  # fmt: skip


def independent(S: Array, x: Mask) -> Array:
    """Covariances (R, p, p) without those of variables that are not exogenous."""
    keep = np.eye(len(x), dtype=np.bool_) | (x[:, None] & x[None, :])
    return np.where(keep, S, 0.0)
