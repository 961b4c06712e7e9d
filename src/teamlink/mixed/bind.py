"""Bind a design to its cross-products.

The products are formed in the working basis (`teamlink.moments.standardize`, `RandomBasis`), in
whatever number of passes the digits ask for.
"""

from __future__ import annotations

import numpy as np

from teamlink.errors import DesignError, FitError, FormulaError
from teamlink.mixed.covariance import RandomBasis, RandomStructure, random_basis
from teamlink.mixed.criterion import criterion, fixed_part
from teamlink.mixed.design import MixedDesign
from teamlink.mixed.factor import Factor, nobody
from teamlink.mixed.model import LinearMixed
from teamlink.mixed.starts import even_factor
from teamlink.moments.crossproducts import CrossProducts, GroupRoots, group_roots
from teamlink.moments.memory import accumulate, recompute_within
from teamlink.moments.standardize import (
    FixedBasis,
    ResponseBasis,
    centred_columns,
    centred_responses,
    fitted_responses,
    orthonormal_columns,
)
from teamlink.typing import Array

__all__ = ["bind"]

_LITTLE = 1e-4
"""Where a sum of squares is a smaller share of what it is a difference of, digits get lost."""


def bind(
    design: MixedDesign,
    reml: bool,
    df_method: str,
    Y: Array | None = None,
    basis: tuple[FixedBasis, RandomBasis] | None = None,
) -> LinearMixed:
    """Bind a design to its cross-products.

    Parameters
    ----------
    design : MixedDesign
    reml, df_method : as in `LinearMixed`
    Y : (n, R) responses; the design's own when None
    basis : the working basis of the design, where it is known already

    Raises
    ------
    FormulaError
        The engine does not fit this kind of model yet.
    DesignError, FitError
        The fixed effects alone, or they and the groups, reproduce the response.
    """
    factor = _fitted_so_far(design)
    structure = RandomStructure.of_factors([factor.blocks for factor in design.factors])
    Y = design.y[:, None] if Y is None else Y
    centred = centred_columns(design.X, design.x_intercept) if basis is None else basis[0]
    random = random_basis(design.factors, structure) if basis is None else basis[1]
    Z = random.columns(factor.Z) if design.factors else factor.Z
    codes, root = factor.only_codes, design.root_weights
    if root is not None:
        Z = root[:, None] * Z

    def sums(fixed: FixedBasis, response: ResponseBasis) -> CrossProducts:
        return accumulate(design.X, Y, Z, codes, factor.n_groups, fixed, response, root)

    def reduced(products: CrossProducts) -> GroupRoots:
        roots = group_roots(products)
        if (roots.Wyy < _LITTLE * products.yty).any():
            return recompute_within(roots, design.X, Y, Z, codes, fixed, response, root)
        return roots

    plain = centred_responses(Y, centred)
    products = sums(centred, plain)
    fixed = centred
    if basis is None:
        fixed, sound = orthonormal_columns(design.X, centred, products.XtX)
        if sound and fixed.rotation is not None:
            products = products.rotated(fixed.kept, fixed.rotation)
        else:
            plain = centred_responses(Y, fixed)
            products = sums(fixed, plain)
        _check_rows(design, fixed)
    response, share = fitted_responses(products, plain, design.n)
    if (share > _LITTLE).all():
        products = products.residuals(response.offset, response.scale)
    else:
        products = sums(fixed, response)
    roots = reduced(products)
    if (_within_residual(roots)[0] < _LITTLE * roots.Wyy).any():
        # Least squares is far off within groups (no intercept, a far mean): take that fit instead.
        wide = np.repeat(1e3 * even_factor(roots)[None], roots.responses, axis=0)
        response = response.moved(fixed_part(criterion(roots, wide, reml))[0])
        roots = reduced(sums(fixed, response))
    _check_residual(design, roots)
    return LinearMixed(design, structure, roots, fixed, response, random, reml, df_method)


def _fitted_so_far(design: MixedDesign) -> Factor:
    """The one grouping factor; an error that points at the term where there is more.

    Where there is none all rows are one group without random effects.
    """
    formula = design.formula
    if not design.factors:
        return nobody(design.n)
    first = set(formula.random[0].group)
    for term in formula.random[1:]:
        if set(term.group) != first:
            raise FormulaError(
                f"not fitted yet: {term} brings in a second grouping factor; this version "
                f"fits models with one ({':'.join(formula.random[0].group)})",
                formula.text,
                term.start,
                term.end,
            )
    if design.factors[0].membership is not None:
        term = formula.random[0]
        raise FormulaError(
            f"not fitted yet: rows belong to several groups of {design.factors[0].name!r}",
            formula.text,
            term.start,
            term.end,
        )
    return design.factors[0]


def _check_rows(design: MixedDesign, fixed: FixedBasis) -> None:
    """Raise where the fixed effects alone can reproduce any response."""
    if fixed.kept.size >= design.n:
        raise DesignError(
            f"{fixed.kept.size} independent fixed effects, but only {design.n} rows; drop terms"
        )


def _check_residual(design: MixedDesign, roots: GroupRoots) -> None:
    """Raise where X and Z together leave nothing of a response; its likelihood has no maximum."""
    rest, freedom = _within_residual(roots)
    # In the working basis the sum of squares is n; rounding leaves 1e-30 of it. Where X and Z span
    # all rows nothing is left either, but that says nothing about the response.
    exact = np.flatnonzero((rest < 1e-22 * roots.n) & (freedom > 0))
    if exact.size:
        which = "" if roots.responses == 1 else f" (replicates {exact[:5].tolist()})"
        raise FitError(
            f"the fixed effects and the groups reproduce {design.formula.response!r} exactly"
            f"{which}: there is no residual variance to estimate (is the response a function of a "
            "predictor, or constant within groups?)"
        )


def _within_residual(roots: GroupRoots) -> tuple[Array, int]:
    """Residual sum of squares (R,) of each response on X and all of Z, and its degrees of freedom.

    It is what the model leaves unexplained as Sigma grows large.
    """
    explained, _, rank, _ = np.linalg.lstsq(roots.WXX, roots.WXy.T, rcond=1e-10)
    rest: Array = roots.Wyy - np.einsum("rp,pr->r", roots.WXy, explained)
    return rest, roots.n - roots.rank - int(rank)
