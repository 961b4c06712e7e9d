"""Reads the raw outputs of `fit.R`, `membership.R` and `profile.R`; no number is typed elsewhere.

A grouping factor of several variables is spelled in many ways (``cask:batch``, ``batch:cask``), and
so are its levels. Here a factor's key is its variables in alphabetical order, and so are the parts
of its labels.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HOME = Path(__file__).parent
SCRIPT = HOME / "fit.R"
OPTIMISER = HOME.parent / "lme4" / "fit.R"
KEYS = tuple(sorted(path.stem for path in (HOME / "output").glob("*.json")))


@dataclass(frozen=True, slots=True)
class Modes:
    """Random effects of one grouping factor at some of its levels.

    Attributes
    ----------
    values, se : frames, levels by terms; `se` is None where it was not asked for
    sum_squares : by term, over all levels
    """

    values: pd.DataFrame
    se: pd.DataFrame | None
    sum_squares: dict[str, float]


@dataclass(frozen=True, slots=True)
class Reference:
    """One fit by lme4 and lmerTest.

    Attributes
    ----------
    terms : names of the p fixed effects in our spelling
    fixef, se : (p,)
    vcov : (p, p)
    ngroups : levels by factor
    varcorr : variance components by (factor, term1, term2); empty names in the residual's row
    modes : by factor
    response, fitted, resid : (10,) first rows
    """

    criterion: float
    loglik: float
    aic: float
    bic: float
    npar: int
    nobs: int
    singular: bool
    sigma: float
    terms: list[str]
    fixef: np.ndarray
    se: np.ndarray
    vcov: np.ndarray
    ngroups: dict[str, int]
    varcorr: dict[tuple[str, str, str], float]
    modes: dict[str, Modes]
    response: np.ndarray
    fitted: np.ndarray
    resid: np.ndarray
    fitted_sum_squares: float
    resid_sum_squares: float


_COLUMNS = {
    "(Intercept)": "Intercept",
    "sexF": "sex[T.F]",
    "cltypereg": "cltype[T.reg]",
    "cltypereg+A": "cltype[T.reg+A]",
    **{f"gr.{power}": f"C(gr, contr.poly)[.{power}]" for power in "LQC"},
}


def our_term(name: str) -> str:
    """Spell one of R's coefficient names as formulaic does.

    Examples
    --------
    >>> our_term("(Intercept)"), our_term("gr.L"), our_term("x:w")
    ('Intercept', 'C(gr, contr.poly)[.L]', 'x:w')
    """
    return ":".join(_COLUMNS.get(part, part) for part in name.split(":"))


def variables(factor: str) -> list[str]:
    """The variables of a grouping factor; of a path a/b/c lme4 says ``c:(b:a)``."""
    return re.findall(r"[^:()]+", factor)


def factor_key(name: str) -> str:
    """Name a grouping factor without regard to the order of its variables.

    Examples
    --------
    >>> factor_key("cask:batch"), factor_key("dept.1"), factor_key("class:(school:district)")
    ('batch:cask', 'dept', 'class:district:school')
    """
    return ":".join(sorted(variables(re.sub(r"\.\d+$", "", name))))


def label_key(factor: str, label: str) -> str:
    """Spell a label of `factor` in the order of `factor_key`.

    Examples
    --------
    >>> label_key("cask:batch", "a:H")
    'H:a'
    """
    parts = dict(zip(variables(factor), label.split(":"), strict=True))
    return ":".join(parts[name] for name in sorted(parts))


@cache
def raw(key: str) -> dict[str, Any]:
    """The output of `fit.R` for a model, as it is."""
    found: dict[str, Any] = json.loads((HOME / "output" / f"{key}.json").read_text())
    return found


def _varcorr(v: dict[str, Any]) -> dict[tuple[str, str, str], float]:
    rows = zip(v["grp"], v["var1"], v["var2"], v["vcov"], strict=True)
    return {(factor_key(g), our_term(a or ""), our_term(b or "")): value for g, a, b, value in rows}


def _modes(found: dict[str, Any]) -> dict[str, Modes]:
    result = {}
    for factor, r in found.items():
        terms = [our_term(name) for name in r["terms"]]
        index = pd.Index([label_key(factor, level) for level in r["levels"]])

        def frame(
            columns: list[list[float]],
            terms: list[str] = terms,
            index: pd.Index[Any] = index,
        ) -> pd.DataFrame:
            return pd.DataFrame(dict(zip(terms, columns, strict=True)), index=index)

        total = [float(s[0] if isinstance(s, list) else s) for s in r.get("sum_squares", ())]
        result[factor_key(factor)] = Modes(
            frame(r["values"]),
            frame(r["se"]) if "se" in r else None,
            dict(zip(terms, total, strict=False)),
        )
    return result


@cache
def reference(key: str, which: str = "tight") -> Reference:
    """Parse the `tight` (at the optimum) or the `default` fit of a model."""
    r = raw(key)[which]
    plain = ("criterion", "loglik", "aic", "bic", "npar", "nobs", "singular", "sigma")
    sums = ("fitted_sum_squares", "resid_sum_squares")
    arrays = ("fixef", "se", "vcov", "response", "fitted", "resid")
    return Reference(
        terms=[our_term(name) for name in r["names"]],
        ngroups={factor_key(name): count for name, count in r["ngroups"].items()},
        varcorr=_varcorr(r["varcorr"]),
        modes=_modes(r["ranef"]),
        **{name: r[name] for name in (*plain, *sums)},
        **{name: np.array(r[name], dtype=float) for name in arrays},
    )


@cache
def table(key: str) -> pd.DataFrame:
    """The data a model was fitted to, factors of the fixed part with R's levels."""
    seen = raw(key)["data"]
    data = pd.read_csv(HOME / "data" / seen["file"])
    for name, levels in seen["levels"].items():
        data[name] = pd.Categorical(data[name], categories=levels)
    return data


