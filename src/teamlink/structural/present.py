"""What a fit of structural equations says of itself: tables and the summary."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from teamlink.errors import OptionError
from teamlink.fitting.summary import Summary, SummaryTable, number, p_text
from teamlink.structural.standardized import standardized, standardized_values
from teamlink.syntax.arithmetic import show
from teamlink.typing import Array

if TYPE_CHECKING:
    from teamlink.structural.result import StructuralFit

__all__ = ["parameter_frame", "standardized_frame", "summarize", "tidy"]

_METHODS = {
    None: "normal theory",
    "mlr": "sandwich standard errors, Yuan-Bentler test",
    "mlm": "Satorra-Bentler standard errors and test",
}


def _labels(fit: StructuralFit) -> dict[str, object]:
    """Columns that say what each row is: rows of the table, then definitions."""
    rows = [(row.lhs, row.op, row.rhs, row.level, row.group, row.label) for row in fit.table.rows]
    rows += [
        (d.name, ":=", show(d.expression), 0, 0, d.name) for d in fit.model.structure.definitions
    ]
    names = ("lhs", "op", "rhs", "level", "group", "label")
    columns: dict[str, object] = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    columns |= {name: np.array(columns[name], dtype=np.int64) for name in ("level", "group")}
    if fit.options.group is not None:
        columns["group_label"] = [fit.table.groups[row[4] - 1] if row[4] else "" for row in rows]
    return columns


def _values(fit: StructuralFit) -> tuple[Array, Array]:
    """Estimates and standard errors of every row and definition."""
    q = fit.model.structure.q
    own = fit.estimates.std_error[0]
    of = fit.model.structure.row_parameter
    se = np.where(of >= 0, own[np.maximum(of, 0)] if q else 0.0, 0.0)
    values = np.concatenate([fit.row_values, fit.estimates.values[0, q:]])
    return values, np.concatenate([se, own[q:]])


def _with_tests(
    columns: dict[str, object], name: str, est: Array, se: Array, level: float
) -> dict[str, object]:
    """Columns with those of estimates, standard errors, tests and intervals."""
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(se > 0, est / se, np.nan)
    half = ndtri(0.5 + level / 2) * se
    return columns | {
        name: est, "se": se, "z": z, "pvalue": 2 * ndtr(-np.abs(z)), "ci_lower": est - half,
        "ci_upper": est + half,
    }  # fmt: skip


def parameter_frame(fit: StructuralFit, level: float = 0.95) -> pd.DataFrame:
    """See `StructuralFit.parameters`."""
    if not 0 < level < 1:
        raise OptionError(f"level={level!r}: a confidence level lies between 0 and 1")
    est, se = _values(fit)
    columns = _with_tests(_labels(fit), "est", est, se, level)
    for kind in ("lv", "all"):
        # A variance that depends on the predictor standardises nothing.
        slopes = bool(fit.table.slopes)
        columns[f"std_{kind}"] = (
            np.nan if slopes else standardized_values(fit.model, fit.row_values, fit.states, kind)
        )
    frame = pd.DataFrame(columns)
    if not fit.table.slopes:
        return frame
    # What only serves the product of slope and predictor says nothing to a reader.
    hidden = {slope.product for slope in fit.table.slopes}
    plain = {(slope.outcome, slope.predictor, slope.group) for slope in fit.table.slopes}
    own = zip(frame["lhs"], frame["rhs"], frame["group"], strict=True)
    first = (frame["op"] == "~") & (frame["level"] == 1)
    fixed = first.to_numpy() & np.array([key in plain for key in own])
    hide = frame["lhs"].isin(hidden).to_numpy() | fixed
    shown: pd.DataFrame = frame[~hide].reset_index(drop=True)
    return shown


def standardized_frame(fit: StructuralFit, kind: Literal["all", "lv"]) -> pd.DataFrame:
    """See `StructuralFit.standardized`."""
    if fit.table.slopes:
        raise OptionError("with random slopes variances depend on predictors: no standard solution")
    values, slopes = standardized(fit.model, fit.x, kind)
    q = fit.model.structure.q
    V = fit.estimates.covariance[0, :q, :q]
    variance = np.einsum("ij,jk,ik->i", slopes, np.nan_to_num(V), slopes)
    # A slope that is rounding belongs to a value that cannot change, as a single standard loading.
    size = np.abs(slopes).max(axis=1, initial=0.0) * np.sqrt(
        np.nan_to_num(np.diag(V)).max(initial=0)
    )
    se = np.sqrt(np.maximum(variance, 0.0))
    se = np.where(se < 1e-9 * np.maximum(size, 1.0), 0.0, se)
    return pd.DataFrame(_with_tests(_labels(fit), "est_std", values, se, 0.95))


def tidy(fit: StructuralFit, level: float) -> pd.DataFrame:
    """See `StructuralFit.tidy`."""
    interval = fit.conf_int(level)
    return pd.DataFrame(
        {
            "term": list(fit.estimates.names),
            "estimate": fit.params.to_numpy(),
            "std_error": fit.bse.to_numpy(),
            "statistic": fit.tvalues.to_numpy(),
            "df": fit.df.to_numpy(),
            "p_value": fit.pvalues.to_numpy(),
            "conf_low": interval["conf_low"].to_numpy(),
            "conf_high": interval["conf_high"].to_numpy(),
        }
    )


_SECTIONS = (
    ("=~", "Loadings"),
    ("~", "Regressions"),
    ("~~", "Covariances and variances"),
    ("~1", "Intercepts"),
    (":=", "Defined parameters"),
)


def _srmr(measures: pd.Series[Any]) -> tuple[str, str]:
    if "srmr" in measures:
        return "SRMR", number(measures["srmr"], 3)
    within, between = measures["srmr_within"], measures["srmr_between"]
    return "SRMR within, between", f"{number(within, 3)}, {number(between, 3)}"


def _of_saturated(measures: pd.Series[Any]) -> str:
    return f"  (saturated {number(measures['logl_h1'])})" if "logl_h1" in measures else ""


def summarize(fit: StructuralFit, level: float) -> Summary:
    """See `StructuralFit.summary`."""
    m = fit.fit_measures
    facts = [
        ("Rows", f"{fit.nobs}" + _sizes(fit)),
        ("Parameters", f"{fit.n_parameters}"),
        ("Log-likelihood", number(fit.llf) + _of_saturated(m)),
        ("AIC, BIC", f"{number(fit.aic, 2)}, {number(fit.bic, 2)}"),
    ]
    if "chisq" in m:
        facts.append(("Chi-square", _test(m["chisq"], int(m["df"]), m["pvalue"])))
    if fit.scaling is not None:
        shown = _test(m["chisq_scaled"], int(m["df"]), m["pvalue_scaled"])
        facts.append(("scaled", f"{shown}, factor {number(m['chisq_scaling_factor'])}"))
    if "cfi" in m:
        facts += [
            ("CFI, TLI", f"{number(m['cfi'], 3)}, {number(m['tli'], 3)}"),
            (
                "RMSEA",
                f"{number(m['rmsea'], 3)}  (90% {number(m['rmsea_ci_lower'], 3)} to "
                f"{number(m['rmsea_ci_upper'], 3)})",
            ),
            _srmr(m),
        ]
    frame = parameter_frame(fit, level)
    tables = []
    levels = len(fit.table.levels)
    for group, k in product(range(1, len(fit.table.groups) + 1), range(1, levels + 1)):
        for op, title in _SECTIONS:
            rows = frame[(frame["op"] == op) & (frame["group"] == group) & (frame["level"] == k)]
            if len(rows):
                where = f"{title}, level {k}" if levels > 1 else title
                tables.append(_table(fit, rows, where, group, level))
    rows = frame[frame["op"] == ":="]
    if len(rows):
        tables.append(_table(fit, rows, "Defined parameters", 0, level))
    return Summary("Structural equations fitted by ML", tuple(facts), tuple(tables), _remarks(fit))


def _sizes(fit: StructuralFit) -> str:
    if fit.options.group is None:
        return ""
    sizes = zip(fit.table.groups, fit.model.observations.values, strict=True)
    return f"  ({', '.join(f'{label} {len(values)}' for label, values in sizes)})"


def _test(chisq: float, df: int, p: float) -> str:
    return f"{number(chisq, 3)} on {df} degrees of freedom" + ("" if p != p else f", p {p_text(p)}")


def _table(
    fit: StructuralFit, rows: pd.DataFrame, title: str, group: int, level: float
) -> SummaryTable:
    several = len(fit.table.groups) > 1 and group > 0
    heading = f"{title}, group {fit.table.groups[group - 1]}" if several else title
    header = ("", "", "", "Label", "Estimate", "Std. error", "z", "p", "low", "high", "Std. all")
    cells = []
    for row in rows.to_dict("records"):
        free = row["se"] > 0 or row["se"] != row["se"]
        label = "" if row["op"] == ":=" else str(row["label"])
        cells.append(
            (
                str(row["lhs"]), str(row["op"]), str(row["rhs"]), label, number(row["est"]),
                number(row["se"]) if free else "", number(row["z"], 2) if free else "",
                p_text(row["pvalue"]) if row["z"] == row["z"] else "",
                number(row["ci_lower"]) if free else "", number(row["ci_upper"]) if free else "",
                number(row["std_all"], 3),
            )
        )  # fmt: skip
    return SummaryTable(f"{heading} ({100 * level:g}% intervals)", header, tuple(cells), labels=4)


def _remarks(fit: StructuralFit) -> tuple[str, ...]:
    """What a reader must know before quoting the table."""
    said = [f"Tests and intervals: {_METHODS[fit.options.robust]}."]
    seen = fit.model.observations
    if fit.options.cluster is not None:
        J = sum(seen.n_clusters)
        if len(fit.table.levels) == 2:
            said.append(f"Two levels: {seen.n_rows} rows in {J} clusters of {fit.options.cluster}.")
        else:
            said.append(f"Scores are summed over the {J} clusters of {fit.options.cluster}.")
    if fit.table.conventions.fixed_x and any(roles.exogenous for roles in fit.table.roles):
        names = dict.fromkeys(name for roles in fit.table.roles for name in roles.exogenous)
        said.append(f"Moments of exogenous variables are those of the sample: {', '.join(names)}.")
    if seen.dropped:
        shown = ", ".join(f"{count} for {name}" for name, count in seen.dropped.items())
        said.append(f"{sum(seen.dropped.values())} rows left out for missing values: {shown}.")
    if fit.improper:
        said.append(f"IMPROPER: {'; '.join(fit.improper)}.")
    if fit.boundary:
        said.append("A parameter lies on a bound that the model gives.")
    if not fit.converged:
        said.append(f"NOT CONVERGED: {fit.convergence.message}.")
    return tuple(said)
