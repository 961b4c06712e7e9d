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
from teamlink.typing import Array, Codes, Mask

__all__ = ["CompleteData", "Likelihood", "Moments", "Slopes", "Tangents", "factor"]


@dataclass(frozen=True, slots=True)
class Moments:
    """Implied moments of one block.

    Attributes
    ----------
    Sigma : (R, p, p)
    mu : (R, p)
    """

    Sigma: Array
    mu: Array


@dataclass(frozen=True, slots=True)
class Tangents:
    """Derivatives of the moments of one block in n directions.

    Attributes
    ----------
    Sigma : (R, n, p, p)
    mu : (R, n, p)
    """

    Sigma: Array
    mu: Array


@dataclass(frozen=True, slots=True)
class Slopes:
    """Minus twice a log-likelihood with its derivatives in the moments of each block.

    Attributes
    ----------
    value : (R,) infinite where the moments are none of a distribution
    Sigma : per block (R, p, p), symmetric, ``dF = tr(G dSigma)``
    mu : per block (R, p)
    """

    value: Array
    Sigma: tuple[Array, ...]
    mu: tuple[Array, ...]


class Likelihood(Protocol):
    """Minus twice a log-likelihood as a function of implied moments."""

    def slopes(self, moments: Sequence[Moments], index: Codes) -> Slopes:
        """Value and slopes; `index` (R,) says which replicate of the data each row is of."""
        ...

    def curvature(
        self, moments: Sequence[Moments], tangents: Sequence[Tangents], index: Codes
    ) -> Array:
        """Second derivatives (R, n, n) along the moments, each block moving in its own directions.

        The n directions are those of all blocks one after the other.
        """
        ...

    def expected(
        self, moments: Sequence[Moments], tangents: Sequence[Tangents], index: Codes
    ) -> Array:
        """The same, expected under the model: twice the information (R, n, n)."""
        ...


