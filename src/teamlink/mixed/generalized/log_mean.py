"""Families whose mean is the exponential of the linear predictor: counts, and a normal response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import gammaln, xlogy

from teamlink.mixed.generalized.families import FAR, NoParameters, Observed, Terms
from teamlink.typing import Array

__all__ = ["GaussianLog", "NegativeBinomial", "Poisson"]

_LOG_2PI = float(np.log(2 * np.pi))


class _LogMean:
    """A family whose mean is the exponential of eta."""

    @property
    def link(self) -> str:
        return "log"

    def mean(self, eta: Array) -> Array:
        return np.exp(np.minimum(eta, FAR))


@dataclass(frozen=True, slots=True)
class Poisson(_LogMean, NoParameters):
    """Counts whose variance is their mean."""

    name: ClassVar[str] = "poisson"

    def constant(self, data: Observed) -> Array:
        total: Array = data.weighted(-gammaln(data.y + 1))[0].sum(axis=-1)
        return total

    def density(self, eta: Array, data: Observed, natural: Array) -> tuple[Array, Array]:
        mu = self.mean(eta)
        value, score = data.weighted(data.y * eta - mu, data.y - mu)
        return value, score

    def terms(self, eta: Array, data: Observed, natural: Array) -> Terms:
        mu = self.mean(eta)
        value, score, weight = data.weighted(data.y * eta - mu, data.y - mu, mu)
        return Terms(value, score, weight, weight)

    def variance(self, mu: Array, data: Observed, natural: Array) -> Array:
        return mu

    def unit_deviance(self, mu: Array, data: Observed, natural: Array) -> Array:
        y = data.y
        return 2 * np.asarray(xlogy(y, y) - xlogy(y, mu) - (y - mu), dtype=float)

    def draw(self, eta: Array, data: Observed, natural: Array, rng: np.random.Generator) -> Array:
        return rng.poisson(self.mean(eta)).astype(float)


@dataclass(frozen=True, slots=True)
class NegativeBinomial(_LogMean):
    r"""Counts with variance ``mu + alpha mu^2``; R's theta is 1 / alpha.

    The free parameter is a root of alpha: alpha zero, the Poisson limit, is a point like any other,
    and the log density is written so that it stays exact there:
    ``sum_{j<y} log(1 + a j) + y eta - y log(1 + a mu) - log(1 + a mu) / a - log y!``, a for alpha.
    """

    name: ClassVar[str] = "negative-binomial"

    @property
    def size(self) -> int:
        return 1

    def constant(self, data: Observed) -> Array:
        total: Array = data.weighted(-gammaln(data.y + 1))[0].sum(axis=-1)
        return total

    @staticmethod
    def _rising(y: Array, alpha: Array, slope: bool) -> Array:
        """Sum over j below y of log(1 + alpha j), or its derivative in alpha."""
        j = np.arange(max(int(y.max()), 1), dtype=float)
        flat = alpha.reshape(len(alpha), 1)
        steps = j / (1 + flat * j) if slope else np.log1p(flat * j)
        table = np.zeros((len(flat), j.size + 1))
        np.cumsum(steps, axis=1, out=table[:, 1:])
        codes = y.astype(np.intp)
        if len(table) == 1:
            only: Array = table[0][codes]
            return only
        shape = (len(table), *codes.shape[1:])
        rows = np.broadcast_to(codes, shape).reshape(len(table), -1)
        return np.take_along_axis(table, rows, axis=1).reshape(shape)

    def density(self, eta: Array, data: Observed, natural: Array) -> tuple[Array, Array]:
        y, alpha, mu = data.y, natural[0], self.mean(eta)
        x = alpha * mu
        value = self._rising(y, alpha, False) + y * (eta - np.log1p(x)) - mu * _log1p_over(x)
        value, score = data.weighted(value, (y - mu) / (1 + x))
        return value, score

    def terms(self, eta: Array, data: Observed, natural: Array) -> Terms:
        y, alpha, mu = data.y, natural[0], self.mean(eta)
        value, score = self.density(eta, data, natural)
        x = alpha * mu
        (weight,) = data.weighted(mu * (1 + alpha * y) / np.square(1 + x))
        return Terms(value, score, weight, weight * (1 - x) / (1 + x))

    def own_value(self, eta: Array, data: Observed, natural: Array) -> list[Array]:
        y, alpha, mu = data.y, natural[0], self.mean(eta)
        x = alpha * mu
        value = self._rising(y, alpha, True) - y * mu / (1 + x) + mu * mu * _rest_over_square(x)
        return list(data.weighted(value))

    def own(
        self, eta: Array, data: Observed, natural: Array
    ) -> tuple[list[Array], list[Array], list[Array]]:
        y, alpha, mu = data.y, natural[0], self.mean(eta)
        b = 1 / (1 + alpha * mu)
        score = -(y - mu) * mu * b * b
        weight = mu * y * b * b - 2 * mu * mu * (1 + alpha * y) * b**3
        score, weight = data.weighted(score, weight)
        return self.own_value(eta, data, natural), [score], [weight]

    def natural(self, free: Array) -> Array:
        return free * free

    def jacobian(self, free: Array) -> Array:
        return 2 * free[:, :, None]

    def variance(self, mu: Array, data: Observed, natural: Array) -> Array:
        variance: Array = mu + natural[0] * mu * mu
        return variance

    def unit_deviance(self, mu: Array, data: Observed, natural: Array) -> Array:
        y, alpha = data.y, natural[0]

        def best(at: Array) -> Array:
            x = alpha * at
            powers = np.asarray(xlogy(y, at), dtype=float) - at * _log1p_over(x)
            return np.asarray(powers - y * np.log1p(x), dtype=float)

        loss: Array = 2 * (best(y) - best(mu))
        return loss

    def draw(self, eta: Array, data: Observed, natural: Array, rng: np.random.Generator) -> Array:
        mu, alpha = self.mean(eta), float(natural.ravel()[0])
        spread = rng.standard_gamma(1 / alpha, mu.shape) * alpha if alpha > 0 else 1.0
        return rng.poisson(mu * spread).astype(float)


def _log1p_over(x: Array) -> Array:
    """log(1 + x) / x, which is 1 at zero."""
    safe = np.where(x > 0, x, 1.0)
    return np.where(x > 0, np.log1p(safe) / safe, 1.0)


def _rest_over_square(x: Array) -> Array:
    """(log(1 + x) - x / (1 + x)) / x^2, without cancellation near zero."""
    large = np.where(x > 1e-2, x, 1.0)
    exact = (np.log1p(large) - large / (1 + large)) / np.square(large)
    series = np.zeros_like(x)
    small = np.minimum(x, 1e-2)
    for k in range(9, -1, -1):
        # sum over k of (-x)^k (k + 1) / (k + 2)
        series = (k + 1) / (k + 2) - small * series
    return np.where(x > 1e-2, exact, series)


@dataclass(frozen=True, slots=True)
class GaussianLog(_LogMean):
    """A normal response whose mean is the exponential of eta; variance sigma^2 over its weight.

    The parameter is log sigma. The density is not log-concave in eta, so a weight can be negative
    away from the mode.
    """

    name: ClassVar[str] = "gaussian"

    @property
    def size(self) -> int:
        return 1

    def constant(self, data: Observed) -> Array:
        n = data.y.shape[-1]
        logs = 0.0 if data.weights is None else 0.5 * float(np.log(data.weights).sum())
        return np.array([logs - 0.5 * n * _LOG_2PI])

    def _parts(self, eta: Array, data: Observed, natural: Array) -> tuple[Array, Array, Array]:
        """Mean, residual, and precision."""
        precision = np.exp(-2 * natural[0])
        if data.weights is not None:
            precision = precision * data.weights
        mu = self.mean(eta)
        return mu, data.y - mu, precision

    def density(self, eta: Array, data: Observed, natural: Array) -> tuple[Array, Array]:
        mu, rest, precision = self._parts(eta, data, natural)
        return -natural[0] - 0.5 * rest * rest * precision, rest * mu * precision

    def terms(self, eta: Array, data: Observed, natural: Array) -> Terms:
        mu, rest, precision = self._parts(eta, data, natural)
        scaled = mu * precision
        return Terms(
            -natural[0] - 0.5 * rest * rest * precision,
            rest * scaled,
            (mu - rest) * scaled,
            (3 * mu - rest) * scaled,
        )

    def own_value(self, eta: Array, data: Observed, natural: Array) -> list[Array]:
        _, rest, precision = self._parts(eta, data, natural)
        return [rest * rest * precision - 1]

    def own(
        self, eta: Array, data: Observed, natural: Array
    ) -> tuple[list[Array], list[Array], list[Array]]:
        terms = self.terms(eta, data, natural)
        return self.own_value(eta, data, natural), [-2 * terms.score], [-2 * terms.weight]

    def natural(self, free: Array) -> Array:
        return free

    def jacobian(self, free: Array) -> Array:
        return np.ones((len(free), 1, 1))

    def variance(self, mu: Array, data: Observed, natural: Array) -> Array:
        spread = np.exp(2 * natural[0])
        return np.broadcast_to(spread if data.weights is None else spread / data.weights, mu.shape)

    def unit_deviance(self, mu: Array, data: Observed, natural: Array) -> Array:
        return np.square(data.y - mu)

    def draw(self, eta: Array, data: Observed, natural: Array, rng: np.random.Generator) -> Array:
        mu = self.mean(eta)
        spread = np.sqrt(self.variance(mu, data, natural.reshape(1, 1)))
        return mu + spread * rng.standard_normal(mu.shape)
