"""205 random generalized designs against glmer, run live: never a worse optimum, nor an untrue one.

glmer's own deviance leaves out constants where it uses quadrature, and its modes are sought to a
tolerance; so both programs' optima are judged by one arbiter, the criterion by dense matrices.

pytest -m live_r tests/fuzz/test_glmer_live.py
"""

from __future__ import annotations

import json
import subprocess
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import teamlink as tl
from teamlink.errors import TeamlinkWarning

from . import generalized_arbiter as arbiter
from . import generalized_designs as designs
from . import peer

pytestmark = pytest.mark.live_r

SEEDS = range(designs.COUNT)
SCRIPT = Path(__file__).with_name("glmer.R")
RESULTS = Path(__file__).with_name("results_glmer.md")

# An optimum is never above the peer's by more than this; the arbiter rounds in the tenth digit.
ABSOLUTE, RELATIVE = 1e-6, 1e-9
NOTABLE = 1e-4


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one design; `amount` is our criterion less the best of the peer's."""

    seed: int
    kind: str
    amount: float
    note: str


def tolerance(value: float) -> float:
    """Largest difference of two criteria that counts as equal."""
    return ABSOLUTE + RELATIVE * abs(value)


def ask(drawn: list[designs.Design], folder: Path) -> dict[str, Any]:
    """Fit all designs with glmer in one run."""
    manifest = []
    for design in drawn:
        values = design.data.to_numpy(dtype="<f8")
        (folder / f"{design.seed}.bin").write_bytes(values.tobytes(order="F"))
        manifest.append(
            {
                "seed": design.seed, "formula": design.formula, "family": design.family,
                "nagq": design.nagq, "columns": list(design.data.columns), "rows": len(design.data),
            }
        )  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    subprocess.run(["Rscript", str(SCRIPT), str(folder)], check=True)
    found: dict[str, Any] = json.loads((folder / "answers.json").read_text())
    return found


def theirs(design: designs.Design, fit: dict[str, Any]) -> float:
    """The true criterion at glmer's estimates."""
    covariances: dict[str, np.ndarray] = {
        group: np.zeros((len(names),) * 2) for group, names in design.effects.items()
    }
    for key, term in fit["terms"].items():
        group = key.split(".")[0]
        names = ["1" if name == "(Intercept)" else name for name in np.atleast_1d(term["names"])]
        at = [design.effects[group].index(name) for name in names]
        covariances[group][np.ix_(at, at)] = np.reshape(term["values"], (len(at),) * 2)
    return arbiter.criterion(design, np.array(fit["beta"], dtype=float), covariances)


def judge(design: designs.Design, answer: dict[str, Any]) -> Verdict:
    """Fit a design by teamlink and compare with the peer's answer."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", TeamlinkWarning)
            trials = "m" if design.family == "binomial" else None
            fit = tl.glmm(
                design.formula, design.data, design.family, nagq=design.nagq, trials=trials
            )
    except tl.TeamlinkError as fault:
        kind = "both refuse" if "error" in answer else "refuses"
        return Verdict(design.seed, kind, np.nan, f"{type(fault).__name__}: {fault}")
    covariances = {name: L @ L.T for name, L in fit.Lambda.items()}
    order = ["Intercept" if name == "1" else name for name in design.fixed]
    true_ours = arbiter.criterion(design, fit.params[order].to_numpy(), covariances)
    if abs(fit.deviance - true_ours) > tolerance(true_ours):
        return Verdict(
            design.seed, "untrue", fit.deviance - true_ours, f"{fit.deviance}, {true_ours}"
        )
    if "error" in answer:
        return Verdict(design.seed, "peer refuses", np.nan, answer["error"])
    best = min(theirs(design, found) for found in answer["fits"].values())
    amount = fit.deviance - best
    if amount > tolerance(best):
        return Verdict(design.seed, "higher", amount, f"converged {fit.converged}")
    if not fit.converged:
        return Verdict(design.seed, "not converged", amount, fit.convergence.message)
    if not np.isfinite(fit.bse.to_numpy()).all():
        return Verdict(design.seed, "no standard error", amount, fit.convergence.message)
    return Verdict(design.seed, "lower" if amount < -NOTABLE else "agree", amount, "")


def table(verdicts: list[Verdict], drawn: list[designs.Design], versions: dict[str, Any]) -> str:
    """Render the results in Markdown."""
    counts = Counter(v.kind for v in verdicts)
    worst = max((v.amount for v in verdicts if np.isfinite(v.amount)), default=np.nan)
    lines = [
        "# Random generalized designs against glmer",
        "",
        f"{len(verdicts)} designs. teamlink {tl.__version__}, lme4 {versions['lme4']}, "
        f"{versions['R']}, {versions['date']}. Written by `pytest -m live_r tests/fuzz`.",
        "",
        "glmer's optimum is the better of its default and of a tight bobyqa started there; both "
        "programs' optima are judged by the criterion in dense matrices.",
        "",
        *(f"- {kind}: {count}" for kind, count in sorted(counts.items())),
        f"- largest excess over glmer: {max(worst, 0.0):.1e}",
        "",
        "| seed | outcome | amount | note | model |",
        "|---:|---|---:|---|---|",
    ]
    for v, design in zip(verdicts, drawn, strict=True):
        if v.kind not in ("agree", "both refuse"):
            amount = "" if np.isnan(v.amount) else f"{v.amount:.3g}"
            model = f"{design.formula}, {design.family}".replace("|", "\\|")
            note = " ".join(v.note.split())[:120].replace("|", "\\|")
            lines.append(f"| {v.seed} | {v.kind} | {amount} | {note} | `{model}` |")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Verdict]]:
    if reason := peer.missing():
        pytest.skip(reason)
    drawn = [designs.draw(seed) for seed in SEEDS]
    answers = ask(drawn, tmp_path_factory.mktemp("glmer"))
    by_seed = {answer["seed"]: answer for answer in answers["designs"]}
    found = [judge(design, by_seed[design.seed]) for design in drawn]
    yield {v.seed: v for v in found}
    RESULTS.write_text(table(found, drawn, answers))


@pytest.mark.parametrize("seed", SEEDS, ids=lambda s: f"design-{s}-")
def test_never_worse_than_glmer(seed: int, verdicts: dict[int, Verdict]) -> None:
    found = verdicts[seed]
    report = f"{found.kind} ({found.amount:.3g}): {found.note}\n{designs.draw(seed)}"
    assert found.kind not in ("higher", "untrue", "no standard error"), report
