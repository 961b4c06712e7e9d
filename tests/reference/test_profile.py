"""Likelihood profiles against lme4's, point by point, and the intervals it reads from them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import teamlink as tl
from teamlink.fitting.fit import solve

from .lme4.parse import md5, table
from .profile.parse import SCRIPT, raw, reference

KEYS = tuple(raw()["models"])

ZETA = 1e-6
"""Both sides at the optimum: 1e-9 seen, but for the root of rounding near zero."""

LOWER = {("sleep_slope", "sd__Intercept"): "lme4 stops at a local optimum at sd = 2.03"}
"""Profiles on which ours is lower by more than `ZETA`, and why."""

END = 1e-4
"""Of the width: lme4 reads its ends from a spline through some 35 points; 3e-5 seen."""

NO_END = {("dyestuff2", "sd__Observation"): "lme4's spline of this profile fails"}


@cache
def profile(key: str) -> Any:
    ref = reference(key)
    return tl.profile(tl.lmm(ref.formula, table(ref.table)))


def test_the_output_is_that_of_the_script() -> None:
    assert raw()["script_md5"] == md5(SCRIPT)


@pytest.mark.parametrize("key", KEYS)
def test_every_term_is_compared(key: str) -> None:
    assert set(profile(key).labels.terms) == set(reference(key).zeta)
    assert profile(key).deviance == pytest.approx(reference(key).deviance, abs=1e-8)


@pytest.mark.parametrize("key", KEYS)
def test_zeta_point_by_point(key: str) -> None:
    found = profile(key)
    for term, (values, theirs) in reference(key).zeta.items():
        known = np.isfinite(theirs)
        held = found.optimum.model.pin(term, values[known], found.optimum.theta)
        rise = solve(held).deviance - found.deviance
        mine, theirs = np.sqrt(np.maximum(rise, 0)), np.abs(theirs[known])
        assert (mine <= theirs + ZETA).all(), term
        if (key, term) not in LOWER:
            assert np.abs(mine - theirs).max() < ZETA, term


@pytest.mark.parametrize("level", [0.95, 0.9])
@pytest.mark.parametrize("key", KEYS)
def test_ends(key: str, level: float) -> None:
    frame = profile(key).conf_int(level).set_index("term")[["conf_low", "conf_high"]]
    compared = 0
    for term in frame.index:
        theirs = reference(key).ends[term, level]
        mine = frame.loc[term].to_numpy(dtype=float)
        if (key, term) in NO_END:
            assert np.isnan(theirs).any()
            continue
        assert mine == pytest.approx(theirs, abs=END * (theirs[1] - theirs[0])), term
        compared += 1
    assert compared >= 2
