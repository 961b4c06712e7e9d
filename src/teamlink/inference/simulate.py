"""New responses from a fitted model."""

from __future__ import annotations

import numpy as np
import pandas as pd

from teamlink.errors import OptionError, check_option
from teamlink.fitting.fit import Fit, single_thread
from teamlink.fitting.model import Groups, Simulates

__all__ = ["simulate"]


def simulate(
    fit: Fit,
    n: int = 1,
    seed: int | np.random.Generator | None = None,
    groups: Groups = "new",
) -> pd.DataFrame:
    """Draw responses from a fitted model, on the rows that it was fitted to.

    Parameters
    ----------
    fit : Fit
        A fitted model whose engine can draw responses, such as that of `teamlink.lmm`.
    n : int
        How many replicates.
    seed : int or numpy.random.Generator, optional
        The same seed gives the same numbers, and a larger `n` the same first ones.
    groups : {"new", "same"}
        Draw random effects of new groups, or keep the estimated random effects (empirical Bayes)
        of the groups at hand and draw residuals only.

    Returns
    -------
    DataFrame
        (rows, n) responses, indexed as the rows of the fit, columns 0 .. n-1; ready for
        `teamlink.refit`.

    Raises
    ------
    OptionError
        `n` is not a positive number, `seed` no seed, or the engine of `fit` cannot simulate.

    Notes
    -----
    ``y = X beta + Z b + e`` at the estimates, ``b_j ~ N(0, sigma^2 Sigma)`` anew in every group
    and ``e ~ N(0, sigma^2 I)``. The uncertainty of the estimates themselves is no part of it.

    In R: ``simulate(fit, n, seed)``; with ``groups="same"`` ``simulate(fit, n, re.form = NULL)``.

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82")
    >>> fit = tl.lmm("mathach ~ ses + (1 | school)", hsb)
    >>> Y = tl.simulate(fit, n=3, seed=1)
    >>> Y.shape, Y.columns.tolist()
    ((7185, 3), [0, 1, 2])
    >>> tl.refit(fit, Y)["term"].tolist()
    ['Intercept', 'ses', 'Intercept', 'ses', 'Intercept', 'ses']
    """
    check_option("groups", groups, ["new", "same"])
    n = replicates(n)
    model = fit.model
    if not isinstance(model, Simulates):
        raise OptionError(f"a fit of {type(model).__name__} cannot simulate responses")
    with single_thread().limit(limits=1):
        drawn = model.simulate(fit.working_theta, n, generator(seed), groups)
    return pd.DataFrame(drawn, index=model.row_labels)


def replicates(n: object) -> int:
    """Check a number of replicates: a whole number from 1 on, else an `OptionError`."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise OptionError(f"n={n!r}: the number of replicates is a whole number from 1 on")
    return int(n)


def generator(seed: int | np.random.Generator | None) -> np.random.Generator:
    """Make a generator from a seed; a generator is used as it is.

    Raises
    ------
    OptionError
        The seed is neither a whole number from 0 on nor a generator.
    """
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"seed={seed!r}: a seed is a whole number from 0 on, or a numpy Generator"
        ) from error
