"""The verb `vam`: what it recovers, what stays invariant, what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linearmodels.iv.absorbing import AbsorbingLS

import teamlink as tl
from teamlink.errors import DroppedRows, RankDeficient


def world(
    seed: int, teachers: int = 60, size: int = 20, tau: float = 0.25, moves: bool = False
) -> pd.DataFrame:
    """Teachers in schools of five; with `moves` a third of each teacher's rows is elsewhere."""
    rng = np.random.default_rng(seed)
    teacher = np.repeat(np.arange(teachers), size)
    school = teacher // 5
    if moves:
        school = np.where(np.arange(len(teacher)) % 3 == 0, (school + 1) % (teachers // 5), school)
    n = len(teacher)
    effect, climate = rng.normal(0, tau, teachers), rng.normal(0, 0.15, teachers // 5)
    prior = rng.normal(size=n)
    score = 0.6 * prior + effect[teacher] + climate[school] + rng.normal(0, 0.5, n)
    return pd.DataFrame(
        {
            "score": score, "prior": prior, "teacher": teacher, "school": school,
            "year": np.arange(n) % 4, "ses": rng.normal(size=n), "truth": effect[teacher],
        }
    )  # fmt: skip


class TestRandom:
    def test_is_the_fit_of_its_formula(self) -> None:
        data = world(1)
        made = tl.vam(data, "score", "teacher", "school", prior="prior", year="year")
        assert made.formula == "score ~ prior + C(year) + (1 | teacher) + (1 | school)"
        fit = tl.lmm(made.formula, data)
        assert made.fit is not None
        assert made.fit.deviance == fit.deviance
        own = fit.ranef()["teacher"]
        assert made.teachers["effect"].to_numpy() == pytest.approx(own["Intercept"].to_numpy())
        assert made.teachers["std_error"].to_numpy() == pytest.approx(
            own["Intercept_se"].to_numpy()
        )

    def test_joint_distribution_is_that_of_the_engine(self) -> None:
        made = tl.vam(world(2, moves=True), "score", "teacher", "school", prior="prior")
        joint: Any = made.joint
        own = np.concatenate([made.teacher_effects.effect, made.schools["effect"]])
        se = np.concatenate([made.teacher_effects.std_error, made.schools["std_error"]])
        places = [made.places["teacher"], made.places["school"]]
        at = np.concatenate([np.arange(p.start, p.stop) for p in places])
        # The engine works in another basis: rounding.
        assert joint.mean[at] == pytest.approx(own, abs=1e-10)
        from scipy.sparse import csr_array

        variance = joint.variance(csr_array(np.eye(len(joint.mean))[at]))
        assert np.sqrt(variance) == pytest.approx(se, rel=1e-9)

    def test_total_adds_the_school(self) -> None:
        made = tl.vam(world(3), "score", "teacher", "school", prior="prior")
        table = made.teachers
        schools = made.schools["effect"].loc[table["school"]].to_numpy()
        assert table["total"].to_numpy() == pytest.approx(table["effect"].to_numpy() + schools)
        assert (
            table["total_se"] < np.hypot(table["std_error"], made.schools["std_error"].max())
        ).all()
        assert "total compares" in str(made.summary())

    def test_intervals_cover_the_truth(self) -> None:
        shares, truth = [], []
        for seed in range(8):
            data = world(100 + seed, teachers=100)
            made = tl.vam(data, "score", "teacher", "school", prior="prior")
            own = data.groupby("teacher")["truth"].first()
            table = made.teachers
            inside = (table["conf_low"] <= own) & (own <= table["conf_high"])
            shares.append(inside.mean())
            truth.append(np.corrcoef(table["effect"], own)[0, 1] ** 2)
        # 800 intervals, not independent within a school; the estimated variances cost a little.
        assert np.mean(shares) == pytest.approx(0.95, abs=0.035)
        # The squared correlation with the truth is the reliability.
        assert np.mean(truth) == pytest.approx(
            made.reliability.loc["teacher", "reliability"], abs=0.08
        )

    def test_probabilities_of_the_top_are_calibrated(self) -> None:
        hits, promised = 0.0, 0.0
        for seed in range(6):
            data = world(200 + seed, teachers=100)
            made = tl.vam(data, "score", "teacher", "school", prior="prior")
            table = made.ranks(draws=1000, seed=seed)
            own = data.groupby("teacher")["truth"].first()
            top = own.rank(ascending=False) <= 20
            likely = table["p_top"].to_numpy() > 0.5
            hits += top.to_numpy()[likely].sum()
            promised += table["p_top"].to_numpy()[likely].sum()
        # Of about 60 teachers: two binomial standard errors, and the variances are estimated.
        assert promised > 40
        assert hits / promised == pytest.approx(1, abs=0.15)

    def test_yearly_effects_take_shocks_out_of_the_lasting_one(self) -> None:
        rng = np.random.default_rng(5)
        data = world(5, teachers=80, size=32)
        shock = rng.normal(0, 0.4, (80, 4))
        data["score"] += shock[data["teacher"], data["year"]]
        plain = tl.vam(data, "score", "teacher", prior="prior", year="year")
        yearly = tl.vam(data, "score", "teacher", prior="prior", year="year", yearly=True)
        sd = yearly.components.set_index("group")["sd"]
        assert sd["teacher:year"] == pytest.approx(0.4, abs=0.06)
        assert yearly.teacher_effects.sd < plain.teacher_effects.sd
        assert (yearly.teachers["std_error"] > plain.teachers["std_error"]).all()

    def test_nested_ids(self) -> None:
        data = world(6)
        made = tl.vam(data, "score", "teacher", "school", prior="prior")
        again = data.assign(teacher=data["teacher"] % 5)
        nested = tl.vam(again, "score", "teacher", "school", prior="prior", nested=True)
        assert nested.teachers["effect"].to_numpy() == pytest.approx(
            made.teachers["effect"].to_numpy(), abs=1e-7
        )

    def test_students_of_several_years(self) -> None:
        data = world(7)
        data["student"] = np.random.default_rng(7).permutation(len(data)) // 3
        made = tl.vam(data, "score", "teacher", prior="prior", gain=True, student="student")
        assert made.formula == "I(score - prior) ~ 1 + (1 | teacher) + (1 | student)"
        assert made.teachers.shape[0] == 60

    def test_no_variance_between_teachers(self) -> None:
        data = world(8, tau=0.0)
        for kind in ("random", "fixed"):
            rng = np.random.default_rng(1)
            data["score"] = (
                data["prior"]
                + rng.permuted(np.tile([-1.0, 1.0], 600).reshape(60, 20), axis=1).ravel()
            )
            made = tl.vam(data, "score", "teacher", prior="prior", effects=kind)
            assert made.teacher_effects.sd == 0
            assert (made.teachers["effect"] == 0).all()
            assert (made.teachers["reliability"] == 0).all()
            assert "no teacher can be told apart" in str(made.summary())

    @given(st.floats(0.1, 50), st.floats(-100, 100), st.integers(0, 50))
    @settings(max_examples=8)
    def test_scale_origin_and_order(self, scale: float, shift: float, seed: int) -> None:
        data = world(9, teachers=40, size=8)
        made = tl.vam(data, "score", "teacher", "school", prior="prior")
        other = data.assign(
            score=shift + scale * data["score"], teacher="t" + data["teacher"].map("{:02d}".format)
        )
        other = other.sample(frac=1, random_state=seed)
        moved = tl.vam(other, "score", "teacher", "school", prior="prior")
        for name in ("effect", "std_error", "total", "total_se"):
            assert moved.teachers[name].to_numpy() == pytest.approx(
                scale * made.teachers[name].to_numpy(), rel=1e-5, abs=1e-6 * scale
            )
        assert moved.reliability["reliability"].to_numpy() == pytest.approx(
            made.reliability["reliability"].to_numpy(), abs=1e-5
        )

    def test_ranks_repeat_with_the_seed(self) -> None:
        made = tl.vam(world(10), "score", "teacher", "school", prior="prior")
        assert made.ranks("total", seed=3).equals(made.ranks("total", seed=3))
        assert len(made.ranks("school")) == 12

    def test_frames_of_other_kinds(self) -> None:
        data = world(11)
        made = tl.vam(data, "score", "teacher", prior="prior")
        other = tl.vam(pl.from_pandas(data), "score", "teacher", prior="prior")
        assert other.teachers["effect"].tolist() == made.teachers["effect"].tolist()


class TestFixed:
    def test_clustered_covariance_is_that_of_linearmodels(self) -> None:
        data = world(20)
        made = tl.vam(
            data,
            "score",
            "teacher",
            prior="prior",
            covariates="ses",
            effects="fixed",
            cluster="school",
        )
        reference = AbsorbingLS(
            data["score"], data[["prior", "ses"]], absorb=data[["teacher"]].astype("category")
        ).fit(cov_type="clustered", clusters=data["school"], debiased=True)
        assert made.estimates.values[0] == pytest.approx(reference.params.to_numpy())
        assert made.estimates.std_error[0] == pytest.approx(reference.std_errors.to_numpy())

    def test_shrunken_effects_are_near_the_random_ones(self) -> None:
        data = world(21, teachers=100)
        one = tl.vam(data, "score", "teacher", prior="prior")
        two = tl.vam(data, "score", "teacher", prior="prior", effects="fixed")
        assert two.teacher_effects.sd == pytest.approx(one.teacher_effects.sd, rel=0.05)
        assert np.corrcoef(one.teachers["effect"], two.teachers["effect"])[0, 1] > 0.999
        assert (two.teachers["effect"].abs() <= two.teachers["estimate"].abs() + 0.02).all()

    def test_covariates_related_to_teachers_bias_random_effects_alone(self) -> None:
        data = world(22, teachers=200, size=8, tau=0.6)
        data["prior"] += 1.2 * data["truth"]
        data["score"] += 0.6 * 1.2 * data["truth"]
        one = tl.vam(data, "score", "teacher", prior="prior")
        two = tl.vam(data, "score", "teacher", prior="prior", effects="fixed")
        assert two.estimates.values[0, 0] == pytest.approx(0.6, abs=0.05)
        assert one.estimates.values[0][list(one.estimates.names).index("prior")] > 0.63

    def test_teachers_and_schools_need_teachers_who_move(self) -> None:
        with pytest.raises(tl.DesignError, match="each teacher works in one school"):
            tl.vam(world(23), "score", "teacher", "school", prior="prior", effects="fixed")

    def test_connected_sets(self) -> None:
        data = world(24, moves=True)
        apart = data[data["school"] < 6].copy()
        far = world(25, teachers=20, moves=True)
        far["teacher"] += 1000
        far["school"] += 1000
        both = pd.concat([apart, far], ignore_index=True)
        with pytest.raises(
            tl.DesignError, match="2 sets of schools between which no teacher moves"
        ):
            tl.vam(both, "score", "teacher", "school", prior="prior", effects="fixed")
        with pytest.warns(DroppedRows, match="largest connected set"):
            largest = tl.vam(
                both,
                "score",
                "teacher",
                "school",
                prior="prior",
                effects="fixed",
                connected="largest",
            )
        alone = tl.vam(apart, "score", "teacher", "school", prior="prior", effects="fixed")
        assert largest.teachers["estimate"].equals(alone.teachers["estimate"])

    def test_a_covariate_of_teachers_is_absorbed(self) -> None:
        data = world(26)
        data["experience"] = data["teacher"] % 7
        with pytest.warns(RankDeficient, match="experience"):
            made = tl.vam(
                data, "score", "teacher", prior="prior", covariates="experience", effects="fixed"
            )
        assert made.estimates.names == ("prior",)

    def test_total_is_for_random_effects(self) -> None:
        made = tl.vam(
            world(27, moves=True), "score", "teacher", "school", prior="prior", effects="fixed"
        )
        assert len(made.ranks("school")) == 12
        with pytest.raises(tl.OptionError, match="random effects only"):
            made.ranks("total")

    def test_tidy_and_summary(self) -> None:
        made = tl.vam(world(28), "score", "teacher", prior="prior", effects="fixed")
        table = made.tidy()
        assert table["term"].tolist() == ["prior", "sd__Intercept", "sd__Observation"]
        assert "shrunken afterwards" in str(made.summary())
        assert "<table" in made._repr_html_()


class TestRefuses:
    data = world(30)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({}, "name the lagged score"),
            ({"prior": ["prior", "ses"], "gain": True}, "difference from one score"),
            ({"prior": "prior", "nested": True}, "nested: goes with school="),
            ({"prior": "prior", "yearly": True}, "yearly: goes with year="),
            ({"prior": "prior", "student": "ses"}, "take gain=True"),
            ({"prior": "score"}, "score and prior are both 'score'"),
            ({"prior": "prior", "effects": "mixed"}, "effects='mixed' is not offered"),
            ({"prior": "prior", "cluster": "school"}, "cluster: goes with effects='fixed'"),
            (
                {"prior": "prior", "effects": "fixed", "yearly": True, "year": "year"},
                "yearly: goes with effects='random'",
            ),
        ],
    )
    def test_options(self, options: dict[str, Any], said: str) -> None:
        with pytest.raises(tl.OptionError, match=said):
            tl.vam(self.data, "score", "teacher", **options)

    def test_columns_that_are_not_there_all_at_once(self) -> None:
        with pytest.raises(tl.DataError) as caught:
            tl.vam(self.data, "scores", "techer", prior="priors")
        assert len(caught.value.faults) == 3
        assert "did you mean 'teacher'?" in str(caught.value)

    def test_one_row_a_teacher(self) -> None:
        data = self.data.assign(teacher=np.arange(len(self.data)))
        for kind in ("random", "fixed"):
            with pytest.raises(tl.DesignError):
                tl.vam(data, "score", "teacher", prior="prior", effects=kind)

    def test_missing_scores_are_counted(self) -> None:
        data = self.data.copy()
        data.loc[[3, 5], "prior"] = np.nan
        for kind in ("random", "fixed"):
            with pytest.warns(DroppedRows, match="2 of 1200 rows"):
                made = tl.vam(data, "score", "teacher", prior="prior", effects=kind)
            assert made.nobs == 1198

    def test_no_schools(self) -> None:
        made = tl.vam(self.data, "score", "teacher", prior="prior")
        with pytest.raises(tl.OptionError, match="school="):
            _ = made.schools
        with pytest.raises(tl.OptionError, match="school="):
            made.ranks("total")
        with pytest.raises(tl.OptionError, match="draws"):
            made.ranks(draws=5)
