"""Models with a component held: derivatives, what is held, and the optimum they pass through."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.fitting.fit import solve
from teamlink.mixed.pin import place_of


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(11)
    J, size = 40, 12
    g = np.repeat(np.arange(J), size)
    x, z = rng.standard_normal(J * size) + 3, 100 * rng.standard_normal(J * size)
    root = np.array([[1.0, 0, 0], [0.3, 0.6, 0], [0.002, -0.002, 0.004]])
    b = rng.standard_normal((J, 3)) @ root.T
    y = 2 + x + b[g, 0] + b[g, 1] * x + b[g, 2] * z + rng.standard_normal(J * size)
    return pd.DataFrame({"y": y, "x": x, "z": z, "g": g})


@pytest.fixture(scope="module")
def fits(table):
    full = tl.lmm("y ~ x + (x + z | g)", table)
    split = tl.lmm("y ~ x + (x | g) + (0 + z | g)", table)
    return {"full": full, "split": split}


CASES = [
    (key, term)
    for key, terms in {
        "full": ["sd__Intercept", "sd__x", "sd__z", "cor__Intercept.x", "cor__x.z"],
        "split": ["sd__Intercept", "sd__z", "cor__Intercept.x", "sd__Observation"],
    }.items()
    for term in terms
]


def at_optimum(fit):
    model = fit.model.maximum_likelihood()
    solution = solve(model)
    parts = model.components(solution.theta)
    values = dict(zip(parts.terms, parts.values[0], strict=True))
    return model, solution.theta[0], float(solution.deviance[0]), values


@pytest.mark.parametrize(("key", "term"), CASES)
def test_held_at_the_estimate_the_deviance_is_that_of_the_fit(fits, key, term):
    model, theta, deviance, values = at_optimum(fits[key])
    held = model.pin(term, np.array([values[term]]), theta)
    solution = solve(held)
    assert solution.converged.all()
    assert solution.deviance[0] == pytest.approx(deviance, abs=1e-7)


@pytest.mark.parametrize(("key", "term"), CASES)
def test_derivatives_are_those_of_the_deviance(fits, key, term):
    model, theta, _, values = at_optimum(fits[key])
    held = model.pin(term, values[term] * np.array([0.6, 0.9]), theta)
    point = held.starts()[0] + 0.07
    here = held.deviance(point)
    h = 1e-5
    for k in range(point.shape[1]):
        step = np.zeros(point.shape[1])
        step[k] = h
        up, down = held.deviance(point + step), held.deviance(point - step)
        slope = (up.value - down.value) / (2 * h)
        bend = (up.gradient - down.gradient) / (2 * h)
        size = 1 + np.abs(here.hessian).max()
        assert here.gradient[:, k] == pytest.approx(slope, rel=1e-5, abs=1e-6 * size)
        assert here.hessian[:, k] == pytest.approx(bend, rel=1e-5, abs=1e-6 * size)


@pytest.mark.parametrize(("key", "term"), CASES)
def test_what_is_held_stays_where_it_is_held(fits, key, term):
    model, theta, deviance, values = at_optimum(fits[key])
    wanted = values[term] * np.array([0.6, 0.9])
    held = model.pin(term, wanted, theta)
    solution = solve(held)
    assert (solution.deviance > deviance).all()
    factor, _, tau = held._factor(solution.theta, np.arange(2))
    sigma = np.exp(tau) * model.response.scale[0]
    written = model.random.T @ factor
    covariance = sigma[:, None, None] ** 2 * written @ written.transpose(0, 2, 1)
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    place = place_of(model, term)
    if not place:
        found = sigma
    elif len(place) == 1:
        found = sd[:, place[0]]
    else:
        found = covariance[:, place[0], place[1]] / (sd[:, place[0]] * sd[:, place[1]])
    assert found == pytest.approx(wanted, rel=1e-9)


def test_a_standard_deviation_held_at_zero_is_the_model_without_it(fits, table):
    model, theta, _, _ = at_optimum(fits["split"])
    held = solve(model.pin("sd__z", np.array([0.0]), theta))
    without = tl.lmm("y ~ x + (x | g)", table, reml=False)
    assert held.deviance[0] == pytest.approx(without.deviance, abs=1e-7)
    model, theta, _, _ = at_optimum(fits["full"])
    held = solve(model.pin("sd__Intercept", np.array([0.0]), theta))
    without = tl.lmm("y ~ x + (0 + x + z | g)", table, reml=False)
    assert held.converged.all()
    assert held.deviance[0] == pytest.approx(without.deviance, abs=1e-7)


def test_a_correlation_held_at_zero_is_the_model_without_it(fits, table):
    model, theta, _, _ = at_optimum(fits["split"])
    held = solve(model.pin("cor__Intercept.x", np.array([0.0]), theta))
    without = tl.lmm("y ~ x + (x || g) + (0 + z | g)", table, reml=False)
    assert held.deviance[0] == pytest.approx(without.deviance, abs=1e-7)


def test_a_held_coefficient_is_an_offset(fits, table):
    model, theta, deviance, _ = at_optimum(fits["split"])
    held = solve(model.pin("x", np.array([0.5, 1.5]), theta))
    for value, found in zip([0.5, 1.5], held.deviance, strict=True):
        offset = table.assign(y=table["y"] - value * table["x"])
        whole = tl.lmm("y ~ 1 + (x | g) + (0 + z | g)", offset, reml=False)
        assert found == pytest.approx(whole.deviance, abs=1e-7)
        assert found > deviance
