import pytest
from hypothesis import given
from hypothesis import strategies as st

from teamlink.report.numbers import (
    MINUS,
    decimals,
    digits_for,
    figure,
    interval,
    p_value,
    percent,
    sign,
    stated,
)


@given(st.floats(-1e6, 1e6))
def test_decimals_can_be_read_back(x: float) -> None:
    text = decimals(x)
    assert "-" not in text
    assert float(text.replace(",", "").replace(MINUS, "-")) == pytest.approx(x, abs=5.1e-4)


def test_a_rounded_zero_has_no_sign() -> None:
    assert decimals(-0.0001) == "0.000"


@given(st.floats(-5, 5), st.floats(1e-4, 3))
def test_an_interval_is_seen_to_have_a_width(middle: float, half: float) -> None:
    digits = digits_for(middle - half, middle + half)
    assert 3 <= digits <= 6
    ends = (
        interval(middle - half, middle + half, digits).strip("[]").replace(MINUS, "-").split(", ")
    )
    low, high = map(float, ends)
    assert high - low == pytest.approx(2 * half, rel=0.3)


def test_a_point_or_an_open_interval_has_three_decimals() -> None:
    assert [digits_for(*ends) for ends in ((0.2, 0.2), (None, 0.1), (0.1, None))] == [3, 3, 3]


@given(st.integers(-999_999, 999_999), st.sampled_from([1, 10, 100, 1000]))
def test_a_stated_number_has_the_digits_it_was_stated_with(whole: int, parts: int) -> None:
    value = whole / parts
    text = stated(value)
    assert float(text.replace(",", "").replace(MINUS, "-")) == value
    assert not text.endswith(".0")


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (0.001, "<1 %"), (0.5, "50 %"), (0.997, ">99 %"), (1.0, "100 %")],
)
def test_percent_never_overstates(share: float, text: str) -> None:
    assert percent(share) == text


def test_missing_values_are_dashes_and_open_ends_infinite() -> None:
    assert [f(None) for f in (decimals, figure, percent, p_value)] == ["\u2014"] * 4
    assert interval(None, 0.5) == f"[{MINUS}∞, 0.500]"


def test_figures_and_signs() -> None:
    assert [figure(x) for x in (0.08, 2.5, 45.125, 7185, 0)] == [
        *("0.0800", "2.500", "45.12", "7,185", "0.0000")
    ]
    assert sign("negative") == MINUS
