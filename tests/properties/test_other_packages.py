"""Agreement with packages that share no code with the engine, where their answers are right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from linearmodels.panel import PanelOLS
from statsmodels.regression.mixed_linear_model import MixedLM

import teamlink as tl


@pytest.fixture(scope="module")
def hsb() -> pd.DataFrame:
    return tl.datasets.load("hsb82").assign(intercept=1.0)


@pytest.mark.parametrize(
    ("reml", "slopes"),
    [
        (True, True),
        (False, False),
        pytest.param(True, False, marks=pytest.mark.slow),
        pytest.param(False, True, marks=pytest.mark.slow),
    ],
)
def test_statsmodels_finds_no_better_optimum(hsb, reml, slopes):
    random = ["intercept", "cses"] if slopes else ["intercept"]
    theirs = MixedLM(
        hsb["mathach"], hsb[["intercept", "meanses", "cses"]], hsb["school"], exog_re=hsb[random]
    ).fit(reml=reml)
    bar = "cses | school" if slopes else "1 | school"
    mine = tl.lmm(f"mathach ~ meanses + cses + ({bar})", hsb, reml=reml)
    assert mine.llf >= theirs.llf - 1e-6
    # its optimiser stops when the log-likelihood is flat to about 1e-5
    assert mine.llf == pytest.approx(theirs.llf, abs=1e-3)
    assert mine.params.to_numpy() == pytest.approx(theirs.fe_params.to_numpy(), rel=1e-3)
    assert mine.sigma**2 == pytest.approx(theirs.scale, rel=1e-3)
    if not slopes:
        # with a slope variance this flat, its standard errors differ by its stopping point
        assert mine.bse.to_numpy() == pytest.approx(theirs.bse_fe.to_numpy(), rel=1e-3)


def test_the_within_slope_is_the_fixed_effects_estimator(hsb):
    """A random intercept leaves deviations from group means alone: V acts on them as identity."""
    panel = hsb.assign(row=np.arange(len(hsb))).set_index(["school", "row"])
    theirs = PanelOLS(panel["mathach"], panel[["ses", "minority"]], entity_effects=True).fit()
    mine = tl.lmm(
        "mathach ~ within(ses, school) + within(minority, school) + between(ses, school)"
        " + between(minority, school) + (1 | school)",
        hsb,
    )
    slopes = mine.params[["within(ses, school)", "within(minority, school)"]]
    assert slopes.to_numpy() == pytest.approx(theirs.params.to_numpy(), rel=1e-8)
