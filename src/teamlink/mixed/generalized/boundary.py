"""The boundary of a generalized model's variances: go there exactly, or leave where it is a trap.

As in `teamlink.mixed.boundary`, zero is stationary in theta whatever the data say, so the test is
made in the covariance ``Sigma = Lambda Lambda'``, whose score must have no negative eigenvalue. It
comes from the gradient in Lambda a little way inside: ``d D / d Lambda = 2 S Lambda``. The root of
the negative binomial's dispersion is treated alike: it may be zero, the Poisson limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from teamlink.mixed.covariance import RandomStructure, lower_factor
from teamlink.typing import Array, Codes, Mask

if TYPE_CHECKING:
    from teamlink.mixed.generalized.model import GeneralizedMixed

__all__ = ["on_boundary", "settle"]

_SNAP = 1e-3
"""Standard deviations of standardised effects below this are tried at zero."""

_INDIFFERENT = 1e-9
"""A change of the deviance below this is no reason to leave the boundary, nor to stay off it."""

_INSIDE = 1e-3
"""How far inside the boundary the score is taken."""

_LENGTHS = (1.0, 0.3, 0.1, 0.03, 1e-2, 1e-3, 1e-4, 1e-5)
"""Variances that are tried along a direction in which the deviance falls."""


def _singular(Lambda: Array, structure: RandomStructure) -> Mask:
    """Which factors (A, q, q) have a variance of zero or a perfect correlation."""
    found: Mask = np.zeros(len(Lambda), dtype=np.bool_)
    for block in structure.slices:
        s = np.linalg.svd(Lambda[:, block, block], compute_uv=False)
        found |= s[:, -1] <= 1e-6 * np.maximum(s[:, 0], 1e-2)
    return found


def on_boundary(model: GeneralizedMixed, theta: Array) -> Mask:
    """Which points (A,) have a variance of zero, a perfect correlation, or no overdispersion."""
    Lambdas, _, free = model.parts(theta)
    found: Mask = np.zeros(len(theta), dtype=np.bool_)
    for Lambda, structure in zip(Lambdas, model.structures, strict=True):
        found |= _singular(Lambda, structure)
    if model.family.name == "negative-binomial":
        found |= free[:, 0] == 0
    return found


def settle(model: GeneralizedMixed, theta: Array, index: Codes) -> tuple[Array, Mask]:
    """See `GeneralizedMixed.settle`."""
    theta = _snapped(model, _canonical(model, theta), index)
    again: Mask = np.zeros(len(theta), dtype=np.bool_)
    for a in np.flatnonzero(on_boundary(model, theta)):
        moved = _off_the_saddle(model, theta[a], index[a : a + 1])
        if moved is not None:
            theta[a], again[a] = moved, True
    return theta, again


def _canonical(model: GeneralizedMixed, theta: Array) -> Array:
    """The same points with diagonals that are not negative."""
    result = theta.copy()
    for structure, place in zip(model.structures, model.places, strict=True):
        Lambda = structure.canonical(structure.factor(theta[:, place]))
        result[:, place] = structure.parameters(Lambda)
    if model.family.name == "negative-binomial":
        result[:, -1] = np.abs(result[:, -1])
    return result


def _snapped(model: GeneralizedMixed, theta: Array, index: Codes) -> Array:
    """Points with what vanishes set to zero, where the deviance does not mind."""
    trials: list[tuple[Codes, Array]] = []
    for structure, place in zip(model.structures, model.places, strict=True):
        Lambda = structure.factor(theta[:, place])
        for block in structure.slices:
            U, s, _ = np.linalg.svd(Lambda[:, block, block])
            short = (s < _SNAP) & (s > 0)
            near = np.flatnonzero(short.any(axis=1))
            if near.size:
                kept = np.where(short[near], 0.0, s[near])
                moved = Lambda[near]
                moved[:, block, block] = lower_factor(U[near] * kept[:, None, :])
                trial = theta[near].copy()
                trial[:, place] = structure.parameters(moved)
                trials.append((near, trial))
    if model.family.name == "negative-binomial":
        near = np.flatnonzero((theta[:, -1] < 1e-2) & (theta[:, -1] > 0))
        if near.size:
            trial = theta[near].copy()
            trial[:, -1] = 0.0
            trials.append((near, trial))
    if not trials:
        return theta
    result, here = theta.copy(), model.evaluate(theta, index).value
    for near, trial in trials:
        # What was set to zero before stays so: each trial changes its own elements only.
        changed = trial != theta[near]
        moved = np.where(changed, trial, result[near])
        there = model.evaluate(moved, index[near]).value
        good = there <= here[near] + _INDIFFERENT
        result[near[good]], here[near[good]] = moved[good], there[good]
    return result


def _off_the_saddle(model: GeneralizedMixed, theta: Array, index: Codes) -> Array | None:
    """A lower point off the boundary, where the score says that there is one."""
    here = float(model.evaluate(theta[None], index).value[0])
    for k, (structure, place) in enumerate(zip(model.structures, model.places, strict=True)):
        Lambda = structure.factor(theta[place])
        for block in structure.slices:
            inner = Lambda[block, block]
            s = np.linalg.svd(inner, compute_uv=False)
            if s[-1] > 1e-6 * max(s[0], 1e-2):
                continue
            direction = _falling(model, theta, index, k, block)
            if direction is None:
                continue
            trials = np.repeat(theta[None], len(_LENGTHS), axis=0)
            for row, variance in zip(trials, _LENGTHS, strict=True):
                moved = Lambda.copy()
                step = np.sqrt(variance) * direction[:, None]
                moved[block, block] = lower_factor(np.concatenate([inner, step], axis=1))
                row[place] = structure.parameters(moved)
            best = _lowest(model, trials, index, here)
            if best is not None:
                return best
    poisson = model.family.name == "negative-binomial" and theta[-1] == 0
    if poisson and model.evaluate(theta[None], index).natural[0, 0] < 0:
        trials = np.repeat(theta[None], len(_LENGTHS), axis=0)
        trials[:, -1] = np.sqrt(_LENGTHS)
        return _lowest(model, trials, index, here)
    return None


def _lowest(model: GeneralizedMixed, trials: Array, index: Codes, here: float) -> Array | None:
    values = model.evaluate(trials, np.repeat(index, len(trials))).value
    best = int(np.argmin(np.where(np.isfinite(values), values, np.inf)))
    return trials[best] if values[best] < here - 2 * _INDIFFERENT else None


def _falling(
    model: GeneralizedMixed, theta: Array, index: Codes, k: int, block: slice
) -> Array | None:
    """The direction of effects in which a variance lowers the deviance most; None for none."""
    structure, place = model.structures[k], model.places[k]
    Lambda = structure.factor(theta[place])
    inner = Lambda[block, block]
    inside = np.linalg.cholesky(inner @ inner.T + _INSIDE**2 * np.eye(len(inner)))
    Lambda[block, block] = inside
    lifted = theta.copy()
    lifted[place] = structure.parameters(Lambda)
    slope = model.evaluate(lifted[None], index).Lambda[k][0, block, block]
    score = 0.5 * slope @ np.linalg.inv(inside)
    w, U = np.linalg.eigh(0.5 * (score + score.T))
    return np.asarray(U[:, 0], dtype=float) if w[0] < 0 else None
