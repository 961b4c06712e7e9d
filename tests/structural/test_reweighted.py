"""A weighting of the units is the model of data with units repeated."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.fitting.fit import solve
from teamlink.fitting.model import Reweights

from .test_nested import MODEL, schools

ONE = "f =~ y1 + y2 + y3\n f ~ x"
SHARED = """
level: 1
    y1 ~ x + y2
level: 2
    y1 ~ y2 + w
"""

SLOPE = """
level: 1
    y1 ~ rv("s")*x
level: 2
    y1 ~ w
"""

CASES = {
    "rows": (ONE, 0.0, {}),
    "rows_in_clusters": (ONE, 0.0, {"cluster": "school"}),
    "rows_missing": (ONE, 0.15, {"missing": "fiml"}),
    "two_levels": (MODEL, 0.0, {"cluster": "school"}),
    "two_levels_missing": (MODEL, 0.15, {"cluster": "school", "missing": "fiml"}),
    "two_levels_groups": (MODEL, 0.0, {"cluster": "school", "group": "half"}),
    "random_slope": (SLOPE, 0.0, {"cluster": "school"}),
    "exogenous_at_both_levels": (SHARED, 0.0, {"cluster": "school"}),
}


def repeated(frame, weights, fit, clustered):
    """The table with each unit as often as its weight says."""
    if not clustered:
        return frame.loc[np.repeat(fit.model.observations.index, weights.astype(int))]
    seen = fit.model.observations
    parts, at = [], 0
    for g, codes in enumerate(seen.clusters):
        rows = seen.index[seen.rows[g]]
        for j in range(seen.n_clusters[g]):
            own = frame.loc[rows[codes == j]]
            names = own["school"].astype(str)
            parts += [own.assign(school=names + f"-{k}") for k in range(int(weights[at + j]))]
        at += seen.n_clusters[g]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("case", CASES)
def test_weights_are_repeated_units(case):
    model, missing, options = CASES[case]
    frame = schools(1, J=60, missing=missing)
    fit = tl.sem(model, frame, **options)
    assert isinstance(fit.model, Reweights)
    J = fit.model.n_clusters()
    W = np.random.default_rng(2).multinomial(J, np.full(J, 1 / J), 3).astype(float)
    assert fit.model.estimable(W).all()
    found = solve(fit.model.with_group_weights(W, fit.working_theta))
    assert found.converged.all()
    # Each weighting is a replicate of its own: the last can be right only by its own weights.
    other = tl.sem(model, repeated(frame, W[2], fit, "cluster" in options), **options)
    assert found.deviance[2] == pytest.approx(other.deviance, abs=1e-6)
    x = fit.model.with_group_weights(W, fit.working_theta).parameters(found.theta)
    assert x[2] == pytest.approx(other.x, abs=2e-4)


def test_too_few_units_are_not_estimable():
    fit = tl.sem(MODEL, schools(1), cluster="school")
    W = np.zeros((2, 40))
    W[0, :3], W[1] = 14.0, 1.0
    assert fit.model.estimable(W).tolist() == [False, True]


def test_cluster_bootstrap():
    fit = tl.sem(MODEL, schools(1, J=90), cluster="school")
    found = tl.bootstrap(fit, n=10, kind="cluster", seed=1)
    again = tl.bootstrap(fit, n=10, kind="cluster", seed=1)
    assert not found.failures
    assert found.replicates.equals(again.replicates)
    assert (found.bse > 0).all()


def test_clusters_are_chosen_in_the_fit():
    rng = np.random.default_rng(3)
    table = pd.DataFrame(rng.normal(size=(60, 3)), columns=["a", "b", "c"])
    fit = tl.sem("a ~ b + c", table)
    with pytest.raises(tl.OptionError, match="take it in the fit"):
        tl.bootstrap(fit, 3, kind="cluster", cluster=np.arange(60))
