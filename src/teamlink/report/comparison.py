"""Another program's numbers, looked up by quantity and term."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["answers", "unordered"]


def unordered(term: str) -> tuple[str, ...]:
    """An interaction without regard to the order of its parts.

    Examples
    --------
    >>> unordered("cses:sector") == unordered("sector:cses")
    True
    """
    return tuple(sorted(term.split(":")))


def answers(references: Sequence[Mapping[str, Any]]) -> Callable[[str, str], float | None]:
    """Give a function of quantity and term that looks up what the other program says.

    Examples
    --------
    >>> theirs = answers([{"quantity": "estimate", "term": "ses", "theirs": 2.39}])
    >>> theirs("estimate", "ses"), theirs("std_error", "ses")
    (2.39, None)
    """
    table = {(r["quantity"], unordered(r["term"])): float(r["theirs"]) for r in references}

    def theirs(quantity: str, term: str) -> float | None:
        return table.get((quantity, unordered(term)))

    return theirs
