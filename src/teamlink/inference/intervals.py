r"""Bootstrap intervals, as functions of arrays.

With estimate t and replicates t*, quantiles t*_(a) at rank ``a (B + 1)`` of the B ordered
replicates, interpolated between ranks:

- percentile: ``[t*_(a/2), t*_(1-a/2)]``
- basic: ``[2 t - t*_(1-a/2), 2 t - t*_(a/2)]``
- studentized: ``[t - s z*_(1-a/2), t - s z*_(a/2)]`` with ``z* = (t* - t) / s*``
- BCa: percentile at ``Phi(z0 + (z0 + z_a) / (1 - c (z0 + z_a)))``, where
  ``z0 = Phi^-1(share of t* below t)``, ties counting half, and the acceleration
  ``c = sum d_j^3 / (6 (sum d_j^2)^(3/2))`` comes from the jackknife, ``d_j`` its mean less
  its value without cluster j.

References
----------
Davison, Hinkley (1997), doi:10.1017/CBO9780511802843, chapter 5. Efron (1987),
doi:10.1080/01621459.1987.10478410.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from teamlink.typing import Array

__all__ = ["acceleration", "basic", "bca", "percentile", "quantile", "studentized"]


def quantile(sample: Array, share: float | Array) -> Array:
    """Quantiles of a sample (B,) at rank ``share * (B + 1)``, held between its ends."""
    return np.asarray(np.quantile(sample, share, method="weibull"))


def percentile(sample: Array, level: float) -> Array:
    """(2,) ends of the percentile interval."""
    tail = (1 - level) / 2
    return quantile(sample, np.array([tail, 1 - tail]))


def basic(sample: Array, estimate: float, level: float) -> Array:
    """(2,) ends of the basic interval."""
    low, high = percentile(sample, level)
    return np.array([2 * estimate - high, 2 * estimate - low])


def studentized(
    sample: Array, errors: Array, estimate: float, std_error: float, level: float
) -> Array:
    """(2,) ends of the studentized interval; `errors` (B,) are the replicates' own."""
    low, high = percentile((sample - estimate) / errors, level)
    return np.array([estimate - std_error * high, estimate - std_error * low])


def acceleration(jackknife: Array) -> float:
    """Acceleration of BCa from the values (J,) without each cluster in turn."""
    d = jackknife.mean() - jackknife
    spread = float((d**2).sum())
    return float((d**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0


def bca(sample: Array, estimate: float, jackknife: Array, level: float) -> tuple[Array, Array]:
    """BCa interval and the shares of the sample at which it was read.

    Returns
    -------
    ends : (2,) missing where every replicate lies on one side of the estimate
    shares : (2,)
    """
    below = (np.mean(sample < estimate) + np.mean(sample <= estimate)) / 2
    if not 0 < below < 1:
        return np.full(2, np.nan), np.full(2, np.nan)
    z0 = stats.norm.ppf(below)
    z = z0 + stats.norm.ppf([(1 - level) / 2, (1 + level) / 2])
    shares = np.asarray(stats.norm.cdf(z0 + z / (1 - acceleration(jackknife) * z)))
    return quantile(sample, shares), shares
