"""The kernel of correlated residuals against V written out, and its derivatives against steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teamlink.mixed.correlation import Exchangeable, Independent, Power, Stationary, Unstructured
from teamlink.mixed.criterion import criterion, curvature
from teamlink.mixed.units import ResidualShape, bundles_of, distance_cells, pair_cells
from teamlink.mixed.whitening import residual_slopes, whiten, whitened_products
from teamlink.moments.crossproducts import group_roots

KINDS = ["ar1", "car1", "cs", "toeplitz", "unstructured", "none"]
T = 4


def design(kind: str, seed: int, nested: bool, q: int, strata: int, J: int = 6):
    """Columns [Z X y], bundles, shape, and what the dense matrix needs."""
    rng = np.random.default_rng(seed)
    unit, place, group = [], [], []
    u = 0
    for j in range(J):
        for _ in range(rng.integers(1, 4) if nested else 1):
            size = rng.integers(1, T + 1)
            unit += [u] * size
            place += list(rng.choice(T, size, replace=False))
            group += [j] * size
            u += 1
    # One unit has every place, so that every cell is there.
    unit, place, group = unit + [u] * T, place + list(range(T)), group + [J] * T
    unit, group = np.array(unit), np.array(group)
    place = np.array(place, dtype=float)
    if kind == "car1":
        place = place + np.array([0.0, 0.25, 0.1, 0.7])[place.astype(int)]
    n = len(unit)
    stratum = rng.integers(0, strata, n) if strata > 1 else np.zeros(n, dtype=int)
    shuffle = rng.permutation(n)
    unit, group, place, stratum = (a[shuffle] for a in (unit, group, place, stratum))
    own = np.arange(n) if kind == "none" else unit
    distances = np.unique(np.abs(place[:, None] - place[None, :]))
    family = {
        "ar1": Power(distances, False),
        "car1": Power(distances, True),
        "cs": Exchangeable(T),
        "toeplitz": Stationary(T - 1),
        "unstructured": Unstructured(tuple("abcd")),
        "none": Independent(),
    }[kind]
    bundles = []
    for bundle, places in bundles_of(own, place, stratum, group):
        if kind == "cs":
            size = places.shape[1]
            cells = np.repeat((1 - np.eye(size, dtype=int))[None], len(places), axis=0)
        elif kind == "unstructured":
            cells = pair_cells(places.astype(int))
        elif kind == "none":
            cells = bundle.cells
        else:
            cells = distance_cells(places, np.arange(T) if kind == "toeplitz" else distances)
        bundles.append(replace(bundle, cells=cells))
    shape = ResidualShape(family, tuple(map(str, range(strata))))
    X = np.column_stack([np.ones(n), rng.standard_normal(n)])
    Z = np.column_stack([np.ones(n), rng.standard_normal((n, 2))])[:, :q]
    y = X @ [1.0, 0.5] + rng.standard_normal(J + 1)[group] + rng.standard_normal(n)
    return np.column_stack([Z, X, y]), bundles, shape, (own, place, stratum, group, kind)


def dense_R(shape: ResidualShape, eta: np.ndarray, facts) -> np.ndarray:
    """R (n, n), pair by pair from the definition."""
    unit, place, stratum, _, kind = facts
    natural = shape.natural(eta)
    k = shape.split
    sd = np.concatenate([[1.0], natural[k:]])
    n = len(unit)
    R = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if unit[i] != unit[j]:
                continue
            d = abs(place[i] - place[j])
            r = 1.0
            if i != j:
                if kind in ("ar1", "car1"):
                    r = natural[0] ** d
                elif kind == "cs":
                    r = natural[0]
                elif kind == "toeplitz":
                    r = natural[int(d) - 1]
                elif kind == "unstructured":
                    s, t = sorted((int(place[i]), int(place[j])))
                    r = natural[shape.correlation.names.index(f"cor__{'abcd'[s]}.{'abcd'[t]}")]
            R[i, j] = r * sd[stratum[i]] * sd[stratum[j]]
    return R


def dense_deviance(columns, q, shape, eta, Lambda, facts, reml) -> float:
    group = facts[3]
    Z, X, y = columns[:, :q], columns[:, q:-1], columns[:, -1]
    same = group[:, None] == group[None, :]
    V = dense_R(shape, eta, facts) + same * (Z @ Lambda @ Lambda.T @ Z.T)
    Vi = np.linalg.inv(V)
    A = X.T @ Vi @ X
    e = y - X @ np.linalg.solve(A, X.T @ Vi @ y)
    nu = len(y) - X.shape[1] * reml
    value = np.linalg.slogdet(V)[1] + nu * (1 + np.log(2 * np.pi * (e @ Vi @ e) / nu))
    return value + reml * np.linalg.slogdet(A)[1]


def evaluate(columns, q, shape, bundles, eta, Lambda, reml, n_groups):
    white = whiten(columns, bundles, shape, eta)
    p = columns.shape[1] - q - 1
    roots = group_roots(whitened_products(white.rows, q, p, bundles, n_groups))
    point = criterion(roots, Lambda[None], reml)
    return float(point.deviance[0] + white.log_det), point, roots


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=settings().max_examples // 4)
@given(
    seed=st.integers(0, 10_000),
    nested=st.booleans(),
    q=st.integers(0, 3),
    strata=st.integers(1, 3),
    reml=st.booleans(),
)
def test_deviance_and_derivatives(kind, seed, nested, q, strata, reml) -> None:
    columns, bundles, shape, facts = design(kind, seed, nested, q, strata)
    rng = np.random.default_rng(seed + 1)
    k = shape.size
    eta = rng.standard_normal(k) * 0.6
    Lambda = np.tril(rng.standard_normal((q, q)))
    J = facts[3].max() + 1

    def at(step):
        return evaluate(columns, q, shape, bundles, eta + step, Lambda, reml, J)

    value, point, roots = at(0.0)
    np.testing.assert_allclose(
        value, dense_deviance(columns, q, shape, eta, Lambda, facts, reml), rtol=1e-10
    )
    found = residual_slopes(columns, bundles, shape, eta, roots, Lambda, point, reml)

    def gradient(step):
        _, p, r = at(step)
        own = residual_slopes(columns, bundles, shape, eta + step, r, Lambda, p, reml)
        return own.gradient, curvature(p, reml).score[0]

    D = rng.standard_normal((3, q, q))
    D = D + D.transpose(0, 2, 1)
    h = 1e-5
    size = 1 + np.abs(found.hessian).max(initial=0)
    for i in range(k):
        e = np.zeros(k)
        e[i] = h
        slope = (at(e)[0] - at(-e)[0]) / (2 * h)
        # Differences of values near 100 at step 1e-5 keep about eight digits.
        np.testing.assert_allclose(found.gradient[i], slope, atol=3e-6 * size)
        up, down = gradient(e), gradient(-e)
        np.testing.assert_allclose(found.hessian[i], (up[0] - down[0]) / (2 * h), atol=1e-7 * size)
        if q:
            mixed = found.mixed(D, curvature(point, reml).along(D[None])[0])[i]
            steps = np.einsum("cd,lcd->l", (up[1] - down[1]) / (2 * h), D)
            np.testing.assert_allclose(mixed, steps, atol=1e-7 * (size + np.abs(mixed).max()))
