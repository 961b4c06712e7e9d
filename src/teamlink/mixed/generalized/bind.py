"""A generalized design bound to its rows, sorted by the groups of its largest factor."""

from __future__ import annotations

import numpy as np

from teamlink.mixed.covariance import RandomBasis, RandomStructure, random_basis
from teamlink.mixed.factor import Factor
from teamlink.mixed.generalized.families import Family, Observed
from teamlink.mixed.generalized.fixed import fixed_columns
from teamlink.mixed.generalized.integrand import Grouped, Rule
from teamlink.mixed.generalized.joint import joined
from teamlink.mixed.generalized.model import GeneralizedMixed
from teamlink.mixed.generalized.observed import GeneralizedDesign
from teamlink.mixed.generalized.ordinal import Cumulative
from teamlink.typing import Codes

__all__ = ["bind_generalized"]


def bind_generalized(
    design: GeneralizedDesign, family: Family, quadrature: Rule | None, se: str
) -> GeneralizedMixed:
    """Bind a design to its sorted rows.

    Parameters
    ----------
    design : GeneralizedDesign
    family, quadrature, se : as in `GeneralizedMixed`
    """
    order = np.argsort(design.factors[0].only_codes, kind="stable")
    structures = tuple(RandomStructure.of_factors([f.blocks]) for f in design.factors)
    bases = tuple(random_basis([f], s) for f, s in zip(design.factors, structures, strict=True))
    grouped = tuple(
        _grouped(f, basis, order) for f, basis in zip(design.factors, bases, strict=True)
    )
    rows = grouped[0] if len(grouped) == 1 else joined(grouped[0], grouped[1:])
    ordinal = isinstance(family, Cumulative)
    X = design.X
    if ordinal and design.x_intercept >= 0:
        # The thresholds stand for the constant: a column of zeros is left out as redundant.
        X = X.copy()
        X[:, design.x_intercept] = 0.0
    fixed, Q = fixed_columns(X, ordinal)
    weights = None if design.weights is None else design.weights[order]
    observed = Observed(design.y[order][None], design.trials[order], weights)
    return GeneralizedMixed(
        design, family, structures, bases, fixed, order, Q[order], design.offset[order], observed,
        rows, quadrature, family.constant(observed), se,
    )  # fmt: skip


def _grouped(factor: Factor, basis: RandomBasis, order: Codes) -> Grouped:
    codes = factor.only_codes[order]
    Z = np.ascontiguousarray(basis.columns(factor.Z)[order].T)
    # The first factor's rows are sorted; for the others only the number of groups is read.
    starts = np.searchsorted(np.sort(codes), np.arange(factor.n_groups))
    constant = factor.q == 1 and bool((Z == 1).all())
    return Grouped(None if constant else Z, codes, starts, factor.q)
