"""What a comparison over time found: effects by cohort and period, averaged in several ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from teamlink.errors import OptionError
from teamlink.fitting.summary import Summary, SummaryTable, number, p_text
from teamlink.trials.cells import Cells
from teamlink.trials.within import Within, joint_test, lines
from teamlink.typing import Array, Mask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DifferenceInDifferences", "EventStudy"]

_COVARIANCE = {
    "CR2": "cluster-robust (CR2) with Satterthwaite's degrees of freedom",
    "clustered": "clustered, G - 1 degrees of freedom",
}


def _averages(
    fit: Within, made: Cells, groups: Array, chosen: Mask, level: float
) -> tuple[Array, dict[str, Array]]:
    """Averages over the chosen cells (c,) with the same value of groups (c,), by their rows."""
    if not 0 < level < 1:
        raise OptionError(f"level={level!r}: a confidence level lies between 0 and 1")
    keys = np.unique(groups[chosen])
    place = fit.rows_of(made.names)
    L = np.zeros((len(keys), len(fit.names)))
    for k, key in enumerate(keys):
        own = chosen & (groups == key)
        L[k, place[own]] = made.mass[own] / made.mass[own].sum()
    return L, {"": keys} | lines(fit, L, level)


def _frame(name: str, found: dict[str, Array], rows: Array) -> pd.DataFrame:
    columns = {name: found[""]} | {k: v for k, v in found.items() if k} | {"rows": rows}
    return pd.DataFrame(columns)


def _rows(made: Cells, groups: Array, chosen: Mask) -> Array:
    keys, place = np.unique(groups[chosen], return_inverse=True)
    return np.bincount(np.asarray(place).reshape(-1), made.rows[chosen], len(keys)).astype(int)


@dataclass(frozen=True, slots=True)
class DifferenceInDifferences:
    """A difference-in-differences estimate; made by `teamlink.did`.

    Attributes
    ----------
    method : str
        "extended" or "twfe".
    fit : Within
        The regression: names, coefficients, covariance.
    cells : Cells
        Cohorts and periods that are treated.
    weights : DataFrame
        ``cohort, time, weight, rows``: what the two-way coefficient would weigh each effect by.
    counts : dict
        Rows, units, treated units, clusters, periods.
    labels : tuple of str
        Columns of outcome, unit and time.

    Examples
    --------
    >>> import numpy as np, pandas as pd, teamlink as tl
    >>> school, year = np.repeat(np.arange(20), 4), np.tile(np.arange(4), 20)
    >>> first = np.where(school < 5, 1, np.where(school < 10, 2, np.nan))
    >>> score = 0.2 * year + 0.5 * (year >= first) + np.random.default_rng(1).normal(0, 0.2, 80)
    >>> schools = pd.DataFrame({"school": school, "year": year, "first": first, "score": score})
    >>> found = tl.did(schools, "score", "school", "year", first_treated="first")
    >>> found.group_time[["cohort", "time", "estimate"]].round(2).head(3)
       cohort  time  estimate
    0     1.0   1.0      0.47
    1     1.0   2.0      0.35
    2     1.0   3.0      0.50
    """

    method: str
    fit: Within
    cells: Cells
    weights: pd.DataFrame
    counts: dict[str, int]
    labels: tuple[str, str, str]

    @property
    def overall(self) -> pd.Series[Any]:
        """The effect on the treated: ``estimate, std_error, statistic, df, p_value, ...``."""
        return self.average()

    def average(self, level: float = 0.95) -> pd.Series[Any]:
        """The overall effect, with an interval of another level.

        Parameters
        ----------
        level : float
            Of the interval.

        Returns
        -------
        Series
        """
        if self.method == "twfe":
            L = np.zeros((1, len(self.fit.names)))
            L[0, self.fit.rows_of(["treated"])] = 1.0
            found = lines(self.fit, L, level)
        else:
            everything = np.ones(len(self.cells.names), dtype=np.bool_)
            same = np.zeros(len(self.cells.names))
            found = _averages(self.fit, self.cells, same, everything, level)[1]
        return pd.Series({k: float(v[0]) for k, v in found.items() if k}, name="overall")

    @property
    def group_time(self) -> pd.DataFrame:
        """Effects by cohort and period: ``cohort, time, event, estimate, ..., rows``."""
        self._extended("group_time")
        return _group_time(self.fit, self.cells)

    @property
    def by_cohort(self) -> pd.DataFrame:
        """Effects by cohort, averaged over its treated periods."""
        self._extended("by_cohort")
        return self._by("cohort", self.cells.cohort)

    @property
    def by_event(self) -> pd.DataFrame:
        """Effects by periods since the first treated one, averaged over cohorts."""
        self._extended("by_event")
        return self._by("event", self.cells.event)

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """The overall effect, then those of the cohorts, in broom's columns."""
        parts = [self.average(level).to_frame().T.assign(term="overall")]
        if self.method == "extended":
            each = self.by_cohort.assign(term=lambda t: [f"cohort {c:g}" for c in t["cohort"]])
            parts.append(each)
        table = pd.concat(parts, ignore_index=True)
        columns = ["term", "estimate", "std_error", "statistic", "df", "p_value", "conf_low"]
        return table[[*columns, "conf_high"]].astype(
            dict.fromkeys([*columns[1:], "conf_high"], float)
        )

    def summary(self, level: float = 0.95) -> Summary:
        """Text to print; rich HTML in a notebook."""
        table = _table("Effect on the treated", self.tidy(level), "term", level)
        return Summary(
            f"Difference-in-differences of {self.labels[0]}",
            self._facts(),
            (table,),
            self._remarks(),
        )

    def _by(self, name: str, groups: Array) -> pd.DataFrame:
        all_cells = np.ones(len(self.cells.names), dtype=np.bool_)
        found = _averages(self.fit, self.cells, groups, all_cells, 0.95)[1]
        return _frame(name, found, _rows(self.cells, groups, all_cells))

    def _extended(self, what: str) -> None:
        if self.method != "extended":
            raise OptionError(f"{what}: the two-way regression has one effect; method='extended'")

    def _facts(self) -> tuple[tuple[str, str], ...]:
        words = {
            "extended": "an effect for each cohort and treated period, averaged over treated rows",
            "twfe": "one coefficient with unit and period effects",
        }
        return (("Method", words[self.method]), *_counts(self.counts, self.fit, self.labels))

    def _remarks(self) -> tuple[str, ...]:
        negative = self.weights["weight"] < -1e-10
        if not negative.any():
            return ()
        total = self.weights.loc[negative, "weight"].sum()
        whose = "This coefficient" if self.method == "twfe" else "The two-way coefficient"
        return (
            f"{whose} gives {int(negative.sum())} of {len(negative)} effects of cohort and period "
            f"negative weights, together {total:.3f}.",
        )

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        found = self.overall
        return (
            f"<DifferenceInDifferences of {self.labels[0]!r}: {found['estimate']:.4f} "
            f"(SE {found['std_error']:.4f})>"
        )


