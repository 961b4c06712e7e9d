r"""Intervals of Cronbach's alpha, as functions of arrays.

With A the sum of the items' variances, T the variance of their sum t, and ``a = k / (k - 1)``,

    alpha = a (1 - A / T),    influence of row i:  a (A T_i - T A_i) / T^2,
    A_i = sum_j (x_ij - xbar_j)^2 - A,    T_i = (t_i - tbar)^2 - T.

The standard error is the root of the sum of squared influences over n, those of a cluster summed
first.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import ndtri, stdtrit
from scipy.stats import f as f_distribution

from teamlink.errors import DataError, OptionError
from teamlink.inference import intervals
from teamlink.typing import Array, Codes

__all__ = ["ends", "influences", "replicated"]

_CHUNK = 4_000_000
"""Numbers of resampling weights that are held at once."""


def ends(
    answers: Array, codes: Codes | None, method: str, level: float, n: int, seed: Any
) -> tuple[float, float, float]:
    """Ends of an interval of alpha, and the standard error on the scale of alpha.

    Parameters
    ----------
    answers : (n, k) complete
    codes : (n,) clusters 0 .. J-1, or None
    method : "feldt", "bonett", "normal", "adf", "percentile", "bca"
    level : coverage
    n, seed : replicates of the bootstrap, and where they start
    """
    rows, k = answers.shape
    S = np.atleast_2d(np.cov(answers.T))
    own = float(k / (k - 1) * (1 - np.trace(S) / S.sum()))
    if method in ("percentile", "bca"):
        return _resampled(answers, codes, method, level, n, seed, own)
    if method == "feldt":
        tail = (1 - level) / 2
        low, high = (
            float(1 - (1 - own) * f_distribution.ppf(q, rows - 1, (rows - 1) * (k - 1)))
            for q in (1 - tail, tail)
        )
        return low, high, math.nan
    if method == "normal":
        error = van_zyl(S, rows)
        half = float(ndtri(0.5 + level / 2)) * error
        return own - half, own + half, error
    quantile = float(ndtri(0.5 + level / 2))
    if method == "bonett":
        if rows < 3:
            raise DataError("Bonett's interval needs three respondents with every item")
        spread = math.sqrt(2 * k / ((k - 1) * (rows - 2)))
        error = (1 - own) * spread
    else:
        d = influences(answers, codes)
        J = len(d)
        factor = J / (J - 1) if codes is not None else 1.0
        error = math.sqrt(factor * float((d**2).sum())) / rows
        spread = error / (1 - own) if own < 1 else 0.0
        quantile = quantile if codes is None else float(stdtrit(J - 1, 0.5 + level / 2))
    up, down = math.exp(quantile * spread), math.exp(-quantile * spread)
    return 1 - (1 - own) * up, 1 - (1 - own) * down, error


def van_zyl(S: Array, n: int) -> float:
    """Large-sample standard error of alpha of normal items with covariance S (k, k)."""
    k, total = len(S), float(S.sum())
    trace, square = float(np.trace(S)), float((S * S).sum())
    inner = total * (square + trace**2) - 2 * trace * float((S @ S).sum())
    return math.sqrt(max(2 * k**2 / ((k - 1) ** 2 * total**3) * inner / n, 0.0))


def influences(answers: Array, codes: Codes | None) -> Array:
    """Influence of each row (n,), or cluster (J,), on alpha."""
    k = answers.shape[1]
    Z = answers - answers.mean(axis=0)
    squares, totals = (Z**2).sum(axis=1), Z.sum(axis=1) ** 2
    A, T = squares.mean(), totals.mean()
    d: Array = k / (k - 1) * (A * (totals - T) - T * (squares - A)) / T**2
    return d if codes is None else np.bincount(codes, weights=d).astype(float)


def _moments(answers: Array, codes: Codes | None) -> Array:
    """Sums of each unit (J, k + 3): rows, items, squares of items, square of the total."""
    Z = answers - answers.mean(axis=0)
    parts = np.column_stack(
        [np.ones(len(Z)), Z, (Z**2).sum(axis=1), Z.sum(axis=1) ** 2]
    )  # fmt: skip
    if codes is None:
        return parts
    found = np.zeros((int(codes.max()) + 1, parts.shape[1]))
    np.add.at(found, codes, parts)
    return found


def _of_moments(sums: Array) -> Array:
    """Alpha (R,) of sums (R, k + 3); missing where the total does not vary."""
    k = sums.shape[1] - 3
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums[:, 1 : k + 1] / sums[:, :1]
        A = sums[:, k + 1] / sums[:, 0] - (mean**2).sum(axis=1)
        T = sums[:, k + 2] / sums[:, 0] - mean.sum(axis=1) ** 2
        found: Array = np.where(1e-12 * np.abs(A) < T, k / (k - 1) * (1 - A / T), np.nan)
    return found


def replicated(
    answers: Array, codes: Codes | None, n: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Alpha of n resamples of rows or clusters (n,), and without each unit in turn (J,)."""
    units = _moments(answers, codes)
    J = len(units)
    found = []
    for start in range(0, n, max(1, _CHUNK // J)):
        size = min(max(1, _CHUNK // J), n - start)
        weights = rng.multinomial(J, np.full(J, 1 / J), size=size).astype(float)
        found.append(_of_moments(weights @ units))
    return np.concatenate(found), _of_moments(units.sum(axis=0) - units)


def _resampled(
    answers: Array, codes: Codes | None, method: str, level: float, n: int, seed: Any, own: float
) -> tuple[float, float, float]:
    if n < 2:
        raise OptionError(f"n={n!r}: a bootstrap needs at least two replicates")
    sample, without = replicated(answers, codes, n, np.random.default_rng(seed))
    sample, without = sample[np.isfinite(sample)], without[np.isfinite(without)]
    if len(sample) < 2:
        raise DataError("no resample has an alpha: every total is the same in each")
    found = intervals.percentile(sample, level)
    if method == "bca":
        found, _ = intervals.bca(sample, own, without, level)
    return float(found[0]), float(found[1]), float(sample.std(ddof=1))
