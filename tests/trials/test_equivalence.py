"""Baseline equivalence and matching."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

import teamlink as tl
from teamlink.trials.matching import _logit


def pupils(seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(20), 15)
    return pd.DataFrame(
        {
            "school": school, "treated": school % 2,
            "prior": rng.normal(size=20)[school] * 0.3 + rng.normal(size=300),
            "girl": rng.integers(0, 2, 300),
            "language": rng.choice(["en", "es", "other"], 300),
        }
    )  # fmt: skip


def schools(seed: int = 1, n: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    prior, poverty = rng.normal(size=n), rng.uniform(size=n)
    chance = 1 / (1 + np.exp(1.5 - prior + poverty))
    return pd.DataFrame(
        {
            "prior": prior, "poverty": poverty, "adopted": (rng.uniform(size=n) < chance) * 1,
            "level": rng.choice(["primary", "secondary"], n),
        },
        index=pd.Index([f"s{i:03d}" for i in range(n)]),
    )  # fmt: skip


class TestBaseline:
    def test_without_clusters_a_mean_has_welchs_statistic(self) -> None:
        data = pupils()
        row = tl.baseline(data, "treated", "prior").iloc[0]
        a, b = (data.loc[data["treated"] == k, "prior"] for k in (1, 0))
        assert row["statistic"] == pytest.approx(stats.ttest_ind(a, b, equal_var=False).statistic)
        pooled = np.sqrt((a.var() * (len(a) - 1) + b.var() * (len(b) - 1)) / (len(data) - 2))
        omega = 1 - 3 / (4 * (len(data) - 2) - 1)
        assert row["effect_size"] == pytest.approx(omega * (a.mean() - b.mean()) / pooled)

    def test_shares_have_coxs_index(self) -> None:
        data = pupils()
        table = tl.baseline(data, "treated", ["girl", "language"], "school").set_index("covariate")
        assert table.index.tolist() == ["girl", "language[en]", "language[es]", "language[other]"]
        assert (table["kind"] == "share").all()
        one, two = table.loc["girl", ["mean_treated", "mean_comparison"]]
        odds = np.log(one / (1 - one)) - np.log(two / (1 - two))
        omega = 1 - 3 / (4 * 298 - 1)
        assert table.loc["girl", "effect_size"] == pytest.approx(omega * odds / 1.65)
        assert table["mean_treated"].iloc[1:].sum() == pytest.approx(1)

    def test_thresholds_of_the_clearinghouse(self) -> None:
        rng = np.random.default_rng(2)
        x = rng.normal(size=1000)
        x = np.concatenate([x, x]) / x.std()
        treated = np.repeat([1, 0], 1000)
        words = {
            0.0: "satisfied", 0.049: "satisfied", 0.06: "adjust", 0.249: "adjust",
            0.26: "not satisfied", -0.3: "not satisfied",
        }  # fmt: skip
        for shift, said in words.items():
            data = pd.DataFrame({"x": x + shift * treated, "treated": treated})
            assert tl.baseline(data, "treated", "x").loc[0, "equivalence"] == said

    def test_missing_values_are_counted_by_covariate(self) -> None:
        data = pupils()
        data.loc[:4, "prior"] = np.nan
        table = tl.baseline(data, "treated", ["prior", "girl"], "school").set_index("covariate")
        assert table["missing"].to_dict() == {"prior": 5, "girl": 0}
        assert table.loc["prior", "n_treated"] + table.loc["prior", "n_comparison"] == 295

    def test_rows_of_weight_two_count_twice_in_means(self) -> None:
        data = pupils().assign(w=1.0)
        data.loc[data["girl"] == 1, "w"] = 2.0
        row = tl.baseline(data, "treated", "prior", "school", weights="w").iloc[0]
        both = pd.concat([data, data[data["girl"] == 1]])
        again = tl.baseline(both, "treated", "prior", "school").iloc[0]
        assert row["mean_treated"] == pytest.approx(again["mean_treated"])
        assert row["statistic"] == pytest.approx(again["statistic"])

    def test_a_covariate_without_spread(self) -> None:
        row = tl.baseline(pupils().assign(x=3.0), "treated", "x").iloc[0]
        assert row["effect_size"] == 0
        assert np.isnan(row["p_value"])

    def test_refuses(self) -> None:
        with pytest.raises(tl.DataError, match="no such column"):
            tl.baseline(pupils(), "treated", "priors")
        with pytest.raises(tl.DesignError, match="zeros and ones"):
            tl.baseline(pupils().assign(treated=1), "treated", "prior")


class TestMatching:
    def test_propensity_is_that_of_statsmodels(self) -> None:
        data = schools()
        X = data[["prior", "poverty"]].to_numpy()
        reference = sm.Logit(data["adopted"].to_numpy(), sm.add_constant(X)).fit(disp=0, tol=1e-12)
        found = tl.match(data, "adopted", ["prior", "poverty"], replace=True)
        assert found.propensity is not None
        assert found.propensity.to_numpy() == pytest.approx(reference.predict(), rel=1e-8)
        logit = _logit(np.column_stack([X, X[:, 0] * 2]), (data["adopted"] == 1).to_numpy())
        assert logit == pytest.approx(reference.fittedvalues, rel=1e-7)

    def test_distance_of_mahalanobis(self) -> None:
        data = schools()
        found = tl.match(data, "adopted", ["prior", "poverty"], distance="mahalanobis")
        X, arm = data[["prior", "poverty"]].to_numpy(), (data["adopted"] == 1).to_numpy()
        S = sum((side.sum() - 1) * np.cov(X[side].T) for side in (arm, ~arm)) / (len(X) - 2)
        pair = found.pairs.iloc[0]
        one, two = (data.loc[pair[k], ["prior", "poverty"]] for k in ("treated", "comparison"))
        gap = (one - two).to_numpy(dtype=float)
        assert pair["distance"] == pytest.approx(np.sqrt(gap @ np.linalg.inv(S) @ gap))

    def test_balance_improves(self) -> None:
        found = tl.match(schools(3, 400), "adopted", ["prior", "poverty"])
        table = found.balance.set_index("covariate")
        assert abs(table.loc["prior", "after"]) < abs(table.loc["prior", "before"]) / 3
        matched = found.data
        again = matched.groupby("adopted")["prior"].mean()
        sd = found.rows.loc[found.rows["adopted"] == 1, "prior"].std()
        assert table.loc["prior", "after"] == pytest.approx((again[1] - again[0]) / sd)

    def test_each_comparison_serves_once_without_replacement(self) -> None:
        data = schools(4, 200)
        pairs = tl.match(data, "adopted", ["prior", "poverty"], ratio=2).pairs
        assert not pairs["comparison"].duplicated().any()
        assert (pairs["treated"].value_counts() == 2).all()
        again = tl.match(data, "adopted", ["prior", "poverty"], replace=True)
        weights = again.weights[data["adopted"] == 0]
        assert weights.sum() == pytest.approx(data["adopted"].sum())
        assert again.pairs["distance"].mean() <= pairs["distance"].mean()

    def test_optimal_pairs_have_the_least_sum(self) -> None:
        data = schools(5, 200)
        data = pd.concat([data[data["adopted"] == 1][:4], data[data["adopted"] == 0][:6]])
        options: dict[str, Any] = {"distance": "mahalanobis"}
        found = tl.match(data, "adopted", ["prior", "poverty"], method="optimal", **options)
        gaps = tl.match(
            data, "adopted", ["prior", "poverty"], ratio=6, replace=True, **options
        ).pairs
        table = gaps.pivot_table(index="treated", columns="comparison", values="distance")
        best = min(
            sum(table.to_numpy()[i, c] for i, c in enumerate(chosen))
            for chosen in permutations(range(6), 4)
        )
        assert found.pairs["distance"].sum() == pytest.approx(best)

    def test_caliper_and_exact(self) -> None:
        data = schools(6, 200)
        for method in ("nearest", "optimal"):
            found = tl.match(data, "adopted", ["prior"], caliper=0.1, exact="level", method=method)
            assert (found.pairs["distance"] <= 0.1).all()
            sides = [
                data.loc[found.pairs[k], "level"].to_numpy() for k in ("treated", "comparison")
            ]
            assert (sides[0] == sides[1]).all()
            left = data["adopted"].sum() - found.pairs["treated"].nunique()
            assert len(found.unmatched) == left

    def test_categories_are_matched_on(self) -> None:
        found = tl.match(schools(7), "adopted", ["prior", "level"])
        assert found.balance["covariate"].tolist() == [
            "prior",
            "level[primary]",
            "level[secondary]",
        ]

    def test_refuses(self) -> None:
        data = schools(8)
        with pytest.raises(tl.DesignError, match="too few for 9 each"):
            tl.match(data, "adopted", "prior", ratio=9)
        with pytest.raises(tl.DesignError, match="tells treated units from all others"):
            tl.match(
                data.assign(prior=data["adopted"] + 0.01 * data["prior"]),
                "adopted",
                "prior",
                replace=True,
            )
        with pytest.raises(tl.DesignError, match="wider caliper"):
            tl.match(data, "adopted", "prior", caliper=1e-12)
        with pytest.raises(tl.OptionError, match="replace: goes with"):
            tl.match(data, "adopted", "prior", method="optimal", replace=True)
        with pytest.raises(tl.OptionError, match="ratio="):
            tl.match(data, "adopted", "prior", ratio=0)
        with pytest.raises(tl.DataError, match="missing value"):
            tl.match(data.assign(prior=data["prior"].where(data["prior"] > 0)), "adopted", "prior")
