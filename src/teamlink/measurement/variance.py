"""Intraclass correlations of respondents in groups, and the reliability of the groups' means."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy.stats import f as f_distribution

from teamlink.data.center import group_means
from teamlink.data.schema import Key, group_codes, numbers, validate
from teamlink.errors import DesignError, DroppedRows, check_option
from teamlink.fitting.summary import SummaryTable, number
from teamlink.measurement.index import Index, check_level
from teamlink.measurement.likelihood import likelihood_of
from teamlink.typing import Array, Codes, Table

__all__ = ["GroupSize", "Icc", "IccMethod", "OneWay", "icc1", "icc2", "one_way"]

GroupSize: TypeAlias = Literal["k0", "mean"]
IccMethod: TypeAlias = Literal["anova", "ml", "reml"]

_METHODS = {
    "anova": "analysis of variance",
    "ml": "maximum likelihood",
    "reml": "restricted maximum likelihood",
}
_DEFINITIONS = {
    ("ICC(1)", "anova"): "(MSB - MSW) / (MSB + (k - 1) MSW), Shrout and Fleiss (1979) ICC(1,1)",
    ("ICC(2)", "anova"): "(MSB - MSW) / MSB, Shrout and Fleiss (1979) ICC(1,k)",
    ("ICC(1)", "likelihood"): "tau / (tau + sigma2) of the random-intercept model",
    ("ICC(2)", "likelihood"): "k tau / (k tau + sigma2) of the random-intercept model",
}


@dataclass(frozen=True, eq=False, repr=False)
class Icc(Index):
    r"""An intraclass correlation, made by `teamlink.icc1` or `teamlink.icc2`; a number.

    Attributes
    ----------
    value, name, definition, low, high, level, interval : see `teamlink.measurement.index.Index`
    method : {"anova", "ml", "reml"}
        How the variances were estimated.
    between, within : float
        Variance between groups (tau; by "anova" it may be negative) and within (sigma2).
    k : float
        The group size that the index uses.
    groups : pandas.DataFrame
        A row for each group: ``n, mean, reliability``; the last is the reliability of the
        group's own mean, :math:`\lambda_j = \tau / (\tau + \sigma^2 / n_j)`, with a negative
        tau taken as zero (Snijders and Bosker 2012, 3.5; Raudenbush and Bryk 2002, 3.42).
    n, n_groups : int
        Rows, and groups.

    Examples
    --------
    >>> import teamlink as tl
    >>> teachers = {"school": ["a", "a", "b", "b"], "trust": [1.0, 2.0, 3.0, 4.0]}
    >>> found = tl.icc1(teachers, by="school", column="trust")
    >>> found.groups["reliability"].tolist()
    [0.875, 0.875]
    """

    method: IccMethod
    between: float
    within: float
    k: float
    groups: pd.DataFrame
    n: int
    n_groups: int

    def facts(self) -> tuple[tuple[str, str], ...]:
        """See `Index.facts`."""
        sizes = self.groups["n"]
        means = self.groups["reliability"]
        return (
            *super().facts(),
            ("Estimated by", f"{_METHODS[self.method]}, k = {number(self.k)}"),
            ("Variances", f"{number(self.between)} between groups, {number(self.within)} within"),
            ("Rows", f"{self.n:,} in {self.n_groups:,} groups of {sizes.min()} to {sizes.max()}"),
            ("Group means", f"reliability {number(means.min(), 3)} to {number(means.max(), 3)}, "
                            f"mean {number(means.mean(), 3)}"),
        )  # fmt: skip

    def tables(self) -> tuple[SummaryTable, ...]:
        """See `Index.tables`."""
        return ()


@dataclass(frozen=True, slots=True)
class OneWay:
    """One-way analysis of variance: mean squares, N, J, and both average group sizes."""

    ms_between: float
    ms_within: float
    n: int
    n_groups: int
    k0: float

    def size(self, group_size: GroupSize) -> float:
        """Give the average group size, by the unbiased k0 or the plain mean."""
        return self.k0 if group_size == "k0" else self.n / self.n_groups

    def icc1(self, group_size: GroupSize) -> float:
        """Give ICC(1); see the function of this name."""
        k = self.size(group_size)
        return (self.ms_between - self.ms_within) / (self.ms_between + (k - 1) * self.ms_within)

    def icc2(self) -> float:
        """Give ICC(2); see the function of this name."""
        # equal means come out of the arithmetic with a relative error near 1e-16, squared here
        if self.ms_between <= 1e-24 * self.ms_within:
            raise DesignError("ICC(2) does not exist: all group means are equal")
        return (self.ms_between - self.ms_within) / self.ms_between

    def ratio_interval(self, level: float) -> tuple[float, float]:
        """Give the ends of the interval of the ratio of expected mean squares, from F."""
        if self.ms_within == 0:
            return math.inf, math.inf
        F = self.ms_between / self.ms_within
        one, two = self.n_groups - 1, self.n - self.n_groups
        share = 0.5 + level / 2
        return (
            float(F / f_distribution.ppf(share, one, two)),
            float(F * f_distribution.ppf(share, two, one)),
        )


def icc1(
    data: Table,
    by: Key,
    column: str,
    *,
    group_size: GroupSize = "k0",
    method: IccMethod = "anova",
    level: float = 0.95,
) -> Icc:
    r"""ICC(1): share of the variance of single answers that lies between groups.

    Parameters
    ----------
    data : table
        A row for each respondent.
    by : str or sequence of str
        The columns that identify the group.
    column : str
        The numeric column.
    group_size : {"k0", "mean"}
        The group size k for groups of unequal size, for "anova": ``"k0"``, which makes the
        between-group variance unbiased, or the ``"mean"`` size N / J.
    method : {"anova", "ml", "reml"}
        Mean squares, or the random-intercept model by (restricted) maximum likelihood. With
        groups of unequal size the definitions differ, and so do the numbers.
    level : float
        Coverage of the interval.

    Returns
    -------
    Icc
        A number, by "anova" at least -1 / (k - 1) and negative where groups differ less than
        chance would have them; with ``low``, ``high``, ``groups`` (reliability of each group's
        mean) and ``summary()``.

    Raises
    ------
    DataError
        Columns are missing or not numeric.
    DesignError
        Fewer than two groups, no group with two respondents, or no variation at all; by
        likelihood, no variation within groups.
    OptionError
        An option that is not offered.

    Warns
    -----
    DroppedRows
        Rows without a group or a value were left out.

    Notes
    -----
    By analysis of variance

    .. math:: ICC(1) = \frac{MS_B - MS_W}{MS_B + (k - 1) MS_W}, \qquad
              k_0 = \frac{1}{J - 1} \left(N - \frac{\sum_j n_j^2}{N}\right)

    the one-way random-effects definition, ICC(1,1) of Shrout and Fleiss. With equal groups
    k0 is the group size. Its interval comes from F = MSB / MSW on J - 1 and N - J degrees of
    freedom, :math:`(F_L - 1) / (F_L + k - 1)` with F over its quantiles: exact for normal answers
    and equal groups, close for unequal ones. By likelihood ICC(1) is
    :math:`\tau / (\tau + \sigma^2)`, never negative, with the profile-likelihood interval.
    In R: ``multilevel::ICC1(aov(y ~ as.factor(g)))`` uses the mean size, ``multilevel::mult.icc``
    is "reml".

    References
    ----------
    Shrout, P. E., & Fleiss, J. L. (1979). Intraclass correlations: Uses in assessing rater
    reliability. *Psychological Bulletin*, 86(2), 420-428.
    https://doi.org/10.1037/0033-2909.86.2.420

    Bliese, P. D. (2000). Within-group agreement, non-independence, and reliability. In K. J.
    Klein & S. W. J. Kozlowski (Eds.), *Multilevel theory, research, and methods in organizations*
    (pp. 349-381). Jossey-Bass.

    Examples
    --------
    >>> import teamlink as tl
    >>> teachers = {"school": ["a", "a", "b", "b"], "trust": [1.0, 2.0, 3.0, 4.0]}
    >>> round(tl.icc1(teachers, by="school", column="trust"), 4)
    0.7778
    >>> round(tl.icc1(teachers, by="school", column="trust", method="ml"), 4)
    0.6
    """
    check_option("group_size", group_size, ("k0", "mean"))
    return _intraclass("ICC(1)", data, by, column, group_size, method, level)


def icc2(
    data: Table, by: Key, column: str, *, method: IccMethod = "anova", level: float = 0.95
) -> Icc:
    r"""ICC(2): reliability of the group means.

    Parameters
    ----------
    data : table
        A row for each respondent.
    by : str or sequence of str
        The columns that identify the group.
    column : str
        The numeric column.
    method : {"anova", "ml", "reml"}
        Mean squares, or the random-intercept model by (restricted) maximum likelihood.
    level : float
        Coverage of the interval.

    Returns
    -------
    Icc
        A number, at most 1, by "anova" negative where groups differ less than chance would have
        them; with ``low``, ``high``, ``groups`` and ``summary()``.

    Raises
    ------
    DataError
        Columns are missing or not numeric.
    DesignError
        Fewer than two groups, no group with two respondents, or no difference between the means;
        by likelihood, no variation within groups.
    OptionError
        An option that is not offered.

    Warns
    -----
    DroppedRows
        Rows without a group or a value were left out.

    Notes
    -----
    By analysis of variance

    .. math:: ICC(2) = \frac{MS_B - MS_W}{MS_B} = \frac{k\,ICC(1)}{1 + (k - 1) ICC(1)}

    with the k that ICC(1) was computed with: ICC(1,k) of Shrout and Fleiss. By likelihood
    :math:`k \tau / (k \tau + \sigma^2)` with the mean size k = N / J, as in
    ``multilevel::mult.icc``. Either speaks of a group of average size; ``.groups`` has the
    reliability of each group's own mean. Intervals are those of `icc1`, transformed. In R:
    ``multilevel::ICC2(aov(y ~ as.factor(g)))``, ``multilevel::gmeanrel`` for ``.groups``.

    References
    ----------
    Shrout, P. E., & Fleiss, J. L. (1979). Intraclass correlations: Uses in assessing rater
    reliability. *Psychological Bulletin*, 86(2), 420-428.
    https://doi.org/10.1037/0033-2909.86.2.420

    Bliese, P. D. (2000). Within-group agreement, non-independence, and reliability. In K. J.
    Klein & S. W. J. Kozlowski (Eds.), *Multilevel theory, research, and methods in organizations*
    (pp. 349-381). Jossey-Bass.

    Snijders, T. A. B., & Bosker, R. J. (2012). *Multilevel analysis* (2nd ed.). Sage.

    Examples
    --------
    >>> import teamlink as tl
    >>> teachers = {"school": ["a", "a", "b", "b"], "trust": [1.0, 2.0, 3.0, 4.0]}
    >>> round(tl.icc2(teachers, by="school", column="trust"), 4)
    0.875
    """
    return _intraclass("ICC(2)", data, by, column, "k0", method, level)


def one_way(values: Array, codes: Codes, n_groups: int) -> OneWay:
    """Compute the analysis of variance of values by groups.

    Parameters
    ----------
    values : Array
        (n,), without missing values.
    codes : Codes
        (n,), group of each row, 0 .. J-1; each group occurs.
    n_groups : int
        J.

    Returns
    -------
    OneWay
        Mean squares and group sizes.

    Raises
    ------
    DesignError
        Fewer than two groups, no group with two rows, or no variation at all.

    Examples
    --------
    >>> import numpy as np
    >>> one_way(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 0, 1, 1]), 2).ms_between
    4.0
    """
    n = len(values)
    if n_groups < 2:
        groups = "1 group has" if n_groups else "0 groups have"
        raise DesignError(f"{groups} values: at least two are needed")
    if n == n_groups:
        raise DesignError("every group has a single respondent: agreement cannot be told")
    sizes = np.bincount(codes, minlength=n_groups)
    values = values - values.mean()
    means = group_means(values, codes, n_groups)
    within = float(((values - means[codes]) ** 2).sum()) / (n - n_groups)
    between = float((sizes * means**2).sum()) / (n_groups - 1)
    if np.ptp(values) == 0:
        raise DesignError("all values are equal: there is no variance to share out")
    k0 = float(n - (sizes.astype(float) ** 2).sum() / n) / (n_groups - 1)
    return OneWay(between, within, n, n_groups, k0)


def _intraclass(
    name: Literal["ICC(1)", "ICC(2)"], data: Table, by: Key, column: str,
    group_size: GroupSize, method: IccMethod, level: float,
) -> Icc:  # fmt: skip
    check_option("method", method, ("anova", "ml", "reml"))
    check_level(level)
    values, codes, labels = _grouped(data, by, column)
    J = len(labels)
    anova = one_way(values, codes, J)
    sizes = np.bincount(codes, minlength=J)
    if method == "anova":
        k = anova.size(group_size)
        value = anova.icc1(group_size) if name == "ICC(1)" else anova.icc2()
        between, within = (anova.ms_between - anova.ms_within) / k, anova.ms_within
        ends = tuple(_spread(one, name, k) for one in anova.ratio_interval(level))
        interval = "F of the mean squares" + (", approximate as sizes differ"
                                              if np.ptp(sizes) else "")  # fmt: skip
    else:
        k = anova.n / J
        likelihood = likelihood_of(values, codes, J, method == "reml")
        ratio = likelihood.optimum()
        between, within = likelihood.variances(ratio)
        value, *ends_of = (
            _share(one, name, k) for one in (ratio, *likelihood.interval(ratio, level))
        )
        ends, interval = tuple(ends_of), "profile likelihood"
    tau = max(between, 0.0)
    reliability = tau * sizes / (tau * sizes + within) if tau > 0 else np.zeros(J)
    groups = pd.DataFrame(
        {"n": sizes, "mean": group_means(values, codes, J), "reliability": reliability},
        index=labels,
    )
    return Icc(
        value=value, name=name,
        definition=_DEFINITIONS[name, "anova" if method == "anova" else "likelihood"],
        low=ends[0], high=ends[1], level=level, interval=interval,
        method=method, between=between, within=within, k=k, groups=groups, n=anova.n, n_groups=J,
    )  # fmt: skip


def _spread(F: float, name: str, k: float) -> float:
    """ICC at a ratio of mean squares."""
    if math.isinf(F):
        return 1.0
    return (F - 1) / (F + k - 1) if name == "ICC(1)" else 1 - 1 / F


def _share(ratio: float, name: str, k: float) -> float:
    """ICC at tau / sigma^2."""
    one = ratio if name == "ICC(1)" else k * ratio
    return one / (1 + one)


def _grouped(data: Table, by: Key, column: str) -> tuple[Array, Codes, pd.Index[Any]]:
    """Values, codes and labels of the rows that have both."""
    frame = validate(data, numeric=[column], groups=by)
    values = numbers(frame, column)
    codes, levels = group_codes(frame, by)
    usable = (codes >= 0) & ~np.isnan(values)
    lost = int((~usable).sum())
    if lost:
        message = f"{lost:,} of {len(frame):,} rows have no group or no value and were left out"
        warnings.warn(message, DroppedRows, stacklevel=4)
    left, dense = np.unique(codes[usable], return_inverse=True)
    return values[usable], dense, levels[left]
