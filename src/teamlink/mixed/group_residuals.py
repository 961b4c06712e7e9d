"""HLM's residual file of groups, and its chi-square test of each variance component."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from teamlink.errors import OptionError, nearest
from teamlink.mixed.design import sole_factor
from teamlink.mixed.distances import chi_square_order, gls_covariance, mahalanobis
from teamlink.mixed.factor import Factor
from teamlink.mixed.own_estimates import OwnEstimates, belonging, own_estimates
from teamlink.mixed.result import MixedFit
from teamlink.typing import Array

__all__ = ["group_residuals", "variance_tests"]


def group_residuals(fit: MixedFit, group: str | None = None) -> pd.DataFrame:
    r"""List each group's residuals, as HLM's residual file does.

    Parameters
    ----------
    fit : MixedFit
    group : str, optional
        The grouping factor, where there are several.

    Returns
    -------
    DataFrame
        Indexed by group: ``n``; for each random coefficient ``eb_<term>`` (empirical Bayes
        residual), ``eb_se_<term>``, ``reliability_<term>``; ``mahalanobis`` with ``df`` and
        ``chi_square``. With one grouping factor also ``ol_<term>`` (least-squares residual),
        ``ol_se_<term>``, ``fitted_<term>`` (the coefficient that the fixed effects predict),
        ``ec_<term>`` (fitted plus EB residual), and the group's own ``residual_sd`` with
        ``residual_df``.

    Raises
    ------
    OptionError
        `group` is not named where there are several factors, or is none of them.

    Notes
    -----
    The least-squares residual of group j is ``(Z_j'Z_j)^-1 Z_j'(y_j - X_j beta)``; it is missing
    where Z_j has no full rank. ``reliability`` is ``tau / (tau + v_j)`` with v_j its sampling
    variance; with several factors, where a group has no estimate of its own, it is
    ``1 - var(b | y) / tau`` (see `reliability`). ``eb_se`` is the conditional standard deviation.
    A fixed column counts to the coefficient of which it is a group-level multiple; what belongs to
    none is in no ``fitted``.

    ``mahalanobis`` is the squared distance of the group's residuals from zero (the same for both
    kinds, but that fixed effects are estimated), and ``chi_square`` the quantile of chi-square with
    ``df`` degrees of freedom at ``(rank - 1/2) / J``: plotted against each other they lie on the
    diagonal where the random effects are normal. HLM calls the two MDIST and CHIPCT.

    References
    ----------
    .. [1] Raudenbush, Bryk (2002). Hierarchical linear models, 2nd ed., chapters 3 and 9. Sage.

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ 1 + (1 | school)", tl.datasets.load("hsb82"))
    >>> file = tl.group_residuals(fit)
    >>> file.loc[1224, ["n", "ol_Intercept", "eb_Intercept", "reliability_Intercept"]].round(3)
    n                        47.000
    ol_Intercept             -2.922
    eb_Intercept             -2.664
    reliability_Intercept     0.912
    Name: 1224, dtype: float64
    """
    fit.unweighted("group_residuals")
    factor = _named(fit, group)
    f = fit.model.design.factors.index(factor)
    effects = fit.random_effects[f]
    sole = len(fit.model.design.factors) == 1 and factor.membership is None
    own = _own(fit, factor) if sole else None
    weights = factor.weights
    frame: dict[str, Any] = {"n": np.bincount(weights.indices, minlength=factor.n_groups)}
    tau = np.diag(effects.marginal)
    left = np.diagonal(effects.covariance, axis1=1, axis2=2)
    fitted = _fitted(fit, factor) if sole else None
    for k, name in enumerate(factor.names):
        if own is not None and fitted is not None:
            sampling = fit.sigma**2 * own.inverse[:, k, k]
            frame[f"ol_{name}"] = own.residual[:, k]
            frame[f"ol_se_{name}"] = np.sqrt(sampling)
            share = tau[k] / (tau[k] + sampling)
        else:
            share = 1 - left[:, k] / tau[k] if tau[k] > 0 else np.zeros(factor.n_groups)
        frame[f"eb_{name}"] = effects.values[:, k]
        frame[f"eb_se_{name}"] = np.sqrt(np.maximum(left[:, k], 0.0))
        frame[f"reliability_{name}"] = share
        if fitted is not None:
            frame[f"fitted_{name}"] = fitted[:, k]
            frame[f"ec_{name}"] = fitted[:, k] + effects.values[:, k]
    distance, df = mahalanobis(effects, gls_covariance(fit))
    frame |= {"mahalanobis": distance, "df": df, "chi_square": chi_square_order(distance, df)}
    if own is not None:
        frame |= {"residual_sd": np.sqrt(own.variance), "residual_df": own.df}
    return pd.DataFrame(frame, index=factor.levels)


def variance_tests(fit: MixedFit) -> pd.DataFrame:
    r"""Test each variance component by chi-square, as HLM prints with the components.

    Parameters
    ----------
    fit : MixedFit
        With one grouping factor.

    Returns
    -------
    DataFrame
        Indexed by term: ``variance, chi_square, df, p_value, groups``, the last the number of
        groups that have a least-squares estimate of their own and so enter.

    Raises
    ------
    OptionError
        There are several grouping factors, or multiple membership; `compare` has a test then.

    Notes
    -----
    ``H_q = sum_j u_qj^2 / v_qj`` over the least-squares residuals u_qj of the groups with v_qj
    their sampling variance, ``sigma^2`` times the diagonal of ``(Z_j'Z_j)^-1``. Without variance in
    the coefficient it is near chi-square with ``J - s - 1`` degrees of freedom, ``s + 1`` the
    number of fixed effects in that coefficient's level-2 equation [1]_. It takes sigma^2 as known
    and ignores that coefficients hang together; a likelihood ratio (`compare`) is the stronger
    test, and uses all groups.

    References
    ----------
    .. [1] Raudenbush, Bryk (2002). Hierarchical linear models, 2nd ed., equation 3.103. Sage.

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82")
    >>> fit = tl.lmm("mathach ~ cses + (cses | school)", hsb)
    >>> tl.variance_tests(fit).round(2)
               variance  chi_square   df  p_value  groups
    Intercept      8.68     1771.01  159      0.0     160
    cses           0.69      213.46  159      0.0     160
    """
    factor = sole_factor(fit.unweighted("variance_tests").design, "variance_tests")
    own = _own(fit, factor)
    owner, _ = belonging(fit.model.fixed_columns, factor.Z, factor.only_codes, factor.n_groups)
    sampling = fit.sigma**2 * np.diagonal(own.inverse, axis1=1, axis2=2)
    statistic = np.nansum(own.residual**2 / sampling, axis=0)
    groups = int(own.usable.sum())
    df = groups - np.array([(owner == k).sum() for k in range(factor.q)])
    tested = df > 0
    p = np.where(tested, stats.chi2.sf(statistic, np.maximum(df, 1)), np.nan)
    Sigma = fit.sigma**2 * fit.Lambda @ fit.Lambda.T
    return pd.DataFrame(
        {
            "variance": np.diag(Sigma), "chi_square": np.where(tested, statistic, np.nan),
            "df": df, "p_value": p, "groups": groups,
        },
        index=pd.Index(factor.names),
    )  # fmt: skip


def _named(fit: MixedFit, group: str | None) -> Factor:
    factors = fit.model.design.factors
    names = [factor.name for factor in factors]
    if group is None and len(factors) > 1:
        raise OptionError(f"group: name one of the grouping factors {', '.join(names)}")
    if group is not None and group not in names:
        raise OptionError(f"group: no grouping factor {group!r}; {nearest(group, names)}")
    return factors[0 if group is None else names.index(group)]


def _own(fit: MixedFit, factor: Factor) -> OwnEstimates:
    marginal = fit.model.design.y - fit.model.fixed_columns @ fit.estimates.values[0]
    return own_estimates(marginal, factor.Z, factor.only_codes, factor.n_groups)


def _fitted(fit: MixedFit, factor: Factor) -> Array:
    """(J, q) each coefficient as the fixed effects predict it."""
    X, beta = fit.model.fixed_columns, fit.estimates.values[0]
    owner, values = belonging(X, factor.Z, factor.only_codes, factor.n_groups)
    fitted = np.zeros((factor.n_groups, factor.q))
    for k in np.flatnonzero(owner >= 0):
        fitted[:, owner[k]] += beta[k] * values[:, k]
    return fitted
