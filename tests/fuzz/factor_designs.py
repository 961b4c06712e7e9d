"""Random designs with two or three grouping factors: one seed, one data set, one model.

As in `designs`, every choice is in `Design.traits`. What is new: nested factors whose labels are
unique or used again in every parent, full and sparse crossing, children who move between schools,
groups of an interaction, factors that group the rows alike, slopes in any factor, a variance at
zero in one factor beside large ones in another.

    python -m tests.fuzz.factor_designs 17      show design 17
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

from .designs import Design, _covariance_root, _labels, _pick, _rescale

SEED = 19692011
COUNT = 500

Codes = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Term:
    """Effects that vary by one grouping factor, as the formula is to say it."""

    group: tuple[str, ...]
    effects: tuple[str, ...]
    correlated: bool

    def __str__(self) -> str:
        left = self.effects if self.effects[0] == "1" else ("0", *self.effects)
        bar = "|" if self.correlated or len(self.effects) == 1 else "||"
        return f"({' + '.join(left)} {bar} {':'.join(self.group)})"


def _nested(rng: Generator, parent: np.ndarray, mean: float) -> np.ndarray:
    """Children of groups: for each unit the group it lies in, (units,), at least one a group."""
    groups = int(parent.max()) + 1
    return np.repeat(np.arange(groups), 1 + rng.poisson(mean, groups))


def _random_codes(rng: Generator, groups: int, n: int) -> np.ndarray:
    """Groups drawn at random, some far larger than others, (n,); all of 0..J-1 occur."""
    share = rng.dirichlet(np.full(groups, float(np.exp(rng.uniform(-1, 3)))))
    return np.unique(rng.choice(groups, n, p=share), return_inverse=True)[1]


def _rows_of(rng: Generator, units: int, n: int) -> np.ndarray:
    """Unit of each of about n rows; every unit has one at least."""
    extra = max(n - units, 2)
    return np.concatenate([np.arange(units), _random_codes(rng, units, extra)])


def _nest(rng: Generator, n: int, deep: bool) -> Codes:
    """Classes b in schools a, or classes c in schools b in districts a."""
    groups = int(rng.integers(3, max(4, n // 8)))
    b_in_a = _nested(rng, np.arange(groups), float(rng.uniform(0.3, 3)))
    if not deep:
        rows = _rows_of(rng, b_in_a.size, n)
        return {"a": b_in_a[rows], "b": rows}
    c_in_b = _nested(rng, np.arange(b_in_a.size), float(rng.uniform(0.2, 1.5)))
    rows = _rows_of(rng, c_in_b.size, n)
    return {"a": b_in_a[c_in_b[rows]], "b": c_in_b[rows], "c": rows}


def _crossed(rng: Generator, n: int, full: bool) -> Codes:
    """Every pair of a and b, or pairs drawn at random."""
    groups = int(rng.integers(3, max(4, int(np.sqrt(n)))))
    other = int(np.clip(n // groups, 3, 40))
    if not full:
        return {"a": _random_codes(rng, groups, n), "b": _random_codes(rng, other, n)}
    pairs = np.repeat(np.arange(groups * other), int(rng.integers(1, 3)))
    pairs = pairs[rng.random(pairs.size) >= rng.choice([0.0, 0.3])]
    return {
        name: np.unique(code, return_inverse=True)[1]
        for name, code in (("a", pairs // other), ("b", pairs % other))
    }


def _movers(rng: Generator, n: int) -> Codes:
    """Children b in schools a, some of whom change school."""
    schools = int(rng.integers(3, max(4, n // 10)))
    children = max(4, int(n / rng.uniform(1.5, 6)))
    child = _rows_of(rng, children, n)
    school = rng.integers(0, schools, children)[child]
    moved = rng.random(child.size) < rng.choice([0.02, 0.1, 0.3])
    school[moved] = rng.integers(0, schools, int(moved.sum()))
    return {"a": np.unique(school, return_inverse=True)[1], "b": child}


def _codes(rng: Generator, structure: str, n: int) -> Codes:
    """Group of each row by factor."""
    if structure in ("nested", "deep"):
        return _nest(rng, n, structure == "deep")
    if structure in ("full", "sparse", "interaction"):
        return _crossed(rng, n, structure == "full")
    if structure == "movers":
        return _movers(rng, n)
    if structure == "twins":
        a = _random_codes(rng, int(rng.integers(3, max(4, n // 4))), n)
        return {"a": a, "b": rng.permutation(a.max() + 1)[a]}
    codes = _nest(rng, n, False) if structure == "nested and crossed" else _crossed(rng, n, False)
    size = codes["a"].size
    return codes | {"c": _random_codes(rng, int(rng.integers(3, 12)), size)}


def _groups(rng: Generator, structure: str, again: bool) -> list[tuple[str, ...]]:
    """Grouping columns of each term, in an order of chance."""
    if structure == "interaction":
        groups = [("a",), ("b",), ("a", "b")]
        groups = groups if rng.random() < 0.6 else groups[1:]
    elif structure == "deep":
        groups = [("a",), ("a", "b"), ("a", "b", "c")] if again else [("a",), ("b",), ("c",)]
    elif structure == "nested":
        groups = [("a",), ("a", "b") if again else ("b",)]
    elif structure == "nested and crossed":
        groups = [("a",), ("a", "b") if again else ("b",), ("c",)]
    else:
        groups = [("a",), ("b",)] + ([("c",)] if structure == "triple" else [])
    return [groups[k] for k in rng.permutation(len(groups))]


def _effects(rng: Generator, levels: int, n: int) -> tuple[str, ...]:
    """What varies by a factor; fewer effects where there would be more of them than rows."""
    kind = _pick(rng, **{"1": 0.5, "1 x1": 0.28, "x1": 0.07, "1 x2": 0.08, "1 x1 x2": 0.07})
    effects = tuple(kind.split())
    return effects if len(effects) * levels < n else ("1",)


def _level_codes(data: Codes, group: tuple[str, ...]) -> np.ndarray:
    """Group of each row by the combination of columns."""
    columns = np.column_stack([data[name] for name in group])
    return np.unique(columns, axis=0, return_inverse=True)[1].ravel()


def _roots(rng: Generator, terms: list[Term], kind: str) -> list[np.ndarray]:
    """Root of the covariance of each term's effects, as the trait says."""
    chosen = int(rng.integers(len(terms)))
    roots = []
    for k, term in enumerate(terms):
        own = "interior"
        if kind in ("all zero", "large") or (k == chosen and kind != "one factor zero"):
            own = kind
        if k == chosen and kind == "one factor zero":
            own = "all zero"
        roots.append(_covariance_root(rng, own, len(term.effects), term.correlated))
    return roots


