"""Columns of a design from formula text, and the memory that codes new data the same way.

formulaic does the work: contrasts, interactions, splines. Two functions are added to its language,
``within(x, g)`` and ``between(x, g)``: a predictor's deviation from its group mean, and that mean.
The means are learned once, from the rows that the fit uses; prediction reuses them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import formulaic
import numpy as np
import pandas as pd
from formulaic.errors import FormulaicError
from formulaic.transforms import TRANSFORMS
from formulaic.utils.stateful_transforms import stateful_transform

from teamlink.data.center import group_means
from teamlink.data.schema import numbers
from teamlink.errors import DataError, Faults, FormulaError
from teamlink.typing import Array

__all__ = ["Encoding", "encode"]


@dataclass(frozen=True, slots=True)
class Encoding:
    """The columns of one part of a formula, and how to make them again.

    Attributes
    ----------
    text : that part of the formula
    names : one a column
    variables : the columns of a table that it needs
    spec : formulaic's model specification: what was asked and what was learned. None for a plain
        sum of numeric columns and their products, which needs neither; a product's name is that of
        its columns with colons between them.
    categories : the values that each variable of the table has, if it is no number
    """

    text: str
    names: tuple[str, ...]
    variables: tuple[str, ...]
    spec: Any
    categories: Mapping[str, frozenset[Any]]

    @property
    def intercept(self) -> int:
        """Index of the constant column, or -1."""
        return self.names.index("Intercept") if "Intercept" in self.names else -1

    def columns(self, frame: pd.DataFrame) -> Array:
        """The columns (n, k) for new data, coded as those of the fit."""
        if self.spec is None:
            return _side_by_side(self.names, frame)
        self._refuse_new_categories(frame)
        try:
            matrix = self.spec.get_model_matrix(
                frame, context=_FUNCTIONS, na_action="ignore", output="numpy"
            )
        except FormulaicError as error:
            raise DataError(f"new data do not fit the model's {self.text!r}: {error}") from error
        return _as_matrix(matrix, len(frame))

    def _refuse_new_categories(self, frame: pd.DataFrame) -> None:
        faults = Faults()
        for name in self.categories.keys() & set(self.variables):
            known = self.categories[name]
            new = [value for value in frame[name].dropna().unique() if value not in known]
            if new:
                shown = ", ".join(repr(value) for value in new[:5])
                faults.add(
                    f"the fit has not seen {shown}",
                    f"column {name!r}",
                    "leave those rows out, or fit with them",
                )
        faults.raise_if_any()


def encode(
    parts: Mapping[str, str], frame: pd.DataFrame, source: str
) -> dict[str, tuple[Array, Encoding]]:
    """Make the columns of several parts of a formula in one pass over the data.

    Parameters
    ----------
    parts : name of the part to its text, such as ``{"fixed": "ses * sector"}``
    frame : the rows to be used, complete
    source : the formula as the user wrote it, for errors

    Returns
    -------
    dict
        For each part its columns (n, k) and their `Encoding`.

    Raises
    ------
    FormulaError
        formulaic cannot read a part.
    DataError
        A part's columns are not finite, or not numbers.
    """
    done: dict[str, tuple[Array, Encoding]] = {}
    for name, text in parts.items():
        plain = _plain_sum(text, frame)
        if plain is not None:
            used = tuple(dict.fromkeys(column for term in plain for column in term.split(":")))
            used = tuple(column for column in used if column != "Intercept")
            done[name] = _side_by_side(plain, frame), Encoding(text, plain, used, None, {})
    rest = {name: text for name, text in parts.items() if name not in done}
    if rest:
        categories = _categories(frame)
        try:
            with np.errstate(all="ignore"):  # what is not finite is reported below, by name
                matrices = _parsed(tuple(rest), tuple(rest.values())).get_model_matrix(
                    frame, context=_FUNCTIONS, na_action="ignore", output="numpy"
                )
        except (FormulaicError, TypeError, ValueError) as error:
            raise _explained(error, source) from error
        for name, text in rest.items():
            matrix = getattr(matrices, name)
            spec = matrix.model_spec
            used = tuple(map(str, spec.required_variables))
            encoding = Encoding(text, tuple(spec.column_names), used, spec, categories)
            done[name] = _as_matrix(matrix, len(frame)), encoding
    _check_finite(done)
    return done


def _plain_sum(text: str, frame: pd.DataFrame) -> tuple[str, ...] | None:
    """Names of a part's columns where all are numeric, or products of such; else None.

    As with formulaic ``a * b`` is ``a + b + a:b``, and terms of fewer factors come first.
    """
    written = text.split(" + ")
    intercept = written[0] == "1"
    written = written[1:] if written[0] in {"0", "1"} else written
    terms: dict[frozenset[str], tuple[str, ...]] = {}
    for part in written:
        groups = [tuple(group.split(":")) for group in part.split(" * ")]
        factors = [name for group in groups for name in group]
        if len(set(factors)) < len(factors) or not all(_is_number(frame, f) for f in factors):
            return None
        for r in range(1, len(groups) + 1):
            for chosen in combinations(groups, r):
                term = tuple(name for group in chosen for name in group)
                terms.setdefault(frozenset(term), term)
    if len(terms) < len(written) or not (terms or intercept):
        return None  # a term written twice
    names = [":".join(term) for term in sorted(terms.values(), key=len)]
    return ("Intercept", *names) if intercept else tuple(names)


def _is_number(frame: pd.DataFrame, name: str) -> bool:
    if name not in frame.columns or name == "Intercept":
        return False
    dtype = frame[name].dtype
    return isinstance(dtype, np.dtype) and dtype.kind in "iuf"


def _side_by_side(names: tuple[str, ...], frame: pd.DataFrame) -> Array:
    columns = np.ones((len(frame), len(names)))
    for k, name in enumerate(names):
        if name == "Intercept":
            continue
        first, *others = name.split(":")
        columns[:, k] = numbers(frame, first)
        for other in others:
            columns[:, k] *= numbers(frame, other)
    return columns


def _categories(frame: pd.DataFrame) -> dict[str, frozenset[Any]]:
    """The values of every variable that is no number."""
    return {
        str(name): frozenset(series.dropna().unique())
        for name, series in frame.items()
        if not pd.api.types.is_numeric_dtype(series.dtype)
    }


@lru_cache(maxsize=256)
def _parsed(names: tuple[str, ...], texts: tuple[str, ...]) -> Any:
    # Parts given by name have no implied intercept: each text says what it wants.
    return formulaic.Formula(**dict(zip(names, texts, strict=True)))


def _explained(error: Exception, source: str) -> Exception:
    """The error of ours behind one of formulaic's, or one that shows the factor in the formula."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DataError):
            return cause
        cause = cause.__cause__ or cause.__context__
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    factor = re.search(r"`(.+?)`", said)
    place = source.find(factor[1]) if factor else -1
    if factor is None or place < 0:
        return FormulaError(f"cannot be evaluated: {said}", source, 0, len(source))
    reason = re.search(r"\[(?:\w+: )?(.*)\]", said)
    message = f"{factor[1]} cannot be evaluated: {reason[1] if reason else said}"
    return FormulaError(message, source, place, place + len(factor[1]))


