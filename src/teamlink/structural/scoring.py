"""A few steps of Fisher's scoring: from a rough point to where Newton's method is quick.

Far from the optimum the exact Hessian says little, and the expected one costs less and is never
indefinite. Steps are taken while the deviance falls and much is still promised; near the optimum
scoring is slow under misfit, and Newton's method takes over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from teamlink.typing import Array

if TYPE_CHECKING:
    from teamlink.structural.model import StructuralModel

__all__ = ["scored"]

_STEPS = 4

_LITTLE = 2.0
"""A step that promises less than this of the deviance is the last one."""


def scored(model: StructuralModel, x: Array) -> tuple[Array, Array]:
    """A point (q,) from x (q,), and the expected second derivatives (q, q) of the deviance there.

    Models with bounds or random slopes stay at x: steps may cross a bound, and the information on
    slopes is that of the sample.
    """
    index = np.zeros(1, dtype=np.intp)
    coordinates = model.coordinates
    K = coordinates.K
    here = coordinates.forward(coordinates.backward(x[None]), index)[0]
    with np.errstate(all="ignore"):
        value, slope, H = model.derivatives(here, index, "expected")
        if (
            not np.isfinite(value[0])
            or coordinates.bounded.any()
            or model.structure.table.slopes
            or not K.size
        ):
            return x, H[0]
        for _ in range(_STEPS):
            step = _step(K, slope[0], H[0])
            if step is None:
                break
            if -float(slope[0] @ step) / 2 < _LITTLE:
                return (here + step)[0], H[0]
            fresh, steep, bent = model.derivatives(here + step, index, "expected")
            if not fresh[0] < value[0] or not np.isfinite(bent).all():
                break
            here, value, slope, H = here + step, fresh, steep, bent
    return here[0], H[0]


def _step(K: Array, slope: Array, H: Array) -> Array | None:
    """The step (q,) of the free coordinates; None where the information is singular."""
    information = K.T @ H @ K
    try:
        np.linalg.cholesky(information)
    except np.linalg.LinAlgError:
        return None
    found: Array = K @ np.linalg.solve(information, -K.T @ slope)
    return found if np.isfinite(found).all() else None
