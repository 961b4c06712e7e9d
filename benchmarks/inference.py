"""Inference beside R's: ``python -m benchmarks.inference [--tasks profile ...] [--rounds N]``.

The fit is there already; what is timed is the call that follows it. Every turn is a fresh process
on one thread, teamlink's and R's one after the other; ratios are of the fastest turns. R's bootMer
draws a tenth of the replicates, and its time is multiplied by ten.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

import teamlink as tl

from .problems import CACHE, reference_table
from .processes import ask_once
from .table import versions

HERE = Path(__file__).parent

SCHOOLS, REPLICATES = 47, 1000


@dataclass(frozen=True, slots=True)
class Task:
    """A call after a fit, and the largest share it may take of what it is compared with.

    Attributes
    ----------
    title : what is timed
    peer : what it is compared with
    most : largest ratio
    prepare : makes the call that is timed; a second call is the peer where that is teamlink's own
    """

    title: str
    peer: str
    most: float
    prepare: Callable[[], tuple[Callable[[], object], Callable[[], object] | None]]


def few_schools() -> pd.DataFrame:
    """The first 47 schools of High School & Beyond."""
    data = tl.datasets.load("hsb82")[["school", "mathach", "cses", "sector"]]
    return data[data["school"].isin(data["school"].unique()[:SCHOOLS])]


def bootstrap() -> tuple[Callable[[], object], None]:
    """1,000 parametric replicates of a model with a slope, with all their estimates."""
    fit = tl.lmm("mathach ~ cses + sector + (cses | school)", few_schools())
    return lambda: tl.bootstrap(fit, REPLICATES, seed=1), None


def profile() -> tuple[Callable[[], object], None]:
    """Intervals of all six parameters."""
    fit = tl.lmm("Reaction ~ Days + (Days | Subject)", reference_table("sleepstudy"), reml=False)
    return lambda: tl.profile(fit).conf_int(), None


def kenward_roger() -> tuple[Callable[[], object], None]:
    """Covariance and degrees of freedom of six coefficients, 7,185 rows."""
    formula = "mathach ~ meanses * cses + sector * cses + (cses | school)"
    fit = tl.lmm(formula, tl.datasets.load("hsb82"))
    return lambda: tl.small_sample(fit, "kenward-roger"), None


def crossed() -> tuple[Callable[[], object], Callable[[], object]]:
    """The same of InstEval, 73,421 rows and three crossed factors, beside its own fit."""
    path = CACHE / "insteval-inference.csv"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write = f"write.csv(lme4::InstEval, '{path.as_posix()}', row.names = FALSE)"
        if ask_once(["Rscript", "-e", f"{write}; cat('done')"]) is None:
            raise FileNotFoundError("InstEval comes from lme4, which is not on this machine")
    data = pd.read_csv(path).astype({"s": str, "d": str, "dept": str, "service": str})

    def fitted() -> tl.lmm:
        return tl.lmm("y ~ service + (1 | s) + (1 | d) + (1 | dept:service)", data)

    fit = fitted()
    return lambda: tl.small_sample(fit, "kenward-roger"), fitted


TASKS = {
    "bootstrap": Task(
        f"{REPLICATES} parametric replicates, {SCHOOLS} schools, slope", "bootMer", 0.01, bootstrap
    ),
    "profile": Task("profile intervals, sleepstudy, slope", "lme4", 0.1, profile),
    "kenward-roger": Task("Kenward-Roger, HSB", "pbkrtest", 1 / 200, kenward_roger),
    "crossed": Task("Kenward-Roger, InstEval", "its own fit", 4.0, crossed),
}


def one_turn(name: str, calls: int = 3) -> tuple[float, float | None]:
    """Fastest seconds of a few calls after one that is not counted, and of the peer's."""
    warnings.simplefilter("ignore")
    call, peer = TASKS[name].prepare()
    found = []
    for each in (call, peer):
        if each is None:
            found.append(None)
            continue
        each()
        spent = []
        for _ in range(calls):
            began = time.perf_counter()
            each()
            spent.append(time.perf_counter() - began)
        found.append(min(spent))
    return found[0] or 0.0, found[1]


def measured(name: str, rounds: int) -> tuple[float, float] | None:
    """Fastest seconds of teamlink and of what it is compared with; None where that is missing."""
    store = CACHE / "inference-47.csv"
    store.parent.mkdir(parents=True, exist_ok=True)
    few_schools().to_csv(store, index=False)
    ours, theirs = [], []
    for _ in range(rounds):
        line = ask_once([sys.executable, "-m", "benchmarks.inference", "--one", name], 900)
        if line is None:
            return None
        mine, *own = map(float, line.split())
        ours.append(mine)
        if own:
            theirs += own
            continue
        line = ask_once(["Rscript", str(HERE / "inference.R"), name, str(CACHE)], 900)
        if line is None:
            return None
        theirs.append(float(line))
    return min(ours), min(theirs)


def main() -> int:
    """Time, print, write; 1 where a bar does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-write", action="store_true", help="print, and write no file")
    parser.add_argument("--one", choices=list(TASKS), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(*(value for value in one_turn(asked.one) if value is not None))
        return 0
    rows, held = [], True
    for name in asked.tasks:
        task, found = TASKS[name], measured(name, asked.rounds)
        if found is None:
            rows.append(f"| {task.title} | | {task.peer}: not on this machine | | | |")
            continue
        mine, theirs = found
        ratio = mine / theirs
        held &= ratio <= task.most
        says = f"at most {task.most:g}" if task.most >= 1 else f"at most 1/{1 / task.most:.0f}"
        shown = f"{ratio:.2f}" if ratio >= 0.1 else f"1/{1 / ratio:.0f}"
        rows.append(
            f"| {task.title} | {1e3 * mine:.1f} ms | {task.peer}: {theirs:.2f} s | {says} "
            f"| {shown} | {'yes' if ratio <= task.most else 'NO'} |"
        )
        print(rows[-1], flush=True)
    head = "| call | teamlink | compared with | promised | measured | holds |"
    text = "\n".join([head, "|---|---:|---:|---|---:|---|", *rows])
    said = " ".join((__doc__ or "").split("\n\n", 1)[1].split())
    title = "# Timings of inference\n\nWritten by `python -m benchmarks.inference`."
    if not asked.no_write:
        listed = "\n".join(versions())
        (HERE / "inference.md").write_text(f"{title} {said}\n\n{listed}\n\n{text}\n")
    return int(not held)


if __name__ == "__main__":
    sys.exit(main())
