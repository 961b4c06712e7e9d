"""What answers would look like if respondents of a group did not agree: null distributions.

References
----------
LeBreton, Senter (2008). Answers to 20 questions about interrater reliability and interrater
agreement. Organizational Research Methods 11(4), 815-852. doi:10.1177/1094428106296642
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from teamlink.errors import OptionError, check_option

__all__ = ["Null", "null_name", "null_variance"]

Named: TypeAlias = Literal[
    "uniform", "slight-skew", "moderate-skew", "heavy-skew", "triangular", "normal", "maximum"
]
Null: TypeAlias = Named | float | Sequence[float]
"""A named distribution, its variance, or the share of each answer from lowest to highest."""

_FIVE = {
    "slight-skew": (0.05, 0.15, 0.20, 0.35, 0.25),
    "moderate-skew": (0.00, 0.10, 0.15, 0.40, 0.35),
    "heavy-skew": (0.00, 0.00, 0.10, 0.40, 0.50),
    "triangular": (0.11, 0.22, 0.34, 0.22, 0.11),
    "normal": (0.07, 0.24, 0.38, 0.24, 0.07),
}
"""Shares of five options (LeBreton and Senter 2008, table 2)."""

NAMES = ("uniform", *_FIVE, "maximum")


def null_variance(null: Null, low: float, high: float, whole: bool) -> float:
    """Variance of answers without agreement.

    Parameters
    ----------
    null : see `Null`
    low, high : lowest and highest answer
    whole : whether answers are whole numbers

    Raises
    ------
    OptionError
        No such distribution, or not for this many options.

    Examples
    --------
    >>> null_variance("uniform", 1, 5, True), round(null_variance("slight-skew", 1, 5, True), 2)
    (2.0, 1.34)
    """
    width = high - low
    if isinstance(null, str):
        check_option("null", null, NAMES)
        if null == "uniform":
            return ((width + 1) ** 2 - 1) / 12 if whole else width**2 / 12
        if null == "maximum":
            return width**2 / 4
        if width != 4 or not whole:
            raise OptionError(
                f"null={null!r} is tabled for five options, here are {width + 1:g}; give the share "
                "of each answer, as in null=[0.1, 0.2, 0.4, 0.2, 0.1], or the variance"
            )
        return _variance(_FIVE[null])
    if isinstance(null, int | float):
        if not 0 < null < np.inf:
            raise OptionError(f"null={null!r}: a variance is positive")
        return float(null)
    shares = [float(share) for share in null]
    if len(shares) != width + 1:
        raise OptionError(f"null has {len(shares)} shares for {width + 1:g} options")
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise OptionError(f"null: shares are not negative and add to one; these add to "
                          f"{sum(shares):g}")  # fmt: skip
    found = _variance(shares)
    if found <= 0:
        raise OptionError("null: all answers are the same one, which is perfect agreement")
    return found


def null_name(null: Null) -> str:
    """What to call it.

    Examples
    --------
    >>> null_name("uniform"), null_name(1.5)
    ('uniform', 'variance 1.5')
    """
    if isinstance(null, str):
        return null
    return f"variance {null:g}" if isinstance(null, int | float) else "shares given"


def _variance(shares: Sequence[float]) -> float:
    p = np.asarray(shares, dtype=float)
    at = np.arange(len(p))
    return float(p @ at**2 - (p @ at) ** 2)
