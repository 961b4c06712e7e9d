"""What a growth curve says of itself: the tidy table, reliabilities, and the summary."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from teamlink.fitting.summary import Summary, SummaryTable, p_text
from teamlink.fitting.summary import number as text
from teamlink.growth.coding import number
from teamlink.growth.trajectories import expected_variance
from teamlink.mixed.reliability import reliability as of_fit

if TYPE_CHECKING:
    from teamlink.growth.result import GrowthCurve

__all__ = ["reliability", "summarize", "tidy"]


def _parts(curve: GrowthCurve, column: str) -> tuple[str, str | None]:
    """Growth coefficient and predictor of a column of the fixed part."""
    for term in curve.coding.terms:
        if column == term.column:
            return term.name, None
        if column.startswith(f"{term.column}:"):
            return term.name, column[len(term.column) + 1 :]
        if column.endswith(f":{term.column}"):
            return term.name, column[: -len(term.column) - 1]
    if column == "Intercept":
        return "intercept", None
    spec = curve.specification
    plain = re.sub(r"\[[^]]*\]", "", column)
    lasting = plain in spec.predictors.get("intercept", ())
    return ("intercept" if lasting else "occasion"), column


def _meanings(curve: GrowthCurve) -> dict[str, str]:
    """Growth coefficient to what it is."""
    words = {"intercept": curve.coding.status, "occasion": "Status at the occasion"}
    return words | {term.name: term.meaning for term in curve.coding.terms}


def _coefficients(curve: GrowthCurve) -> dict[str, str]:
    """Name of a random effect in the fit to its growth coefficient."""
    return {"Intercept": "intercept"} | {term.column: term.name for term in curve.coding.terms}


def tidy(curve: GrowthCurve, level: float) -> pd.DataFrame:
    """See `GrowthCurve.tidy`."""
    table, names, words = curve.fit.tidy(level), _coefficients(curve), _meanings(curve)
    random = {f"sd__{column}": (name, None, "") for column, name in names.items()}
    for (one, a), (two, b) in combinations(names.items(), 2):
        random[f"cor__{one}.{two}"] = (f"{a}, {b}", None, "Correlation")
    said: list[tuple[str | None, str | None, str]] = []
    for effect, group, term in zip(table["effect"], table["group"], table["term"], strict=True):
        if effect == "fixed":
            coefficient, predictor = _parts(curve, term)
            ending = f", by {predictor}" if predictor else ", mean"
            said.append((coefficient, predictor, words[coefficient] + ending))
        elif group == "Residual":
            said.append((None, None, "Occasion about the trajectory, SD"))
        else:
            coefficient, _, kind = random[term]
            what = f"{kind} of {coefficient}" if kind else words[coefficient]
            said.append((coefficient, None, f"{what}, {'' if kind else 'SD '}over {group}"))
    lead = pd.DataFrame(said, columns=["coefficient", "predictor", "meaning"], dtype=object)
    return pd.concat([lead, table], axis=1)


def reliability(curve: GrowthCurve) -> pd.DataFrame:
    """See `GrowthCurve.reliability`."""
    fit, names = curve.fit, _coefficients(curve)
    found = of_fit(fit)
    effects = fit.model.design.effects
    sd = fit.sigma * np.sqrt(np.diag(fit.Lambda @ fit.Lambda.T))
    return pd.DataFrame(
        {
            "group": [group for group, _ in effects],
            "coefficient": [names[effect] for _, effect in effects],
            "sd": sd,
            "reliability": found["reliability"].to_numpy(),
            "groups": found["groups"].to_numpy(),
        }
    )


def summarize(curve: GrowthCurve, level: float) -> Summary:
    """See `GrowthCurve.summary`."""
    fit, coding = curve.fit, curve.coding
    whole = fit.summary(level)
    shape = f"{coding.shape}, {coding.coding}: {', '.join(coding.names)}"
    facts = (
        ("Formula", curve.formula),
        ("Growth", shape),
        *(fact for fact in whole.facts if fact[0] != "Formula"),
    )
    tables = [_mean_table(curve, level)]
    if curve.independent:
        tables += [_variation_table(curve), _variance_table(curve)]
    else:
        # The fit's own tables of what varies: residuals of a structure have no reliabilities.
        tables += whole.tables[:-1]
    return Summary(
        f"Growth curve of {curve.specification.outcome} fitted by {fit.method}",
        facts,
        tuple(tables),
        (*_remarks(curve), *whole.remarks),
    )


def _mean_table(curve: GrowthCurve, level: float) -> SummaryTable:
    """The mean of each growth coefficient, then what predicts it."""
    table, words = tidy(curve, level), _meanings(curve)
    table = table[table["effect"] == "fixed"]
    rows: list[tuple[str, ...]] = []
    for name in words:
        own = table[table["coefficient"] == name]
        own = pd.concat([own[own["predictor"].isna()], own[own["predictor"].notna()]])
        if len(own) and own["predictor"].notna().all():
            rows.append((words[name], *[""] * 7))
        for row in own.to_dict("records"):
            label = words[name] if row["predictor"] is None else f"  by {row['predictor']}"
            rows.append(
                (
                    label, text(row["estimate"]), text(row["std_error"]), text(row["df"], 1),
                    text(row["statistic"], 2), p_text(row["p_value"]),
                    text(row["conf_low"]), text(row["conf_high"]),
                )
            )  # fmt: skip
    share = f"{100 * level:g}%"
    header = ("", "Estimate", "Std. error", "df", "t", "p", f"{share} low", "high")
    return SummaryTable("Mean growth", header, tuple(rows))


def _variation_table(curve: GrowthCurve) -> SummaryTable:
    """How growth varies: standard deviations, correlations, reliabilities."""
    found = reliability(curve)
    covariance = curve.fit.Lambda @ curve.fit.Lambda.T
    sd = np.sqrt(np.diag(covariance))
    width = max(curve.fit.model.structure.blocks) - 1
    rows: list[tuple[str, ...]] = []
    shown = ""
    for block in curve.fit.model.structure.slices:
        for i in range(block.start, block.stop):
            row = found.iloc[i]
            r = [
                f"{covariance[i, j] / (sd[i] * sd[j]):.3f}" if sd[i] * sd[j] > 0 else "-"
                for j in range(block.start, i)
            ]
            label = "" if row["group"] == shown else str(row["group"])
            shown = str(row["group"])
            size = float(row["sd"])
            cells: tuple[str, ...] = (label, str(row["coefficient"]), text(size**2), text(size))
            cells += (f"{row['reliability']:.3f}", *r)
            rows.append(cells + ("",) * (5 + width - len(cells)))
    sigma = curve.fit.sigma
    rows.append(("Residual", "", text(sigma**2), text(sigma), "", *[""] * width))
    corr = ("Corr",) + ("",) * (width - 1) if width else ()
    header = ("Varies over", "Coefficient", "Variance", "Std. dev.", "Reliability", *corr)
    return SummaryTable("Variation of growth", header, tuple(rows), labels=2)


def _variance_table(curve: GrowthCurve) -> SummaryTable:
    """Variance of status at up to six of the times."""
    seen = curve.coding.observed
    few = seen[np.unique(np.linspace(0, len(seen) - 1, min(len(seen), 6)).round().astype(int))]
    table = expected_variance(curve, few)
    names = list(dict.fromkeys(table["group"]))
    held = {name: table[table["group"] == name] for name in names}
    variance = np.column_stack([held[name]["variance"] for name in names])
    r = {
        name: own["status_rate_correlation"].to_numpy()
        for name, own in held.items()
        if own["status_rate_correlation"].notna().any()
    }
    rows = tuple(
        (
            number(time),
            *map(text, variance[k]),
            text(float(variance[k].sum())),
            *("-" if np.isnan(own[k]) else f"{own[k]:.3f}" for own in r.values()),
        )
        for k, time in enumerate(few)
    )
    header = (curve.coding.time, *names, "Total", *(f"r({name})" for name in r))
    title = "Expected variance of status over time; r: correlation of status and rate then"
    return SummaryTable(title, header, rows)


def _remarks(curve: GrowthCurve) -> tuple[str, ...]:
    coding, seen = curve.coding, curve.coding.observed
    if coding.coding != "orthogonal" and not seen[0] <= coding.origin <= seen[-1]:
        return (
            f"The origin {number(coding.origin)} lies outside the times {number(seen[0])} to "
            f"{number(seen[-1])}: the status there is extrapolated.",
        )
    return ()
