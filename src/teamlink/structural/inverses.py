"""Inverses of many covariance matrices at once, each with some of its variables observed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teamlink.typing import Array, Mask

__all__ = ["Inverses", "observed_inverses", "roots", "symmetric"]


@dataclass(frozen=True, slots=True)
class Inverses:
    """Inverses of the observed parts of covariance matrices.

    Attributes
    ----------
    W : (R, P, p, p) zero in the rows and columns of what is not observed
    log_det : (R, P) log determinant of the observed part
    valid : (R,) whether every observed part is positive definite; where one is not, W is nothing
    """

    W: Array
    log_det: Array
    valid: Mask


def observed_inverses(Sigma: Array, observed: Mask) -> Inverses:
    """Invert the part of each Sigma that each pattern observes.

    Parameters
    ----------
    Sigma : (R, p, p)
    observed : (P, p)

    Returns
    -------
    Inverses

    Notes
    -----
    What is not observed is put to the identity, which leaves determinant and inverse of the rest
    as they are; so one batched Cholesky serves all patterns.
    """
    both = observed[:, :, None] & observed[:, None, :]
    padded = np.where(both, Sigma[:, None], np.eye(Sigma.shape[-1]))
    L, failed = roots(padded)
    inverse = np.linalg.inv(L)
    W = np.where(both, inverse.swapaxes(-1, -2) @ inverse, 0.0)
    log_det = 2 * np.log(np.diagonal(L, axis1=-2, axis2=-1)).sum(axis=-1)
    return Inverses(W, log_det, ~np.asarray(failed.any(axis=1)))


def roots(M: Array) -> tuple[Array, Mask]:
    """Cholesky roots of (..., p, p), and which have none (...); those get the identity."""
    whole = np.isfinite(M.sum(axis=(-1, -2)))
    safe = np.where(whole[..., None, None], M, np.eye(M.shape[-1]))
    try:
        return np.linalg.cholesky(safe), ~whole
    except np.linalg.LinAlgError:
        flat = safe.reshape(-1, *M.shape[-2:])
        good = np.linalg.eigvalsh(flat).min(axis=-1) > 0
        failed: Mask = ~good
        flat = np.where(good[:, None, None], flat, np.eye(M.shape[-1]))
        L = np.empty_like(flat)
        for i, matrix in enumerate(flat):
            try:
                L[i] = np.linalg.cholesky(matrix)
            except np.linalg.LinAlgError:
                L[i], failed[i] = np.eye(M.shape[-1]), True
        return L.reshape(M.shape), failed.reshape(whole.shape) | ~whole


def symmetric(M: Array) -> Array:
    """The symmetric part of (..., p, p)."""
    half: Array = (M + M.swapaxes(-1, -2)) / 2
    return half
