"""A table in sections, with a foot of facts and notes, as text, Markdown, LaTeX or HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from teamlink.report.tables import (
    Cells,
    Format,
    aligned,
    html_line,
    latex_text,
    markdown_cells,
    markdown_rule,
    widths_of,
)

__all__ = ["Section", "Sheet", "write"]


@dataclass(frozen=True, slots=True)
class Section:
    """Rows under a heading; no heading where the title is empty."""

    title: str
    rows: Cells


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table that reads from top to bottom.

    Attributes
    ----------
    head : column names; the first column holds labels, the others numbers
    sections : in order
    foot : facts of the columns, such as fit measures; rows like those of sections
    notes : sentences below
    """

    head: tuple[str, ...]
    sections: tuple[Section, ...]
    foot: Cells = ()
    notes: tuple[str, ...] = ()

    def rows(self) -> list[Sequence[str]]:
        """All rows with cells, those of the foot last."""
        return [row for section in self.sections for row in section.rows] + list(self.foot)


def write(sheet: Sheet, format: Format, caption: str = "") -> str:
    """Write a sheet in one of the four formats."""
    writers = {"text": _text, "markdown": _markdown, "latex": _latex, "html": _html}
    return writers[format](sheet, caption)


def _numeric(sheet: Sheet) -> list[bool]:
    return [False] + [True] * (len(sheet.head) - 1)


def _text(sheet: Sheet, caption: str) -> str:
    numeric = _numeric(sheet)
    indented = [
        (f"  {row[0]}" if s.title else row[0], *row[1:]) for s in sheet.sections for row in s.rows
    ]
    widths = widths_of(sheet.head, [*indented, *sheet.foot, *_titles(sheet)])

    def line(cells: Sequence[str]) -> str:
        return "  ".join(aligned(cells, widths, numeric)).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [caption] if caption else []
    lines += [line(sheet.head), rule]
    for section in sheet.sections:
        lines += [section.title] if section.title else []
        lines += [
            line((f"  {row[0]}" if section.title else row[0], *row[1:])) for row in section.rows
        ]
    if sheet.foot:
        lines += [rule, *(line(row) for row in sheet.foot)]
    return "\n".join([*lines, *([""] if sheet.notes else []), *sheet.notes])


def _titles(sheet: Sheet) -> list[tuple[str, ...]]:
    """Headings as rows, so that the first column is wide enough for them."""
    rest = ("",) * (len(sheet.head) - 1)
    return [(section.title, *rest) for section in sheet.sections]


def _markdown(sheet: Sheet, caption: str) -> str:
    numeric = _numeric(sheet)
    rest = ("",) * (len(sheet.head) - 1)
    rows: list[Sequence[str]] = []
    for section in sheet.sections:
        rows += [(f"**{section.title}**", *rest)] if section.title else []
        rows += section.rows
    rows += [(f"*{row[0]}*", *row[1:]) for row in sheet.foot]
    head, cells = markdown_cells([sheet.head])[0], markdown_cells(rows)
    widths = [max(w, 3) for w in widths_of(head, cells)]
    lines = ["| " + " | ".join(aligned(row, widths, numeric)) + " |" for row in (head, *cells)]
    body = "\n".join([lines[0], markdown_rule(widths, numeric), *lines[1:]])
    below = [text for text in (caption, " ".join(sheet.notes)) if text]
    return "\n\n".join([body, *below])


def _latex(sheet: Sheet, caption: str) -> str:
    columns = "l" + "r" * (len(sheet.head) - 1)

    def line(cells: Sequence[str]) -> str:
        return " & ".join(map(latex_text, cells)) + r" \\"

    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(sheet.head)]
    for section in sheet.sections:
        lines.append(r"\midrule")
        if section.title:
            title = (
                rf"\multicolumn{{{len(sheet.head)}}}{{l}}{{\textit{{{latex_text(section.title)}}}}}"
            )
            lines.append(title + r" \\")
        lines += [line(row) for row in section.rows]
    lines += [r"\midrule", *(line(row) for row in sheet.foot)] if sheet.foot else []
    lines += [r"\bottomrule", r"\end{tabular}"]
    if sheet.notes:
        lines += ["", rf"\par\footnotesize {latex_text(' '.join(sheet.notes))}"]
    if caption:
        top = [r"\begin{table}", r"\centering", rf"\caption{{{latex_text(caption)}}}"]
        lines = [*top, *lines, r"\end{table}"]
    return "\n".join(lines)


def _html(sheet: Sheet, caption: str) -> str:
    numeric = _numeric(sheet)
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    parts = [f"<table>{title}<thead>{html_line(sheet.head, 'th', numeric)}</thead>"]
    for section in sheet.sections:
        parts.append("<tbody>")
        if section.title:
            text = html.escape(section.title)
            parts.append(f'<tr><th colspan="{len(sheet.head)}" scope="rowgroup">{text}</th></tr>')
        parts += [html_line(row, "td", numeric) for row in section.rows]
        parts.append("</tbody>")
    foot = "\n".join(html_line(row, "td", numeric) for row in sheet.foot)
    if sheet.notes:
        notes = html.escape(" ".join(sheet.notes))
        foot += f'\n<tr><td colspan="{len(sheet.head)}">{notes}</td></tr>'
    return "\n".join([*parts, *([f"<tfoot>{foot}</tfoot>"] if foot else []), "</table>"])
