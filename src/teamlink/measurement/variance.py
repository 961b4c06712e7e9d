"""One-way analysis of variance of respondents in groups: ICC(1) and ICC(2)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from teamlink.data.center import group_means
from teamlink.data.schema import Key, group_codes, numbers, validate
from teamlink.errors import DesignError, DroppedRows, check_option
from teamlink.typing import Array, Codes, Table

__all__ = ["GroupSize", "OneWay", "icc1", "icc2", "one_way"]

GroupSize: TypeAlias = Literal["k0", "mean"]


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


def icc1(data: Table, by: Key, column: str, *, group_size: GroupSize = "k0") -> float:
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
        The group size k for groups of unequal size: ``"k0"``, which makes the between-group
        variance unbiased, or the ``"mean"`` size N / J.

    Returns
    -------
    float
        ICC(1), at least -1 / (k - 1); negative where groups differ less than chance would have
        them.

    Raises
    ------
    DataError
        Columns are missing or not numeric.
    DesignError
        Fewer than two groups, no group with two respondents, or no variation at all.

    Warns
    -----
    DroppedRows
        Rows without a group or a value were left out.

    Notes
    -----
    .. math:: ICC(1) = \frac{MS_B - MS_W}{MS_B + (k - 1) MS_W}, \qquad
              k_0 = \frac{1}{J - 1} \left(N - \frac{\sum_j n_j^2}{N}\right)

    the one-way random-effects definition, ICC(1,1) of Shrout and Fleiss. With equal groups
    k0 is the group size. In R: ``multilevel::ICC1(aov(y ~ as.factor(g)))`` uses the mean size.

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
    """
    check_option("group_size", group_size, ("k0", "mean"))
    return _one_way_of(data, by, column).icc1(group_size)


def icc2(data: Table, by: Key, column: str) -> float:
    r"""ICC(2): reliability of the group means.

    Parameters
    ----------
    data : table
        A row for each respondent.
    by : str or sequence of str
        The columns that identify the group.
    column : str
        The numeric column.

    Returns
    -------
    float
        ICC(2), at most 1; negative where groups differ less than chance would have them.

    Raises
    ------
    DataError
        Columns are missing or not numeric.
    DesignError
        Fewer than two groups, no group with two respondents, or no difference between the means.

    Warns
    -----
    DroppedRows
        Rows without a group or a value were left out.

    Notes
    -----
    .. math:: ICC(2) = \frac{MS_B - MS_W}{MS_B} = \frac{k\,ICC(1)}{1 + (k - 1) ICC(1)}

    with the k that ICC(1) was computed with: ICC(1,k) of Shrout and Fleiss. It speaks of a group
    of average size; ``SurveyScale.scores`` has the reliability of each group's own mean. In R:
    ``multilevel::ICC2(aov(y ~ as.factor(g)))``.

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
    >>> round(tl.icc2(teachers, by="school", column="trust"), 4)
    0.875
    """
    return _one_way_of(data, by, column).icc2()


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


def _one_way_of(data: Table, by: Key, column: str) -> OneWay:
    frame = validate(data, numeric=[column], groups=by)
    values = numbers(frame, column)
    codes, _ = group_codes(frame, by)
    usable = (codes >= 0) & ~np.isnan(values)
    lost = int((~usable).sum())
    if lost:
        message = f"{lost:,} of {len(frame):,} rows have no group or no value and were left out"
        warnings.warn(message, DroppedRows, stacklevel=3)
    left, dense = np.unique(codes[usable], return_inverse=True)
    return one_way(values[usable], dense, len(left))
