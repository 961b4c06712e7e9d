"""The criterion of a generalized model: by dense matrices, brute-force integrals, differences."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from teamlink.mixed.generalized.binomial import Binomial
from teamlink.mixed.generalized.families import Family, Observed
from teamlink.mixed.generalized.integrand import Gradient, Grouped, evaluate, rule
from teamlink.mixed.generalized.joint import evaluate_jointly, joined
from teamlink.mixed.generalized.log_mean import GaussianLog, NegativeBinomial, Poisson
from teamlink.mixed.generalized.ordinal import Cumulative

N, J = 90, 11
NOTHING = np.empty((0, 1, 1))


def own(*values: float) -> np.ndarray:
    return np.reshape(np.array(values, dtype=float), (-1, 1, 1))


FAMILIES: dict[str, tuple[Family, np.ndarray]] = {
    "logit": (Binomial("logit"), NOTHING),
    "probit": (Binomial("probit"), NOTHING),
    "cloglog": (Binomial("cloglog"), NOTHING),
    "poisson": (Poisson(), NOTHING),
    "nb": (NegativeBinomial(), own(0.5)),
    "gaussian": (GaussianLog(), own(-0.5)),
    "ordinal": (Cumulative(4, "logit"), own(-1, 0.2, 1.1)),
    "ordinal probit": (Cumulative(4, "probit"), own(-1, 0.2, 1.1)),
}


def responses(name: str, rng: np.random.Generator, n: int = N) -> np.ndarray:
    if name in ("logit", "probit", "cloglog"):
        return (rng.random(n) < 0.45).astype(float)
    if name in ("poisson", "nb"):
        return rng.poisson(2.0, n).astype(float)
    if name == "gaussian":
        return rng.normal(size=n) * 0.4 + 1.5
    return rng.integers(0, 4, n).astype(float)


def factor(rng: np.random.Generator, codes: np.ndarray, q: int) -> Grouped:
    Z = None if q == 1 else np.vstack([np.ones(len(codes)), rng.normal(size=(q - 1, len(codes)))])
    groups = codes.max() + 1
    return Grouped(Z, codes, np.searchsorted(np.sort(codes), np.arange(groups)), q)


def some_codes(rng: np.random.Generator, groups: int) -> np.ndarray:
    codes = rng.integers(0, groups, N)
    codes[:groups] = np.arange(groups)
    return np.asarray(codes)


class OneFactor:
    """A problem with one factor, and the criterion as a function of all it depends on."""

    def __init__(self, name: str, q: int, points: int, seed: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.family, self.natural = FAMILIES[name]
        self.rows = factor(rng, np.sort(some_codes(rng, J)), q)
        self.data = Observed(responses(name, rng)[None], np.ones(N), rng.uniform(0.5, 1.5, N))
        self.Lambda = np.tril(rng.normal(size=(1, q, q))) * 0.5 + 0.3 * np.eye(q)
        self.offset = (0.2 + 0.4 * rng.normal(size=N))[None]
        self.points, self.q, self.rng = points, q, rng

    def at(self, offset: np.ndarray, Lambda: np.ndarray, natural: np.ndarray) -> Gradient:
        start = np.zeros((len(offset), self.q, J))
        quadrature = rule(self.points, self.q)
        return evaluate(
            self.rows, self.family, self.data, offset, Lambda, natural, start, quadrature
        )


def integrand(problem: OneFactor, j: int, u: tuple[float, ...]) -> float:
    """The likelihood of group j at spherical effects u times their density."""
    at = problem.rows.codes == j
    Z = np.ones((1, at.sum())) if problem.rows.Z is None else problem.rows.Z[:, at]
    eta = problem.offset[:, at] + (np.array(u) @ problem.Lambda[0].T @ Z)[None]
    weights = problem.data.weights
    data = Observed(problem.data.y[:, at], np.ones(at.sum()), weights[at])
    value = problem.family.terms(eta, data, problem.natural).value.sum()
    q = len(u)
    return float(np.exp(value - 0.5 * np.dot(u, u)) / (2 * np.pi) ** (q / 2))


@pytest.mark.parametrize("name", FAMILIES)
def test_quadrature_finds_the_integral(name: str) -> None:
    problem = OneFactor(name, 1, 41)
    # Each group is scaled by its largest value, which a quadrature routine needs to see.
    exact = -2 * sum(
        np.log(integrate.quad(lambda u, j=j: integrand(problem, j, (u,)), -9, 9,
                              epsabs=0, epsrel=1e-11, limit=300, points=[0.0])[0])
        for j in range(J)
    )  # fmt: skip
    found = problem.at(problem.offset, problem.Lambda, problem.natural).value[0]
    # 41 nodes leave 1e-9 of an integral this smooth; the skewed ones are rougher.
    assert found == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize("name", ["logit", "poisson", "ordinal"])
def test_quadrature_in_two_dimensions_finds_the_integral(name: str) -> None:
    problem = OneFactor(name, 2, 15)
    grid = np.linspace(-7, 7, 141)  # the trapezoid rule is exact to rounding for such integrands
    step = grid[1] - grid[0]
    exact = 0.0
    for j in range(J):
        at = problem.rows.codes == j
        U = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
        eta = problem.offset[:, at] + U @ problem.Lambda[0].T @ problem.rows.Z[:, at]
        data = Observed(problem.data.y[:, at], np.ones(at.sum()), problem.data.weights[at])
        value = problem.family.density(eta, data, problem.natural)[0].sum(axis=1)
        density = np.exp(value - 0.5 * np.square(U).sum(axis=1)) / (2 * np.pi)
        exact -= 2 * np.log(density.sum() * step**2)
    found = problem.at(problem.offset, problem.Lambda, problem.natural).value[0]
    assert found == pytest.approx(exact, rel=1e-6)


def test_more_points_come_closer() -> None:
    values = [
        OneFactor("logit", 1, points).at(
            OneFactor("logit", 1, points).offset, OneFactor("logit", 1, 1).Lambda, NOTHING
        ).value[0]
        for points in (1, 3, 7, 15, 61)
    ]  # fmt: skip
    errors = np.abs(np.array(values[:-1]) - values[-1])
    assert (np.diff(errors) < 0).all()


@pytest.mark.parametrize(("name", "shape"), [*product(FAMILIES, [(1, 1), (1, 6), (2, 1), (2, 4)])])
def test_gradient_with_one_factor(name: str, shape: tuple[int, int]) -> None:
    problem = OneFactor(name, *shape)
    here = problem.at(problem.offset, problem.Lambda, problem.natural)
    step, rng = 1e-5, problem.rng

    def along(offset: np.ndarray, Lambda: np.ndarray, natural: np.ndarray) -> float:
        up, down = (
            problem.at(
                problem.offset + s * step * offset,
                problem.Lambda + s * step * Lambda,
                problem.natural + s * step * natural,
            ).value[0]
            for s in (1, -1)
        )
        return float((up - down) / (2 * step))

    zeros = (np.zeros((1, N)), np.zeros_like(problem.Lambda), np.zeros_like(problem.natural))
    # Differences of step 1e-5 leave 1e-10 times a third derivative, which is below a thousand here.
    e = rng.normal(size=(1, N))
    assert along(e, *zeros[1:]) == pytest.approx((here.rows * e).sum(), rel=1e-6, abs=1e-6)
    E = np.tril(rng.normal(size=problem.Lambda.shape))
    slope = (here.Lambda[0] * E).sum()
    assert along(zeros[0], E, zeros[2]) == pytest.approx(slope, rel=1e-6, abs=1e-6)
    if problem.family.size:
        d = rng.normal(size=problem.natural.shape)
        slope = (here.natural.ravel() * d.ravel()).sum()
        assert along(*zeros[:2], d) == pytest.approx(slope, rel=1e-6, abs=1e-6)


class SeveralFactors:
    """Factors crossed and nested, with Laplace's criterion."""

    def __init__(self, name: str, sizes: tuple[int, ...], seed: int = 5) -> None:
        rng = np.random.default_rng(seed)
        self.family, self.natural = FAMILIES[name]
        first = np.sort(some_codes(rng, J))
        every = [first, some_codes(rng, 5), first // 4]
        self.factors = [factor(rng, codes, q) for codes, q in zip(every, sizes, strict=False)]
        self.rows = joined(self.factors[0], tuple(self.factors[1:]))
        self.data = Observed(responses(name, rng)[None], np.ones(N), None)
        self.Lambdas = tuple(
            np.tril(rng.normal(size=(q, q))) * 0.5 + 0.3 * np.eye(q) for q in sizes
        )
        self.offset = (0.2 + 0.4 * rng.normal(size=N))[None]
        self.rng = rng

    def at(
        self, offset: np.ndarray, Lambdas: tuple[np.ndarray, ...], natural: np.ndarray
    ) -> Gradient:
        start = tuple(np.zeros((f.q, len(f.starts))) for f in self.factors)
        return evaluate_jointly(self.rows, self.family, self.data, offset, Lambdas, natural, start)

    def dense(self) -> np.ndarray:
        """Z Lambda of all factors, (n, effects)."""
        columns = []
        for f, L in zip(self.factors, self.Lambdas, strict=True):
            Z = np.ones((1, N)) if f.Z is None else f.Z
            indicators = np.eye(len(f.starts))[f.codes]
            columns += [indicators * a[:, None] for a in L.T @ Z]
        return np.column_stack(columns)


SHAPES = [(1, 1), (2, 1), (1, 2), (1, 2, 1), (2, 2, 2)]


@pytest.mark.parametrize(
    ("name", "sizes"), [*product(["logit", "nb", "gaussian", "ordinal"], SHAPES)]
)
def test_laplace_with_several_factors_is_that_of_dense_matrices(
    name: str, sizes: tuple[int, ...]
) -> None:
    problem = SeveralFactors(name, sizes)
    found = problem.at(problem.offset, problem.Lambdas, problem.natural)
    A = problem.dense()
    u = np.concatenate([part.ravel() for part in found.u])
    terms = problem.family.terms(problem.offset + A @ u, problem.data, problem.natural)
    np.testing.assert_allclose(A.T @ terms.score[0], u, atol=1e-9)
    H = np.eye(len(u)) + (A.T * terms.weight[0]) @ A
    value = np.linalg.slogdet(H)[1] - 2 * terms.value.sum() + u @ u
    assert found.value[0] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "sizes"), [*product(["logit", "probit", "nb", "ordinal"], SHAPES)]
)
def test_gradient_with_several_factors(name: str, sizes: tuple[int, ...]) -> None:
    problem = SeveralFactors(name, sizes)
    here = problem.at(problem.offset, problem.Lambdas, problem.natural)
    step, rng = 1e-5, problem.rng
    e = rng.normal(size=(1, N))
    E = tuple(np.tril(rng.normal(size=L.shape)) for L in problem.Lambdas)
    d = rng.normal(size=problem.natural.shape)

    def moved(s: float) -> float:
        Lambdas = tuple(L + s * step * part for L, part in zip(problem.Lambdas, E, strict=True))
        at = problem.at(problem.offset + s * step * e, Lambdas, problem.natural + s * step * d)
        return float(at.value[0])

    slope = (here.rows * e).sum() + (here.natural.ravel() * d.ravel()).sum()
    slope += sum((G[0] * part).sum() for G, part in zip(here.Lambda, E, strict=True))
    assert (moved(1) - moved(-1)) / (2 * step) == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_sparse_and_full_products_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = SeveralFactors("logit", (2, 2, 2))
    one = problem.at(problem.offset, problem.Lambdas, problem.natural)
    monkeypatch.setattr("teamlink.mixed.generalized.joint._FULL", 2.0)
    listed = problem.at(problem.offset, problem.Lambdas, problem.natural)
    np.testing.assert_allclose(listed.value, one.value, rtol=1e-13)
    problem.rows = replace(problem.rows, products=None)
    monkeypatch.setattr("teamlink.mixed.generalized.joint._CELLS", 40)
    two = problem.at(problem.offset, problem.Lambdas, problem.natural)
    np.testing.assert_allclose(two.value, one.value, rtol=1e-13)
    for first, second in zip(one.Lambda, two.Lambda, strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-9, atol=1e-10)


