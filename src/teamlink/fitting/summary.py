"""The summary of a fit, as text and as HTML: the one place near the waist that formats.

A `Summary` is a title, pairs of facts, tables of text cells, and remarks. It knows no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Summary", "SummaryTable", "number", "p_text"]

_STYLE = (
    "border-collapse:collapse;margin:.4em 0 1em 0;font-variant-numeric:tabular-nums;font-size:90%"
)
_CELL = "padding:.15em .7em;border:none;border-bottom:1px solid rgba(128,128,128,.25)"


@dataclass(frozen=True, slots=True)
class SummaryTable:
    """A table of text.

    Attributes
    ----------
    title : what it shows
    header : column names
    rows : cells
    labels : how many leading columns are text, hence aligned left
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int = 1


@dataclass(frozen=True, slots=True)
class Summary:
    """What `summary()` returns: prints as text, shows as HTML in a notebook."""

    title: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[SummaryTable, ...]
    remarks: tuple[str, ...]

    def __str__(self) -> str:
        parts = [self.title, "=" * len(self.title), _facts_text(self.facts)]
        for table in self.tables:
            parts += ["", table.title, _table_text(table)]
        if self.remarks:
            parts += ["", *self.remarks]
        return "\n".join(parts)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        facts = "".join(
            f"<tr><td style='{_CELL};text-align:left'>{escape(k)}</td>"
            f"<td style='{_CELL};text-align:left'>{escape(v)}</td></tr>"
            for k, v in self.facts
        )
        tables = "".join(_table_html(table) for table in self.tables)
        remarks = "".join(f"<p style='margin:.2em 0'>{escape(r)}</p>" for r in self.remarks)
        return (
            f"<div><h3>{escape(self.title)}</h3><table style='{_STYLE}'>{facts}</table>"
            f"{tables}{remarks}</div>"
        )


def number(value: float, digits: int = 4) -> str:
    """A number with `digits` decimals, or in scientific notation where those would hide it."""
    if value != value:
        return ""
    if value in (float("inf"), float("-inf")):
        return "inf" if value > 0 else "-inf"
    if value != 0 and (abs(value) < 10.0**-digits or abs(value) >= 1e7):
        return f"{value:.{max(digits - 1, 1)}e}"
    return f"{value:.{digits}f}"


def p_text(p: float) -> str:
    """A p value as tables print it."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _facts_text(facts: Sequence[tuple[str, str]]) -> str:
    width = max((len(k) for k, _ in facts), default=0)
    return "\n".join(f"{k:<{width}}  {v}" for k, v in facts)


def _table_text(table: SummaryTable) -> str:
    cells = [table.header, *table.rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(table.header))]
    lines = [
        "  ".join(
            cell.ljust(w) if i < table.labels else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    rule = "-" * max(len(line) for line in lines)
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])


def _table_html(table: SummaryTable) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        shown = "".join(
            f"<{tag} style='{_CELL};text-align:{'left' if i < table.labels else 'right'}'>"
            f"{escape(cell)}</{tag}>"
            for i, cell in enumerate(cells)
        )
        return f"<tr>{shown}</tr>"

    body = "".join(row(cells, "td") for cells in table.rows)
    return (
        f"<p style='margin:.6em 0 0 0'><b>{escape(table.title)}</b></p>"
        f"<table style='{_STYLE}'><thead>{row(table.header, 'th')}</thead>"
        f"<tbody>{body}</tbody></table>"
    )
