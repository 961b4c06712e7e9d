"""Multilevel statistics for school-effects research.

The public names load on first use, so that ``import teamlink`` stays quick.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "DataError": "errors",
    "DesignError": "errors",
    "FitError": "errors",
    "FormulaError": "errors",
    "MissingExtra": "errors",
    "OptionError": "errors",
    "StudyError": "errors",
    "TeamlinkError": "errors",
    "aggregate": "data.aggregate",
    "alpha": "measurement",
    "bootstrap": "inference.bootstrap",
    "center": "data.center",
    "compare": "inference.compare",
    "datasets": "data",
    "icc": "mixed.reliability",
    "icc1": "measurement",
    "icc2": "measurement",
    "lmm": "mixed.linear",
    "load": "data.load",
    "profile": "inference.profile",
    "refit": "inference.refit",
    "reliability": "mixed.reliability",
    "replicate": "registry.replicate",
    "robust": "mixed.sandwich",
    "rwg": "measurement",
    "sem": "structural.estimation",
    "simulate": "inference.simulate",
    "simulate_study": "registry.replicate",
    "small_sample": "mixed.adjust",
    "studies": "registry.catalogue",
    "survey_scale": "measurement",
    "test": "mixed.hypotheses",
    "validate": "data.schema",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'teamlink' has no attribute {name!r}")
    home = f"teamlink.{_HOME[name]}"
    if name == "datasets":
        value: Any = importlib.import_module(f"{home}.datasets")
    else:
        value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
