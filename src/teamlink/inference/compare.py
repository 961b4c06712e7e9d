"""Comparison of fitted models: likelihood ratios and information criteria, where they apply."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise

import pandas as pd
from scipy.special import chdtrc

from teamlink.errors import OptionError
from teamlink.fitting.fit import Fit
from teamlink.fitting.model import Comparable, Edges
from teamlink.fitting.summary import Summary, SummaryTable, number, p_text

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Models side by side, the one with the fewest parameters first.

    Attributes
    ----------
    table : DataFrame
        One row a model: ``npar, aic, bic, llf, deviance``, and against the row above ``chisq,
        df, p_value``; these are missing where `remarks` say why.
    remarks : tuple of str
        Why a test is missing, and what to keep in mind about those that are there.
    """

    table: pd.DataFrame
    remarks: tuple[str, ...]

    def summary(self) -> Summary:
        """Text to print; rich HTML in a notebook."""
        header = ("Model", "npar", "AIC", "BIC", "logLik", "Deviance", "Chisq", "df", "p")
        counts = self.table["npar"].tolist()
        shown = self.table.drop(columns="npar").to_numpy(dtype=float)
        rows = tuple(
            (
                str(name), f"{npar}", number(aic, 2), number(bic, 2), number(llf, 3),
                number(deviance, 3), number(chisq, 3), number(df, 0), "" if p != p else p_text(p),
            )
            for name, npar, (aic, bic, llf, deviance, chisq, df, p) in zip(
                self.table.index, counts, shown, strict=True
            )
        )  # fmt: skip
        return Summary("Comparison of models", (), (SummaryTable("", header, rows),), self.remarks)

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def compare(*fits: Fit) -> Comparison:
    """Compare fitted models by likelihood ratio, AIC and BIC.

    Parameters
    ----------
    *fits : Fit
        Two or more fits to the same rows of the same response.

    Returns
    -------
    Comparison
        ``.table`` holds the numbers, ``.remarks`` what to know about them. Each model is tested
        against the one above it, if that is a special case of it.

    Raises
    ------
    OptionError
        Two criteria must not be compared: different rows or responses, ML beside REML, or REML
        with different fixed effects (refit with ``reml=False``).

    Notes
    -----
    Under the null of a likelihood-ratio test a variance lies on the edge of its range, so the
    chi-square p value is then too large [1]_; the remarks say so.

    In R: ``anova(fit0, fit1, refit = FALSE)``.

    References
    ----------
    .. [1] Self, Liang (1987). Asymptotic properties of maximum likelihood estimators under
       nonstandard conditions. doi:10.1080/01621459.1987.10478472

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82")
    >>> fit0 = tl.lmm("mathach ~ ses + (1 | school)", hsb, reml=False)
    >>> fit1 = tl.lmm("mathach ~ ses + meanses + (1 | school)", hsb, reml=False)
    >>> tl.compare(fit0, fit1).table[["npar", "deviance", "chisq", "df"]].round(1).to_numpy()
    array([[4.00000e+00, 4.66410e+04,         nan,         nan],
           [5.00000e+00, 4.65638e+04, 7.72000e+01, 1.00000e+00]])
    """
    if len(fits) < 2:
        raise OptionError("compare needs at least two fits")
    for one, two in combinations(fits, 2):
        reason = _incomparable(one, two)
        if reason is not None:
            raise OptionError(f"these fits cannot be compared: {reason}")
    ordered = sorted(fits, key=lambda fit: fit.n_parameters)
    names = [fit.label for fit in ordered]
    table = pd.DataFrame(
        {
            "npar": [fit.n_parameters for fit in ordered],
            "aic": [fit.aic for fit in ordered],
            "bic": [fit.bic for fit in ordered],
            "llf": [fit.llf for fit in ordered],
            "deviance": [fit.deviance for fit in ordered],
        },
        index=pd.Index(names, name="model"),
    )
    tests, remarks = [(float("nan"),) * 3], []
    for smaller, larger in pairwise(ordered):
        test, remark = _test(smaller, larger)
        tests.append(test)
        remarks += remark
    table[["chisq", "df", "p_value"]] = pd.DataFrame(tests, index=table.index)
    return Comparison(table, tuple(dict.fromkeys(remarks)))


def _incomparable(one: Fit, two: Fit) -> str | None:
    if not isinstance(one.model, Comparable):
        return f"a {type(one.model).__name__} does not say what it may be compared with"
    return one.model.why_incomparable(two.model)


def _edges(fit: Fit) -> int:
    """Parameters of a fit that are zero only on the edge of their range."""
    return fit.model.n_edges if isinstance(fit.model, Edges) else fit.n_variances


def _test(smaller: Fit, larger: Fit) -> tuple[tuple[float, float, float], list[str]]:
    """Likelihood ratio, its degrees of freedom and p value, with remarks; NaN for no test."""
    df = larger.n_parameters - smaller.n_parameters
    where = f"{larger.label} against {smaller.label}"
    nothing = (float("nan"),) * 3
    if df == 0:
        return nothing, [f"No test of {where}: both have {larger.n_parameters} parameters."]
    reason = (
        smaller.model.why_not_nested_in(larger.model)
        if isinstance(smaller.model, Comparable)
        else "the engine does not know"
    )
    if reason is not None:
        return nothing, [f"No test of {where}: {reason}."]
    chisq = smaller.deviance - larger.deviance
    remarks = []
    if _edges(larger) > _edges(smaller):
        remarks.append(
            f"{where}: a variance of zero lies on the edge of its range, so p is too large."
        )
    return (chisq, float(df), float(chdtrc(df, max(chisq, 0.0)))), remarks
