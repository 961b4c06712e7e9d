"""Cluster-robust covariance against dense matrices, singular cases included."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.errors import OptionError

KINDS = ["CR0", "CR1", "CR1S", "CR2", "CR3"]


def sample(seed: int, groups: int = 9, largest: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(groups), rng.integers(1, largest + 1, groups))
    n = len(school)
    x, z = rng.normal(size=n) + 1.5, rng.normal(size=n) * 3
    b = rng.normal(size=(groups, 3)) * [1.0, 0.8, 0.4]
    w = rng.normal(size=groups)[school]
    y = 50 + 0.5 * x + w + b[school, 0] + b[school, 1] * x + b[school, 2] * z
    data = pd.DataFrame({"y": y + rng.normal(size=n), "x": x, "z": z, "w": w, "school": school})
    return data.sample(frac=1, random_state=seed)


def power(A: np.ndarray, exponent: float) -> np.ndarray:
    w, U = np.linalg.eigh(A)
    alive = w > 1e-10
    return (U * np.where(alive, np.where(alive, w, 1.0) ** exponent, 0.0)) @ U.T


def dense(fit: tl.lmm, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The definitions as they stand, with every matrix of n rows."""
    design = fit.model.design
    X, Z, codes = design.X[:, fit.model.fixed.kept], design.factors[0].Z, design.factors[0].codes
    n, p = X.shape
    J = design.factors[0].n_groups
    same = codes[:, None] == codes[None, :]
    V = np.eye(n) + same * (Z @ fit.Lambda @ fit.Lambda.T @ Z.T)
    Vi = np.linalg.inv(V)
    M = np.linalg.inv(X.T @ Vi @ X)
    e = design.y - X @ fit.params.to_numpy()
    P, meat = np.zeros((n, J, p)), np.zeros((p, p))
    for j in range(J):
        at = np.flatnonzero(codes == j)
        x, v = X[at], V[np.ix_(at, at)]
        inverse = np.linalg.inv(v)
        A = np.eye(len(at))
        if kind == "CR2":
            root = power(v, 0.5)  # symmetric; clubSandwich takes Cholesky's
            A = root @ power(root @ (v - x @ M @ x.T) @ root, -0.5) @ root
        if kind == "CR3":
            A = np.linalg.inv(np.eye(len(at)) - x @ M @ x.T @ inverse)
        E = x.T @ inverse @ A
        meat += E @ np.outer(e[at], e[at]) @ E.T
        P[at, j] = (M @ E).T
    factor = {"CR1": J / (J - 1), "CR1S": J * (n - 1) / ((J - 1) * (n - p))}.get(kind, 1.0)
    covariance = factor * M @ meat @ M
    df = np.empty(p)
    for i in range(p):
        form = P[:, :, i].T @ (V - X @ M @ X.T) @ P[:, :, i]
        df[i] = np.trace(form) ** 2 / np.sum(form**2)
    return covariance, df


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x * w + (1 | school)",
        "y ~ x * w + (x | school)",
        "y ~ x + z + (x + z || school)",
        "y ~ 0 + x + (0 + x | school)",
        "y ~ w + (1 | school)",
    ],
)
@pytest.mark.parametrize("reml", [True, False])
def test_is_that_of_dense_matrices(formula: str, kind: str, reml: bool) -> None:
    fit = tl.lmm(formula, sample(3, groups=14), reml=reml)
    covariance, df = dense(fit, kind)
    robust = tl.robust(fit, kind)
    se = np.sqrt(np.diag(covariance))
    # 1e-6: the dense route inverts V and takes powers of singular matrices
    np.testing.assert_allclose(
        robust.cov_params() / np.outer(se, se), covariance / np.outer(se, se), atol=1e-6
    )
    np.testing.assert_allclose(robust.df, df, rtol=1e-6)


