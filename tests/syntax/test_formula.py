"""What `parse` makes of formulas that are well formed."""

from __future__ import annotations

import dataclasses
import inspect

import formulaic
import numpy as np
import pandas as pd
import pytest

from teamlink.syntax.formula import Formula, RandomTerm, parse
from teamlink.syntax.functions import CONTRASTS, FUNCTIONS

ACCEPTED = [
    # text, response, fixed, random, variables
    ("y ~ 1", "y", "1", [], "y"),
    ("y ~ 0", "y", "0", [], "y"),
    ("y ~ x", "y", "x", [], "y x"),
    ("y~x+z", "y", "x + z", [], "y x z"),
    ("y ~ x + (1 | g)", "y", "x", ["(1 | g)"], "y x g"),
    ("y ~ (1 | g) + x", "y", "x", ["(1 | g)"], "y x g"),
    ("y ~ (1 | g)", "y", "1", ["(1 | g)"], "y g"),
    ("y ~ ((1 | g))", "y", "1", ["(1 | g)"], "y g"),
    ("y ~ (x + (1 | g))", "y", "x", ["(1 | g)"], "y x g"),
    ("y ~ x + (z - 1 + (1 | g))", "y", "x + z - 1", ["(1 | g)"], "y x z g"),
    ("y ~ (x | g)", "y", "1", ["(1 + x | g)"], "y x g"),
    ("y ~ (1 + x | g)", "y", "1", ["(1 + x | g)"], "y x g"),
    ("y ~ (x + 1 | g)", "y", "1", ["(1 + x | g)"], "y x g"),
    ("y ~ (0 + x | g)", "y", "1", ["(0 + x | g)"], "y x g"),
    ("y ~ (x - 1 | g)", "y", "1", ["(0 + x | g)"], "y x g"),
    ("y ~ (-1 + x | g)", "y", "1", ["(0 + x | g)"], "y x g"),
    ("y ~ (x + -1 | g)", "y", "1", ["(0 + x | g)"], "y x g"),
    ("y ~ (x + 0 + 1 | g)", "y", "1", ["(1 + x | g)"], "y x g"),
    ("y ~ (x - 0 | g)", "y", "1", ["(1 + x | g)"], "y x g"),
    ("y ~ ((x) | (g))", "y", "1", ["(1 + x | g)"], "y x g"),
    ("y ~ ((x - 1) + z | g)", "y", "1", ["(0 + x + z | g)"], "y x z g"),
    ("y ~ (x || g)", "y", "1", ["(1 + x || g)"], "y x g"),
    ("y ~ (1 || g)", "y", "1", ["(1 || g)"], "y g"),
    ("y ~ (x * z || g)", "y", "1", ["(1 + x + z + x:z || g)"], "y x z g"),
    ("y ~ (x:z + w | g)", "y", "1", ["(1 + w + x:z | g)"], "y w x z g"),
    ("y ~ (x * z - z | g)", "y", "1", ["(1 + x + x:z | g)"], "y x z g"),
    ("y ~ (z + (x - z) | g)", "y", "1", ["(1 + z + x | g)"], "y z x g"),
    ("y ~ (x / z | g)", "y", "1", ["(1 + x + x:z | g)"], "y x z g"),
    ("y ~ (z %in% x | g)", "y", "1", ["(1 + z:x | g)"], "y z x g"),
    ("y ~ ((x + z + w)^2 | g)", "y", "1", ["(1 + x + z + w + x:z + x:w + z:w | g)"], "y x z w g"),
    ("y ~ ((x + z)^9 | g)", "y", "1", ["(1 + x + z + x:z | g)"], "y x z g"),
    ("y ~ (x + x | g)", "y", "1", ["(1 + x | g)"], "y x g"),
    ("y ~ (x:x | g)", "y", "1", ["(1 + x | g)"], "y x g"),
    ("y ~ (1 | a:b)", "y", "1", ["(1 | a:b)"], "y a b"),
    ("y ~ (x | a/b)", "y", "1", ["(1 + x | a)", "(1 + x | a:b)"], "y x a b"),
    ("y ~ (1 | a/b/c)", "y", "1", ["(1 | a)", "(1 | a:b)", "(1 | a:b:c)"], "y a b c"),
    ("y ~ (1 | a/(b/c))", "y", "1", ["(1 | a)", "(1 | a:b)", "(1 | a:b:c)"], "y a b c"),
    ("y ~ (1 | a:b/c)", "y", "1", ["(1 | a:b)", "(1 | a:b:c)"], "y a b c"),
    ("y ~ (1 | a/b:c)", "y", "1", ["(1 | a)", "(1 | a:b:c)"], "y a b c"),
    ("y ~ (1 | (a/b):c)", "y", "1", ["(1 | a:c)", "(1 | a:b:c)"], "y a c b"),
    ("y ~ (x | a) + (1 | b)", "y", "1", ["(1 + x | a)", "(1 | b)"], "y x a b"),
    ("y ~ (1 | g) + (0 + x | g)", "y", "1", ["(1 | g)", "(0 + x | g)"], "y g x"),
    ("y ~ x - 1 + (1 | g)", "y", "x - 1", ["(1 | g)"], "y x g"),
    ("y ~ (1 | g) - 1 + x", "y", "-1 + x", ["(1 | g)"], "y x g"),
    ("y ~ 0 + x + (1 | g)", "y", "0 + x", ["(1 | g)"], "y x g"),
    ("y ~ (x - 1) + z", "y", "x - 1 + z", [], "y x z"),
    ("y ~ +x", "y", "x", [], "y x"),
    ("y ~ x + +z", "y", "x + z", [], "y x z"),
    ("y ~ x + -z", "y", "x - z", [], "y x z"),
    ("y ~ x*z - x:z", "y", "x * z - x:z", [], "y x z"),
    ("y ~ (x + z)^2", "y", "(x + z)**2", [], "y x z"),
    ("y ~ a*b %in% c", "y", "a * b:c", [], "y a b c"),
    ("y ~ b %in% a + c", "y", "b:a + c", [], "y b a c"),
    ("y ~ (b + c) %in% a:d", "y", "(b + c):a:d", [], "y b c a d"),
    ("y ~ a/(b + c)", "y", "a / (b + c)", [], "y a b c"),
    ("(y) ~ ((x))", "y", "x", [], "y x"),
    ("log(y) ~ log(x)", "log(y)", "log(x)", [], "y x"),
    ("log (y) ~ x", "log(y)", "x", [], "y x"),
    ("I(y/z) ~ x", "I(y / z)", "x", [], "y z x"),
    ("y ~ I(x^2)", "y", "I(x ** 2)", [], "y x"),
    ("y ~ I(-x**-2)", "y", "I(-x ** -2)", [], "y x"),
    ("y ~ I((x>2)*(z<=.5))", "y", "I((x > 2) * (z <= .5))", [], "y x z"),
    ("y ~ within(x, g) + between(x, g)", "y", "within(x, g) + between(x, g)", [], "y x g"),
    ("y ~ (within(x,g) | g)", "y", "1", ["(1 + within(x, g) | g)"], "y x g"),
    ("y ~ poly(x, degree=2, raw=True)", "y", "poly(x, degree=2, raw=True)", [], "y x"),
    ("y ~ C(s, contr.sum)", "y", "C(s, contr.sum)", [], "y s"),
    ("y ~ C(s, Treatment('a'))", "y", "C(s, Treatment('a'))", [], "y s"),
    ('y ~ C(s, contr.treatment(base="a"))', "y", "C(s, contr.treatment(base='a'))", [], "y s"),
    ("y ~ C(s, contrasts=Sum)", "y", "C(s, contrasts=Sum)", [], "y s"),
    ("y ~ C(s, Treatment)", "y", "C(s, Treatment())", [], "y s"),
    ("y ~ IQ.ver + log(IQ.ver)", "y", "IQ.ver + log(`IQ.ver`)", [], "y IQ.ver"),
    ("pass ~ class + (1 | class)", "pass", "class", ["(1 | class)"], "pass class"),
    ("größe ~ (Übung | Schüler)", "größe", "1", ["(1 + Übung | Schüler)"], "größe Übung Schüler"),
    ("y\n  ~ x\n  + (1\n | g)\n", "y", "x", ["(1 | g)"], "y x g"),
]

