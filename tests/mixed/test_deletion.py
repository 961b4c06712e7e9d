"""Residuals, leverage and influence against generalised least squares with V written out."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import teamlink as tl
from teamlink.errors import OptionError, TeamlinkWarning
from teamlink.mixed.deletion import of_independent_groups, of_sets, rows_of_groups, whitened
from teamlink.mixed.precision import precision

CLOSE = 1e-9
"""Relative to the largest of its kind: inverses of 120 x 120 matrices against small blocks."""

MODELS = {
    "intercept": "y ~ x + w + (1 | g)",
    "slope": "y ~ x + w + (x | g)",
    "diagonal": "y ~ x + (x || g)",
    "nested": "y ~ x + w + (1 | g/c)",
    "crossed": "y ~ x + (x | g) + (1 | h)",
    "three": "y ~ x + (1 | c) + (1 | g) + (x || h)",
    "membership": "y ~ x + (1 | m)",
    "membership and crossed": "y ~ x + (1 | g) + (1 | m)",
    "no intercept": "y ~ 0 + x + (0 + x | g)",
}
models = pytest.mark.parametrize("key", list(MODELS))


def table(seed: int = 3, n: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g, h, x = rng.integers(0, 11, n), rng.integers(0, 7, n), rng.normal(size=n) + 2
    w = rng.normal(size=11)[g]
    y = 3 + x + 0.5 * w + rng.normal(size=11)[g] + 0.6 * rng.normal(size=11)[g] * x
    y = y + rng.normal(size=7)[h] + rng.normal(size=n)
    columns = {"y": y, "x": x, "w": w, "g": g, "h": h, "c": rng.integers(0, 3, n)}
    return pd.DataFrame(columns | {"m1": h, "m2": rng.integers(0, 7, n)})


@cache
def fit(key: str) -> Any:
    frame = table()
    memberships = {}
    if "membership" in key:
        memberships = {"m": tl.membership(frame, groups=["m1", "m2"])}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeamlinkWarning)
        return tl.lmm(MODELS[key], frame, memberships=memberships or None)


@cache
def diagnostics(key: str) -> Any:
    return tl.diagnose(fit(key))


@cache
def dense(key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """V in units of sigma^2, X and y."""
    model, Lambda = fit(key).model, fit(key).Lambda
    V = np.eye(model.design.n)
    for factor, place in zip(model.design.factors, model.structure.factors, strict=True):
        W = factor.weights.toarray()
        Sigma = Lambda[place, place] @ Lambda[place, place].T
        V += (W @ W.T) * (factor.Z @ Sigma @ factor.Z.T)
    return V, model.fixed_columns, model.design.y


def gls(key: str, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    V, X, y = dense(key)
    inverse = np.linalg.inv(V[np.ix_(keep, keep)])
    C = np.linalg.inv(X[keep].T @ inverse @ X[keep])
    return C @ X[keep].T @ inverse @ y[keep], C


def measures(key: str, rows: np.ndarray) -> dict[str, Any]:
    """Influence of a set of rows, by least squares without them."""
    n = len(dense(key)[2])
    (beta, C), (other, Cd) = gls(key, np.arange(n)), gls(key, np.setdiff1d(np.arange(n), rows))
    shift, p, s2 = beta - other, len(beta), fit(key).sigma ** 2
    return {
        "shift": shift, "cooks_d": shift @ np.linalg.solve(C, shift) / p / s2,
        "mdffits": shift @ np.linalg.solve(Cd, shift) / p / s2,
        "covratio": np.linalg.det(Cd) / np.linalg.det(C),
        "covtrace": np.trace(np.linalg.solve(C, Cd)) - p,
    }  # fmt: skip


def close(ours: Any, theirs: Any, tolerance: float = CLOSE) -> None:
    theirs = np.asarray(theirs, dtype=float)
    scale = max(float(np.abs(theirs).max()), 1e-12)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)


@models
def test_precision_is_the_inverse_of_V(key: str) -> None:
    V, X, _ = dense(key)
    inverse = np.linalg.inv(V)
    ours = precision(fit(key).model, fit(key).working_theta)
    some = np.arange(1, len(V), 4)
    close(ours.times(np.eye(len(V))), inverse)
    close(ours.times(X), inverse @ X)
    close(ours.diagonal(), np.diag(inverse))
    close(ours.block(some), inverse[np.ix_(some, some)])
    close(ours.covariance(some), V[np.ix_(some, some)])
    close(ours.variance(), np.diag(V))


@models
def test_influence_of_rows(key: str) -> None:
    rows = diagnostics(key).rows
    some = range(0, len(rows), 11)
    theirs = [measures(key, np.array([i])) for i in some]
    for name in ("cooks_d", "mdffits", "covratio", "covtrace"):
        close(rows[name].iloc[list(some)], [each[name] for each in theirs])


@models
def test_influence_of_groups(key: str) -> None:
    found = diagnostics(key)
    for factor in fit(key).model.design.factors:
        theirs = [measures(key, rows) for rows in rows_of_groups(factor)]
        for name in ("cooks_d", "mdffits", "covratio", "covtrace"):
            close(found.groups[factor.name][name], [each[name] for each in theirs])
        close(found.shifts[factor.name], [each["shift"] for each in theirs])


@models
def test_leverage_and_residuals(key: str) -> None:
    V, X, y = dense(key)
    inverse = np.linalg.inv(V)
    C = np.linalg.inv(X.T @ inverse @ X)
    P = inverse - inverse @ X @ C @ X.T @ inverse
    rows, sigma = diagnostics(key).rows, fit(key).sigma
    close(rows["leverage_fixed"], np.diag(X @ C @ X.T @ inverse))
    close(rows["leverage_random"], np.diag((V - np.eye(len(V))) @ P))
    close(rows["leverage"], rows["leverage_fixed"] + rows["leverage_random"])
    close(rows["resid"], fit(key).resid, 1e-8)
    close(rows["studentized"], P @ y / sigma / np.sqrt(np.diag(P)))
    e = y - X @ fit(key).params.to_numpy()
    close(rows["marginal_resid"], e)
    close(rows["marginal_studentized"], e / sigma / np.sqrt(np.diag(V - X @ C @ X.T)))
    i = 17
    keep = np.delete(np.arange(len(y)), i)
    beta, _ = gls(key, keep)
    rest = y[keep] - X[keep] @ beta
    predicted = X[i] @ beta + V[i, keep] @ np.linalg.solve(V[np.ix_(keep, keep)], rest)
    assert rows["deletion_resid"].iloc[i] == pytest.approx(y[i] - predicted, rel=1e-9)


@models
def test_cholesky_residuals_are_white(key: str) -> None:
    """Rows that hang together stand in the table's order, so that their root is that of V."""
    V, X, y = dense(key)
    e = (y - X @ fit(key).params.to_numpy()) / fit(key).sigma
    close(diagnostics(key).rows["cholesky"], np.linalg.solve(np.linalg.cholesky(V), e))


