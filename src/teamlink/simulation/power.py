r"""Power, and what a significant estimate is worth: errors of sign and of magnitude.

An estimate is normal about the effect ``d`` with standard error ``s``; its standard error is itself
estimated with ``df`` degrees of freedom, and the t statistic is held to the two-sided quantile c.
With ``q^2 = chi^2_df / df``, estimate e and ``m = c s q``,

.. math::

    \text{power} = P(|e| > m), \qquad
    \text{type S} = P(e d < 0 \mid |e| > m), \qquad
    \text{type M} = E(|e| \mid |e| > m) / |d|.

Given q the three have closed forms; the expectation over q is taken by Gauss-Legendre quadrature on
its quantiles, exact to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy import optimize, stats

from teamlink.errors import DesignError, OptionError, check_option
from teamlink.fitting.summary import Summary, SummaryTable
from teamlink.simulation.precision import DESIGNS, NO_DF, Precision, precision_of, sizes_of
from teamlink.typing import Array

__all__ = ["Power", "errors_of", "power_of_design"]

NULL = {"ratio-of-proportions": 1.0}
"""Effects that are none where none is not 0."""
NODES = 200
MOST = 10_000_000
"""Sizes beyond this are not looked for."""


@dataclass(frozen=True, slots=True)
class Power:
    """What a design can find.

    Attributes
    ----------
    design : its name
    sizes : its sizes, defaults included
    effect : true effect
    power : probability of a significant estimate, of either sign
    type_s : probability that a significant estimate has the wrong sign
    type_m : mean size of a significant estimate over the true size, on the scale of the test
    std_error, df : of the estimate, on the scale of the test
    minimum_detectable : effect that is found with probability `target`
    level : of the two-sided test
    target : power asked of `minimum_detectable`

    Examples
    --------
    >>> import teamlink as tl
    >>> found = tl.power("cluster-trial", effect=0.2, schools=40, students=25, icc=0.2)
    >>> round(found.power, 3), round(found.type_m, 2), round(found.minimum_detectable, 2)
    (0.249, 1.95, 0.44)
    """

    design: str
    sizes: dict[str, float]
    effect: float
    power: float
    type_s: float
    type_m: float
    std_error: float
    df: float
    minimum_detectable: float
    level: float
    target: float

    def over(self, effects: Sequence[float]) -> pd.DataFrame:
        """Power, type S and type M of the same design at other effects.

        Parameters
        ----------
        effects : sequence of float

        Returns
        -------
        DataFrame
            ``effect, power, type_s, type_m``, a row an effect.
        """
        rows = []
        for effect in effects:
            errors = errors_of(precision_of(self.design, effect, self.sizes), self.level)
            rows.append((effect, *errors))
        return pd.DataFrame(rows, columns=["effect", "power", "type_s", "type_m"])

    def summary(self) -> Summary:
        """Say it in words."""
        facts = [("Design", self.design)]
        facts += [(name, f"{value:g}") for name, value in self.sizes.items()]
        facts += [("Test", f"two-sided, level {self.level:g}")]
        row = (
            f"{self.effect:.3f}",
            f"{self.std_error:.4f}",
            f"{self.power:.3f}",
            f"{self.type_s:.4f}",
            f"{self.type_m:.2f}",
        )
        header = ("Effect", "Std. error", "Power", "Wrong sign", "Exaggeration")
        table = SummaryTable("What it finds", header, (row,), labels=0)
        remarks = (
            f"The smallest effect found with probability {self.target:g} is "
            f"{self.minimum_detectable:.3f}.",
            "Wrong sign and exaggeration are those of significant estimates.",
        )
        return Summary("Power of a design", tuple(facts), (table,), remarks)


def power_of_design(
    design: str,
    effect: float | None,
    power: float | None,
    level: float,
    sizes: Mapping[str, float | None],
) -> Power:
    """Find the one of effect, power and sizes that is not given.

    Parameters
    ----------
    design : str
        A name of `DESIGNS`.
    effect, power : float or None
        True effect, and the power asked for.
    level : float
        Of the two-sided test.
    sizes : mapping
        Sizes of the design; one may be None, to be found from effect and power.

    Returns
    -------
    Power
    """
    check_option("design", design, tuple(DESIGNS))
    if not 0 < level < 1:
        raise OptionError(f"level={level:g} must lie between 0 and 1")
    if power is not None and not level < power < 1:
        raise OptionError(f"power={power:g} must lie between the level {level:g} and 1")
    target = 0.8 if power is None else power
    sought = [name for name, value in sizes.items() if value is None and name in sizes_of(design)]
    given = {name: value for name, value in sizes.items() if value is not None}
    if sought:
        if len(sought) > 1 or effect is None or power is None:
            raise OptionError("one size alone can be looked for, given effect= and power=")
        given[sought[0]] = _size(design, effect, power, level, given, sought[0])
    elif effect is not None and power is not None:
        raise OptionError("effect= and power= are both given; leave one out, or a size as None")
    detectable = _detectable(design, target, level, given)
    effect = detectable if effect is None else effect
    found = precision_of(design, effect, given)
    defaults = {name: value for name, value in sizes_of(design).items() if value is not None}
    return Power(
        design,
        defaults | given,
        effect,
        *errors_of(found, level),
        found.std_error,
        found.df,
        detectable,
        level,
        target,
    )


def errors_of(precision: Precision, level: float = 0.05) -> tuple[float, float, float]:
    """Compute power, type S and type M.

    Parameters
    ----------
    precision : Precision
    level : float
        Of the two-sided test.

    Returns
    -------
    tuple of float
        Power, type S, type M; the last is infinite where there is no effect.

    References
    ----------
    .. [1] Gelman, Carlin (2014). Beyond power calculations: assessing type S (sign) and type M
       (magnitude) errors. Perspectives on Psychological Science 9(6).
       doi:10.1177/1745691614551642

    Examples
    --------
    The example of the paper: an effect of 2 with a standard error of 8.1.

    >>> power, type_s, type_m = errors_of(Precision(2.0, 8.1, float("inf")))
    >>> round(power, 2), round(type_s, 2), round(type_m, 1)
    (0.06, 0.24, 9.5)
    """
    size = abs(precision.shift) / precision.std_error
    q, weight = _chi_nodes(precision.df)
    cut = stats.t.isf(level / 2, precision.df) * q
    right, wrong = stats.norm.sf(cut - size), stats.norm.sf(cut + size)
    power = float(weight @ (right + wrong))
    outside = stats.norm.pdf(cut - size) + stats.norm.pdf(cut + size) + size * (right - wrong)
    type_m = float(weight @ outside) / (power * size) if size > 0 else float("inf")
    return power, float(weight @ wrong) / power, type_m


@cache
def _chi_nodes(df: float) -> tuple[Array, Array]:
    """Nodes (N,) and weights (N,) of ``sqrt(chi^2_df / df)``."""
    if np.isinf(df):
        return np.ones(1), np.ones(1)
    x, weight = np.polynomial.legendre.leggauss(NODES)
    return np.sqrt(stats.chi2.ppf((x + 1) / 2, df) / df), weight / 2


def _detectable(design: str, target: float, level: float, sizes: Mapping[str, float]) -> float:
    """Effect above none that is found with probability `target`; infinite where there is none."""

    def short(effect: float) -> float:
        return errors_of(precision_of(design, effect, sizes), level)[0] - target

    none = NULL.get(design, 0.0)
    low, high = none + 1e-12, none + 8 * precision_of(design, none, sizes).std_error
    if design == "correlation":
        high = 1 - 1e-9
    elif design == "ratio-of-proportions":
        high = (1 - 1e-9) / sizes["base"]
    else:
        while short(high) < 0:
            high *= 4
    if short(high) < 0:
        return float("inf")
    return float(optimize.brentq(short, low, high, xtol=1e-12))


def _size(
    design: str, effect: float, power: float, level: float, sizes: dict[str, float], name: str
) -> float:
    """Smallest whole number of `name` that reaches the power."""

    def reaches(size: int) -> bool:
        return _power_at(design, effect, level, sizes | {name: float(size)}) >= power

    high = 2
    while not reaches(high):
        high *= 2
        if high > MOST:
            raise DesignError(f"{design}: no {name} up to {MOST:,} gives a power of {power:g}")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return float(high)


def _power_at(design: str, effect: float, level: float, sizes: Mapping[str, float]) -> float:
    """Power; 0 where these sizes leave no degree of freedom."""
    try:
        found = precision_of(design, effect, sizes)
    except DesignError as error:
        if any(fault.what == NO_DF for fault in error.faults):
            return 0.0
        raise
    return errors_of(found, level)[0]
