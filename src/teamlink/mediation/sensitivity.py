r"""How strong an unmeasured confounder of mediator and outcome would have to be.

Let e_m and e_y be the residuals of mediator k and of the outcome in their equations, at one level,
and rho their correlation, which the model takes as zero. A model with any other rho fits the data
equally well: it attributes part of the association of mediator and outcome to what both lack. With
Psi the covariance of the residuals of all mediators, psi_y the residual variance of the outcome as
fitted, ``h = Psi_kk (Psi^-1)_kk`` and ``(I - D)`` taking mediators to their residuals,

    sigma_y^2 = psi_y / (1 - rho^2 h),      s = rho sqrt(Psi_kk) sigma_y,
    lambda    = s (Psi^-1)_.k,
    b(rho)    = b - (I - D)' lambda,        c(rho) = c + a' lambda,

where a are the coefficients of the predictor in the mediators' equations. So with one mediator

    indirect(rho) = a [ b - rho / sqrt(1 - rho^2) sqrt(psi_y / psi_m) ],

which is zero at ``rho = b sqrt(psi_m) / sqrt(b^2 psi_m + psi_y)``, the partial correlation of
mediator and outcome given the predictor. The total effect does not depend on rho. This is the
analysis of [1]_ for linear models, at the level of the effect. ``rho^2`` is the product of the
shares of the residual variances of mediator and outcome that the confounder explains.

References
----------
.. [1] Imai, Keele, Yamamoto (2010). Identification, inference and sensitivity analysis for causal
   mediation effects. Statistical Science 25(1). doi:10.1214/10-STS321
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import ndtri

from teamlink.fitting.summary import Summary, SummaryTable, number
from teamlink.typing import Array

__all__ = ["Sensitivity", "Structure", "confounded"]


@dataclass(frozen=True, slots=True)
class Structure:
    """The structural part at one level at A parameter points, K mediators.

    Attributes
    ----------
    a : (A, K) predictor to mediators
    b : (A, K) mediators to outcome
    c : (A,) direct effect
    D : (A, K, K) mediators among themselves, row the one that is acted on
    Psi : (A, K, K) covariance of the mediators' residuals
    psi_y : (A,) residual variance of the outcome
    extra : (A,) covariance of random slopes, which adds to the indirect effect
    """

    a: Array
    b: Array
    c: Array
    D: Array
    Psi: Array
    psi_y: Array
    extra: Array


def confounded(structure: Structure, rho: float, k: int) -> tuple[Array, Array]:
    """Indirect and direct effect (A,) if residuals of mediator k and the outcome correlate by rho.

    Missing where no covariance matrix has that correlation.
    """
    one = structure
    K = one.a.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        inverse = np.linalg.inv(one.Psi)
        own = one.Psi[:, k, k]
        room = 1 - rho**2 * own * inverse[:, k, k]
        sigma_y = np.sqrt(np.where(room > 0, one.psi_y / room, np.nan))
        lam = (rho * np.sqrt(own) * sigma_y)[:, None] * inverse[:, :, k]
    mixing = np.eye(K) - one.D
    b = one.b - (lam[:, None, :] @ mixing)[:, 0]
    reached = np.linalg.solve(mixing, one.a[:, :, None])[..., 0]
    return (reached * b).sum(axis=1) + one.extra, one.c + (one.a * lam).sum(axis=1)


@dataclass(frozen=True)
class Sensitivity:
    """Effects under an unmeasured confounder; made by `Mediation.sensitivity`.

    Attributes
    ----------
    level, mediator, outcome : where the confounder acts
    confidence : level of the intervals
    structure : Structure
        At the estimates, then a step down and up in each parameter.
    steps : array, (q,)
        These steps.
    covariance : array, (q, q)
        Of the parameters, as the fit has it.
    k : int
        Which mediator.
    grid : array
        Correlations of the table.
    """

    level: str
    mediator: str
    outcome: str
    confidence: float
    structure: Structure
    steps: Array
    covariance: Array
    k: int
    grid: Array

    def at(self, rho: float) -> tuple[float, float, float, float]:
        """Indirect effect with the ends of its interval (delta method), and direct effect."""
        indirect, direct = confounded(self.structure, rho, self.k)
        q = len(self.steps)
        slope = (indirect[1 + q :] - indirect[1 : 1 + q]) / (2 * self.steps)
        half = float(ndtri(0.5 + self.confidence / 2) * np.sqrt(slope @ self.covariance @ slope))
        middle = float(indirect[0])
        return middle, middle - half, middle + half, float(direct[0])

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row a correlation: ``rho, r2_product, indirect, conf_low, conf_high, direct``.

        ``r2_product`` is the product of the shares of the residual variances of mediator and
        outcome that the confounder explains, with the sign of ``rho``.
        """
        rows = [
            (rho, np.sign(rho) * rho**2, *self.at(float(rho))) for rho in self.grid
        ]  # fmt: skip
        names = ["rho", "r2_product", "indirect", "conf_low", "conf_high", "direct"]
        found = pd.DataFrame(rows, columns=names)
        there = np.isfinite(found["indirect"].to_numpy())
        kept: pd.DataFrame = found.loc[there].reset_index(drop=True)
        return kept

    @property
    def limit(self) -> float:
        """The correlation beyond which there is no covariance matrix."""
        one = self.structure
        h = one.Psi[0, self.k, self.k] * np.linalg.inv(one.Psi[0])[self.k, self.k]
        return float(1 / np.sqrt(h))

    @cached_property
    def tipping(self) -> pd.Series[float]:
        """Correlations nearest to zero at which conclusions change; missing where none does.

        ``indirect``: the indirect effect is zero; ``interval``: its interval begins to include
        zero, which is 0 where it does so already.
        """
        found = {"indirect": self._nearest(0), "interval": 0.0}
        _, low, high, _ = self.at(0.0)
        if low > 0 or high < 0:
            found["interval"] = self._nearest(1 if low > 0 else 2)
        return pd.Series(found, name="rho")

    def _nearest(self, which: int) -> float:
        """The correlation nearest to zero at which a number of `at` is zero."""

        def value(rho: float) -> float:
            return self.at(rho)[which]

        edge = self.limit * (1 - 1e-6)
        roots = []
        for sign in (1.0, -1.0):
            grid = sign * edge * np.linspace(0, 1, 201)
            values = np.array([value(float(rho)) for rho in grid])
            turns = np.flatnonzero(values[:-1] * values[1:] <= 0)
            if turns.size:
                i = turns[0]
                roots.append(float(brentq(value, grid[i], grid[i + 1], xtol=1e-12)))
        return min(roots, key=abs, default=float("nan"))

    def summary(self) -> Summary:
        """Text to print; rich HTML in a notebook."""
        header = ("rho", "Indirect", "low", "high", "Direct")
        rows = tuple(
            (f"{row[0]:.2f}", *(number(row[k]) for k in (2, 3, 4, 5)))
            for row in self.table.to_numpy()
        )
        tip = self.tipping
        zero, open_ = tip["indirect"], tip["interval"]
        said = [f"rho: correlation of the residuals of {self.mediator} and {self.outcome}."]
        if zero == zero:
            said.append(
                f"The indirect effect is zero at rho = {zero:.3f}: a confounder that explains "
                f"{100 * abs(zero):.0f}% of the residual variance of each would do."
            )
        else:
            said.append("No such confounder takes the indirect effect to zero.")
        if open_ == 0:
            said.append("Its interval includes zero without any confounder.")
        elif open_ == open_:
            said.append(f"Its interval includes zero from rho = {open_:.3f} on.")
        facts = (("Level", self.level), ("Intervals", f"{100 * self.confidence:g}%, delta method"))
        table = SummaryTable("Effects under a confounder", header, rows)
        title = f"Sensitivity to a confounder of {self.mediator} and {self.outcome}"
        return Summary(title, facts, (table,), tuple(said))

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def correlations(rho: Sequence[float] | None) -> Array:
    """The grid of a table."""
    return np.asarray(np.round(np.arange(-9, 10) / 10, 1) if rho is None else rho, dtype=float)
