"""Residuals, leverage and influence of rows and groups: the noun `Diagnostics`, verb `diagnose`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from teamlink.errors import check_option
from teamlink.fitting.fit import single_thread
from teamlink.mixed.deletion import (
    Deletion,
    Whitened,
    groups_stand_alone,
    of_independent_groups,
    of_rows,
    of_sets,
    rows_of_groups,
    whitened,
)
from teamlink.mixed.deletion_refit import deleted_variances
from teamlink.mixed.distances import chi_square_order, mahalanobis, spread_of_estimates
from teamlink.mixed.precision import Precision
from teamlink.mixed.result import MixedFit
from teamlink.typing import Array

__all__ = ["Diagnostics", "diagnose"]

_DENSE = 3000
"""Connected rows up to which a Cholesky root of their covariance is taken."""


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Residuals, leverage and influence; made by `teamlink.diagnose`.

    Attributes
    ----------
    rows : DataFrame
        (n, ...) indexed as the table: ``fitted, resid, studentized, deletion_resid,
        marginal_fitted, marginal_resid, marginal_studentized, cholesky, leverage, leverage_fixed,
        leverage_random, cooks_d, mdffits, covratio, covtrace``.
    groups : dict of DataFrame
        For each grouping factor, (J, ...) indexed by group: ``n, cooks_d, mdffits, covratio,
        covtrace, leverage_fixed, leverage_random, mahalanobis, df, chi_square``, and for each
        random effect ``<term>_standardized``.
    shifts : dict of DataFrame
        For each grouping factor, (J, p): fixed effects of all rows less those without the group.
    variances : DataFrame or None
        (J, ...) with ``variances=True``: every variance component refitted without each group.

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ cses + (cses | school)", tl.datasets.load("hsb82"))
    >>> tl.diagnose(fit).groups["school"]["cooks_d"].nlargest(2).round(3).to_dict()
    {2277: 0.038, 3716: 0.028}
    """

    rows: pd.DataFrame
    groups: Mapping[str, pd.DataFrame]
    shifts: Mapping[str, pd.DataFrame]
    variances: pd.DataFrame | None


def diagnose(fit: MixedFit, variances: bool = False) -> Diagnostics:
    r"""Compute residuals, leverage and influence of every row and every group.

    Parameters
    ----------
    fit : MixedFit
    variances : bool
        Also refit the model without each group (one grouping factor), for the influence on the
        variance components. There is no formula for these that is exact enough.

    Returns
    -------
    Diagnostics
        ``.rows``, ``.groups``, ``.shifts``, ``.variances``.

    Raises
    ------
    OptionError
        `variances` is asked for a model with several grouping factors or multiple membership.
    FitError
        The random effects leave next to no residual variance.

    Notes
    -----
    With V the covariance in units of sigma^2, ``P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1``, e the
    marginal residuals ``y - X beta``:

    - ``resid`` is ``y - X beta - Z b = P y``, with variance ``sigma^2 P_ii``; ``studentized``
      divides by its root. ``deletion_resid`` is the response less its prediction, random effects
      included, from all other rows, ``resid / P_ii`` (variances held).
    - ``marginal_studentized`` divides e_i by the root of ``sigma^2 (V - X (X'V^-1 X)^-1 X')_ii``.
      ``cholesky`` is ``L^-1 e / sigma`` with ``V = L L'``, rows in the order of the table: under
      the model nearly uncorrelated with variance one. It is missing where more than 3,000 rows
      hang together through shared groups.
    - ``leverage_fixed`` is the diagonal of ``X (X'V^-1 X)^-1 X'V^-1``, ``leverage_random`` that of
      ``Z Sigma Z'P`` [1]_; their sum ``leverage = 1 - P_ii`` is how much a fitted value follows
      its own response. Groups have the mean of their rows.
    - Deleting a row or a group I, variances held, moves the fixed effects exactly by
      ``(X'V^-1 X)^-1 X'V^-1 E_I (P_II)^-1 (P y)_I``; nothing is refitted. With C the covariance of
      the fixed effects, and C_(I) without I: ``cooks_d`` is ``shift'C^-1 shift / p``, ``mdffits``
      ``shift'C_(I)^-1 shift / p``, ``covratio`` ``|C_(I)| / |C|``, ``covtrace``
      ``tr(C^-1 C_(I)) - p``.
    - ``mahalanobis`` is the squared distance of a group's random effects from zero, by the variance
      of the estimates; ``chi_square`` the quantile with ``df`` expected at its rank.

    Where a group alone determines a coefficient, it cannot be deleted: its influence is NaN and
    ``estimable`` is False.

    In R: ``HLMdiag::hlm_influence(fit, level = "school")``, ``HLMdiag::leverage(fit)``.

    References
    ----------
    .. [1] Demidenko, Stukel (2005). Influence analysis for linear mixed-effects models. Statistics
       in Medicine 24. doi:10.1002/sim.1974
    .. [2] Loy, Hofmann (2014). HLMdiag: a suite of diagnostics for hierarchical linear models in R.
       Journal of Statistical Software 56(5). doi:10.18637/jss.v056.i05

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ cses + meanses + (1 | school)", tl.datasets.load("hsb82"))
    >>> found = tl.diagnose(fit)
    >>> found.rows[["leverage_fixed", "leverage_random"]].sum().round(2).to_dict()
    {'leverage_fixed': 3.0, 'leverage_random': 119.16}
    >>> found.shifts["school"].abs().max().round(3).to_dict()
    {'Intercept': 0.04, 'cses': 0.036, 'meanses': 0.105}
    """
    check_option("variances", variances, [True, False])
    refitted = deleted_variances(fit) if variances else None
    with single_thread().limit(limits=1):
        model = fit.unweighted("diagnose")
        rows = whitened(model, fit.working_theta, fit.estimates.values[0])
        frames, shifts = {}, {}
        for f, factor in enumerate(fit.model.design.factors):
            frames[factor.name], shifts[factor.name] = _of_factor(fit, rows, f)
        return Diagnostics(_rows(fit, rows), frames, shifts, refitted)


