"""Moments by missing-data pattern, by cluster and by cell are sums over the rows they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teamlink.moments.cells import cluster_cells
from teamlink.moments.clusters import cluster_moments, moments_by_size
from teamlink.moments.covariances import find_patterns, moments_by_pattern


def holed(seed, n=60, p=4, missing=0.3):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, p)) + 3.0
    y[rng.random(y.shape) < missing] = np.nan
    return y


class TestPatterns:
    @given(st.integers(0, 10_000), st.sampled_from([1, 3, 8, 9, 65]))
    def test_every_row_has_its_own(self, seed, p):
        y = holed(seed, 20, p)
        found = find_patterns(y)
        assert len(np.unique(found.observed, axis=0)) == len(found.observed)
        for row, code in zip(y, found.codes, strict=True):
            if code < 0:
                assert np.isnan(row).all()
            else:
                assert (found.observed[code] == ~np.isnan(row)).all()

    def test_the_complete_pattern_comes_first(self):
        assert find_patterns(holed(1)).observed[0].all()

    def test_rows_of_the_patterns_are_all_rows_but_the_empty(self):
        y = holed(2, missing=0.7)
        found = find_patterns(y)
        rows = np.concatenate(list(found.rows()))
        assert sorted(rows) == list(np.flatnonzero(~np.isnan(y).all(axis=1)))

    def test_no_variables_no_patterns(self):
        found = find_patterns(np.zeros((3, 0)))
        assert found.observed.shape == (0, 0)
        assert (found.codes == -1).all()

    def test_moments(self):
        y = holed(3)
        patterns = find_patterns(y)
        found = moments_by_pattern(y, patterns)
        for k, rows in enumerate(patterns.rows()):
            seen = patterns.observed[k]
            block = y[rows][:, seen]
            assert found.n[0, k] == len(rows)
            assert found.mean[0, k, seen] == pytest.approx(block.mean(axis=0), rel=1e-13)
            cov = found.cov[0, k][np.ix_(seen, seen)]
            expected = (block - block.mean(axis=0)).T @ (block - block.mean(axis=0)) / len(rows)
            assert cov == pytest.approx(expected, abs=1e-13)
            assert (found.mean[0, k, ~seen] == 0).all()
            assert (found.cov[0, k, ~seen] == 0).all()

    def test_weights_are_repeated_rows_even_far_from_zero(self):
        y = holed(4) + 1e6
        weights = np.random.default_rng(1).integers(0, 3, (3, len(y))).astype(float)
        patterns = find_patterns(y)
        found = moments_by_pattern(y, patterns, weights)
        for r in range(3):
            for k, rows in enumerate(patterns.rows()):
                seen = np.flatnonzero(patterns.observed[k])
                block = np.repeat(y[rows][:, seen], weights[r, rows].astype(int), axis=0)
                assert found.n[r, k] == len(block)
                if not len(block):
                    assert (found.cov[r, k] == 0).all()
                    continue
                assert found.mean[r, k, seen] == pytest.approx(block.mean(axis=0), rel=1e-14)
                cov = found.cov[r, k][np.ix_(seen, seen)]
                assert cov == pytest.approx(np.cov(block.T, bias=True).reshape(cov.shape), abs=1e-8)


def clustered(seed, n=300, J=25, p=3, q=2):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, J, n)
    codes[:J] = np.arange(J)
    # Nearly all variance between clusters: products about one mean would keep few digits.
    y = rng.normal(size=(n, p)) + 1e6 * rng.normal(size=(J, p))[codes]
    return y, rng.normal(size=(J, q)), codes, J


class TestClusters:
    def test_each_cluster(self):
        y, z, codes, J = clustered(1)
        found = cluster_moments(y, z, codes, J)
        for j in range(J):
            rows = y[codes == j]
            about = rows - rows.mean(axis=0)
            assert found.n[j] == len(rows)
            assert found.mean[j] == pytest.approx(rows.mean(axis=0), rel=1e-14)
            assert found.within[j] == pytest.approx(about.T @ about, abs=1e-7)

    def test_chunks_are_the_whole(self, monkeypatch):
        y, z, codes, J = clustered(2)
        whole = cluster_moments(y, z, codes, J)
        monkeypatch.setattr("teamlink.moments.clusters.CHUNK", 20)
        parts = cluster_moments(y, z, codes, J)
        assert parts.mean == pytest.approx(whole.mean, rel=1e-14)
        assert parts.within == pytest.approx(whole.within, abs=1e-8)

    def test_sums_by_size(self):
        y, z, codes, J = clustered(3)
        clusters = cluster_moments(y, z, codes, J)
        weights = np.random.default_rng(1).integers(0, 3, (2, J)).astype(float)
        found = moments_by_size(clusters, weights)
        v = np.concatenate([z, clusters.mean], axis=1)
        for r in range(2):
            for s, size in enumerate(found.sizes):
                members = np.repeat(v, (weights[r] * (clusters.n == size)).astype(int), axis=0)
                assert found.count[r, s] == len(members)
                if len(members):
                    assert found.mean[r, s] == pytest.approx(members.mean(axis=0), rel=1e-12)
                    expected = np.cov(members.T, bias=True)
                    assert found.cov[r, s] == pytest.approx(expected, rel=1e-9, abs=1e-3)
        assert found.rows == pytest.approx(weights @ clusters.n)
        assert found.clusters == pytest.approx(weights.sum(axis=1))

    def test_selected_and_scaled_are_those_of_the_variables(self):
        y, z, codes, J = clustered(4)
        whole = moments_by_size(cluster_moments(y, z, codes, J))
        picked = whole.select(np.array([1]), np.array([2, 0]))
        alone = moments_by_size(cluster_moments(y[:, [2, 0]], z[:, [1]], codes, J))
        centre, scale = np.array([1.0, 2.0, 3.0]), np.array([0.5, 2.0, 4.0])
        moved = (y[:, [2, 0]] - centre[1:]) / scale[1:]
        scaled = moments_by_size(cluster_moments(moved, (z[:, [1]] - 1.0) / 0.5, codes, J))
        for one, other in ((picked, alone), (picked.scaled(centre, scale), scaled)):
            for name in ("count", "mean", "cov", "within"):
                assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9)


class TestCells:
    def data(self, seed):
        y, z, codes, J = clustered(seed, n=120, J=15)
        rng = np.random.default_rng(seed)
        y = y / 1e6
        y[rng.random(y.shape) < 0.3] = np.nan
        return y, z, codes, J, rng.normal(size=(len(y), 2))

    def test_each_cell(self):
        y, z, codes, J, x = self.data(1)
        found = cluster_cells(y, z, codes, J, x)
        patterns = find_patterns(y)
        d = np.column_stack([np.ones(len(x)), x])
        upper = np.triu_indices(3)
        for c in range(len(found.pattern)):
            rows = (patterns.codes == found.pattern[c]) & (codes == found.cluster[c])
            about = np.nan_to_num(y[rows] - found.shift)
            assert rows.any()
            assert found.gram[c] == pytest.approx(d[rows].T @ d[rows], abs=1e-12)
            assert found.cross[c] == pytest.approx(d[rows].T @ about, abs=1e-12)
            assert found.second[c] == pytest.approx((about.T @ about)[upper], abs=1e-12)
        assert found.gram[:, 0, 0].sum() == (patterns.codes >= 0).sum()

    def test_selected_variables(self):
        y, z, codes, J, x = self.data(2)
        picked = cluster_cells(y, z, codes, J, x).select(np.array([1]), np.array([2, 0]))
        alone = cluster_cells(y[:, [2, 0]], z[:, [1]], codes, J, x)
        assert (picked.observed == alone.observed).all()
        assert (picked.cluster == alone.cluster).all()
        assert picked.gram == pytest.approx(alone.gram)
        assert picked.cross == pytest.approx(alone.cross, abs=1e-12)
        assert picked.second == pytest.approx(alone.second, abs=1e-12)

    def test_part_of_the_clusters(self):
        y, z, codes, J, x = self.data(3)
        some = np.array([7, 2, 11])
        part = cluster_cells(y, z, codes, J, x).part(some)
        rows = np.isin(codes, some)
        number = np.full(J, -1)
        number[some] = np.arange(3)
        alone = cluster_cells(y[rows], z[some], number[codes[rows]], 3, x[rows])
        assert part.counts().sum() == rows.sum() - np.isnan(y[rows]).all(axis=1).sum()
        assert part.gram[:, 0, 0].sum() == alone.gram[:, 0, 0].sum()
        assert sorted(part.cluster) == sorted(alone.cluster)
