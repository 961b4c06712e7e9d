r"""Regression on dyads with permutation distributions, all permutations in matrix products.

y = C b + u over D dyads; C holds predictors, and the intercept or one for each school. Ties of one
person depend on each other, so t = b / se is compared with its distribution over rearrangements of
people, not with Student's.

Double semi-partialling: e_j is what the other columns Z_j leave of x_j. It is permuted, and y
regressed on Z_j and permuted e_j. With Q an orthonormal basis of Z_j and r what Z_j leaves of y,

    d = e*'e* - |Q'e*|^2,   b = e*'r / d,   s^2 = (r'r - b^2 d) / (D - p),   t = b sqrt(d) / s,

so all that a permutation costs is its row of the products of permuted e_j (R, D) with Q and r.

For a binary y the statistic is the root of the score test of x_j beside Z_j, with m the fitted
means of the logistic regression on Z_j alone and w = m (1 - m):

    z = e*'(y - m) / sqrt(e*'w e* - e*'wZ (Z'wZ)^-1 Z'w e*).

The fit on Z_j does not change when e_j is permuted, so that again there is one product for all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from teamlink.errors import FitError
from teamlink.typing import Array, Codes, Mask

__all__ = [
    "Regression",
    "correlations",
    "least_squares",
    "logistic",
    "permuted_response",
    "semi_partialled",
]

_STEPS = 50
_LARGEST = 30.0
"""A linear predictor this far from zero: probabilities of 0 or 1, hence no finite estimate."""


@dataclass(frozen=True, slots=True)
class Regression:
    """A regression on dyads.

    Attributes
    ----------
    coefficients, std_error : (p,)
    explained : R squared; for a logistic regression McFadden's
    """

    coefficients: Array
    std_error: Array
    explained: float


def least_squares(y: Array, C: Array) -> Regression:
    """Ordinary least squares of y (D,) on C (D, p)."""
    Q, R = np.linalg.qr(C)
    b = np.linalg.solve(R, Q.T @ y)
    residual = y - C @ b
    rss, (D, p) = float(residual @ residual), C.shape
    inverse = np.linalg.inv(R)
    error = np.sqrt(rss / (D - p) * np.square(inverse).sum(axis=1))
    centred = y - y.mean()
    return Regression(b, error, 1 - rss / float(centred @ centred))


def logistic(y: Array, C: Array) -> Regression:
    """Maximum likelihood of a logistic regression of y (D,), 0 or 1, on C (D, p).

    Raises
    ------
    FitError
        The predictors separate ties from their absence: there is no finite estimate.
    """
    scale = np.sqrt(np.square(C).mean(axis=0))
    X = C / scale
    b = np.zeros(C.shape[1])
    for _ in range(_STEPS):
        eta = X @ b
        if np.abs(eta).max() > _LARGEST:
            break
        m = 1 / (1 + np.exp(-eta))
        information = (X * (m * (1 - m))[:, None]).T @ X
        step = np.linalg.solve(information, X.T @ (y - m))
        b = b + step
        if np.abs(step).max() < 1e-10:
            deviance = _deviance(y, X @ b)
            empty = _deviance(y, np.full(len(y), np.log(y.mean() / (1 - y.mean()))))
            error = np.sqrt(np.diag(np.linalg.inv(information)))
            return Regression(b / scale, error / scale, 1 - deviance / empty)
    raise FitError(
        "the logistic regression has no finite estimate: some predictors separate ties from their "
        "absence; leave out or merge the predictor that does"
    )


def _deviance(y: Array, eta: Array) -> float:
    return float(2 * (np.logaddexp(0, eta) - y * eta).sum())


def semi_partialled(
    y: Array, C: Array, tested: int, binary: bool, batches: Iterable[Codes], flat: FlatDyads
) -> tuple[Array, Array]:
    """Statistics of the first `tested` columns of C, observed (k,) and permuted (R, k)."""
    parts = [_Partial.of(y, C, j, binary) for j in range(tested)]
    held = np.stack([flat.spread(part.e) for part in parts])
    observed = np.array([part.statistic(part.e[None])[0] for part in parts])
    permuted = [
        np.column_stack([part.statistic(own[at]) for part, own in zip(parts, held, strict=True)])
        for at in batches
    ]
    return observed, np.concatenate(permuted)


@dataclass(frozen=True, slots=True)
class FlatDyads:
    """Where the dyads of a regression stand in the flat matrices.

    Attributes
    ----------
    size : length F of the flat matrices
    place, mirror : (D,) place of each dyad, and of its other direction
    directed : whether the two differ
    """

    size: int
    place: Codes
    mirror: Codes
    directed: bool

    def spread(self, values: Array, fill: float = 0.0) -> Array:
        """Flat matrices (F,) of values (D,); `fill` where a dyad takes no part."""
        flat = np.full(self.size, fill)
        flat[self.place] = values
        if not self.directed:
            flat[self.mirror] = values
        return flat


@dataclass(frozen=True, slots=True)
class _Partial:
    """One predictor beside the others.

    Attributes
    ----------
    e : (D,) what the others leave of it
    products : (D, q + 1) what permuted e is multiplied with: a basis of the others, and y
    weight : (D,) of squares of e; None for ones
    rest : r'r, nan for a score test
    df : D - p
    """

    e: Array
    products: Array
    weight: Array | None
    rest: float
    df: int

    @classmethod
    def of(cls, y: Array, C: Array, j: int, binary: bool) -> _Partial:
        Z, x = np.delete(C, j, axis=1), C[:, j]
        Q = np.linalg.qr(Z)[0]
        e = x - Q @ (Q.T @ x)
        e -= Q @ (Q.T @ e)
        df = len(y) - C.shape[1]
        if not binary:
            r = y - Q @ (Q.T @ y)
            return cls(e, np.column_stack([Q, r]), None, float(r @ r), df)
        eta = Z @ logistic(y, Z).coefficients if Z.shape[1] else np.zeros(len(y))
        m = 1 / (1 + np.exp(-eta))
        w = m * (1 - m)
        basis = np.linalg.qr(Z * np.sqrt(w)[:, None])[0]
        return cls(e, np.column_stack([basis * np.sqrt(w)[:, None], y - m]), w, np.nan, df)

    def statistic(self, e: Array) -> Array:
        """(R,) of e (R, D), permuted or not."""
        sums = e @ self.products
        whole = np.einsum("rd,rd->r", e, e) if self.weight is None else (e * e) @ self.weight
        d = whole - np.square(sums[:, :-1]).sum(axis=1)
        root = np.sqrt(np.maximum(d, 0.0))
        score: Array = np.divide(sums[:, -1], root, out=np.zeros(len(e)), where=root > 0)
        if self.weight is not None:
            return score
        found: Array = score / np.sqrt(np.maximum(self.rest - score**2, 1e-300) / self.df)
        return found


def permuted_response(
    y: Array, C: Array, tested: int, batches: Iterable[Codes], flat: FlatDyads
) -> tuple[Array, Array]:
    """The same where y is permuted, not the predictors.

    A dyad onto which an unknown tie falls is left out of that permutation's regression.
    """
    X = C / np.sqrt(np.square(C).sum(axis=0))
    held = flat.spread(y, np.nan)
    p = X.shape[1]
    upper = np.triu_indices(p)
    squares = X[:, upper[0]] * X[:, upper[1]]
    observed = _t_values(np.ones((1, len(y))), y[None], X, squares)[0, :tested]
    permuted = []
    for at in batches:
        values = held[at]
        known: Mask = ~np.isnan(values)
        weight = np.ones((1, len(y))) if known.all() else known.astype(float)
        permuted.append(_t_values(weight, np.where(known, values, 0.0), X, squares)[:, :tested])
    return observed, np.concatenate(permuted)


def _t_values(weight: Array, y: Array, X: Array, squares: Array) -> Array:
    """(R, p) t of regressions of y (R, D) on X (D, p) over dyads of weight one, (R or 1, D)."""
    p = X.shape[1]
    upper = np.triu_indices(p)
    gram = np.empty((len(weight), p, p))
    gram[:, upper[0], upper[1]] = weight @ squares
    gram[:, upper[1], upper[0]] = gram[:, upper[0], upper[1]]
    inverse = np.linalg.inv(gram)
    sums = y @ X
    b = np.einsum("rpq,rq->rp", np.broadcast_to(inverse, (len(y), p, p)), sums)
    rss = np.einsum("rd,rd->r", y, y) - np.einsum("rp,rp->r", b, sums)
    variance = rss / (weight.sum(axis=1) - p)
    found: Array = b / np.sqrt(variance[:, None] * np.diagonal(inverse, axis1=1, axis2=2))
    return found


def correlations(a: Array, b: Array, batches: Iterable[Codes], flat: FlatDyads) -> Array:
    """(R,) correlations of a (D,) with permuted b (D,), over dyads of which both are known."""
    shift_a, shift_b = np.nanmean(a), np.nanmean(b)
    have = ~np.isnan(a)
    x = np.where(have, a - shift_a, 0.0)
    left = np.column_stack([have.astype(float), x, x * x])
    held = flat.spread(b - shift_b, np.nan)
    found = []
    for at in batches:
        values = held[at]
        known = ~np.isnan(values)
        values = np.where(known, values, 0.0)
        n, sx, sxx = (known.astype(float) @ left).T
        sy, sxy, _ = (values @ left).T
        syy = (values * values) @ left[:, 0]
        cross, xx, yy = sxy - sx * sy / n, sxx - sx**2 / n, syy - sy**2 / n
        whole = np.sqrt(np.maximum(xx, 0) * np.maximum(yy, 0))
        found.append(np.divide(cross, whole, out=np.zeros(len(cross)), where=whole > 0))
    return np.concatenate(found)
