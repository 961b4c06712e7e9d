"""Reads the raw output of `profile.R`; no reference number is typed anywhere else."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

HOME = Path(__file__).parent
SCRIPT = HOME / "profile.R"


@dataclass(frozen=True, slots=True)
class ProfileReference:
    """Profiles of one model by lme4.

    Attributes
    ----------
    table, formula : what was fitted, by maximum likelihood
    deviance : there
    ends : interval (2,) by term in our spelling and level; missing where lme4 gives none
    zeta : values and zeta, each (c,), by term
    """

    table: str
    formula: str
    deviance: float
    ends: dict[tuple[str, float], np.ndarray]
    zeta: dict[str, tuple[np.ndarray, np.ndarray]]


@cache
def raw() -> dict[str, Any]:
    """The output of `profile.R`, as it is."""
    found: dict[str, Any] = json.loads((HOME / "profile.json").read_text(encoding="utf-8"))
    return found


def our_parameter(name: str) -> str:
    """Spell one of lme4's parameters as our tidy tables do.

    Examples
    --------
    >>> our_parameter("sd_(Intercept)|Subject"), our_parameter("sigma")
    ('sd__Intercept', 'sd__Observation')
    >>> our_parameter("cor_Days.(Intercept)|Subject")
    'cor__Intercept.Days'
    """
    name = name.replace("(Intercept)", "Intercept")
    if name == "sigma":
        return "sd__Observation"
    if found := re.fullmatch(r"sd_(.+)\|\w+", name):
        return f"sd__{found[1]}"
    if found := re.fullmatch(r"cor_(\w+)\.(.+)\|\w+", name):
        return f"cor__{found[2]}.{found[1]}"
    return name


@cache
def reference(key: str) -> ProfileReference:
    """Parse the profiles of one model."""
    m = raw()["models"][key]
    ends = {}
    for level, low, high in ((0.95, "low", "high"), (0.9, "low90", "high90")):
        for name, a, b in zip(m["names"], m[low], m[high], strict=True):
            ends[our_parameter(name), level] = np.array([a, b], dtype=float)
    zeta = {
        our_parameter(name): (np.array(c["value"], dtype=float), np.array(c["zeta"], dtype=float))
        for name, c in m["zeta"].items()
    }
    return ProfileReference(m["table"], m["formula"], m["deviance"][0], ends, zeta)
