"""Simulated responses: their moments, their seeds, their shape."""

from __future__ import annotations

import numpy as np
import pytest

import teamlink as tl


@pytest.fixture(scope="module")
def table():
    hsb = tl.datasets.load("hsb82")
    keep = hsb["school"].unique()[:12]
    return hsb[hsb["school"].isin(keep)]


@pytest.fixture(scope="module")
def fit(table):
    return tl.lmm("mathach ~ cses + (cses | school)", table)


def marginal(fit):
    design = fit.model.design
    codes, Z = design.factors[0].codes, design.factors[0].Z
    same = codes[:, None] == codes[None, :]
    Sigma = fit.Lambda @ fit.Lambda.T
    return fit.sigma**2 * (np.where(same, Z @ Sigma @ Z.T, 0) + np.eye(design.n))


def test_shape_index_and_columns(fit, table):
    Y = tl.simulate(fit, 4, seed=1)
    assert Y.shape == (len(table), 4)
    assert Y.index.equals(table.index)
    assert Y.columns.tolist() == [0, 1, 2, 3]


def test_index_is_that_of_the_rows_used(table):
    holes = table.copy()
    holes.loc[holes.index[[3, 10]], "cses"] = np.nan
    with pytest.warns(tl.errors.DroppedRows):
        fit = tl.lmm("mathach ~ cses + (1 | school)", holes)
    Y = tl.simulate(fit, seed=2)
    assert Y.index.equals(holes.index[~holes["cses"].isna()])


def test_mean_and_covariance_are_those_of_the_model(fit):
    n = 20_000
    Y = tl.simulate(fit, n, seed=5).to_numpy()
    X = fit.model.fixed_columns
    V = marginal(fit)
    z = (Y.mean(axis=1) - X @ fit.params.to_numpy()) / np.sqrt(np.diag(V) / n)
    assert np.abs(z).max() < 5  # the largest of some 500 correlated normal deviates
    rows = np.arange(0, len(Y), 25)
    S, W = np.cov(Y[rows]), V[np.ix_(rows, rows)]
    spread = np.sqrt((W**2 + np.outer(np.diag(W), np.diag(W))) / n)
    assert np.abs((S - W) / spread).max() < 5


def test_same_groups_keep_their_random_effects(fit):
    n = 4000
    Y = tl.simulate(fit, n, seed=5, groups="same").to_numpy()
    z = (Y.mean(axis=1) - fit.fittedvalues.to_numpy()) / (fit.sigma / np.sqrt(n))
    assert np.abs(z).max() < 5
    assert Y.std() < 10
    assert (Y - fit.fittedvalues.to_numpy()[:, None]).std() == pytest.approx(fit.sigma, rel=0.01)


@pytest.mark.parametrize("groups", ["new", "same"])
def test_seed_decides_and_more_replicates_leave_the_first_alone(fit, groups):
    few = tl.simulate(fit, 3, seed=9, groups=groups)
    assert few.equals(tl.simulate(fit, 3, seed=9, groups=groups))
    many = tl.simulate(fit, 8, seed=9, groups=groups)
    assert np.array_equal(many.to_numpy()[:, :3], few.to_numpy())
    assert not np.allclose(few, tl.simulate(fit, 3, seed=10, groups=groups))


def test_a_generator_goes_on_where_it_stands(fit):
    rng = np.random.default_rng(9)
    first, second = tl.simulate(fit, 2, rng), tl.simulate(fit, 3, rng)
    whole = tl.simulate(fit, 5, seed=9).to_numpy()
    assert np.array_equal(np.column_stack([first, second]), whole)


def test_a_variance_of_zero_gives_groups_that_do_not_differ(table):
    rng = np.random.default_rng(4)
    flat = table.assign(y=rng.standard_normal(len(table)))
    flat["y"] -= flat.groupby("school")["y"].transform("mean")
    fit = tl.lmm("y ~ cses + (1 | school)", flat)
    assert fit.boundary
    Y = tl.simulate(fit, 300, seed=1)
    means = Y.groupby(flat["school"].to_numpy()).mean()
    sizes = flat.groupby("school").size()
    expected = fit.sigma / np.sqrt(sizes)
    assert (means.std(axis=1) / expected).mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n=0"),
        ({"n": 2.5}, "n=2.5"),
        ({"n": "ten"}, "n='ten'"),
        ({"n": True}, "n=True"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": "one"}, "seed='one'"),
        ({"groups": "old"}, "groups='old'"),
    ],
)
def test_options_that_are_not_offered(fit, options, message):
    with pytest.raises(tl.OptionError, match=message):
        tl.simulate(fit, **options)
