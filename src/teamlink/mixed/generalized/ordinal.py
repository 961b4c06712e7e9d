r"""The cumulative family: an ordered response cut from a latent one at thresholds.

    P(y <= c) = F(alpha_c - eta),    c = 0 .. C-2,    alpha_0 < alpha_1 < ...

so that a larger eta means higher categories, and the thresholds stand for the intercept. With
``t1 = alpha_y - eta`` and ``t0 = alpha_{y-1} - eta`` the density is ``p = F(t1) - F(t0)``. For the
logistic F it is a product, and all derivatives are sums of F and its derivatives:

    p = F(t1) F(-t0) (1 - exp(t0 - t1)),    s = F(t1) + F(t0) - 1,    w = f(t1) + f(t0).

For the normal F, with r = f / p, q = f' / p and c = f'' / p at either end,

    s = r0 - r1,    w = s^2 - (q1 - q0),    dw/d eta = (c1 - c0) + s^3 - 3 s w.

The free parameters are alpha_0 and the logarithms of the gaps between neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit, log_expit, log_ndtr, ndtr

from teamlink.mixed.generalized.families import Observed, Terms
from teamlink.typing import Array, Codes

__all__ = ["Cumulative"]

_HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))


@dataclass(frozen=True, slots=True)
class _Ends:
    """Density at both ends of a row's interval.

    Attributes
    ----------
    terms : of the log density in eta
    value, score, weight : derivatives of value, score and weight in the lower and upper threshold
    """

    terms: Terms
    value: tuple[Array, Array]
    score: tuple[Array, Array]
    weight: tuple[Array, Array]


def _logistic(t0: Array, t1: Array) -> _Ends:
    F1, F0 = expit(t1), expit(t0)
    f1, f0 = F1 * expit(-t1), F0 * expit(-t0)
    # At an open end the gap is infinite and takes no part.
    gap = np.where(np.isfinite(t1) & np.isfinite(t0), t1 - t0, np.inf)
    value = log_expit(t1) + log_expit(-t0) + np.log(-np.expm1(-gap))
    d1, d0 = f1 * (1 - 2 * F1), f0 * (1 - 2 * F0)
    between = 1 / np.expm1(np.minimum(gap, 700.0)) * np.isfinite(gap)
    terms = Terms(np.asarray(value), F1 + F0 - 1, f1 + f0, -(d1 + d0))
    slopes = (-F0 - between, expit(-t1) + between)
    return _Ends(terms, slopes, (f0, f1), (d0, d1))


def _normal(t0: Array, t1: Array) -> _Ends:
    # Taken in the tail where both ends are small numbers: F(b) - F(a) = F(-a) - F(-b).
    flip = t0 + t1 > 0
    a, b = np.where(flip, -t1, t0), np.where(flip, -t0, t1)
    log_b, log_a = log_ndtr(b), log_ndtr(a)
    value = log_b + np.log(-np.expm1(np.minimum(log_a - log_b, 0.0)))

    def over(t: Array) -> tuple[Array, Array, Array]:
        """Density f, f' and f'' over p; zero at an open end."""
        closed = np.isfinite(t)
        x = np.where(closed, t, 0.0)
        r = np.where(closed, np.exp(-0.5 * x * x - _HALF_LOG_2PI - value), 0.0)
        return r, -x * r, (x * x - 1) * r

    (r1, q1, c1), (r0, q0, c0) = over(t1), over(t0)
    s = r0 - r1
    w = s * s - (q1 - q0)
    terms = Terms(np.asarray(value), s, w, (c1 - c0) + s**3 - 3 * s * w)
    up, down = -q1 - r1 * s, q0 + r0 * s
    rest = s * s - w
    return _Ends(
        terms, (-r0, r1), (down, up), (2 * s * down + c0 - r0 * rest, 2 * s * up - c1 + r1 * rest)
    )


