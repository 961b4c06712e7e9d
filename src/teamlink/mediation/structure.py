"""The structural part of a fit as matrices, at any points of its parameters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from teamlink.mediation.intervals import named_values
from teamlink.mediation.paths import Path, slope_covariance
from teamlink.mediation.sensitivity import Structure
from teamlink.mediation.specification import Specification
from teamlink.structural.result import StructuralFit
from teamlink.typing import Array

__all__ = ["structure_at"]


def structure_at(
    fit: StructuralFit, spec: Specification, paths: Sequence[Path], level: str, points: Array
) -> Structure:
    """Coefficients and residual covariances at one level.

    Parameters
    ----------
    fit : StructuralFit
    spec : Specification
    paths : the arrows of that level
    level : "within", "between" or "single"
    points : (A, q) parameters

    Returns
    -------
    Structure
    """
    order = {name: k for k, name in enumerate(spec.mediators)}
    A, K = len(points), len(order)
    a, b, c, D = np.zeros((A, K)), np.zeros((A, K)), np.zeros(A), np.zeros((A, K, K))
    values = named_values(fit, points, tuple(path.label for path in paths))
    for path, value in zip(paths, values.T, strict=True):
        match path.label[0]:
            case "a":
                a[:, order[path.end]] = value
            case "b":
                b[:, order[path.start]] = value
            case "c":
                c = value
            case _:
                D[:, order[path.end], order[path.start]] = value
    S, names = _residuals(fit, spec, level, points)
    end = f"_{level}" if spec.design.two_level else ""
    place = [
        names.index(f"{name}{end}" if name in spec.measures else name)
        for name in (*spec.mediators, spec.y)
    ]
    own = np.array(place[:-1])
    extra = np.zeros(A)
    if spec.random_slopes and level == "within":
        extra = named_values(fit, points, (slope_covariance,))[:, 0]
    return Structure(a, b, c, D, S[:, own[:, None], own], S[:, place[-1], place[-1]], extra)


def _residuals(
    fit: StructuralFit, spec: Specification, level: str, points: Array
) -> tuple[Array, list[str]]:
    """Covariances of residuals at a level, and the variables of their rows."""
    block = int(spec.design.two_level and level == "between")
    states = fit.model.states(points, np.zeros(len(points), dtype=np.intp))
    return states[block].S, list(fit.model.structure.blocks[block].variables)
