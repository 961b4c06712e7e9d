"""Regressions on dyads against brute force, one arrangement at a time."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

import teamlink as tl

RNG = np.random.default_rng(5)


def square(n: int, rng: np.random.Generator = RNG) -> np.ndarray:
    m = rng.normal(size=(n, n))
    np.fill_diagonal(m, np.nan)
    return m


def t_of(y: np.ndarray, X: np.ndarray, j: int) -> float:
    b, *_ = np.linalg.lstsq(X, y, rcond=None)
    e = y - X @ b
    s2 = e @ e / (len(y) - X.shape[1])
    return float(b[j] / np.sqrt(s2 * np.linalg.inv(X.T @ X)[j, j]))


def brute_force(y: np.ndarray, xs: list[np.ndarray], method: str, directed: bool) -> np.ndarray:
    """(R, k) t of every arrangement, each by its own regression."""
    n = len(y)
    at = np.nonzero(~np.eye(n, dtype=bool)) if directed else np.triu_indices(n, 1)
    one = np.ones(len(at[0]))
    X = np.column_stack([*(x[at] for x in xs), one])
    rows = []
    for order in itertools.permutations(range(n)):
        moved = np.ix_(order, order)
        row = []
        for j in range(len(xs)):
            if method == "y":
                row.append(t_of(y[moved][at], X, j))
                continue
            Z = np.delete(X, j, axis=1)
            e = np.full((n, n), np.nan)
            e[at] = X[:, j] - Z @ np.linalg.lstsq(Z, X[:, j], rcond=None)[0]
            if not directed:
                e.T[at] = e[at]
            row.append(t_of(y[at], np.column_stack([Z, e[moved][at]]), Z.shape[1]))
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("method", ["double-semi-partialling", "y"])
def test_all_arrangements_of_five_people(method: str, directed: bool) -> None:
    y, xs = square(5), [square(5), square(5)]
    xs[1] = xs[1] + 0.7 * xs[0]
    if not directed:
        y, xs = y + y.T, [x + x.T for x in xs]
    fit = tl.networks.mrqap(
        y,
        {"a": xs[0], "b": xs[1]},
        permutations="all",
        method=method,
        directed=directed,
    )
    expected = brute_force(y, xs, method, directed)
    np.testing.assert_allclose(fit.permuted, expected, rtol=1e-8)
    np.testing.assert_allclose(fit.tvalues, expected[0], rtol=1e-9)
    share = (np.abs(expected) >= np.abs(expected[0]) * (1 - 1e-9)).mean(axis=0)
    np.testing.assert_allclose(fit.pvalues, share)
    assert len(fit.permuted) == 120


def test_random_permutations_approach_all() -> None:
    y, x = square(5), {"a": square(5), "b": square(5)}
    every = tl.networks.mrqap(y, x, permutations="all")
    some = tl.networks.mrqap(y, x, permutations=20_000)
    # Five standard errors of a share of 20,000.
    np.testing.assert_allclose(some.pvalues, every.pvalues, atol=5 * 0.5 / np.sqrt(20_000))
    np.testing.assert_allclose(some.p_lower, every.p_lower, atol=5 * 0.5 / np.sqrt(20_000))


def test_within_schools_all_arrangements() -> None:
    y = {"s": square(3), "t": square(4)}
    x = {"s": square(3), "t": square(4)}
    fit = tl.networks.mrqap(y, {"x": x}, by="school", intercepts="school", permutations="all")
    off = {s: ~np.eye(len(m), dtype=bool) for s, m in y.items()}
    outcome = np.concatenate([y[s][off[s]] for s in y])
    dummies = np.repeat(np.eye(2), [6, 12], axis=0)
    plain = np.concatenate([x[s][off[s]] for s in x])
    e = plain - dummies @ np.linalg.lstsq(dummies, plain, rcond=None)[0]
    held = {"s": np.full((3, 3), np.nan), "t": np.full((4, 4), np.nan)}
    held["s"][off["s"]], held["t"][off["t"]] = e[:6], e[6:]
    expected = []
    for p in itertools.permutations(range(3)):
        for q in itertools.permutations(range(4)):
            parts = [held["s"][np.ix_(p, p)][off["s"]], held["t"][np.ix_(q, q)][off["t"]]]
            expected.append(t_of(outcome, np.column_stack([dummies, np.concatenate(parts)]), 2))
    np.testing.assert_allclose(fit.permuted["x"], expected, rtol=1e-8)
    assert fit.permutations == "all 144"
    assert list(fit.params.index) == ["x"]


def test_unknown_ties_permuting_y() -> None:
    y, x = square(5), square(5)
    y[0, 2] = y[3, 1] = np.nan
    fit = tl.networks.mrqap(y, {"x": x}, method="y", permutations="all")
    assert (fit.nobs, fit.missing) == (18, 2)
    off = ~np.eye(5, dtype=bool) & ~np.isnan(y)
    for order, found in zip(itertools.permutations(range(5)), fit.permuted["x"], strict=True):
        moved = y[np.ix_(order, order)]
        keep = off & ~np.isnan(moved)
        X = np.column_stack([x[keep], np.ones(keep.sum())])
        assert found == pytest.approx(t_of(moved[keep], X, 0), rel=1e-8)


def test_unknown_ties_permuting_residuals() -> None:
    y, x, z = square(5), square(5), square(5)
    y[0, 2] = z[3, 1] = np.nan
    fit = tl.networks.mrqap(y, {"x": x, "z": z}, permutations="all")
    known = ~(np.isnan(y) | np.isnan(x) | np.isnan(z))
    Z = np.column_stack([z[known], np.ones(known.sum())])
    e = np.zeros((5, 5))
    e[known] = x[known] - Z @ np.linalg.lstsq(Z, x[known], rcond=None)[0]
    for order, found in zip(itertools.permutations(range(5)), fit.permuted["x"], strict=True):
        column = e[np.ix_(order, order)][known]
        assert found == pytest.approx(t_of(y[known], np.column_stack([Z, column]), 2), rel=1e-8)


def test_logistic_score_test_is_that_of_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    x, z = square(8), square(8)
    y = (0.8 * z + square(8) > 0).astype(float)
    fit = tl.networks.mrqap(y, {"x": x, "z": z}, model="logistic", permutations=20)
    off = ~np.eye(8, dtype=bool)
    X = np.column_stack([np.ones(56), x[off], z[off]])
    whole = sm.GLM(y[off], X, family=sm.families.Binomial()).fit(tol=1e-14)
    np.testing.assert_allclose(fit.params, whole.params, rtol=1e-7)
    np.testing.assert_allclose(fit.bse, whole.bse, rtol=1e-6)
    null = sm.GLM(y[off], X[:, [0, 2]], family=sm.families.Binomial()).fit(tol=1e-14)
    score, *_ = null.score_test(exog_extra=x[off][:, None])
    assert fit.tvalues["x"] ** 2 == pytest.approx(float(np.squeeze(score)), rel=1e-6)


def test_correlation_all_arrangements() -> None:
    a, b = square(5), square(5)
    b[1, 4] = np.nan
    found = tl.networks.qap(a, b, permutations="all")
    off = ~np.eye(5, dtype=bool)
    for order, r in zip(itertools.permutations(range(5)), found.permuted, strict=True):
        moved = b[np.ix_(order, order)]
        keep = off & ~np.isnan(moved)
        assert r == pytest.approx(np.corrcoef(a[keep], moved[keep])[0, 1], rel=1e-9)
    assert (found.nobs, found.missing) == (19, 1)


def test_level_under_dependence_that_ordinary_tests_do_not_keep() -> None:
    """Rows and columns of y and x have effects of their own: t tests reject far too often."""
    rng = np.random.default_rng(11)
    n, worlds = 12, 150
    rejected, naive = 0, 0
    for _ in range(worlds):
        make = [rng.normal(size=(n, 1)) + rng.normal(size=(n, n)) for _ in range(3)]
        y, x, z = make[0], make[1], make[2] + 0.7 * make[1]
        fit = tl.networks.mrqap(y, {"x": x, "z": z}, permutations=199, seed=rng)
        rejected += fit.pvalues["x"] <= 0.05
        naive += abs(fit.tvalues["x"]) > 1.98
    # Binomial(150, 0.05): 7.5 expected, more than 19 once in 10,000 runs.
    assert rejected <= 19
    assert naive > 25


def test_edge_lists_matrices_and_labels_agree() -> None:
    names = list("abcdef")
    m = (square(6) > 0).astype(float)
    z = pd.DataFrame(square(6), index=names, columns=names)
    i, j = np.nonzero(m)
    ties = pd.DataFrame({"source": np.array(names)[i], "target": np.array(names)[j]})
    staff = pd.DataFrame({"node": names[::-1]})
    turned = z.sample(frac=1, random_state=1).sample(frac=1, random_state=2, axis=1)
    one = tl.networks.mrqap(m, {"z": z.to_numpy()}, permutations=50)
    for y, x, how in [
        (pd.DataFrame(m, index=names, columns=names), turned, {}),
        (ties, z, {}),
        (ties, z, {"roster": staff}),
        (ties, turned, {}),
    ]:
        two = tl.networks.mrqap(y, {"z": x}, permutations=50, **how)
        assert two.params["z"] == pytest.approx(one.params["z"], rel=1e-12)
        assert two.tvalues["z"] == pytest.approx(one.tvalues["z"], rel=1e-12)


def test_edge_lists_of_several_schools_with_people_who_did_not_answer() -> None:
    rng = np.random.default_rng(3)
    staff = pd.DataFrame(
        {"school": np.repeat(["s", "t"], 6), "node": [*range(6)] * 2, "years": rng.normal(size=12)}
    ).assign(answered=lambda d: (d["node"] != 5) | (d["school"] == "t"))
    ties = {"s": rng.random((6, 6)) < 0.4, "t": rng.random((6, 6)) < 0.4}
    ties["s"][5] = False
    rows = [
        (s, i, j) for s, m in ties.items() for i, j in zip(*np.nonzero(m), strict=True) if i != j
    ]
    edges = pd.DataFrame(rows, columns=["school", "source", "target"])
    how = {"by": "school", "roster": staff, "responded": "answered", "permutations": 30}
    gap = tl.networks.attribute(staff, "years", "absolute", by="school")
    fit = tl.networks.mrqap(edges, {"gap": gap}, **how)
    assert (fit.nobs, fit.missing) == (55, 5)
    off = ~np.eye(6, dtype=bool)
    off_s = off.copy()
    off_s[5] = False
    y = np.concatenate([ties["s"][off_s], ties["t"][off]]).astype(float)
    x = np.concatenate([gap["s"].to_numpy()[off_s], gap["t"].to_numpy()[off]])
    X = np.column_stack([x, np.ones(55)])
    assert fit.tvalues["gap"] == pytest.approx(t_of(y, X, 0), rel=1e-10)
    alone = tl.networks.mrqap(edges, {"same list": edges.iloc[::2]}, **how)
    assert alone.params["same list"] > 0


def test_same_seed_same_numbers() -> None:
    y, x = square(9), {"x": square(9)}
    a, b = (tl.networks.mrqap(y, x, permutations=k, seed=4).permuted for k in (60, 200))
    pd.testing.assert_frame_equal(a, b.iloc[:60])
    c = tl.networks.mrqap(y, x, permutations=60, seed=5).permuted
    assert not np.allclose(a, c)


def test_attribute() -> None:
    staff = pd.DataFrame({"node": list("ab"), "years": [1.0, 4.0], "grade": ["x", None]})
    sender = tl.networks.attribute(staff, "years", "sender")
    assert [sender.loc["a", "b"], sender.loc["b", "a"]] == [1, 4]
    receiver = tl.networks.attribute(staff, "years", "receiver")
    assert [receiver.loc["a", "b"], receiver.loc["b", "a"]] == [4, 1]
    assert tl.networks.attribute(staff, "grade", "same").isna().all().all()


def test_summary() -> None:
    fit = tl.networks.mrqap(square(6), {"x": square(6)}, permutations=99)
    text = str(fit.summary())
    assert "99 random permutations" in text
    assert "30 of 6 people" in text
    assert list(fit.tidy()["term"]) == ["Intercept", "x"]
    assert np.isnan(fit.tidy()["p_value"].iloc[0])


Y, A = square(6), square(6)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: tl.networks.mrqap(Y, {}), tl.OptionError, "at least one predictor"),
        (lambda: tl.networks.mrqap(Y, {"Intercept": A}), tl.OptionError, "cannot be named"),
        (lambda: tl.networks.mrqap(Y, {"a": A}, method="x"), tl.OptionError, "not offered"),
        (
            lambda: tl.networks.mrqap(Y, {"a": A}, method="y", model="logistic"),
            tl.OptionError,
            "goes with double-semi-partialling",
        ),
        (lambda: tl.networks.mrqap(Y, {"a": A}, permutations=0), tl.OptionError, "above zero"),
        (
            lambda: tl.networks.mrqap(square(9), {"a": square(9)}, permutations="all"),
            tl.OptionError,
            "more than 100,000",
        ),
        (lambda: tl.networks.mrqap(Y, {"a": square(5)}), tl.DataError, r"shape \(5, 5\)"),
        (lambda: tl.networks.mrqap(Y, {"a": Y * np.inf}), tl.DataError, "infinite"),
        (lambda: tl.networks.mrqap(Y, {"a": A}, directed=False), tl.DataError, "not symmetric"),
        (lambda: tl.networks.mrqap(Y, {"a": A, "b": 2 * A}), tl.DesignError, "follows from"),
        (lambda: tl.networks.mrqap(Y, {"a": 0 * A}), tl.DesignError, "constant"),
        (lambda: tl.networks.mrqap(0 * Y, {"a": A}), tl.DesignError, "nothing to explain"),
        (
            lambda: tl.networks.mrqap(Y, {"a": A}, model="logistic"),
            tl.DesignError,
            "other than 0 and 1",
        ),
        (
            lambda: tl.networks.mrqap((A > 0) * 1.0, {"a": A}, model="logistic"),
            tl.FitError,
            "separate",
        ),
        (lambda: tl.networks.mrqap(Y[:2, :2], {"a": A[:2, :2]}), tl.DesignError, "2 dyads"),
        (lambda: tl.networks.mrqap({"s": Y}, {"a": A}), tl.DataError, "by= which column"),
        (
            lambda: tl.networks.mrqap({"s": Y}, {"a": {"t": A}}, by="school"),
            tl.DataError,
            "other schools",
        ),
        (
            lambda: tl.networks.mrqap(pd.DataFrame({"source": ["a"], "target": ["b"]}), {"a": A}),
            tl.DataError,
            "no labels",
        ),
        (
            lambda: tl.networks.mrqap(
                pd.DataFrame(Y, index=list("abcdef"), columns=list("abcdef")),
                {"a": pd.DataFrame(A, index=list("abcdeg"), columns=list("abcdeg"))},
            ),
            tl.DataError,
            "other people",
        ),
        (lambda: tl.networks.qap(Y, 0 * A), tl.DesignError, "constant"),
    ],
)
def test_bad_input(call, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()