@pytest.mark.parametrize("key", ["intercept", "slope", "diagonal"])
def test_two_formulas_for_groups_that_stand_alone(key: str) -> None:
    model = fit(key).model
    rows = whitened(model, fit(key).working_theta, fit(key).params.to_numpy())
    (factor,) = model.design.factors
    one = of_independent_groups(rows, factor.only_codes, factor.n_groups)
    two = of_sets(rows, rows_of_groups(factor))
    for name in ("shift", "cooks_d", "mdffits", "covratio", "covtrace"):
        close(getattr(one, name), getattr(two, name), 1e-10)


@models
def test_mahalanobis_is_of_the_estimates_own_spread(key: str) -> None:
    """From the joint normal distribution, whose b'var(b)^-1 b is the same for any coordinates."""
    V, X, y = dense(key)
    inverse, s2 = np.linalg.inv(V), fit(key).sigma ** 2
    C = np.linalg.inv(X.T @ inverse @ X)
    P = (inverse - inverse @ X @ C @ X.T @ inverse) / s2
    Lambda, model = fit(key).Lambda, fit(key).model
    for factor, place in zip(model.design.factors, model.structure.factors, strict=True):
        Sigma = s2 * Lambda[place, place] @ Lambda[place, place].T
        if np.linalg.eigvalsh(Sigma)[0] < 1e-6:
            continue
        frame = diagnostics(key).groups[factor.name]
        for j, level in enumerate(factor.levels[:4]):
            Z = factor.weights.toarray()[:, j : j + 1] * factor.Z
            g = Z.T @ P @ y
            spread = Z.T @ P @ Z
            expected = g @ np.linalg.pinv(spread, rcond=1e-9) @ g
            assert frame.loc[level, "mahalanobis"] == pytest.approx(expected, rel=1e-6)


