"""The tokeniser: kinds, places, and the characters it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teamlink.errors import FormulaError
from teamlink.syntax.reader import OPERATORS
from teamlink.syntax.tokens import Cursor, Kind, tokenize


def kinds(text: str) -> list[tuple[Kind, str]]:
    return [(token.kind, token.value) for token in tokenize(text, OPERATORS)[:-1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("math", [(Kind.NAME, "math")]),
        ("IQ.ver.2", [(Kind.NAME, "IQ.ver.2")]),
        (".x", [(Kind.NAME, ".x")]),
        ("_x", [(Kind.NAME, "_x")]),
        ("größe", [(Kind.NAME, "größe")]),
        ("हिन्दी+x", [(Kind.NAME, "हिन्दी"), (Kind.OPERATOR, "+"), (Kind.NAME, "x")]),
        ("e\u0301te\u0301", [(Kind.NAME, "e\u0301te\u0301")]),
        ("`a name`", [(Kind.QUOTED, "a name")]),
        ("`a(b`", [(Kind.QUOTED, "a(b")]),
        ("1", [(Kind.NUMBER, "1")]),
        ("1.5e-3", [(Kind.NUMBER, "1.5e-3")]),
        (".5", [(Kind.NUMBER, ".5")]),
        ("'a b'", [(Kind.STRING, "a b")]),
        ('"it\'s"', [(Kind.STRING, "it's")]),
        (r"'a\x28b'", [(Kind.STRING, "a(b")]),
        ("**", [(Kind.OPERATOR, "**")]),
        ("*", [(Kind.OPERATOR, "*")]),
        ("|||", [(Kind.OPERATOR, "|||")]),
        ("||", [(Kind.OPERATOR, "||")]),
        ("a%in%b", [(Kind.NAME, "a"), (Kind.OPERATOR, "%in%"), (Kind.NAME, "b")]),
        ("x<=1", [(Kind.NAME, "x"), (Kind.OPERATOR, "<="), (Kind.NUMBER, "1")]),
        ("", []),
        (" \n\t\u00a0 ", []),
    ],
)
def test_kinds_and_values(text: str, expected: list[tuple[Kind, str]]) -> None:
    assert kinds(text) == expected


def test_places_include_the_quotes() -> None:
    text = "a ~ `b c` + 'd'"
    assert [text[t.start : t.end] for t in tokenize(text, OPERATORS)[:-1]] == [
        *("a", "~", "`b c`", "+", "'d'")
    ]


def test_a_language_is_its_operators() -> None:
    text = "f =~ x1 + x2"
    assert [t.value for t in tokenize(text, ("=~", "~", "+"))[:-1]] == ["f", "=~", "x1", "+", "x2"]
    with pytest.raises(FormulaError, match="'='"):
        tokenize(text, ("~", "+"))


@pytest.mark.parametrize(
    ("text", "start", "end", "message"),
    [
        ("a $ b", 2, 3, "backquotes"),
        ("a [ b", 2, 3, "square brackets"),
        ("a { b", 2, 3, "braces"),
        ("a . b", 2, 3, "name each variable"),
        ("a − b", 2, 3, "write -"),
        ("a × b", 2, 3, r"write \*"),
        ("“a”", 0, 1, "typographic quote"),
        ("a + `b", 4, 5, "never closed"),
        ("a + `b\nc`", 4, 5, "never closed"),
        ("a + 'b", 4, 5, "never closed"),
        ("a + ``", 4, 6, "no name"),
        ("a + `b\\c`", 6, 7, "backslash"),
        ("a + 'b\\n'", 6, 7, "backslash"),
        ("a + `b\x00c`", 4, 9, "control characters"),
        ("a + 'b\r'", 4, 8, "control characters"),
        (r"a + 'b\x0a'", 4, 11, "control characters"),
        ("a\x00", 1, 2, "cannot be read"),
        ("2x", 0, 2, "begins with a letter"),
        ("1_000", 0, 2, "begins with a letter"),
        ("\u0301a", 0, 1, "cannot be read"),
        ("٣a", 0, 1, "cannot be read"),
    ],
)
def test_refused(text: str, start: int, end: int, message: str) -> None:
    with pytest.raises(FormulaError, match=message) as caught:
        tokenize(text, OPERATORS)
    assert (caught.value.start, caught.value.end) == (start, end)


@given(st.text())
def test_tokens_tile_the_text_or_it_is_refused(text: str) -> None:
    try:
        tokens = tokenize(text, OPERATORS)
    except FormulaError as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert 0 <= refused.start < refused.end <= len(text)
        return
    at = 0
    for token in tokens[:-1]:
        assert text[at : token.start].strip() == ""
        assert token.start < token.end
        at = token.end
    assert text[at:].strip() == ""
    assert tokens[-1].kind is Kind.END
    assert tokens[-1].start == len(text)


def test_cursor_never_passes_the_end() -> None:
    cursor = Cursor("a", tokenize("a", OPERATORS))
    assert cursor.after.kind is Kind.END
    assert cursor.take().value == "a"
    assert [cursor.take().kind, cursor.take().kind] == [Kind.END, Kind.END]
    assert cursor.after.kind is Kind.END
