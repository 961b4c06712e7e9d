"""The results as Markdown and csv."""

from __future__ import annotations

import csv
import datetime
import io
import os
import platform
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from .compare import AGREE, Cell, beta_difference, disagreement
from .engines import ENGINES
from .problems import PROBLEMS
from .processes import ask_once

BARS = (
    ("hsb", "teamlink", "lme4", 1 / 6),
    ("million", "teamlink", "lme4", 1 / 40),
    ("million", "teamlink", "glmm", 1.0),
    ("chem97", "teamlink", "lme4", 1 / 15),
    ("growth", "teamlink", "lme4", 1 / 8),
    ("growth", "teamlink", "mixedlm", 0.7),
    ("growth", "teamlink", "glmm", 0.7),
    ("insteval3", "teamlink", "lme4", 1 / 4),
    ("insteval3", "teamlink", "glmm", 1.0),
    ("refit", "teamlink", "lme4", 1 / 60),
    ("contraception", "teamlink", "lme4", 1 / 8),
)
"""Problem, engine, peer, and the largest share of the peer's time the engine may take."""

MEMORY_BAR = 6.0
IMPORT_BAR = 0.3


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.3g} ms"


def _share(cell: Cell, peer: Cell | None) -> str:
    if cell.fastest is None or peer is None or peer.fastest is None:
        return ""
    ratio = cell.fastest / peer.fastest
    return f"{ratio:.3g}" if ratio >= 0.1 else f"1/{1 / ratio:.0f}"


def _one(cells: Sequence[Cell], engine: str, problem: str) -> Cell | None:
    found = [c for c in cells if c.engine == engine and c.problem == problem]
    return found[0] if found else None


def versions() -> list[str]:
    """Name every program with its version, and the machine."""
    packages = ("teamlink", "glmm", "mixedlm", "statsmodels", "numpy", "scipy", "pandas")
    named = []
    for package in packages:
        try:
            named.append(f"{package} {version(package)}")
        except ModuleNotFoundError:
            continue
    r = "cat(paste0(R.version.string, ';'), 'lme4', format(packageVersion('lme4')), 'with',"
    line = ask_once(["Rscript", "-e", f"{r} basename(extSoftVersion()[['BLAS']]))"])
    return [
        f"- Python {platform.python_version()}; {', '.join(named)}",
        f"- {line}" if line else "- R is not on this machine",
        f"- {_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        f"- {datetime.datetime.now(tz=datetime.UTC).date()}",
    ]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def bars(
    cells: Sequence[Cell], imports: dict[str, list[float]], used: dict[str, dict[str, int]]
) -> list[tuple[str, str, str, bool]]:
    """What was promised, what was measured, and whether it holds."""
    rows = []
    for problem, engine, peer, most in BARS:
        mine, theirs = _one(cells, engine, problem), _one(cells, peer, problem)
        if mine is None or theirs is None or mine.fastest is None or theirs.fastest is None:
            continue
        ratio = mine.fastest / theirs.fastest
        most_words = f"1/{1 / most:.0f} of" if most <= 0.5 else f"{most} x"
        promised = f"at most {most_words} {peer}"
        rows.append((PROBLEMS[problem].title, promised, _share(mine, theirs), ratio <= most))
    if "teamlink" in used:
        share = used["teamlink"]["rise"] / used["teamlink"]["data"]
        promised = f"at most {MEMORY_BAR:.0f} x the data"
        rows.append(
            (
                "Memory of the call on 1,000,000 rows",
                promised,
                f"{share:.2f} x",
                share <= MEMORY_BAR,
            )
        )
    if imports.get("teamlink, import"):
        fastest = min(imports["teamlink, import"])
        rows.append(
            (
                "Import",
                f"below {IMPORT_BAR} s",
                _seconds(fastest),
                fastest < IMPORT_BAR,
            )
        )
    return rows


