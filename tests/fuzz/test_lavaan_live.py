"""150 random structural models against lavaan, run live: never a lower log-likelihood.

pytest -m live_r tests/fuzz/test_lavaan_live.py         about three minutes
python -m tests.fuzz.structural 17                      look at model 17
"""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import teamlink as tl
from teamlink.errors import NotConverged, TeamlinkError

from . import structural

pytestmark = pytest.mark.live_r

SCRIPT = Path(__file__).with_name("lavaan.R")

SAME = 1e-6
"""A log-likelihood lower by more than this is lower."""

MODELS = pytest.mark.parametrize("seed", range(structural.COUNT), ids=lambda s: f"model-{s}-")


def missing() -> str | None:
    if shutil.which("Rscript") is None:
        return "Rscript is not on this machine"
    asked = "library(lavaan); library(jsonlite)"
    found = subprocess.run(["Rscript", "-e", asked], capture_output=True, check=False)
    return None if found.returncode == 0 else "R has no lavaan or no jsonlite"


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """Fit every model with lavaan in one run."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("lavaan")
    manifest = []
    for seed in range(structural.COUNT):
        drawn = structural.draw(seed)
        data = drawn.data.copy()
        if "school" in data:
            data["school"] = pd.factorize(data["school"], sort=True)[0] + 1.0
        values = data.to_numpy(dtype="<f8")
        (folder / f"{seed}.bin").write_bytes(values.tobytes(order="F"))
        manifest.append(
            {
                "seed": seed, "text": drawn.text, "options": drawn.options,
                "columns": list(data.columns), "rows": len(data),
            }
        )  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    subprocess.run(["Rscript", str(SCRIPT), str(folder)], check=True)
    raw = json.loads((folder / "answers.json").read_text())
    return {answer["seed"]: answer for answer in raw["models"]}


def ours(drawn: structural.Drawn) -> Any:
    """Our fit, or the typed error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConverged)
        try:
            return tl.sem(drawn.text, drawn.data, **drawn.options)
        except TeamlinkError as error:
            return error


@MODELS
def test_never_a_lower_likelihood(seed: int, answers: dict[int, dict[str, Any]]) -> None:
    drawn, theirs = structural.draw(seed), answers[seed]
    found = ours(drawn)
    if theirs.get("logl") is None:
        pytest.skip("lavaan does not converge")
    assert not isinstance(found, TeamlinkError), f"{found}\n{drawn}"
    assert found.n_parameters == theirs["npar"], drawn
    assert found.llf >= theirs["logl"] - SAME * (1 + 1e-3 * abs(theirs["logl"])), drawn
    assert found.converged, drawn


def test_most_models_are_compared(answers: dict[int, dict[str, Any]]) -> None:
    compared = [a for a in answers.values() if a.get("logl") is not None]
    assert len(compared) >= 0.85 * structural.COUNT
    assert np.mean([a["npar"] for a in compared]) > 10
