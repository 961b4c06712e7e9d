"""What `sem` refuses, what it warns of, and what it flags."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import teamlink as tl
from teamlink.errors import DroppedRows, NotConverged

from .models import FACTORS, data


def refused(kind: type[Exception], words: str, text: str = FACTORS, **options: Any) -> Exception:
    table = options.pop("table", data())
    with pytest.raises(kind, match=words) as caught:
        tl.sem(text, table, **options)
    return caught.value


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"estimator": "wls"}, "estimator='wls'"),
            ({"missing": "pairwise"}, "missing='pairwise'"),
            ({"information": "first"}, "information='first'"),
            ({"group": "sector", "group_equal": ["loading"]}, "did you mean 'loadings'"),
            ({"group": "sector", "group_equal": "loadings"}, "give a list"),
            (
                {"group": "sector", "group_equal": ["loadings"], "group_partial": ["f=~x9"]},
                "no parameter 'f=~x9'",
            ),
            ({"cluster": "school", "estimator": "mlm"}, "independent"),
        ],
    )
    def test_refused(self, options: dict[str, Any], words: str) -> None:
        refused(tl.OptionError, words, **options)


class TestText:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("f =~ x1 + x2 + f", "both sides"),
            ("f =~ x1 + 1*x2 + 2*x2", "two values of fix"),
            ("f =~ x1 + c(a, b)*x2 + x3", "2 values for 1 group"),
            ('f =~ x1 + equal("f=~x9")*x2 + x3', "no parameter 'f=~x9'"),
            (f"{FACTORS}\nd := a + 1", "there are no labels"),
            ("f =~ x1 + aa*x2 + x3\nd := a + 1", "did you mean 'aa'"),
            ("f =~ x1 + a*x2 + x3\nd := e\ne := d", "made of itself"),
            ("f =~ x1 + a*x2 + x3\nd := a\nd := 2*a", "defined twice"),
            ("f =~ x1 + a*x2 + x3\na := 2", "label of a parameter already"),
            ("f =~ x1 + a*x2 + b*x3\na*b == 1", "linear"),
            ("f =~ x1 + a*x2 + b*x3\na > b", "bounds one parameter"),
            ("f =~ x1 + a*x2 + b*x3\na > 2; a < 1", "no value of 'a'"),
            ("f =~ x1 + a*x2 + b*x3\na == 1; a == 2", "contradicts"),
            ("f =~ x1 + a*x2 + b*x3\n2 == 1 + 1", "nothing of a free parameter"),
            ("f =~ x1 + a*x2 + b*x3\na == b; a > 0", "bound and stands in an equality"),
            ("f =~ x1 + lower(2)*upper(1)*x2 + x3", "lower bound is above"),
            ('f =~ x1 + rv("s")*x2 + x3', "random slope"),
            ("group: a\nf =~ x1 + x2 + x3", "name the column, group="),
            ("f =~ x1 + x2 + x3\nlevel: 1\nf =~ x1", "level"),
        ],
    )
    def test_contradictions_show_their_place(self, text: str, words: str) -> None:
        assert "^" in str(refused(tl.FormulaError, words, text))

    def test_blocks_of_groups(self) -> None:
        text = "group: public\ny ~ u\ngroup: Catholik\ny ~ v"
        refused(tl.FormulaError, "did you mean 'Catholic'", text, group="sector")
        text = "group: public\ny ~ u"
        refused(tl.FormulaError, "no block for group 'Catholic'", text, group="sector")
        text = "y ~ u\ngroup: public\ny ~ u\ngroup: Catholic\ny ~ v"
        refused(tl.FormulaError, "before the header", text, group="sector")


class TestData:
    def test_unknown_names_are_all_listed_with_the_nearest(self) -> None:
        error = refused(tl.DataError, "2 faults", "f =~ x1 + xx2 + x3\ny ~ f + uu")
        assert "did you mean" in str(error)

    def test_text_where_numbers_belong(self) -> None:
        refused(tl.DataError, "sector", "y ~ sector")

    def test_no_rows(self) -> None:
        refused(tl.DataError, "no rows", table=data().head(0))

    def test_constant(self) -> None:
        refused(tl.DesignError, "constant", table=data().assign(x2=1.0))

    def test_variables_that_determine_each_other(self) -> None:
        frame = data().assign(x3=lambda d: d["x1"] - 2 * d["x2"])
        error = refused(tl.DesignError, "x1, x2, x3 determine each other", table=frame)
        assert "not positive definite" in str(error)

    def test_too_few_rows(self) -> None:
        refused(tl.DesignError, "6 rows for 6 variables", table=data().head(6))

    def test_infinite(self) -> None:
        frame = data().copy()
        frame.loc[3, "x1"] = np.inf
        refused(tl.DataError, "infinite", table=frame)

    def test_missing_values_are_left_out_and_counted(self) -> None:
        frame = data().copy()
        frame.loc[[2, 5], "x1"] = np.nan
        frame.loc[[5, 9], "x4"] = np.nan
        with pytest.warns(DroppedRows, match="3 of 240"):
            fit = tl.sem(FACTORS, frame)
        assert fit.nobs == 237
        assert "3 rows left out" in str(fit.summary())
        whole = tl.sem(FACTORS, frame.dropna())
        assert fit.deviance == pytest.approx(whole.deviance, abs=1e-9)

    def test_any_frame(self) -> None:
        fit = tl.sem(FACTORS, pl.from_pandas(data()))
        assert fit.deviance == tl.sem(FACTORS, data()).deviance

    def test_integers_and_truth_values(self) -> None:
        frame = data().assign(v=data()["v"] > 0, u=(10 * data()["u"]).round().astype("Int64"))
        plain = frame.assign(v=frame["v"].astype(float), u=frame["u"].astype(float))
        one, two = (tl.sem("y ~ u + v", table) for table in (frame, plain))
        assert one.deviance == two.deviance


class TestModels:
    def test_more_parameters_than_moments(self) -> None:
        refused(tl.DesignError, "5 parameters for 3 moments", "f =~ NA*x1 + NA*x2")

    def test_not_identified_names_the_parameters(self) -> None:
        text = "f =~ NA*x1 + x2 + x3 + x4 + x5\nf ~~ NA*f"
        error = refused(tl.DesignError, "not identified", text)
        for name in ("f=~x1", "f=~x2", "f=~x5", "f~~f"):
            assert name in str(error)
        assert "x1~~x1" not in str(error)

    def test_identified_but_for_a_rotation(self) -> None:
        text = "f =~ x1 + x2 + x3 + x4 + x5 + x6\ng =~ x1 + x2 + x3 + x4 + x5 + x6"
        error = refused(tl.DesignError, "not identified", text)
        assert "g=~" in str(error)

    def test_an_optimum_at_infinity_is_no_fit(self) -> None:
        """Each of two that determine each other needs an instrument; here both are noise."""
        rng = np.random.default_rng(6)
        noise = data().assign(u=rng.normal(size=240), v=rng.normal(size=240))
        with pytest.warns(NotConverged, match="give starts"):
            fit = tl.sem("x1 ~ x4 + u\nx4 ~ x1 + v\nx1 ~~ x4", noise)
        assert not fit.converged
        assert "NOT CONVERGED" in str(fit.summary())

    def test_negative_variance_is_flagged_and_kept(self) -> None:
        rng = np.random.default_rng(5)
        R = np.array([[1, 0.8, 0.7], [0.8, 1, 0.35], [0.7, 0.35, 1]])
        Z = rng.normal(size=(100, 3))
        Z = (Z - Z.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(Z.T, ddof=0))).T
        frame = pd.DataFrame(Z @ np.linalg.cholesky(R).T, columns=["a", "b", "c"])
        fit = tl.sem("f =~ a + b + c", frame)
        assert fit.params["a~~a"] == pytest.approx(1 - 0.8 * 0.7 / 0.35)
        assert fit.improper == ("the variance of a is negative",)
        assert "IMPROPER: the variance of a" in str(fit.summary())
        assert fit.converged

    def test_bound_that_holds(self) -> None:
        free = tl.sem("f =~ x1 + a*x2 + x3", data(), meanstructure=True)
        held = tl.sem("f =~ x1 + a*x2 + x3\na < 0.5", data(), meanstructure=True)
        fixed = tl.sem("f =~ x1 + 0.5*x2 + x3", data(), meanstructure=True)
        assert free.params["a"] > 0.6
        assert held.boundary
        assert held.params["a"] == pytest.approx(0.5, abs=1e-6)
        assert held.deviance == pytest.approx(fixed.deviance, abs=1e-6)
        assert np.isnan(held.bse["a"])
        assert held.bse["f=~x3"] == pytest.approx(fixed.bse["f=~x3"], rel=1e-4)
        assert "bound" in str(held.summary())
        loose = tl.sem("f =~ x1 + a*x2 + x3\na < 5; a > 0", data(), meanstructure=True)
        assert not loose.boundary
        assert loose.deviance == pytest.approx(free.deviance, abs=1e-8)
        assert loose.bse["a"] == pytest.approx(free.bse["a"], rel=1e-6)
