r"""Wald tests of linear hypotheses ``L beta = rhs``, one or several equations at a time.

One equation is a t test, its F the square of t. Several are an F test with r = rank(L) numerator
degrees of freedom, ``F = (L b - rhs)'(L C L')^-1 (L b - rhs) / r`` with C the fit's covariance; the
methods differ in C and in the denominator:

- Kenward-Roger: their C; F is multiplied by a factor that, with the degrees of freedom, makes its
  first two moments those of an F.
- Satterthwaite (Fai and Cornelius 1996): along the eigenvectors of ``L C L'`` F is the mean of r
  squared t statistics with nu_m degrees of freedom; the mean of their expectations
  ``nu_m / (nu_m - 2)`` is equated to that of an F. The eigenvectors, and with them the result,
  depend a little on how the hypothesis is written.
- robust: Hotelling's T squared, approximated from the covariance of the robust covariance itself
  (`teamlink.mixed.sandwich`).
- residual, normal: n - p, infinite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from teamlink.errors import DesignError, OptionError
from teamlink.fitting.fit import single_thread
from teamlink.fitting.summary import Summary, SummaryTable, number, p_text
from teamlink.mixed.generalized.result import GeneralizedFit
from teamlink.mixed.present import method_words
from teamlink.mixed.result import MixedFit
from teamlink.mixed.sandwich import KINDS, degrees_of_freedom, hotelling
from teamlink.mixed.wild import wild_p_value
from teamlink.syntax.hypothesis import Hypothesis, read_hypothesis
from teamlink.typing import Array

__all__ = ["HypothesisTest", "contrast_df", "test"]

_DEPENDENT = 1e-8
"""A row whose part outside the rows before it is a smaller share of it follows from them."""


@dataclass(frozen=True, slots=True)
class HypothesisTest:
    """A test of linear hypotheses; made by `teamlink.test`.

    Attributes
    ----------
    statistic : float
        F; for Kenward and Roger's method and for a robust covariance with its scale factor.
    df_num, df_denom : float
        Its degrees of freedom; the second is infinite for normal tests.
    p_value : float
    scale : float
        The factor that F was multiplied by; one but for these.
    table : DataFrame
        Each equation by itself, a t test: ``estimate, rhs, std_error, statistic, df, p_value``.
    contrasts : (r, p) array
        The matrix L.
    method : str
        The method of the fit's tests.
    remarks : tuple of str
        What to know about the numbers.
    p_wild : float, optional
        P value of the wild cluster bootstrap, where it was asked for.

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ cses + meanses + (1 | school)", tl.datasets.load("hsb82"))
    >>> tl.test(fit, "cses = 2, meanses = 6").table.round(3)["estimate"].to_dict()
    {'cses = 2': 2.191, 'meanses = 6': 5.866}
    """

    statistic: float
    df_num: float
    df_denom: float
    p_value: float
    scale: float
    table: pd.DataFrame
    contrasts: Array
    method: str
    remarks: tuple[str, ...]
    p_wild: float | None = None

    def summary(self) -> Summary:
        """Text to print; rich HTML in a notebook."""
        facts: tuple[tuple[str, str], ...] = (
            ("F", number(self.statistic)),
            ("Degrees of freedom", f"{number(self.df_num, 0)}, {number(self.df_denom, 2)}"),
            ("p", p_text(self.p_value)),
        )
        if self.p_wild is not None:
            facts += (("p, wild bootstrap", p_text(self.p_wild)),)
        header = ("Equation", "Estimate", "Std. error", "df", "t", "p")
        rows = tuple(
            (str(name), number(b), number(se), number(df, 1), number(t, 2), p_text(p))
            for name, (b, _, se, t, df, p) in zip(
                self.table.index, self.table.to_numpy(dtype=float), strict=True
            )
        )
        each = SummaryTable("Each equation by itself", header, rows)
        return Summary("Test of linear hypotheses", facts, (each,), self.remarks)

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def test(
    fit: MixedFit | GeneralizedFit,
    hypothesis: str | Sequence[Any] | Array,
    rhs: float | Sequence[float] = 0.0,  # noqa: PT028 (a verb, not a test)
    wild: int | None = None,  # noqa: PT028
    weights: Literal["rademacher", "webb", "mammen"] = "rademacher",  # noqa: PT028
    seed: int = 1,  # noqa: PT028
) -> HypothesisTest:
    """Test linear hypotheses about the fixed effects, jointly.

    Parameters
    ----------
    fit : MixedFit or GeneralizedFit
        Its method decides: that of `lmm`, of `small_sample`, or of `robust`. For a fit of `glmm`
        the tests are normal and chi-square.
    hypothesis : str or array
        Equations separated by commas, such as ``"ses = 0, 2*collab - trust = 1"``; ``"a = b = 0"``
        makes two. Or a matrix L (r, p), or one row of it (p,), in the order of ``fit.params``.
    rhs : float or sequence
        Right sides (r,) for a matrix; a text has its own.
    wild : int, optional
        Replicates of the wild cluster bootstrap with the null imposed, for a robust fit.
    weights : {"rademacher", "webb", "mammen"}
        Of the wild bootstrap; see `teamlink.bootstrap`.
    seed : int
        Of the wild bootstrap; the same seed gives the same numbers.

    Returns
    -------
    HypothesisTest
        ``.statistic`` (F), ``.df_num``, ``.df_denom``, ``.p_value``, ``.p_wild``, ``.table``,
        ``.summary()``.

    Raises
    ------
    FormulaError
        The text cannot be read, or names no coefficient of the fit; the place is shown.
    OptionError
        Equations that contradict each other; a wild bootstrap of a fit that is not robust.
    FitError
        Too few groups or clusters for a joint test of so many equations.
    DesignError
        A matrix that does not fit the coefficients.

    Notes
    -----
    ``F = (L b - rhs)'(L C L')^-1 (L b - rhs) / r``. For a fit with Kenward and Roger's method C is
    their covariance, and F and its denominator degrees of freedom are scaled to match two moments
    [1]_. For Satterthwaite's the degrees of freedom are Fai and Cornelius's [2]_, as in lmerTest.
    With a robust covariance the test is Hotelling's T squared with the degrees of freedom of
    Pustejovsky and Tipton (HTZ) [3]_. With ``wild=n`` the p value of the wild cluster bootstrap
    with the null imposed [4]_ comes beside it. Equations that follow from others are left out of r.

    In R: ``pbkrtest::KRmodcomp(fit, L)``, ``lmerTest::contestMD(fit, L)`` and
    ``clubSandwich::Wald_test(fit, L, vcov = "CR2", test = "HTZ")``.

    References
    ----------
    .. [1] Kenward, Roger (1997). Small sample inference for fixed effects from restricted maximum
       likelihood. Biometrics 53. doi:10.2307/2533558
    .. [2] Fai, Cornelius (1996). Approximate F-tests of multiple degree of freedom hypotheses in
       generalized least squares analyses of unbalanced split-plot experiments. Journal of
       Statistical Computation and Simulation 54. doi:10.1080/00949659608811740
    .. [3] Pustejovsky, Tipton (2018). Small-sample methods for cluster-robust variance estimation
       and hypothesis testing in fixed effects models. Journal of Business & Economic Statistics 36.
       doi:10.1080/07350015.2016.1247004
    .. [4] Cameron, Gelbach, Miller (2008). Bootstrap-based improvements for inference with
       clustered errors. Review of Economics and Statistics 90. doi:10.1162/rest.90.3.414

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ cses + meanses + (1 | school)", tl.datasets.load("hsb82"))
    >>> same = tl.test(fit, "meanses = cses")  # no contextual effect
    >>> round(same.statistic, 1), same.df_num, round(same.df_denom, 1)
    (94.7, 1, 182.3)
    """
    said = _hypothesis(fit, hypothesis, rhs)
    at = _independent(fit, said)
    with single_thread().limit(limits=1):
        table = _each(fit, said)
        F, ddf, scale = _joint(fit, said.contrasts[at], said.rhs[at])
    remarks = [f"Test: {method_words(fit.estimates.method)}."]
    if len(at) < len(said.rows):
        remarks.append(f"{len(said.rows) - len(at)} of the equations follow from the others.")
    r = len(at)
    p = float(stats.f.sf(F, r, ddf) if np.isfinite(ddf) else stats.chi2.sf(F * r, r))
    p_wild = None
    if wild is not None:
        p_wild = _wild(fit, said.contrasts[at], said.rhs[at], wild, weights, seed)
        remarks.append(
            f"Wild cluster bootstrap, the null imposed: {wild} replicates, {weights} weights."
        )
    return HypothesisTest(
        F, r, ddf, p, scale, table, said.contrasts, fit.estimates.method, tuple(remarks), p_wild
    )


def _wild(
    fit: MixedFit | GeneralizedFit, L: Array, rhs: Array, n: int, weights: str, seed: int
) -> float:
    """P value of the wild cluster bootstrap with the null imposed."""
    method = fit.estimates.method
    if method not in KINDS or isinstance(fit, GeneralizedFit):
        raise OptionError(
            f"wild={n!r}: the wild bootstrap is of a robust statistic; test tl.robust(fit) instead "
            f"of a fit with {method} tests"
        )
    if isinstance(n, bool) or n != int(n) or n < 1:
        raise OptionError(f"wild={n!r}: the number of replicates is a whole number from 1 on")
    difference = L @ fit.estimates.values[0] - rhs
    rng = np.random.default_rng(seed)
    with single_thread().limit(limits=1):
        return wild_p_value(
            fit.independent(method), fit.working_theta, L, difference, method, int(n), rng, weights
        )


def _hypothesis(fit: MixedFit | GeneralizedFit, given: Any, rhs: Any) -> Hypothesis:
    """The hypothesis as a matrix, checked."""
    names = fit.estimates.names
    if isinstance(given, str):
        if np.any(np.asarray(rhs) != 0):
            raise OptionError("rhs goes with a matrix; a text says its own right sides, as 'a = 1'")
        return read_hypothesis(given, names)
    L = np.atleast_2d(np.asarray(given, dtype=float))
    if L.ndim != 2 or L.shape[1] != len(names) or not len(L):
        raise DesignError(
            f"the matrix has shape {L.shape}; it must have {len(names)} columns, one for each of: "
            f"{', '.join(names)}"
        )
    if not np.isfinite(L).all() or not L.any(axis=1).all():
        raise DesignError("a row of the matrix is zero or not finite: it says nothing to test")
    right = np.asarray(rhs, dtype=float)
    if right.shape not in ((), (len(L),)) or not np.isfinite(right).all():
        raise DesignError(f"rhs must be a finite number, or one for each of {len(L)} rows")
    right = np.broadcast_to(right, (len(L),)).copy()
    rows = tuple(_words(row, b, names) for row, b in zip(L, right, strict=True))
    return Hypothesis(rows, L, right)


def _words(row: Array, rhs: float, names: Sequence[str]) -> str:
    """One equation as text."""
    text = ""
    for weight, name in zip(row, names, strict=True):
        if weight:
            sign = "-" if weight < 0 else "+" if text else ""
            size = "" if abs(weight) == 1 else f"{abs(weight):g}*"
            text += f" {sign} {size}{name}" if text else f"{sign}{size}{name}"
    return f"{text} = {rhs:g}"


def _independent(fit: MixedFit | GeneralizedFit, said: Hypothesis) -> list[int]:
    """Rows that do not follow from those before; an error where one contradicts them."""
    scaled = said.contrasts * fit.estimates.std_error[0]
    size = np.linalg.norm(scaled, axis=1)
    L, rhs = scaled / size[:, None], said.rhs / size
    kept: list[int] = []
    for i, row in enumerate(L):
        known = np.linalg.lstsq(L[kept].T, row, rcond=None)[0] if kept else np.zeros(0)
        if np.linalg.norm(row - known @ L[kept]) > _DEPENDENT:
            kept.append(i)
        elif abs(rhs[i] - known @ rhs[kept]) > _DEPENDENT * (1 + np.abs(rhs).max()):
            raise OptionError(
                f"{said.rows[i]!r} contradicts the equations before it: its left side follows from "
                "theirs, its right side does not"
            )
    return kept


def _each(fit: MixedFit | GeneralizedFit, said: Hypothesis) -> pd.DataFrame:
    """Each equation by itself."""
    L, C = said.contrasts, fit.estimates.covariance[0]
    value = L @ fit.estimates.values[0]
    se = np.sqrt(np.einsum("rp,ps,rs->r", L, C, L))
    df = contrast_df(fit, L)
    t = (value - said.rhs) / se
    return pd.DataFrame(
        {
            "estimate": value, "rhs": said.rhs, "std_error": se, "statistic": t, "df": df,
            "p_value": 2 * stats.t.sf(np.abs(t), df),
        },
        index=pd.Index(said.rows, name="equation"),
    )  # fmt: skip


def contrast_df(fit: MixedFit | GeneralizedFit, L: Array) -> Array:
    """Degrees of freedom (r,) of the t test of each row of L (r, p), by the method of the fit."""
    if isinstance(fit, GeneralizedFit):
        return np.full(len(L), np.inf)
    model, theta, method = fit.model, fit.working_theta[None], fit.estimates.method
    if method in KINDS:
        return degrees_of_freedom(fit.independent(method), theta, method, L)
    if method == "kenward-roger":
        plain = fit.independent(method)
        adjusted, back = plain.kenward_roger(theta, plain.evaluate(theta))
        return adjusted.df(L @ back)
    df: Array = model.degrees_of_freedom(theta, L @ model.fixed.K)[0]
    return df


def _joint(fit: MixedFit | GeneralizedFit, L: Array, rhs: Array) -> tuple[float, float, float]:
    """F, its denominator degrees of freedom, and the factor it was multiplied by."""
    r, method = len(L), fit.estimates.method
    difference = L @ fit.estimates.values[0] - rhs
    V = L @ fit.estimates.covariance[0] @ L.T
    if r == 1:
        return float(difference[0] ** 2 / V[0, 0]), float(contrast_df(fit, L)[0]), 1.0
    if method in KINDS:
        eta = hotelling(fit.independent(method), fit.working_theta[None], method, L)
        scale = (eta - r + 1) / eta
        F = scale * difference @ np.linalg.solve(V, difference) / r
        return float(F), eta - r + 1, scale
    if method == "kenward-roger":
        theta = fit.working_theta[None]
        plain = fit.independent(method)
        adjusted, back = plain.kenward_roger(theta, plain.evaluate(theta))
        ddf, scale = adjusted.scaled_f(L @ back)
        return float(scale * difference @ np.linalg.solve(V, difference) / r), ddf, scale
    w, U = np.linalg.eigh(V)
    F = float(np.mean(np.square(difference @ U) / w))
    return F, _fai_cornelius(contrast_df(fit, U.T @ L)), 1.0


def _fai_cornelius(nu: Array) -> float:
    """Degrees of freedom of the mean of squared t statistics with nu (r,) degrees of freedom."""
    if np.isinf(nu).any() or np.ptp(nu) < 1e-8:
        return float(nu.mean())
    if nu.min() <= 2:
        return 2.0
    expected = (nu / (nu - 2)).sum()
    return float(2 * expected / (expected - len(nu)))
