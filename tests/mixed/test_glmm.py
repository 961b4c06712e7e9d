"""What `tl.glmm` takes, what it refuses, and what its fit says."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import teamlink as tl
from teamlink.errors import (
    DroppedRows,
    FewEvents,
    FewGroups,
    NotConverged,
    RankDeficient,
    Separation,
)
from teamlink.fitting.fit import solve
from teamlink.fitting.optimize import minimize

TABLES = Path(__file__).parents[1] / "reference" / "generalized" / "data"


@cache
def table(name: str) -> pd.DataFrame:
    return pd.read_csv(TABLES / f"{name}.csv")


@cache
def cbpp(nagq: int = 1) -> Any:
    return tl.glmm("incidence ~ period + (1 | herd)", table("cbpp"), trials="size", nagq=nagq)


def bernoulli() -> pd.DataFrame:
    """The herds' animals one by one."""
    rows = []
    for _, row in table("cbpp").iterrows():
        rows += [{"herd": row["herd"], "period": row["period"], "ill": k < row["incidence"]}
                 for k in range(int(row["size"]))]  # fmt: skip
    return pd.DataFrame(rows)


@cache
def one_by_one() -> Any:
    return tl.glmm("ill ~ period + (1 | herd)", bernoulli())


class TestResponses:
    def test_counts_shares_and_single_trials_agree(self) -> None:
        counts = cbpp()
        shares = tl.glmm(
            "share ~ period + (1 | herd)",
            table("cbpp").assign(share=lambda d: d["incidence"] / d["size"]),
            trials="size",
        )
        assert shares.deviance == pytest.approx(counts.deviance, abs=1e-9)
        singles = one_by_one()
        np.testing.assert_allclose(singles.params, counts.params, rtol=1e-7)
        np.testing.assert_allclose(singles.bse, counts.bse, rtol=1e-6)
        # They differ by the binomial coefficients alone.
        y, m = table("cbpp")["incidence"], table("cbpp")["size"]
        constant = stats.binom.logpmf(y, m, 0.5) + m * np.log(2)
        assert singles.deviance - counts.deviance == pytest.approx(2 * constant.sum(), abs=1e-8)

    def test_two_categories_booleans_and_numbers_agree(self) -> None:
        boolean = one_by_one()
        assert boolean.event is True
        text = bernoulli().assign(ill=lambda d: np.where(d["ill"], "yes", "no"))
        by_text = tl.glmm("ill ~ period + (1 | herd)", text)
        assert by_text.event == "yes"
        assert "ill = yes" in str(by_text.summary())
        turned = text.assign(ill=lambda d: pd.Categorical(d["ill"], categories=["yes", "no"]))
        other = tl.glmm("ill ~ period + (1 | herd)", turned)
        assert other.event == "no"
        np.testing.assert_allclose(other.params, -by_text.params, rtol=1e-6)
        numbers = tl.glmm("ill ~ period + (1 | herd)", bernoulli().astype({"ill": int}))
        assert numbers.event is None
        for fit in (by_text, other, numbers):
            assert fit.deviance == pytest.approx(boolean.deviance, abs=1e-9)

    def test_ordered_categories_and_numbers_agree(self) -> None:
        wine = table("wine")
        formula = "rating ~ temp + contact + (1 | judge)"
        numbers = tl.glmm(formula, wine, family="ordinal")
        labels = pd.Categorical(
            wine["rating"].map(dict(enumerate("abcde", 1))), categories=list("abcdef"), ordered=True
        )
        texts = tl.glmm(formula, wine.assign(rating=labels), family="ordinal")
        assert texts.deviance == pytest.approx(numbers.deviance, abs=1e-9)
        assert list(texts.thresholds.index) == ["a|b", "b|c", "c|d", "d|e"]
        assert list(numbers.params.index[:4]) == ["1|2", "2|3", "3|4", "4|5"]

    @pytest.mark.parametrize(
        ("column", "family", "said"),
        [
            ([0, 1, 2, 1] * 5, "binomial", "0 or 1"),
            ([0.2, 0.5, 1.0, 0.1] * 5, "binomial", "trials"),
            (list("abca") * 5, "binomial", "3 categories"),
            (list("abca") * 5, "ordinal", "no order"),
            ([1, 2, 1, 2] * 5, "ordinal", "three or more"),
            ([1, 2, 2.5, 3] * 5, "ordinal", "whole numbers"),
            ([1, 2, -1, 0] * 5, "poisson", "from 0 on"),
            ([1, 2, 0.5, 0] * 5, "negative-binomial", "offset"),
            ([0, 0, 0, 0] * 5, "poisson", "all counts are zero"),
            ([0, 0, 0, 0] * 5, "binomial", "no trial is a success"),
            ([1, 1, 1, 1] * 5, "binomial", "every trial is a success"),
            ([2.5] * 20, "gaussian", "constant"),
        ],
    )
    def test_a_response_of_another_family_is_refused(
        self, column: list[Any], family: Any, said: str
    ) -> None:
        data = pd.DataFrame({"y": column, "g": list("abcdefghij") * 2})
        with pytest.raises(tl.DataError, match=said):
            tl.glmm("y ~ 1 + (1 | g)", data, family=family)

    def test_trials_are_checked(self) -> None:
        data = table("cbpp").copy()
        with pytest.raises(tl.DataError, match="between 0 and the number of trials"):
            tl.glmm("incidence ~ 1 + (1 | herd)", data.assign(size=2), trials="size")
        with pytest.raises(tl.DataError, match="zero"):
            tl.glmm("incidence ~ 1 + (1 | herd)", data.assign(size=0), trials="size")
        with pytest.raises(tl.DataError, match="whole numbers"):
            tl.glmm("incidence ~ 1 + (1 | herd)", data.assign(size=20.5), trials="size")
        with pytest.raises(tl.DataError, match="no such column"):
            tl.glmm("incidence ~ 1 + (1 | herd)", data, trials="sizes")
        with pytest.raises(tl.OptionError, match="trials belong"):
            tl.glmm("incidence ~ 1 + (1 | herd)", data, family="poisson", trials="size")


