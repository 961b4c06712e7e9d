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
    "ar1": "mixed.residual",
    "average_deviation": "measurement",
    "baseline": "trials.equivalence",
    "bootstrap": "inference.bootstrap",
    "car1": "mixed.residual",
    "center": "data.center",
    "cluster_trial": "trials.experiment",
    "collinearity": "mixed.collinearity",
    "compare": "inference.compare",
    "compound_symmetry": "mixed.residual",
    "cumulative_membership": "mixed.membership",
    "datasets": "data.datasets",
    "design_effect": "mixed.design_effect",
    "diagnose": "mixed.diagnostics",
    "did": "trials.difference",
    "effect_sizes": "synthesis.effect_sizes",
    "effects": "mixed.marginal",
    "effects_table": "report.estimates",
    "event_study": "trials.event",
    "glmm": "mixed.generalized.fit",
    "group_residuals": "mixed.group_residuals",
    "growth_curve": "growth.curve",
    "icc": "mixed.reliability",
    "icc1": "measurement",
    "icc2": "measurement",
    "invariance": "measurement",
    "johnson_neyman": "mixed.regions",
    "lmm": "mixed.linear",
    "load": "data.load",
    "mediate": "mediation.analysis",
    "membership": "mixed.membership",
    "meta": "synthesis.meta",
    "networks": "networks",
    "omega": "measurement",
    "path_diagram": "report.path_diagram",
    "match": "trials.matching",
    "power": "registry.power",
    "profile": "inference.profile",
    "r2": "mixed.explained",
    "refit": "inference.refit",
    "reliability": "mixed.reliability",
    "replicate": "registry.replicate",
    "returns_to_experience": "value_added.experience",
    "robust": "mixed.sandwich",
    "rwg": "measurement",
    "sem": "structural.estimation",
    "simple_slopes": "mixed.marginal",
    "simulate": "inference.simulate",
    "simulate_study": "registry.replicate",
    "small_sample": "mixed.adjust",
    "standardized_effects": "mixed.standardized",
    "studies": "registry.catalogue",
    "survey_scale": "measurement",
    "table": "report.tables",
    "test": "mixed.hypotheses",
    "toeplitz": "mixed.residual",
    "unstructured": "mixed.residual",
    "validate": "data.schema",
    "vam": "value_added.estimation",
    "variance_by": "mixed.residual",
    "variance_explained": "mixed.explained",
    "variance_tests": "mixed.group_residuals",
}

_NAMESPACES = {"datasets", "networks"}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'teamlink' has no attribute {name!r}")
    value: Any = importlib.import_module(f"teamlink.{_HOME[name]}")
    if name not in _NAMESPACES:
        value = getattr(value, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
