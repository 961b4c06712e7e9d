"""Densities of the families against scipy, and their derivatives against differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit, ndtr

from teamlink.mixed.generalized.binomial import Binomial
from teamlink.mixed.generalized.families import Family, Observed
from teamlink.mixed.generalized.log_mean import GaussianLog, NegativeBinomial, Poisson
from teamlink.mixed.generalized.ordinal import Cumulative

N = 300
CUTS = (-1.0, 0.3, 1.2)


def case(name: str) -> tuple[Family, Observed, np.ndarray]:
    """A family with responses and natural parameters (P, 1, 1)."""
    rng = np.random.default_rng(4)
    ones, weights = np.ones(N), rng.uniform(0.5, 2.0, N)
    trials = rng.integers(1, 9, N).astype(float)
    kind, _, link = name.partition("-")
    if kind == "binomial":
        y = rng.binomial(trials.astype(int), 0.4).astype(float)
        return Binomial(link), Observed(y[None], trials, weights), np.empty((0, 1, 1))
    if kind == "ordinal":
        y = rng.integers(0, 4, N).astype(float)
        return Cumulative(4, link), Observed(y[None], ones, weights), np.reshape(CUTS, (3, 1, 1))
    if kind == "gaussian":
        y = rng.normal(size=N) + 3
        return GaussianLog(), Observed(y[None], ones, weights), np.full((1, 1, 1), 0.2)
    y = rng.poisson(3, N).astype(float)
    if kind == "poisson":
        return Poisson(), Observed(y[None], ones, weights), np.empty((0, 1, 1))
    return NegativeBinomial(), Observed(y[None], ones, weights), np.full((1, 1, 1), float(link))


CASES = (
    "binomial-logit", "binomial-probit", "binomial-cloglog", "poisson", "nb-0.4", "nb-0.001",
    "gaussian", "ordinal-logit", "ordinal-probit",
)  # fmt: skip
ETA = np.random.default_rng(5).normal(size=(1, N)) * 2.5


def slope(up: np.ndarray, down: np.ndarray, step: float) -> np.ndarray:
    return (up - down) / (2 * step)


# Central differences of step 1e-5 leave 1e-10 of a third derivative of order one, and 1e-11 of
# rounding; in probit's tails the weight is a difference that has lost three digits itself.
CLOSE = {"rtol": 2e-6, "atol": 1e-7}


@pytest.mark.parametrize("name", CASES)
def test_derivatives_in_the_linear_predictor(name: str) -> None:
    family, data, natural = case(name)
    step = 1e-5
    here = family.terms(ETA, data, natural)
    up, down = (family.terms(ETA + s * step, data, natural) for s in (1, -1))
    np.testing.assert_allclose(slope(up.value, down.value, step), here.score, **CLOSE)
    np.testing.assert_allclose(-slope(up.score, down.score, step), here.weight, **CLOSE)
    np.testing.assert_allclose(slope(up.weight, down.weight, step), here.slope, **CLOSE)
    value, score = family.density(ETA, data, natural)
    np.testing.assert_allclose(value, here.value, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(score, here.score, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", [c for c in CASES if case(c)[0].size])
def test_derivatives_in_the_own_parameters(name: str) -> None:
    family, data, natural = case(name)
    value, score, weight = family.own(ETA, data, natural)
    alone = family.own_value(ETA, data, natural)
    for k in range(family.size):
        step = 1e-5 * min(1.0, float(np.abs(natural[k, 0, 0])))
        up, down = natural.copy(), natural.copy()
        up[k] += step
        down[k] -= step
        one, two = family.terms(ETA, data, up), family.terms(ETA, data, down)
        loose = {"rtol": 2e-5, "atol": 2e-7} if step < 1e-6 else CLOSE
        np.testing.assert_allclose(slope(one.value, two.value, step), value[k], **loose)
        np.testing.assert_allclose(slope(one.score, two.score, step), score[k], **loose)
        np.testing.assert_allclose(slope(one.weight, two.weight, step), weight[k], **loose)
        np.testing.assert_allclose(alone[k], value[k], rtol=1e-14)


@pytest.mark.parametrize("name", [c for c in CASES if case(c)[0].size])
def test_free_parameters_and_their_jacobian(name: str) -> None:
    family, _, _ = case(name)
    free = np.random.default_rng(1).normal(size=(2, family.size))
    jacobian = family.jacobian(free)
    for k in range(family.size):
        move = 1e-6 * np.eye(family.size)[k]
        up, down = family.natural(free + move), family.natural(free - move)
        np.testing.assert_allclose((up - down) / 2e-6, jacobian[:, :, k], rtol=1e-7, atol=1e-8)


MODERATE = np.clip(ETA, -2, 2)
"""Probabilities near one, which scipy's densities are given, would be rounded away."""


