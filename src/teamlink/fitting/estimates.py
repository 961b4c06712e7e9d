"""Estimates: what any engine or adjustment says about a set of parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from teamlink.errors import OptionError
from teamlink.typing import Array

__all__ = ["Estimates"]


@dataclass(frozen=True, slots=True)
class Estimates:
    """Names, values, covariance, degrees of freedom; Wald tests and intervals follow.

    Attributes
    ----------
    names : p names
    values : (R, p) estimates, one row a response
    covariance : (R, p, p)
    df : (R, p) degrees of freedom of each t test; infinite for a normal test
    method : how `df` came about, as summaries print it
    """

    names: tuple[str, ...]
    values: Array
    covariance: Array
    df: Array
    method: str

    @property
    def std_error(self) -> Array:
        """(R, p) standard errors."""
        return np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))

    @property
    def statistic(self) -> Array:
        """(R, p) estimate over standard error."""
        return self.values / self.std_error

    @property
    def p_value(self) -> Array:
        """(R, p) two-sided p values of the t tests."""
        return np.asarray(2 * stdtr(self.df, -np.abs(self.statistic)))

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Wald interval: lower and upper ends, each (R, p)."""
        if not 0 < level < 1:
            raise OptionError(f"level={level!r}: a confidence level lies between 0 and 1")
        half = stdtrit(self.df, 0.5 + level / 2) * self.std_error
        return self.values - half, self.values + half
