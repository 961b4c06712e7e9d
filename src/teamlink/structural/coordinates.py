"""Two-level moments by Cholesky roots: the coordinates of a saturated model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teamlink.structural.cholesky import RootElements
from teamlink.structural.levels import LevelMoments
from teamlink.typing import Array, Codes

__all__ = ["Coordinates"]


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Two-level moments by Cholesky roots, variables that vary only within clusters first.

    Attributes
    ----------
    mu, mu_z : (R, p), (R, q) means; those of held variables stay
    within : (R, p, p) root of Sigma_w
    between : (R, q + b, q + b) root of the covariance of (z, effects of the last b variables)
    free_w, free_b : elements of the roots that are free
    held_y, held_z : how many of the first variables have their means held
    """

    mu: Array
    mu_z: Array
    within: Array
    between: Array
    free_w: RootElements
    free_b: RootElements
    held_y: int
    held_z: int

    @property
    def theta(self) -> Array:
        """The free coordinates (R, k)."""
        return np.concatenate(
            [
                *(self.mu[:, self.held_y :], self.mu_z[:, self.held_z :]),
                *(self.free_w.read(self.within), self.free_b.read(self.between)),
            ],
            axis=1,
        )

    def at(self, theta: Array, index: Codes) -> Coordinates:
        """The coordinates with theta (A, k) put into those of replicates `index` (A,)."""
        p, q = self.mu.shape[1], self.mu_z.shape[1]
        ends = np.cumsum([p - self.held_y, q - self.held_z, len(self.free_w)])
        mu, mu_z, w, b = np.split(theta, ends, axis=1)
        return Coordinates(
            np.concatenate([self.mu[index, : self.held_y], mu], axis=1),
            np.concatenate([self.mu_z[index, : self.held_z], mu_z], axis=1),
            self.free_w.put(self.within[index], w),
            self.free_b.put(self.between[index], b),
            self.free_w, self.free_b, self.held_y, self.held_z,
        )  # fmt: skip

    def moments(self) -> LevelMoments:
        """The moments (R,)."""
        joint = self.between @ self.between.swapaxes(-1, -2)
        return self._split(self.mu, self.mu_z, self.within @ self.within.swapaxes(-1, -2), joint)

    def _split(self, mu: Array, mu_z: Array, w: Array, joint: Array) -> LevelMoments:
        """The moments, or directions, from the covariance within and the joint one between."""
        p, q = mu.shape[-1], mu_z.shape[-1]
        low = p - (joint.shape[-1] - q)
        b = np.zeros((*mu.shape, p))
        b[..., low:, low:] = joint[..., q:, q:]
        bz = np.zeros((*mu.shape, q))
        bz[..., low:, :] = joint[..., q:, :q]
        return LevelMoments.without_slopes(mu, mu_z, w, b, bz, joint[..., :q, :q])

    def directions(self) -> LevelMoments:
        """Derivatives (R, k) of the moments in theta."""
        R, p = self.mu.shape
        q = self.mu_z.shape[1]
        a, c = p - self.held_y, q - self.held_z
        w, b = len(self.free_w), len(self.free_b)
        k = a + c + w + b
        mu, mu_z = np.zeros((R, k, p)), np.zeros((R, k, q))
        mu[:, np.arange(a), self.held_y + np.arange(a)] = 1.0
        mu_z[:, a + np.arange(c), self.held_z + np.arange(c)] = 1.0
        Sigma_w = np.zeros((R, k, p, p))
        Sigma_w[:, a + c : a + c + w] = self.free_w.directions(self.within)
        joint = np.zeros((R, k, *self.between.shape[1:]))
        joint[:, a + c + w :] = self.free_b.directions(self.between)
        return self._split(mu, mu_z, Sigma_w, joint)

    def bend(self, gradient: LevelMoments) -> Array:
        """What the second derivative of the moments adds to the Hessian, (R, k, k)."""
        R, p = self.mu.shape
        q = self.mu_z.shape[1]
        low = p - (self.between.shape[1] - q)
        G = np.zeros((R, *self.between.shape[1:]))
        G[:, :q, :q] = gradient.Sigma_zz
        G[:, q:, q:] = gradient.Sigma_b[:, low:, low:]
        G[:, q:, :q] = gradient.Sigma_bz[:, low:] / 2
        G[:, :q, q:] = G[:, q:, :q].swapaxes(-1, -2)
        means = p - self.held_y + q - self.held_z
        w, b = len(self.free_w), len(self.free_b)
        added = np.zeros((R, means + w + b, means + w + b))
        added[:, means : means + w, means : means + w] = self.free_w.bend(gradient.Sigma_w)
        added[:, means + w :, means + w :] = self.free_b.bend(G)
        return added
