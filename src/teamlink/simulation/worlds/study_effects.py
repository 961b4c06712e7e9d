r"""Studies of one question: what each of them prints, and how far their effects differ.

.. math:: \delta_i \sim N(\mu, \tau^2)

is the standardized difference that study :math:`i` would find in a very large sample. Some studies
compare two groups of schools, one with and one without a strong professional community, and print
means and standard deviations; the others print a correlation :math:`r` of n schools, drawn around
:math:`\delta / \sqrt{\delta^2 + 4}`. A study's size has nothing to do with its effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from teamlink.errors import DesignError, Fault
from teamlink.simulation.sizes import too_few
from teamlink.simulation.world import Parameter, Tables, check_population

__all__ = ["WORLD", "StudyEffects"]


@dataclass(frozen=True, slots=True)
class StudyEffects:
    """One file: studies with the numbers they print.

    Attributes
    ----------
    studies : how many
    correlational : how many of them print a correlation
    least, most : schools of the smallest and the largest study

    Examples
    --------
    >>> StudyEffects(16, correlational=8).columns["studies"]
    ('study', 'design', 'n', 'mean1', 'sd1', 'n1', 'mean2', 'sd2', 'n2', 'r')
    """

    sizes: ClassVar[tuple[str, ...]] = ("studies",)

    studies: int
    correlational: int
    least: int = 30
    most: int = 250

    def __post_init__(self) -> None:
        faults = too_few(self, studies=2)
        if not 0 <= self.correlational <= self.studies:
            text = f"{self.correlational} of {self.studies} studies"
            faults.append(Fault(text, "correlational"))
        if not 8 <= self.least <= self.most:
            faults.append(Fault(f"{self.least} .. {self.most} schools", "least", "8 or more"))
        if faults:
            raise DesignError(faults)

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns of the one file."""
        groups = ("mean1", "sd1", "n1", "mean2", "sd2", "n2")
        return {"studies": ("study", "design", "n", *groups, "r")}

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """The column that names a row."""
        return {"studies": ("study",)}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Population values that a draw needs."""
        return (
            Parameter("effect.mean", "mean standardized difference over studies"),
            Parameter("effect.sd", "SD of the studies' own standardized differences", 0),
        )

    def check(self, population: Mapping[str, float]) -> tuple[Fault, ...]:
        """List what is wrong with `population`."""
        return check_population(self.parameters, population)

    def scaled(self, times: int) -> StudyEffects:
        """Give the same world with `times` as many studies."""
        return replace(self, studies=self.studies * times, correlational=self.correlational * times)

    def draw(self, population: Mapping[str, float], rng: np.random.Generator) -> Tables:
        """Draw the file once."""
        k = self.studies
        n = np.exp(rng.uniform(np.log(self.least), np.log(self.most), k)).round().astype(int)
        half = n // 2
        own, noise = rng.standard_normal(k), rng.standard_normal((2, k))
        spread = np.sqrt(rng.chisquare(half - 1, (2, k)) / (half - 1))
        level, unit = rng.normal(50, 5, k), rng.uniform(5, 15, k)
        delta = population["effect.mean"] + population["effect.sd"] * own
        means = np.stack([delta, np.zeros(k)]) + noise / np.sqrt(half)
        z = np.arctanh(delta / np.sqrt(delta**2 + 4)) + noise[0] / np.sqrt(n - 3)
        correlational = np.arange(k) < self.correlational
        compared = {
            "mean1": level + unit * means[0],
            "sd1": unit * spread[0],
            "n1": half,
            "mean2": level + unit * means[1],
            "sd2": unit * spread[1],
            "n2": half,
        }
        columns: dict[str, object] = {
            "study": np.arange(1, k + 1),
            "design": np.where(correlational, "correlation", "groups"),
            "n": np.where(correlational, n, 2 * half),
        }
        columns |= {a: np.where(correlational, np.nan, values) for a, values in compared.items()}
        columns["r"] = np.where(correlational, np.tanh(z), np.nan)
        return Tables(studies=pd.DataFrame(columns))


WORLD = StudyEffects
