"""The rule by which replicates become a verdict, stated in words and applied in one place.

For one coefficient, over R replicates, each with an estimate and a two-sided test at the 5 % level:

- the recovered direction is *positive* (*negative*) where more than half of the R replicates find a
  significant effect of that sign and the 95 % interval of the mean estimate lies on that side of 0;
- it is *null* where the number of significant replicates, of either sign, is no larger than a test
  of a true zero allows: the 99.95 % point of a Binomial(R, 0.05);
- otherwise it is *unclear*; so it is where more than 5 % of the replicates failed. A failed
  replicate counts among the R and recovers nothing.

The verdict compares with the published direction: the same is *reproduced*; for a published effect,
none is *not detected* and the opposite is *contradicted*; for a published null, an effect of either
sign is *contradicted*; unclear is *inconclusive*. *Reproduced* also requires that the 95 %
intervals cover the true value about as often as they say (the number of misses lies between the
0.05 % and the 99.95 % point of the binomial); else the verdict is *miscalibrated*. Where a source
gives the size of the effect, *reproduced* requires further that more than half of the replicates'
intervals hold that size; else the verdict is *another size*.

A null claim's controls plant an effect. They must be contradicted, and detected in the stated share
of the replicates (*power*), down to the 0.05 % point of the binomial.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy import stats

from teamlink.typing import Array, Direction

__all__ = [
    "RULE",
    "Evidence",
    "Recovered",
    "Verdict",
    "least_detected",
    "nominal_band",
    "verdict",
    "weigh",
]

Recovered: TypeAlias = Literal["positive", "negative", "null", "unclear"]
Verdict: TypeAlias = Literal[
    "reproduced", "contradicted", "not detected", "inconclusive", "miscalibrated", "another size"
]

LEVEL = 0.05
TAIL = 0.0005
FAILED_AT_MOST = 0.05

RULE = (
    "A direction is recovered when more than half of the replicates find it significant (two-sided "
    "5 % level) and the 95 % interval of the mean estimate lies on that side of zero. No more "
    "significant replicates than a true zero would give (99.95 % point of the binomial) is no "
    "effect; anything between is inconclusive. Reproduced: the recovered direction is the "
    "published one, and the 95 % intervals cover the true value as often as they should (99.9 % "
    "band of the binomial) and, where a source gives a size, more than half of them hold it. "
    "Failed replicates count as not recovered."
)
"""The rule in a few sentences, as reports print it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What R replicates say about one coefficient.

    Attributes
    ----------
    replicates, failed : how many were asked for, and how many came to no result
    mean, low, high : mean estimate and its 95 % interval over replicates (t)
    positive, negative : replicates with a significant effect of that sign
    covered : replicates whose 95 % interval holds the true value
    recovered : the direction by the rule of this module
    compatible : replicates whose 95 % interval holds the published size; -1 where there is none
    exaggeration : mean ratio of estimate to true value, both without sign, over the significant
        replicates (type M error); nan where there is no effect or nothing is significant
    wrong_sign : share of the significant replicates whose sign is not the true one (type S error)
    """

    replicates: int
    failed: int
    mean: float
    low: float
    high: float
    positive: int
    negative: int
    covered: int
    recovered: Recovered
    compatible: int = -1
    exaggeration: float = float("nan")
    wrong_sign: float = float("nan")

    @property
    def power(self) -> float:
        """Share of all replicates that are significant, with either sign."""
        return (self.positive + self.negative) / self.replicates

    @property
    def done(self) -> int:
        """Replicates that came to a result."""
        return self.replicates - self.failed

    @property
    def coverage(self) -> float:
        """Share of the completed replicates whose interval holds the true value."""
        return self.covered / self.done if self.done else float("nan")

    @property
    def calibrated(self) -> bool:
        """Whether the misses are as many as 95 % intervals should have."""
        low, high = nominal_band(self.done)
        return low <= self.done - self.covered <= high

    def share(self, direction: Direction) -> float:
        """Share of all replicates that recover `direction`; a null is recovered by no finding."""
        counts = {"positive": self.positive, "negative": self.negative}
        none = self.done - self.positive - self.negative
        return counts.get(direction, none) / self.replicates

    def monte_carlo_error(self, direction: Direction) -> float:
        """Standard error that `share` has because the replicates are finitely many."""
        p = self.share(direction)
        return float(np.sqrt(p * (1 - p) / self.replicates))


def nominal_band(replicates: int) -> tuple[int, int]:
    """How many of `replicates` may reject a true null at the 5 % level: a 99.9 % band.

    Examples
    --------
    >>> nominal_band(200)
    (2, 21)
    """
    if replicates < 1:
        return 0, 0
    low = stats.binom.ppf(TAIL, replicates, LEVEL)
    return int(low), int(stats.binom.ppf(1 - TAIL, replicates, LEVEL))


def least_detected(replicates: int, power: float) -> int:
    """How many of `replicates` at least find an effect that is found with this power: 99.95 %.

    Examples
    --------
    >>> least_detected(200, 0.8)
    141
    """
    return int(stats.binom.ppf(TAIL, replicates, power)) if replicates else 0


def weigh(
    estimate: Array,
    p_value: Array,
    low: Array,
    high: Array,
    true_value: Array,
    replicates: int,
    magnitude: float | None = None,
) -> Evidence:
    """Gather what replicates say about one coefficient.

    Parameters
    ----------
    estimate, p_value : Array
        (r,), of the r replicates that came to a result.
    low, high : Array
        (r,), ends of their 95 % intervals.
    true_value : Array
        (r,), what the intervals should hold.
    replicates : int
        R >= r, how many were asked for.
    magnitude : float, optional
        The published size.

    Returns
    -------
    Evidence

    Examples
    --------
    >>> import numpy as np
    >>> b = np.array([0.9, 1.0, 1.1])
    >>> weigh(b, np.full(3, 0.01), b - 0.4, b + 0.4, np.ones(3), 3).recovered
    'positive'
    """
    done = len(estimate)
    significant = p_value < LEVEL
    positive = int((significant & (estimate > 0)).sum())
    negative = int((significant & (estimate < 0)).sum())
    mean = float(estimate.mean()) if done else float("nan")
    half = float("inf")
    if done > 1:
        half = float(stats.t.ppf(0.975, done - 1) * estimate.std(ddof=1) / np.sqrt(done))
    covered = int(((low <= true_value) & (true_value <= high)).sum())
    ends = mean - half, mean + half
    recovered: Recovered
    if replicates - done > FAILED_AT_MOST * replicates:
        recovered = "unclear"
    elif positive > replicates / 2 and ends[0] > 0:
        recovered = "positive"
    elif negative > replicates / 2 and ends[1] < 0:
        recovered = "negative"
    elif positive + negative <= nominal_band(done)[1]:
        recovered = "null"
    else:
        recovered = "unclear"
    counts = positive, negative, covered
    compatible = -1
    if magnitude is not None:
        compatible = int(((low <= magnitude) & (magnitude <= high)).sum())
    errors = (
        type_m(estimate[significant], true_value[significant]),
        type_s(estimate[significant], true_value[significant]),
    )
    failed = replicates - done
    return Evidence(replicates, failed, mean, *ends, *counts, recovered, compatible, *errors)


def type_m(estimate: Array, true_value: Array) -> float:
    """Expected exaggeration: how many times too large significant estimates are on average.

    Parameters
    ----------
    estimate, true_value : Array
        (s,), of the significant replicates.

    Returns
    -------
    float
        nan where there is none, or the true value is zero.

    References
    ----------
    .. [1] Gelman, Carlin (2014). Beyond power calculations: Assessing type S (sign) and type M
       (magnitude) errors. Perspectives on Psychological Science 9(6). doi:10.1177/1745691614551642

    Examples
    --------
    >>> import numpy as np
    >>> type_m(np.array([0.3, 0.5]), np.array([0.2, 0.2]))
    2.0
    """
    if not len(estimate) or not true_value.all():
        return float("nan")
    return float(np.mean(np.abs(estimate) / np.abs(true_value)))


def type_s(estimate: Array, true_value: Array) -> float:
    """Share of significant estimates with the wrong sign; see `type_m`."""
    if not len(estimate) or not true_value.all():
        return float("nan")
    return float(np.mean(np.sign(estimate) != np.sign(true_value)))


def verdict(published: Direction, evidence: Evidence) -> Verdict:
    """Compare what replicates recover with what a publication says.

    Parameters
    ----------
    published : "positive", "negative" or "null"
    evidence : Evidence

    Returns
    -------
    str
        "reproduced", "contradicted", "not detected", "inconclusive", "miscalibrated" or
        "another size".
    """
    if evidence.recovered == "unclear":
        return "inconclusive"
    if evidence.recovered == published:
        if not evidence.calibrated:
            return "miscalibrated"
        other_size = 0 <= evidence.compatible <= evidence.replicates / 2
        return "another size" if other_size else "reproduced"
    return "not detected" if evidence.recovered == "null" else "contradicted"
