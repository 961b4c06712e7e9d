"""What a study could have found: power, errors of sign and size, by running it again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import optimize

from teamlink.errors import OptionError
from teamlink.fitting.summary import Summary, SummaryTable
from teamlink.registry.catalogue import find
from teamlink.registry.replicate import replicate
from teamlink.registry.replication import Replication
from teamlink.registry.study import RealData, Study
from teamlink.simulation.power import errors_of
from teamlink.simulation.precision import Precision

__all__ = ["StudyPower", "power_of_study"]


@dataclass(frozen=True, slots=True, eq=False)
class StudyPower:
    """What a study's design can find, claim by claim.

    Attributes
    ----------
    study : Study
    replicates, seed : of the simulation
    target : power asked of the minimum detectable effect
    table : pandas.DataFrame
        ``claim, times, true_value, power, mc_error, type_s,
        type_m, coverage, std_error, minimum_detectable``, a row for each claim and size.

    Examples
    --------
    >>> import teamlink as tl
    >>> found = tl.power("hsb-1982", replicates=20)
    >>> found.table[["claim", "power"]]
      claim  power
    0  H82a    1.0
    1  H82b    1.0
    2  H82c    1.0
    """

    study: Study
    replicates: int
    seed: int
    target: float
    table: pd.DataFrame

    def summary(self) -> Summary:
        """Say it in words."""
        facts = (
            ("Study", f"{self.study.key}, {self.study.citation.short}"),
            ("As published", self.study.sizes),
            ("Replicates", f"{self.replicates}, seed {self.seed}"),
            ("Test", "two-sided, level 0.05"),
        )
        header = (
            "Claim",
            "Sizes",
            "True value",
            "Power",
            "Wrong sign",
            "Exaggeration",
            "Detectable",
        )
        rows = tuple(
            (
                str(row["claim"]),
                "as published" if row["times"] == 1 else f"{row['times']} times",
                _shown(row["true_value"], 3),
                f"{row['power']:.2f} ± {row['mc_error']:.2f}",
                _shown(row["type_s"], 2),
                _shown(row["type_m"], 2),
                _shown(row["minimum_detectable"], 3),
            )
            for _, row in self.table.iterrows()
        )
        tables = (SummaryTable("What it finds", header, rows, labels=2),)
        remarks = (
            "Wrong sign and exaggeration are those of significant estimates.",
            f"Detectable: the effect found with probability {self.target:g}.",
        )
        return Summary("Power of a study", facts, tables, remarks)

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def power_of_study(
    key: str | Study,
    times: int | Sequence[int] = 1,
    replicates: int = 200,
    seed: int = 1,
    jobs: int = 1,
    target: float = 0.8,
) -> StudyPower:
    """Find what a study's design can find, by running it again; see `teamlink.power`."""
    study = find(key)
    sizes = [times] if isinstance(times, int) else list(times)
    if not sizes or min(sizes) < 1:
        raise OptionError(f"times={times!r}: whole numbers, 1 or more")
    if isinstance(study.design, RealData) and sizes != [1]:
        raise OptionError(f"{study.key} has real data, of one size; times=1")
    if not 0.05 < target < 1:
        raise OptionError(f"power={target:g} must lie between the level 0.05 and 1")
    rows = []
    for t in sizes:
        world = study if t == 1 else _scaled(study, t)
        run = replicate(world, seed=seed, replicates=replicates, jobs=jobs)
        rows += [_row(run, i, t, target) for i in range(len(study.claims))]
    return StudyPower(study, replicates, seed, target, pd.DataFrame(rows))


def _scaled(study: Study, times: int) -> Study:
    """The study with `times` as many units at its highest level."""
    assert not isinstance(study.design, RealData)
    return replace(study, design=study.design.scaled(times))


def _row(run: Replication, i: int, times: int, target: float) -> dict[str, object]:
    claim, study = run.claims.iloc[i], run.study
    runs = run.runs
    own = runs[(runs["claim"] == claim["claim"]) & (runs["scenario"] == "study")]
    error = math.sqrt(float(np.square(own["std_error"]).mean()))
    df = float(own["df"].median())
    detectable = _detectable(error, df, target)
    ratio = study.claims[i].scale == "ratio"
    p = float(claim["power"])
    return {
        "claim": claim["claim"],
        "times": times,
        "true_value": float(claim["true_value"]),
        "power": p,
        "mc_error": math.sqrt(p * (1 - p) / run.replicates),
        "type_s": float(claim["wrong_sign"]),
        "type_m": float(claim["exaggeration"]),
        "coverage": float(claim["coverage"]),
        "std_error": error,
        "minimum_detectable": math.exp(detectable) if ratio else detectable,
    }


def _detectable(std_error: float, df: float, target: float) -> float:
    """Effect that an estimate of this precision finds with probability `target`."""

    def short(effect: float) -> float:
        return errors_of(Precision(effect, std_error, df))[0] - target

    high = 8 * std_error
    while short(high) < 0:
        high *= 4
    return float(optimize.brentq(short, 1e-12 * std_error, high))


def _shown(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"
