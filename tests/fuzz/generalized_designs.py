"""Random generalized designs: one seed, one data set, one model; counts, shares and zeros and ones.

`draw(seed)` gives the same design for ever. One factor with up to two effects, two factors nested,
crossed or partly crossed; variances at zero, near it, and large; rare events; groups of one row.

    python -m tests.fuzz.generalized_designs 17      show design 17
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

SEED = 19930912
COUNT = 205


@dataclass(frozen=True, slots=True)
class Design:
    """A data set, a model for it, and the choices that made it.

    `effects` maps each grouping column to its random-effects columns, "1" for the intercept.
    """

    seed: int
    formula: str
    family: str
    nagq: int
    fixed: tuple[str, ...]
    effects: dict[str, tuple[str, ...]] = field(hash=False)
    data: pd.DataFrame = field(hash=False)
    traits: dict[str, Any] = field(hash=False)

    def __str__(self) -> str:
        traits = ", ".join(f"{k}={v}" for k, v in self.traits.items())
        return f"design {self.seed}: {self.formula} [{self.family}, nagq {self.nagq}]\n  {traits}"


def _codes(rng: Generator, kind: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Groups of each row by the first and the second factor."""
    groups = int(rng.integers(6, 41))
    weights = rng.dirichlet(np.full(groups, rng.choice([0.7, 5.0])))
    g = rng.choice(groups, rows, p=weights)
    wide = int(rng.integers(5, 13))
    parent = rng.integers(0, wide, groups)
    if kind == "nested":
        h = parent[g]
    elif kind == "partly":
        h = np.where(rng.random(rows) < 0.15, rng.integers(0, wide, rows), parent[g])
    else:
        h = rng.integers(0, wide, rows)
    return np.unique(g, return_inverse=True)[1], np.unique(h, return_inverse=True)[1]


def _deviation(rng: Generator, kind: str) -> float:
    if kind == "zero":
        return 0.0
    if kind == "near zero":
        return float(rng.uniform(0.01, 0.15))
    return float(rng.uniform(0.3, 1.2) if kind == "interior" else rng.uniform(1.5, 3.0))


def draw(seed: int) -> Design:
    """Draw design number `seed`."""
    rng = np.random.default_rng([SEED, seed])
    rows = int(rng.integers(60, 401))
    kind = str(rng.choice(["one", "nested", "crossed", "partly"], p=[0.5, 0.15, 0.2, 0.15]))
    family = str(rng.choice(["binomial", "poisson"], p=[0.65, 0.35]))
    slope = bool(rng.random() < 0.35)
    bar = str(rng.choice(["|", "||"])) if slope else "|"
    sizes = [
        str(rng.choice(["interior", "zero", "near zero", "large"], p=[0.55, 0.15, 0.2, 0.1]))
        for _ in range(3)
    ]
    if family == "poisson":
        sizes = ["interior" if size == "large" else size for size in sizes]
    g, h = _codes(rng, kind, rows)
    x = rng.normal(size=rows) + float(rng.choice([0.0, 2.0]))
    w = rng.normal(size=g.max() + 1)[g]
    b = [_deviation(rng, size) for size in sizes]
    eta = float(rng.choice([0.0, -1.0, 0.7])) + 0.5 * x - 0.3 * w
    eta = eta + b[0] * rng.normal(size=g.max() + 1)[g]
    if slope:
        eta = eta + b[1] * rng.normal(size=g.max() + 1)[g] * x
    if kind != "one":
        eta = eta + b[2] * rng.normal(size=h.max() + 1)[h]
    data = pd.DataFrame({"x": x, "w": w, "g": g, "h": h})
    trials = rng.integers(1, 9, rows) if family == "binomial" and rng.random() < 0.4 else None
    if family == "poisson":
        data["y"] = rng.poisson(np.exp(np.minimum(eta, 5.0)))
    else:
        data["m"] = np.ones(rows, dtype=int) if trials is None else trials
        data["y"] = rng.binomial(data["m"], 1 / (1 + np.exp(-eta)))
    fixed = tuple(name for name in ("x", "w") if rng.random() < 0.8)
    effects = {"g": ("1", "x") if slope else ("1",)}
    terms = [*(fixed or ("1",)), f"(x {bar} g)" if slope else "(1 | g)"]
    if kind != "one":
        effects["h"] = ("1",)
        terms.append("(1 | h)")
    nagq = int(rng.choice([1, 5, 11])) if kind == "one" and not slope else 1
    traits = {
        "kind": kind, "slope": bar if slope else "none", "rows": rows, "trials": trials is not None,
        "variances": "/".join(sizes[: 3 if kind != "one" else 1 + slope]),
    }  # fmt: skip
    formula = f"y ~ {' + '.join(terms)}"
    return Design(seed, formula, family, nagq, ("1", *fixed), effects, data, traits)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        shown = draw(int(argument))
        print(shown)
        print(shown.data.describe().to_string())
