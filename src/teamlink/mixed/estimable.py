"""Whether the variances of a model can be told apart in its rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from teamlink.errors import DesignError, Faults, FewGroups
from teamlink.mixed.factor import Factor, same_groups
from teamlink.typing import Array

__all__ = ["check_estimable"]


def check_estimable(
    response: str, y: Array, factors: Sequence[Factor], has_residual: bool = True
) -> None:
    """Report every reason why variances cannot be told apart; warn where groups are few.

    Parameters
    ----------
    response : name
    y : (n,)
    factors : grouping factors
    has_residual : the rows have a residual variance, from which the others must be told apart

    Notes
    -----
    Each factor is judged by itself, as in lme4: several together may have more random effects than
    there are rows.
    """
    faults = Faults()
    if has_residual and np.ptp(y) == 0:
        faults.add(
            f"the response is constant: all {len(y)} values are {y[0]:g}",
            f"column {response!r}",
            "there is no variance to model",
        )
    for factor in factors:
        _check_factor(factor, len(y), has_residual, faults)
    for one, two in combinations(factors, 2):
        shared = [name for name in one.names if name in two.names]
        few = 1 < one.n_groups < len(y) + (not has_residual)
        if shared and few and same_groups(one, two):
            faults.add(
                f"{one.name!r} and {two.name!r} group the rows alike",
                f"groups {one.name!r} and {two.name!r}",
                f"their variances of {', '.join(shared)} cannot be told apart; write all terms "
                f"with {one.name!r}",
            )
    faults.raise_if_any(DesignError)
    for factor in factors:
        if factor.n_groups < 5:
            warnings.warn(
                f"only {factor.n_groups} groups: the variance of {factor.name!r} is hardly "
                "identified",
                FewGroups,
                stacklevel=4,
            )


def _check_factor(factor: Factor, n: int, has_residual: bool, faults: Faults) -> None:
    where = f"group {factor.name!r}"
    J, q = factor.n_groups, max(factor.blocks)
    if J == 1:
        faults.add(
            f"there is one group only, {str(factor.levels[0])!r}", where,
            "a variance between groups needs several; fit a linear model instead",
        )  # fmt: skip
    elif not has_residual:
        return
    elif n <= J and factor.codes is not None:
        faults.add(
            f"each of the {J} groups has one row",
            where,
            "the variance between groups cannot be told from the residual variance",
        )
    elif n <= J:
        faults.add(
            f"there are {J} groups, but only {n} rows",
            where,
            "the variance between groups cannot be told from the residual variance",
        )
    elif q * J >= n:
        faults.add(
            f"{q} correlated random effects in each of {J} groups make {q * J}, but there are only "
            f"{n} rows",
            where,
            "drop a random slope, or use more rows a group",
        )
