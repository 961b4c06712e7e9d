"""Coverage of intervals of indirect effects: ``python -m tests.calibration.mediation``.

Worlds of known truth, the model fitted as a user fits it, and every kind of interval. Writes
mediation.csv here and the table of the documentation; with ``--out FILE`` only the numbers.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

import teamlink as tl
from teamlink.errors import FewReplicates, TeamlinkWarning

HOME = Path(__file__).parent
CSV = HOME / "mediation.csv"
PAGE = HOME.parents[1] / "docs" / "understand" / "mediation-table.inc"

DESIGNS = ("2-1-1", "2-2-1")
SCHOOLS = (50, 96)
SIZES = (10, 15, 20, 25)
"""Members of schools, in turn."""

WORLDS = 1000
"""The standard error of a rate of 95 per cent is 0.69 per cent."""

REPLICATES = 299
METHODS = {
    "delta": "delta method",
    "monte-carlo": "Monte Carlo",
    "percentile": "cluster bootstrap, percentile",
    "bca": "cluster bootstrap, BCa",
}
TRUTH = {"2-1-1": 0.4 * 0.5, "2-2-1": 0.4 * 0.3}
KEYS = ["design", "schools", "method"]
_STEP = 50


def world(design: str, schools: int, seed: int) -> pd.DataFrame:
    """Members of schools with a known indirect effect of x through m on y.

    2-1-1: m has a quarter of its residual variance between schools, and its effect is 0.5 there
    and 0.3 within. 2-2-1: m belongs to the school.
    """
    rng = np.random.default_rng([DESIGNS.index(design), schools, seed])
    school = np.repeat(np.arange(schools), np.resize(SIZES, schools))
    x, u, v = rng.standard_normal((3, schools))
    within, e = rng.standard_normal((2, len(school)))
    if design == "2-1-1":
        mean = 0.4 * x + 0.5 * u
        m = mean[school] + np.sqrt(0.75) * within
        y = (0.5 * mean + 0.2 * x + np.sqrt(0.2) * v)[school]
        y = y + 0.3 * np.sqrt(0.75) * within + np.sqrt(0.7) * e
    else:
        mean = 0.4 * x + np.sqrt(0.84) * u
        m = mean[school]
        y = (0.3 * mean + 0.2 * x + np.sqrt(0.15) * v)[school] + np.sqrt(0.8) * e
    return pd.DataFrame({"school": school, "x": x[school], "m": m, "y": y})


def said(design: str, schools: int, start: int, stop: int) -> pd.DataFrame:
    """Which intervals hold the truth, in worlds start .. stop - 1, and on which side they miss."""
    rows = []
    for seed in range(start, stop):
        data = world(design, schools, seed)
        with warnings.catch_warnings():
            # A variance at zero, and a BCa end at the most extreme replicate: users get them too.
            warnings.simplefilter("ignore", TeamlinkWarning)
            warnings.simplefilter("ignore", FewReplicates)
            found = tl.mediate(design, "x", "m", "y", data, "school")
            boot = found.bootstrap(REPLICATES, seed=seed)
            for method in METHODS:
                own = {"boot": boot} if method in ("percentile", "bca") else {"seed": seed}
                table = found.conf_int(method, **own).set_index("label")
                low, high = table.loc["indirect_between", ["conf_low", "conf_high"]]
                truth = TRUTH[design]
                rows.append((method, low <= truth <= high, truth < low, truth > high))
    return pd.DataFrame(rows, columns=["method", "covers", "below", "above"]).assign(
        design=design, schools=schools
    )


def summarised(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Coverage in per cent, and the shares of truths below and above the interval."""
    whole = pd.concat(frames, ignore_index=True)
    rates = whole.groupby(KEYS).agg(
        worlds=("covers", "size"), coverage=("covers", "mean"), below=("below", "mean"),
        above=("above", "mean"),
    )  # fmt: skip
    error = np.sqrt(rates["coverage"] * (1 - rates["coverage"]) / rates["worlds"])
    rates["coverage_error"] = error
    columns = ["coverage", "below", "above", "coverage_error"]
    rates[columns] = (100 * rates[columns]).round(2)
    return rates.reset_index()


def run(jobs: int = 1, worlds: int = WORLDS) -> pd.DataFrame:
    """All designs and numbers of schools."""
    work = [
        delayed(said)(design, schools, start, min(start + _STEP, worlds))
        for start in range(0, worlds, _STEP)
        for design in DESIGNS
        for schools in SCHOOLS
    ]
    return summarised(Parallel(n_jobs=jobs)(work))


def markdown(rates: pd.DataFrame) -> str:
    """The table of the page; what falls outside 93 to 97 per cent is in bold."""
    cells = rates.set_index(KEYS)
    head = [f"{design}, {schools} schools" for design in DESIGNS for schools in SCHOOLS]
    lines = [
        f"{int(rates['worlds'].iloc[0])} worlds each, {REPLICATES} replicates within a world. "
        "Per cent, ± one Monte-Carlo standard error; in brackets how often the truth lay below "
        "and above the interval.",
        "",
        f"| interval | {' | '.join(head)} |",
        "|---|" + "---:|" * len(head),
    ]
    for method, words in METHODS.items():
        shown = []
        for design in DESIGNS:
            for schools in SCHOOLS:
                row = cells.loc[(design, schools, method)]
                text = f"{row['coverage']:.1f} ± {row['coverage_error']:.1f}"
                text = text if 93 <= row["coverage"] <= 97 else f"**{text}**"
                shown.append(f"{text} ({row['below']:.1f}, {row['above']:.1f})")
        lines.append(f"| {words} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run, and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.calibration.mediation")
    parser.add_argument("--out", type=Path, help="write the numbers here, and no page")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--worlds", type=int, default=WORLDS)
    asked = parser.parse_args()
    rates = run(asked.jobs, asked.worlds)
    (asked.out or CSV).write_text(rates.to_csv(index=False, lineterminator="\n"))
    if asked.out is None:
        PAGE.write_text(markdown(rates))


if __name__ == "__main__":
    main()
