"""Two claims about the engine on many random designs, checked without R.

python -m tests.fuzz.sweep one 1400
python -m tests.fuzz.sweep factors 500

- The criterion that a fit reports is the criterion at its theta, or the fit says that it did not
  converge (arbiter in extended precision).
- An interior optimum a few steps from the first start is not beaten by any other starting point,
  which is why `teamlink.fitting.fit.solve` then tries no other.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np

import teamlink as tl
from teamlink.fitting.fit import _descend, _near_the_start
from teamlink.mixed.bind import bind
from teamlink.mixed.design import design

from . import designs, verdict
from .write_register import SWEEPS


def untrue(drawn: designs.Design, sweep: verdict.Sweep) -> str | None:
    """What to say of a design whose report is untrue; None where all is well or refused."""
    try:
        fit = tl.lmm(drawn.formula, drawn.data, reml=drawn.reml)
    except tl.TeamlinkError:
        return None
    truth = sweep.ours(drawn, fit)
    if abs(fit.deviance - truth) <= verdict.tolerance(truth):
        return None
    return f"reports {fit.deviance:.9f}, in truth {truth:.9f}, converged {fit.converged}"


def beaten(drawn: designs.Design) -> float | None:
    """By how much other starts beat the first, where it alone would be taken; else None."""
    try:
        model = bind(design(drawn.formula, drawn.data), drawn.reml, "normal")
    except tl.TeamlinkError:
        return None
    starts = model.starts()[:, 0]
    first = _descend(model, starts[:1], np.zeros(1, dtype=np.intp))
    if not _near_the_start(first, model)[0]:
        return None
    others = np.vstack([starts[1:], model.further_starts()[:, 0]])
    found = _descend(model, others, np.zeros(len(others), dtype=np.intp))
    return float(first.derivatives.value[0] - found.derivatives.value.min())


def main(name: str, count: int) -> None:
    """Print every exception to either claim, and the counts."""
    draw, _, sweep = SWEEPS[name]
    near = lower = 0
    for seed in range(count):
        drawn = draw(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said, gain = untrue(drawn, sweep), beaten(drawn)
        if said is not None:
            print(seed, said, drawn.formula)
        if gain is not None:
            near += 1
            if gain > verdict.tolerance(0.0):
                lower += 1
                print(seed, f"another start is lower by {gain:.3g}", drawn.formula)
    print(f"{count} designs; {near} taken from the first start alone, {lower} of them beaten")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
