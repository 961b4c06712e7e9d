"""Tests of linear hypotheses: identities between methods, forms, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import teamlink as tl
from teamlink.errors import DesignError, FormulaError, OptionError


def sample(seed: int, groups: int = 25) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(groups), rng.integers(2, 9, groups))
    n = len(school)
    x, w = rng.normal(size=n) + 1.5, rng.normal(size=groups)[school]
    b = rng.normal(size=(groups, 2)) * [1.0, 0.8]
    y = 50 + 0.5 * x + w + b[school, 0] + b[school, 1] * x + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "w": w, "school": school})


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return sample(4)


@pytest.fixture(scope="module", params=["satterthwaite", "kenward-roger", "residual", "normal"])
def fit(request: pytest.FixtureRequest, data: pd.DataFrame) -> tl.lmm:
    return tl.lmm("y ~ x * w + (x | school)", data, df=request.param)


def test_one_equation_is_the_t_test_of_the_fit(fit):
    for name in fit.params.index:
        found = tl.test(fit, f"{name} = 0")
        assert found.statistic == pytest.approx(fit.tvalues[name] ** 2)
        assert found.p_value == pytest.approx(fit.pvalues[name], rel=1e-8)
        assert found.df_denom == pytest.approx(fit.df[name])
        row = found.table.iloc[0]
        assert row["std_error"] == pytest.approx(fit.bse[name])
        assert row["statistic"] == pytest.approx(fit.tvalues[name])


def test_one_equation_with_a_robust_covariance(data):
    fit = tl.robust(tl.lmm("y ~ x * w + (x | school)", data), "CR2")
    for name in fit.params.index:
        found = tl.test(fit, f"{name} = 0")
        assert found.p_value == pytest.approx(fit.pvalues[name], rel=1e-8)
        assert found.df_denom == pytest.approx(fit.df[name])


@pytest.mark.parametrize("method", ["satterthwaite", "kenward-roger", "CR2"])
def test_a_combination_is_a_coefficient_of_another_model(data, method):
    """With x - w and w as predictors the coefficient of w is the sum of the two."""

    def of(formula: str, frame: pd.DataFrame) -> tl.lmm:
        fit = tl.lmm(formula, frame)
        return tl.robust(fit, method) if method == "CR2" else tl.small_sample(fit, method)

    one = of("y ~ x + w + (1 | school)", data)
    two = of("y ~ d + w + (1 | school)", data.assign(d=data["x"] - data["w"]))
    found = tl.test(one, "x + w = 0")
    assert found.table["estimate"].iloc[0] == pytest.approx(two.params["w"])
    assert found.statistic == pytest.approx(two.tvalues["w"] ** 2, rel=1e-6)
    assert found.df_denom == pytest.approx(two.df["w"], rel=1e-6)


def test_joint_statistic_is_the_wald_statistic(fit):
    found = tl.test(fit, "x = 0, w = 1")
    C = fit.cov_params().loc[["x", "w"], ["x", "w"]].to_numpy()
    d = fit.params[["x", "w"]].to_numpy() - [0, 1]
    assert found.statistic == pytest.approx(found.scale * d @ np.linalg.solve(C, d) / 2)
    if fit.estimates.method == "normal":
        assert found.p_value == pytest.approx(stats.chi2.sf(2 * found.statistic, 2))
    else:
        assert found.p_value == pytest.approx(stats.f.sf(found.statistic, 2, found.df_denom))
    assert (found.scale == 1) == (fit.estimates.method != "kenward-roger")
    if fit.estimates.method == "residual":
        assert found.df_denom == fit.nobs - 4


def test_kenward_roger_does_not_depend_on_how_a_hypothesis_is_written(data):
    fit = tl.lmm("y ~ x * w + (x | school)", data, df="kenward-roger")
    one = tl.test(fit, "x = 0, w = 1")
    for text in ("x = w - 1, x + w = 1", "3*w = 3, x/7 = 0", "w = 1, x = 0"):
        two = tl.test(fit, text)
        assert two.statistic == pytest.approx(one.statistic, rel=1e-8)
        assert two.df_denom == pytest.approx(one.df_denom, rel=1e-8)


def test_balanced_design_has_the_f_test_of_its_anova():
    rng = np.random.default_rng(5)
    school = np.repeat(np.arange(12), 5)
    arm = np.repeat(["a", "b", "c"], 20)
    y = rng.normal(size=12)[school] * 2 + rng.normal(size=60)
    table = pd.DataFrame({"y": y, "arm": arm, "school": school})
    means = table.groupby("school").agg({"y": "mean", "arm": "first"})
    anova = stats.f_oneway(*[means.loc[means["arm"] == a, "y"] for a in "abc"])
    for method in ("kenward-roger", "satterthwaite"):
        fit = tl.lmm("y ~ arm + (1 | school)", table, df=method)
        found = tl.test(fit, "arm[T.b] = 0, arm[T.c] = 0")
        assert (found.df_num, found.df_denom) == (2, pytest.approx(9, rel=1e-6))
        assert found.scale == pytest.approx(1, rel=1e-8)
        assert found.statistic == pytest.approx(anova.statistic, rel=1e-6)
        assert found.p_value == pytest.approx(anova.pvalue, rel=1e-5)


def test_a_matrix_says_the_same_as_a_text(fit):
    text = tl.test(fit, "x - 2*w = 1, w = 0")
    matrix = tl.test(fit, [[0, 1, -2, 0], [0, 0, 1, 0]], [1, 0])
    assert matrix.statistic == pytest.approx(text.statistic)
    assert matrix.table.index.tolist() == ["x - 2*w = 1", "w = 0"]
    row = tl.test(fit, np.array([0, 1, 0, 0]), 0.5)
    assert row.statistic == pytest.approx(tl.test(fit, "x = 0.5").statistic)


def test_equations_that_follow_from_others_do_not_count(fit):
    one, two = tl.test(fit, "x = 0, w = 1"), tl.test(fit, "x = 0, w = 1, x + 2*w = 2")
    assert two.df_num == 2
    assert two.statistic == pytest.approx(one.statistic)
    assert two.df_denom == pytest.approx(one.df_denom)
    assert len(two.table) == 3
    assert "1 of the equations follow from the others." in two.remarks


def test_summary(fit):
    shown = str(tl.test(fit, "x = 0, w = 1"))
    assert "Test of linear hypotheses" in shown
    assert "w = 1" in shown
    assert "<table" in tl.test(fit, "x = 0")._repr_html_()


class TestRefuses:
    @pytest.fixture
    def plain(self, data: pd.DataFrame) -> tl.lmm:
        return tl.lmm("y ~ x * w + (x | school)", data)

    def test_a_name_that_is_not_there(self, plain):
        with pytest.raises(FormulaError, match="there is no coefficient 'xx'; did you mean 'x"):
            tl.test(plain, "xx = 0")

    def test_contradictions(self, plain):
        with pytest.raises(OptionError, match="'x = 2' contradicts the equations before it"):
            tl.test(plain, "x = 1, x = 2")

    @pytest.mark.parametrize(
        ("matrix", "rhs", "message"),
        [
            ([[1, 0]], 0, "must have 4 columns, one for each of: Intercept, x, w, x:w"),
            ([[0, 0, 0, 0]], 0, "a row of the matrix is zero"),
            ([[1, 0, np.nan, 0]], 0, "not finite"),
            ([[1, 0, 0, 0]], [1, 2], "one for each of 1 rows"),
            (np.zeros((0, 4)), 0, "has shape"),
        ],
    )
    def test_matrices_that_do_not_fit(self, plain, matrix, rhs, message):
        with pytest.raises(DesignError, match=message):
            tl.test(plain, matrix, rhs)

    def test_rhs_beside_a_text(self, plain):
        with pytest.raises(OptionError, match="rhs goes with a matrix"):
            tl.test(plain, "x = 0", 1)

    def test_more_equations_than_the_groups_can_bear(self):
        rng = np.random.default_rng(1)
        school = np.repeat(np.arange(5), 4)
        frame = {f"w{i}": rng.normal(size=5)[school] for i in range(3)}
        y = 3 * rng.normal(size=5)[school] + rng.normal(size=20)
        fit = tl.lmm(
            "y ~ w0 + w1 + w2 + (1 | school)", {"y": y, "school": school, **frame},
            df="kenward-roger",
        )  # fmt: skip
        with pytest.raises(tl.FitError, match="too few groups for a joint test of 3 equations"):
            tl.test(fit, "w0 = 0, w1 = 0, w2 = 0")
