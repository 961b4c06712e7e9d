"""The likelihood cluster by cluster, against whole clusters: missing values and random slopes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teamlink.structural import clusterwise
from teamlink.structural.clusterscores import clusterwise_scores
from teamlink.structural.clusterwise import clusterwise_hessian, clusterwise_point
from teamlink.structural.twolevel import two_level_hessian, two_level_point

from .dense import Data, deviance, information, made, moments, moved, slope, ways

# p, q, random slopes, how many vary only within, share missing, how far a variance is lowered
SHAPES = [
    (3, 0, 0, 0, 0.0, 0.0),
    (3, 2, 0, 0, 0.3, 0.0),
    (3, 2, 0, 1, 0.3, 0.0),
    (2, 1, 2, 0, 0.0, 0.0),
    (3, 2, 2, 0, 0.25, 0.0),
    (3, 0, 1, 1, 0.25, 0.0),
    (2, 1, 0, 0, 0.2, 0.05),
]


@pytest.mark.parametrize(("p", "q", "r", "only_within", "missing", "lowered"), SHAPES)
class TestDerivatives:
    def test_deviance(self, p, q, r, only_within, missing, lowered):
        data, like = made(1, p, q, r, missing=missing), moments(2, p, q, r, only_within, lowered)
        found = clusterwise_point(data.cells(), like).deviance[0]
        assert found == pytest.approx(deviance(data, like), rel=1e-12)

    def test_gradient(self, p, q, r, only_within, missing, lowered):
        data, like = made(3, p, q, r, missing=missing), moments(4, p, q, r, only_within, lowered)
        along = ways(5, like)
        found = clusterwise_point(data.cells(), like).gradient.along(along)[0]
        for k in range(len(found)):
            numeric = slope(lambda h, k=k: deviance(data, moved(like, along, k, h)))
            assert found[k] == pytest.approx(numeric, rel=1e-7, abs=1e-7 * np.abs(found).max())

    def test_hessian(self, p, q, r, only_within, missing, lowered, monkeypatch):
        # Three clusters at a time, so that the sum over blocks is tested too.
        monkeypatch.setattr(clusterwise, "_BLOCK", 3 * 5 * (p + r) ** 2)
        cells = made(6, p, q, r, missing=missing).cells()
        like = moments(7, p, q, r, only_within, lowered)
        along = ways(8, like)
        found = clusterwise_hessian(cells, clusterwise_point(cells, like), along)[0]

        def gradient(h, k):
            return clusterwise_point(cells, moved(like, along, k, h)).gradient.along(along)[0]

        numeric = np.array([slope(lambda h, k=k: gradient(h, k)) for k in range(len(found))])
        assert found == pytest.approx(numeric, abs=1e-7 * np.abs(found).max())

    def test_scores(self, p, q, r, only_within, missing, lowered):
        data = made(9, p, q, r, missing=missing)
        like = moments(10, p, q, r, only_within, lowered)
        along, cells = ways(11, like), data.cells()
        point = clusterwise_point(cells, like)
        found = clusterwise_scores(cells, point, like, along)
        total = point.gradient.along(along)[0]
        assert found.sum(axis=0) == pytest.approx(-total / 2, rel=1e-10, abs=1e-9)
        for k in range(found.shape[1]):
            numeric = slope(lambda h, k=k: deviance(data, moved(like, along, k, h), only=1))
            assert found[1, k] == pytest.approx(-numeric / 2, rel=1e-7, abs=1e-7)


def test_an_indefinite_covariance_that_a_cluster_cannot_bear_is_refused():
    # Two negative variances leave the determinant positive: the sign alone would not tell.
    data, like = made(1, 2, 0, largest=9), moments(2, 2, 0)
    bad = type(like)(like.mu, like.mu_z, np.eye(2)[None], -0.9 * np.eye(2)[None], *like.arrays[4:])
    assert deviance(data, bad) == np.inf
    assert clusterwise_point(data.cells(), bad).deviance[0] == np.inf


def test_complete_data_give_what_sums_by_size_give():
    data, like = made(1, J=12), moments(2)
    along = ways(3, like)
    sizes, cells = two_level_point(data.sizes(), like), clusterwise_point(data.cells(), like)
    assert cells.deviance == pytest.approx(sizes.deviance, rel=1e-13)
    for one, other in zip(cells.gradient.arrays, sizes.gradient.arrays, strict=True):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-9)
    hessian = two_level_hessian(sizes, along)
    found = clusterwise_hessian(data.cells(), cells, along)
    assert found == pytest.approx(hessian, rel=1e-9, abs=1e-9 * np.abs(hessian).max())


def test_expected_hessian_of_complete_data_is_that_by_size():
    data, like = made(4, J=12), moments(5)
    along = ways(6, like)
    sizes = two_level_hessian(two_level_point(data.sizes(), like), along, expected=True)
    point = clusterwise_point(data.cells(), like)
    found = clusterwise_hessian(data.cells(), point, along, expected=True)
    assert found == pytest.approx(sizes, rel=1e-9, abs=1e-9 * np.abs(sizes).max())


def test_expected_hessian_with_missing_values_is_the_information():
    data, like = made(7, missing=0.3), moments(8)
    along = ways(9, like, 3)
    point = clusterwise_point(data.cells(), like)
    found = clusterwise_hessian(data.cells(), point, along, expected=True)[0]
    assert found == pytest.approx(information(data, like, along), rel=1e-7)


def test_rows_and_clusters_of_which_nothing_is_observed_add_nothing():
    data, like = made(1, missing=0.2), moments(2)
    y, z = data.y.copy(), data.z.copy()
    gone = data.codes == 4
    y[gone], z[4] = np.nan, np.nan
    kept = Data(y[~gone], z, data.codes[~gone], data.x[~gone])
    emptied = Data(y, z, data.codes, data.x)
    found = clusterwise_point(emptied.cells(), like).deviance
    assert found == pytest.approx(clusterwise_point(kept.cells(), like).deviance, rel=1e-14)
    assert found == pytest.approx(deviance(emptied, like), rel=1e-12)


@given(st.integers(0, 10_000))
def test_order_of_clusters_and_rows(seed):
    rng = np.random.default_rng(seed)
    data, like = made(seed, r=1, missing=0.2), moments(seed, r=1)
    names, order = rng.permutation(data.J), rng.permutation(len(data.y))
    z = np.empty_like(data.z)
    z[names] = data.z
    other = Data(data.y[order], z, names[data.codes][order], data.x[order])
    plain = clusterwise_point(data.cells(), like).deviance
    assert clusterwise_point(other.cells(), like).deviance == pytest.approx(plain, rel=1e-11)


@given(st.integers(0, 10_000))
def test_cluster_weights_are_repeated_clusters(seed):
    rng = np.random.default_rng(seed)
    data, like = made(seed, r=1, missing=0.2), moments(seed, r=1)
    weights = rng.integers(0, 3, (2, data.J)).astype(float)
    both = type(like)(*(np.repeat(array, 2, axis=0) for array in like.arrays))
    found = clusterwise_point(data.cells().weighted(weights), both)
    each = np.array([deviance(data, like, only=j) for j in range(data.J)])
    assert found.deviance == pytest.approx(weights @ each, rel=1e-9, abs=1e-8)
    along = ways(seed, both, 2)
    along = type(along)(*(np.repeat(array, 2, axis=0) for array in along.arrays))
    hessian = clusterwise_hessian(data.cells().weighted(weights), found, along)
    for r in range(2):
        alone = data.cells().weighted(weights[r : r + 1])
        point = clusterwise_point(alone, like)
        single = type(along)(*(array[r : r + 1] for array in along.arrays))
        expected = clusterwise_hessian(alone, point, single)[0]
        assert hessian[r] == pytest.approx(expected, rel=1e-8, abs=1e-8)
