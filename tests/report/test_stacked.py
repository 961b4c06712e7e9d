import re

import pytest

from teamlink.report.stacked import Column, stacked_table

COLUMNS = (Column("what & why"), Column("how much", numeric=True))
ROWS = [["a <b>claim</b>", "0.2"], ["another", "\u2014"]]


def test_every_cell_carries_the_name_of_its_column() -> None:
    text = stacked_table("claims", COLUMNS, ROWS)
    found = re.findall(r'<td data-label="([^"]*)"', text)
    assert found == ["what &amp; why", "how much"] * len(ROWS)
    heads = re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', text)
    assert heads == ["what &amp; why", "how much"]
    assert "a <b>claim</b>" in text


def test_only_numbers_are_marked_as_numbers() -> None:
    text = stacked_table("claims", COLUMNS, ROWS)
    assert text.count('class="n"') == 1 + len(ROWS)
    assert all('data-label="how much"' in cell for cell in re.findall(r'<td[^>]*"n">', text))


def test_a_table_to_sort_has_buttons_and_keys() -> None:
    order = [["b", 0.2], ["a", None]]
    text = stacked_table("claims", COLUMNS, ROWS, order)
    assert text.count('<button type="button">') == len(COLUMNS)
    assert re.findall(r'data-v="([^"]*)"', text) == ["b", "0.2", "a", ""]
    plain = stacked_table("claims", COLUMNS, ROWS)
    assert "<button" not in plain
    assert "data-v" not in plain
    assert "sortable" not in plain


def test_a_row_with_a_cell_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        stacked_table("claims", COLUMNS, [["alone"]])
