"""The trust region: convex, curved, saddles, ridges, failures, many at once."""

from __future__ import annotations

import numpy as np
import pytest

from teamlink.fitting.model import Derivatives
from teamlink.fitting.optimize import minimize


def rosenbrock(theta, index):
    x, y = theta.T
    value = (1 - x) ** 2 + 100 * (y - x**2) ** 2
    gradient = np.stack([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)], axis=1)
    hessian = np.empty((len(x), 2, 2))
    hessian[:, 0, 0] = 2 - 400 * (y - 3 * x**2)
    hessian[:, 0, 1] = hessian[:, 1, 0] = -400 * x
    hessian[:, 1, 1] = 200
    return Derivatives(value, gradient, hessian)


def double_well(theta, index):
    """x^4 / 4 - x^2 / 2 + y^2: a saddle at the origin, minima at x = 1 and x = -1."""
    x, y = theta.T
    hessian = np.zeros((len(x), 2, 2))
    hessian[:, 0, 0], hessian[:, 1, 1] = 3 * x**2 - 1, 2
    return Derivatives(x**4 / 4 - x**2 / 2 + y**2, np.stack([x**3 - x, 2 * y], axis=1), hessian)


def test_a_curved_valley_from_many_starts_at_once():
    start = np.array([[-1.2, 1.0], [2.0, 2.0], [0.0, -3.0], [1.0, 1.0]])
    found = minimize(rosenbrock, start)
    assert found.converged.all()
    assert found.theta == pytest.approx(np.ones((4, 2)), abs=1e-6)
    assert found.iterations[3] <= 1


def test_each_problem_ends_where_it_would_alone():
    start = np.array([[-1.2, 1.0], [2.0, 2.0]])
    together = minimize(rosenbrock, start)
    for i in range(2):
        assert (minimize(rosenbrock, start[i : i + 1]).theta == together.theta[i]).all()


def test_a_saddle_is_left_though_its_gradient_is_exactly_zero():
    found = minimize(double_well, np.zeros((1, 2)))
    assert found.converged.all()
    assert np.abs(found.theta[0, 0]) == pytest.approx(1.0, abs=1e-6)
    assert found.derivatives.value[0] == pytest.approx(-0.25)


def test_a_ridge_on_which_nothing_changes_is_an_end():
    def ridge(theta, index):
        x, _ = theta.T
        gradient = np.stack([2 * (x - 3), np.zeros_like(x)], axis=1)
        hessian = np.tile(np.diag([2.0, 0.0]), (len(x), 1, 1))
        return Derivatives((x - 3) ** 2, gradient, hessian)

    found = minimize(ridge, np.array([[0.0, 5.0]]))
    assert found.converged.all()
    assert found.theta[0] == pytest.approx([3.0, 5.0])


def test_points_that_cannot_be_evaluated_are_stepped_back_from():
    def walled(theta, index):
        x = theta[:, 0]
        inside = x < 2
        value = np.where(inside, (x - 1.9) ** 2, np.inf)
        return Derivatives(value, 2 * (theta - 1.9), np.full((len(x), 1, 1), 2e-2))

    found = minimize(walled, np.array([[-5.0]]), max_iterations=300)
    assert found.theta[0, 0] == pytest.approx(1.9, abs=1e-3)


def test_an_objective_without_minimum_is_not_called_converged():
    def downhill(theta, index):
        k = theta.shape
        return Derivatives(-theta[:, 0], -np.ones(k), np.zeros((k[0], 1, 1)))

    found = minimize(downhill, np.zeros((1, 1)), max_iterations=20)
    assert not found.converged.any()
    assert found.iterations[0] == 20


def test_large_and_small_parameters_share_one_ball():
    target = np.array([1e6, 1e-3])

    def far(theta, index):
        weight = 1 / target**2
        return Derivatives(
            (weight * (theta - target) ** 2).sum(axis=1),
            2 * weight * (theta - target),
            np.tile(np.diag(2 * weight), (len(theta), 1, 1)),
        )

    found = minimize(far, np.ones((1, 2)))
    assert found.converged.all()
    assert found.theta[0] == pytest.approx(target, rel=1e-6)
