"""Monte-Carlo: do intervals hold a true value as often as they say?

Each design is drawn once, its responses many times. The bands are binomial: with 4,000 replicates
and the 99.99 per cent band, a true rate of 5 per cent is mistaken once in ten thousand runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import teamlink as tl
from teamlink.typing import Array

REPLICATES = 4000
BAND = 0.9999

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Setting:
    """Schools of unequal size, a student predictor and a school predictor; coefficient 0.3 each."""

    sizes: tuple[int, ...]
    intercept_sd: float
    slope_sd: float
    formula: str
    seed: int

    def draw(self) -> tuple[pd.DataFrame, Array]:
        """The table, with its first response, and all responses (n, replicates)."""
        rng = np.random.default_rng(self.seed)
        school = np.repeat(np.arange(len(self.sizes)), self.sizes)
        x = rng.normal(size=school.size)
        w = rng.normal(size=len(self.sizes))[school]
        effects = rng.normal(size=(len(self.sizes), 2, REPLICATES))
        Y = 0.3 * (x + w)[:, None] + rng.normal(size=(school.size, REPLICATES))
        Y += (
            self.intercept_sd * effects[school, 0] + self.slope_sd * x[:, None] * effects[school, 1]
        )
        return pd.DataFrame({"school": school, "x": x, "w": w, "y": Y[:, 0]}), Y


FEW = Setting((4, 6, 9, 12, 15, 18, 21, 25, 30, 38), 0.5, 0.0, "y ~ x + w + (1 | school)", 11)
SLOPES = Setting(tuple(range(8, 38)), 0.5, 0.4, "y ~ x + w + (x | school)", 12)


def refits(setting: Setting) -> pd.DataFrame:
    data, Y = setting.draw()
    return tl.refit(tl.lmm(setting.formula, data), Y)


def band(rate: float) -> tuple[int, int]:
    low, high = stats.binom.interval(BAND, REPLICATES, rate)
    return int(low), int(high)


@pytest.mark.parametrize("setting", [FEW, SLOPES], ids=["10 schools", "30 schools, slopes"])
def test_coverage_of_satterthwaite_intervals(setting: Setting) -> None:
    table = refits(setting)
    assert table["converged"].all()
    reach = table["std_error"] * stats.t.ppf(0.975, table["df"])
    truth = table["term"].map({"Intercept": 0.0, "x": 0.3, "w": 0.3})
    held = ((table["estimate"] - truth).abs() <= reach).groupby(table["term"]).sum()
    low, high = band(0.95)
    # Satterthwaite's is an approximation: half a per cent on either side is allowed to it.
    slack = int(0.005 * REPLICATES)
    assert ((held >= low - slack) & (held <= high + slack)).all(), held.to_dict()


def test_with_ten_schools_the_normal_distribution_would_not_do() -> None:
    """What the coverage test above can see: z intervals fail it in the same replicates."""
    table = refits(FEW)
    table = table[table["term"] == "w"]
    held = int(((table["estimate"] - 0.3).abs() <= 1.96 * table["std_error"]).sum())
    assert held < band(0.95)[0] - int(0.005 * REPLICATES)
