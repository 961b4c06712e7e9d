"""Where the optimiser starts: relative factors that the data suggest."""

from __future__ import annotations

import numpy as np

from teamlink.mixed.covariance import RandomStructure, lower_factor
from teamlink.moments.crossproducts import GroupRoots
from teamlink.typing import Array

__all__ = ["even_factor", "moment_factors", "scattered_factors"]


def even_factor(roots: GroupRoots) -> Array:
    """Lambda (q, q) at which an average group's own estimate has a reliability of one half."""
    size = np.square(roots.S).sum(axis=(1, 2)) / roots.S.shape[2]
    return np.diag(1 / np.sqrt(np.maximum(size, 1e-12)))


def scattered_factors(roots: GroupRoots, structure: RandomStructure) -> Array:
    """Twelve Lambda (12, q, q) spread widely: multiples of the even one, and random ones.

    The random ones are drawn from a fixed seed: the same design always gives the same fit.
    """
    even = even_factor(roots)
    rng = np.random.default_rng(structure.size)
    draws = rng.standard_normal((8, structure.size)) * 10.0 ** rng.uniform(-1, 2, (8, 1))
    random = even @ structure.factor(draws)
    return np.concatenate([even * np.array([0.1, 5.0, 50.0, 500.0])[:, None, None], random])


def moment_factors(roots: GroupRoots, structure: RandomStructure) -> Array:
    """Lambda (R, q, q) from the spread of Z'(residual) over groups, made positive definite.

    ``E[Z_j'e e'Z_j] = sigma^2 (Z_j'Z_j + Z_j'Z_j Sigma Z_j'Z_j)``, up to the estimation of beta, is
    linear in Sigma: least squares over groups, each weighted by its size to the power -2.
    """
    q, R = structure.q, roots.responses
    ZtZ = np.einsum("acj,bcj->abj", roots.S, roots.S)
    weight = 1 / np.maximum(np.einsum("aaj->j", ZtZ), 1e-12) ** 2
    sigma2 = np.maximum(roots.Wyy / max(roots.n - roots.rank, 1), 1e-12)
    c = np.einsum("abj,rbj->raj", roots.S, roots.Cy)
    right = np.einsum("raj,rbj,j->rab", c, c, weight) / sigma2[:, None, None] - ZtZ @ weight
    left = np.einsum("abj,cdj,j->acbd", ZtZ, ZtZ, weight).reshape(q * q, q * q)
    Sigma = np.linalg.lstsq(left, right.reshape(R, q * q).T, rcond=1e-10)[0].T.reshape(R, q, q)
    Lambda = np.zeros((R, q, q))
    for block in structure.slices:
        part = Sigma[:, block, block]
        w, U = np.linalg.eigh((part + part.transpose(0, 2, 1)) / 2)
        floor = np.maximum(0.05 * w[:, -1:], 1e-3)
        Lambda[:, block, block] = lower_factor(U * np.sqrt(np.maximum(w, floor))[:, None, :])
    return Lambda
