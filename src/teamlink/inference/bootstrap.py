"""The verb `bootstrap`: replicates of a fit by simulation, by groups, or by residuals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from teamlink.errors import check_option
from teamlink.fitting.fit import Fit, single_thread
from teamlink.fitting.progress import progress_bar
from teamlink.inference.bootstrapped import Bootstrap
from teamlink.inference.resampling import Kind, Statistic, draw, of_statistic, original
from teamlink.inference.simulate import generator, replicates

__all__ = ["bootstrap"]

PATIENCE = 2.0
"""Seconds before the progress bar appears."""


def bootstrap(
    fit: Fit,
    n: int = 1000,
    kind: Kind = "parametric",
    seed: int | np.random.Generator | None = 1,
    statistic: Statistic | None = None,
    progress: bool | None = None,
) -> Bootstrap:
    """Bootstrap a fit: its sampling distribution by refitting it many times.

    Parameters
    ----------
    fit : Fit
        A fitted model, such as that of `teamlink.lmm`.
    n : int
        Replicates.
    kind : {"parametric", "cluster", "residual"}
        Draw responses from the fitted model; draw whole groups with replacement; or draw
        reflated random effects and residuals with replacement.
    seed : int or numpy.random.Generator, optional
        The same seed gives the same numbers, and a larger `n` the same first replicates.
    statistic : callable, optional
        Takes the estimates of one replicate, a Series indexed by term: coefficients by name, then
        ``sd__x``, ``cor__x.z`` and ``sd__Observation`` (``sd__x|school`` where several grouping
        factors have the same term); gives a number, or several by name. By default every one of
        those estimates is kept.
    progress : bool, optional
        Show a progress bar on standard error; None shows it on a terminal, after two seconds.

    Returns
    -------
    Bootstrap
        ``.replicates``, ``.conf_int(kind, level)``, ``.bse``, ``.failures``, ``.summary()``.

    Raises
    ------
    OptionError
        An option that is not offered, or a kind that the engine of `fit` is not able to.

    Notes
    -----
    All replicates of a batch are fitted together, each to the tolerance of a single fit. For
    ``cluster`` the rows are read once: a group drawn k times is a weight of k on its share of the
    likelihood, which is the likelihood of k separate groups. For ``residual`` the predicted
    random effects and the residuals are reflated to the estimated variances before they are
    drawn [1]_. A replicate that fails (it did not converge, or the groups drawn do not identify the
    model) is kept, counted and shown with its reason; intervals leave it out.

    In R: ``lme4::bootMer(fit, FUN, nsim = 1000)`` and ``boot::boot.ci``; ``lmeresampler`` for the
    other two kinds.

    References
    ----------
    .. [1] Carpenter, Goldstein, Rasbash (2003). A novel bootstrap procedure for assessing the
       relationship between class size and achievement. doi:10.1111/1467-9876.00415
    .. [2] Davison, Hinkley (1997). Bootstrap methods and their application.
       doi:10.1017/CBO9780511802843

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82")
    >>> fit = tl.lmm("mathach ~ ses + (1 | school)", hsb)
    >>> boot = tl.bootstrap(fit, n=199, seed=1)
    >>> boot.conf_int()[["term", "conf_low", "conf_high"]].round(2)
                  term  conf_low  conf_high
    0        Intercept     12.23      13.08
    1              ses      2.21       2.55
    2    sd__Intercept      1.89       2.49
    3  sd__Observation      5.97       6.18
    >>> def icc(estimates):
    ...     between, within = estimates["sd__Intercept"] ** 2, estimates["sd__Observation"] ** 2
    ...     return between / (between + within)
    >>> tl.bootstrap(fit, n=199, kind="cluster", statistic=icc).conf_int("bca")["term"].tolist()
    ['icc']
    """
    check_option("kind", kind, ["parametric", "cluster", "residual"])
    n = replicates(n)
    rng = generator(seed)
    labels, values, std_error = original(fit)
    if statistic is not None:
        own = of_statistic(statistic, labels, values[None], ("",))
    with (
        single_thread().limit(limits=1),
        progress_bar(n, progress, "replicates", PATIENCE) as advance,
    ):
        draws = draw(fit, kind, n, rng, advance)
    if statistic is None:
        return Bootstrap(fit, kind, labels, values, std_error, draws, None)
    both = np.vstack([values, draws.values])
    _, found, failure = of_statistic(statistic, labels, both, ("", *draws.failure))
    empty = np.full_like(found, np.nan)
    draws = replace(draws, values=found[1:], std_error=empty[1:], failure=failure[1:])
    return Bootstrap(fit, kind, own[0], own[1][0], empty[0], draws, statistic)
