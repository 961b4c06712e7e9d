"""An index of measurement: a number that knows its definition and its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import ndtri

from teamlink.errors import OptionError
from teamlink.fitting.summary import Summary, SummaryTable, number
from teamlink.typing import Array

__all__ = ["Index", "check_level", "normal_ends"]


@dataclass(frozen=True, eq=False, repr=False)
class Index(float):
    """A number that says what it is: compare, round and multiply it as any other.

    Attributes
    ----------
    value : float
        The number itself.
    name : str
        As tables call it.
    definition : str
        The formula, and whose it is.
    low, high : float
        Ends of the interval; missing where there is none.
    level : float
        Coverage of the interval.
    interval : str
        Where the interval comes from.
    """

    value: float
    name: str
    definition: str
    low: float
    high: float
    level: float
    interval: str

    def __new__(cls, value: float, *_: object, **__: object) -> Self:
        """Make the number; the other fields follow it."""
        return super().__new__(cls, value)

    @property
    def conf_int(self) -> tuple[float, float]:
        """Ends of the interval."""
        return self.low, self.high

    def __repr__(self) -> str:
        share = f"{100 * self.level:g}%"
        ends = "" if self.low != self.low else f" ({share} {self.low:.4f} to {self.high:.4f})"
        return f"{self.name} {self.value:.4f}{ends}"

    def __str__(self) -> str:
        return str(self.summary())

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    def facts(self) -> tuple[tuple[str, str], ...]:
        """What the summary says before its tables."""
        found = [(self.name, number(self.value)), ("Definition", self.definition)]
        if self.low == self.low:
            ends = f"{number(self.low)} to {number(self.high)}, {self.interval}"
            found.append((f"{100 * self.level:g}% interval", ends))
        return tuple(found)

    def tables(self) -> tuple[SummaryTable, ...]:
        """Tables of the summary."""
        return ()

    def remarks(self) -> tuple[str, ...]:
        """What a reader must know before quoting the number."""
        return ()

    def summary(self) -> Summary:
        """Text to print; rich HTML in a notebook."""
        return Summary(self.name, self.facts(), self.tables(), self.remarks())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def check_level(level: float) -> None:
    """Raise `OptionError` unless a confidence level lies between 0 and 1."""
    if not 0 < level < 1:
        raise OptionError(f"level={level!r}: a confidence level lies between 0 and 1")


def normal_ends(value: Array, std_error: Array, level: float) -> tuple[Array, Array]:
    """Ends of the symmetric normal interval, of the shape of `value`."""
    half = ndtri(0.5 + level / 2) * np.asarray(std_error)
    return value - half, value + half
