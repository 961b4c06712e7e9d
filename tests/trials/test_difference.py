"""Difference-in-differences and event studies: identities, recovery, warnings, faults."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linearmodels.panel import PanelOLS
from scipy import stats

import teamlink as tl
from teamlink.errors import DroppedRows, NegativeWeights, RankDeficient
from teamlink.trials.within import joint_test, lines, ordinary


def world(
    seed: int, schools: int = 40, effect: float = 0.5, growth: float = 0.0, never: bool = True
) -> pd.DataFrame:
    """Eight years; a third of the schools start in year 3, a third in 5, the rest never or in 7."""
    rng = np.random.default_rng(seed)
    school, year = np.repeat(np.arange(schools), 8), np.tile(np.arange(8), schools)
    first = np.array([3.0, 5.0, np.nan if never else 7.0])[school % 3]
    since = year - first
    score = rng.normal(size=schools)[school] + 0.1 * year + rng.normal(0, 0.4, len(school))
    score += np.where(since >= 0, effect + growth * since, 0.0)
    return pd.DataFrame(
        {
            "school": school, "year": year, "first": first, "score": score,
            "treated": (since >= 0).astype(int), "poverty": rng.normal(size=len(school)),
            "district": school // 3, "ever": (~np.isnan(first)).astype(int),
        }
    )  # fmt: skip


def did(data: Any, **options: Any) -> Any:
    options = options if "treated" in options else {"first_treated": "first"} | options
    return tl.did(data, "score", "school", "year", **options)


def means(data: pd.DataFrame, cohort: float, year: int) -> float:
    rows = data[(data["first"] == cohort) if np.isfinite(cohort) else data["first"].isna()]
    return float(rows.loc[rows["year"] == year, "score"].mean())


class TestIdentities:
    def test_two_groups_two_periods(self) -> None:
        data = world(1)
        data = data[data["year"].isin([2, 3]) & (data["first"] != 5)]
        found = did(data).overall
        change = means(data, 3, 3) - means(data, 3, 2)
        other = means(data, np.nan, 3) - means(data, np.nan, 2)
        assert found["estimate"] == pytest.approx(change - other, abs=1e-12)
        # CR2 of two means of changes is Welch's statistic; its degrees of freedom are those of the
        # working model, which has equal variances in both groups.
        gain = data.loc[data["year"] == 3].set_index("school")["score"]
        gain = gain - data.loc[data["year"] == 2].set_index("school")["score"]
        joined = data.groupby("school")["first"].first().notna()
        welch = stats.ttest_ind(gain[joined], gain[~joined], equal_var=False)
        assert found["statistic"] == pytest.approx(welch.statistic)
        m, n = int(joined.sum()), int((~joined).sum())
        df = (1 / m + 1 / n) ** 2 / (1 / (m**2 * (m - 1)) + 1 / (n**2 * (n - 1)))
        assert found["df"] == pytest.approx(df)

    def test_one_start_is_the_two_way_regression(self) -> None:
        data = world(2)
        data = data[data["first"] != 5]
        one = did(data, treated="ever", post=3)
        two = did(data, treated="ever", post=3, method="twfe")
        assert one.overall["estimate"] == pytest.approx(two.overall["estimate"], abs=1e-10)
        panel = data.set_index(["school", "year"])
        reference = PanelOLS(
            panel["score"], panel[["treated"]], entity_effects=True, time_effects=True
        ).fit()
        assert two.overall["estimate"] == pytest.approx(reference.params["treated"], abs=1e-10)

    def test_clustered_covariance_is_that_of_linearmodels(self) -> None:
        data = world(3)
        ours = did(data, method="twfe", cov="clustered", cluster="district", covariates="poverty")
        panel = data.set_index(["school", "year"])
        reference = PanelOLS(
            panel["score"], panel[["treated", "poverty"]], entity_effects=True, time_effects=True
        ).fit(cov_type="clustered", clusters=panel[["district"]], count_effects=False)
        assert ours.overall["estimate"] == pytest.approx(reference.params["treated"], abs=1e-10)
        # The two count different columns in their factor (n - 1) / (n - k).
        assert ours.overall["std_error"] == pytest.approx(reference.std_errors["treated"], rel=0.05)
        assert ours.overall["df"] == data["district"].nunique() - 1

    def test_event_study_is_callaway_and_santanna(self) -> None:
        """Difference of differences of means from the period before, by cohort and period."""
        data = world(4)
        found = tl.event_study(data, "score", "school", "year", first_treated="first").group_time
        for row in found.itertuples():
            base = int(row.cohort) - 1
            change = means(data, row.cohort, int(row.time)) - means(data, row.cohort, base)
            other = means(data, np.nan, int(row.time)) - means(data, np.nan, base)
            assert row.estimate == pytest.approx(change - other, abs=1e-10)

    def test_averages_are_those_of_the_cells(self) -> None:
        found = did(world(5, growth=0.2))
        table = found.group_time
        assert found.overall["estimate"] == pytest.approx(
            np.average(table["estimate"], weights=table["rows"])
        )
        for name, by in (("cohort", found.by_cohort), ("event", found.by_event)):
            own = table.groupby(name)[["estimate", "rows"]].apply(
                lambda t: np.average(t["estimate"], weights=t["rows"])
            )
            assert by["estimate"].to_numpy() == pytest.approx(own.to_numpy())

    def test_students_in_schools_are_weighted_means(self) -> None:
        """With the same number a school and year the rows' mean is all that matters."""
        data = world(6)
        noise = np.random.default_rng(6).normal(size=(4, len(data)))
        noise -= noise.mean(axis=0)
        pupils = pd.concat([data.assign(score=data["score"] + e) for e in noise])
        one, two = did(data), did(pupils)
        assert two.overall["estimate"] == pytest.approx(one.overall["estimate"], abs=1e-10)
        weighted = did(data.assign(w=7.0), weights="w")
        assert weighted.overall.to_numpy() == pytest.approx(one.overall.to_numpy())

    @given(st.floats(0.5, 20), st.floats(-50, 50), st.integers(0, 99))
    @settings(max_examples=8)
    def test_invariances(self, scale: float, slope: float, seed: int) -> None:
        data = world(7, schools=18)
        base = did(data).overall
        rng = np.random.default_rng(seed)
        moved = data.assign(
            score=scale * data["score"] + slope * data["year"] + rng.normal(size=18)[data["school"]]
        ).sample(frac=1, random_state=seed)
        found = did(moved).overall
        assert found["estimate"] == pytest.approx(scale * base["estimate"], abs=1e-8 * scale)
        assert found["std_error"] == pytest.approx(scale * base["std_error"], rel=1e-7)
        assert found["df"] == pytest.approx(base["df"], rel=1e-6)


