"""Fixed effects in standard deviations: of the whole sample, or of a predictor's own level."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from teamlink.errors import OptionError, check_option
from teamlink.mixed.result import MixedFit
from teamlink.mixed.shares import ROWS, chain, decomposition, parts, where_it_varies
from teamlink.typing import Array

__all__ = ["standardized_effects"]


def standardized_effects(
    fit: MixedFit,
    method: Literal["total", "level", "outcome"] = "total",
    level: float = 0.95,
) -> pd.DataFrame:
    r"""Express fixed effects in standard deviations.

    Parameters
    ----------
    fit : MixedFit
    method : {"total", "level", "outcome"}
        By which standard deviations:

        - ``"total"``: ``b sd(x) / sd(y)``, both over all rows;
        - ``"level"``: the same, both at the level at which x varies;
        - ``"outcome"``: ``b / sd(y)``, y over all rows: what an indicator wants.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame
        Indexed by term, without the intercept: ``varies`` (the level or levels at which the
        column varies), ``estimate, std_error, conf_low, conf_high, sd_x, sd_y``.

    Raises
    ------
    OptionError
        A method that is not offered; ``"level"`` where the groups are crossed, or where rows have
        several.

    Notes
    -----
    At its own level, the standard deviation of a predictor that varies within groups only is that
    of its deviations from the group means over the rows, and the outcome's is
    ``sqrt(f1 + v + sigma^2)``, the model's variance within groups (see `r2`). That of a
    predictor that is constant within groups is over the groups, each counting once, and the
    outcome's is ``sqrt(f2 + m)``, the model's variance between true group means. With three nested
    levels likewise. A predictor that varies at several levels has no level of its own; the total
    standard deviations are used, and ``varies`` says so.

    An effect between schools is larger in standard deviations of school means than in those of
    students, in proportion to how little schools differ: say which one a number is. Standard
    deviations are taken as known. A product of predictors is standardized as a column of its own.

    References
    ----------
    .. [1] Hox, Moerbeek, van de Schoot (2018). Multilevel analysis, 3rd ed., section 2.4.
       Routledge.
    .. [2] Tymms (2004). Effect sizes in multilevel models. In: Schagen, Elliot (eds.), But what
       does it mean? NFER.

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ cses + meanses + (1 | school)", tl.datasets.load("hsb82"))
    >>> tl.standardized_effects(fit)["estimate"].round(3).to_dict()
    {'cses': 0.21, 'meanses': 0.353}
    >>> tl.standardized_effects(fit, "level")[["varies", "estimate"]].round(3)
             varies  estimate
    cses     within     0.231
    meanses  school     0.829
    """
    check_option("method", method, ["total", "level", "outcome"])
    design, X = fit.model.design, fit.model.fixed_columns
    spread = np.ptp(X, axis=0) > 0
    names = np.array(fit.model.names, dtype=object)[spread]
    X = X[:, spread]
    nested = chain(design.factors)
    where = ["" for _ in names]
    if nested is not None:
        share = where_it_varies(nested, X)
        levels = [ROWS, *(factor.name for factor in nested)]
        where = [" + ".join(n for n, s in zip(levels, c, strict=True) if s > 0) for c in share.T]
    elif method == "level":
        raise OptionError("method='level' needs nested groups, one a row; use 'total'")
    sd_x, sd_y = X.std(axis=0, ddof=1), np.full(len(names), design.y.std(ddof=1))
    if method == "outcome":
        sd_x = np.ones(len(names))
    elif method == "level":
        sd_x, sd_y = _at_own_level(fit, X, where, sd_x, sd_y)
    low, high = fit.estimates.interval(level)
    size = sd_x / sd_y
    columns = {
        "estimate": fit.estimates.values[0], "std_error": fit.estimates.std_error[0],
        "conf_low": low[0], "conf_high": high[0],
    }  # fmt: skip
    scaled = {name: values[spread] * size for name, values in columns.items()}
    frame = {"varies": where} | scaled | {"sd_x": sd_x, "sd_y": sd_y}
    return pd.DataFrame(frame, index=pd.Index(names))


def _at_own_level(
    fit: MixedFit, X: Array, where: list[str], sd_x: Array, sd_y: Array
) -> tuple[Array, Array]:
    """Standard deviations (c,) of predictors and outcome where a predictor has one level only."""
    nested, split = chain(fit.model.design.factors), decomposition(fit)
    assert nested is not None
    assert split is not None
    of_level = np.sqrt(split.sum(axis=1))
    within = parts(nested, X)[0]
    by_name = {factor.name: factor for factor in nested}
    sd_x, sd_y = sd_x.copy(), sd_y.copy()
    for k, name in enumerate(where):
        if name == ROWS:
            sd_x[k] = np.sqrt(np.square(within[:, k]).sum() / (len(X) - 1))
        elif name in by_name:
            _, first = np.unique(by_name[name].only_codes, return_index=True)
            sd_x[k] = X[first, k].std(ddof=1)
        else:
            continue
        sd_y[k] = of_level[name]
    return sd_x, sd_y
