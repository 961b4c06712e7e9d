"""Means of two levels: only their sum is identified, so one of the two is zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from teamlink.structural.parameters import Parameter

__all__ = ["between_only"]


def between_only(rows: Sequence[Parameter]) -> list[Parameter]:
    """Rows with the means within clusters fixed at zero that those between already say."""
    return _one_mean(_one_intercept(rows))


def _one_intercept(rows: Sequence[Parameter]) -> list[Parameter]:
    """Of a variable at both levels only the sum of the intercepts is identified: one is zero."""
    latent = {row.lhs for row in rows if row.op == "=~"}
    upper = {
        (row.group, row.lhs)
        for row in rows
        if row.op == "~1" and row.level == 2 and row.lhs not in latent
    }
    return [
        replace(row, free=False, value=0.0, exogenous=False)
        if row.op == "~1" and row.level == 1 and (row.group, row.lhs) in upper
        else row
        for row in rows
    ]


def _one_mean(rows: list[Parameter]) -> list[Parameter]:
    """A factor within clusters has no mean of its own where all its indicators are at both levels.

    Their intercepts lie between clusters, so only means of factors there are identified. A mean
    that the model names stays as it is.
    """
    upper = {(row.group, row.lhs) for row in rows if row.op == "~1" and row.level == 2}
    indicators: dict[tuple[int, str], list[str]] = {}
    for row in rows:
        if row.op == "=~" and row.level == 1:
            indicators.setdefault((row.group, row.lhs), []).append(row.rhs)

    def measured(group: int, name: str, above: tuple[str, ...] = ()) -> set[str]:
        inner = [one for one in indicators.get((group, name), []) if one not in above]
        below = [measured(group, one, (*above, name)) for one in inner]
        return set().union(*below) if (group, name) in indicators else {name}

    return [
        replace(row, free=False, value=0.0)
        if row.op == "~1" and row.level == 1 and row.free and not row.user
        and (row.group, row.lhs) in indicators
        and all((row.group, name) in upper for name in measured(row.group, row.lhs))
        else row
        for row in rows
    ]  # fmt: skip
