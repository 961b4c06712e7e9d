"""What `parse` says of texts that are no formulas: the place, and the words."""

from __future__ import annotations

from pathlib import Path

import pytest

from teamlink.errors import FormulaError, TeamlinkError
from teamlink.syntax.formula import parse

# Three lines a record: the text, the caret under it, the message.
RECORDS = (Path(__file__).parent / "refused.txt").read_text(encoding="utf-8").split("\n\n")
REFUSED = [record.splitlines() for record in RECORDS]


@pytest.mark.parametrize(("text", "caret", "message"), REFUSED, ids=[r[0] for r in REFUSED])
def test_place_and_words(text: str, caret: str, message: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(text)
    assert str(caught.value) == f"{message}\n  {text}\n  {caret}"
    assert (caught.value.start, caught.value.end) == (len(caret) - caret.count("^"), len(caret))
    assert caught.value.text == text


def test_the_caret_stands_under_its_line() -> None:
    with pytest.raises(FormulaError) as caught:
        parse("math ~ ses +\n  (1 | log(school)) +\n  minority")
    assert str(caught.value).splitlines()[1:] == [
        "    (1 | log(school)) +",
        "         ^^^^^^^^^^^",
    ]


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_nothing(text: str) -> None:
    with pytest.raises(FormulaError, match="the formula is empty") as caught:
        parse(text)
    assert caught.value.start == 0


@pytest.mark.parametrize("thing", [None, 3, ["y ~ x"], b"y ~ x"])
def test_no_text(thing: object) -> None:
    with pytest.raises(FormulaError, match="a formula is a text"):
        parse(thing)  # type: ignore[arg-type]


@pytest.mark.parametrize("opening", ["(", "log(", "I(", "-(", "(1 | (", "I(-"])
def test_nesting_has_an_end(opening: str) -> None:
    with pytest.raises(FormulaError, match=r"levels of nesting|cannot stand|closed|read|sign"):
        parse(f"y ~ {opening * 5000}x")


def test_deep_but_readable() -> None:
    assert parse(f"y ~ {'(' * 40}x{')' * 40}").fixed == "x"
    assert parse(f"y ~ {'I(' * 40}x{')' * 40}").variables == ("y", "x")
    with pytest.raises(FormulaError, match="more than 40 levels"):
        parse(f"y ~ {'(' * 41}x{')' * 41}")


def test_kind_of_error() -> None:
    assert issubclass(FormulaError, TeamlinkError)
    assert issubclass(FormulaError, ValueError)
