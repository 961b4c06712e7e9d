"""lme4 as a peer: write designs for it, run it once, read its answers."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .designs import Design

SCRIPT = Path(__file__).with_name("fit.R")


@dataclass(frozen=True, slots=True)
class Answer:
    """What lme4 says about a design: its best criterion, or why it refuses.

    `terms` are its random terms in the order of theta, each with ``group`` and ``names``.
    """

    seed: int
    criterion: float | None
    default: float | None
    theta: np.ndarray
    columns: tuple[str, ...]
    terms: tuple[dict[str, Any], ...]
    error: str | None
    seconds: float


@cache
def missing() -> str | None:
    """Say what this machine lacks to run lme4; None where it lacks nothing."""
    if shutil.which("Rscript") is None:
        return "Rscript is not on this machine"
    asked = "library(lme4); library(jsonlite)"
    found = subprocess.run(["Rscript", "-e", asked], capture_output=True, check=False)
    return None if found.returncode == 0 else "R has no lme4 or no jsonlite"


def write(designs: Sequence[Design], folder: Path) -> None:
    """Write the manifest and the columns of the designs, bit by bit, into `folder`."""
    manifest = []
    for design in designs:
        data = design.data.copy()
        for name in ("f", *design.factors):
            data[name] = pd.factorize(data[name], sort=True)[0].astype(float)
        values = data.to_numpy(dtype="<f8")
        (folder / f"{design.seed}.bin").write_bytes(values.tobytes(order="F"))
        manifest.append(
            {
                "seed": design.seed,
                "formula": design.formula,
                "reml": design.reml,
                "columns": list(data.columns),
                "groups": list(design.factors),
                "rows": len(data),
            }
        )
    (folder / "manifest.json").write_text(json.dumps(manifest))


def ask(designs: Sequence[Design], folder: Path) -> tuple[dict[str, Any], dict[int, Answer]]:
    """Fit all designs with lme4 in one run; give the versions and the answers by seed."""
    write(designs, folder)
    subprocess.run(["Rscript", str(SCRIPT), str(folder)], check=True)
    return read(folder)


def read(folder: Path) -> tuple[dict[str, Any], dict[int, Answer]]:
    """Read the answers that lme4 left in `folder`."""
    raw = json.loads((folder / "answers.json").read_text())
    versions = {key: raw[key] for key in ("R", "lme4", "date")}
    return versions, {a["seed"]: _answer(a) for a in raw["designs"]}


def _answer(a: dict[str, Any]) -> Answer:
    return Answer(
        seed=a["seed"],
        criterion=a.get("criterion"),
        default=a.get("all", {}).get("default"),
        theta=np.array(a.get("theta", []), dtype=float),
        columns=tuple(a.get("columns", ())),
        terms=tuple(a.get("terms", ())),
        error=a.get("error"),
        seconds=a["seconds"],
    )
