"""Hypotheses as text: what is read, and what is refused with its place."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teamlink.errors import FormulaError
from teamlink.syntax.hypothesis import read_hypothesis

NAMES = [
    "Intercept", "ses", "ses2", "sector[T.Catholic]", "ses:sector[T.Catholic]", "C(grade)[T.a, b]",
    "prior score", "x.1",
]  # fmt: skip


def read(text: str) -> tuple[list[dict[str, float]], list[float]]:
    said = read_hypothesis(text, NAMES)
    rows = [{NAMES[i]: row[i] for i in np.flatnonzero(row)} for row in said.contrasts]
    return rows, said.rhs.tolist()


@pytest.mark.parametrize(
    ("text", "rows", "rhs"),
    [
        ("ses = 0", [{"ses": 1}], [0]),
        ("ses", [{"ses": 1}], [0]),
        ("ses == 2.5e-1", [{"ses": 1}], [0.25]),
        ("ses=0,ses2=1", [{"ses": 1}, {"ses2": 1}], [0, 1]),
        ("ses - ses2 = 0", [{"ses": 1, "ses2": -1}], [0]),
        ("ses = ses2", [{"ses": 1, "ses2": -1}], [0]),
        ("ses = ses2 = 3", [{"ses": 1, "ses2": -1}, {"ses2": 1}], [0, 3]),
        ("2*ses + ses2 = 3", [{"ses": 2, "ses2": 1}], [3]),
        ("ses*2 = 1 - ses2/4", [{"ses": 2, "ses2": 0.25}], [1]),
        ("-(ses - 2*(ses2 + 1)) = 0", [{"ses": -1, "ses2": 2}], [-2]),
        ("3 = ses", [{"ses": -1}], [-3]),
        ("+ses - -ses2 = +1", [{"ses": 1, "ses2": 1}], [1]),
        ("sector[T.Catholic] = 0", [{"sector[T.Catholic]": 1}], [0]),
        ("ses:sector[T.Catholic]=0", [{"ses:sector[T.Catholic]": 1}], [0]),
        ("sector[T.Catholic]:ses = 0", [{"ses:sector[T.Catholic]": 1}], [0]),
        ("C(grade)[T.a, b] - 2 = 0", [{"C(grade)[T.a, b]": 1}], [2]),
        ("prior score = `prior score`*3 + 1", [{"prior score": -2}], [1]),
        ("x.1\n = 0", [{"x.1": 1}], [0]),
        ("2*3*ses/4 = (1 + 2)*3", [{"ses": 1.5}], [9]),
    ],
)
def test_is_read(text: str, rows: list[dict[str, float]], rhs: list[float]) -> None:
    assert read(text) == (rows, rhs)


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("sess = 0", "did you mean 'ses'", "^^^^"),
        ("ses = 0, sector = 1", "there is no coefficient 'sector'", "         ^^^^^^"),
        ("ses:grade = 0", "there is no coefficient 'ses:grade'", "^^^^^^^^^"),
        ("ses = ", "a coefficient or a number is missing", "      ^"),
        ("", "a coefficient or a number is missing", "^"),
        ("ses = 0,", "a coefficient or a number is missing", "        ^"),
        ("ses = 0 ses2 = 1", "an operator, = or a comma is missing", "        ^^^^"),
        ("ses*ses2 = 1", "linear: no products", "   ^"),
        ("1/ses = 1", "only a number that is not zero can divide", " ^"),
        ("ses/0 = 1", "only a number that is not zero can divide", "   ^"),
        ("(ses = 1", "never closed", "^"),
        ("ses) = 1", "an operator, = or a comma is missing", "   ^"),
        ("`ses = 1", "backquote is never closed", "^"),
        ("1 = 1", "says nothing of a coefficient", "^^^^^"),
        ("ses - ses = 0", "says nothing of a coefficient", "^^^^^^^^^^^^^"),
        ("ses ~ 1", "there is no coefficient '~'", "    ^"),
        ("2ses = 1", "there is no coefficient '2ses'; did you mean 'ses'", "^^^^"),
        ("(" * 60 + "ses" + ")" * 60, "levels of nesting", ""),
    ],
)
def test_is_refused_with_its_place(text: str, message: str, place: str) -> None:
    with pytest.raises(FormulaError) as caught:
        read_hypothesis(text, NAMES)
    first, *_, last = str(caught.value).split("\n")
    assert message in first
    assert last.startswith("  " + place)


@given(st.text(alphabet="abxses2.:[]()=+-*/,` \n01e~%é", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(FormulaError):
        said = read_hypothesis(text, NAMES)
        assert said.contrasts.shape == (len(said.rows), len(NAMES))
        assert said.contrasts.any(axis=1).all()


@given(st.lists(st.tuples(st.integers(-9, 9), st.sampled_from(NAMES)), min_size=1, max_size=5))
def test_a_sum_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    expected = np.zeros(len(NAMES))
    for weight, name in parts:
        expected[NAMES.index(name)] += weight
    if expected.any():
        said = read_hypothesis(" + ".join(f"{w}*{name}" for w, name in parts) + " = 1", NAMES)
        np.testing.assert_array_equal(said.contrasts[0], expected)
