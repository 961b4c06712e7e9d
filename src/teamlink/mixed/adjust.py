"""The verb `small_sample`: the same fit with other tests of its fixed effects."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Literal

from teamlink.errors import BoundaryFit, OptionError, check_option
from teamlink.fitting.fit import single_thread
from teamlink.mixed.correlated import CorrelatedMixed
from teamlink.mixed.generalized.result import GeneralizedFit
from teamlink.mixed.model import LinearMixed
from teamlink.mixed.result import MixedFit

__all__ = ["check_method", "small_sample", "warn_of_boundary"]


def small_sample(
    fit: MixedFit, method: Literal["kenward-roger", "satterthwaite"] = "kenward-roger"
) -> MixedFit:
    """Adjust standard errors and degrees of freedom for a small number of groups.

    Parameters
    ----------
    fit : MixedFit
        By REML, for Kenward and Roger's method.
    method : {"kenward-roger", "satterthwaite"}
        Kenward and Roger's covariance and degrees of freedom, or the plain covariance with
        Satterthwaite's degrees of freedom.

    Returns
    -------
    MixedFit
        The same fit; ``bse``, ``df``, ``pvalues``, ``conf_int()``, ``cov_params()``, ``tidy()``
        and ``summary()`` are those of the method. It equals ``tl.lmm(..., df=method)``.

    Raises
    ------
    OptionError
        A method that is not offered, or Kenward-Roger for a fit by maximum likelihood.
    FitError
        The data say nothing of a variance on which the standard errors depend.

    Warns
    -----
    BoundaryFit
        Kenward-Roger at a variance of zero or a correlation of one: the result is the formula at
        that point, as in pbkrtest, though its derivation takes the optimum to be interior.

    Notes
    -----
    With ``V = sum_i s_i V_i`` linear in the variances s, ``Phi = (X'V^-1 X)^-1``,
    ``P_i = -X'V^-1 V_i V^-1 X`` and ``Q_ij = X'V^-1 V_i V^-1 V_j V^-1 X``, Kenward and Roger's
    covariance is

        Phi + 2 Phi { sum_ij W_ij (Q_ij - P_i Phi P_j) } Phi

    with W the inverse of the expected information of REML [1]_. The degrees of freedom of one
    coefficient l are ``2 (l'Phi l)^2 / (g'W g)``, ``g_i = l'Phi P_i Phi l``. All is computed from
    the cross-products of each group. Satterthwaite's degrees of freedom use the observed
    information in place of W [2]_.

    In R: ``summary(fit, ddf = "Kenward-Roger")`` (lmerTest, pbkrtest).

    References
    ----------
    .. [1] Kenward, Roger (1997). Small sample inference for fixed effects from restricted maximum
       likelihood. Biometrics 53. doi:10.2307/2533558
    .. [2] Kuznetsova, Brockhoff, Christensen (2017). lmerTest package. Journal of Statistical
       Software 82(13). doi:10.18637/jss.v082.i13

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ meanses + (1 | school)", tl.datasets.load("hsb82"))
    >>> fit.df.round(2).tolist(), tl.small_sample(fit, "kenward-roger").df.round(2).tolist()
    ([153.7, 153.41], [156.9, 156.6])
    """
    check_option("method", method, ["kenward-roger", "satterthwaite"])
    if isinstance(fit, GeneralizedFit):
        fit.independent("small_sample")
    check_method(method, fit.model.reml)
    with single_thread().limit(limits=1):
        model = _with_method(fit, method)
        adjusted = replace(fit, model=model, estimates=model.estimates(fit.working_theta[None]))
    warn_of_boundary(adjusted, stacklevel=3)
    return adjusted


def _with_method(fit: MixedFit, method: str) -> LinearMixed | CorrelatedMixed:
    """The model with another method of tests."""
    if isinstance(fit.model, CorrelatedMixed) and method == "satterthwaite":
        return replace(fit.model, base=replace(fit.model.base, df_method=method))
    return replace(fit.independent(f"small_sample with {method!r}"), df_method=method)


def check_method(method: str, reml: bool) -> None:
    """Raise where a method does not go with maximum likelihood."""
    if method == "kenward-roger" and not reml:
        raise OptionError(
            "'kenward-roger' needs a fit by REML: its expansion is about the REML estimates of the "
            "variances, and their ML estimates are biased by as much as it corrects; fit with "
            "reml=True, or use 'satterthwaite'"
        )


def warn_of_boundary(fit: MixedFit, stacklevel: int) -> None:
    """Warn where Kenward and Roger's expansion is taken at the edge of the variances' range."""
    if fit.estimates.method == "kenward-roger" and fit.boundary:
        warnings.warn(
            "a variance is zero or a correlation is one; Kenward and Roger's method takes the "
            "optimum to be interior, so its degrees of freedom count that variance as uncertain",
            BoundaryFit,
            stacklevel=stacklevel + 1,
        )
