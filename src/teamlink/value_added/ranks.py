"""Ranks and how sure they are, from draws of the joint distribution of the effects.

References
----------
Goldstein, Spiegelhalter (1996), doi:10.2307/2983325. Lin, Louis, Paddock, Ridgeway (2006),
doi:10.1214/06-BA130.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from teamlink.errors import OptionError
from teamlink.typing import Array

__all__ = ["rank_table"]


def rank_table(
    draws: Array, mean: Array, levels: pd.Index[Any], share: float, level: float
) -> pd.DataFrame:
    """Summarise the ranks of J effects over draws; rank 1 is the highest effect.

    Parameters
    ----------
    draws : (n, J) from the joint distribution given the data
    mean : (J,) its mean
    levels : (J,) labels
    share : of the effects that count as top, and as bottom
    level : of the interval of the rank

    Returns
    -------
    DataFrame
        Indexed by level: ``effect, rank, expected_rank, percentile, rank_low, rank_high, p_top,
        p_bottom``.
    """
    n, J = draws.shape
    if not 0 < share <= 0.5:
        raise OptionError(f"share={share!r}: a share lies above 0 and does not exceed one half")
    if not 0 < level < 1:
        raise OptionError(f"level={level!r}: a level lies between 0 and 1")
    order = np.argsort(-draws, axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(1, J + 1), (n, J)), axis=1)
    expected = ranks.mean(axis=0)
    tail = (1 - level) / 2
    low, high = np.quantile(ranks, [tail, 1 - tail], axis=0, method="nearest")
    k = max(round(share * J), 1)
    own = np.empty(J, dtype=np.intp)
    own[np.argsort(-mean, kind="stable")] = np.arange(1, J + 1)
    return pd.DataFrame(
        {
            "effect": mean,
            "rank": own,
            "expected_rank": expected,
            "percentile": 100 * (J + 0.5 - expected) / J,
            "rank_low": low.astype(int),
            "rank_high": high.astype(int),
            "p_top": (ranks <= k).mean(axis=0),
            "p_bottom": (ranks > J - k).mean(axis=0),
        },
        index=levels,
    )
