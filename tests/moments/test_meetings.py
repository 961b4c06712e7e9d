"""The map from matrices of groups to components of the other factors, both ways of keeping it."""

from __future__ import annotations

import numpy as np
import pytest

from teamlink.moments import meetings as module
from teamlink.moments.meetings import FactoredMeetings, WrittenMeetings, meetings


def columns_of(q, J, K, s, seed):
    """C as (q, J, K, s), every group within one component, and its nonzero elements."""
    rng = np.random.default_rng(seed)
    C = np.zeros((q, J, K, s))
    component = rng.integers(0, K, J)
    there = rng.random((J, s)) < 0.5
    for j in range(J):
        C[:, j, component[j], there[j]] = rng.normal(size=(q, there[j].sum()))
    group, k, position = np.nonzero((C != 0).any(axis=0))
    return C, (C[:, group, k, position], group, k * s + position, (K, s), J)


@pytest.mark.parametrize("limit", [10**9, 0])
@pytest.mark.parametrize("dense", [0.0, 1.0])
@pytest.mark.parametrize(("q", "J", "K", "s"), [(1, 9, 1, 4), (2, 20, 1, 5), (3, 12, 4, 3)])
def test_the_map_and_its_adjoint_are_the_sums_written_out(q, J, K, s, limit, dense, monkeypatch):
    monkeypatch.setattr(module, "_WRITTEN", limit)
    monkeypatch.setattr(module, "_MUCH", limit)
    monkeypatch.setattr(module, "_DENSE", dense)
    C, pieces = columns_of(q, J, K, s, 10 * q + K)
    found = meetings(*pieces)
    assert isinstance(found, WrittenMeetings if limit else FactoredMeetings)
    rng = np.random.default_rng(0)
    w = rng.normal(size=(2, q, q, J))
    w = w + w.swapaxes(1, 2)
    rows, cols = np.tril_indices(q)
    summed = np.einsum("ajks,rabj,bjkt->rkst", C, w, C)
    assert found.apply(w[:, rows, cols]) == pytest.approx(summed, abs=1e-12)
    Phi = rng.normal(size=(2, K, s, s))
    Phi = Phi + Phi.swapaxes(2, 3)
    back = np.einsum("ajks,rkst,bjkt->rabj", C, Phi, C)[:, rows, cols]
    assert found.adjoint(Phi) == pytest.approx(back, abs=1e-12)


def test_large_designs_are_not_written_out():
    """A thousand groups that each meet two hundred columns: 40 million meetings, kept as C."""
    J, s = 1000, 200
    group, place = np.divmod(np.arange(J * s), s)
    found = meetings(np.ones((1, J * s)), group, place, (1, s), J)
    assert isinstance(found, FactoredMeetings)
    assert found.apply(np.ones((1, 1, J)))[0, 0] == pytest.approx(np.full((s, s), float(J)))
