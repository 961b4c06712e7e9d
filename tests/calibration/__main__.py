"""Run the calibration and write its table: ``python -m tests.calibration [--out FILE]``.

Without ``--out`` the numbers go to calibration.csv here and the tables to the documentation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .table import run, written


def main() -> None:
    """Run, and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.calibration", description=__doc__)
    parser.add_argument("--out", type=Path, help="write the numbers here, and no page")
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    rates = run(asked.jobs)
    if asked.out is None:
        written(rates)
    else:
        asked.out.write_text(rates.to_csv(index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
