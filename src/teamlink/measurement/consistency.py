"""Internal consistency of the items of a scale."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from teamlink.data.schema import as_frame, numbers, validate
from teamlink.errors import DataError, DroppedRows, Faults
from teamlink.typing import Array, Table

__all__ = ["alpha", "answers_of", "cronbach", "item_table"]


def alpha(items: Table, columns: Sequence[str] | None = None) -> float:
    r"""Cronbach's alpha: internal consistency of a scale.

    Parameters
    ----------
    items : table
        A row for each respondent, a numeric column for each of the k items, already turned so
        that high means the same in all.
    columns : sequence of str, optional
        The items; all columns when None.

    Returns
    -------
    float
        Alpha; negative where items disagree more than chance would have them.

    Raises
    ------
    DataError
        Fewer than two items, columns missing, not numeric or constant, or fewer than two
        complete rows.

    Warns
    -----
    DroppedRows
        Rows with a missing answer were left out.

    Notes
    -----
    .. math:: \alpha = \frac{k}{k - 1}
              \left(1 - \frac{\sum_i \operatorname{Var} x_i}{\operatorname{Var} \sum_i x_i}\right)

    over respondents with every item. In R: ``psych::alpha(items, use = "complete")`` (raw alpha).

    References
    ----------
    Cronbach, L. J. (1951). Coefficient alpha and the internal structure of tests.
    *Psychometrika*, 16(3), 297-334. https://doi.org/10.1007/BF02310555

    Examples
    --------
    >>> import teamlink as tl
    >>> round(tl.alpha({"c1": [1, 2, 3, 4], "c2": [2, 2, 3, 5], "c3": [1, 3, 3, 4]}), 4)
    0.9474
    """
    frame = as_frame(items, columns)
    names = [str(name) for name in frame.columns]
    answers = answers_of(frame, names)
    complete = ~np.isnan(answers).any(axis=1)
    lost = int((~complete).sum())
    if lost:
        message = f"{lost:,} of {len(frame):,} rows miss an item and were left out"
        warnings.warn(message, DroppedRows, stacklevel=2)
    return cronbach(answers[complete])


def cronbach(answers: Array) -> float:
    """Compute alpha of complete answers, (n, k)."""
    n, k = answers.shape
    if n < 2:
        raise DataError(f"alpha needs two respondents with every item; there are {n}")
    total = float(answers.sum(axis=1).var(ddof=1))
    parts = float(answers.var(axis=0, ddof=1).sum())
    if total <= 1e-24 * parts or total == 0:
        raise DataError("alpha does not exist: every respondent has the same total")
    return float(k / (k - 1) * (1 - parts / total))


def item_table(answers: Array, names: Sequence[str]) -> pd.DataFrame:
    """Describe each item.

    Parameters
    ----------
    answers : Array
        (n, k), NaN where an item was not answered.
    names : sequence of str
        (k,), the items.

    Returns
    -------
    pandas.DataFrame
        k rows, indexed by item: ``n`` answers, ``mean``, ``sd``, and ``r_rest``, the correlation
        with the sum of the other items over complete rows, missing where either is constant.

    Examples
    --------
    >>> import numpy as np
    >>> item_table(np.array([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]]), ["c1", "c2"])["r_rest"].tolist()
    [1.0, 1.0]
    """
    frame = pd.DataFrame(answers, columns=pd.Index(names, name="item"))
    complete = answers[~np.isnan(answers).any(axis=1)]
    total = complete.sum(axis=1)
    rest = [_correlation(column, total - column) for column in complete.T]
    return pd.DataFrame(
        {"n": frame.count(), "mean": frame.mean(), "sd": frame.std(), "r_rest": rest}
    )


def _correlation(x: Array, y: Array) -> float:
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def answers_of(frame: pd.DataFrame, items: Sequence[str]) -> Array:
    """Give the answers, (n, k), of at least two different items, none of them constant."""
    faults = Faults()
    if len(set(items)) < max(2, len(items)):
        twice = sorted({item for item in items if list(items).count(item) > 1})
        what = f"named twice: {', '.join(twice)}" if twice else f"{len(items)} item"
        faults.add(what, "items", "a scale needs at least two different items")
        faults.raise_if_any()
    validate(frame, numeric=items)
    answers = np.column_stack([numbers(frame, item) for item in items])
    for item, column in zip(items, answers.T, strict=True):
        if np.nanmin(column) == np.nanmax(column):
            value = f"{np.nanmin(column):g}"
            faults.add(
                f"constant: every answer is {value}", f"column {item!r}", "leave the item out"
            )
    faults.raise_if_any()
    return answers
