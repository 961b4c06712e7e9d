"""The two-level likelihood from sums by cluster size, against whole clusters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teamlink.moments.clusters import moments_by_size
from teamlink.structural.clusterscores import cluster_scores
from teamlink.structural.levels import LevelMoments
from teamlink.structural.twolevel import two_level_hessian, two_level_point

from .dense import Data, deviance, information, made, moments, moved, slope, ways

# p variables of rows, q of clusters, how many vary only within, how far a variance is lowered
SHAPES = [(3, 2, 0, 0.0), (3, 0, 0, 0.0), (4, 1, 2, 0.0), (1, 1, 0, 0.0), (3, 2, 0, 0.05)]


@pytest.mark.parametrize(("p", "q", "only_within", "lowered"), SHAPES)
class TestDerivatives:
    def test_deviance(self, p, q, only_within, lowered):
        data, like = made(1, p, q), moments(2, p, q, 0, only_within, lowered)
        found = two_level_point(data.sizes(), like).deviance[0]
        assert found == pytest.approx(deviance(data, like), rel=1e-12)

    def test_gradient(self, p, q, only_within, lowered):
        data, like = made(3, p, q), moments(4, p, q, 0, only_within, lowered)
        along = ways(5, like)
        found = two_level_point(data.sizes(), like).gradient.along(along)[0]
        for k in range(len(found)):
            numeric = slope(lambda h, k=k: deviance(data, moved(like, along, k, h)))
            assert found[k] == pytest.approx(numeric, rel=1e-7, abs=1e-7 * np.abs(found).max())

    def test_hessian(self, p, q, only_within, lowered):
        stats, like = made(6, p, q).sizes(), moments(7, p, q, 0, only_within, lowered)
        along = ways(8, like)
        found = two_level_hessian(two_level_point(stats, like), along)[0]

        def gradient(h, k):
            return two_level_point(stats, moved(like, along, k, h)).gradient.along(along)[0]

        numeric = np.array([slope(lambda h, k=k: gradient(h, k)) for k in range(len(found))])
        assert found == pytest.approx(numeric, abs=1e-7 * np.abs(found).max())

    def test_expected_hessian(self, p, q, only_within, lowered):
        data, like = made(9, p, q), moments(10, p, q, 0, only_within, lowered)
        along = ways(11, like, 3)
        found = two_level_hessian(two_level_point(data.sizes(), like), along, expected=True)[0]
        assert found == pytest.approx(information(data, like, along), rel=1e-7)

    def test_scores(self, p, q, only_within, lowered):
        data, like = made(12, p, q), moments(13, p, q, 0, only_within, lowered)
        along = ways(14, like)
        point = two_level_point(data.sizes(), like)
        found = cluster_scores(data.clusters(), point, like, along)
        total = point.gradient.along(along)[0]
        assert found.sum(axis=0) == pytest.approx(-total / 2, rel=1e-10, abs=1e-10)
        for k in range(found.shape[1]):
            numeric = slope(lambda h, k=k: deviance(data, moved(like, along, k, h), only=2))
            assert found[2, k] == pytest.approx(-numeric / 2, rel=1e-7, abs=1e-7)


def test_lowered_variance_between_clusters_is_indefinite():
    lowered = moments(2, 3, 2, 0, 0, 0.05)
    joint = np.block(
        [[lowered.Sigma_zz[0], lowered.Sigma_bz[0].T], [lowered.Sigma_bz[0], lowered.Sigma_b[0]]]
    )
    assert np.linalg.eigvalsh(joint).min() < 0


@pytest.mark.parametrize("which", ["Sigma_w", "Sigma_b", "Sigma_zz"])
def test_outside_the_space_of_moments_the_deviance_is_infinite(which):
    data, like = made(1), moments(2)
    bad = replace(
        like, **{which: getattr(like, which) - 100 * np.eye(getattr(like, which)[0].shape[0])}
    )
    assert deviance(data, bad) == np.inf
    assert two_level_point(data.sizes(), bad).deviance[0] == np.inf


class TestInvariance:
    @given(st.integers(0, 10_000))
    def test_order_of_clusters_and_rows(self, seed):
        rng = np.random.default_rng(seed)
        data, like = made(seed), moments(seed)
        names, order = rng.permutation(data.J), rng.permutation(len(data.y))
        z = np.empty_like(data.z)
        z[names] = data.z
        other = Data(data.y[order], z, names[data.codes][order], data.x[order])
        plain = two_level_point(data.sizes(), like).deviance
        assert two_level_point(other.sizes(), like).deviance == pytest.approx(plain, rel=1e-12)

    @given(st.integers(0, 10_000))
    def test_linear_maps_of_the_variables(self, seed):
        rng = np.random.default_rng(seed)
        data, like = made(seed), moments(seed)
        A, B = rng.normal(size=(3, 3)) + 2 * np.eye(3), rng.normal(size=(2, 2)) + 2 * np.eye(2)
        a, b = rng.normal(size=3), rng.normal(size=2)
        other = Data(data.y @ A.T + a, data.z @ B.T + b, data.codes, data.x)
        mapped = LevelMoments.without_slopes(
            like.mu @ A.T + a, like.mu_z @ B.T + b, A @ like.Sigma_w @ A.T, A @ like.Sigma_b @ A.T,
            A @ like.Sigma_bz @ B.T, B @ like.Sigma_zz @ B.T,
        )  # fmt: skip
        change = 2 * len(data.y) * np.log(abs(np.linalg.det(A)))
        change += 2 * data.J * np.log(abs(np.linalg.det(B)))
        plain = two_level_point(data.sizes(), like).deviance
        found = two_level_point(other.sizes(), mapped).deviance
        assert found == pytest.approx(plain + change, rel=1e-8)

    @given(st.integers(0, 10_000))
    def test_every_cluster_twice_doubles_the_deviance(self, seed):
        data, like = made(seed), moments(seed)
        once, twice = data.sizes(), moments_by_size(data.clusters(), np.full((1, data.J), 2.0))
        written = Data(
            np.tile(data.y, (2, 1)), np.tile(data.z, (2, 1)),
            np.concatenate([data.codes, data.codes + data.J]), np.tile(data.x, (2, 1)),
        )  # fmt: skip
        plain = two_level_point(once, like).deviance
        assert two_level_point(twice, like).deviance == pytest.approx(2 * plain, rel=1e-12)
        assert two_level_point(written.sizes(), like).deviance == pytest.approx(
            2 * plain, rel=1e-12
        )

    @given(st.integers(0, 10_000))
    def test_cluster_weights_are_repeated_clusters(self, seed):
        rng = np.random.default_rng(seed)
        data, like = made(seed), moments(seed)
        weights = rng.integers(0, 3, (2, data.J)).astype(float)
        both = LevelMoments(*(np.repeat(array, 2, axis=0) for array in like.arrays))
        point = two_level_point(moments_by_size(data.clusters(), weights), both)
        each = np.array([deviance(data, like, only=j) for j in range(data.J)])
        assert point.deviance == pytest.approx(weights @ each, rel=1e-10, abs=1e-9)


def test_replicates_are_separate_points():
    data = made(1)
    several = [moments(seed) for seed in range(3)]
    stacked = LevelMoments(
        *(np.concatenate(parts) for parts in zip(*(m.arrays for m in several), strict=True))
    )
    together = two_level_point(data.sizes(), stacked)
    for r, like in enumerate(several):
        alone = two_level_point(data.sizes(), like)
        assert together.deviance[r] == pytest.approx(alone.deviance[0], rel=1e-13)
        for whole, part in zip(together.gradient.arrays, alone.gradient.arrays, strict=True):
            assert whole[r] == pytest.approx(part[0], rel=1e-11, abs=1e-11)
