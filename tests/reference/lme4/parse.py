"""Reads the raw outputs of `fit.R`; no reference number is typed anywhere else."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import teamlink as tl

HOME = Path(__file__).parent
SCRIPT = HOME / "fit.R"

KEYS = tuple(sorted(path.stem for path in (HOME / "output").glob("*.json")))

_FACTORS = {"sectorCatholic": "sector[T.Catholic]"}


@dataclass(frozen=True, slots=True)
class Reference:
    """One fit by lme4 and lmerTest.

    Attributes
    ----------
    terms : names of the p fixed effects in our spelling
    fixef, se, df, p : (p,)
    vcov : (p, p)
    varcorr : variance components by (group, term1, term2); empty names in the residual's row
    theta : (t,) lme4's order: columns of the lower triangle of Lambda
    ranef, ranef_se : frames, levels by terms
    fitted, resid : (10,) first rows
    newdata, predict_group, predict_population : six new rows and their predictions
    """

    criterion: float
    loglik: float
    aic: float
    bic: float
    npar: int
    nobs: int
    ngroups: int
    singular: bool
    terms: list[str]
    fixef: np.ndarray
    se: np.ndarray
    vcov: np.ndarray
    df: np.ndarray
    p: np.ndarray
    varcorr: dict[tuple[str, str, str], float]
    theta: np.ndarray
    sigma: float
    ranef: pd.DataFrame
    ranef_se: pd.DataFrame
    response: np.ndarray
    fitted: np.ndarray
    resid: np.ndarray
    fitted_sum_squares: float
    resid_sum_squares: float
    newdata: pd.DataFrame
    predict_group: np.ndarray
    predict_population: np.ndarray


def our_term(name: str) -> str:
    """Spell one of R's coefficient names as formulaic does.

    Examples
    --------
    >>> our_term("(Intercept)"), our_term("cses:sectorCatholic")
    ('Intercept', 'cses:sector[T.Catholic]')
    """
    if name == "(Intercept)":
        return "Intercept"
    return ":".join(_FACTORS.get(part, part) for part in name.split(":"))


def unordered(term: str) -> str:
    """Name an interaction without regard to the order of its parts.

    Examples
    --------
    >>> unordered("ses:b") == unordered("b:ses")
    True
    """
    return ":".join(sorted(term.split(":")))


@cache
def raw(key: str) -> dict[str, Any]:
    """The output of `fit.R` for a model, as it is."""
    found: dict[str, Any] = json.loads((HOME / "output" / f"{key}.json").read_text())
    return found


@cache
def reference(key: str, which: str = "tight") -> Reference:
    """Parse the `tight` (at the optimum) or the `default` fit of a model."""
    r = raw(key)[which]
    terms = [our_term(name) for name in r["names"]]
    random_terms = [our_term(name) for name in r["ranef"]["terms"]]
    levels = pd.Index(r["ranef"]["levels"])
    v = r["varcorr"]
    rows = zip(v["grp"], v["var1"], v["var2"], v["vcov"], strict=True)
    varcorr = {
        (re.sub(r"\.\d+$", "", group), our_term(a or ""), our_term(b or "")): value
        for group, a, b, value in rows
    }

    def frame(columns: list[list[float]]) -> pd.DataFrame:
        return pd.DataFrame(dict(zip(random_terms, columns, strict=True)), index=levels)

    plain = {
        name: r[name]
        for name in (
            *("criterion", "loglik", "aic", "bic", "npar", "nobs", "ngroups", "singular", "sigma"),
            *("fitted_sum_squares", "resid_sum_squares"),
        )
    }
    arrays = {
        name: np.array(r[name], dtype=float)
        for name in (
            *("fixef", "se", "vcov", "df", "p", "theta", "response", "fitted", "resid"),
            *("predict_group", "predict_population"),
        )
    }
    return Reference(
        terms=terms,
        varcorr=varcorr,
        ranef=frame(r["ranef"]["values"]),
        ranef_se=frame(r["ranef"]["se"]),
        newdata=pd.DataFrame(r["newdata"]),
        **plain,
        **arrays,
    )


@cache
def table(name: str) -> pd.DataFrame:
    """The data a model was fitted to: our own hsb82 in R's coding, or the committed csv."""
    if name == "hsb82":
        levels = ["Public", "Catholic"]
        return tl.datasets.load("hsb82").assign(
            sector=lambda d: pd.Categorical(d["sector"], categories=levels)
        )
    return pd.read_csv(HOME / "data" / f"{name}.csv")


def md5(path: Path) -> str:
    """Digest of a file, as `tools::md5sum` gives it."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
