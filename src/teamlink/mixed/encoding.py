"""Columns of a design from formula text, and the memory that codes new data the same way.

formulaic does the work: contrasts, interactions, splines. Two functions are added to its language,
``within(x, g)`` and ``between(x, g)``: a predictor's deviation from its group mean, and that mean.
The means are learned once, from the rows that the fit uses; prediction reuses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import formulaic
import numpy as np
import pandas as pd
from formulaic.errors import FormulaicError
from formulaic.transforms import TRANSFORMS
from formulaic.utils.stateful_transforms import stateful_transform

from teamlink.data.center import group_means
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
    spec : formulaic's model specification: what was asked and what was learned
    """

    text: str
    names: tuple[str, ...]
    spec: Any

    @property
    def intercept(self) -> int:
        """Index of the constant column, or -1."""
        return self.names.index("Intercept") if "Intercept" in self.names else -1

    def columns(self, frame: pd.DataFrame) -> Array:
        """The columns (n, k) for new data, coded as those of the fit."""
        if self.names == ("Intercept",):
            return np.ones((len(frame), 1))
        try:
            matrix = self.spec.get_model_matrix(
                frame, context=_FUNCTIONS, na_action="ignore", output="numpy"
            )
        except FormulaicError as error:
            raise DataError(f"new data do not fit the model's {self.text!r}: {error}") from error
        return _as_matrix(matrix, len(frame))


def encode(parts: Mapping[str, str], frame: pd.DataFrame) -> dict[str, tuple[Array, Encoding]]:
    """Make the columns of several parts of a formula in one pass over the data.

    Parameters
    ----------
    parts : name of the part to its text, such as ``{"fixed": "ses * sector"}``
    frame : the rows to be used, complete

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
    names = tuple(name for name, text in parts.items() if text != "1")
    if names:
        texts = tuple(parts[name] for name in names)
        try:
            matrices = _parsed(names, texts).get_model_matrix(
                frame, context=_FUNCTIONS, na_action="ignore", output="numpy"
            )
        except DataError:
            raise
        except (FormulaicError, TypeError, ValueError) as error:
            text = " | ".join(texts)
            raise FormulaError(
                f"cannot evaluate: {_first_line(error)}", text, 0, len(text)
            ) from error
        for name in names:
            matrix = getattr(matrices, name)
            spec = matrix.model_spec
            columns = _as_matrix(matrix, len(frame))
            done[name] = columns, Encoding(parts[name], tuple(spec.column_names), spec)
    for name in parts:
        if name not in done:
            done[name] = np.ones((len(frame), 1)), Encoding("1", ("Intercept",), None)
    _check_finite(done)
    return done


@lru_cache(maxsize=256)
def _parsed(names: tuple[str, ...], texts: tuple[str, ...]) -> Any:
    # Parts given by name have no implied intercept: each text says what it wants.
    return formulaic.Formula(**dict(zip(names, texts, strict=True)))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _as_matrix(matrix: Any, n: int) -> Array:
    columns = np.asarray(matrix, dtype=float)
    return columns.reshape(n, columns.size // max(n, 1))


def _check_finite(done: Mapping[str, tuple[Array, Encoding]]) -> None:
    faults = Faults()
    for columns, encoding in done.values():
        # A sum is finite only if every addend is: one pass, and nothing of length n is made.
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
    "between": stateful_transform(between),
    "within": stateful_transform(within),
}
