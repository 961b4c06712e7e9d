import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teamlink.registry.verdict import (
    Evidence,
    least_detected,
    nominal_band,
    type_m,
    type_s,
    verdict,
    weigh,
)
from teamlink.typing import Direction


def evidence(positive: int, negative: int, done: int, asked: int, mean: float = 0.0) -> Evidence:
    """Replicates of which so many are significant with each sign."""
    estimate = np.full(done, mean)
    estimate[:positive], estimate[positive : positive + negative] = 1.0, -1.0
    if mean == 0:
        estimate[positive + negative :: 2] += 1e-3
        estimate[positive + negative + 1 :: 2] -= 1e-3
    p = np.full(done, 0.5)
    p[: positive + negative] = 0.001
    return weigh(estimate, p, estimate - 5, estimate + 5, np.zeros(done), asked)


@pytest.mark.parametrize(
    ("positive", "negative", "recovered"),
    [
        (180, 0, "positive"),
        (101, 0, "positive"),
        (100, 0, "unclear"),
        (0, 150, "negative"),
        (6, 5, "null"),
        (11, 11, "unclear"),
        (21, 0, "null"),
        (60, 0, "unclear"),
    ],
)
def test_recovered_direction(positive: int, negative: int, recovered: str) -> None:
    assert evidence(positive, negative, 200, 200).recovered == recovered


def test_a_majority_is_not_enough_where_the_mean_may_be_zero() -> None:
    found = evidence(105, 95, 200, 200)
    assert found.low < 0 < found.high
    assert found.recovered == "unclear"


def test_failures_count_against_recovery() -> None:
    assert evidence(98, 0, 195, 195).recovered == "positive"
    assert evidence(98, 0, 195, 200).recovered == "unclear"
    assert evidence(98, 0, 195, 200).share("positive") == 98 / 200


def test_many_failures_are_unclear_whatever_the_rest_says() -> None:
    assert evidence(180, 0, 180, 200).recovered == "unclear"
    assert evidence(5, 0, 180, 200).recovered == "unclear"
    assert evidence(0, 0, 0, 200).recovered == "unclear"


@pytest.mark.parametrize(
    ("published", "counts", "expected"),
    [
        ("positive", (180, 0), "reproduced"),
        ("positive", (0, 180), "contradicted"),
        ("positive", (5, 5), "not detected"),
        ("positive", (60, 0), "inconclusive"),
        ("negative", (0, 180), "reproduced"),
        ("negative", (180, 0), "contradicted"),
        ("null", (5, 5), "reproduced"),
        ("null", (180, 0), "contradicted"),
        ("null", (0, 180), "contradicted"),
        ("null", (60, 0), "inconclusive"),
    ],
)
def test_verdicts(published: Direction, counts: tuple[int, int], expected: str) -> None:
    estimate = np.r_[np.ones(counts[0]), -np.ones(counts[1])]
    rest = 200 - len(estimate)
    # the rest leans to the side that has more
    lean = np.sign(counts[0] - counts[1]) * 0.5
    estimate = np.r_[estimate, np.where(np.arange(rest) % 2, 1e-3, -1e-3) + lean * 1e-2]
    p = np.r_[np.full(200 - rest, 0.01), np.full(rest, 0.6)]
    truth = estimate.copy()
    truth[:10] += 100
    found = weigh(estimate, p, estimate - 1, estimate + 1, truth, 200)
    assert found.coverage == 0.95
    assert verdict(published, found) == expected


@pytest.mark.parametrize("covered", [150, 175, 200])
def test_wrong_coverage_is_miscalibrated(covered: int) -> None:
    estimate = np.ones(200)
    truth = np.where(np.arange(200) < covered, 1.0, 9.0)
    found = weigh(estimate, np.full(200, 0.01), estimate - 1, estimate + 1, truth, 200)
    assert verdict("positive", found) == "miscalibrated"


@given(st.integers(1, 5000))
def test_band_holds_the_nominal_count(replicates: int) -> None:
    low, high = nominal_band(replicates)
    assert 0 <= low <= 0.05 * replicates <= high <= replicates


def test_shares_add_up() -> None:
    found = evidence(30, 20, 190, 200)
    shares = [found.share(d) for d in ("positive", "negative", "null")]
    assert shares == [0.15, 0.1, 0.7]
    assert found.failed == 10


@pytest.mark.parametrize(("magnitude", "expected"), [(1.0, "reproduced"), (9.0, "another size")])
def test_a_published_size_must_lie_in_most_intervals(magnitude: float, expected: str) -> None:
    rng = np.random.default_rng(1)
    estimate = 1 + 0.3 * rng.standard_normal(200)
    ends = estimate - 0.588, estimate + 0.588
    found = weigh(estimate, np.full(200, 0.01), *ends, np.ones(200), 200, magnitude)
    assert verdict("positive", found) == expected
    assert weigh(estimate, np.full(200, 0.01), *ends, np.ones(200), 200).compatible == -1


def test_exaggeration_and_wrong_signs_are_those_of_significant_replicates() -> None:
    estimate = np.array([0.4, 0.6, -0.5, 0.01])
    p = np.array([0.01, 0.01, 0.01, 0.9])
    found = weigh(estimate, p, estimate - 1, estimate + 1, np.full(4, 0.2), 4)
    assert found.exaggeration == pytest.approx((2 + 3 + 2.5) / 3)
    assert found.wrong_sign == pytest.approx(1 / 3)
    assert found.power == 0.75
    assert np.isnan(type_m(np.array([]), np.array([])))
    assert np.isnan(type_s(np.ones(2), np.zeros(2)))


def test_type_m_is_what_theory_says() -> None:
    """Against the truncated normal: E|b| given |b| > 1.96 se, at a power of about 0.17."""
    from scipy import stats

    rng = np.random.default_rng(2)
    d = 1.0
    b = d + rng.standard_normal(400_000)
    significant = np.abs(b) > 1.959964
    power = stats.norm.sf(1.959964 - d) + stats.norm.cdf(-1.959964 - d)
    upper = d * stats.norm.sf(1.959964 - d) + stats.norm.pdf(1.959964 - d)
    lower = d * stats.norm.cdf(-1.959964 - d) - stats.norm.pdf(-1.959964 - d)
    expected = (upper - lower) / power / d
    found = type_m(b[significant], np.full(significant.sum(), d))
    # 68,000 significant draws with a standard deviation near 0.5
    assert found == pytest.approx(expected, abs=0.01)


@given(st.integers(1, 2000), st.floats(0.05, 0.95))
def test_least_detected_is_below_the_power(replicates: int, power: float) -> None:
    assert 0 <= least_detected(replicates, power) <= replicates * power + 1
