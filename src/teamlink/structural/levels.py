r"""Implied moments of a two-level model, and what they are given the cluster's own variables.

The model: row i of cluster j has ``y_ij = mu_y + u_j + e_ij`` with ``e_ij ~ N(0, Sigma_w)``, and
the cluster has ``(u_j, z_j)`` normal with covariances ``Sigma_b``, ``Sigma_bz``, ``Sigma_zz``, z
being variables of the cluster itself. Where predictors have random slopes, u_j holds the slopes
too, and mu their means.

Both likelihoods of two levels factor into that of z and that of y given z, for which

    B = Sigma_bz Sigma_zz^-1,   T = Sigma_b - B Sigma_zb,   c_j = mu + B (z_j - mu_z).

Where z has missing values there is one (B, T) a pattern of z. This module carries first and second
derivatives from (c, B, T) to the moments. With X the padded inverse of Sigma_zz,

    dB = (dSigma_bz - B dSigma_zz) X
    dT = dSigma_b - dSigma_bz B' - B dSigma_zb + B dSigma_zz B'.

Shapes: R replicates, K directions, Q patterns of z, p variables of the rows, m = p + number of
slopes, q variables of the cluster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teamlink.structural.inverses import observed_inverses, symmetric
from teamlink.typing import Array, Codes, Mask

__all__ = ["Conditional", "LevelMoments", "carry_back", "condition", "directions", "second_order"]


@dataclass(frozen=True, slots=True)
class LevelMoments:
    """Implied moments of a two-level model; also a gradient in them, or directions.

    The leading axes are (R,) for moments and gradients, (R, K) for directions.

    Attributes
    ----------
    mu : (..., m) means of the rows' variables, both levels together; then those of the slopes
    mu_z : (..., q) means of the cluster's variables
    Sigma_w : (..., p, p) covariance within clusters
    Sigma_b : (..., m, m) covariance between clusters; zero rows for what varies only within
    Sigma_bz : (..., m, q)
    Sigma_zz : (..., q, q)
    slopes : (..., p, m - p) effect on y of a unit of slope times predictor; none by default
    """

    mu: Array
    mu_z: Array
    Sigma_w: Array
    Sigma_b: Array
    Sigma_bz: Array
    Sigma_zz: Array
    slopes: Array

    def take(self, index: Codes) -> LevelMoments:
        """Those of some of the replicates, `index` integer (r,)."""
        return LevelMoments(*(array[index] for array in self.arrays))

    @property
    def arrays(self) -> tuple[Array, ...]:
        """The seven arrays in their order."""
        return (
            *(self.mu, self.mu_z, self.Sigma_w, self.Sigma_b),
            *(self.Sigma_bz, self.Sigma_zz, self.slopes),
        )

    def along(self, ways: LevelMoments) -> Array:
        """Derivatives (R, K) along directions (R, K), where these moments (R,) are a gradient."""
        R, K = ways.mu.shape[:2]
        total: Array = np.zeros((R, K))
        for gradient, way in zip(self.arrays, ways.arrays, strict=True):
            if gradient[0].size:
                flat = way.reshape(R, K, gradient[0].size)
                total += (flat @ gradient.reshape(len(gradient), -1, 1))[..., 0]
        return total

    @classmethod
    def without_slopes(
        cls,
        mu: Array,
        mu_z: Array,
        Sigma_w: Array,
        Sigma_b: Array,
        Sigma_bz: Array,
        Sigma_zz: Array,
    ) -> LevelMoments:
        """Moments of a model with random intercepts only."""
        slopes = np.zeros((*mu.shape, 0))
        return cls(mu, mu_z, Sigma_w, Sigma_b, Sigma_bz, Sigma_zz, slopes)


@dataclass(frozen=True, slots=True)
class Conditional:
    """The cluster's effects given its own variables, one set a pattern of z.

    The last pattern is that of a z of which nothing is observed.

    Attributes
    ----------
    X : (R, Q, q, q) inverse of the observed part of Sigma_zz, zero elsewhere
    B : (R, Q, m, q)
    T : (R, Q, m, m)
    valid : (R,) whether Sigma_zz is positive definite
    """

    X: Array
    B: Array
    T: Array
    valid: Mask


def condition(moments: LevelMoments, observed: Mask) -> Conditional:
    """Regress the cluster's effects on what patterns (Q - 1, q) observe of z."""
    every = np.concatenate([observed, np.zeros((1, observed.shape[1]), dtype=bool)])
    inverse = observed_inverses(moments.Sigma_zz, every)
    B = moments.Sigma_bz[:, None] @ inverse.W
    T = moments.Sigma_b[:, None] - B @ moments.Sigma_bz[:, None].swapaxes(-1, -2)
    return Conditional(inverse.W, B, symmetric(T), inverse.valid)


