"""Numbers as text: how many digits a reader can use."""

from __future__ import annotations

import math

__all__ = [
    "MINUS",
    "decimals",
    "digits_for",
    "figure",
    "interval",
    "p_value",
    "percent",
    "sign",
    "stated",
]

MINUS = "\u2212"
SIGNS = {"positive": "+", "negative": MINUS, "null": "0", "unclear": "?"}


def decimals(value: float | None, digits: int = 3) -> str:
    """Give a number with fixed decimals, a proper minus, and a dash where there is none.

    Examples
    --------
    >>> decimals(-0.0652), decimals(None)
    ('−0.065', '—')
    """
    if value is None:
        return "\u2014"
    text = f"{value:,.{digits}f}"
    # a rounded zero has no sign
    return (text if float(text.replace(",", "")) else text.lstrip("-")).replace("-", MINUS)


def digits_for(low: float | None, high: float | None) -> int:
    """Give the decimals at which an interval is seen to have a width: three, or up to six.

    Examples
    --------
    >>> digits_for(0.4097, 0.4489), digits_for(-0.000345, 0.001528), digits_for(None, 0.2)
    (3, 4, 3)
    """
    if low is None or high is None or not high > low:
        return 3
    # half the interval is then at least two units of the last place
    return min(max(3, math.ceil(-math.log10((high - low) / 4))), 6)


def stated(value: float) -> str:
    """Give a number as it was stated, without zeros that nobody wrote.

    Examples
    --------
    >>> stated(96.0), stated(0.55), stated(-0.6), stated(7185), stated(302078)
    ('96', '0.55', '−0.6', '7,185', '302,078')
    """
    return f"{value:,.6g}".replace("-", MINUS)


def figure(value: float | None) -> str:
    """Give a number with about four significant digits.

    Examples
    --------
    >>> figure(12.0973), figure(0.03125), figure(7185)
    ('12.10', '0.0312', '7,185')
    """
    if value is None:
        return "\u2014"
    size = abs(value)
    if float(value).is_integer() and size >= 100:
        return decimals(value, 0)
    return decimals(value, 4 if size < 1 else 3 if size < 10 else 2 if size < 100 else 1)


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """Give an interval in brackets; an end that is missing is unbounded.

    Examples
    --------
    >>> interval(0.0612, 0.07)
    '[0.061, 0.070]'
    """
    ends = (
        f"{MINUS}∞" if low is None else decimals(low, digits),
        "∞" if high is None else decimals(high, digits),
    )
    return f"[{ends[0]}, {ends[1]}]"


def percent(share: float | None) -> str:
    """Give a share in per cent, without claiming 100 or 0 where it is not.

    Examples
    --------
    >>> percent(0.845), percent(0.9990), percent(1.0)
    ('84 %', '>99 %', '100 %')
    """
    if share is None:
        return "\u2014"
    if 0.995 <= share < 1:
        return ">99 %"
    if 0 < share < 0.005:
        return "<1 %"
    return f"{100 * share:.0f} %"


def p_value(p: float | None) -> str:
    """Give a p value with three decimals.

    Examples
    --------
    >>> p_value(0.0312), p_value(1e-9)
    ('0.031', '<0.001')
    """
    if p is None:
        return "\u2014"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def sign(direction: str) -> str:
    """Give a direction as a sign.

    Examples
    --------
    >>> [sign(d) for d in ("positive", "negative", "null", "unclear")]
    ['+', '−', '0', '?']
    """
    return SIGNS.get(direction, direction)
