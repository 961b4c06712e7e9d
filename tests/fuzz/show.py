"""One design in full, fitted by both programs: ``python -m tests.fuzz.show 17 112``."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import teamlink as tl

from . import arbiter, designs, peer, verdict


def show(seeds: Sequence[int]) -> None:
    """Print both fits, and the criterion at either theta by the arbiter."""
    drawn = [designs.draw(seed) for seed in seeds]
    with tempfile.TemporaryDirectory() as folder:
        answers = peer.ask(drawn, Path(folder))[1]
    for design in drawn:
        answer = answers[design.seed]
        print(design)
        if answer.error:
            print(f"  lme4 refuses: {answer.error}")
        else:
            truth = arbiter.criterion(design, answer.theta)
            print(f"  lme4      {answer.criterion:.9f}, in truth {truth:.9f}, {answer.theta}")
        try:
            fit = tl.lmm(design.formula, design.data, reml=design.reml)
        except tl.TeamlinkError as fault:
            print(f"  teamlink refuses: {fault}")
        else:
            theta = np.asarray(fit.theta)
            truth = arbiter.criterion(design, theta)
            print(f"  teamlink  {fit.deviance:.9f}, in truth {truth:.9f}, {theta}")
            print(f"            converged {fit.converged}, boundary {fit.boundary}")
        found = verdict.judge(design, answer)
        print(f"  {found.kind}: {verdict.KINDS[found.kind]}")


if __name__ == "__main__":
    show([int(seed) for seed in sys.argv[1:]])
