"""The table of coverage and test size: run, summarised, written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from .methods import ANALYTIC, CLUSTER, PARAMETRIC, RESAMPLED, WILD, by_formula, by_resampling
from .worlds import WORLDS

HOME = Path(__file__).parent
CSV = HOME / "calibration.csv"
PAGE = HOME.parents[1] / "docs" / "understand" / "calibration-table.inc"

_STEP = 100

METHODS = {
    "satterthwaite": "Satterthwaite",
    "kenward-roger": "Kenward-Roger",
    "CR2": "CR2, Satterthwaite df",
    "parametric, studentized": "parametric bootstrap, studentized",
    "parametric, percentile": "parametric bootstrap, percentile",
    "cluster, studentized": "cluster bootstrap, studentized",
    "cluster, bca": "cluster bootstrap, BCa",
    "cluster, percentile": "cluster bootstrap, percentile",
    "wild": "wild bootstrap: studentized interval, test with the null imposed",
}


def run(jobs: int = 2) -> pd.DataFrame:
    """All worlds: schools, variances, method, term, worlds, coverage and size in per cent."""
    work = [(delayed(by_formula)(world), world) for world in WORLDS]
    for start in range(0, RESAMPLED, _STEP):
        stop = min(start + _STEP, RESAMPLED)
        work += [(delayed(by_resampling)(world, start, stop), world) for world in WORLDS]
    found = Parallel(n_jobs=jobs)(task for task, _ in work)
    frames = [
        frame.assign(schools=world.schools, variances=world.name)
        for frame, (_, world) in zip(found, work, strict=True)
    ]
    return summarised(pd.concat(frames, ignore_index=True))


def summarised(said: pd.DataFrame) -> pd.DataFrame:
    keys = ["variances", "schools", "method", "term"]
    rates = said.groupby(keys).agg(
        worlds=("covers", "size"), coverage=("covers", "mean"), size=("rejects", "mean")
    )
    rates["coverage_error"] = np.sqrt(rates["coverage"] * (1 - rates["coverage"]) / rates["worlds"])
    rates["size_error"] = np.sqrt(rates["size"] * (1 - rates["size"]) / rates["worlds"])
    columns = ["coverage", "coverage_error", "size", "size_error"]
    rates[columns] = (100 * rates[columns]).round(2)
    return rates.reset_index()


def markdown(rates: pd.DataFrame) -> str:
    """The tables of the page, one for each truth; what falls outside its band is in bold."""
    parts = []
    for variances, title in (("right", "The model is right"), ("wrong", "The variances are wrong")):
        own = rates[rates["variances"] == variances]
        schools = sorted(own["schools"].unique())
        head = " | ".join(f"{J} schools: coverage | size" for J in schools)
        parts += [f"## {title}", "", f"| method | predictor | {head} |"]
        parts.append("|---|---|" + "---:|---:|" * len(schools))
        for method, words in METHODS.items():
            for term, level in (("x", "student"), ("w", "school")):
                cells = own[(own["method"] == method) & (own["term"] == term)]
                if cells.empty:
                    continue
                shown = [_cells(cells[cells["schools"] == J].iloc[0]) for J in schools]
                parts.append(f"| {words} | {level} | {' | '.join(shown)} |")
        parts.append("")
    return "\n".join(parts)


def _cells(row: pd.Series) -> str:
    covers = f"{row['coverage']:.1f} ± {row['coverage_error']:.1f}"
    size = f"{row['size']:.1f} ± {row['size_error']:.1f}"
    covers = covers if 93 <= row["coverage"] <= 97 else f"**{covers}**"
    size = size if 4 <= row["size"] <= 6 else f"**{size}**"
    return f"{covers} | {size}"


def preface() -> str:
    return (
        f"{ANALYTIC} worlds for Satterthwaite and Kenward-Roger, {RESAMPLED} for the others; "
        f"replicates within a world: parametric {PARAMETRIC}, cluster {CLUSTER}, wild {WILD}. "
        "Per cent, ± one Monte-Carlo standard error.\n"
    )


def written(rates: pd.DataFrame) -> None:
    """Write the numbers and the page's tables."""
    CSV.write_text(rates.to_csv(index=False, lineterminator="\n"))
    PAGE.write_text(f"{preface()}\n{markdown(rates)}")
