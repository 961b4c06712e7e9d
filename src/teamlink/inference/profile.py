"""The verb `profile`: intervals from the likelihood itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from teamlink.errors import FitError, OptionError, nearest
from teamlink.fitting.fit import Fit, single_thread, solve
from teamlink.fitting.model import Pins, Reach
from teamlink.inference.profiled import Optimum, Profile, interval_of, rise, target
from teamlink.inference.replicates import Labels, said_by
from teamlink.inference.search import Curve, inverse
from teamlink.typing import Array

__all__ = ["profile"]

_GRID = np.array([-2.6, -2.2, -1.8, -1.4, -1.0, -0.6, -0.3, 0.3, 0.6, 1.0, 1.4, 1.8, 2.2, 2.6])
"""Heights at which a curve is drawn, roughly met."""


def profile(fit: Fit, level: float = 0.95, which: str | Sequence[str] | None = None) -> Profile:
    """Likelihood intervals for coefficients, standard deviations and correlations.

    Parameters
    ----------
    fit : Fit
        A fitted model whose engine can hold a parameter at a value, such as that of
        `teamlink.lmm`. One fitted by REML is profiled by maximum likelihood, as lme4 does.
    level : float
        Coverage.
    which : str or sequence of str, optional
        Terms, as `tidy` names them: ``"ses"``, ``"sd__Intercept"``, ``"cor__Intercept.ses"``,
        ``"sd__Observation"``; ``"sd__Intercept|school"`` where several grouping factors have the
        same term. All of them when None.

    Returns
    -------
    Profile
        ``.conf_int(level)``, ``.zeta`` for a plot, ``.remarks``, ``.summary()``.

    Raises
    ------
    OptionError
        No such term or level, or the engine of `fit` cannot hold parameters.
    FitError
        The fit by maximum likelihood did not converge, or a profile falls below it.

    Notes
    -----
    With ``D(v)`` the deviance minimised over everything else while the parameter is held at v, the
    interval holds the v with ``D(v) - D(v_hat)`` below the quantile of a chi-square with one degree
    of freedom. Every point is a full fit, a batch of them in one call; the ends are found to 1e-8
    of a standard error and not interpolated. Where the deviance does not rise that far before a
    standard deviation is zero, the interval begins at zero, and the summary says so.

    Of structural equations, parameters and defined parameters are profiled; one that is not linear,
    as an indirect effect ``a*b``, is held at v on the surface of parameters that give v, over every
    branch of it. Such an interval does not depend on how the effect is written.

    In R: ``confint(fit, method = "profile")``.

    References
    ----------
    .. [1] Bates, Maechler, Bolker, Walker (2015). Fitting linear mixed-effects models using lme4.
       doi:10.18637/jss.v067.i01

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82")
    >>> fit = tl.lmm("mathach ~ ses + (1 | school)", hsb)
    >>> tl.profile(fit).conf_int()[["term", "conf_low", "conf_high"]].round(3)
                  term  conf_low  conf_high
    0        Intercept    12.288     13.027
    1              ses     2.180      2.603
    2    sd__Intercept     1.904      2.492
    3  sd__Observation     5.986      6.187
    """
    target(level)
    if not isinstance(fit.model, Pins):
        raise OptionError(f"a fit of {type(fit.model).__name__} cannot be profiled")
    with single_thread().limit(limits=1):
        model = fit.model.maximum_likelihood()
        solution = solve(model)
        if not solution.converged[0]:
            raise FitError(f"by maximum likelihood: {solution.record().message}")
        optimum = Optimum(model, solution.theta[0], float(solution.deviance[0]))
        labels, values, _ = said_by(model, model.estimates(solution.theta), solution.theta)
        chosen = _chosen(labels, which)
        found = [_profile(optimum, labels.keys[k], float(values[0, k]), level) for k in chosen]
    return Profile(
        fit,
        level,
        optimum,
        Labels(
            tuple(labels.effects[k] for k in chosen),
            tuple(labels.groups[k] for k in chosen),
            tuple(labels.terms[k] for k in chosen),
        ),
        values[0, chosen],
        tuple(curve for _, curve in found),
        np.array([ends for ends, _ in found]).reshape(-1, 2),
    )


def _chosen(labels: Labels, which: str | Sequence[str] | None) -> list[int]:
    """Places of the terms asked for."""
    if which is None:
        return list(range(len(labels.keys)))
    asked = [which] if isinstance(which, str) else list(which)
    for term in asked:
        if term not in labels.keys:
            raise OptionError(f"which={term!r}: no such term; {nearest(str(term), labels.keys)}")
    return [labels.keys.index(term) for term in asked]


def _profile(optimum: Optimum, term: str, estimate: float, level: float) -> tuple[Array, Curve]:
    """Ends (2,) of the interval, and the curve with a grid around it."""
    if not np.isfinite(estimate) or not isinstance(optimum.model, Pins):
        return interval_of(optimum, term, estimate, Curve(np.empty(0), np.empty(0)), level)
    curve = Curve(np.array([estimate]), np.zeros(1))
    ends, curve = interval_of(optimum, term, estimate, curve, level)
    grid = _grid(curve, estimate, optimum.model.reach(term, optimum.theta))
    if grid.size:
        curve = curve.with_points(grid, rise(optimum, term, estimate, grid))
    return ends, curve


def _grid(curve: Curve, estimate: float, reach: Reach) -> Array:
    """Values at which zeta is near the heights of the grid, within reach."""
    values = []
    for sign in (-1.0, 1.0):
        side = curve.zeta * sign >= 0
        v, h = curve.values[side], np.abs(curve.zeta[side])
        if len(v) < 2:
            continue
        for height in np.abs(_GRID[_GRID * sign > 0]):
            at = inverse(v, h, float(height), apart=0.2)
            near = 0 < sign * (at - estimate) < 3 * np.ptp(v)
            if near and reach.low < at < reach.high:
                values.append(at)
    return np.array(values)
