"""Variance explained, design effects, standardized effects: by their formulas, written out."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import teamlink as tl
from teamlink.errors import DataError, OptionError, TeamlinkWarning
from teamlink.mixed.shares import chain, parts

EXACT = 1e-9


@cache
def hsb() -> pd.DataFrame:
    return tl.datasets.load("hsb82")


def table(seed: int = 5) -> pd.DataFrame:
    """Students in classes in schools, crossed with a district that is not nested."""
    rng = np.random.default_rng(seed)
    c = np.repeat(np.arange(30), rng.integers(3, 9, 30))
    s, n = c // 3, len(c)
    x = rng.normal(size=n) + rng.normal(size=30)[c] + rng.normal(size=10)[s]
    y = 2 + 0.5 * x + rng.normal(size=10)[s] + 0.5 * rng.normal(size=30)[c] * (1 + x)
    columns = {"y": y + rng.normal(size=n), "x": x, "c": c, "s": s, "d": rng.integers(0, 6, n)}
    return pd.DataFrame(columns)


def fit(formula: str, frame: pd.DataFrame, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeamlinkWarning)
        return tl.lmm(formula, frame, **options)


def test_rights_and_sterba_with_centred_predictors() -> None:
    """Their matrix formulas: f1 = g_w'Phi_w g_w, f2 = g_b'Phi_b g_b, v = tr(T Sigma), m = tau00."""
    ours = fit("mathach ~ cses + meanses + sector + cses:meanses + (cses | school)", hsb())
    found = tl.r2(ours)
    X, b, sigma2 = ours.model.fixed_columns, ours.params.to_numpy(), ours.sigma**2
    names = list(ours.params.index)
    within = [k for k, name in enumerate(names) if "cses" in name.split(":")]
    between = [k for k, name in enumerate(names) if k not in within]
    f1 = b[within] @ np.cov(X[:, within].T) @ b[within]
    f2 = b[between] @ np.cov(X[:, between].T) @ b[between]
    tau = sigma2 * ours.Lambda @ ours.Lambda.T
    cses = hsb()["cses"].to_numpy()
    v, m = tau[1, 1] * np.mean(cses**2), tau[0, 0]
    table = found.decomposition
    assert table is not None
    # cses is centred by the file to about seven digits, and so is its product with meanses
    assert table.loc["within", "fixed"] == pytest.approx(f1, rel=1e-5)
    assert table.loc["school", "fixed"] == pytest.approx(f2, rel=1e-5)
    assert table.loc["within", "slopes"] == pytest.approx(v, rel=1e-5)
    assert table.loc["school", "means"] == pytest.approx(m, rel=1e-5)
    assert table.loc["within", "residual"] == pytest.approx(sigma2, rel=EXACT)
    assert found.of_total is not None
    assert found.of_level is not None
    total = f1 + f2 + v + m + sigma2
    assert found.of_total.loc["within", "fixed"] == pytest.approx(f1 / total, rel=1e-5)
    within_r2 = f1 / (f1 + v + sigma2)
    assert found.of_level.loc["within", "fixed"] == pytest.approx(within_r2, rel=1e-5)
    assert found.of_level.loc["school", "fixed"] == pytest.approx(f2 / (f2 + m), rel=1e-5)


@pytest.mark.parametrize(
    "formula",
    ["y ~ x + (1 | s)", "y ~ x + (x | s)", "y ~ x + (1 | s/c)", "y ~ x + (x | s) + (x | c)"],
)
def test_the_split_adds_up_to_the_whole(formula: str) -> None:
    ours = fit(formula, table())
    found = tl.r2(ours)
    assert found.decomposition is not None
    random = tl.icc(ours)["variance"]
    fixed = np.var(ours.model.fixed_columns @ ours.params.to_numpy(), ddof=1)
    total = fixed + random.sum() + ours.sigma**2
    assert found.decomposition.to_numpy().sum() == pytest.approx(total, rel=EXACT)
    assert found.decomposition["fixed"].sum() == pytest.approx(fixed, rel=EXACT)
    spread = found.decomposition[["slopes", "means"]].to_numpy().sum()
    assert spread == pytest.approx(random.sum(), rel=EXACT)
    assert found.marginal == pytest.approx(fixed / total, rel=EXACT)
    assert found.of_total is not None
    assert found.of_level is not None
    assert found.of_total.to_numpy().sum() == pytest.approx(1, rel=EXACT)
    np.testing.assert_allclose(found.of_level.sum(axis=1), 1, rtol=EXACT)


def test_parts_of_three_levels_are_orthogonal_and_sum_to_the_column() -> None:
    ours = fit("y ~ x + (1 | s/c)", table())
    nested = chain(ours.model.design.factors)
    assert nested is not None
    x = table()[["x"]].to_numpy()
    split = parts(nested, x)
    assert len(split) == 3
    np.testing.assert_allclose(sum(split), x - x.mean(), atol=1e-12)
    for i in range(3):
        for j in range(i):
            assert abs(float((split[i] * split[j]).sum())) < 1e-10
    frame = table().assign(u=x[:, 0])
    by_class, by_school = (frame.groupby(g)["u"].transform("mean") for g in ("c", "s"))
    np.testing.assert_allclose(split[0][:, 0], frame["u"] - by_class, atol=1e-12)
    np.testing.assert_allclose(split[1][:, 0], by_class - by_school, atol=1e-12)


def test_crossed_factors_have_shares_and_no_split() -> None:
    found = tl.r2(fit("y ~ x + (1 | s) + (1 | d)", table()))
    assert found.decomposition is None
    assert set(found.by_factor.index) == {"s", "d"}
    assert "no split by level" in str(found)


def test_a_predictor_at_both_levels_is_named() -> None:
    raw = tl.r2(fit("mathach ~ ses + (1 | school)", hsb()))
    assert raw.centring.to_dict() == {"ses": "within + school"}
    assert "ses" in raw.remarks[0]
    centred = tl.r2(fit("mathach ~ within(ses, school) + (1 | school)", hsb()))
    assert list(centred.centring) == ["within"]
    assert centred.remarks == ()


@given(shift=st.floats(-20, 20), scale=st.floats(0.05, 20))
@settings(max_examples=10, deadline=None)
def test_r2_minds_no_units_and_no_zero_of_a_slope(shift: float, scale: float) -> None:
    frame = table(9)
    one = tl.r2(fit("y ~ x + (x | s)", frame))
    two = tl.r2(fit("y ~ x + (x | s)", frame.assign(x=shift + scale * frame["x"])))
    assert one.decomposition is not None
    assert two.decomposition is not None
    # The intercept's variance is not the same in both; the split is, as it takes the mean of x.
    np.testing.assert_allclose(two.decomposition, one.decomposition, rtol=1e-4, atol=1e-8)


def test_variance_explained_by_hand() -> None:
    null, full = fit("y ~ 1 + (1 | s)", table()), fit("y ~ x + (1 | s)", table())
    found = tl.variance_explained(null, full)
    tau = [one.sigma**2 * one.Lambda[0, 0] ** 2 for one in (null, full)]
    sigma2 = [one.sigma**2 for one in (null, full)]
    assert found.components.loc["Intercept by s", "explained"] == pytest.approx(
        1 - tau[1] / tau[0], rel=EXACT
    )
    assert found.components.loc["Residual", "explained"] == pytest.approx(
        1 - sigma2[1] / sigma2[0], rel=EXACT
    )
    # Snijders and Bosker, with the harmonic mean of the group sizes
    n = table().groupby("s").size()
    harmonic = len(n) / (1 / n).sum()
    level1 = 1 - (tau[1] + sigma2[1]) / (tau[0] + sigma2[0])
    level2 = 1 - (tau[1] + sigma2[1] / harmonic) / (tau[0] + sigma2[0] / harmonic)
    assert found.overall.loc["within", "explained"] == pytest.approx(level1, rel=EXACT)
    assert found.overall.loc["s", "explained"] == pytest.approx(level2, rel=EXACT)


def test_a_group_mean_s_variance_with_crossed_slopes_is_that_of_the_dense_covariance() -> None:
    null = fit("y ~ 1 + (x | s) + (1 | d)", table())
    found = tl.variance_explained(null, null).overall
    Sigma, n = null.sigma**2 * null.Lambda @ null.Lambda.T, null.model.design.n
    V = null.sigma**2 * np.eye(n)
    factors = null.model.design.factors
    for factor, place in zip(factors, null.model.structure.factors, strict=True):
        same = factor.only_codes[:, None] == factor.only_codes
        V += same * (factor.Z @ Sigma[place, place] @ factor.Z.T)
    for factor in factors:
        means = factor.weights.toarray() / factor.weights.toarray().sum(axis=0)
        expected = np.mean(np.diag(means.T @ V @ means))
        assert found.loc[factor.name, "null"] == pytest.approx(expected, rel=EXACT)
    assert found.loc["within", "null"] == pytest.approx(np.mean(np.diag(V)), rel=EXACT)
    assert (found["explained"].abs() < EXACT).all()


def test_a_negative_share_is_said_plainly() -> None:
    """A predictor centred within schools explains residual variance; that of means then rises."""
    null, full = (fit(f"mathach ~ {x} + (1 | school)", hsb()) for x in ("1", "cses"))
    found = tl.variance_explained(null, full)
    assert found.components.loc["Intercept by school", "explained"] < 0
    assert "Negative: Intercept by school (-0.0068)" in str(found.summary())
    assert (found.overall["explained"] > 0).any()


def test_fits_that_are_not_comparable_are_refused() -> None:
    null = fit("y ~ 1 + (1 | s)", table())
    others = {
        "rows": fit("y ~ x + (1 | s)", table().iloc[:-5]),
        "response": fit("y ~ x + (1 | s)", table().assign(y=lambda d: d["y"] + d["x"])),
        "REML": fit("y ~ x + (1 | s)", table(), reml=False),
        "grouping factors": fit("y ~ x + (1 | d)", table()),
    }
    for words, other in others.items():
        with pytest.raises(OptionError, match=words):
            tl.variance_explained(null, other)


def test_design_effect_of_a_table_is_the_analysis_of_variance() -> None:
    frame = table()
    found = tl.design_effect(frame, "y", by="s").loc["y"]
    groups = [values.to_numpy() for _, values in frame.groupby("s")["y"]]
    n = np.array([len(values) for values in groups])
    grand = frame["y"].mean()
    between = sum(len(v) * (v.mean() - grand) ** 2 for v in groups) / (len(n) - 1)
    within = sum(((v - v.mean()) ** 2).sum() for v in groups) / (n.sum() - len(n))
    n0 = (n.sum() - (n**2).sum() / n.sum()) / (len(n) - 1)
    share = (between - within) / (between + (n0 - 1) * within)
    assert found["icc"] == pytest.approx(share, rel=EXACT)
    size = (n**2).sum() / n.sum()
    assert found["design_effect"] == pytest.approx(1 + (size - 1) * share, rel=EXACT)
    assert found["design_effect_equal"] == pytest.approx(1 + (n.mean() - 1) * share, rel=EXACT)
    assert found["effective_n"] == pytest.approx(n.sum() / found["design_effect"], rel=EXACT)


def test_design_effect_of_a_mean_is_how_its_variance_grows() -> None:
    """The variance of the plain mean under the fit, over that of as many independent rows."""
    ours = fit("y ~ 1 + (1 | s)", table())
    share = tl.icc(ours)["icc"].iloc[0]
    codes = ours.model.design.factors[0].only_codes
    R = np.where(codes[:, None] == codes, share, 0.0)
    np.fill_diagonal(R, 1)
    found = tl.design_effect(ours)
    assert found["design_effect"].iloc[0] == pytest.approx(R.mean() * len(R), rel=EXACT)
    several = tl.design_effect(fit("y ~ 1 + (1 | s) + (1 | d)", table()))
    assert set(several.index) == {"s", "d"}


def test_design_effect_refuses() -> None:
    with pytest.raises(OptionError, match="needs columns= and by="):
        tl.design_effect(table())
    with pytest.raises(OptionError, match="go with a table"):
        tl.design_effect(fit("y ~ 1 + (1 | s)", table()), by="s")
    with pytest.raises(DataError, match="two groups"):
        tl.design_effect({"y": [1.0, 2.0], "g": ["a", "a"]}, "y", by="g")


def test_standardized_effects_of_the_total_are_those_of_standardized_columns() -> None:
    frame = table()
    ours = tl.standardized_effects(fit("y ~ x + (1 | s)", frame))
    z = frame.assign(**{v: (frame[v] - frame[v].mean()) / frame[v].std() for v in ("x", "y")})
    theirs = fit("y ~ x + (1 | s)", z)
    assert ours.loc["x", "estimate"] == pytest.approx(theirs.params["x"], rel=1e-6)
    assert ours.loc["x", "std_error"] == pytest.approx(theirs.bse["x"], rel=1e-6)
    assert ours.loc["x", "conf_low"] == pytest.approx(theirs.conf_int().loc["x"].iloc[0], rel=1e-5)
    assert "Intercept" not in ours.index


def test_standardized_effects_at_the_predictor_s_own_level() -> None:
    ours = fit("mathach ~ cses + meanses + ses:sector + (cses | school)", hsb())
    found = tl.standardized_effects(ours, "level")
    split = tl.r2(ours).decomposition
    assert split is not None
    sd_y = np.sqrt(split.sum(axis=1))
    schools = hsb().groupby("school")["meanses"].first()
    expected = ours.params["meanses"] * schools.std() / sd_y["school"]
    assert found.loc["meanses", "estimate"] == pytest.approx(expected, rel=1e-6)
    assert found.loc["meanses", "varies"] == "school"
    expected = ours.params["cses"] * hsb()["cses"].std() / sd_y["within"]
    assert found.loc["cses", "estimate"] == pytest.approx(expected, rel=1e-5)
    both = found[found["varies"] == "within + school"]
    total = tl.standardized_effects(ours).loc[both.index, "estimate"]
    np.testing.assert_allclose(both["estimate"], total, rtol=EXACT)
    plain = tl.standardized_effects(ours, "outcome")
    sd = hsb()["mathach"].std()
    assert plain.loc["cses", "estimate"] == pytest.approx(ours.params["cses"] / sd, rel=EXACT)
    with pytest.raises(OptionError, match="nested groups"):
        tl.standardized_effects(fit("y ~ x + (1 | s) + (1 | d)", table()), "level")


def test_summaries_show_in_a_notebook() -> None:
    full = fit("y ~ x + (1 | s)", table())
    for one in (tl.r2(full), tl.variance_explained(full, full), tl.collinearity(full)):
        assert "<table" in one._repr_html_()
        assert str(one) == str(one.summary())
