"""What each method says of every world: does its interval hold the truth, does its test reject it?

Everything goes through the public verbs, as a user would call them.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

import teamlink as tl
from teamlink.errors import BoundaryFit, FewReplicates
from teamlink.fitting.fit import solve

from .worlds import FORMULA, TRUTH, World

TERMS = ("x", "w")

ANALYTIC = 6000
"""Worlds for tests by formula: the standard error of a rate of 5 % is 0.28 %."""

RESAMPLED = 1000
"""Worlds for bootstraps, and robust tests beside them: 0.69 %."""

PARAMETRIC, CLUSTER, WILD = 199, 299, 399
"""Replicates within a world."""

Said = list[tuple[str, str, bool, bool]]
"""Method, term, whether the interval covers, whether the test rejects."""


def first_fit(world: World) -> tl.lmm:
    """The model on the design of a world, with its first response."""
    return tl.lmm(FORMULA, world.table().assign(y=world.responses(1)[:, 0]))


def by_formula(world: World) -> pd.DataFrame:
    """Satterthwaite's and Kenward and Roger's tests in every world, by `refit`."""
    fit, Y = first_fit(world), world.responses(ANALYTIC)
    parts = []
    for method in ("satterthwaite", "kenward-roger"):
        found = tl.refit(tl.small_sample(fit, method), Y)
        found = found[found["term"].isin(TERMS)]
        t = np.abs(found["estimate"] - TRUTH) / found["std_error"]
        covers = t <= stats.t.ppf(0.975, found["df"])
        parts.append(
            pd.DataFrame(
                {"method": method, "term": found["term"], "covers": covers, "rejects": ~covers}
            )
        )
    return pd.concat(parts, ignore_index=True)


def by_resampling(world: World, start: int, stop: int) -> pd.DataFrame:
    """Robust tests and bootstraps in worlds start .. stop - 1."""
    fit, Y = first_fit(world), world.responses(stop)[:, start:]
    theta = solve(fit.model.with_responses(Y)).theta
    said: Said = []
    with warnings.catch_warnings():
        # A variance at zero and a BCa end at the most extreme replicate are what users get too.
        warnings.simplefilter("ignore", BoundaryFit)
        warnings.simplefilter("ignore", FewReplicates)
        for r in range(stop - start):
            model = fit.model.with_responses(Y[:, r])
            own = replace(
                fit, model=model, working_theta=theta[r], estimates=model.estimates(theta[[r]])
            )
            said += one_world(own, start + r, world.right)
    return pd.DataFrame(said, columns=["method", "term", "covers", "rejects"])


def one_world(fit: tl.lmm, seed: int, right: bool) -> Said:
    """What robust tests and bootstraps say of one world."""
    said: Said = []
    robust = tl.robust(fit, "CR2")
    ends = robust.conf_int()
    wild = tl.bootstrap(fit, WILD, "wild", seed=seed)
    studentized = wild.conf_int("studentized").set_index("term")
    for term in TERMS:
        inside = _holds(ends.loc[term])
        said.append(("CR2", term, inside, not inside))
        p = tl.test(robust, f"{term} = {TRUTH}", wild=WILD, seed=seed).p_wild
        said.append(("wild", term, _holds(studentized.loc[term]), p <= 0.05))
    cluster = tl.bootstrap(fit, CLUSTER, "cluster", seed=seed)
    boots = [("cluster", cluster, ("studentized", "bca", "percentile"))]
    if right:
        parametric = tl.bootstrap(fit, PARAMETRIC, "parametric", seed=seed)
        boots.append(("parametric", parametric, ("studentized", "percentile")))
    for name, boot, kinds in boots:
        p_value = boot.tests(TRUTH).set_index("term")["p_value"]
        for kind in kinds:
            frame = boot.conf_int(kind).set_index("term")
            for term in TERMS:
                inside = _holds(frame.loc[term])
                rejects = p_value[term] <= 0.05 if kind == "studentized" else not inside
                said.append((f"{name}, {kind}", term, inside, bool(rejects)))
    return said


def _holds(ends: pd.Series) -> bool:
    return bool(ends["conf_low"] <= TRUTH <= ends["conf_high"])
