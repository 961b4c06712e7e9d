"""Cluster trials: effect sizes, their errors, detectable effects, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import teamlink as tl
from teamlink.trials.sizes import correction, cox_index, improvement_index, standardizer


def world(
    seed: int,
    schools: int = 40,
    effect: float = 0.3,
    icc: float = 0.2,
    sizes: tuple[int, int] = (20, 21),
) -> pd.DataFrame:
    """Outcomes with a total variance of one within arms."""
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(schools), rng.integers(*sizes, schools))
    n = len(school)
    score = rng.normal(0, np.sqrt(icc), schools)[school] + rng.normal(0, np.sqrt(1 - icc), n)
    treated = school % 2
    return pd.DataFrame(
        {
            "school": school, "treated": treated, "score": score + effect * treated,
            "block": school // 4, "year": rng.integers(1, 4, n), "prior": rng.normal(size=n),
        }
    )  # fmt: skip


def trial(data: Any, **options: Any) -> Any:
    return tl.cluster_trial(data, "score", "treated", "school", **options)


class TestEffect:
    def test_balanced_trial_is_the_t_test_of_school_means(self) -> None:
        data = world(1)
        row = trial(data).effects.iloc[0]
        means = data.groupby("school")["score"].mean()
        found = stats.ttest_ind(means[1::2], means[::2])
        assert row["estimate"] == pytest.approx(means[1::2].mean() - means[::2].mean())
        assert row["statistic"] == pytest.approx(found.statistic, rel=1e-6)
        assert row["df"] == pytest.approx(38, rel=1e-6)
        assert row["p_value"] == pytest.approx(found.pvalue, rel=1e-5)

    def test_is_the_fit_of_its_formula(self) -> None:
        data = world(2, sizes=(10, 40))
        made = trial(data, block="block", covariates="prior", method="satterthwaite")
        assert made.formula == "score ~ treated + prior + C(block) + (1 | school)"
        fit = tl.lmm(made.formula, data)
        assert made.effects.loc[0, "estimate"] == fit.params["treated"]
        assert made.effects.loc[0, "std_error"] == fit.bse["treated"]
        robust = trial(data, block="block", covariates="prior", method="CR2")
        assert robust.effects.loc[0, "std_error"] == tl.robust(fit).bse["treated"]

    def test_year_by_year_is_each_year_alone(self) -> None:
        data = world(3)
        found = trial(data, by="year")
        for year in (1, 2, 3):
            alone = trial(data[data["year"] == year]).effects.iloc[0]
            row = found.effects.set_index("year").loc[year]
            assert row.to_numpy(dtype=float) == pytest.approx(alone.to_numpy(dtype=float))
        assert "By" in str(found.summary())
        assert len(found.tidy()) == 3
        assert "<table" in found._repr_html_()

    def test_scale_of_the_outcome_does_not_matter(self) -> None:
        data = world(4, sizes=(10, 40))
        one = trial(data).effects.iloc[0]
        two = trial(data.assign(score=500 + 100 * data["score"])).effects.iloc[0]
        for name in ("g", "g_se", "icc", "mdes", "p_value", "design_effect", "improvement_index"):
            assert two[name] == pytest.approx(one[name], rel=1e-5)

    @pytest.mark.slow
    def test_effect_size_is_unbiased_and_its_error_right(self) -> None:
        """A large effect in few schools, where the part of the standard deviation matters."""
        found = pd.concat(
            [trial(world(s, 12, 1.0, 0.3), method="satterthwaite").effects for s in range(150)]
        )
        spread = found["g"].std()
        # Three Monte-Carlo errors of a mean; a spread of 150 draws is uncertain by 6 %.
        assert found["g"].mean() == pytest.approx(1.0, abs=3 * spread / np.sqrt(150))
        assert np.sqrt((found["g_se"] ** 2).mean()) == pytest.approx(spread, rel=0.18)
        assert found["sd"].mean() == pytest.approx(1.0, abs=0.03)


class TestSizes:
    def test_equal_clusters_have_hedges_formulas(self) -> None:
        """doi:10.3102/1076998606298043, with N students in clusters of n."""
        data = world(5, schools=20, sizes=(15, 16))
        rho, n, N = 0.25, 15, 300
        made = standardizer(
            data["score"].to_numpy(),
            (data["treated"] == 1).to_numpy(),
            data["school"].to_numpy(),
            rho,
        )
        assert made.gamma**2 == pytest.approx(1 - 2 * (n - 1) * rho / (N - 2))
        bracket = (N - 2) * (1 - rho) ** 2 + n * (N - 2 * n) * rho**2
        bracket += 2 * (N - 2 * n) * rho * (1 - rho)
        assert made.h == pytest.approx(((N - 2) - 2 * (n - 1) * rho) ** 2 / bracket)
        pooled = data.groupby("treated")["score"].var().mean()
        assert made.S**2 == pytest.approx(pooled)

    def test_without_clustering_they_are_those_of_students(self) -> None:
        data = world(6, icc=0.0)
        made = standardizer(
            data["score"].to_numpy(),
            (data["treated"] == 1).to_numpy(),
            data["school"].to_numpy(),
            0.0,
        )
        assert made.gamma == 1
        assert made.h == pytest.approx(len(data) - 2)

    def test_total_variance_is_unbiased_with_unequal_clusters(self) -> None:
        found = []
        for seed in range(400):
            data = world(seed, schools=8, icc=0.4, sizes=(2, 40))
            arm = (data["treated"] == 1).to_numpy()
            made = standardizer(data["score"].to_numpy(), arm, data["school"].to_numpy(), 0.4)
            found.append(made.sd**2)
        assert np.mean(found) == pytest.approx(1, abs=3 * np.std(found) / np.sqrt(400))

    def test_small_ones(self) -> None:
        assert correction(10) == pytest.approx(0.9230769, rel=1e-6)
        assert cox_index(0.5, 0.5) == 0
        assert np.isnan(cox_index(1.0, 0.5))
        assert improvement_index(0.0) == 0
        # A published pair: effect sizes of 0.11 and 0.20 move the median to the 54th and 58th.
        assert [round(50 + improvement_index(g)) for g in (0.11, 0.20)] == [54, 58]


class TestDetectable:
    def test_agrees_with_the_plan(self) -> None:
        row = trial(world(7, schools=60)).effects.iloc[0]
        planned = tl.power("cluster-trial", schools=60, students=20, icc=row["icc"])
        assert row["mdes"] == pytest.approx(planned.minimum_detectable, rel=0.02)


class TestRefuses:
    def test_treatment_within_clusters(self) -> None:
        data = world(10)
        data.loc[0, "treated"] = 1
        with pytest.raises(tl.DesignError, match="changes within 1 clusters"):
            trial(data)

    def test_codes(self) -> None:
        data = world(11)
        with pytest.raises(tl.DesignError, match="code it as 0 and 1"):
            trial(data.assign(treated=data["treated"] * 0.5))
        with pytest.raises(tl.DesignError, match="single cluster"):
            trial(data.assign(treated=(data["school"] == 0) * 1))

    def test_blocks_that_are_the_arms(self) -> None:
        data = world(12)
        with pytest.warns(tl.errors.RankDeficient):
            made = trial(data.assign(block=data["treated"]), block="block")
        assert np.isfinite(made.effects.loc[0, "estimate"])

    def test_columns_all_at_once(self) -> None:
        with pytest.raises(tl.DataError) as caught:
            tl.cluster_trial(world(13), "scores", "treatd", "scool")
        assert len(caught.value.faults) == 3
        with pytest.raises(tl.OptionError, match="method="):
            trial(world(13), method="KR")
        with pytest.raises(tl.OptionError, match="power="):
            trial(world(13), power=2)
        with pytest.raises(tl.DataError, match="in more than one 'block'"):
            trial(world(13).assign(block=lambda d: d["year"]), block="block")

    def test_missing_outcomes_are_counted(self) -> None:
        data = world(14)
        data.loc[:9, "score"] = np.nan
        with pytest.warns(tl.errors.DroppedRows, match="10 of 800 rows"):
            assert trial(data).effects.loc[0, "students"] == 790
