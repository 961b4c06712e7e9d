"""Residual structures as a user meets them: the same model is the same fit, and all the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

import teamlink as tl
from teamlink.mixed.correlated import CorrelatedMixed
from teamlink.mixed.result import MixedFit


def panel(seed: int, J: int = 40, T: int = 5, gaps: float = 0.15, phi: float = 0.5) -> pd.DataFrame:
    """Children in eight schools over T occasions, residuals AR(1), boys twice as variable."""
    rng = np.random.default_rng(seed)
    child = np.repeat(np.arange(J), T)
    occasion = np.tile(np.arange(1, T + 1), J)
    male = np.repeat(rng.integers(0, 2, J), T)
    e = rng.standard_normal((J, T))
    for t in range(1, T):
        e[:, t] = phi * e[:, t - 1] + np.sqrt(1 - phi**2) * e[:, t]
    x = rng.standard_normal(J * T)
    school = child % 8
    y = 2 + 0.3 * occasion + 0.5 * x + rng.standard_normal(J)[child] + 0.5 * school / 8
    y = y + e.ravel() * (1 + male)
    frame = pd.DataFrame(
        {"y": y, "x": x, "child": child, "school": school, "occasion": occasion,
         "sex": np.where(male == 1, "male", "female")}
    )  # fmt: skip
    keep = rng.random(J * T) > gaps
    return frame[keep].sample(frac=1, random_state=seed).reset_index(drop=True)


AR1 = tl.ar1("occasion", by="child")
CS = tl.compound_symmetry(by="child")


def same(one: MixedFit, two: MixedFit) -> None:
    """Two fits of one model, whatever it is called."""
    assert one.deviance == pytest.approx(two.deviance, abs=1e-7)
    np.testing.assert_allclose(one.params, two.params, rtol=1e-5)
    np.testing.assert_allclose(one.bse, two.bse, rtol=1e-5)
    np.testing.assert_allclose(one.df, two.df, rtol=1e-4)


class TestTheSameModel:
    """Satterthwaite's degrees of freedom do not depend on how variances are parametrised."""

    @pytest.mark.parametrize("reml", [True, False])
    def test_compound_symmetry_is_a_random_intercept(self, reml: bool) -> None:
        data = panel(1)
        one = tl.lmm("y ~ x + occasion", data, residual=CS, reml=reml)
        two = tl.lmm("y ~ x + occasion + (1 | child)", data, reml=reml)
        same(one, two)
        tau2 = two.varcorr["vcov"][0]
        assert one.residual["rho"] == pytest.approx(tau2 / (tau2 + two.sigma**2), abs=1e-6)

    def test_compound_symmetry_in_schools_is_a_third_level(self) -> None:
        data = panel(2)
        one = tl.lmm("y ~ x + (1 | school)", data, residual=CS)
        two = tl.lmm("y ~ x + (1 | school) + (1 | child)", data)
        same(one, two)
        np.testing.assert_allclose(one.ranef()["school"], two.ranef()["school"], atol=1e-5)

    def test_two_occasions_leave_one_correlation(self) -> None:
        data = panel(3, T=2, gaps=0.1)
        fits = [
            tl.lmm("y ~ x", data, residual=structure)
            for structure in (
                CS, AR1, tl.toeplitz("occasion", by="child"),
                tl.unstructured("occasion", by="child", equal_variances=True),
            )
        ]  # fmt: skip
        for other in fits[1:]:
            same(fits[0], other)

    def test_unstructured_is_a_multivariate_normal(self) -> None:
        data = panel(4, T=3, gaps=0.0)
        one = tl.lmm("y ~ x", data, residual=tl.unstructured("occasion", by="child"), reml=False)
        R = one.residual_covariance().to_numpy()
        rest = one.resid[data.sort_values(["child", "occasion"]).index].to_numpy().reshape(-1, 3)
        llf = multivariate_normal(np.zeros(3), R).logpdf(rest).sum()
        assert one.llf == pytest.approx(llf, abs=1e-8)

    def test_car1_at_whole_times_is_ar1(self) -> None:
        data = panel(5)
        same(
            tl.lmm("y ~ x + (1 | child)", data, residual=AR1),
            tl.lmm("y ~ x + (1 | child)", data, residual=tl.car1("occasion", by="child")),
        )

    def test_car1_takes_any_unit_of_time(self) -> None:
        data = panel(6)
        data["hours"] = data["occasion"] * 24.0 + 7.5
        one = tl.lmm("y ~ x", data, residual=AR1)
        two = tl.lmm("y ~ x", data, residual=tl.car1("hours", by="child"))
        same(one, two)
        assert two.residual["phi"] ** 24 == pytest.approx(one.residual["phi"], abs=1e-6)

    def test_variance_by_a_stratum_of_its_own_model(self) -> None:
        data = panel(7)
        one = tl.lmm("y ~ 0 + sex + sex:x", data, residual=tl.variance_by("sex"), reml=False)
        parts = [tl.lmm("y ~ x", part, residual=tl.variance_by("half"), reml=False)
                 for _, part in data.assign(half=data["occasion"] % 2).groupby("sex")]  # fmt: skip
        # Two regressions apart say the same as one with two variances, their own halves aside.
        assert one.deviance >= sum(part.deviance for part in parts) - 1e-8
        split = tl.lmm(
            "y ~ 0 + sex + sex:x", data.assign(half=data["occasion"] % 2),
            residual=tl.variance_by("sex", "half"), reml=False,
        )  # fmt: skip
        assert split.deviance == pytest.approx(sum(part.deviance for part in parts), abs=1e-7)

    @settings(max_examples=4)
    @given(seed=st.integers(0, 1000), scale=st.sampled_from([1e-5, 1.0, 1e6]))
    def test_order_and_unit_do_not_matter(self, seed: int, scale: float) -> None:
        data = panel(8)
        other = data.sample(frac=1, random_state=seed).assign(y=lambda d: 1e3 + scale * d["y"])
        structure = AR1 + tl.variance_by("sex")
        one = tl.lmm("y ~ x + (1 | school)", data, residual=structure)
        two = tl.lmm("y ~ x + (1 | school)", other, residual=structure)
        np.testing.assert_allclose(one.residual, two.residual, rtol=1e-6)
        np.testing.assert_allclose(scale * one.bse, two.bse, rtol=1e-6)
        shift = 2 * np.log(scale) * (one.nobs - 2)
        assert two.deviance == pytest.approx(one.deviance + shift, abs=1e-6)


