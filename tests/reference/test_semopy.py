"""Structural equations against semopy where it is right: estimates, chi-square, CFI, TLI, NFI.

Its log-likelihood, AIC, BIC and GFI are something else, its RMSEA mixes n and n - 1, and it stops
early, so that its estimates differ in the third digit; ours have the higher likelihood.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

import teamlink as tl

from .lavaan.parse import SPECIFIED, data

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    semopy = pytest.importorskip("semopy")

ESTIMATE = 2e-3
"""Of an estimate's size and half of its standard error: where semopy stops."""

models = pytest.mark.parametrize("key", ["hs", "democracy"])


@cache
def both(key: str) -> tuple[Any, Any, Any]:
    said = SPECIFIED[key]
    table = data(said["data"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = semopy.Model(said["model"])
        theirs.fit(table)
        return tl.sem(said["model"], table), theirs.inspect(), semopy.calc_stats(theirs)


@models
def test_estimates_and_standard_errors(key: str) -> None:
    fit, theirs, _ = both(key)
    ours = {(row.lhs, row.op, row.rhs): row for row in fit.parameters.itertuples()}
    compared = 0
    for row in theirs.itertuples(index=False):
        # A loading is written as a path from the factor.
        keys = [(row.lval, row.op, row.rval), (row.rval, "=~", row.lval)]
        keys += [(row.rval, row.op, row.lval)] if row.op == "~~" else []
        own = next((ours[key] for key in keys if key in ours), None)
        if own is None or not own.se > 0:
            continue
        compared += 1
        assert abs(row.Estimate - own.est) <= ESTIMATE * abs(own.est) + 0.02 * own.se
        assert float(row[4]) == pytest.approx(own.se, rel=0.02)
    assert compared >= fit.n_parameters - 3


@models
def test_tests_of_fit(key: str) -> None:
    fit, _, theirs = both(key)
    said, measures = theirs.iloc[0], fit.fit_measures
    assert said["DoF"] == measures["df"]
    assert said["DoF Baseline"] == measures["baseline_df"]
    assert measures["chisq"] <= said["chi2"] + 1e-9
    assert measures["chisq"] == pytest.approx(said["chi2"], rel=1e-3)
    assert measures["baseline_chisq"] == pytest.approx(said["chi2 Baseline"], rel=1e-6)
    for name in ("CFI", "TLI", "NFI"):
        assert measures[name.lower()] == pytest.approx(said[name], abs=1e-3)
    assert np.isfinite(measures["rmsea"])
