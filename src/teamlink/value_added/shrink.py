r"""Empirical Bayes: estimated effects with their covariance are drawn towards their mean.

Estimates ``d ~ N(theta, V)`` of J centred effects ``theta ~ N(0, tau^2 M)``, M taking out the mean.
Since ``E d'd = (J - 1) tau^2 + tr V``, ``tau^2 = max(0, (d'd - tr V) / (J - 1))`` is unbiased but
for the zero. With ``V = Q diag(l) Q'`` the posterior has

    mean  Q {tau^2 / (tau^2 + l)} Q'd,    covariance  Q {tau^2 l / (tau^2 + l)} Q'.

References
----------
Morris (1983), doi:10.1080/01621459.1983.10477920. Aaronson, Barrow, Sander (2007),
doi:10.1086/508733.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teamlink.typing import Array

__all__ = ["Shrunken", "shrink"]


@dataclass(frozen=True, slots=True)
class Shrunken:
    """Effects after shrinkage.

    Attributes
    ----------
    tau : standard deviation of the true effects
    mean : (J,) posterior means
    std_error : (J,) posterior standard deviations
    root : (J, J) R with R R' the posterior covariance
    """

    tau: float
    mean: Array
    std_error: Array
    root: Array

    def draws(self, n: int, rng: np.random.Generator) -> Array:
        """Draws (n, J) of the effects."""
        drawn: Array = self.mean + rng.standard_normal((n, len(self.mean))) @ self.root.T
        return drawn


def shrink(d: Array, V: Array) -> Shrunken:
    """Shrink centred estimates d (J,) with covariance V (J, J)."""
    tau2 = max(0.0, (float(d @ d) - float(np.trace(V))) / (len(d) - 1))
    if tau2 == 0:
        zero = np.zeros(len(d))
        return Shrunken(0.0, zero, zero, np.zeros_like(V))
    values, Q = np.linalg.eigh(V)
    values = np.maximum(values, 0.0)
    weight = tau2 / (tau2 + values)
    root = Q * np.sqrt(weight * values)
    mean = Q @ (weight * (Q.T @ d))
    return Shrunken(float(np.sqrt(tau2)), mean, np.sqrt(np.square(root).sum(axis=1)), root)
