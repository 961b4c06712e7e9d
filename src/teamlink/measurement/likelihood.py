r"""One-way random effects by (restricted) maximum likelihood, in one dimension.

With lambda = tau / sigma^2 the mean and sigma^2 are known in closed form, and of N rows in J groups

    ML      -2 logL = N [log(2 pi Q / N) + 1] + sum log(1 + n_j lambda),
    REML    N - 1 for N, and + log sum n_j / (1 + n_j lambda),
    Q = SSW + sum n_j / (1 + n_j lambda) (ybar_j - mu)^2.

The slope in lambda is exact, so the optimum is a root, and an interval is where the deviance rises
by a quantile of chi-square.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri

from teamlink.data.center import group_means
from teamlink.errors import DesignError
from teamlink.typing import Array, Codes

__all__ = ["OneWayLikelihood", "likelihood_of"]


@dataclass(frozen=True, slots=True)
class OneWayLikelihood:
    """Statistics of the one-way model.

    Attributes
    ----------
    sizes, means : (J,) of the groups; means about the grand mean
    within : sum of squares within groups
    reml : whether the likelihood is restricted
    """

    sizes: Array
    means: Array
    within: float
    reml: bool

    @property
    def rows(self) -> float:
        """N, less one for REML."""
        return float(self.sizes.sum()) - self.reml

    def deviance(self, ratio: float) -> float:
        """Minus twice the log-likelihood at tau / sigma^2, but for a constant of X'X."""
        w, Q, _ = self._at(ratio)
        more = np.log(w.sum()) if self.reml else 0.0
        terms = np.log1p(self.sizes * ratio).sum() + more
        return float(self.rows * (np.log(2 * np.pi * Q / self.rows) + 1) + terms)

    def slope(self, ratio: float) -> float:
        """Derivative of the deviance."""
        w, Q, rest = self._at(ratio)
        inner = -float((w**2 * rest**2).sum())
        found = self.rows * inner / Q + float(w.sum())
        return found - (float((w**2).sum() / w.sum()) if self.reml else 0.0)

    def variances(self, ratio: float) -> tuple[float, float]:
        """Variance between groups, and within."""
        sigma2 = self._at(ratio)[1] / self.rows
        return ratio * sigma2, sigma2

    def _at(self, ratio: float) -> tuple[Array, float, Array]:
        w = self.sizes / (1 + self.sizes * ratio)
        rest = self.means - float(w @ self.means) / float(w.sum())
        return w, self.within + float(w @ rest**2), rest

    def optimum(self) -> float:
        """Tau / sigma^2 with the lowest deviance."""
        grid = np.concatenate([[0.0], np.geomspace(1e-8, 1e8, 129)])
        best = int(np.argmin([self.deviance(one) for one in grid]))
        if best == 0 and self.slope(0.0) >= 0:
            return 0.0
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        if self.slope(low) >= 0 or self.slope(high) <= 0:
            return float(grid[best])
        return float(brentq(self.slope, low, high, xtol=1e-300, rtol=1e-14))

    def interval(self, ratio: float, level: float) -> tuple[float, float]:
        """Ratios between which the deviance rises by less than the quantile of chi-square."""
        limit = self.deviance(ratio) + float(chdtri(1, 1 - level))

        def above(log: float) -> float:
            return self.deviance(float(np.exp(log))) - limit

        centre = np.log(max(ratio, 1e-12))
        low, high = centre - 1.0, centre + 1.0
        while above(high) < 0 and high < 60:
            high += 1.0
        upper = float(np.exp(brentq(above, centre, high, xtol=1e-12)))
        if self.deviance(0.0) <= limit:
            return 0.0, upper
        while above(low) < 0:
            low -= 1.0
        return float(np.exp(brentq(above, low, centre, xtol=1e-12))), upper


def likelihood_of(values: Array, codes: Codes, n_groups: int, reml: bool) -> OneWayLikelihood:
    """Take the statistics of values (n,) in groups; refuse values that do not vary within them."""
    values = values - values.mean()
    means = group_means(values, codes, n_groups)
    within = float(((values - means[codes]) ** 2).sum())
    if within <= 1e-20 * float((values**2).sum()):
        raise DesignError("no group varies within itself: the likelihood has no maximum")
    return OneWayLikelihood(
        np.bincount(codes, minlength=n_groups).astype(float), means, within, reml
    )
