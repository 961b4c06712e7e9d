"""Centring: grand-mean, group-mean, contextual; and the memory of what was subtracted.

What was subtracted travels with the centred frame, as text in ``attrs["centering"]``: text is
cheap to copy with the frame and survives a parquet file, where an object would do neither.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import pandas as pd

from teamlink.data.schema import Key, as_frame, group_codes, names_of, numbers, validate
from teamlink.errors import DataError, DroppedRows, Fault, Faults, check_option
from teamlink.typing import Array, Codes, Table

__all__ = ["Centering", "center", "center_like", "group_means"]

Method: TypeAlias = Literal["grand", "group", "contextual"]
METHODS = ("grand", "group", "contextual")


def center(
    data: Table, columns: Key, by: Key | None = None, method: Method = "group"
) -> pd.DataFrame:
    r"""Centre predictors at the grand mean or at their group means.

    Parameters
    ----------
    data : table
        n rows; it stays as it is.
    columns : str or sequence of str
        The numeric columns to centre.
    by : str or sequence of str, optional
        The columns that identify the group (school). Needed unless `method` is ``"grand"``,
        which does not use it.
    method : {"group", "grand", "contextual"}
        What to add for each column ``x``:

        - ``"grand"``: ``x_gmc``, x minus its mean over all rows;
        - ``"group"``: ``x_cwc``, x minus its mean in the group (centred within cluster);
        - ``"contextual"``: ``x_cwc`` and ``x_mean``, the group mean itself.

    Returns
    -------
    pandas.DataFrame
        The data with the new columns. ``Centering.of(frame)`` gives what was subtracted, and
        `center_like` centres other data with the same means.

    Raises
    ------
    DataError
        Columns are missing, not numeric, or there already is a column of the new name.
    OptionError
        `method` is none of the three.

    Warns
    -----
    DroppedRows
        Rows without a group id have no group mean; they stay, with missing values in the new
        columns, and are counted.

    Notes
    -----
    With :math:`n_j` available values in group j,

    .. math:: x^{cwc}_{ij} = x_{ij} - \bar x_j, \qquad \bar x_j = n_j^{-1} \sum_i x_{ij} .

    Means are over the values available here, before any model leaves out rows for missing values
    in other columns, and every row counts once. A product of two columns that are centred within
    groups is not itself centred within groups: form the product first where that matters. With
    crossed groups there is no within part that belongs to both.

    In R: ``ave(d$ses, d$school)`` gives the group means.

    References
    ----------
    Enders, C. K., & Tofighi, D. (2007). Centering predictor variables in cross-sectional
    multilevel models: A new look at an old issue. *Psychological Methods*, 12(2), 121-138.
    https://doi.org/10.1037/1082-989X.12.2.121

    Examples
    --------
    >>> import teamlink as tl
    >>> students = {"school": ["a", "a", "b"], "ses": [1.0, 2.0, 6.0]}
    >>> tl.center(students, "ses", by="school", method="contextual")
      school  ses  ses_cwc  ses_mean
    0      a  1.0     -0.5       1.5
    1      a  2.0      0.5       1.5
    2      b  6.0      0.0       6.0
    >>> tl.center(students, "ses", method="grand")["ses_gmc"].tolist()
    [-2.0, -1.0, 3.0]
    """
    return Centering.learn(data, columns, by, method).apply(data)


def center_like(newdata: Table, centred: pd.DataFrame) -> pd.DataFrame:
    """Centre new data with the means that were subtracted from other data.

    Parameters
    ----------
    newdata : table
        Rows with the same columns and groups.
    centred : pandas.DataFrame
        A result of `center`, possibly of several calls.

    Returns
    -------
    pandas.DataFrame
        The new data with the same new columns as `centred`.

    Raises
    ------
    DataError
        `centred` remembers no centring, or the new data have groups that it does not know.

    Examples
    --------
    >>> import teamlink as tl
    >>> train = tl.center({"ses": [1.0, 3.0]}, "ses", method="grand")
    >>> center_like({"ses": [10.0]}, train)
        ses  ses_gmc
    0  10.0      8.0
    """
    records = Centering.of(centred)
    if not records:
        raise DataError("this frame remembers no centring; pass the result of tl.center")
    frame = as_frame(newdata)
    for record in records:
        frame = record.apply(frame)
    return frame


@dataclass(frozen=True, slots=True)
class Centering:
    """What was subtracted from which columns, so that new data can be centred alike.

    Attributes
    ----------
    method : {"grand", "group", "contextual"}
        As for `center`.
    columns : tuple of str
        The k columns that were centred.
    by : tuple of str
        The columns that identify the group; empty for ``"grand"``.
    groups : tuple
        (J,), the group ids, tuples where `by` has several columns; empty for ``"grand"``.
    means : tuple of tuple of float
        (k, J), the means that are subtracted; (k, 1) for ``"grand"``.
    n_missing : tuple of int
        (k,), values that were missing in each column, and so in none of the means.
    n_without_group : int
        Rows that had no group id, and so counted in no group mean.

    Examples
    --------
    >>> record = Centering.learn({"school": ["a", "a", "b"], "ses": [1, 3, 5]}, "ses", "school")
    >>> record.groups, record.means
    (('a', 'b'), ((2.0, 5.0),))
    >>> record.apply({"school": ["b"], "ses": [4.0]})["ses_cwc"].tolist()
    [-1.0]
    """

    method: Method
    columns: tuple[str, ...]
    by: tuple[str, ...]
    groups: tuple[Any, ...]
    means: tuple[tuple[float, ...], ...]
    n_missing: tuple[int, ...]
    n_without_group: int

    @classmethod
    def learn(
        cls, data: Table, columns: Key, by: Key | None = None, method: Method = "group"
    ) -> Self:
        """Compute the means of `data`; parameters as for `center`."""
        check_option("method", method, METHODS)
        names = list(dict.fromkeys(names_of(columns)))
        if not names:
            raise DataError("no column to centre was named")
        if method != "grand" and not by:
            raise DataError(
                [
                    Fault(
                        f"method={method!r} needs groups", "by", 'as in by="school", or use "grand"'
                    )
                ]
            )
        keys = [] if method == "grand" or by is None else names_of(by)
        frame = validate(data, numeric=names, groups=keys)
        values = np.column_stack([numbers(frame, name) for name in names])
        if keys:
            codes, levels = group_codes(frame, keys)
            groups = tuple(levels.tolist())
        else:
            codes, groups = np.zeros(len(frame), dtype=np.intp), ()
        means = group_means(values, codes, len(groups) or 1)
        return cls(
            method=method,
            columns=tuple(names),
            by=tuple(keys),
            groups=groups,
            means=tuple(tuple(column) for column in means.T.tolist()),
            n_missing=tuple(int(count) for count in np.isnan(values).sum(axis=0)),
            n_without_group=int((codes < 0).sum()),
        )

    @classmethod
    def of(cls, frame: pd.DataFrame) -> tuple[Self, ...]:
        """Give what `frame` remembers, one record a call of `center`, in their order."""
        return tuple(cls._of_text(text) for text in frame.attrs.get("centering", ()))

    def apply(self, data: Table) -> pd.DataFrame:
        """Give `data` with the centred columns added; groups must be among those known."""
        frame = as_frame(data)
        checked = validate(frame, numeric=self.columns, groups=self.by)
        self._refuse_taken_names(frame)
        codes = self._codes(checked)
        added: dict[str, Array] = {}
        for name, means in zip(self.columns, self.means, strict=True):
            # the last place is for rows without a group, whose code is -1
            level = np.append(means, np.nan)[codes]
            centred = numbers(checked, name) - level
            added[f"{name}_{'gmc' if self.method == 'grand' else 'cwc'}"] = centred
            if self.method == "contextual":
                added[f"{name}_mean"] = level
        result = frame.assign(**added)
        result.attrs = {**frame.attrs}
        result.attrs["centering"] = [*frame.attrs.get("centering", ()), self._as_text()]
        return result

    def _codes(self, frame: pd.DataFrame) -> Codes:
        if self.method == "grand":
            return np.zeros(len(frame), dtype=np.intp)
        codes, levels = group_codes(frame, self.by)
        place = {group: at for at, group in enumerate(self.groups)}
        unknown = [group for group in levels.tolist() if group not in place]
        if unknown:
            shown = ", ".join(map(repr, unknown[:5])) + (", …" if len(unknown) > 5 else "")
            raise DataError(
                [
                    Fault(
                        f"{len(unknown)} groups have no mean to subtract: {shown}",
                        " / ".join(self.by),
                        "centre them with their own means by tl.center",
                    )
                ]
            )
        without = int((codes < 0).sum())
        if without:
            warnings.warn(
                f"{without:,} of {len(codes):,} rows have no {' / '.join(self.by)}: "
                "their centred values are missing",
                DroppedRows,
                stacklevel=4,
            )
        there = np.array([place[group] for group in levels.tolist()] + [-1], dtype=np.intp)
        return there[codes]

    def _refuse_taken_names(self, frame: pd.DataFrame) -> None:
        ends = {"grand": ("gmc",), "group": ("cwc",), "contextual": ("cwc", "mean")}[self.method]
        faults = Faults()
        for name in (f"{column}_{end}" for column in self.columns for end in ends):
            if name in frame.columns:
                faults.add(
                    "there already is such a column", f"column {name!r}", "drop or rename it"
                )
        faults.raise_if_any()

    def _as_text(self) -> str:
        record = {name: getattr(self, name) for name in self.__slots__}
        try:
            return json.dumps(record)
        except TypeError as error:
            kind = type(self.groups[0]).__name__
            raise DataError(
                [Fault(f"group ids of kind {kind}", " / ".join(self.by), "use numbers or text")]
            ) from error

    @classmethod
    def _of_text(cls, text: str) -> Self:
        record = json.loads(text)
        return cls(**{name: _as_tuples(value) for name, value in record.items()})


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(one) for one in value) if isinstance(value, list) else value


def group_means(values: Array, codes: Codes, n_groups: int) -> Array:
    """Mean of the available values of each group.

    Parameters
    ----------
    values : Array
        (n,) or (n, k). NaN marks a missing value; it is left out, column by column.
    codes : Codes
        (n,), group of each row, 0 .. J-1; -1 for rows without a group, which are left out.
    n_groups : int
        J.

    Returns
    -------
    Array
        (J,) or (J, k); NaN for a group without any value.

    Notes
    -----
    The mean of the deviations from a first mean is added to it, so that a large common level (a
    test scale near 500, a year) costs no digits, and a group with one value throughout has
    exactly that mean.

    Examples
    --------
    >>> import numpy as np
    >>> group_means(np.array([1.0, 3.0, np.nan, 5.0, 9.0]), np.array([0, 0, 0, 1, -1]), 2)
    array([2., 5.])
    """
    columns = values.reshape(len(values), -1)
    means = np.empty((n_groups, columns.shape[1]))
    for j in range(columns.shape[1]):
        means[:, j] = _means_of_one(columns[:, j], codes, n_groups)
    return means.reshape((n_groups, *values.shape[1:]))


def _means_of_one(values: Array, codes: Codes, n_groups: int) -> Array:
    usable = (codes >= 0) & ~np.isnan(values)
    if not usable.all():
        values, codes = values[usable], codes[usable]
    counts = np.bincount(codes, minlength=n_groups)
    means: Array = np.full(n_groups, np.nan)
    sums = np.bincount(codes, weights=values, minlength=n_groups)
    np.divide(sums, counts, out=means, where=counts > 0)
    rest = np.bincount(codes, weights=values - means[codes], minlength=n_groups)
    means += np.divide(rest, counts, out=np.zeros(n_groups), where=counts > 0)
    return means
