"""Write `register.csv` and `results.md` from a live run.

python -m tests.fuzz.write_register
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from . import designs, peer, verdict


def main(folder: Path | None = None) -> None:
    """Fit every design by both programs (or take answers already in `folder`) and write."""
    drawn = [designs.draw(seed) for seed in range(designs.COUNT)]
    with tempfile.TemporaryDirectory() as fresh:
        versions, answers = peer.read(folder) if folder else peer.ask(drawn, Path(fresh))
    found = [verdict.judge(design, answers[design.seed]) for design in drawn]
    verdict.register(found)
    verdict.RESULTS.write_text(verdict.results(found, drawn, versions))
    for v in found:
        if v.kind in verdict.FAILURES:
            print(f"{v.kind} {v.amount:.3g} {v.note}\n{drawn[v.seed]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
