"""Any tidy frame, and any fit, as text, Markdown, LaTeX or HTML."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import pandas as pd

from teamlink.errors import DataError, check_option
from teamlink.fitting.fit import Fit
from teamlink.report.numbers import figure, p_value
from teamlink.report.records import plain

__all__ = [
    "Cells",
    "Format",
    "aligned",
    "html_line",
    "html_table",
    "latex_table",
    "latex_text",
    "markdown_cells",
    "markdown_rule",
    "markdown_table",
    "table",
    "text_table",
    "widths_of",
]

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
    "\u2190": r"$\leftarrow$",
    "\u2194": r"$\leftrightarrow$",
    "\u03c7": r"$\chi$",
    "\u00b2": r"\textsuperscript{2}",
    "\u2014": "---",
}


def table(
    what: pd.DataFrame | Fit | Sequence[Fit] | Mapping[str, Fit],
    format: Format = "markdown",
    caption: str = "",
    *,
    standardized: bool = False,
    digits: int = 3,
) -> str:
    """Turn a tidy frame, a fit, or several fits of structural equations into a table for print.

    Parameters
    ----------
    what : pandas.DataFrame, Fit, or several fits
        A frame such as `fit.tidy()` or `replication.claims`; the index is left out. Numbers get
        about four significant digits, columns of p values three decimals. A fit of structural
        equations is set in sections (loadings, regressions, ...) with its fit measures below;
        several, in a list or by name in a mapping, stand side by side. Any other fit is shown by
        its `tidy()`.
    format : {"text", "markdown", "latex", "html"}
        LaTeX uses the booktabs rules.
    caption : str
        Printed with the table.
    standardized : bool
        Of several fits of structural equations: standardized estimates. The table of one has both.
    digits : int
        Decimals of estimates of structural equations.

    Returns
    -------
    str

    Raises
    ------
    OptionError
        Another format, or something that is neither a frame nor a fit.
    DataError
        The frame has no columns.

    See Also
    --------
    effects_table : Effects with their intervals.

    Examples
    --------
    >>> import pandas as pd
    >>> print(table(pd.DataFrame({"term": ["ses"], "estimate": [2.1951], "p_value": [1e-9]})))
    | term | estimate | p_value |
    |:-----|---------:|--------:|
    | ses  |    2.195 |  <0.001 |
    >>> import teamlink as tl
    >>> fit = tl.sem("mathach ~ ses; ses ~ meanses", tl.datasets.load("hsb82"))
    >>> print(tl.table({"paths": fit}, "text").partition("Variances")[0])
                                         paths
    ------------------------------------------
    Regressions
      mathach ← ses           3.184*** (0.097)
      ses ← meanses           1.000*** (0.019)
    <BLANKLINE>
    """
    check_option("format", format, ["text", "markdown", "latex", "html"])
    if not isinstance(what, pd.DataFrame):
        from teamlink.report.estimates import fits_table

        return fits_table(what, format, caption, standardized, digits)
    if not len(what.columns):
        raise DataError("the frame has no columns to print")
    head = [str(c) for c in what.columns]
    numeric = [bool(pd.api.types.is_numeric_dtype(what[c].dtype)) for c in what.columns]
    columns = [[_cell(v, name) for v in what[name]] for name in what.columns]
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


def widths_of(head: Sequence[str], rows: Cells) -> list[int]:
    """Characters of the widest cell of each column."""
    return [max(map(len, column)) for column in zip(head, *rows, strict=True)]


def aligned(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> list[str]:
    """Cells filled up to the widths of their columns, numbers to the right."""
    together = zip(cells, widths, numeric, strict=True)
    return [c.rjust(w) if right else c.ljust(w) for c, w, right in together]


def text_table(
    head: Sequence[str], rows: Cells, numeric: Sequence[bool], caption: str = "", gap: str = "  "
) -> str:
    """Columns of text, numbers to the right, with a rule below the head."""
    widths = widths_of(head, rows)
    lines = [gap.join(aligned(cells, widths, numeric)).rstrip() for cells in (head, *rows)]
    rule = "-" * (sum(widths) + len(gap) * (len(widths) - 1))
    return "\n".join([*([caption] if caption else []), lines[0], rule, *lines[1:]])


def markdown_table(
    head: Sequence[str], rows: Cells, numeric: Sequence[bool], caption: str = ""
) -> str:
    """A pipe table; pipes inside cells are escaped."""
    head, *rows = markdown_cells([head, *rows])
    widths = [max(w, 3) for w in widths_of(head, rows)]
    lines = ["| " + " | ".join(aligned(cells, widths, numeric)) + " |" for cells in (head, *rows)]
    body = "\n".join([lines[0], markdown_rule(widths, numeric), *lines[1:]])
    return f"{body}\n\n{caption}" if caption else body


def markdown_cells(rows: Cells) -> list[list[str]]:
    """Cells in which pipes are escaped and lines are one."""
    return [[c.replace("|", r"\|").replace("\n", " ") for c in row] for row in rows]


def markdown_rule(widths: Sequence[int], numeric: Sequence[bool]) -> str:
    """The line below the head, which says how columns are aligned."""
    rules = [
        ("-" * (w + 1) + ":") if right else (":" + "-" * (w + 1))
        for w, right in zip(widths, numeric, strict=True)
    ]
    return "|" + "|".join(rules) + "|"


def latex_table(
    head: Sequence[str], rows: Cells, numeric: Sequence[bool], caption: str = ""
) -> str:
    """A booktabs tabular, in a table float where there is a caption."""
    columns = "".join("r" if right else "l" for right in numeric)
    lines = [" & ".join(map(latex_text, cells)) + r" \\" for cells in (head, *rows)]
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
        top = [r"\begin{table}", r"\centering", rf"\caption{{{latex_text(caption)}}}"]
        body = [*top, *body, r"\end{table}"]
    return "\n".join(body)


def latex_text(text: str) -> str:
    """Escape what LaTeX takes as a command."""
    return "".join(_LATEX.get(c, c) for c in text)


def html_table(head: Sequence[str], rows: Cells, numeric: Sequence[bool], caption: str = "") -> str:
    """A plain table; number cells have the class ``n``, which a style sheet may right-align."""
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    body = "\n".join(html_line(row, "td", numeric) for row in rows)
    top = html_line(head, "th", numeric)
    return f"<table>{title}<thead>{top}</thead>\n<tbody>{body}</tbody></table>"


def html_line(cells: Sequence[str], tag: str, numeric: Sequence[bool]) -> str:
    """A row of ``th`` or ``td`` cells."""
    scope = ' scope="col"' if tag == "th" else ""
    marks = [' class="n"' if right else "" for right in numeric]
    inner = "".join(
        f"<{tag}{mark}{scope}>{html.escape(c)}</{tag}>"
        for c, mark in zip(cells, marks, strict=True)
    )
    return f"<tr>{inner}</tr>"
