"""How experience enters: growth terms that are zero at entry, and their products with a context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from teamlink.data.schema import numbers
from teamlink.typing import Array

__all__ = ["POWERS", "Growth"]

POWERS = {"linear": 1, "quadratic": 2, "cubic": 3, "quartic": 4}


@dataclass(frozen=True, slots=True)
class Growth:
    """How experience and context enter.

    Attributes
    ----------
    shape : "linear", ..., "quartic" or "log"
    cap : years of experience beyond which nothing is gained; infinite for none
    full : every term of growth depends on the context, not the first alone
    names : of the growth terms in the fit
    context : name of the context, centred, in the fit
    centre : what was subtracted from the context
    """

    shape: str
    cap: float
    full: bool
    names: tuple[str, ...]
    context: str
    centre: float

    @classmethod
    def named(cls, shape: str, cap: float, full: bool, rows: pd.DataFrame, context: str) -> Growth:
        """Growth terms with names that no column of the rows has."""
        number = POWERS.get(shape, 1)
        free = _free_names([*(f"growth{k + 1}" for k in range(number)), "environment"], rows)
        centre = float(numbers(rows, context).mean())
        return cls(shape, cap, full, tuple(free[:-1]), free[-1], centre)

    def added_to(self, rows: pd.DataFrame, experience: str, context: str) -> pd.DataFrame:
        """The rows with the growth terms and the centred context beside them."""
        columns = self.columns(numbers(rows, experience))
        added = {name: columns[:, k] for k, name in enumerate(self.names)}
        return rows.assign(**added, **{self.context: numbers(rows, context) - self.centre})

    def columns(self, experience: Array) -> Array:
        """Growth terms (n, k), zero at entry."""
        e = np.minimum(experience, self.cap)
        if self.shape == "log":
            return np.log1p(e)[:, None]
        scale = self.cap if np.isfinite(self.cap) else 10.0
        return (e / scale)[:, None] ** np.arange(1, POWERS[self.shape] + 1)

    @property
    def dependent(self) -> tuple[str, ...]:
        """The growth terms that depend on the context."""
        return self.names if self.full else self.names[:1]

    @property
    def products(self) -> tuple[str, ...]:
        """Names of their products with the context in the fit."""
        return tuple(f"{name}:{self.context}" for name in self.dependent)

    def contrasts(self, terms: Sequence[str], years: Array, context: Array) -> Array:
        """(m, p) what coefficients weigh in the gain since entry at years and contexts (m,)."""
        columns = self.columns(years)
        L = np.zeros((len(years), len(terms)))
        for k, name in enumerate(self.names):
            L[:, terms.index(name)] = columns[:, k]
        for k, name in enumerate(self.products):
            L[:, terms.index(name)] = columns[:, k] * (context - self.centre)
        return L


def _free_names(wanted: Sequence[str], rows: pd.DataFrame) -> list[str]:
    return [name + "_" * (name in rows.columns) for name in wanted]
