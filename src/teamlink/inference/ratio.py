r"""Reference distributions of a likelihood ratio.

Where all that is added lies inside its range the ratio is a chi-square with as many degrees of
freedom. A variance that is zero under the null lies on the edge of its range: half of the time its
estimate is zero. If exactly one is added, with its c covariances and f coefficients, the ratio is

    1/2 chi2(c + f) + 1/2 chi2(c + f + 1)

in large samples (Self and Liang 1987; Stram and Lee 1994). If two or more are added, the weights of
the mixture depend on the design; the distribution is then simulated.

References
----------
Self, Liang (1987), doi:10.1080/01621459.1987.10478472. Stram, Lee (1994), doi:10.2307/2533455.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import chdtrc

from teamlink.errors import FitError, OptionError
from teamlink.fitting.fit import Fit, solve
from teamlink.fitting.model import Refittable, Simulates
from teamlink.inference.replicates import NOT_CONVERGED, batch_size, reason_of
from teamlink.typing import Array

__all__ = ["chi_square", "mixture", "simulated_ratios", "simulated_share"]

_NONE = 1e-6
"""A ratio so small is that of two fits at the same optimum."""


def chi_square(ratio: float, df: int) -> float:
    """Probability of a larger value under a chi-square; of zero degrees of freedom at zero."""
    if df == 0:
        return float(ratio <= _NONE)
    return float(chdtrc(df, max(ratio, 0.0)))


def mixture(ratio: float, df: int) -> float:
    """The same under equal parts of chi-squares with df - 1 and df degrees of freedom."""
    return (chi_square(ratio, df - 1) + chi_square(ratio, df)) / 2


def simulated_share(ratio: float, draws: Array) -> float:
    """Share of draws (R,) and of the ratio itself that are as large; missing draws are left out."""
    found = draws[np.isfinite(draws)]
    return float((1 + (found >= ratio - _NONE).sum()) / (1 + len(found)))


def simulated_ratios(
    smaller: Fit,
    larger: Fit,
    n: int,
    rng: np.random.Generator,
    advance: Callable[[int], None],
) -> tuple[Array, tuple[str, ...]]:
    """Likelihood ratios of responses drawn from the smaller model, both models fitted to each.

    Parameters
    ----------
    smaller, larger : fits to the same rows
    n : draws
    rng : generator
    advance : told after each batch how many are done

    Returns
    -------
    ratios : (n,) missing where a fit failed
    failure : n reasons, empty where both were fitted
    """
    model = smaller.model
    if not isinstance(model, Simulates) or not isinstance(model, Refittable):
        raise OptionError(f"simulate: a {type(model).__name__} cannot draw responses")
    size = min(batch_size(fit.model, fit.nobs) for fit in (smaller, larger))
    ratios, failure = np.full(n, np.nan), [""] * n
    for start in range(0, n, size):
        rows = slice(start, min(start + size, n))
        Y = model.simulate(smaller.working_theta, rows.stop - start, rng)
        both = [_deviances(fit, Y) for fit in (smaller, larger)]
        ratios[rows] = both[0][0] - both[1][0]
        failure[rows] = [a or b for a, b in zip(both[0][1], both[1][1], strict=True)]
        advance(rows.stop)
    return ratios, tuple(failure)


def _deviances(fit: Fit, Y: Array) -> tuple[Array, list[str]]:
    """Deviances (R,) of a model fitted to responses (n, R), and why some are missing."""
    model = fit.model
    if not isinstance(model, Refittable):
        raise OptionError(f"simulate: a {type(model).__name__} cannot take new responses")
    try:
        solution = solve(model.with_responses(Y))
    except FitError as error:
        if Y.shape[1] == 1:
            return np.full(1, np.nan), [reason_of(error)]
        parts = [_deviances(fit, Y[:, [r]]) for r in range(Y.shape[1])]
        return np.concatenate([p[0] for p in parts]), [p[1][0] for p in parts]
    fine = solution.converged & np.isfinite(solution.deviance)
    return np.where(fine, solution.deviance, np.nan), ["" if ok else NOT_CONVERGED for ok in fine]
