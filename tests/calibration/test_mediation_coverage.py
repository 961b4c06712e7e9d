"""The committed table of coverage of indirect effects, and what the page says of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from .mediation import (
    CSV,
    DESIGNS,
    METHODS,
    PAGE,
    SCHOOLS,
    TRUTH,
    markdown,
    said,
    summarised,
    world,
)

RATES = pd.read_csv(CSV)


def rates(method: str) -> pd.Series:
    return RATES[RATES["method"] == method]["coverage"]


def test_the_page_is_that_of_the_numbers() -> None:
    assert PAGE.read_text() == markdown(RATES)


def test_every_cell_is_there_with_worlds_enough() -> None:
    cells = set(RATES[["design", "schools", "method"]].itertuples(index=False, name=None))
    assert cells == {(d, J, m) for d in DESIGNS for J in SCHOOLS for m in METHODS}
    # At the level itself: the root of 0.05 * 0.95 / worlds.
    assert (100 * (0.05 * 0.95 / RATES["worlds"]) ** 0.5).max() < 0.7


@pytest.mark.parametrize("method", ["monte-carlo", "percentile", "bca"])
def test_intervals_hold_what_they_say(method: str) -> None:
    assert rates(method).between(93, 97).all()


@pytest.mark.parametrize("design", DESIGNS)
def test_worlds_have_the_effect_they_say(design: str) -> None:
    """Between schools m moves with x by 0.4, and y by the total effect, 0.2 beyond the indirect."""
    data = world(design, 4000, 1).groupby("school").mean()
    X = np.column_stack([np.ones(4000), data["x"]])
    a = np.linalg.lstsq(X, data["m"], rcond=None)[0][1]
    total = np.linalg.lstsq(X, data["y"], rcond=None)[0][1]
    # Standard errors of regressions over 4,000 schools are below 0.016.
    assert a == pytest.approx(0.4, abs=0.05)
    assert total == pytest.approx(TRUTH[design] + 0.2, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
def test_a_smaller_run_agrees(design: str) -> None:
    """New worlds: rates of 60 have standard errors of about 3 per cent."""
    again = summarised([said(design, 50, 5000, 5060)]).set_index("method")
    own = RATES[(RATES["design"] == design) & (RATES["schools"] == 50)].set_index("method")
    assert (again["worlds"] == 60).all()
    assert (again["coverage"] - own["coverage"]).abs().max() < 10