class TestOptions:
    @pytest.mark.parametrize(
        "options",
        [
            {"family": "binomal"}, {"link": "log"}, {"family": "poisson", "link": "logit"},
            {"nagq": 0}, {"nagq": 2.0}, {"nagq": True}, {"se": "robust"},
        ],
    )  # fmt: skip
    def test_what_is_not_offered_is_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(tl.OptionError):
            tl.glmm("incidence ~ 1 + (1 | herd)", table("cbpp"), **options)

    def test_quadrature_needs_one_factor_and_few_nodes(self) -> None:
        pupils = table("pupils")
        with pytest.raises(tl.OptionError, match="one grouping factor"):
            tl.glmm("pass ~ x + (1 | school) + (1 | town)", pupils, nagq=5)
        with pytest.raises(tl.OptionError, match="at most 70"):
            tl.glmm("pass ~ x + (x | school)", pupils, nagq=71)

    def test_structures_of_the_random_effects(self) -> None:
        pupils = table("pupils")
        one = tl.glmm("pass ~ x + (x || school)", pupils)
        two = tl.glmm("pass ~ x + diag(x | school)", pupils)
        assert two.deviance == pytest.approx(one.deviance, abs=1e-9)
        with pytest.raises(tl.FormulaError, match="cs"):
            tl.glmm("pass ~ x + cs(x | school)", pupils)

    def test_an_offset_is_a_term_with_a_coefficient_of_one(self) -> None:
        counts = table("counts").assign(half=lambda d: 0.5 * d["x"])
        plain = tl.glmm("y ~ x + (1 | g)", counts, family="poisson")
        moved = tl.glmm("y ~ x + (1 | g)", counts, family="poisson", offset="half")
        assert moved.deviance == pytest.approx(plain.deviance, abs=1e-8)
        assert moved.params["x"] == pytest.approx(plain.params["x"] - 0.5, abs=1e-7)
        np.testing.assert_allclose(moved.fittedvalues, plain.fittedvalues, rtol=1e-6)
        np.testing.assert_allclose(moved.predict(counts), moved.fittedvalues, rtol=1e-12)
        with pytest.raises(tl.DataError, match="half"):
            moved.predict(counts.drop(columns="half"))

    @pytest.mark.parametrize("family", ["poisson", "negative-binomial", "binomial", "ordinal"])
    def test_a_weight_of_two_is_a_row_twice(self, family: Any) -> None:
        rng = np.random.default_rng(2)
        data = table("counts").assign(w=rng.integers(1, 4, 240))
        if family in ("binomial", "ordinal"):
            data["y"] = np.minimum(data["y"], 1 if family == "binomial" else 3)
        twice = data.loc[np.repeat(data.index, data["w"])].reset_index(drop=True)
        weighted = tl.glmm("y ~ x + (1 | g)", data, family=family, weights="w")
        repeated = tl.glmm("y ~ x + (1 | g)", twice, family=family)
        assert weighted.deviance == pytest.approx(repeated.deviance, abs=1e-8)
        np.testing.assert_allclose(weighted.params, repeated.params, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(weighted.bse, repeated.bse, rtol=1e-5)

    def test_gaussian_weights_are_precisions(self) -> None:
        growth = table("growth").assign(four=4.0)
        plain = tl.glmm("y ~ t + (1 | g)", growth, family="gaussian")
        weighted = tl.glmm("y ~ t + (1 | g)", growth, family="gaussian", weights="four")
        assert weighted.deviance == pytest.approx(plain.deviance, abs=1e-8)
        assert weighted.sigma == pytest.approx(2 * plain.sigma, rel=1e-6)
        np.testing.assert_allclose(weighted.resid, 2 * plain.resid, rtol=1e-4, atol=1e-6)

    def test_rows_with_missing_values_are_counted_and_labels_kept(self) -> None:
        data = table("cbpp").astype({"incidence": float, "size": float})
        data.index = pd.Index([f"row {i}" for i in range(len(data))])
        data.loc["row 3", "size"] = np.nan
        data.loc["row 5", "incidence"] = np.nan
        with pytest.warns(DroppedRows):
            fit = tl.glmm("incidence ~ period + (1 | herd)", data, trials="size")
        assert fit.dropped == {"size": 1, "incidence": 1}
        assert fit.nobs == 54
        assert "row 3" not in fit.fittedvalues.index
        assert "2 rows left out" in str(fit.summary())
        whole = data.drop(index=["row 3", "row 5"])
        again = tl.glmm("incidence ~ period + (1 | herd)", whole, trials="size")
        assert again.deviance == fit.deviance

    def test_any_frame_will_do(self) -> None:
        polars = pytest.importorskip("polars")
        fit = tl.glmm(
            "incidence ~ period + (1 | herd)", polars.from_pandas(table("cbpp")), trials="size"
        )
        assert fit.deviance == pytest.approx(cbpp().deviance, abs=1e-10)


class TestWarnings:
    def test_redundant_columns_are_left_out(self) -> None:
        data = table("cbpp").assign(a=lambda d: (d["period"] == "p2") * 1.0, b=lambda d: 2 - d["a"])
        with pytest.warns(RankDeficient, match="b"):
            fit = tl.glmm("incidence ~ a + b + (1 | herd)", data, trials="size")
        assert fit.aliased == ("b",)

    def test_few_groups_and_few_events(self) -> None:
        rng = np.random.default_rng(0)
        data = pd.DataFrame({"g": np.repeat(list("abc"), 20), "y": rng.poisson(3, 60)})
        with pytest.warns(FewGroups):
            tl.glmm("y ~ 1 + (1 | g)", data, family="poisson")
        rare = pd.DataFrame({"g": np.repeat(list("abcdef"), 10), "y": np.arange(60) == 7})
        with pytest.warns(FewEvents, match="one event"):
            tl.glmm("y ~ 1 + (1 | g)", rare)

    def test_separation_names_the_columns(self) -> None:
        rng = np.random.default_rng(1)
        data = pd.DataFrame({"g": np.tile(np.arange(10), 20), "x": rng.normal(size=200)})
        data["z"] = (np.arange(200) % 7 == 0) * 1.0
        data["y"] = ((data["x"] + rng.logistic(size=200) > 0) | (data["z"] == 1)) * 1
        with pytest.raises(tl.FitError, match=r"separation: .*z"):
            tl.glmm("y ~ x + z + (1 | g)", data)
        data["count"] = rng.poisson(2, 200) * (1 - data["z"])
        with pytest.raises(tl.FitError, match="separation"):
            tl.glmm("count ~ z + (1 | g)", data, family="poisson")
        ordinal = data.assign(rank=np.where(data["z"] == 1, 3, rng.integers(1, 4, 200)))
        with pytest.raises(tl.FitError, match="separation"):
            tl.glmm("rank ~ z + (1 | g)", ordinal, family="ordinal")

    def test_a_strong_effect_is_no_separation(self) -> None:
        rng = np.random.default_rng(1)
        data = pd.DataFrame({"g": np.tile(np.arange(10), 40), "x": 3 * rng.normal(size=400)})
        data["y"] = (4 * data["x"] + rng.logistic(size=400) > 0) * 1
        fit = tl.glmm("y ~ x + (1 | g)", data)
        assert fit.converged
        assert fit.params["x"] > 2

    @pytest.mark.parametrize("nagq", [1, 9])
    def test_groups_that_never_vary_are_no_evidence_of_a_variance(self, nagq: int) -> None:
        data = pd.DataFrame({"g": np.repeat(np.arange(12), 6)})
        data["y"] = (data["g"] % 2 == 0) * 1
        with pytest.warns(Separation, match="no upper bound"):
            tl.glmm("y ~ 1 + (1 | g)", data, nagq=nagq)

    def test_a_search_cut_short_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            minimize, "__kwdefaults__", {**minimize.__kwdefaults__, "max_iterations": 1}
        )
        with pytest.warns(NotConverged):
            fit = tl.glmm("incidence ~ period + (1 | herd)", table("cbpp"), trials="size")
        assert not fit.converged
        assert "NOT CONVERGED" in str(fit.summary())


