"""What a value-added model says of itself: the tidy table and the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from teamlink.fitting.summary import Summary, SummaryTable, number, p_text

if TYPE_CHECKING:
    from teamlink.fitting.estimates import Estimates
    from teamlink.value_added.result import ValueAdded

__all__ = ["coefficient_frame", "coefficient_table", "summarize", "tidy"]

COLUMNS = ["term", "estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high"]


def coefficient_frame(e: Estimates, level: float) -> pd.DataFrame:
    """Coefficients of the covariates in broom's columns."""
    low, high = e.interval(level)
    with np.errstate(invalid="ignore"):
        values = [e.values, e.std_error, e.statistic, e.df, e.p_value, low, high]
    found = {"term": list(e.names)} | {
        name: value[0] for name, value in zip(COLUMNS[1:], values, strict=True)
    }
    return pd.DataFrame(found)


def tidy(made: ValueAdded, level: float) -> pd.DataFrame:
    """See `ValueAdded.tidy`."""
    if made.fit is not None:
        return made.fit.tidy(level)
    fixed = coefficient_frame(made.estimates, level)
    fixed.insert(0, "effect", "fixed")
    fixed.insert(1, "group", None)
    random = pd.DataFrame(
        {
            "effect": "ran_pars",
            "group": made.components["group"],
            "term": [
                "sd__Observation" if group == "Residual" else "sd__Intercept"
                for group in made.components["group"]
            ],
            "estimate": made.components["sd"],
        }
    ).reindex(columns=fixed.columns)
    random = random.astype(dict.fromkeys(COLUMNS[1:], float))
    return pd.concat([fixed.astype({"group": object}), random], ignore_index=True)


def coefficient_table(frame: pd.DataFrame, level: float) -> SummaryTable:
    """Coefficients as a summary prints them."""
    share = f"{100 * level:g}%"
    header = ("", "Estimate", "Std. error", "df", "t", "p", f"{share} low", "high")
    rows = tuple(
        (
            row["term"], number(row["estimate"]), number(row["std_error"]), number(row["df"], 1),
            number(row["statistic"], 2), p_text(row["p_value"]), number(row["conf_low"]),
            number(row["conf_high"]),
        )
        for row in frame.to_dict("records")
    )  # fmt: skip
    return SummaryTable("Coefficients", header, rows)


def summarize(made: ValueAdded, level: float) -> Summary:
    """See `ValueAdded.summary`."""
    asked = made.request
    effects = made.reliability
    who = ", ".join(f"{int(row.groups)} {name}s" for name, row in effects.iterrows())
    facts = (
        ("Formula", made.formula),
        ("Effects", f"{made.kind}{', shrunken afterwards' if made.kind == 'fixed' else ''}"),
        ("Rows", f"{made.nobs} ({who})"),
    )
    components = SummaryTable(
        "What scores are made of, covariates given",
        ("", "SD", "Variance", "Share", "SD in SD of the score"),
        tuple(
            (str(r["group"]), number(r["sd"]), number(r["variance"]), number(r["share"], 3),
             number(r["sd_ratio"], 3))
            for r in made.components.to_dict("records")
        ),
    )  # fmt: skip
    trust = SummaryTable(
        "Effects of groups",
        ("", "SD", "Mean reliability", "Groups"),
        tuple(
            (str(name), number(row.sd), number(row.reliability, 3), str(int(row.groups)))
            for name, row in effects.iterrows()
        ),
    )
    tables = (coefficient_table(coefficient_frame(made.estimates, level), level), components, trust)
    return Summary(f"Value added to {asked.response}", facts, tables, _remarks(made))


def _remarks(made: ValueAdded) -> tuple[str, ...]:
    said = []
    if made.teacher_effects.sd == 0:
        said.append(
            "The variance between teachers is estimated at zero: no teacher can be told apart."
        )
    counts = made.school_counts
    if made.kind == "random" and counts is not None and (counts == 1).all():
        said.append(
            "No teacher works in two schools: effects of teachers are deviations from their "
            "school, and only total compares teachers of different schools."
        )
    if made.fit is not None and not made.fit.converged:
        said.append(made.fit.convergence.message)
    return tuple(said)
