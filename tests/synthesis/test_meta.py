"""Meta-analysis: invariances, brute force, pictures, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

import teamlink as tl
from teamlink.errors import DroppedRows
from teamlink.synthesis.clusters import Working
from teamlink.synthesis.nested import Nested
from teamlink.synthesis.pooling import Effects

Y = [0.10, 0.30, 0.35, 0.65, -0.20, 0.45]
SE = [0.18, 0.12, 0.16, 0.20, 0.25, 0.10]
STUDIES = pd.DataFrame(
    {"d": Y, "se": SE, "v": np.square(SE), "who": list("abcdef"), "year": [1, 2, 3, 4, 5, 7],
     "lab": list("xxyyzz")}
)  # fmt: skip


@st.composite
def effects(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    k = draw(st.integers(3, 12))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    v = rng.uniform(0.01, 0.3, k)
    return rng.normal(0.2, np.sqrt(v + draw(st.floats(0, 1))), k), v


@given(effects(), st.sampled_from(["reml", "ml", "dl", "pm", "fe"]), st.floats(0.01, 100))
@settings(max_examples=15, deadline=None)
def test_units_and_sign(case: tuple[np.ndarray, np.ndarray], method: str, scale: float) -> None:
    y, v = case
    one = tl.meta(y, v, method=method)
    other = tl.meta(-scale * y, scale**2 * v, method=method)
    # The root of tau2 is found to 1e-13 of a bracket that depends on the units.
    assert other.tau2 == pytest.approx(scale**2 * one.tau2, rel=1e-8, abs=1e-9 * scale**2)
    assert other.params.iloc[0] == pytest.approx(-scale * one.params.iloc[0], rel=1e-7, abs=1e-9)
    assert other.i2 == pytest.approx(one.i2, abs=1e-7)
    assert other.pvalues.iloc[0] == pytest.approx(one.pvalues.iloc[0], rel=1e-5, abs=1e-9)


@given(effects())
@settings(max_examples=10, deadline=None)
def test_likelihood_is_the_normal_density_and_tau2_its_maximum(
    case: tuple[np.ndarray, np.ndarray],
) -> None:
    y, v = case
    fit = tl.meta(y, v, method="ml")

    def density(tau2: float) -> float:
        w = 1 / (v + tau2)
        return float(stats.norm.logpdf(y, (w * y).sum() / w.sum(), np.sqrt(v + tau2)).sum())

    assert fit.llf == pytest.approx(density(fit.tau2), rel=1e-10)
    search = max(density(t) for t in np.r_[0, np.geomspace(1e-6, 10, 400)])
    assert fit.llf >= search - 1e-10


@pytest.mark.parametrize("reml", [True, False])
def test_slope_is_the_derivative(reml: bool) -> None:
    X = np.column_stack([np.ones(6), STUDIES["year"]])
    model = Effects(np.array(Y), np.square(SE), X)
    for t in (0.0, 0.01, 0.3):
        step = 1e-6
        ends = model.criterion(np.array([t + step, max(t - step, 0.0)]), reml)
        found = (ends[0] - ends[1]) / (step + min(step, t))
        # Differences over 2e-6 of a criterion near 10 hold about eight digits.
        assert model.slope(np.array([t]), reml)[0] == pytest.approx(found, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("reml", [True, False])
def test_three_levels_reach_the_optimum(reml: bool) -> None:
    rng = np.random.default_rng(8)
    study = np.repeat(np.arange(9), [1, 2, 5, 3, 2, 4, 1, 3, 6])
    v = rng.uniform(0.01, 0.1, len(study))
    y = rng.normal(0, 0.4, 9)[study] + rng.normal(0, np.sqrt(v + 0.05))
    fit = tl.meta(y, v, cluster=study, nested=True, robust="none", method="reml" if reml else "ml")
    model = Nested(Effects(y, v, np.ones((len(y), 1))), study, reml)
    peer = optimize.minimize(
        lambda s: model.at(np.square(s))[0], [0.3, 0.3], method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-12},
    )  # fmt: skip
    assert -2 * fit.llf <= peer.fun + 1e-9
    np.testing.assert_allclose(fit.variances, np.square(peer.x), rtol=1e-5)
    assert fit.df.iloc[0] == 8


def test_three_levels_without_variance_between_are_two() -> None:
    study = np.repeat([0, 1, 2], 3)
    y = np.array([-0.6, 0.0, 0.6, -0.5, 0.1, 0.4, -0.7, 0.1, 0.6])
    v = np.full(9, 0.02)
    three = tl.meta(y, v, cluster=study, nested=True, robust="none")
    two = tl.meta(y, v)
    assert three.variances["between"] == 0
    assert three.variances["within"] == pytest.approx(two.tau2, rel=1e-9)
    assert three.llf == pytest.approx(two.llf, rel=1e-10)


def test_clusters_of_one_are_robust_without_clusters() -> None:
    """CR2 with every effect its own cluster is HC2: residuals over roots of one less leverage."""
    fit = tl.meta("d", "v", data=STUDIES, cluster="who")
    w = 1 / (STUDIES["v"] + fit.tau2)
    share = w / w.sum()
    residual = STUDIES["d"] - fit.params.iloc[0]
    expected = (share**2 * residual**2 / (1 - share)).sum()
    assert fit.bse.iloc[0] ** 2 == pytest.approx(expected, rel=1e-10)


def test_equal_variances_give_the_mean_and_its_t_test() -> None:
    fit = tl.meta(Y, [0.001] * 6)
    plain = stats.ttest_1samp(Y, 0)
    assert fit.params.iloc[0] == pytest.approx(np.mean(Y))
    assert fit.pvalues.iloc[0] == pytest.approx(plain.pvalue, rel=1e-9)


def test_column_names_arrays_and_standard_errors_agree() -> None:
    named = tl.meta("d", "v", data=STUDIES, study="who")
    for other in (
        tl.meta(Y, np.square(SE)),
        tl.meta(Y, std_error=SE),
        tl.meta("d", std_error="se", data=STUDIES.to_dict("list")),
    ):
        pd.testing.assert_frame_equal(other.tidy(), named.tidy())
    assert list(named.weights.index) == list("abcdef")


def test_predict() -> None:
    fit = tl.meta("d", "v", data=STUDIES, moderators="~ year")
    new = fit.predict({"year": [1.0, 10.0]})
    X = np.array([[1, 1], [1, 10.0]])
    np.testing.assert_allclose(new["prediction"], X @ fit.params)
    variance = np.einsum("np,pq,nq->n", X, fit.cov_params(), X)
    t = stats.t.ppf(0.975, 4)
    np.testing.assert_allclose(
        new["pred_high"] - new["prediction"], t * np.sqrt(variance + fit.tau2)
    )
    with pytest.raises(tl.OptionError, match="predict"):
        fit.prediction_interval()


@pytest.mark.slow
def test_interval_of_tau2_holds_the_truth() -> None:
    """Over 300 worlds of 12 studies: nominal 95 %, Monte-Carlo error 1.3 %."""
    rng = np.random.default_rng(2)
    v = rng.uniform(0.02, 0.3, 12)
    inside = covered = 0
    for _ in range(300):
        fit = tl.meta(rng.normal(0.2, np.sqrt(v + 0.1)), v)
        low, high = fit.tau2_interval
        inside += low <= 0.1 <= high
        ends = fit.conf_int().iloc[0]
        covered += ends["conf_low"] <= 0.2 <= ends["conf_high"]
    assert 0.91 <= inside / 300 <= 0.99
    assert 0.91 <= covered / 300 <= 0.99


def test_missing_rows_are_counted() -> None:
    with pytest.warns(DroppedRows, match="1 of 6 rows") as seen:
        fit = tl.meta("d", "v", data=STUDIES.assign(year=[1, 2, 3, 4, 5, np.nan]),
                      moderators="year")  # fmt: skip
    assert seen[0].filename == __file__
    assert (fit.nobs, fit.dropped) == (5, 1)
    assert "1 rows with missing values left out" in str(fit.summary())


def test_working_covariance_is_that_matrix() -> None:
    rng = np.random.default_rng(0)
    clusters = np.array([2, 0, 1, 1, 2, 2], dtype=np.intp)
    V = Working(rng.uniform(0.1, 1, 6), 0.4, clusters)
    dense = np.diag(V.variance) + 0.4 * (clusters[:, None] == clusters)
    B = rng.normal(size=(6, 2))
    np.testing.assert_allclose(V.solve(B), np.linalg.solve(dense, B), rtol=1e-12)
    np.testing.assert_allclose(V.inverse_diagonal(), np.diag(np.linalg.inv(dense)), rtol=1e-12)


def test_many_effects_need_no_square_matrix() -> None:
    rng = np.random.default_rng(0)
    v = rng.uniform(0.1, 1, 30_000)
    y = rng.normal(0.3, np.sqrt(v + 0.2))
    fit = tl.meta(y, v, cluster=np.arange(30_000) // 10)
    assert abs(fit.params.iloc[0] - 0.3) < 5 * fit.bse.iloc[0]
    assert fit.tau2 == pytest.approx(0.2, abs=0.03)


def test_leave_one_cluster_out() -> None:
    fit = tl.meta("d", "v", data=STUDIES, study="who", cluster="lab")
    table = fit.leave_one_out()
    rest = STUDIES[STUDIES["lab"] != "x"]
    again = tl.meta("d", "v", data=rest, cluster="lab")
    assert len(table) == 3
    assert table["estimate"].iloc[0] == pytest.approx(again.params.iloc[0], rel=1e-10)
    assert table["std_error"].iloc[0] == pytest.approx(again.bse.iloc[0], rel=1e-10)


def test_pictures() -> None:
    fit = tl.meta("d", "v", data=STUDIES, study="who")
    forest = fit.plot(sort=True, label="d")
    texts = [t.get_text() for t in forest.axes[0].get_yticklabels()]
    assert texts == [*STUDIES.sort_values("d", ascending=False)["who"], "pooled"]
    numbers = [t.get_text() for t in forest.axes[1].get_yticklabels()]
    b, (low, high) = fit.params.iloc[0], fit.conf_int().iloc[0]
    assert numbers[-1] == f"{b:.2f} [{low:.2f}, {high:.2f}]"
    assert len(fit.funnel().axes[0].collections[0].get_offsets()) == 6
    moderated = tl.meta("d", "v", data=STUDIES, moderators="year")
    assert "pooled" not in [t.get_text() for t in moderated.plot().axes[0].get_yticklabels()]


def test_a_summary_says_how() -> None:
    text = str(tl.meta("d", "v", data=STUDIES, cluster="lab").summary())
    assert "6 in 3 clusters" in text
    assert "CR2 standard errors by cluster" in text
    assert "Fewer than four degrees of freedom" in text


def test_ratio_of_proportions_is_no_odds_ratio() -> None:
    found = tl.effect_sizes("log_risk_ratio", events1=40, n1=100, events2=10, n2=100)
    assert np.exp(found["effect"].iloc[0]) == pytest.approx(4)
    d = tl.effect_sizes("g", d=[0.5], n1=[10], n2=[12])
    assert d["effect"].iloc[0] == pytest.approx(0.5 * (1 - 3 / (4 * 20 - 1)), rel=1e-3)


def of(**change: object) -> pd.DataFrame:
    return STUDIES.assign(**change)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: tl.meta(Y, [0, *SE[1:]]), tl.DataError, "1 not above zero, at 0"),
        (lambda: tl.meta(Y, std_error=[-1, *SE[1:]]), tl.DataError, "standard errors: 1 not above"),
        (
            lambda: tl.meta("d", "v", data=of(who=list("aabbcd"), v=-1.0), study="who"),
            tl.DataError,
            "2 faults",
        ),
        (
            lambda: tl.meta("d", "v", data=of(who=list("aabbcd")), study="who"),
            tl.DataError,
            "2 studies have several effects: a, b",
        ),
        (lambda: tl.meta(Y, SE[:3]), tl.DataError, "differ in length"),
        (lambda: tl.meta(Y, list("abcdef")), tl.DataError, "6 of 6 values are not numbers"),
        (lambda: tl.meta([np.inf, *Y[1:]], SE), tl.DataError, "1 infinite value"),
        (lambda: tl.meta([0.1], [0.2]), tl.DesignError, "at least two"),
        (
            lambda: tl.meta("d", "v", data=STUDIES[:2], moderators="year"),
            tl.DesignError,
            "2 effects for 2",
        ),
        (
            lambda: tl.meta("d", "v", data=of(twin=STUDIES["year"] * 2), moderators="year + twin"),
            tl.DesignError,
            "follow from the others",
        ),
        (
            lambda: tl.meta("d", "v", data=of(lab="x"), cluster="lab"),
            tl.DesignError,
            "1 clusters for 1",
        ),
        (lambda: tl.meta("d", "vv", data=STUDIES), tl.DataError, "no such column"),
        (lambda: tl.meta("d", data=STUDIES), tl.OptionError, "either variances or std_error"),
        (lambda: tl.meta("d", "v"), tl.OptionError, "go with data="),
        (lambda: tl.meta(Y, SE, data=STUDIES), tl.OptionError, "give names of columns"),
        (lambda: tl.meta(Y, SE, moderators="x"), tl.OptionError, "give data="),
        (lambda: tl.meta(Y, SE, method="hs"), tl.OptionError, "not offered"),
        (lambda: tl.meta(Y, SE, level=95), tl.OptionError, "between 0 and 1"),
        (lambda: tl.meta(Y, SE, nested=True), tl.OptionError, "cluster="),
        (
            lambda: tl.meta(Y, SE, nested=True, cluster=list("aabbcc"), method="dl"),
            tl.OptionError,
            "'reml' or 'ml'",
        ),
        (
            lambda: tl.meta("d", "v", data=STUDIES, moderators="year + (1 | lab)"),
            tl.OptionError,
            "cluster=",
        ),
        (
            lambda: tl.meta("d", "v", data=STUDIES, moderators="open(year)"),
            tl.FormulaError,
            "open",
        ),
        (lambda: tl.meta([0.1, 0.2], [1, 1]).leave_one_out(), tl.FitError, "not determined"),
        (lambda: tl.meta(Y, [1.0] * 6).egger(), tl.FitError, "different precision"),
        (
            lambda: tl.meta("d", "v", data=STUDIES, cluster="lab").egger(),
            tl.OptionError,
            "independent",
        ),
        (lambda: tl.effect_sizes("z", r=0.3), tl.OptionError, "takes r, n"),
        (lambda: tl.effect_sizes("z", r=[1.2, 0.1], n=[20, 3]), tl.DataError, "2 faults"),
        (
            lambda: tl.effect_sizes("log_risk_ratio", events1=0, n1=9, events2=3, n2=9),
            tl.DataError,
            "the logarithm does not exist",
        ),
        (lambda: tl.effect_sizes("or", r=1), tl.OptionError, "not offered"),
    ],
)
def test_bad_input(call, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()
