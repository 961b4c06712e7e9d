"""What a fit says of itself, what holds of any fit, and what must not change it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import teamlink as tl

from .models import COMBINATIONS, FACTORS, data

MEDIATION = "x1 ~ a*u\ny ~ b*x1 + c*u\nindirect := a*b\ntotal := indirect + c"


@cache
def fit(text: str = FACTORS, **options: Any) -> Any:
    return tl.sem(text, data(), **options)


class TestInvariance:
    def test_order_of_rows_and_of_statements(self) -> None:
        shuffled = data().sample(frac=1, random_state=2)
        turned = "g =~ x4 + x5 + x6\nf =~ x1 + x2 + x3"
        again = tl.sem(turned, shuffled)
        assert again.deviance == pytest.approx(fit().deviance, abs=1e-8)
        np.testing.assert_allclose(
            again.params[fit().params.index.drop("f~~g")],
            fit().params.drop("f~~g"), rtol=1e-7,
        )  # fmt: skip

    def test_units(self) -> None:
        """Loadings scale as the units do; the test of fit does not notice."""
        units = {"x1": 1e3, "x2": 1e-3, "x3": 10.0, "x4": 1e-4, "x5": 1e4, "x6": 1.0}
        scaled = tl.sem(FACTORS, data().assign(**{k: data()[k] * c for k, c in units.items()}))
        ratio = scaled.params["f=~x2"] / fit().params["f=~x2"]
        assert ratio == pytest.approx(1e-6, rel=1e-7)
        assert scaled.fit_measures["chisq"] == pytest.approx(fit().fit_measures["chisq"], rel=1e-8)
        np.testing.assert_allclose(
            scaled.parameters["std_all"], fit().parameters["std_all"], rtol=1e-7
        )

    def test_far_from_zero(self) -> None:
        moved = tl.sem(FACTORS, data().assign(x1=data()["x1"] + 1e7))
        np.testing.assert_allclose(moved.params, fit().params, rtol=1e-6)

    def test_identification_of_a_factor(self) -> None:
        """Marker or variance: the same model."""
        other = fit(std_lv=True)
        assert other.deviance == pytest.approx(fit().deviance, abs=1e-8)
        np.testing.assert_allclose(
            other.parameters.query("op == '=~'")["std_all"],
            fit().parameters.query("op == '=~'")["std_all"], rtol=1e-6,
        )  # fmt: skip

    def test_path_model_is_least_squares(self) -> None:
        found = fit(MEDIATION)
        X = np.column_stack([np.ones(240), data()["x1"], data()["u"]])
        beta = np.linalg.lstsq(X, data()["y"], rcond=None)[0]
        assert found.params["b"] == pytest.approx(beta[1], rel=1e-8)
        assert found.params["c"] == pytest.approx(beta[2], rel=1e-8)
        rest = data()["y"] - X @ beta
        assert found.params["y~~y"] == pytest.approx((rest**2).mean(), rel=1e-8)

    def test_groups_are_separate_fits(self) -> None:
        both = fit(group="sector")
        apart = [
            tl.sem(FACTORS, rows, meanstructure=True)
            for _, rows in data().groupby("sector", sort=False)
        ]
        assert both.deviance == pytest.approx(sum(one.deviance for one in apart), abs=1e-7)
        assert both.n_parameters == sum(one.n_parameters for one in apart)

    def test_text_that_was_printed(self) -> None:
        again = tl.sem(str(fit(MEDIATION).table.equations), data())
        assert again.deviance == fit(MEDIATION).deviance

    @pytest.mark.parametrize("missing", ["listwise", "fiml"])
    def test_robust_tests_do_not_depend_on_fixed_x(self, missing: str) -> None:
        """Where exogenous variables are complete and no parameter of theirs is restricted."""
        table = data().copy()
        if missing == "fiml":
            table.loc[::7, "x1"] = np.nan
            table.loc[::5, "x2"] = np.nan
        text, options = "f =~ x1 + x2 + x3\nf ~ u + v", {"estimator": "mlr", "missing": missing}
        one, two = (
            tl.sem(text, table, fixed_x=fixed, meanstructure=True, **options).fit_measures
            for fixed in (True, False)
        )
        names = [name for name in one.index if "chisq" in name or "df" in name or "cfi" in name]
        assert len(names) >= 9
        assert two[names].to_numpy() == pytest.approx(one[names].to_numpy(), rel=1e-7)

    def test_a_path_model_does_not_depend_on_fixed_x(self) -> None:
        """Given x, or with x: the same coefficients, the same chi-square."""
        one, two = fit(MEDIATION), fit(MEDIATION, fixed_x=False)
        np.testing.assert_allclose(one.params[["a", "b", "c"]], two.params[["a", "b", "c"]])
        assert two.n_parameters == one.n_parameters + 1
        assert one.fit_measures["chisq"] == pytest.approx(two.fit_measures["chisq"], abs=1e-9)


class TestDefined:
    def test_delta_method(self) -> None:
        found = fit(MEDIATION)
        a, b = found.params["a"], found.params["b"]
        V = found.cov_params()
        assert found.params["indirect"] == pytest.approx(a * b)
        variance = b**2 * V.loc["a", "a"] + a**2 * V.loc["b", "b"] + 2 * a * b * V.loc["a", "b"]
        assert found.bse["indirect"] == pytest.approx(np.sqrt(variance))
        assert V.loc["indirect", "total"] == pytest.approx(
            variance + b * V.loc["a", "c"] + a * V.loc["b", "c"]
        )

    def test_every_function_has_its_slope(self) -> None:
        text = (
            "x1 ~ a*u\ny ~ b*x1\n"
            "d := exp(a) + log(b) / sqrt(a) - abs(-b) * sin(a) + cos(b) - tan(a) + a^b - 2^-a"
        )
        found = fit(text)
        names = ["a", "b"]
        x = found.params[names].to_numpy()

        def d(a: float, b: float) -> float:
            return float(
                np.exp(a) + np.log(b) / np.sqrt(a) - abs(-b) * np.sin(a) + np.cos(b)
                - np.tan(a) + a**b - 2**-a
            )  # fmt: skip

        h = 1e-6
        slope = np.array(
            [(d(x[0] + h, x[1]) - d(x[0] - h, x[1])), (d(x[0], x[1] + h) - d(x[0], x[1] - h))]
        ) / (2 * h)
        V = found.cov_params().loc[names, names].to_numpy()
        assert found.params["d"] == pytest.approx(d(*x))
        assert found.bse["d"] == pytest.approx(np.sqrt(slope @ V @ slope), rel=1e-7)


class TestTables:
    def test_parameters(self) -> None:
        table = fit(MEDIATION).parameters
        assert list(table.columns) == [
            "lhs", "op", "rhs", "level", "group", "label", "est", "se", "z", "pvalue",
            "ci_lower", "ci_upper", "std_lv", "std_all",
        ]  # fmt: skip
        defined = table[table["op"] == ":="]
        assert defined["lhs"].tolist() == ["indirect", "total"]
        fixed = table.query("lhs == 'u' and op == '~~'").iloc[0]
        assert fixed["est"] == pytest.approx(data()["u"].var(ddof=0))
        assert fixed["se"] == 0
        assert np.isnan(fixed["z"])

    def test_standardised_errors_are_those_of_standardised_data(self) -> None:
        """With random x a path model may be fitted to standardised data with the same result."""
        standard = data().drop(columns=["sector"]).apply(lambda c: (c - c.mean()) / c.std(ddof=0))
        raw = fit(MEDIATION, fixed_x=False).standardized.set_index("label")
        scaled = tl.sem(MEDIATION, standard, fixed_x=False)
        for label in ("a", "b", "c", "indirect"):
            assert raw.loc[label, "est_std"] == pytest.approx(scaled.params[label], rel=1e-8)

    def test_groups_bear_their_names(self) -> None:
        table = fit(group="sector").parameters
        assert set(table["group_label"]) == set(data()["sector"])
        assert table["group"].unique().tolist() == [1, 2]
        assert "group public" in str(fit(group="sector").summary())

    def test_summary(self) -> None:
        shown = str(fit(MEDIATION, estimator="mlr").summary())
        for words in ("Regressions", "Defined parameters", "scaled", "Yuan-Bentler", "RMSEA"):
            assert words in shown
        assert "<table" in fit().summary()._repr_html_()

    def test_tidy(self) -> None:
        tidy = fit(MEDIATION).tidy()
        assert tidy["term"].tolist()[:3] == ["a", "b", "c"]
        np.testing.assert_allclose(tidy["estimate"], fit(MEDIATION).params)

    def test_residuals_and_implied(self) -> None:
        S = data()[["x1", "x2", "x3", "x4", "x5", "x6"]].cov(ddof=0)
        Sigma, _ = fit().implied()
        np.testing.assert_allclose(fit().residuals() + Sigma, S)
        assert np.abs(np.diag(fit().residuals("cor"))).max() < 1e-12

    def test_scores_of_a_factor(self) -> None:
        scores = fit().factor_scores()
        V = np.cov(scores.T, ddof=0)
        S = data()[["x1", "x2", "x3", "x4", "x5", "x6"]].cov(ddof=0).to_numpy()
        state = fit().states[0]
        W = np.linalg.solve(state.Sigma[0], state.C[0][:6, 6:])
        np.testing.assert_allclose(V, W.T @ S @ W, rtol=1e-9)
        bartlett = fit().factor_scores("bartlett")
        lam = state.A[0][:6, 6:]
        np.testing.assert_allclose(
            np.linalg.lstsq(bartlett - bartlett.mean(), scores - scores.mean(), rcond=None)[0].T,
            state.C[0][6:, :6] @ np.linalg.solve(state.Sigma[0], lam), rtol=1e-8,
        )  # fmt: skip
        with pytest.raises(tl.OptionError, match="no factors"):
            fit(MEDIATION).factor_scores()

    def test_scores_of_rows_with_missing_values(self) -> None:
        """Complete rows score as ever; without a factor's indicators there is its expectation."""
        frame = data().copy()
        frame.loc[3, "x2"] = np.nan
        frame.loc[4, ["x4", "x5", "x6"]] = np.nan
        found = tl.sem(FACTORS, frame, missing="fiml")
        scores, state = found.factor_scores(), found.states[0]
        y = data().loc[4, ["x1", "x2", "x3"]].to_numpy(dtype=float) - state.mu[0, :3]
        solved = np.linalg.solve(state.Sigma[0][:3, :3], y)
        np.testing.assert_allclose(scores.loc[4], state.C[0][6:, :3] @ solved)
        y = data().loc[0, ["x1", "x2", "x3", "x4", "x5", "x6"]].to_numpy(dtype=float) - state.mu[0]
        whole = state.C[0][6:, :6] @ np.linalg.solve(state.Sigma[0], y)
        np.testing.assert_allclose(scores.loc[0], whole)
        bartlett = found.factor_scores("bartlett")
        assert bartlett.loc[4].isna().all()
        assert bartlett.drop(index=4).notna().all().all()