def markdown(
    cells: Sequence[Cell], imports: dict[str, list[float]], used: dict[str, dict[str, int]]
) -> str:
    """Render everything in Markdown."""
    out = io.StringIO()

    def say(text: str = "") -> None:
        print(text, file=out)

    say("# Timings\n")
    say(
        "Written by `python -m benchmarks`. Wall-clock time of the whole call, from a data frame to"
    )
    say("the estimates, one thread in every process; the engines take turns in one run, after one")
    say("call that is not counted. Ratios are of the fastest turns.\n")
    say("\n".join(versions()))
    say("\n## Bars\n")
    say("| what | promised | measured | holds |\n|---|---|---:|---|")
    for what, promised, measured, holds in bars(cells, imports, used):
        say(f"| {what} | {promised} | {measured} | {'yes' if holds else 'NO'} |")
    for name in dict.fromkeys(c.problem for c in cells):
        problem = PROBLEMS[name]
        say(f"\n## {problem.title}\n\n`{problem.formula}`\n")
        _problem_table(name, cells, say)
    _memory_table(used, say)
    _import_table(imports, say)
    return out.getvalue()


def _problem_table(name: str, cells: Sequence[Cell], say: Callable[[str], None]) -> None:
    say(
        "| engine | tests | fastest | median | processor | turns | of lme4 | of glmm "
        "| criterion above the lowest | fixed effects |"
    )
    say("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    lme4, glmm = _one(cells, "lme4", name), _one(cells, "glmm", name)
    for cell in (c for c in cells if c.problem == name):
        tests = ENGINES[cell.engine].tests
        if cell.fastest is None:
            say(f"| {cell.engine} | {tests} | {cell.note} | | | | | | | |")
            continue
        excess, difference = disagreement(cell, cells), beta_difference(cell, cells)
        shown = f"{excess:.1e}" if excess is not None else ""
        if excess is not None and excess > AGREE:
            shown = f"**{shown}**"
        say(
            f"| {cell.engine} | {tests} | {_seconds(cell.fastest)} | {_seconds(cell.median)} "
            f"| {_seconds(min(cell.cpu))} | {len(cell.wall)} | {_share(cell, lme4)} "
            f"| {_share(cell, glmm)} | {shown} "
            f"| {f'{difference:.0e}' if difference is not None else ''} |"
        )


def _memory_table(used: dict[str, dict[str, int]], say: Callable[[str], None]) -> None:
    if not used:
        return
    say("\n## Memory, 1,000,000 rows\n")
    say("Rise of the resident set above where it stood with the data loaded, in a fresh process.\n")
    say("| engine | data frame | rise | times the data |\n|---|---:|---:|---:|")
    for name, found in used.items():
        mib = 1024**2
        say(
            f"| {name} | {found['data'] / mib:.0f} MiB | {found['rise'] / mib:.0f} MiB "
            f"| {found['rise'] / found['data']:.2f} |"
        )


def _import_table(imports: dict[str, list[float]], say: Callable[[str], None]) -> None:
    if not imports:
        return
    say("\n## From a fresh process\n")
    say("`first fit` is the import, the reading of sleepstudy and its fit.\n")
    say("| what | fastest | median |\n|---|---:|---:|")
    for name, times in imports.items():
        middle = sorted(times)[len(times) // 2]
        say(f"| {name} | {_seconds(min(times))} | {_seconds(middle)} |")


def comma_separated(cells: Sequence[Cell]) -> str:
    """Every turn, a row each."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["problem", "engine", "turn", "wall_s", "processor_s", "criterion", "note"])
    for cell in cells:
        if not cell.wall:
            writer.writerow([cell.problem, cell.engine, "", "", "", "", cell.note])
        for turn, (wall, cpu) in enumerate(zip(cell.wall, cell.cpu, strict=True), 1):
            row = [f"{wall:.6g}", f"{cpu:.6g}", f"{cell.criterion[0]:.8f}"]
            writer.writerow([cell.problem, cell.engine, turn, *row, cell.note])
    return out.getvalue()


if __name__ == "__main__":
    sys.stdout.write("\n".join(versions()) + "\n")