class TestSeveralFactors:
    """Derivatives in the residual parameters are by steps there; all else is exact."""

    def test_steps_agree_with_the_exact_derivatives(self, monkeypatch) -> None:
        data = panel(26)
        structure = AR1 + tl.variance_by("sex")
        exact = tl.lmm("y ~ x + (1 | school)", data, residual=structure)
        theta = exact.working_theta[None] + 0.1
        here = exact.model.deviance(theta)
        df = exact.df
        monkeypatch.setattr(CorrelatedMixed, "_whole", property(lambda _: False))
        there = exact.model.deviance(theta)
        assert there.value == pytest.approx(here.value, abs=1e-9)
        np.testing.assert_allclose(there.gradient, here.gradient, atol=1e-6)
        size = np.abs(here.hessian).max()
        np.testing.assert_allclose(there.hessian, here.hessian, atol=1e-4 * size)
        stepped = tl.lmm("y ~ x + (1 | school)", data, residual=structure)
        np.testing.assert_allclose(stepped.residual, exact.residual, rtol=1e-6)
        np.testing.assert_allclose(stepped.df, df, rtol=1e-4)

    def test_crossed_factors_and_two_variances_against_the_dense_likelihood(self) -> None:
        data = panel(27, J=20, T=3)
        rng = np.random.default_rng(3)
        data["rater"] = rng.integers(0, 5, len(data))
        fit = tl.lmm(
            "y ~ x + (1 | child) + (1 | rater)", data, residual=tl.variance_by("sex"), reml=False
        )
        one = {f: (data[f].to_numpy()[:, None] == data[f].to_numpy()) for f in ("child", "rater")}
        tau = fit.varcorr.set_index("group")["vcov"]
        sd = np.where(data["sex"] == "male", fit.residual["sd_ratio__male"], 1.0) * fit.sigma
        V = np.diag(sd**2) + tau["child"] * one["child"] + tau["rater"] * one["rater"]
        rest = data["y"] - fit.predict(level="population")
        llf = multivariate_normal(np.zeros(len(data)), V).logpdf(rest)
        assert fit.llf == pytest.approx(llf, abs=1e-8)

    def test_compound_symmetry_beside_two_factors(self) -> None:
        data = panel(28, J=24, T=3, gaps=0.05)
        rng = np.random.default_rng(4)
        data["region"] = data["school"] % 5
        data["rater"] = rng.integers(0, 6, 24)[data["child"]]
        one = tl.lmm("y ~ x + (1 | school) + (1 | rater)", data, residual=CS, df="normal")
        two = tl.lmm("y ~ x + (1 | school) + (1 | rater) + (1 | child)", data, df="normal")
        assert one.deviance == pytest.approx(two.deviance, abs=1e-6)
        np.testing.assert_allclose(one.bse, two.bse, rtol=1e-4)


