"""Many responses at once: what goes in, what comes back, nothing lost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import teamlink as tl


@pytest.fixture(scope="module")
def fit():
    return tl.lmm("mathach ~ cses + (cses | school)", tl.datasets.load("hsb82"))


@pytest.fixture(scope="module")
def responses(fit):
    return fit.model.simulate(fit.working_theta, 300, np.random.default_rng(3))


def test_every_replicate_comes_back_across_batches(fit, responses):
    table = tl.refit(fit, responses)
    assert table.groupby("replicate").size().tolist() == [2] * 300
    assert list(table.columns) == [
        "replicate", "term", "estimate", "std_error", "statistic", "df", "p_value", "deviance",
        "converged", "boundary",
    ]  # fmt: skip
    assert table["converged"].all()
    # unbiased: the mean of 300 estimates lies within four of its standard errors
    means = table.groupby("term")["estimate"].agg(["mean", "sem"])
    assert (np.abs(means["mean"] - fit.params) < 4 * means["sem"]).all()


def test_replicates_equal_whole_new_fits(fit, responses):
    hsb = tl.datasets.load("hsb82")
    table = tl.refit(fit, responses[:, :3])
    for r in range(3):
        one = tl.lmm("mathach ~ cses + (cses | school)", hsb.assign(mathach=responses[:, r]))
        mine = table[table["replicate"] == r]
        assert mine["deviance"].iloc[0] == pytest.approx(one.deviance, abs=1e-8)
        assert mine["estimate"].to_numpy() == pytest.approx(one.params.to_numpy(), rel=1e-7)
        assert mine["std_error"].to_numpy() == pytest.approx(one.bse.to_numpy(), rel=1e-6)
        assert mine["df"].to_numpy() == pytest.approx(one.df.to_numpy(), rel=1e-5)


def test_columns_of_a_frame_name_the_replicates(fit, responses):
    frame = pd.DataFrame(responses[:, :2], columns=["pv1", "pv2"])
    assert tl.refit(fit, frame)["replicate"].unique().tolist() == ["pv1", "pv2"]


def test_responses_that_do_not_fit_are_refused(fit, responses):
    with pytest.raises(tl.DesignError, match="7184 rows, but the model used 7185"):
        tl.refit(fit, responses[:-1])
    broken = responses[:, :2].copy()
    broken[5, 1] = np.nan
    with pytest.raises(tl.DesignError, match=r"\[1\] hold missing or infinite"):
        tl.refit(fit, broken)
    with pytest.raises(tl.DesignError, match="shape"):
        tl.refit(fit, responses[:, :0])
    with pytest.raises(tl.FitError, match=r"replicates \[0\]"):
        tl.refit(fit, np.column_stack([np.zeros(7185), responses[:, 0]]))
