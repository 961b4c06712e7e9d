"""Clusters of several levels: found, refused, reweighted as if written out, robust as dense."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.errors import FitError, OptionError
from teamlink.fitting.fit import solve

from .several import group_major

KINDS = ["CR0", "CR1", "CR1S", "CR2", "CR3"]
NESTED = "y ~ x * w + (x | school) + (1 | school:room)"
TOP = "y ~ x + w + (1 | district) + (x | district:school) + (1 | district:school:room)"
CROSSED = "y ~ x + w + (1 | primary) + (1 | second)"


def nested(seed: int = 1, districts: int = 9) -> pd.DataFrame:
    """Rooms in schools in districts; labels of rooms and schools are used again."""
    rng = np.random.default_rng(seed)
    rows = []
    for d in range(districts):
        for s in range(rng.integers(1, 4)):
            for r in range(rng.integers(1, 4)):
                rows += [(d, s, r)] * int(rng.integers(1, 6))
    frame = pd.DataFrame(rows, columns=["district", "school", "room"])
    return filled(frame, ["district", "school", "room"], rng)


def crossed(seed: int = 2, districts: int = 8) -> pd.DataFrame:
    """Primary and secondary schools, crossed within districts and never beyond."""
    rng = np.random.default_rng(seed)
    d = np.repeat(np.arange(districts), rng.integers(8, 25, districts))
    primary, second = rng.integers(0, 3, d.size), rng.integers(0, 2, d.size)
    frame = pd.DataFrame({"district": d, "primary": d * 10 + primary, "second": d * 10 + second})
    return filled(frame, ["district", "primary", "second"], rng)


def filled(frame: pd.DataFrame, groups: list[str], rng: np.random.Generator) -> pd.DataFrame:
    n = len(frame)
    x, y = rng.normal(size=n) + 1, rng.normal(size=n)
    w = rng.normal(size=n)
    for k in range(len(groups)):
        codes = frame.groupby(groups[: k + 1] if groups[1] != "primary" else groups[k]).ngroup()
        size = int(codes.max()) + 1
        y += 0.8 * rng.normal(size=size)[codes] + 0.4 * rng.normal(size=size)[codes] * x
        if k == 0:
            w = rng.normal(size=size)[codes]
    frame = frame.assign(x=x, w=w, y=y + 0.5 * x + 10)
    return frame.sample(frac=1, random_state=int(rng.integers(100)))


def copies(frame: pd.DataFrame, codes: np.ndarray, weights: np.ndarray) -> pd.DataFrame:
    """Each cluster written out as often as it counts, under a new name each time."""
    parts = []
    for c, count in enumerate(weights.astype(int)):
        for k in range(count):
            own = frame[codes == c].copy()
            for name in ("district", "primary", "second"):
                if name in own:
                    own[name] = own[name].astype(str) + f"-{c}-{k}"
            parts.append(own)
    return pd.concat(parts)


@pytest.mark.filterwarnings("ignore::teamlink.errors.BoundaryFit")
@pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger"])
@pytest.mark.parametrize(
    ("formula", "make", "cluster"),
    [(TOP, nested, None), (CROSSED, crossed, "district"), (TOP, nested, "pairs")],
)
def test_weights_equal_clusters_written_out(formula, make, cluster, df):
    table = make()
    fit = tl.lmm(formula, table, df=df)
    column = None
    if cluster is not None:
        labels = table["district"] // 2 if cluster == "pairs" else table["district"]
        column = labels.rename("pair")
    model = fit.model.with_clusters(column)
    codes, J = model.clusters.codes, model.n_clusters()
    W = np.random.default_rng(3).multinomial(J, np.full(J, 1 / J), size=6).astype(float)
    W = W[model.estimable(W)][:2]
    weighted = model.with_group_weights(W, fit.working_theta)
    solution = solve(weighted)
    said, parts = weighted.estimates(solution.theta), weighted.components(solution.theta)
    for r in (1,):  # whose own weights are not the first of the batch
        whole = tl.lmm(formula, copies(table, codes, W[r]), df=df)
        # sums in another order and another working basis
        assert solution.deviance[r] == pytest.approx(whole.deviance, abs=1e-8)
        assert said.values[r] == pytest.approx(whole.params.to_numpy(), rel=1e-6)
        assert said.std_error[r] == pytest.approx(whole.bse.to_numpy(), rel=1e-5)
        assert said.df[r] == pytest.approx(whole.df.to_numpy(), rel=1e-4)
        random = whole.tidy().query("effect == 'ran_pars'")["estimate"].to_numpy()
        assert parts.values[r] == pytest.approx(random, rel=1e-4, abs=1e-4, nan_ok=True)


def test_derivatives_under_weights_of_several_factors_are_those_of_the_deviance():
    fit = tl.lmm(CROSSED, crossed())
    model = fit.model.with_clusters(crossed()["district"])
    W = np.random.default_rng(2).uniform(0.2, 3, (2, model.n_clusters()))
    model = model.with_group_weights(W, fit.working_theta)
    theta = np.array([[0.4, 0.3], [0.2, 0.5]])
    here, h = model.deviance(theta), 1e-4
    for k in range(2):
        step = np.eye(2)[k] * h
        up, down = model.deviance(theta + step), model.deviance(theta - step)
        assert here.gradient[:, k] == pytest.approx((up.value - down.value) / (2 * h), rel=1e-5)
        slope = (up.gradient - down.gradient) / (2 * h)
        assert here.hessian[:, k] == pytest.approx(slope, rel=1e-5, abs=1e-4)


def power(A: np.ndarray, exponent: float) -> np.ndarray:
    w, U = np.linalg.eigh(A)
    alive = w > 1e-10
    return (U * np.where(alive, np.where(alive, w, 1.0) ** exponent, 0.0)) @ U.T


def dense(fit, codes, kind):
    """The definitions with every matrix of n rows: covariance, and the forms of all contrasts.

    Rows with precision weights are multiplied by their roots first.
    """
    design = fit.model.design
    n, root = design.n, 1 / fit.model.relative_deviations(fit.working_theta)
    X, V = root[:, None] * fit.model.fixed_columns, np.eye(n)
    for factor, place in zip(design.factors, fit.model.structure.factors, strict=True):
        Z = root[:, None] * group_major(factor)
        Sigma = (fit.Lambda @ fit.Lambda.T)[place, place]
        V += Z @ np.kron(np.eye(factor.n_groups), Sigma) @ Z.T
    p, J = X.shape[1], codes.max() + 1
    M = np.linalg.inv(X.T @ np.linalg.solve(V, X))
    e = root * design.y - X @ fit.params.to_numpy()
    P, meat = np.zeros((n, J, p)), np.zeros((p, p))
    for j in range(J):
        at = np.flatnonzero(codes == j)
        x, v = X[at], V[np.ix_(at, at)]
        inverse, A = np.linalg.inv(v), np.eye(len(at))
        if kind == "CR2":
            root = power(v, 0.5)
            A = root @ power(root @ (v - x @ M @ x.T) @ root, -0.5) @ root
        if kind == "CR3":
            A = np.linalg.inv(np.eye(len(at)) - x @ M @ x.T @ inverse)
        E = x.T @ inverse @ A
        meat += E @ np.outer(e[at], e[at]) @ E.T
        P[at, j] = (M @ E).T
    factor = {"CR1": J / (J - 1), "CR1S": J * (n - 1) / ((J - 1) * (n - p))}.get(kind, 1.0)
    form = np.einsum("njs,nm,mkt->stjk", P, V - X @ M @ X.T, P, optimize=True)
    return factor * M @ meat @ M, form


def htz(form: np.ndarray, L: np.ndarray) -> float:
    """Degrees of freedom eta from the forms of all coefficients, as defined."""
    own = np.einsum("as,bt,stjk->abjk", L, L, form)
    Omega = np.einsum("abjj->ab", own)
    scale = power(Omega, -0.5)
    own = np.einsum("as,bt,stjk->abjk", scale, scale, own)
    r = len(L)
    total = sum(
        np.sum(own[s, s] * own[t, t]) + np.trace(own[s, t] @ own[s, t])
        for s in range(r)
        for t in range(r)
    )
    return r * (r + 1) / total


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("formula", "make", "by"),
    [
        (TOP, nested, None),
        ("y ~ x * w + (x | district)", nested, "pair"),
        (CROSSED, crossed, "district"),
        ("y ~ x + w + (x | school)", lambda: nested().assign(school=lambda d: d.district), None),
    ],
)
@pytest.mark.filterwarnings("ignore::teamlink.errors.BoundaryFit")
def test_robust_is_that_of_dense_matrices(formula, make, by, kind):
    table = make().assign(pair=lambda d: d["district"] // 2)
    fit = tl.lmm(formula, table)
    robust = tl.robust(fit, kind) if by is None else tl.robust(fit, kind, cluster=table[by])
    codes = pd.factorize(table["district" if by is None else by])[0]
    covariance, form = dense(fit, codes, kind)
    se = np.sqrt(np.diag(covariance))
    # 1e-6: the dense route inverts V and takes powers of singular matrices
    apart = (robust.cov_params().to_numpy() - covariance) / np.outer(se, se)
    assert np.abs(apart).max() < 1e-6
    df = [np.trace(f) ** 2 / np.sum(f**2) for f in form[np.arange(len(se)), np.arange(len(se))]]
    np.testing.assert_allclose(robust.df, df, rtol=1e-6)
    L = np.eye(len(se))[1:]
    eta, r = htz(form, L), len(L)
    found = tl.test(robust, L)
    Q = robust.params[1:] @ np.linalg.solve(covariance[1:, 1:], robust.params[1:])
    assert found.df_denom == pytest.approx(eta - r + 1, rel=1e-6)
    assert found.statistic == pytest.approx((eta - r + 1) / (eta * r) * Q, rel=1e-5)
    assert tl.test(robust, L[:1]).df_denom == pytest.approx(robust.df.iloc[1])


@pytest.mark.filterwarnings("ignore::teamlink.errors.BoundaryFit")
@pytest.mark.parametrize("kind", ["CR1", "CR2", "CR3"])
def test_rows_with_precision_weights(kind):
    table = nested()
    table = table.assign(p=np.random.default_rng(4).uniform(0.3, 4, len(table)))
    fit = tl.lmm(TOP, table, weights="p")
    covariance, form = dense(fit, pd.factorize(table["district"])[0], kind)
    robust = tl.robust(fit, kind)
    assert robust.cov_params().to_numpy() == pytest.approx(covariance, rel=1e-5, abs=1e-9)
    eta = htz(form, np.eye(3)[1:])
    assert tl.test(robust, "x = 0, w = 0").df_denom == pytest.approx(eta - 1, rel=1e-6)
    model = fit.model.with_clusters()
    W = np.array([[2.0, 1, 1, 0, 1, 1, 1, 1, 1]])
    weighted = model.with_group_weights(W, fit.working_theta)
    whole = tl.lmm(TOP, copies(table, model.clusters.codes, W[0]), weights="p")
    assert solve(weighted).deviance[0] == pytest.approx(whole.deviance, abs=1e-8)


def test_the_top_factor_is_the_cluster_and_any_coarser_column_will_do():
    table = nested()
    fit = tl.lmm(TOP, table)
    assert fit.model.with_clusters().clusters.name == "district"
    assert tl.robust(fit, cluster="district").bse.equals(tl.robust(fit).bse)
    as_array = tl.robust(fit, cluster=table["district"].to_numpy())
    assert as_array.bse.to_numpy() == pytest.approx(tl.robust(fit).bse.to_numpy(), rel=1e-9)
    shuffled = tl.robust(fit, cluster=table["district"].sort_index())
    assert shuffled.bse.to_numpy() == pytest.approx(tl.robust(fit).bse.to_numpy(), rel=1e-9)
    said = str(tl.robust(fit).summary())
    assert "9 clusters by district" in said


@pytest.mark.parametrize("verb", [tl.robust, lambda f, **k: tl.bootstrap(f, 5, "cluster", **k)])
def test_clusters_that_are_none_are_refused(verb):
    table = crossed()
    fit = tl.lmm(CROSSED, table)
    with pytest.raises(OptionError, match=r"no grouping factor contains all others .*cluster="):
        verb(fit)
    with pytest.raises(OptionError, match="groups of 'second' lie in several"):
        verb(fit, cluster="primary")
    with pytest.raises(OptionError, match="did you mean 'primary'"):
        verb(fit, cluster="primry")
    with pytest.raises(OptionError, match="one cluster only"):
        verb(fit, cluster=np.zeros(len(table)))
    with pytest.raises(OptionError, match=f"3 labels for the {len(table)} rows"):
        verb(fit, cluster=[1, 2, 3])
    with pytest.raises(OptionError, match="index is not that of the table"):
        verb(fit, cluster=table["district"].reset_index(drop=True).head(20))
    with pytest.raises(OptionError, match="of 1 rows is missing"):
        verb(fit, cluster=table["district"].astype(float).where(np.arange(len(table)) > 0))


def test_labels_follow_the_rows_that_were_used():
    table = nested()
    holes = table.assign(x=table["x"].where(np.arange(len(table)) % 7 > 0))
    with pytest.warns(tl.errors.DroppedRows):
        fit = tl.lmm(TOP, holes)
    other = tl.lmm(TOP, holes.dropna())
    mine = tl.robust(fit, cluster=table["district"])
    assert mine.bse.to_numpy() == pytest.approx(tl.robust(other).bse.to_numpy(), rel=1e-9)


@pytest.mark.filterwarnings("ignore::teamlink.errors.BoundaryFit")
def test_too_few_clusters_for_a_joint_test():
    table = nested(districts=9).assign(part=lambda d: d["district"] // 4)
    fit = tl.lmm("y ~ x * w + (1 | district)", table)
    with pytest.raises(FitError, match="too few clusters for a joint test of 3 equations"):
        tl.test(tl.robust(fit, cluster=table["part"]), "x = 0, w = 0, x:w = 0")


def test_memberships_within_districts():
    """Rows of several schools at once: robust by district, while weights have nothing to weight."""
    table = nested(4, districts=12).reset_index(drop=True)
    rng = np.random.default_rng(5)
    first = table["district"] * 10 + rng.integers(0, 3, len(table))
    second = table["district"] * 10 + rng.integers(0, 3, len(table))
    both = table.assign(a=first.astype(str), b=second.astype(str))
    schools = tl.membership(both, ["a", "b"])
    fit = tl.lmm("y ~ x + w + (1 | s)", both, memberships={"s": schools})
    robust = tl.robust(fit, "CR2", cluster=table["district"])
    covariance, _ = dense(fit, pd.factorize(table["district"])[0], "CR2")
    assert robust.cov_params().to_numpy() == pytest.approx(covariance, rel=1e-5, abs=1e-9)
    with pytest.raises(OptionError, match="rows belong to several groups of every factor"):
        tl.bootstrap(fit, 5, "cluster", cluster=table["district"])
    with pytest.raises(OptionError, match="rows belong to several of its groups"):
        tl.robust(fit, cluster="s")