def test_a_coefficient_that_one_group_determines() -> None:
    """B_j is zero there; checked with clubSandwich, which gives the same degrees of freedom."""
    data = sample(3, groups=14)
    data["only"] = (data["school"] == 2).astype(float)
    data["inside"] = data["only"] * data["x"]
    fit = tl.lmm("y ~ x + only + inside + (1 | school)", data)
    covariance, df = dense(fit, "CR2")
    robust = tl.robust(fit, "CR2")
    np.testing.assert_allclose(robust.cov_params(), covariance, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(robust.df, df, rtol=1e-6)
    assert robust.df["only"] == pytest.approx(robust.df["Intercept"], rel=1e-9)
    assert np.isfinite(tl.robust(fit, "CR3").bse).all()


def test_a_group_that_determines_a_coefficient_beside_a_large_variance() -> None:
    """B_j then holds numbers of very different size; its rank must not be read from them."""
    data = sample(3, groups=14)
    data["y"] += 1e3 * np.random.default_rng(0).normal(size=14)[data["school"]]
    data["only"] = (data["school"] == 7).astype(float)
    fit = tl.lmm("y ~ x + only + (1 | school)", data)
    assert fit.varcorr["vcov"][0] / fit.sigma**2 > 1e5
    covariance, df = dense(fit, "CR2")
    np.testing.assert_allclose(tl.robust(fit).df[:2], df[:2], rtol=1e-4)
    np.testing.assert_allclose(tl.robust(fit).bse[:2], np.sqrt(np.diag(covariance))[:2], rtol=1e-4)


def test_groups_of_one_row() -> None:
    data = sample(5, groups=30, largest=2)
    fit = tl.lmm("y ~ x * w + (1 | school)", data)
    assert (np.bincount(fit.model.design.factors[0].codes) == 1).sum() > 5
    covariance, df = dense(fit, "CR2")
    np.testing.assert_allclose(tl.robust(fit).cov_params(), covariance, rtol=1e-6)
    np.testing.assert_allclose(tl.robust(fit).df, df, rtol=1e-6)


def test_cr2_is_unbiased_where_the_model_is_right() -> None:
    """Its expectation over responses of the model is the model's own covariance, exactly."""
    fit = tl.lmm("y ~ x * w + (x | school)", sample(3, groups=14))
    design = fit.model.design
    rng = np.random.default_rng(2)
    Y = fit.model.simulate(fit.working_theta, 200, rng)
    shares = []
    for y in Y.T:
        model = fit.model.with_responses(y)
        again = tl.robust(_at(fit, model), "CR2")
        shares.append(np.diag(again.cov_params()) / np.diag(fit.cov_params()))
    share, error = np.mean(shares, axis=0), np.std(shares, axis=0) / np.sqrt(200)
    assert (np.abs(share - 1) < 4 * error).all()
    assert design.factors[0].n_groups == 14


def _at(fit: tl.lmm, model: object) -> tl.lmm:
    """The fit with another response, at the same variances."""
    from dataclasses import replace

    return replace(fit, model=model)


def test_everything_that_tests_follows_and_the_fit_stays() -> None:
    plain = tl.lmm("y ~ x + (1 | school)", sample(3))
    fit = tl.robust(plain)
    pd.testing.assert_series_equal(fit.params, plain.params)
    np.testing.assert_array_equal(fit.tidy()["std_error"][:2], fit.bse)
    assert "cluster-robust covariance (CR2)" in str(fit.summary())
    assert plain.estimates.method == "satterthwaite"
    pd.testing.assert_frame_equal(tl.small_sample(fit, "satterthwaite").tidy(), plain.tidy())


def test_units_and_places_do_not_matter() -> None:
    data = sample(3)
    moved = data.assign(y=1e3 * data["y"] + 1e6, x=data["x"] * 1e-3 + 40)
    one = tl.robust(tl.lmm("y ~ x + w + (1 | school)", data))
    two = tl.robust(tl.lmm("y ~ x + w + (1 | school)", moved))
    np.testing.assert_allclose(one.df[1:], two.df[1:], rtol=1e-5)
    np.testing.assert_allclose(one.tvalues[1:], two.tvalues[1:], rtol=1e-5)


def test_no_fixed_effect_at_all() -> None:
    data = sample(3)
    data["y"] -= data["y"].mean()
    assert tl.robust(tl.lmm("y ~ 0 + (1 | school)", data)).params.empty


def test_within_by_group_sums_to_what_the_engine_has() -> None:
    model = tl.lmm("y ~ x * w + (x | school)", sample(3)).model
    within = model.within_groups()
    np.testing.assert_allclose(within[:, :-1, :-1].sum(axis=0), model.roots.WXX, atol=1e-11)
    np.testing.assert_allclose(within[:, -1, -1].sum(), model.roots.Wyy[0], rtol=1e-9)


def test_refuses_another_kind() -> None:
    with pytest.raises(OptionError, match="Allowed: 'CR0', 'CR1', 'CR1S', 'CR2', 'CR3'"):
        tl.robust(tl.lmm("y ~ x + (1 | school)", sample(3)), "HC3")


def test_refits_do_not_lose_it_in_silence() -> None:
    data = sample(3)
    fit = tl.robust(tl.lmm("y ~ x + (1 | school)", data))
    with pytest.raises(OptionError, match="CR2"):
        tl.refit(fit, data["y"])
