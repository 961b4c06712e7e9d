r"""Effect sizes: standardised differences of students, in cluster trials too, and of proportions.

With S the students' standard deviation within arms, pooled, N students, A the sum over arms of
``sum n_i^2 / N_arm`` over clusters, and rho the intraclass correlation, ``S^2 / gamma^2`` is
unbiased for the total variance, ``gamma^2 = 1 - (A - 2) rho / (N - 2)`` (Hedges 2007; with
clusters of n students A = 2n). Its degrees of freedom are, with n = A / 2,

    h = ((N - 2) - 2 (n - 1) rho)^2
        / ((N - 2)(1 - rho)^2 + n (N - 2n) rho^2 + 2 (N - 2n) rho (1 - rho)),

the effect size is ``g = omega gamma b / S`` with ``omega = 1 - 3 / (4h - 1)``, and its variance
``omega^2 {(gamma se_b / S)^2 + (gamma b / S)^2 / (2h)}``.

References
----------
Hedges (2007), doi:10.3102/1076998606298043. What Works Clearinghouse (2020), Supplement to the
Procedures Handbook, version 4.1 (ERIC ED608943). Sanchez-Meca, Marin-Martinez, Chacon-Moscoso
(2003), doi:10.1037/1082-989X.8.4.448.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from teamlink.typing import Array, Codes, Mask

__all__ = ["Standardizer", "correction", "cox_index", "improvement_index", "standardizer"]


@dataclass(frozen=True, slots=True)
class Standardizer:
    """The yardstick of a cluster trial's effect size.

    Attributes
    ----------
    S : standard deviation of students within arms, pooled
    gamma : S over it is the estimate of the total standard deviation
    h : degrees of freedom of its square
    """

    S: float
    gamma: float
    h: float

    @property
    def sd(self) -> float:
        """The total standard deviation of students."""
        return self.S / self.gamma

    def effect_size(self, b: float, se: float) -> tuple[float, float]:
        """Hedges' g and its standard error from a difference and its standard error."""
        omega = correction(self.h)
        d = self.gamma * b / self.S
        spread = (self.gamma * se / self.S) ** 2 + d**2 / (2 * self.h)
        return omega * d, omega * float(np.sqrt(spread))


def correction(df: float) -> float:
    """Hedges' correction for small samples.

    Examples
    --------
    >>> round(correction(18), 4)
    0.9577
    """
    return 1 - 3 / (4 * df - 1)


def standardizer(y: Array, treated: Mask, cluster: Codes, rho: float) -> Standardizer:
    """The yardstick from students' outcomes (n,), arms and clusters, and the ICC."""
    N, A, total = len(y), 0.0, 0.0
    for arm in (treated, ~treated):
        own = np.bincount(cluster[arm])
        A += float(own @ own) / int(arm.sum())
        total += float(np.square(y[arm] - y[arm].mean()).sum())
    n = A / 2
    gamma2 = 1 - (A - 2) * rho / (N - 2)
    above = ((N - 2) - 2 * (n - 1) * rho) ** 2
    below = (N - 2) * (1 - rho) ** 2 + n * (N - 2 * n) * rho**2
    below += 2 * (N - 2 * n) * rho * (1 - rho)
    return Standardizer(float(np.sqrt(total / (N - 2))), float(np.sqrt(gamma2)), above / below)


def cox_index(one: float, two: float) -> float:
    """Standardised difference of two proportions: the log odds ratio over 1.65.

    Examples
    --------
    >>> round(cox_index(0.6, 0.5), 3)
    0.246
    """
    if not (0 < one < 1 and 0 < two < 1):
        return float("nan") if one != two else 0.0
    return float((np.log(one / (1 - one)) - np.log(two / (1 - two))) / 1.65)


def improvement_index(g: float) -> float:
    """Percentile points that the average comparison student would gain: ``100 (Phi(g) - 1/2)``.

    Examples
    --------
    >>> round(improvement_index(0.1), 1), round(improvement_index(0.2), 1)
    (4.0, 7.9)
    """
    return float(100 * (ndtr(g) - 0.5))
