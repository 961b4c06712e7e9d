"""Write the register and the table of results of a sweep from a live run.

python -m tests.fuzz.write_register             designs with one factor
python -m tests.fuzz.write_register factors     designs with several
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from . import designs, factor_designs, peer, verdict
from .designs import Design

SWEEPS: dict[str, tuple[Callable[[int], Design], int, verdict.Sweep]] = {
    "one": (designs.draw, designs.COUNT, verdict.ONE_FACTOR),
    "factors": (factor_designs.draw, factor_designs.COUNT, verdict.SEVERAL_FACTORS),
}


def main(name: str = "one", folder: Path | None = None) -> None:
    """Fit every design by both programs (or take answers already in `folder`) and write."""
    draw, count, sweep = SWEEPS[name]
    drawn = [draw(seed) for seed in range(count)]
    with tempfile.TemporaryDirectory() as fresh:
        versions, answers = peer.read(folder) if folder else peer.ask(drawn, Path(fresh))
    found = [verdict.judge(design, answers[design.seed], sweep) for design in drawn]
    verdict.register(found, sweep)
    sweep.results.write_text(verdict.results(found, drawn, versions, sweep))
    for v in found:
        if v.kind in verdict.FAILURES:
            print(f"{v.kind} {v.amount:.3g} {v.note}\n{drawn[v.seed]}")


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(Path, sys.argv[2:3]))
