"""Derivatives against central differences in every combination of features.

Levels, random slopes, missing values, groups, constraints, exogenous variables fixed or not, and
means. `test_derivatives` has the shapes of models at one level.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest

from teamlink.structural.binding import exogenous_complete
from teamlink.structural.conventions import Conventions
from teamlink.structural.estimation import Options, bind
from teamlink.structural.model import StructuralModel
from teamlink.structural.observations import observe
from teamlink.structural.parameters import parameter_table, variable_names
from teamlink.syntax.equations import read_equations
from teamlink.typing import Array

from .test_nested import schools, slope_and_bend

LOADINGS = {
    "free": "y1 + y2 + y3",
    "equal": "y1 + a*y2 + a*y3",
    "linear": "y1 + a*y2 + b*y3",
    "bounded": "y1 + a*y2 + b*y3",
}
CONSTRAINTS = {"linear": "\na == 2*b - 0.3", "bounded": "\na > -2\nb > -1\nb < 4"}


def text(levels: str, constraint: str) -> str:
    """A factor at each level, its loadings constrained, and what it is regressed on."""
    loadings = LOADINGS[constraint]
    below = f"f =~ {loadings}\nf ~ " + {"one": "x + w", "two": "x", "slopes": 'rv("s")*x'}[levels]
    more = CONSTRAINTS.get(constraint, "")
    if levels == "one":
        return below + more
    above = f"f =~ {loadings}\nf ~ w" + ("\ns ~ w" if levels == "slopes" else "")
    return f"level: 1\n{below}\nlevel: 2\n{above}{more}"


@cache
def table(missing: bool) -> pd.DataFrame:
    return schools(11, J=30, missing=0.15 if missing else 0.0, sizes=(3, 6))


def bound(
    levels: str, missing: bool, groups: bool, constraint: str, fixed_x: bool, means: bool
) -> StructuralModel:
    """The model as `sem` binds it, not fitted."""
    options = Options(
        None if levels == "one" else "school", "half" if groups else None,
        "fiml" if missing else "listwise", levels != "one", "ml", "observed",
    )  # fmt: skip
    equations = read_equations(text(levels, constraint))
    conventions = Conventions(meanstructure=means, fixed_x=fixed_x)
    seen = observe(
        table(missing), variable_names(equations), options.group, options.cluster, not missing
    )
    rows = parameter_table(equations, conventions, seen.groups)
    return bind(rows, exogenous_complete(rows, seen) if missing else seen, options)


def near_the_start(model: StructuralModel) -> Array:
    """A point (k,) at which the likelihood exists, some way from the first one."""
    rng = np.random.default_rng(5)
    start = model.starts()[0, 0]
    while True:
        theta = start + 0.1 * np.maximum(np.abs(start), 0.2) * rng.standard_normal(len(start))
        if np.isfinite(model.deviance(theta[None]).value[0]):
            return np.asarray(theta)


# Complete rows of one level need no means; all else has them.
COMBINATIONS = [
    case
    for case in product(
        ("one", "two", "slopes"), (False, True), (False, True), LOADINGS, (True, False),
        (True, False),
    )
    if case[-1] or (case[0] == "one" and not case[1])
]  # fmt: skip


def name(case: tuple[str, bool, bool, str, bool, bool]) -> str:
    levels, missing, groups, constraint, fixed_x, means = case
    said = (
        levels, "missing" * missing, "groups" * groups, constraint, "random_x" * (not fixed_x),
        "no_means" * (not means),
    )  # fmt: skip
    return "-".join(word for word in said if word)


def everyday(case: tuple[str, bool, bool, str, bool, bool]) -> bool:
    """Each two features together at least once, constraints in turn; the whole product is slow."""
    levels, missing, groups, constraint, fixed_x, _ = case
    level = ("one", "two", "slopes").index(levels)
    turn = (2 * missing + groups + level) % len(LOADINGS)
    return list(LOADINGS).index(constraint) == turn and fixed_x == (missing + groups + level) % 2


CASES = [
    pytest.param(case, id=name(case), marks=() if everyday(case) else pytest.mark.slow)
    for case in COMBINATIONS
]


@pytest.mark.parametrize("case", CASES)
def test_gradient_and_hessian(case: tuple[str, bool, bool, str, bool, bool]) -> None:
    """Of their own size: steps of 1e-4 of order four leave 1e-10 of truncation and rounding."""
    model = bound(*case)
    theta = near_the_start(model)

    def at(points: Array):
        return model.deviance(points, np.zeros(len(points), dtype=np.intp))

    here = at(theta[None])
    slope, bend = slope_and_bend(at, theta)
    size = 1 + np.abs(here.gradient).max()
    assert np.abs(here.gradient[0] - slope).max() <= 1e-7 * size
    assert np.abs(here.hessian[0] - bend).max() <= 1e-7 * np.abs(bend).max()