class TestStaggered:
    def test_growing_effects_mislead_the_two_way_regression(self) -> None:
        """Every effect is positive, most schools start early: some weights are negative."""
        data = world(10, schools=300)
        data["first"] = np.array([1.0, 1, 1, 5, 5, np.nan])[data["school"] % 6]
        since = data["year"] - data["first"]
        data["score"] += np.where(since >= 0, 0.2 + 0.4 * since, 0) - 0.5 * data["treated"]
        with pytest.warns(NegativeWeights, match="negative weight"):
            two = did(data, method="twfe")
        one = did(data)
        table = one.group_time
        truth = np.average(0.2 + 0.4 * table["event"], weights=table["rows"])
        assert one.overall["estimate"] == pytest.approx(truth, abs=0.1)
        assert two.overall["estimate"] < truth - 0.3
        assert "negative weights" in str(two.summary())
        assert "two-way coefficient gives" in str(one.summary())

    def test_weights_explain_the_two_way_coefficient(self) -> None:
        """The coefficient is the weighted sum of true effects where there is no noise."""
        data = world(11, growth=0.3)
        data["score"] = np.where(
            data["treated"] == 1, 0.5 + 0.3 * (data["year"] - data["first"]), 0.0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NegativeWeights)
            found = did(data, method="twfe")
        cells = found.weights
        truth = 0.5 + 0.3 * (cells["time"] - cells["cohort"])
        assert cells["weight"].sum() == pytest.approx(1)
        assert found.overall["estimate"] == pytest.approx(cells["weight"] @ truth, abs=1e-10)

    def test_last_cohort_serves_where_all_are_treated(self) -> None:
        data = world(12, never=False)
        with pytest.warns(DroppedRows, match="from period 7 on left out"):
            found = did(data)
        assert set(found.group_time["cohort"]) == {3, 5}
        assert found.group_time["time"].max() == 6

    def test_always_treated_are_left_out(self) -> None:
        data = world(13)
        data["first"] = data["first"].where(data["school"] != 0, 0.0)
        with pytest.warns(DroppedRows, match="1 units"):
            found = did(data)
        assert found.counts["units"] == 39

    def test_treatment_after_the_last_period_is_none(self) -> None:
        data = world(13)
        later = data.assign(first=data["first"].fillna(12.0))
        assert did(later).overall.equals(did(data).overall)
        assert did(later).counts == did(data).counts

    def test_treatment_by_status(self) -> None:
        data = world(14)
        one, two = did(data), did(data, treated="treated")
        assert one.overall.equals(two.overall)


