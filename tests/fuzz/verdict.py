"""One design, two programs: who fits, whose criterion is lower, and is each criterion true."""

from __future__ import annotations

import csv
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import teamlink as tl
from teamlink.errors import TeamlinkWarning

from . import arbiter, factor_arbiter
from .designs import Design
from .peer import Answer


@dataclass(frozen=True, slots=True)
class Sweep:
    """What differs between the sweep of one factor and that of several.

    Attributes
    ----------
    title, command : of the table of results
    register, results : where they are kept
    ours, theirs : the criterion in truth at the theta of our fit, and at that of the peer's answer
    traits : by which the table is broken down
    """

    title: str
    command: str
    register: Path
    results: Path
    ours: Callable[[Design, Any], float]
    theirs: Callable[[Design, Answer], float]
    traits: tuple[str, ...]


_HARD = ("variances", "slopes", "y mean", "x mean", "scale", "sigma", "rank")

ONE_FACTOR = Sweep(
    "Random designs against lme4",
    "pytest -m live_r tests/fuzz/test_lme4_live.py",
    Path(__file__).with_name("register.csv"),
    Path(__file__).with_name("results.md"),
    lambda design, fit: arbiter.criterion(design, np.asarray(fit.theta)),
    lambda design, answer: arbiter.criterion(design, answer.theta),
    ("variances", "sizes", *_HARD[1:]),
)
SEVERAL_FACTORS = Sweep(
    "Random designs with several factors against lme4",
    "pytest -m live_r tests/fuzz/test_factors_live.py",
    Path(__file__).with_name("factor_register.csv"),
    Path(__file__).with_name("factor_results.md"),
    lambda design, fit: factor_arbiter.criterion(design, factor_arbiter.roots_of_fit(fit)),
    lambda design, answer: factor_arbiter.criterion(
        design, factor_arbiter.roots_of_lme4(answer.terms, answer.theta)
    ),
    ("structure", *_HARD),
)

# The bar of the project: never above the peer by more than this.
ABSOLUTE, RELATIVE = 1e-6, 1e-9
# Lower than the peer by more than this is a deviation that must be registered.
NOTABLE = 1e-4