class TestBoundary:
    def test_a_variance_of_zero_is_the_model_without_it(self) -> None:
        within = np.arange(15)  # every group alike
        data = pd.DataFrame({"g": np.repeat(np.arange(20), 15), "x": np.tile(within / 7 - 1, 20)})
        data["y"] = np.tile((within * within + 3 * within) % 7 < 3, 20) * 1
        fit = tl.glmm("y ~ x + (1 | g)", data)
        assert fit.converged
        assert fit.boundary
        assert fit.varcorr["vcov"][0] == 0
        assert "On the boundary" in str(fit.summary())
        sm = pytest.importorskip("statsmodels.api")
        plain = sm.GLM(data["y"], sm.add_constant(data[["x"]]), family=sm.families.Binomial()).fit()
        assert fit.deviance == pytest.approx(-2 * plain.llf, abs=1e-8)
        np.testing.assert_allclose(fit.params, plain.params, rtol=1e-6)
        np.testing.assert_allclose(fit.bse, plain.bse, rtol=1e-5)

    def test_no_overdispersion_is_the_poisson_model(self) -> None:
        rng = np.random.default_rng(6)
        g = np.repeat(np.arange(30), 6)
        y = rng.binomial(12, 0.4, 180)  # less spread than Poisson
        data = pd.DataFrame({"g": g, "y": y})
        wide = tl.glmm("y ~ 1 + (1 | g)", data, family="negative-binomial")
        plain = tl.glmm("y ~ 1 + (1 | g)", data, family="poisson")
        assert wide.boundary
        assert wide.dispersion["alpha"] == 0
        assert np.isinf(wide.dispersion["theta"])
        assert wide.deviance == pytest.approx(plain.deviance, abs=1e-8)
        np.testing.assert_allclose(wide.bse, plain.bse, rtol=1e-5)

    def test_a_start_at_zero_is_left(self) -> None:
        model = cbpp().model
        theta = cbpp().working_theta.copy()
        theta[0] = 0.0
        moved, again = model.settle(theta[None], np.zeros(1, dtype=np.intp))
        assert again.all()
        assert moved[0, 0] > 0


