"""What must not change: row order, labels, units, coding, splitting of terms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import teamlink as tl

seeds = st.integers(0, 10_000)


def draw(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    groups = int(rng.integers(6, 20))
    g = np.repeat(np.arange(groups), rng.integers(1, 12, groups))
    x, z = rng.normal(size=g.size), rng.normal(size=g.size)
    b = rng.normal(size=(groups, 2)) * rng.choice([0.0, 0.1, 1.0], 2)
    y = 2 + x - z + b[g, 0] + b[g, 1] * x + rng.normal(size=g.size)
    data = pd.DataFrame({"y": y, "x": x, "z": z, "g": g})
    return pd.concat([data, data.assign(y=rng.normal(size=g.size))], ignore_index=True)


FORMULA = "y ~ x + z + (x | g)"
common = settings(max_examples=settings().max_examples // 4)

# Both fits stop within 1e-10 of the optimum of a deviance of size 1e2 to 1e3.
SAME = {"abs": 1e-7}


@common
@given(seeds, st.booleans())
def test_row_order_and_labels(seed, reml):
    data = draw(seed)
    fit = tl.lmm(FORMULA, data, reml=reml)
    shuffled = data.sample(frac=1, random_state=seed).assign(g=lambda d: "s" + d["g"].astype(str))
    again = tl.lmm(FORMULA, shuffled, reml=reml)
    assert again.deviance == pytest.approx(fit.deviance, **SAME)
    assert again.params.to_numpy() == pytest.approx(fit.params.to_numpy(), abs=1e-5)


@common
@given(seeds, st.floats(-1e6, 1e6), st.sampled_from([1e-4, 3.0, 1e5]))
def test_response_in_other_units(seed, shift, scale):
    data = draw(seed)
    fit = tl.lmm(FORMULA, data, reml=False)
    again = tl.lmm(FORMULA, data.assign(y=shift + scale * data["y"]), reml=False)
    n = len(data)
    assert again.deviance == pytest.approx(fit.deviance + 2 * n * np.log(scale), abs=1e-3)
    # the shift leaves 1e-10 of a response of 1e6 with unit noise
    slopes = ["x", "z"]
    assert again.params[slopes].to_numpy() == pytest.approx(
        scale * fit.params[slopes].to_numpy(), rel=1e-3, abs=1e-3 * scale
    )


@common
@given(seeds, st.floats(-1e6, 1e6), st.sampled_from([1e-4, 1.0, 1e5]))
def test_predictor_moved_and_scaled_with_an_unstructured_covariance(seed, shift, scale):
    """With an intercept in the block, moving a slope's predictor changes Sigma, not the fit."""
    data = draw(seed)
    fit = tl.lmm(FORMULA, data, reml=False)
    again = tl.lmm(FORMULA, data.assign(x=shift + scale * data["x"]), reml=False)
    # a predictor of 1e6 with a spread of 1e-4 has six digits left
    tolerance = 1e-6 + 1e-8 * abs(shift / scale)
    if abs(shift / scale) < 1e7:
        assert again.deviance == pytest.approx(fit.deviance, abs=max(tolerance, 1e-6))
        assert again.params["x"] * scale == pytest.approx(fit.params["x"], rel=1e-4, abs=1e-4)


@common
@given(seeds)
def test_linear_recoding_of_the_fixed_part_moves_reml_by_its_determinant(seed):
    data = draw(seed).assign(s=lambda d: d["x"] + d["z"], d=lambda d: 2 * (d["x"] - d["z"]))
    fit = tl.lmm("y ~ x + z + (1 | g)", data)
    again = tl.lmm("y ~ s + d + (1 | g)", data)
    # (s, d) = (x, z) C with |det C| = 4; log|X'V^-1 X| gains 2 log 4
    assert again.deviance == pytest.approx(fit.deviance + 2 * np.log(4), **SAME)
    assert again.fittedvalues.to_numpy() == pytest.approx(fit.fittedvalues.to_numpy(), abs=1e-5)


@common
@given(seeds, st.booleans())
def test_every_row_twice_in_a_new_copy_of_its_group_doubles_the_ml_deviance(seed, shuffle):
    data = draw(seed)
    fit = tl.lmm(FORMULA, data, reml=False)
    twice = pd.concat([data, data.assign(g=data["g"] + 1000)], ignore_index=True)
    if shuffle:
        twice = twice.sample(frac=1, random_state=seed)
    again = tl.lmm(FORMULA, twice, reml=False)
    assert again.deviance == pytest.approx(2 * fit.deviance, abs=1e-6)
    assert again.bse.to_numpy() == pytest.approx(fit.bse.to_numpy() / np.sqrt(2), rel=1e-4)


@common
@given(seeds)
def test_uncorrelated_terms_written_apart_or_with_two_bars(seed):
    data = draw(seed)
    one = tl.lmm("y ~ x + z + (x || g)", data)
    two = tl.lmm("y ~ x + z + (1 | g) + (0 + x | g)", data)
    assert one.deviance == pytest.approx(two.deviance, **SAME)
    assert one.varcorr.equals(two.varcorr)


@common
@given(seeds)
def test_correlation_never_raises_the_deviance(seed):
    data = draw(seed)
    assert tl.lmm(FORMULA, data).deviance <= tl.lmm("y ~ x + z + (x || g)", data).deviance + 1e-7


@common
@given(seeds)
def test_within_and_between_are_the_parts_of_a_predictor(seed):
    """Mundlak: equal slopes within and between is the model with the predictor alone."""
    data = draw(seed)
    split = tl.lmm("y ~ within(x, g) + between(x, g) + z + (1 | g)", data, reml=False)
    plain = tl.lmm("y ~ x + between(x, g) + z + (1 | g)", data, reml=False)
    assert split.deviance == pytest.approx(plain.deviance, **SAME)
    assert split.params["within(x, g)"] == pytest.approx(plain.params["x"], abs=1e-6)
    contextual = split.params["between(x, g)"] - split.params["within(x, g)"]
    assert contextual == pytest.approx(plain.params["between(x, g)"], abs=1e-5)


@common
@given(seeds, st.integers(2, 5))
def test_refits_do_not_depend_on_their_company(seed, R):
    data = draw(seed)
    fit = tl.lmm(FORMULA, data)
    Y = np.random.default_rng(seed).normal(size=(len(data), R))
    together = tl.refit(fit, Y)
    alone = pd.concat([tl.refit(fit, Y[:, r]) for r in range(R)], ignore_index=True)
    assert together["deviance"].to_numpy() == pytest.approx(alone["deviance"].to_numpy(), abs=1e-8)
