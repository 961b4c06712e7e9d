"""Networks number by number against R's sna and igraph."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import teamlink as tl

HOME = Path(__file__).parents[1] / "reference" / "networks"
R: dict[str, Any] = json.loads((HOME / "output.json").read_text(encoding="utf-8"))
SCHOOLS = list(R["directed"])

EXACT = 1e-11
"""Relative. Closed formulas of whole numbers; R prints 17 digits."""

NOISE = 4.5
"""Standard errors between two Monte-Carlo shares: 30 comparisons, one in 5,000 goes beyond."""


def table(name: str) -> pd.DataFrame:
    return pd.read_csv(HOME / name)


@pytest.fixture(scope="module")
def described() -> pd.DataFrame:
    return tl.networks.describe(table("ties.csv"), by="school", roster=table("people.csv"))


@pytest.fixture(scope="module")
def two_way() -> pd.DataFrame:
    return tl.networks.describe(
        both_ways(table("ties.csv")), "school", roster=table("people.csv"), directed=False
    )


def both_ways(ties: pd.DataFrame) -> pd.DataFrame:
    """Each connected pair once."""
    low, high = ties[["source", "target"]].min(axis=1), ties[["source", "target"]].max(axis=1)
    return ties.assign(source=low, target=high).drop_duplicates()


@pytest.mark.parametrize("file", sorted(R["digests"]))
def test_script_data_and_output_belong_together(file: str) -> None:
    raw = (HOME / file).read_bytes()
    assert hashlib.md5(raw, usedforsecurity=False).hexdigest() == R["digests"][file]


@pytest.mark.parametrize("school", SCHOOLS)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("density", "density"),
        ("reciprocity_edgewise", "edgewise"),
        ("reciprocity_edgewise", "igraph_reciprocity"),
        ("reciprocity_dyadic", "nonnull"),
        ("reciprocity_dyadic", "igraph_ratio"),
        ("reciprocity_with_null", "dyadic"),
        ("degree_centralization", "freeman"),
        ("indegree_centralization", "indegree"),
        ("outdegree_centralization", "outdegree"),
        ("betweenness_centralization", "betweenness"),
        ("transitivity_undirected", "igraph_transitivity"),
        ("isolates", "isolates"),
        ("components", "weak"),
        ("strong_components", "strong"),
    ],
)
def test_directed(described: pd.DataFrame, school: str, ours: str, theirs: str) -> None:
    value = R["directed"][school][theirs]
    assert described.loc[school, ours] == pytest.approx(value, rel=EXACT, abs=1e-14)


@pytest.mark.parametrize("school", SCHOOLS)
def test_transitivity(described: pd.DataFrame, school: str) -> None:
    theirs, ours = R["directed"][school]["transitivity"], described.loc[school, "transitivity"]
    if school == "star":  # no path of two steps: sna says 1, here there is nothing to say
        assert theirs == 1
        assert np.isnan(ours)
    else:
        assert ours == pytest.approx(theirs, rel=EXACT)


@pytest.mark.parametrize("school", SCHOOLS)
def test_dyad_census(described: pd.DataFrame, school: str) -> None:
    ours = described.loc[school, ["mutual", "asymmetric", "null"]].tolist()
    assert ours == R["directed"][school]["census"]


@pytest.mark.parametrize("school", SCHOOLS)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("density", "density"),
        ("degree_centralization", "degree"),
        ("indegree_centralization", "degree"),
        ("betweenness_centralization", "betweenness"),
        ("betweenness_centralization", "igraph_betweenness"),
        ("transitivity", "transitivity"),
    ],
)
def test_undirected(two_way: pd.DataFrame, school: str, ours: str, theirs: str) -> None:
    value = R["undirected"][school][theirs]
    if value is None or value == "NaN":
        assert np.isnan(two_way.loc[school, ours])
    else:
        assert two_way.loc[school, ours] == pytest.approx(value, rel=EXACT, abs=1e-14)


def test_people() -> None:
    found = tl.networks.nodes(table("ties.csv"), by="school", roster=table("people.csv"))
    for school in SCHOOLS:
        own, theirs = found[found["school"] == school], R["directed"][school]
        np.testing.assert_allclose(own["betweenness"], theirs["node_betweenness"], rtol=EXACT)
        assert own["indegree"].tolist() == theirs["indegrees"]
        assert own["outdegree"].tolist() == theirs["outdegrees"]
        assert own["component"].nunique() == theirs["weak"]
        assert own["component"].max() == theirs["weak"] - 1


def test_people_undirected() -> None:
    found = tl.networks.nodes(
        both_ways(table("ties.csv")), "school", roster=table("people.csv"), directed=False
    )
    for school in SCHOOLS:
        own = found[found["school"] == school]
        theirs = R["undirected"][school]["node_betweenness"]
        np.testing.assert_allclose(own["betweenness"], theirs, rtol=EXACT)


# ---- regressions --------------------------------------------------------------------------------

D = table("dyads.csv")
N = 20
MATRICES = {name: D[name].to_numpy(dtype=float).reshape(N, N) for name in D}
X = {name: MATRICES[name] for name in ("x1", "x2", "x3")}


def half(m: np.ndarray) -> np.ndarray:
    return (m + m.T) / 2


REGRESSIONS = {
    "dsp": lambda: tl.networks.mrqap(MATRICES["y"], X, permutations=4000),
    "y": lambda: tl.networks.mrqap(MATRICES["y"], X, method="y", permutations=4000),
    "graph": lambda: tl.networks.mrqap(
        half(MATRICES["y"]),
        {name: half(x) for name, x in X.items()},
        directed=False,
        permutations=4000,
    ),
    "logit": lambda: tl.networks.mrqap(MATRICES["tie"], X, model="logistic", permutations=4000),
}


def apart(ours: pd.Series, theirs: list[float], reps: int, own: int) -> np.ndarray:
    """Difference of two Monte-Carlo shares in standard errors."""
    p, q = ours.to_numpy(), np.array(theirs)
    pooled = (p * own + q * reps) / (own + reps)
    return np.abs(p - q) / np.sqrt(
        np.maximum(pooled * (1 - pooled), 1 / own) * (1 / own + 1 / reps)
    )


@pytest.mark.parametrize("key", REGRESSIONS)
def test_regression(key: str) -> None:
    fit, theirs = REGRESSIONS[key](), R["regressions"][key]
    reps = theirs.get("reps", R["regressions"]["reps"])
    # glm stops at a relative change of the deviance of 1e-8; least squares are exact.
    close = 1e-6 if key == "logit" else 1e-10
    np.testing.assert_allclose(fit.params, theirs["coefficients"], rtol=close)
    assert fit.nobs == theirs["n"]
    if key != "logit":
        np.testing.assert_allclose(fit.tvalues, theirs["tstat"][1:], rtol=1e-10)
    else:  # score and Wald statistics agree to first order only
        np.testing.assert_allclose(fit.bse, theirs["se"], rtol=1e-5)
        np.testing.assert_allclose(fit.tvalues, theirs["tstat"][1:], rtol=0.05, atol=0.02)
    # sna's netlogit permutes Wald's z; its shares differ by what the two statistics differ in.
    for ours, name in ((fit.pvalues, "two"), (fit.p_lower, "lower"), (fit.p_upper, "upper")):
        assert (apart(ours, theirs[name][1:], reps, 4000) < NOISE).all(), name


def test_correlation() -> None:
    found, theirs = (
        tl.networks.qap(MATRICES["y"], X["x1"], permutations=4000),
        R["regressions"]["qap"],
    )
    assert found.correlation == pytest.approx(theirs["correlation"], rel=1e-10)
    ours = pd.Series([found.p_lower, found.p_upper])
    reps = R["regressions"]["reps"]
    assert (apart(ours, [theirs["lower"], theirs["upper"]], reps, 4000) < NOISE).all()
