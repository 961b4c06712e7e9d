"""Time every engine on every problem, turn by turn in one run."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .engines import ENGINES
from .problems import PROBLEMS, Problem, store
from .processes import Worker, ask_once

AGREE = 1e-3
"""Criteria further than this from the lowest are marked: the engines solved different problems."""

SKIPPED = {
    ("teamlink, no df", "refit"): "the same call as teamlink",
    ("glmm, no df", "refit"): "the same as glmm",
    **{("lme4, anew", name): "the same as lme4" for name in PROBLEMS if name != "refit"},
    **{
        (engine, name): "no generalized model here"
        for engine in ("teamlink, no df", "glmm", "glmm, no df", "mixedlm", "statsmodels")
        for name, problem in PROBLEMS.items()
        if problem.family is not None
    },
}

FEW_ROUNDS = {"lme4": {"million": 2}, "statsmodels": {"refit": 1}}
"""Engines that take a minute a call get fewer turns, and no call before them."""


@dataclass(slots=True)
class Cell:
    """Timings of one engine on one problem, in seconds for one fit."""

    engine: str
    problem: str
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    criterion: list[float] = field(default_factory=list)
    beta: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def fastest(self) -> float | None:
        """Fastest turn."""
        return min(self.wall) if self.wall else None

    @property
    def median(self) -> float | None:
        """Median turn."""
        return statistics.median(self.wall) if self.wall else None


def time_problem(problem: Problem, engines: Sequence[str], rounds: int | None) -> list[Cell]:
    """Time one problem: every engine loads and warms up, then all take turns."""
    store(problem)
    engines = [name for name in engines if (name, problem.name) not in SKIPPED]
    workers = {name: Worker(name) for name in engines}
    cells = {name: Cell(name, problem.name) for name in engines}
    try:
        for name, worker in workers.items():
            _warm_up(worker, cells[name], problem)
        for turn in range(rounds or problem.rounds):
            for name, worker in workers.items():
                most = FEW_ROUNDS.get(name, {}).get(problem.name, turn + 1)
                if not cells[name].note and turn < most:
                    _take_turn(worker, cells[name], problem)
    finally:
        for worker in workers.values():
            worker.stop()
    _say(f"  {problem.title}", cells.values())
    return list(cells.values())


def _warm_up(worker: Worker, cell: Cell, problem: Problem) -> None:
    """Load the data and make one call that is not counted, unless it takes long."""
    answer = worker.load(problem.name)
    if "ok" not in answer:
        cell.note = str(answer.get("error", "not loaded"))
        return
    if problem.name not in FEW_ROUNDS.get(cell.engine, {}):
        answer = worker.run(problem.limit)
        if "wall" not in answer:
            cell.note = _failure(answer, problem)


def _take_turn(worker: Worker, cell: Cell, problem: Problem) -> None:
    answer = worker.run(problem.limit)
    if "wall" not in answer:
        cell.note = _failure(answer, problem)
        return
    cell.wall.append(answer["wall"])
    cell.cpu.append(answer["cpu"])
    cell.criterion, cell.beta = answer["criterion"], answer["beta"]


def _failure(answer: dict[str, object], problem: Problem) -> str:
    return f"> {problem.limit:.0f} s" if "late" in answer else str(answer.get("error"))


def disagreement(cell: Cell, cells: Iterable[Cell]) -> float | None:
    """Largest excess of a cell's criteria over the lowest that any engine found."""
    same = [c for c in cells if c.problem == cell.problem and c.criterion]
    if not cell.criterion:
        return None
    count = min(len(c.criterion) for c in same)
    lowest = [min(c.criterion[k] for c in same) for k in range(count)]
    return max(cell.criterion[k] - lowest[k] for k in range(count))


def beta_difference(cell: Cell, cells: Iterable[Cell]) -> float | None:
    """Largest relative difference of sorted fixed effects from teamlink's."""
    ours = [c for c in cells if c.problem == cell.problem and c.engine == "teamlink" and c.beta]
    if not cell.beta or not ours:
        return None
    pairs = zip(sorted(cell.beta), sorted(ours[0].beta), strict=True)
    return max(abs(a - b) / max(abs(b), 1e-3) for a, b in pairs)


_MODULES = {
    "teamlink": "teamlink",
    "glmm": "glmm",
    "mixedlm": "mixedlm",
    "statsmodels": "statsmodels.formula.api",
}

_CLOCK = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"

_R_IMPORT = "cat(system.time(suppressMessages(library(lme4)))[['elapsed']])"
_R_FIRST = (
    "cat(system.time({suppressMessages(library(lme4)); "
    "lmer(Reaction ~ Days + (Days | Subject), sleepstudy, REML = FALSE)})[['elapsed']])"
)


def import_times(engines: Sequence[str], turns: int = 5) -> dict[str, list[float]]:
    """Seconds to import each package, and to its first fit, in fresh processes, turn by turn."""
    store(PROBLEMS["sleepstudy"])
    asked: dict[str, list[str]] = {}
    for name, module in _MODULES.items():
        asked[f"{name}, import"] = [sys.executable, "-c", _CLOCK.format(module)]
        asked[f"{name}, first fit"] = [sys.executable, "-m", "benchmarks.first", name]
    asked["lme4, import"] = ["Rscript", "-e", _R_IMPORT]
    asked["lme4, first fit"] = ["Rscript", "-e", _R_FIRST]
    asked = {key: line for key, line in asked.items() if key.split(",")[0] in engines}
    found: dict[str, list[float]] = {key: [] for key in asked}
    for _ in range(turns):
        for key, arguments in asked.items():
            line = ask_once(arguments)
            if line is not None:
                found[key].append(float(line))
    return {key: times for key, times in found.items() if times}


def memory(engines: Sequence[str]) -> dict[str, dict[str, int]]:
    """Rise of the resident set in the problem of a million rows, each in a fresh process."""
    store(PROBLEMS["exam"])
    store(PROBLEMS["million"])
    found = {}
    for name in engines:
        line = ask_once([sys.executable, "-m", "benchmarks.memory", name])
        if line is not None:
            found[name] = json.loads(line)
            share = found[name]["rise"] / found[name]["data"]
            print(f"  memory, {name}: {share:.2f} x the data", flush=True)
    return found


def available() -> list[str]:
    """Engines whose package is on this machine."""
    found = []
    for engine in ENGINES.values():
        if engine.package == "lme4":
            check = ["Rscript", "-e", "library(lme4); library(jsonlite); cat('yes')"]
        else:
            check = [sys.executable, "-c", f"import {engine.package}; print('yes')"]
        if ask_once(check):
            found.append(engine.name)
        else:
            print(f"  {engine.name}: not on this machine, left out", flush=True)
    return found


def _say(title: str, cells: Iterable[Cell]) -> None:
    print(title, flush=True)
    cells = list(cells)
    for cell in cells:
        if cell.fastest is None or cell.median is None:
            print(f"    {cell.engine:<16} {cell.note}", flush=True)
            continue
        excess = disagreement(cell, cells) or 0.0
        flag = "   CRITERIA DISAGREE" if excess > AGREE else ""
        print(
            f"    {cell.engine:<16} {1e3 * cell.fastest:12.3f} ms fastest "
            f"{1e3 * cell.median:12.3f} ms median, criterion +{excess:.1e}{flag}",
            flush=True,
        )