QUOTED = [
    ("`a y` ~ `x`", "`a y`", "x", [], ["a y", "x"]),
    ("y ~ (`a x` | `a g`/b)", "y", "1", ["(1 + `a x` | `a g`)", "(1 + `a x` | `a g`:b)"], None),
    ("y ~ `1st` + `lambda` + `__x`", "y", "`1st` + `lambda` + `__x`", [], None),
    ("y ~ log(`a x`)", "y", "log(`a x`)", [], ["y", "a x"]),
    ("y ~ हिन्दी", "y", "`हिन्दी`", [], ["y", "हिन्दी"]),
    ("y ~ .x", "y", "`.x`", [], ["y", ".x"]),
]


@pytest.mark.parametrize(("text", "response", "fixed", "random", "variables"), ACCEPTED + QUOTED)
def test_parts(
    text: str,
    response: str,
    fixed: str,
    random: list[str],
    variables: str | list[str] | None,
) -> None:
    formula = parse(text)
    assert formula.text == text
    assert (formula.response, formula.fixed) == (response, fixed)
    assert [str(term) for term in formula.random] == random
    if variables is not None:
        expected = variables.split() if isinstance(variables, str) else variables
        assert list(formula.variables) == expected
    assert parse(str(formula)) == formula
    assert str(parse(str(formula))) == str(formula)


