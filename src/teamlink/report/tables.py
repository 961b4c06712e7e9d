"""Any tidy frame as text, Markdown, LaTeX or HTML."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import pandas as pd

from teamlink.errors import DataError, check_option
from teamlink.report.numbers import figure, p_value
from teamlink.report.records import plain

__all__ = ["Format", "html_table", "latex_table", "markdown_table", "table", "text_table"]

Format: TypeAlias = Literal["text", "markdown", "latex", "html"]
Cells: TypeAlias = Sequence[Sequence[str]]

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\u2212": "$-$",
    "<": "$<$",
    ">": "$>$",
}


def table(frame: pd.DataFrame, format: Format = "markdown", caption: str = "") -> str:
    """Turn a tidy frame into a table for print.

    Parameters
    ----------
    frame : pandas.DataFrame
        Such as `fit.tidy()` or `replication.claims`; the index is left out. Numbers get about
        four significant digits, columns of p values three decimals.
    format : {"text", "markdown", "latex", "html"}
        LaTeX uses the booktabs rules.
    caption : str
        Printed with the table.

    Returns
    -------
    str

    Raises
    ------
    OptionError
        Another format.
    DataError
        The frame has no columns.

    Examples
    --------
    >>> import pandas as pd
    >>> print(table(pd.DataFrame({"term": ["ses"], "estimate": [2.1951], "p_value": [1e-9]})))
    | term | estimate | p_value |
    |:-----|---------:|--------:|
    | ses  |    2.195 |  <0.001 |
    """
    check_option("format", format, ["text", "markdown", "latex", "html"])
    if not len(frame.columns):
        raise DataError("the frame has no columns to print")
    head = [str(c) for c in frame.columns]
    numeric = [bool(pd.api.types.is_numeric_dtype(frame[c].dtype)) for c in frame.columns]
    columns = [[_cell(v, name) for v in frame[name]] for name in frame.columns]
    rows = list(zip(*columns, strict=True))
    writers: dict[str, Callable[[Sequence[str], Cells, Sequence[bool], str], str]] = {
        "text": text_table,
        "markdown": markdown_table,
        "latex": latex_table,
        "html": html_table,
    }
    return writers[format](head, rows, numeric, caption)


def _cell(value: object, column: object) -> str:
    value = plain(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return p_value(value) if str(column) in ("p_value", "pvalue", "p") else figure(value)
    return str(value)


def _widths(head: Sequence[str], rows: Cells) -> list[int]:
    return [max(map(len, column)) for column in zip(head, *rows, strict=True)]


def _aligned(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> list[str]:
    together = zip(cells, widths, numeric, strict=True)
    return [c.rjust(w) if right else c.ljust(w) for c, w, right in together]


def text_table(
    head: Sequence[str], rows: Cells, numeric: Sequence[bool], caption: str = "", gap: str = "  "
) -> str:
    """Columns of text, numbers to the right, with a rule below the head."""
    widths = _widths(head, rows)
    lines = [gap.join(_aligned(cells, widths, numeric)).rstrip() for cells in (head, *rows)]
    rule = "-" * (sum(widths) + len(gap) * (len(widths) - 1))
    return "\n".join([*([caption] if caption else []), lines[0], rule, *lines[1:]])


def markdown_table(
    head: Sequence[str], rows: Cells, numeric: Sequence[bool], caption: str = ""
) -> str:
    """A pipe table; pipes inside cells are escaped."""
    head = [h.replace("|", r"\|") for h in head]
    rows = [[c.replace("|", r"\|").replace("\n", " ") for c in row] for row in rows]
    widths = [max(w, 3) for w in _widths(head, rows)]
    lines = ["| " + " | ".join(_aligned(cells, widths, numeric)) + " |" for cells in (head, *rows)]
    rules = [
        ("-" * (w + 1) + ":") if right else (":" + "-" * (w + 1))
        for w, right in zip(widths, numeric, strict=True)
    ]
    body = "\n".join([lines[0], "|" + "|".join(rules) + "|", *lines[1:]])
    return f"{body}\n\n{caption}" if caption else body


def latex_table(
    head: Sequence[str], rows: Cells, numeric: Sequence[bool], caption: str = ""
) -> str:
    """A booktabs tabular, in a table float where there is a caption."""
    columns = "".join("r" if right else "l" for right in numeric)
    lines = [" & ".join(map(_latex, cells)) + r" \\" for cells in (head, *rows)]
    body = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        lines[0],
        r"\midrule",
        *lines[1:],
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if caption:
        top = [r"\begin{table}", r"\centering", rf"\caption{{{_latex(caption)}}}"]
        body = [*top, *body, r"\end{table}"]
    return "\n".join(body)


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)


def html_table(head: Sequence[str], rows: Cells, numeric: Sequence[bool], caption: str = "") -> str:
    """A plain table; number cells have the class ``n``, which a style sheet may right-align."""
    marks = [' class="n"' if right else "" for right in numeric]

    def line(cells: Sequence[str], tag: str) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        inner = "".join(
            f"<{tag}{mark}{scope}>{html.escape(c)}</{tag}>"
            for c, mark in zip(cells, marks, strict=True)
        )
        return f"<tr>{inner}</tr>"

    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    body = "\n".join(line(row, "td") for row in rows)
    return f"<table>{title}<thead>{line(head, 'th')}</thead>\n<tbody>{body}</tbody></table>"
