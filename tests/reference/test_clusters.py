"""Cluster-robust inference at the top of several levels against clubSandwich, number by number."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import teamlink as tl

from .clusters.parse import KEYS, OPTIMISER, SCRIPT, aligned, data, order, raw, zero
from .lme4.parse import md5

STANDARD_ERROR = 1e-6
"""Relative. Both sides stand at the optimum."""

DF = 1e-5
"""Relative, for the same reason."""

models = pytest.mark.parametrize("key", KEYS)
kinds = pytest.mark.parametrize("kind", ["CR0", "CR1", "CR1S", "CR2", "CR3"])


@cache
def fit(key: str) -> Any:
    return tl.lmm(raw(key)["formula"], data(key))


@cache
def robust(key: str, kind: str) -> Any:
    by = raw(key)["cluster"]
    return tl.robust(fit(key), kind, cluster=data(key)[by] if by else None)


def names(key: str) -> list[str]:
    return list(fit(key).params.index)


def test_every_model_is_there() -> None:
    assert set(KEYS) == {"four_levels", "two_factors", "coarser", "growth"}


@models
def test_output_is_of_the_scripts_as_they_stand(key: str) -> None:
    assert raw(key)["script_md5"] == md5(SCRIPT), "run.R has changed: run it again"
    assert raw(key)["lme4_script_md5"] == md5(OPTIMISER), "fit.R has changed: run run.R again"


@models
def test_both_stand_at_the_same_optimum(key: str) -> None:
    assert fit(key).deviance == pytest.approx(raw(key)["criterion"], abs=1e-6)
    assert len(order(key, names(key))) == len(raw(key)["names"])


@models
@kinds
def test_covariance_and_degrees_of_freedom(key: str, kind: str) -> None:
    ours, ref = robust(key, kind), raw(key)["robust"][kind]
    se = aligned(key, ref["se"], names(key))
    np.testing.assert_allclose(ours.bse, se, rtol=STANDARD_ERROR)
    np.testing.assert_allclose(ours.df, aligned(key, ref["df"], names(key)), rtol=DF)
    difference = ours.cov_params().to_numpy() - aligned(key, ref["vcov"], names(key))
    assert np.abs(difference / np.outer(se, se)).max() <= STANDARD_ERROR


@models
@kinds
def test_joint_tests(key: str, kind: str) -> None:
    compared = 0
    for ref in raw(key)["robust"][kind]["joint"]:
        found = tl.test(robust(key, kind), zero(key, ref["zero"], names(key)))
        assert found.df_num == ref["df_num"]
        assert found.df_denom == pytest.approx(ref["df_denom"], rel=DF)
        assert found.scale == pytest.approx(ref["delta"], rel=DF)
        assert found.statistic == pytest.approx(ref["F"], rel=DF)
        assert found.p_value == pytest.approx(ref["p"], rel=1e-3, abs=1e-300)
        compared += 1
    assert compared > 0
