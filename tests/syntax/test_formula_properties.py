"""What holds of every formula, drawn at random: round trips, meaning, and no text that escapes."""

from __future__ import annotations

import ast
import keyword
import string

import formulaic
from formulaic.parser.algos.tokenize import tokenize as formulaic_tokens
from formulaic.parser.types import Token as FormulaicToken
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from teamlink.errors import FormulaError
from teamlink.syntax.expression import show_name
from teamlink.syntax.formula import Formula, parse
from teamlink.syntax.functions import CONTRASTS, FUNCTIONS
from teamlink.syntax.reader import OPERATORS, Reader
from teamlink.syntax.terms import expand, show_term
from teamlink.syntax.tokens import tokenize

relaxed = settings(deadline=None)

PLAIN = st.sampled_from(["x", "z", "w", "ses", "IQ.ver", "größe", "`a b`", "class", "`1st`"])
INNER = st.sampled_from(["x", "z", "ses", "IQ.ver", "größe", "`a b`", "1.5", "2"])
GROUPS = st.sampled_from(["g", "school", "`a g`", "d", "pass"])


def spaced(draw: st.DrawFn, *parts: str) -> str:
    blanks = st.sampled_from(["", " ", "  ", "\n", "\t "])
    return "".join(part + draw(blanks) for part in parts)


@st.composite
def arithmetic(draw: st.DrawFn, depth: int = 2) -> str:
    if depth == 0 or draw(st.booleans()):
        return draw(INNER)
    left, right = draw(arithmetic(depth - 1)), draw(arithmetic(depth - 1))
    operator = draw(st.sampled_from(["+", "-", "*", "/", "**", "^"]))
    return f"{draw(st.sampled_from(['', '-']))}({spaced(draw, left, operator, right)})"


@st.composite
def calls(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(["log", "I", "scale", "exp", "within", "poly", "C", ">"]))
    if name == "within":
        return f"within({draw(PLAIN.filter(lambda n: n != 'class'))}, g)"
    if name == "poly":
        return f"poly({draw(arithmetic(1))},degree = 2)"
    if name == "C":
        return 'C(s, contr.treatment("a (b)"))'
    if name == ">":
        return f"I({draw(arithmetic(1))} > {draw(arithmetic(1))})"
    return f"{name}({draw(arithmetic())})"


@st.composite
def products(draw: st.DrawFn, depth: int = 2) -> str:
    factor = st.one_of(PLAIN, PLAIN, calls())
    if depth == 0 or draw(st.booleans()):
        return draw(factor)
    if draw(st.integers(0, 4)) == 0:
        terms = draw(st.lists(products(depth - 1), min_size=1, max_size=3))
        inner = spaced(draw, "(", " + ".join(terms), ")")
        return inner + draw(st.sampled_from(["", "**2", "^3"])) if len(terms) > 1 else inner
    left, right = draw(products(depth - 1)), draw(products(depth - 1))
    return spaced(draw, left, draw(st.sampled_from([":", "*", "/", " %in% "])), right)


@st.composite
def sums(draw: st.DrawFn, depth: int = 2) -> str:
    text = draw(st.sampled_from(["", "1 +", "0 +", "-1 +", "+"])) + draw(products(depth))
    for _ in range(draw(st.integers(0, 3))):
        term = draw(st.one_of(products(depth), st.sampled_from(["1", "0"])))
        text = spaced(draw, text, draw(st.sampled_from(["+", "+", "+", "-"])), term)
    return text


@st.composite
def bars(draw: st.DrawFn) -> str:
    effects = draw(st.one_of(st.just("1"), sums(1)))
    names = draw(st.lists(GROUPS, min_size=1, max_size=3, unique=True))
    group = names[0]
    for name in names[1:]:
        group = spaced(draw, group, draw(st.sampled_from([":", "/"])), name)
    mark = draw(st.sampled_from(["|", "||"]))
    name = draw(st.sampled_from(["", "", "us", "diag", "cs"])) if mark == "|" else ""
    return spaced(draw, f"{name}(", effects, mark, group, ")")


@st.composite
def formulas(draw: st.DrawFn) -> str:
    response = draw(st.sampled_from(["y", "log(y)", "`a y`", "I(y / 2)"]))
    parts = draw(st.lists(st.one_of(sums(), bars()), min_size=1, max_size=4))
    return spaced(draw, response, "~", " + ".join(parts))


def read(text: str) -> Formula:
    """Parse a drawn formula; skip those that are refused for their meaning, not their form."""
    try:
        return parse(text)
    except FormulaError as error:
        meant = ("twice", "nothing varies", "multiplies out", "cannot vary by itself")
        assume(not any(words in str(error) for words in meant))
        raise


def terms(text: str) -> set[frozenset[str]]:
    """Terms of a right-hand side as formulaic reads it."""
    return {
        frozenset(
            show_name(f.expr) if f.eval_method.value == "lookup" else f.expr for f in t.factors
        )
        - {"1"}
        for t in formulaic.Formula(text)
    }