def factor(Sigma: Array) -> tuple[Array, Array, Mask]:
    """Inverse Cholesky factors (R, p, p), log determinants (R,), and which exist (R,).

    Where there is none the factor is that of the unit matrix.
    """
    sound = np.ones(len(Sigma), dtype=np.bool_)
    try:
        L = np.linalg.cholesky(Sigma)
    except np.linalg.LinAlgError:
        finite = np.isfinite(Sigma).all(axis=(1, 2))
        tame = np.where(finite[:, None, None], Sigma, -np.eye(Sigma.shape[1]))
        w = np.linalg.eigvalsh(tame)
        sound = w[:, 0] > 1e-14 * np.maximum(w[:, -1], 0.0)
        L = np.linalg.cholesky(np.where(sound[:, None, None], Sigma, np.eye(Sigma.shape[1])))
    diagonal = np.diagonal(L, axis1=1, axis2=2)
    if not np.isfinite(diagonal).all():
        sound = sound & np.isfinite(L).all(axis=(1, 2))
        L = np.where(sound[:, None, None], L, np.eye(Sigma.shape[1]))
        diagonal = np.diagonal(L, axis1=1, axis2=2)
    return np.linalg.inv(L), 2 * np.log(diagonal).sum(axis=1), sound


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

    def _whitened(
        self, g: int, moments: Moments, index: Codes
    ) -> tuple[Array, Array, Array, Array, Mask]:
        """Inverse factor, log determinant, whitened Omega (R, p, p) and d (R, p), soundness."""
        group = self.groups[g]
        Li, logdet, sound = factor(moments.Sigma)
        Omega = Li @ group.covariance[index] @ Li.transpose(0, 2, 1)
        if not self.means:
            return Li, logdet, Omega, np.zeros(moments.mu.shape), sound
        e = (Li @ (group.mean[index] - moments.mu)[:, :, None])[:, :, 0]
        return Li, logdet, Omega + e[:, :, None] * e[:, None, :], e, sound

    def slopes(self, moments: Sequence[Moments], index: Codes) -> Slopes:
        """See `Likelihood`."""
        total = np.zeros(len(index))
        Gs, gs = [], []
        for b, block in enumerate(moments):
            Li, logdet, Omega, e, sound = self._whitened(b, block, index)
            n, p = self.groups[b].n[index], Omega.shape[1]
            trace = np.trace(Omega, axis1=1, axis2=2)
            value = n * (p * np.log(2 * np.pi) + logdet + trace)
            total += np.where(sound, value, np.inf)
            Lt = Li.transpose(0, 2, 1)
            Gs.append(n[:, None, None] * (Lt @ (np.eye(p) - Omega) @ Li))
            gs.append(-2 * n[:, None] * (Lt @ e[:, :, None])[:, :, 0])
        return Slopes(total, tuple(Gs), tuple(gs))

    def curvature(
        self, moments: Sequence[Moments], tangents: Sequence[Tangents], index: Codes
    ) -> Array:
        """See `Likelihood`."""
        parts = []
        for b, (block, along) in enumerate(zip(moments, tangents, strict=True)):
            Li, _, Omega, e, _ = self._whitened(b, block, index)
            X, u = _along(Li, along)
            R, n, p, _ = X.shape
            weight = 2 * Omega - np.eye(p)
            XK = (X @ weight[:, None]).reshape(R, n, p * p)
            H = X.reshape(R, n, p * p) @ XK.transpose(0, 2, 1)
            if self.means:
                Xe = X @ e[:, None, :, None]
                cross = 2 * u @ Xe[..., 0].transpose(0, 2, 1)
                H = H + cross + cross.transpose(0, 2, 1) + 2 * u @ u.transpose(0, 2, 1)
            parts.append(self.groups[b].n[index][:, None, None] * H)
        return _diagonal(parts)

    def expected(
        self, moments: Sequence[Moments], tangents: Sequence[Tangents], index: Codes
    ) -> Array:
        """See `Likelihood`."""
        parts = []
        for b, (block, along) in enumerate(zip(moments, tangents, strict=True)):
            Li, _, _ = factor(block.Sigma)
            X, u = _along(Li, along)
            R, n, p, _ = X.shape
            flat = X.reshape(R, n, p * p)
            H = flat @ flat.transpose(0, 2, 1)
            if self.means:
                H = H + 2 * u @ u.transpose(0, 2, 1)
            parts.append(self.groups[b].n[index][:, None, None] * H)
        return _diagonal(parts)

    def scores(
        self, moments: Sequence[Moments], tangents: Sequence[Tangents], values: Sequence[Array]
    ) -> tuple[Array, ...]:
        """Slopes (n_g, n_b) of each row's log-likelihood along the directions of its own block.

        Moments and tangents are those of one replicate, `values` the rows of each group.
        """
        found = []
        for g, (block, along, Y) in enumerate(zip(moments, tangents, values, strict=True)):
            Li, _, _ = factor(block.Sigma[:1])
            X, u = _along(Li, Tangents(along.Sigma[:1], along.mu[:1]))
            centre = block.mu[0] if self.means else self.groups[g].mean[0]
            W = (Y - centre) @ Li[0].T
            n, p = X.shape[1:3]
            products = (W[:, :, None] * W[:, None, :]).reshape(len(W), p * p)
            trace = np.trace(X[0], axis1=1, axis2=2)
            own = 0.5 * (products @ X[0].reshape(n, p * p).T - trace)
            found.append(own + W @ u[0].T if self.means else own)
        return tuple(found)


def _along(Li: Array, tangents: Tangents) -> tuple[Array, Array]:
    """Whitened tangents: (R, n, p, p) and (R, n, p)."""
    Lt = Li.transpose(0, 2, 1)
    return Li[:, None] @ tangents.Sigma @ Lt[:, None], tangents.mu @ Lt


def _diagonal(parts: Sequence[Array]) -> Array:
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
