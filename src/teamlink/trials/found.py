"""What a cluster trial found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from teamlink.fitting.summary import Summary, SummaryTable, number, p_text
from teamlink.mixed.present import method_words
from teamlink.mixed.result import MixedFit

__all__ = ["ClusterTrial"]


@dataclass(frozen=True, slots=True)
class ClusterTrial:
    """The effect in a cluster trial; made by `teamlink.cluster_trial`.

    Attributes
    ----------
    formula : str
        The mixed model.
    method : str
        Of the tests.
    effects : DataFrame
        A row for each value of `by`, or one: ``estimate, std_error, statistic, df, p_value,
        conf_low, conf_high``; the effect size ``g, g_se, g_low, g_high, improvement_index``; ``sd``
        of students, ``icc``, ``design_effect``, ``mdes``, ``students``, ``clusters``,
        ``treated_clusters``.
    fits : mapping
        The fit for each value of `by`; of None where there is none.
    by : str or None
        Column by which estimates differ, such as the year.
    labels : tuple of str
        Columns of outcome, treatment and cluster.

    Examples
    --------
    >>> import numpy as np, pandas as pd, teamlink as tl
    >>> rng = np.random.default_rng(1)
    >>> pupils = pd.DataFrame({"school": np.repeat(np.arange(20), 30)})
    >>> pupils["score"] = rng.normal(size=20)[pupils["school"]] + rng.normal(size=600)
    >>> pupils["treated"], pupils["year"] = pupils["school"] % 2, np.tile([1, 2, 3], 200)
    >>> trial = tl.cluster_trial(pupils, "score", "treated", "school", by="year")
    >>> trial.effects[["year", "clusters", "students"]]
       year  clusters  students
    0     1        20       200
    1     2        20       200
    2     3        20       200
    """

    formula: str
    method: str
    effects: pd.DataFrame
    fits: Mapping[Any, MixedFit]
    by: str | None
    labels: tuple[str, str, str]

    def tidy(self) -> pd.DataFrame:
        """The effects in broom's columns, the effect size after them."""
        table = self.effects.iloc[:, : self.effects.columns.get_loc("improvement_index")]
        return table.assign(term=self.labels[1])[["term", *table.columns]]

    def summary(self) -> Summary:
        """Text to print; rich HTML in a notebook."""
        facts = (
            ("Formula", self.formula),
            ("Tests", method_words(self.method)),
            *((("By", self.by),) if self.by is not None else ()),
        )
        rows = self.effects.to_dict("records")
        labels = [self.labels[1] if self.by is None else str(r[self.by]) for r in rows]
        effect = tuple(
            (
                label, number(r["estimate"]), number(r["std_error"]), number(r["df"], 1),
                p_text(r["p_value"]), number(r["conf_low"]), number(r["conf_high"]),
            )
            for label, r in zip(labels, rows, strict=True)
        )  # fmt: skip
        size = tuple(
            (
                label, number(r["g"], 3), number(r["g_se"], 3), number(r["g_low"], 3),
                number(r["g_high"], 3), number(r["improvement_index"], 1), number(r["mdes"], 3),
            )
            for label, r in zip(labels, rows, strict=True)
        )  # fmt: skip
        design = tuple(
            (
                label, str(r["students"]), f"{r['treated_clusters']} of {r['clusters']}",
                number(r["sd"]), number(r["icc"], 3), number(r["design_effect"], 2),
            )
            for label, r in zip(labels, rows, strict=True)
        )  # fmt: skip
        tables = (
            SummaryTable(
                "Effect", ("", "Estimate", "Std. error", "df", "p", "Low", "High"), effect
            ),
            SummaryTable(
                "Effect size in standard deviations of students",
                ("", "g", "Std. error", "Low", "High", "Improvement index", "Detectable"),
                size,
            ),
            SummaryTable(
                "Design", ("", "Students", "Clusters treated", "SD", "ICC", "Design effect"), design
            ),
        )
        return Summary(f"Cluster trial: {self.labels[0]}", facts, tables, ())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        found = ", ".join(f"{g:.3f}" for g in self.effects["g"])
        return f"<ClusterTrial {self.formula!r}: g {found}>"
