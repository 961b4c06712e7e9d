"""Map a function over seeds: serial or in processes, the same numbers either way.

The replicates' seeds are spawned from one seed and dealt out in batches of a fixed size, so neither
the number of jobs nor their order can change a number. BLAS is held to one thread, in this process
as in the others: small blocks are slower with more, and sums come out in another order. A replicate
that fails is kept as a `Failure` at its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from teamlink.errors import OptionError
from teamlink.fitting.fit import keep_memory, single_thread
from teamlink.fitting.progress import progress_bar
from teamlink.simulation.checkpoint import Checkpoint

__all__ = ["EachAlone", "Failure", "Runs", "run"]

T = TypeVar("T")

PATIENCE = 0.6
"""Seconds before the progress bar appears: a run that is over by then needs none."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A replicate that came to no result: which one, and why."""

    replicate: int
    reason: str

    def __str__(self) -> str:
        return f"replicate {self.replicate}: {self.reason}"


@dataclass(frozen=True, slots=True, eq=False)
class Runs(Generic[T]):
    """What came of a number of replicates.

    Attributes
    ----------
    asked : how many replicates were asked for
    results : (replicate, result) of those that succeeded, in order
    failures : those that did not
    """

    asked: int
    results: tuple[tuple[int, T], ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class EachAlone(Generic[T]):
    """Turn a function of one generator into one of a batch; an error fails one replicate only."""

    function: Callable[[np.random.Generator], T]

    def __call__(self, rngs: Sequence[np.random.Generator]) -> list[T | str]:
        """Give a result or the reason of its absence for each generator."""
        return [_or_reason(self.function, rng) for rng in rngs]


def run(
    function: Callable[[Sequence[np.random.Generator]], Sequence[T | str]],
    replicates: int,
    seed: int | np.random.SeedSequence,
    jobs: int = 1,
    *,
    batch: int = 5,
    progress: bool | None = None,
    label: str = "replicates",
    checkpoint: Checkpoint | None = None,
) -> Runs[T]:
    """Call `function` on batches of generators, one generator a replicate.

    Parameters
    ----------
    function : callable
        Takes up to `batch` generators and returns as many results; a `str` in the place of a
        result is the reason of a failure (see `EachAlone`). An exception fails its whole batch.
        With several jobs it must be picklable.
    replicates : int
        How many, 1 or more.
    seed : int or SeedSequence
        Where all generators are spawned from.
    jobs : int
        Processes; -1 for one a processor.
    batch : int
        Replicates a call; part of what determines the numbers, hence independent of `jobs`.
    progress : bool, optional
        Show a progress bar on standard error; None shows it on a terminal, for longer runs.
    label : str
        What the bar calls the replicates.
    checkpoint : Checkpoint, optional
        Batches that it holds are taken from it, the others added to it as they come. Results must
        then be arrays.

    Returns
    -------
    Runs
        Results in the order of the replicates, and failures.

    Raises
    ------
    OptionError
        `replicates`, `jobs` or `batch` is not a positive number.

    Examples
    --------
    >>> runs = run(EachAlone(lambda rng: int(rng.integers(100))), 4, seed=1)
    >>> [k for k, _ in runs.results], runs.failures
    ([0, 1, 2, 3], ())
    """
    for name, value in (("replicates", replicates), ("batch", batch)):
        if value < 1:
            raise OptionError(f"{name}={value!r}: at least 1 is needed")
    if jobs < 1 and jobs != -1:
        raise OptionError(f"jobs={jobs!r}: give a number of processes, or -1 for all processors")
    root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    seeds = root.spawn(replicates)
    batches = [seeds[i : i + batch] for i in range(0, replicates, batch)]
    finished = {} if checkpoint is None else checkpoint.finished
    at = [(i * batch, len(seeds)) for i, seeds in enumerate(batches)]
    parts: dict[int, Sequence[T | str]] = {
        first: finished[first, count] for first, count in at if (first, count) in finished
    }
    missing = [(first, seeds) for (first, _), seeds in zip(at, batches, strict=True)]
    missing = [(first, seeds) for first, seeds in missing if first not in parts]
    count = sum(len(part) for part in parts.values())
    with progress_bar(replicates, progress, label, PATIENCE) as advance:
        answers = _mapped(function, [seeds for _, seeds in missing], jobs)
        for (first, _), done in zip(missing, answers, strict=True):
            parts[first] = done
            if checkpoint is not None:
                checkpoint.add(first, done)
            count += len(done)
            advance(count)
    outcomes = [one for first, _ in at for one in parts[first]]
    failures = (Failure(k, r) for k, r in enumerate(outcomes) if isinstance(r, str))
    results = ((k, r) for k, r in enumerate(outcomes) if not isinstance(r, str))
    return Runs(replicates, tuple(results), tuple(failures))


def _mapped(
    function: Callable[[Sequence[np.random.Generator]], Sequence[T | str]],
    batches: Sequence[Sequence[np.random.SeedSequence]],
    jobs: int,
) -> Iterator[Sequence[T | str]]:
    if jobs == 1 or len(batches) <= 1:
        for seeds in batches:
            yield _one_batch(function, seeds)
        return
    import joblib

    tasks = (joblib.delayed(_one_batch)(function, seeds) for seeds in batches)
    yield from joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks)


def _one_batch(
    function: Callable[[Sequence[np.random.Generator]], Sequence[T | str]],
    seeds: Sequence[np.random.SeedSequence],
) -> Sequence[T | str]:
    keep_memory()
    rngs = [np.random.default_rng(s) for s in seeds]
    with single_thread().limit(limits=1):
        done = _or_reason(function, rngs)
    if isinstance(done, str):
        return [done] * len(seeds)
    if len(done) != len(seeds):
        raise RuntimeError(f"{len(done)} results came back for {len(seeds)} replicates")
    return done


def _or_reason(function: Callable[..., T], argument: object) -> T | str:
    # any error fails the replicate, none is dropped: it is counted, shown, and held against the
    # study
    try:
        return function(argument)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
