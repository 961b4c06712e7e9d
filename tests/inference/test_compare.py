"""Comparison: the likelihood ratio where it means something, a reason where it does not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import teamlink as tl


@pytest.fixture(scope="module")
def hsb() -> pd.DataFrame:
    return tl.datasets.load("hsb82")


def lmm(right: str, data: pd.DataFrame, reml: bool = False):
    return tl.lmm(f"mathach ~ {right}", data, reml=reml)


def test_likelihood_ratio_of_nested_fixed_effects(hsb):
    small, large = lmm("cses + (1 | school)", hsb), lmm("cses + meanses + (1 | school)", hsb)
    for order in [(small, large), (large, small)]:
        table = tl.compare(*order).table
        assert table["npar"].tolist() == [4, 5]
        chisq = small.deviance - large.deviance
        assert table["chisq"].iloc[1] == pytest.approx(chisq)
        assert table["p_value"].iloc[1] == pytest.approx(stats.chi2.sf(chisq, 1))
        assert np.isnan(table["chisq"].iloc[0])
    assert tl.compare(small, large).remarks == ()


def test_a_variance_on_the_edge_is_remarked_upon(hsb):
    result = tl.compare(
        lmm("cses + (1 | school)", hsb, True), lmm("cses + (cses | school)", hsb, True)
    )
    assert result.table["df"].iloc[1] == 2
    assert "edge" in result.remarks[0]
    text = str(result)
    assert "Chisq" in text
    assert "<table" in result._repr_html_()


def test_reml_with_different_fixed_effects_is_refused(hsb):
    with pytest.raises(tl.OptionError, match="reml=False"):
        tl.compare(lmm("cses + (1 | school)", hsb, True), lmm("meanses + (1 | school)", hsb, True))


def test_reml_with_the_same_fixed_effects_in_another_order_is_allowed(hsb):
    one = lmm("cses + meanses + (1 | school)", hsb, True)
    two = lmm("meanses + cses + (cses | school)", hsb, True)
    assert tl.compare(one, two).table["chisq"].iloc[1] == pytest.approx(one.deviance - two.deviance)


def test_other_rows_responses_or_methods_are_refused(hsb):
    fit = lmm("cses + (1 | school)", hsb)
    with pytest.raises(tl.OptionError, match="7185 and 7000 rows"):
        tl.compare(fit, lmm("cses + (1 | school)", hsb.head(7000)))
    with pytest.raises(tl.OptionError, match="different responses"):
        tl.compare(fit, lmm("cses + (1 | school)", hsb.assign(mathach=hsb["mathach"] + 1)))
    with pytest.raises(tl.OptionError, match="REML, the other by ML"):
        tl.compare(fit, lmm("cses + (1 | school)", hsb, True))
    with pytest.raises(tl.OptionError, match="two fits"):
        tl.compare(fit)


def test_models_that_are_not_nested_are_listed_without_a_test(hsb):
    result = tl.compare(
        lmm("cses + (1 | school)", hsb), lmm("meanses + female + (1 | school)", hsb)
    )
    assert result.table["chisq"].isna().all()
    assert "not among those of the larger" in result.remarks[0]
    same = tl.compare(lmm("cses + (1 | school)", hsb), lmm("meanses + (1 | school)", hsb))
    assert "both have 4 parameters" in same.remarks[0]
    slopes = tl.compare(
        lmm("cses + (0 + cses | school)", hsb), lmm("cses + female + (1 | school)", hsb)
    )
    assert "random effects of the smaller" in slopes.remarks[0]


def test_three_models_in_a_row(hsb):
    fits = [lmm(f"{x} + (1 | school)", hsb) for x in ("1", "cses", "cses + meanses")]
    table = tl.compare(*fits).table
    assert table["df"].tolist()[1:] == [1.0, 1.0]
    assert (np.diff(table["deviance"]) < 0).all()