class TestModification:
    def test_index_is_the_first_step_of_the_drop(self) -> None:
        top = fit().modification_indices().iloc[0]
        freed = tl.sem(f"{FACTORS}\n{top['lhs']} {top['op']} {top['rhs']}", data())
        drop = fit().deviance - freed.deviance
        assert top["mi"] == pytest.approx(drop, rel=0.25)
        name = f"{top['lhs']}{top['op']}{top['rhs']}"
        assert top["epc"] == pytest.approx(freed.params[name], rel=0.3)

    def test_nothing_to_free(self) -> None:
        assert (fit().modification_indices(1e6)).empty


class TestWaist:
    def test_compare(self) -> None:
        smaller = tl.sem("f =~ x1 + a*x2 + a*x3\ng =~ x4 + x5 + x6", data())
        table = tl.compare(smaller, fit()).table
        chisq = smaller.fit_measures["chisq"] - fit().fit_measures["chisq"]
        assert table["chisq"].iloc[1] == pytest.approx(chisq, abs=1e-8)
        assert smaller.difference_test(fit()).chisq == pytest.approx(chisq, abs=1e-8)

    def test_scaled_difference(self) -> None:
        """c = (df0 c0 - df1 c1) / (df0 - df1), Satorra and Bentler (2001)."""
        text = "f =~ x1 + a*x2 + a*x3\ng =~ x4 + x5 + x6"
        smaller, larger = fit(text, estimator="mlr"), fit(estimator="mlr")
        m0, m1 = smaller.fit_measures, larger.fit_measures
        c = m0["df"] * m0["chisq_scaling_factor"] - m1["df"] * m1["chisq_scaling_factor"]
        test = smaller.difference_test(larger)
        assert test.factor == pytest.approx(c)
        assert test.chisq == pytest.approx((m0["chisq"] - m1["chisq"]) / c)

    def test_comparison_of_robust_fits_is_scaled(self) -> None:
        text = "f =~ x1 + a*x2 + a*x3\ng =~ x4 + x5 + x6"
        smaller, larger = fit(text, estimator="mlr"), fit(estimator="mlr")
        for method in (None, "satorra-bentler-2010", "satorra-2000"):
            test = smaller.difference_test(larger, method)
            found = tl.compare(smaller, larger, method=method)
            row = found.table.iloc[1]
            assert row["chisq"] == pytest.approx(test.chisq)
            assert row["p_value"] == pytest.approx(test.pvalue)
            assert test.method in found.remarks[0]
        with pytest.raises(tl.OptionError, match="satorra-2000"):
            tl.compare(smaller, larger, method="satorra-2001")

    def test_satorra_s_factor_of_a_linear_restriction_is_that_of_a_wald_test(self) -> None:
        """Near enough: what is restricted is found by derivatives at two points, not told."""
        text, options = "f =~ x1 + x2 + x3\nf ~ u", {"meanstructure": True}
        larger = fit(f"{text} + v", estimator="mlr", **options)
        smaller = fit(f"{text} + 0*v", estimator="mlr", **options)
        test = smaller.difference_test(larger, "satorra-2000")
        plain = fit(f"{text} + v", information="observed", **options)
        ratio = larger.bse["f~v"] ** 2 / plain.bse["f~v"] ** 2
        assert test.factor == pytest.approx(ratio, rel=0.02)

    def test_no_test_of_models_that_are_not_nested(self) -> None:
        """Two factors that do not covary leave correlations of zero; one factor has none."""
        smaller = fit(f"{FACTORS}\nf ~~ 0*g")
        larger = fit("f =~ x1 + x2 + x3 + x4 + x5 + x6\nx1 ~~ x2")
        found = tl.compare(smaller, larger)
        assert "no special case" in found.remarks[0]
        assert np.isnan(found.table["chisq"].iloc[1])
        one = fit("f =~ x1 + x2 + x3 + x4 + x5 + x6")
        assert tl.compare(one, fit()).table["chisq"].iloc[1] > 0

    def test_no_test_of_other_estimators(self) -> None:
        text = "f =~ x1 + a*x2 + a*x3\ng =~ x4 + x5 + x6"
        found = tl.compare(fit(text), fit(estimator="mlr"))
        assert "robust in another way" in found.remarks[0]
        assert np.isnan(found.table["chisq"].iloc[1])
        asked = tl.compare(fit(text), fit(), method="satorra-2000")
        assert "robust fits" in asked.remarks[0]

    def test_what_must_not_be_compared(self) -> None:
        with pytest.raises(tl.OptionError, match="models means"):
            tl.compare(fit(), fit(meanstructure=True))
        with pytest.raises(tl.OptionError, match="different variables"):
            tl.compare(fit(), fit(MEDIATION))
        with pytest.raises(tl.OptionError, match="different rows"):
            tl.compare(fit(), tl.sem(FACTORS, data().head(200)))
        with pytest.raises(tl.OptionError, match="another way"):
            fit("f =~ x1 + a*x2 + a*x3\ng =~ x4 + x5 + x6").difference_test(fit(estimator="mlr"))

    def test_profile(self) -> None:
        """At an end of the interval a fit with the parameter fixed there is worse by 3.84."""
        found = tl.profile(fit(), which=["f=~x2", "f~~g"]).conf_int()
        for row in found.itertuples():
            lhs, rhs = row.term.replace("=~", "~~").split("~~")
            op = "=~" if "=~" in row.term else "~~"
            for end in (row.conf_low, row.conf_high):
                text = FACTORS.replace("+ x2", f"+ {end!r}*x2") if op == "=~" else (
                    f"{FACTORS}\n{lhs} ~~ {end!r}*{rhs}"
                )  # fmt: skip
                held = tl.sem(text, data())
                assert held.deviance - fit().deviance == pytest.approx(3.841459, abs=1e-4)

    def test_profile_of_a_linear_definition(self) -> None:
        text = "x1 ~ a*u\ny ~ b*x1 + c*u\nd := a - b"
        found = tl.profile(fit(text), which="d").conf_int()
        assert found["conf_low"].iloc[0] < fit(text).params["d"] < found["conf_high"].iloc[0]

    def test_bootstrap_of_rows(self) -> None:
        boot = tl.bootstrap(fit(MEDIATION), n=300, kind="cluster", seed=1)
        assert boot.bse["indirect"] == pytest.approx(fit(MEDIATION).bse["indirect"], rel=0.25)
        rng = np.random.default_rng(1)
        drawn = rng.multinomial(240, np.full(240, 1 / 240), size=300)[0]
        rows = data().iloc[np.repeat(np.arange(240), drawn)]
        one = tl.sem(MEDIATION, rows)
        said = boot.replicates.query("replicate == 0").set_index("term")["estimate"]
        np.testing.assert_allclose(said[one.params.index], one.params, rtol=1e-6)

    def test_bootstrap_of_clusters(self) -> None:
        clustered = fit(MEDIATION, cluster="school")
        boot = tl.bootstrap(clustered, n=200, kind="cluster", seed=1)
        assert boot.bse["b"] == pytest.approx(clustered.bse["b"], rel=0.35)

    def test_parametric(self) -> None:
        found = fit(MEDIATION, meanstructure=True)
        Y = tl.simulate(found, 200, seed=3)
        again = tl.refit(found, Y)
        a = again[again["term"] == "a"]
        assert a["estimate"].mean() == pytest.approx(found.params["a"], abs=0.02)
        assert a["estimate"].std() == pytest.approx(found.bse["a"], rel=0.2)
        first = pd.DataFrame(Y[0].to_numpy().reshape(240, -1))
        first.columns = list(found.model.observations.names)
        assert (first["u"] == data()["u"]).all()
        one = tl.sem(MEDIATION, first, meanstructure=True)
        mine = again[again["replicate"] == 0].set_index("term")["estimate"]
        np.testing.assert_allclose(mine[one.params.index], one.params, rtol=1e-7)
        with pytest.raises(tl.OptionError, match="laid out row by row"):
            tl.refit(found, np.zeros(7))


