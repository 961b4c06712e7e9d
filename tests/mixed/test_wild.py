"""The wild cluster bootstrap against responses that are drawn and fitted by dense matrices."""

from __future__ import annotations

import numpy as np
import pytest

import teamlink as tl
from teamlink.errors import OptionError
from teamlink.mixed.wild import draw_weights

from .several import group_major
from .test_clusters import CROSSED, TOP, crossed, nested, power


def matrices(fit, codes, kind="CR2"):
    """X, V, M and the block-diagonal adjustment A, with n rows."""
    design = fit.model.design
    X, V = fit.model.fixed_columns, np.eye(design.n)
    for factor, place in zip(design.factors, fit.model.structure.factors, strict=True):
        Sigma = (fit.Lambda @ fit.Lambda.T)[place, place]
        Z = group_major(factor)
        V += Z @ np.kron(np.eye(factor.n_groups), Sigma) @ Z.T
    M = np.linalg.inv(X.T @ np.linalg.solve(V, X))
    A = np.eye(design.n)
    for j in range(codes.max() + 1):
        at = np.flatnonzero(codes == j)
        v, x = V[np.ix_(at, at)], X[at]
        root = power(v, 0.5)
        inner = root @ (v - x @ M @ x.T) @ root
        if kind == "CR2":
            A[np.ix_(at, at)] = root @ power(inner, -0.5) @ root
        elif kind == "CR3":
            A[np.ix_(at, at)] = v @ root @ power(inner, -1) @ root
    return X, V, M, A


def sandwich(X, V, M, A, e, codes):
    scores = np.stack(
        [
            (X.T @ np.linalg.inv(V))[:, codes == j] @ (A @ e)[codes == j]
            for j in range(codes.max() + 1)
        ]
    )
    return M @ scores.T @ scores @ M


CASES = pytest.mark.parametrize(
    ("formula", "make", "by"),
    [
        (TOP, nested, None),
        (CROSSED, crossed, "district"),
        ("y ~ x * w + (x | district)", nested, None),
    ],
)


@CASES
@pytest.mark.filterwarnings("ignore::teamlink.errors.BoundaryFit")
def test_replicates_are_those_of_responses_written_out(formula, make, by):
    table = make()
    fit = tl.lmm(formula, table)
    cluster = None if by is None else table[by]
    boot = tl.bootstrap(fit, 6, "wild", seed=4, cluster=cluster, weights="webb")
    codes = boot.fit.model.clusters.codes
    W = draw_weights("webb", (6, codes.max() + 1), np.random.default_rng(4))
    X, V, M, A = matrices(fit, codes)
    beta = fit.params.to_numpy()
    e = fit.model.design.y - X @ beta
    for r in range(6):
        y = X @ beta + W[r][codes] * (A @ e)
        again = M @ X.T @ np.linalg.solve(V, y)
        assert boot.draws.values[r] == pytest.approx(again, rel=1e-7, abs=1e-9)
        robust = np.sqrt(np.diag(sandwich(X, V, M, A, y - X @ again, codes)))
        assert boot.draws.std_error[r] == pytest.approx(robust, rel=1e-6)
    own = tl.robust(fit, "CR2", cluster=cluster)
    assert boot.std_error == pytest.approx(own.bse.to_numpy(), rel=1e-9)
    assert boot.labels.terms == tuple(fit.params.index)


@CASES
@pytest.mark.parametrize("kind", ["CR1", "CR2", "CR3"])
@pytest.mark.filterwarnings("ignore::teamlink.errors.BoundaryFit")
def test_tests_impose_the_null(formula, make, by, kind):
    table = make()
    fit = tl.lmm(formula, table)
    robust = tl.robust(fit, kind, cluster=None if by is None else table[by])
    codes = robust.model.clusters.codes
    n, J = 20, codes.max() + 1
    found = tl.test(robust, "x = 0.3, w = 0", wild=n, seed=2)
    X, V, M, A = matrices(fit, codes, kind)
    y, L, rhs = fit.model.design.y, np.eye(X.shape[1])[1:3], np.array([0.3, 0.0])
    beta = fit.params.to_numpy()
    under = beta - M @ L.T @ np.linalg.solve(L @ M @ L.T, L @ beta - rhs)
    e = y - X @ under
    W = draw_weights("rademacher", (n, J), np.random.default_rng(2))

    def wald(b, rest, value):
        away = L @ b - value
        return away @ np.linalg.solve(L @ sandwich(X, V, M, A, rest, codes) @ L.T, away)

    observed, beyond = wald(beta, y - X @ beta, rhs), 0
    for w in W:
        drawn = X @ under + w[codes] * (A @ e)
        b = M @ X.T @ np.linalg.solve(V, drawn)
        beyond += wald(b, drawn - X @ b, rhs) >= observed
    assert found.p_wild == pytest.approx((1 + beyond) / (n + 1))
    assert "Wild cluster bootstrap" in str(found.summary())


