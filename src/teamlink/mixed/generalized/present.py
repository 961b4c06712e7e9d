"""What a generalized fit says of itself: the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from teamlink.fitting.summary import Summary, number
from teamlink.mixed.present import common_remarks, fixed_table, method_words, random_table

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
    heading = "Thresholds and fixed effects" if fit.family == "ordinal" else "Fixed effects"
    tables = (
        random_table(fit.blocks, fit.residual_sd),
        fixed_table(fit.estimates, level, statistic="z", title=heading),
    )
    where = "a variance or the dispersion is zero, or a correlation is one"
    said = f"Tests and intervals: {method_words(fit.estimates.method)}."
    remarks = (said, *common_remarks(fit, where))
    title = f"Generalized linear mixed model by {fit.method}"
    return Summary(title, tuple(facts), tables, remarks)
