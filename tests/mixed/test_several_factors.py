"""What a fit with several grouping factors says, held against dense matrices.

The parameters are given (`several.known_fit`), so nothing here depends on how they are estimated.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

import teamlink as tl
from teamlink.errors import DroppedRows
from teamlink.fitting.components import unique_names
from teamlink.mixed.membership import Membership
from teamlink.mixed.pin import place_of

from .several import dense_effects, known_fit

THETA = (0.9, 0.3, 0.5, 0.7, 0.6)
SD = 1.5


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    n = 90
    return pd.DataFrame(
        {
            "y": rng.normal(size=n) * 2 + 5,
            "x": rng.normal(size=n) + 1,
            "child": rng.integers(0, 12, n) + 100,
            "school": rng.choice(list("abcdef"), n),
            "class": rng.integers(0, 2, n) + 1,
        }
    )


@pytest.fixture(scope="module")
def fit(table):
    return known_fit("y ~ x + (1 | school/class) + (x | child)", table, THETA, SD)


def sigma_of(fit):
    """Covariances as written, in the order of the design: school:class, child, school."""
    L = np.array([[0.3, 0.0], [0.5, 0.7]])
    return [SD**2 * 0.9**2, SD**2 * L @ L.T, SD**2 * 0.6**2]


def test_factors_stand_in_the_order_of_their_sizes(fit):
    assert list(fit.ngroups) == ["school:class", "child", "school"]
    assert fit.ngroups == {"school:class": 12, "child": 12, "school": 6}
    assert fit.theta == pytest.approx(THETA)


def test_varcorr_has_lme4s_order(fit):
    table = fit.varcorr
    assert table["group"].tolist() == [
        "school:class", "child", "child", "child", "school", "Residual",
    ]  # fmt: skip
    assert table["term1"].tolist()[:5] == ["Intercept", "Intercept", "x", "Intercept", "Intercept"]
    assert table["term2"][3] == "x"
    classes, child, school = sigma_of(fit)
    expected = [classes, child[0, 0], child[1, 1], child[0, 1], school, SD**2]
    assert table["vcov"].to_numpy() == pytest.approx(np.array(expected))
    assert table["sdcor"][3] == pytest.approx(child[0, 1] / np.sqrt(child[0, 0] * child[1, 1]))


def test_components_have_names_that_tell_the_factors_apart(fit):
    parts = fit.model.components(fit.working_theta[None])
    assert parts.groups == ("school:class", "child", "child", "child", "school", "Residual")
    assert parts.keys == (
        "sd__Intercept|school:class", "sd__Intercept|child", "sd__x", "cor__Intercept.x",
        "sd__Intercept|school", "sd__Observation",
    )  # fmt: skip
    assert [place_of(fit.model, key) for key in parts.keys] == [(0,), (1,), (2,), (1, 2), (3,), ()]
    assert fit.tidy()["group"].tolist()[2:] == list(parts.groups)
    assert unique_names(["a", "b"], ["sd__x", "sd__z"]) == ("sd__x", "sd__z")


def test_reach_takes_the_number_of_groups_of_the_effects_own_factor(fit):
    wide = fit.model.reach("cor__Intercept.x", fit.working_theta)
    assert wide.step == pytest.approx(1 / np.sqrt(12))
    school = fit.model.reach("sd__Intercept|school", fit.working_theta)
    classes = fit.model.reach("sd__Intercept|school:class", fit.working_theta)
    assert school.step == pytest.approx(2 * SD * 0.6 / np.sqrt(2 * 6))
    assert classes.step == pytest.approx(2 * SD * 0.9 / np.sqrt(2 * 12))


def test_random_effects_are_a_frame_a_factor(fit, table):
    frames = fit.ranef()
    assert list(frames) == ["school:class", "child", "school"]
    assert list(frames["child"].columns) == ["Intercept", "Intercept_se", "x", "x_se"]
    assert list(frames["child"].index) == sorted(table["child"].unique())
    assert frames["school:class"].index[0] == "a:1"


def contributions(fit, rows):
    """What each factor adds to the rows of a table whose groups the fit has seen, by labels."""
    frames, found = fit.ranef(), {}
    pairs = rows["school"] + ":" + rows["class"].astype(str)
    found["school:class"] = frames["school:class"]["Intercept"].reindex(pairs).fillna(0).to_numpy()
    found["school"] = frames["school"]["Intercept"].reindex(rows["school"]).fillna(0).to_numpy()
    child = frames["child"].reindex(rows["child"]).fillna(0)
    found["child"] = child["Intercept"].to_numpy() + child["x"].to_numpy() * rows["x"].to_numpy()
    return found


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(
    ("level", "factors"),
    [
        ("group", ["school:class", "child", "school"]),
        ("population", []),
        ("school", ["school"]),
        (("child", "school"), ["child", "school"]),
        (["school:class"], ["school:class"]),
        ((), []),
    ],
)
def test_each_level_adds_the_effects_of_its_factors(fit, table, level, factors, fresh):
    rows = table.assign(y=0.0)
    rows.loc[[1, 4], "child"] = 999
    rows.loc[[4, 7], "school"] = "z"
    rows = rows if fresh else table
    part = contributions(fit, rows)
    expected = fit.params["Intercept"] + fit.params["x"] * rows["x"].to_numpy()
    expected = expected + sum((part[name] for name in factors), np.zeros(len(rows)))
    found = fit.predict(rows if fresh else None, level=level)
    assert found.to_numpy() == pytest.approx(expected, abs=1e-10)
    if level == "group" and not fresh:
        assert fit.fittedvalues.to_numpy() == pytest.approx(expected, abs=1e-10)


def test_a_level_reads_the_columns_of_its_own_factors_only(fit, table):
    some = table[["x", "school"]]
    whole = fit.predict(table, level="school")
    assert fit.predict(some, level="school").to_numpy() == pytest.approx(whole.to_numpy())
    with pytest.raises(tl.DataError, match="'child'"):
        fit.predict(some, level=("school", "child"))


def test_levels_that_are_no_factors(fit, table):
    with pytest.raises(tl.OptionError, match="did you mean 'school'"):
        fit.predict(table, level="scool")
    with pytest.raises(tl.OptionError, match="no grouping factor 'chld'; did you mean 'child'"):
        fit.predict(table, level=("school", "chld"))


def test_a_factor_called_group_is_named_in_a_tuple(table):
    table = table.rename(columns={"school": "group"})
    fit = known_fit("y ~ x + (1 | group) + (1 | child)", table, (0.7, 0.9), SD)
    both, one = fit.predict(table), fit.predict(table, level=("group",))
    child = fit.ranef()["child"]["Intercept"].reindex(table["child"])
    assert (both - one).to_numpy() == pytest.approx(child.to_numpy())


def test_the_level_of_the_only_factor_is_that_of_groups():
    hsb = tl.datasets.load("hsb82")
    fit = tl.lmm("mathach ~ ses + (ses | school)", hsb)
    for interval in (None, "confidence"):
        named = fit.predict(hsb.head(50), level="school", interval=interval)
        assert named.equals(fit.predict(hsb.head(50), interval=interval))


def test_a_missing_slope_is_a_missing_prediction_where_it_enters(table):
    fit = known_fit("y ~ 1 + (1 | school) + (x | child)", table, (0.3, 0.5, 0.7, 0.6), SD)
    rows = table.head(4).assign(x=[1.0, np.nan, 2.0, 3.0])
    with pytest.warns(DroppedRows, match="1 of 4 rows"):
        assert fit.predict(rows).isna().tolist() == [False, True, False, False]
    assert not fit.predict(rows, level="school").isna().any()


def test_population_intervals_are_those_of_the_fixed_effects(fit, table):
    said = fit.predict(table, level="population", interval="confidence")
    X = fit.model.design.X
    se = np.sqrt(np.einsum("ip,pr,ir->i", X, fit.cov_params().to_numpy(), X))
    half = (said["conf_high"] - said["conf_low"]).to_numpy() / 2
    assert half == pytest.approx(1.959964 * se, rel=1e-6)


def test_summary_names_every_factor_once(fit):
    text = str(fit.summary())
    assert "school:class 12, child 12, school 6" in text
    lines = text[text.index("Random effects") : text.index("Fixed effects")].splitlines()
    first = [line.split()[0] for line in lines if line.strip()]
    assert [w for w in first if w in fit.ngroups] == ["school:class", "child", "school"]


def test_icc_is_each_factors_share_and_adds_up_what_lies_above(fit):
    table = tl.icc(fit)
    classes, child, school = sigma_of(fit)
    Z = np.column_stack([np.ones(90), fit.model.design.X[:, 1]])
    parts = np.array([classes, np.einsum("ia,ab,ib->i", Z, child, Z).mean(), school])
    total = parts.sum() + SD**2
    assert list(table.index) == ["school:class", "child", "school"]
    assert table["variance"].to_numpy() == pytest.approx(parts)
    assert table["icc"].to_numpy() == pytest.approx(parts / total)
    above = np.array([classes + school, parts[1], school])
    assert table["cumulative"].to_numpy() == pytest.approx(above / total)


def test_cumulative_icc_is_the_correlation_of_two_rows_of_a_group(table):
    fit = known_fit("y ~ x + (1 | school/class)", table, (0.8, 0.6), SD)
    V = fit.model.V(fit.working_theta)
    pair = (table["school"] + table["class"].astype(str)).to_numpy()
    i, j = np.flatnonzero(pair == pair[0])[:2]
    assert V[i, j] / V[i, i] == pytest.approx(tl.icc(fit).loc["school:class", "cumulative"])
    k = np.flatnonzero((table["school"] == table["school"][0]).to_numpy() & (pair != pair[0]))[0]
    assert V[i, k] / V[i, i] == pytest.approx(tl.icc(fit).loc["school", "cumulative"])


def test_reliability_with_several_factors_is_the_variance_resolved(fit):
    table = tl.reliability(fit)
    assert list(table.index) == [
        ("school:class", "Intercept"), ("child", "Intercept"), ("child", "x"),
        ("school", "Intercept"),
    ]  # fmt: skip
    assert table["groups"].tolist() == [12, 12, 12, 6]
    # The variance of the conditional means over draws of the model is what is resolved.
    model, theta = fit.model, fit.working_theta
    Z, prior = model.big(), model.prior(theta)
    gain = prior @ Z.T @ np.linalg.inv(model.V(theta))
    resolved = np.diag(gain @ model.V(theta) @ gain.T) / np.diag(prior)
    assert table["reliability"].iloc[0] == pytest.approx(resolved[:12].mean())
    assert table["reliability"].iloc[2] == pytest.approx(resolved[12:36][1::2].mean())


def test_both_reliabilities_are_the_same_number_for_one_intercept():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"g": rng.integers(0, 15, 80)})
    data["y"] = rng.normal(size=80) + rng.normal(size=15)[data["g"]]
    one = tl.lmm("y ~ 1 + (1 | g)", data)
    several = {"g": Membership(csr_array(np.eye(15)[data["g"]]), pd.RangeIndex(15))}
    same = known_fit("y ~ 1 + (1 | g)", data, one.theta, one.sigma, several)
    left, right = tl.reliability(one), tl.reliability(same)
    assert right.loc[("g", "Intercept"), "reliability"] == pytest.approx(
        left.loc["Intercept", "reliability"]
    )


@pytest.mark.parametrize("groups", ["new", "same"])
def test_simulated_responses_have_the_models_mean_and_covariance(fit, groups, monkeypatch):
    model, theta = fit.model, fit.working_theta
    Y = model.simulate(theta, 20_000, np.random.default_rng(2), groups)
    V = model.V(theta) if groups == "new" else SD**2 * np.eye(90)
    level = "population" if groups == "new" else "group"
    mean = fit.predict(level=level).to_numpy()
    # Five standard errors of a mean, and of the largest covariance among 4,000
    assert np.abs((Y.mean(axis=1) - mean) / np.sqrt(np.diag(V) / 20_000)).max() < 5
    size = np.sqrt((np.outer(np.diag(V), np.diag(V)) + V**2) / 20_000)
    assert np.abs((np.cov(Y) - V) / size).max() < 6
    again = model.simulate(theta, 3, np.random.default_rng(2), groups)
    assert np.array_equal(again, Y[:, :3])


def test_resampled_responses_have_the_models_mean_and_variances(fit, monkeypatch):
    model, theta = fit.model, fit.working_theta
    Y = model.resample(theta, 20_000, np.random.default_rng(2))
    V = model.V(theta)
    mean = fit.predict(level="population").to_numpy()
    assert np.abs((Y.mean(axis=1) - mean) / np.sqrt(np.diag(V) / 20_000)).max() < 5
    # Each draw has the model's covariance exactly; its tails are lighter than the normal's.
    size = np.sqrt((np.outer(np.diag(V), np.diag(V)) + V**2) / 20_000)
    assert np.abs((np.cov(Y) - V) / size).max() < 6
    assert np.array_equal(model.resample(theta, 3, np.random.default_rng(2)), Y[:, :3])


@pytest.fixture(scope="module")
def moved(table):
    """Children who were in one or two schools, with a crossed factor."""
    rng = np.random.default_rng(4)
    second = pd.Series(rng.choice(list("abcdef"), 90)).where(rng.uniform(size=90) < 0.4, None)
    return table.assign(second=second)


def test_prediction_with_memberships(moved):
    several = {"team": tl.membership(moved, ["school", "second"])}
    fit = known_fit("y ~ x + (1 | team) + (1 | child)", moved, (0.7, 0.9), SD, several)
    W = several["team"].weights.toarray()
    b, c = fit.ranef()["team"]["Intercept"], fit.ranef()["child"]["Intercept"]
    line = fit.params["Intercept"] + fit.params["x"] * moved["x"].to_numpy()
    child = c.reindex(moved["child"]).to_numpy()
    assert fit.fittedvalues.to_numpy() == pytest.approx(line + W @ b.to_numpy() + child)
    new = moved.head(3).assign(school=["a", "z", "b"], second=["b", "a", None])
    groups = {"team": tl.membership(new, ["school", "second"])}
    team = np.array([(b["a"] + b["b"]) / 2, b["a"] / 2, b["b"]])
    found = fit.predict(new, level="team", memberships=groups).to_numpy()
    assert found == pytest.approx(line[:3] + team)
    assert fit.predict(new, level="child").to_numpy() == pytest.approx(line[:3] + child[:3])
    with pytest.raises(tl.DesignError, match="missing for team"):
        fit.predict(new)
    with pytest.raises(tl.DesignError, match="the table has 2 rows, but 'team' has 3"):
        fit.predict(new.head(2), memberships=groups)
    with pytest.raises(tl.OptionError, match="did you mean 'team'"):
        fit.predict(new, memberships={**groups, "tem": groups["team"]})
    with pytest.raises(tl.OptionError, match="memberships go with newdata"):
        fit.predict(memberships=groups)
    size = np.square(W).sum(axis=1).mean()
    tau = fit.varcorr.set_index("group").loc["team", "vcov"]
    assert tl.icc(fit).loc["team", "variance"] == pytest.approx(tau * size)


def test_crossed_factors_have_no_clusters_and_say_so(fit, table):
    for verb in (lambda: tl.robust(fit, "CR2"), fit.model.n_clusters):
        with pytest.raises(tl.OptionError, match="no grouping factor contains all others"):
            verb()


def test_random_effects_are_those_of_the_joint_normal_distribution(fit):
    dense = dense_effects(fit.model, fit.working_theta)
    for own, other in zip(fit.random_effects, dense, strict=True):
        for name in ("values", "covariance", "loading", "marginal"):
            assert getattr(own, name) == pytest.approx(getattr(other, name), abs=1e-10)


@pytest.mark.parametrize("level", ["group", "school", ("child", "school:class"), "population"])
def test_intervals_have_the_error_variance_of_dense_matrices(fit, table, level):
    """Errors of two factors' effects in one row are correlated; an unseen group adds its own."""
    model, theta = fit.model, fit.working_theta
    new = table.iloc[:12].assign(school=list("abcdefabcdea"))
    new.loc[new.index[:3], "child"] = 999
    found = fit.predict(new, level=level, interval="confidence", coverage=0.9)
    half = (found["conf_high"] - found["conf_low"]) / 2 / 1.6448536269514722
    wanted = set(fit.ngroups) if level == "group" else {level} if level in fit.ngroups else set()
    wanted = set(level) if isinstance(level, tuple) else wanted
    X, Z, prior = model.design.X, model.big(), model.prior(theta)
    Vi = np.linalg.inv(model.V(theta))
    gain, x = prior @ Z.T @ Vi, np.column_stack([np.ones(12), new["x"]])
    left, C = prior - gain @ Z @ prior, np.linalg.inv(X.T @ Vi @ X)
    z, unseen, first = np.zeros((12, Z.shape[1])), np.zeros(12), 0
    labels = {
        "school": new["school"], "child": new["child"],
        "school:class": new["school"] + ":" + new["class"].astype(str),
    }  # fmt: skip
    for factor, Sigma in zip(model.design.factors, sigma_of(fit), strict=True):
        row = np.column_stack([np.ones(12), new["x"]])[:, : factor.q]
        at = factor.levels.get_indexer(labels[factor.name])
        for i in range(12) if factor.name in wanted else []:
            own = first + at[i] * factor.q
            if at[i] >= 0:
                z[i, own : own + factor.q] = row[i]
            else:
                unseen[i] += row[i] @ np.atleast_2d(Sigma) @ row[i]
        first += factor.q * factor.n_groups
    rest = x - z @ gain @ X
    variance = unseen + np.einsum("ia,ab,ib->i", z, left, z)
    variance += np.einsum("ia,ab,ib->i", rest, C, rest)
    assert half.to_numpy() == pytest.approx(np.sqrt(variance), rel=1e-9)