def directions(given: Conditional, ways: LevelMoments) -> tuple[Array, Array, Array]:
    """Derivatives of (c at z = mu_z, B, T): (R, Q, K, m), (R, Q, K, m, q) and (R, Q, K, m, m)."""
    B = given.B[:, :, None]
    rest = ways.Sigma_bz[:, None] - B @ ways.Sigma_zz[:, None]
    cross = rest @ B.swapaxes(-1, -2)
    # B dSigma_zb = (dSigma_bz B')', and dSigma_bz B' = cross + B dSigma_zz B'.
    quadratic = B @ ways.Sigma_zz[:, None] @ B.swapaxes(-1, -2)
    dT = ways.Sigma_b[:, None] - cross - cross.swapaxes(-1, -2) - quadratic
    dc = ways.mu[:, None] - (B @ ways.mu_z[:, None, ..., None])[..., 0]
    return dc, rest @ given.X[:, :, None], dT


def carry_back(given: Conditional, c: Array, B: Array, T: Array) -> tuple[Array, ...]:
    """The gradient in (mu, mu_z, Sigma_b, Sigma_bz, Sigma_zz) from that in (c, B, T).

    Parameters
    ----------
    given : Conditional
    c : (R, Q, m) gradient in c_j, summed over clusters
    B : (R, Q, m, q) sum over clusters of (gradient in c_j) (z_j - mu_z)'
    T : (R, Q, m, m) symmetric
    """
    transposed = given.B.swapaxes(-1, -2)
    through = B @ given.X
    cross = transposed @ through
    bz = through - 2 * T @ given.B
    zz = transposed @ T @ given.B - symmetric(cross)
    mu_z = -(transposed @ c[..., None])[..., 0]
    return tuple(part.sum(axis=1) for part in (c, mu_z, T, bz, zz))


def second_order(
    given: Conditional, ways: LevelMoments, dB: Array, c: Array, B: Array, T: Array
) -> Array:
    """What the curvature of (c, B, T) in the moments adds to the Hessian, (R, K, K).

    Parameters
    ----------
    given : Conditional
    ways : the directions
    dB : (R, Q, K, m, q) of `directions`
    c, B, T : the gradient, as for `carry_back`
    """
    R, Q, K, m, q = dB.shape
    # d2 T = -(dB_a Sigma_zz dB_b' + its transpose), and dB_b Sigma_zz is what dB_b was before X.
    before = ways.Sigma_bz[:, None] - given.B[:, :, None] @ ways.Sigma_zz[:, None]
    flat = dB.reshape(R, Q, K, m * q)
    total = -2 * flat @ (T[:, :, None] @ before).reshape(R, Q, K, m * q).swapaxes(-1, -2)
    other = (B @ given.X)[:, :, None] @ ways.Sigma_zz[:, None]
    other = other + c[:, :, None, :, None] * ways.mu_z[:, None, :, None, :]
    mixed = flat @ other.reshape(R, Q, K, m * q).swapaxes(-1, -2)
    summed: Array = (total - mixed - mixed.swapaxes(-1, -2)).sum(axis=1)
    return summed
