r"""Intervals of effects: by the delta method, by Monte Carlo, by whole clusters drawn again.

An effect is a function f of parameters x with covariance V. The delta method takes f as linear,
``se^2 = f'V f``. The Monte-Carlo method draws x from N(x, V), all parameters jointly, and takes
quantiles of f: the estimates may well be normal where their product is not. It needs no refit, and
believes V. A cluster bootstrap believes neither V nor normality, but needs many clusters.

References
----------
Preacher, Selig (2012). Advantages of Monte Carlo confidence intervals for indirect effects.
doi:10.1080/19312458.2012.679848. MacKinnon, Lockwood, Williams (2004). Confidence limits for the
indirect effect. doi:10.1207/s15327906mbr3901_4.
"""

from __future__ import annotations

import numpy as np
from scipy import stats
from scipy.special import ndtr, ndtri

from teamlink.inference import intervals
from teamlink.structural.result import StructuralFit
from teamlink.typing import Array, Codes, Mask

__all__ = [
    "bca_p",
    "delta",
    "drawn",
    "named_values",
    "near_singular",
    "resampled",
    "share_p",
    "two_sided",
]

_SMALLEST = 1e-9
"""Least eigenvalue of the correlation matrix of estimates of which draws are taken."""


def involved(fit: StructuralFit, labels: tuple[str, ...]) -> Codes:
    """Places of the free parameters on which any of the named values depends."""
    q = fit.model.structure.q
    use = np.zeros(q, dtype=np.bool_)
    names = fit.estimates.names
    duals = dict(fit.model.defined(fit.x[None]))
    for label in labels:
        if label in duals:
            use |= duals[label].slope[0] != 0
        else:
            use[names.index(label)] = True
    return np.flatnonzero(use)


def near_singular(fit: StructuralFit, labels: tuple[str, ...]) -> str:
    """Why the covariance of the parameters involved is none to draw from; empty where it is."""
    own = involved(fit, labels)
    V = fit.estimates.covariance[0][np.ix_(own, own)]
    d = np.diag(V)
    if not np.isfinite(V).all() or (d <= 0).any():
        bad = [fit.estimates.names[own[k]] for k in np.flatnonzero(~(np.isfinite(d) & (d > 0)))]
        return f"there is no standard error of {', '.join(bad) or 'some parameters'}"
    least = float(np.linalg.eigvalsh(V / np.sqrt(np.outer(d, d)))[0])
    if least < _SMALLEST:
        return f"the estimates' correlations are singular (least eigenvalue {least:.1e})"
    return ""


def drawn(fit: StructuralFit, labels: tuple[str, ...], n: int, rng: np.random.Generator) -> Array:
    """(n, q) parameters drawn from their joint normal distribution.

    Parameters that no label depends on stay at their estimates.
    """
    own = involved(fit, labels)
    V = fit.estimates.covariance[0][np.ix_(own, own)]
    x = np.tile(fit.x, (n, 1))
    x[:, own] += rng.standard_normal((n, len(own))) @ np.linalg.cholesky(V).T
    return x


def named_values(fit: StructuralFit, x: Array, labels: tuple[str, ...]) -> Array:
    """(n, e) named parameters and defined values at parameters x (n, q)."""
    names = fit.estimates.names
    found = np.empty((len(x), len(labels)))
    step = 4096
    for start in range(0, len(x), step):
        part = x[start : start + step]
        duals = dict(fit.model.defined(part))
        for e, label in enumerate(labels):
            column = duals[label].value if label in duals else part[:, names.index(label)]
            found[start : start + step, e] = column
    return found


def delta(estimate: Array, std_error: Array, level: float) -> tuple[Array, Array]:
    """(e, 2) symmetric ends and (e,) p values of normal tests."""
    half = ndtri(0.5 + level / 2) * std_error
    with np.errstate(invalid="ignore", divide="ignore"):
        p = 2 * ndtr(-np.abs(estimate / std_error))
    return np.stack([estimate - half, estimate + half], axis=1), p


def two_sided(sample: Array, level: float) -> tuple[Array, float]:
    """Percentile ends (2,) of draws, and twice the smaller share on either side of zero."""
    return intervals.percentile(sample, level), share_p(sample)


def share_p(sample: Array) -> float:
    """Twice the smaller share on either side of zero, counting one more on each."""
    n = len(sample)
    low = (np.sum(sample <= 0) + 1) / (n + 1)
    high = (np.sum(sample >= 0) + 1) / (n + 1)
    return float(min(1.0, 2 * min(low, high)))


def resampled(
    sample: Array, estimate: Array, without: Array | None, level: float
) -> tuple[Array, Array, Mask]:
    """Bootstrap intervals of every effect: percentile, or BCa where a jackknife is given.

    Parameters
    ----------
    sample : (B, e) replicates
    estimate : (e,)
    without : (J, e) values without each cluster in turn, or None
    level : coverage

    Returns
    -------
    ends : (e, 2) missing where all replicates lie on one side of the estimate, in BCa
    p : (e,)
    few : (e,) whether an end is the most extreme replicate
    """
    B, e = sample.shape
    ends, p, few = np.empty((e, 2)), np.empty(e), np.zeros(e, dtype=np.bool_)
    for k in range(e):
        shares = np.array([(1 - level) / 2, (1 + level) / 2])
        if without is None:
            ends[k], p[k] = two_sided(sample[:, k], level)
        else:
            own = without[np.isfinite(without[:, k]), k]
            ends[k], shares = intervals.bca(sample[:, k], float(estimate[k]), own, level)
            p[k] = bca_p(sample[:, k], float(estimate[k]), own)
        ranks = shares * (B + 1)
        few[k] = bool((ranks < 1).any() or (ranks > B).any())
    return ends, p, few


def bca_p(sample: Array, estimate: float, jackknife: Array) -> float:
    """One less the level at which an end of the BCa interval is zero."""
    n = len(sample)
    below = (np.mean(sample < estimate) + np.mean(sample <= estimate)) / 2
    if not 0 < below < 1:
        return float("nan")
    z0, c = stats.norm.ppf(below), intervals.acceleration(jackknife)
    share = np.clip(np.mean(sample < 0) + np.mean(sample == 0) / 2, 1 / (n + 1), n / (n + 1))
    w = stats.norm.ppf(share) - z0
    z = w / (1 + c * w) - z0
    return float(2 * min(stats.norm.cdf(z), stats.norm.sf(z)))
