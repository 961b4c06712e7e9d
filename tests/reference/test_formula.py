"""Formulas as R's `terms` and lme4's `findbars` and `expandDoubleVerts` read them."""

from __future__ import annotations

from collections import Counter

import formulaic
import pytest

from teamlink.syntax.formula import Formula, parse

from .formula.parse import INTERCEPT, RAW, READINGS, Reading, script_md5, term

MINUS_LOST_BY_LME4 = "y ~ (1 | g) - 1"
"""Taking out the bar, lme4 1.1-31 takes the minus with it and keeps the intercept. R's own
`terms` sees none, and so do we."""

MISREAD_BY_LME4 = {
    "y ~ (1 | a:b/c)": "takes the colon for a name of its own",
    "y ~ (1 | (a:b)/c)": "takes the parenthesis for a name of its own",
    "y ~ (1 | a/(b/c))": "cannot read nested slashes on the right",
    "y ~ (1 | (a/b):c)": "cannot read a nesting within an interaction",
}
"""Formulas where lme4 1.1-31 departs from R's own `terms`, which we follow, and how."""

readings = pytest.mark.parametrize("expected", READINGS, ids=lambda r: r.formula)


def terms(text: str) -> frozenset[frozenset[str]]:
    """Terms of a right-hand side as formulaic reads it, which is what the engine gets."""
    return frozenset(
        frozenset(str(factor) for factor in found.factors) - {"1"}
        for found in formulaic.Formula(text)
    )


def blocks(formula: Formula) -> Counter[tuple[frozenset[frozenset[str]], frozenset[str]]]:
    return Counter(
        (terms(piece), frozenset(bar.group)) for bar in formula.random for piece in bar.split()
    )


def test_output_belongs_to_script() -> None:
    assert RAW["script_md5"] == script_md5()


@readings
def test_fixed_part(expected: Reading) -> None:
    found = terms(parse(expected.formula).fixed)
    assert (INTERCEPT in found) == expected.intercept
    if expected.formula == MINUS_LOST_BY_LME4:
        assert found == expected.fixed - {INTERCEPT} != expected.fixed
    else:
        assert found == expected.fixed


@readings
def test_random_part(expected: Reading) -> None:
    found = blocks(parse(expected.formula))
    if expected.formula in MISREAD_BY_LME4:
        assert expected.blocks is None or found != Counter(expected.blocks)
    else:
        assert expected.blocks is not None
        assert found == Counter(expected.blocks)


@readings
def test_random_part_by_terms(expected: Reading) -> None:
    assert blocks(parse(expected.formula)) == Counter(expected.written)


@readings
def test_intercept_is_written_out(expected: Reading) -> None:
    for bar in parse(expected.formula).random:
        assert bar.effects.split(" + ")[0] == ("1" if INTERCEPT in terms(bar.effects) else "0")


def test_every_departure_is_among_the_formulas() -> None:
    assert {*MISREAD_BY_LME4, MINUS_LOST_BY_LME4} <= {r.formula for r in READINGS}


def test_r_labels_are_read() -> None:
    assert term("x:I(z^2)") == {"x", "I(z ** 2)"}