@given(st.integers(0, 10_000))
def test_a_factor_without_variance_changes_nothing(seed: int) -> None:
    problem = SeveralFactors("logit", (1, 1), seed)
    without = (problem.Lambdas[0], np.zeros((1, 1)))
    both = problem.at(problem.offset, without, problem.natural)
    start = np.zeros((1, 1, J))
    one = evaluate(
        problem.factors[0], problem.family, problem.data, problem.offset,
        problem.Lambdas[0][None], problem.natural, start, None,
    )  # fmt: skip
    np.testing.assert_allclose(both.value, one.value, rtol=1e-12)
    np.testing.assert_allclose(both.rows, one.rows, atol=1e-9)


def test_replicates_do_not_depend_on_their_company() -> None:
    problem = OneFactor("logit", 2, 5)
    rng = np.random.default_rng(0)
    offset = np.concatenate([problem.offset, problem.offset + 3 * rng.normal(size=(1, N))])
    Lambda = np.concatenate([problem.Lambda, 4 * problem.Lambda])
    both = problem.at(offset, Lambda, problem.natural)
    for r in range(2):
        alone = problem.at(offset[r : r + 1], Lambda[r : r + 1], problem.natural)
        np.testing.assert_array_equal(both.value[r], alone.value[0])
        np.testing.assert_array_equal(both.rows[r], alone.rows[0])
