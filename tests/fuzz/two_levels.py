"""Random structural equations of two levels: texts, options and data that follow from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from teamlink.structural.conventions import Conventions
from teamlink.structural.implied import State, implied
from teamlink.structural.parameters import parameter_table
from teamlink.structural.structure import structure_of
from teamlink.syntax.equations import read_equations

KINDS = (
    "factor", "predictors", "more within", "paths", "outcome between", "feedback within",
    "feedback between", "latent feedback", "equal loadings",
)  # fmt: skip
"""What a seed's model is, in turns."""


def lines_of(kind: str, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """The statements of the two levels."""
    p = int(rng.integers(3, 6))
    names = [f"y{k + 1}" for k in range(p)]
    factor = [f"f =~ {' + '.join(names)}"]
    if kind == "factor":
        within = [*factor, "y1 ~~ y2"] if p > 3 and rng.random() < 0.4 else factor
        return within, factor
    if kind == "predictors":
        return [*factor, "f ~ x1 + x2"], [*factor, "f ~ w1"]
    if kind == "more within":
        both = ["f =~ y1 + y2 + y3", "g =~ y4 + y5 + y6"]
        within = [*both, "g ~ f + x1"] if rng.random() < 0.5 else both
        return within, ["k =~ y1 + y2 + y3 + y4 + y5 + y6"]
    if kind == "paths":
        within = ["y1 ~ x1", "y2 ~ y1 + x1"] if rng.random() < 0.5 else ["y2 ~ y1"]
        between = ["y1 ~ a*w1", "y2 ~ b*y1 + w1"]
        between += ["a == 0.5*b"] if rng.random() < 0.3 else []
        return within, between
    if kind == "outcome between":
        return [*factor, "f ~ x1"], [*factor, "z ~ f + w1", "f ~ w1"]
    if kind == "feedback within":
        within = ["y1 ~ y2 + x1", "y2 ~ y1 + x2"]
        within += ["y1 ~~ y2"] if rng.random() < 0.4 else []
        return within, ["y1 ~ w1", "y2 ~ w1"]
    if kind == "feedback between":
        return ["y1 ~ x1", "y2 ~ y1"], ["y1 ~ y2 + w1", "y2 ~ y1 + w2"]
    if kind == "latent feedback":
        both = ["f =~ y1 + y2 + y3", "g =~ y4 + y5 + y6"]
        return [*both, "f ~ g + x1", "g ~ f + x2"], both
    shared = [f"f =~ {' + '.join(f'l{k}*{name}' for k, name in enumerate(names))}"]
    return [*shared, "f ~ x1"] if rng.random() < 0.5 else shared, shared


def drawn(seed: int, missing: bool) -> tuple[str, str, dict[str, Any], pd.DataFrame]:
    """Kind, text, options and data of a seed; the same ones every time."""
    rng = np.random.default_rng([21, seed])
    kind = KINDS[seed % len(KINDS)]
    within, between = lines_of(kind, rng)
    text = "\n".join(["level: 1", *within, "level: 2", *between])
    options: dict[str, Any] = {"cluster": "cluster"}
    if rng.random() < 0.25:
        options["fixed_x"] = False
    if rng.random() < 0.2 and kind not in ("paths", "equal loadings"):
        options["std_lv"] = True
    J = int(rng.integers(30, 80))
    if not missing and rng.random() < 0.15:
        options["group"] = "school"
        J += 60
    sizes = rng.integers(2, 6, J) if rng.random() < 0.5 else rng.integers(3, 15, J)
    frame = _data(text, options, sizes, rng)
    if "group" in options:
        # lavaan wants every block of several groups written out.
        text = f"group: one\n{text}\ngroup: two\n{text}"
    if missing:
        options["missing"] = "fiml"
        holes = [name for name in frame if name.startswith(("y", "z"))]
        frame = with_holes(frame, holes, float(rng.uniform(0.03, 0.2)), rng)
    return kind, text, options, frame


def with_holes(
    frame: pd.DataFrame, names: list[str], share: float, rng: np.random.Generator
) -> pd.DataFrame:
    """The same with values missing; those of clusters for all rows of a cluster."""
    frame = frame.copy()
    for name in names:
        gone = rng.random(len(frame)) < share
        if name.startswith("z"):
            codes = frame["cluster"].to_numpy(dtype=int)
            gone = (rng.random(codes.max() + 1) < share)[codes]
        frame.loc[gone, name] = np.nan
    return frame


def _data(
    text: str, options: dict[str, Any], sizes: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    """Rows from the model at random parameters."""
    conventions = Conventions(
        meanstructure=True, std_lv=options.get("std_lv", False), fixed_x=False
    )
    table = parameter_table(read_equations(text), conventions)
    structure = structure_of(
        table, [own.observed for own in table.roles], [own.latent for own in table.roles]
    )
    while True:
        x = np.zeros(structure.q)
        small = 0.15 if rng.random() < 0.3 else 1.0
        states = []
        for b, block in enumerate(structure.blocks):
            p = block.p
            x[block.a_of] = rng.uniform(-0.6, 0.6, len(block.a_of))
            loads = (block.a_row < p) & (block.a_col >= p)
            x[block.a_of[loads]] = rng.uniform(0.5, 1.4, int(loads.sum()))
            diagonal = block.s_row == block.s_col
            spread = rng.uniform(0.4, 1.6, len(diagonal)) * (small if b else 1.0)
            x[block.s_of] = np.where(diagonal, spread, 0.05 * small)
            x[block.m_of] = rng.normal(size=len(block.m_of)) if b else 0.0
        for block in structure.blocks:
            p = block.p
            states.append(implied(block, x[None], np.eye(p)[None], np.zeros((1, p))))
        if all(_proper(state) for state in states):
            break
    codes = np.repeat(np.arange(len(sizes)), sizes)
    frame: dict[str, Any] = {}
    for b, (block, state) in enumerate(zip(structure.blocks, states, strict=True)):
        noise = rng.standard_normal((len(sizes) if b else len(codes), block.p))
        values = state.mu[0] + noise @ np.linalg.cholesky(state.Sigma[0]).T
        for name, column in zip(block.observed, values.T, strict=True):
            frame[name] = frame.get(name, 0.0) + (column[codes] if b else column)
    frame["cluster"] = codes.astype(float)
    if "group" in options:
        frame["school"] = np.where(codes % 2 == 0, "one", "two")
    return pd.DataFrame(frame).sample(frac=1, random_state=1).reset_index(drop=True)


def _proper(state: State) -> bool:
    """Whether a population can have it."""
    stable = np.abs(np.linalg.eigvals(state.A[0])).max(initial=0.0) < 0.9
    return bool(np.linalg.eigvalsh(state.S[0])[0] > 0.01 and stable)