def test_a_group_that_alone_tells_a_coefficient_cannot_be_left_out() -> None:
    frame = table().assign(only=lambda d: (d["g"] == 4).astype(float))
    found = tl.diagnose(tl.lmm("y ~ x + only + (1 | g)", frame))
    groups = found.groups["g"]
    assert groups.index[~groups["estimable"]].tolist() == [4]
    assert groups.loc[4, ["cooks_d", "mdffits", "covratio", "covtrace"]].isna().all()
    assert found.shifts["g"].loc[4].isna().all()
    assert np.isfinite(groups.drop(index=4)["cooks_d"]).all()
    with_two = tl.diagnose(tl.lmm("y ~ x + only + (1 | g) + (1 | h)", frame)).groups["g"]
    assert with_two.index[~with_two["estimable"]].tolist() == [4]


def test_a_row_that_alone_tells_a_coefficient() -> None:
    frame = table().assign(only=0.0)
    frame.loc[7, "only"] = 1.0
    rows = tl.diagnose(tl.lmm("y ~ x + only + (1 | g)", frame)).rows
    assert rows.index[~rows["estimable"]].tolist() == [7]
    assert rows.loc[7, ["cooks_d", "studentized", "deletion_resid"]].isna().all()
    assert rows.loc[7, "leverage"] == pytest.approx(1)


def test_variances_without_each_group_are_those_of_refits() -> None:
    frame = table()
    whole = tl.lmm("y ~ x + (x | g)", frame)
    found = tl.diagnose(whole, variances=True).variances
    assert found is not None
    for level in (0, 5, 10):
        alone = tl.lmm("y ~ x + (x | g)", frame[frame["g"] != level])
        size = alone.varcorr
        sd = size[size["term2"].isna()]["sdcor"].to_numpy()
        ours = found.loc[level, ["sd__Intercept", "sd__x", "sd__Observation"]].astype(float)
        np.testing.assert_allclose(ours, sd, rtol=1e-5)
    with pytest.raises(OptionError, match="several grouping factors"):
        tl.diagnose(fit("crossed"), variances=True)


@given(
    shift=st.floats(-50, 50), scale=st.floats(0.01, 100), turn=st.permutations(range(40)),
    stretch=st.floats(0.1, 10),
)  # fmt: skip
@settings(max_examples=15, deadline=None)
def test_influence_minds_neither_units_nor_order(
    shift: float, scale: float, turn: list[int], stretch: float
) -> None:
    frame = table(8, 40)
    frame["g"] = frame["g"] % 6
    other = frame.assign(y=shift + scale * frame["y"], x=stretch * frame["x"] - shift)
    other = other.iloc[turn]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeamlinkWarning)
        one = tl.diagnose(tl.lmm("y ~ x + (1 | g)", frame))
        two = tl.diagnose(tl.lmm("y ~ x + (1 | g)", other))
    names = ["cooks_d", "mdffits", "covratio", "covtrace", "leverage", "studentized"]
    # The optima of both are the same but for the last steps of the search.
    close(two.rows[names].loc[frame.index], one.rows[names], 1e-6)
    shared = ["cooks_d", "mdffits", "covratio", "covtrace", "mahalanobis"]
    close(two.groups["g"][shared].loc[one.groups["g"].index], one.groups["g"][shared], 1e-5)
