"""The normal likelihood with missing values, against densities row by row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from teamlink.moments.covariances import find_patterns, moments_by_pattern
from teamlink.structural.fiml import normal_curvature, normal_point, row_scores
from teamlink.structural.levelfit import baseline_normal
from teamlink.structural.saturated import saturated_normal

from .dense import definite, slope


def rows(seed, n=40, p=3, missing=0.25):
    rng = np.random.default_rng(seed)
    y = rng.multivariate_normal(np.arange(p), definite(rng, p), n)
    y[rng.random(y.shape) < missing] = np.nan
    return y


def stats(y, weights=None):
    return moments_by_pattern(y, find_patterns(y), weights)


def by_row(y, mu, Sigma):
    total = 0.0
    for row in y:
        o = ~np.isnan(row)
        if o.any():
            total -= 2 * multivariate_normal(mu[o], Sigma[np.ix_(o, o)]).logpdf(row[o])
    return total


def somewhere(seed, p=3, K=4):
    rng = np.random.default_rng(seed)
    D = rng.normal(size=(K, p, p))
    return rng.normal(size=p), definite(rng, p), rng.normal(size=(K, p)), D + D.swapaxes(1, 2)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("p", [1, 3, 5])
class TestDerivatives:
    def test_deviance(self, p, missing):
        y = rows(1, p=p, missing=missing)
        mu, Sigma, _, _ = somewhere(2, p)
        point = normal_point(stats(y), mu[None], Sigma[None])
        assert point.deviance[0] == pytest.approx(by_row(y, mu, Sigma), rel=1e-12)

    def test_gradient(self, p, missing):
        y = rows(3, p=p, missing=missing)
        mu, Sigma, dmu, dSigma = somewhere(4, p)
        point = normal_point(stats(y), mu[None], Sigma[None])
        found = dmu @ point.mu[0] + (dSigma * point.Sigma[0]).sum(axis=(1, 2))
        for k in range(len(dmu)):
            numeric = slope(lambda h, k=k: by_row(y, mu + h * dmu[k], Sigma + h * dSigma[k]))
            assert found[k] == pytest.approx(numeric, rel=1e-7)

    def test_hessian(self, p, missing):
        data = stats(rows(5, p=p, missing=missing))
        mu, Sigma, dmu, dSigma = somewhere(6, p)

        def gradient(h, k):
            point = normal_point(data, (mu + h * dmu[k])[None], (Sigma + h * dSigma[k])[None])
            return dmu @ point.mu[0] + (dSigma * point.Sigma[0]).sum(axis=(1, 2))

        point = normal_point(data, mu[None], Sigma[None])
        found = normal_curvature(point).second(dmu[None], dSigma[None])[0]
        numeric = np.array([slope(lambda h, k=k: gradient(h, k)) for k in range(len(dmu))])
        assert found == pytest.approx(numeric, abs=1e-7 * np.abs(found).max())

    def test_expected_hessian_is_that_of_rows_that_fit(self, p, missing):
        # Where every pattern has mean mu and covariance Sigma, observed and expected agree.
        y = rows(7, p=p, missing=missing)
        mu, Sigma, dmu, dSigma = somewhere(8, p)
        data = stats(y)
        both = data.observed[:, :, None] & data.observed[:, None, :]
        fitting = type(data)(
            data.observed, data.n, np.where(data.observed, mu, 0.0)[None],
            np.where(both, Sigma, 0.0)[None],
        )  # fmt: skip
        point = normal_point(fitting, mu[None], Sigma[None])
        observed = normal_curvature(point).second(dmu[None], dSigma[None])
        point = normal_point(data, mu[None], Sigma[None])
        expected = normal_curvature(point, expected=True).second(dmu[None], dSigma[None])
        assert expected == pytest.approx(observed, rel=1e-10, abs=1e-10)

    def test_scores(self, p, missing):
        y = rows(9, n=12, p=p, missing=missing)
        y[3] = np.nan
        mu, Sigma, dmu, dSigma = somewhere(10, p)
        found = row_scores(y, find_patterns(y), mu, Sigma, dmu, dSigma)
        assert (found[3] == 0).all()
        for i in (0, 5):
            for k in range(len(dmu)):
                numeric = slope(
                    lambda h, i=i, k=k: by_row(y[[i]], mu + h * dmu[k], Sigma + h * dSigma[k])
                )
                assert found[i, k] == pytest.approx(-numeric / 2, rel=1e-7, abs=1e-8)


def test_where_sigma_is_not_positive_definite_the_deviance_is_infinite():
    mu, Sigma, _, _ = somewhere(1)
    bad = Sigma.copy()
    bad[0, 0] = -1.0
    both = normal_point(stats(rows(1)), np.array([mu, mu]), np.array([Sigma, bad]))
    assert np.isfinite(both.deviance[0])
    assert both.deviance[1] == np.inf


@given(st.integers(0, 10_000))
def test_weights_are_repeated_rows(seed):
    rng = np.random.default_rng(seed)
    y = rows(seed, n=15)
    weights = rng.integers(0, 3, (2, len(y))).astype(float)
    mu, Sigma, _, _ = somewhere(seed)
    found = normal_point(stats(y, weights), np.array([mu, mu]), np.array([Sigma, Sigma])).deviance
    for r in range(2):
        assert found[r] == pytest.approx(by_row(np.repeat(y, weights[r].astype(int), 0), mu, Sigma))


class TestSaturated:
    def test_complete_data_give_the_sample_moments(self):
        y = rows(1, missing=0.0)
        found = saturated_normal(stats(y))
        assert found.mu[0] == pytest.approx(y.mean(axis=0), rel=1e-9)
        assert found.Sigma[0] == pytest.approx(np.cov(y.T, bias=True), rel=1e-8, abs=1e-9)
        assert found.converged.all()

    def test_no_slope_is_left(self):
        data = stats(rows(2, n=80))
        found = saturated_normal(data)
        point = normal_point(data, found.mu, found.Sigma)
        assert point.deviance == pytest.approx(found.deviance, rel=1e-13)
        assert np.abs(point.mu).max() < 1e-6
        assert np.abs(point.Sigma).max() < 1e-6

    @pytest.mark.parametrize(("shift", "scale"), [(1e6, 1.0), (0.0, 1e-4), (-30.0, 1e4)])
    def test_units_do_not_matter(self, shift, scale):
        y = rows(3, n=60)
        plain, other = saturated_normal(stats(y)), saturated_normal(stats(shift + scale * y))
        seen = (~np.isnan(y)).sum()
        change = other.deviance - plain.deviance
        # A shift of a million leaves y ten of its sixteen digits.
        assert change == pytest.approx(2 * seen * np.log(scale), abs=1e-5 if shift else 1e-8)
        assert other.mu == pytest.approx(shift + scale * plain.mu, rel=1e-7)

    def test_replicates_are_separate_fits(self):
        y = rows(4, n=60)
        weights = np.random.default_rng(1).multinomial(60, np.full(60, 1 / 60), 3).astype(float)
        together = saturated_normal(stats(y, weights))
        assert together.converged.all()
        for r in range(3):
            alone = saturated_normal(stats(np.repeat(y, weights[r].astype(int), axis=0)))
            assert together.deviance[r] == pytest.approx(alone.deviance[0], abs=1e-8)

    def test_baseline_is_the_sum_of_independent_parts(self):
        y = rows(5, n=70, p=4)
        kept = np.array([True, False, True, False])
        found = baseline_normal(stats(y), kept)
        parts = [y[:, [0, 2]], y[:, [1]], y[:, [3]]]
        separate = sum(saturated_normal(stats(part)).deviance[0] for part in parts)
        assert found.deviance[0] == pytest.approx(separate, abs=1e-9)
        joint = normal_point(stats(y), found.mu, found.Sigma)
        assert joint.deviance[0] == pytest.approx(separate, abs=1e-8)
