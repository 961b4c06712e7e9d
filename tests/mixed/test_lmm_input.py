"""Bad input to `lmm`: each gets one clear typed error, or a typed warning and a count."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import teamlink as tl
from teamlink.errors import DroppedRows, FewGroups, RankDeficient


@pytest.fixture
def data() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "y": rng.normal(size=40),
            "x": rng.normal(size=40),
            "g": np.repeat(list("abcdefgh"), 5),
            "c": ["u", "v"] * 20,
        }
    )


def test_empty_table(data):
    with pytest.raises(tl.DataError, match="no rows"):
        tl.lmm("y ~ x + (1 | g)", data.iloc[:0])


def test_all_missing_columns_are_named_with_the_nearest(data):
    with pytest.raises(tl.DataError) as error:
        tl.lmm("y ~ xx + (1 | gg)", data)
    assert len(error.value.faults) == 2
    assert "did you mean 'x'?" in str(error.value)
    assert "did you mean 'g'?" in str(error.value)


def test_outcome_that_is_no_number(data):
    with pytest.raises(tl.DataError, match="'c': 40 of 40 values are not numbers: 'u', 'v'"):
        tl.lmm("c ~ x + (1 | g)", data)


@pytest.mark.parametrize("column", ["x", "y"])
def test_infinite_values(data, column):
    data.loc[[2, 5], column] = [np.inf, -np.inf]
    with pytest.raises(tl.DataError, match=f"'{column}': 2 infinite values, at rows 2, 5"):
        tl.lmm("y ~ x + (1 | g)", data)


@pytest.mark.parametrize("column", ["x", "y", "g"])
def test_a_column_without_any_value(data, column):
    with pytest.raises(tl.DataError, match=f"'{column}': all values are missing"):
        tl.lmm("y ~ x + (1 | g)", data.assign(**{column: np.nan}))


def test_no_complete_row(data):
    half = np.arange(40) < 20
    data = data.assign(x=data["x"].where(half), y=data["y"].where(~half))
    with pytest.raises(tl.DesignError, match="no row is complete"):
        tl.lmm("y ~ x + (1 | g)", data)


def test_one_group(data):
    with pytest.raises(tl.DesignError, match="one group only, 'only'"):
        tl.lmm("y ~ x + (1 | g)", data.assign(g="only"))


def test_each_group_one_row(data):
    with pytest.raises(tl.DesignError, match="each of the 40 groups has one row"):
        tl.lmm("y ~ x + (1 | g)", data.assign(g=range(40)))


def test_constant_outcome(data):
    with pytest.raises(tl.DesignError, match="all 40 values are 3"):
        tl.lmm("y ~ x + (1 | g)", data.assign(y=3.0))


def test_more_random_effects_than_rows(data):
    data = data.assign(g=np.arange(40) // 2, z=data["x"] ** 2)
    with pytest.raises(tl.DesignError, match="3 correlated random effects in each of 20 groups"):
        tl.lmm("y ~ x + (x + z | g)", data)


def test_more_fixed_effects_than_rows(data):
    with pytest.raises(tl.DesignError, match="40 independent fixed effects, but only 40 rows"):
        tl.lmm("y ~ s + x + (1 | g)", data.assign(s=[f"id{i}" for i in range(40)]))


def test_every_design_fault_at_once(data):
    with pytest.raises(tl.DesignError) as error:
        tl.lmm("y ~ x + (1 | g)", data.assign(g=1, y=1.0))
    assert len(error.value.faults) == 2


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"df": "kenward"}, "Allowed: 'satterthwaite', 'kenward-roger', 'residual', 'normal'"),
        ({"reml": "yes"}, "Allowed: True, False"),
        ({"weights": [1.0, 2.0]}, "weights: give the name of a column"),
        ({"residual": "ar1"}, "residual='ar1' is no residual structure"),
    ],
)
def test_options_that_are_not_offered(data, option, message):
    with pytest.raises(tl.OptionError, match=message):
        tl.lmm("y ~ x + (1 | g)", data, **option)


@pytest.mark.parametrize(
    ("formula", "message", "caret"),
    [
        ("y ~ x + (1 | g", "never closed", "        ^"),
        ("y ~ x", "there is no random term", "     ^"),
        ("y ~ log(c) + (1 | g)", r"log\(c\) cannot be evaluated", "    ^^^^^^"),
    ],
)
def test_formulas_that_cannot_be_fitted_point_at_the_place(data, formula, message, caret):
    with pytest.raises(tl.FormulaError, match=message) as error:
        tl.lmm(formula, data.assign(h=np.arange(40) // 2 % 8))
    assert str(error.value).splitlines()[-1] == f"  {caret}"


def test_a_transformation_that_is_not_finite_names_the_term(data):
    with pytest.raises(tl.DataError, match=r"'log\(x\)': 40 values are not finite"):
        tl.lmm("y ~ log(x) + (1 | g)", data.assign(x=0.0))


def test_within_needs_numbers(data):
    with pytest.raises(tl.DataError, match=r"within\(x, group\): x must be numeric"):
        tl.lmm("y ~ within(c, g) + (1 | g)", data)


def test_no_table():
    with pytest.raises(tl.DataError, match="not a table"):
        tl.lmm("y ~ x + (1 | g)", [1, 2])


def test_missing_group_ids_are_dropped_counted_and_warned_about(data):
    data = data.assign(g=data["g"].where(data.index > 2, None))
    data.loc[[2, 10], "x"] = np.nan
    with pytest.warns(DroppedRows, match="4 of 40 rows"):
        fit = tl.lmm("y ~ x + (1 | g)", data)
    assert fit.nobs == 36
    assert sum(fit.dropped.values()) == 4
    assert "4 rows left out" in str(fit.summary())
    assert list(fit.resid.index) == [i for i in range(40) if i not in (0, 1, 2, 10)]


def test_columns_that_others_determine_are_dropped_as_r_does(data):
    data = data.assign(twice=2 * data["x"], one=5.0)
    with pytest.warns(RankDeficient, match="twice, one"):
        fit = tl.lmm("y ~ x + twice + one + (1 | g)", data)
    plain = tl.lmm("y ~ x + (1 | g)", data)
    assert fit.aliased == ("twice", "one")
    assert list(fit.params.index) == ["Intercept", "x"]
    assert fit.deviance == pytest.approx(plain.deviance, abs=1e-9)
    assert "twice, one" in str(fit.summary())
    assert fit.predict(data).to_numpy() == pytest.approx(plain.predict(data).to_numpy())


def test_few_groups_are_warned_about(data):
    with pytest.warns(FewGroups, match="only 3 groups"):
        tl.lmm("y ~ x + (1 | g)", data.assign(g=np.arange(40) % 3))


def test_numbers_held_as_objects_are_numbers(data):
    fit = tl.lmm("y ~ x + (1 | g)", data.assign(x=data["x"].astype(object)))
    assert fit.params["x"] == tl.lmm("y ~ x + (1 | g)", data).params["x"]


@pytest.mark.parametrize(
    "kind", [pl.from_pandas, pa.Table.from_pandas, lambda d: d.to_dict("list")]
)
def test_tables_of_any_kind(data, kind):
    fit = tl.lmm("y ~ x + c + (x | g)", kind(data))
    assert fit.deviance == tl.lmm("y ~ x + c + (x | g)", data).deviance


def test_a_formula_names_columns_with_blanks(data):
    fit = tl.lmm(
        "`the score` ~ x + (1 | `my group`)",
        data.rename(columns={"y": "the score", "g": "my group"}),
    )
    assert fit.deviance == tl.lmm("y ~ x + (1 | g)", data).deviance
    assert list(fit.ngroups) == ["my group"]


def test_an_interaction_of_two_columns_is_one_grouping_factor(data):
    fit = tl.lmm("y ~ x + (1 | g:c)", data)
    joined = tl.lmm("y ~ x + (1 | gc)", data.assign(gc=data["g"] + ":" + data["c"]))
    assert fit.deviance == joined.deviance
    assert fit.ngroups == {"g:c": 16}
    assert list(fit.ranef()["g:c"].index) == list(joined.ranef()["gc"].index)
    assert fit.predict(data).to_numpy() == pytest.approx(joined.predict().to_numpy())


def test_the_input_is_left_as_it_was(data):
    before = data.copy()
    tl.lmm("y ~ x + c + (x | g)", data)
    pd.testing.assert_frame_equal(data, before)
