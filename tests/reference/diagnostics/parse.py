"""Reads the raw outputs of `run.R`; no reference number is typed anywhere else."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..lme4.parse import our_term, table, unordered  # noqa: TID252 (no installed package)

HOME = Path(__file__).parent
SCRIPT = HOME / "run.R"
PRINTING = HOME.parent / "lme4" / "fit.R"

KEYS = tuple(sorted(path.stem for path in (HOME / "output").glob("*.json")))

_FACTORS = {"kb": "k[T.b]", "kc": "k[T.c]"}


@cache
def raw(key: str) -> dict[str, Any]:
    """The output of `run.R` for a model, as it is."""
    found: dict[str, Any] = json.loads((HOME / "output" / f"{key}.json").read_text())
    return found


@cache
def data(key: str) -> pd.DataFrame:
    """The table a model was fitted to."""
    name = raw(key)["table"]
    own = HOME / "data" / f"{name}.csv"
    return pd.read_csv(own) if own.exists() else table(name)


def order(key: str, ours: list[str]) -> list[int]:
    """Where each of our coefficients stands among R's."""
    theirs = [
        unordered(our_term(":".join(_FACTORS.get(part, part) for part in name.split(":"))))
        for name in raw(key)["names"]
    ]
    return [theirs.index(unordered(name)) for name in ours]


def frame(columns: dict[str, Any]) -> pd.DataFrame:
    """A table of R's; a single row comes as scalars."""
    return pd.DataFrame({name: np.atleast_1d(values) for name, values in columns.items()})
