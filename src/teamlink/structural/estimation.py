"""The verb `sem`: structural equations from a text and a table."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
import pandas as pd

from teamlink.errors import FitError, NotConverged, OptionError, check_option
from teamlink.fitting.fit import Solution, single_thread, solve
from teamlink.fitting.optimize import Convergence
from teamlink.moments.samples import samples
from teamlink.structural.binding import (
    exogenous_complete,
    incomplete_likelihood,
    nested_deviance,
    nested_likelihood,
)
from teamlink.structural.conventions import Conventions
from teamlink.structural.discrepancy import CompleteData, Likelihood
from teamlink.structural.identification import check_counts, check_identified
from teamlink.structural.implied import Moments
from teamlink.structural.initial import first_points
from teamlink.structural.model import StructuralModel
from teamlink.structural.observations import Observations, check_moments, observe
from teamlink.structural.parameters import ParameterTable, parameter_table, variable_names
from teamlink.structural.result import StructuralFit
from teamlink.structural.robust import robust_covariance
from teamlink.structural.structure import Structure, structure_of
from teamlink.structural.tables import text_of_table
from teamlink.syntax.equations import Equations, read_equations
from teamlink.syntax.statements import Block as Header
from teamlink.typing import Array, Table

__all__ = ["Estimator", "Options", "sem"]

Estimator = Literal["ml", "mlr", "mlm"]
"""How standard errors and the test come about; the estimates are the same."""

Information = Literal["expected", "observed"]

_EQUAL = (
    "loadings", "intercepts", "means", "regressions", "residuals", "residual_covariances",
    "lv_variances", "lv_covariances",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """What `sem` was asked, besides model and data; `levels`: whether there are two."""

    cluster: str | None
    group: str | None
    missing: str
    levels: bool
    estimator: Estimator
    information: Information

    @property
    def robust(self) -> Literal["mlr", "mlm"] | None:
        """Which robust statistics are asked; clusters ask for those of "mlr"."""
        if self.estimator == "ml":
            return "mlr" if self.cluster is not None and not self.levels else None
        return self.estimator

    @property
    def test_information(self) -> str:
        """The information in the scaling factor; lavaan takes another one for "ml"."""
        return "along" if self.estimator == "ml" else self.information


def sem(
    model: str | Equations | pd.DataFrame,
    data: Table,
    cluster: str | None = None,
    group: str | None = None,
    missing: Literal["listwise", "fiml"] = "listwise",
    estimator: Estimator = "ml",
    std_lv: bool = False,
    fixed_x: bool = True,
    meanstructure: bool | None = None,
    growth: bool = False,
    orthogonal: bool = False,
    group_equal: Sequence[str] = (),
    group_partial: Sequence[str] = (),
    information: Information | None = None,
) -> StructuralFit:
    """Fit structural equations written in lavaan's language.

    Parameters
    ----------
    model : str or data frame
        Statements ``f =~ x1 + x2 + x3``, ``y ~ f + z``, ``x1 ~~ x2``, ``y ~ 1``, ``ab := a*b``,
        ``a == b``, one a line; see the page on structural equations. Or a parameter table, as
        ``fit.table.frame()`` gives it.
    data : table
        Any data frame; n rows.
    cluster : str, optional
        Column of clusters. Where the model has blocks ``level: 1`` and ``level: 2`` these are its
        second level; else scores are summed over them for robust standard errors.
    group : str, optional
        Column of groups; every group has its own parameters unless labels or `group_equal` say
        otherwise.
    missing : {"listwise", "fiml"}
        Leave out rows with a missing value in any variable of the model; or use all that is
        observed, taking the rest as missing at random. Then only rows in which a fixed exogenous
        variable is missing are left out.
    estimator : {"ml", "mlr", "mlm"}
        Maximum likelihood with normal-theory standard errors and test; with sandwich standard
        errors and Yuan and Bentler's test; or with Satorra and Bentler's standard errors and test.
        With `cluster` and one level "ml" too has sandwich standard errors and a scaled test; with
        two levels the scores of "mlr" are those of the clusters.
    std_lv : bool
        Fix the variances of factors at one and free all loadings.
    fixed_x : bool
        Take moments of exogenous observed variables as given.
    meanstructure : bool, optional
        Model means too. By default where the model names an intercept, or there are
        groups or clusters.
    growth : bool
        Intercepts of observed variables are zero and means of factors free, as in growth curves.
    orthogonal : bool
        Factors do not covary unless the model says so.
    group_equal : sequence of str
        Classes of parameters that are equal over groups: "loadings", "intercepts", "means",
        "regressions", "residuals", "residual_covariances", "lv_variances", "lv_covariances".
    group_partial : sequence of str
        Exceptions from them, as ``"visual=~x2"`` or ``"x3~1"``.
    information : {"expected", "observed"}, optional
        Of which standard errors are made; "observed" for "mlr", for two levels and for missing
        values, else "expected".

    Returns
    -------
    StructuralFit
        ``.parameters``, ``.fit_measures``, ``.standardized``, ``.r2``, ``.residuals()``,
        ``.modification_indices()``, ``.factor_scores()``, ``.summary()`` and what every fit has.

    Raises
    ------
    FormulaError
        The text cannot be read or contradicts itself; the place is shown.
    DataError, DesignError
        The table lacks what is asked, its covariance is not positive definite, or the model is not
        identified (the parameters are named).
    OptionError
        An option that is not offered.
    FitError
        The likelihood cannot be evaluated anywhere.

    Warns
    -----
    DroppedRows, NotConverged

    Notes
    -----
    With implied moments mu and Sigma, means ybar and covariance S (divisor n) of the n rows,

        -2 logL = n [p log 2 pi + log|Sigma| + tr(Sigma^-1 S) + (ybar - mu)' Sigma^-1 (ybar - mu)]

    is minimised by a trust-region Newton method with exact second derivatives. The test of fit is
    minus twice the log-likelihood ratio to the saturated model (n, not n - 1). Variances are not
    kept positive: a negative one is an estimate, and is named in the summary.

    In R: ``lavaan::sem(model, data)``; with ``growth=True`` ``lavaan::growth``.

    References
    ----------
    .. [1] Rosseel (2012). lavaan: An R package for structural equation modeling. Journal of
       Statistical Software 48(2). doi:10.18637/jss.v048.i02
    .. [2] Yuan, Bentler (2000). Three likelihood-based methods for mean and covariance structure
       analysis with nonnormal missing data. doi:10.1111/0081-1750.00078

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82")
    >>> fit = tl.sem("mathach ~ b*ses + d*meanses; ses ~ a*meanses; indirect := a*b", hsb)
    >>> fit.params[["a", "b", "indirect"]].round(3)
    a           1.000
    b           2.191
    indirect    2.191
    Name: estimate, dtype: float64
    """
    if isinstance(model, pd.DataFrame):
        model = text_of_table(model)
    equations = model if isinstance(model, Equations) else read_equations(model)
    levels = _has_levels(equations, cluster)
    options = _options(cluster, group, missing, estimator, information, group_equal, levels)
    means = group is not None or cluster is not None or growth or missing == "fiml"
    conventions = Conventions(
        means if meanstructure is None else meanstructure, std_lv, fixed_x, growth, orthogonal,
        tuple(group_equal), tuple(group_partial),
    )  # fmt: skip
    with single_thread().limit(limits=1):
        complete = missing == "listwise"
        observations = observe(data, variable_names(equations), group, cluster, complete)
        table = parameter_table(equations, conventions, observations.groups)
        if not complete:
            observations = exogenous_complete(table, observations)
        return _fit(bind(table, observations, options), options)


def _options(
    cluster: str | None, group: str | None, missing: str, estimator: str,
    information: str | None, group_equal: Sequence[str], levels: bool,
) -> Options:  # fmt: skip
    check_option("missing", missing, ["listwise", "fiml"])
    check_option("estimator", estimator, ["ml", "mlr", "mlm"])
    check_option("information", information, [None, "expected", "observed"])
    for name in [group_equal] if isinstance(group_equal, str) else group_equal:
        check_option("group_equal", name, _EQUAL)
    if isinstance(group_equal, str):
        raise OptionError(f"group_equal={group_equal!r}: give a list, as [{group_equal!r}]")
    if cluster is not None and estimator == "mlm":
        raise OptionError("estimator='mlm' takes rows as independent; use 'mlr' with clusters")
    if missing == "fiml" and estimator == "mlm":
        raise OptionError("estimator='mlm' needs complete rows; use 'mlr' with missing='fiml'")
    observed = estimator == "mlr" or cluster is not None or missing == "fiml"
    default = "observed" if observed else "expected"
    kind = cast(Information, information or default)
    return Options(cluster, group, missing, levels, cast(Estimator, estimator), kind)


def _has_levels(equations: Equations, cluster: str | None) -> bool:
    """Whether the model has blocks of levels; they need clusters."""
    header = next(
        (s for s in equations.statements if isinstance(s, Header) and s.kind == "level"), None
    )
    if header is not None and cluster is None:
        message = "the model has blocks of levels: name the column of clusters, cluster=..."
        raise equations.fault(message, header)
    return header is not None


def bind(table: ParameterTable, observations: Observations, options: Options) -> StructuralModel:
    """Bind a parameter table to rows."""
    structure = structure_of(
        table, [own.observed for own in table.roles], [own.latent for own in table.roles]
    )
    if len(table.levels) == 2:
        nested, sample = nested_likelihood(table, observations, options.missing == "fiml")
        offset = nested_deviance(table, nested, sample)
        return _bound(structure, nested, sample, offset, observations, options)
    if options.missing == "fiml":
        incomplete, sample = incomplete_likelihood(table, observations)
        sizes = [np.array([float(len(values))]) for values in observations.values]
        offset = exogenous_deviance(table, sample, sizes)
        return _bound(structure, incomplete, sample, offset, observations, options)
    found = [
        samples(values[:, observations.columns(own.observed)])
        for values, own in zip(observations.values, table.roles, strict=True)
    ]
    check_moments(
        [one.covariance[0] for one in found], [int(one.n[0]) for one in found],
        [own.observed for own in table.roles], table.groups,
    )  # fmt: skip
    sample = tuple(Moments(one.covariance, one.mean) for one in found)
    offset = exogenous_deviance(table, sample, [one.n for one in found])
    likelihood = CompleteData(tuple(found), table.meanstructure)
    return _bound(structure, likelihood, sample, offset, observations, options)


def _bound(
    structure: Structure, likelihood: Likelihood, sample: tuple[Moments, ...], offset: Array,
    observations: Observations, options: Options,
) -> StructuralModel:  # fmt: skip
    """The model with its starting points."""
    model = StructuralModel(
        structure, likelihood, sample, offset, first_points(structure, sample),
        options.information, observations,
    )  # fmt: skip
    if not structure.table.slopes:
        check_counts(model)
    return model.started()


def exogenous_deviance(
    table: ParameterTable, sample: Sequence[Moments], sizes: Sequence[Array]
) -> Array:
    """Minus twice the log-likelihood (R,) of the fixed exogenous variables at their own moments."""
    total = np.zeros(len(sample[0].Sigma))
    for own, roles, n in zip(sample, table.roles, sizes, strict=True):
        fixed = [roles.observed.index(name) for name in roles.exogenous]
        if not fixed or not table.conventions.fixed_x:
            continue
        S = own.Sigma[:, fixed][:, :, fixed]
        total += n * (len(fixed) * (np.log(2 * np.pi) + 1) + np.linalg.slogdet(S)[1])
    return total


def _fit(model: StructuralModel, options: Options) -> StructuralFit:
    solution = _solved(model)
    if not np.isfinite(solution.deviance[0]):
        raise FitError(
            "the likelihood cannot be evaluated at any starting point; give starts, as in "
            "start(0.5)*x, or rescale the columns"
        )
    x = model.parameters(solution.theta)
    kinds = {"expected", model.information}
    hessians = model.hessians(x, np.zeros(1, dtype=np.intp), kinds)
    check_identified(model, x[0], hessians["expected"][0])
    V = model.covariance(solution.theta, hessians[model.information])
    estimates = model.estimates_from(x, V, model.information)
    fit = StructuralFit(
        model=model,
        working_theta=solution.theta[0],
        deviance=float(solution.deviance[0]),
        method="ML",
        estimates=estimates,
        convergence=_record(solution),
        nobs=model.observations.n_rows,
        n_parameters=model.coordinates.k,
        label=_label(model),
        options=options,
    )
    if options.robust is not None:
        V = robust_covariance(model, solution.theta[0], options.robust)[None]
        fit = replace(fit, estimates=model.estimates_from(x, V, options.robust))
    if not fit.converged:
        warnings.warn(fit.convergence.message, NotConverged, stacklevel=3)
    return fit


_NEAR = 15
"""An optimum so few steps from the best informed start needs no other one.

Of 300 random models against lavaan (tests/fuzz/structural_results.md) none that ends so is worse.
"""


def _solved(model: StructuralModel) -> Solution:
    """The optimum from the best informed start; from all of them where that lay far from it."""
    solution = solve(replace(model, first=model.first[:1]))
    if solution.converged[0] and solution.iterations[0] <= _NEAR:
        return solution
    return solve(model)


def _record(solution: Solution) -> Convergence:
    """The record of the optimisation in the words of this engine."""
    record = solution.record()
    if not record.converged:
        remedy = (
            "; give starts near the solution, as in start(0.5)*x, fix what is near its bound, or "
            "simplify the model"
        )
        return replace(record, message=record.message + remedy)
    if record.boundary:
        return replace(record, message="optimum with a parameter on its bound")
    return record


def _label(model: StructuralModel) -> str:
    first = str(model.structure.table.equations).split("\n", 1)
    shown = first[0] if len(first[0]) <= 40 else first[0][:39] + "…"
    more = " …" if len(first) > 1 else ""
    return f"{shown}{more} ({model.coordinates.k} parameters)"
