"""The verb `glmm`: from a formula and a table to a fitted generalized linear mixed model."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np

from teamlink.errors import (
    FewEvents,
    FitError,
    NotConverged,
    OptionError,
    RankDeficient,
    Separation,
    check_option,
)
from teamlink.fitting.fit import single_thread, solve
from teamlink.mixed.generalized.bind import bind_generalized
from teamlink.mixed.generalized.binomial import Binomial
from teamlink.mixed.generalized.families import LINKS, Family
from teamlink.mixed.generalized.glm import glm_start
from teamlink.mixed.generalized.integrand import Rule, rule
from teamlink.mixed.generalized.log_mean import GaussianLog, NegativeBinomial, Poisson
from teamlink.mixed.generalized.model import GeneralizedMixed
from teamlink.mixed.generalized.observed import GeneralizedDesign, Roles, read
from teamlink.mixed.generalized.ordinal import Cumulative
from teamlink.mixed.generalized.result import GeneralizedFit
from teamlink.mixed.generalized.separation import separating_direction
from teamlink.typing import Array, Table

__all__ = ["glmm"]

_MOST_NODES = 5000
"""Nodes of a product rule; more take minutes and gain no digit."""

_WIDE = 8.0
"""A standard deviation on the scale of the link that no group of mixed responses gives."""

_FAR = 6.0
"""A linear predictor this far out without random effects asks for a test of separation."""


def glmm(
    formula: str,
    data: Table,
    family: Literal["binomial", "poisson", "negative-binomial", "gaussian", "ordinal"] = "binomial",
    link: str | None = None,
    nagq: int = 1,
    trials: str | None = None,
    offset: str | None = None,
    weights: str | None = None,
    se: Literal["hessian", "conditional"] = "hessian",
) -> GeneralizedFit:
    """Fit a generalized linear mixed model, such as passing an exam among students in schools.

    Parameters
    ----------
    formula : str
        As for `lmm`: ``"passed ~ ses + (1 | school)"``; any number of grouping factors, nested or
        crossed, with any slopes.
    data : table
        Any data frame of n rows. Rows with a missing value in a variable of the formula, or in a
        column named here, are left out, counted, and warned about.
    family : {"binomial", "poisson", "negative-binomial", "gaussian", "ordinal"}
        Distribution of the response given the random effects. Binomial: 0 and 1, booleans, two
        categories (the second in order is the event, see ``fit.event``), or with `trials` counts
        of successes or shares. Ordinal: an ordered categorical, or whole numbers.
    link : str, optional
        Binomial: "logit" (the default), "probit", "cloglog". Ordinal: "logit" or "probit" of the
        cumulative probabilities. The others: "log".
    nagq : int
        Points of adaptive Gauss-Hermite quadrature a dimension; 1 is Laplace's approximation. More
        than one needs a single grouping factor; with two random effects a group the rule is a
        product of nagq^2 points.
    trials : str, optional
        Column with the number of trials of each row; R's ``cbind(success, failure)`` is
        ``success ~ ...`` with this.
    offset : str, optional
        Column added to the linear predictor, such as the logarithm of an exposure.
    weights : str, optional
        Column of prior weights: each multiplies its row's log-likelihood. For a Gaussian response
        they are precisions, as in `lmm`: the variance is sigma^2 / weight.
    se : {"hessian", "conditional"}
        Standard errors from the Hessian of the deviance in all parameters, as lme4's default, or
        with the variances and the spread around the modes taken as known (lme4's RX).

    Returns
    -------
    GeneralizedFit
        ``params``, ``bse``, ``pvalues``, ``varcorr``, ``ranef()``, ``predict()``, ``summary()``.

    Raises
    ------
    FormulaError
        The formula cannot be read; the place is shown.
    DataError, DesignError
        The table lacks what is asked, or the model cannot be estimated; every fault is listed.
    OptionError
        An option that is not offered.
    FitError
        The predictors tell the responses apart without error (separation), so that coefficients
        grow without end; or the likelihood cannot be evaluated.

    Warns
    -----
    DroppedRows, RankDeficient, FewGroups, FewEvents, Separation, NotConverged

    Notes
    -----
    The response of row i has density ``f(y_i | eta_i)`` with ``eta = offset + X beta + Z b`` and
    ``b ~ N(0, Lambda Lambda')`` in each group. The integral over b is taken by Laplace's
    approximation or by quadrature at the modes; variances, coefficients and the family's own
    parameters are then optimised together by Newton's method with the exact gradient of that
    approximation. All constants are kept, so ``deviance`` compares across `nagq` and with clmm and
    glmmTMB; glmer leaves constants out of it where ``nAGQ > 1``. The curvature is the observed one.
    With links that are not canonical (probit, cloglog, negative binomial, Gaussian) glmer takes the
    expected one instead, so its Laplace deviance differs there; glmmTMB's and clmm's do not.

    In R: ``lme4::glmer(passed ~ ses + (1 | school), data, family = binomial)``, ``glmer.nb``, or
    ``ordinal::clmm``.

    References
    ----------
    .. [1] Breslow, Clayton (1993). Approximate inference in generalized linear mixed models.
       Journal of the American Statistical Association 88, 9-25.
       doi:10.1080/01621459.1993.10594284
    .. [2] Pinheiro, Chao (2006). Efficient Laplacian and adaptive Gaussian quadrature algorithms
       for multilevel generalized linear mixed models. Journal of Computational and Graphical
       Statistics 15, 58-81. doi:10.1198/106186006X96962

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82").assign(high=lambda d: d["mathach"] > 15)
    >>> fit = tl.glmm("high ~ cses + sector + (1 | school)", hsb)
    >>> fit.params.round(2)
    Intercept            -0.79
    cses                  0.64
    sector[T.Catholic]    0.74
    Name: estimate, dtype: float64
    """
    check_option("family", family, list(LINKS))
    link = LINKS[family][0] if link is None else link
    check_option("link", link, list(LINKS[family]))
    check_option("se", se, ["hessian", "conditional"])
    _check_options(family, nagq, trials)
    with single_thread().limit(limits=1):
        design = read(formula, data, family, Roles(trials, offset, weights))
        quadrature = _rule(nagq, design)
        model = bind_generalized(design, _family(family, link, design), quadrature, se)
        _warn_of_aliased(model)
        _warn_of_rare_events(model)
        beta, _ = glm_start(model.family, model.observed, model.offset, model.Q)
        _check_separation(model, beta)
        return _fit(model, nagq)


def _check_options(family: str, nagq: object, trials: str | None) -> None:
    if isinstance(nagq, bool) or not isinstance(nagq, int | np.integer) or not 1 <= nagq <= 100:
        raise OptionError(f"nagq={nagq!r}: a whole number of quadrature points from 1 to 100")
    if trials is not None and family != "binomial":
        raise OptionError(f"trials belong to a binomial response, not to family={family!r}")


def _rule(nagq: int, design: GeneralizedDesign) -> Rule | None:
    if nagq == 1:
        return None
    if len(design.factors) > 1:
        names = ", ".join(factor.name for factor in design.factors)
        raise OptionError(
            f"nagq={nagq}: quadrature is for one grouping factor, this model has {names}; take "
            "nagq=1, Laplace's approximation"
        )
    q = design.factors[0].q
    if nagq**q > _MOST_NODES:
        raise OptionError(
            f"nagq={nagq}: {nagq}^{q} = {nagq**q} nodes for {q} random effects a group; take at "
            f"most {int(_MOST_NODES ** (1 / q))}"
        )
    return rule(nagq, q)


def _family(name: str, link: str, design: GeneralizedDesign) -> Family:
    if name == "binomial":
        return Binomial(link)
    if name == "ordinal":
        return Cumulative(len(design.categories), link)
    kinds: dict[str, Family] = {
        "poisson": Poisson(),
        "negative-binomial": NegativeBinomial(),
        "gaussian": GaussianLog(),
    }
    return kinds[name]


def _warn_of_aliased(model: GeneralizedMixed) -> None:
    ordinal = isinstance(model.family, Cumulative)
    gone = [
        name
        for name in model.design.x_names
        if name not in set(model.names) and not (ordinal and name == "Intercept")
    ]
    if gone:
        warnings.warn(
            "the fixed-effects design lacks rank; left out, as the earlier columns determine "
            f"them: {', '.join(gone)}",
            RankDeficient,
            stacklevel=3,
        )


def _warn_of_rare_events(model: GeneralizedMixed) -> None:
    y, m = model.observed.y[0], model.observed.trials
    if model.family.name == "binomial" and min(y.sum(), (m - y).sum()) < 2:
        kind = "event" if y.sum() < 2 else "failure"
        warnings.warn(
            f"there is one {kind} only in {m.sum():g} trials: the estimates rest on it",
            FewEvents,
            stacklevel=3,
        )


def _check_separation(model: GeneralizedMixed, beta: Array) -> None:
    """Raise where working coefficients (1, p) are on their way to infinity."""
    y, m = model.observed.y[0], model.observed.trials
    if np.abs(beta @ model.Q.T).max(initial=0.0) < _FAR:
        return
    direction = separating_direction(model.family, y, m, model.Q)
    if direction is None:
        return
    spread = np.abs(model.fixed.K @ direction) * model.fixed_columns.std(axis=0)
    names = [n for n, s in zip(model.names, spread, strict=True) if s > 1e-3 * spread.max()]
    raise FitError(
        f"separation: {', '.join(names) or 'the intercept'} tell some responses of "
        f"{model.design.formula.response!r} apart without error, so the likelihood has no maximum "
        "and coefficients grow without end; merge rare categories or leave predictors out"
    )


def _fit(model: GeneralizedMixed, nagq: int) -> GeneralizedFit:
    solution = solve(model)
    if not np.isfinite(solution.deviance[0]):
        raise FitError(
            f"the deviance of {str(model.design.formula)!r} cannot be evaluated at any starting "
            "point: the numbers are out of the range of floating point; rescale the columns"
        )
    _check_separation(model, model.parts(solution.theta)[1])
    how = "Laplace" if nagq == 1 else f"{nagq}-point quadrature"
    fit = GeneralizedFit(
        model=model,
        working_theta=solution.theta[0],
        deviance=float(solution.deviance[0]),
        method=f"ML ({how})",
        estimates=model.estimates(solution.theta),
        convergence=solution.record(),
        nobs=model.design.n,
        n_parameters=solution.theta.shape[1],
        label=str(model.design.formula),
    )
    if not fit.converged:
        warnings.warn(fit.convergence.message, NotConverged, stacklevel=3)
    _warn_of_constant_groups(fit)
    return fit


def _warn_of_constant_groups(fit: GeneralizedFit) -> None:
    """Warn where every group of a factor is all events or none, and its variance is large."""
    design = fit.model.design
    if fit.family != "binomial":
        return
    for factor in design.factors:
        events = np.bincount(factor.only_codes, design.y, factor.n_groups)
        trials = np.bincount(factor.only_codes, design.trials, factor.n_groups)
        sd = float(np.sqrt(np.square(fit.Lambda[factor.name]).sum(axis=1).max()))
        if sd > _WIDE and ((events == 0) | (events == trials)).all():
            warnings.warn(
                f"every group of {factor.name!r} is all events or none: the variance between them "
                f"has no upper bound, and a standard deviation of {sd:.3g} is that of the "
                "approximation, not of the data",
                Separation,
                stacklevel=4,
            )
