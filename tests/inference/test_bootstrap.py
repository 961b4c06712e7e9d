"""The bootstrap: truth, seeds, failures that stay in sight."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.inference import replicates

KINDS = ("parametric", "cluster", "residual")


@pytest.fixture(scope="module")
def fit():
    return tl.lmm("mathach ~ cses + sector + (cses | school)", tl.datasets.load("hsb82"))


@pytest.fixture(scope="module")
def boots(fit):
    return {kind: tl.bootstrap(fit, 1000, kind, seed=3) for kind in KINDS}


@pytest.fixture(scope="module")
def rare():
    """Ten schools, of which two have the trait: one draw in nine has neither."""
    rng = np.random.default_rng(8)
    school = np.repeat(np.arange(10), 8)
    x = rng.standard_normal(80)
    y = x + rng.standard_normal(10)[school] + rng.standard_normal(80)
    return pd.DataFrame({"y": y, "x": x, "school": school, "trait": (school < 2) * 1.0})


@pytest.mark.parametrize("kind", ["parametric", "residual"])
def test_standard_errors_are_those_of_the_model(fit, boots, kind):
    """1,000 replicates know a standard error to 2.2 %."""
    ratio = boots[kind].bse[fit.params.index] / fit.bse
    assert np.abs(ratio - 1).max() < 0.1


def test_estimates_of_variances_vary_as_the_information_says(fit, boots):
    """The residual standard deviation has a standard error of sigma / sqrt(2 (n - J q))."""
    expected = fit.sigma / np.sqrt(2 * (fit.nobs - 2 * 160))
    for kind in ("parametric",):
        assert boots[kind].bse["sd__Observation"] == pytest.approx(expected, rel=0.1)


def test_cluster_standard_errors_are_robust_ones(fit):
    """They agree with the sandwich over schools, written out here, where the model is true."""
    hsb = tl.datasets.load("hsb82")
    table = hsb.assign(mathach=tl.simulate(fit, seed=1)[0])
    fit = tl.lmm("mathach ~ cses + sector + (cses | school)", table)
    boot = tl.bootstrap(fit, 1000, "cluster", seed=3)
    design, model = fit.model.design, fit.model
    X = model.fixed_columns
    bread, meat = np.zeros((3, 3)), np.zeros((3, 3))
    for j in range(design.factors[0].n_groups):
        rows = design.factors[0].codes == j
        Z, x = design.factors[0].Z[rows], X[rows]
        V = np.linalg.inv(Z @ fit.Lambda @ fit.Lambda.T @ Z.T + np.eye(rows.sum()))
        u = x.T @ V @ (design.y[rows] - x @ fit.params.to_numpy())
        bread += x.T @ V @ x
        meat += np.outer(u, u)
    inverse = np.linalg.inv(bread)
    robust = np.sqrt(np.diag(inverse @ meat @ inverse))
    ratio = boot.bse[fit.params.index].to_numpy() / robust
    assert np.abs(ratio - 1).max() < 0.1


def test_replicates_are_tidy_and_whole(fit, boots):
    table = boots["parametric"].replicates
    assert list(table.columns) == [
        "replicate", "effect", "group", "term", "estimate", "std_error", "boundary", "failure",
    ]  # fmt: skip
    assert len(table) == 1000 * 7
    assert table["term"].unique().tolist() == fit.tidy()["term"].tolist()
    assert table["replicate"].nunique() == 1000
    own = boots["parametric"].conf_int()["estimate"]
    assert own.to_numpy() == pytest.approx(fit.tidy()["estimate"].to_numpy())


def test_parametric_replicates_are_refits_of_simulated_responses(fit, boots):
    again = tl.refit(fit, tl.simulate(fit, 5, seed=3), random=True)
    mine = boots["parametric"].replicates.query("replicate < 5")
    assert mine["term"].tolist() == again["term"].tolist()
    assert mine["estimate"].to_numpy() == pytest.approx(again["estimate"].to_numpy(), nan_ok=True)


@pytest.mark.parametrize("kind", KINDS)
def test_seed_decides_and_batches_do_not(fit, boots, kind, monkeypatch):
    monkeypatch.setattr(replicates, "_BATCH", 7)
    few = tl.bootstrap(fit, 20, kind, seed=3)
    first = boots[kind].draws.values[:20]
    assert few.draws.values == pytest.approx(first, rel=1e-9, nan_ok=True)
    other = tl.bootstrap(fit, 20, kind, seed=4)
    assert not np.allclose(other.draws.values[:, 0], first[:, 0])


def test_intervals_agree_where_everything_is_nearly_normal(fit, boots):
    boot = boots["parametric"]
    wald = fit.conf_int()
    for kind in ("percentile", "basic", "bca", "studentized"):
        found = boot.conf_int(kind).query("effect == 'fixed'")
        apart = found[["conf_low", "conf_high"]].to_numpy() - wald.to_numpy()
        assert np.abs(apart / fit.bse.to_numpy()[:, None]).max() < 0.4
    narrow, wide = boot.conf_int(level=0.5), boot.conf_int(level=0.99)
    assert (narrow["conf_low"] > wide["conf_low"]).all()


def test_bca_uses_the_fits_without_each_group(rare):
    fit = tl.lmm("y ~ x + (1 | school)", rare)
    boot = tl.bootstrap(fit, 199, "cluster")
    for j in (0, 9):
        without = tl.lmm("y ~ x + (1 | school)", rare[rare["school"] != j])
        assert boot.jackknifed[j] == pytest.approx(without.tidy()["estimate"].to_numpy(), rel=1e-6)


def test_cluster_draws_that_fail_are_counted_shown_and_left_out(rare):
    fit = tl.lmm("y ~ x + trait + (1 | school)", rare)
    boot = tl.bootstrap(fit, 400, "cluster", seed=1)
    (reason,) = boot.failures
    assert reason == "the groups drawn do not identify the model"
    # neither of two schools in ten draws: 0.8^10 = 0.107
    assert 20 < boot.failures[reason] < 70
    table = boot.replicates
    failed = table[table["failure"] == reason]
    assert len(table) == 400 * 5
    assert len(failed) == 5 * boot.failures[reason]
    assert failed["estimate"].isna().all()
    assert f"of which {boot.failures[reason]} failed" in str(boot)
    assert "FAILED" in str(boot)
    assert np.isfinite(boot.conf_int()[["conf_low", "conf_high"]].to_numpy()).all()


def test_a_replicate_that_did_not_converge_is_left_out_of_intervals(boots):
    boot = boots["parametric"]
    wild = boot.draws.values.copy()
    wild[0] = 1e9
    reasons = ("did not converge", *boot.draws.failure[1:])
    spoiled = replace(boot, draws=replace(boot.draws, values=wild, failure=reasons))
    assert spoiled.failures == {"did not converge": 1}
    assert spoiled.bse.max() < 10
    assert spoiled.replicates["estimate"].max() == 1e9


def test_statistic_gets_estimates_by_term(fit, boots):
    def gap(estimates):
        return {"gap": estimates["sector[T.Catholic]"], "ratio": estimates["sd__cses"] / 2}

    boot = tl.bootstrap(fit, 200, seed=3, statistic=gap)
    plain = boots["parametric"].draws.values[:200]
    assert boot.draws.values[:, 0] == pytest.approx(plain[:, 2])
    assert boot.labels.terms == ("gap", "ratio")
    assert boot.conf_int("bca")["effect"].tolist() == ["statistic", "statistic"]
    with pytest.raises(tl.OptionError, match="no standard error"):
        boot.conf_int("studentized")


def test_a_statistic_that_fails_fails_its_replicate_only(fit):
    def half(estimates):
        if estimates["cses"] > fit.params["cses"] + 1e-9:
            raise ZeroDivisionError
        return estimates["cses"]

    boot = tl.bootstrap(fit, 50, statistic=half)
    assert 10 < boot.failures["the statistic raised ZeroDivisionError"] < 40
    with pytest.raises(tl.OptionError, match="into a number"):
        tl.bootstrap(fit, 5, statistic=lambda _: "text")


def test_studentized_intervals_take_the_errors_of_the_replicates(fit, boots):
    """A robust fit has other standard errors than its replicates."""
    again = tl.bootstrap(tl.robust(fit), 1000, seed=3)
    mine, plain = (
        b.conf_int("studentized").to_numpy()[:, 3:] for b in (again, boots["parametric"])
    )
    assert mine.astype(float) == pytest.approx(plain.astype(float))


def test_tests_agree_with_symmetric_intervals(fit, boots):
    boot = boots["parametric"]
    found = boot.tests(2.0).set_index("term")
    assert found.index.tolist() == list(fit.params.index)
    t = (fit.params["cses"] - 2) / fit.bse["cses"]
    assert found.loc["cses", "statistic"] == pytest.approx(t)
    k = boot.labels.keys.index("cses")
    each = np.abs(boot.draws.values[:, k] - fit.params["cses"]) / boot.draws.std_error[:, k]
    assert found.loc["cses", "p_value"] == pytest.approx((1 + (each >= abs(t)).sum()) / 1001)


def test_too_few_replicates_for_a_level_are_said(fit):
    with pytest.warns(tl.errors.FewReplicates, match="19 replicates are too few"):
        tl.bootstrap(fit, 19).conf_int()


def test_bca_that_does_not_exist_is_said_to(boots):
    boot = boots["parametric"]
    one_side = replace(boot, estimate=boot.draws.values.min(axis=0) - 1)
    with pytest.warns(tl.errors.BoundaryFit, match="no BCa interval"):
        ends = one_side.conf_int("bca")
    assert ends[["conf_low", "conf_high"]].isna().all(axis=None)


def test_progress_bar_is_shown_when_asked_for(fit):
    heard = io.StringIO()
    with redirect_stderr(heard):
        tl.bootstrap(fit, 10, progress=True)
    assert "10/10" in heard.getvalue()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"n": 0}, "n=0"), ({"kind": "wlid"}, "kind='wlid'"), ({"seed": -1}, "seed=-1")],
)
def test_options_that_are_not_offered(fit, options, message):
    with pytest.raises(tl.OptionError, match=message):
        tl.bootstrap(fit, **options)
    with pytest.raises(tl.OptionError, match="level=2"):
        tl.bootstrap(fit, 10).conf_int(level=2)


@pytest.mark.slow
def test_bootstrap_spread_is_the_spread_over_live_worlds():
    """Worlds drawn from a known truth: the mean bootstrap variance is the variance over worlds."""
    hsb = tl.datasets.load("hsb82")
    table = hsb[hsb["school"].isin(hsb["school"].unique()[:47])]
    truth = tl.lmm("mathach ~ cses + sector + (1 | school)", table)
    worlds = tl.simulate(truth, 400, seed=1)
    estimates = tl.refit(truth, worlds, random=True).pivot_table(
        index="replicate", columns="term", values="estimate"
    )
    spread = estimates.var()
    for kind in KINDS:
        found = []
        for w in range(60):
            fit = tl.lmm("mathach ~ cses + sector + (1 | school)", table.assign(mathach=worlds[w]))
            found.append(tl.bootstrap(fit, 200, kind, seed=w).bse ** 2)
        ratio = np.sqrt(pd.concat(found, axis=1).mean(axis=1) / spread)
        # 400 worlds know a standard deviation to 3.5 %; groups drawn from 47 fall 3 % short
        assert np.abs(ratio - 1).max() < 0.15, (kind, ratio)