def _predictors(rng: Generator, codes: Codes) -> pd.DataFrame:
    """Columns x1, x2 that vary within groups, w between the groups of a, f of three levels."""
    n, columns = codes["a"].size, {}
    for name in ("x1", "x2"):
        kind = _pick(rng, normal=0.6, time=0.25, dummy=0.15)
        if kind == "normal":
            between = rng.normal(size=codes["a"].max() + 1)[codes["a"]]
            columns[name] = rng.normal(size=n) + between * rng.choice([0.0, 0.5])
        elif kind == "time":
            columns[name] = rng.integers(0, 5, n).astype(float)
        else:
            columns[name] = (rng.random(n) < 0.4).astype(float)
    columns["w"] = rng.normal(size=codes["a"].max() + 1)[codes["a"]]
    columns["f"] = np.array(["a", "b", "c"], dtype=object)[rng.permutation(np.arange(n) % 3)]
    return pd.DataFrame(columns)


def _traits(rng: Generator) -> dict[str, Any]:
    structures = {
        "nested": 0.17, "deep": 0.13, "full": 0.1, "sparse": 0.14, "movers": 0.18,
        "nested and crossed": 0.1, "triple": 0.08, "interaction": 0.08, "twins": 0.02,
    }  # fmt: skip
    variances = {
        "interior": 0.38, "all zero": 0.1, "one factor zero": 0.16, "some zero": 0.08,
        "near zero": 0.12, "perfect correlation": 0.08, "large": 0.08,
    }  # fmt: skip
    return {
        "structure": _pick(rng, **structures),
        "target rows": int(np.exp(rng.uniform(np.log(14), np.log(600)))),
        "labels used again": bool(rng.random() < 0.5),
        "variances": _pick(rng, **variances),
        "sigma": float(rng.choice([1.0, 1e-3, 1e3], p=[0.84, 0.09, 0.07])),
        "y mean": float(rng.choice([0.0, 1e6], p=[0.86, 0.14])),
        "x mean": _pick(rng, **{"0": 0.95, "1e6": 0.05}),
        "scale": _pick(rng, usual=0.88, bad=0.12),
        "fixed intercept": bool(rng.random() < 0.96),
        "rank": _pick(rng, full=0.94, deficient=0.06),
        "order": _pick(rng, shuffled=0.6, sorted=0.4),
    }


