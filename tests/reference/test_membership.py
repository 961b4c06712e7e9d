"""Multiple membership and cross-classified growth: is the oracle right, and do we agree with it?

lme4 fits these models only through its modular functions, with Z' replaced by hand. So each of
its fits is checked here against the density of y with V written out as well.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import teamlink as tl

from .factors.parse import (
    HOME,
    MEMBERSHIP_SCRIPT,
    OPTIMISER,
    Membership,
    membership,
    raw_membership,
)
from .lme4.parse import md5

KEYS = tuple(raw_membership()["models"])


def blocks(model: Membership) -> list[tuple[str, list[str], np.ndarray, np.ndarray]]:
    """Factor, terms, weights (n, J) and columns (n, q) of each random term."""
    found = []
    for effects, group in re.findall(r"\(([^|]+)\|([^)]+)\)", model.formula):
        group = group.strip()
        slopes = [e.strip() for e in effects.split("+") if e.strip() != "1"]
        columns = np.column_stack([np.ones(len(model.data)), *(model.data[s] for s in slopes)])
        if group == "unit":
            assert model.weights is not None
            weights = model.weights.to_numpy()
        else:
            weights = pd.get_dummies(model.data[group]).to_numpy(float)
        found.append((group, ["Intercept", *slopes], weights, columns))
    return found


def relative_block(model: Membership, group: str, terms: list[str]) -> np.ndarray:
    """Sigma / sigma^2 of one random term, (q, q)."""
    found = np.zeros((len(terms), len(terms)))
    for j, b in enumerate(terms):
        for i, a in enumerate(terms[: j + 1]):
            found[i, j] = found[j, i] = model.varcorr[group, a, "" if i == j else b]
    return found / model.sigma**2


def relative_covariance(model: Membership) -> np.ndarray:
    """V / sigma^2, (n, n)."""
    V = np.eye(len(model.data))
    for group, terms, weights, columns in blocks(model):
        share = columns @ relative_block(model, group, terms) @ columns.T
        V += share * (weights @ weights.T)
    return V


def dense(model: Membership) -> dict[str, Any]:
    """Criterion, coefficients and their covariance at the reference's variances."""
    X = np.column_stack([np.ones(len(model.data)), model.data[model.terms[1]]])
    y, V = model.data["y"].to_numpy(), relative_covariance(model)
    n, p = X.shape
    inverse = np.linalg.inv(V)
    information = X.T @ inverse @ X
    beta = np.linalg.solve(information, X.T @ inverse @ y)
    e = y - X @ beta
    nu = n - p if model.method == "REML" else n
    sigma2 = e @ inverse @ e / nu
    value = np.linalg.slogdet(V)[1] + nu * (1 + np.log(2 * np.pi * sigma2))
    if model.method == "REML":
        value += np.linalg.slogdet(information)[1]
    return {
        "criterion": value, "sigma": np.sqrt(sigma2), "fixef": beta,
        "vcov": sigma2 * np.linalg.inv(information), "solved": inverse @ e,
    }  # fmt: skip


def test_every_model_is_there() -> None:
    names = {"pupils", "pupils_crossed", "pupils_slope"}
    names |= {"growth_acute", "growth_added", "growth_averaged"}
    assert set(KEYS) == {f"{name}_{method}" for name in names for method in ("ml", "reml")}


def test_output_is_of_the_scripts_and_data_as_they_stand() -> None:
    assert raw_membership()["script_md5"] == md5(MEMBERSHIP_SCRIPT), "run membership.R again"
    assert raw_membership()["lme4_script_md5"] == md5(OPTIMISER), "run membership.R again"
    for name, digest in raw_membership()["data_md5"].items():
        assert md5(HOME / "data" / f"{name}.csv") == digest


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("which", ["tight", "default"])
def test_reference_is_the_multivariate_normal(key: str, which: str) -> None:
    model = membership(key, which)
    found = dense(model)
    # lme4 adds up penalised least squares where this inverts V: ten digits are left
    assert found["criterion"] == pytest.approx(model.criterion, abs=1e-8)
    assert found["sigma"] == pytest.approx(model.sigma, rel=1e-9)
    assert found["fixef"] == pytest.approx(model.fixef, rel=1e-8)
    np.testing.assert_allclose(found["vcov"], model.vcov, rtol=1e-7)


