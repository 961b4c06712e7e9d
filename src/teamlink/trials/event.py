"""The verb `event_study`: effects by time since treatment, and trends before it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from teamlink.errors import DesignError, Fault, check_option
from teamlink.fitting.fit import single_thread
from teamlink.trials.cells import cells
from teamlink.trials.difference import fit_cells
from teamlink.trials.effects import EventStudy
from teamlink.trials.panel import panel
from teamlink.trials.within import Covariance
from teamlink.typing import Table

__all__ = ["event_study"]


def event_study(
    data: Table,
    outcome: str,
    unit: str,
    time: str,
    *,
    treated: str | None = None,
    post: float | None = None,
    first_treated: str | None = None,
    covariates: str | Sequence[str] = (),
    cluster: str | None = None,
    weights: str | None = None,
    base: int = -1,
    cov: Covariance = "CR2",
) -> EventStudy:
    """Estimate effects by time since treatment, with the trends before it as a check.

    Parameters
    ----------
    data, outcome, unit, time, treated, post, first_treated, covariates, cluster, weights
        As in `did`.
    base : int
        Event time before treatment with which all others are compared; -1 is the last period
        before. Earlier where treatment is anticipated.
    cov : {"CR2", "clustered"}
        As in `did`.

    Returns
    -------
    EventStudy
        ``.by_event``, ``.group_time``, ``.pretrend``, ``.overall``, ``.tidy()``, ``.summary()``,
        ``.plot()``.

    Raises
    ------
    OptionError
        Treatment is not said, or options are not offered.
    DataError, DesignError
        The table lacks what is asked, or there is nothing to compare with; every fault is listed.

    Warns
    -----
    DroppedRows, RankDeficient

    Notes
    -----
    The interaction-weighted estimator [1]_: with unit and period effects, each cohort g has a
    coefficient ``ATT(g, e)`` at each event time e but `base`; units never treated, or without these
    the cohort treated last, have none. The effect at e is the average of ``ATT(g, e)`` over the
    rows of the cohorts, the shares taken as known. Coefficients of one event-time indicator across
    cohorts, which this replaces, mix effects of other event times where treatment starts at
    different times. Without covariates, and in a balanced table with units never treated,
    ``ATT(g, e)`` is the difference of two differences of means of Callaway and Sant'Anna [2]_.

    The test of trends is the joint test that all effects before `base` are zero. Not to reject it
    is no proof of parallel trends: look at the intervals.

    In R: ``fixest::feols(y ~ sunab(first, time) | unit + time, cluster = ~unit)``.

    References
    ----------
    .. [1] Sun, Abraham (2021). Estimating dynamic treatment effects in event studies with
       heterogeneous treatment effects. Journal of Econometrics 225(2).
       doi:10.1016/j.jeconom.2020.09.006
    .. [2] Callaway, Sant'Anna (2021). Difference-in-differences with multiple time periods. Journal
       of Econometrics 225(2). doi:10.1016/j.jeconom.2020.12.001

    Examples
    --------
    >>> import numpy as np, pandas as pd, teamlink as tl
    >>> rng = np.random.default_rng(1)
    >>> school, year = np.repeat(np.arange(40), 6), np.tile(np.arange(2007, 2013), 40)
    >>> first = np.where(school < 8, 2009, np.where(school < 16, 2011, np.nan))
    >>> score = rng.normal(size=40)[school] + 0.1 * year + rng.normal(0, 0.3, 240)
    >>> score = score + 0.5 * (year >= first)
    >>> schools = pd.DataFrame({"school": school, "year": year, "first": first, "score": score})
    >>> study = tl.event_study(schools, "score", "school", "year", first_treated="first")
    >>> study.by_event[["event", "estimate", "std_error"]].round(2).head(3)
       event  estimate  std_error
    0   -4.0     -0.05       0.13
    1   -3.0     -0.09       0.17
    2   -2.0      0.05       0.11
    """
    check_option("cov", cov, ["CR2", "clustered"])
    with single_thread().limit(limits=1):
        rows = panel(
            data, outcome, unit, time, treated=treated, post=post, first_treated=first_treated,
            covariates=covariates, cluster=cluster, weights=weights,
        )  # fmt: skip
        since = rows.time - rows.first
        if base >= 0 or not (since == base).any():
            raise DesignError(
                [Fault(f"no treated unit is observed at event time {base}", "base",
                       "choose one before treatment, such as -1")]
            )  # fmt: skip
        made = cells(rows, np.isfinite(rows.first) & (since != base))
        fit = fit_cells(rows, made, made.columns, made.names, cov)
    return EventStudy(fit, made, base, rows.counts, rows.labels)
