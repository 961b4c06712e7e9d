"""How well a two-level model fits at each level, the other level being saturated.

The overall test hardly sees misfit between clusters, since most of the information lies within. So
each level is tested by itself: its model as it stands, and all means and covariances at the other
level. RMSEA counts what the level has many of: rows within clusters, clusters between them.

References
----------
Ryu, West (2009). Level-specific evaluation of model fit in multilevel structural equation modeling.
Structural Equation Modeling 16(4). doi:10.1080/10705510903203466
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Literal

import numpy as np
import pandas as pd

from teamlink.errors import OptionError
from teamlink.fitting.fit import solve
from teamlink.structural.fitmeasures import TestOfFit, fit_indices, level_srmr
from teamlink.structural.identification import degrees_of_freedom
from teamlink.structural.implied import Moments
from teamlink.structural.initial import first_points
from teamlink.structural.model import StructuralModel
from teamlink.structural.nested import NestedData
from teamlink.structural.parameters import Parameter, ParameterTable
from teamlink.structural.references import References
from teamlink.structural.structure import structure_of
from teamlink.syntax.arithmetic import symbols
from teamlink.syntax.statements import Constraint

__all__ = ["level_fit"]

Kind = Literal["saturated", "independent"]


def level_fit(model: StructuralModel, references: References) -> pd.DataFrame:
    """Indices of fit of each level, the other one saturated.

    Parameters
    ----------
    model : StructuralModel of two levels
    references : of that model

    Returns
    -------
    DataFrame
        Indexed by level, "within" and "between": ``chisq, df, pvalue, cfi, tli, rmsea,
        rmsea_ci_lower, rmsea_ci_upper, srmr, n``.
    """
    likelihood = model.likelihood
    if not isinstance(likelihood, NestedData):
        raise OptionError("the model has one level; its fit is in fit_measures")
    if model.structure.table.slopes:
        raise OptionError("with random slopes there is no saturated model, hence no test of fit")
    rows = float(model.observations.n_rows)
    sizes = np.array([float(len(values)) for values in model.observations.values])
    counts = np.array([float(group.n_clusters) for group in likelihood.groups])
    found = {}
    for level, name in ((1, "within"), (2, "between")):
        other = 3 - level
        partial = _with_levels(model, {other: "saturated"})
        chisq, said = _chisq(partial, references)
        apart = _with_levels(model, {other: "saturated", level: "independent"})
        baseline, _ = _chisq(apart, references)
        n = rows if level == 1 else float(counts.sum())
        test = TestOfFit(
            chisq, degrees_of_freedom(partial), baseline, degrees_of_freedom(apart), int(n),
            len(counts),
        )  # fmt: skip
        indices = fit_indices(test, None)
        names = (
            *("chisq", "df", "pvalue", "cfi", "tli"),
            *("rmsea", "rmsea_ci_lower", "rmsea_ci_upper"),
        )
        own = {key: indices[key] for key in names}
        k = level - 1
        weights = sizes if level == 1 else counts
        own["srmr"] = level_srmr(references.moments[k::2], said[k::2], weights)
        found[name] = own | {"n": n}
    return pd.DataFrame(found).T


def _chisq(model: StructuralModel, references: References) -> tuple[float, list[Moments]]:
    """The chi-square of a model against the saturated one, and its implied moments."""
    index = np.zeros(1, dtype=np.intp)
    theta = solve(model).theta if model.coordinates.k else np.zeros((1, 0))
    states = model.states(model.parameters(theta), index)
    deviance = float(model.deviance(theta).value[0])
    return deviance - references.saturated, [Moments(s.Sigma, s.mu) for s in states]


def _with_levels(model: StructuralModel, kinds: dict[int, Kind]) -> StructuralModel:
    """The model with some levels saturated, or without covariances."""
    table = model.structure.table
    rows: list[Parameter] = [row for row in table.rows if row.level not in kinds]
    for level, kind in kinds.items():
        for group in range(1, len(table.groups) + 1):
            rows += _plain_rows(table, group, level, kind)
    labels = {row.label for row in rows if row.label}
    kept = tuple(c for c in table.constraints if _labels(c) <= labels)
    latent = [() if b % 2 + 1 in kinds else own.latent for b, own in enumerate(table.roles)]
    plain = replace(table, rows=tuple(rows), definitions=(), constraints=kept)
    structure = structure_of(plain, [own.observed for own in table.roles], latent)
    started = replace(model, structure=structure, first=first_points(structure, model.sample))
    return started.started()


def _labels(constraint: Constraint) -> set[str]:
    """Names that a constraint speaks of."""
    return {symbol.name for side in (constraint.left, constraint.right) for symbol in symbols(side)}


def _plain_rows(table: ParameterTable, group: int, level: int, kind: Kind) -> Iterator[Parameter]:
    """Variances, covariances (but for independence) and means of a block."""
    b = (group - 1) * len(table.levels) + level - 1
    roles = table.roles[b]
    fixed = roles.exogenous if table.conventions.fixed_x else ()
    above = table.roles[b + 1].observed if level == 1 else ()
    nan, inf = float("nan"), float("inf")

    def row(lhs: str, op: str, rhs: str, exogenous: bool, free: bool) -> Parameter:
        value = nan if free or exogenous else 0.0
        return Parameter(
            lhs, op, rhs, group, level, False, free and not exogenous, value, nan, "", -inf, inf,
            exogenous,
        )  # fmt: skip

    for left, right in combinations_with_replacement(roles.observed, 2):
        given = left in fixed and right in fixed
        if kind == "saturated" or left == right or given:
            yield row(left, "~~", right, given, True)
    for name in roles.observed:
        # The mean of a variable at both levels stands in the second.
        below = name in above
        yield row(name, "~1", "", name in fixed and not below, not below)
