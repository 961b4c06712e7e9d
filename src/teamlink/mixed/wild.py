r"""The wild cluster bootstrap of the fixed effects.

The residuals of a whole cluster are multiplied by one random weight w_j with mean zero and
variance one, which keeps what is within clusters as it is, whatever the model of the variances says
(Cameron, Gelbach and Miller 2008; for multilevel models Modugno and Giannerini 2015). Here

    y*_j = X_j beta + w_j A_j e_j,        beta* = M sum_j X_j'V_j^-1 y*_j,

with the adjustment A_j of CR2 (`teamlink.mixed.sandwich`), the counterpart under generalised least
squares of dividing residuals by the root of one less their leverage. V is held at its estimate, as
the weight matrix that it is in the robust covariance: so the covariance of beta* over the weights
is that of CR2, exactly. A replicate has the residuals ``w_j A_j e_j - X_j delta`` with
delta = beta* - beta, hence the robust covariance

    M { sum_j t_j t_j' } M,    t_j = w_j E_j A_j e_j - E_j X_j delta,    E_j = X_j'V_j^-1 A_j,

and all is linear in small vectors a cluster: no response is drawn and nothing is refitted.

A test imposes its null: beta and e_j are those of the fit restricted to it (with V held), and the
Wald statistic of a replicate is centred there.

References
----------
Cameron, Gelbach, Miller (2008), doi:10.1162/rest.90.3.414. Modugno, Giannerini (2015),
doi:10.1080/03610926.2013.802807. Webb (2023), doi:10.1111/caje.12661. Mammen (1993),
doi:10.1214/aos/1176349025.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from teamlink.errors import check_option
from teamlink.mixed.sandwich import Pieces
from teamlink.typing import Array

if TYPE_CHECKING:
    from teamlink.mixed.model import LinearMixed

__all__ = ["WEIGHTS", "draw_weights", "wild", "wild_p_value"]

WEIGHTS = ("rademacher", "webb", "mammen")

_KIND = "CR2"

_NUMBERS = 10_000_000
"""Replicates are worked on so many numbers at a time."""


def draw_weights(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Random weights of mean zero and variance one.

    Parameters
    ----------
    kind : {"rademacher", "webb", "mammen"}
        One or minus one; six points, for few clusters; two points with a third moment of one.
    shape : replicates, clusters
    rng : generator
    """
    check_option("weights", kind, WEIGHTS)
    u = rng.random(shape)
    if kind == "rademacher":
        return np.where(u < 0.5, -1.0, 1.0)
    if kind == "mammen":
        root = np.sqrt(5.0)
        two: Array = np.where(u < (root + 1) / (2 * root), -(root - 1) / 2, (root + 1) / 2)
        return two
    points = np.sqrt([1.5, 1.0, 0.5])
    six: Array = np.concatenate([-points, points])[np.minimum((u * 6).astype(np.intp), 5)]
    return six


def wild(
    model: LinearMixed, theta: Array, n: int, rng: np.random.Generator, weights: str
) -> tuple[Array, Array, Array]:
    """Coefficients of n replicates with their robust standard errors.

    Parameters
    ----------
    model : LinearMixed with one response
    theta : (k,)
    n : replicates
    rng : generator
    weights : one of `WEIGHTS`

    Returns
    -------
    values : (n, p)
    std_error : (n, p)
    own : (p,) robust standard errors of the fit itself
    """
    pieces = Pieces.of(model, theta[None], _KIND)
    scale = model.response.scale[0] * pieces.back
    s, v, K = pieces.perturbed(np.zeros(len(scale)))
    beta = model.estimates(theta[None]).values[0]
    W = draw_weights(weights, (n, pieces.count), rng)
    values, spread = np.empty((n, len(beta))), np.empty((n, len(beta)))
    for rows in _batches(n, v.size):
        delta, t = _replicates(W[rows], s, v, K, scale)
        values[rows] = beta + delta @ scale.T
        spread[rows] = np.square(t).sum(axis=1)
    own = np.square(s @ scale.T).sum(axis=0)
    return values, np.sqrt(spread), np.sqrt(own)


def wild_p_value(
    model: LinearMixed, theta: Array, contrasts: Array, difference: Array, kind: str, n: int,
    rng: np.random.Generator, weights: str,
) -> float:  # fmt: skip
    """P value of a joint hypothesis, the null imposed.

    Parameters
    ----------
    model : LinearMixed with one response
    theta : (k,)
    contrasts : (r, p) independent rows L
    difference : (r,) L beta less what it is under the null
    kind : of the robust covariance in the Wald statistic
    n, rng, weights : as for `wild`
    """
    pieces = Pieces.of(model, theta[None], kind)
    L = contrasts @ (model.response.scale[0] * pieces.back)
    # The residuals of the restricted fit are e + X h.
    h = L.T @ np.linalg.solve(L @ L.T, difference)
    own = L @ pieces.scores().T
    observed = float(difference @ np.linalg.solve(own @ own.T, difference))
    s, v, K = pieces.perturbed(h)
    W = draw_weights(weights, (n, pieces.count), rng)
    beyond = 0
    for rows in _batches(n, v.size):
        delta, t = _replicates(W[rows], s, v, K, L)
        away = delta @ L.T
        V = np.swapaxes(t, 1, 2) @ t
        wald = np.einsum("nr,nr->n", away, np.linalg.solve(V, away[:, :, None])[:, :, 0])
        beyond += int((wald >= observed * (1 - 1e-10)).sum())
    return (1 + beyond) / (n + 1)


def _replicates(W: Array, s: Array, v: Array, K: Array, L: Array) -> tuple[Array, Array]:
    """Changes of the coefficients (n, p), and what each cluster adds to the variance (n, J, r)."""
    delta = W @ s
    moved = np.einsum("jrp,np->njr", L @ K, delta)
    return delta, W[:, :, None] * (v @ L.T) - moved


def _batches(n: int, size: int) -> list[slice]:
    step = max(1, _NUMBERS // (4 * size))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]