class TestFit:
    def test_criterion_and_counts(self) -> None:
        fit = cbpp()
        assert fit.llf == -fit.deviance / 2
        assert fit.aic == pytest.approx(fit.deviance + 10)
        assert fit.bic == pytest.approx(fit.deviance + 5 * np.log(56))
        assert (fit.nobs, fit.ngroups, fit.sigma) == (56, {"herd": 15}, 1.0)
        assert (fit.family, fit.link, fit.nagq, cbpp(5).nagq) == ("binomial", "logit", 1, 5)
        assert np.isinf(fit.df).all()
        assert np.abs(fit.model.evaluate(fit.working_theta[None]).gradient).max() < 1e-5

    def test_tidy_and_varcorr(self) -> None:
        fit = cbpp()
        tidy = fit.tidy()
        assert list(tidy["term"]) == [*fit.params.index, "sd__Intercept"]
        assert tidy["estimate"].iloc[-1] == pytest.approx(fit.theta[0])
        assert list(fit.varcorr.columns) == ["group", "term1", "term2", "vcov", "sdcor"]
        slope = tl.glmm("pass ~ x + (x | school)", table("pupils"))
        assert list(slope.tidy()["term"])[-3:] == ["sd__Intercept", "sd__x", "cor__Intercept.x"]
        assert "Corr" in str(slope.summary())

    def test_predictions(self) -> None:
        fit, data = cbpp(), table("cbpp")
        np.testing.assert_allclose(fit.predict(), fit.fittedvalues)
        np.testing.assert_allclose(fit.predict(data), fit.fittedvalues, rtol=1e-12)
        link = fit.predict(data, type="link")
        np.testing.assert_allclose(1 / (1 + np.exp(-link)), fit.fittedvalues, rtol=1e-12)
        population = fit.predict(data, level="population", type="link")
        b = data["herd"].map(fit.ranef()["herd"]["Intercept"])
        np.testing.assert_allclose(population + b, link, rtol=1e-12)
        stranger = fit.predict(data.head(1).assign(herd="elsewhere"), type="link")
        assert stranger[0] == pytest.approx(population[0])
        with pytest.raises(tl.OptionError):
            fit.predict(level="herds")
        with pytest.raises(tl.OptionError):
            fit.predict(type="probability")

    def test_predictions_by_factor(self) -> None:
        pupils = table("pupils")
        fit = tl.glmm("pass ~ x + (x | school) + (1 | town)", pupils)
        school = fit.predict(pupils, level="school", type="link")
        town = fit.predict(pupils, level=["town"], type="link")
        none = fit.predict(pupils, level="population", type="link")
        np.testing.assert_allclose(school + town - none, fit.predict(type="link"), rtol=1e-9)

    def test_ordinal_predictions_are_probabilities(self) -> None:
        wine = table("wine")
        fit = tl.glmm("rating ~ temp + contact + (1 | judge)", wine, family="ordinal")
        shares = fit.predict(wine)
        assert list(shares.columns) == [1, 2, 3, 4, 5]
        np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-12)
        seen = shares.to_numpy()[np.arange(len(wine)), wine["rating"].astype(int) - 1]
        np.testing.assert_allclose(seen, fit.fittedvalues, rtol=1e-12)
        with pytest.raises(tl.OptionError, match="ordinal"):
            fit.residuals()

    def test_residuals(self) -> None:
        fit, data = cbpp(), table("cbpp")
        share = data["incidence"] / data["size"]
        np.testing.assert_allclose(fit.residuals("response"), share - fit.fittedvalues)
        mu = fit.fittedvalues
        np.testing.assert_allclose(
            fit.residuals("pearson"), (share - mu) * np.sqrt(data["size"] / (mu * (1 - mu)))
        )
        best = stats.binom.logpmf(data["incidence"], data["size"], share)
        loss = 2 * (best - stats.binom.logpmf(data["incidence"], data["size"], mu))
        np.testing.assert_allclose(np.square(fit.resid), loss, atol=1e-9)
        with pytest.raises(tl.OptionError):
            fit.residuals("working")

    def test_order_of_rows_and_names_of_groups_do_not_matter(self) -> None:
        data = table("cbpp").sample(frac=1, random_state=3)
        data["herd"] = "x" + data["herd"].str[::-1]
        fit = tl.glmm("incidence ~ period + (1 | herd)", data, trials="size")
        assert fit.deviance == pytest.approx(cbpp().deviance, abs=1e-9)
        np.testing.assert_allclose(fit.fittedvalues.sort_index(), cbpp().fittedvalues, rtol=1e-6)

    def test_columns_may_be_moved_and_stretched(self) -> None:
        pupils = table("pupils")
        plain = tl.glmm("pass ~ x + (x | school)", pupils)
        moved = tl.glmm("pass ~ x + (x | school)", pupils.assign(x=1e4 + 100 * pupils["x"]))
        assert moved.deviance == pytest.approx(plain.deviance, abs=1e-6)
        assert moved.params["x"] == pytest.approx(plain.params["x"] / 100, rel=1e-5)
        np.testing.assert_allclose(moved.fittedvalues, plain.fittedvalues, rtol=1e-5)

    def test_nested_groups_by_name_and_by_slash_agree(self) -> None:
        rng = np.random.default_rng(4)
        data = pd.DataFrame({"a": np.repeat(np.arange(8), 30), "b": np.tile(np.arange(6), 40)})
        data["y"] = rng.poisson(np.exp(rng.normal(size=8)[data["a"]]))
        data["ab"] = data["a"].astype(str) + "-" + data["b"].astype(str)
        slash = tl.glmm("y ~ 1 + (1 | a/b)", data, family="poisson")
        names = tl.glmm("y ~ 1 + (1 | a) + (1 | ab)", data, family="poisson")
        assert slash.deviance == pytest.approx(names.deviance, abs=1e-9)

    def test_one_row_a_group_is_overdispersion(self) -> None:
        counts = table("counts").assign(row=np.arange(240))
        plain = tl.glmm("y ~ x + (1 | g)", counts, family="poisson")
        wide = tl.glmm("y ~ x + (1 | g) + (1 | row)", counts, family="poisson")
        assert wide.converged
        assert wide.deviance < plain.deviance - 50