def log_probability(name: str, data: Observed, natural: np.ndarray) -> np.ndarray:
    """The log density of each row by scipy, (n,)."""
    y, m, eta = data.y[0], data.trials, MODERATE[0]
    kind, _, link = name.partition("-")
    if kind == "binomial":
        mean = {"logit": expit, "probit": ndtr, "cloglog": lambda e: -np.expm1(-np.exp(e))}
        return stats.binom.logpmf(y, m, mean[link](eta))
    mu = np.exp(eta)
    if kind == "poisson":
        return stats.poisson.logpmf(y, mu)
    if kind == "nb":
        size = 1 / float(link)
        return stats.nbinom.logpmf(y, size, size / (size + mu))
    if kind == "gaussian":
        return stats.norm.logpdf(y, mu, np.exp(natural[0, 0, 0]) / np.sqrt(data.weights))
    F = expit if link == "logit" else ndtr
    below = np.concatenate([[-np.inf], CUTS, [np.inf]])
    codes = y.astype(int)
    return np.log(F(below[codes + 1] - eta) - F(below[codes] - eta))


@pytest.mark.parametrize("name", CASES)
def test_density_with_constants_is_that_of_scipy(name: str) -> None:
    family, data, natural = case(name)
    rows = family.terms(MODERATE, data, natural).value.sum() + family.constant(data)[0]
    theirs = log_probability(name, data, natural)
    weights = 1.0 if name == "gaussian" else data.weights
    assert rows == pytest.approx((weights * theirs).sum(), rel=1e-11)


def test_the_negative_binomial_has_the_poisson_as_its_limit() -> None:
    _, data, _ = case("poisson")
    limit = NegativeBinomial().terms(ETA, data, np.zeros((1, 1, 1)))
    poisson = Poisson().terms(ETA, data, np.empty((0, 1, 1)))
    for part in ("value", "score", "weight", "slope"):
        np.testing.assert_allclose(getattr(limit, part), getattr(poisson, part), rtol=1e-14)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_far_tails_stay_finite_and_of_the_right_sign(link: str) -> None:
    eta = np.array([[-700.0, -40.0, -8.0, 6.0, 40.0, 700.0]])
    for y in (0.0, 1.0):
        terms = Binomial(link).terms(eta, Observed(np.full((1, 6), y), np.ones(6), None), eta[:0])
        fine = np.isfinite(terms.value)
        assert fine[:, 1:4].all()
        assert (terms.weight[fine] >= 0).all()
        assert np.isfinite(terms.score[fine]).all()


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_ordinal_tails(link: str) -> None:
    family = Cumulative(3, link)
    eta = np.linspace(-30, 30, 13)[None]
    for y in (0.0, 1.0, 2.0):
        data = Observed(np.full((1, 13), y), np.ones(13), None)
        terms = family.terms(eta, data, np.reshape([-0.5, 0.5], (2, 1, 1)))
        for part in (terms.value, terms.score, terms.weight):
            assert np.isfinite(part).all()
        assert (terms.weight >= -1e-12).all()
        # A step of 5 is exact enough to see that the score is the slope of the value.
        total = integrate.simpson(terms.score[0], x=eta[0])
        assert total == pytest.approx(terms.value[0, -1] - terms.value[0, 0], abs=1.0)


def test_draws_have_the_mean_and_variance_they_say() -> None:
    rng = np.random.default_rng(9)
    n = 200_000
    eta = np.full(n, 0.4)
    data = Observed(np.zeros((1, n)), np.full(n, 5.0), None)
    nothing, alpha = np.empty((0, 1)), np.full((1, 1), 0.5)
    sigma = np.full((1, 1), np.log(0.7))
    for family, natural, per in (
        (Binomial("probit"), nothing, 5.0),
        (Poisson(), nothing, 1.0),
        (NegativeBinomial(), alpha, 1.0),
        (GaussianLog(), sigma, 1.0),
    ):
        drawn = family.draw(eta, data, natural, rng) / per
        mu = family.mean(eta)
        variance = np.broadcast_to(family.variance(mu, data, natural), mu.shape)[0]
        # Five standard errors of a mean of 200,000, and of a variance with heavy tails.
        assert drawn.mean() == pytest.approx(mu[0], abs=5 * np.sqrt(variance / n))
        assert drawn.var() == pytest.approx(variance, rel=0.05)


def test_unit_deviance_is_twice_the_loss_of_log_density() -> None:
    for name in ("binomial-logit", "poisson", "nb-0.4"):
        family, data, natural = case(name)
        mu = family.mean(ETA)
        plain = Observed(data.y, data.trials, None)
        best_eta = np.log(np.maximum(data.y, 1e-12))
        if name == "binomial-logit":
            share = np.clip(data.y / data.trials, 1e-13, 1 - 1e-13)
            best_eta = np.log(share / (1 - share))
        loss = (
            family.terms(best_eta, plain, natural).value - family.terms(ETA, plain, natural).value
        )
        np.testing.assert_allclose(
            family.unit_deviance(mu, plain, natural), 2 * loss, rtol=1e-8, atol=1e-9
        )
