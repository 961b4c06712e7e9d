"""Random two-level designs: one seed, one data set, one model.

`draw(seed)` gives the same design for ever; every choice is listed in `Design.traits`, so that a
failure can be read before it is rerun. The traits are the ones that break other programs: groups
of one row, variances at zero and near it, perfectly correlated effects, means of a million, columns
on scales from 1e-4 to 1e6, predictors constant within groups, columns that others determine.

    python -m tests.fuzz.designs 17      show design 17
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

SEED = 20071982
COUNT = 600


@dataclass(frozen=True, slots=True)
class Design:
    """A data set, a model for it, and the choices that made it."""

    seed: int
    formula: str
    reml: bool
    data: pd.DataFrame
    traits: dict[str, Any] = field(hash=False)
    factors: tuple[str, ...] = ("g",)

    def __str__(self) -> str:
        method = "REML" if self.reml else "ML"
        traits = ", ".join(f"{k}={v}" for k, v in self.traits.items())
        return f"design {self.seed}: {self.formula} [{method}]\n  {traits}"


def _pick(rng: Generator, **weights: float) -> str:
    """Draw one name with the given weights."""
    names = list(weights)
    p = np.array(list(weights.values()))
    return names[int(rng.choice(len(names), p=p / p.sum()))]


def _sizes(rng: Generator, kind: str, groups: int) -> np.ndarray:
    """Rows per group, (groups,), at most about 1,500 in all."""
    cap = max(2.0, 1500 / groups)
    mean = min(cap, float(np.exp(rng.uniform(np.log(2), np.log(40)))))
    if kind == "balanced":
        sizes = np.full(groups, max(2, int(mean)))
    elif kind == "unbalanced":
        sizes = 1 + rng.poisson(mean, groups)
    elif kind == "singletons":
        sizes = np.where(rng.random(groups) < 0.6, 1, 2 + rng.poisson(mean, groups))
    elif kind == "skewed":
        sizes = 1 + np.floor(mean * rng.pareto(1.3, groups)).astype(int)
        sizes = np.minimum(sizes, 400)
    else:
        sizes = 1 + rng.integers(0, 3, groups)
    return np.asarray(sizes, dtype=np.int64)


def _labels(rng: Generator, kind: str, groups: int) -> np.ndarray:
    """Labels of the groups, in no order, (groups,)."""
    if kind == "strings":
        return np.array([f"school {k}" for k in rng.permutation(groups)], dtype=object)
    if kind == "sparse":
        return rng.permutation(np.arange(-50, 7 * groups - 50, 7))
    return rng.permutation(groups)


def _covariance_root(rng: Generator, kind: str, q: int, correlated: bool) -> np.ndarray:
    """Root of the covariance of the random effects in units of the residual, (q, q)."""
    sd = np.exp(rng.uniform(np.log(0.15), np.log(2.0), q))
    if kind == "all zero":
        sd[:] = 0.0
    elif kind == "some zero":
        sd[int(rng.integers(q))] = 0.0
    elif kind == "near zero":
        sd[int(rng.integers(q))] = 10.0 ** rng.uniform(-4, -1.5)
    elif kind == "large":
        sd *= 10.0 ** rng.uniform(1, 3)
    root = np.eye(q)
    if correlated and q > 1:
        if kind == "perfect correlation":
            root = np.zeros((q, q))
            root[:, 0] = rng.choice([-1.0, 1.0], q)
        else:
            a = rng.normal(size=(q, q + 1))
            root = np.linalg.cholesky(a @ a.T)
            root /= np.linalg.norm(root, axis=1, keepdims=True)
    return sd[:, None] * root


def _predictors(rng: Generator, codes: np.ndarray, groups: int, slopes: int) -> pd.DataFrame:
    """Columns x1..x3 that vary within groups, w between them, f a factor of three levels."""
    n = codes.size
    columns: dict[str, Any] = {}
    for k in range(1, max(slopes, 2) + 1):
        kind = _pick(rng, normal=0.6, time=0.2, dummy=0.2)
        between = rng.normal(size=groups)[codes] * rng.choice([0.0, 0.5])
        if kind == "normal":
            columns[f"x{k}"] = rng.normal(size=n) + between
        elif kind == "time":
            columns[f"x{k}"] = rng.integers(0, 6, n).astype(float)
        else:
            columns[f"x{k}"] = (rng.random(n) < 0.4).astype(float)
    columns["w"] = rng.normal(size=groups)[codes]
    columns["f"] = np.array(["a", "b", "c"], dtype=object)[rng.permutation(np.arange(n) % 3)]
    return pd.DataFrame(columns)


def _fixed_part(rng: Generator, slopes: int) -> list[str]:
    """Terms of the fixed part, without the intercept."""
    terms = [f"x{k}" for k in range(1, slopes + 1) if rng.random() < 0.9]
    if rng.random() < 0.4 and "x2" not in terms:
        terms.append("x2")
    if rng.random() < 0.4:
        terms.append("w")
        if rng.random() < 0.5 and "x1" in terms:
            terms.append("x1:w")
    if rng.random() < 0.2:
        terms.append("f")
    return terms


def _random_part(slopes: int, intercept: bool, correlated: bool) -> str:
    effects = " + ".join(["1" if intercept else "0", *(f"x{k}" for k in range(1, slopes + 1))])
    return f"({effects} {'|' if correlated or slopes == 0 else '||'} g)"


def _rescale(
    rng: Generator,
    data: pd.DataFrame,
    traits: dict[str, Any],
    keep: Collection[str] = ("f", "g", "y"),
) -> None:
    """Move and stretch predictor columns in place, as the traits say."""
    names = [c for c in data.columns if c not in keep]
    if traits["scale"] == "bad":
        for name in names:
            data[name] *= 10.0 ** rng.uniform(-4, 6)
    if traits["x mean"] == "1e6":
        moved = names[int(rng.integers(len(names)))]
        data[moved] += 1e6 * (float(data[moved].std(ddof=0)) or 1.0)


def _traits(rng: Generator) -> dict[str, Any]:
    return {
        "groups": int(np.exp(rng.uniform(np.log(2), np.log(300.99)))),
        "slopes": int(rng.choice(4, p=[0.28, 0.37, 0.21, 0.14])),
        "correlated": bool(rng.random() < 0.65),
        "intercept": bool(rng.random() < 0.92),
        "sizes": _pick(rng, balanced=0.25, unbalanced=0.3, singletons=0.2, skewed=0.15, tiny=0.1),
        "variances": _pick(
            rng,
            **{
                "interior": 0.4,
                "all zero": 0.12,
                "some zero": 0.14,
                "near zero": 0.14,
                "perfect correlation": 0.12,
                "large": 0.08,
            },
        ),
        "sigma": float(rng.choice([1.0, 1e-3, 1e3], p=[0.8, 0.12, 0.08])),
        "y mean": float(rng.choice([0.0, 1e6], p=[0.85, 0.15])),
        "x mean": _pick(rng, **{"0": 0.93, "1e6": 0.07}),
        "scale": _pick(rng, usual=0.85, bad=0.15),
        "fixed intercept": bool(rng.random() < 0.95),
        "rank": _pick(rng, full=0.95, deficient=0.05),
        "labels": _pick(rng, integers=0.4, strings=0.35, sparse=0.25),
        "order": _pick(rng, shuffled=0.6, sorted=0.4),
    }


def draw(seed: int) -> Design:
    """Draw design number `seed`."""
    rng = np.random.default_rng([SEED, seed])
    traits = _traits(rng)
    groups, slopes = traits["groups"], traits["slopes"]
    traits["intercept"] = traits["intercept"] or slopes == 0
    codes = np.repeat(np.arange(groups), _sizes(rng, traits["sizes"], groups))
    data = _predictors(rng, codes, groups, slopes)
    x = data[[f"x{k}" for k in range(1, slopes + 1)]].to_numpy(float)
    z = np.column_stack([np.ones(codes.size), x]) if traits["intercept"] else x
    root = _covariance_root(rng, traits["variances"], z.shape[1], traits["correlated"])
    effects = (rng.normal(size=(groups, z.shape[1])) @ root.T)[codes]
    fixed = _fixed_part(rng, slopes)
    plain = [t for t in fixed if t not in ("f", "x1:w")]
    beta = rng.normal(size=len(plain)) * rng.choice([0.0, 1.0])
    noise = rng.normal(size=codes.size)
    y = (z * effects).sum(axis=1) + data[plain].to_numpy(float) @ beta + noise
    data["y"] = traits["y mean"] + traits["sigma"] * y
    data["g"] = _labels(rng, traits["labels"], groups)[codes]
    _rescale(rng, data, traits)
    if traits["rank"] == "deficient":
        data["twin"] = 2.0 * data["x1"] - data["w"] if rng.random() < 0.5 else data["x1"]
        fixed += [t for t in ("x1", "w", "twin") if t not in fixed]
    if traits["order"] == "shuffled":
        data = data.iloc[rng.permutation(len(data))].reset_index(drop=True)
    traits["fixed intercept"] = traits["fixed intercept"] or not fixed
    left = " + ".join(["1" if traits["fixed intercept"] else "0", *fixed])
    formula = f"y ~ {left} + {_random_part(slopes, traits['intercept'], traits['correlated'])}"
    traits["rows"] = len(data)
    return Design(seed, formula, bool(rng.random() < 0.5), data, traits)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        shown = draw(int(argument))
        print(shown)
        print(shown.data.describe(include="all").to_string())
