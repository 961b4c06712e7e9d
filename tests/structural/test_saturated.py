"""Saturated two-level models: an optimum, the same one in any units, never below another's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teamlink.moments.clusters import moments_by_size
from teamlink.structural.clusterwise import clusterwise_point
from teamlink.structural.levelfit import (
    baseline_clusterwise,
    baseline_two_level,
    intraclass_correlations,
    srmr,
    srmr_between,
    srmr_within,
)
from teamlink.structural.saturated import saturated_clusterwise, saturated_two_level
from teamlink.structural.twolevel import two_level_point

from .dense import Data, deviance, made

BOTH = np.array([False, True, True])


def spread(seed, J=40, p=3, q=2, share=1.0, missing=0.0):
    """Rows whose first variable varies only within, with so much of the rest between clusters."""
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(J), rng.integers(2, 9, J)))
    u = np.sqrt(share) * rng.normal(size=(J, p)) @ rng.normal(size=(p, p))
    u[:, 0] = 0.0
    y = rng.normal(size=(len(codes), p)) @ rng.normal(size=(p, p)) + u[codes]
    z = rng.normal(size=(J, q)) + 0.5 * u[:, 1:2]
    y[rng.random(y.shape) < missing] = np.nan
    return Data(y, z, codes, np.zeros((len(codes), 0)))


def steepest(gradient, both):
    """The largest slope in a free moment."""
    b = np.flatnonzero(both)
    parts = [gradient.mu, gradient.mu_z, gradient.Sigma_w, gradient.Sigma_zz]
    parts += [gradient.Sigma_bz[:, b], gradient.Sigma_b[:, b[:, None], b]]
    return max(np.abs(part).max(initial=0.0) for part in parts)


class TestOptimum:
    def test_complete_data_leave_no_slope(self):
        data = spread(1)
        found = saturated_two_level(data.sizes(), BOTH)
        point = two_level_point(data.sizes(), found.moments)
        assert found.converged.all()
        assert not found.boundary.any()
        assert point.deviance == pytest.approx(found.deviance, rel=1e-13)
        assert found.deviance[0] == pytest.approx(deviance(data, found.moments), rel=1e-12)
        assert steepest(point.gradient, BOTH) < 1e-6

    def test_missing_values_leave_no_slope(self):
        data = spread(2, missing=0.2)
        z = data.z.copy()
        z[:4, 0] = np.nan
        data = Data(data.y, z, data.codes, data.x)
        found = saturated_clusterwise(data.cells(), BOTH)
        point = clusterwise_point(data.cells(), found.moments)
        assert found.converged.all()
        assert found.deviance[0] == pytest.approx(deviance(data, found.moments), rel=1e-12)
        assert steepest(point.gradient, BOTH) < 1e-6

    def test_cells_of_complete_data_give_the_same_model(self):
        data = spread(3)
        sizes = saturated_two_level(data.sizes(), BOTH)
        cells = saturated_clusterwise(data.cells(), BOTH)
        assert cells.deviance == pytest.approx(sizes.deviance, abs=1e-9)
        for one, other in zip(cells.moments.arrays, sizes.moments.arrays, strict=True):
            assert one == pytest.approx(other, rel=1e-6, abs=1e-7)

    def test_what_varies_only_within_and_z_have_the_sample_moments(self):
        data = spread(4)
        found = saturated_two_level(data.sizes(), BOTH).moments
        assert found.Sigma_w[0, 0, 0] == pytest.approx(data.y[:, 0].var(), rel=1e-10)
        assert found.Sigma_zz[0] == pytest.approx(np.cov(data.z.T, bias=True), rel=1e-10)
        assert (found.Sigma_b[0, 0] == 0).all()
        assert (found.Sigma_bz[0, 0] == 0).all()

    def test_balanced_clusters_have_the_moments_of_the_analysis_of_variance(self):
        rng = np.random.default_rng(5)
        J, n = 30, 6
        codes = np.repeat(np.arange(J), n)
        y = rng.normal(size=(J * n, 2)) + 2 * rng.normal(size=(J, 2))[codes]
        data = Data(y, np.zeros((J, 0)), codes, np.zeros((J * n, 0)))
        found = saturated_two_level(data.sizes(), np.array([True, True])).moments
        clusters = data.clusters()
        within = clusters.within.sum(axis=0) / (J * n - J)
        between = np.cov(clusters.mean.T, bias=True) - within / n
        assert found.Sigma_w[0] == pytest.approx(within, rel=1e-8)
        assert found.Sigma_b[0] == pytest.approx(between, rel=1e-8)


class TestBoundary:
    def test_no_variance_between_is_reported(self):
        rng = np.random.default_rng(6)
        codes = np.repeat(np.arange(25), 4)
        y = rng.normal(size=(100, 2))
        y -= 0.98 * np.array([y[codes == j].mean(axis=0) for j in range(25)])[codes]
        data = Data(y, np.zeros((25, 0)), codes, np.zeros((100, 0)))
        found = saturated_two_level(data.sizes(), np.array([True, True]))
        assert found.converged.all()
        assert found.boundary.all()
        assert found.moments.Sigma_b[0] == pytest.approx(np.zeros((2, 2)), abs=1e-10)
        # Variances below zero would do better: the slope at the boundary points outwards.
        slope = two_level_point(data.sizes(), found.moments).gradient.Sigma_b[0]
        assert np.linalg.eigvalsh(slope).min() > 0

    @pytest.mark.parametrize("seed", range(4))
    def test_fewer_clusters_than_variables(self, seed):
        rng = np.random.default_rng(seed)
        codes = np.repeat(np.arange(4), 15)
        y = rng.normal(size=(60, 5)) + rng.normal(size=(4, 5))[codes]
        data = Data(y, np.zeros((4, 0)), codes, np.zeros((60, 0)))
        found = saturated_two_level(data.sizes(), np.ones(5, dtype=bool))
        assert found.converged.all()
        assert found.boundary.all()
        b = found.moments.Sigma_b[0]
        # Optimality over positive semi-definite matrices: no slope within the range of Sigma_b,
        # and none that falls outside it.
        G = two_level_point(data.sizes(), found.moments).gradient.Sigma_b[0]
        assert np.abs(G @ b).max() < 1e-5
        assert np.linalg.eigvalsh(G).min() > -1e-5


class TestInvariance:
    @settings(max_examples=settings().max_examples // 4)
    @given(st.integers(0, 1000))
    def test_units(self, seed):
        rng = np.random.default_rng(seed)
        data = spread(seed)
        scale, shift = np.exp(rng.normal(size=3) * 3), rng.normal(size=3) * 100
        other = Data(data.y * scale + shift, data.z * 1e3, data.codes, data.x)
        plain = saturated_two_level(data.sizes(), BOTH)
        found = saturated_two_level(other.sizes(), BOTH)
        change = 2 * (len(data.y) * np.log(scale).sum() + data.J * 2 * np.log(1e3))
        assert found.deviance == pytest.approx(plain.deviance + change, abs=1e-6)
        assert found.moments.Sigma_b == pytest.approx(
            np.outer(scale, scale) * plain.moments.Sigma_b, rel=1e-4, abs=1e-4 * scale.max() ** 2
        )

    def test_order_of_variables(self):
        data = spread(8)
        order = np.array([2, 0, 1])
        other = Data(data.y[:, order], data.z, data.codes, data.x)
        plain = saturated_two_level(data.sizes(), BOTH)
        found = saturated_two_level(other.sizes(), BOTH[order])
        assert found.deviance == pytest.approx(plain.deviance, abs=1e-8)
        expected = plain.moments.Sigma_w[0][np.ix_(order, order)]
        assert found.moments.Sigma_w[0] == pytest.approx(expected, rel=1e-7)

    def test_replicates_are_separate_fits(self):
        data = spread(9)
        rng = np.random.default_rng(1)
        weights = rng.multinomial(data.J, np.full(data.J, 1 / data.J), 5).astype(float)
        together = saturated_two_level(moments_by_size(data.clusters(), weights), BOTH)
        holed = spread(9, missing=0.15)
        cells = saturated_clusterwise(holed.cells().weighted(weights), BOTH)
        assert together.converged.all()
        assert cells.converged.all()
        for r in (0, 4):
            alone = saturated_two_level(moments_by_size(data.clusters(), weights[r : r + 1]), BOTH)
            assert together.deviance[r] == pytest.approx(alone.deviance[0], abs=1e-8)
            alone = saturated_clusterwise(holed.cells().weighted(weights[r : r + 1]), BOTH)
            assert cells.deviance[r] == pytest.approx(alone.deviance[0], abs=1e-8)


class TestFitByLevel:
    def test_baseline_is_a_product(self):
        data = spread(10)
        none, first = np.zeros(3, dtype=bool), np.array([True, False])
        found = baseline_two_level(data.sizes(), BOTH, none, first)
        at = two_level_point(data.sizes(), found.moments)
        assert at.deviance == pytest.approx(found.deviance, abs=1e-8)
        for array in (found.moments.Sigma_w, found.moments.Sigma_b, found.moments.Sigma_zz):
            off = array[0] - np.diag(np.diag(array[0]))
            assert (off == 0).all()
        free = at.gradient
        for G in (free.Sigma_w, free.Sigma_zz):
            assert np.abs(np.diagonal(G[0])).max() < 1e-6

    def test_baseline_with_missing_values(self):
        data = spread(11, missing=0.2)
        none, every = np.zeros(3, dtype=bool), np.ones(2, dtype=bool)
        found = baseline_clusterwise(data.cells(), BOTH, none, every)
        at = clusterwise_point(data.cells(), found.moments)
        assert at.deviance == pytest.approx(found.deviance, abs=1e-8)
        assert np.abs(np.diagonal(at.gradient.Sigma_w[0])).max() < 1e-6
        complete = spread(11)
        one = baseline_clusterwise(complete.cells(), BOTH, none, every)
        other = baseline_two_level(complete.sizes(), BOTH, none, every)
        assert one.deviance == pytest.approx(other.deviance, abs=1e-8)

    def test_srmr_by_its_definition(self):
        data = spread(12)
        none, every = np.zeros(3, dtype=bool), np.zeros(2, dtype=bool)
        saturated = saturated_two_level(data.sizes(), BOTH).moments
        apart = baseline_two_level(data.sizes(), BOTH, none, every).moments
        within = [
            saturated.Sigma_w[0, i, j]
            / np.sqrt(saturated.Sigma_w[0, i, i] * saturated.Sigma_w[0, j, j])
            for i in range(3)
            for j in range(i)
        ]
        assert srmr_within(saturated, apart) == pytest.approx(np.sqrt(np.square(within).sum() / 6))
        # Four variables between clusters, of which the correlations are six.
        joint = np.block(
            [
                [saturated.Sigma_zz[0], saturated.Sigma_bz[0, 1:].T],
                [saturated.Sigma_bz[0, 1:], saturated.Sigma_b[0, 1:, 1:]],
            ]
        )
        scale = np.sqrt(np.diag(joint))
        lower = np.tril((joint / np.outer(scale, scale)) ** 2, -1).sum()
        assert srmr_between(saturated, apart, BOTH) == pytest.approx(np.sqrt(lower / 10))

    def test_srmr_of_a_negative_variance_is_missing(self):
        assert np.isnan(srmr(np.eye(2)[None], np.diag([1.0, -1.0])[None]))[0]

    def test_intraclass_correlations(self):
        data = spread(13)
        m = saturated_two_level(data.sizes(), BOTH).moments
        found = intraclass_correlations(m, BOTH)[0]
        assert found[0] == pytest.approx(
            m.Sigma_b[0, 1, 1] / (m.Sigma_b[0, 1, 1] + m.Sigma_w[0, 1, 1])
        )
        assert found.shape == (2,)


def test_made_clusters_are_never_empty():
    assert np.bincount(made(1).codes).min() >= 1
