"""Least squares of many outcomes on one design, units absorbed, with CR2 standard errors.

What `teamlink.did` and a regression with fixed effects have in common, for analyses that fit the
same rows under several scenarios: the leverages are computed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from teamlink.errors import FitError
from teamlink.moments.independent import independent_columns
from teamlink.registry.analysis import numbers
from teamlink.trials.within import Within, lines, ordinary
from teamlink.typing import Array, Codes

__all__ = ["Regression", "regression", "same_columns"]


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """A design whose columns are about the means of their unit, ready for outcomes.

    Attributes
    ----------
    X : (n, p) columns, about the means of their unit where units are absorbed, times `root`
    fit : leverages and the basis; its coefficients are those of an outcome of zeros
    unit : (n,) codes of what is absorbed, or None
    root : (n,) roots of the weights
    order, first : rows cluster by cluster, and where each begins among them
    """

    X: Array
    fit: Within
    unit: Codes | None
    root: Array
    order: Codes
    first: Codes

    def answer(self, y: Array, contrast: Array) -> Array:
        """Give (7,): a contrast (p,) of the coefficients of y (n,), as named in `FIELDS`."""
        y = about_units(y[:, None], self.unit, self.root)[:, 0]
        Q = self.X @ self.fit.back
        b = self.fit.back @ (Q.T @ y)
        e = y - self.X @ b
        u: Array = np.add.reduceat((Q * e[:, None])[self.order], self.first, axis=0)
        half = (self.fit.K @ u[:, :, None])[:, :, 0] @ self.fit.back.T
        fit = replace(self.fit, b=b, covariance=half.T @ half)
        found = lines(fit, contrast[None, :], 0.95)
        estimate, se, df = (float(found[name][0]) for name in ("estimate", "std_error", "df"))
        return numbers(estimate, se, df)


def regression(
    X: Array,
    names: Sequence[str],
    cluster: Codes,
    unit: Codes | None = None,
    weights: Array | None = None,
) -> Regression:
    """Make a design of X (n, p) ready; units, where given, lie within clusters.

    Raises
    ------
    FitError
        Columns depend on each other.
    """
    root = np.ones(len(X)) if weights is None else np.sqrt(weights)
    before = np.square(X * root[:, None]).sum(axis=0)
    X = about_units(X, unit, root)
    kept = independent_columns(X.T @ X, before)
    if len(kept) < len(names):
        gone = ", ".join(name for k, name in enumerate(names) if k not in set(kept.tolist()))
        raise FitError(f"units or other columns determine {gone}")
    fit = ordinary(np.zeros(len(X)), X, names, cluster)
    order = np.argsort(cluster, kind="stable")
    _, first = np.unique(cluster[order], return_index=True)
    return Regression(X, fit, unit, root, order, first)


def about_units(columns: Array, unit: Codes | None, root: Array) -> Array:
    """Columns (n, p) about the weighted mean of their unit, times the roots of the weights."""
    found: Array = columns * root[:, None]
    if unit is None:
        return found
    w = np.square(root)
    total = np.maximum(np.bincount(unit, w), 1e-300)
    means = np.column_stack([np.bincount(unit, w * c) for c in columns.T]) / total[:, None]
    found = root[:, None] * (columns - means[unit])
    return found


def same_columns(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two designs have equal columns; missing values are equal to each other."""
    return all(
        one[name] is other[name]
        or np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f")
        for name in one
    )
