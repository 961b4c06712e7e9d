"""Zero is always stationary in theta: the optimiser must neither rest there nor shun it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.mixed.bind import bind
from teamlink.mixed.design import design


def grouped(seed: int, sd: float, groups: int = 40, size: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), size)
    x = rng.normal(size=g.size)
    b = rng.normal(size=(groups, 2)) * sd
    y = 1 + x + b[g, 0] + b[g, 1] * x + rng.normal(size=g.size)
    return pd.DataFrame({"y": y, "x": x, "g": g})


def score_in_variance(data: pd.DataFrame, reml: bool) -> float:
    """Derivative of the deviance in the variance ratio at zero, from the formula with V = I."""
    X = np.column_stack([np.ones(len(data)), data["x"]])
    Z = pd.get_dummies(data["g"]).to_numpy(float)
    e = data["y"] - X @ np.linalg.lstsq(X, data["y"], rcond=None)[0]
    M = np.eye(len(data)) - X @ np.linalg.pinv(X) if reml else np.eye(len(data))
    nu = len(data) - 2 if reml else len(data)
    return float(np.trace(Z.T @ M @ Z) - nu * np.square(Z.T @ e).sum() / np.square(e).sum())


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("seed", range(25))
def test_the_variance_is_zero_exactly_where_the_score_at_zero_is_not_negative(seed, reml):
    # With one variance the deviance has one minimum here, so the score at zero decides.
    data = grouped(seed, 0.0)
    fit = tl.lmm("y ~ x + (1 | g)", data, reml=reml)
    expected = score_in_variance(data, reml) >= 0
    assert (fit.theta[0] == 0.0) == expected
    assert fit.boundary == expected
    assert fit.converged


def test_a_saddle_at_zero_is_left():
    """The start is put exactly on the saddle where a first-order method would rest."""
    data = grouped(1, 0.5)
    model = bind(design("y ~ x + (x | g)", data), True, "satterthwaite")
    zero = np.zeros((1, 3))
    at_zero = model.deviance(zero)
    assert np.all(at_zero.gradient == 0)
    moved, again = model.settle(zero, np.zeros(1, dtype=int))
    assert again[0]
    assert model.deviance(moved).value[0] < at_zero.value[0]


def test_hsb_slope_variance_is_found_where_others_stop_at_zero():
    """With the slope variance held at zero the optimum is 46503.8377."""
    hsb = tl.datasets.load("hsb82")
    fit = tl.lmm("mathach ~ meanses * cses + sector * cses + (cses | school)", hsb)
    assert fit.deviance == pytest.approx(46503.662868126, abs=1e-6)
    assert fit.varcorr.loc[1, "vcov"] == pytest.approx(0.101216, abs=1e-6)
    assert not fit.boundary


def test_a_boundary_fit_is_flagged_and_not_warned_about():
    data = grouped(3, 0.0)
    fits = [tl.lmm("y ~ x + (x | g)", grouped(s, 0.0)) for s in range(6)]
    assert any(f.boundary for f in fits)
    for fit in fits:
        assert fit.converged
        assert np.isfinite(fit.df).all()
        if fit.boundary:
            assert "boundary" in str(fit.summary())
            assert np.linalg.matrix_rank(fit.Lambda, tol=1e-9) < 2
    assert len(data)


def test_perfect_correlation_is_a_boundary_of_rank_one():
    perfect = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        g = np.repeat(np.arange(30), 10)
        x = rng.normal(size=g.size)
        u = rng.normal(size=30)[g]
        y = 1 + x + u + 0.5 * u * x + rng.normal(size=g.size)
        fit = tl.lmm("y ~ x + (x | g)", pd.DataFrame({"y": y, "x": x, "g": g}))
        correlation = fit.varcorr.loc[2, "sdcor"]
        assert fit.boundary == (correlation > 1 - 1e-6)
        perfect += fit.boundary
    # about half of such samples have their optimum at a correlation of one
    assert 2 <= perfect <= 11


def test_no_residual_variance_is_a_fit_error():
    g = np.repeat(np.arange(5), 4)
    x = np.random.default_rng(0).normal(size=g.size)
    data = pd.DataFrame({"by_group": 1.0 * g, "by_x": 3 - 2 * x, "both": g + x, "g": g, "x": x})
    for formula in ["by_group ~ 1", "by_x ~ x", "both ~ x"]:
        with pytest.raises(tl.FitError, match="exactly"):
            tl.lmm(f"{formula} + (1 | g)", data)
