"""Cross-products add, survive far means, and their roots carry everything the likelihood needs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teamlink.moments.crossproducts import group_roots
from teamlink.moments.memory import accumulate, recompute_within
from teamlink.moments.standardize import (
    centred_columns,
    centred_responses,
    fitted_responses,
    orthonormal_columns,
)


def rows(seed: int, n: int = 200, J: int = 12, mean: float = 0.0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, J, n)
    codes[:J] = np.arange(J)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, 2)) + mean, rng.normal(size=J)[codes]])
    Z = np.column_stack([np.ones(n), rng.normal(size=n)])
    Y = rng.normal(size=(n, 3)) + mean + X[:, 1:2]
    return X, Y, Z, codes, J


def fixed_basis(X, intercept):
    centred = centred_columns(X, intercept)
    columns = centred.columns(X)
    return orthonormal_columns(X, centred, columns.T @ columns)[0]


def products(X, Y, Z, codes, J):
    """Sums in the working basis, formed in it; with the basis of X and of the responses."""
    fixed = fixed_basis(X, 0)
    plain = centred_responses(Y, fixed)
    response, _ = fitted_responses(accumulate(X, Y, Z, codes, J, fixed, plain), plain, len(X))
    return accumulate(X, Y, Z, codes, J, fixed, response), fixed, response


def test_products_carried_into_the_working_basis_are_those_formed_in_it():
    X, Y, Z, codes, J = rows(8, mean=100.0)
    formed, fixed, response = products(X, Y, Z, codes, J)
    centred = centred_columns(X, 0)
    plain = centred_responses(Y, centred)
    sums = accumulate(X, Y, Z, codes, J, centred, plain)
    _, sound = orthonormal_columns(X, centred, sums.XtX)
    carried = sums.rotated(fixed.kept, fixed.rotation).residuals(response.offset, response.scale)
    assert sound
    for name in ("counts", "ZtZ", "ZtX", "Zty", "XtX", "Xty", "yty"):
        assert getattr(carried, name) == pytest.approx(getattr(formed, name), abs=1e-9)


def test_nearly_collinear_columns_are_not_rotated_but_formed_anew():
    rng = np.random.default_rng(9)
    a, b = rng.normal(size=(2, 300))
    X = np.column_stack([np.ones(300), a, a + 1e-3 * b])
    centred = centred_columns(X, 0)
    columns = centred.columns(X)
    fixed, sound = orthonormal_columns(X, centred, columns.T @ columns)
    assert not sound
    Q = fixed.columns(X)
    assert Q.T @ Q == pytest.approx(np.eye(3), abs=1e-9)


def test_sums_are_those_of_the_working_columns():
    X, Y, Z, codes, J = rows(1)
    sums, fixed, response = products(X, Y, Z, codes, J)
    Q = fixed.columns(X)
    y = response.columns(Y, Q)
    assert Q.T @ Q == pytest.approx(np.eye(4), abs=1e-12)
    assert y.T @ Q == pytest.approx(np.zeros((3, 4)), abs=1e-10)
    assert sums.yty == pytest.approx(np.full(3, len(X)), rel=1e-12)
    for j in range(J):
        z = Z[codes == j]
        assert sums.ZtZ[:, :, j] == pytest.approx(z.T @ z, abs=1e-12)
        assert sums.ZtX[:, :, j] == pytest.approx(Q[codes == j].T @ z, abs=1e-12)
        assert sums.Zty[:, :, j] == pytest.approx(y[codes == j].T @ z, abs=1e-12)
        assert sums.counts[j] == len(z)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.integers(1, 199))
def test_chunks_add(seed, cut):
    X, Y, Z, codes, J = rows(seed)
    whole, fixed, response = products(X, Y, Z, codes, J)
    parts = [
        accumulate(X[part], Y[part], Z[part], codes[part], J, fixed, response)
        for part in (slice(None, cut), slice(cut, None))
    ]
    total = parts[0] + parts[1]
    for name in ("counts", "ZtZ", "ZtX", "Zty", "XtX", "Xty", "yty"):
        assert getattr(total, name) == pytest.approx(getattr(whole, name), abs=1e-9)


def test_the_length_of_a_chunk_changes_nothing(monkeypatch):
    X, Y, Z, codes, J = rows(2)
    whole, *_ = products(X, Y, Z, codes, J)
    monkeypatch.setattr("teamlink.moments.memory.CHUNK", 7)
    short, *_ = products(X, Y, Z, codes, J)
    assert short.ZtX == pytest.approx(whole.ZtX, abs=1e-9)
    assert short.Xty == pytest.approx(whole.Xty, abs=1e-9)


@pytest.mark.parametrize("mean", [0.0, 1e6])
def test_roots_reproduce_the_products_and_what_is_left_within_groups(mean):
    X, Y, Z, codes, J = rows(3, mean=mean)
    sums, fixed, response = products(X, Y, Z, codes, J)
    roots = group_roots(sums)
    Q = fixed.columns(X)
    U = np.column_stack([Q, response.columns(Y, Q)])
    left = np.zeros((U.shape[1], U.shape[1]))
    for j in range(J):
        z, u = Z[codes == j], U[codes == j]
        assert roots.S[:, :, j] @ roots.S[:, :, j].T == pytest.approx(z.T @ z, abs=1e-10)
        e = u - z @ np.linalg.pinv(z) @ u
        left += e.T @ e
    assert roots.WXX == pytest.approx(left[:4, :4], abs=1e-9)
    assert roots.WXy == pytest.approx(left[4:, :4], abs=1e-8)
    assert roots.Wyy == pytest.approx(np.diag(left)[4:], rel=1e-10)
    assert roots.rank == sum(np.linalg.matrix_rank(Z[codes == j]) for j in range(J))


def test_the_second_pass_keeps_digits_that_the_difference_loses():
    X, Y, Z, codes, J = rows(4)
    rng = np.random.default_rng(0)
    Y = 1e7 * rng.normal(size=(J, 1))[codes] + rng.normal(size=(len(X), 1))
    sums, fixed, response = products(X, Y, Z, codes, J)
    rough = group_roots(sums)
    exact = recompute_within(rough, X, Y, Z, codes, fixed, response)
    Q = fixed.columns(X)
    y = response.columns(Y, Q)[:, 0]
    left = 0.0
    for j in range(J):
        z = Z[codes == j]
        e = y[codes == j] - z @ np.linalg.lstsq(z, y[codes == j], rcond=None)[0]
        left += e @ e
    assert exact.Wyy[0] == pytest.approx(left, rel=1e-6)
    assert abs(rough.Wyy[0] / left - 1) > abs(exact.Wyy[0] / left - 1)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_redundant_columns_are_dropped_in_order(scale):
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 100)) * scale
    X = np.column_stack([np.ones(100), a, b, a - 2 * b, np.full(100, 7.0), a + 1e-5 * scale * b])
    # the last differs from `a` by more than R's tolerance of 1e-7, but is `a` + a multiple of `b`
    assert fixed_basis(X, 0).kept.tolist() == [0, 1, 2]


def test_nearly_collinear_columns_stay_above_the_tolerance_of_r():
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(2, 300))
    near = np.column_stack([np.ones(300), a, a + 1e-5 * b])
    same = np.column_stack([np.ones(300), a, a + 1e-9 * b])
    assert fixed_basis(near, 0).kept.tolist() == [0, 1, 2]
    assert fixed_basis(same, 0).kept.tolist() == [0, 1]


def test_coefficients_come_back_in_the_units_of_the_data():
    X, Y, *rest = rows(7, mean=1e6)
    _, fixed, response = products(X, Y, *rest)
    beta = response.offset @ fixed.K.T
    beta[:, 0] += response.shift
    centred = X.copy()
    centred[:, 1:] -= X[:, 1:].mean(axis=0)
    expected = np.linalg.lstsq(centred, Y, rcond=None)[0].T
    assert beta[:, 1:] == pytest.approx(expected[:, 1:], rel=1e-8)
    assert np.linalg.det(fixed.K) == pytest.approx(np.exp(fixed.log_det), rel=1e-6)