KINDS = {
    "agree": "both fit, and the criteria agree to 1e-4",
    "lower": "both fit, and teamlink's criterion is lower by more than 1e-4",
    "peer untrue": "lme4 reports a criterion that is not the criterion at its theta (cancellation)",
    "doubtful": "teamlink's criterion is not true (cancellation) and its fit says that it did not "
    "converge; in truth its theta is no worse than lme4's",
    "rank": "both fit, and a different number of columns of X was kept",
    "peer refuses": "lme4 refuses, teamlink fits",
    "both refuse": "both refuse; teamlink with a typed error",
    "refuses": "teamlink refuses with a typed error, lme4 fits",
    "higher": "teamlink's criterion is above lme4's: a failure",
    "untrue": "teamlink's criterion is not the criterion at its theta: a failure",
    "crash": "teamlink stopped with an error that is not its own: a failure",
}
FAILURES = frozenset({"higher", "untrue", "crash"})
UNREMARKABLE = frozenset({"agree", "both refuse"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one design; `amount` is teamlink's criterion minus the peer's."""

    seed: int
    kind: str
    amount: float
    note: str
    seconds: float = 0.0


def tolerance(value: float) -> float:
    """Largest difference of two criteria that counts as equal."""
    return ABSOLUTE + RELATIVE * abs(value)


def judge(design: Design, answer: Answer, sweep: Sweep = ONE_FACTOR) -> Verdict:
    """Fit `design` by teamlink and compare with the peer's answer."""
    began = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", TeamlinkWarning)
            fit = tl.lmm(design.formula, design.data, reml=design.reml)
            finite = np.isfinite(fit.bse.to_numpy()).all() and (fit.df.to_numpy() > 0).all()
    except tl.TeamlinkError as fault:
        kind = "both refuse" if answer.error else "refuses"
        return Verdict(design.seed, kind, np.nan, f"{type(fault).__name__}: {fault}")
    except Exception as fault:
        return Verdict(design.seed, "crash", np.nan, f"{type(fault).__name__}: {fault}")
    seconds = time.perf_counter() - began
    kind, amount, note = _compare(design, answer, fit, sweep)
    if kind == "doubtful" and fit.converged:
        kind = "untrue"
    if not finite and kind not in FAILURES:
        kind, note = "untrue", "a standard error or a degree of freedom is not usable"
    return Verdict(design.seed, kind, amount, note, seconds)


def _compare(design: Design, answer: Answer, fit: Any, sweep: Sweep) -> tuple[str, float, str]:
    ours, columns = fit.deviance, len(fit.params)
    true_ours = sweep.ours(design, fit)
    ours_untrue = not abs(ours - true_ours) <= tolerance(true_ours)
    if answer.criterion is None:
        kind = "untrue" if ours_untrue else "peer refuses"
        return kind, np.nan, answer.error or ""
    amount = ours - answer.criterion
    true_theirs = sweep.theirs(design, answer)
    theirs_untrue = abs(answer.criterion - true_theirs) > tolerance(true_theirs)
    if ours_untrue:
        no_worse = true_ours <= true_theirs + tolerance(true_theirs)
        note = f"{ours:.6f}, in truth {true_ours:.6f}; lme4 {answer.criterion:.6f}, in truth "
        return "doubtful" if no_worse else "untrue", amount, f"{note}{true_theirs:.6f}"
    if columns != len(answer.columns):
        return "rank", amount, f"{columns} columns, lme4 {len(answer.columns)}"
    if theirs_untrue and ours <= true_theirs + tolerance(true_theirs):
        note = f"lme4 reports {answer.criterion:.8f}, at its theta {true_theirs:.8f}"
        return "peer untrue", amount, note
    if amount > tolerance(answer.criterion):
        return "higher", amount, f"{ours!r} against {answer.criterion!r}"
    if amount < -NOTABLE:
        beyond_default = ours - (answer.default if answer.default is not None else np.nan)
        return "lower", amount, f"default optimiser of lme4: {beyond_default:.2e}"
    return "agree", amount, ""


def registered(sweep: Sweep = ONE_FACTOR) -> dict[int, str]:
    """Deviations that are known, as kind by seed."""
    with sweep.register.open(newline="") as file:
        return {int(row["seed"]): row["kind"] for row in csv.DictReader(file)}


def register(verdicts: Sequence[Verdict], sweep: Sweep = ONE_FACTOR) -> None:
    """Write the register anew from what was found; failures are never registered."""
    with sweep.register.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["seed", "kind", "amount", "note"])
        for v in verdicts:
            if v.kind not in UNREMARKABLE | FAILURES:
                amount = "" if np.isnan(v.amount) else f"{v.amount:.3g}"
                writer.writerow([v.seed, v.kind, amount, " ".join(v.note.split())[:160]])


def results(
    verdicts: Sequence[Verdict],
    designs: Sequence[Design],
    versions: dict[str, str],
    sweep: Sweep = ONE_FACTOR,
) -> str:
    """Render the table of results in Markdown."""
    counts = Counter(v.kind for v in verdicts)
    compared = [v for v in verdicts if not np.isnan(v.amount)]
    lines = [
        f"# {sweep.title}",
        "",
        f"{len(verdicts)} designs, {len(compared)} fitted by both programs. teamlink "
        f"{tl.__version__}, lme4 {versions['lme4']}, {versions['R']}, {versions['date']}. "
        f"Written by `{sweep.command}`.",
        "",
        "lme4's criterion is the best of six runs: its default optimiser, tight bobyqa from two "
        "starts, Nelder-Mead from two starts, and bobyqa from the best of those.",
        "",
        "| outcome | designs | meaning |",
        "|---|---:|---|",
        *(f"| {kind} | {counts.get(kind, 0)} | {meaning} |" for kind, meaning in KINDS.items()),
        "",
        *_by_trait(verdicts, designs, sweep.traits),
        "",
        "## Deviations",
        "",
        "`amount` is teamlink's criterion minus lme4's.",
        "",
        "| seed | outcome | amount | note | model |",
        "|---:|---|---:|---|---|",
    ]
    for v, design in zip(verdicts, designs, strict=True):
        if v.kind not in UNREMARKABLE:
            amount = "" if np.isnan(v.amount) else f"{v.amount:.3g}"
            note = " ".join(v.note.split())[:160].replace("|", "\\|")
            model = design.formula.replace("|", "\\|")
            lines.append(f"| {v.seed} | {v.kind} | {amount} | {note} | `{model}` |")
    return "\n".join(lines) + "\n"


def _by_trait(
    verdicts: Sequence[Verdict], designs: Sequence[Design], traits: Sequence[str]
) -> list[str]:
    """Count designs and the largest excess over lme4 by what makes a design hard."""
    lines = [
        "| trait | designs | fitted by both | largest excess over lme4 | lower by more than 1e-4 |",
        "|---|---:|---:|---:|---:|",
    ]
    for trait in traits:
        for value in sorted({d.traits[trait] for d in designs}, key=str):
            chosen = [v for v, d in zip(verdicts, designs, strict=True) if d.traits[trait] == value]
            both = [v.amount for v in chosen if v.kind in ("agree", "lower", "higher")]
            worst = f"{max(0.0, *both):.1e}" if len(both) > 1 else ""
            lower = sum(v.kind == "lower" for v in chosen)
            lines.append(f"| {trait}: {value} | {len(chosen)} | {len(both)} | {worst} | {lower} |")
    return lines
