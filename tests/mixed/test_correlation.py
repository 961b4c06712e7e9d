"""Families of correlation: derivatives, inverses, positive definiteness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teamlink.mixed.correlation import Exchangeable, Power, Stationary, Unstructured

FAMILIES = [
    Power(np.array([0.0, 1, 2, 3, 5]), continuous=False),
    Power(np.array([0.0, 0.3, 1.7, 4]), continuous=True),
    Exchangeable(4),
    Exchangeable(2),
    Stationary(1),
    Stationary(5),
    Unstructured(("a", "b")),
    Unstructured(("8", "10", "12", "14", "16")),
]


def matrix(family: object, value: np.ndarray) -> np.ndarray:
    """The largest correlation matrix that a family's cells fill."""
    if isinstance(family, Power):
        places = family.distances
        if family.continuous:
            base = family.natural(family.coordinates(value[1:2] ** (1 / family.distances[1])))
            return base ** np.abs(places[:, None] - places[None, :])
        phi = value[1]
        return phi ** np.abs(places[:, None] - places[None, :])
    if isinstance(family, Exchangeable):
        return np.where(np.eye(family.size) == 1, 1.0, value[1])
    if isinstance(family, Stationary):
        lag = np.arange(family.lags + 1)
        return value[np.abs(lag[:, None] - lag[None, :])]
    C = np.eye(len(family.occasions))
    later, earlier = family.pairs
    C[later, earlier] = C[earlier, later] = value[1:]
    return C


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"{type(f).__name__}")
@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_jets_inverses_and_definiteness(family: object, seed: int) -> None:
    k = len(family.names)
    rng = np.random.default_rng(seed)
    eta = rng.standard_normal(k) * 0.8
    jet = family.jet(eta)
    assert jet.value[0] == 1
    h = 1e-5
    for i in range(k):
        e = np.zeros(k)
        e[i] = h
        up, down = family.jet(eta + e), family.jet(eta - e)
        # Central differences of step h err by h^2 times a third derivative.
        np.testing.assert_allclose((up.value - down.value) / (2 * h), jet.first[i], atol=1e-8)
        np.testing.assert_allclose((up.first - down.first) / (2 * h), jet.second[i], atol=1e-8)
    np.testing.assert_allclose(family.coordinates(family.natural(eta)), eta, atol=1e-8)
    assert np.linalg.eigvalsh(matrix(family, jet.value))[0] > 0


@pytest.mark.parametrize(
    ("family", "eta"),
    [
        (FAMILIES[0], [8.0]),
        (FAMILIES[0], [-8.0]),
        (FAMILIES[1], [-40.0]),
        (FAMILIES[1], [12.0]),
        (FAMILIES[2], [-12.0]),
        (FAMILIES[2], [12.0]),
        (Stationary(2), [0.1, 7.0]),
        (Unstructured(("a", "b", "c")), [0.1, 0.2, 300.0]),
    ],
)
def test_edges(family: object, eta: list[float]) -> None:
    assert family.at_edge(np.array(eta))
    assert not family.at_edge(np.array(eta) / 10)
