"""Reads the raw outputs of `run.R`; no reference number is typed anywhere else."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import teamlink as tl

from ..lme4.parse import our_term, unordered  # noqa: TID252 (no installed package)

HOME = Path(__file__).parent
SCRIPT = HOME / "run.R"
OPTIMISER = HOME.parent / "lme4" / "fit.R"

KEYS = tuple(sorted(path.stem for path in HOME.glob("*.json")))


@cache
def raw(key: str) -> dict[str, Any]:
    """The output of `run.R` for a model, as it is."""
    found: dict[str, Any] = json.loads((HOME / f"{key}.json").read_text())
    return found


@cache
def data(key: str) -> pd.DataFrame:
    """The table a model was fitted to."""
    name = raw(key)["table"]
    own = HOME / f"{name}.csv"
    return pd.read_csv(own) if own.exists() else tl.datasets.load(name)


def order(key: str, ours: list[str]) -> list[int]:
    """Where each of our coefficients stands among R's."""
    theirs = [unordered(our_term(name)) for name in raw(key)["names"]]
    return [theirs.index(unordered(name)) for name in ours]


def aligned(key: str, values: list[Any], ours: list[str]) -> np.ndarray:
    """A vector or a square matrix of R's, in the order of our coefficients."""
    at = order(key, ours)
    array = np.array(values, dtype=float)
    return array[at] if array.ndim == 1 else array[np.ix_(at, at)]


def zero(key: str, names: list[str], ours: list[str]) -> np.ndarray:
    """The matrix that says which of our coefficients are zero."""
    mine = [unordered(name) for name in ours]
    L = np.zeros((len(names), len(ours)))
    L[np.arange(len(names)), [mine.index(unordered(our_term(name))) for name in names]] = 1.0
    return L
