"""Alpha and omega against psych, lavaan and semTools, number by number."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import teamlink as tl

from .lavaan.parse import data
from .lme4.parse import md5

HOME = Path(__file__).parent / "reliability"
R: dict[str, Any] = json.loads((HOME / "output.json").read_text(encoding="utf-8"))
ITEMS = [f"x{i}" for i in range(1, 10)]
MODEL = "visual =~ x1 + x2 + x3; textual =~ x4 + x5 + x6; speed =~ x7 + x8 + x9"
BIFACTOR = f"g =~ {' + '.join(ITEMS)}; verbal =~ x4 + x5 + x6; g ~~ 0*verbal"

EXACT = 1e-12
"""Relative. Closed formulas."""

OPTIMUM = 2e-6
"""Relative. lavaan's optimiser leaves estimates about 1e-6 off."""

LEVELS = 5e-5
"""Relative. With two levels lavaan stops with a slope left; see test_twolevel_sem."""

ROTATED = 2e-4
"""Of a loading. psych stops minres by differences of 1e-4 and oblimin at a slope of 1e-5."""


@cache
def two_level() -> Any:
    return tl.omega(data("twolevel"), ["y1", "y2", "y3"], kind="multilevel", cluster="cluster")


def test_output_is_of_the_script_as_it_stands() -> None:
    assert R["script_md5"] == md5(HOME / "run.R"), "run.R has changed: run it again"


def test_alpha() -> None:
    own, other = tl.alpha(data("hs"), ITEMS), R["alpha"]
    np.testing.assert_allclose(own, other["raw"], rtol=EXACT)
    np.testing.assert_allclose(own.standardized, other["std"], rtol=EXACT)
    np.testing.assert_allclose(own.mean_correlation, other["average_r"], rtol=EXACT)
    np.testing.assert_allclose(own.conf_int, other["feldt"], rtol=EXACT)
    np.testing.assert_allclose(own.items["alpha_dropped"], other["dropped"], rtol=EXACT)
    np.testing.assert_allclose(own.items["r_rest"], other["r_drop"], rtol=EXACT)


def test_alpha_by_normal_theory() -> None:
    own = tl.alpha(data("hs"), ITEMS, interval="normal")
    np.testing.assert_allclose(own.standard_error, R["alpha"]["ase"], rtol=EXACT)


@pytest.mark.parametrize(("key", "m"), [("hierarchical", 3), ("two_factors", 2)])
def test_omega_hierarchical(key: str, m: int) -> None:
    own, other = tl.omega(data("hs"), ITEMS, kind="hierarchical", n_factors=m), R[key]
    theirs = [other["omega_h"], other["omega_tot"], other["omega_lim"]]
    np.testing.assert_allclose(own.table["estimate"].iloc[:3], theirs, atol=ROTATED)
    np.testing.assert_allclose(own.loadings["general"], other["general"], atol=ROTATED)
    np.testing.assert_allclose(own.loadings["uniqueness"], other["u2"], atol=ROTATED)
    for name in ("total", "general", "group"):
        rows = [f"F{g + 1} {name}" for g in range(m)]
        mine = np.sort(own.table.loc[rows, "estimate"])
        np.testing.assert_allclose(mine, np.sort(other["group"][name][1:]), atol=ROTATED)


@pytest.mark.parametrize(("key", "below"), [("cfa", "model"), ("cfa_observed", "observed")])
def test_omega_of_a_cfa(key: str, below: Any) -> None:
    own = tl.omega(data("hs"), model=MODEL, denominator=below).table["estimate"]
    theirs = [R[key][name] for name in ("visual", "textual", "speed", "total")]
    np.testing.assert_allclose(own, theirs, rtol=OPTIMUM)


def test_omega_of_a_bifactor_model() -> None:
    own = tl.omega(data("hs"), model=BIFACTOR).table["estimate"]
    theirs = [R["bifactor"]["g"], R["bifactor"]["verbal"]]
    np.testing.assert_allclose(own[["g", "verbal"]], theirs, rtol=1e-5)


def test_omega_by_group() -> None:
    own, other = tl.omega(data("hs"), model=MODEL, group="school").table["estimate"], R["groups"]
    for g, label in enumerate(other["group"]):
        for factor in ("visual", "textual", "speed"):
            assert own[f"{factor} ({label})"] == pytest.approx(other[factor][g], rel=OPTIMUM)


def test_omega_total_by_the_delta_method() -> None:
    own = tl.omega(data("hs"), ITEMS[:3]).table.iloc[0]
    assert own["estimate"] == pytest.approx(R["delta"]["est"], rel=OPTIMUM)
    assert own["std_error"] == pytest.approx(R["delta"]["se"], rel=1e-5)


def test_multilevel_omega() -> None:
    own = two_level().table["estimate"]
    theirs = [
        *R["levels"]["f"],
        *(R["configural"][name] for name in ("omega_W", "omega_2L")),
        *(R["shared"][name] for name in ("omega_B", "IRR")),
    ]
    np.testing.assert_allclose(own, theirs, rtol=LEVELS)
