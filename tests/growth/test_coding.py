"""Codings of time: columns, texts, and what their coefficients mean."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import teamlink as tl
from teamlink.growth.coding import code_time, coefficient_names
from teamlink.mixed.encoding import encode
from teamlink.syntax.formula import parse

KINDS = [
    ("linear", None, (), None),
    ("quadratic", None, (), "raw"),
    ("cubic", None, (), "orthogonal"),
    ("polynomial", 5, (), None),
    ("polynomial", 4, (), "orthogonal"),
    ("piecewise", None, (2.5,), None),
    ("piecewise", None, (1.5, 3.0, 4.0), "two-rate"),
    ("piecewise", None, (1.5, 3.0, 4.0), "increment"),
]

TIMES = np.array([0.0, 1, 1, 2, 3, 3, 4, 5.25, 6, -1])

KIND = pytest.mark.parametrize(("shape", "degree", "knots", "coding"), KINDS)


def made(shape, degree, knots, coding, origin=None, time_unit=1.0, time="year", times=TIMES):
    names = coefficient_names(shape, degree, knots, coding)
    return code_time(time, times, names, coding, knots, origin, time_unit)


@KIND
@settings(max_examples=8)
@given(
    origin=st.sampled_from([None, 0.0, -1.5, 2.75, 7.0, 1e-7, "first", "last", "mean"]),
    time_unit=st.sampled_from([1.0, 0.5, 12.0]),
    time=st.sampled_from(["year", "school year", "t.1"]),
)
def test_the_formulas_columns_are_the_codings(
    shape, degree, knots, coding, origin, time_unit, time
):
    if coding == "orthogonal":
        origin = None
    coded = made(shape, degree, knots, coding, origin, time_unit, time)
    text = "1 + " + parse("y ~ " + " + ".join(term.text for term in coded.terms)).fixed
    columns, encoding = encode({"fixed": text}, pd.DataFrame({time: TIMES}), text)["fixed"]
    assert encoding.names == ("Intercept", *(term.column for term in coded.terms))
    expected = coded.columns(TIMES)
    scale = np.abs(expected).max(axis=0)
    assert np.abs(columns - expected).max(axis=0) == pytest.approx(0 * scale, abs=1e-9)


@pytest.mark.parametrize(
    ("shape", "degree", "knots", "coding"), [kind for kind in KINDS if kind[3] != "orthogonal"]
)
@pytest.mark.parametrize("origin", [0.0, 2.0, 5.0, -4.0])
def test_columns_vanish_at_the_origin(shape, degree, knots, coding, origin):
    coded = made(shape, degree, knots, coding, origin)
    assert coded.columns(np.array([origin]))[0, 1:] == pytest.approx(0.0)


@KIND
@pytest.mark.parametrize("time_unit", [1.0, 0.25])
def test_slopes_are_derivatives(shape, degree, knots, coding, time_unit):
    coded = made(shape, degree, knots, coding, time_unit=time_unit)
    at, h = np.array([-0.7, 0.3, 2.1, 3.4, 4.6, 5.9]), 1e-5
    numeric = (coded.columns(at + h) - coded.columns(at - h)) / (2 * h) * time_unit
    # Central differences: h^2 of the third derivative, and rounding over h.
    assert coded.slopes(at) == pytest.approx(numeric, rel=1e-6, abs=1e-5)


def test_slope_at_a_knot_is_that_after_it():
    coded = made("piecewise", None, (2.5,), "two-rate")
    assert coded.slopes(np.array([2.5])).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("degree", [2, 3, 4, 5])
def test_orthogonal_polynomials_are_orthogonal_over_the_rows(degree):
    years = tl.datasets.load("egsingle")["year"].to_numpy()
    coded = made("polynomial", degree, (), "orthogonal", times=years)
    R = np.corrcoef(coded.columns(years)[:, 1:], rowvar=False)
    # Their coefficients are rounded to six digits in the formula.
    assert np.abs(R - np.eye(degree)).max() < 1e-4
    columns = coded.columns(years)[:, 1:]
    assert np.abs(columns.mean(axis=0) / columns.std(axis=0)).max() < 1e-4


def test_pieces_of_two_rates_add_up_to_time():
    coded = made("piecewise", None, (1.5, 3.0), "two-rate", origin=2.0)
    assert coded.columns(TIMES)[:, 1:].sum(axis=1) == pytest.approx(TIMES - 2.0)


def test_two_rates_of_the_textbook():
    """Occasions 0 .. 5 with the knot at 2: codes 0 1 2 2 2 2 and 0 0 0 1 2 3."""
    t = np.arange(6.0)
    two = made("piecewise", None, (2,), "two-rate", times=t).columns(t)
    assert two[:, 1].tolist() == [0, 1, 2, 2, 2, 2]
    assert two[:, 2].tolist() == [0, 0, 0, 1, 2, 3]
    increment = made("piecewise", None, (2,), "increment", times=t).columns(t)
    assert increment[:, 1].tolist() == t.tolist()
    assert increment[:, 2].tolist() == two[:, 2].tolist()


def test_origins_by_name():
    assert made("linear", None, (), None, "first").origin == -1
    assert made("linear", None, (), None, "last").origin == 6
    assert made("linear", None, (), None, "mean").origin == pytest.approx(TIMES.mean(), abs=1e-5)
    assert made("linear", None, (), None, "first").terms[0].text == "I(year + 1)"
    assert made("linear", None, (), None).terms[0].text == "year"


def test_words():
    assert made("linear", None, (), None, "first").status == "Initial status at year = -1"
    assert made("linear", None, (), None, 2).status == "Status at year = 2"
    coded = made("piecewise", None, (1.5, 3.0), "two-rate", time_unit=2)
    assert [term.meaning for term in coded.terms] == [
        "Rate of change per 2 year, up to 1.5",
        "Rate of change per 2 year, from 1.5 to 3",
        "Rate of change per 2 year, from 3",
    ]
    quadratic = made("quadratic", None, (), None)
    assert quadratic.terms[0].meaning == "Rate of change per year, at year = 0"
    assert quadratic.terms[1].meaning.startswith("Curvature")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("liner", None, (), None), "did you mean 'linear'"),
        (("piecewise", None, (), None), "knots: piecewise growth needs at least one"),
        (("linear", None, (1,), None), "they go with shape='piecewise'"),
        (("linear", 3, (), None), "degree: goes with shape='polynomial'"),
        (("polynomial", None, (), None), "degree: goes with shape='polynomial'"),
        (("polynomial", 9, (), None), "a whole number from 1 to 5"),
        (("polynomial", 1.5, (), None), "a whole number from 1 to 5"),
        (("quadratic", None, (), "increment"), "coding='increment' is not offered"),
    ],
)
def test_shapes_that_are_none(arguments, message):
    with pytest.raises(tl.OptionError, match=message):
        coefficient_names(*arguments)


def test_origins_that_are_none():
    with pytest.raises(tl.OptionError, match="have their own"):
        made("quadratic", None, (), "orthogonal", 0.0)
    with pytest.raises(tl.OptionError, match="origin"):
        made("linear", None, (), None, "frist")
    with pytest.raises(tl.OptionError, match="origin=nan"):
        made("linear", None, (), None, np.nan)
