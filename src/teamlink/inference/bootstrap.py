"""The verb `bootstrap`: replicates of a fit by simulation, by groups, or by residuals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from teamlink.errors import check_option
from teamlink.fitting.fit import Fit, single_thread
from teamlink.fitting.model import Reweights
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
    cluster: Any = None,
    weights: Literal["rademacher", "webb", "mammen"] = "rademacher",
) -> Bootstrap:
    """Bootstrap a fit: its sampling distribution by refitting it many times.

    Parameters
    ----------
    fit : Fit
        A fitted model, such as that of `teamlink.lmm`.
    n : int
        Replicates.
    kind : {"parametric", "cluster", "residual", "wild"}
        Draw responses from the fitted model; draw whole clusters with replacement; draw reflated
        random effects and residuals with replacement; or multiply the residuals of whole clusters
        by random weights (coefficients only).
    seed : int or numpy.random.Generator, optional
        The same seed gives the same numbers, and a larger `n` the same first replicates.
    statistic : callable, optional
        Takes the estimates of one replicate, a Series indexed by term: coefficients by name, then
        ``sd__x``, ``cor__x.z`` and ``sd__Observation`` (``sd__x|school`` where several grouping
        factors have the same term); gives a number, or several by name. By default every one of
        those estimates is kept.
    progress : bool, optional
        Show a progress bar on standard error; None shows it on a terminal, after two seconds.
    cluster : str, Series or sequence, optional
        What is drawn whole: a grouping factor by name, or a label for each row. By default the
        factor that contains all others. Crossed factors need a column whose clusters hold whole
        groups of every factor.
    weights : {"rademacher", "webb", "mammen"}
        Of the wild bootstrap: plus or minus one; six points, for fewer than about a dozen
        clusters; two points with a third moment of one.

    Returns
    -------
    Bootstrap
        ``.replicates``, ``.conf_int(kind, level)``, ``.tests()``, ``.bse``, ``.failures``,
        ``.summary()``.

    Raises
    ------
    OptionError
        An option that is not offered, or a kind that the engine of `fit` is not able to.

    Notes
    -----
    All replicates of a batch are fitted together, each to the tolerance of a single fit. For
    ``cluster`` the rows are read once: a cluster drawn k times is a weight of k on its share of the
    likelihood, which is the likelihood of k separate clusters. For ``residual`` the predicted
    random effects and the residuals are reflated to the estimated variances before they are
    drawn [1]_. ``wild`` is the wild cluster residual bootstrap [3]_ [4]_: the residuals of a
    cluster, adjusted as in CR2 and with the variances held, times one random weight; its standard
    errors are robust (CR2), and `teamlink.test` with ``wild=n`` is its test with the null imposed.
    A replicate that fails (it did not converge, or the clusters drawn do not identify the model) is
    kept, counted and shown with its reason; intervals leave it out.

    In R: ``lme4::bootMer(fit, FUN, nsim = 1000)`` and ``boot::boot.ci``; ``lmeresampler`` for the
    other kinds.

    References
    ----------
    .. [1] Carpenter, Goldstein, Rasbash (2003). A novel bootstrap procedure for assessing the
       relationship between class size and achievement. doi:10.1111/1467-9876.00415
    .. [2] Davison, Hinkley (1997). Bootstrap methods and their application.
       doi:10.1017/CBO9780511802843
    .. [3] Cameron, Gelbach, Miller (2008). Bootstrap-based improvements for inference with
       clustered errors. doi:10.1162/rest.90.3.414
    .. [4] Modugno, Giannerini (2015). The wild bootstrap for multilevel models.
       doi:10.1080/03610926.2013.802807

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
    check_option("kind", kind, ["parametric", "cluster", "residual", "wild"])
    check_option("weights", weights, ["rademacher", "webb", "mammen"])
    n = replicates(n)
    rng = generator(seed)
    if isinstance(fit.model, Reweights) and (cluster is not None or kind in ("cluster", "wild")):
        fit = replace(fit, model=fit.model.with_clusters(cluster))
    labels, values, std_error = original(fit, kind)
    if statistic is not None:
        own = of_statistic(statistic, labels, values[None], ("",))
    with (
        single_thread().limit(limits=1),
        progress_bar(n, progress, "replicates", PATIENCE) as advance,
    ):
        draws = draw(fit, kind, n, rng, advance, weights)
    if statistic is None:
        return Bootstrap(fit, kind, labels, values, std_error, draws, None)
    both = np.vstack([values, draws.values])
    _, found, failure = of_statistic(statistic, labels, both, ("", *draws.failure))
    empty = np.full_like(found, np.nan)
    draws = replace(draws, values=found[1:], std_error=empty[1:], failure=failure[1:])
    return Bootstrap(fit, kind, own[0], own[1][0], empty[0], draws, statistic)
