"""Tables of the evidence page whose rows become blocks on a narrow screen.

A cell carries the name of its column, which the style sheet shows once the head is out of sight.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Column", "stacked_table"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, and whether it holds numbers."""

    name: str
    numeric: bool = False


def stacked_table(
    label: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    order: Sequence[Sequence[object]] | None = None,
) -> str:
    """Write a table in its own scrolling container.

    Parameters
    ----------
    label : str
        What the table is, for readers who hear it.
    columns : sequence of Column
        (c,)
    rows : sequence of sequence of str
        (r, c), markup of the cells.
    order : sequence of sequence, optional
        (r, c), what the rows are sorted by; the heads are then buttons. None sorts last.

    Returns
    -------
    str
        Markup.

    Examples
    --------
    >>> text = stacked_table("sizes", [Column("n", True)], [["8"]])
    >>> text[text.index("<td") : text.index("</tr></tbody>")]
    '<td data-label="n" class="n">8</td>'
    """
    head = "".join(_head(column, order is not None) for column in columns)
    body = "".join(
        _row(columns, row, None if order is None else order[i]) for i, row in enumerate(rows)
    )
    kind = "stack" if order is None else "stack sortable"
    return (
        f'<div class="wide"><table class="{kind}" aria-label="{html.escape(label)}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _head(column: Column, button: bool) -> str:
    name = html.escape(column.name)
    if not button:
        return f'<th scope="col"{_number(column)}>{name}</th>'
    # a button is printed on the first page only, the label on each
    label = f' data-label="{name}"'
    return f'<th scope="col"{_number(column)}{label}><button type="button">{name}</button></th>'


def _row(columns: Sequence[Column], row: Sequence[str], order: Sequence[object] | None) -> str:
    cells = []
    for i, (column, text) in enumerate(zip(columns, row, strict=True)):
        value = ""
        if order is not None:
            key = "" if order[i] is None else html.escape(str(order[i]))
            value = f' data-v="{key}"'
        cells.append(
            f'<td data-label="{html.escape(column.name)}"{_number(column)}{value}>{text}</td>'
        )
    return f"<tr>{''.join(cells)}</tr>"


def _number(column: Column) -> str:
    return ' class="n"' if column.numeric else ""
