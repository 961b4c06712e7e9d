"""Run a study again: many times over, with its controls, through the analyst's pipeline.

Several scenarios go through the same pipeline, replicate by replicate: the study with its own
effects, and the controls of its claims. Within a replicate they share schools, teachers, students
and residuals, so they differ in the effects alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from teamlink.data import datasets
from teamlink.errors import OptionError, StudyError
from teamlink.fitting.fit import solve
from teamlink.mixed.linear import lmm
from teamlink.mixed.result import MixedFit
from teamlink.registry.analyses.lmm import MixedAnalysis, coefficient, read_off
from teamlink.registry.analysis import FIELDS
from teamlink.registry.catalogue import find
from teamlink.registry.pipeline import analyse
from teamlink.registry.replication import Replication
from teamlink.registry.scenarios import WORLDS, Scenarios, scenarios
from teamlink.registry.steps.levels import LevelsStep
from teamlink.registry.stored import slopes_of
from teamlink.registry.study import RealData, Study
from teamlink.registry.truth import draw_all
from teamlink.simulation.checkpoint import Checkpoint, digest
from teamlink.simulation.runs import EachAlone, Runs, run
from teamlink.simulation.world import Tables, generate
from teamlink.typing import Array

__all__ = ["replicate", "simulate_study"]

BATCH = 25


def simulate_study(key: str | Study, seed: int | np.random.SeedSequence = 1) -> Tables:
    """Draw the files of a simulated study once.

    Parameters
    ----------
    key : str or Study
        A key of the registry, the path of a study file, or a study.
    seed : int or SeedSequence
        Source of randomness.

    Returns
    -------
    Tables
        Pandas frames by name, such as `students`, `teachers` and `schools`.

    Raises
    ------
    StudyError
        No such study, or a study with real data, which is not simulated.

    Examples
    --------
    >>> import teamlink as tl
    >>> tables = tl.simulate_study("goddard-2007", seed=1)
    >>> len(tables.schools), len(tables.teachers), len(tables.students)
    (47, 452, 2536)
    """
    study = find(key)
    if isinstance(study.design, RealData):
        raise StudyError(
            f"{study.key} has real data; load them with "
            f"teamlink.datasets.load({study.design.dataset!r})"
        )
    return generate(study.design, study.parameters, np.random.default_rng(seed))


def replicate(
    key: str | Study,
    seed: int = 1,
    replicates: int = 200,
    jobs: int = 1,
    progress: bool | None = None,
    resume: str | Path | None = None,
) -> Replication:
    """Run a cited study many times over and compare with what it published.

    Parameters
    ----------
    key : str or Study
        A key of the registry, the path of a study file, or a study.
    seed : int
        The same seed gives the same numbers, whatever `jobs`.
    replicates : int
        How many times the study is run, 2 or more.
    jobs : int
        Processes; -1 for one a processor.
    progress : bool, optional
        Show a progress bar on standard error; None shows it on a terminal, for longer runs.
    resume : str or Path, optional
        A file that remembers finished replicates. A run that was killed goes on from it and gives
        the same numbers as one that was not; more replicates may be asked for later.

    Returns
    -------
    Replication
        `.claims`, `.controls`, `.runs` (frames), `.ok`, `.summary()`, `.plot()`, `.to_dict()`.

    Raises
    ------
    StudyError
        No such study, its file holds faults, or its data are not as it says.
    OptionError
        `replicates` or `jobs` is out of range, or `resume` is the file of another run.

    Notes
    -----
    A simulated study is drawn anew in each replicate, its survey aggregated, its models fitted. A
    study with real data is fitted once for its directions; its replicates draw new outcomes from
    that fit. What becomes a verdict, and how, is stated in `teamlink.registry.verdict.RULE`.

    Examples
    --------
    >>> import teamlink as tl
    >>> again = tl.replicate("hsb-1982", seed=1, replicates=20)
    >>> again.claims[["claim", "published", "recovered", "verdict"]]
      claim published recovered     verdict
    0  H82a  positive  positive  reproduced
    1  H82b  positive  positive  reproduced
    2  H82c  negative  negative  reproduced
    """
    study = find(key)
    if replicates < 2:
        raise OptionError(f"replicates={replicates!r}: at least 2 are needed for an interval")
    memory = None if resume is None else Checkpoint(Path(resume), _run_name(study, seed))
    fit: MixedFit | None = None
    if isinstance(study.design, RealData):
        fit = _fit_real(study)
        values = [float(fit.params[_name(fit, c.term)]) for c in study.claims]
        effects = _fitted_effects(study, values)
        slopes = effects
        draws: Runs[Array] = run(
            _FromFit(study, fit, effects - effects[0]),
            replicates,
            seed,
            jobs,
            batch=BATCH,
            progress=progress,
            label=study.key,
            checkpoint=memory,
        )
    else:
        worlds = scenarios(study)
        effects = worlds.effects
        slopes = slopes_of(study, worlds)
        one = EachAlone(_FromWorld(study, worlds))
        draws = run(
            one, replicates, seed, jobs, progress=progress, label=study.key, checkpoint=memory
        )
    return Replication(
        study=study,
        seed=seed,
        replicates=replicates,
        effects=effects,
        runs=_table_of_runs(study, draws, slopes),
        failures=draws.failures,
        fit=fit,
    )


def _run_name(study: Study, seed: int) -> str:
    """What a file of finished replicates must belong to: all that determines their numbers."""
    return digest(metadata.version("teamlink"), study, seed)


def _fitted_effects(study: Study, values: Sequence[float]) -> Array:
    """Effects (3, claims): those fitted to real data and those of the controls."""
    controls = [c.control_effects(v) for c, v in zip(study.claims, values, strict=True)]
    return np.vstack([values, np.array(controls).T])


@dataclass(frozen=True, slots=True)
class _FromWorld:
    """One replicate of a simulated study: files drawn under each scenario, then analysed."""

    study: Study
    worlds: Scenarios

    def __call__(self, rng: np.random.Generator) -> Array:
        study, worlds = self.study, self.worlds
        assert not isinstance(study.design, RealData)
        tables = draw_all(study, worlds, study.design, rng)
        found = analyse(study.pipeline, study.claims, tables, study.design.keys, worlds.needed)
        answers: Array = found[worlds.which, np.arange(len(study.claims))]
        return answers


@dataclass(frozen=True, slots=True)
class _FromFit:
    """A batch of replicates of a study with real data: outcomes drawn from its fit."""

    study: Study
    fit: MixedFit
    shifts: Array

    def __call__(self, rngs: Sequence[np.random.Generator]) -> list[Array | str]:
        model = self.fit.model
        names = [_name(self.fit, c.term) for c in self.study.claims]
        focal = model.design.X[:, [model.design.x_names.index(n) for n in names]]
        S, R = len(self.shifts), len(rngs)
        drawn = [model.simulate(self.fit.working_theta, 1, rng) for rng in rngs]
        Y = np.hstack([y + focal @ self.shifts.T for y in drawn])
        bound = model.with_responses(Y)
        solution = solve(bound)
        found = bound.estimates(solution.theta), solution.converged
        each = [read_off(*found, name, 1.0).reshape(R, S, len(FIELDS)) for name in names]
        return list(np.stack(each, axis=2))


def _name(fit: MixedFit, term: str) -> str:
    return coefficient(term, list(fit.params.index))


def _fit_real(study: Study) -> MixedFit:
    """Fit the study's model to its data, which must have the sizes that the study states."""
    assert isinstance(study.design, RealData)
    data = datasets.load(study.design.dataset)
    for step in study.pipeline.steps:
        assert isinstance(step, LevelsStep)
        data = data.assign(**{step.column: step.coded(data)})
    model = study.pipeline.models[0].analysis
    assert isinstance(model, MixedAnalysis)
    fit = lmm(model.formula, data)
    found = {"students": fit.nobs, "schools": next(iter(fit.ngroups.values()))}
    for name, count in found.items():
        stated = study.values.get(name, count)
        if stated != count:
            raise StudyError(
                f"{study.key} states {stated:g} {name}, but {study.design.dataset!r} has {count}"
            )
    return fit


def _table_of_runs(study: Study, draws: Runs[Array], slopes: Array) -> pd.DataFrame:
    """One row a replicate, scenario and claim, with intervals and true values."""
    S, C = slopes.shape
    ids = np.array([k for k, _ in draws.results], dtype=np.intp)
    numbers = np.zeros((0, S, C, len(FIELDS)))
    if draws.results:
        numbers = np.stack([result for _, result in draws.results])
    table = pd.DataFrame(
        {
            "replicate": np.repeat(ids, S * C),
            "scenario": np.tile(np.repeat(WORLDS, C), len(ids)),
            "claim": np.tile([c.id for c in study.claims], len(ids) * S),
        }
    )
    table[list(FIELDS)] = numbers.reshape(-1, len(FIELDS))
    table["true_value"] = (slopes * numbers[..., FIELDS.index("unit")]).reshape(-1)
    return table
