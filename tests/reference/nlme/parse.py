"""Reads the raw output of `fit.R`; no reference number is typed anywhere else."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

HOME = Path(__file__).parent
SCRIPT = HOME / "fit.R"


@cache
def raw() -> dict[str, Any]:
    """The output of `fit.R`, as it is."""
    found: dict[str, Any] = json.loads((HOME / "nlme.json").read_text(encoding="utf-8"))
    return found


def script_md5() -> str:
    """Digest of the script as it stands."""
    return hashlib.md5(SCRIPT.read_bytes(), usedforsecurity=False).hexdigest()


def our_term(name: str) -> str:
    """Spell one of R's coefficients as ours.

    Examples
    --------
    >>> our_term("age:sexMale"), our_term("(Intercept)"), our_term("machineB")
    ('age:sex[T.Male]', 'Intercept', 'machine[T.B]')
    """
    name = name.replace("(Intercept)", "Intercept")
    for factor in ("sex", "machine"):
        name = ":".join(
            f"{factor}[T.{part.removeprefix(factor)}]" if part.startswith(factor) else part
            for part in name.split(":")
        )
    return name


def by_term(fit: dict[str, Any], what: str) -> dict[str, float]:
    """Coefficients or standard errors by our names."""
    return dict(zip(map(our_term, fit["terms"]), fit[what], strict=True))


@cache
def table(name: str) -> pd.DataFrame:
    """One of the tables that the script wrote."""
    return pd.read_csv(HOME / "data" / f"{name}.csv")
