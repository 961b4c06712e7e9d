"""The binomial family: successes in a number of trials, by three links."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit, gammaln, log_ndtr, ndtr, xlogy

from teamlink.mixed.generalized.families import FAR, NoParameters, Observed, Terms
from teamlink.typing import Array

__all__ = ["Binomial"]

_HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))


def _logit(eta: Array, y: Array, m: Array) -> Terms:
    e = np.exp(-np.abs(eta))
    mu = np.where(eta >= 0, 1.0, e) / (1 + e)
    weight = m * (e / np.square(1 + e))
    value = y * eta - m * (np.maximum(eta, 0.0) + np.log1p(e))
    return Terms(value, y - m * mu, weight, weight * (1 - 2 * mu))


def _log_ndtr(eta: Array) -> Terms:
    """Terms of log Phi(eta)."""
    value = log_ndtr(eta)
    g = np.exp(-0.5 * eta * eta - _HALF_LOG_2PI - value)
    # eta + g is tiny beside eta far to the left; the continued fraction has it without loss.
    x = np.maximum(-eta, 20.0)
    far = 1 / (x + 2 / (x + 3 / (x + 4 / (x + 5 / (x + 6 / (x + 7 / x))))))
    rest = np.where(eta < -20.0, far, eta + g)
    weight = g * rest
    return Terms(np.asarray(value), g, weight, g * (1 - rest * rest) - g * weight)


def _probit(eta: Array, y: Array, m: Array) -> Terms:
    one, two = _log_ndtr(eta), _log_ndtr(-eta)
    no = m - y
    return Terms(
        y * one.value + no * two.value,
        y * one.score - no * two.score,
        y * one.weight + no * two.weight,
        y * one.slope - no * two.slope,
    )


def _cloglog(eta: Array, y: Array, m: Array) -> Terms:
    mu = np.exp(np.minimum(eta, FAR))
    a = np.where(mu < FAR, mu, 0.0) / np.expm1(np.minimum(mu, FAR))
    small = np.minimum(mu, 1e-3)
    rest = np.where(mu < 1e-3, small / 2 + small**2 / 12 - small**4 / 720, a + mu - 1)
    weight = a * rest
    slope = -weight * rest + a * mu - a * weight
    no = m - y
    return Terms(
        y * np.log(-np.expm1(-mu)) - no * mu,
        y * a - no * mu,
        y * weight + no * mu,
        y * slope + no * mu,
    )


_BINOMIAL: dict[str, Callable[[Array, Array, Array], Terms]] = {
    "logit": _logit,
    "probit": _probit,
    "cloglog": _cloglog,
}


@dataclass(frozen=True, slots=True)
class Binomial(NoParameters):
    """Successes in a number of trials.

    Attributes
    ----------
    link : "logit", "probit" or "cloglog"
    """

    name: ClassVar[str] = "binomial"
    link: str = "logit"

    def constant(self, data: Observed) -> Array:
        y, m = data.y, data.trials
        if (m == 1).all():
            return np.zeros(1)
        log_choose = gammaln(m + 1) - gammaln(y + 1) - gammaln(m - y + 1)
        total: Array = data.weighted(log_choose)[0].sum(axis=-1)
        return total

    def density(self, eta: Array, data: Observed, natural: Array) -> tuple[Array, Array]:
        if self.link != "logit":
            terms = self.terms(eta, data, natural)
            return terms.value, terms.score
        e = np.exp(-np.abs(eta))
        mu = np.where(eta >= 0, 1.0, e) / (1 + e)
        value = data.y * eta - data.trials * (np.maximum(eta, 0.0) + np.log1p(e))
        value, score = data.weighted(value, data.y - data.trials * mu)
        return value, score

    def terms(self, eta: Array, data: Observed, natural: Array) -> Terms:
        found = _BINOMIAL[self.link](eta, data.y, data.trials)
        if data.weights is None:
            return found
        return Terms(*data.weighted(found.value, found.score, found.weight, found.slope))

    def mean(self, eta: Array) -> Array:
        if self.link == "logit":
            return np.asarray(expit(eta), dtype=float)
        if self.link == "probit":
            return np.asarray(ndtr(eta), dtype=float)
        return -np.expm1(-np.exp(np.minimum(eta, FAR)))

    def variance(self, mu: Array, data: Observed, natural: Array) -> Array:
        return mu * (1 - mu) / data.trials

    def unit_deviance(self, mu: Array, data: Observed, natural: Array) -> Array:
        m = data.trials
        share = data.y / m
        deviance = xlogy(share, share) - xlogy(share, mu)
        deviance = deviance + xlogy(1 - share, 1 - share) - xlogy(1 - share, 1 - mu)
        loss: Array = 2 * m * np.asarray(deviance, dtype=float)
        return loss

    def draw(self, eta: Array, data: Observed, natural: Array, rng: np.random.Generator) -> Array:
        return np.asarray(rng.binomial(data.trials.astype(np.int64), self.mean(eta)), dtype=float)
