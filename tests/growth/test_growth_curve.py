"""The verb: what it builds, what it refuses, and what its result says."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib.figure import Figure

import teamlink as tl
from teamlink.errors import DroppedRows

Z95 = 1.959963984540054


@cache
def egsingle():
    return tl.datasets.load("egsingle")


@cache
def three():
    return tl.growth_curve(
        egsingle(),
        "math",
        "year",
        "childid",
        "schoolid",
        predictors={"intercept": ["female", "lowinc"], "linear": "lowinc"},
        time_varying="retained",
    )


@cache
def quadratic():
    return tl.growth_curve(
        egsingle(), "math", "year", "childid", shape="quadratic", random=["intercept", "linear"]
    )


def movers(seed=5, children=120, schools=12):
    """Children of whom a third changes school at some occasion; any order of rows."""
    rng = np.random.default_rng(seed)
    t = np.tile(np.arange(4), children)
    child = np.repeat(np.arange(children), 4)
    home = rng.integers(0, schools, children)
    away = (home + rng.integers(1, schools, children)) % schools
    when = np.where(rng.random(children) < 0.35, rng.integers(1, 4, children), 9)
    school = np.where(t < when[child], home[child], away[child])
    u, r = rng.normal(size=schools), rng.normal(size=(children, 2)) * [1, 0.3]
    y = 2 + t + u[school] + r[child, 0] + r[child, 1] * t + rng.normal(size=len(t)) * 0.5
    poor = rng.random(schools)[school]
    frame = pd.DataFrame({"y": y, "t": t, "child": child, "school": school, "poor": poor})
    return frame.sample(frac=1, random_state=seed).reset_index(drop=True)


# ---- the formula ------------------------------------------------------------------------------


def test_formula_of_predictors_by_growth_coefficient():
    assert three().formula == (
        "math ~ year + female + lowinc + retained + year:lowinc"
        " + (year | childid) + (year | schoolid)"
    )


def test_random_coefficients_are_chosen_level_by_level():
    curve = tl.growth_curve(
        egsingle(), "math", "year", "childid", "schoolid", shape="quadratic",
        random="linear", group_random=["intercept", "quadratic"], group_correlated=False,
    )  # fmt: skip
    assert curve.formula == (
        "math ~ year + I(year ** 2) + (0 + year | childid) + (I(year ** 2) || schoolid)"
    )
    assert curve.fit.ngroups == {"childid": 1721, "schoolid": 60}
    assert list(curve.fit.ranef()["schoolid"])[::2] == ["Intercept", "I(year ** 2)"]


def test_names_that_need_quotes_and_tables_of_other_kinds():
    named = egsingle().rename(columns={"year": "school year", "math": "math score"})
    curve = tl.growth_curve(pl.from_pandas(named), "math score", "school year", "childid",
                            origin="last", predictors="female")  # fmt: skip
    assert curve.formula == (
        "`math score` ~ I(`school year` - 2.5) + female + I(`school year` - 2.5):female"
        " + (I(`school year` - 2.5) | childid)"
    )
    assert curve.tidy()["coefficient"].tolist()[:4] == [
        "intercept", "linear", "intercept", "linear"
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["acute", "cumulative", "share"])
def test_movers(kind):
    table = movers()
    curve = tl.growth_curve(table, "y", "t", "child", "school", movers=kind,
                            group_random="intercept")  # fmt: skip
    if kind == "acute":
        assert curve.memberships is None
    fit = tl.lmm(curve.formula, table, memberships=curve.memberships)
    assert curve.formula == "y ~ t + (t | child) + (1 | school)"
    assert fit.deviance == curve.fit.deviance
    belongs = tl.cumulative_membership(table, "school", "child", "t", kind)
    other = tl.lmm(curve.formula, table, memberships={"school": belongs})
    # As columns of groups and as weights of one the factor takes two ways through the engine.
    assert other.deviance == pytest.approx(curve.fit.deviance, abs=1e-7)


def test_cumulative_effects_of_groups_have_an_intercept_alone_unless_asked():
    table = movers()
    usual = tl.growth_curve(table, "y", "t", "child", "school", movers="cumulative")
    assert usual.formula == "y ~ t + (t | child) + (1 | school)"
    asked = tl.growth_curve(table, "y", "t", "child", "school", movers="share")
    assert asked.formula == "y ~ t + (t | child) + (t | school)"


def test_weights_of_ones_own():
    table = movers().assign(s1=lambda d: d["school"], s2=lambda d: (d["school"] + 1) % 12)
    belongs = tl.membership(table, ["s1", "s2"])
    curve = tl.growth_curve(table, "y", "t", "child", "both", movers=belongs,
                            group_random="intercept")  # fmt: skip
    assert curve.fit.ngroups == {"child": 120, "both": 12}
    with pytest.raises(tl.OptionError, match="weights of your own"):
        curve.trajectories(level="both")


def test_predictors_of_groups_may_vary_within_movers():
    curve = tl.growth_curve(movers(), "y", "t", "child", "school", movers="acute",
                            predictors="poor")  # fmt: skip
    assert "poor" in curve.fit.params


# ---- faults -----------------------------------------------------------------------------------


def faults_of(error):
    return {fault.where: fault.what for fault in error.value.faults}


def test_every_fault_at_once():
    table = movers()
    table["mood"] = np.arange(len(table)) % 3
    with pytest.raises(tl.DesignError) as error:
        tl.growth_curve(
            table, "y", "t", "child", "school", shape="piecewise", knots=[1.0, 1.5, 7.0],
            random="all", predictors="mood",
        )  # fmt: skip
    found = faults_of(error)
    assert set(found) == {"column 'child'", "column 'mood'", "column 't'", "knots"}
    assert "with more than one 'school'" in str(error.value)
    assert "movers=" in str(error.value)
    moody = (
        table.drop_duplicates(["child", "mood"])["child"]
        .duplicated(keep=False)
        .groupby(table["child"])
        .any()
        .sum()
    )
    assert found["column 'mood'"].startswith(f"not constant within {moody} units of 'child': ")
    assert found["column 'mood'"].endswith(", …")
    assert found["column 't'"] == "4 different times for 5 growth coefficients"
    assert found["knots"] == "7.0 outside the times 0 to 3, ends excluded"
    assert "no unit has more than 4 occasions, at 4 times, but 5 growth coeff" in str(error.value)


def test_faults_of_columns_come_with_those_of_growth():
    table = movers().assign(t=lambda d: d["t"].map(str) + "th", mood=lambda d: d["y"] > 2)
    with pytest.raises(tl.DataError) as error:
        tl.growth_curve(table, "z", "t", "child", "school", predictors=["mood", "por"])
    found = faults_of(error)
    assert not isinstance(error.value, tl.DesignError)
    assert set(found) == {
        "column 'z'", "column 'por'", "column 't'", "column 'child'", "column 'mood'"
    }  # fmt: skip
    assert "are not numbers" in found["column 't'"]


def test_time_that_does_not_vary_within_units():
    table = movers().assign(born=lambda d: d["child"] % 7)
    with pytest.raises(tl.DesignError, match="does not vary within any 'child'"):
        tl.growth_curve(table, "y", "born", "child")


def test_too_few_occasions():
    two = movers().query("t < 2")
    with pytest.raises(tl.DesignError, match="no unit has more than 2 occasions, at 2 times"):
        tl.growth_curve(two, "y", "t", "child")
    with pytest.raises(tl.DesignError, match="2 different times for 3 growth coefficients"):
        tl.growth_curve(two, "y", "t", "child", shape="quadratic", random="intercept")
    assert tl.growth_curve(two, "y", "t", "child", random="intercept").fit.converged


def test_knots():
    with pytest.raises(tl.DesignError, match="not in increasing order"):
        tl.growth_curve(movers(), "y", "t", "child", shape="piecewise", knots=[2, 1])
    with pytest.raises(tl.DesignError, match=r"no occasion between 1.2 and 1.6"):
        tl.growth_curve(movers(), "y", "t", "child", shape="piecewise", knots=[1.2, 1.6],
                        random="intercept")  # fmt: skip


def test_orders_need_one_occasion_a_time_and_no_gap_in_the_keys():
    table = movers()
    table["t"] = table["t"].clip(upper=2)
    with pytest.raises(tl.DataError, match="repeat an earlier one"):
        tl.growth_curve(table, "y", "t", "child", "school", movers="cumulative")
    assert tl.growth_curve(table, "y", "t", "child", "school", movers="acute").fit.converged


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"random": "linar"}, "did you mean 'linear'"),
        ({"random": ["linear", "quadratic"]}, "random='quadratic' is not offered"),
        ({"predictors": {"slope": ["x"]}}, "predictors: no growth coefficient 'slope'"),
        ({"movers": "acute"}, "movers: goes with a group"),
        ({"group_random": "all"}, "group_random: goes with a group"),
        ({"group": "school", "group_random": ()}, "leave out the group"),
        ({"group": "school", "movers": "cumulativ"}, "did you mean 'cumulative'"),
        ({"time_unit": 0}, "a length of time is positive"),
        ({"df": "satterthwait"}, "did you mean 'satterthwaite'"),
        ({"residual": "ar1"}, "residual"),
        ({"shape": "piecewise", "knots": ["one"]}, "knots: .'one'. must be finite numbers"),
        ({"time_unit": "month"}, "time_unit: .'month'. must be finite numbers"),
        ({"origin": np.inf}, "origin: .inf. must be finite numbers"),
        ({"group": "child"}, "unit and group are both 'child'"),
    ],
)
def test_options_that_are_not_offered(options, message):
    with pytest.raises(tl.OptionError, match=message):
        tl.growth_curve(movers(), "y", "t", "child", **options)


def test_rows_with_missing_values_are_left_out_and_counted():
    table = movers()
    table.loc[[3, 8], "y"] = np.nan
    with pytest.warns(DroppedRows, match="2 of 480"):
        curve = tl.growth_curve(table, "y", "t", "child", origin="mean")
    assert len(curve.rows) == curve.fit.nobs == 478
    assert curve.coding.origin == pytest.approx(table["t"].drop([3, 8]).mean(), abs=1e-5)


# ---- trajectories -----------------------------------------------------------------------------


def test_mean_trajectory_is_the_fixed_part():
    curve = three()
    table = curve.trajectories({"female": ["Male", "Female"], "lowinc": 50}, times=[-1, 2])
    assert list(table) == ["female", "lowinc", "year", "prediction", "conf_low", "conf_high"]
    assert table["female"].tolist() == ["Male", "Male", "Female", "Female"]
    b = curve.fit.params
    kept = egsingle().groupby("childid")["retained"].mean().mean()
    boy = b["Intercept"] + b["female[T.Male]"] + 50 * b["lowinc"] + kept * b["retained"]
    expected = boy + np.array([-1, 2]) * (b["year"] + 50 * b["year:lowinc"])
    assert table["prediction"][:2].to_numpy() == pytest.approx(expected)
    V = curve.fit.cov_params().to_numpy()
    x = np.array([1, -1, 1, 50, kept, -50])
    named = dict(zip(["Intercept", "year", "female[T.Male]", "lowinc", "retained", "year:lowinc"],
                     x, strict=True))  # fmt: skip
    x = np.array([named[name] for name in b.index])
    assert table["conf_high"][0] - table["prediction"][0] == pytest.approx(
        Z95 * np.sqrt(x @ V @ x), rel=1e-9
    )


def test_typical_values_are_means_over_units_and_the_usual_category():
    curve = three()
    whole = curve.trajectories(times=[0])
    own = egsingle().groupby("childid")[["lowinc", "retained"]].mean().mean()
    usual = egsingle()["female"].mode()[0]
    same = curve.trajectories({"female": usual, **own}, times=[0])
    assert whole["prediction"][0] == pytest.approx(same["prediction"][0])


def test_times_cover_the_range_and_hold_the_knots():
    curve = tl.growth_curve(movers(), "y", "t", "child", shape="piecewise", knots=1.37,
                            random="intercept")  # fmt: skip
    times = curve.trajectories()["t"]
    assert (times.min(), times.max()) == (0, 3)
    assert 1.37 in times.tolist()


def test_units_have_their_fitted_values():
    curve = three()
    child = curve.rows["childid"].iloc[0]
    table = curve.trajectories({"childid": child}, level="group", interval=None)
    own = egsingle()[egsingle()["childid"] == child].sort_values("year")
    assert table["year"].tolist() == own["year"].tolist()
    assert table["prediction"].tolist() == curve.fit.fittedvalues[own.index].tolist()
    assert list(table) == ["childid", "schoolid", "year", "math", "prediction"]
    boys = curve.trajectories({"female": "Male"}, level="group")
    assert set(boys["female"]) == {"Male"}
    with pytest.raises(tl.OptionError, match="no row has 5 in 'childid'"):
        curve.trajectories({"childid": [child, 5]}, level="group")
    with pytest.raises(tl.OptionError, match="its own occasions"):
        curve.trajectories(level="group", times=[0])


def test_schools_have_their_effects_at_their_own_predictors():
    curve = three()
    table = curve.trajectories({"schoolid": [2040, 2020]}, level="schoolid", times=[1.0])
    assert table["schoolid"].tolist() == [2040, 2020]
    effects, b = curve.fit.ranef()["schoolid"].loc[2040], curve.fit.params
    rows = egsingle()[egsingle()["schoolid"] == 2040]
    poor, kept = rows["lowinc"].iloc[0], rows.groupby("childid")["retained"].mean().mean()
    male = b["female[T.Male]"] * (rows["female"].mode()[0] == "Male")
    expected = (
        b["Intercept"] + b["year"] + poor * (b["lowinc"] + b["year:lowinc"]) + kept * b["retained"]
        + male + effects["Intercept"] + effects["year"]
    )  # fmt: skip
    assert table["prediction"][0] == pytest.approx(expected)
    every = curve.trajectories(level="schoolid", times=[0.0], interval=None)
    assert len(every) == 60
    with pytest.raises(tl.OptionError, match="no 'schoolid' 77"):
        curve.trajectories({"schoolid": 77}, level="schoolid")


def test_schools_of_movers():
    table = movers()
    share = tl.growth_curve(table, "y", "t", "child", "school", movers="share",
                            group_random="intercept")  # fmt: skip
    found = share.trajectories(level="school", times=[0.0], interval=None)
    expected = share.fit.params["Intercept"] + share.fit.ranef()["school"]["Intercept"]
    assert found["prediction"].to_numpy() == pytest.approx(expected.to_numpy())
    added = tl.growth_curve(table, "y", "t", "child", "school", movers="cumulative")
    with pytest.raises(tl.OptionError, match="depend on the units' careers"):
        added.trajectories(level="school")


def test_prediction_of_a_new_unit_counts_every_variance():
    curve = quadratic()
    narrow = curve.trajectories(times=[-1, 1.3])
    wide = curve.trajectories(times=[-1, 1.3], interval="prediction")
    half = [(t["conf_high"] - t["prediction"]).to_numpy() / Z95 for t in (narrow, wide)]
    spread = curve.expected_variance([-1, 1.3]).groupby("year")["variance"].sum().to_numpy()
    assert half[1] ** 2 - half[0] ** 2 == pytest.approx(spread)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"femal": "Male"},), "did you mean 'female'"),
        (({}, "populaton"), "did you mean 'population'"),
        (({}, "population", "confidnce"), "did you mean 'confidence'"),
        (({"math": 1}, "schoolid"), "'math' is no column to choose by"),
    ],
)
def test_trajectories_that_are_not_offered(arguments, message):
    with pytest.raises(tl.OptionError, match=message):
        three().trajectories(*arguments)
    with pytest.raises(tl.OptionError, match="a share between 0 and 1"):
        three().trajectories(coverage=95)


# ---- variance over time -----------------------------------------------------------------------


def test_expected_variance_is_that_of_the_random_effects():
    curve = three()
    table = curve.expected_variance([-2, 1])
    T = curve.fit.varcorr.set_index(["group", "term1"]).sort_index()
    for group in ("childid", "schoolid"):
        own = curve.fit.varcorr[curve.fit.varcorr["group"] == group]["vcov"].to_numpy()
        t00, t11, t01 = own
        for t in (-2, 1):
            row = table[(table["year"] == t) & (table["group"] == group)].iloc[0]
            variance = t00 + 2 * t * t01 + t * t * t11
            assert row["variance"] == pytest.approx(variance)
            expected = (t01 + t * t11) / np.sqrt(variance * t11)
            assert row["status_rate_correlation"] == pytest.approx(expected)
    assert T.loc["Residual", "vcov"].iloc[0] == pytest.approx(
        table[table["group"] == "Residual"]["variance"].iloc[0]
    )
    assert table.groupby("year")["share"].sum().to_numpy() == pytest.approx([1, 1])


def test_doses_count_with_their_squares():
    table = movers()
    curve = tl.growth_curve(table, "y", "t", "child", "school", movers="cumulative")
    found = curve.expected_variance()
    W = curve.memberships["school"].weights.toarray()
    tau = curve.fit.varcorr.set_index("group").loc["school", "vcov"]
    for t in range(4):
        expected = tau * (W[table["t"] == t] ** 2).sum(axis=1).mean()
        row = found[(found["t"] == t) & (found["group"] == "school")].iloc[0]
        assert row["variance"] == pytest.approx(expected)
    with pytest.raises(tl.OptionError, match=r"times of the rows only, not at 1\.5"):
        curve.expected_variance([1, 1.5])


# ---- what it says -----------------------------------------------------------------------------


def test_tidy_names_growth():
    table = three().tidy().set_index("term")
    assert table.loc["year:lowinc", ["coefficient", "predictor"]].tolist() == ["linear", "lowinc"]
    assert table.loc["retained", "coefficient"] == "occasion"
    assert table.loc["lowinc", "meaning"] == "Status at year = 0, by lowinc"
    assert table.loc["Intercept", "predictor"] is None
    plain = three().fit.tidy()
    assert three().tidy()[plain.columns].equals(plain)
    random = table[table["effect"] == "ran_pars"]
    assert random["coefficient"].tolist()[:3] == ["intercept", "linear", "intercept, linear"]


def test_reliability_is_the_fits():
    table = three().reliability()
    assert table["reliability"].tolist() == tl.reliability(three().fit)["reliability"].tolist()
    assert table["coefficient"].tolist() == ["intercept", "linear"] * 2
    sd = three().fit.varcorr.query("term2.isna()")["sdcor"].to_numpy()[:-1]
    assert table["sd"].to_numpy() == pytest.approx(sd)


def test_summary():
    text = str(three().summary())
    for line in ("Status at year = 0", "Rate of change per year", "  by lowinc",
                 "Status at the occasion", "Expected variance of status over time"):  # fmt: skip
        assert f"\n{line}" in text, line
    assert "<table" in three()._repr_html_()
    far = tl.growth_curve(movers().assign(t=lambda d: d["t"] + 2000), "y", "t", "child",
                          random="intercept")  # fmt: skip
    assert "The origin 0 lies outside the times 2000 to 2003" in str(far.summary())
    assert repr(three()).startswith("<GrowthCurve 'math ~ year + female")


def test_status_at_the_first_time_is_initial_status():
    curve = tl.growth_curve(egsingle(), "math", "year", "childid", origin="first")
    assert "\nInitial status at year = -2.5" in str(curve.summary())


# ---- the picture ------------------------------------------------------------------------------


def lines(figure: Figure):
    return figure.axes[0].get_lines()


def test_plot_has_units_and_means():
    curve = three()
    figure = curve.plot("female", individuals=7)
    assert len(lines(figure)) == 7 + 2
    assert len(figure.axes[0].collections) == 2
    text = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert text == ["female Female", "female Male"]
    mean = curve.trajectories({"female": "Male"})
    assert lines(figure)[-1].get_ydata() == pytest.approx(mean["prediction"].to_numpy())
    bare = curve.plot(individuals=0, interval=None)
    assert len(lines(bare)) == 1
    assert not bare.axes[0].collections


def test_plot_by_a_number_takes_its_quartiles():
    figure = three().plot("lowinc", individuals=0)
    own = egsingle().groupby("childid")["lowinc"].mean().quantile([0.25, 0.75])
    text = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert text == [f"lowinc {value:.3g}" for value in own]


def test_units_are_drawn_by_the_seed():
    one, two, three_ = (quadratic().plot(individuals=3, seed=s) for s in (1, 1, 2))
    first = [tuple(line.get_ydata()) for line in lines(one)]
    assert first == [tuple(line.get_ydata()) for line in lines(two)]
    assert first != [tuple(line.get_ydata()) for line in lines(three_)]


def test_a_notebook_shows_the_picture_by_itself():
    assert quadratic().plot()._repr_png_().startswith(b"\x89PNG")


def test_plots_that_are_not_offered():
    with pytest.raises(tl.OptionError, match="did you mean 'female'"):
        three().plot("femal")
    with pytest.raises(tl.OptionError, match="no predictor of the curve"):
        quadratic().plot("female")
    with pytest.raises(tl.OptionError, match="one value for each predictor"):
        three().plot(at={"lowinc": [10, 20]})


def test_rows_without_a_score_count_as_time_in_their_school():
    table = movers()
    whole = tl.cumulative_membership(table, "school", "child", "t")
    gone = table.index[(table["t"] == 1) & (table["child"] < 30)]
    table.loc[gone, "y"] = np.nan
    with pytest.warns(DroppedRows, match="30 of 480"):
        curve = tl.growth_curve(table, "y", "t", "child", "school", movers="cumulative")
    assert (curve.memberships["school"].weights != whole.weights).nnz == 0
    used = curve.fit.model.design.factors[1]
    assert used.name == "school"
    kept = whole.weights[np.flatnonzero(table["y"].notna())]
    assert used.membership.toarray() == pytest.approx(kept.toarray())
