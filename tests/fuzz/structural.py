"""Random structural equations: texts, options and data that follow from a seed.

Seeds up to 150 are of one level with complete rows, up to 200 of one level with values missing, up
to 260 of two levels, and up to 300 of two levels with values missing.

python -m tests.fuzz.structural 17        look at model 17
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from teamlink.structural.conventions import Conventions
from teamlink.structural.implied import implied
from teamlink.structural.parameters import parameter_table
from teamlink.structural.structure import structure_of
from teamlink.syntax.equations import read_equations

from . import two_levels

COUNT = 300

MISSING, NESTED, NESTED_MISSING = 150, 200, 260
"""From which seed on values are missing, there are two levels, and both."""

KINDS = ("factors", "latent paths", "paths", "feedback", "latent feedback", "mimic", "growth")


@dataclass(frozen=True)
class Drawn:
    """One random model with its data."""

    seed: int
    kind: str
    text: str
    options: dict[str, Any]
    data: pd.DataFrame

    def __str__(self) -> str:
        return f"model {self.seed}: {self.kind}, {self.options}, n={len(self.data)}\n{self.text}"


def draw(seed: int) -> Drawn:
    """Draw the model of a seed; the same one every time."""
    if seed >= NESTED:
        return Drawn(seed, *two_levels.drawn(seed, seed >= NESTED_MISSING))
    rng = np.random.default_rng([20, seed])
    kind = KINDS[seed % len(KINDS)]
    options: dict[str, Any] = {}
    lines = _lines(kind, rng, options)
    if rng.random() < 0.3:
        options["meanstructure"] = True
    if rng.random() < 0.25 and kind not in ("growth",):
        options["fixed_x"] = False
    if rng.random() < 0.2 and any("=~" in line for line in lines) and kind != "growth":
        options["std_lv"] = True
    groups = rng.random() < 0.25
    if groups:
        options["group"] = "school"
        if rng.random() < 0.5 and any("=~" in line for line in lines):
            options["group_equal"] = ["loadings"]
    text = "\n".join(lines)
    n = int(rng.integers(90, 400))
    data = _data(text, options, n, groups, rng)
    if seed >= MISSING:
        options["missing"] = "fiml"
        names = [name for name in data if name not in ("school", "u", "v", "w")]
        data = two_levels.with_holes(data, names, float(rng.uniform(0.03, 0.2)), rng)
    return Drawn(seed, kind, text, options, data)


def _measurement(rng: np.random.Generator, least: int, most: int) -> tuple[list[str], list[str]]:
    """Lines of factors with their own indicators, and all indicators."""
    lines, names = [], []
    for f in range(int(rng.integers(least, most + 1))):
        own = [f"x{len(names) + i + 1}" for i in range(int(rng.integers(3, 5)))]
        names += own
        lines.append(f"f{f + 1} =~ {' + '.join(own)}")
    return lines, names


def _lines(kind: str, rng: np.random.Generator, options: dict[str, Any]) -> list[str]:
    if kind == "growth":
        options["growth"] = True
        times = int(rng.integers(3, 6))
        lines = ["i =~ " + " + ".join(f"1*t{k}" for k in range(times))]
        lines += ["s =~ " + " + ".join(f"{k}*t{k}" for k in range(times))]
        return [*lines, "i + s ~ u"] if rng.random() < 0.6 else lines
    if kind == "paths":
        return _paths(rng)
    if kind == "feedback":
        lines = ["y1 ~ y2 + u", "y2 ~ y1 + v"]
        lines += ["y1 ~~ y2"] if rng.random() < 0.5 else []
        return [*lines, "y3 ~ y1 + y2 + u"] if rng.random() < 0.5 else lines
    if kind == "latent feedback":
        return ["f1 =~ x1 + x2 + x3", "f2 =~ x4 + x5 + x6", "f1 ~ f2 + u", "f2 ~ f1 + v"]
    lines, names = _measurement(rng, 1 if kind == "mimic" else 2, 3)
    factors = [line.split(" ")[0] for line in lines]
    if kind == "factors" and rng.random() < 0.5:
        lines.append(f"{factors[0]} =~ {names[-1]}")
    if rng.random() < 0.5:
        lines.append(f"{names[0]} ~~ {names[-1]}")
    if kind == "latent paths":
        for i, name in enumerate(factors[1:], 1):
            lines.append(f"{name} ~ {' + '.join(factors[:i])}")
        lines += [f"y ~ {factors[-1]} + u"] if rng.random() < 0.5 else []
    if kind == "mimic":
        lines += [f"{name} ~ u + v" for name in factors]
        lines += [f"{names[1]} ~ u"] if rng.random() < 0.4 else []
    if kind == "factors" and rng.random() < 0.4:
        first, second = names[1], names[2]
        lines[0] = lines[0].replace(first, f"a*{first}").replace(second, f"a*{second}")
    return lines


def _paths(rng: np.random.Generator) -> list[str]:
    """A recursive model of four outcomes and three exogenous variables."""
    before = ["u", "v", "w"]
    lines = []
    for k in range(4):
        chosen = rng.choice(before, int(rng.integers(1, min(4, len(before)) + 1)), replace=False)
        lines.append(f"y{k + 1} ~ {' + '.join(chosen)}")
        before.append(f"y{k + 1}")
    if rng.random() < 0.4:
        lines[0] = lines[0].replace("~ ", "~ a*", 1)
        lines[1] = lines[1].replace("~ ", "~ b*", 1)
        lines.append("a == 0.5*b")
    return lines


def _data(
    text: str, options: dict[str, Any], n: int, groups: bool, rng: np.random.Generator
) -> pd.DataFrame:
    """Rows from the model at random parameters; tails heavier than normal in some."""
    conventions = Conventions(
        meanstructure=True, std_lv=options.get("std_lv", False), fixed_x=False,
        growth=options.get("growth", False),
    )  # fmt: skip
    table = parameter_table(read_equations(text), conventions)
    roles = table.roles[0]
    structure = structure_of(table, [roles.observed], [roles.latent])
    block = structure.blocks[0]
    p = block.p
    while True:
        x = np.zeros(structure.q)
        x[block.a_of] = rng.uniform(-0.6, 0.6, len(block.a_of))
        loads = (block.a_row < p) & (block.a_col >= p)
        x[block.a_of[loads]] = rng.uniform(0.5, 1.4, int(loads.sum()))
        diagonal = block.s_row == block.s_col
        x[block.s_of] = np.where(diagonal, rng.uniform(0.4, 1.6, len(diagonal)), 0.1)
        x[block.m_of] = rng.normal(size=len(block.m_of))
        state = implied(block, x[None], np.eye(p)[None], np.zeros((1, p)))
        S = state.S[0]
        if np.linalg.eigvalsh(S)[0] > 0.05 and np.abs(np.linalg.eigvals(state.A[0])).max() < 0.9:
            break
    noise = rng.standard_normal((n, p))
    if rng.random() < 0.3:
        noise = noise * np.sqrt(5 / rng.chisquare(5, (n, 1)))
    Y = state.mu[0] + noise @ np.linalg.cholesky(state.Sigma[0]).T
    units = 10.0 ** rng.integers(-2, 3, p) if rng.random() < 0.2 else np.ones(p)
    frame = pd.DataFrame(Y * units, columns=list(block.observed))
    if groups:
        frame["school"] = np.where(rng.random(n) < 0.5, "one", "two")
    return frame


if __name__ == "__main__":
    sys.stdout.write(f"{draw(int(sys.argv[1]))}\n")
