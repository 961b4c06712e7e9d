"""Where the optimiser starts: relative factors that the data suggest."""

from __future__ import annotations

import numpy as np

from teamlink.mixed.covariance import RandomStructure, lower_factor
from teamlink.mixed.joint_moments import joint_moments
from teamlink.moments.crossproducts import GroupRoots
from teamlink.typing import Array

__all__ = ["even_factor", "moment_factors", "scattered_factors"]


def even_factor(roots: GroupRoots, structure: RandomStructure) -> Array:
    """Lambda (Q, Q) at which an average group's own estimate has a reliability of one half."""
    even = np.zeros((structure.q, structure.q))
    upper = roots.upper
    if roots.S.shape[2]:
        place = structure.factors[0] if upper is None else upper.bottom
        _set_even(even, place, np.square(roots.S).sum() / roots.S.shape[2])
    if upper is not None:
        size = upper.products.ZtZ.diagonal()
        for first, (place, groups) in zip(upper.first, upper.factors, strict=True):
            q = place.stop - place.start
            _set_even(even, place, float(size[first : first + q * groups].sum()) / groups)
    return even


def _set_even(even: Array, place: slice, size: float) -> None:
    even[place, place] = np.eye(place.stop - place.start) / np.sqrt(max(size, 1e-12))


def scattered_factors(roots: GroupRoots, structure: RandomStructure) -> Array:
    """Twelve Lambda (12, Q, Q) spread widely: multiples of the even one, and random ones.

    The random ones are drawn from a fixed seed: the same design always gives the same fit.
    """
    even = even_factor(roots, structure)
    rng = np.random.default_rng(structure.size)
    draws = rng.standard_normal((8, structure.size)) * 10.0 ** rng.uniform(-1, 2, (8, 1))
    random = even @ structure.factor(draws)
    return np.concatenate([even * np.array([0.1, 5.0, 50.0, 500.0])[:, None, None], random])


def moment_factors(roots: GroupRoots, structure: RandomStructure) -> Array:
    """Lambda (R, Q, Q) from the spread of Z'(residual) over groups, made positive definite.

    With u_g = Z_g'e, up to the estimation of beta,
    ``E[u_g u_g'] = sigma^2 Z_g'Z_g + sum_l Z_g'Z_l Sigma Z_l'Z_g`` over the groups l of all factors
    is linear in the variances; so is the sum of squares within the eliminated factor. For every
    factor it is summed over groups, each weighted by its size to the power -2. In balanced designs
    the solution is the REML estimate.
    """
    if roots.upper is None:
        ZtZ = np.einsum("acj,bcj->abj", roots.S, roots.S)
        sigma2 = np.maximum(roots.Wyy / max(roots.n - roots.rank, 1), 1e-12)
        Sigma = _moments(ZtZ, np.einsum("abj,rbj->raj", roots.S, roots.Cy), sigma2)
    else:
        Sigma = joint_moments(roots, roots.upper, structure.q)
    Lambda = np.zeros((roots.responses, structure.q, structure.q))
    for block in structure.slices:
        part = Sigma[:, block, block]
        w, U = np.linalg.eigh((part + part.transpose(0, 2, 1)) / 2)
        floor = np.maximum(0.05 * w[:, -1:], 1e-3)
        Lambda[:, block, block] = lower_factor(U * np.sqrt(np.maximum(w, floor))[:, None, :])
    return Lambda


def _moments(ZtZ: Array, Zty: Array, sigma2: Array) -> Array:
    """Sigma (R, q, q) of one factor from its Z'Z (q, q, J) and Z'y (R, q, J)."""
    R, q = len(Zty), len(ZtZ)
    weight = 1 / np.maximum(np.einsum("aaj->j", ZtZ), 1e-12) ** 2
    right = np.einsum("raj,rbj,j->rab", Zty, Zty, weight) / sigma2[:, None, None] - ZtZ @ weight
    left = np.einsum("abj,cdj,j->acbd", ZtZ, ZtZ, weight).reshape(q * q, q * q)
    Sigma = np.linalg.lstsq(left, right.reshape(R, q * q).T, rcond=1e-10)[0]
    solved: Array = Sigma.T.reshape(R, q, q)
    return solved
