"""Worlds of known truth: schools of unequal size, drawn again and again on one design."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from teamlink.typing import Array

FORMULA = "y ~ x + w + (1 | school)"
TRUTH = 0.3
"""The coefficient of the student predictor x and of the school predictor w."""

SCHOOLS = (20, 47, 100)


@dataclass(frozen=True, slots=True)
class World:
    """A number of schools, and whether the model of the variances is right.

    Where it is wrong, schools differ in the slope of x, which the model leaves out, and by the more
    the further w is from its mean.
    """

    schools: int
    right: bool

    @property
    def name(self) -> str:
        return "right" if self.right else "wrong"

    def table(self) -> pd.DataFrame:
        """The design, without a response: 5 to 29 students a school, x with a school mean."""
        rng = np.random.default_rng([self.schools, 1])
        school = np.repeat(np.arange(self.schools), rng.integers(5, 30, self.schools))
        x = rng.normal(size=school.size) + 0.3 * rng.normal(size=self.schools)[school]
        w = rng.normal(size=self.schools)
        return pd.DataFrame({"school": school, "x": x, "w": (w - w.mean())[school]})

    def responses(self, count: int) -> Array:
        """Responses (rows, count); a larger count has the same first ones."""
        table = self.table()
        x, w = table["x"].to_numpy(), table["w"].to_numpy()
        school = table["school"].to_numpy()
        rng = np.random.default_rng([self.schools, 2, int(self.right)])
        Y = np.empty((len(table), count))
        for r in range(count):
            u = rng.normal(size=(2, self.schools))[:, school]
            between = 0.5 * u[0] if self.right else (0.2 + 0.4 * np.abs(w)) * u[0] + 0.4 * u[1] * x
            Y[:, r] = TRUTH * (x + w) + between + rng.normal(size=len(table))
        return Y


WORLDS = tuple(World(schools, right) for right in (True, False) for schools in SCHOOLS)
