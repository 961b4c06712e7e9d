"""The criterion at a given theta in extended precision: who is right when two programs differ.

Nothing here is shared with the engine. With W = Z Lambda and V = I + W W', in units of sigma^2::

    ML    sum_j log|V_j| + n (1 + log(2 pi r2 / n))
    REML  sum_j log|V_j| + log|X'V^-1 X| + (n - p) (1 + log(2 pi r2 / (n - p)))

where r2 = min_b (y - Xb)' V^-1 (y - Xb). X is orthogonalised first and the criterion moved back by
log|R|, so that means of a million and bad scales cost nothing; r2 is summed from residuals. On x86
NumPy's longdouble carries 64 bits of mantissa, so the value is good to about 1e-9.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from formulaic import model_matrix
from numpy.typing import NDArray

from .designs import Design

Wide = NDArray[np.longdouble]
RANK_TOLERANCE = 1e-7  # R's qr() drops a column whose remainder is shorter than this share of it


def fixed_matrix(design: Design) -> pd.DataFrame:
    """Columns of X by formulaic, (n, p), aliased ones included."""
    right = re.sub(r"\s*\+\s*\([^)]*\|[^)]*\)", "", design.formula.split("~")[1])
    return pd.DataFrame(model_matrix(right, design.data))


def random_matrix(design: Design) -> Wide:
    """Columns of Z, (n, q): the intercept first where there is one."""
    slopes = [f"x{k}" for k in range(1, design.traits["slopes"] + 1)]
    z = design.data[slopes].to_numpy(np.longdouble)
    if design.traits["intercept"]:
        z = np.column_stack([np.ones(len(z), np.longdouble), z])
    return z


def root(theta: NDArray[np.float64], q: int) -> Wide:
    """Lower-triangular Lambda, (q, q), from lme4's theta: by columns, or the diagonal of `||`."""
    lam = np.zeros((q, q), np.longdouble)
    if theta.size == q:
        lam[np.diag_indices(q)] = theta
    else:
        columns, rows = np.triu_indices(q)
        lam[rows, columns] = theta
    return lam


def orthogonalise(x: Wide) -> tuple[Wide, float, list[int]]:
    """Orthonormal columns of X, log|R|, and the positions of the columns kept, in R's order."""
    kept: list[int] = []
    basis = np.empty((x.shape[0], 0), np.longdouble)
    log_r = np.longdouble(0)
    for k in range(x.shape[1]):
        column = x[:, k].copy()
        for _ in range(3):
            column = column - basis @ (basis.T @ column)
        length = np.sqrt(column @ column)
        if length <= RANK_TOLERANCE * np.sqrt(x[:, k] @ x[:, k]):
            continue
        kept.append(k)
        log_r += np.log(length)
        basis = np.column_stack([basis, column / length])
    return basis, float(log_r), kept


def cholesky(a: Wide) -> Wide:
    """Lower Cholesky factors of a stack of small matrices, (..., q, q)."""
    q = a.shape[-1]
    low = np.zeros_like(a)
    for k in range(q):
        low[..., k, k] = np.sqrt(a[..., k, k] - (low[..., k, :k] ** 2).sum(-1))
        for i in range(k + 1, q):
            inner = (low[..., i, :k] * low[..., k, :k]).sum(-1)
            low[..., i, k] = (a[..., i, k] - inner) / low[..., k, k]
    return low


def forward(low: Wide, b: Wide) -> Wide:
    """Solve L x = b for stacks, b (..., q, m)."""
    x = np.zeros_like(b)
    for k in range(low.shape[-1]):
        inner = (low[..., k, :k, None] * x[..., :k, :]).sum(-2)
        x[..., k, :] = (b[..., k, :] - inner) / low[..., k, k, None]
    return x


def backward(low: Wide, b: Wide) -> Wide:
    """Solve L' x = b for stacks, b (..., q, m)."""
    x = np.zeros_like(b)
    for k in reversed(range(low.shape[-1])):
        inner = (low[..., k + 1 :, k, None] * x[..., k + 1 :, :]).sum(-2)
        x[..., k, :] = (b[..., k, :] - inner) / low[..., k, k, None]
    return x


def criterion(design: Design, theta: NDArray[np.float64]) -> float:
    """Evaluate minus twice the (restricted) log-likelihood at `theta`, sigma and beta profiled."""
    order = np.argsort(pd.factorize(design.data["g"])[0], kind="stable")
    codes = pd.factorize(design.data["g"])[0][order]
    starts = np.flatnonzero(np.r_[True, np.diff(codes) > 0])
    x = fixed_matrix(design).to_numpy(np.longdouble)[order]
    basis, log_r, kept = orthogonalise(x)
    y = design.data["y"].to_numpy(np.longdouble)[order]
    for _ in range(3):
        y = y - basis @ (basis.T @ y)
    z = random_matrix(design)[order]
    w = z @ root(theta, z.shape[1])
    both = np.column_stack([basis, y])

    gram = np.add.reduceat(w[:, :, None] * w[:, None, :], starts, axis=0)
    cross = np.add.reduceat(w[:, :, None] * both[:, None, :], starts, axis=0)
    low = cholesky(gram + np.eye(w.shape[1], dtype=np.longdouble))
    log_v = 2 * np.log(np.diagonal(low, axis1=-2, axis2=-1)).sum()
    half = forward(low, cross)
    s = both.T @ both - (half[:, :, :, None] * half[:, :, None, :]).sum((0, 1))
    p, n = len(kept), len(y)
    low_x = cholesky(s[:p, :p])
    beta = backward(low_x, forward(low_x, s[:p, p:]))[:, 0]
    u = backward(low, half[:, :, p:] - (half[:, :, :p] @ beta)[:, :, None])[:, :, 0]
    rest = y - basis @ beta - (w * u[codes]).sum(1)
    r2 = rest @ rest + (u * u).sum()
    nu = n - p if design.reml else n
    value = log_v + nu * (1 + np.log(2 * np.longdouble(np.pi) * r2 / nu))
    if design.reml:
        value += 2 * (np.log(np.diagonal(low_x)).sum() + np.longdouble(log_r))
    return float(value)
