"""The joint distribution of random effects against dense algebra, and what is made of its draws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from teamlink.errors import OptionError
from teamlink.value_added.absorbed import absorbed, components_of
from teamlink.value_added.joint import joint_effects
from teamlink.value_added.ranks import rank_table
from teamlink.value_added.shrink import shrink


def world(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], list[int]]:
    rng = np.random.default_rng(seed)
    sizes = [7, 4, 9]
    codes = [np.concatenate([np.arange(s), rng.integers(0, s, n - s)]) for s in sizes]
    X = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    return rng.normal(size=n), X, codes, sizes


def dense(
    y: np.ndarray,
    X: np.ndarray,
    codes: list[np.ndarray],
    sizes: list[int],
    tau: np.ndarray,
    s: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, covariance with beta known, and with a flat prior on it; from V itself."""
    Z = np.column_stack([np.eye(size)[c] for c, size in zip(codes, sizes, strict=True)])
    G = np.diag(np.repeat(tau**2, sizes))
    V = Z @ G @ Z.T + s**2 * np.eye(len(y))
    Vi = np.linalg.inv(V)
    M = np.linalg.inv(X.T @ Vi @ X)
    beta = M @ X.T @ Vi @ y
    mean = G @ Z.T @ Vi @ (y - X @ beta)
    known = G - G @ Z.T @ Vi @ Z @ G
    loading = G @ Z.T @ Vi @ X
    return mean, known, known + loading @ M @ loading.T


@pytest.mark.parametrize("tau", [(0.5, 1.0, 0.2), (0.7, 0.0, 0.4)])
def test_means_and_variances(tau: tuple[float, ...]) -> None:
    y, X, codes, sizes = world(1)
    t = np.array(tau)
    mean, known, _ = dense(y, X, codes, sizes, t, 0.8)
    joint = joint_effects(y, X, codes, sizes, t, 0.8)
    assert joint.mean == pytest.approx(mean, abs=1e-12)
    everything = csr_array(np.eye(sum(sizes)))
    assert joint.variance(everything) == pytest.approx(np.diag(known), abs=1e-12)
    pair = csr_array(np.eye(sum(sizes))[[0]] + np.eye(sum(sizes))[[8]])
    K = pair.toarray()
    assert joint.variance(pair) == pytest.approx((K @ known @ K.T)[0], abs=1e-12)


def test_draws_have_the_covariance_with_a_flat_prior_on_the_coefficients() -> None:
    y, X, codes, sizes = world(2)
    t = np.array([0.5, 1.0, 0.0])
    mean, _, flat = dense(y, X, codes, sizes, t, 0.8)
    n = 40_000
    drawn = joint_effects(y, X, codes, sizes, t, 0.8).draws(n, np.random.default_rng(3))
    assert (drawn[:, 11:] == 0).all()
    sd = np.sqrt(np.diag(flat))[:11]
    # Five Monte-Carlo errors of a mean, and of a covariance of normals.
    assert (np.abs(drawn.mean(axis=0) - mean)[:11] < 5 * sd / np.sqrt(n)).all()
    gap = np.abs(np.cov(drawn[:, :11].T) - flat[:11, :11])
    error = np.sqrt(np.outer(sd**2, sd**2) + flat[:11, :11] ** 2) / np.sqrt(n)
    assert (gap < 5 * error).all()


def test_without_any_variance_all_effects_are_zero() -> None:
    y, X, codes, sizes = world(4)
    joint = joint_effects(y, X, codes, sizes, np.zeros(3), 1.0)
    assert (joint.mean == 0).all()
    assert (joint.draws(3, np.random.default_rng(1)) == 0).all()
    assert (joint.variance(csr_array(np.eye(sum(sizes)))) == 0).all()


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_fixed_effects_are_least_squares_with_dummies(seed: int) -> None:
    y, X, codes, _ = world(seed, n=80)
    one, two = codes[0], codes[1]
    if components_of(one, two, (7, 4)).any():
        return
    found = absorbed(y, X[:, 1:], ("a", "b"), [one, two], [7, 4])
    D = np.column_stack([X[:, 1:], np.eye(7)[one], np.eye(4)[two][:, 1:]])
    b = np.linalg.lstsq(D, y, rcond=None)[0]
    e = y - D @ b
    cov = (e @ e) / (len(y) - D.shape[1]) * np.linalg.inv(D.T @ D)
    assert found.estimates.values[0] == pytest.approx(b[:2], abs=1e-9)
    assert found.estimates.covariance[0] == pytest.approx(cov[:2, :2], rel=1e-8)
    M = np.eye(7) - 1 / 7
    assert found.effects[0] == pytest.approx(M @ b[2:9], abs=1e-9)
    assert found.covariances[0] == pytest.approx(M @ cov[2:9, 2:9] @ M, abs=1e-9)


