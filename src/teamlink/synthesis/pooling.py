r"""Random-effects models of k effects with known sampling variances.

    y_i = x_i'b + u_i + e_i,   u_i ~ N(0, tau2),   e_i ~ N(0, v_i), v_i known.

With w_i = 1 / (v_i + tau2), W their diagonal, b the weighted estimate and P the projection

    P = W - W X (X'WX)^-1 X'W,   Q(tau2) = (y - Xb)'W(y - Xb) = y'Py,

minus twice the (restricted) log-likelihood is, with all constants,

    sum log(v_i + tau2) + Q + k log 2 pi                              (ML)
    the same + log|X'WX| - log|X'X| - p log 2 pi                      (REML)

and half its slope is ``tr(W or P) / 2 - y'PPy / 2``. Q falls as tau2 grows, from Cochran's Q at 0;
that Q(tau2) is chi-square with k - p degrees of freedom at the true tau2 gives Paule and Mandel's
estimate and the Q-profile interval.

Everything here takes tau2 as a vector (m,): many candidates at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from teamlink.errors import FitError
from teamlink.typing import Array

__all__ = ["METHODS", "Effects", "heterogeneity", "q_profile"]

METHODS = {
    "reml": "restricted maximum likelihood",
    "ml": "maximum likelihood",
    "dl": "DerSimonian and Laird",
    "pm": "Paule and Mandel",
    "fe": "fixed effect",
}

_GRID = 200
_CLOSE = 1e-13


@dataclass(frozen=True, slots=True)
class Effects:
    """Effects with their sampling variances and what predicts them.

    Attributes
    ----------
    y, v : (k,)
    X : (k, p)
    """

    y: Array
    v: Array
    X: Array

    @property
    def df(self) -> int:
        """K - p."""
        return len(self.y) - int(self.X.shape[1])

    def estimate(self, tau2: Array) -> tuple[Array, Array, Array]:
        """Coefficients (m, p), (X'WX)^-1 (m, p, p) and Q (m,) at tau2 (m,)."""
        w = 1 / (self.v + tau2[:, None])
        XtW = self.X.T * w[:, None, :]
        inverse: Array = np.linalg.inv(XtW @ self.X).astype(float)
        b: Array = np.einsum("mpq,mq->mp", inverse, XtW @ self.y)
        Q: Array = (w * np.square(self.y - b @ self.X.T)).sum(axis=1)
        return b, inverse, Q

    def q(self, tau2: float) -> float:
        """Q at one tau2."""
        return float(self.estimate(np.array([tau2]))[2][0])

    def criterion(self, tau2: Array, reml: bool) -> Array:
        """(m,) minus twice the log-likelihood, restricted or not."""
        k, p = self.X.shape
        _, inverse, Q = self.estimate(tau2)
        value = np.log(self.v + tau2[:, None]).sum(axis=1) + Q + k * np.log(2 * np.pi)
        if reml:
            value = value - np.linalg.slogdet(inverse)[1] - np.linalg.slogdet(self.X.T @ self.X)[1]
            value = value - p * np.log(2 * np.pi)
        return np.asarray(value, dtype=float)

    def slope(self, tau2: Array, reml: bool) -> Array:
        """(m,) derivative of `criterion`."""
        w = 1 / (self.v + tau2[:, None])
        b, inverse, _ = self.estimate(tau2)
        trace = w.sum(axis=1)
        if reml:
            XtW = self.X.T * w[:, None, :]
            trace = trace - np.einsum("mpq,mqp->m", inverse, XtW @ np.swapaxes(XtW, 1, 2))
        found: Array = trace - np.square(w * (self.y - b @ self.X.T)).sum(axis=1)
        return found

    def projection_trace(self) -> float:
        """Trace of P at tau2 = 0."""
        w = 1 / self.v
        XtW = self.X.T * w
        return float(w.sum() - np.trace(np.linalg.solve(XtW @ self.X, XtW @ XtW.T)))


def heterogeneity(effects: Effects, method: str) -> float:
    """Estimate tau2 by one of `METHODS`; never below zero."""
    if method == "fe":
        return 0.0
    if method == "dl":
        return max(0.0, (effects.q(0.0) - effects.df) / effects.projection_trace())
    if method == "pm":
        return _where_q_is(effects, effects.df)
    return _likeliest(effects, method == "reml")


def q_profile(effects: Effects, level: float) -> tuple[float, float]:
    """Interval of tau2 from the distribution of Q; (0, 0) where even tau2 = 0 is too large."""
    tail = (1 - level) / 2
    low, high = (
        _where_q_is(effects, float(stats.chi2.ppf(share, effects.df))) for share in (1 - tail, tail)
    )
    return low, high


def _where_q_is(effects: Effects, value: float) -> float:
    """Solve Q(tau2) = value, 0 where Q is below it everywhere."""
    if effects.q(0.0) <= value:
        return 0.0
    high = float(effects.v.mean())
    while effects.q(high) > value:
        high *= 4
    return _root(lambda t: effects.q(t) - value, 0.0, high)


def _likeliest(effects: Effects, reml: bool) -> float:
    """The global optimum: the criterion may have several; a grid finds the lowest valley."""
    spread = float(np.ptp(effects.y)) ** 2 + float(effects.v.max())
    grid = np.r_[0.0, np.geomspace(1e-8 * float(effects.v.min()), 10 * spread, _GRID)]
    best = int(np.argmin(effects.criterion(grid, reml)))
    if best == 0:
        return 0.0
    if best == _GRID:
        raise FitError("the likelihood has no maximum in tau2: the effects are too far apart")

    def slope(tau2: float) -> float:
        return float(effects.slope(np.array([tau2]), reml)[0])

    low, high = float(grid[best - 1]), float(grid[best + 1])
    if slope(low) >= 0:  # the valley's floor is the end of the grid
        return low
    return _root(slope, low, high)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(function, low, high, xtol=_CLOSE * high, rtol=4 * np.finfo(float).eps))