def new_rows(key: str, columns: dict[str, Any]) -> pd.DataFrame:
    """Rows for prediction, typed as the data are."""
    rows = pd.DataFrame(columns)
    for name, levels in raw(key)["data"]["levels"].items():
        rows[name] = pd.Categorical(rows[name], categories=levels)
    return rows


# ---- multiple membership -----------------------------------------------------------------------

MEMBERSHIP_SCRIPT = HOME / "membership.R"


@cache
def raw_membership() -> dict[str, Any]:
    """The output of `membership.R`, as it is."""
    found: dict[str, Any] = json.loads((HOME / "membership.json").read_text())
    return found


@dataclass(frozen=True, slots=True)
class Membership:
    """A model whose rows belong to several schools, by lme4's modular functions.

    Attributes
    ----------
    formula : with ``unit`` where a row's schools belong
    method : ``"REML"`` or ``"ML"``
    data : the rows
    weights : (n, J) weight of each school in each row, columns named; None without membership
    criterion, sigma, terms, fixef, vcov, varcorr, modes, fitted : as in `Reference`
    """

    formula: str
    method: str
    data: pd.DataFrame
    weights: pd.DataFrame | None
    criterion: float
    sigma: float
    terms: list[str]
    fixef: np.ndarray
    vcov: np.ndarray
    varcorr: dict[tuple[str, str, str], float]
    modes: dict[str, Modes]
    fitted: np.ndarray


@cache
def membership(key: str, which: str = "tight") -> Membership:
    """Parse one model of `membership.R`."""
    model = raw_membership()["models"][key]
    data = pd.read_csv(HOME / "data" / f"{model['table']}.csv")
    weights = None
    if "weights" in model:
        long = pd.read_csv(HOME / "data" / f"{model['weights']}.csv")
        schools = sorted(set(long["school"]))
        weights = pd.DataFrame(0.0, index=data.index, columns=schools)
        for row, school, weight in long.itertuples(index=False):
            weights.loc[row - 1, school] = weight
    r = model[which]
    return Membership(
        model["formula"],
        model["method"],
        data,
        weights,
        r["criterion"],
        r["sigma"],
        [our_term(name) for name in r["names"]],
        np.array(r["fixef"]),
        np.array(r["vcov"]),
        _varcorr(r["varcorr"]),
        _modes(r["ranef"]),
        np.array(r["fitted"]),
    )


# ---- profiles ----------------------------------------------------------------------------------

PROFILE_SCRIPT = HOME / "profile.R"


@cache
def raw_profiles() -> dict[str, Any]:
    """The output of `profile.R`, as it is."""
    found: dict[str, Any] = json.loads((HOME / "profile.json").read_text())
    return found


def our_parameter(name: str) -> tuple[str, str]:
    """Factor and term of one of lme4's parameters, as our tidy tables name them.

    Examples
    --------
    >>> our_parameter("sd_(Intercept)|cask:batch"), our_parameter("sigma")
    (('batch:cask', 'sd__Intercept'), ('Residual', 'sd__Observation'))
    >>> our_parameter("(Intercept)")
    ('', 'Intercept')
    """
    if name == "sigma":
        return "Residual", "sd__Observation"
    if found := re.fullmatch(r"sd_(.+)\|([\w:.()]+)", name):
        return factor_key(found[2]), f"sd__{our_term(found[1])}"
    return "", our_term(name)
