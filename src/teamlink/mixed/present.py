"""What a mixed fit says of itself: the tidy table and the summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from teamlink.fitting.estimates import Estimates
from teamlink.fitting.summary import Summary, SummaryTable, number, p_text
from teamlink.mixed.components import Block

if TYPE_CHECKING:
    from teamlink.mixed.generalized.result import GeneralizedFit
    from teamlink.mixed.grouped import GroupedFit
    from teamlink.mixed.result import MixedFit

__all__ = ["common_remarks", "fixed_table", "method_words", "random_table", "summarize", "tidy"]

_DF_WORDS = {
    "satterthwaite": "Satterthwaite's degrees of freedom",
    "kenward-roger": "Kenward and Roger's covariance and degrees of freedom",
    "residual": "n - p degrees of freedom",
    "normal": "normal tests",
    "hessian": "normal tests; standard errors from the Hessian in all parameters",
    "conditional": "normal tests; standard errors with the variances taken as known",
}
_DF_WORDS |= {
    kind: f"cluster-robust covariance ({kind}) with Satterthwaite's degrees of freedom"
    for kind in ("CR0", "CR1", "CR1S", "CR2", "CR3")
}


def method_words(method: str) -> str:
    """How a summary says a method of tests."""
    return _DF_WORDS[method]


def tidy(fit: GroupedFit, level: float) -> pd.DataFrame:
    """See `GroupedFit.tidy`."""
    interval = fit.conf_int(level)
    fixed = pd.DataFrame(
        {
            "effect": "fixed",
            "group": None,
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
    components = fit.model.components(fit.working_theta[None])
    random = pd.DataFrame(
        {
            "effect": "ran_pars",
            "group": list(components.groups),
            "term": list(components.terms),
            "estimate": components.values[0],
        }
    ).reindex(columns=fixed.columns)
    numeric = fixed.columns[3:]
    return pd.concat(
        [fixed.astype({"group": object}), random.astype(dict.fromkeys(numeric, float))],
        ignore_index=True,
    )


def summarize(fit: MixedFit, level: float) -> Summary:
    """See `MixedFit.summary`."""
    groups = ", ".join(f"{name} {count}" for name, count in fit.ngroups.items()) or "none"
    design = fit.model.design
    said: tuple[tuple[str, str], ...] = ()
    if design.weights is not None:
        said += (("Precision weights", design.weights.name),)
    if design.residuals is not None:
        said += (("Residuals", str(design.residuals.structure)),)
    criterion = "REML criterion" if fit.method == "REML" else "Deviance"
    facts = (
        ("Formula", str(fit.formula)),
        ("Rows", f"{fit.nobs}"),
        ("Groups", groups),
        *said,
        (criterion, number(fit.deviance)),
        ("Log-likelihood", f"{number(fit.llf)}  ({fit.n_parameters} parameters)"),
        ("AIC, BIC", f"{number(fit.aic, 2)}, {number(fit.bic, 2)}"),
    )
    kind = "Linear mixed model" if design.factors else "Linear model with a residual structure"
    tables = [random_table(fit.blocks, fit.sigma), fixed_table(fit.estimates, level)]
    if design.residuals is not None:
        tables.insert(1, _residual_table(fit))
    return Summary(f"{kind} fitted by {fit.method}", facts, tuple(tables), _remarks(fit))


def _residual_table(fit: MixedFit) -> SummaryTable:
    rows = tuple((str(name), number(value)) for name, value in fit.residual.items())
    return SummaryTable("Residual structure", ("Parameter", "Estimate"), rows)


def random_table(blocks: Sequence[Block], residual_sd: float | None) -> SummaryTable:
    """Variances, standard deviations and correlations, a row an effect."""
    rows: list[tuple[str, ...]] = []
    width = max((len(block.names) for block in blocks), default=1) - 1
    shown = ""
    for block in blocks:
        for i, (name, sd) in enumerate(zip(block.names, block.sd, strict=True)):
            found = [block.correlation(i, j) for j in range(i)]
            r = ["-" if np.isnan(each) else f"{each:.3f}" for each in found]
            label = "" if block.group == shown else block.group
            shown = block.group
            rows.append((label, name, number(sd**2), number(sd), *r, *[""] * (width - i)))
    if residual_sd is not None:
        rows.append(("Residual", "", number(residual_sd**2), number(residual_sd), *[""] * width))
    correlation = ("Corr",) + ("",) * (width - 1) if width else ()
    header = ("Group", "Term", "Variance", "Std. dev.", *correlation)
    return SummaryTable("Random effects", header, tuple(rows), labels=2)


def fixed_table(
    said: Estimates, level: float, statistic: str = "t", title: str = "Fixed effects"
) -> SummaryTable:
    """Coefficients with tests and intervals; normal tests, named z, print no degrees of freedom."""
    share = f"{100 * level:g}%"
    low, high = said.interval(level)
    columns = (said.values, said.std_error, said.df, said.statistic, said.p_value, low, high)
    rows = []
    for name, (estimate, se, df, t, p, lower, upper) in zip(
        said.names, np.stack([c[0] for c in columns], axis=1), strict=True
    ):
        spare = () if statistic == "z" else (number(df, 1),)
        test = (*spare, number(t, 2), p_text(p))
        rows.append((name, number(estimate), number(se), *test, number(lower), number(upper)))
    df_head = () if statistic == "z" else ("df",)
    ends = (f"{share} low", "high")
    header = ("Term", "Estimate", "Std. error", *df_head, statistic, "p", *ends)
    return SummaryTable(title, header, tuple(rows))


def common_remarks(fit: MixedFit | GeneralizedFit, boundary: str) -> tuple[str, ...]:
    """What a reader must know of any mixed fit before quoting the table; `boundary` says where."""
    said = []
    if fit.dropped:
        shown = ", ".join(f"{count} for {name}" for name, count in fit.dropped.items())
        said.append(f"{sum(fit.dropped.values())} rows left out for missing values: {shown}.")
    if fit.aliased:
        said.append(f"Determined by the other columns, left out: {', '.join(fit.aliased)}.")
    if fit.boundary:
        said.append(f"On the boundary: {boundary}. A valid fit.")
    if not fit.converged:
        said.append(f"NOT CONVERGED: {fit.convergence.message}.")
    return tuple(said)


def _remarks(fit: MixedFit) -> tuple[str, ...]:
    said = f"Tests and intervals: {method_words(fit.estimates.method)}"
    if fit.estimates.method.startswith("CR"):
        clusters = fit.independent("robust").resolved_clusters()
        said += f"; {clusters.count} clusters by {clusters.name}"
    return f"{said}.", *common_remarks(fit, "a variance is zero or a correlation is one")
