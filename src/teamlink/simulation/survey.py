"""Survey answers: what a latent perception becomes on a form with a few categories."""

from __future__ import annotations

import numpy as np

from teamlink.typing import Array, Codes

__all__ = ["likert"]


def likert(
    perception: Array,
    noise: Array,
    loading: float,
    points: int = 5,
    mean: float = 0.0,
    item_spread: float = 0.0,
    step: float = 0.9,
) -> Codes:
    """Turn perceptions into integer answers to several items.

    Parameters
    ----------
    perception : Array
        (m,), latent perception of each respondent, SD 1.
    noise : Array
        (m, items), standard normal; drawn by the caller, so that its order is his.
    loading : float
        Correlation of an item's answer tendency with perception.
    points : int
        Categories, coded 1 .. points.
    mean : float
        Mean tendency above the middle of the scale, SD.
    item_spread : float
        Items' means lie within plus and minus this, SD.
    step : float
        Distance of neighbouring thresholds, SD.

    Returns
    -------
    ndarray
        (m, items), integers 1 .. points.

    Examples
    --------
    >>> import numpy as np
    >>> likert(np.array([-2.0, 0.0, 2.0]), np.zeros((3, 2)), loading=0.9).tolist()
    [[1, 1], [3, 3], [5, 5]]
    """
    items = noise.shape[1]
    tendency = loading * perception[:, None] + np.sqrt(1 - loading**2) * noise
    tendency += mean + (item_spread * np.linspace(-1, 1, items) if items > 1 else 0.0)
    steps = np.arange(points - 1) - (points - 2) / 2
    answers: Codes = 1 + np.searchsorted(step * steps, tendency)
    return answers