def _fixed_part(rng: Generator, terms: list[Term]) -> list[str]:
    slopes = {effect for term in terms for effect in term.effects if effect != "1"}
    fixed = [x for x in ("x1", "x2") if rng.random() < (0.9 if x in slopes else 0.4)]
    if rng.random() < 0.35:
        fixed += ["w", "x1:w"] if rng.random() < 0.4 and "x1" in fixed else ["w"]
    return fixed + (["f"] if rng.random() < 0.15 else [])


def _terms(rng: Generator, traits: dict[str, Any], codes: Codes) -> list[Term]:
    n = codes["a"].size
    terms = []
    for group in _groups(rng, traits["structure"], traits["labels used again"]):
        levels = int(_level_codes(codes, group).max()) + 1
        effects = _effects(rng, levels, n)
        terms.append(Term(group, effects, len(effects) == 1 or rng.random() < 0.65))
    return terms


def _response(
    rng: Generator, data: pd.DataFrame, codes: Codes, terms: list[Term], kind: str
) -> np.ndarray:
    """Random effects and noise in units of the residual, (n,)."""
    total = rng.normal(size=len(data))
    for term, root in zip(terms, _roots(rng, terms, kind), strict=True):
        at = _level_codes(codes, term.group)
        z = np.column_stack([np.ones(len(data)) if e == "1" else data[e] for e in term.effects])
        b = rng.normal(size=(at.max() + 1, z.shape[1])) @ root.T
        total = total + (z * b[at]).sum(axis=1)
    return total


def _label(rng: Generator, codes: Codes, terms: list[Term]) -> Codes:
    """Labels of the factors; those that only occur within others start anew in each of them."""
    alone = {term.group[0] for term in terms if len(term.group) == 1}
    nested = {term.group[-1]: term.group[:-1] for term in terms if len(term.group) > 1}
    labelled = {}
    for name, code in codes.items():
        if name in nested and name not in alone:
            frame = pd.DataFrame({"outer": _level_codes(codes, nested[name]), "code": code})
            code = frame.groupby("outer")["code"].transform(lambda c: pd.factorize(c)[0])
            code = code.to_numpy()
        kind = _pick(rng, integers=0.4, strings=0.35, sparse=0.25)
        labelled[name] = _labels(rng, kind, int(code.max()) + 1)[code]
    return labelled


def draw(seed: int) -> Design:
    """Draw design number `seed`."""
    rng = np.random.default_rng([SEED, seed])
    traits = _traits(rng)
    codes = _codes(rng, traits["structure"], traits["target rows"])
    terms = _terms(rng, traits, codes)
    data = _predictors(rng, codes)
    fixed = _fixed_part(rng, terms)
    plain = [t for t in fixed if t not in ("f", "x1:w")]
    beta = rng.normal(size=len(plain)) * rng.choice([0.0, 1.0])
    y = _response(rng, data, codes, terms, traits["variances"])
    y = y + data[plain].to_numpy(float) @ beta
    data["y"] = traits["y mean"] + traits["sigma"] * y
    for name, labels in _label(rng, codes, terms).items():
        data[name] = labels
    _rescale(rng, data, traits, keep=("f", "y", *codes))
    if traits["rank"] == "deficient":
        data["twin"] = 2.0 * data["x1"] - data["w"] if rng.random() < 0.5 else data["x1"]
        fixed += [t for t in ("x1", "w", "twin") if t not in fixed]
    if traits["order"] == "shuffled":
        data = data.iloc[rng.permutation(len(data))].reset_index(drop=True)
    traits["fixed intercept"] = traits["fixed intercept"] or not fixed
    traits["rows"] = len(data)
    traits["groups"] = [int(_level_codes(codes, t.group).max()) + 1 for t in terms]
    traits["slopes"] = sum(e != "1" for t in terms for e in t.effects)
    left = " + ".join(["1" if traits["fixed intercept"] else "0", *fixed])
    formula = f"y ~ {left} + {_random_text(rng, terms)}"
    return Design(seed, formula, bool(rng.random() < 0.5), data, traits, tuple(codes))


def _random_text(rng: Generator, terms: list[Term]) -> str:
    """The random part; as a path a/b where the terms allow it and chance wants it."""
    by_group = {term.group: term for term in terms}
    deepest = max(by_group, key=len)
    path = [deepest[: k + 1] for k in range(len(deepest))]
    if len(deepest) > 1 and all(group in by_group for group in path) and rng.random() < 0.5:
        along = [by_group[group] for group in path]
        if len({(term.effects, term.correlated) for term in along}) == 1:
            text = str(along[-1]).replace(":", "/")
            rest = [str(term) for term in terms if term.group not in path]
            return " + ".join([text, *rest])
    return " + ".join(map(str, terms))


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        shown = draw(int(argument))
        print(shown)
        print(shown.data.describe(include="all").to_string())
