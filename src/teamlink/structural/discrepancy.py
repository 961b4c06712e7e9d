r"""Likelihoods of a structural model: functions of implied moments alone.

A likelihood takes the implied moments of all blocks and gives minus twice its logarithm with all
constants, its slopes in these moments, and the quadratic forms that make Hessians. It knows no
parameters: the structure carries slopes back, whatever the likelihood. Blocks come in the order of
groups, within a group in the order of levels.

For n complete rows of a group with means ``ybar`` and covariance ``S`` (divisor n), with
``d = ybar - mu`` and ``Omega = S + d d'``,

    -2 logL = n [p log 2 pi + log|Sigma| + tr(Sigma^-1 Omega)],
    dF/dSigma = n (Sigma^-1 - Sigma^-1 Omega Sigma^-1),    dF/dmu = -2 n Sigma^-1 d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from teamlink.moments.samples import Samples
from teamlink.structural.implied import Moments, Tangents
from teamlink.typing import Array, Codes, Mask

__all__ = ["CompleteData", "CompletePoint", "Likelihood", "Point", "block_diagonal", "factor"]


class Point(Protocol):
    """Minus twice a log-likelihood at given moments, with its derivatives in them.

    Attributes
    ----------
    value : (R,) infinite where the moments are none of a distribution
    Sigma : slopes, per block (R, p, p), symmetric, ``dF = tr(G dSigma)``
    mu : slopes, per block (R, p)
    """

    @property
    def value(self) -> Array: ...  # noqa: D102

    @property
    def Sigma(self) -> tuple[Array, ...]: ...  # noqa: D102

    @property
    def mu(self) -> tuple[Array, ...]: ...  # noqa: D102

    def curvature(self, tangents: Sequence[Tangents], expected: bool = False) -> Array:
        """Second derivatives (R, n, n) along the moments, each block moving in its own directions.

        The n directions are those of all blocks one after the other. Where `expected`, they are
        the expectation under the model: twice the information.
        """
        ...


class Likelihood(Protocol):
    """Minus twice a log-likelihood as a function of implied moments."""

    def at(self, moments: Sequence[Moments], index: Codes) -> Point:
        """Evaluate; `index` (R,) says which replicate of the data each row is of."""
        ...

    def scores(
        self, moments: Sequence[Moments], tangents: Sequence[Tangents], values: Sequence[Array]
    ) -> tuple[Array, ...]:
        """Slopes (n_g, n_b) of each row's log-likelihood along the directions of its own block.

        Moments and tangents are those of one replicate, `values` the rows of each group.
        """
        ...


def factor(Sigma: Array) -> tuple[Array, Array, Mask | None]:
    """Inverse Cholesky factors (R, p, p), log determinants (R,), and which exist (R,).

    Where there is none the factor is that of the unit matrix; None says that all exist.
    """
    try:
        L = np.linalg.cholesky(Sigma)
        diagonal = np.diagonal(L, axis1=1, axis2=2)
        if np.isfinite(diagonal).all():
            return np.asarray(np.linalg.inv(L)), 2 * np.log(diagonal).sum(axis=1), None
    except np.linalg.LinAlgError:
        pass
    finite: Mask = np.asarray(np.isfinite(Sigma).all(axis=(1, 2)))
    tame = np.where(finite[:, None, None], Sigma, -np.eye(Sigma.shape[1]))
    w = np.linalg.eigvalsh(tame)
    sound: Mask = w[:, 0] > 1e-14 * np.maximum(w[:, -1], 0.0)
    L = np.linalg.cholesky(np.where(sound[:, None, None], Sigma, np.eye(Sigma.shape[1])))
    logdet = 2 * np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)
    return np.asarray(np.linalg.inv(L)), logdet, sound


@dataclass(frozen=True, slots=True)
class CompletePoint:
    """See `Point`; also what the second derivatives need.

    Attributes
    ----------
    n : per block (R,) rows
    Li : per block (R, p, p) inverse Cholesky factors of Sigma
    Omega : per block (R, p, p) whitened second moments about mu
    e : per block (R, p) whitened means about mu, None without means
    """

    value: Array
    Sigma: tuple[Array, ...]
    mu: tuple[Array, ...]
    n: tuple[Array, ...]
    Li: tuple[Array, ...]
    Omega: tuple[Array, ...]
    e: tuple[Array | None, ...]

    def curvature(self, tangents: Sequence[Tangents], expected: bool = False) -> Array:
        """See `Point`."""
        parts = []
        for n, Li, Omega, e, along in zip(
            self.n, self.Li, self.Omega, self.e, tangents, strict=True
        ):
            way = along.turned(Li)
            left, right, u = way.left, way.right, way.mu
            H = _traces(left, right, None if expected else 2 * Omega - np.eye(Li.shape[1]))
            if e is not None:
                H += 2 * u @ u.transpose(0, 2, 1)
                if not expected:
                    bent = left * (right @ e[:, :, None]) + right * (left @ e[:, :, None])
                    cross = 2 * u @ bent.transpose(0, 2, 1)
                    H += cross + cross.transpose(0, 2, 1)
            parts.append(n[:, None, None] * H)
        return block_diagonal(parts)


@dataclass(frozen=True, slots=True)
class CompleteData:
    """Complete rows of independent groups, one block each.

    Attributes
    ----------
    groups : sample moments of each group
    means : whether the model has means; else those of the sample stand for them
    """

    groups: tuple[Samples, ...]
    means: bool

    def at(self, moments: Sequence[Moments], index: Codes) -> CompletePoint:
        """See `Likelihood`."""
        value = np.zeros(len(index))
        found: list[tuple[Array, Array, Array, Array, Array, Array | None]] = []
        for group, block in zip(self.groups, moments, strict=True):
            Li, logdet, sound = factor(block.Sigma)
            Lt = Li.transpose(0, 2, 1)
            n, p = group.n[index], Li.shape[1]
            Omega, e, g = Li @ group.covariance[index] @ Lt, None, np.zeros(block.mu.shape)
            if self.means:
                e = (Li @ (group.mean[index] - block.mu)[:, :, None])[:, :, 0]
                Omega = Omega + e[:, :, None] * e[:, None, :]
                g = -2 * n[:, None] * (Lt @ e[:, :, None])[:, :, 0]
            trace = np.einsum("rii->r", Omega)
            own = n * (p * np.log(2 * np.pi) + logdet + trace)
            value += own if sound is None else np.where(sound, own, np.inf)
            G = n[:, None, None] * (Lt @ (np.eye(p) - Omega) @ Li)
            found.append((G, g, n, Li, Omega, e))
        G_, g_, n_, Li_, Omega_, e_ = zip(*found, strict=True)
        return CompletePoint(value, G_, g_, n_, Li_, Omega_, e_)

    def scores(
        self, moments: Sequence[Moments], tangents: Sequence[Tangents], values: Sequence[Array]
    ) -> tuple[Array, ...]:
        """Slopes (n_g, n_b) of each row's log-likelihood along the directions of its own block.

        Moments and tangents are those of one replicate, `values` the rows of each group.
        """
        found = []
        for g, (block, along, Y) in enumerate(zip(moments, tangents, values, strict=True)):
            Li = factor(block.Sigma)[0]
            way = along.turned(Li)
            left, right = way.left[0], way.right[0]
            centre = block.mu[0] if self.means else self.groups[g].mean[0]
            W = (Y - centre) @ Li[0].T
            own = (W @ left.T) * (W @ right.T) - (left * right).sum(axis=1)
            found.append(own + W @ way.mu[0].T if self.means else own)
        return tuple(found)


def _traces(left: Array, right: Array, M: Array | None) -> Array:
    """Traces ``tr(X_a X_b M)`` (R, n, n) of whitened directions ``X = l r' + r l'``.

    Parameters
    ----------
    left, right : (R, n, p) l and r
    M : (R, p, p) symmetric; None for the unit matrix
    """
    lt, rt = left.transpose(0, 2, 1), right.transpose(0, 2, 1)
    ll, rr, lr = left @ lt, right @ rt, left @ rt
    if M is None:
        return np.asarray(2 * (ll * rr + lr * lr.transpose(0, 2, 1)))
    lM, rM = left @ M, right @ M
    crossed = lr.transpose(0, 2, 1) * (lM @ rt)
    return np.asarray(rr * (lM @ lt) + ll * (rM @ rt) + crossed + crossed.transpose(0, 2, 1))


def block_diagonal(parts: Sequence[Array]) -> Array:
    """Matrices (R, n_b, n_b) as the blocks of one (R, n, n)."""
    if len(parts) == 1:
        return parts[0]
    sizes = [part.shape[1] for part in parts]
    found = np.zeros((len(parts[0]), sum(sizes), sum(sizes)))
    at = 0
    for part, size in zip(parts, sizes, strict=True):
        found[:, at : at + size, at : at + size] = part
        at += size
    return found
