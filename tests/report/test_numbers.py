import pytest
from hypothesis import given
from hypothesis import strategies as st

from teamlink.report.numbers import MINUS, decimals, figure, interval, p_value, percent, sign


@given(st.floats(-1e6, 1e6))
def test_decimals_can_be_read_back(x: float) -> None:
    text = decimals(x)
    assert "-" not in text
    assert float(text.replace(",", "").replace(MINUS, "-")) == pytest.approx(x, abs=5.1e-4)


def test_a_rounded_zero_has_no_sign() -> None:
    assert decimals(-0.0001) == "0.000"


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
