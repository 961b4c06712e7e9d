"""What a generalized fit says of itself: the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from teamlink.fitting.summary import Summary, SummaryTable, number, p_text
from teamlink.mixed.present import method_words

if TYPE_CHECKING:
    from teamlink.mixed.generalized.result import GeneralizedFit

__all__ = ["summarize_generalized"]


def summarize_generalized(fit: GeneralizedFit, level: float) -> Summary:
    """See `GeneralizedFit.summary`."""
    groups = ", ".join(f"{name} {count}" for name, count in fit.ngroups.items())
    facts = [
        ("Formula", str(fit.formula)),
        ("Family, link", f"{fit.family}, {fit.link}"),
        ("Rows", f"{fit.nobs}"),
        ("Groups", groups),
        ("Deviance", number(fit.deviance)),
        ("Log-likelihood", f"{number(fit.llf)}  ({fit.n_parameters} parameters)"),
        ("AIC, BIC", f"{number(fit.aic, 2)}, {number(fit.bic, 2)}"),
    ]
    if fit.event is not None:
        facts.insert(2, ("Event", f"{fit.formula.response} = {fit.event}"))
    for name, value in fit.dispersion.items():
        facts.append((f"Dispersion {name}", number(value)))
    title = f"Generalized linear mixed model by {fit.method}"
    return Summary(
        title, tuple(facts), (_random_table(fit), _fixed_table(fit, level)), _remarks(fit)
    )


def _random_table(fit: GeneralizedFit) -> SummaryTable:
    rows: list[tuple[str, ...]] = []
    structures = fit.model.structures
    width = max(max(s.blocks) for s in structures) - 1
    for factor, structure in zip(fit.model.design.factors, structures, strict=True):
        covariance = fit.Lambda[factor.name] @ fit.Lambda[factor.name].T
        sd = np.sqrt(np.diag(covariance))
        for block in structure.slices:
            for i in range(block.start, block.stop):
                r = [
                    f"{covariance[i, j] / (sd[i] * sd[j]):.3f}" if sd[i] * sd[j] > 0 else "-"
                    for j in range(block.start, i)
                ]
                label = factor.name if i == 0 else ""
                cells = (label, factor.names[i], number(covariance[i, i]), number(sd[i]), *r)
                rows.append(cells + ("",) * (4 + width - len(cells)))
    if fit.family == "gaussian":
        rows.append(("Residual", "", number(fit.sigma**2), number(fit.sigma), *[""] * width))
    correlation = ("Corr",) + ("",) * (width - 1) if width else ()
    header = ("Group", "Term", "Variance", "Std. dev.", *correlation)
    return SummaryTable("Random effects", header, tuple(rows), labels=2)


def _fixed_table(fit: GeneralizedFit, level: float) -> SummaryTable:
    share = f"{100 * level:g}%"
    said = fit.estimates
    low, high = said.interval(level)
    columns = (said.values, said.std_error, said.statistic, said.p_value, low, high)
    rows = tuple(
        (
            name, number(estimate), number(se), number(z, 2), p_text(p), number(lower),
            number(upper),
        )
        for name, (estimate, se, z, p, lower, upper) in zip(
            said.names, np.stack([c[0] for c in columns], axis=1), strict=True
        )
    )  # fmt: skip
    header = ("Term", "Estimate", "Std. error", "z", "p", f"{share} low", "high")
    thresholds = "Thresholds and fixed effects" if fit.family == "ordinal" else "Fixed effects"
    return SummaryTable(thresholds, header, rows)


def _remarks(fit: GeneralizedFit) -> tuple[str, ...]:
    """What a reader must know before quoting the table."""
    said = [f"Tests and intervals: {method_words(fit.estimates.method)}."]
    if fit.dropped:
        shown = ", ".join(f"{count} for {name}" for name, count in fit.dropped.items())
        said.append(f"{sum(fit.dropped.values())} rows left out for missing values: {shown}.")
    if fit.aliased:
        said.append(f"Determined by the other columns, left out: {', '.join(fit.aliased)}.")
    if fit.boundary:
        said.append(
            "On the boundary: a variance or the dispersion is zero, or a correlation is one. "
            "A valid fit."
        )
    if not fit.converged:
        said.append(f"NOT CONVERGED: {fit.convergence.message}.")
    return tuple(said)
