"""Run the benchmarks: ``python -m benchmarks [--problems hsb ...] [--engines ...]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .compare import AGREE, available, disagreement, import_times, memory, time_problem
from .engines import ENGINES
from .problems import PROBLEMS
from .table import bars, comma_separated, markdown

HERE = Path(__file__).parent


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--rounds", type=int, help="turns of each engine, instead of the usual")
    parser.add_argument("--no-memory", action="store_true", help="leave the memory out")
    parser.add_argument("--no-write", action="store_true", help="print, and write no file")
    return parser.parse_args()


def main() -> int:
    """Time, print, write; 1 where a bar does not hold or an engine disagrees with teamlink."""
    asked = arguments()
    engines = [name for name in available() if name in asked.engines]
    cells = []
    for name in asked.problems:
        cells += time_problem(PROBLEMS[name], engines, asked.rounds)
    imports = import_times(engines)
    measured = ("teamlink", "glmm", "mixedlm")
    used = {} if asked.no_memory else memory([e for e in measured if e in engines])
    found = bars(cells, imports, used)
    for what, promised, value, holds in found:
        print(f"  {'holds' if holds else 'FAILS'}: {what}: {promised}, measured {value}")
    if not asked.no_write:
        (HERE / "results.md").write_text(markdown(cells, imports, used))
        (HERE / "results.csv").write_text(comma_separated(cells))
    ours = [c for c in cells if c.engine == "teamlink"]
    worse = [c.problem for c in ours if (disagreement(c, cells) or 0.0) > AGREE]
    if worse:
        print(f"  teamlink's criterion is above another engine's: {', '.join(worse)}")
    return int(bool(worse) or not all(row[-1] for row in found))


if __name__ == "__main__":
    sys.exit(main())
