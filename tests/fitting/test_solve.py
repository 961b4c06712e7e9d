"""`solve`: the best of several minima, each response for itself, failures kept apart."""

from __future__ import annotations

import numpy as np
import pytest

from teamlink.fitting.fit import solve
from teamlink.fitting.model import Derivatives


class Wells:
    """One parameter, two wells of different depth for the first response, one for the second."""

    def starts(self):
        return np.array([[[-1.5], [2.0]], [[1.5], [2.5]]])

    def further_starts(self):
        return np.array([[[-3.0], [9.0]], [[3.0], [9.0]]])

    def deviance(self, theta, index=None):
        x = theta[:, 0]
        first = np.zeros(len(x), bool) if index is None else index == 0
        value = np.where(first, (x**2 - 1) ** 2 + 0.2 * x, (x - 5) ** 2)
        slope = np.where(first, 4 * x * (x**2 - 1) + 0.2, 2 * (x - 5))
        bend = np.where(first, 12 * x**2 - 4, 2.0)
        return Derivatives(value, slope[:, None], bend[:, None, None])

    def estimates(self, theta):
        raise AssertionError("not asked for")


def test_the_deepest_well_wins_and_only_torn_responses_are_tried_further(monkeypatch):
    monkeypatch.setattr("teamlink.fitting.fit._FEW_STEPS", 0)
    solution = solve(Wells())
    assert solution.theta[0, 0] < 0
    assert solution.theta[1, 0] == pytest.approx(5.0)
    assert solution.starts.tolist() == [4, 2]
    assert solution.converged.all()
    assert "interior optimum" in solution.record(0).message


def test_an_optimum_next_to_the_first_start_needs_no_other():
    solution = solve(Wells())
    assert solution.starts.tolist() == [1, 1]
    assert solution.theta[:, 0] == pytest.approx([-1.0, 5.0], abs=0.05)


class Bottomless(Wells):
    def deviance(self, theta, index=None):
        k = theta.shape
        return Derivatives(-theta[:, 0], -np.ones(k), np.zeros((k[0], 1, 1)))


def test_a_response_without_minimum_says_so():
    solution = solve(Bottomless())
    assert not solution.converged.any()
    assert "stopped after" in solution.record(0).message
