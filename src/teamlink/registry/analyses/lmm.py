"""Linear mixed models: a claim is a coefficient, or a sum or difference of coefficients.

Scenarios that differ in the outcome alone share their design and are fitted on it together, by the
same estimation as a single fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from teamlink.errors import Fault, FitError, FormulaError, StudyError, nearest
from teamlink.fitting.estimates import Estimates
from teamlink.fitting.fit import solve
from teamlink.mixed.bind import bind
from teamlink.mixed.design import design
from teamlink.registry.analysis import FIELDS, numbers
from teamlink.registry.prepared import Layout, Prepared
from teamlink.registry.study import Claim
from teamlink.report.comparison import unordered
from teamlink.syntax.formula import parse
from teamlink.typing import Array, Mask

__all__ = ["ANALYSIS", "FORMULA_FUNCTIONS", "MixedAnalysis", "coefficient", "formula_faults"]

FORMULA_FUNCTIONS = frozenset({"between", "center", "exp", "log", "scale", "sqrt", "within"})
"""The only functions that a formula in a study file may call."""


@dataclass(frozen=True, slots=True)
class MixedAnalysis:
    """A linear mixed model by restricted maximum likelihood, Satterthwaite's degrees of freedom.

    Attributes
    ----------
    outcome : the response
    formula : the model, such as "math ~ collaboration + (1 | school)"
    table : the file whose rows are the observations
    """

    outcome: str
    formula: str
    table: str = "students"

    @property
    def text(self) -> str:
        """The formula."""
        return self.formula

    def faults(self, layout: Layout | None) -> Sequence[Fault]:
        """List what is wrong with the formula."""
        return formula_faults(self.formula, self.outcome, self.table, layout)

    def term_faults(self, claim: Claim, layout: Layout | None) -> Sequence[Fault]:
        """List parts of a term ("cses:sector[T.Catholic]" has two) that the formula has not."""
        return formula_term_faults(self.formula, self.outcome, claim)

    def estimate(self, claims: Sequence[Claim], scenarios: Sequence[Prepared]) -> Array:
        """Give (S, C, 7): for each scenario and claim the numbers named in `FIELDS`."""
        return self.estimate_together([(self, claims)], scenarios)[0]

    @property
    def design(self) -> tuple[str, str]:
        """File and right-hand side: models that agree in it are fitted together."""
        try:
            return self.table, str(parse(self.formula)).partition("~")[2].strip()
        except FormulaError:
            return self.table, self.formula

    @staticmethod
    def estimate_together(
        asked: Sequence[tuple[MixedAnalysis, Sequence[Claim]]], scenarios: Sequence[Prepared]
    ) -> list[Array]:
        """Give what `estimate` gives for several models with one `design`, on one design."""
        first = asked[0][0]
        outcomes = [model.outcome for model, _ in asked]
        names = [n for n in parse(first.formula).variables if n != first.outcome]
        right = [s.columns(first.table, names) for s in scenarios]
        left = [s.columns(first.table, outcomes) for s in scenarios]
        if len(asked) > 1 and not all(_same_rows(columns) for columns in left):
            return [model.estimate(claims, scenarios) for model, claims in asked]
        results = [np.full((len(scenarios), len(c), len(FIELDS)), np.nan) for _, c in asked]
        for group in _same_design(right, left):
            data = pd.DataFrame(right[group[0]] | left[group[0]], copy=False)
            used = data[[*names, first.outcome]].notna().all(axis=1).to_numpy()
            Y = np.column_stack([left[s][o][used] for o in outcomes for s in group])
            if not used.all():
                data = data[used]
            bound = bind(design(first.formula, data, None, None, None), True, "satterthwaite", Y)
            solution = solve(bound)
            estimates = bound.estimates(solution.theta)
            for k, ((_, claims), result) in enumerate(zip(asked, results, strict=True)):
                mine = slice(k * len(group), (k + 1) * len(group))
                for c, claim in enumerate(claims):
                    parts = claim.term.split(":")
                    unit = math.prod(scenarios[group[0]].unit(part) for part in parts)
                    found = read_off(estimates, solution.converged, claim.term, unit)
                    result[group, c, :] = found[mine]
        return results


def _same_rows(outcomes: dict[str, Any]) -> bool:
    """Whether outcomes are missing in the same rows."""
    patterns = [pd.isna(values) for values in outcomes.values()]
    return all(np.array_equal(pattern, patterns[0]) for pattern in patterns)


def _same_design(
    right: Sequence[dict[str, Any]], left: Sequence[dict[str, Any]]
) -> list[list[int]]:
    """Scenarios with equal right-hand columns and equally many outcomes missing, group by group."""
    groups: list[list[int]] = []
    for s, columns in enumerate(right):
        for group in groups:
            other = right[group[0]]
            same = all(_equal(columns[n], other[n]) for n in columns)
            missing = (pd.isna(left[s][o]) for o in left[s])
            theirs = (pd.isna(left[group[0]][o]) for o in left[s])
            if same and all(np.array_equal(a, b) for a, b in zip(missing, theirs, strict=True)):
                group.append(s)
                break
        else:
            groups.append([s])
    return groups


def _equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, np.ndarray) and one.dtype.kind == "f":
        return bool(np.array_equal(one, other, equal_nan=True))
    return bool(np.all(np.asarray(one) == np.asarray(other)))


def read_off(estimates: Estimates, converged: Mask, term: str, unit: float) -> Array:
    """Read one term off the estimates of R responses.

    Parameters
    ----------
    estimates : Estimates
    converged : (R,)
    term : str
        The coefficient; the parts of an interaction may come in either order.
    unit : float
        SD that the term's column was divided by.

    Returns
    -------
    Array
        (R, 7), the numbers named in `FIELDS`.
    """
    if not converged.all():
        raise FitError(f"the fit did not converge in {int((~converged).sum())} responses")
    at = estimates.names.index(coefficient(term, estimates.names))
    every = (estimates.values, estimates.std_error, estimates.df, estimates.p_value)
    estimate, se, df, p = (part[:, at] for part in every)
    return numbers(estimate, se, df, unit, p)


def coefficient(term: str, names: Sequence[str]) -> str:
    """Find a term among coefficient names, whatever the order of an interaction's parts.

    Examples
    --------
    >>> coefficient("cses:sector[T.Catholic]", ["Intercept", "sector[T.Catholic]:cses"])
    'sector[T.Catholic]:cses'
    """
    for name in names:
        if unordered(name) == unordered(term):
            return name
    raise StudyError(f"the model has no coefficient {term!r}; {nearest(term, names)}")


def formula_faults(formula: str, outcome: str, table: str, layout: Layout | None) -> list[Fault]:
    """List what is wrong with a formula: its language, its functions, its columns."""
    where = f"model {outcome}"
    try:
        read = parse(formula)
    except FormulaError as error:
        return [Fault(str(error), where)]
    allowed = ", ".join(sorted(FORMULA_FUNCTIONS))
    faults = [
        Fault(f"function {name!r} may not be called", where, f"only {allowed}")
        for name in read.functions
        if name not in FORMULA_FUNCTIONS
    ]
    if read.response != outcome:
        faults.append(Fault(f"the formula's outcome is {read.response!r}", where))
    if layout is not None:
        faults += layout.column_faults(table, read.variables, where, joined=True)
    return faults


def formula_term_faults(formula: str, outcome: str, claim: Claim) -> list[Fault]:
    """List parts of a claim's term that a formula does not name."""
    where = f"claim {claim.id}"
    faults = []
    if claim.outcome != outcome:
        remedy = nearest(claim.outcome, [outcome])
        faults.append(Fault(f"the model has no outcome {claim.outcome!r}", where, remedy))
    try:
        variables = parse(formula).variables
    except FormulaError:
        return faults
    for part in claim.term.split(":"):
        name = part.split("[")[0]
        if "(" not in name and name not in variables:
            faults.append(Fault(f"no term {claim.term!r}", where, nearest(name, variables)))
    return faults


ANALYSIS = MixedAnalysis
