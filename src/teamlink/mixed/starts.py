"""Where the optimiser starts: relative factors that the data suggest."""

from __future__ import annotations

import numpy as np

from teamlink.mixed.covariance import RandomStructure, lower_factor
from teamlink.moments.crossproducts import GroupRoots
from teamlink.typing import Array

__all__ = ["even_factor", "moment_factors", "scattered_factors"]


def even_factor(roots: GroupRoots, structure: RandomStructure) -> Array:
    """Lambda (Q, Q) at which an average group's own estimate has a reliability of one half."""
    even = np.zeros((structure.q, structure.q))
    for place, ZtZ, _ in _factors(roots, structure):
        size = np.einsum("aaj->j", ZtZ).mean()
        even[place, place] = np.eye(len(ZtZ)) / np.sqrt(max(size, 1e-12))
    return even


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

    ``E[Z_j'e e'Z_j] = sigma^2 (Z_j'Z_j + Z_j'Z_j Sigma Z_j'Z_j)``, up to the estimation of beta, is
    linear in Sigma: least squares over groups, each weighted by its size to the power -2. With
    several factors each is taken by itself, as if the others were not there.
    """
    sigma2 = np.maximum(roots.Wyy / max(roots.n - roots.rank, 1), 1e-12)
    Lambda = np.zeros((roots.responses, structure.q, structure.q))
    for place, ZtZ, Zty in _factors(roots, structure):
        Sigma = _moments(ZtZ, Zty, sigma2)
        for block in structure.slices:
            if not place.start <= block.start < place.stop:
                continue
            own = slice(block.start - place.start, block.stop - place.start)
            part = Sigma[:, own, own]
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


def _factors(roots: GroupRoots, structure: RandomStructure) -> list[tuple[slice, Array, Array]]:
    """Each factor's place along Lambda, Z'Z (q, q, J) and Z'y (R, q, J)."""
    upper = roots.upper
    ZtZ = np.einsum("acj,bcj->abj", roots.S, roots.S)
    Zty = np.einsum("abj,rbj->raj", roots.S, roots.Cy)
    found = [(structure.factors[0] if upper is None else upper.bottom, ZtZ, Zty)]
    if not roots.S.shape[2]:
        found = []
    if upper is not None:
        ends = np.append(upper.first, upper.size)
        for f, (place, groups) in enumerate(upper.factors):
            mine = upper.Zty[:, ends[f] : ends[f + 1]]
            found.append((place, upper.own[f], mine.reshape(len(mine), -1, groups)))
    return found
