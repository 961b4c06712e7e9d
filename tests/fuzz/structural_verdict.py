"""One structural model, two programs: who fits, and whose likelihood is higher.

python -m tests.fuzz.structural_verdict            ask lavaan, write the register and the table
python -m tests.fuzz.structural_verdict FOLDER     the same from answers in a folder
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import teamlink as tl
from teamlink.errors import TeamlinkError, TeamlinkWarning

from . import structural
from .structural import Drawn

SCRIPT = Path(__file__).with_name("lavaan.R")
REGISTER = Path(__file__).with_name("structural_register.csv")
RESULTS = Path(__file__).with_name("structural_results.md")

SAME = 1e-6
"""A log-likelihood lower by more than this share of it (and of a thousand) is lower."""

KINDS = {
    "agree": "both converge, and the log-likelihoods agree to 1e-4",
    "higher": "both converge, and that of teamlink is higher by more than 1e-4",
    "peer not converged": "lavaan does not converge, teamlink does",
    "peer refuses": "lavaan stops with an error, teamlink converges",
    "neither": "neither converges; teamlink says so by a warning or a typed error",
    "peer untrue": "lavaan's estimates have less likelihood than it reports, and no more than ours",
    "not converged": "lavaan converges, teamlink does not but is no lower: a failure",
    "parameters": "they count different numbers of parameters: a failure",
    "refuses": "lavaan converges, teamlink refuses: a failure",
    "lower": "teamlink's log-likelihood is lower: a failure",
}
FAILURES = frozenset({"not converged", "parameters", "refuses", "lower"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one model; `amount` is our log-likelihood less lavaan's."""

    seed: int
    kind: str
    amount: float = float("nan")
    note: str = ""


@cache
def missing() -> str | None:
    """Say what this machine lacks to run lavaan; None where it lacks nothing."""
    if shutil.which("Rscript") is None:
        return "Rscript is not on this machine"
    asked = "library(lavaan); library(jsonlite)"
    found = subprocess.run(["Rscript", "-e", asked], capture_output=True, check=False)
    return None if found.returncode == 0 else "R has no lavaan or no jsonlite"


def ask(drawn: Sequence[Drawn], folder: Path) -> None:
    """Write models and data into a folder and have lavaan answer there."""
    manifest = []
    for one in drawn:
        data = one.data.copy()
        if "cluster" in data:
            # lavaan 0.6 finds no optimum of missing values where clusters are not sorted.
            data = data.sort_values("cluster", kind="stable")
        if "school" in data:
            data["school"] = pd.factorize(data["school"], sort=True)[0] + 1.0
        values = data.to_numpy(dtype="<f8")
        (folder / f"{one.seed}.bin").write_bytes(values.tobytes(order="F"))
        manifest.append(
            {
                "seed": one.seed, "text": one.text, "options": one.options,
                "columns": list(data.columns), "rows": len(data),
            }
        )  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    subprocess.run(["Rscript", str(SCRIPT), str(folder)], check=True)


def read(folder: Path) -> tuple[str, dict[int, dict[str, Any]]]:
    """Version of lavaan, and its answers by seed."""
    raw = json.loads((folder / "answers.json").read_text())
    return raw["lavaan"], {answer["seed"]: answer for answer in raw["models"]}


def ours(drawn: Drawn) -> Any:
    """Our fit, or the typed error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TeamlinkWarning)
        try:
            return tl.sem(drawn.text, drawn.data, **drawn.options)
        except TeamlinkError as error:
            return error


def at_theirs(fit: Any, answer: dict[str, Any]) -> float:
    """The log-likelihood at lavaan's estimates, by our formulas."""
    structure = fit.model.structure
    n_levels = len(structure.table.levels)
    said = {}
    for row in answer["rows"]:
        for sides in ((row["lhs"], row["rhs"]), (row["rhs"], row["lhs"])):
            said[sides[0], row["op"], sides[1], row["level"], row["group"] or 1] = row["est"]
    x = fit.x.copy()
    for row, j in zip(structure.table.rows, structure.row_parameter, strict=True):
        key = (row.lhs, row.op, row.rhs, row.level if n_levels == 2 else 1, row.group)
        if j >= 0 and key in said:
            x[j] = said[key]
    value = fit.model.derivatives(x[None], np.zeros(1, dtype=np.intp))[0][0]
    return float(-value / 2)


