"""The verb `lmm`: from a formula and a table to a fitted linear mixed model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Literal

import numpy as np

from teamlink.errors import FitError, NotConverged, OptionError, RankDeficient, check_option
from teamlink.fitting.fit import single_thread, solve
from teamlink.mixed.adjust import check_method, warn_of_boundary
from teamlink.mixed.bind import bind
from teamlink.mixed.correlated import CorrelatedMixed, bind_correlated
from teamlink.mixed.design import MixedDesign, design
from teamlink.mixed.membership import Membership
from teamlink.mixed.model import LinearMixed
from teamlink.mixed.residual import ResidualStructure
from teamlink.mixed.result import MixedFit
from teamlink.typing import Table

__all__ = ["lmm"]


def lmm(
    formula: str,
    data: Table,
    reml: bool = True,
    df: Literal["satterthwaite", "kenward-roger", "residual", "normal"] = "satterthwaite",
    weights: str | None = None,
    residual: ResidualStructure | None = None,
    memberships: Mapping[str, Membership] | None = None,
) -> MixedFit:
    """Fit a linear mixed model, such as students in schools.

    Parameters
    ----------
    formula : str
        Fixed part as in R or formulaic, random terms as in lme4:
        ``"math ~ ses * sector + (ses | school)"``. ``(x || g)`` leaves out the correlations;
        ``within(ses, school)`` and ``between(ses, school)`` split a predictor into its
        deviation from the group mean and that mean. Any number of grouping factors and slopes:
        nested as ``(1 | school/class)``, crossed as ``(1 | child) + (1 | school)``.
    data : table
        Any data frame (pandas, polars, pyarrow, ...) of n rows. Rows with a missing value in a
        variable of the formula are left out, counted, and warned about.
    reml : bool
        Restricted maximum likelihood (the default), or maximum likelihood.
    df : {"satterthwaite", "kenward-roger", "residual", "normal"}
        Degrees of freedom of the t tests: Satterthwaite's, Kenward and Roger's (with their
        covariance, under REML only; see `small_sample`), n - p, or infinite.
    weights : str, optional
        Column of precision weights w, each positive: the residual variance of a row is
        ``sigma^2 / w``. They are neither frequencies nor sampling weights: a row of weight two is
        not two rows, and n counts rows.
    residual : ResidualStructure, optional
        How residuals correlate within units, or differ in variance: `ar1`, `car1`,
        `compound_symmetry`, `toeplitz`, `unstructured`, `variance_by`, or a sum of one of these
        and `variance_by`. Each unit lies within one group of every grouping factor; there may be
        no factor at all, and then the formula needs no random term.
    memberships : mapping, optional
        Grouping name in the formula to the groups of each row of `data`, where a row belongs to
        several with weights; made by `membership` or `cumulative_membership`.

    Returns
    -------
    MixedFit
        Estimates under statsmodels' names: ``params``, ``bse``, ``pvalues``, ``summary()``, ...

    Raises
    ------
    FormulaError
        The formula cannot be read; the place is shown.
    DataError, DesignError
        The table lacks what is asked, or the model cannot be estimated; every fault is listed.
    OptionError
        An option that is not offered.
    FitError
        The fixed and random effects reproduce the response exactly.

    Warns
    -----
    DroppedRows, RankDeficient, FewGroups, NotConverged, BoundaryFit

    Notes
    -----
    The model is ``y = X beta + Z b + e`` with ``b ~ N(0, sigma^2 Sigma)`` in each group, a Sigma
    for each grouping factor. Whether factors are nested or crossed is seen in the data. The
    deviance, with beta and sigma profiled out, is minimised by Newton's method with exact second
    derivatives, from more than one starting point where one is not enough. A variance
    estimated at zero is a valid optimum: it is flagged as ``fit.boundary``, after a test of the
    score in the variance itself [2]_.

    In R: ``lmerTest::lmer(math ~ ses * sector + (ses | school), data)``.

    References
    ----------
    .. [1] Bates, Maechler, Bolker, Walker (2015). Fitting linear mixed-effects models using lme4.
       Journal of Statistical Software 67(1). doi:10.18637/jss.v067.i01
    .. [2] Raudenbush, Bryk (2002). Hierarchical linear models, 2nd ed. Sage.

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82")
    >>> fit = tl.lmm("mathach ~ meanses + cses * sector + (cses | school)", hsb)
    >>> fit.params.round(3)
    Intercept                  12.116
    meanses                     5.245
    cses                        2.788
    sector[T.Catholic]          1.252
    cses:sector[T.Catholic]    -1.348
    Name: estimate, dtype: float64
    """
    check_option("df", df, ["satterthwaite", "kenward-roger", "residual", "normal"])
    check_option("reml", reml, [True, False])
    check_method(df, reml)
    _check_structures(weights, residual)
    with single_thread().limit(limits=1):
        made = design(formula, data, memberships, weights, residual)
        binding = bind if residual is None else bind_correlated
        model = binding(made, reml, df)
        _warn_of_aliased(model)
        return _fit(model)


def _check_structures(weights: object, residual: object) -> None:
    """Raise where weights or residual are not what they may be."""
    if weights is not None and not isinstance(weights, str):
        raise OptionError(
            f"weights: give the name of a column of the table, not a {type(weights).__name__}"
        )
    if residual is not None and not isinstance(residual, ResidualStructure):
        raise OptionError(
            f"residual={residual!r} is no residual structure; make one by tl.ar1, tl.car1, "
            "tl.compound_symmetry, tl.toeplitz, tl.unstructured or tl.variance_by"
        )


def _fit(model: LinearMixed | CorrelatedMixed) -> MixedFit:
    solution = solve(model)
    if not np.isfinite(solution.deviance[0]):
        raise FitError(
            f"the deviance of {str(model.design.formula)!r} cannot be evaluated at any starting "
            "point: the numbers are out of the range of floating point; rescale the columns"
        )
    fit = MixedFit(
        model=model,
        working_theta=solution.theta[0],
        deviance=float(solution.deviance[0]),
        method="REML" if model.reml else "ML",
        estimates=model.estimates(solution.theta),
        convergence=solution.record(),
        nobs=model.nobs,
        n_parameters=len(model.names) + model.n_variances,
        label=_label(model.design),
    )
    if isinstance(model, LinearMixed):
        model.latest.forget()
    if not fit.converged:
        warnings.warn(fit.convergence.message, NotConverged, stacklevel=3)
    warn_of_boundary(fit, stacklevel=3)
    return fit


def _label(design: MixedDesign) -> str:
    """How tables name a model."""
    said = str(design.formula)
    return said if design.residuals is None else f"{said}, {design.residuals.structure}"


def _warn_of_aliased(model: LinearMixed | CorrelatedMixed) -> None:
    names = model.design.x_names
    if len(model.names) < len(names):
        gone = [name for name in names if name not in set(model.names)]
        warnings.warn(
            f"the fixed-effects design lacks rank; left out, as the earlier columns determine "
            f"them: {', '.join(gone)}",
            RankDeficient,
            stacklevel=3,
        )