def test_connected_sets() -> None:
    one, two = np.array([0, 1, 2, 2, 3]), np.array([0, 1, 1, 2, 3])
    assert components_of(one, two, (4, 4)).tolist() == [1, 0, 0, 0, 2]


class TestShrinkage:
    def test_is_the_posterior_mean_and_covariance(self) -> None:
        rng = np.random.default_rng(1)
        M = np.eye(12) - 1 / 12
        root = rng.normal(size=(12, 12)) * 0.2
        V = M @ root @ root.T @ M
        d = M @ rng.normal(size=12)
        found = shrink(d, V)
        tau2 = (d @ d - np.trace(V)) / 11
        assert found.tau == pytest.approx(np.sqrt(tau2), rel=1e-12)
        inverse = np.linalg.inv(tau2 * np.eye(12) + V)
        assert found.mean == pytest.approx(tau2 * inverse @ d, abs=1e-12)
        covariance = M @ (tau2 * np.eye(12) - tau2**2 * inverse) @ M
        assert found.root @ found.root.T == pytest.approx(covariance, abs=1e-12)

    def test_with_equal_precision_is_reliability_times_estimate(self) -> None:
        d = np.array([2.0, 1.0, 0.0, -1.0, -2.0])
        V = 0.5 * (np.eye(5) - 1 / 5)
        found = shrink(d, V)
        tau2 = (10 - 2) / 4
        assert found.mean == pytest.approx(tau2 / (tau2 + 0.5) * d)

    def test_noise_alone_is_shrunken_to_nothing(self) -> None:
        found = shrink(np.array([0.1, 0.0, -0.1]), np.eye(3))
        assert found.tau == 0
        assert (found.mean == 0).all()


class TestRanks:
    levels = pd.Index(["a", "b", "c", "d", "e"])

    def test_of_effects_that_are_sure(self) -> None:
        mean = np.array([1.0, 5.0, 3.0, 2.0, 4.0])
        drawn = mean + 1e-9 * np.random.default_rng(1).normal(size=(200, 5))
        table = rank_table(drawn, mean, self.levels, 0.2, 0.95)
        assert table["rank"].tolist() == table["expected_rank"].tolist() == [5, 1, 3, 4, 2]
        assert table["rank_low"].tolist() == table["rank_high"].tolist() == [5, 1, 3, 4, 2]
        assert table["p_top"].tolist() == [0, 1, 0, 0, 0]
        assert table["p_bottom"].tolist() == [1, 0, 0, 0, 0]
        assert table["percentile"].tolist() == [10, 90, 50, 30, 70]

    def test_of_effects_that_are_alike(self) -> None:
        drawn = np.random.default_rng(1).normal(size=(20_000, 5))
        table = rank_table(drawn, np.zeros(5), self.levels, 0.4, 0.9)
        assert table["expected_rank"].to_numpy() == pytest.approx(3, abs=0.06)
        assert table["p_top"].to_numpy() == pytest.approx(0.4, abs=0.02)
        # Ranks, and shares of the top two, add up in every draw.
        assert table["expected_rank"].sum() == pytest.approx(15)
        assert table["p_top"].sum() == pytest.approx(2)

    @pytest.mark.parametrize(("share", "level"), [(0, 0.95), (0.6, 0.95), (0.2, 1.0)])
    def test_refuses(self, share: float, level: float) -> None:
        with pytest.raises(OptionError):
            rank_table(np.zeros((2, 5)), np.zeros(5), self.levels, share, level)
