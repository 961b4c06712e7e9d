"""Likelihood profiles of models with several grouping factors against lme4's, point by point."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import teamlink as tl

from .factors.parse import PROFILE_SCRIPT, factor_key, our_parameter, raw_profiles, table
from .lme4.parse import md5

KEYS = tuple(raw_profiles()["models"])

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
