"""What a mixed fit offers: predictions, tables, summary, reliability."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.errors import DroppedRows


@pytest.fixture(scope="module")
def hsb() -> pd.DataFrame:
    return tl.datasets.load("hsb82")


@pytest.fixture(scope="module")
def fit(hsb) -> tl.lmm:
    return tl.lmm("mathach ~ meanses * cses + sector * cses + (cses | school)", hsb)


def test_names_are_those_of_statsmodels_and_lme4(fit):
    names = [
        "Intercept", "meanses", "cses", "sector[T.Catholic]", "meanses:cses",
        "sector[T.Catholic]:cses",
    ]  # fmt: skip
    for series in (fit.params, fit.bse, fit.tvalues, fit.pvalues, fit.df):
        assert list(series.index) == names
    assert list(fit.cov_params().columns) == names
    assert list(fit.conf_int().columns) == ["conf_low", "conf_high"]
    assert list(fit.varcorr.columns) == ["group", "term1", "term2", "vcov", "sdcor"]
    assert fit.varcorr["group"].tolist() == ["school", "school", "school", "Residual"]
    assert fit.ngroups == {"school": 160}
    assert fit.nobs == 7185


def test_tidy_has_brooms_columns_and_every_parameter(fit):
    table = fit.tidy()
    assert list(table.columns) == [
        "effect", "group", "term", "estimate", "std_error", "statistic", "df", "p_value",
        "conf_low", "conf_high",
    ]  # fmt: skip
    assert table["effect"].value_counts().to_dict() == {"fixed": 6, "ran_pars": 4}
    assert table["term"].tolist()[6:] == [
        "sd__Intercept", "sd__cses", "cor__Intercept.cses", "sd__Observation",
    ]  # fmt: skip
    fixed = table[table["effect"] == "fixed"]
    assert fixed["estimate"].to_numpy() == pytest.approx(fit.params.to_numpy())
    narrow = fit.tidy(level=0.5)
    assert (narrow["conf_low"][:6] > table["conf_low"][:6]).all()


def test_information_criteria_count_as_lme4_does(fit):
    assert fit.n_parameters == 10
    assert fit.aic == pytest.approx(fit.deviance + 20)
    assert fit.bic == pytest.approx(fit.deviance + 10 * np.log(7185))
    assert fit.llf == pytest.approx(-fit.deviance / 2)


def test_summary_says_what_was_fitted(fit):
    text = str(fit.summary())
    for part in ["REML", "school 160", "7185", "sector[T.Catholic]", "Satterthwaite", "Residual"]:
        assert part in text
    assert max(map(len, text.splitlines())) <= 100
    html = fit.summary()._repr_html_()
    assert html.count("<table") == 3
    assert "sector[T.Catholic]" in html
    assert "MixedFit" in repr(fit)


def test_predictions_for_the_rows_of_the_fit_are_its_fitted_values(fit, hsb):
    assert fit.predict().to_numpy() == pytest.approx(fit.fittedvalues.to_numpy())
    assert fit.predict(hsb).to_numpy() == pytest.approx(fit.fittedvalues.to_numpy(), abs=1e-9)
    assert (fit.fittedvalues + fit.resid).to_numpy() == pytest.approx(hsb["mathach"].to_numpy())


def test_population_predictions_are_x_beta(fit, hsb):
    rows = hsb.head(5).drop(columns=["school", "mathach"])
    expected = (
        fit.params["Intercept"]
        + fit.params["meanses"] * rows["meanses"]
        + fit.params["cses"] * rows["cses"]
        + fit.params["sector[T.Catholic]"] * (rows["sector"] == "Catholic")
        + fit.params["meanses:cses"] * rows["meanses"] * rows["cses"]
        + fit.params["sector[T.Catholic]:cses"] * rows["cses"] * (rows["sector"] == "Catholic")
    )
    assert fit.predict(rows, level="population").to_numpy() == pytest.approx(expected.to_numpy())


def test_new_groups_get_no_random_effect_but_its_variance(fit, hsb):
    rows = hsb.head(4)
    new = rows.assign(school=-1)
    at_new = fit.predict(new, interval="confidence")
    population = fit.predict(rows, level="population", interval="confidence")
    assert at_new["prediction"].to_numpy() == pytest.approx(population["prediction"].to_numpy())
    Z = np.column_stack([np.ones(4), rows["cses"]])
    Sigma = fit.sigma**2 * fit.Lambda @ fit.Lambda.T
    wide = ((at_new["conf_high"] - at_new["conf_low"]).to_numpy() / 2 / 1.959964) ** 2
    narrow = ((population["conf_high"] - population["conf_low"]).to_numpy() / 2 / 1.959964) ** 2
    assert wide - narrow == pytest.approx(np.einsum("ia,ab,ib->i", Z, Sigma, Z), rel=1e-5)


def test_prediction_intervals_add_the_residual_variance(fit, hsb):
    rows = hsb.head(4)
    expected = fit.predict(rows, interval="confidence")
    single = fit.predict(rows, interval="prediction")
    half = [(f["conf_high"] - f["conf_low"]).to_numpy() / 2 / 1.959964 for f in (expected, single)]
    assert half[1] ** 2 - half[0] ** 2 == pytest.approx(np.full(4, fit.sigma**2), rel=1e-5)


def test_rows_with_missing_predictors_are_predicted_as_missing_and_counted(fit, hsb):
    rows = hsb.head(3).assign(cses=[0.1, np.nan, 0.2])
    with pytest.warns(DroppedRows, match="1 of 3"):
        value = fit.predict(rows)
    assert value.isna().tolist() == [False, True, False]


def test_prediction_checks_its_options_and_columns(fit, hsb):
    with pytest.raises(tl.OptionError, match="level"):
        fit.predict(level="schol")
    with pytest.raises(tl.OptionError, match="interval"):
        fit.predict(interval="both")
    with pytest.raises(tl.DataError, match="'cses'"):
        fit.predict(hsb[["school", "sector", "meanses"]])


def test_a_category_that_the_fit_has_not_seen_is_a_data_error(fit, hsb):
    with pytest.raises(tl.DataError, match="sector"):
        fit.predict(hsb.head(2).assign(sector="Charter"))


def test_group_means_of_new_data_are_those_that_were_learned(hsb):
    fit = tl.lmm("mathach ~ within(ses, school) + between(ses, school) + (1 | school)", hsb)
    few = hsb.groupby("school").head(1)
    assert fit.predict(few).to_numpy() == pytest.approx(
        fit.fittedvalues.loc[few.index].to_numpy(), abs=1e-9
    )


def test_reliability_is_raudenbush_and_bryks(hsb):
    null = tl.lmm("mathach ~ 1 + (1 | school)", hsb)
    tau, sigma2 = null.varcorr["vcov"]
    n = hsb.groupby("school").size()
    expected = (tau / (tau + sigma2 / n)).mean()
    table = tl.reliability(null)
    assert table.loc["Intercept", "reliability"] == pytest.approx(expected, rel=1e-10)
    assert table.loc["Intercept", "groups"] == 160
    slopes = tl.lmm("mathach ~ cses + (cses | school)", hsb)
    v = []
    for _, rows in hsb.groupby("school"):
        Z = np.column_stack([np.ones(len(rows)), rows["cses"]])
        v.append(slopes.sigma**2 * np.diag(np.linalg.inv(Z.T @ Z)))
    tau = slopes.varcorr["vcov"].to_numpy()[:2]
    expected = (tau / (tau + np.array(v))).mean(axis=0)
    assert tl.reliability(slopes)["reliability"].to_numpy() == pytest.approx(expected, rel=1e-8)


def test_groups_without_an_estimate_of_their_own_do_not_enter_the_reliability():
    rng = np.random.default_rng(0)
    g = np.concatenate([np.repeat(np.arange(10), 6), [100, 101, 101]])
    x = rng.normal(size=g.size)
    data = pd.DataFrame({"y": rng.normal(size=g.size) + x, "x": x, "g": g})
    fit = tl.lmm("y ~ x + (x | g)", data)
    assert tl.reliability(fit)["groups"].tolist() == [11, 11]


def test_icc_with_slopes_is_the_mean_over_rows(fit, hsb):
    Z = np.column_stack([np.ones(len(hsb)), hsb["cses"]])
    Sigma = fit.sigma**2 * fit.Lambda @ fit.Lambda.T
    variance = np.einsum("ia,ab,ib->i", Z, Sigma, Z).mean()
    assert tl.icc(fit).loc["school", "icc"] == pytest.approx(variance / (variance + fit.sigma**2))


def test_other_degrees_of_freedom(hsb):
    residual = tl.lmm("mathach ~ ses + (1 | school)", hsb, df="residual")
    assert (residual.df == 7183).all()
    normal = tl.lmm("mathach ~ ses + (1 | school)", hsb, df="normal")
    assert np.isinf(normal.df).all()
    assert "normal tests" in str(normal.summary())
    assert normal.conf_int().loc["ses", "conf_high"] == pytest.approx(
        normal.params["ses"] + 1.959963984540054 * normal.bse["ses"]
    )
