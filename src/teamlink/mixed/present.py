"""What a mixed fit says of itself: the tidy table and the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from teamlink.fitting.summary import Summary, SummaryTable, number, p_text

if TYPE_CHECKING:
    from teamlink.mixed.generalized.result import GeneralizedFit
    from teamlink.mixed.result import MixedFit

__all__ = ["method_words", "summarize", "tidy"]

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


def tidy(fit: MixedFit | GeneralizedFit, level: float) -> pd.DataFrame:
    """See `MixedFit.tidy` and `GeneralizedFit.tidy`."""
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
    tables = [_random_table(fit), _fixed_table(fit, level)]
    if design.residuals is not None:
        tables.insert(1, _residual_table(fit))
    return Summary(f"{kind} fitted by {fit.method}", facts, tuple(tables), _remarks(fit))


def _residual_table(fit: MixedFit) -> SummaryTable:
    rows = tuple((str(name), number(value)) for name, value in fit.residual.items())
    return SummaryTable("Residual structure", ("Parameter", "Estimate"), rows)


def _random_table(fit: MixedFit) -> SummaryTable:
    covariance = fit.sigma**2 * fit.Lambda @ fit.Lambda.T
    sd = np.sqrt(np.diag(covariance))
    effects = fit.model.design.effects
    rows: list[tuple[str, ...]] = []
    width = max(fit.model.structure.blocks, default=1) - 1
    shown = ""
    for block in fit.model.structure.slices:
        for i in range(block.start, block.stop):
            r = [
                f"{covariance[i, j] / (sd[i] * sd[j]):.3f}" if sd[i] * sd[j] > 0 else "-"
                for j in range(block.start, i)
            ]
            group, name = effects[i]
            label = "" if group == shown else group
            cells = (label, name, number(covariance[i, i]), number(sd[i]), *r)
            shown = group
            rows.append(cells + ("",) * (4 + width - len(cells)))
    rows.append(("Residual", "", number(fit.sigma**2), number(fit.sigma), *[""] * width))
    correlation = ("Corr",) + ("",) * (width - 1) if width else ()
    header = ("Group", "Term", "Variance", "Std. dev.", *correlation)
    return SummaryTable("Random effects", header, tuple(rows), labels=2)


def _fixed_table(fit: MixedFit, level: float) -> SummaryTable:
    share = f"{100 * level:g}%"
    said = fit.estimates
    low, high = said.interval(level)
    columns = (said.values, said.std_error, said.df, said.statistic, said.p_value, low, high)
    rows = tuple(
        (
            name, number(estimate), number(se), number(df, 1), number(t, 2), p_text(p),
            number(lower), number(upper),
        )
        for name, (estimate, se, df, t, p, lower, upper) in zip(
            said.names, np.stack([c[0] for c in columns], axis=1), strict=True
        )
    )  # fmt: skip
    header = ("Term", "Estimate", "Std. error", "df", "t", "p", f"{share} low", "high")
    return SummaryTable("Fixed effects", header, rows)


def _remarks(fit: MixedFit) -> tuple[str, ...]:
    """What a reader must know before quoting the table."""
    said = [f"Tests and intervals: {method_words(fit.estimates.method)}."]
    if fit.estimates.method.startswith("CR"):
        clusters = fit.independent("robust").resolved_clusters()
        said[0] = f"{said[0][:-1]}; {clusters.count} clusters by {clusters.name}."
    if fit.dropped:
        shown = ", ".join(f"{count} for {name}" for name, count in fit.dropped.items())
        said.append(f"{sum(fit.dropped.values())} rows left out for missing values: {shown}.")
    if fit.aliased:
        said.append(f"Determined by the other columns, left out: {', '.join(fit.aliased)}.")
    if fit.boundary:
        said.append("On the boundary: a variance is zero or a correlation is one. A valid fit.")
    if not fit.converged:
        said.append(f"NOT CONVERGED: {fit.convergence.message}.")
    return tuple(said)
