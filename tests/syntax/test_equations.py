"""The language of structural equations: what it says, where it fails, and that it prints back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teamlink.errors import FormulaError, OptionError
from teamlink.syntax.arithmetic import FUNCTIONS, constant, symbols
from teamlink.syntax.equations import Equations, read_equations
from teamlink.syntax.statements import Block, Constraint, Definition, Modifier, Relation, Term

POLITICS = """
# measurement
ind60 =~ x1 + x2 + x3
dem60 =~ y1 + a*y2 + b*y3 + c*y4
! regressions
dem60 ~ ind60 ; y1 ~~ y5
"""


def only(text: str) -> Any:
    """The one statement of a text."""
    (statement,) = read_equations(text).statements
    return statement


def modifiers(text: str) -> list[tuple[str, tuple[Any, ...]]]:
    """Modifiers of the first term."""
    return [(m.kind, m.values) for m in only(f"f =~ {text}").terms[0].modifiers]


class TestStatements:
    def test_relations_comments_and_separators(self) -> None:
        statements = read_equations(POLITICS).statements
        assert [str(s) for s in statements] == [
            "ind60 =~ x1 + x2 + x3",
            "dem60 =~ y1 + a*y2 + b*y3 + c*y4",
            "dem60 ~ ind60",
            "y1 ~~ y5",
        ]

    @pytest.mark.parametrize(
        "text",
        ["f =~ x1 +\n x2", "f =~ x1\n + x2", "f =~\nx1 + x2", "f\n=~ x1+x2", "f =~ x1 + 1.0\n*x2"],
    )
    def test_go_on_over_lines(self, text: str) -> None:
        assert [term.variable for term in only(text).terms] == ["x1", "x2"]

    def test_left_side_may_be_a_sum(self) -> None:
        assert only("y1 + y2 ~ x").left == ("y1", "y2")

    @pytest.mark.parametrize("text", ["y ~ 1", "y~1"])
    def test_intercept(self, text: str) -> None:
        assert only(text).terms == (Term(None, ()),)

    def test_intercept_of_zero(self) -> None:
        assert only("y ~ 0") == only("y ~ 0*1")

    def test_names(self) -> None:
        assert only("f.1 =~ `two words` + x_1 + älter").terms[0].variable == "two words"
        assert only("y ~ x:z + q").terms[0].variable == "x:z"

    def test_blocks(self) -> None:
        said = read_equations("level: 1\ny ~ x\nLEVEL: between\ny ~ z\ngroup: Grant-White\ny ~ x")
        blocks = [s for s in said.statements if isinstance(s, Block)]
        assert [(b.kind, b.value) for b in blocks] == [
            ("level", "1"), ("level", "between"), ("group", "Grant-White"),
        ]  # fmt: skip

    def test_a_variable_may_be_named_level(self) -> None:
        assert only("level ~ group").left == ("level",)

    def test_definitions_and_constraints(self) -> None:
        said = read_equations("ab := a*b\na == b + 2\n0 < c; d > -1").statements
        assert isinstance(said[0], Definition)
        assert [s.operator for s in said[1:] if isinstance(s, Constraint)] == ["==", "<", ">"]
        assert [s.name for s in symbols(said[0].expression)] == ["a", "b"]

    def test_comment_in_quotes_is_none(self) -> None:
        assert only('f =~ equal("f=~x!2")*x1').terms[0].modifiers[0].values == ("f=~x!2",)


class TestModifiers:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("2.4*x", [("fix", (2.4,))]),
            ("-1*x", [("fix", (-1.0,))]),
            ("1/4*x", [("fix", (0.25,))]),
            ("sqrt(16)*x", [("fix", (4.0,))]),
            ("(1 + 2^2)*x", [("fix", (5.0,))]),
            ("NA*x", [("fix", (None,))]),
            ("a*x", [("label", ("a",))]),
            ('label("a")*x', [("label", ("a",))]),
            ("start(0.8)*x", [("start", (0.8,))]),
            ("0.8?x", [("start", (0.8,))]),
            ("lower(0)*upper(1)*x", [("lower", (0.0,)), ("upper", (1.0,))]),
            ('equal("f=~y2")*x', [("equal", ("f=~y2",))]),
            ('rv("s")*x', [("slope", ("s",))]),
            ("c(.6, .8)*x", [("fix", (0.6, 0.8))]),
            ("c(a, b)*x", [("label", ("a", "b"))]),
            ("c(NA, 1)*x", [("fix", (None, 1.0))]),
            ("c(NA, b)*x", [("label", (None, "b"))]),
            ("start(c(1, 2))*x", [("start", (1.0, 2.0))]),
            ("c*x", [("label", ("c",))]),
            ("a*0.5*x", [("label", ("a",)), ("fix", (0.5,))]),
        ],
    )
    def test_say(self, text: str, said: list[tuple[str, tuple[Any, ...]]]) -> None:
        assert modifiers(text) == said


FAULTS = [
    ("f =~ x1 | t1", "|", "thresholds"),
    ("f <~ x1", "<~", "formative"),
    ("y ~*~ y", "~*~", "scaling"),
    ("a :~ 1", ":~", "defined by data"),
    ('f =~ efa("b")*x', "efa", "not supported"),
    ('f =~ prior("b")*x', "prior", "not supported"),
    ("class: 1\ny ~ x", "class", "not supported"),
    ("block: 1\ny ~ x", "block", "not supported"),
    ("a >= 1", ">=", "write >"),
    ("a = 1", "=", "write =~"),
    ("f =~ x1 x2", "x2", "missing"),
    ("f =~ x1 + ", "", "text ends"),
    ("a*f =~ x", "*", "right of the operator"),
    ("f =~ 1/0*x", "1/0", "not a number"),
    ("f =~ log(-1)*x", "log(-1)", "not a number"),
    ("f =~ 9^9^9^9*x", "9^9^9^9", "not a number"),
    ("f =~ c(a, 1)*x", "(a, 1)", "not both"),
    ("f =~ foo(x)", "foo", "no function"),
    ("d := foo(a)", "foo", "no function"),
    ("a + b := c", "+", "one name"),
    ("a == b == c", "==", "cannot stand"),
    ("y ~ (x", "(", "never closed"),
    ("y ~ 2", "2", "variable"),
    ("y ~~ 1", "1", "variable"),
    ('y ~ "a"*x', '"a"', "label"),
    ('y ~ label("a b")*x', '"a b"', "label"),
    ("y ~ start(a)*x", "a", "no number"),
    ("y ~ equal(a)*x", "a", "quotes"),
    ("f", "f", "no operator"),
    ("level:\ny ~ x", ":", "name of the level"),
    ("y ~ x; ; z w", "z", "no operator"),
]


class TestFaults:
    @pytest.mark.parametrize(("text", "place", "words"), FAULTS)
    def test_show_the_place(self, text: str, place: str, words: str) -> None:
        with pytest.raises(FormulaError, match=words.replace("(", r"\(")) as caught:
            read_equations(text)
        shown = text[caught.value.start : caught.value.end]
        assert shown == place
        assert "^" in str(caught.value)

    def test_line_and_column(self) -> None:
        with pytest.raises(FormulaError, match=r"^line 3, column 3: ") as caught:
            read_equations("f =~ x1 + x2\n\ny <~ x")
        assert "\n  y <~ x\n    ^^" in str(caught.value)

    @pytest.mark.parametrize("text", ["", " \n ", "# nothing", ";;"])
    def test_empty(self, text: str) -> None:
        with pytest.raises(FormulaError, match="empty"):
            read_equations(text)

    @pytest.mark.parametrize("text", [None, 3, ["f =~ x"]])
    def test_no_text(self, text: Any) -> None:
        with pytest.raises(OptionError, match="a model is a text"):
            read_equations(text)

    def test_depth_is_limited(self) -> None:
        with pytest.raises(FormulaError, match="nesting"):
            read_equations("d := " + "(" * 2000 + "a" + ")" * 2000)
        with pytest.raises(FormulaError, match="nesting"):
            read_equations("d := " + "-" * 2000 + "a")

    def test_length_is_not(self) -> None:
        long = read_equations("d := " + " + ".join(["a*b"] * 5000))
        assert read_equations(str(long)) == long


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9._]{0,5}", fullmatch=True).filter(
    lambda name: name not in {"NA", *FUNCTIONS}
)
VARIABLES = NAMES | st.sampled_from(["two words", "x:z", "größe", "1", "a-b"])
NUMBERS = st.floats(-1e6, 1e6).map(float) | st.integers(-9, 9).map(float)


def expressions() -> st.SearchStrategy[str]:
    return st.recursive(
        NAMES | st.integers(0, 99).map(str) | st.sampled_from(["0.5", ".5", "1e-3", "2."]),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from("+-*/^"), inner).map(" ".join),
            inner.map(lambda e: f"({e})"),
            inner.map(lambda e: f"-{e}"),
            st.tuples(st.sampled_from(sorted(FUNCTIONS)), inner).map(lambda p: f"{p[0]}({p[1]})"),
        ),
        max_leaves=8,
    )


@st.composite
def relations(draw: Any) -> Relation:
    def modifier() -> Modifier:
        kind = draw(st.sampled_from(["fix", "label", "start", "lower", "upper", "equal", "slope"]))
        value = {
            "label": NAMES, "equal": st.sampled_from(["f=~x1", 'say "so"', "a\\b"]),
            "slope": NAMES, "fix": NUMBERS | st.none(),
        }.get(kind, NUMBERS)  # fmt: skip
        return Modifier(kind, tuple(draw(st.lists(value, min_size=1, max_size=3))))

    operator = draw(st.sampled_from(["=~", "~", "~~"]))
    terms = []
    for _ in range(draw(st.integers(1, 4))):
        variable = draw(VARIABLES | st.none()) if operator == "~" else draw(VARIABLES)
        terms.append(Term(variable, tuple(modifier() for _ in range(draw(st.integers(0, 2))))))
    left = tuple(draw(st.lists(VARIABLES, min_size=1, max_size=3)))
    return Relation(left, operator, tuple(terms))


class TestPrinting:
    @given(st.lists(relations(), min_size=1, max_size=4))
    @settings(max_examples=settings().max_examples * 2)
    def test_what_is_printed_reads_back(self, said: list[Relation]) -> None:
        printed = str(Equations(tuple(said)))
        # Values of labels that are all missing read as a parameter that is free.
        again = read_equations(printed)
        assert read_equations(str(again)) == again
        assert str(again) == printed

    @given(expressions(), expressions(), st.sampled_from(["==", "<", ">"]))
    @settings(max_examples=settings().max_examples * 2)
    def test_arithmetic_reads_back(self, one: str, two: str, operator: str) -> None:
        said = read_equations(f"d := {one};\n{one} {operator} {two}")
        assert read_equations(str(said)) == said

    @given(expressions())
    def test_printing_keeps_the_value(self, text: str) -> None:
        said = only(f"d := {text}")
        again = only(str(said))
        values = []
        for expression in (said.expression, again.expression):
            try:
                values.append(constant(expression))
            except (ArithmeticError, ValueError) as error:
                values.append(type(error))
        assert values[0] == values[1] or values[0] != values[0]


WORDS = """f x1 x2 =~ ~ ~~ := == < > | <~ ~*~ :~ : + - * / ^ ? ( ) , ; 1 0 0.5 NA c start label
equal rv lower level group efa exp # ! ' " ` . [ { % é \x00 2x <= = "a" """
PIECES = st.sampled_from([*WORDS.split(), "\n"])


class TestAnyText:
    @given(st.lists(PIECES, max_size=25))
    @settings(max_examples=settings().max_examples * 4)
    def test_of_pieces_of_the_language(self, pieces: list[str]) -> None:
        self.check(" ".join(pieces))
        self.check("".join(pieces))

    @given(st.text(max_size=40))
    @settings(max_examples=settings().max_examples * 4)
    def test_of_any_characters(self, text: str) -> None:
        self.check(text)

    @staticmethod
    def check(text: str) -> None:
        place = 0
        try:
            said = read_equations(text)
        except FormulaError as error:
            place = error.start
        else:
            assert read_equations(str(said)) == said
        assert 0 <= place <= len(text)
