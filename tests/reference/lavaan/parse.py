"""Reads the raw outputs of `fit.R`; no reference number is typed anywhere else."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HOME = Path(__file__).parent
SCRIPT = HOME / "fit.R"
MODELS = HOME / "models.json"

SPECIFIED: dict[str, dict[str, Any]] = {m["key"]: m for m in json.loads(MODELS.read_text())}
KEYS = tuple(SPECIFIED)


@cache
def raw(key: str) -> dict[str, Any]:
    """The output of `fit.R` for a model, as it is."""
    found: dict[str, Any] = json.loads((HOME / "output" / f"{key}.json").read_text())
    return found


@cache
def data(name: str) -> pd.DataFrame:
    """A table of lavaan's, as the script wrote it."""
    return pd.read_csv(HOME / "data" / f"{name}.csv")


def frame(columns: dict[str, Any]) -> pd.DataFrame:
    """Rows of lavaan's, with group 1 where there is one group."""
    found = pd.DataFrame({name: pd.Series(values) for name, values in columns.items()})
    for name in found.columns:
        if name not in ("lhs", "op", "rhs", "label"):
            found[name] = found[name].astype(float)
    if "group" not in found:
        found["group"] = 1.0
    return found


def measures(key: str) -> dict[str, float]:
    """Fit measures under our names."""
    said = raw(key)["measures"]
    values = np.array(said["values"], dtype=float)
    return {name.replace(".", "_"): v for name, v in zip(said["names"], values, strict=True)}
