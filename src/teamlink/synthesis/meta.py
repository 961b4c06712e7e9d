"""Pool effects over studies: what is given is checked here, and put into arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from teamlink.data.schema import group_codes, validate
from teamlink.errors import DataError, DesignError, Faults, OptionError, check_option
from teamlink.fitting.fit import single_thread
from teamlink.mixed.encoding import Encoding, encode
from teamlink.mixed.rows import usable_rows
from teamlink.syntax.formula import parse
from teamlink.synthesis.clusters import KINDS
from teamlink.synthesis.fit import Choices, fit_numbers
from teamlink.synthesis.pooling import METHODS, Effects, q_profile
from teamlink.synthesis.result import MetaAnalysis
from teamlink.typing import Array, Codes, Table

__all__ = ["meta"]

Column = str | Sequence[Any] | Array | Any
"""The name of a column, or values (k,)."""

_SHOWN = {"effects": "effect", "variances": "variance", "std_error": "std_error",
          "study": "study", "cluster": "cluster"}  # fmt: skip


def meta(
    effects: Column,
    variances: Column | None = None,
    *,
    std_error: Column | None = None,
    study: Column | None = None,
    data: Table | None = None,
    moderators: str | None = None,
    method: Literal["reml", "ml", "dl", "pm", "fe"] = "reml",
    knha: bool | Literal["adhoc"] = True,
    cluster: Column | None = None,
    nested: bool = False,
    robust: Literal["CR2", "CR1", "CR0", "none"] = "CR2",
    level: float = 0.95,
) -> MetaAnalysis:
    r"""Pool effects over studies: random-effects meta-analysis and meta-regression.

    Parameters
    ----------
    effects : str or (k,) values
        The effects, one a row: with `data` the name of a column, else values.
        `teamlink.effect_sizes` makes them of correlations, means or counts.
    variances, std_error : str or (k,) values
        Their sampling variances, or the roots of them: one of the two.
    study : str or (k,) values, optional
        A label for each effect. Labels that come twice say that a study has several effects,
        which are not independent: give that column as `cluster` instead, or too.
    data : table, optional
        Any frame, or a mapping of columns.
    moderators : str, optional
        What the effects may depend on, as the right side of a formula: ``"year + allocation"``.
    method : {"reml", "ml", "dl", "pm", "fe"}
        How the heterogeneity tau2 is estimated: restricted maximum likelihood, maximum
        likelihood, DerSimonian and Laird, Paule and Mandel; ``"fe"`` assumes that there is none.
    knha : bool or "adhoc"
        Knapp and Hartung's variance with t tests, rather than normal ones; ``"adhoc"`` never lets
        it become smaller than the usual one. Not for ``method="fe"``.
    cluster : str or (k,) values, optional
        Groups of effects that may depend on each other, such as those of one study. Standard
        errors are then robust to it.
    nested : bool
        Three levels: beside tau2 within clusters a variance between them. By REML or ML.
    robust : {"CR2", "CR1", "CR0", "none"}
        The robust covariance, with `cluster`; ``"none"`` trusts the model.
    level : float
        Of all intervals.

    Returns
    -------
    MetaAnalysis
        ``.params``, ``.bse``, ``.pvalues``, ``.conf_int()``, ``.tau2``, ``.tau2_interval``,
        ``.i2``, ``.h2``, ``.q``, ``.prediction_interval()``, ``.tidy()``, ``.summary()``,
        ``.leave_one_out()``, ``.egger()``, ``.plot()``, ``.funnel()``.

    Raises
    ------
    DataError
        Variances that are not above zero, labels of studies that come twice without `cluster`,
        columns that are missing or differ in length.
    DesignError
        Fewer than two effects, no more effects than coefficients, moderators that determine each
        other, fewer than two clusters.
    OptionError
        An argument that is not offered or does not go with the others.
    FormulaError
        Moderators that cannot be read.
    FitError
        No finite estimate.

    Warns
    -----
    DroppedRows
        Rows with a missing value were left out.

    Notes
    -----
    :math:`y_i = x_i'\beta + u_i + e_i` with :math:`u_i \sim N(0, \tau^2)` and :math:`e_i \sim
    N(0, v_i)`, :math:`v_i` known; weights are :math:`w_i = 1 / (v_i + \tau^2)`. Knapp and
    Hartung's covariance is :math:`(X'WX)^{-1} \sum w_i (y_i - x_i'\hat\beta)^2 / (k - p)` [1]_,
    with t tests on k - p degrees of freedom. The interval of :math:`\tau^2` holds the values at
    which Q is no surprise [2]_. With clusters the covariance is that of `teamlink.robust`, with
    Satterthwaite's degrees of freedom [3]_.

    In R: ``metafor::rma(yi, vi, mods = ~ x, method = "REML", test = "knha")``; with clusters
    ``clubSandwich::coef_test(fit, vcov = "CR2", cluster = study)``; nested ``metafor::rma.mv(yi,
    vi, random = ~ 1 | study/effect)``.

    References
    ----------
    .. [1] Knapp, G., & Hartung, J. (2003). Improved tests for a random effects meta-regression
       with a single covariate. *Statistics in Medicine*, 22(17). https://doi.org/10.1002/sim.1482
    .. [2] Viechtbauer, W. (2007). Confidence intervals for the amount of heterogeneity in
       meta-analysis. *Statistics in Medicine*, 26(1). https://doi.org/10.1002/sim.2514
    .. [3] Tipton, E., & Pustejovsky, J. E. (2015). Small-sample adjustments for tests of
       moderators and model fit using robust variance estimation in meta-regression. *Journal of
       Educational and Behavioral Statistics*, 40(6). https://doi.org/10.3102/1076998615606099

    Examples
    --------
    >>> import teamlink as tl
    >>> found = tl.meta([0.10, 0.30, 0.35, 0.65], std_error=[0.18, 0.12, 0.16, 0.20])
    >>> found.tidy()[["estimate", "std_error", "df", "conf_low", "conf_high"]].round(3)
       estimate  std_error   df  conf_low  conf_high
    0     0.329      0.094  3.0     0.028      0.629
    >>> round(found.tau2, 4), round(found.i2, 3)
    (0.0015, 0.056)
    """
    choices = _choices(method, knha, cluster, nested, robust, level)
    given = {"effects": effects, "variances": variances, "std_error": std_error,
             "study": study, "cluster": cluster}  # fmt: skip
    table, names = _table(given, data, moderators)
    frame, encoding, X, dropped = _rows(table, names, moderators)
    y = frame[names["effects"]].to_numpy(dtype=float)
    spread = "variances" if variances is not None else "std_error"
    v = frame[names[spread]].to_numpy(dtype=float)
    labels = frame[names["study"]] if study is not None else None
    clusters, clustered = _clusters(frame, names.get("cluster"))
    _check(v, spread, labels, clusters, frame, X, encoding.names)
    pooled = Effects(y, np.square(v) if spread == "std_error" else v, X)
    joint = [i for i, name in enumerate(encoding.names) if name != "Intercept"]
    with single_thread().limit(limits=1):
        numbers = fit_numbers(pooled, clusters, choices, joint)
        interval = None
        if not (choices.nested or method == "fe"):
            interval = q_profile(pooled, level)
    shown = labels if labels is not None else clustered
    titles = [str(s) for s in shown] if shown is not None else [str(i + 1) for i in range(len(y))]
    return MetaAnalysis(
        pooled, encoding, tuple(titles), clusters, choices, numbers, interval, level, dropped
    )


def _choices(
    method: str, knha: bool | str, cluster: Any, nested: bool, robust: str, level: float
) -> Choices:
    check_option("method", method, tuple(METHODS))
    check_option("knha", knha, (True, False, "adhoc"))
    check_option("robust", robust, (*KINDS, "none"))
    if not 0 < level < 1:
        raise OptionError(f"level={level!r}: a confidence level lies between 0 and 1")
    if nested and cluster is None:
        raise OptionError("nested=True: say which effects belong together, cluster=")
    if nested and method not in ("reml", "ml"):
        raise OptionError(f"nested=True goes with method 'reml' or 'ml', not {method!r}")
    kind = None if cluster is None or robust == "none" else robust
    return Choices(method, knha, nested, kind)


def _table(
    given: dict[str, Any], data: Table | None, moderators: str | None
) -> tuple[Table, dict[str, str]]:
    """The table, and the name of the column for each argument."""
    used = {name: value for name, value in given.items() if value is not None}
    if ("variances" in used) == ("std_error" in used):
        raise OptionError("give either variances or std_error")
    if data is not None:
        wrong = [name for name, value in used.items() if not isinstance(value, str)]
        if wrong:
            raise OptionError(f"with data= give names of columns; not so: {', '.join(wrong)}")
        return data, used
    if moderators is not None:
        raise OptionError("moderators: they are columns of a table; give data=")
    named = [name for name, value in used.items() if isinstance(value, str)]
    if named:
        raise OptionError(f"{', '.join(named)}: names of columns go with data=")
    columns = {_SHOWN[name]: list(value) for name, value in used.items()}
    return columns, {name: _SHOWN[name] for name in used}


def _rows(
    table: Table, names: dict[str, str], moderators: str | None
) -> tuple[pd.DataFrame, Encoding, Array, int]:
    """Complete rows, and the moderators' columns (k, p)."""
    right = "1" if moderators is None else re.sub(r"^\s*~", "", moderators)
    formula = parse(f"`{names['effects']}` ~ {right}")
    if formula.random:
        raise OptionError("moderators: random effects by study are asked for by cluster=, nested=")
    spread = "variances" if "variances" in names else "std_error"
    validate(
        table,
        numeric=[names["effects"], names[spread]],
        groups=[names[name] for name in ("study", "cluster") if name in names],
    )
    frame, _, dropped = usable_rows(formula, table, (), list(names.values()))
    fixed = "1" if formula.fixed == "1" else f"1 + {formula.fixed}"
    X, encoding = encode({"fixed": fixed}, frame, formula.text)["fixed"]
    return frame, encoding, X, sum(dropped.values())


def _clusters(frame: pd.DataFrame, column: str | None) -> tuple[Codes | None, Any]:
    if column is None:
        return None, None
    codes, _ = group_codes(frame, column)
    return codes, frame[column]


def _check(
    v: Array,
    spread: str,
    labels: pd.Series[Any] | None,
    clusters: Codes | None,
    frame: pd.DataFrame,
    X: Array,
    names: tuple[str, ...],
) -> None:
    """Everything wrong with the rows, then with the design."""
    faults = Faults()
    bad = ~(v > 0)
    if bad.any():
        who = (labels if labels is not None else frame.index.to_series())[bad].astype(str)
        faults.add(
            f"{int(bad.sum())} not above zero, at {', '.join(who.head(5))}",
            "sampling variances" if spread == "variances" else "standard errors",
            "leave out effects without one, or compute it",
        )
    if labels is not None and clusters is None:
        twice = labels[labels.duplicated()].astype(str).drop_duplicates()
        if len(twice):
            faults.add(
                f"{len(twice)} studies have several effects: {', '.join(twice.head(5))}",
                "column of studies",
                "effects of one study depend on each other: give cluster=, or pool them first",
            )
    faults.raise_if_any(DataError)
    k, p = X.shape
    if k < 2:
        faults.add(f"{k} effect", "the table", "pooling takes at least two")
    elif k <= p:
        faults.add(f"{k} effects for {p} coefficients", "moderators", "use fewer moderators")
    elif np.linalg.matrix_rank(X) < p:
        faults.add(
            f"some of {', '.join(names)} follow from the others", "moderators", "leave one out"
        )
    if clusters is not None and k >= 2 and clusters.max() < max(1, p):
        count = int(clusters.max()) + 1
        faults.add(f"{count} clusters for {p} coefficients", "clusters", "there must be more")
    faults.raise_if_any(DesignError)
