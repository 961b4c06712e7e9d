"""Likelihood profiles of models with several grouping factors against lme4's, point by point."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import teamlink as tl
from teamlink.fitting.fit import solve

from .factors.parse import PROFILE_SCRIPT, factor_key, our_parameter, raw_profiles, table
from .lme4.parse import md5

KEYS = tuple(raw_profiles()["models"])

ZETA = 2e-6
"""Both sides at the optimum; near it the root of what a deviance of 300 is known to, 4e-12."""

END = 1e-4
"""Of the width: lme4 reads its ends from a spline through some 35 points."""

models = pytest.mark.parametrize("key", KEYS)


@cache
def profile(key: str) -> Any:
    model = raw_profiles()["models"][key]
    return tl.profile(tl.lmm(model["formula"], table(f"{key}_ml"), reml=False))


def parameters(key: str) -> list[tuple[str, str]]:
    """Factor and term of each of our rows."""
    frame = profile(key).conf_int(0.95)
    groups = frame["group"] if "group" in frame else [None] * len(frame)
    return [
        (factor_key(g) if isinstance(g, str) else "", t)
        for g, t in zip(groups, frame["term"], strict=True)
    ]


def test_the_output_is_that_of_the_script() -> None:
    assert raw_profiles()["script_md5"] == md5(PROFILE_SCRIPT)


@models
def test_every_parameter_is_compared(key: str) -> None:
    model = raw_profiles()["models"][key]
    assert set(parameters(key)) == {our_parameter(name) for name in model["names"]}
    assert profile(key).deviance == pytest.approx(model["deviance"][0], abs=1e-8)


@models
def test_zeta_point_by_point(key: str) -> None:
    found = profile(key)
    names = zip(found.labels.groups, found.labels.terms, found.labels.keys, strict=True)
    ours = {(factor_key(group) if group else "", term): own for group, term, own in names}
    for name, curve in raw_profiles()["models"][key]["zeta"].items():
        values, theirs = np.array(curve["value"], float), np.array(curve["zeta"], float)
        known = np.isfinite(theirs)
        own = ours[our_parameter(name)]
        held = found.optimum.model.pin(own, values[known], found.optimum.theta)
        rise = solve(held).deviance - found.deviance
        mine, theirs = np.sqrt(np.maximum(rise, 0)), np.abs(theirs[known])
        assert mine == pytest.approx(theirs, abs=ZETA), name


@models
@pytest.mark.parametrize("level", [0.95, 0.9])
def test_ends(key: str, level: float) -> None:
    model = raw_profiles()["models"][key]
    low, high = ("low", "high") if level == 0.95 else ("low90", "high90")
    theirs = dict(
        zip(
            map(our_parameter, model["names"]),
            zip(model[low], model[high], strict=True),
            strict=True,
        )
    )
    frame = profile(key).conf_int(level)
    for parameter, ours in zip(
        parameters(key), frame[["conf_low", "conf_high"]].to_numpy(dtype=float), strict=True
    ):
        expected = np.array(theirs[parameter], dtype=float)
        assert np.isfinite(expected).all(), parameter
        assert ours == pytest.approx(expected, abs=END * np.ptp(expected)), parameter
