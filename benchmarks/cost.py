"""How cost grows with rows and with groups: ``python -m benchmarks.cost [--quick]``.

Every point is a fit in a process of its own, one thread. Timed apart: reading the table into a
design, the pass over its rows that forms cross-products, and the search, which touches no row. The
table and the plot stand beside the others in this folder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .memory import Peak
from .processes import environment

HERE = Path(__file__).parent
ROWS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
GROUPS = (10, 100, 1_000, 10_000, 100_000)
FEW, MANY = 100, 1_000_000
"""Groups while rows grow, and rows while groups grow."""

COLUMNS = ("rows", "groups", "design", "products", "search", "evaluations", "data", "rise")


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of model: its formula, and a table of n rows with about `groups` groups at the top."""

    name: str
    formula: str
    make: Callable[[int, int, np.random.Generator], pd.DataFrame]


def two_level(n: int, groups: int, rng: np.random.Generator) -> pd.DataFrame:
    """Pupils in schools, a random slope."""
    g, x = rng.integers(0, groups, n), rng.normal(size=n)
    u = rng.normal(size=(groups, 2)) * [0.5, 0.2]
    return pd.DataFrame({"g": g, "x": x, "y": 1 + 0.3 * x + u[g, 0] + u[g, 1] * x + _noise(n, rng)})


def three_level(n: int, groups: int, rng: np.random.Generator) -> pd.DataFrame:
    """Pupils in classes in schools; five classes a school."""
    c, x = rng.integers(0, 5 * groups, n), rng.normal(size=n)
    u, v = 0.4 * rng.normal(size=groups), 0.3 * rng.normal(size=5 * groups)
    return pd.DataFrame({"g": c // 5, "c": c, "x": x, "y": x + u[c // 5] + v[c] + _noise(n, rng)})


def crossed(n: int, groups: int, rng: np.random.Generator) -> pd.DataFrame:
    """Pupils by primary school and by one of 50 secondary schools."""
    g, s, x = rng.integers(0, groups, n), rng.integers(0, 50, n), rng.normal(size=n)
    u, v = 0.4 * rng.normal(size=groups), 0.3 * rng.normal(size=50)
    return pd.DataFrame({"g": g, "s": s, "x": x, "y": x + u[g] + v[s] + _noise(n, rng)})


def _noise(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=n)


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("two levels", "y ~ x + (x | g)", two_level),
        Shape("three levels", "y ~ x + (1 | g) + (1 | c)", three_level),
        Shape("crossed", "y ~ x + (1 | g) + (1 | s)", crossed),
    )
}


def measure(name: str, rows: int, groups: int) -> dict[str, float]:
    """Fit one table; seconds of each part, steps of the search, and bytes."""
    from teamlink.fitting.fit import single_thread, solve
    from teamlink.mixed.bind import bind
    from teamlink.mixed.design import design

    warnings.simplefilter("ignore")
    shape = SHAPES[name]
    small = shape.make(200, 5, np.random.default_rng(1))
    solve(bind(design(shape.formula, small), True, "normal"))
    data = shape.make(rows, groups, np.random.default_rng(rows + groups))
    with single_thread().limit(limits=1), Peak() as peak:
        began = time.perf_counter()
        known = design(shape.formula, data)
        read = time.perf_counter()
        model = bind(known, True, "normal")
        formed = time.perf_counter()
        found = solve(model)
        searched = time.perf_counter()
    return {
        "rows": rows,
        "groups": groups,
        "design": read - began,
        "products": formed - read,
        "search": searched - formed,
        "evaluations": int(found.iterations[0]),
        "data": int(data.memory_usage(index=False).sum()),
        "rise": peak.rise,
    }


def points(quick: bool) -> list[tuple[str, str, int, int]]:
    """Every point: which axis grows, shape, rows, groups."""
    rows, groups = (ROWS[:3], GROUPS[:3]) if quick else (ROWS, GROUPS)
    fixed = ROWS[2] if quick else MANY
    grown = [("rows", name, n, min(FEW, n // 20)) for name in SHAPES for n in rows]
    return grown + [("groups", name, fixed, J) for name in SHAPES for J in groups if fixed > 5 * J]


def ask(name: str, rows: int, groups: int) -> dict[str, float]:
    """One point in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.cost", "--point", name, str(rows), str(groups)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def markdown(found: Sequence[tuple[str, str, dict[str, float]]]) -> str:
    """The table."""
    lines = [
        "# Growth of cost",
        "",
        "Written by `python -m benchmarks.cost`. Seconds, one thread; `design` reads the table, "
        "`products` passes over its rows, `search` finds the optimum. Memory is the rise of the "
        "resident set over the data frame's own size.",
    ]
    for axis in ("rows", "groups"):
        lines += ["", f"## Growing {axis}", ""]
        lines += ["| model | rows | groups | design | products | search | steps | memory / data |"]
        lines += ["|---|---:|---:|---:|---:|---:|---:|---:|"]
        for kind, name, p in found:
            if kind == axis:
                share = p["rise"] / p["data"]
                lines.append(
                    f"| {name} | {p['rows']:,} | {p['groups']:,} | {p['design']:.3g} | "
                    f"{p['products']:.3g} | {p['search']:.3g} | {p['evaluations']} | {share:.2g} |"
                )
    return "\n".join(lines) + "\n"


def plot(found: Sequence[tuple[str, str, dict[str, float]]], path: Path) -> None:
    """Time and memory against rows and groups, on logarithmic axes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(9, 7), sharex="col", layout="constrained")
    colours = dict(zip(SHAPES, ("#1b6ca8", "#c8553d", "#3c7a57"), strict=True))
    for column, axis in enumerate(("rows", "groups")):
        for name in SHAPES:
            own = [p for kind, shape, p in found if kind == axis and shape == name]
            at = [p[axis] for p in own]
            first = [p["design"] + p["products"] for p in own]
            top, bottom = axes[0, column], axes[1, column]
            top.loglog(at, first, "o-", color=colours[name], label=f"{name}: first pass")
            top.loglog(
                at, [p["search"] for p in own], "s--", color=colours[name], label=f"{name}: search"
            )
            bottom.loglog(
                at, [p["rise"] / 2**20 for p in own], "o-", color=colours[name], label=name
            )
        axes[1, column].set_xlabel(axis)
    axes[0, 0].set_ylabel("seconds")
    axes[1, 0].set_ylabel("memory beyond the data (MiB)")
    axes[0, 0].set_title("100 groups at the top, growing rows")
    axes[0, 1].set_title("1,000,000 rows, growing groups")
    axes[0, 0].legend(fontsize=7, frameon=False)
    axes[1, 0].legend(fontsize=8, frameon=False)
    figure.savefig(path)


def main() -> int:
    """Measure every point, or one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small tables only; write no file")
    parser.add_argument("--point", nargs=3, metavar=("SHAPE", "ROWS", "GROUPS"))
    asked = parser.parse_args()
    if asked.point:
        name, rows, groups = asked.point
        print(json.dumps(measure(name, int(rows), int(groups))))
        return 0
    found = []
    for axis, name, rows, groups in points(asked.quick):
        point = ask(name, rows, groups)
        found.append((axis, name, point))
        print(f"  {name:13} {rows:>11,} rows {groups:>7,} groups", end="")
        print(f"  first pass {point['design'] + point['products']:8.3f} s", end="")
        print(f"  search {point['search']:8.4f} s  {point['rise'] / 2**20:8.1f} MiB", flush=True)
    if not asked.quick:
        (HERE / "cost.md").write_text(markdown(found))
        plot(found, HERE / "cost.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
