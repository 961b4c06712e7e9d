"""A defined parameter held at a value, where it is not linear in the parameters."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

import teamlink as tl
from teamlink.fitting.fit import solve
from teamlink.structural.curved import CurvedModel, Surface, held_curved

from .models import data

MODEL = """
x1 ~ a*u
y ~ b*x1 + c*u
indirect := a*b
total := indirect + c
share := indirect / total
apart := a - b
wild := exp(a)*abs(b - c)^1.5 + sqrt(b^2 + 1)/log(2 + c^2)
"""
LATENT = "f =~ x1 + l*x2 + x3\ng =~ x4 + x5 + x6\nf ~ a*u\ng ~ b*f + u\nab := a*b*l\nb > 0.01"


@cache
def fit(text: str = MODEL) -> Any:
    return tl.sem(text, data())


def lowest(v: float) -> float:
    """The deviance with a b = v by sequential quadratic programming from three starts."""
    model, names = fit().model, list(fit().model.structure.names)
    i, j = names.index("a"), names.index("b")

    def deviance(x: Any) -> Any:
        value, slope, _ = model.derivatives(x[None], np.zeros(1, dtype=np.intp))
        return min(value[0], 1e9), slope[0]

    best = np.inf
    for seed in range(3):
        start = fit().x * (1 + 0.5 * np.random.default_rng(seed).normal(size=len(names)) * seed)
        held = {"type": "eq", "fun": lambda x: x[i] * x[j] - v}
        found = minimize(deviance, start, jac=True, method="SLSQP", constraints=held,
                         options={"ftol": 1e-11, "maxiter": 150})  # fmt: skip
        if abs(found.x[i] * found.x[j] - v) < 1e-9:
            best = min(best, found.fun)
    return best


# At zero the two branches a = 0 and b = 0 cross; below it the sign of one has changed.
@pytest.mark.parametrize("v", [-0.2, 0.0, 0.01, 0.1, 0.6])
def test_product_against_a_general_optimiser(v: float) -> None:
    solution = solve(fit().model.pin("indirect", np.array([v]), fit().working_theta))
    assert solution.converged[0]
    # One-sided: lower would be better, yet there is no lower; rounding of either is 1e-11.
    assert solution.deviance[0] == pytest.approx(lowest(v), abs=1e-7)


def test_a_linear_form_is_held_as_elimination_holds_it() -> None:
    values = np.array([-0.3, 0.1, 0.5])
    plain = solve(fit().model.pin("apart", values, fit().working_theta))
    curved = solve(held_curved(fit().model, "apart", values, fit().working_theta))
    np.testing.assert_allclose(curved.deviance, plain.deviance, atol=1e-9)


@pytest.mark.parametrize(("text", "term"), [(MODEL, "share"), (MODEL, "wild"), (LATENT, "ab")])
def test_derivatives_on_the_surface(text: str, term: str) -> None:
    own = fit(text)
    values = own.params[term] + own.bse[term] * np.array([-1.0, 0.5])
    model = held_curved(own.model, term, values, own.working_theta)
    assert isinstance(model, CurvedModel)
    z = 0.05 * np.random.default_rng(0).normal(size=model.starts()[0].shape)
    here, h = model.deviance(z), 1e-5
    np.testing.assert_allclose(model.surface.slopes(model.theta(z)[0])[0], values, rtol=1e-11)
    for j in range(z.shape[1]):
        step = h * np.eye(z.shape[1])[j]
        above, below = model.deviance(z + step), model.deviance(z - step)
        slope, bend = (above.value - below.value) / (2 * h), (above.gradient - below.gradient)
        np.testing.assert_allclose(here.gradient[:, j], slope, rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(here.hessian[:, j], bend / (2 * h), rtol=1e-5, atol=1e-3)


def test_curvature_of_a_definition() -> None:
    surface = Surface(fit().model, "wild")
    theta, h = fit().working_theta, 1e-5
    steps = h * np.eye(len(theta))
    slopes = (surface.slopes(theta + steps)[1] - surface.slopes(theta - steps)[1]) / (2 * h)
    np.testing.assert_allclose(surface.curvature(theta[None])[0], slopes, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("text", "term"), [(MODEL, "indirect"), (LATENT, "ab")])
def test_interval_of_an_indirect_effect(text: str, term: str) -> None:
    own = fit(text)
    row = tl.profile(own, which=term).conf_int().iloc[0]
    wald = own.conf_int().loc[term]
    # The likelihood of a product of positive effects is skewed to the right.
    assert wald["conf_low"] < row["conf_low"] < row["estimate"]
    assert wald["conf_high"] < row["conf_high"] < wald["conf_high"] + own.bse[term]


def test_interval_does_not_depend_on_how_the_effect_is_written() -> None:
    """The interval of a product's logarithm is the logarithm of its interval."""
    text = "x1 ~ a*u\ny ~ b*x1 + c*u\none := a*b\ntwo := log(a) + log(b)"
    found = tl.profile(fit(text), which=["one", "two"]).conf_int()
    one, two = found[["conf_low", "conf_high"]].to_numpy()
    np.testing.assert_allclose(np.log(one), two, rtol=1e-6)


def test_what_no_parameters_reach() -> None:
    text = "x1 ~ a*u\ny ~ b*x1 + c*u\nsquare := a^2"
    solution = solve(fit(text).model.pin("square", np.array([-0.5]), fit(text).working_theta))
    assert not solution.converged[0]


def test_estimates_given_the_value() -> None:
    model = fit().model.pin("indirect", np.array([0.25]), fit().working_theta)
    found = model.estimates(solve(model).theta)
    at = found.names.index("indirect")
    assert found.values[0, at] == pytest.approx(0.25, abs=1e-12)
    assert found.covariance[0, at, at] == pytest.approx(0, abs=1e-12)
    assert 0 < found.std_error[0, found.names.index("a")] < fit().bse["a"]
