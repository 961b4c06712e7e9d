"""Reads the raw output of `growth.R`; no number is typed elsewhere."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

HOME = Path(__file__).parent
SCRIPT = HOME / "growth.R"
OPTIMISER = HOME.parent / "lme4" / "fit.R"


@dataclass(frozen=True, slots=True)
class Reference:
    """One growth curve by lme4 and lmerTest.

    Attributes
    ----------
    formula : as R read it
    terms : names of the p fixed effects in our spelling
    fixef, se, df : (p,)
    varcorr : variances and covariances by (group, term1, term2); empty names in the residual's row
    years, mean, mean_se : (11,) mean trajectory of boys, retained, in a school with lowinc of 60
    """

    formula: str
    method: str
    criterion: float
    terms: list[str]
    fixef: np.ndarray
    se: np.ndarray
    df: np.ndarray
    varcorr: dict[tuple[str, str, str], float]
    sigma: float
    years: np.ndarray
    mean: np.ndarray
    mean_se: np.ndarray


@cache
def raw() -> dict[str, Any]:
    """The output of `growth.R`, as it is."""
    found: dict[str, Any] = json.loads((HOME / "growth.json").read_text())
    return found


def our_term(name: str) -> str:
    """Spell one of R's coefficient names as formulaic does.

    Examples
    --------
    >>> our_term("(Intercept)"), our_term("I((year + 2.5)^2)"), our_term("year:femaleMale")
    ('Intercept', 'I((year + 2.5) ** 2)', 'year:female[T.Male]')
    """
    if name == "(Intercept)":
        return "Intercept"
    spelled = name.replace("femaleMale", "female[T.Male]").replace("^", " ** ")
    return re.sub(r"(?<=[^ ])([*/])(?=[^ ])", r" \1 ", spelled)


@cache
def reference(key: str, which: str = "tight") -> Reference:
    """Parse the `tight` (at the optimum) or the `default` fit of a model."""
    model = raw()["models"][key]
    r = model[which]
    v = r["varcorr"]
    rows = zip(v["grp"], v["var1"], v["var2"], v["vcov"], strict=True)
    arrays = ("fixef", "se", "df", "years", "mean", "mean_se")
    return Reference(
        formula=model["formula"],
        method=model["method"],
        criterion=r["criterion"],
        terms=[our_term(name) for name in r["names"]],
        varcorr={
            (re.sub(r"\.\d+$", "", group), our_term(a or ""), our_term(b or "")): value
            for group, a, b, value in rows
        },
        sigma=r["sigma"],
        **{name: np.array(r[name], dtype=float) for name in arrays},
    )
