"""What a report on a fit holds: findings, each with its number, its threshold and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from teamlink.fitting.summary import Summary, SummaryTable, number

__all__ = ["STATUS", "Finding", "Report"]

STATUS = ("ok", "note", "caution", "problem")
"""From nothing to say, over worth knowing and mind this, to not to be quoted as it stands."""

_VERDICTS = {
    "ok": "Nothing was found that speaks against this fit.",
    "note": "This fit can be trusted. Worth knowing: {}.",
    "caution": "This fit can be used with care. Look at: {}.",
    "problem": "This fit should not be quoted as it stands. The reason: {}.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes
    ----------
    check : what was looked at
    status : one of `STATUS`, or "not checked"
    value : the number that was looked at; NaN where the check has none
    threshold : from which number on it matters, in words
    says : what was found
    advice : what to do; empty where there is nothing to do
    """

    check: str
    status: str
    value: float
    threshold: str
    says: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Whether a fit can be trusted, and why; made by `fit.report()`.

    Attributes
    ----------
    findings : tuple of Finding
        One a check, also where there is nothing to say.
    label : str
        The model.

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82")
    >>> report = tl.lmm("mathach ~ cses + meanses + (1 | school)", hsb).report()
    >>> report.status
    'note'
    """

    findings: tuple[Finding, ...]
    label: str

    @property
    def status(self) -> str:
        """The gravest of all findings: "ok", "note", "caution" or "problem"."""
        return STATUS[max(_rank(finding) for finding in self.findings)]

    @property
    def verdict(self) -> str:
        """One sentence; another where something was not checked."""
        named = dict.fromkeys(
            f.check for f in self.findings if _rank(f) and f.status == self.status
        )
        unseen = ", ".join(f.check for f in self.findings if f.status not in STATUS)
        verdict = _VERDICTS[self.status].format(", ".join(named))
        return f"{verdict} Not checked: {unseen}." if unseen else verdict

    @property
    def table(self) -> pd.DataFrame:
        """``check, status, value, threshold, says, advice``, one row a check."""
        names = ("check", "status", "value", "threshold", "says", "advice")
        return pd.DataFrame(
            [[getattr(f, name) for name in names] for f in self.findings], columns=list(names)
        )

    def summary(self) -> Summary:
        """Text to print; rich HTML in a notebook."""
        rows = tuple((f.check, f.status, _figure(f.value), f.threshold) for f in self.findings)
        header = ("Check", "Result", "Number", "Matters from")
        table = SummaryTable("Checks", header, rows, labels=2)
        return Summary(
            "Can this fit be trusted?",
            (("Model", self.label), ("Verdict", self.verdict)),
            (table,),
            tuple(_words(self.findings)),
        )

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def _rank(finding: Finding) -> int:
    return STATUS.index(finding.status) if finding.status in STATUS else 0


def _words(findings: Sequence[Finding]) -> list[str]:
    """What was found and what to do, the gravest first."""
    said = [f for f in findings if _rank(f) or f.status not in STATUS]
    said.sort(key=_rank, reverse=True)
    return [f"{f.check} ({f.status}): {f.says} {f.advice}".rstrip() for f in said]


def _figure(value: float) -> str:
    if value != value:
        return ""
    return f"{value:.0f}" if abs(value) < 1e6 and value == round(value) else number(value, 3)
