"""Bind a design to its cross-products.

The products are formed in the working basis (`teamlink.moments.standardize`, `RandomBasis`), in
whatever number of passes the digits ask for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from teamlink.errors import DesignError, FitError
from teamlink.mixed.covariance import RandomBasis, RandomStructure, random_basis
from teamlink.mixed.criterion import criterion, fixed_part
from teamlink.mixed.design import MixedDesign
from teamlink.mixed.model import LinearMixed
from teamlink.mixed.starts import even_factor
from teamlink.moments.crossproducts import CrossProducts, GroupRoots, group_roots
from teamlink.moments.memory import accumulate, accumulate_upper, recompute_within
from teamlink.moments.standardize import (
    FixedBasis,
    ResponseBasis,
    centred_columns,
    centred_responses,
    fitted_responses,
    orthonormal_columns,
)
from teamlink.moments.upper import Effects, upper
from teamlink.typing import Array, Codes

__all__ = ["bind", "roots_of_rows"]

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
    DesignError, FitError
        The fixed effects alone, or they and the groups, reproduce the response.
    """
    structure = RandomStructure.of_factors(
        [factor.blocks for factor in design.factors],
        [factor.compound for factor in design.factors],
    )
    Y = design.y[:, None] if Y is None else Y
    centred = centred_columns(design.X, design.x_intercept) if basis is None else basis[0]
    random = random_basis(design.factors, structure) if basis is None else basis[1]
    chosen = _eliminated(design)
    Z, codes, J = _columns(design, random, chosen)
    root = design.root_weights

    def sums(fixed: FixedBasis, response: ResponseBasis) -> CrossProducts:
        return accumulate(design.X, Y, Z, codes, J, fixed, response, root)

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
        wide = np.repeat(1e3 * _even_alone(roots)[None], roots.responses, axis=0)
        response = response.moved(fixed_part(criterion(roots, wide, reml))[0])
        roots = reduced(sums(fixed, response))
    _check_residual(design, roots)
    if len(design.factors) > 1 or (design.factors and chosen < 0):
        each = [_weighted(random.columns(f.Z, i), design) for i, f in enumerate(design.factors)]
        rows = _Rows(design.X, Y, tuple(each), fixed, response, root)
        roots = _with_upper(roots, design, structure, chosen, rows)
        _check_upper_residual(design, roots, structure, reml)
    return LinearMixed(design, structure, roots, fixed, response, random, reml, df_method)


def _eliminated(design: MixedDesign) -> int:
    """The factor to eliminate: that with the most groups; -1 where rows belong to several of all.

    What remains is dense within components, so as much as can be goes first.
    """
    sizes = [
        factor.n_groups * factor.q if factor.membership is None else 0 for factor in design.factors
    ]
    return int(np.argmax(sizes)) if max(sizes, default=0) else -1


def _columns(design: MixedDesign, random: RandomBasis, chosen: int) -> tuple[Array, Codes, int]:
    """Working columns (n, q) of the eliminated factor, its codes (n,) and number of groups."""
    if chosen < 0:
        return np.zeros((design.n, 0)), np.zeros(design.n, dtype=np.intp), 0
    factor = design.factors[chosen]
    Z = _weighted(random.columns(factor.Z, chosen), design)
    return Z, factor.only_codes, factor.n_groups


def _weighted(Z: Array, design: MixedDesign) -> Array:
    """Rows of Z (n, q) times the roots of their precision weights."""
    root = design.root_weights
    return Z if root is None else root[:, None] * Z


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows that statistics are formed of; see `accumulate`.

    Attributes
    ----------
    X, Y, fixed, response, root : as for `accumulate`
    Z : working columns of each factor, multiplied by the root
    """

    X: Array
    Y: Array
    Z: tuple[Array, ...]
    fixed: FixedBasis
    response: ResponseBasis
    root: Array | None


def roots_of_rows(design: MixedDesign, structure: RandomStructure, columns: Array) -> GroupRoots:
    """Sufficient statistics of other rows of the same design, in its working basis already.

    Parameters
    ----------
    design : MixedDesign with grouping factors
    structure : of its random effects
    columns : (n, Q + p + 1) rows of [Z X y], the columns of all factors one after the other
    """
    Q = structure.q
    X, Y = columns[:, Q:-1], columns[:, -1:]
    p = X.shape[1]
    fixed = FixedBasis(np.arange(p), np.zeros(p), None, np.eye(p), 0.0, -1)
    response = ResponseBasis(np.zeros(1), np.ones(1), np.zeros((1, p)))
    Z = tuple(np.ascontiguousarray(columns[:, place]) for place in structure.factors)
    rows = _Rows(X, Y, Z, fixed, response, None)
    chosen = _eliminated(design)
    if chosen < 0:
        first, codes, J = np.zeros((design.n, 0)), np.zeros(design.n, dtype=np.intp), 0
    else:
        factor = design.factors[chosen]
        first, codes, J = Z[chosen], factor.only_codes, factor.n_groups
    products = accumulate(X, Y, first, codes, J, fixed, response)
    roots = group_roots(products)
    if (roots.Wyy < _LITTLE * products.yty).any():
        roots = recompute_within(roots, X, Y, first, codes, fixed, response)
    if len(design.factors) == 1 and chosen == 0:
        return roots
    return _with_upper(roots, design, structure, chosen, rows)


def _with_upper(
    roots: GroupRoots, design: MixedDesign, structure: RandomStructure, chosen: int, rows: _Rows
) -> GroupRoots:
    """The roots with the statistics of the factors that are not eliminated."""
    everyone = [
        Effects(place, factor.by_effect(Z), factor.n_groups)
        for place, factor, Z in zip(structure.factors, design.factors, rows.Z, strict=True)
    ]
    others = [each for f, each in enumerate(everyone) if f != chosen]
    first = everyone[chosen].columns if chosen >= 0 else csr_array((design.n, 0))
    bottom = structure.factors[chosen] if chosen >= 0 else slice(0, 0)
    found = accumulate_upper(rows.X, rows.Y, others, first, rows.fixed, rows.response, rows.root)
    CU = np.concatenate([roots.CX, roots.Cy])
    return replace(roots, upper=upper(bottom, roots.S, CU, others, found, rows.fixed.kept.size))


def _even_alone(roots: GroupRoots) -> Array:
    """An even factor (q, q) of the eliminated factor alone."""
    size = np.square(roots.S).sum(axis=(1, 2)) / max(roots.S.shape[2], 1)
    return np.diag(1 / np.sqrt(np.maximum(size, 1e-12)))


def _check_upper_residual(
    design: MixedDesign, roots: GroupRoots, structure: RandomStructure, reml: bool
) -> None:
    """Raise where X and all factors together leave nothing of a response.

    As the variances grow the residual sum of squares falls to what X and Z leave over; where that
    is nothing, it falls as the inverse of the variances.
    """
    columns = sum(factor.n_groups * factor.q for factor in design.factors)
    if columns + roots.CX.shape[0] >= design.n:
        return
    wide = np.repeat(1e8 * even_factor(roots, structure)[None], roots.responses, axis=0)
    rest = criterion(roots, wide, reml).r2
    # An exact fit leaves 1e-16 of the sum of squares; a far mean that groups take up leaves 1e-12.
    _refuse_exact(design, np.flatnonzero(rest < 1e-14 * roots.n), roots.responses)


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
    _refuse_exact(design, exact, roots.responses)


def _refuse_exact(design: MixedDesign, exact: Codes, responses: int) -> None:
    if exact.size:
        which = "" if responses == 1 else f" (replicates {exact[:5].tolist()})"
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
