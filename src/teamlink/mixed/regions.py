"""Where along a moderator a slope differs from zero: the Johnson-Neyman technique."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from teamlink.errors import OptionError
from teamlink.fitting.summary import Summary, SummaryTable, number
from teamlink.mixed.grid import Others, Reference, reference
from teamlink.mixed.marginal import combined, slope_rows
from teamlink.mixed.result import MixedFit
from teamlink.typing import Array, Table

__all__ = ["JohnsonNeyman", "johnson_neyman"]

_POINTS = 401
"""Values of the moderator that are looked at before an end of a region is solved for."""


@dataclass(frozen=True, slots=True)
class JohnsonNeyman:
    """Regions in which a slope differs from zero; made by `teamlink.johnson_neyman`.

    Attributes
    ----------
    predictor, moderator : str
    bounds : tuple of float
        Values of the moderator at which significance changes, within `span`.
    regions : DataFrame
        ``low, high, significant, sign`` of each stretch of `span`.
    frame : DataFrame
        The slope along `span`: the moderator, ``estimate, std_error, df, conf_low, conf_high``.
    span : (float, float)
        The stretch that was searched.
    level : float
        One less the size of the tests.

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82")
    >>> fit = tl.lmm("mathach ~ cses * meanses + (cses | school)", hsb)
    >>> found = tl.johnson_neyman(fit, "cses", "meanses")
    >>> found.regions.round(2)
        low  high  significant      sign
    0 -1.19  0.82         True  positive
    """

    predictor: str
    moderator: str
    bounds: tuple[float, ...]
    regions: pd.DataFrame
    frame: pd.DataFrame
    span: tuple[float, float]
    level: float

    def summary(self) -> Summary:
        """Text to print; rich HTML in a notebook."""
        rows = tuple(
            (
                f"{number(float(low))} to {number(float(high))}",
                f"{sign}, p < {1 - self.level:.3g}" if significant else "not told from zero",
            )
            for low, high, significant, sign in self.regions.to_numpy(dtype=object)
        )  # fmt: skip
        title = f"Slope of {self.predictor} by {self.moderator}"
        table = SummaryTable("Regions", (self.moderator, "Slope"), rows, labels=2)
        note = "Tests are of one value of the moderator at a time."
        return Summary(title, (), (table,), (note,))

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def johnson_neyman(
    fit: MixedFit,
    predictor: str,
    moderator: str,
    span: tuple[float, float] | None = None,
    others: Others = "reference",
    data: Table | None = None,
    level: float = 0.95,
) -> JohnsonNeyman:
    r"""Find the values of a moderator for which the slope of a predictor differs from zero.

    Parameters
    ----------
    fit : MixedFit
    predictor, moderator : str
        Two numeric predictors, whose product is in the fixed part.
    span : (float, float), optional
        The values of the moderator to search; the range in the rows of the fit when None.
    others : {"reference", "average"}
        What other predictors are set to, as in `effects`.
    data : table, optional
        As in `effects`.
    level : float
        One less the size of the tests.

    Returns
    -------
    JohnsonNeyman
        ``.bounds``, ``.regions``, ``.frame``, ``.summary()``.

    Raises
    ------
    OptionError
        A predictor is no number, the two do not interact, or `span` is empty.

    Notes
    -----
    With slope ``a(w) = l(w)'b`` and its variance ``l(w)'C l(w)``, a bound is a w at which
    ``|a(w)| = t(w) se(w)``, t the quantile with the degrees of freedom at w [1]_. Satterthwaite's
    and Kenward and Roger's vary along w, so the bounds are solved for and not read off a quadratic.
    Outside the range of the data a bound says nothing, and none is sought there.

    References
    ----------
    .. [1] Bauer, Curran (2005). Probing interactions in fixed and multilevel regression.
       Multivariate Behavioral Research 40. doi:10.1207/s15327906mbr4003_5

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82")
    >>> fit = tl.lmm("mathach ~ cses * disclim + (cses | school)", hsb)
    >>> [round(w, 2) for w in tl.johnson_neyman(fit, "disclim", "cses").bounds]
    [1.44]
    """
    if not 0 < level < 1:
        raise OptionError(f"level={level!r}: a confidence level lies between 0 and 1")
    known = reference(fit, data)
    known.check(moderator)
    if moderator in known.levels:
        raise OptionError(f"{moderator!r} is no number; see tl.simple_slopes")
    low, high = _range(known, moderator) if span is None else (float(span[0]), float(span[1]))
    if not low < high:
        raise OptionError(f"span: {low:g} to {high:g} holds no values of {moderator!r}")
    w = np.linspace(low, high, _POINTS)

    def at(values: Array) -> pd.DataFrame:
        points = pd.DataFrame({moderator: values})
        rows = slope_rows(known, predictor, points, others)
        return combined(fit, rows, level)

    frame = at(w)
    rows = slope_rows(known, predictor, pd.DataFrame({moderator: w[[0, -1]]}), others)
    if np.abs(rows[1] - rows[0]).max() <= 1e-10 * np.abs(rows).max():
        raise OptionError(
            f"{predictor!r} and {moderator!r} do not interact in the fixed part: its slope is the "
            "same for every value"
        )

    def excess(value: float) -> float:
        return float(_excess(at(np.array([value])))[0])

    margin = _excess(frame)
    change = np.flatnonzero(np.sign(margin[:-1]) * np.sign(margin[1:]) < 0)
    bounds = tuple(float(brentq(excess, w[i], w[i + 1])) for i in change)
    frame.insert(0, moderator, w)
    ends = np.array([low, *bounds, high])
    middle = at((ends[:-1] + ends[1:]) / 2)
    regions = pd.DataFrame(
        {
            "low": ends[:-1], "high": ends[1:], "significant": _excess(middle) > 0,
            "sign": np.where(middle["estimate"] > 0, "positive", "negative"),
        }
    )  # fmt: skip
    return JohnsonNeyman(predictor, moderator, bounds, regions, frame, (low, high), level)


def _excess(table: pd.DataFrame) -> Array:
    """How far zero lies outside the interval; negative where it lies within."""
    low, high = table["conf_low"].to_numpy(), table["conf_high"].to_numpy()
    outside: Array = np.maximum(low, -high)
    return outside


def _range(known: Reference, name: str) -> tuple[float, float]:
    design = known.fit.model.design
    if known.frame is not None:
        x = known.frame[name].to_numpy(dtype=float)
    else:
        x = design.X[:, design.x_names.index(name)]
    return float(x.min()), float(x.max())