def test_covariance_over_all_weights_is_that_of_cr2():
    """With eight clusters there are 256 sets of signs; their mean square is exact."""
    table = nested(3, districts=8)
    fit = tl.lmm("y ~ x + (1 | district)", table)
    X, V, M, A = matrices(fit, fit.model.design.factors[0].codes)
    signs = 1.0 - 2 * ((np.arange(256)[:, None] >> np.arange(8)) & 1)
    e = fit.model.design.y - X @ fit.params.to_numpy()
    scores = M @ X.T @ np.linalg.inv(V) * (A @ e)
    by_cluster = np.stack(
        [scores[:, fit.model.design.factors[0].codes == j].sum(1) for j in range(8)]
    )
    moved = signs @ by_cluster
    exact = moved.T @ moved / 256
    assert exact == pytest.approx(tl.robust(fit).cov_params().to_numpy(), rel=1e-8)
    boot = tl.bootstrap(fit, 20_000, "wild", seed=1)
    # 20,000 replicates know a standard deviation to 0.5 %
    assert boot.bse.to_numpy() == pytest.approx(np.sqrt(np.diag(exact)), rel=0.02)


@pytest.mark.parametrize("kind", ["rademacher", "webb", "mammen"])
def test_weights_have_the_moments_they_should(kind):
    W = draw_weights(kind, (4000, 50), np.random.default_rng(0))
    assert W.mean() == pytest.approx(0, abs=0.01)
    assert (W**2).mean() == pytest.approx(1, abs=0.01)
    assert (W**3).mean() == pytest.approx(1.0 if kind == "mammen" else 0.0, abs=0.03)
    assert len(np.unique(W)) == {"rademacher": 2, "webb": 6, "mammen": 2}[kind]


def test_intervals_tests_and_seeds():
    hsb = tl.datasets.load("hsb82")
    fit = tl.lmm("mathach ~ cses + sector + (cses | school)", hsb)
    boot = tl.bootstrap(fit, 999, "wild", seed=3)
    robust = tl.robust(fit)
    for kind in ("percentile", "basic", "studentized", "bca"):
        ends = boot.conf_int(kind)[["conf_low", "conf_high"]].to_numpy()
        apart = (ends - robust.conf_int().to_numpy()) / robust.bse.to_numpy()[:, None]
        assert np.abs(apart).max() < 0.3, kind
    tests = boot.tests().set_index("term")
    assert tests["statistic"].to_numpy() == pytest.approx(robust.tvalues.to_numpy())
    assert (tests["p_value"] == 0.001).all()
    near = float(fit.params["cses"] + 1.2 * robust.bse["cses"])
    assert boot.tests(near).set_index("term")["p_value"]["cses"] == pytest.approx(0.23, abs=0.06)
    few = tl.bootstrap(fit, 10, "wild", seed=3)
    assert few.draws.values == pytest.approx(boot.draws.values[:10])
    assert "random weights" in str(boot)
    text = tl.bootstrap(fit, 20, "wild", statistic=lambda b: b["cses"] - b["sector[T.Catholic]"])
    assert np.isfinite(text.draws.values).all()


def test_what_is_refused():
    fit = tl.lmm("y ~ x + w + (1 | district)", nested())
    with pytest.raises(OptionError, match=r"tl.robust\(fit\)"):
        tl.test(fit, "x = 0", wild=99)
    with pytest.raises(OptionError, match="wild=0"):
        tl.test(tl.robust(fit), "x = 0", wild=0)
    with pytest.raises(OptionError, match="weights='normal'"):
        tl.bootstrap(fit, 9, "wild", weights="normal")
    with pytest.raises(OptionError, match="standard error"):
        tl.bootstrap(fit, 9, statistic=lambda b: b["x"]).tests()
