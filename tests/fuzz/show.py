"""One design in full, fitted by both programs.

python -m tests.fuzz.show 17 112              designs with one factor
python -m tests.fuzz.show factors 17 112      designs with several
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import teamlink as tl

from . import peer, verdict
from .write_register import SWEEPS


def show(name: str, seeds: Sequence[int]) -> None:
    """Print both fits, and the criterion at either theta by the arbiter."""
    draw, _, sweep = SWEEPS[name]
    drawn = [draw(seed) for seed in seeds]
    with tempfile.TemporaryDirectory() as folder:
        answers = peer.ask(drawn, Path(folder))[1]
    for design in drawn:
        answer = answers[design.seed]
        print(design)
        if answer.error:
            print(f"  lme4 refuses: {answer.error}")
        else:
            truth = sweep.theirs(design, answer)
            print(f"  lme4      {answer.criterion:.9f}, in truth {truth:.9f}, {answer.theta}")
        try:
            fit = tl.lmm(design.formula, design.data, reml=design.reml)
        except tl.TeamlinkError as fault:
            print(f"  teamlink refuses: {fault}")
        else:
            truth = sweep.ours(design, fit)
            print(f"  teamlink  {fit.deviance:.9f}, in truth {truth:.9f}, {np.asarray(fit.theta)}")
            print(f"            converged {fit.converged}, boundary {fit.boundary}")
        found = verdict.judge(design, answer, sweep)
        print(f"  {found.kind}: {verdict.KINDS[found.kind]}")


if __name__ == "__main__":
    words = sys.argv[1:]
    several = bool(words) and words[0] in SWEEPS
    show(words[0] if several else "one", [int(word) for word in words[several:]])
