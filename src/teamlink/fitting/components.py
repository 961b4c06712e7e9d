"""Components: standard deviations and correlations, estimated beside the coefficients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from teamlink.typing import Array

__all__ = ["Components", "unique_names"]


@dataclass(frozen=True, slots=True)
class Components:
    """Standard deviations and correlations, in the units of the data.

    Attributes
    ----------
    groups : c grouping factors each belongs to; "Residual" for the residual
    terms : c names as broom.mixed spells them: ``sd__x``, ``cor__x.z``, ``sd__Observation``
    values : (R, c), one row a response; a correlation with a standard deviation of zero is missing
    """

    groups: tuple[str, ...]
    terms: tuple[str, ...]
    values: Array

    @property
    def keys(self) -> tuple[str, ...]:
        """A name for each that no other has; see `unique_names`."""
        return unique_names(self.groups, self.terms)


def unique_names(groups: Sequence[str | None], terms: Sequence[str]) -> tuple[str, ...]:
    """The terms themselves; where several factors have the same one, ``term|group``.

    Parameters
    ----------
    groups, terms : of the components, or of all parameters of a fit

    Examples
    --------
    >>> unique_names(["class", "school", "Residual"], ["sd__x", "sd__x", "sd__Observation"])
    ('sd__x|class', 'sd__x|school', 'sd__Observation')
    """
    times = Counter(terms)
    return tuple(
        term if times[term] == 1 or group is None else f"{term}|{group}"
        for group, term in zip(groups, terms, strict=True)
    )
