"""Reads the raw output of `run.R`; no reference number is typed anywhere else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HOME = Path(__file__).parent
SCRIPT = HOME / "run.R"

WITHIN = ("y1", "y2", "y3", "x1", "x2", "x3")
CLUSTER = ("w1", "w2")
ITEMS = tuple(f"x{i}" for i in range(1, 10))


@dataclass(frozen=True, slots=True)
class Reference:
    """A fit by lavaan.

    Attributes
    ----------
    table : lhs, op, rhs, level, est, se of the free parameters
    measures : fit measures under lavaan's names; NaN where lavaan has none
    cov, mean : implied moments by block; the block of one level is ""
    names : variables of each block
    """

    table: pd.DataFrame
    measures: dict[str, float]
    cov: dict[str, np.ndarray]
    mean: dict[str, np.ndarray]
    names: dict[str, list[str]]


@cache
def raw() -> dict[str, Any]:
    """The output of `run.R`, as it is."""
    found: dict[str, Any] = json.loads((HOME / "output.json").read_text())
    return found


@cache
def reference(key: str) -> Reference:
    """Parse a model."""
    r = raw()["models"][key]
    columns = ("lhs", "op", "rhs", "level", "est", "se")
    table = pd.DataFrame({name: r[name] for name in columns if r[name]})
    values = [np.nan if value is None else float(value) for value in r["measures"]]
    blocks = {k: v for k, v in r["implied"].items() if isinstance(v, dict) and v.get("names")}
    cov = {k: np.array(v["cov"]) for k, v in blocks.items()}
    mean = {k: np.array(v["mean"]) for k, v in blocks.items()}
    names = {k: v["names"] for k, v in blocks.items()}
    if not blocks:
        cov, mean = {"": np.array(r["cov"])}, {"": np.array(r["mean"])}
        names = {"": list(ITEMS)}
    return Reference(table, dict(zip(r["names"], values, strict=True)), cov, mean, names)


@cache
def demo(holed: bool = False) -> pd.DataFrame:
    """lavaan's Demo.twolevel, with the values that `run.R` blanked where `holed`."""
    frame = pd.read_csv(HOME / "demo.csv.gz")
    if holed:
        for name, rows in raw()["gaps"].items():
            frame.loc[np.array(rows) - 1, name] = np.nan
    return frame


@cache
def holzinger(holed: bool = False) -> pd.DataFrame:
    """Nine items of HolzingerSwineford1939, with the values that `run.R` blanked where `holed`."""
    frame = pd.read_csv(HOME / "holzinger.csv.gz")
    if holed:
        for name, rows in zip(frame.columns, raw()["holes"], strict=True):
            frame.loc[np.array(rows) - 1, name] = np.nan
    return frame


def md5(path: Path) -> str:
    """Digest of a file, as `tools::md5sum` gives it."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
