"""The functions that a formula may call: a closed list, so that no formula is a program."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from teamlink.errors import nearest

__all__ = ["CONTRASTS", "FUNCTIONS", "Signature", "remedy_for"]


@dataclass(frozen=True, slots=True)
class Signature:
    """How many arguments a function takes, and the keywords it knows."""

    least: int
    most: int
    keywords: frozenset[str] = frozenset()


def _takes(least: int, most: int | None = None, *keywords: str) -> Signature:
    return Signature(least, least if most is None else most, frozenset(keywords))


_SPLINE = ("df", "lower_bound", "upper_bound", "extrapolation")

# The elementwise functions take exactly one argument: NumPy would write into a second one.
FUNCTIONS = MappingProxyType(
    {
        **dict.fromkeys(("I", "abs", "center", "exp", "exp2"), _takes(1)),
        **dict.fromkeys(("log", "log10", "log2", "sqrt"), _takes(1)),
        **dict.fromkeys(("between", "within"), _takes(2)),
        "C": _takes(1, 2, "contrasts", "spans_intercept"),
        "bs": _takes(1, 2, "degree", "include_intercept", *_SPLINE),
        **dict.fromkeys(("cc", "cr", "cs"), _takes(1, 2, "constraints", *_SPLINE)),
        "poly": _takes(1, 2, "degree", "raw"),
        "scale": _takes(1, 3, "center", "scale", "ddof"),
        "standardize": _takes(1, 3, "center", "rescale", "ddof"),
    }
)
"""Name to signature. `within(x, g)` and `between(x, g)` are ours, the rest are formulaic's."""

CONTRASTS = MappingProxyType(
    {
        **dict.fromkeys(("contr.treatment", "contr.SAS"), _takes(0, 1, "base")),
        **dict.fromkeys(("contr.sum", "Sum"), _takes(0)),
        **dict.fromkeys(("contr.diff", "Diff"), _takes(0, 1, "backward")),
        **dict.fromkeys(("contr.helmert", "Helmert"), _takes(0, 2, "reverse", "scale")),
        **dict.fromkeys(("contr.poly", "Poly"), _takes(0, 0)),
        "Treatment": _takes(0, 1, "reference"),
    }
)
"""Contrasts, which stand as the second argument of `C`, with or without a call."""

_INSTEAD = MappingProxyType(
    {
        "factor": "write C(x) for a categorical variable",
        "as.factor": "write C(x) for a categorical variable",
        "ns": "write cr(x, df=4) for a natural cubic spline",
        "Q": "write the name in backquotes: `a name`",
        "ln": "write log(x) for the natural logarithm",
        "mean": "write between(x, g) for the mean of x in each group g",
        "exp10": "write I(10 ** x)",
        "lag": "the rows before belong to other groups as well; make the column in the data",
        "offset": "subtract the offset from the response in the data",
    }
)


def remedy_for(function: str) -> str:
    """Say what to write instead of a function that is not on the list."""
    if function in _INSTEAD:
        return _INSTEAD[function]
    module, _, last = function.rpartition(".")
    if module and last in FUNCTIONS:
        return f"write {last}(...)"
    if function in CONTRASTS:
        return f"write it as the second argument of C, as in C(x, {function})"
    return f"{nearest(function, sorted(FUNCTIONS))} Or make the column in the data"
