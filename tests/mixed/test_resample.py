"""Weighted groups against the same groups written out; reflated residuals against their target."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.fitting.fit import solve
from teamlink.mixed.resample import reflated

DEVIANCE = 1e-8
"""Sums over groups in another order and another working basis differ by rounding alone."""


def written_out(table, codes, weights):
    parts = [
        table[codes == j].assign(school=f"{j}-{k}")
        for j in range(len(weights))
        for k in range(int(weights[j]))
    ]
    return pd.concat(parts)


@pytest.mark.filterwarnings("ignore::teamlink.errors.BoundaryFit")
@pytest.mark.parametrize(
    ("df", "reml"),
    [
        ("satterthwaite", True),
        ("satterthwaite", False),
        ("residual", True),
        ("kenward-roger", True),
    ],
)
@pytest.mark.parametrize(
    "formula",
    [
        "mathach ~ 1 + (1 | school)",
        "mathach ~ cses + sector + (cses || school)",
        "mathach ~ meanses * cses + sector * cses + (cses | school)",
    ],
)
def test_weights_equal_groups_written_out(formula, reml, df):
    hsb = tl.datasets.load("hsb82")
    table = hsb[hsb["school"].isin(hsb["school"].unique()[::4])]
    fit = tl.lmm(formula, table, reml=reml, df=df)
    J = fit.ngroups["school"]
    W = np.random.default_rng(7).multinomial(J, np.full(J, 1 / J), size=4).astype(float)
    model = fit.model.with_group_weights(W, fit.working_theta)
    solution = solve(model)
    said, parts = model.estimates(solution.theta), model.components(solution.theta)
    codes = fit.model.design.factors[0].codes
    for r in (0, 3):
        whole = tl.lmm(formula, written_out(table, codes, W[r]), reml=reml, df=df)
        assert solution.deviance[r] == pytest.approx(whole.deviance, abs=DEVIANCE)
        assert said.values[r] == pytest.approx(whole.params.to_numpy(), rel=1e-7)
        assert said.std_error[r] == pytest.approx(whole.bse.to_numpy(), rel=1e-6)
        assert said.df[r] == pytest.approx(whole.df.to_numpy(), rel=1e-5)
        random = whole.tidy().query("effect == 'ran_pars'")
        assert list(parts.terms) == random["term"].tolist()
        sds = np.char.startswith(np.array(parts.terms), "sd__")
        mine, theirs = parts.values[r], random["estimate"].to_numpy()
        assert mine[sds] == pytest.approx(theirs[sds], rel=1e-6, abs=1e-6)
        if not whole.boundary:
            assert mine == pytest.approx(theirs, rel=1e-5)


def test_derivatives_under_weights_are_those_of_the_deviance():
    hsb = tl.datasets.load("hsb82")
    fit = tl.lmm("mathach ~ cses + (cses | school)", hsb)
    W = np.random.default_rng(2).uniform(0, 3, (2, 160))
    model = fit.model.with_group_weights(W, fit.working_theta)
    theta = np.array([[0.4, 0.1, 0.2], [0.3, -0.1, 0.3]])
    here = model.deviance(theta)
    h = 1e-4
    for k in range(3):
        step = np.zeros(3)
        step[k] = h
        up, down = model.deviance(theta + step), model.deviance(theta - step)
        assert here.gradient[:, k] == pytest.approx((up.value - down.value) / (2 * h), rel=1e-5)
        slope = (up.gradient - down.gradient) / (2 * h)
        assert here.hessian[:, k] == pytest.approx(slope, rel=1e-5, abs=1e-4)


def test_weightings_that_do_not_identify_the_model_are_known():
    hsb = tl.datasets.load("hsb82")
    fit = tl.lmm("mathach ~ sector + (1 | school)", hsb)
    catholic = np.zeros(160)
    sector = hsb.groupby(fit.model.design.factors[0].codes)["sector"].first().to_numpy()
    catholic[sector == "Catholic"] = 1
    alone = np.zeros(160)
    alone[3] = 160
    W = np.stack([np.ones(160), catholic, alone])
    assert fit.model.estimable(W).tolist() == [True, False, False]


def test_reflated_effects_have_the_covariance_asked_for():
    rng = np.random.default_rng(1)
    U = rng.standard_normal((40, 3)) @ np.diag([1, 10, 0.01]) + 5
    root = rng.standard_normal((3, 3)) * np.array([[3], [0.2], [50]])
    target = root @ root.T
    new = reflated(U, target)
    assert new.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-10)
    scale = np.sqrt(np.outer(np.diag(target), np.diag(target)))
    assert (new.T @ new / 40) / scale == pytest.approx(target / scale, abs=1e-10)


def test_reflated_effects_of_a_zero_variance_are_zero():
    U = np.column_stack([np.arange(6.0), np.zeros(6)])
    new = reflated(U, np.diag([4.0, 0.0]))
    assert new[:, 1].tolist() == [0.0] * 6
    assert new[:, 0].var() == pytest.approx(4)


def test_resampled_responses_have_the_variances_of_the_model():
    hsb = tl.datasets.load("hsb82")
    fit = tl.lmm("mathach ~ cses + (cses | school)", hsb)
    Y = fit.model.resample(fit.working_theta, 300, np.random.default_rng(1))
    rest = Y - (fit.model.fixed_columns @ fit.params.to_numpy())[:, None]
    Z = fit.model.design.factors[0].Z
    spread = np.einsum("ia,ab,ib->i", Z, fit.Lambda @ fit.Lambda.T, Z) + 1
    assert (rest**2).mean() == pytest.approx(fit.sigma**2 * spread.mean(), rel=0.01)
    assert abs(rest.mean()) < 0.05


def test_a_model_without_fixed_effects_is_resampled_too():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"g": rng.integers(0, 20, 300)})
    table["y"] = rng.normal(size=300) + rng.normal(size=20)[table["g"]]
    found = tl.bootstrap(tl.lmm("y ~ 0 + (1 | g)", table), 40, kind="cluster", seed=1)
    low = found.conf_int().set_index("term").loc["sd__Intercept", "conf_low"]
    assert low > 0
