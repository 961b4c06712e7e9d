"""Average deviation of a group's respondents from their middle, in units of answers."""

from __future__ import annotations

import warnings
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from teamlink.data.schema import Key, group_codes, names_of, numbers, validate
from teamlink.errors import DataError, DroppedRows, check_option
from teamlink.measurement.agreement import Scale, check_scale
from teamlink.typing import Array, Codes, Table

__all__ = ["average_deviation"]

Center: TypeAlias = Literal["mean", "median"]


def average_deviation(
    data: Table,
    by: Key,
    items: Key,
    *,
    scale: Scale | None = None,
    center: Center = "mean",
) -> pd.Series[float]:
    r"""Average deviation index of each group: AD_M for one item, AD_M(J) for several.

    Parameters
    ----------
    data : table
        A row for each respondent.
    by : str or sequence of str
        The columns that identify the group.
    items : str or sequence of str
        The J items.
    scale : (lowest, highest), optional
        The answers offered; given, answers off it are refused.
    center : {"mean", "median"}
        From what answers deviate: AD_M or AD_Md.

    Returns
    -------
    pandas.Series
        Mean absolute deviation by group, in units of the answers: 0 is perfect agreement; missing
        for a group in which no item has two answers.

    Raises
    ------
    DataError
        Columns are missing or not numeric, or answers lie off the scale.
    OptionError
        The scale does not run from a lower to a higher value, or no such centre.

    Warns
    -----
    DroppedRows
        Rows without a group, or without any answer, were left out.

    Notes
    -----
    For item i of a group with n answers :math:`AD_i = \sum_l |x_{il} - \bar x_i| / n`, then the
    mean over the items that two respondents answered at least. Against evenly spread answers to A
    options, values up to A / 6 are taken as agreement (Dunlap, Burke and Smith-Crowe 2003).
    In R: ``multilevel::ad.m(items, g)``.

    References
    ----------
    Burke, M. J., Finkelstein, L. M., & Dusig, M. S. (1999). On average deviation indices for
    estimating interrater agreement. *Organizational Research Methods*, 2(1), 49-68.
    https://doi.org/10.1177/109442819921004

    Dunlap, W. P., Burke, M. J., & Smith-Crowe, K. (2003). Accurate tests of statistical
    significance for rwg and average deviation interrater agreement indexes. *Journal of Applied
    Psychology*, 88(2), 356-362. https://doi.org/10.1037/0021-9010.88.2.356

    Examples
    --------
    >>> import teamlink as tl
    >>> teachers = {"school": ["a", "a", "b", "b"], "trust": [4, 5, 1, 5]}
    >>> tl.average_deviation(teachers, by="school", items="trust").to_dict()
    {'a': 0.5, 'b': 2.0}
    """
    check_option("center", center, ("mean", "median"))
    names, keys = names_of(items), names_of(by)
    if not names:
        raise DataError("no item was named")
    if scale is not None:
        check_scale(scale)
    bounds = {} if scale is None else dict.fromkeys(names, scale)
    frame = validate(data, numeric=names, groups=keys, bounds=bounds)
    answers = np.column_stack([numbers(frame, item) for item in names])
    codes, levels = group_codes(frame, keys)
    usable = (codes >= 0) & ~np.isnan(answers).all(axis=1)
    lost = int((~usable).sum())
    if lost:
        message = f"{lost:,} of {len(frame):,} rows have no group or no answer and were left out"
        warnings.warn(message, DroppedRows, stacklevel=2)
    each = np.column_stack(
        [_deviations(column, codes[usable], len(levels), center) for column in answers[usable].T]
    )
    known = ~np.isnan(each)
    counts = known.sum(axis=1)
    found = np.divide(
        np.where(known, each, 0.0).sum(axis=1), counts, out=np.full(len(levels), np.nan),
        where=counts > 0,
    )  # fmt: skip
    mark = "M" if center == "mean" else "Md"
    name = f"AD_{mark}" if len(names) == 1 else f"AD_{mark}(J)"
    return pd.Series(found, index=levels, name=name)


def _deviations(values: Array, codes: Codes, n_groups: int, center: Center) -> Array:
    """Mean absolute deviation (J,) of one item; missing where it has fewer than two answers."""
    there = ~np.isnan(values)
    grouped = pd.Series(values[there]).groupby(codes[there])
    away = pd.Series(np.abs(values[there] - grouped.transform(center).to_numpy()))
    sums = away.groupby(codes[there]).agg(["mean", "size"])
    found = np.full(n_groups, np.nan)
    several = sums["size"].to_numpy() > 1
    found[sums.index.to_numpy()[several]] = sums["mean"].to_numpy()[several]
    return found
