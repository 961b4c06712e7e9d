"""What clustering costs: the design effect and the effective number of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from teamlink.data.schema import Key, group_codes, names_of, numbers, validate
from teamlink.errors import DataError, Fault, OptionError
from teamlink.mixed.reliability import icc
from teamlink.mixed.result import MixedFit
from teamlink.typing import Array, Codes, Table

__all__ = ["design_effect"]


def design_effect(
    data: MixedFit | Table, columns: Key | None = None, by: Key | None = None
) -> pd.DataFrame:
    r"""Compute the design effect of groups: by how much clustering inflates a mean's variance.

    Parameters
    ----------
    data : MixedFit or table
        A fit, whose `icc` is used; or a table, with the variables and the groups below.
    columns : str or sequence of str, optional
        With a table: numeric variables; a row of the result each.
    by : str or sequence of str, optional
        With a table: the columns that identify the group.

    Returns
    -------
    DataFrame
        Indexed by grouping factor, or by variable: ``icc, groups, mean_size, effective_size,
        design_effect, design_effect_equal, effective_n``.

    Raises
    ------
    OptionError
        Columns are named for a fit, or a fit has multiple membership.
    DataError
        Columns are missing or not numeric, or there are no two groups or no group of two rows.

    Notes
    -----
    ``design_effect = 1 + (n' - 1) ICC`` with ``n' = sum n_j^2 / n``, the size of the group of a row
    drawn at random: right for groups of unequal size [1]_. ``design_effect_equal`` is Kish's with
    the mean size, smaller where sizes differ. ``effective_n`` is n over the first.

    It is of the mean of a variable that varies within and between groups. For the effect of a
    predictor that is constant within groups the same factor holds; for one that is centred within
    groups clustering costs nothing.

    For a table, ICC is the analysis of variance estimate ``(MSB - MSW) / (MSB + (n0 - 1) MSW)``,
    which may be negative; for a fit it is conditional on the fit's predictors.

    References
    ----------
    .. [1] Eldridge, Ashby, Kerry (2006). Sample size for cluster randomized trials: effect of
       coefficient of variation of cluster size. International Journal of Epidemiology 35.
       doi:10.1093/ije/dyl129

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82")
    >>> tl.design_effect(hsb, ["mathach", "ses"], by="school")["design_effect"].round(2).to_dict()
    {'mathach': 9.16, 'ses': 13.53}
    >>> fit = tl.lmm("mathach ~ 1 + (1 | school)", hsb)
    >>> tl.design_effect(fit).round(2)
             icc  groups  ...  design_effect_equal  effective_n
    school  0.18     160  ...                 8.92       757.95
    <BLANKLINE>
    [1 rows x 7 columns]
    """
    if isinstance(data, MixedFit):
        if columns is not None or by is not None:
            raise OptionError("columns and by go with a table; a fit has its own groups")
        data.unweighted("design_effect")
        return _of_fit(data)
    if columns is None or by is None:
        raise OptionError("a table needs columns= and by=, as in columns='math', by='school'")
    names, keys = names_of(columns), names_of(by)
    frame = validate(data, numeric=names, groups=keys)
    codes, levels = group_codes(frame, keys)
    rows = {name: _of_column(numbers(frame, name), codes, len(levels), name) for name in names}
    return pd.DataFrame.from_dict(rows, orient="index").astype({"groups": int})


def _of_fit(fit: MixedFit) -> pd.DataFrame:
    share = icc(fit)["icc"]
    rows = {}
    for factor in fit.model.design.factors:
        if factor.membership is not None:
            raise OptionError(f"{factor.name!r}: rows belong to several groups, which have no size")
        sizes = np.bincount(factor.only_codes, minlength=factor.n_groups)
        rows[factor.name] = _row(float(share[factor.name]), sizes)
    return pd.DataFrame.from_dict(rows, orient="index").astype({"groups": int})


def _of_column(x: Array, codes: Codes, J: int, name: str) -> dict[str, Any]:
    usable = np.isfinite(x) & (codes >= 0)
    x, codes = x[usable], codes[usable]
    sizes = np.bincount(codes, minlength=J)
    there = sizes > 0
    J, n = int(there.sum()), len(x)
    if J < 2 or n == J or np.ptp(x) == 0:
        raise DataError(
            [Fault("needs two groups, a group of two rows, and values that differ",
                   f"column {name!r}", "group by another column")]
        )  # fmt: skip
    x = x - x.mean()
    means = np.bincount(codes, x, len(sizes))[there] / sizes[there]
    between = float(sizes[there] @ np.square(means)) / (J - 1)
    within = (float(x @ x) - between * (J - 1)) / (n - J)
    n0 = (n - float(sizes @ sizes) / n) / (J - 1)
    return _row((between - within) / (between + (n0 - 1) * within), sizes[there])


def _row(share: float, sizes: Codes) -> dict[str, Any]:
    n, J = int(sizes.sum()), len(sizes)
    of_a_row = float(sizes @ sizes) / n
    effect = 1 + (of_a_row - 1) * share
    return {
        "icc": share, "groups": J, "mean_size": n / J, "effective_size": of_a_row,
        "design_effect": effect, "design_effect_equal": 1 + (n / J - 1) * share,
        "effective_n": n / effect,
    }  # fmt: skip