class TestSatterthwaite:
    """Degrees of freedom by the general formula, every derivative exact."""

    @pytest.mark.parametrize("formula", ["y ~ x + occasion", "y ~ x + occasion + (1 | school)"])
    def test_against_differences_of_the_dense_likelihood(self, formula: str) -> None:
        """2 v^2 / (g'A g) with g and A from central differences in (theta, eta, log sigma)."""
        data = panel(9, J=24, T=4)
        fit = tl.lmm(formula, data, residual=AR1 + tl.variance_by("sex"))
        model = fit.model
        assert isinstance(model, CorrelatedMixed)
        X, y = model.fixed_columns, data["y"].to_numpy()
        child, school = data["child"].to_numpy(), data["school"].to_numpy()
        t = data["occasion"].to_numpy()
        male = (data["sex"] == "male").to_numpy()
        levels = "school" in formula

        def V(point: np.ndarray) -> np.ndarray:
            eta, ratio, tau, sigma = np.tanh(point[0]), np.exp(point[1]), point[2], point[3]
            sd = np.where(male, ratio, 1.0)
            R = (child[:, None] == child) * eta ** np.abs(t[:, None] - t)
            own = tau**2 * (school[:, None] == school) if levels else 0.0
            return np.exp(2 * sigma) * (R * np.outer(sd, sd) + own)

        def deviance(point: np.ndarray) -> float:
            Vi = np.linalg.inv(V(point))
            A = X.T @ Vi @ X
            e = y - X @ np.linalg.solve(A, X.T @ Vi @ y)
            return -np.linalg.slogdet(Vi)[1] + e @ Vi @ e + np.linalg.slogdet(A)[1]

        def C(point: np.ndarray) -> np.ndarray:
            return np.diag(np.linalg.inv(X.T @ np.linalg.inv(V(point)) @ X))

        at = np.array([
            np.arctanh(fit.residual["phi"]), np.log(fit.residual["sd_ratio__male"]),
            fit.Lambda[0, 0] if levels else 0.0, np.log(fit.sigma),
        ])  # fmt: skip
        free = [0, 1, 2, 3] if levels else [0, 1, 3]
        h = 1e-4
        E = np.eye(4)[free] * h
        H = np.array([
            [deviance(at + a + b) - deviance(at + a - b) - deviance(at - a + b)
             + deviance(at - a - b) for b in E] for a in E
        ]) / (4 * h * h)  # fmt: skip
        g = np.array([(C(at + e) - C(at - e)) / (2 * h) for e in E])
        v = C(at)
        df = 2 * v**2 / np.einsum("ip,ij,jp->p", g, 2 * np.linalg.inv(H), g)
        # Second differences at step 1e-4 of a deviance near 400 keep about five digits.
        np.testing.assert_allclose(fit.df, df, rtol=2e-4)
        np.testing.assert_allclose(fit.bse**2, v, rtol=1e-7)

    def test_other_methods(self) -> None:
        data = panel(10)
        normal = tl.lmm("y ~ x", data, residual=AR1, df="normal")
        rows = tl.lmm("y ~ x", data, residual=AR1, df="residual")
        assert np.isinf(normal.df).all()
        assert (rows.df == len(data) - 2).all()
        same(tl.small_sample(normal, "satterthwaite"), tl.lmm("y ~ x", data, residual=AR1))
        joint = tl.test(tl.lmm("y ~ x + occasion", data, residual=AR1), "x = 0, occasion = 0")
        assert joint.df_num == 2
        assert 20 < joint.df_denom < len(data)


