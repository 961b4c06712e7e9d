import pandas as pd
import pytest

from teamlink.errors import DataError, OptionError
from teamlink.report.tables import table

FRAME = pd.DataFrame(
    {
        "term": ["a_b", "x|y", "<i>"],
        "estimate": [1.23456, float("nan"), -0.5],
        "p_value": [0.04, 1e-8, None],
        "ok": [True, False, True],
    }
)


def test_markdown_escapes_pipes_and_leaves_missing_cells_empty() -> None:
    lines = table(FRAME).split("\n")
    assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1
    assert r"x\|y" in lines[3]
    assert "<0.001" in lines[3]
    assert "nan" not in table(FRAME).casefold()


def test_html_escapes_markup() -> None:
    text = table(FRAME, "html", caption="A & B")
    assert "&lt;i&gt;" in text
    assert "<i>" not in text
    assert "<caption>A &amp; B</caption>" in text
    assert text.count("<tr>") == 4


def test_latex_escapes_and_has_rules() -> None:
    text = table(FRAME, "latex", caption="50 % & more")
    assert r"a\_b" in text
    assert r"\caption{50 \% \& more}" in text
    assert text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")
    assert text.count(r"\\") == 4
    assert r"\caption" not in table(FRAME, "latex")


def test_text_aligns_numbers_to_the_right() -> None:
    lines = table(FRAME, "text").split("\n")
    assert lines[1] == "-" * len(lines[1])
    assert lines[2].startswith("a_b ")
    end = lines[0].index("estimate") + len("estimate")
    assert lines[2][:end].endswith("1.235")


def test_what_cannot_be_printed_is_refused() -> None:
    with pytest.raises(OptionError, match="did you mean 'markdown'"):
        table(FRAME, "markdow")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no columns"):
        table(pd.DataFrame())