class TestInference:
    @pytest.mark.slow
    def test_level_of_few_treated_schools(self) -> None:
        """Six of 24 schools treated: CR2 keeps the level, which the plain sandwich does not."""
        rng = np.random.default_rng(1)
        school, year = np.repeat(np.arange(24), 4), np.tile(np.arange(4), 24)
        data = pd.DataFrame({"school": school, "year": year, "ever": (school < 6) * 1})
        rejected = []
        for _ in range(300):
            data["score"] = rng.normal(size=96) + rng.normal(size=24)[school] * year
            p = did(data, treated="ever", post=2).overall["p_value"]
            rejected.append(p < 0.05)
        # Three binomial standard errors about 0.05.
        assert np.mean(rejected) == pytest.approx(0.05, abs=0.038)

    def test_joint_test_of_one_coefficient_is_its_t_test(self) -> None:
        rng = np.random.default_rng(2)
        X = np.column_stack([np.ones(60), rng.normal(size=(60, 2))])
        fit = ordinary(rng.normal(size=60), X, ("a", "b", "c"), np.arange(60) // 5)
        L = np.array([[0.0, 1.0, 0.0]])
        one = lines(fit, L, 0.95)
        F, df1, df2, p = joint_test(fit, L)
        assert one["statistic"][0] ** 2 == pytest.approx(F)
        assert (df1, df2) == (1, pytest.approx(one["df"][0]))
        assert p == pytest.approx(one["p_value"][0])

    def test_pretrend_finds_a_trend(self) -> None:
        data = world(15)
        data["score"] += np.where(data["first"].notna(), 0.4 * data["year"], 0.0)
        study = tl.event_study(data, "score", "school", "year", first_treated="first", base=-1)
        assert study.pretrend["p_value"] < 0.001
        flat = tl.event_study(world(16), "score", "school", "year", first_treated="first")
        assert flat.pretrend["p_value"] > 0.01
        assert "Trends before treatment" in str(flat.summary())
        wald = tl.event_study(
            world(16), "score", "school", "year", first_treated="first", cov="clustered"
        )
        assert wald.pretrend["df_denom"] == 39

    def test_picture(self) -> None:
        study = tl.event_study(world(17), "score", "school", "year", first_treated="first")
        (ax,) = study.plot().axes
        assert "effect on score" in ax.get_ylabel()
        assert len(study.tidy()) == len(study.by_event)
        assert "<table" in study._repr_html_()


class TestRefuses:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"first_treated": None}, "say who is treated when"),
            ({"treated": "treated", "first_treated": "first"}, "say who is treated when"),
            ({"post": 3}, "post: goes with treated="),
            ({"method": "bacon"}, "method='bacon' is not offered"),
            ({"cov": "HC1"}, "cov='HC1' is not offered"),
        ],
    )
    def test_options(self, options: dict[str, Any], said: str) -> None:
        options = {"first_treated": "first"} | options
        with pytest.raises(tl.OptionError, match=said):
            tl.did(world(20), "score", "school", "year", **options)

    def test_columns_all_at_once(self) -> None:
        with pytest.raises(tl.DataError) as caught:
            tl.did(world(20), "scor", "schol", "yeer", treated="treted")
        assert len(caught.value.faults) == 4

    def test_treatment_that_ends(self) -> None:
        data = world(21)
        data.loc[data["year"] == 7, "treated"] = 0
        with pytest.raises(tl.DesignError, match="treatment ends"):
            did(data, treated="treated")

    def test_units_treated_without_a_period(self) -> None:
        with pytest.raises(tl.DesignError, match="give post="):
            did(world(21), treated="ever")

    def test_first_period_that_changes(self) -> None:
        data = world(22)
        data.loc[0, "first"] = 4
        with pytest.raises(tl.DesignError, match="changes within 1 units"):
            did(data)

    def test_nobody_treated_and_everybody_at_once(self) -> None:
        with pytest.raises(tl.DesignError, match="no unit is treated"):
            did(world(23).assign(first=np.nan))
        with pytest.raises(tl.DesignError, match="no unit is left untreated"):
            did(world(23).assign(first=3.0))

    def test_clusters_that_cut_through_units(self) -> None:
        with pytest.raises(tl.DesignError, match="clusters hold whole units"):
            did(world(24), cluster="year")

    def test_weights_and_words(self) -> None:
        with pytest.raises(tl.DesignError, match="weights must be positive"):
            did(world(25).assign(w=0.0), weights="w")
        with pytest.raises(tl.DataError, match="must be numbers"):
            did(world(25).assign(first="2008"))

    def test_base_that_is_not_observed(self) -> None:
        for base in (-9, 0):
            with pytest.raises(tl.DesignError, match="event time"):
                tl.event_study(
                    world(26), "score", "school", "year", first_treated="first", base=base
                )

    def test_covariate_that_is_constant(self) -> None:
        with pytest.warns(RankDeficient, match="district"):
            did(world(27), covariates="district")

    def test_missing_outcomes_are_counted(self) -> None:
        data = world(28)
        data.loc[[1, 2], "score"] = np.nan
        with pytest.warns(DroppedRows, match="2 of 320 rows"):
            assert did(data).counts["rows"] == 318

    def test_two_way_regression_has_one_effect(self) -> None:
        with pytest.raises(tl.OptionError, match="method='extended'"):
            _ = did(world(29), method="twfe").by_event
