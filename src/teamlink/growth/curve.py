"""The verb `growth_curve`: from names of columns to a fitted growth model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal, TypeAlias

import numpy as np

from teamlink.data.schema import numbers
from teamlink.errors import OptionError, check_option
from teamlink.growth.check import checked_rows
from teamlink.growth.coding import Origin, Shape, code_time, coefficient_names
from teamlink.growth.result import GrowthCurve
from teamlink.growth.specification import (
    Choice,
    Predictors,
    Specification,
    chosen,
    spread_over,
)
from teamlink.mixed.linear import lmm
from teamlink.mixed.membership import Membership, cumulative_membership
from teamlink.typing import Table

__all__ = ["growth_curve"]

Movers: TypeAlias = Literal["acute", "cumulative", "share"] | Membership | None


def growth_curve(
    data: Table,
    outcome: str,
    time: str,
    unit: str,
    group: str | None = None,
    *,
    shape: Shape = "linear",
    degree: int | None = None,
    knots: float | Sequence[float] = (),
    coding: Literal["raw", "orthogonal", "two-rate", "increment"] | None = None,
    origin: Origin = None,
    time_unit: float = 1.0,
    predictors: Predictors = (),
    time_varying: Predictors = (),
    random: Choice = "all",
    group_random: Choice | None = None,
    correlated: bool = True,
    group_correlated: bool = True,
    movers: Movers = None,
    reml: bool = True,
    df: Literal["satterthwaite", "kenward-roger", "residual", "normal"] = "satterthwaite",
    residual: Any = None,
) -> GrowthCurve:
    """Fit a growth curve: occasions in units, such as children, and perhaps in schools.

    Parameters
    ----------
    data : table
        Any data frame of n rows, one an occasion of a unit.
    outcome, time, unit : str
        Columns: the status that grows, when it was measured (numeric), and of whom.
    group : str, optional
        Column of the groups of units, such as schools.
    shape : {"linear", "quadratic", "cubic", "polynomial", "piecewise"}
        Of growth. Its coefficients are called ``intercept``, ``linear``, ``quadratic``, ...; those
        of piecewise growth ``rate1, rate2, ...``, or ``rate, increment1, ...``.
    degree : int, optional
        Of "polynomial", 1 to 5.
    knots : float or sequence of float
        Times at which the rate of "piecewise" growth changes.
    coding : {"raw", "orthogonal", "two-rate", "increment"}, optional
        Of polynomials: powers of time (raw, the default), or polynomials orthogonal over the rows.
        Of piecewise growth: a rate in each piece (two-rate, the default), or a base rate and its
        change at each knot (increment).
    origin : float or {"first", "last", "mean"}, optional
        Time at which the intercept is the status: 0 of the column when None.
    time_unit : float
        Length of one unit of growth, in units of the column: 12 turns months into years.
    predictors : str, sequence of str, or mapping
        Columns, or products of columns such as ``"female:lowinc"``, that are constant within a
        unit or a group. Plain names predict every growth coefficient; a mapping says which, as in
        ``{"intercept": ["female", "lowinc"], "linear": "lowinc"}``.
    time_varying : str, sequence of str, or mapping
        The same for columns that may change from occasion to occasion; plain names predict the
        status at the occasion.
    random : str or sequence of str
        Growth coefficients that vary over units: "all", or some of them by name.
    group_random : str or sequence of str, optional
        Those that vary over groups. All when None, but the intercept alone with
        ``movers="cumulative"``.
    correlated, group_correlated : bool
        Whether the random coefficients of a unit, and of a group, are correlated.
    movers : {"acute", "cumulative", "share"} or Membership, optional
        How groups count where units change them; see `cumulative_membership`. When None a unit
        with several groups is a fault.
    reml, df, residual
        As in `lmm`.

    Returns
    -------
    GrowthCurve
        With the fit, its formula, and trajectories.

    Raises
    ------
    DataError, DesignError
        The table does not fit the curve: time does not vary, occasions are too few, a predictor
        changes within a unit, knots lie outside; every fault is listed.
    OptionError
        An option that is not offered.

    Notes
    -----
    At occasion t of unit i in group j the status is

    ``y_tij = pi_0ij + sum_k pi_kij a_k(t) + e_tij``,
    ``pi_kij = beta_k + x_ij' gamma_k + u_kj + r_kij``,

    with the growth terms ``a_k`` of the coding, ``u`` the random coefficients of groups and ``r``
    those of units [1]_. It is one linear mixed model: ``lmm(curve.formula, data,
    memberships=curve.memberships)`` gives the same fit.

    In R: ``lme4::lmer`` with the text of ``curve.formula``, which R reads as it stands.

    References
    ----------
    .. [1] Raudenbush, Bryk (2002). Hierarchical linear models, 2nd ed., chapters 6, 8 and 12. Sage.

    Examples
    --------
    >>> import teamlink as tl
    >>> pupils = tl.datasets.load("egsingle")
    >>> curve = tl.growth_curve(pupils, "math", "year", "childid", "schoolid")
    >>> curve.formula
    'math ~ year + (year | childid) + (year | schoolid)'
    >>> curve.fit.params.round(4)
    Intercept   -0.7792
    year         0.7631
    Name: estimate, dtype: float64
    >>> tl.growth_curve(
    ...     pupils, "math", "year", "childid", shape="piecewise", knots=[0.5], random="intercept"
    ... ).formula
    'math ~ I((year - 0.5) * (year <= 0.5) + 0.5) + I((year - 0.5) * (year > 0.5)) + (1 | childid)'
    """
    at_knots = _numbers("knots", np.atleast_1d(knots).tolist())
    names = coefficient_names(shape, degree, at_knots, coding)
    _check_options(group, group_random, movers)
    (length,) = _numbers("time_unit", [time_unit])
    if length <= 0:
        raise OptionError(f"time_unit={time_unit!r}: a length of time is positive")
    zero = origin if origin is None or isinstance(origin, str) else _numbers("origin", [origin])[0]
    _check_columns({"outcome": outcome, "time": time, "unit": unit, "group": group})
    spec = Specification(
        outcome=outcome,
        unit=unit,
        group=group,
        predictors=spread_over("predictors", predictors, names, names),
        time_varying=spread_over("time_varying", time_varying, names, names[:1]),
        random=chosen("random", random, names),
        group_random=() if group is None else _of_groups(group_random, movers, names),
        correlated=correlated,
        group_correlated=group_correlated,
    )
    rows = checked_rows(
        data,
        spec,
        time,
        names,
        at_knots,
        nested=movers is None,
        grouped=not isinstance(movers, Membership),
        ordered=movers in ("cumulative", "share") if isinstance(movers, str) else False,
        occasions=residual is None,
    )
    coded = code_time(time, numbers(rows, time), names, coding, at_knots, zero, length)
    memberships = _memberships(data, group, unit, time, movers)
    formula = spec.formula(coded)
    fit = lmm(formula, data, reml=reml, df=df, residual=residual, memberships=memberships)
    return GrowthCurve(fit, coded, spec, formula, memberships, rows, residual is None)


def _check_options(group: str | None, group_random: Choice | None, movers: Movers) -> None:
    """Raise where options do not go together."""
    if not isinstance(movers, Membership):
        check_option("movers", movers, [None, "acute", "cumulative", "share"])
    if group is None and (group_random is not None or movers is not None):
        which = "group_random" if group_random is not None else "movers"
        raise OptionError(f"{which}: goes with a group; name its column, as in group='school'")


def _numbers(argument: str, values: Sequence[Any]) -> tuple[float, ...]:
    """Finite numbers, or an error that names the argument."""
    try:
        found = tuple(map(float, values))
    except (TypeError, ValueError):
        found = (np.nan,)
    if not np.isfinite(found).all():
        raise OptionError(f"{argument}: {values!r} must be finite numbers")
    return found


def _check_columns(named: Mapping[str, str | None]) -> None:
    """Raise where one column has two parts to play."""
    parts = [(part, column) for part, column in named.items() if column is not None]
    for (one, a), (two, b) in combinations(parts, 2):
        if a == b:
            raise OptionError(f"{one} and {two} are both {a!r}; they are different columns")


def _of_groups(choice: Choice | None, movers: Movers, names: Sequence[str]) -> tuple[str, ...]:
    if choice is None:
        # Doses of a group's effect add up to growth by themselves.
        choice = "intercept" if isinstance(movers, str) and movers == "cumulative" else "all"
    found = chosen("group_random", choice, names)
    if not found:
        raise OptionError("group_random: nothing varies over groups; leave out the group")
    return found


def _memberships(
    data: Table, group: str | None, unit: str, time: str, movers: Movers
) -> Mapping[str, Membership] | None:
    """Groups with weights, where the groups of an occasion are not the one in its row."""
    if group is None or movers is None:
        return None
    if isinstance(movers, Membership):
        return {group: movers}
    if movers == "acute":
        return None
    return {group: cumulative_membership(data, group, unit, time, movers)}
