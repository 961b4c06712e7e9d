"""What a profile found: likelihood intervals and the curves they come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from teamlink.errors import FitError, OptionError
from teamlink.fitting.fit import Fit, single_thread, solve
from teamlink.fitting.model import Model, Pins
from teamlink.fitting.summary import Summary, SummaryTable, number
from teamlink.inference.replicates import Labels
from teamlink.inference.search import Curve, ends
from teamlink.typing import Array

__all__ = ["Optimum", "Profile", "interval_of", "rise"]

_BETTER = 1e-6
"""A deviance this much below that of the fit shows that the fit was no optimum."""


@dataclass(frozen=True, slots=True)
class Optimum:
    """The maximum-likelihood fit that a profile rises from.

    Attributes
    ----------
    model : by maximum likelihood
    theta : (k,) working parameters
    deviance : there
    """

    model: Model
    theta: Array
    deviance: float


def target(level: float) -> float:
    """Root of the chi-square quantile; an error where `level` is no confidence level."""
    if not 0 < level < 1:
        raise OptionError(f"level={level!r}: a confidence level lies between 0 and 1")
    return float(np.sqrt(stats.chi2.ppf(level, 1)))


def rise(optimum: Optimum, term: str, estimate: float, values: Array) -> Array:
    """Zeta (c,) of a term at values (c,); missing where the model could not be fitted.

    Raises
    ------
    FitError
        The deviance falls below that of the fit.
    """
    model = optimum.model
    if not isinstance(model, Pins):
        raise OptionError(f"a {type(model).__name__} cannot hold {term!r} at a value")
    solution = solve(model.pin(term, values, optimum.theta))
    more = solution.deviance - optimum.deviance
    more = np.where(solution.converged, more, np.nan)
    if (more < -_BETTER * (1 + 1e-6 * abs(optimum.deviance))).any():
        at = values[int(np.nanargmin(more))]
        raise FitError(
            f"with {term} held at {at:g} the deviance is lower by {-np.nanmin(more):.3g} than that "
            "of the fit: the fit is not the optimum"
        )
    zeta: Array = np.sign(values - estimate) * np.sqrt(np.maximum(more, 0.0))
    return zeta


def interval_of(
    optimum: Optimum, term: str, estimate: float, curve: Curve, level: float
) -> tuple[Array, Curve]:
    """Ends (2,) of a likelihood interval, and the curve with the points it took."""
    model = optimum.model
    if not isinstance(model, Pins):
        raise OptionError(f"a {type(model).__name__} cannot hold {term!r} at a value")
    reach = model.reach(term, optimum.theta)
    if not np.isfinite(estimate):
        return np.array([reach.low, reach.high]), curve
    return ends(lambda v: rise(optimum, term, estimate, v), curve, reach, target(level))


@dataclass(frozen=True)
class Profile:
    """Likelihood profiles of a fit, made by `teamlink.profile`.

    Attributes
    ----------
    fit : Fit
        What was profiled.
    level : float
        Of the intervals.
    optimum : Optimum
        The fit by maximum likelihood that the profiles belong to.
    labels : Labels
        What each of the t terms is.
    estimate : array, (t,)
        By maximum likelihood.
    curves : tuple of Curve
        Points of each profile.
    ends : array, (t, 2)
        Of the intervals at `level`.
    """

    fit: Fit
    level: float
    optimum: Optimum
    labels: Labels
    estimate: Array
    curves: tuple[Curve, ...]
    ends: Array

    @property
    def deviance(self) -> float:
        """Deviance of the maximum-likelihood fit."""
        return self.optimum.deviance

    def conf_int(self, level: float | None = None) -> pd.DataFrame:
        """Likelihood intervals.

        Parameters
        ----------
        level : float, optional
            Coverage; that of the profile when None. For another the ends are sought anew.

        Returns
        -------
        DataFrame
            ``effect, group, term, estimate, conf_low, conf_high``; the estimate is that by
            maximum likelihood. An end that is the end of the parameter's range (0 for a standard
            deviation, -1 or 1 for a correlation) means that the deviance does not rise enough
            before it.
        """
        low_high = self._ends(self.level if level is None else level)
        return pd.DataFrame(
            {
                "effect": np.array(self.labels.effects, dtype=object),
                "group": np.array(self.labels.groups, dtype=object),
                "term": np.array(self.labels.terms, dtype=object),
                "estimate": self.estimate,
                "conf_low": low_high[:, 0],
                "conf_high": low_high[:, 1],
            }
        )

    def _ends(self, level: float) -> Array:
        if level == self.level:
            return self.ends
        with single_thread().limit(limits=1):
            found = [
                interval_of(self.optimum, term, float(estimate), curve, level)[0]
                for term, estimate, curve in zip(
                    self.labels.keys, self.estimate, self.curves, strict=True
                )
            ]
        return np.array(found)

    @property
    def zeta(self) -> pd.DataFrame:
        """Points of the profiles: ``term, value, zeta``, in increasing order within a term.

        A term that several grouping factors have reads ``sd__x|school``.

        ``zeta`` is the signed root of the rise of the deviance; its square is a chi-square of one
        degree of freedom, and a straight line means that a Wald interval is as good.
        """
        counts = [len(curve.values) for curve in self.curves]
        return pd.DataFrame(
            {
                "term": np.repeat(np.array(self.labels.keys, dtype=object), counts),
                "value": np.concatenate([curve.values for curve in self.curves]),
                "zeta": np.concatenate([curve.zeta for curve in self.curves]),
            }
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """Which ends are ends of a range, and which terms have no estimate."""
        said = []
        for term, estimate, (low, high) in zip(
            self.labels.keys, self.estimate, self.ends, strict=True
        ):
            if not np.isfinite(estimate):
                said.append(
                    f"{term}: no estimate, as a standard deviation is zero; any value fits as well"
                )
            elif term.startswith("sd__") and low == 0:
                said.append(f"{term}: the lower end is 0, as the deviance rises too little before")
            elif term.startswith("cor__"):
                said += [
                    f"{term}: an end is {end:g}, as the deviance rises too little before"
                    for end in (low, high)
                    if abs(end) == 1
                ]
        return tuple(said)

    def summary(self) -> Summary:
        """Text to print; rich HTML in a notebook."""
        share = f"{100 * self.level:g}%"
        rows = tuple(
            (term, number(estimate), number(low), number(high))
            for term, estimate, (low, high) in zip(
                self.labels.keys, self.estimate, self.ends, strict=True
            )
        )
        table = SummaryTable("Estimates", ("Term", "Estimate", f"{share} low", "high"), rows)
        facts = (("Model", self.fit.label), ("Deviance (ML)", number(self.deviance)))
        return Summary("Likelihood profiles", facts, (table,), self.remarks)

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        return f"<Profile of {len(self.estimate)} terms, level {self.level:g}>"
