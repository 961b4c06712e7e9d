r"""What the fixed effects would be without some rows, by formulas and not by refits.

The covariance V (in units of sigma^2) is held. In columns of X in which ``X'V^-1 X = I``, with

    P = V^-1 - V^-1 X X'V^-1,    H = V^-1 X,    u = P y,

leaving out the rows I moves the coefficients and their covariance exactly by

    beta - beta_(I) = H_I'P_II^-1 u_I,        C_(I) = I + H_I'P_II^-1 H_I,

the same as adding an indicator for each row of I. Where V has no covariance between the rows of I
and the others, this is ``C_(I) = (I - X_I'V_II^-1 X_I)^-1`` and
``beta - beta_(I) = C_(I) X_I'u_I``, of size p only.

References
----------
Christensen, Pearson, Johnson (1992), doi:10.2307/1269550. Haslett (1999),
doi:10.1111/1467-9868.00195.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from teamlink.errors import FitError
from teamlink.mixed.factor import Factor, lies_within
from teamlink.mixed.model import LinearMixed
from teamlink.mixed.precision import Precision, precision
from teamlink.typing import Array, Codes, Mask

__all__ = [
    "Deletion",
    "Whitened",
    "groups_stand_alone",
    "of_independent_groups",
    "of_rows",
    "of_sets",
    "rows_of_groups",
    "whitened",
]

_NOTHING_LEFT = 1e-4
"""P is positive semi-definite; a diagonal further below zero than this has no digits left."""

_DETERMINES = 1e-9
"""So small a share of the information on a coefficient, left after a deletion, is none."""


@dataclass(frozen=True, slots=True)
class Whitened:
    """The rows of a fit as deletion needs them.

    Attributes
    ----------
    precision : V^-1
    X : (n, p) columns in which X'V^-1 X = I
    H : (n, p) V^-1 X
    u : (n,) P y
    p_diagonal : (n,) diagonal of P
    back : (p, p) maps coefficients of X to those of the columns as given
    """

    precision: Precision
    X: Array
    H: Array
    u: Array
    p_diagonal: Array
    back: Array


@dataclass(frozen=True, slots=True)
class Deletion:
    """What each of k deletions does to the p fixed effects, sigma = 1.

    Attributes
    ----------
    shift : (k, p) beta - beta_(I), in units of the columns as given
    cooks_d : (k,) shift'C^-1 shift / p
    mdffits : (k,) shift'C_(I)^-1 shift / p
    covratio : (k,) |C_(I)| / |C|
    covtrace : (k,) tr(C^-1 C_(I)) - p
    estimable : (k,) False where some coefficient is lost with the rows; all else is NaN there
    """

    shift: Array
    cooks_d: Array
    mdffits: Array
    covratio: Array
    covtrace: Array
    estimable: Mask


def whitened(model: LinearMixed, theta: Array, beta: Array) -> Whitened:
    """Prepare the rows of a model.

    Parameters
    ----------
    model : LinearMixed with one response
    theta : (k,) working parameters
    beta : (p,) generalised least squares estimates at theta

    Raises
    ------
    FitError
        The residual variance is nothing beside that of the random effects.
    """
    inverse = precision(model, theta)
    X = model.fixed_columns
    # The engine's own root of X'V^-1 X, from cross-products: it exists wherever there is a fit.
    root = model.evaluate(theta[None]).M_root[0, :-1, :-1]
    back: Array = model.fixed.K @ np.linalg.inv(root).T
    W = X @ back
    H = inverse.times(W)
    u = inverse.times((model.design.y - X @ beta)[:, None])[:, 0]
    p_diagonal = inverse.diagonal() - np.square(H).sum(axis=1)
    if p_diagonal.min() < -_NOTHING_LEFT:
        raise FitError(
            "the random effects leave next to no residual variance: the rows' own part cannot be "
            "told from rounding; leave out random effects"
        )
    p_diagonal = np.maximum(p_diagonal, 0.0)
    return Whitened(inverse, W, H, u, p_diagonal, back)


def rows_of_groups(factor: Factor) -> list[Codes]:
    """The rows of each group, those with a share of it included."""
    W = factor.weights.tocsc()
    parts: list[Codes] = np.split(W.indices.astype(np.intp), W.indptr[1:-1])
    return parts


def groups_stand_alone(factor: Factor, factors: Sequence[Factor]) -> bool:
    """Whether rows of different groups are uncorrelated: every other factor lies within."""
    return factor.codes is not None and all(
        other is factor or lies_within(other, factor) for other in factors
    )


def of_rows(rows: Whitened) -> Deletion:
    """Delete each of the n rows by itself."""
    p = rows.X.shape[1]
    estimable = rows.p_diagonal > _DETERMINES * np.abs(rows.precision.diagonal())
    P = np.where(estimable, rows.p_diagonal, np.nan)
    shift = rows.H * (rows.u / P)[:, None]
    gain = np.square(rows.H).sum(axis=1) / P
    distance = np.square(shift).sum(axis=1) / max(p, 1)
    return Deletion(shift @ rows.back.T, distance, distance / (1 + gain), 1 + gain, gain, estimable)


def of_independent_groups(rows: Whitened, codes: Codes, J: int) -> Deletion:
    """Delete each of J groups, the rows of which are uncorrelated with all others."""
    p = rows.X.shape[1]
    order = np.argsort(codes, kind="stable")
    first = np.searchsorted(codes[order], np.arange(J))
    A = np.add.reduceat(rows.X[order, :, None] * rows.H[order, None, :], first, axis=0)
    r = np.add.reduceat(rows.X[order] * rows.u[order, None], first, axis=0)
    left = np.eye(p) - (A + A.swapaxes(1, 2)) / 2
    w, U = np.linalg.eigh(left)
    estimable = w.min(axis=1, initial=1.0) > _DETERMINES
    w = np.where(estimable[:, None], w, np.nan)
    C = (U / w[:, None, :]) @ U.swapaxes(1, 2)
    shift = np.einsum("jab,jb->ja", C, r)
    return Deletion(
        shift @ rows.back.T,
        np.square(shift).sum(axis=1) / max(p, 1),
        np.einsum("ja,ja->j", r, shift) / max(p, 1),
        1 / w.prod(axis=1),
        (1 / w - 1).sum(axis=1),
        estimable,
    )


def of_sets(rows: Whitened, sets: Iterable[Codes]) -> Deletion:
    """Delete each of several sets of rows, whatever their covariance with others."""
    p = rows.X.shape[1]
    found = [_of_set(rows, np.asarray(at, dtype=np.intp)) for at in sets]
    shift = np.array([one[0] for one in found]).reshape(-1, p)
    numbers = np.array([one[1] for one in found]).reshape(-1, 4)
    cooks_d, mdffits, covratio, covtrace = numbers.T
    estimable: Mask = np.isfinite(numbers).all(axis=1)
    return Deletion(shift @ rows.back.T, cooks_d, mdffits, covratio, covtrace, estimable)


def _of_set(rows: Whitened, at: Codes) -> tuple[Array, Array]:
    """Shift (p,), and Cook's distance, MDFFITS, COVRATIO and COVTRACE (4,) of one set."""
    p = rows.X.shape[1]
    H, u = rows.H[at], rows.u[at]
    V = rows.precision.block(at)
    # C_(I)^-1 = I - H'(V^-1)_II^-1 H is p x p, and its eigenvalues say what is lost.
    lost = np.full(p, np.nan), np.full(4, np.nan)
    try:
        root = np.linalg.cholesky(V)
    except np.linalg.LinAlgError:  # variances so large that these rows say nothing by themselves
        return lost
    h = np.linalg.solve(root, np.column_stack([H, u]))
    A = h[:, :p].T @ h[:, :p]
    w, U = np.linalg.eigh(np.eye(p) - A)
    if w.min(initial=1.0) <= _DETERMINES:
        return lost
    r = h[:, :p].T @ h[:, p]
    shift = U @ ((U.T @ r) / w)
    numbers = [shift @ shift / max(p, 1), r @ shift / max(p, 1), 1 / w.prod(), (1 / w - 1).sum()]
    return shift, np.array(numbers)