def _rows(fit: MixedFit, rows: Whitened) -> pd.DataFrame:
    """What is said of each row."""
    design, sigma = fit.model.design, fit.sigma
    expected = fit.model.fixed_columns @ fit.estimates.values[0]
    marginal = design.y - expected
    found = of_rows(rows)
    P = np.where(found.estimable, rows.p_diagonal, np.nan)
    fixed = np.einsum("ip,ip->i", rows.X, rows.H)
    whole = rows.precision.variance()
    spread = whole - np.square(rows.X).sum(axis=1)
    spread = np.where(spread > 1e-12 * whole, spread, np.nan)
    columns = {
        "fitted": design.y - rows.u,
        "resid": rows.u,
        "studentized": rows.u / (sigma * np.sqrt(P)),
        "deletion_resid": rows.u / P,
        "marginal_fitted": expected,
        "marginal_resid": marginal,
        "marginal_studentized": marginal / (sigma * np.sqrt(spread)),
        "cholesky": _cholesky(rows.precision, marginal) / sigma,
        "leverage": 1 - rows.p_diagonal,
        "leverage_fixed": fixed,
        "leverage_random": 1 - rows.p_diagonal - fixed,
    }
    return pd.DataFrame(columns | _influence(found, sigma), index=design.index)


def _influence(found: Deletion, sigma: float) -> dict[str, Any]:
    """The columns on influence, in units of the data."""
    return {
        "cooks_d": found.cooks_d / sigma**2,
        "mdffits": found.mdffits / sigma**2,
        "covratio": found.covratio,
        "covtrace": found.covtrace,
        "estimable": found.estimable,
    }


def _cholesky(V: Precision, residual: Array) -> Array:
    """(n,) ``L^-1 e``, where the rows that hang together are few enough; else NaN."""
    out: Array = np.full(len(residual), np.nan)
    n, links = len(residual), V.effects.tocoo()
    edges = (np.ones(links.nnz), (links.row, n + links.col))
    size = n + links.shape[1]
    _, label = connected_components(csr_array(edges, shape=(size, size)), directed=False)
    label = label[:n]
    order = np.argsort(label, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(label[order])) + 1):
        if len(rows) <= _DENSE:
            out[rows] = np.linalg.solve(np.linalg.cholesky(V.covariance(rows)), residual[rows])
    return out


def _of_factor(fit: MixedFit, rows: Whitened, f: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is said of the groups of a factor, and how the fixed effects move without each."""
    design = fit.model.design
    factor, effects = design.factors[f], fit.random_effects[f]
    sets = rows_of_groups(factor)
    if groups_stand_alone(factor, design.factors):
        found = of_independent_groups(rows, factor.only_codes, factor.n_groups)
    else:
        found = of_sets(rows, sets)
    fixed = np.einsum("ip,ip->i", rows.X, rows.H)
    random = 1 - rows.p_diagonal - fixed
    covariance = fit.sigma**2 * rows.back @ rows.back.T
    distance, df = mahalanobis(effects, covariance)
    columns = {"n": [len(at) for at in sets]} | _influence(found, fit.sigma)
    columns["leverage_fixed"] = [fixed[at].mean() for at in sets]
    columns["leverage_random"] = [random[at].mean() for at in sets]
    columns |= {"mahalanobis": distance, "df": df, "chi_square": chi_square_order(distance, df)}
    spread = np.diagonal(spread_of_estimates(effects, covariance), axis1=1, axis2=2)
    size = np.sqrt(np.maximum(spread, 0.0))
    for k, name in enumerate(factor.names):
        alive = spread[:, k] > 1e-9 * max(float(effects.marginal[k, k]), 1e-300)
        standard = np.where(alive, effects.values[:, k] / np.where(alive, size[:, k], 1.0), 0.0)
        columns[f"{name}_standardized"] = standard
    index = factor.levels
    shift = pd.DataFrame(found.shift, index=index, columns=list(fit.estimates.names))
    return pd.DataFrame(columns, index=index), shift