class TestVerbs:
    def test_simulation_is_reproducible_and_grows(self) -> None:
        fit = cbpp()
        three, five = tl.simulate(fit, 3, seed=1), tl.simulate(fit, 5, seed=1)
        pd.testing.assert_frame_equal(three, five[[0, 1, 2]])
        assert (three.le(table("cbpp")["size"], axis=0)).all().all()
        same = tl.simulate(fit, 2000, seed=2, groups="same")
        mean = (same.mean(axis=1) / table("cbpp")["size"]).to_numpy()
        assert np.abs(mean - fit.fittedvalues).max() < 0.05

    def test_refits_are_single_fits(self) -> None:
        fit = cbpp()
        Y = tl.simulate(fit, 4, seed=3)
        together = tl.refit(fit, Y, random=True)
        for column in Y:
            alone = tl.glmm(
                "y ~ period + (1 | herd)", table("cbpp").assign(y=Y[column]), trials="size"
            )
            rows = together[together["replicate"] == column].set_index("term")
            assert rows["deviance"].iloc[0] == pytest.approx(alone.deviance, abs=1e-9)
            np.testing.assert_allclose(rows["estimate"][:4], alone.params, rtol=1e-6)
            np.testing.assert_allclose(rows["std_error"][:4], alone.bse, rtol=1e-6)
            assert rows.loc["sd__Intercept", "estimate"] == pytest.approx(alone.theta[0], abs=1e-5)

    def test_refit_refuses_responses_that_cannot_be(self) -> None:
        with pytest.raises(tl.DesignError, match="binomial"):
            tl.refit(cbpp(), np.full(56, 0.5))
        with pytest.raises(tl.DesignError, match="55 rows"):
            tl.refit(cbpp(), np.ones(55))

    def test_bootstrap(self) -> None:
        found = tl.bootstrap(cbpp(), 40, seed=1)
        assert list(found.bse.index) == [*cbpp().params.index, "sd__Intercept"]
        # With 40 replicates a standard error is known to about a ninth.
        ratio = found.bse[cbpp().params.index] / cbpp().bse
        assert ((ratio > 0.6) & (ratio < 1.6)).all()
        with pytest.raises(tl.OptionError):
            tl.bootstrap(cbpp(), 5, kind="residual")

    def test_comparison(self) -> None:
        null = tl.glmm("incidence ~ 1 + (1 | herd)", table("cbpp"), trials="size")
        rows = tl.compare(null, cbpp()).table
        assert rows["chisq"].iloc[1] == pytest.approx(null.deviance - cbpp().deviance)
        assert rows["df"].iloc[1] == 3
        with pytest.raises(tl.OptionError, match="nagq"):
            tl.compare(null, cbpp(5))
        with pytest.raises(tl.OptionError, match="responses"):
            tl.compare(null, tl.glmm("size ~ 1 + (1 | herd)", table("cbpp"), family="poisson"))

    def test_poisson_is_within_the_negative_binomial(self) -> None:
        counts = table("counts")
        plain = tl.glmm("y ~ x + (1 | g)", counts, family="poisson")
        wide = tl.glmm("y ~ x + (1 | g)", counts, family="negative-binomial")
        rows = tl.compare(plain, wide).table
        assert rows["df"].iloc[1] == 1
        assert rows["chisq"].iloc[1] > 50

    def test_profiles_bracket_the_estimates(self) -> None:
        found = tl.profile(cbpp(), which=["period[T.p2]", "sd__Intercept"])
        ends = found.conf_int()
        assert (ends["conf_low"] < ends["estimate"]).all()
        assert (ends["estimate"] < ends["conf_high"]).all()
        # At an end of the interval the deviance has risen by the quantile of chi-square.
        data = table("cbpp").assign(
            held=lambda d: (d["period"] == "p2") * ends["conf_low"][0],
            p3=lambda d: (d["period"] == "p3") * 1.0,
            p4=lambda d: (d["period"] == "p4") * 1.0,
        )
        held = tl.glmm("incidence ~ p3 + p4 + (1 | herd)", data, trials="size", offset="held")
        rise = held.deviance - cbpp().deviance
        assert rise == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-4)

    @pytest.mark.parametrize(
        ("name", "formula", "family"),
        [
            ("wine", "rating ~ temp + contact + (1 | judge)", "ordinal"),
            ("counts", "y ~ x + (1 | g)", "negative-binomial"),
            ("growth", "y ~ t + (1 | g)", "gaussian"),
            ("pupils", "pass ~ x + (x | school) + (1 | town)", "binomial"),
        ],
    )
    def test_a_parameter_held_at_its_estimate_changes_nothing(
        self, name: str, formula: str, family: Any
    ) -> None:
        fit = tl.glmm(formula, table(name), family=family)
        theta = fit.working_theta
        parts = fit.model.components(theta[None])
        pairs = [*fit.params.items(), *zip(parts.keys, parts.values[0], strict=True)]
        for term, value in pairs:
            moved = fit.model.pin(term, np.array([value, 1.02 * value]), theta)
            solution = solve(moved)
            assert solution.deviance[0] == pytest.approx(fit.deviance, abs=1e-8), term
            assert solution.deviance[1] > fit.deviance, term

    def test_the_gradient_with_a_parameter_held(self) -> None:
        wine = tl.glmm("rating ~ temp + (1 | judge)", table("wine"), family="ordinal")
        pupils = tl.glmm("pass ~ x + (x | school)", table("pupils"))
        for fit, term, value in (
            (wine, "2|3", 1.0), (wine, "temp[T.warm]", 1.0), (pupils, "cor__Intercept.x", 0.6),
            (pupils, "sd__x", 0.2),
        ):  # fmt: skip
            model = fit.model.pin(term, np.array([value]), fit.working_theta)
            at = model.starts()[0] + 0.05
            slope = model.deviance(at).gradient[0]
            for k, step in enumerate(1e-5 * np.eye(at.shape[1])):
                up, down = model.deviance(at + step).value, model.deviance(at - step).value
                assert (up - down)[0] / 2e-5 == pytest.approx(slope[k], rel=1e-5, abs=1e-5)

    def test_linear_hypotheses(self) -> None:
        fit = cbpp()
        one = tl.test(fit, "period[T.p2] = 0")
        assert one.statistic == pytest.approx(fit.tvalues["period[T.p2]"] ** 2)
        assert one.p_value == pytest.approx(fit.pvalues["period[T.p2]"])
        names = ["period[T.p2]", "period[T.p3]", "period[T.p4]"]
        three = tl.test(fit, ", ".join(f"{name} = 0" for name in names))
        b, V = fit.params[names].to_numpy(), fit.cov_params().loc[names, names].to_numpy()
        wald = b @ np.linalg.solve(V, b)
        assert three.statistic == pytest.approx(wald / 3)
        assert three.p_value == pytest.approx(stats.chi2.sf(wald, 3))
        wine = tl.glmm("rating ~ temp + (1 | judge)", table("wine"), family="ordinal")
        assert tl.test(wine, "temp[T.warm] = 0").df_num == 1

    @pytest.mark.parametrize(
        "verb",
        [
            "robust",
            "small_sample",
            "icc",
            "reliability",
            "r2",
            "diagnose",
            "group_residuals",
            "variance_tests",
        ],
    )
    def test_what_is_for_linear_models_only_says_so(self, verb: str) -> None:
        with pytest.raises(tl.OptionError, match="generalized"):
            getattr(tl, verb)(cbpp())

    def test_the_report_says_what_it_looked_at_and_what_not(self) -> None:
        table = cbpp().report().table.set_index("check")
        assert table.loc["convergence", "status"] == "ok"
        assert table.loc["groups: herd", "value"] == 15
        assert table.loc["rows and groups", "status"] == "not checked"

    def test_an_ordinary_fit_stays_quiet(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tl.glmm("incidence ~ period + (1 | herd)", table("cbpp"), trials="size")