@dataclass(frozen=True, slots=True)
class EventStudy:
    """Effects by time since treatment; made by `teamlink.event_study`.

    Attributes
    ----------
    fit : Within
        The regression: names, coefficients, covariance.
    cells : Cells
        Cohorts and periods with a coefficient.
    base : int
        Event time with which the others are compared.
    counts : dict
        Rows, units, treated units, clusters, periods.
    labels : tuple of str
        Columns of outcome, unit and time.

    Examples
    --------
    >>> import numpy as np, pandas as pd, teamlink as tl
    >>> school, year = np.repeat(np.arange(20), 4), np.tile(np.arange(4), 20)
    >>> score = 0.2 * year + 0.5 * (year >= 2) * (school < 9)
    >>> score = score + np.random.default_rng(1).normal(0, 0.2, 80)
    >>> schools = pd.DataFrame({"school": school, "year": year, "joined": (school < 9) * 1})
    >>> study = tl.event_study(
    ...     schools.assign(score=score), "score", "school", "year", treated="joined", post=2
    ... )
    >>> study.pretrend.round(2)
    statistic     0.75
    df_num        1.00
    df_denom     17.22
    p_value       0.40
    Name: pretrend, dtype: float64
    """

    fit: Within
    cells: Cells
    base: int
    counts: dict[str, int]
    labels: tuple[str, str, str]

    @property
    def by_event(self) -> pd.DataFrame:
        """Effects by event time, averaged over cohorts: ``event, estimate, ..., rows``."""
        return self.events()

    def events(self, level: float = 0.95) -> pd.DataFrame:
        """The frame `by_event`, with intervals of another level; the base has no row.

        Parameters
        ----------
        level : float
            Of the intervals.

        Returns
        -------
        DataFrame
        """
        made = self.cells
        whole = np.ones(len(made.names), dtype=np.bool_)
        found = _averages(self.fit, made, made.event, whole, level)[1]
        return _frame("event", found, _rows(made, made.event, whole))

    @property
    def group_time(self) -> pd.DataFrame:
        """Effects by cohort and period: ``cohort, time, event, estimate, ..., rows``."""
        return _group_time(self.fit, self.cells)

    @property
    def overall(self) -> pd.Series[Any]:
        """The average of the effects of all treated rows."""
        made = self.cells
        after = np.asarray(made.event >= 0)
        found = _averages(self.fit, made, np.zeros(len(after)), after, 0.95)[1]
        return pd.Series({k: float(v[0]) for k, v in found.items() if k}, name="overall")

    @property
    def pretrend(self) -> pd.Series[Any]:
        """Joint test that all effects before the base are zero: F, degrees of freedom, p."""
        made = self.cells
        before = np.asarray((made.event < 0) & (made.event != self.base))
        if not before.any():
            raise OptionError("pretrend: there is one period before treatment only, the base")
        L = _averages(self.fit, made, made.event, before, 0.95)[0]
        names = ("statistic", "df_num", "df_denom", "p_value")
        return pd.Series(dict(zip(names, joint_test(self.fit, L), strict=True)), name="pretrend")

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """Effects by event time in broom's columns."""
        table = self.events(level)
        table.insert(0, "term", [f"event {e:g}" for e in table["event"]])
        return table.drop(columns=["event", "rows"])

    def summary(self, level: float = 0.95) -> Summary:
        """Text to print; rich HTML in a notebook."""
        facts = _counts(self.counts, self.fit, self.labels)
        table = _table(
            f"Effect by periods since treatment; {self.base} is the base",
            self.tidy(level), "term", level,
        )  # fmt: skip
        remarks: tuple[str, ...] = ()
        if ((self.cells.event < 0) & (self.cells.event != self.base)).any():
            test = self.pretrend
            remarks = (
                f"Trends before treatment: F({test['df_num']:g}, {test['df_denom']:.1f}) = "
                f"{test['statistic']:.2f}, p = {p_text(test['p_value'])}.",
            )
        return Summary(f"Event study of {self.labels[0]}", facts, (table,), remarks)

    def plot(self, level: float = 0.95) -> Figure:
        """Draw the effects with their intervals over event time.

        Parameters
        ----------
        level : float
            Of the intervals.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from teamlink.trials.draw import draw_events

        return draw_events(self.events(level), self.base, self.labels)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        return f"<EventStudy of {self.labels[0]!r}: {len(self.by_event)} event times>"


def _group_time(fit: Within, made: Cells) -> pd.DataFrame:
    L = np.eye(len(fit.names))[fit.rows_of(made.names)]
    frame = pd.DataFrame({"cohort": made.cohort, "time": made.time, "event": made.event})
    return frame.assign(**lines(fit, L, 0.95), rows=made.rows)


def _counts(
    counts: dict[str, int], fit: Within, labels: tuple[str, str, str]
) -> tuple[tuple[str, str], ...]:
    return (
        ("Rows", f"{counts['rows']} in {counts['periods']} periods of {labels[2]}"),
        ("Units", f"{counts['units']} of {labels[1]}, {counts['treated']} of them treated"),
        ("Covariance", f"{_COVARIANCE[fit.kind]}; {counts['clusters']} clusters"),
    )


def _table(title: str, table: pd.DataFrame, label: str, level: float) -> SummaryTable:
    share = f"{100 * level:g}%"
    header = ("", "Estimate", "Std. error", "df", "t", "p", f"{share} low", "high")
    rows = tuple(
        (
            str(r[label]), number(r["estimate"]), number(r["std_error"]), number(r["df"], 1),
            number(r["statistic"], 2), p_text(r["p_value"]), number(r["conf_low"]),
            number(r["conf_high"]),
        )
        for r in table.to_dict("records")
    )  # fmt: skip
    return SummaryTable(title, header, rows)