def _as_matrix(matrix: Any, n: int) -> Array:
    columns = np.asarray(matrix, dtype=float)
    return columns.reshape(n, columns.size // max(n, 1))


def _check_finite(done: Mapping[str, tuple[Array, Encoding]]) -> None:
    faults = Faults()
    for columns, encoding in done.values():
        # A sum is finite only if every addend is: one pass, and nothing of length n is made.
        with np.errstate(invalid="ignore"):
            sums = columns.sum(axis=0)
        for k in np.flatnonzero(~np.isfinite(sums)):
            bad = np.flatnonzero(~np.isfinite(columns[:, k]))
            if bad.size:
                faults.add(
                    f"{bad.size} values are not finite, first at row {bad[0]}",
                    f"term {encoding.names[k]!r}",
                    "check the transformation, such as the log of zero",
                )
    faults.raise_if_any()


def _numbers(x: Any, name: str) -> Array:
    try:
        return np.asarray(x, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{name}(x, group): x must be numeric; recode it, or use indicators"
        ) from error


def _means(x: Array, group: Any, state: dict[str, Any]) -> Array:
    """Mean of each row's group: as learned, or from these rows where the group is new."""
    codes, levels = pd.factorize(pd.Series(np.asarray(group)))
    means = group_means(x, codes, len(levels))
    if "levels" not in state:
        state["levels"], state["means"] = pd.Index(levels), means
        return means[codes]
    place = state["levels"].get_indexer(levels)
    known = np.where(place >= 0, state["means"][place], means)
    return known[codes]


def between(x: Any, group: Any, _state: Any = None) -> Array:
    """Group mean of x."""
    return _means(_numbers(x, "between"), group, _state)


def within(x: Any, group: Any, _state: Any = None) -> Array:
    """Deviation of x from its group mean."""
    values = _numbers(x, "within")
    return values - _means(values, group, _state)


_FUNCTIONS = {
    **TRANSFORMS,
    "sqrt": np.sqrt,
    "between": stateful_transform(between),
    "within": stateful_transform(within),
}