def judge(drawn: Drawn, answer: dict[str, Any]) -> Verdict:
    """Set both fits of a model side by side."""
    seed, found = drawn.seed, ours(drawn)
    theirs = answer.get("logl")
    refused = isinstance(found, TeamlinkError)
    if theirs is None:
        if refused or not found.converged:
            note = str(found) if refused else "an optimum at infinity"
            return Verdict(seed, "neither", note=note)
        kind = "peer refuses" if answer.get("error") else "peer not converged"
        return Verdict(seed, kind, note=answer.get("error") or "")
    if refused:
        return Verdict(seed, "refuses", note=str(found))
    amount = found.llf - theirs
    if found.n_parameters != answer["npar"]:
        return Verdict(seed, "parameters", amount, f"{found.n_parameters}, {answer['npar']}")
    if amount < -SAME * (1 + 1e-3 * abs(theirs)):
        truth = at_theirs(found, answer)
        kind = "peer untrue" if found.llf >= truth - SAME else "lower"
        return Verdict(seed, kind, amount, f"at lavaan's estimates {truth:.6f}, it says {theirs}")
    if not found.converged:
        return Verdict(seed, "not converged", amount, found.convergence.message)
    return Verdict(seed, "higher" if amount > 1e-4 else "agree", amount)


def part(seed: int) -> str:
    """Which of the four parts of the sweep a seed is of."""
    starts = (structural.MISSING, structural.NESTED, structural.NESTED_MISSING)
    names = ("one level", "one level, missing", "two levels", "two levels, missing")
    return names[sum(seed >= start for start in starts)]


def results(verdicts: Sequence[Verdict], drawn: Sequence[Drawn], version: str) -> str:
    """Render the table of results in Markdown."""
    parts = list(dict.fromkeys(part(v.seed) for v in verdicts))
    lines = [
        "# Random structural models against lavaan", "",
        f"{len(verdicts)} models, {sum(not np.isnan(v.amount) for v in verdicts)} that both "
        f"converge on. teamlink {tl.__version__}, lavaan {version}. Written by "
        "`python -m tests.fuzz.structural_verdict`.", "",
        "| outcome | " + " | ".join(parts) + " | meaning |",
        "|---|" + "---:|" * len(parts) + "---|",
    ]  # fmt: skip
    counts = Counter((v.kind, part(v.seed)) for v in verdicts)
    for kind, meaning in KINDS.items():
        cells = " | ".join(str(counts[kind, name]) for name in parts)
        lines.append(f"| {kind} | {cells} | {meaning} |")
    lines += ["", "| model | models | both converge | lowest against lavaan | higher by 1e-4 |"]
    lines.append("|---|---:|---:|---:|---:|")
    kinds = {one.seed: f"{part(one.seed)}: {one.kind}" for one in drawn}
    for name in dict.fromkeys(kinds.values()):
        own = [v for v in verdicts if kinds[v.seed] == name]
        both = [v.amount for v in own if not np.isnan(v.amount)]
        worst = f"{min(0.0, *both, 0.0):.1e}" if both else ""
        higher = sum(v.kind == "higher" for v in own)
        lines.append(f"| {name} | {len(own)} | {len(both)} | {worst} | {higher} |")
    return "\n".join(lines) + "\n"


def registered() -> dict[int, str]:
    """What is known of each model: its outcome by seed."""
    with REGISTER.open(newline="") as file:
        return {int(row["seed"]): row["outcome"] for row in csv.DictReader(file)}


def write(verdicts: Sequence[Verdict], drawn: Sequence[Drawn], version: str) -> None:
    """Write the register and the table anew."""
    with REGISTER.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["seed", "part", "model", "outcome", "amount", "note"])
        for v, one in zip(verdicts, drawn, strict=True):
            amount = "" if np.isnan(v.amount) else f"{v.amount:.2g}"
            note = " ".join(v.note.split())[:160]
            writer.writerow([v.seed, part(v.seed), one.kind, v.kind, amount, note])
    RESULTS.write_text(results(verdicts, drawn, version))


def main(folder: Path | None = None) -> None:
    """Ask lavaan, or take answers already in `folder`, and write."""
    drawn = [structural.draw(seed) for seed in range(structural.COUNT)]
    with tempfile.TemporaryDirectory() as fresh:
        if folder is None:
            ask(drawn, Path(fresh))
        version, answers = read(folder or Path(fresh))
    verdicts = [judge(one, answers[one.seed]) for one in drawn]
    write(verdicts, drawn, version)
    for v in verdicts:
        if v.kind in FAILURES:
            print(f"{v.kind} {v.amount:.3g} {v.note}\n{structural.draw(v.seed)}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
