"""The criterion of a model with several factors in extended precision, given Lambda.

As `arbiter`, whose formulas hold with Z the columns of all factors side by side and Lambda block
diagonal. Here ``Omega = I + W'W`` with W = Z Lambda is written out in full, (Q, Q), and factored
densely; a row of W has few entries that are not zero, which is all that is used of sparsity.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import arbiter
from .arbiter import Wide, orthogonalise
from .designs import Design


@dataclass(frozen=True, slots=True)
class Root:
    """Lambda of one random term.

    Attributes
    ----------
    group : grouping columns
    effects : ``"Intercept"`` or the name of a column, in the order of the rows of `values`
    values : (q, q)
    """

    group: tuple[str, ...]
    effects: tuple[str, ...]
    values: NDArray[np.float64]


def roots_of_lme4(terms: Sequence[dict[str, Any]], theta: NDArray[np.float64]) -> list[Root]:
    """Cut lme4's theta into the factors of its terms, in its own order."""
    found, first = [], 0
    for term in terms:
        effects = tuple("Intercept" if e == "(Intercept)" else e for e in term["names"])
        q = len(effects)
        low = np.zeros((q, q))
        columns, rows = np.triu_indices(q)
        low[rows, columns] = theta[first : first + columns.size]
        first += columns.size
        # of a path a/b/c lme4 says "c:(b:a)"
        found.append(Root(tuple(re.findall(r"[^:()]+", term["group"])), effects, low))
    if first != theta.size:
        raise ValueError(f"lme4 gave {theta.size} elements of theta for terms with {first}")
    return found


def roots_of_fit(fit: Any) -> list[Root]:
    """The factors of a fit of ours, one for each grouping factor."""
    low = fit.model.structure.factor(np.asarray(fit.theta))
    return [
        Root(factor.variables, factor.names, low[place, place])
        for factor, place in zip(fit.model.design.factors, fit.model.structure.factors, strict=True)
    ]


def group_codes(data: pd.DataFrame, group: tuple[str, ...]) -> NDArray[np.intp]:
    """Group of each row by the combination of columns, (n,)."""
    columns = [pd.factorize(data[name])[0] for name in group]
    return np.unique(np.column_stack(columns), axis=0, return_inverse=True)[1].ravel()


def effect_columns(data: pd.DataFrame, effects: tuple[str, ...]) -> Wide:
    """Columns of Z, (n, q)."""
    ones = np.ones(len(data))
    columns = [ones if effect == "Intercept" else data[effect] for effect in effects]
    return np.column_stack(columns).astype(np.longdouble)


def sparse_rows(data: pd.DataFrame, roots: Sequence[Root]) -> tuple[NDArray[np.intp], Wide, int]:
    """The entries of W that may differ from zero: columns (n, s), values (n, s); and Q."""
    places, values, first = [], [], 0
    for root in roots:
        codes, q = group_codes(data, root.group), len(root.effects)
        places.append(first + codes[:, None] * q + np.arange(q))
        values.append(effect_columns(data, root.effects) @ root.values.astype(np.longdouble))
        first += (int(codes.max()) + 1) * q
    return np.hstack(places), np.hstack(values), first


def cholesky(a: Wide) -> Wide:
    """Lower Cholesky factor of one large matrix, (Q, Q)."""
    low = np.zeros_like(a)
    for k in range(len(a)):
        column = a[k:, k] - low[k:, :k] @ low[k, :k]
        low[k:, k] = column / np.sqrt(column[0])
    return low


def forward(low: Wide, b: Wide) -> Wide:
    """Solve L x = b, b (Q, m)."""
    x = np.zeros_like(b)
    for k in range(len(low)):
        x[k] = (b[k] - low[k, :k] @ x[:k]) / low[k, k]
    return x


def backward(low: Wide, b: Wide) -> Wide:
    """Solve L' x = b, b (Q,)."""
    x = np.zeros_like(b)
    for k in reversed(range(len(low))):
        x[k] = (b[k] - low[k + 1 :, k] @ x[k + 1 :]) / low[k, k]
    return x


def criterion(design: Design, roots: Sequence[Root]) -> float:
    """Evaluate minus twice the (restricted) log-likelihood, sigma and beta profiled."""
    x = arbiter.fixed_matrix(design).to_numpy(np.longdouble)
    basis, log_r, kept = orthogonalise(x)
    y = design.data["y"].to_numpy(np.longdouble)
    for _ in range(3):
        y = y - basis @ (basis.T @ y)
    both = np.column_stack([basis, y])
    at, w, Q = sparse_rows(design.data, roots)

    omega = np.eye(Q, dtype=np.longdouble)
    np.add.at(omega, (at[:, :, None], at[:, None, :]), w[:, :, None] * w[:, None, :])
    cross = np.zeros((Q, both.shape[1]), np.longdouble)
    np.add.at(cross, at, w[:, :, None] * both[:, None, :])
    low = cholesky(omega)
    half = forward(low, cross)
    s = both.T @ both - half.T @ half
    p, n = len(kept), len(y)
    low_x = cholesky(s[:p, :p])
    beta = backward(low_x, forward(low_x, s[:p, p:])[:, 0])
    u = backward(low, half[:, p] - half[:, :p] @ beta)
    rest = y - basis @ beta - (w * u[at]).sum(axis=1)
    r2 = rest @ rest + u @ u
    nu = n - p if design.reml else n
    value = 2 * np.log(np.diagonal(low)).sum()
    value += nu * (1 + np.log(2 * np.longdouble(np.pi) * r2 / nu))
    if design.reml:
        value += 2 * (np.log(np.diagonal(low_x)).sum() + np.longdouble(log_r))
    return float(value)
