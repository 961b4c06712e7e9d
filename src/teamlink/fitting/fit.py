"""Fit a model: from every start to a minimum, off every saddle, and the best of them.

`solve` works on a whole batch; `Fit` is what one response's solution looks like to everything that
comes after, under the names that statsmodels uses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from threadpoolctl import ThreadpoolController

from teamlink.fitting.estimates import Estimates
from teamlink.fitting.model import Derivatives, Model, Settles
from teamlink.fitting.optimize import Convergence, Optimum, minimize
from teamlink.typing import Array, Codes, Mask

__all__ = [
    "Correction",
    "Corrects",
    "Fit",
    "RatioMethod",
    "Solution",
    "keep_memory",
    "single_thread",
    "solve",
]

RatioMethod = Literal["satorra-bentler-2001", "satorra-bentler-2010", "satorra-2000"]
"""How the likelihood ratio of robust fits is scaled."""

_ROUNDS = 6
"""How often a replicate may be sent back from a saddle; each time the deviance falls."""


_SAME_MINIMUM = 1e-6
"""Deviances closer than this are of the same minimum."""


_FEW_STEPS = 8
"""An interior optimum so few steps from the moment estimates needs no second start.

Of 1,400 random designs 522 end so; none is beaten by 13 other starts (tests/fuzz/sweep.py).
"""


@cache
def single_thread() -> ThreadpoolController:
    """Controller of the numerical libraries' threads: small blocks run faster on one."""
    return ThreadpoolController()


@cache
def keep_memory() -> None:
    """Let the process keep what a search frees: each step needs as much again.

    By default glibc hands large blocks back to the system at once, and every step pays for fresh
    pages, up to half its time. A block of just under 32 MB, once freed, raises its thresholds to
    32 and 64 MB; other systems' allocators do not mind.
    """
    np.empty(4_000_000)


