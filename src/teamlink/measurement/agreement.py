"""Agreement of the respondents of a group about what they share."""

from __future__ import annotations

import math
import warnings
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from teamlink.data.aggregate import group_sds
from teamlink.data.schema import Key, group_codes, names_of, numbers, validate
from teamlink.errors import DataError, DroppedRows, OptionError
from teamlink.measurement.nulls import Null, null_name, null_variance
from teamlink.typing import Array, Codes, Table

__all__ = ["Scale", "agreement", "check_scale", "rwg"]

Scale: TypeAlias = tuple[float, float]
"""Lowest and highest answer offered."""


def rwg(
    data: Table, by: Key, items: Key, *, scale: Scale, null: Null = "uniform"
) -> pd.Series[Any]:
    r"""Agreement within each group: rwg for one item, rwg(j) for several.

    Parameters
    ----------
    data : table
        A row for each respondent.
    by : str or sequence of str
        The columns that identify the group.
    items : str or sequence of str
        The J items, already turned so that high means the same in all.
    scale : (lowest, highest)
        The answers offered, as in ``(1, 5)``.
    null : str, float or sequence of float
        Answers without agreement: "uniform"; "slight-skew", "moderate-skew", "heavy-skew",
        "triangular" or "normal" as tabled for five options; "maximum" dissensus, half at each end;
        the share of each answer from the lowest to the highest; or a variance.

    Returns
    -------
    pandas.Series
        Agreement by group, between 0 and 1; missing for a group where no item has two answers.

    Raises
    ------
    DataError
        Columns are missing or not numeric, or answers lie off the scale.
    OptionError
        The scale does not run from a lower to a higher value, or there is no such null.

    Warns
    -----
    DroppedRows
        Rows without a group, or without any answer, were left out.

    Notes
    -----
    With the mean variance :math:`\bar s^2` of the items in the group (divisor n - 1; items that
    two respondents answered at least) and the
    variance :math:`\sigma^2` of answers under the null, by default spread evenly over the scale,

    .. math:: r_{wg} = 1 - \bar s^2 / \sigma^2, \qquad
              r_{wg(j)} = \frac{J r}{J r + \bar s^2 / \sigma^2}, \quad r = 1 - \bar s^2 / \sigma^2.

    Evenly spread whole-number answers have :math:`\sigma^2 = (A^2 - 1) / 12` with A = highest -
    lowest + 1 options, others :math:`(highest - lowest)^2 / 12`. Where answers vary more than the
    null, agreement is set to 0. As answers are usually skewed, "uniform" flatters: report a skewed
    null beside it (LeBreton and Senter 2008). In R: ``multilevel::rwg.j(items, g, ranvar = 2)``
    for five options.

    References
    ----------
    James, L. R., Demaree, R. G., & Wolf, G. (1984). Estimating within-group interrater
    reliability with and without response bias. *Journal of Applied Psychology*, 69(1), 85-98.
    https://doi.org/10.1037/0021-9010.69.1.85

    LeBreton, J. M., & Senter, J. L. (2008). Answers to 20 questions about interrater reliability
    and interrater agreement. *Organizational Research Methods*, 11(4), 815-852.
    https://doi.org/10.1177/1094428106296642

    Examples
    --------
    >>> import teamlink as tl
    >>> teachers = {"school": ["a", "a", "b", "b"], "trust": [4, 5, 1, 5]}
    >>> tl.rwg(teachers, by="school", items="trust", scale=(1, 5)).to_dict()
    {'a': 0.75, 'b': 0.0}
    >>> tl.rwg(teachers, by="school", items="trust", scale=(1, 5), null="heavy-skew").to_dict()
    {'a': 0.0, 'b': 0.0}
    """
    names, keys = names_of(items), names_of(by)
    check_scale(scale)
    if not names:
        raise DataError("no item was named")
    frame = validate(data, groups=keys, bounds=dict.fromkeys(names, scale))
    answers = np.column_stack([numbers(frame, item) for item in names])
    codes, levels = group_codes(frame, keys)
    usable = (codes >= 0) & ~np.isnan(answers).all(axis=1)
    lost = int((~usable).sum())
    if lost:
        message = f"{lost:,} of {len(frame):,} rows have no group or no answer and were left out"
        warnings.warn(message, DroppedRows, stacklevel=2)
    found = agreement(answers[usable], codes[usable], len(levels), scale, null)
    name = "rwg" if len(names) == 1 else "rwg(j)"
    name += "" if null == "uniform" else f", {null_name(null)}"
    return pd.Series(found, index=levels, name=name)


def agreement(
    answers: Array, codes: Codes, n_groups: int, scale: Scale, null: Null = "uniform"
) -> Array:
    """Compute rwg(j) of each group.

    Parameters
    ----------
    answers : Array
        (n, k), NaN where an item was not answered.
    codes : Codes
        (n,), group of each row, 0 .. J-1.
    n_groups : int
        J.
    scale : (lowest, highest)
        The answers offered.
    null : Null
        Answers without agreement, as for `rwg`.

    Returns
    -------
    Array
        (J,), within 0 and 1; NaN for a group in which no item has two answers.

    Examples
    --------
    >>> import numpy as np
    >>> agreement(np.array([[4.0, 5.0], [4.0, 5.0], [1.0, 2.0]]), np.array([0, 0, 1]), 2, (1, 5))
    array([ 1., nan])
    """
    sds = np.column_stack([group_sds(column, codes, n_groups) for column in answers.T])
    known = ~np.isnan(sds)
    counts = known.sum(axis=1)
    sums = np.where(known, sds, 0.0) ** 2
    variance = np.divide(sums.sum(axis=1), counts, out=np.full(n_groups, np.nan), where=counts > 0)
    present = answers[~np.isnan(answers)]
    whole = bool((present == np.round(present)).all())
    ratio = np.minimum(variance / null_variance(null, *scale, whole), 1.0)
    k = answers.shape[1]
    within: Array = k * (1 - ratio) / (k * (1 - ratio) + ratio)
    return within


def check_scale(scale: Scale) -> None:
    """Raise `OptionError` unless `scale` runs from a lower to a higher finite value."""
    try:
        low, high = scale
        rising = math.isfinite(low) and math.isfinite(high) and low < high
    except (TypeError, ValueError):
        rising = False
    if not rising:
        raise OptionError(f"scale={scale!r} is not a lowest and a highest answer, as in (1, 5)")