class TestWhatAFitSays:
    def test_residual_parameters_everywhere(self) -> None:
        fit = tl.lmm("y ~ x + (1 | child)", panel(11), residual=AR1 + tl.variance_by("sex"))
        assert list(fit.residual.index) == ["phi", "sd_ratio__male"]
        tidy = fit.tidy().set_index("term")["estimate"]
        np.testing.assert_allclose(tidy[["phi", "sd_ratio__male"]], fit.residual)
        text = str(fit.summary())
        assert "AR(1) over occasion within child, variances by sex" in text
        assert "sd_ratio__male" in text
        assert list(fit.varcorr["group"]) == ["child", "Residual"]
        assert fit.label.endswith("AR(1) over occasion within child, variances by sex")

    def test_without_random_effects(self) -> None:
        fit = tl.lmm("y ~ x", panel(12), residual=AR1)
        assert fit.ranef() == {}
        assert fit.ngroups == {}
        assert fit.theta.size == 0
        np.testing.assert_allclose(
            fit.fittedvalues, fit.params["Intercept"] + fit.params["x"] * panel(12)["x"]
        )
        assert "Linear model with a residual structure" in str(fit.summary())
        assert "There are no random effects" in str(fit.report())

    def test_covariance_of_a_unit(self) -> None:
        data = panel(13)
        data["w"] = np.linspace(0.5, 2, len(data))
        fit = tl.lmm("y ~ x", data, residual=AR1 + tl.variance_by("sex"), weights="w")
        R = fit.residual_covariance(7)
        rows = data[data["child"] == 7].sort_values("occasion")
        t = rows["occasion"].to_numpy()
        assert list(R.index) == list(t)
        ratio = fit.residual["sd_ratio__male"] if rows["sex"].iloc[0] == "male" else 1.0
        sd = fit.sigma * ratio / np.sqrt(rows["w"].to_numpy())
        expected = np.outer(sd, sd) * fit.residual["phi"] ** np.abs(t[:, None] - t)
        np.testing.assert_allclose(R, expected, rtol=1e-10)
        with pytest.raises(tl.OptionError, match="there is no unit 99"):
            fit.residual_covariance(99)
        assert fit.residual_covariance().shape == (5, 5)
        plain = tl.lmm("y ~ x + (1 | child)", data)
        assert plain.residual.empty
        with pytest.raises(tl.OptionError, match="no residual structure"):
            plain.residual_covariance()

    def test_random_effects_are_conditional_means_under_the_structure(self) -> None:
        data = panel(14)
        fit = tl.lmm("y ~ x + (1 | child)", data, residual=AR1 + tl.variance_by("sex"))
        tau2 = fit.varcorr["vcov"][0]
        rest = data["y"] - fit.predict(level="population")
        for child, rows in data.groupby("child"):
            R = fit.residual_covariance(child)
            order = rows.sort_values("occasion").index
            V = R.to_numpy() + tau2
            expected = tau2 * np.ones(len(order)) @ np.linalg.solve(V, rest[order])
            effect = fit.ranef()["child"].loc[child]
            assert effect["Intercept"] == pytest.approx(expected, abs=1e-8)
            ones = np.ones(len(order))
            variance = tau2 - tau2**2 * ones @ np.linalg.solve(V, ones)
            assert effect["Intercept_se"] ** 2 == pytest.approx(variance, rel=1e-7)

    def test_prediction_interval_of_each_stratum(self) -> None:
        data = panel(15)
        fit = tl.lmm("y ~ x + (1 | school)", data, residual=tl.variance_by("sex"))
        new = pd.DataFrame({"x": 0.0, "school": 1, "sex": ["female", "male", "other"]})
        z = 2 * 1.959963984540054
        wide, narrow = (
            fit.predict(new, interval=kind).eval("conf_high - conf_low").to_numpy() / z
            for kind in ("prediction", "confidence")
        )
        sd = np.sqrt(wide**2 - narrow**2)
        np.testing.assert_allclose(
            sd[:2], fit.sigma * np.array([1, fit.residual["sd_ratio__male"]]), rtol=1e-9
        )
        assert np.isnan(sd[2])  # no variance was estimated for it

    def test_simulated_residuals_have_the_covariance(self) -> None:
        data = panel(16, J=12)
        fit = tl.lmm("y ~ x", data, residual=AR1 + tl.variance_by("sex"))
        draws = tl.simulate(fit, 6000, seed=3).to_numpy()
        for child in (0, 5):
            R = fit.residual_covariance(child)
            order = data[data["child"] == child].sort_values("occasion").index
            found = np.cov(draws[order])
            size = np.sqrt(np.outer(np.diag(R), np.diag(R)))
            # A correlation of 6000 draws has a standard error of 0.013 at most.
            np.testing.assert_allclose(found / size, R / size, atol=0.065)


