"""Gradients and Hessians against central differences, in every combination of features."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import teamlink as tl
from teamlink.fitting.model import Derivatives
from teamlink.structural.estimation import Options, bind
from teamlink.structural.model import StructuralModel
from teamlink.typing import Array

from .models import COMBINATIONS, data

combinations = pytest.mark.parametrize("name", COMBINATIONS)


@cache
def model(name: str) -> StructuralModel:
    text, options = COMBINATIONS[name]
    found = tl.sem(text, data(), **options).model
    assert isinstance(found, StructuralModel)
    return found


@cache
def points(name: str) -> Array:
    """Three points (3, k) around the start, where the likelihood exists."""
    rng = np.random.default_rng(7)
    start = model(name).starts()[0]
    found = []
    while len(found) < 3:
        theta = start + 0.1 * np.maximum(np.abs(start), 0.2) * rng.normal(size=start.shape)
        if np.isfinite(model(name).deviance(theta).value[0]):
            found.append(theta[0])
    return np.array(found)


@cache
def around(name: str) -> tuple[Array, list[Derivatives]]:
    """Steps h (k, 3), and all that lies 1, -1, 2, -2 steps along each coordinate of the points."""
    theta = points(name)
    k = theta.shape[1]
    h = 1e-5 * np.maximum(np.abs(theta), 0.1).T
    ways = np.eye(k)[:, None, :] * h[:, :, None]
    one = np.zeros(3 * k, dtype=np.intp)
    return h, [
        model(name).deviance((theta + sign * ways).reshape(-1, k), one) for sign in (1, -1, 2, -2)
    ]


@combinations
def test_gradient(name: str) -> None:
    """Below 1e-7 of its own size: steps of 1e-5 leave 1e-10 of truncation, 1e-10 of rounding."""
    found = model(name).deviance(points(name), np.zeros(3, dtype=np.intp)).gradient
    size = np.abs(found).max(axis=1)
    h, sides = around(name)
    up, down, up2, down2 = (side.value.reshape(h.shape) for side in sides)
    slope = (8 * (up - down) - (up2 - down2)) / (12 * h)
    assert (np.abs(slope.T - found) <= 1e-7 * (1 + size)[:, None]).all()


@combinations
def test_hessian(name: str) -> None:
    found = model(name).deviance(points(name), np.zeros(3, dtype=np.intp)).hessian
    np.testing.assert_allclose(found, found.transpose(0, 2, 1), rtol=1e-9, atol=1e-9)
    size = np.abs(found).max(axis=(1, 2))
    h, sides = around(name)
    up, down = (side.gradient.reshape(*h.shape, -1) for side in sides[:2])
    slope = (up - down) / (2 * h[:, :, None])
    assert (np.abs(slope.transpose(1, 2, 0) - found) <= 1e-6 * (1 + size)[:, None, None]).all()


@combinations
def test_expected_information_is_the_mean_of_the_observed(name: str) -> None:
    """At moments that the model implies exactly, the two are one."""
    m = model(name)
    x = m.parameters(m.starts()[0])
    one = np.zeros(1, dtype=np.intp)
    states = m.states(x, one)
    from dataclasses import replace

    exact = replace(
        m.likelihood,
        groups=tuple(
            replace(group, mean=state.mu, covariance=state.Sigma)
            for group, state in zip(m.likelihood.groups, states, strict=True)
        ),
    )
    there = replace(m, likelihood=exact)
    observed, expected = (there.hessian(x, one, kind) for kind in ("observed", "expected"))
    np.testing.assert_allclose(observed, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


@combinations
def test_scores_sum_to_the_gradient(name: str) -> None:
    """And their products estimate the information (at the start, hence no equality)."""
    from teamlink.structural.robust import contributions, meat

    m = model(name)
    x = m.parameters(m.starts()[0])
    slots = [own.sum(axis=0) for own in contributions(m, x[0], "mlr")]
    summed = np.concatenate(slots) @ m.structure.selection
    gradient = m.derivatives(x, np.zeros(1, dtype=np.intp))[1][0]
    np.testing.assert_allclose(-2 * summed, gradient, rtol=1e-8, atol=1e-8 * len(data()))
    assert meat(m, contributions(m, x[0], "mlr")).shape == (m.structure.q,) * 2


@combinations
def test_deviance_is_that_of_the_rows(name: str) -> None:
    """The likelihood from moments is the sum of normal densities, those of fixed x taken off."""
    from scipy.stats import multivariate_normal

    m = model(name)
    x = m.parameters(m.starts()[0])
    total = 0.0
    for g, state in enumerate(m.states(x, np.zeros(1, dtype=np.intp))):
        seen = m.observations
        block = m.structure.blocks[g]
        Y = seen.values[g][:, seen.columns(block.observed)]
        mu = state.mu[0] if m.structure.table.meanstructure else Y.mean(axis=0)
        total -= 2 * multivariate_normal(mu, state.Sigma[0]).logpdf(Y).sum()
        fixed = [block.observed.index(v) for v in m.structure.table.roles[g].exogenous]
        if fixed and m.structure.table.conventions.fixed_x:
            X = Y[:, fixed]
            own = multivariate_normal(X.mean(axis=0), np.cov(X.T, ddof=0))
            total += 2 * own.logpdf(X).sum()
    assert m.deviance(m.starts()[0]).value[0] == pytest.approx(total, rel=1e-11)


def test_options_bind_without_fitting() -> None:
    """`bind` makes the model that `sem` fits."""
    m = model("factors")
    options = Options(None, None, "listwise", False, "ml", "expected")
    again = bind(m.structure.table, m.observations, options)
    np.testing.assert_array_equal(again.starts(), m.starts())