@pytest.mark.parametrize(
    ("text", "functions"),
    [
        ("y ~ x", ()),
        ("log(y) ~ exp(x) + log(z)", ("log", "exp")),
        ("y ~ scale(log(x)) + (I(x**2) | g)", ("scale", "log", "I")),
        ("y ~ C(s, contr.treatment('a'))", ("C", "contr.treatment")),
        ("y ~ C(s, contr.sum)", ("C",)),
    ],
)
def test_functions(text: str, functions: tuple[str, ...]) -> None:
    assert parse(text).functions == functions


@pytest.mark.parametrize(
    ("bar", "pieces"),
    [
        ("(x | g)", ("1 + x",)),
        ("(0 + x + z | g)", ("0 + x + z",)),
        ("(1 || g)", ("1",)),
        ("(x || g)", ("1", "0 + x")),
        ("(0 + f || g)", ("0 + f",)),
        ("(x * f || g)", ("1", "0 + x", "0 + f", "0 + x:f")),
        ("(log(x) + `a b` || g)", ("1", "0 + log(x)", "0 + `a b`")),
    ],
)
def test_split(bar: str, pieces: tuple[str, ...]) -> None:
    assert parse(f"y ~ {bar}").random[0].split() == pieces


def test_random_term() -> None:
    text = "y ~ x + (0 + x + z || a:b)"
    (term,) = parse(text).random
    assert term.effects == "0 + x + z"
    assert term.terms == ("x", "z")
    assert term.group == ("a", "b")
    assert not term.correlated
    assert text[term.start : term.end] == "(0 + x + z || a:b)"


def test_pieces_of_a_nesting_share_their_place() -> None:
    text = "y ~ x + (1 | a/b)"
    assert {text[t.start : t.end] for t in parse(text).random} == {"(1 | a/b)"}


def test_equality_leaves_the_places_out() -> None:
    one, other = parse("y ~ x+(x|g)"), parse("y ~ x + (1 + x | g)")
    assert one == other
    assert hash(one) == hash(other)
    assert one.random[0].start != other.random[0].start
    assert one.text != other.text
    assert parse("y ~ (x | g)") != parse("y ~ (x || g)")
    assert parse("y ~ (x | g)") != parse("y ~ (0 + x | g)")
    assert parse("y ~ x") != parse("y ~ z")