@dataclass(frozen=True)
class Fit:
    """One response's optimum, under the names that statsmodels uses.

    Attributes
    ----------
    model : what was fitted
    working_theta : (k,) the parameters that were optimised, in the engine's own basis
    deviance : minus twice the log-likelihood, or the REML criterion, constants included
    method : "REML" or "ML"
    estimates : coefficients with their covariance and degrees of freedom; a batch of one
    convergence : the record of the optimisation
    nobs : rows used
    n_parameters : free parameters, variances included, as AIC and BIC count them
    label : how tables name it
    """

    model: Model
    working_theta: Array
    deviance: float
    method: str
    estimates: Estimates
    convergence: Convergence
    nobs: int
    n_parameters: int
    label: str

    @property
    def n_variances(self) -> int:
        """Parameters beyond the coefficients."""
        return self.n_parameters - len(self.estimates.names)

    def _series(self, values: Array, name: str) -> pd.Series[Any]:
        return pd.Series(values[0], index=pd.Index(self.estimates.names), name=name)

    @property
    def params(self) -> pd.Series[Any]:
        """(p,) estimated coefficients."""
        return self._series(self.estimates.values, "estimate")

    @property
    def bse(self) -> pd.Series[Any]:
        """(p,) standard errors."""
        return self._series(self.estimates.std_error, "std_error")

    @property
    def tvalues(self) -> pd.Series[Any]:
        """(p,) estimates over standard errors."""
        return self._series(self.estimates.statistic, "statistic")

    @property
    def pvalues(self) -> pd.Series[Any]:
        """(p,) two-sided p values of the t tests."""
        return self._series(self.estimates.p_value, "p_value")

    @property
    def df(self) -> pd.Series[Any]:
        """(p,) degrees of freedom of the t tests; infinite for normal tests."""
        return self._series(self.estimates.df, "df")

    def conf_int(self, level: float = 0.95) -> pd.DataFrame:
        """Wald intervals: columns ``conf_low`` and ``conf_high``."""
        low, high = self.estimates.interval(level)
        return pd.DataFrame(
            {"conf_low": low[0], "conf_high": high[0]}, index=pd.Index(self.estimates.names)
        )

    def cov_params(self) -> pd.DataFrame:
        """(p, p) covariance of the coefficients."""
        names = pd.Index(self.estimates.names)
        return pd.DataFrame(self.estimates.covariance[0], index=names, columns=names)

    @property
    def llf(self) -> float:
        """Log-likelihood; restricted under REML."""
        return -self.deviance / 2

    @property
    def aic(self) -> float:
        """Akaike's criterion; under REML it compares models with the same fixed part only."""
        return self.deviance + 2 * self.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion with the number of rows."""
        return self.deviance + float(np.log(self.nobs)) * self.n_parameters

    @property
    def converged(self) -> bool:
        """Whether the conditions of an optimum hold."""
        return self.convergence.converged

    @property
    def boundary(self) -> bool:
        """Whether the optimum lies on the edge of the parameter space; a valid fit."""
        return self.convergence.boundary


@dataclass(frozen=True, slots=True)
class Correction:
    """What a likelihood ratio is divided by.

    Attributes
    ----------
    factor : one where nothing is to be corrected
    method : by which the factor was found; empty where it is one
    reason : why there is no test; empty where there is one
    """

    factor: float = 1.0
    method: str = ""
    reason: str = ""


@runtime_checkable
class Corrects(Protocol):
    """A fit whose likelihood ratios may need a correction."""

    def ratio_correction(self, larger: Fit, method: RatioMethod | None) -> Correction:
        """The correction of the ratio to a fit with more parameters, of the same rows."""
        ...


@dataclass(frozen=True, slots=True)
class Solution:
    """The optimum of each response.

    Attributes
    ----------
    theta : (R, k)
    deviance : (R,)
    converged, boundary : (R,) bool
    iterations : (R,) Newton steps over all starts
    starts : (R,) number of starting points
    gradient, decrement, curvature : (R,) what `Convergence` reports
    """

    theta: Array
    deviance: Array
    converged: Mask
    boundary: Mask
    iterations: Codes
    starts: Codes
    gradient: Array
    decrement: Array
    curvature: Array

    def record(self, i: int = 0) -> Convergence:
        """The record of response i in full, with words."""
        converged, boundary = bool(self.converged[i]), bool(self.boundary[i])
        if not converged:
            message = (
                f"stopped after {int(self.iterations[i])} steps with a gradient of "
                f"{self.gradient[i]:.2g} and {self.decrement[i]:.2g} of deviance still promised"
            )
        elif boundary:
            message = "optimum on the boundary: a variance is zero or a correlation is one"
        else:
            message = "interior optimum: gradient zero, Hessian positive"
        return Convergence(
            converged,
            boundary,
            int(self.iterations[i]),
            int(self.starts[i]),
            float(self.gradient[i]),
            float(self.decrement[i]),
            float(self.curvature[i]),
            message,
        )


def solve(model: Model) -> Solution:
    """Find the minimum of the deviance for every response of a model.

    The first starting point suffices where an interior optimum lies a few steps from it. Otherwise
    the others are tried too, and where those lead to different minima, further ones.

    Parameters
    ----------
    model : Model

    Returns
    -------
    Solution
    """
    keep_memory()
    starts = model.starts()
    S, R, k = starts.shape
    index = np.arange(R)
    with single_thread().limit(limits=1):
        found = _descend(model, starts[0], index)
        unsure = np.flatnonzero(~_near_the_start(found, model))
        if unsure.size:
            again = np.tile(unsure, S - 1)
            found = _joined(found, _descend(model, starts[1:, unsure].reshape(-1, k), again))
            index = np.concatenate([index, again])
        torn = _torn(found.derivatives.value, index, R)
        if torn.size:
            more = model.further_starts()[:, torn]
            again = np.tile(torn, len(more))
            found = _joined(found, _descend(model, more.reshape(-1, k), again))
            index = np.concatenate([index, again])
        # Of two points of the same minimum, the one that is sure of it.
        rank = found.derivatives.value + np.where(found.converged, 0.0, _SAME_MINIMUM)
        best = np.lexsort((rank, index))
        best = best[np.searchsorted(index[best], np.arange(R))]
        theta = found.theta[best]
        edge = model.on_boundary(theta) if isinstance(model, Settles) else np.zeros(R, np.bool_)
    return Solution(
        theta=theta,
        deviance=found.derivatives.value[best],
        converged=found.converged[best],
        boundary=edge,
        iterations=np.bincount(index, found.iterations, R).astype(np.intp),
        starts=np.bincount(index, minlength=R),
        gradient=np.abs(found.derivatives.gradient[best]).max(axis=1, initial=0.0),
        decrement=found.decrement[best],
        curvature=np.asarray(np.linalg.eigvalsh(found.derivatives.hessian[best])[:, 0], float),
    )


def _near_the_start(found: Optimum, model: Model) -> Mask:
    """Which optima (R,) are interior and a few steps from the first, best informed start."""
    near = found.converged & (found.iterations <= _FEW_STEPS)
    return near & ~model.on_boundary(found.theta) if isinstance(model, Settles) else near


def _torn(values: Array, index: Codes, R: int) -> Codes:
    """Responses whose starting points have led to different minima."""
    lowest, highest = np.full(R, np.inf), np.full(R, -np.inf)
    np.minimum.at(lowest, index, values)
    np.maximum.at(highest, index, values)
    return np.flatnonzero(highest > lowest + _SAME_MINIMUM)


def _descend(model: Model, start: Array, index: Codes) -> Optimum:
    """Minimise, settle on the boundary or leave it, until nothing moves."""

    def objective(of: Codes) -> Callable[[Array, Codes], Derivatives]:
        return lambda theta, rows: model.deviance(theta, index[of[rows]])

    todo = np.arange(len(start))
    optimum = minimize(objective(todo), start)
    if not isinstance(model, Settles):
        return optimum
    theta, converged = optimum.theta.copy(), optimum.converged.copy()
    decrement, iterations = optimum.decrement.copy(), optimum.iterations.copy()
    for _ in range(_ROUNDS):
        settled, again = model.settle(theta[todo], index[todo])
        theta[todo] = settled
        todo = todo[again]
        if not todo.size:
            break
        more = minimize(objective(todo), theta[todo], radius=0.1)
        theta[todo], converged[todo] = more.theta, more.converged
        decrement[todo] = more.decrement
        iterations[todo] += more.iterations
    converged[todo] = False  # still leaving saddles after all these rounds
    same = (theta == optimum.theta).all()
    final = optimum.derivatives if same else model.deviance(theta, index)
    return Optimum(theta, final, decrement, iterations, converged)


def _joined(one: Optimum, two: Optimum) -> Optimum:
    """Two batches as one."""
    first, second = one.derivatives, two.derivatives
    return Optimum(
        np.concatenate([one.theta, two.theta]),
        Derivatives(
            np.concatenate([first.value, second.value]),
            np.concatenate([first.gradient, second.gradient]),
            np.concatenate([first.hessian, second.hessian]),
        ),
        np.concatenate([one.decrement, two.decrement]),
        np.concatenate([one.iterations, two.iterations]),
        np.concatenate([one.converged, two.converged]),
    )
