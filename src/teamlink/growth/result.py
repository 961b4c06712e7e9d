"""A fitted growth curve: the fit, its coding of time, and what both say of growth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from teamlink.fitting.summary import Summary
from teamlink.growth.coding import TimeCoding
from teamlink.growth.describe import reliability, summarize, tidy
from teamlink.growth.specification import Specification
from teamlink.growth.trajectories import At, Band, expected_variance, trajectories
from teamlink.mixed.membership import Membership
from teamlink.mixed.result import MixedFit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GrowthCurve"]


@dataclass(frozen=True, slots=True)
class GrowthCurve:
    """A fitted growth curve; made by `teamlink.growth_curve`.

    Attributes
    ----------
    fit : MixedFit
        The linear mixed model that it is.
    coding : TimeCoding
        How time enters: ``coding.terms``, ``coding.columns(times)``.
    specification : Specification
        What was asked for.
    formula : str
        The model as text: ``tl.lmm(curve.formula, data, memberships=curve.memberships)`` gives
        the same fit.
    memberships : mapping or None
        Groups with weights, for `lmm`.
    rows : DataFrame
        The rows of the fit, in the columns of the curve.
    independent : bool
        Whether the residuals are independent with one variance.

    Examples
    --------
    >>> import teamlink as tl
    >>> pupils = tl.datasets.load("egsingle")
    >>> curve = tl.growth_curve(pupils, "math", "year", "childid", predictors="female")
    >>> curve.formula
    'math ~ year + female + year:female + (year | childid)'
    >>> curve.trajectories(at={"female": ["Female", "Male"]}, times=[0]).round(3)
       female  year  prediction  conf_low  conf_high
    0  Female   0.0      -0.847    -0.912     -0.783
    1    Male   0.0      -0.826    -0.890     -0.763
    """

    fit: MixedFit
    coding: TimeCoding
    specification: Specification
    formula: str
    memberships: Mapping[str, Membership] | None
    rows: pd.DataFrame
    independent: bool

    @property
    def shares(self) -> bool:
        """Whether the weights of each row's groups sum to one."""
        given = (self.memberships or {}).values()
        return all(abs(m.weights.sum(axis=1) - 1).max() < 1e-9 for m in given)

    def trajectories(
        self,
        at: At | None = None,
        level: str = "population",
        interval: Band = "confidence",
        *,
        times: Sequence[float] | None = None,
        coverage: float = 0.95,
    ) -> pd.DataFrame:
        """Status over time, as fitted.

        Parameters
        ----------
        at : mapping, optional
            Column to the value or values wanted: a trajectory for each combination. Predictors
            that are not named stand at their mean over units, or at the usual category. With
            ``level="group"``, which units: those whose rows have these values.
        level : {"population", "group"} or the name of the group
            The mean trajectory; those of the units, with all their random effects, at their own
            occasions; or those of groups, such as schools.
        interval : {"confidence", "prediction"}, optional
            Of the expected status; or of one occasion: of a new unit in a new group when
            ``level="population"``.
        times : sequence of float, optional
            Where to give the trajectory; the whole range when None.
        coverage : float
            Of the interval.

        Returns
        -------
        DataFrame
            A row a time: what tells trajectories apart, the time, ``prediction``, and
            ``conf_low, conf_high`` where an interval is asked for.
        """
        return trajectories(self, at, level, interval, times, coverage)

    def expected_variance(self, times: Sequence[float] | None = None) -> pd.DataFrame:
        """Variance of status over time, by level, as the random coefficients imply it.

        Parameters
        ----------
        times : sequence of float, optional
            The observed ones when None, or 25 over their range if they are more.

        Returns
        -------
        DataFrame
            The time, ``group, variance, share, status_rate_correlation``: a row for each
            grouping factor and the residual at each time. The last column is the correlation, over
            units or groups, of the status at that time with the rate of change then.

        Notes
        -----
        With ``a(t) = (1, a_1(t), ..., a_K(t))`` and T the covariance of the random coefficients
        the variance is ``a(t)'T a(t)``, and the covariance with the rate ``a(t)'T da(t)/dt``.
        Groups with weights count with the mean of the summed squared weights at that time.
        """
        return expected_variance(self, times)

    def reliability(self) -> pd.DataFrame:
        """Reliability of each random growth coefficient: see `teamlink.reliability`.

        Returns
        -------
        DataFrame
            ``group, coefficient, sd, reliability, groups``.
        """
        return reliability(self)

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """The table of `MixedFit.tidy`, led by what each parameter is in terms of growth.

        ``coefficient`` is the growth coefficient (``intercept``, ``linear``, ...), ``predictor``
        what predicts it (None for its mean), ``meaning`` says it in words.
        """
        return tidy(self, level)

    def summary(self, level: float = 0.95) -> Summary:
        """Growth in words and numbers: text to print; rich HTML in a notebook."""
        return summarize(self, level)

    def plot(
        self,
        by: str | None = None,
        *,
        at: At | None = None,
        individuals: int = 40,
        interval: Band = "confidence",
        coverage: float = 0.95,
        seed: int = 0,
    ) -> Figure:
        """Draw the mean trajectory with its interval over lines of single units.

        Parameters
        ----------
        by : str, optional
            A predictor: a mean trajectory for each of its values, or for its quartiles over
            units, the first and the third, where it is a number with more than five.
        at : mapping, optional
            One value for each of other predictors.
        individuals : int
            How many units to draw at random, each with its fitted line; 0 for none.
        interval : {"confidence", "prediction"}, optional
            Of the band.
        coverage : float
            Of the band.
        seed : int
            Of the choice of units.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from teamlink.growth.draw import draw

        return draw(self, by, at or {}, individuals, interval, coverage, seed)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        method = "REML" if self.fit.model.reml else "ML"
        return f"<GrowthCurve {self.formula!r}: {method}, deviance {self.fit.deviance:.4f}>"
