"""What every analysis can do, how a kind of analysis is found, and the numbers that it gives.

An analysis is a frozen dataclass whose fields are the keys of a `[[pipeline.models]]` table. It
sees prepared files and nothing else, and answers claims with estimates and their uncertainty.
A kind of analysis is one file of `teamlink.registry.analyses`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import special

from teamlink.errors import Fault, FitError, StudyError, nearest
from teamlink.typing import Array

if TYPE_CHECKING:
    from teamlink.registry.prepared import Layout, Prepared, Step
    from teamlink.registry.study import Claim

__all__ = ["FIELDS", "Analysis", "analysis", "analysis_kinds", "numbers", "step", "step_kinds"]

FIELDS = ("estimate", "std_error", "df", "p_value", "conf_low", "conf_high", "unit")
"""What an analysis gives for each claim.

`p_value` is two-sided, of no effect (of a ratio of one, for logarithms of ratios); `conf_low` and
`conf_high` are the ends of the 95 % interval; `unit` is the SD that the term's column was divided
by, 1 where it was not.
"""


class Analysis(Protocol):
    """The analyst's model: a frozen dataclass whose fields are keys of the study file."""

    @property
    def text(self) -> str:
        """The model as reports print it: a formula, or equations."""

    def faults(self, layout: Layout | None) -> Sequence[Fault]:
        """List what is wrong with the model; `layout` is None where the columns are not known."""

    def term_faults(self, claim: Claim, layout: Layout | None) -> Sequence[Fault]:
        """List what is wrong with the outcome and term that a claim names."""

    def estimate(self, claims: Sequence[Claim], scenarios: Sequence[Prepared]) -> Array:
        """Give (S, C, 7): for each scenario and claim the numbers named in `FIELDS`.

        Raises `FitError` where a fit does not converge.
        """


def numbers(
    estimate: Any,
    std_error: Any,
    df: Any = np.inf,
    unit: Any = 1.0,
    p_value: Any = None,
    conf_low: Any = None,
    conf_high: Any = None,
) -> Array:
    """Put one answer, or many, into the order of `FIELDS`; test and interval by t where not given.

    Parameters
    ----------
    estimate, std_error : float or Array
        Any common shape.
    df : float or Array
        Degrees of freedom of t; infinity for z.
    unit : float or Array
        SD that the term's column was divided by.
    p_value, conf_low, conf_high : float or Array, optional
        Where the method has its own, such as bootstrap intervals.

    Returns
    -------
    Array
        (..., 7).

    Raises
    ------
    FitError
        An estimate or its standard error is not a number.

    Examples
    --------
    >>> numbers(1.0, 0.5, df=10).round(3).tolist()
    [1.0, 0.5, 10.0, 0.073, -0.114, 2.114, 1.0]
    """
    b, se = np.asarray(estimate, dtype=float), np.asarray(std_error, dtype=float)
    if not (np.isfinite(b).all() and np.isfinite(se).all()):
        raise FitError("the fit gave no finite estimate and standard error")
    df = np.asarray(df, dtype=float)
    half = special.stdtrit(df, 0.975) * se
    if p_value is None:
        with np.errstate(divide="ignore", invalid="ignore"):
            p_value = 2 * special.stdtr(df, -np.abs(b) / se)
    low = b - half if conf_low is None else conf_low
    high = b + half if conf_high is None else conf_high
    together: Array = np.stack(np.broadcast_arrays(b, se, df, p_value, low, high, unit), axis=-1)
    return together.astype(float)


@cache
def _kinds(package: str) -> tuple[str, ...]:
    path = importlib.import_module(f"teamlink.registry.{package}").__path__
    return tuple(sorted(m.name.replace("_", " ") for m in pkgutil.iter_modules(path)))


def _found(package: str, kind: str, attribute: str, called: str) -> Any:
    kinds = _kinds(package)
    if kind not in kinds:
        raise StudyError(f"there is no {called} {kind!r}; {nearest(kind, kinds)}")
    name = f"teamlink.registry.{package}.{kind.replace(' ', '_')}"
    return getattr(importlib.import_module(name), attribute)


def analysis_kinds() -> tuple[str, ...]:
    """Give the kinds of analysis there are.

    Examples
    --------
    >>> {"lmm", "sem", "correlation"} <= set(analysis_kinds())
    True
    """
    return _kinds("analyses")


def analysis(kind: str) -> type[Analysis]:
    """Give the class of a kind of analysis.

    Examples
    --------
    >>> analysis("lmm").__name__
    'MixedAnalysis'
    """
    found: type[Analysis] = _found("analyses", kind, "ANALYSIS", "analysis")
    return found


def step_kinds() -> tuple[str, ...]:
    """Give the names of the steps there are.

    Examples
    --------
    >>> {"complete", "mean", "scale"} <= set(step_kinds())
    True
    """
    return _kinds("steps")


def step(kind: str) -> type[Step]:
    """Give the class of a step.

    Examples
    --------
    >>> step("scale").__name__
    'ScaleStep'
    """
    found: type[Step] = _found("steps", kind, "STEP", "step")
    return found
