"""Reads the raw output of `run.R`; no reference number is typed anywhere else."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HOME = Path(__file__).parent
SCRIPT = HOME / "run.R"


@cache
def raw() -> dict[str, Any]:
    """The output of `run.R`, as it is."""
    found: dict[str, Any] = json.loads((HOME / "output.json").read_text())
    return found


@cache
def reference(key: str) -> pd.DataFrame:
    """Labelled and defined parameters of a model by lavaan: est, se by label."""
    r = raw()["models"][key]
    columns = {name: [np.nan if v is None else float(v) for v in r[name]] for name in ("est", "se")}
    return pd.DataFrame(columns, index=r["label"])


def number(key: str, name: str) -> float:
    """A single number of a model."""
    value = raw()["models"][key][name]
    return float(value[0] if isinstance(value, list) else value)


@cache
def teachers(holed: bool = False) -> pd.DataFrame:
    """The simulated teachers, with the values that `run.R` blanked where `holed`."""
    frame = pd.read_csv(HOME / "teachers.csv.gz")
    if holed:
        for name, rows in raw()["gaps"].items():
            frame.loc[np.array(rows) - 1, name] = np.nan
    return frame


def md5(path: Path) -> str:
    """Digest of a file, as `tools::md5sum` gives it."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
