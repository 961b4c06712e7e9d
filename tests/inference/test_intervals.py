"""Bootstrap intervals against their formulas written out, and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from teamlink.inference import intervals


def test_percentile_and_basic_are_order_statistics():
    sample = np.random.default_rng(1).permutation(np.arange(1.0, 200.0))
    assert intervals.percentile(sample, 0.95) == pytest.approx([5.0, 195.0])
    assert intervals.basic(sample, 80.0, 0.95) == pytest.approx([-35.0, 155.0])


def test_studentized_on_constant_errors_is_basic():
    sample = np.random.default_rng(2).normal(size=999)
    ends = intervals.studentized(sample, np.full(999, 0.5), 0.3, 0.5, 0.9)
    assert ends == pytest.approx(intervals.basic(sample, 0.3, 0.9))


def test_studentized_is_its_formula():
    rng = np.random.default_rng(3)
    sample, errors = rng.normal(1, 1, 99), rng.uniform(0.5, 2, 99)
    z = np.sort((sample - 1.2) / errors)
    expected = [1.2 - 0.7 * z[94], 1.2 - 0.7 * z[4]]
    assert intervals.studentized(sample, errors, 1.2, 0.7, 0.9) == pytest.approx(expected)


def test_acceleration_of_a_mean_is_its_skewness():
    x = np.random.default_rng(4).exponential(size=30)
    without = (x.sum() - x) / 29
    skewness = stats.skew(x) / (6 * np.sqrt(30))
    assert intervals.acceleration(without) == pytest.approx(skewness)
    assert intervals.acceleration(np.ones(5)) == 0


def test_bca_equals_scipy_on_the_mean_of_a_skewed_sample():
    x = np.random.default_rng(5).exponential(size=25)
    theirs = stats.bootstrap(
        (x,),
        np.mean,
        n_resamples=20_000,
        method="BCa",
        random_state=np.random.default_rng(6),
        axis=0,
    )
    sample = theirs.bootstrap_distribution
    ends, shares = intervals.bca(sample, x.mean(), (x.sum() - x) / 24, 0.95)
    # scipy takes quantiles at another rank convention: apart by a few of 20,000 ranks
    expected = [theirs.confidence_interval.low, theirs.confidence_interval.high]
    assert ends == pytest.approx(expected, rel=1e-3)
    assert shares[0] > 0.025
    assert shares[1] > 0.975


def test_bca_without_bias_or_skewness_is_percentile():
    sample = np.concatenate([-np.arange(1.0, 1000.0), [0.0], np.arange(1.0, 1000.0)])
    ends, shares = intervals.bca(sample, 0.0, np.array([-1.0, 0.0, 1.0]), 0.9)
    assert shares == pytest.approx([0.05, 0.95])
    assert ends == pytest.approx(intervals.percentile(sample, 0.9))


def test_bca_does_not_exist_where_all_lie_on_one_side():
    ends, shares = intervals.bca(np.ones(9), 0.0, np.arange(5.0), 0.9)
    assert np.isnan(ends).all()
    assert np.isnan(shares).all()
