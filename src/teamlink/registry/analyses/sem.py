"""Structural equations, on one level or two: a claim is a parameter or a defined quantity."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from teamlink.errors import Fault, FitError, FormulaError, NotConverged, StudyError, nearest
from teamlink.registry.analysis import numbers
from teamlink.registry.prepared import Layout, Prepared
from teamlink.registry.study import Claim
from teamlink.structural.estimation import sem
from teamlink.structural.parameters import variable_names
from teamlink.syntax.equations import Equations, read_equations
from teamlink.syntax.statements import Block, Definition, Relation
from teamlink.typing import Array

__all__ = ["ANALYSIS", "StructuralAnalysis"]

LEVELS = {"within": 1, "between": 2, "1": 1, "2": 2}


@dataclass(frozen=True, slots=True)
class StructuralAnalysis:
    """Structural equations by maximum likelihood; tests and intervals by z.

    A claim's `term` is a label, a name defined by ":=", or a parameter such as
    "math ~ collaboration", with "@ within" or "@ between" behind it where the model has levels.

    Attributes
    ----------
    equations : the model in lavaan's language
    table : the file whose rows are the observations
    cluster : column of clusters, for two levels or robust standard errors
    missing, estimator, std_lv : see `teamlink.sem`
    """

    equations: str
    table: str = "schools"
    cluster: str = ""
    missing: Literal["listwise", "fiml"] = "listwise"
    estimator: Literal["ml", "mlr", "mlm"] = "ml"
    std_lv: bool = False

    @property
    def text(self) -> str:
        """The equations."""
        return self.equations.strip()

    def faults(self, layout: Layout | None) -> Sequence[Fault]:
        """List what is wrong with the equations: their language, their columns."""
        try:
            read = read_equations(self.equations)
        except FormulaError as error:
            return [Fault(str(error), "model equations")]
        if layout is None:
            return []
        names = [*variable_names(read), *([self.cluster] if self.cluster else [])]
        return layout.column_faults(self.table, names, "model equations", joined=True)

    def term_faults(self, claim: Claim, layout: Layout | None) -> Sequence[Fault]:  # noqa: ARG002
        """List a term that the equations do not have."""
        try:
            names = _parameters(read_equations(self.equations))
        except FormulaError:
            return []
        if _spelled(claim.term) in names:
            return []
        return [Fault(f"no term {claim.term!r}", f"claim {claim.id}", nearest(claim.term, names))]

    def estimate(self, claims: Sequence[Claim], scenarios: Sequence[Prepared]) -> Array:
        """Give (S, C, 7): for each scenario and claim the numbers named in `FIELDS`."""
        read = read_equations(self.equations)
        names = [*variable_names(read), *([self.cluster] if self.cluster else [])]
        return np.stack([self._one(read, claims, s, names) for s in scenarios])

    def _one(
        self, read: Equations, claims: Sequence[Claim], scenario: Prepared, names: list[str]
    ) -> Array:
        with warnings.catch_warnings():
            # a fit that did not converge is a failed replicate, by the record below
            warnings.simplefilter("ignore", NotConverged)
            fit = sem(
                read,
                scenario.frame(self.table, names),
                cluster=self.cluster or None,
                missing=self.missing,
                estimator=self.estimator,
                std_lv=self.std_lv,
            )
        if not fit.converged:
            raise FitError("the structural model did not converge")
        rows = [_row(fit.parameters, claim.term) for claim in claims]
        estimate, se = (np.array([row[k] for row in rows], dtype=float) for k in ("est", "se"))
        return numbers(estimate, se)


def _spelled(term: str) -> str:
    """A term with single spaces and levels by number."""
    text, mark, level = (part.strip() for part in term.partition("@"))
    text = " ".join(text.split())
    return f"{text} @ {LEVELS.get(level, level)}" if mark else text


def _parameters(read: Equations) -> dict[str, None]:
    """Everything that a term may name."""
    names: dict[str, None] = {}
    level = ""
    for s in read.statements:
        if isinstance(s, Block) and s.kind == "level":
            level = str(LEVELS.get(s.value, s.value))
        elif isinstance(s, Definition):
            names[s.name] = None
        elif isinstance(s, Relation):
            for left in s.left:
                for term in s.terms:
                    plain = f"{left} {s.operator} {term.variable or 1}"
                    names[f"{plain} @ {level}" if level else plain] = None
                    for modifier in term.modifiers:
                        if modifier.kind == "label":
                            names |= {str(v): None for v in modifier.values if v is not None}
    return names


def _row(table: pd.DataFrame, term: str) -> pd.Series[float]:
    """The row of a parameter table that a term names."""
    text, mark, level = _spelled(term).partition(" @ ")
    named = (table["label"] == text) | ((table["op"] == ":=") & (table["lhs"] == text))
    found = table[named]
    parts = text.split(" ")
    if found.empty and len(parts) == 3:
        rhs = "" if parts[2] == "1" else parts[2]
        found = table[
            (table["lhs"] == parts[0]) & (table["op"] == parts[1]) & (table["rhs"] == rhs)
        ]
        found = found[found["level"] == int(level)] if mark else found
    if found.empty:
        raise StudyError(f"the model has no parameter {term!r}")
    row: pd.Series[float] = found.iloc[0]
    return row


ANALYSIS = StructuralAnalysis
