"""The verb `mediate`: from the name of a design to effects at their levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from teamlink.mediation.cautions import before, improper, tell
from teamlink.mediation.equations import write
from teamlink.mediation.paths import effects_of
from teamlink.mediation.result import Mediation
from teamlink.mediation.specification import Centring, Covariates, specify
from teamlink.mediation.variables import take
from teamlink.structural.estimation import Estimator, sem
from teamlink.typing import Table

__all__ = ["mediate"]


def mediate(
    design: str,
    x: str,
    m: str | Sequence[str],
    y: str,
    data: Table,
    cluster: str | None = None,
    covariates: Covariates = (),
    *,
    serial: bool = False,
    measures: Mapping[str, Sequence[str]] | None = None,
    random_slopes: bool = False,
    centring: Centring = "cluster",
    estimator: Estimator = "ml",
    missing: Literal["listwise", "fiml"] = "listwise",
    fixed_x: bool = True,
) -> Mediation:
    r"""Mediation by named design: how much of an effect goes through something, at which level.

    Parameters
    ----------
    design : {"1-1-1", "2-1-1", "2-2-1", "2-2-1-1", "2-2-2", "single"}
        Levels along the path from predictor over mediator to outcome: 1 varies within clusters, 2
        belongs to the cluster. "2-2-2" is fitted to one row a cluster, means where there are
        several; "single" to rows as they are.
    x : str
        Predictor: a column, or a scale named in `measures`.
    m : str or sequence of str
        Mediators. Several stand side by side, or one after the other with `serial`.
    y : str
        Outcome.
    data : table
        Any data frame; n rows.
    cluster : str, optional
        Column of clusters, such as schools.
    covariates : sequence of str, or mapping
        Predictors of all mediators and of the outcome. Each enters where it varies: one that
        varies within clusters is split like the variables of the path. A mapping says where,
        with keys "within", "between" and "both".
    serial : bool
        Each mediator acts on those after it.
    measures : mapping, optional
        Scales that are factors: name to items, as ``{"leadership": ["l1", "l2", "l3"]}``. Items
        that vary within clusters make the scale doubly latent: errors of items and of sampling
        members are both taken account of, with loadings equal at both levels.
    random_slopes : bool
        Of "1-1-1" with one mediator: the slopes within clusters differ among them, and all random
        effects covary. The indirect effect within clusters is then ``a b + cov(a, b)``.
    centring : {"cluster", "none"}
        Of the predictors of random slopes.
    estimator : {"ml", "mlr"}
        As in `sem`; "mlr" has errors that are robust to non-normality.
    missing : {"listwise", "fiml"}
        As in `sem`.
    fixed_x : bool
        As in `sem`.

    Returns
    -------
    Mediation
        ``.effects``, ``.conf_int(method)``, ``.equations``, ``.fit``, ``.sensitivity()``,
        ``.proportion_mediated``, ``.reliability``, ``.summary()``.

    Raises
    ------
    OptionError
        A design or option that is not offered, or options that do not go together.
    DataError
        Columns are missing or hold no numbers, or a variable varies at another level than the
        design says; every fault is listed.

    Warns
    -----
    FewGroups, ConflatedSlopes, UnreliableMeans, ImproperSolution
        What the effects should not be trusted for; the same stands in the summary.

    Notes
    -----
    Two-level designs are multilevel structural equations [1]_: a variable of members has a latent
    part at each level, so that paths within and between clusters are not mixed up. An effect
    that starts from, or passes through, a variable of clusters exists between clusters only:
    that of "2-1-1" is ``a_between * b_between``. With random slopes predictors are centred at
    their cluster means, and the mean of x predicts between clusters [2]_.

    In R: ``lavaan::sem(result.equations, data, cluster = "school")`` and
    ``semTools::monteCarloCI``.

    References
    ----------
    .. [1] Preacher, Zyphur, Zhang (2010). A general multilevel SEM framework for assessing
       multilevel mediation. Psychological Methods 15(3). doi:10.1037/a0020141
    .. [2] Bauer, Preacher, Gil (2006). Conceptualizing and testing random indirect effects and
       moderated mediation in multilevel models. Psychological Methods 11(2).
       doi:10.1037/1082-989X.11.2.142

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82").assign(
    ...     catholic=lambda d: (d["sector"] == "Catholic").astype(float)
    ... )
    >>> found = tl.mediate("2-1-1", x="catholic", m="ses", y="mathach", data=hsb, cluster="school")
    >>> print(found.equations)
    level: within
        mathach ~ b_within*ses
    level: between
        ses ~ a_between*catholic
        mathach ~ b_between*ses + c_between*catholic
    indirect_between := a_between*b_between
    total_between := c_between + indirect_between
    indirect_less_direct_between := indirect_between - c_between
    b_between_less_within := b_between - b_within
    >>> found.effects.set_index("label")[["estimate", "std_error"]].loc["indirect_between"].round(2)
    estimate     1.64
    std_error    0.36
    Name: indirect_between, dtype: float64
    """
    spec = specify(
        design, x, m, y, serial=serial, cluster=cluster, covariates=covariates,
        measures=measures, random_slopes=random_slopes, centring=centring,
    )  # fmt: skip
    there = take(data, spec)
    effects = effects_of(spec)
    equations = write(spec, there, effects)
    cautions = before(there)
    tell(cautions)
    own = None if design == "2-2-2" else cluster
    fit = sem(equations, there.frame, own, missing=missing, estimator=estimator, fixed_x=fixed_x)
    odd = improper(fit.improper)
    tell(odd)
    return Mediation(spec, there, equations, tuple(effects), fit, (*cautions, *odd))
