"""Simulated likelihood ratios against lme4's brute force: other draws of the same distribution."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import teamlink as tl

from .lme4.parse import md5

HOME = Path(__file__).parent / "ratio"
SCRIPT = HOME / "simulate.R"
RAW: dict[str, Any] = json.loads((HOME / "simulate.json").read_text())

NONE = 1e-5
"""A ratio below this is that of two fits at one optimum; lme4 stops within 1e-7 of it."""

models = pytest.mark.parametrize("key", sorted(RAW["models"]))


@cache
def compared(key: str) -> Any:
    ref = RAW["models"][key]
    frame = pd.read_csv(HOME / ref["table"])
    fits = [tl.lmm(ref[size], frame, reml=ref["reml"]) for size in ("small", "large")]
    return tl.compare(*fits, simulate=600, seed=5), tl.compare(*fits)


def test_output_is_of_the_script_as_it_stands() -> None:
    assert RAW["script_md5"] == md5(SCRIPT), "simulate.R has changed: run it again"


@models
def test_observed_ratio(key: str) -> None:
    ours = compared(key)[0].table["chisq"].iloc[1]
    assert ours == pytest.approx(RAW["models"][key]["observed"][0], abs=1e-6)


@models
def test_both_draw_from_one_distribution(key: str) -> None:
    """Kolmogorov and Smirnov's test above zero, and the share at zero, at one in ten thousand."""
    mine = compared(key)[0].draws["chisq"].to_numpy()
    theirs = np.array(RAW["models"][key]["draws"])
    counts = [[(x <= NONE).sum(), (x > NONE).sum()] for x in (mine, theirs)]
    assert stats.chi2_contingency(counts).pvalue > 1e-4
    assert stats.ks_2samp(mine[mine > NONE], theirs[theirs > NONE]).pvalue > 1e-4


@models
def test_the_mixture_is_nearer_than_the_plain_chi_square(key: str) -> None:
    """At the ratio that lme4's draws exceed one time in twenty."""
    simulated, plain = compared(key)
    theirs = np.array(RAW["models"][key]["draws"])
    df = int(simulated.table["df"].iloc[1])
    at = np.quantile(theirs, 0.95)
    mixed = (stats.chi2.sf(at, df) + (stats.chi2.sf(at, df - 1) if df > 1 else 0.0)) / 2
    assert abs(mixed - 0.05) < abs(stats.chi2.sf(at, df) - 0.05)
    assert "/2" in plain.table["reference"].iloc[1]
