"""MRQAP beside sna's netlm: ``python -m benchmarks.networks [--rounds N] [--reps R]``.

60 people, four correlated predictors, double semi-partialling. One call of each, in turn, each in
a fresh process on one thread, with the same number of permutations and no warm-up: teamlink's
first call is what counts, though not the import. Ratios are of the fastest turns. Coefficients must
agree to 1e-10, and p values to five Monte-Carlo standard errors.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from .problems import CACHE
from .processes import ask_once
from .table import versions

HERE = Path(__file__).parent
PEOPLE, PREDICTORS = 60, 4
BAR = 1 / 50


def problem() -> Path:
    """The dyads of the one problem, written once."""
    rng = np.random.default_rng(60)
    shape = (PEOPLE, PEOPLE)
    x = [rng.normal(size=shape) + rng.normal(size=(PEOPLE, 1)) for _ in range(PREDICTORS)]
    x[1] = x[1] + 0.5 * x[0]
    y = 0.05 * x[0] + 0.03 * x[2] + rng.normal(size=shape) + rng.normal(size=(1, PEOPLE))
    table = pd.DataFrame({"y": y.ravel(), **{f"x{i + 1}": m.ravel() for i, m in enumerate(x)}})
    path = CACHE / "networks-60.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    return path


def one_turn(path: Path, reps: int) -> list[float]:
    """Seconds of one call, coefficients with the intercept first, p values of the predictors."""
    import teamlink as tl

    call = tl.networks.mrqap  # imported before the clock starts, as sna is
    table = pd.read_csv(path)
    matrices = {name: table[name].to_numpy().reshape(PEOPLE, PEOPLE) for name in table}
    y = matrices.pop("y")
    began = time.perf_counter()
    fit = call(y, matrices, permutations=reps)
    spent = time.perf_counter() - began
    return [spent, *fit.params, *fit.pvalues]


def main() -> int:
    """Time, print, write; 1 where the bar does not hold or the two disagree."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.networks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--reps", type=int, default=1000)
    parser.add_argument("--no-write", action="store_true", help="print, and write no file")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(*(f"{value:.17g}" for value in one_turn(Path(asked.one), asked.reps)))
        return 0
    path, reps = problem(), asked.reps
    ours, theirs = [], []
    for _ in range(asked.rounds):
        mine = [sys.executable, "-m", "benchmarks.networks", "--one", str(path)]
        for found, command in (
            (ours, [*mine, "--reps", str(reps)]),
            (theirs, ["Rscript", str(HERE / "networks.R"), str(path), str(reps)]),
        ):
            line = ask_once(command, 900)
            if line is None:
                print("sna is not on this machine" if found is theirs else "teamlink failed")
                return 1
            found.append([float(word) for word in line.split()])
    mine, other = (min(found, key=lambda turn: turn[0]) for found in (ours, theirs))
    k = PREDICTORS + 1
    apart = float(np.abs(np.array(mine[1 : k + 1]) / np.array(other[1 : k + 1]) - 1).max())
    p, q = np.array(mine[k + 1 :]), np.array(other[k + 2 :])
    error = np.sqrt(np.maximum((p + q) / 2 * (1 - (p + q) / 2), 1 / reps) * 2 / reps)
    ratio, noise = mine[0] / other[0], float((np.abs(p - q) / error).max())
    holds = ratio <= BAR and apart < 1e-10 and noise < 5
    row = (
        f"| {PEOPLE} people, {PREDICTORS} predictors, {reps} permutations | {1e3 * mine[0]:.0f} ms "
        f"| {other[0]:.1f} s | at most 1/50 | 1/{1 / ratio:.0f} | {apart:.0e} | {noise:.1f} "
        f"| {'yes' if holds else 'NO'} |"
    )
    print(row)
    if not asked.no_write:
        said = " ".join((__doc__ or "").split("\n\n", 1)[1].split())
        head = (
            "| problem | teamlink | sna::netlm | promised | measured | coefficients apart "
            "| p apart, standard errors | holds |\n|---|---:|---:|---|---:|---:|---:|---|"
        )
        listed = "\n".join(versions())
        (HERE / "networks.md").write_text(
            "# Timings of MRQAP\n\nWritten by `python -m benchmarks.networks`. "
            f"{said}\n\n{listed}\n\n{head}\n{row}\n"
        )
    return int(not holds)


if __name__ == "__main__":
    sys.exit(main())