def test_nouns_are_frozen() -> None:
    formula = parse("y ~ (1 | g)")
    with pytest.raises(dataclasses.FrozenInstanceError):
        formula.fixed = "x"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        formula.random[0].start = 0  # type: ignore[misc]


def test_fields_of_the_contract() -> None:
    assert {"text", "response", "fixed", "random", "variables", "functions"} == {
        field.name for field in dataclasses.fields(Formula)
    }
    assert {"group", "correlated", "start", "end"} < {
        f.name for f in dataclasses.fields(RandomTerm)
    }


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"x": rng.normal(size=12), "s": [*"abc"] * 4})
    odd = ["a b", "IQ.ver", "1st", "(b", "b)", "it's", "o'b'c", '"q"', "50%", "{a}", "[0]", "a|b"]
    for name in [*odd, "a~b", "x:s", "हिन्दी", "ü", ".x", "a,b", "#", "a;b", "$", "“q”"]:
        frame[name] = rng.uniform(1, 2, size=12)
    return frame


def test_formulaic_finds_columns_of_any_name(frame: pd.DataFrame) -> None:
    for name in frame.columns.difference(["s", "x"]):
        for text, expected in ((f"`{name}`", frame[name]), (f"log(`{name}`)", np.log(frame[name]))):
            fixed = parse(f"y ~ {text}").fixed
            found = formulaic.model_matrix(fixed, frame, context={})
            np.testing.assert_array_equal(found.iloc[:, 1], expected, err_msg=fixed)


@pytest.mark.parametrize("level", ["a", "a (b)", "it's", "[x]", "{y}", "100%", "a,b", "a`b", "é ü"])
def test_formulaic_finds_levels_of_any_name(level: str) -> None:
    frame = pd.DataFrame({"s": [level, "zz"] * 3})
    fixed = parse(f'y ~ C(s, contr.treatment(base="{level}"))').fixed
    found = formulaic.model_matrix(fixed, frame, context={})
    assert list(found.iloc[:, 1]) == [0, 1] * 3


CALLS = {
    **dict.fromkeys(("I", "abs", "center", "exp", "exp2"), "({})"),
    **dict.fromkeys(("log", "log10", "log2", "scale", "standardize"), "({})"),
    **dict.fromkeys(("cc", "cr", "cs", "bs"), "({}, df=4)"),
    "poly": "({}, 2)",
    "C": "(s)",
}


@pytest.mark.parametrize("function", sorted(FUNCTIONS.keys() - {"within", "between", "sqrt"}))
def test_formulaic_knows_the_functions(function: str, frame: pd.DataFrame) -> None:
    fixed = parse(f"y ~ {function}{CALLS[function].format('`a b`')}").fixed
    assert formulaic.model_matrix(fixed, frame, context={}).shape[1] >= 2


@pytest.mark.parametrize("contrast", sorted(CONTRASTS))
def test_formulaic_knows_the_contrasts(contrast: str, frame: pd.DataFrame) -> None:
    for written in (contrast, f"{contrast}()"):
        fixed = parse(f"y ~ C(s, {written})").fixed
        assert formulaic.model_matrix(fixed, frame, context={}).shape == (12, 3)


def test_keywords_are_formulaics() -> None:
    for table in (FUNCTIONS, CONTRASTS):
        for name, signature in table.items():
            if name in ("within", "between", "sqrt", "abs") or not signature.keywords:
                continue
            found: object = formulaic.transforms.TRANSFORMS
            for part in name.split("."):
                found = found[part] if isinstance(found, dict) else getattr(found, part)
            known = inspect.signature(inspect.unwrap(found)).parameters  # type: ignore[arg-type]
            assert signature.keywords <= known.keys(), name


def test_long_formulas_are_read() -> None:
    names = [f"x{i}" for i in range(3000)]
    assert parse(f"y ~ {' + '.join(names)}").variables == ("y", *names)
    assert parse(f"y ~ {':'.join(names)}").variables == ("y", *names)
