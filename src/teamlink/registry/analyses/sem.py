"""Structural equations, on one level or two: a claim is a parameter or a defined quantity."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from teamlink.errors import Fault, FitError, FormulaError, NotConverged, StudyError, nearest
from teamlink.inference.refit import refit
from teamlink.registry.analysis import numbers
from teamlink.registry.prepared import Layout, Prepared
from teamlink.registry.study import Claim
from teamlink.structural.estimation import sem
from teamlink.structural.parameters import variable_names
from teamlink.structural.result import StructuralFit
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

    def term_faults(self, claim: Claim, layout: Layout | None) -> Sequence[Fault]:
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
        frames = [s.frame(self.table, names) for s in scenarios]
        first = self._fit(read, frames[0])
        places = [_place(first, claim.term) for claim in claims]
        alone = bool(self.cluster) or self.missing == "fiml" or self.estimator != "ml"
        again = None if alone else _refitted(first, frames[1:])
        if again is None:
            fits = [self._fit(read, frame) for frame in frames[1:]]
            again = np.array([[fit.params.to_numpy(), fit.bse.to_numpy()] for fit in fits])
        found = np.array([[first.params.to_numpy(), first.bse.to_numpy()], *again])
        return numbers(found[:, 0, places], found[:, 1, places])

    def _fit(self, read: Equations, frame: pd.DataFrame) -> StructuralFit:
        with warnings.catch_warnings():
            # a fit that did not converge is a failed replicate, by the record below
            warnings.simplefilter("ignore", NotConverged)
            fit = sem(
                read,
                frame,
                cluster=self.cluster or None,
                missing=self.missing,
                estimator=self.estimator,
                std_lv=self.std_lv,
            )
        if not fit.converged:
            raise FitError("the structural model did not converge")
        return fit


def _refitted(fit: StructuralFit, frames: Sequence[pd.DataFrame]) -> Array | None:
    """Estimates and standard errors (S, 2, q) of the same model in other files, fitted together.

    None where the files have other numbers of complete rows than the one fitted.
    """
    names = list(fit.model.observations.names)
    rows = [frame[names].to_numpy(dtype=float) for frame in frames]
    rows = [own[~np.isnan(own).any(axis=1)] for own in rows]
    if not rows or any(len(own) != fit.nobs for own in rows):
        return None
    table = refit(fit, np.column_stack([own.ravel() for own in rows]))
    if not table["converged"].all():
        raise FitError("the structural model did not converge")
    both = table[["estimate", "std_error"]].to_numpy().reshape(len(rows), -1, 2)
    answers: Array = both.transpose(0, 2, 1)
    return answers


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


def _place(fit: StructuralFit, term: str) -> int:
    """The place of a term among the parameters of a fit; the first where a label names several."""
    text, mark, level = _spelled(term).partition(" @ ")
    names = fit.params.index.tolist()
    if text in names:
        return names.index(text)
    parts = text.split(" ")
    for row, place in zip(fit.table.rows, fit.model.structure.row_parameter, strict=True):
        own = [row.lhs, row.op.removesuffix("1"), row.rhs or "1"]
        if place >= 0 and own == parts and (not mark or row.level == int(level)):
            return int(place)
    raise StudyError(f"the model has no free parameter {term!r}")


ANALYSIS = StructuralAnalysis