def test_robust_errors_by_hand() -> None:
    """A regression's sandwich is White's."""
    found = fit("y ~ u + v", estimator="mlr", meanstructure=True)
    X = np.column_stack([np.ones(240), data()["u"], data()["v"]])
    beta = np.linalg.lstsq(X, data()["y"], rcond=None)[0]
    e = data()["y"].to_numpy() - X @ beta
    bread = np.linalg.inv(X.T @ X)
    V = bread @ (X.T * e**2) @ X @ bread
    np.testing.assert_allclose(found.bse[["y~u", "y~v"]], np.sqrt(np.diag(V))[1:], rtol=1e-6)
    grouped = fit("y ~ u + v", cluster="school")
    scores = pd.DataFrame(X * e[:, None]).groupby(data()["school"].to_numpy()).sum().to_numpy()
    V = bread @ scores.T @ scores @ bread * 30 / 29
    np.testing.assert_allclose(grouped.bse[["y~u", "y~v"]], np.sqrt(np.diag(V))[1:], rtol=1e-6)


@pytest.mark.parametrize("name", sorted(COMBINATIONS))
def test_table_out_and_in(name: str) -> None:
    """The table of a fit, given as a model, is the same model."""
    text, options = COMBINATIONS[name]
    found = fit(text, **{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})
    frame = found.table.frame()
    kept = {k: v for k, v in options.items() if k in ("group", "fixed_x")}
    again = tl.sem(frame, data(), meanstructure=found.table.meanstructure, **kept)
    assert again.n_parameters == found.n_parameters
    assert again.deviance == pytest.approx(found.deviance, abs=1e-6)


def test_table_that_is_none() -> None:
    with pytest.raises(tl.DataError, match="column 'rhs'"):
        tl.sem(pd.DataFrame({"lhs": ["f"], "op": ["=~"]}), data())
    with pytest.raises(tl.DataError, match="no operator"):
        tl.sem(pd.DataFrame({"lhs": ["f"], "op": ["|"], "rhs": ["t1"]}), data())