class TestOtherVerbs:
    def test_compare_knows_what_is_a_special_case(self) -> None:
        data = panel(17)
        fits = [
            tl.lmm("y ~ x", data, residual=structure)
            for structure in (
                AR1, tl.toeplitz("occasion", by="child"), tl.unstructured("occasion", by="child")
            )
        ]  # fmt: skip
        table = tl.compare(*fits).table
        assert list(table["df"].dropna()) == [3, 10]
        assert (table["chisq"].dropna() > 0).all()
        plain = tl.lmm("y ~ x + (1 | child)", data)
        more = tl.lmm("y ~ x + (1 | child)", data, residual=AR1)
        assert tl.compare(plain, more).table["df"].iloc[1] == 1
        other = tl.lmm("y ~ x", data, residual=CS + tl.variance_by("sex"))
        remarks = tl.compare(fits[0], other).remarks
        assert any("residual structure of the smaller" in remark for remark in remarks)

    def test_refit_and_parametric_bootstrap(self) -> None:
        data = panel(18)
        fit = tl.lmm("y ~ x", data, residual=AR1)
        again = tl.refit(fit, pd.DataFrame({"a": data["y"], "b": 3 * data["y"]}))
        a = again[again["replicate"] == "a"].set_index("term")["estimate"]
        b = again[again["replicate"] == "b"].set_index("term")["estimate"]
        np.testing.assert_allclose(a["x"], fit.params["x"], rtol=1e-7)
        np.testing.assert_allclose(b["x"], 3 * fit.params["x"], rtol=1e-7)
        boot = tl.bootstrap(fit, n=40, seed=2)
        ratio = boot.bse["x"] / fit.bse["x"]
        assert 0.6 < ratio < 1.6  # a standard error of 40 replicates is known to 11 %

    @pytest.mark.parametrize(
        ("verb", "message"),
        [
            (lambda fit: tl.robust(fit), "robust: not offered for a fit with a residual struct"),
            (lambda fit: tl.small_sample(fit), "'kenward-roger': not offered"),
            (lambda fit: tl.icc(fit), "icc: not offered"),
            (lambda fit: tl.reliability(fit), "reliability: not offered"),
            (lambda fit: tl.r2(fit), "r2: not offered"),
            (lambda fit: tl.variance_explained(fit, fit), "variance_explained: not offered"),
            (lambda fit: tl.design_effect(fit), "design_effect: not offered"),
            (lambda fit: tl.group_residuals(fit), "group_residuals: not offered"),
            (lambda fit: tl.variance_tests(fit), "variance_tests: not offered"),
            (lambda fit: tl.diagnose(fit), "diagnose: not offered"),
            (lambda fit: tl.bootstrap(fit, n=10, kind="cluster"), "cannot be resampled"),
            (lambda fit: tl.bootstrap(fit, n=10, kind="residual"), "cannot be resampled"),
            (lambda fit: tl.profile(fit), "CorrelatedMixed"),
        ],
    )
    def test_what_does_not_apply_says_so(self, verb, message) -> None:
        fit = tl.lmm("y ~ x + (1 | child)", panel(19), residual=AR1)
        with pytest.raises(tl.OptionError, match=message):
            verb(fit)

    def test_kenward_roger_is_refused(self) -> None:
        with pytest.raises(tl.OptionError, match="linear in the parameters"):
            tl.lmm("y ~ x", panel(19), residual=AR1, df="kenward-roger")