@relaxed
@given(formulas())
def test_round_trip(text: str) -> None:
    formula = read(text)
    again = parse(str(formula))
    assert again == formula
    assert str(again) == str(formula)


@relaxed
@given(sums())
def test_terms_are_formulaics(text: str) -> None:
    """Two independent readings of the fixed part agree: ours, and that of the engine's parser."""
    formula = read(f"y ~ {text}")
    node = Reader(text, tokenize(text, OPERATORS)).read()
    try:
        expanded = expand(node, text, intercept=True)
    except FormulaError as error:
        assume("multiplies out" not in str(error))
        raise
    ours = " + ".join(["0", *map(show_term, expanded.values())])
    assert terms(ours) == terms(formula.fixed)


@relaxed
@given(bars())
def test_pieces_cover_the_effects(bar: str) -> None:
    for term in read(f"y ~ {bar}").random:
        pieces = [terms(piece) for piece in term.split()]
        assert sum(map(len, pieces)) == len(terms(term.effects))
        assert set().union(*pieces) == terms(term.effects)
        assert len(pieces) == (1 if term.correlated else len(term.terms))


@relaxed
@given(formulas())
def test_places_hold_the_bars(text: str) -> None:
    for term in read(text).random:
        bar = text[term.start : term.end]
        head = bar.partition("(")[0]
        assert head in ("", "us", "diag", "cs")
        assert bar[-1] == ")"
        assert ("||" in bar) != term.correlated
        assert term.structure == (head or "us")


BITS = [
    *OPERATORS,
    *(
        "(",
        ")",
        "(1 | g)",
        " ",
        "\n",
        "y",
        "x",
        "g",
        "0",
        "1",
        "2.5",
        "`",
        "`a b`",
        "'a'",
        '"',
        "'",
    ),
    *("log(", "I(", "C(", "contr.sum", "within(", "base=", "lambda", "class", "__x__", "x.y", "."),
    *("[", "{", "\\", "−", "é", "e\u0301", "\x00", "\u2028", "٣", "ﬁ", "²", "\U0001d465"),
]
ANY = st.text() | st.lists(st.sampled_from(BITS), max_size=12).map("".join)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Draw a formula with some characters cut out and something else put in."""
    text = draw(formulas())
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(start + 3, len(text))))
    return text[:start] + draw(ANY) + text[end:]


def check_code(text: str) -> None:
    """Let nothing through to formulaic's Python but arithmetic and the functions on the list."""
    harmless = (ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Load, ast.Constant, ast.BinOp)
    harmless += (ast.UnaryOp, ast.Compare, ast.operator, ast.unaryop, ast.cmpop, ast.Attribute)
    for token in formulaic_tokens(text):
        assert token.kind in FormulaicToken.Kind
        if token.kind is not FormulaicToken.Kind.PYTHON:
            continue
        parts = token.token.split("`")
        code = "".join("v" if i % 2 else part for i, part in enumerate(parts))
        for node in ast.walk(ast.parse(code, mode="eval")):
            assert isinstance(node, harmless), ast.dump(node)
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) in {**FUNCTIONS, **CONTRASTS}
            if isinstance(node, ast.Attribute):
                assert ast.unparse(node) in CONTRASTS


@settings(max_examples=settings().max_examples * 4)
@given(st.one_of(ANY, ANY.map("y ~ {}".format), damaged()))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        formula = parse(text)
    except FormulaError as error:
        refused: FormulaError | None = error
    else:
        refused = None
        assert parse(str(formula)) == formula
        for part in (formula.response, formula.fixed, *(t.effects for t in formula.random)):
            formulaic.Formula(part)
            check_code(part)
    if refused is not None:
        assert 0 <= refused.start <= len(text)
        assert refused.end > refused.start


NAMES = st.text(
    st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp"), blacklist_characters="`\\"),
    min_size=1,
).filter(lambda name: name.strip() not in ("Intercept", "1", "."))


@relaxed
@given(NAMES)
def test_any_name_in_backquotes_is_a_column(name: str) -> None:
    assume(name not in ("y", "g", "x"))
    formula = parse(f"y ~ (1 | g) + `{name}` + `{name}`:x")
    assert set(formula.variables) == {"y", "g", "x", name}
    assert parse(str(formula)) == formula
    (found,) = (t for t in formulaic.Formula(formula.fixed) if len(t.factors) == 1 and t != "1")
    assert found.factors[0].expr == name


@relaxed
@given(st.text(string.ascii_letters + string.digits + "._", min_size=1))
def test_bare_names(name: str) -> None:
    assume(not keyword.iskeyword(name) and name not in ("y", "Intercept"))
    assume((name.lstrip(".")[:1].isalpha() or name.startswith("_")) and "__" not in name)
    assume(not name.startswith(".."))
    assert parse(f"y ~ {name}").variables == ("y", name)
