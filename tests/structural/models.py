"""Models and data that the tests of structural equations share."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

FACTORS = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6"


@cache
def data(n: int = 240, seed: int = 3) -> pd.DataFrame:
    """Two factors, two exogenous variables, an outcome, groups and clusters."""
    rng = np.random.default_rng(seed)
    u, v = rng.normal(size=n), rng.binomial(1, 0.5, n).astype(float)
    cluster = rng.integers(0, 30, n)
    effect = 0.4 * rng.normal(size=30)[cluster]
    f = 0.7 * u + effect + rng.normal(size=n)
    g = 0.5 * f + 0.9 * v + rng.normal(size=n)
    frame: dict[str, Any] = {"u": u, "v": v, "school": cluster}
    frame["sector"] = np.where(rng.random(n) < 0.45, "public", "Catholic")
    for i, load in enumerate((1.0, 0.8, 1.3)):
        frame[f"x{i + 1}"] = 2 + load * f + rng.normal(size=n)
        frame[f"x{i + 4}"] = -1 + load * g + 0.7 * rng.standard_t(6, size=n)
    frame["y"] = 0.5 * g + 0.4 * frame["x1"] + rng.normal(size=n)
    return pd.DataFrame(frame)


# Every feature that touches a derivative, alone and with others.
COMBINATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "factors": (FACTORS, {}),
    "std_lv": (FACTORS, {"std_lv": True}),
    "means": (FACTORS, {"meanstructure": True}),
    "exogenous": (f"{FACTORS}\nf + g ~ u + v\ng ~ f", {}),
    "exogenous_means": (f"{FACTORS}\nf + g ~ u + v\ng ~ f", {"meanstructure": True}),
    "random_x": (f"{FACTORS}\nf ~ u\ng ~ f + v", {"fixed_x": False, "meanstructure": True}),
    "path": ("x1 ~ u + v\ny ~ x1 + u", {}),
    "mixed": (f"{FACTORS}\ny ~ g + x1 + u\nx1 ~~ x4\ny ~ 1", {}),
    "higher": (f"{FACTORS}\nk =~ f + g + y", {}),
    "feedback": ("x1 ~ x4 + u\nx4 ~ x1 + v\nx1 ~~ x4", {"meanstructure": True}),
    "feedback_latent": (f"{FACTORS}\nf ~ g + u\ng ~ f + v", {"meanstructure": True}),
    "equal": ("f =~ x1 + a*x2 + b*x3\ng =~ x4 + a*x5 + b*x6\ng ~ f", {}),
    "linear": ("f =~ x1 + a*x2 + b*x3\ng =~ x4 + d*x5 + x6\na == 2*b - d", {}),
    "bounds": ("f =~ x1 + a*x2 + b*x3\ng =~ x4 + d*x5 + x6\na > 0\nb < 3\nd > -1\nd < 2", {}),
    "active": ("f =~ x1 + a*x2 + x3\ng =~ x4 + x5 + x6\na < 0.7", {"meanstructure": True}),
    "growth": ("i =~ 1*x1 + 1*x2 + 1*x3\ns =~ 0*x1 + 1*x2 + 2*x3\ni + s ~ u", {"growth": True}),
    "groups": (FACTORS, {"group": "sector"}),
    "groups_equal": (
        f"{FACTORS}\ng ~ f + u",
        {"group": "sector", "group_equal": ["loadings", "intercepts", "regressions"]},
    ),
    "groups_std_lv": (FACTORS, {"group": "sector", "group_equal": ["loadings"], "std_lv": True}),
    "groups_linear": (
        "f =~ x1 + c(a1, a2)*x2 + c(b1, b2)*x3\nf ~ u\na1 - b1 == a2 - b2",
        {"group": "sector"},
    ),
}
