"""Reads the raw output of `run.R`; no number is typed elsewhere."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

HOME = Path(__file__).parent
SCRIPT = HOME / "run.R"
PANEL = HOME / "panel.csv"
TRIAL = HOME / "trial.csv"


@cache
def raw() -> dict[str, Any]:
    """The output of `run.R`, as it is."""
    found: dict[str, Any] = json.loads((HOME / "output.json").read_text(encoding="utf-8"))
    return found
