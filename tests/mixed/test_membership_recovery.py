"""Models with movers find the variances that made the data.

One design, many responses drawn from a known truth. REML estimates of variances well away from zero
are all but unbiased, so their mean over replicates lies within Monte-Carlo error of the truth.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.mixed.membership import Membership

CHILDREN, SCHOOLS, OCCASIONS = 150, 30, 4
MOVES = 0.4
SD = {"school": 0.8, "intercept": 1.0, "slope": 0.5, "residual": 0.6}
CORRELATION = 0.3
BETA = (2.0, 1.0)

FEW, MANY = 24, 400

WIDTH = 4.0
"""Monte-Carlo standard errors: a right test fails once in fifteen thousand."""


def careers(seed: int = 11) -> pd.DataFrame:
    """Children over four occasions; some go to another school after the first, second or third."""
    rng = np.random.default_rng(seed)
    child = np.repeat(np.arange(CHILDREN), OCCASIONS)
    t = np.tile(np.arange(OCCASIONS), CHILDREN)
    first = rng.integers(0, SCHOOLS, CHILDREN)
    then = (first + rng.integers(1, SCHOOLS, CHILDREN)) % SCHOOLS
    leaves = np.where(rng.random(CHILDREN) < MOVES, rng.integers(1, OCCASIONS, CHILDREN), 9)
    school = np.where(t < leaves[child], first[child], then[child])
    return pd.DataFrame({"t": t, "child": child, "school": school})


def responses(table: pd.DataFrame, W: np.ndarray, R: int, seed: int) -> np.ndarray:
    """Responses (n, R) of the truth with weights W (n, schools)."""
    rng = np.random.default_rng(seed)
    t, child = table["t"].to_numpy()[:, None], table["child"].to_numpy()
    u = SD["school"] * rng.normal(size=(SCHOOLS, R))
    z = rng.normal(size=(2, CHILDREN, R))
    r0 = SD["intercept"] * z[0]
    r1 = SD["slope"] * (CORRELATION * z[0] + np.sqrt(1 - CORRELATION**2) * z[1])
    e = SD["residual"] * rng.normal(size=(len(table), R))
    return BETA[0] + BETA[1] * t + W @ u + r0[child] + t * r1[child] + e


def design_of(kind: str, table: pd.DataFrame) -> Membership:
    """The weights of a way in which schools act."""
    if kind == "months":
        # Months in the school of the row and in one other, in years: an outside school counts too.
        rng = np.random.default_rng(5)
        away = rng.integers(0, 7, len(table)) * (rng.random(len(table)) < 0.5)
        more = table.assign(
            other=(table["school"] + 1) % SCHOOLS, here=(12 - away) / 12, there=away / 12
        )
        return tl.membership(more, ["school", "other"], ["here", "there"])
    return tl.cumulative_membership(table, "school", "child", "t", kind)


def estimates(kind: str, R: int, seed: int = 3) -> pd.DataFrame:
    """Variances and coefficients in columns, a replicate a row."""
    table = careers()
    belongs = design_of(kind, table)
    W = belongs.weights.toarray()
    assert W.shape[1] == SCHOOLS
    Y = responses(table, W, R, seed)
    first = tl.lmm(
        "y ~ t + (t | child) + (1 | school)",
        table.assign(y=Y[:, 0]),
        memberships={"school": belongs},
    )
    found = tl.refit(first, Y, random=True)
    assert found["converged"].all()
    wide = found.pivot_table(index="replicate", columns="term", values="estimate")
    covariance = wide["cor__Intercept.t"] * wide["sd__Intercept|child"] * wide["sd__t"]
    squares = wide[[name for name in wide if name.startswith("sd__")]] ** 2
    return pd.concat([wide[["Intercept", "t"]], squares.assign(covariance=covariance)], axis=1)


TRUTH = {
    "Intercept": BETA[0],
    "t": BETA[1],
    "sd__Intercept|school": SD["school"] ** 2,
    "sd__Intercept|child": SD["intercept"] ** 2,
    "sd__t": SD["slope"] ** 2,
    "covariance": CORRELATION * SD["intercept"] * SD["slope"],
    "sd__Observation": SD["residual"] ** 2,
}

KINDS = ["months", "share", "acute", "cumulative"]


def check_recovery(found: pd.DataFrame) -> None:
    error = found.std(ddof=1) / np.sqrt(len(found))
    for name, value in TRUTH.items():
        away = abs(found[name].mean() - value) / error[name]
        assert away < WIDTH, f"{name}: {found[name].mean():.4f} for {value}, {away:.1f} errors away"


@pytest.mark.parametrize("kind", KINDS)
def test_variances_come_back(kind: str) -> None:
    check_recovery(estimates(kind, FEW))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_variances_come_back_over_many_replicates(kind: str) -> None:
    found = estimates(kind, MANY, seed=9)
    check_recovery(found)
    # What the error allows is small beside the school variance, or the test would say nothing.
    name = "sd__Intercept|school"
    assert WIDTH * found[name].std() / np.sqrt(MANY) < 0.1 * TRUTH[name]


def test_the_true_way_in_which_schools_act_has_the_best_fit() -> None:
    table = careers()
    ways = {kind: design_of(kind, table) for kind in ("acute", "share", "cumulative")}
    for truth, belongs in ways.items():
        y = responses(table, belongs.weights.toarray(), 1, seed=4)[:, 0]
        deviance = {
            kind: tl.lmm(
                "y ~ t + (t | child) + (1 | school)",
                table.assign(y=y),
                memberships={"school": other},
            ).deviance
            for kind, other in ways.items()
        }
        assert min(deviance, key=lambda kind: deviance[kind]) == truth


def test_movers_nested_by_name_are_split_and_fit_worse() -> None:
    """``school/child`` makes two children of one that moves: the wrong model for careers."""
    table = careers()
    Y = responses(table, design_of("acute", table).weights.toarray(), FEW, seed=6)
    crossed = tl.lmm("y ~ t + (1 | child) + (1 | school)", table.assign(y=Y[:, 0]))
    nested = tl.lmm("y ~ t + (1 | school/child)", table.assign(y=Y[:, 0]))
    assert nested.ngroups["school:child"] > crossed.ngroups["child"] == CHILDREN
    right, wrong = (
        tl.refit(fit, Y).drop_duplicates("replicate")["deviance"].to_numpy()
        for fit in (crossed, nested)
    )
    # As many parameters: the likelihoods compare, and the right model is ahead every time.
    assert (right < wrong).all()
