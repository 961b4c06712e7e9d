"""The verb `returns_to_experience`: how teachers grow, and where they grow more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from teamlink.data.schema import group_codes, numbers, validate
from teamlink.errors import DesignError, Fault, Faults, OptionError, check_option
from teamlink.fitting.estimates import Estimates
from teamlink.mixed.encoding import encode
from teamlink.mixed.linear import lmm
from teamlink.mixed.rows import usable_rows
from teamlink.syntax.expression import show_name
from teamlink.syntax.formula import parse
from teamlink.typing import Table
from teamlink.value_added.absorbed import absorbed, components_of
from teamlink.value_added.estimation import response_of
from teamlink.value_added.growth_terms import POWERS, Growth
from teamlink.value_added.request import Request, request
from teamlink.value_added.returns import ExperienceReturns

__all__ = ["returns_to_experience"]


def returns_to_experience(
    data: Table,
    score: str,
    teacher: str,
    experience: str,
    context: str,
    school: str | None = None,
    *,
    prior: str | Sequence[str] = (),
    gain: bool = False,
    year: str | None = None,
    covariates: str | Sequence[str] = (),
    effects: Literal["random", "fixed"] = "random",
    shape: Literal["linear", "quadratic", "cubic", "quartic", "log"] = "quadratic",
    cap: float | None = 10.0,
    interaction: Literal["linear", "full"] = "linear",
    slopes: bool = False,
    at: float = 10.0,
    quantiles: tuple[float, float] = (0.25, 0.75),
    cluster: str | None = None,
) -> ExperienceReturns:
    """Estimate how teachers gain by experience, and how much more in one context than another.

    Parameters
    ----------
    data : table
        Any data frame, one row a student and year.
    score, teacher : str
        Columns, as in `vam`.
    experience : str
        Column of the teacher's years of experience, zero at entry.
    context : str
        Column of the context in which teachers grow, such as the school's environment.
    school : str, optional
        Column of the schools, which then have effects too.
    prior, gain, year, covariates
        As in `vam`.
    effects : {"random", "fixed"}
        Of teachers. Fixed ones compare a teacher with himself or herself in other years.
    shape : {"linear", "quadratic", "cubic", "quartic", "log"}
        Of growth: a polynomial, or ``log(1 + experience)``.
    cap : float, optional
        Years beyond which nothing more is gained; None for no such year. With fixed effects of
        teachers and years a cap tells growth from years.
    interaction : {"linear", "full"}
        Whether the first growth term depends on the context, or all of them.
    slopes : bool
        With random effects: each teacher has a rate of growth too.
    at : float
        Years of experience at which contexts are compared.
    quantiles : (float, float)
        The contexts that are compared: quantiles, over teachers, of a teacher's mean context.
    cluster : str, optional
        With fixed effects: column of the clusters of the covariance.

    Returns
    -------
    ExperienceReturns
        ``.returns()``, ``.difference()``, ``.ratio()``, ``.interaction``, ``.tidy()``,
        ``.summary()``.

    Raises
    ------
    OptionError
        Options that are not offered, or do not go together.
    DataError, DesignError
        The table lacks what is asked, or growth cannot be told from years; every fault is listed.

    Notes
    -----
    With ``h_k`` the growth terms of experience E, zero at entry, and P the context,

    ``y = a'delta + sum_k gamma_k h_k(E) + lambda h_1(E) P + pi P + x'beta + theta_j + e`` [1]_.

    The gain since entry is ``R(E, P) = sum_k gamma_k h_k(E) + lambda h_1(E) P``; compared are
    ``R(at, high) - R(at, low)`` and their ratio: a ratio of 1.38 is 38 % more growth. The interval
    of the ratio is Fieller's [2]_, its standard error that of the delta method; a bootstrap is
    ``tl.bootstrap(found.fit, statistic=found.ratio_of)``.

    In R: ``lme4::lmer(score ~ prior + h1 + h2 + context + h1:context + (1 | teacher), data)``.

    References
    ----------
    .. [1] Kraft, Papay (2014). Can professional environments in schools promote teacher
       development? Educational Evaluation and Policy Analysis 36(4). doi:10.3102/0162373713519496
    .. [2] Fieller (1954). Some problems in interval estimation. Journal of the Royal Statistical
       Society B 16(2). doi:10.1111/j.2517-6161.1954.tb00159.x

    Examples
    --------
    >>> import numpy as np, pandas as pd, teamlink as tl
    >>> rng = np.random.default_rng(1)
    >>> teacher = np.repeat(np.arange(300), 20)
    >>> experience = np.repeat(rng.integers(0, 15, 300), 20)
    >>> climate = np.repeat(rng.normal(size=300), 20)
    >>> growth = np.minimum(experience, 10) * (0.03 + 0.01 * climate)
    >>> score = growth + rng.normal(0, 0.1, 300)[teacher] + rng.normal(0, 0.5, 6000)
    >>> pupils = pd.DataFrame(
    ...     {"gain": score, "teacher": teacher, "experience": experience, "climate": climate}
    ... )
    >>> found = tl.returns_to_experience(
    ...     pupils, "gain", "teacher", "experience", "climate", gain=True, shape="linear"
    ... )
    >>> found.ratio().round(2)
    ratio        1.49
    std_error    0.20
    conf_low     1.16
    conf_high    2.00
    Name: gain at 10 years, dtype: float64
    """
    for name, value, allowed in (
        ("effects", effects, ["random", "fixed"]),
        ("shape", shape, [*POWERS, "log"]),
        ("interaction", interaction, ["linear", "full"]),
    ):
        check_option(name, value, allowed)
    _check_numbers(cap, at, quantiles)
    _check_kind(effects, slopes, cluster)
    asked, _ = request(
        data, score, teacher, school, prior=prior, gain=gain, year=year, student=None,
        covariates=covariates, nested=False, yearly=False,
    )  # fmt: skip
    beside = [teacher, experience, context, *(k for k in (school, cluster) if k is not None)]
    _check_columns(data, experience, context, beside)
    rows, _, _ = usable_rows(parse(asked.fixed_text), data, (), list(dict.fromkeys(beside)))
    growth = Growth.named(
        shape, np.inf if cap is None else float(cap), interaction == "full", rows, context
    )
    frame = growth.added_to(rows, experience, context)
    low, high = _compared(rows, teacher, context, quantiles)
    if effects == "random":
        formula = _formula(asked, growth, slopes)
        fit = lmm(formula, frame)
        return ExperienceReturns(formula, growth, fit.estimates, fit, float(at), (low, high))
    text, estimates = _absorbing(asked, growth, frame, cluster)
    return ExperienceReturns(text, growth, estimates, None, float(at), (low, high))


def _check_numbers(cap: float | None, at: float, quantiles: Sequence[float]) -> None:
    if cap is not None and not (np.isfinite(cap) and cap > 0):
        raise OptionError(f"cap={cap!r}: a positive number of years, or None")
    if not (np.isfinite(at) and at > 0):
        raise OptionError(f"at={at!r}: a positive number of years")
    if len(quantiles) != 2 or not 0 <= quantiles[0] < quantiles[1] <= 1:
        raise OptionError(f"quantiles={quantiles!r}: two numbers from 0 to 1, the lower one first")


def _check_kind(effects: str, slopes: bool, cluster: str | None) -> None:
    if slopes and effects == "fixed":
        raise OptionError("slopes: goes with effects='random'")
    if cluster is not None and effects == "random":
        raise OptionError(
            "cluster: goes with effects='fixed'; else found.using(tl.robust(found.fit))"
        )


def _check_columns(data: Table, experience: str, context: str, keys: Sequence[str]) -> None:
    groups = [key for key in keys if key not in (experience, context)]
    rows = validate(data, numeric=[context], groups=groups, bounds={experience: (0, None)})
    faults = Faults()
    for name in (experience, context):
        if rows[name].nunique() < 2:
            faults.add("does not vary", f"column {name!r}", "growth needs values that differ")
    faults.raise_if_any(DesignError)


def _compared(
    rows: pd.DataFrame, teacher: str, context: str, quantiles: tuple[float, float]
) -> tuple[float, float]:
    """The contexts that are compared: quantiles over teachers of their mean context."""
    codes, levels = group_codes(rows, teacher)
    count = np.bincount(codes, minlength=len(levels))
    means = np.bincount(codes, numbers(rows, context), len(levels)) / count
    low, high = np.quantile(means, quantiles)
    if low == high:
        raise OptionError(
            f"quantiles={quantiles!r}: the context is {low:g} at both; take quantiles further apart"
        )
    return float(low), float(high)


def _formula(asked: Request, growth: Growth, slopes: bool) -> str:
    inner = f"1 + {growth.names[0]}" if slopes else "1"
    bars = [f"({inner} | {show_name(asked.teacher)})"]
    bars += [] if asked.school is None else [f"(1 | {show_name(asked.school)})"]
    terms = (*asked.fixed, *growth.names, growth.context, *growth.products)
    return f"{asked.response} ~ {' + '.join([*terms, *bars])}"


def _absorbing(
    asked: Request, growth: Growth, frame: pd.DataFrame, cluster: str | None
) -> tuple[str, Estimates]:
    """The fit with fixed effects of teachers, and of schools where they are named."""
    keys = [asked.teacher, *([asked.school] if asked.school else [])]
    grouped = [group_codes(frame, key) for key in keys]
    codes, sizes = [c for c, _ in grouped], [len(levels) for _, levels in grouped]
    if asked.school is not None and components_of(codes[0], codes[1], (sizes[0], sizes[1])).any():
        raise DesignError(
            [Fault("teachers who move do not connect all schools",
                   f"columns {asked.teacher!r}, {asked.school!r}",
                   "leave out school=, or take effects='random'")]
        )  # fmt: skip
    fixed = [*asked.fixed, *growth.names, *growth.products]
    constant = bool(frame.groupby(codes[0])[growth.context].nunique().max() == 1)
    if not constant:
        fixed.insert(len(fixed) - len(growth.products), growth.context)
    text = f"{asked.response} ~ {' + '.join(fixed)}"
    coded, encoding = encode({"fixed": f"1 + {' + '.join(fixed)}"}, frame, text)["fixed"]
    y = response_of(asked.response, frame, text)
    clusters = None if cluster is None else group_codes(frame, cluster)[0]
    found = absorbed(y, coded[:, 1:], encoding.names[1:], codes, sizes, clusters).estimates
    lost = [name for name in (*growth.names, *growth.products) if name not in found.names]
    if lost:
        raise DesignError(
            [Fault(f"{', '.join(lost)} cannot be told from the effects of teachers and the "
                   "covariates",
                   "experience",
                   "with years among the covariates set cap= below the longest experience, or take "
                   "effects='random'")]
        )  # fmt: skip
    return text, found
