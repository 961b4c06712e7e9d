"""What each claim's estimate estimates: a closed form, or the answer in a large world."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from teamlink.fitting.fit import single_thread
from teamlink.registry.analysis import FIELDS
from teamlink.registry.pipeline import analyse
from teamlink.registry.scenarios import Scenarios
from teamlink.registry.study import Claim, RealData, Study
from teamlink.simulation.world import Tables, World, generate
from teamlink.typing import Array

__all__ = ["draw_all", "true_slopes"]

TRUTH_SEED = 20070401


def true_slopes(study: Study, scenarios: Scenarios) -> Array:
    """Give the true value of each claim in its three worlds, per raw unit of its term.

    Parameters
    ----------
    study : Study
        A simulated study.
    scenarios : Scenarios
        Its worlds.

    Returns
    -------
    Array
        (3, C); multiplied by the `unit` of a replicate, what that replicate's estimate estimates.

    Notes
    -----
    "difference": the pipeline's answer in a world `study.truth_times` as large less its answer in
    the same world without the effect (for a null claim, in the study's own world), which takes most
    sampling noise away and makes the true value without the effect zero exactly. "estimate": the
    answer itself; so too for a null claim whose `effect` is not zero. A name: that population
    value, or closed form of the world.
    """
    assert not isinstance(study.design, RealData)
    world = study.design.scaled(study.truth_times)
    shape = scenarios.which.shape
    large = np.zeros((*shape, len(FIELDS)))
    if any(claim.truth in ("difference", "estimate") for claim in study.claims):
        with single_thread().limit(limits=1):
            tables = draw_all(study, scenarios, world, np.random.default_rng(TRUTH_SEED))
            found = analyse(study.pipeline, study.claims, tables, world.keys, scenarios.needed)
        large = found[scenarios.which, np.arange(shape[1])]
    answers = large[..., FIELDS.index("estimate")]
    with np.errstate(invalid="ignore"):
        answers = np.where(answers == 0, 0.0, answers / large[..., FIELDS.index("unit")])
    slopes = np.empty(shape)
    for c, claim in enumerate(study.claims):
        slopes[:, c] = _one(study, claim, scenarios, c, answers[:, c])
    return slopes


def _one(study: Study, claim: Claim, scenarios: Scenarios, c: int, answers: Array) -> Array:
    """True values (3,) of one claim."""
    assert not isinstance(study.design, RealData)
    if claim.truth not in ("difference", "estimate"):
        values = [study.parameters | scenarios.changes[s] for s in scenarios.which[:, c]]
        return np.array([_closed(study.design, claim.truth, v) for v in values])
    null = claim.direction == "null"
    if claim.truth == "estimate" or (null and study.values[claim.effect] != 0):
        return answers
    reference: float = answers[0 if null else 1]
    difference: Array = answers - reference
    return difference


def _closed(world: World, name: str, values: Mapping[str, float]) -> float:
    if name in values:
        return float(values[name])
    return float(world.closed_form(name, values))  # type: ignore[attr-defined]


def draw_all(
    study: Study, scenarios: Scenarios, world: World, rng: np.random.Generator
) -> list[Tables]:
    """Draw a world under every scenario, from one state of the generator."""
    state = rng.bit_generator.state
    drawn = []
    for changes in scenarios.changes:
        rng.bit_generator.state = state
        drawn.append(generate(world, study.parameters | dict(changes), rng))
    return drawn
