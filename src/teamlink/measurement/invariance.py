"""Measurement invariance across groups, or across levels: a ladder of models in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from teamlink.errors import OptionError, nearest
from teamlink.measurement.ladder import Invariance, ladder_table, same_text
from teamlink.measurement.rungs import GROUP_RUNGS, Rung, checked_rungs, level_text
from teamlink.structural.estimation import Estimator, sem
from teamlink.structural.result import StructuralFit
from teamlink.syntax.equations import Equations, read_equations
from teamlink.syntax.statements import Block
from teamlink.typing import Table

__all__ = ["invariance"]


def invariance(
    model: str | Equations,
    data: Table,
    *,
    group: str | None = None,
    cluster: str | None = None,
    levels: bool = False,
    rungs: Sequence[Rung] | None = None,
    free: Sequence[str] = (),
    estimator: Estimator = "ml",
    missing: Literal["listwise", "fiml"] = "listwise",
    std_lv: bool = False,
) -> Invariance:
    r"""Climb the ladder of measurement invariance, across groups or across levels.

    Parameters
    ----------
    model : str
        A measurement model in lavaan's language, ``f =~ x1 + x2 + x3``. Across groups it may have
        two levels (blocks ``level: 1`` and ``level: 2``); across levels it has none, as the two
        levels are written from it.
    data : table
        A row for each respondent.
    group : str, optional
        Column of groups, across which invariance is asked.
    cluster : str, optional
        Column of clusters. With ``levels=True`` the second level; with blocks of levels likewise;
        else standard errors and tests are robust to clustering.
    levels : bool
        Across the levels within and between clusters, not across groups.
    rungs : sequence of str, optional
        Across groups "configural", "metric" (or "weak"), "scalar" (or "strong"), "strict", by
        default these four, then "lv_variances", "lv_covariances", "means". Each holds equal what
        the rungs before it that are asked for do, and its own class. Across levels "configural",
        "metric", "strong".
    free : sequence of str
        Parameters that stay free nevertheless, as ``["visual=~x2", "x3~1", "x3~~x3"]``: partial
        invariance.
    estimator : {"ml", "mlr", "mlm"}
        As for `teamlink.sem`; with a robust one chi-squares and their differences are scaled.
    missing : {"listwise", "fiml"}
        As for `teamlink.sem`.
    std_lv : bool
        Identify factors by a variance of one, not by the first loading.

    Returns
    -------
    Invariance
        ``.table`` (fit of each rung, tests and changes), ``.fits``, ``.release_tests(rung)``,
        ``.cutoffs``, ``.summary()``.

    Raises
    ------
    OptionError
        Neither or both of groups and levels, a rung that is not offered, a parameter in `free`
        that is not there, a model with blocks of groups.
    FormulaError, DataError, DesignError, FitError
        As for `teamlink.sem`.

    Warns
    -----
    DroppedRows, NotConverged

    Notes
    -----
    Across groups, identification changes with the rung, as in lavaan. With markers the loading of
    the first indicator is one throughout; with ``std_lv`` variances of factors are one in the
    first group only, from "metric" on. From "scalar" on means of factors are zero in the first
    group and free in the others; with two levels it is those between clusters. A marker is taken
    to be invariant: where its loading is not, choose another one.

    Across levels [3]_, with markers or unit variances within, y = between + within,

    .. math:: \Sigma_W = \Lambda_W \Phi_W \Lambda_W' + \Theta_W, \qquad
              \Sigma_B = \Lambda_B \Phi_B \Lambda_B' + \Theta_B,

    "metric" is :math:`\Lambda_W = \Lambda_B`, without which a factor does not mean the same at
    both levels and its intraclass correlation is none; "strong" adds :math:`\Theta_B = 0`, that
    is, intercepts equal over clusters.

    Changes of CFI, RMSEA and SRMR are judged by Chen's cut-offs [1]_, which are in ``.cutoffs``:
    with more than 300 rows CFI falls by 0.010 at least, and RMSEA rises by 0.015 or SRMR by 0.030
    (loadings) or 0.010 (intercepts, residuals); with fewer 0.005, 0.010, and 0.025 or 0.005. The
    likelihood-ratio test stands beside it: it finds trifles in large samples and little in small
    ones. Cheung and Rensvold [2]_ take a fall of CFI by 0.010 alone.

    In R: ``semTools::measurementInvariance(model, data, group = "school")``, or
    ``lavaan::cfa(..., group.equal = c("loadings", "intercepts"))`` for each rung,
    ``lavTestLRT`` and ``lavTestScore``.

    References
    ----------
    .. [1] Chen (2007). Sensitivity of goodness of fit indexes to lack of measurement invariance.
       Structural Equation Modeling 14(3), 464-504. doi:10.1080/10705510701301834
    .. [2] Cheung, Rensvold (2002). Evaluating goodness-of-fit indexes for testing measurement
       invariance. Structural Equation Modeling 9(2), 233-255. doi:10.1207/S15328007SEM0902_5
    .. [3] Jak, Oort, Dolan (2013). A test for cluster bias: Detecting violations of measurement
       invariance across clusters in multilevel data. Structural Equation Modeling 20(2), 265-282.
       doi:10.1080/10705511.2013.769392

    Examples
    --------
    >>> import numpy as np, pandas as pd, teamlink as tl
    >>> rng = np.random.default_rng(1)
    >>> trust = rng.normal(size=400)
    >>> items = {f"t{i}": trust + rng.normal(size=400) for i in range(1, 5)}
    >>> items["t4"][200:] += 0.8
    >>> data = pd.DataFrame({**items, "town": np.repeat(["north", "south"], 200)})
    >>> model = "trust =~ t1 + t2 + t3 + t4"
    >>> ladder = tl.invariance(model, data, group="town")
    >>> ladder.holds("chen")
    'metric'
    >>> ladder.release_tests("scalar")["parameter"][0]
    't4~1'
    >>> tl.invariance(model, data, group="town", free=["t4~1"]).holds("chen")
    'strict'
    """
    equations = model if isinstance(model, Equations) else read_equations(model)
    _check(equations, group, cluster, levels)
    asked = checked_rungs(rungs, levels)
    kept = same_text(free)
    options: dict[str, Any] = {
        "cluster": cluster, "estimator": estimator, "missing": missing, "meanstructure": True,
    }  # fmt: skip
    fits: dict[str, StructuralFit] = {}
    if levels:
        across = f"levels: within and between {cluster!r}"
        for rung in asked:
            fits[rung] = sem(level_text(equations, rung, kept, std_lv), data, **options)
    else:
        across = f"groups of {group!r}"
        options |= {"group": group, "std_lv": std_lv}
        equal: list[str] = []
        for rung in asked:
            equal += GROUP_RUNGS[rung]
            partial = kept if equal else ()
            fits[rung] = sem(equations, data, group_equal=equal, group_partial=partial, **options)
            if not equal:
                _check_named(kept, fits[rung])
        across += f" ({', '.join(fits[asked[0]].table.groups)})"
    table, cutoffs, notes = ladder_table(fits)
    return Invariance(table, fits, cutoffs, kept, across, levels, tuple(notes))


def _check(equations: Equations, group: str | None, cluster: str | None, levels: bool) -> None:
    if levels == (group is not None):
        raise OptionError(
            "invariance across groups needs group='...', across levels levels=True with "
            "cluster='...': one of them"
        )
    if levels and cluster is None:
        raise OptionError("levels=True needs the column of clusters, cluster='...'")
    kinds = {s.kind for s in equations.statements if isinstance(s, Block)}
    if "group" in kinds:
        raise OptionError("the model has blocks of groups; write one model that serves all groups")
    if levels and kinds:
        raise OptionError("levels=True writes both levels itself; give a model without blocks")


def _check_named(free: Sequence[str], fit: StructuralFit) -> None:
    plain = {row.plain for row in fit.table.rows}
    for name in free:
        if name not in plain:
            raise OptionError(
                f"free: there is no parameter {name!r}; {nearest(name, sorted(plain))}"
            )
