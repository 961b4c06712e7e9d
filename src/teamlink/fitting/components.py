"""Components: standard deviations and correlations, estimated beside the coefficients."""

from __future__ import annotations

from dataclasses import dataclass

from teamlink.typing import Array

__all__ = ["Components"]


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
