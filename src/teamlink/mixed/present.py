"""What a mixed fit says of itself: the tidy table and the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from teamlink.fitting.summary import Summary, SummaryTable, number, p_text

if TYPE_CHECKING:
    from teamlink.mixed.result import MixedFit

__all__ = ["summarize", "tidy"]

_DF_WORDS = {
    "satterthwaite": "Satterthwaite's degrees of freedom",
    "residual": "n - p degrees of freedom",
    "normal": "normal tests",
}


def tidy(fit: MixedFit, level: float) -> pd.DataFrame:
    """See `MixedFit.tidy`."""
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
    varcorr = fit.varcorr
    names = [
        "sd__Observation" if group == "Residual"
        else f"sd__{one}" if pd.isna(two) else f"cor__{one}.{two}"
        for group, one, two in zip(varcorr["group"], varcorr["term1"], varcorr["term2"], strict=True)
    ]  # fmt: skip
    random = pd.DataFrame(
        {
            "effect": "ran_pars",
            "group": varcorr["group"],
            "term": names,
            "estimate": varcorr["sdcor"],
        }
    ).reindex(columns=fixed.columns)
    numeric = fixed.columns[3:]
    return pd.concat(
        [fixed.astype({"group": object}), random.astype({c: float for c in numeric})],
        ignore_index=True,
    )


def summarize(fit: MixedFit, level: float) -> Summary:
    """See `MixedFit.summary`."""
    groups = ", ".join(f"{name} {count}" for name, count in fit.ngroups.items())
    criterion = "REML criterion" if fit.method == "REML" else "Deviance"
    facts = (
        ("Formula", str(fit.formula)),
        ("Rows", f"{fit.nobs}"),
        ("Groups", groups),
        (criterion, number(fit.deviance)),
        ("Log-likelihood", f"{number(fit.llf)}  ({fit.n_parameters} parameters)"),
        ("AIC, BIC", f"{number(fit.aic, 2)}, {number(fit.bic, 2)}"),
    )
    title = f"Linear mixed model fitted by {fit.method}"
    return Summary(title, facts, (_random_table(fit), _fixed_table(fit, level)), _remarks(fit))


def _random_table(fit: MixedFit) -> SummaryTable:
    covariance = fit.sigma**2 * fit.Lambda @ fit.Lambda.T
    sd = np.sqrt(np.diag(covariance))
    names, group = fit.model.design.z_names, fit.model.design.group
    rows: list[tuple[str, ...]] = []
    width = max(fit.model.structure.blocks) - 1
    for block in fit.model.structure.slices:
        for i in range(block.start, block.stop):
            r = [
                f"{covariance[i, j] / (sd[i] * sd[j]):.3f}" if sd[i] * sd[j] > 0 else "-"
                for j in range(block.start, i)
            ]
            label = group if i == 0 else ""
            cells = (label, names[i], number(covariance[i, i]), number(sd[i]), *r)
            rows.append(cells + ("",) * (4 + width - len(cells)))
    rows.append(("Residual", "", number(fit.sigma**2), number(fit.sigma), *[""] * width))
    correlation = ("Corr",) + ("",) * (width - 1) if width else ()
    header = ("Group", "Term", "Variance", "Std. dev.", *correlation)
    return SummaryTable("Random effects", header, tuple(rows), labels=2)


def _fixed_table(fit: MixedFit, level: float) -> SummaryTable:
    interval = fit.conf_int(level)
    share = f"{100 * level:g}%"
    rows = tuple(
        (
            name, number(fit.params[name]), number(fit.bse[name]), number(fit.df[name], 1),
            number(fit.tvalues[name], 2), p_text(fit.pvalues[name]),
            number(interval.loc[name, "conf_low"]), number(interval.loc[name, "conf_high"]),
        )
        for name in fit.estimates.names
    )  # fmt: skip
    header = ("Term", "Estimate", "Std. error", "df", "t", "p", f"{share} low", "high")
    return SummaryTable("Fixed effects", header, rows)


def _remarks(fit: MixedFit) -> tuple[str, ...]:
    """What a reader must know before quoting the table."""
    said = [f"Tests and intervals: {_DF_WORDS[fit.estimates.method]}."]
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
