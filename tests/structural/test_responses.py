"""Responses drawn from fits, and fits to them: one and two levels, with and without holes."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

import teamlink as tl

from .test_nested import MODEL, schools

ONE = "f =~ y1 + y2 + y3\nf ~ x + w"

CASES = {
    "complete": (ONE, 0.0, {}),
    "missing": (ONE, 0.2, {"missing": "fiml"}),
    "missing_random_x": (ONE, 0.2, {"missing": "fiml", "fixed_x": False}),
    "two_levels": (MODEL, 0.0, {"cluster": "school"}),
    "two_levels_random_x": (MODEL, 0.0, {"cluster": "school", "fixed_x": False}),
    "two_levels_groups": (MODEL, 0.0, {"cluster": "school", "group": "half"}),
    "two_levels_missing": (MODEL, 0.2, {"cluster": "school", "missing": "fiml"}),
}
cases = pytest.mark.parametrize("case", CASES)


@cache
def fitted(case):
    text, missing, options = CASES[case]
    return tl.sem(text, schools(21, J=80, missing=missing), **options)


def variables(fit, drawn):
    """One draw as a table of variables, rows in the order of the fit."""
    seen = fit.model.observations
    values = drawn.to_numpy().reshape(seen.n_rows, len(seen.names))
    return pd.DataFrame(values, columns=list(seen.names), index=seen.index)


@cases
def test_its_own_rows_give_the_fit_again(case):
    fit = fitted(case)
    seen = fit.model.observations
    own = seen._in_order().reshape(-1, 1)
    again = tl.refit(fit, np.hstack([own, own]))
    for r in (0, 1):
        part = again[again["replicate"] == r]
        assert part["deviance"].iloc[0] == pytest.approx(fit.deviance, rel=1e-9)
        assert part["estimate"].to_numpy() == pytest.approx(fit.params.to_numpy(), abs=1e-5)
        assert part["std_error"].to_numpy() == pytest.approx(fit.bse.to_numpy(), rel=1e-4)


@cases
def test_a_refit_is_a_fit_of_the_table_drawn(case):
    text, _, options = CASES[case]
    fit = fitted(case)
    drawn = tl.simulate(fit, 2, seed=3)
    again = tl.refit(fit, drawn)
    table = variables(fit, drawn[1])
    data = schools(21, J=80, missing=CASES[case][1]).loc[table.index]
    whole = tl.sem(text, data.assign(**table), **options)
    part = again[again["replicate"] == 1]
    assert part["deviance"].iloc[0] == pytest.approx(whole.deviance, abs=1e-6)
    assert part["estimate"].to_numpy() == pytest.approx(whole.params.to_numpy(), abs=1e-4)


@cases
def test_draws_have_what_is_given_and_what_is_missing(case):
    fit = fitted(case)
    seen = fit.model.observations
    own = pd.DataFrame(seen._in_order(), columns=list(seen.names), index=seen.index)
    table = variables(fit, tl.simulate(fit, 1, seed=1)[0])
    assert (table.isna() == own.isna()).all(axis=None)
    if fit.table.conventions.fixed_x:
        for name in ("x", "w"):
            np.testing.assert_array_equal(table[name], own[name])
    assert not np.isclose(table["y1"], own["y1"]).any()
    more, fewer = tl.simulate(fit, 3, seed=9), tl.simulate(fit, 2, seed=9)
    pd.testing.assert_frame_equal(more[[0, 1]], fewer)


@pytest.mark.parametrize("case", ["two_levels", "two_levels_random_x"])
def test_draws_have_the_moments_of_the_model(case):
    """Means over 300 draws of 80 schools; four standard errors of what is asked."""
    fit = fitted(case)
    codes = fit.model.observations.clusters[0]
    drawn = tl.simulate(fit, 300, seed=2).to_numpy()
    names = list(fit.model.observations.names)
    Y = drawn.reshape(len(codes), len(names), 300)[:, [names.index("y1"), names.index("y2")]]
    within, between = fit.implied(level=1)[0], fit.implied(level=2)[0]
    counts = np.bincount(codes)
    sums = np.zeros((len(counts), 2, 300))
    np.add.at(sums, codes, Y)
    means = sums / counts[:, None, None]
    rest = Y - means[codes]
    pooled = np.einsum("nir,njr->rij", rest, rest) / (len(codes) - len(counts))
    W = within.loc[["y1", "y2"], ["y1", "y2"]].to_numpy()
    error = pooled.std(axis=0) / np.sqrt(300)
    assert (np.abs(pooled.mean(axis=0) - W) < 4 * error + 0.02).all()
    centred = means - means.mean(axis=0)
    spread = np.einsum("jir,jkr->rik", centred, centred) / (len(counts) - 1)
    B = between.loc[["y1", "y2"], ["y1", "y2"]].to_numpy() + W * (1 / counts).mean()
    error = spread.std(axis=0) / np.sqrt(300)
    assert (np.abs(spread.mean(axis=0) - B) < 4 * error + 0.02).all()


@cases
def test_parametric_bootstrap(case):
    fit = fitted(case)
    boot = tl.bootstrap(fit, n=4, seed=1)
    assert not boot.failures
    assert np.isfinite(boot.bse.to_numpy()[~np.isnan(fit.bse.to_numpy())]).all()


def test_refused():
    fit = fitted("two_levels_missing")
    whole = np.nan_to_num(fit.model.observations._in_order()).reshape(-1, 1)
    with pytest.raises(tl.OptionError, match="other responses are missing"):
        tl.refit(fit, whole)
    with pytest.raises(tl.OptionError, match="new clusters only"):
        tl.simulate(fit, groups="same")
    fit = fitted("two_levels")
    rows = fit.model.observations._in_order().copy()
    rows[:, fit.model.observations.names.index("w")] += np.arange(len(rows))
    with pytest.raises(tl.DesignError, match="varies within"):
        tl.refit(fit, rows.reshape(-1, 1))
