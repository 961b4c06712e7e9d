"""The verb `did`: difference-in-differences of schools, with one start of treatment or several."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from teamlink.errors import DesignError, Fault, NegativeWeights, check_option
from teamlink.fitting.fit import single_thread
from teamlink.trials.cells import Cells, cells, two_way_weights
from teamlink.trials.effects import DifferenceInDifferences
from teamlink.trials.panel import Panel, panel
from teamlink.trials.within import Covariance, Within, within
from teamlink.typing import Array, Table

__all__ = ["did", "fit_cells"]


def did(
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
    method: Literal["extended", "twfe"] = "extended",
    cov: Covariance = "CR2",
) -> DifferenceInDifferences:
    """Estimate the effect of a programme by difference-in-differences.

    Parameters
    ----------
    data : table
        Any data frame: rows of units and periods, or of students in them.
    outcome, unit, time : str
        Columns: what is compared, the units that are treated (such as schools), and the period, a
        number.
    treated : str, optional
        Column of zeros and ones: the rows that are treated; or, with ``post=``, the units that are.
    post : float, optional
        With `treated` naming units: the first treated period of all of them.
    first_treated : str, optional
        Column of each unit's first treated period, missing (not zero) for units never treated.
        Give this or `treated`.
    covariates : str or sequence of str
        Columns or terms of a formula that change over time.
    cluster : str, optional
        Column of clusters that hold whole units; the units when None.
    weights : str, optional
        Column of positive weights, such as the number of students behind a mean.
    method : {"extended", "twfe"}
        An effect for each cohort and treated period, then averaged; or the one coefficient of
        treatment in the two-way regression.
    cov : {"CR2", "clustered"}
        Cluster-robust covariance with Satterthwaite degrees of freedom; or linearmodels' clustered
        covariance with G - 1.

    Returns
    -------
    DifferenceInDifferences
        ``.overall``, ``.group_time``, ``.by_cohort``, ``.by_event``, ``.weights``, ``.tidy()``,
        ``.summary()``.

    Raises
    ------
    OptionError
        Treatment is not said, or options are not offered.
    DataError, DesignError
        The table lacks what is asked, or there is nothing to compare with; every fault is listed.

    Warns
    -----
    NegativeWeights
        With ``method="twfe"``, where the two-way coefficient gives effects negative weights.
    DroppedRows, RankDeficient

    Notes
    -----
    With unit effects ``alpha_u`` and period effects ``lambda_t`` the model is

    ``y = alpha_u + lambda_t + sum_{g, t >= g} ATT(g, t) 1{cohort g, period t} + x'beta + e``

    and the overall effect is the average of ``ATT(g, t)`` over the treated rows [1]_. With one
    start of treatment and a balanced table it is the usual difference-in-differences, which is what
    ``method="twfe"`` gives. With several starts the two-way coefficient compares units treated late
    with units treated before, and may have the wrong sign even where every effect has the same
    [2]_; a `NegativeWeights` warning says so. Both rest on parallel trends: without treatment the
    treated would have changed as the others did. `event_study` shows what came before.

    CR2 with Satterthwaite degrees of freedom [3]_ is right for few schools, or few treated ones.

    In R: ``lm(y ~ factor(unit) + factor(time) + effects)``, ``clubSandwich::coef_test(fit, "CR2",
    cluster = unit)``; ``etwfe::etwfe`` and ``etwfe::emfx``.

    References
    ----------
    .. [1] Wooldridge (2025). Two-way fixed effects, the two-way Mundlak regression, and
       difference-in-differences estimators. Empirical Economics. doi:10.1007/s00181-025-02807-z
    .. [2] de Chaisemartin, D'Haultfoeuille (2020). Two-way fixed effects estimators with
       heterogeneous treatment effects. American Economic Review 110(9). doi:10.1257/aer.20181169
    .. [3] Pustejovsky, Tipton (2018). Small-sample methods for cluster-robust variance estimation
       and hypothesis testing in fixed effects models. Journal of Business & Economic Statistics 36.
       doi:10.1080/07350015.2016.1247004

    Examples
    --------
    >>> import numpy as np, pandas as pd, teamlink as tl
    >>> rng = np.random.default_rng(1)
    >>> school, year = np.repeat(np.arange(40), 6), np.tile(np.arange(2007, 2013), 40)
    >>> adopted = school < 15
    >>> score = rng.normal(size=40)[school] + 0.1 * year + rng.normal(0, 0.3, 240)
    >>> score = score + 0.5 * (adopted & (year >= 2010))
    >>> schools = pd.DataFrame(
    ...     {"school": school, "year": year, "adopted": adopted * 1, "score": score}
    ... )
    >>> found = tl.did(schools, "score", "school", "year", treated="adopted", post=2010)
    >>> found.overall.round(3)[["estimate", "std_error", "df"]]
    estimate      0.507
    std_error     0.059
    df           29.620
    Name: overall, dtype: float64
    """
    check_option("method", method, ["extended", "twfe"])
    check_option("cov", cov, ["CR2", "clustered"])
    with single_thread().limit(limits=1):
        rows = panel(
            data, outcome, unit, time, treated=treated, post=post, first_treated=first_treated,
            covariates=covariates, cluster=cluster, weights=weights,
        )  # fmt: skip
        made = cells(rows, rows.treated)
        weighed = two_way_weights(rows)
        if method == "extended":
            fit = fit_cells(rows, made, made.columns, made.names, cov)
        else:
            _warn_of_negative(weighed)
            fit = fit_cells(rows, made, rows.treated[:, None].astype(float), ("treated",), cov)
    return DifferenceInDifferences(method, fit, made, weighed, rows.counts, rows.labels)


def fit_cells(
    rows: Panel, made: Cells, effects: Array, names: Sequence[str], cov: Covariance
) -> Within:
    """Regress the outcome on periods, covariates and columns of effects (n, c), units absorbed."""
    periods, period_names = rows.period_columns()
    X = np.column_stack([periods, rows.X, effects])
    fit = within(
        rows.y, X, [*period_names, *rows.names, *names], rows.unit, rows.cluster, rows.weights, cov
    )
    lost = [name for name in names if name not in fit.names]
    if lost:
        raise DesignError(
            [Fault(f"not identified: {', '.join(lost[:5])}{', …' if len(lost) > 5 else ''}",
                   f"{len(made.names)} cells of cohort and period",
                   "a cohort needs rows before its treatment, in periods with untreated units")]
        )  # fmt: skip
    return fit


def _warn_of_negative(weighed: pd.DataFrame) -> None:
    negative = weighed[weighed["weight"] < -1e-10]
    if len(negative):
        warnings.warn(
            f"{len(negative)} of {len(weighed)} effects of cohort and period have a negative "
            f"weight in the two-way coefficient, together {negative['weight'].sum():.3f}; "
            "method='extended' averages them with positive ones",
            NegativeWeights,
            stacklevel=3,
        )
