"""The boundary of the variances: put on it exactly what belongs there, leave it where it is a trap.

Zero is stationary in theta whatever the data say, because the deviance is even in the columns of
Lambda: a first-order method that arrives there reports success. The test is therefore made in
Sigma: at a minimum over positive semi-definite matrices the score ``d deviance / d Sigma`` has no
negative eigenvalue. Where it has one, ``Sigma + t v v'`` lowers the deviance, v its eigenvector.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from teamlink.mixed.covariance import RandomStructure, lower_factor
from teamlink.mixed.criterion import Criterion, Curvature, curvature
from teamlink.typing import Array, Codes, Mask

__all__ = ["leave_saddles", "singular", "snap"]

_SNAP = 1e-4
"""Standardised random-effect standard deviations below this, relative to sigma, are tried at 0."""

_INDIFFERENT = 1e-9
"""A change of the deviance below this is no reason to leave the boundary, nor to stay off it."""

Evaluate = Callable[[Array, Codes], Criterion]
"""The criterion at theta (A, k) for the responses (A,)."""


def singular(Lambda: Array, structure: RandomStructure) -> Mask:
    """Which factors (A, q, q) have a variance of zero or a perfect correlation."""
    found: Mask = np.zeros(len(Lambda), dtype=np.bool_)
    for block in structure.slices:
        s = np.linalg.svd(Lambda[:, block, block], compute_uv=False)
        found |= s[:, -1] <= 1e-6 * np.maximum(s[:, 0], 1e-2)
    return found


def snap(theta: Array, index: Codes, structure: RandomStructure, evaluate: Evaluate) -> Array:
    """Set vanishing singular values of Lambda to exactly zero where the deviance does not mind.

    Parameters
    ----------
    theta : (A, k)
    index : (A,) response of each row
    structure : RandomStructure
    evaluate : the criterion

    Returns
    -------
    (A, k), each block lower triangular with a diagonal that is not negative
    """
    Lambda = structure.factor(theta)
    near = np.flatnonzero(_smallest(Lambda, structure) < _SNAP)
    result = structure.canonical(Lambda)
    if near.size:
        result[near] = _snapped(result[near], index[near], structure, evaluate)
    return structure.parameters(result)


def _smallest(Lambda: Array, structure: RandomStructure) -> Array:
    """Smallest singular value (A,) of any block of each factor."""
    each = [np.linalg.svd(Lambda[:, b, b], compute_uv=False)[:, -1] for b in structure.slices]
    smallest: Array = np.min(each, axis=0)
    return smallest


def _snapped(Lambda: Array, index: Codes, structure: RandomStructure, evaluate: Evaluate) -> Array:
    """Factors (A, q, q) with what vanishes set to zero, where the deviance does not mind."""
    here = evaluate(structure.parameters(Lambda), index).deviance
    for block in structure.slices:
        U, s, _ = np.linalg.svd(Lambda[:, block, block])
        short = (s < _SNAP) & (s > 0)
        touched = np.flatnonzero(short.any(axis=1))
        if not touched.size:
            continue
        trial = Lambda[touched]
        kept = np.where(short[touched], 0.0, s[touched])
        trial[:, block, block] = lower_factor(U[touched] * kept[:, None, :])
        there = evaluate(structure.parameters(trial), index[touched]).deviance
        good = there <= here[touched] + _INDIFFERENT
        Lambda[touched[good]] = trial[good]
        here[touched[good]] = there[good]
    return Lambda


def leave_saddles(
    theta: Array, index: Codes, structure: RandomStructure, evaluate: Evaluate, reml: bool
) -> tuple[Array, Mask]:
    """Step off the boundary along the lowest eigenvector of the score, where it is negative.

    Parameters
    ----------
    theta, index, structure, evaluate : as for `snap`
    reml : restricted likelihood

    Returns
    -------
    theta : (A, k)
    again : (A,) which points have moved and have to be optimised again
    """
    again: Mask = np.zeros(len(theta), dtype=np.bool_)
    edge = np.flatnonzero(singular(structure.factor(theta), structure))
    if not edge.size:
        return theta, again
    slopes = curvature(evaluate(theta[edge], index[edge]), reml)
    Lambda = structure.factor(theta)
    for b, block in enumerate(structure.slices):
        if b in structure.compound:
            _leave_compound(Lambda, again, edge, block, slopes)
            continue
        w, U = np.linalg.eigh(slopes.score[:, block, block])
        v = np.zeros((edge.size, structure.q))
        v[:, block] = U[:, :, 0]
        D = (v[:, :, None] * v[:, None, :])[:, None]
        bend = slopes.second(D, D)[:, 0, 0]
        length = np.where(bend > 0, -w[:, 0] / np.where(bend > 0, bend, 1.0), 1.0)
        leave = np.flatnonzero((w[:, 0] < 0) & (-w[:, 0] * length > 2 * _INDIFFERENT))
        step = np.sqrt(length[leave])[:, None, None] * v[leave, block, None]
        wide = np.concatenate([Lambda[edge[leave], block, block], step], axis=2)
        Lambda[edge[leave], block, block] = lower_factor(wide)
        again[edge[leave]] = True
    return structure.parameters(Lambda), again


def _leave_compound(
    Lambda: Array, again: Mask, edge: Codes, block: slice, slopes: Curvature
) -> None:
    """The same in a block of compound symmetry, along either of its two variances, in place."""
    q, Q = block.stop - block.start, Lambda.shape[1]
    D = np.zeros((edge.size, 2, Q, Q))
    inside = np.arange(block.start, block.stop)
    D[:, 0, block.start, block.start] = 1.0
    D[:, 1, inside[1:], inside[1:]] = 1.0
    w = np.einsum("aij,akij->ak", slopes.score, D)
    bend = np.diagonal(slopes.second(D, D), axis1=1, axis2=2)
    length = np.where(bend > 0, -w / np.where(bend > 0, bend, 1.0), 1.0)
    gain = np.where(w < 0, -w * length, 0.0)
    which = gain.argmax(axis=1)
    leave = np.flatnonzero(gain.max(axis=1) > 2 * _INDIFFERENT)
    step = np.zeros((leave.size, q))
    step[which[leave] == 0, 0] = 1.0
    step[which[leave] == 1, 1:] = 1.0
    size = length[leave, which[leave]]
    own = np.square(Lambda[edge[leave][:, None], inside, inside]) + size[:, None] * step
    Lambda[edge[leave][:, None], inside, inside] = np.sqrt(own)
    again[edge[leave]] = True