@pytest.mark.parametrize("key", KEYS)
def test_random_effects_of_the_reference_are_the_predictions_of_gauss(key: str) -> None:
    """E(b | y) = Sigma (w x z)' V^-1 (y - X beta)."""
    model = membership(key)
    solved = dense(model)["solved"]
    for group, terms, weights, columns in blocks(model):
        share = relative_block(model, group, terms)
        expected = weights.T @ (columns * solved[:, None]) @ share
        values = model.modes[group].values[terms]
        assert values.to_numpy() == pytest.approx(expected, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("key", KEYS)
def test_tight_is_not_above_default(key: str) -> None:
    assert membership(key).criterion <= membership(key, "default").criterion + 1e-9


def test_weights_mean_what_their_names_say() -> None:
    for name in ("pupils", "growth_averaged"):
        weights = membership(f"{name}_ml").weights
        assert weights is not None
        # printed with 17 digits
        assert weights.sum(axis=1).to_numpy() == pytest.approx(np.ones(len(weights)), abs=1e-14)
    added = membership("growth_added_ml").weights
    assert added is not None
    occasions = membership("growth_added_ml").data["t"] + 1
    assert added.sum(axis=1).to_numpy() == pytest.approx(occasions.to_numpy())


# ---- our fits ----------------------------------------------------------------------------------


def wide(weights: pd.DataFrame) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Columns of ids and of weights, as many pairs as the row with most schools has."""
    most = int((weights.to_numpy() != 0).sum(axis=1).max())
    ids, shares = [f"school{k}" for k in range(most)], [f"share{k}" for k in range(most)]
    rows = []
    for _, row in weights.iterrows():
        own = row[row != 0]
        rest = [None] * (most - len(own))
        rows.append([*own.index, *rest, *own, *rest])
    return pd.DataFrame(rows, columns=[*ids, *shares]), ids, shares


@cache
def fit(key: str) -> Any:
    model = membership(key)
    reml = model.method == "REML"
    if model.weights is None:
        return tl.lmm(model.formula, model.data, reml=reml)
    table, ids, shares = wide(model.weights)
    belongs = {"unit": tl.membership(table, ids, shares)}
    return tl.lmm(model.formula, model.data, reml=reml, memberships=belongs)


@pytest.mark.parametrize("key", KEYS)
def test_criterion(key: str) -> None:
    assert fit(key).deviance <= membership(key, "default").criterion + 1e-6
    assert fit(key).deviance == pytest.approx(membership(key).criterion, abs=1e-6)


@pytest.mark.parametrize("key", KEYS)
def test_fixed_effects(key: str) -> None:
    model, ours = membership(key), fit(key)
    se = np.sqrt(np.diag(model.vcov))
    assert list(ours.params.index) == model.terms
    # theta is known to the root of what is known of a flat criterion
    assert (np.abs(ours.params.to_numpy() - model.fixef) <= 1e-6 * se).all()
    assert ours.bse.to_numpy() == pytest.approx(se, rel=1e-5)


@pytest.mark.parametrize("key", KEYS)
def test_variance_components(key: str) -> None:
    model = membership(key)
    found = {}
    for row in fit(key).varcorr.itertuples():
        terms = ("" if pd.isna(term) else term for term in (row.term1, row.term2))
        found[row.group, *terms] = row.vcov
    assert found.keys() == model.varcorr.keys()
    for (group, a, b), value in model.varcorr.items():
        scale = max(model.varcorr[group, a, ""], model.varcorr[group, b, ""]) if b else value
        assert found[group, a, b] == pytest.approx(value, abs=1e-5 * scale)


@pytest.mark.parametrize("key", KEYS)
def test_random_effects_and_fitted_values(key: str) -> None:
    model, ours = membership(key), fit(key)
    for group, modes in model.modes.items():
        frame = ours.ranef()[group].loc[modes.values.index]
        assert modes.se is not None
        for term in modes.values:
            spread = modes.values[term].abs().max()
            assert frame[term].to_numpy() == pytest.approx(modes.values[term], abs=1e-5 * spread)
            assert frame[f"{term}_se"].to_numpy() == pytest.approx(modes.se[term], rel=1e-5)
    assert ours.fittedvalues[:10].to_numpy() == pytest.approx(model.fitted, abs=1e-5 * model.sigma)