@dataclass(frozen=True, slots=True)
class Cumulative:
    """An ordered response in C categories.

    Attributes
    ----------
    categories : number of categories C, at least three
    link : "logit" or "probit"
    """

    name: ClassVar[str] = "ordinal"
    categories: int
    link: str = "logit"

    @property
    def size(self) -> int:
        """Number of thresholds."""
        return self.categories - 1

    def constant(self, data: Observed) -> Array:
        """Nothing depends on the response alone."""
        return np.zeros(1)

    def _ends(self, eta: Array, data: Observed, natural: Array) -> tuple[_Ends, Codes]:
        P, R = natural.shape[:2]
        infinite = np.full((R, 1), np.inf)
        cuts = np.concatenate([-infinite, natural.reshape(P, R).T, infinite], axis=1)
        codes = data.y.astype(np.intp)
        if R == 1:
            low, high = cuts[0][codes], cuts[0][codes + 1]
        else:
            shape = (R, *codes.shape[1:])
            flat = np.broadcast_to(codes, shape).reshape(R, -1)
            low = np.take_along_axis(cuts, flat, axis=1).reshape(shape)
            high = np.take_along_axis(cuts, flat + 1, axis=1).reshape(shape)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            ends = (_logistic if self.link == "logit" else _normal)(low - eta, high - eta)
        return ends, codes

    def density(self, eta: Array, data: Observed, natural: Array) -> tuple[Array, Array]:
        """Log density and score of each row."""
        terms = self.terms(eta, data, natural)
        return terms.value, terms.score

    def terms(self, eta: Array, data: Observed, natural: Array) -> Terms:
        """Log density of each row with three derivatives."""
        found = self._ends(eta, data, natural)[0].terms
        if data.weights is None:
            return found
        return Terms(*data.weighted(found.value, found.score, found.weight, found.slope))

    def _spread(self, pair: tuple[Array, Array], codes: Codes, data: Observed) -> list[Array]:
        """Derivative in each threshold from those in the lower and the upper end of each row."""
        lower, upper = data.weighted(*pair)
        return [
            np.where(codes == c, upper, 0.0) + np.where(codes == c + 1, lower, 0.0)
            for c in range(self.size)
        ]

    def own_value(self, eta: Array, data: Observed, natural: Array) -> list[Array]:
        """Derivative of the value alone in each threshold."""
        ends, codes = self._ends(eta, data, natural)
        return self._spread(ends.value, codes, data)

    def own(
        self, eta: Array, data: Observed, natural: Array
    ) -> tuple[list[Array], list[Array], list[Array]]:
        """Derivatives of value, score and weight in each threshold."""
        ends, codes = self._ends(eta, data, natural)
        value, score, weight = (
            self._spread(pair, codes, data) for pair in (ends.value, ends.score, ends.weight)
        )
        return value, score, weight

    def natural(self, free: Array) -> Array:
        """Thresholds (R, P)."""
        gaps = np.exp(free[:, 1:])
        return np.cumsum(np.concatenate([free[:, :1], gaps], axis=1), axis=1)

    def free(self, thresholds: Array) -> Array:
        """Free parameters (R, P) of thresholds."""
        return np.concatenate([thresholds[:, :1], np.log(np.diff(thresholds, axis=1))], axis=1)

    def jacobian(self, free: Array) -> Array:
        """(R, P, P) derivative of the thresholds in the free parameters."""
        R, P = free.shape
        step = np.concatenate([np.ones((R, 1)), np.exp(free[:, 1:])], axis=1)
        jacobian: Array = np.tril(np.ones((P, P))) * step[:, None, :]
        return jacobian

    def probabilities(self, eta: Array, thresholds: Array) -> Array:
        """(n, C) probability of each category at linear predictors (n,)."""
        F = expit if self.link == "logit" else ndtr
        below = np.asarray(F(thresholds[None, :] - eta[:, None]), dtype=float)
        zero, one = np.zeros((len(eta), 1)), np.ones((len(eta), 1))
        return np.diff(np.concatenate([zero, below, one], axis=1), axis=1)

    def mean(self, eta: Array) -> Array:
        """The latent mean: categories have none."""
        return eta

    def variance(self, mu: Array, data: Observed, natural: Array) -> Array:
        """Of the latent response."""
        return np.full_like(mu, np.pi**2 / 3 if self.link == "logit" else 1.0)

    def unit_deviance(self, mu: Array, data: Observed, natural: Array) -> Array:
        """Minus twice the log probability of the category that was seen."""
        return -2 * self.density(mu, data, natural)[0]

    def draw(self, eta: Array, data: Observed, natural: Array, rng: np.random.Generator) -> Array:
        """Codes of categories at linear predictors (n,)."""
        upper = np.cumsum(self.probabilities(eta, natural.ravel()), axis=1)[:, :-1]
        drawn: Array = (rng.random((len(eta), 1)) > upper).sum(axis=1).astype(float)
        return drawn
