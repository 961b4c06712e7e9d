"""Reads the raw outputs of `run.R`; no reference number is typed anywhere else."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HOME = Path(__file__).parent
SCRIPT = HOME / "run.R"

KEYS = tuple(sorted(path.stem for path in (HOME / "output").glob("*.json")))

_CATEGORICAL = ("period", "urban", "livch", "gender", "btype", "situ", "year", "temp", "contact")


@cache
def raw(key: str) -> dict[str, Any]:
    """The output of `run.R` for a model, as it is."""
    found: dict[str, Any] = json.loads((HOME / "output" / f"{key}.json").read_text())
    return found


@cache
def data(key: str) -> pd.DataFrame:
    """The table a model was fitted to."""
    return pd.read_csv(HOME / "data" / f"{raw(key)['table']}.csv")


def fits() -> list[tuple[str, str, int]]:
    """Model, program and number of quadrature points of every fit there is."""
    found = []
    for key in KEYS:
        for program, by_nagq in raw(key)["fits"].items():
            points = [1] if program == "glmmTMB" else [int(k) for k in by_nagq]
            found += [(key, program, k) for k in points]
    return found


def reference(key: str, program: str, nagq: int) -> dict[str, Any]:
    """One fit; of glmer's two the tight one, where there are two."""
    found = raw(key)["fits"][program]
    if program != "glmmTMB":
        found = found[str(nagq)]
    best: dict[str, Any] = found.get("tight", found.get("default", found))
    return best


def our_term(name: str) -> str:
    """Spell one of R's coefficient names as formulaic does.

    Examples
    --------
    >>> our_term("(Intercept)"), our_term("periodp2"), our_term("I(age^2)")
    ('Intercept', 'period[T.p2]', 'I(age ** 2)')
    """
    if name == "(Intercept)":
        return "Intercept"
    if "^" in name:
        return name.replace("^", " ** ")
    for column in _CATEGORICAL:
        if re.fullmatch(rf"{column}.+", name):
            return f"{column}[T.{name.removeprefix(column)}]"
    return name


def array(values: Any) -> np.ndarray:
    """Numbers as they came, NaN for null."""
    return np.array(values, dtype=float)