class TestWhatCannotBeFitted:
    @pytest.mark.parametrize(
        ("formula", "structure", "message"),
        [
            ("y ~ x + (1 | child)", CS, "cannot be told from the random intercept by 'child'"),
            ("y ~ x + (1 | child)", tl.toeplitz("occasion", by="child"), "cannot be told"),
            ("y ~ x + (1 | child)", tl.unstructured("occasion", by="child"), "cannot be told"),
            ("y ~ x + (1 | child)", tl.compound_symmetry(by="school"), "several groups of 'child'"),
            ("y ~ x", tl.ar1("x", by="child"), "not whole steps apart.*use car1"),
            ("y ~ x", tl.ar1("sex", by="child"), "positions in time must be numbers"),
            ("y ~ x", tl.ar1("occasion", by="school"), "two rows at one position: '0', '1'"),
            ("y ~ x", tl.variance_by("one"), "all rows have '1'"),
            ("y ~ x", tl.variance_by("child", "occasion"), "variances cannot be told from"),
            ("y ~ x", tl.compound_symmetry(by="row"), "every unit has one row"),
            ("y ~ x", tl.unstructured("sex", by="child"), "two rows at one position"),
        ],
    )  # fmt: skip
    def test_reports(self, formula, structure, message) -> None:
        data = panel(20)
        data = data.assign(one=1, row=range(len(data)))
        with pytest.raises(tl.DesignError, match=message):
            tl.lmm(formula, data, residual=structure)

    def test_pairs_that_never_meet(self) -> None:
        data = panel(21, T=4, gaps=0.0)
        apart = data[~((data["occasion"] == 4) & (data["child"] % 2 == 0))]
        apart = apart[~((apart["occasion"] == 1) & (apart["child"] % 2 == 1))]
        with pytest.raises(tl.DesignError, match=r"both occasions of cor__1\.4"):
            tl.lmm("y ~ x", apart, residual=tl.unstructured("occasion", by="child"))

    def test_rows_in_several_groups_have_no_correlated_residuals(self) -> None:
        data = panel(22)
        schools = tl.membership(
            pd.DataFrame({"a": data["school"], "b": (data["school"] + 1) % 8}), ["a", "b"]
        )
        with pytest.raises(tl.OptionError, match="several groups of 'schools'"):
            tl.lmm("y ~ x + (1 | schools)", data, residual=AR1, memberships={"schools": schools})
        fit = tl.lmm(
            "y ~ x + (1 | schools)", data, residual=tl.variance_by("sex"),
            memberships={"schools": schools}, df="normal", reml=False,
        )  # fmt: skip
        W = fit.model.design.factors[0].weights.toarray()
        sd = np.where(data["sex"] == "male", fit.residual["sd_ratio__male"], 1.0) * fit.sigma
        V = np.diag(sd**2) + fit.varcorr["vcov"][0] * W @ W.T
        rest = data["y"] - fit.predict(level="population")
        llf = multivariate_normal(np.zeros(len(data)), V).logpdf(rest)
        assert fit.llf == pytest.approx(llf, abs=1e-8)

    def test_a_table_that_lacks_a_column(self) -> None:
        with pytest.raises(tl.DataError, match="'wave'"):
            tl.lmm("y ~ x", panel(23), residual=tl.ar1("wave", by="child"))

    def test_no_random_term_and_no_structure(self) -> None:
        with pytest.raises(tl.FormulaError, match="or a residual structure"):
            tl.lmm("y ~ x", panel(24))

    def test_sums_that_make_no_sense(self) -> None:
        with pytest.raises(tl.OptionError, match="both say how residuals correlate"):
            AR1 + CS
        with pytest.raises(tl.OptionError, match="both say how variances differ"):
            tl.variance_by("a") + tl.variance_by("b")
        with pytest.raises(tl.OptionError, match="no column is named"):
            tl.variance_by()
        with pytest.raises(tl.OptionError, match="3 is no name"):
            tl.ar1("occasion", by=3)
        assert (tl.variance_by("sex") + AR1) == (AR1 + tl.variance_by("sex"))


def test_a_correlation_at_its_end_is_on_the_boundary() -> None:
    data = panel(25, T=2, gaps=0.0)
    pairs = data.sort_values(["child", "occasion"])
    # Every child's residuals cancel: the correlation of two occasions goes to -1.
    sign = np.where(pairs["occasion"] == 1, 1.0, -1.0)
    pairs["y"] = sign * np.repeat(np.random.default_rng(1).standard_normal(40), 2)
    pairs["y"] += 1e-4 * pairs["x"]
    fit = tl.lmm("y ~ 1", pairs, residual=CS)
    assert fit.boundary
    assert fit.residual["rho"] == pytest.approx(-1, abs=1e-4)
