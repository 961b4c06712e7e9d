"""Variance explained: R2 of one fit, and the reduction of variances from one fit to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from teamlink.errors import OptionError
from teamlink.fitting.summary import Summary, SummaryTable, number
from teamlink.mixed.factor import Factor, same_groups
from teamlink.mixed.reliability import icc
from teamlink.mixed.result import MixedFit
from teamlink.mixed.shares import ROWS, chain, decomposition, where_it_varies

__all__ = ["RSquared", "VarianceExplained", "r2", "variance_explained"]


@dataclass(frozen=True, slots=True)
class RSquared:
    """Shares of variance explained; made by `teamlink.r2`.

    Attributes
    ----------
    marginal : float
        Share of the variance due to the fixed effects.
    conditional : float
        Share due to fixed and random effects.
    by_factor : Series
        Share due to each grouping factor's random effects; `marginal` plus their sum is
        `conditional`.
    decomposition : DataFrame or None
        Variance by level (rows) and source (``fixed, slopes, means, residual``), in squared
        units of the response; None where the grouping factors are crossed.
    of_total, of_level : DataFrame or None
        The decomposition over the total variance, and over the variance of its level.
    centring : Series
        For each fixed effect the levels at which its column varies: a level's name, or several
        joined by " + ".
    remarks : tuple of str
        What to know about the numbers.

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ cses + meanses + (cses | school)", tl.datasets.load("hsb82"))
    >>> tl.r2(fit).centring.to_dict()
    {'cses': 'within', 'meanses': 'school'}
    """

    marginal: float
    conditional: float
    by_factor: pd.Series[Any]
    decomposition: pd.DataFrame | None
    of_total: pd.DataFrame | None
    of_level: pd.DataFrame | None
    centring: pd.Series[Any]
    remarks: tuple[str, ...]

    def summary(self) -> Summary:
        """Text to print; rich HTML in a notebook."""
        facts = (
            ("Marginal R2 (fixed effects)", number(self.marginal)),
            ("Conditional R2 (fixed and random)", number(self.conditional)),
            *((f"Due to {name}", number(value)) for name, value in self.by_factor.items()),
        )
        tables = tuple(
            SummaryTable(title, ("Level", *map(str, table.columns)), _cells(table))
            for title, table in (
                ("Variance by level and source", self.decomposition),
                ("Share of the total variance", self.of_total),
                ("Share of the variance at the level", self.of_level),
            )
            if table is not None
        )
        return Summary("Variance explained", facts, tables, self.remarks)

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def r2(fit: MixedFit) -> RSquared:
    r"""Compute R2 of a mixed model: marginal, conditional, by level and by source.

    Parameters
    ----------
    fit : MixedFit

    Returns
    -------
    RSquared
        ``.marginal``, ``.conditional``, ``.by_factor``, ``.decomposition``, ``.of_total``,
        ``.of_level``, ``.centring``, ``.summary()``.

    Notes
    -----
    With f the variance of ``X beta`` over the rows, and ``v_k = tr(Z_k Sigma_k Z_k') / n`` the mean
    variance due to factor k, R2 is ``f / (f + sum v_k + sigma^2)`` marginally and ``(f + sum v_k) /
    (f + sum v_k + sigma^2)`` conditionally [1]_ [2]_. The total is the model's own, so f depends on
    the predictors as sampled.

    For nested factors the variance is split further [3]_: what the fixed effects explain at each
    level (f1 within groups, f2 between them), what varying slopes do (v), what varying intercepts
    do (m, at the means of the predictors), and the residual variance. ``of_level`` has the
    within-group and between-group measures, ``of_total`` those of the whole. A predictor that
    varies at both levels (grand-mean centred or raw) brings one coefficient to both: `centring`
    says which ones do.

    In R: ``performance::r2_nakagawa(fit)``, ``r2mlm::r2mlm(fit)``; the latter divides v by n - 1.

    References
    ----------
    .. [1] Nakagawa, Schielzeth (2013). A general and simple method for obtaining R2 from
       generalized linear mixed-effects models. Methods in Ecology and Evolution 4.
       doi:10.1111/j.2041-210x.2012.00261.x
    .. [2] Johnson (2014). Extension of Nakagawa & Schielzeth's R2GLMM to random slopes models.
       Methods in Ecology and Evolution 5. doi:10.1111/2041-210X.12225
    .. [3] Rights, Sterba (2019). Quantifying explained variance in multilevel models: an
       integrative framework for defining R-squared measures. Psychological Methods 24.
       doi:10.1037/met0000184

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ cses + meanses + (cses | school)", tl.datasets.load("hsb82"))
    >>> found = tl.r2(fit)
    >>> round(found.marginal, 3), round(found.conditional, 3)
    (0.168, 0.231)
    >>> found.of_level.round(3)
            fixed  slopes  means  residual
    within  0.054   0.008  0.000     0.939
    school  0.688   0.000  0.312     0.000
    """
    design = fit.unweighted("r2").design
    f = float(np.var(fit.model.fixed_columns @ fit.estimates.values[0], ddof=1))
    random = icc(fit)["variance"]
    total = f + float(random.sum()) + fit.sigma**2
    split = decomposition(fit)
    nested = chain(design.factors)
    centring = _centring(fit, nested)
    remarks = []
    if nested is None:
        remarks.append("Crossed groups or memberships: variances have no split by level.")
    mixed = [str(name) for name, where in centring.items() if " + " in where]
    if mixed:
        remarks.append(
            f"Varying at several levels, with one coefficient for all: {', '.join(mixed)}. Centre "
            "them within groups, with the group means beside them, to tell the levels apart."
        )
    return RSquared(
        marginal=f / total,
        conditional=(f + float(random.sum())) / total,
        by_factor=(random / total).rename("r2"),
        decomposition=split,
        of_total=None if split is None else split / total,
        of_level=None if split is None else split.div(split.sum(axis=1), axis=0),
        centring=centring,
        remarks=tuple(remarks),
    )


def _centring(fit: MixedFit, nested: tuple[Factor, ...] | None) -> pd.Series[Any]:
    """The levels at which each fixed effect's column varies."""
    names, X = fit.model.names, fit.model.fixed_columns
    if nested is None:
        return pd.Series([], index=pd.Index([]), dtype=object, name="varies")
    share = where_it_varies(nested, X)
    levels = [ROWS, *(factor.name for factor in nested)]
    found = {
        name: " + ".join(level for level, s in zip(levels, column, strict=True) if s > 0)
        for name, column in zip(names, share.T, strict=True)
        if not np.isnan(column).any()
    }
    return pd.Series(found, name="varies", dtype=object)


@dataclass(frozen=True, slots=True)
class VarianceExplained:
    """How much smaller variances are than in another fit; made by `teamlink.variance_explained`.

    Attributes
    ----------
    components : DataFrame
        For each variance that both fits have (``group, term``): ``null, fit, explained``.
    overall : DataFrame
        Snijders and Bosker's R2 by level: modelled variance of a response (``within``) and of a
        group mean, ``null, fit, explained``.
    remarks : tuple of str
        What to know about the numbers.

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82")
    >>> null = tl.lmm("mathach ~ 1 + (1 | school)", hsb)
    >>> fit = tl.lmm("mathach ~ cses + (1 | school)", hsb)
    >>> tl.variance_explained(null, fit).components["explained"].round(4).to_dict()
    {'Intercept by school': -0.0068, 'Residual': 0.0546}
    """

    components: pd.DataFrame
    overall: pd.DataFrame
    remarks: tuple[str, ...]

    def summary(self) -> Summary:
        """Text to print; rich HTML in a notebook."""
        header = ("Variance", "Null", "Fit", "Explained")
        tables = tuple(
            SummaryTable(title, header, _cells(table))
            for title, table in (
                ("Reduction of each variance", self.components),
                ("Of a response and of a group mean (Snijders and Bosker)", self.overall),
            )
        )
        return Summary("Variance explained, against another fit", (), tables, self.remarks)

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def variance_explained(null: MixedFit, fit: MixedFit) -> VarianceExplained:
    r"""Compare the variances of a fit with those of a simpler one, level by level.

    Parameters
    ----------
    null : MixedFit
        Usually with random intercepts alone, or without the predictors in question.
    fit : MixedFit
        The model with predictors, of the same rows and grouping factors.

    Returns
    -------
    VarianceExplained
        ``.components``, ``.overall``, ``.remarks``, ``.summary()``.

    Raises
    ------
    OptionError
        The fits have other rows, another response, other grouping factors or another method.

    Notes
    -----
    Of each variance, ``1 - fit / null``: the proportion reduction that HLM users report [1]_. It
    may be negative. A predictor centred within groups, for instance, explains residual variance,
    and the variance between groups rises by what had been taken for sampling error of their means;
    this is no fault of the fit. Variances of intercepts are comparable only where the predictors
    with random slopes have the same zero in both fits.

    Snijders and Bosker [2]_ compare the modelled variance of a response, ``v + sigma^2``, and of a
    group mean, ``m + sigma^2 / n``, n the harmonic mean of the group sizes, v the mean variance due
    to the random effects over rows and m that over group means. These cannot be negative in the
    population; clearly negative ones hint at a model that is wrong.

    References
    ----------
    .. [1] Raudenbush, Bryk (2002). Hierarchical linear models, 2nd ed., chapter 4. Sage.
    .. [2] Snijders, Bosker (1994). Modeled variance in two-level models. Sociological Methods &
       Research 22. doi:10.1177/0049124194022003004

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82")
    >>> null = tl.lmm("mathach ~ 1 + (1 | school)", hsb)
    >>> fit = tl.lmm("mathach ~ cses + meanses + (1 | school)", hsb)
    >>> tl.variance_explained(null, fit).components["explained"].round(3).to_dict()
    {'Intercept by school': 0.687, 'Residual': 0.054}
    """
    for each in (null, fit):
        each.unweighted("variance_explained")
    _check_comparable(null, fit)
    components = _components(null, fit)
    overall = _explained(_modelled(null), _modelled(fit))
    remarks = []
    below = _negative(components)
    if below:
        remarks.append(
            f"Negative: {below}. The variance is larger with the predictors than without."
        )
    below = _negative(overall)
    if below:
        remarks.append(
            f"Negative overall: {below}. In the population this cannot be: chance, or a predictor "
            "that acts differently within and between groups."
        )
    if any(factor.q > 1 for one in (null, fit) for factor in one.model.design.factors):
        remarks.append(
            "With random slopes the variance of an intercept is that where the predictors are zero."
        )
    return VarianceExplained(components, overall, tuple(remarks))


def _check_comparable(null: MixedFit, fit: MixedFit) -> None:
    one, two = null.model.design, fit.model.design
    what = ""
    if one.n != two.n:
        what = f"they use {one.n} and {two.n} rows; fit both to the rows that both can use"
    elif not np.array_equal(one.y, two.y):
        what = "they have different responses, or the same rows in another order"
    elif null.model.reml != fit.model.reml:
        what = "one is fitted by REML, the other by ML"
    elif len(one.factors) != len(two.factors) or not all(
        any(same_groups(a, b) for b in two.factors) for a in one.factors
    ):
        what = "they have different grouping factors"
    if what:
        raise OptionError(f"the variances of the two fits cannot be compared: {what}")


def _components(null: MixedFit, fit: MixedFit) -> pd.DataFrame:
    """Every variance that both have."""
    found = []
    for one in (null, fit):
        variance = one.sigma**2 * np.diag(one.Lambda @ one.Lambda.T)
        named = {f"{t} by {g}": v for (g, t), v in zip(one.model.design.effects, variance,
                                                       strict=True)}  # fmt: skip
        found.append(pd.Series(named | {"Residual": one.sigma**2}))
    shared = [name for name in found[0].index if name in found[1].index]
    return _explained(found[0][shared], found[1][shared])


def _modelled(fit: MixedFit) -> pd.Series[Any]:
    """Modelled variance of a response, and of a group mean of each factor."""
    design, sigma2 = fit.model.design, fit.sigma**2
    found = {ROWS: float(icc(fit)["variance"].sum()) + sigma2}
    for factor in design.factors:
        if factor.membership is None:
            found[factor.name] = _of_means(fit, factor)
    return pd.Series(found)


def _of_means(fit: MixedFit, factor: Factor) -> float:
    """Variance of a group's mean response, fixed effects given, averaged over groups."""
    codes, J = factor.only_codes, factor.n_groups
    size = np.bincount(codes, minlength=J)
    total = fit.sigma**2 * float(np.mean(1 / size))
    average = (factor.weights / size).T
    for other, place in zip(fit.model.design.factors, fit.model.structure.factors, strict=True):
        root = fit.sigma * fit.Lambda[place, place]
        loads = average @ other.by_effect(other.Z @ root)
        total += float(loads.power(2).sum()) / J
    return total


def _explained(null: pd.Series[Any], fit: pd.Series[Any]) -> pd.DataFrame:
    explained = np.where(null > 0, 1 - fit / null.where(null > 0, np.nan), np.nan)
    return pd.DataFrame({"null": null, "fit": fit, "explained": explained})


def _negative(table: pd.DataFrame) -> str:
    """The variances that grew, each with its number."""
    below = table["explained"][table["explained"] < 0]
    return ", ".join(f"{name} ({value:.2g})" for name, value in below.items())


def _cells(table: pd.DataFrame) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (str(name), *(number(float(value)) for value in row))
        for name, row in zip(table.index, table.to_numpy(dtype=float), strict=True)
    )
