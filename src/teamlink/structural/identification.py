"""Whether data and model determine the parameters, and which ones they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from teamlink.errors import DesignError, Fault
from teamlink.typing import Array

if TYPE_CHECKING:
    from teamlink.structural.model import StructuralModel

__all__ = ["check_counts", "check_identified", "degrees_of_freedom", "undetermined"]

_FLAT = 1e-9
"""Share of the largest eigenvalue of the scaled information below which a direction is flat."""

_PART = 0.05
"""A parameter with a smaller share in a flat direction is not named."""


def degrees_of_freedom(model: StructuralModel) -> int:
    """Sample moments less free parameters; those of fixed exogenous variables count in neither."""
    table = model.structure.table
    moments = 0
    levels = len(table.levels)
    for b, roles in enumerate(table.roles):
        p = len(roles.observed)
        fixed = roles.exogenous if table.conventions.fixed_x else ()
        px = len(fixed)
        moments += (p * (p + 1) - px * (px + 1)) // 2
        # The mean of a variable at both levels stands in the second block.
        above = table.roles[b + 1].observed if levels == 2 and b % 2 == 0 else ()
        means = [name for name in roles.observed if name not in fixed and name not in above]
        moments += len(means) if table.meanstructure else 0
    return moments - model.coordinates.k


def undetermined(model: StructuralModel, expected: Array) -> list[str]:
    """Names of the parameters that small changes together leave the implied moments as they are.

    Parameters
    ----------
    model : StructuralModel
    expected : (q, q) expected second derivatives of the deviance
    """
    K = model.coordinates.K
    H = K.T @ expected @ K
    if not np.isfinite(H).all() or not len(H):
        return []
    d = np.sqrt(np.diag(H))
    size = np.where(d > 0, d, 1.0)
    scaled = H / np.outer(size, size)
    w = np.linalg.eigvalsh(scaled)
    is_flat = w < _FLAT * max(w[-1], 1.0)
    if not is_flat.any():
        return []
    flat = np.linalg.eigh(scaled)[1][:, is_flat]
    parts = np.abs(K @ (flat / size[:, None]))
    parts = parts / np.maximum(parts.max(axis=0), 1e-300)
    named = (parts > _PART).any(axis=1)
    return [name for name, yes in zip(model.structure.names, named, strict=True) if yes]


def check_counts(model: StructuralModel) -> None:
    """Refuse a model with more parameters than there are moments.

    Raises
    ------
    DesignError
    """
    df = degrees_of_freedom(model)
    if df < 0:
        k = model.coordinates.k
        what = f"{k} parameters for {k + df} moments of the data"
        raise DesignError([Fault(what, "the model", "fix or equate some of them")])


def check_identified(model: StructuralModel, x: Array, expected: Array) -> None:
    """Refuse a model with parameters that nothing determines.

    Where the information is singular at x (q,), points near by are looked at too, so that paths
    that are zero there do not count.

    Parameters
    ----------
    model : StructuralModel
    x : (q,)
    expected : (q, q) expected second derivatives of the deviance at x

    Raises
    ------
    DesignError
    """
    found = set(undetermined(model, expected))
    if not found:
        return
    rng = np.random.default_rng(1)
    for _ in range(3):
        near = x * np.exp(0.2 * rng.standard_normal(len(x)))
        near = near + 0.1 * np.where(x == 0, rng.standard_normal(len(x)), 0.0) * _unit(model)
        point = _constrained(model, near)[None]
        with np.errstate(all="ignore"):
            there = model.hessian(point, np.zeros(1, dtype=np.intp), "expected")[0]
        found &= set(undetermined(model, there))
        if not found:
            return
    named = ", ".join(name for name in model.structure.names if name in found)
    what = f"it is not identified: {named} can change together and leave the implied moments alike"
    raise DesignError([Fault(what, "the model", "fix one of them, or add indicators")])


def _constrained(model: StructuralModel, x: Array) -> Array:
    """The point nearest to x that meets the linear constraints."""
    K, x0 = model.coordinates.K, model.coordinates.x0
    found: Array = x0 + K @ (np.linalg.pinv(K) @ (x - x0))
    return found


def _unit(model: StructuralModel) -> Array:
    """A size (q,) for each parameter that is in the units of the data."""
    unit = np.ones(model.structure.q)
    for block, own in zip(model.structure.blocks, model.sample, strict=True):
        sd = np.ones(len(block.variables))
        sd[: block.p] = np.sqrt(np.diag(own.Sigma[0]))
        for of, row in zip(block.of, (*block.a_row, *block.s_row, *block.m_row), strict=True):
            unit[of] = sd[row]
        unit[block.s_of] = sd[block.s_row] * sd[block.s_col]
        unit[block.a_of] = sd[block.a_row] / sd[block.a_col]
    return unit
