r"""A cross-section of units (states, schools) with correlated standard normal variables.

.. math:: z_i \sim N_k(0, R)

The correlations in R are the population values, such as "gain.rating2000"; those that a study does
not state are zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import ClassVar

import numpy as np
import pandas as pd

from teamlink.errors import DesignError, Fault
from teamlink.simulation.sizes import too_few
from teamlink.simulation.world import Parameter, Tables, check_population
from teamlink.typing import Array

__all__ = ["WORLD", "CrossSection"]


@dataclass(frozen=True, slots=True)
class CrossSection:
    """A file of units with some correlated variables.

    Attributes
    ----------
    units : how many
    variables : their names
    unit : what a unit is; the file is its plural, its id this name

    Examples
    --------
    >>> world = CrossSection(units=50, variables=("gain", "rating"), unit="state")
    >>> world.columns
    {'states': ('state', 'gain', 'rating')}
    >>> [p.name for p in world.parameters]
    ['gain.rating']
    """

    sizes: ClassVar[tuple[str, ...]] = ("units",)

    units: int
    variables: tuple[str, ...]
    unit: str = "school"

    def __post_init__(self) -> None:
        faults = too_few(self, units=4)
        twice = sorted({n for n in self.variables if self.variables.count(n) > 1})
        faults += [Fault(f"{name!r} names two variables", "variables") for name in twice]
        if len(self.variables) < 2:
            faults.append(Fault("a correlation needs two variables", "variables"))
        if faults:
            raise DesignError(faults)

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns of the one file."""
        return {f"{self.unit}s": (self.unit, *self.variables)}

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """The column that names a row."""
        return {f"{self.unit}s": (self.unit,)}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Correlations, zero where a study states none."""
        return tuple(
            Parameter(f"{a}.{b}", f"correlation of {a} and {b}", -0.99, 0.99, default=0.0)
            for a, b in combinations(self.variables, 2)
        )

    def scaled(self, times: int) -> CrossSection:
        """Give the same world with `times` as many units."""
        return replace(self, units=self.units * times)

    def check(self, population: Mapping[str, float]) -> tuple[Fault, ...]:
        """List what is wrong with `population`; the correlations must be possible together."""
        faults = check_population(self.parameters, population)
        if not faults and np.linalg.eigvalsh(self._correlations(population)).min() < 1e-9:
            return (Fault("these correlations cannot hold together", "population"),)
        return faults

    def _correlations(self, population: Mapping[str, float]) -> Array:
        k = len(self.variables)
        R = np.eye(k)
        for (i, a), (j, b) in combinations(enumerate(self.variables), 2):
            R[i, j] = R[j, i] = population.get(f"{a}.{b}", 0.0)
        return R

    def draw(self, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
        """Draw the file once."""
        noise = rng.standard_normal((self.units, len(self.variables)))
        values = noise @ np.linalg.cholesky(self._correlations(population)).T
        columns: dict[str, object] = {self.unit: np.arange(1, self.units + 1)}
        columns |= dict(zip(self.variables, values.T, strict=True))
        return Tables(**{f"{self.unit}s": pd.DataFrame(columns)})


WORLD = CrossSection
