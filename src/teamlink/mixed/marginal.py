"""Predicted means over chosen predictors, their contrasts, and simple slopes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from teamlink.errors import OptionError, check_option
from teamlink.fitting.fit import single_thread
from teamlink.mixed.grid import At, Others, Reference, grid, reference
from teamlink.mixed.hypotheses import contrast_df
from teamlink.mixed.result import MixedFit
from teamlink.typing import Array, Table

__all__ = ["Effects", "combined", "effects", "simple_slopes", "slope_rows"]


@dataclass(frozen=True, slots=True)
class Effects:
    """Predicted means over a grid; made by `teamlink.effects`.

    Attributes
    ----------
    frame : DataFrame
        (g, ...) the chosen predictors, and ``estimate, std_error, df, conf_low, conf_high``.
    predictors : tuple of str
        The chosen ones, in the order of the grid.
    others : str
        What the other predictors were set to, in words.
    rows : (g, p) array
        The rows of the design that were predicted.
    fit : MixedFit
    level : float
        Of the intervals.

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ cses * sector + (cses | school)", tl.datasets.load("hsb82"))
    >>> tl.effects(fit, "sector").contrasts()["estimate"].round(3).to_dict()
    {'Catholic - Public': 2.808}
    """

    frame: pd.DataFrame
    predictors: tuple[str, ...]
    others: str
    rows: Array
    fit: MixedFit
    level: float

    def contrasts(self, kind: Literal["pairwise", "reference"] = "pairwise") -> pd.DataFrame:
        """Differences between points of the grid, each a t test with the fit's method.

        Parameters
        ----------
        kind : {"pairwise", "reference"}
            Each point less each earlier one, or less the first.

        Returns
        -------
        DataFrame
            Indexed by the points compared: ``estimate, std_error, df, conf_low, conf_high,
            statistic, p_value``. Nothing is adjusted for the number of comparisons.
        """
        check_option("kind", kind, ["pairwise", "reference"])
        g = len(self.rows)
        if g < 2:
            raise OptionError("a contrast needs two points of the grid")
        pairs = list(combinations(range(g), 2))
        if kind == "reference":
            pairs = [(0, k) for k in range(1, g)]
        names = [
            ", ".join(_shown(value) for value in row)
            for row in self.frame[list(self.predictors)].itertuples(index=False)
        ]
        L = np.stack([self.rows[b] - self.rows[a] for a, b in pairs])
        index = pd.Index([f"{names[b]} - {names[a]}" for a, b in pairs], name="contrast")
        table = combined(self.fit, L, self.level, tests=True)
        return table.set_axis(index)


def effects(
    fit: MixedFit,
    at: At,
    others: Others = "reference",
    data: Table | None = None,
    level: float = 0.95,
) -> Effects:
    r"""Predict population means over a grid of chosen predictors.

    Parameters
    ----------
    fit : MixedFit
    at : str, sequence of str, or mapping
        The predictors, by their names in the table. A mapping gives values, as in
        ``{"ses": [-1, 0, 1], "sector": None}``; where these are None or not given: every level of a
        categorical predictor, and of a number the mean and one standard deviation to either side.
    others : {"reference", "average"}
        The other predictors: numbers at their means and categories at their first level; or each
        row of the fit with its own values, and the predictions averaged.
    data : table, optional
        The table of the fit. Needed to average, unless all predictors are plain numbers, and for
        formulas that transform a predictor.
    level : float
        Of the intervals.

    Returns
    -------
    Effects
        ``.frame``, ``.contrasts()``; `report.diagnostic_plots.effects_plot` draws it.

    Raises
    ------
    OptionError
        A predictor or value that the fit does not have, or a table is needed.
    DesignError
        `data` has not the rows of the fit.

    Notes
    -----
    Random effects are at zero: these are means of the population of groups. The estimate is ``l'b``
    with the row l of the design (averaged over rows for ``"average"``), its variance ``l'C l`` with
    the fit's covariance, and the degrees of freedom are those of the fit's method for this
    combination.

    In R: ``emmeans::emmeans(fit, ~ sector, at = list(ses = 0))``, which averages over the levels of
    other factors with equal weights.

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ cses * sector + (cses | school)", tl.datasets.load("hsb82"))
    >>> found = tl.effects(fit, {"cses": [-1, 1], "sector": None})
    >>> found.frame.round(2)[["cses", "sector", "estimate", "conf_low", "conf_high"]]
       cses    sector  estimate  conf_low  conf_high
    0    -1    Public      8.59      8.01       9.17
    1    -1  Catholic     12.74     12.09      13.39
    2     1    Public     14.20     13.48      14.92
    3     1  Catholic     15.66     14.85      16.47
    >>> found.others
    'no other predictors'
    """
    check_option("others", others, ["reference", "average"])
    _check_level(level)
    known = reference(fit, data)
    points = grid(known, at)
    rows = known.rows(points, others)
    estimated = combined(fit, rows, level)
    frame = pd.concat([points, estimated], axis=1)
    names = tuple(str(name) for name in points.columns)
    return Effects(frame, names, _words(known, names, others), rows, fit, level)


def simple_slopes(
    fit: MixedFit,
    predictor: str,
    at: At | None = None,
    others: Others = "reference",
    data: Table | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    r"""Compute the slope of one predictor at chosen values of others.

    Parameters
    ----------
    fit : MixedFit
    predictor : str
        A numeric predictor.
    at : str, sequence of str, or mapping, optional
        The moderators, as in `effects`; none gives the slope at the reference of all others.
    others : {"reference", "average"}
        As in `effects`.
    data : table, optional
        As in `effects`.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame
        The moderators, and ``estimate, std_error, df, conf_low, conf_high, statistic, p_value``.

    Raises
    ------
    OptionError
        The predictor is no number, or is among the moderators.

    Notes
    -----
    The slope is the difference of the predicted mean over one standard deviation of the predictor,
    centred at its mean, or, with ``"average"``, at each row's own value; per unit. It is
    exact where the predictor enters linearly or squared.

    In R: ``emmeans::emtrends(fit, ~ sector, var = "cses")``.

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ cses * sector + (cses | school)", tl.datasets.load("hsb82"))
    >>> slopes = tl.simple_slopes(fit, "cses", "sector").set_index("sector")
    >>> slopes[["estimate", "std_error", "p_value"]].round(3).T
    sector     Public  Catholic
    estimate    2.803     1.462
    std_error   0.155     0.175
    p_value     0.000     0.000
    """
    check_option("others", others, ["reference", "average"])
    _check_level(level)
    known = reference(fit, data)
    points = pd.DataFrame(index=range(1)) if at is None else grid(known, at)
    rows = slope_rows(known, predictor, points, others)
    return pd.concat([points, combined(fit, rows, level, tests=True)], axis=1)


def slope_rows(known: Reference, predictor: str, points: pd.DataFrame, others: Others) -> Array:
    """(g, p) combinations of coefficients that are the slope of a predictor at g points."""
    known.check(predictor)
    if predictor in known.levels:
        raise OptionError(
            f"{predictor!r} is no number and has no slope; see tl.effects(...).contrasts()"
        )
    if predictor in points:
        raise OptionError(f"{predictor!r} cannot moderate its own slope; leave it out of at=")
    h = known.sds[predictor] / 2
    if others == "average" and known.frame is not None:
        own = known.frame[predictor].to_numpy(dtype=float)
        sides = []
        for side in (own + h, own - h):
            moved = Reference(
                known.fit, known.means, known.sds, known.levels,
                known.frame.assign(**{predictor: side}),
            )  # fmt: skip
            sides.append(moved.rows(points, "average"))
    else:
        middle = known.means[predictor]
        sides = [
            known.rows(points.assign(**{predictor: middle + step}), others) for step in (h, -h)
        ]
    slope: Array = (sides[0] - sides[1]) / (2 * h)
    return slope


def combined(fit: MixedFit, L: Array, level: float, tests: bool = False) -> pd.DataFrame:
    """Linear combinations L (g, p) of the coefficients with intervals by the fit's method."""
    with single_thread().limit(limits=1):
        df = contrast_df(fit, L)
    value = L @ fit.estimates.values[0]
    variance = np.einsum("gp,pr,gr->g", L, fit.estimates.covariance[0], L)
    se = np.sqrt(np.maximum(variance, 0.0))
    half = np.asarray(stats.t.ppf(0.5 + level / 2, df)) * se
    columns = {
        "estimate": value, "std_error": se, "df": df, "conf_low": value - half,
        "conf_high": value + half,
    }  # fmt: skip
    if tests:
        t = value / np.where(se > 0, se, np.nan)
        columns |= {"statistic": t, "p_value": 2 * stats.t.sf(np.abs(t), df)}
    return pd.DataFrame(columns)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise OptionError(f"level={level!r}: a confidence level lies between 0 and 1")


def _words(known: Reference, chosen: tuple[str, ...], others: Others) -> str:
    """What the other predictors were set to."""
    rest = [name for name in (*known.means, *known.levels) if name not in chosen]
    if not rest:
        return "no other predictors"
    if others == "average":
        return f"averaged over the rows of the fit: {', '.join(rest)}"
    return ", ".join(
        f"{name} = {_shown(known.means[name])} (mean)"
        if name in known.means
        else f"{name} = {_shown(known.levels[name][0])} (first level)"
        for name in rest
    )


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
