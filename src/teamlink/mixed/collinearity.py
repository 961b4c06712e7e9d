"""Collinearity of the fixed effects: variance inflation, condition indices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from teamlink.fitting.summary import Summary, SummaryTable, number
from teamlink.mixed.distances import gls_covariance
from teamlink.typing import Array

if TYPE_CHECKING:
    from teamlink.mixed.generalized.result import GeneralizedFit
    from teamlink.mixed.result import MixedFit

__all__ = ["Collinearity", "collinearity"]


@dataclass(frozen=True, slots=True)
class Collinearity:
    """How much predictors overlap; made by `teamlink.collinearity`.

    Attributes
    ----------
    terms : DataFrame
        For each term of the formula: ``columns`` (its coefficients), ``vif`` (generalized),
        ``se_factor`` (by which overlap multiplies the standard error of a column), ``tolerance``.
    conditions : DataFrame
        Condition indices from 1 up, and for each the share of every coefficient's variance that
        goes with it (Belsley, Kuh and Welsch), columns named by coefficient.

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ ses + meanses + (1 | school)", tl.datasets.load("hsb82"))
    >>> tl.collinearity(fit).conditions["index"].round(2).tolist()
    [1.0, 1.24, 1.81]
    """

    terms: pd.DataFrame
    conditions: pd.DataFrame

    def summary(self) -> Summary:
        """Text to print; rich HTML in a notebook."""
        rows = tuple(
            (str(name), str(int(row["columns"])),
             *(number(float(row[c]), 3) for c in ("vif", "se_factor", "tolerance")))
            for name, row in self.terms.iterrows()
        )  # fmt: skip
        header = ("Term", "Columns", "VIF", "SE factor", "Tolerance")
        largest = self.conditions["index"].max() if len(self.conditions) else np.nan
        facts = (("Largest condition index", number(float(largest), 1)),)
        return Summary("Collinearity", facts, (SummaryTable("Terms", header, rows),), ())

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def collinearity(fit: MixedFit | GeneralizedFit) -> Collinearity:
    r"""Measure how much the predictors of a fit overlap.

    Parameters
    ----------
    fit : MixedFit or GeneralizedFit

    Returns
    -------
    Collinearity
        ``.terms``, ``.conditions``, ``.summary()``.

    Notes
    -----
    With R the correlation matrix of the estimated coefficients (intercept left out, variances of
    the model held), the generalized variance inflation of a term with columns k is
    ``|R_kk| |R_-k,-k| / |R|`` [1]_; for one column it is the ordinary VIF, at both levels at once,
    because R comes from the fit and not from the rows alone. ``se_factor`` is ``VIF^(1 / (2 m))``
    for m columns. A product and its parts overlap by nature, and centring removes it without any
    gain in what is known: look at such a pair's VIF with the parts centred.

    Condition indices are ratios of singular values of X with columns of unit length, the intercept
    among them [2]_; with an index above 30 and two coefficients with shares above one half, these
    two are hardly told apart.

    In R: ``performance::check_collinearity(fit)``, ``car::vif(fit)``.

    References
    ----------
    .. [1] Fox, Monette (1992). Generalized collinearity diagnostics. Journal of the American
       Statistical Association 87. doi:10.1080/01621459.1992.10475190
    .. [2] Belsley, Kuh, Welsch (1980). Regression diagnostics. Wiley. doi:10.1002/0471725153

    Examples
    --------
    >>> import teamlink as tl
    >>> fit = tl.lmm("mathach ~ ses + meanses + (1 | school)", tl.datasets.load("hsb82"))
    >>> tl.collinearity(fit).terms.round(3)
             columns   vif  se_factor  tolerance
    ses            1  1.09      1.044      0.917
    meanses        1  1.09      1.044      0.917
    """
    names, terms = fit.model.names, _terms(fit)
    shown = {
        text: [k for k in columns if names[k] != "Intercept"] for text, columns in terms.items()
    }
    shown = {text: columns for text, columns in shown.items() if columns}
    C = gls_covariance(fit)
    everything = sorted(k for columns in shown.values() for k in columns)
    size = np.sqrt(np.diag(C))
    R = (C / np.outer(size, size))[np.ix_(everything, everything)]
    place = {k: at for at, k in enumerate(everything)}
    rows = {text: _inflation(R, [place[k] for k in columns]) for text, columns in shown.items()}
    frame = pd.DataFrame.from_dict(
        rows, orient="index", columns=["columns", "vif", "se_factor", "tolerance"]
    ).astype({"columns": int})
    return Collinearity(frame, _conditions(fit.model.fixed_columns, names))


def _terms(fit: MixedFit | GeneralizedFit) -> dict[str, list[int]]:
    """Each term of the fixed part with its estimated columns."""
    encoding = fit.model.design.fixed
    kept = {int(column): at for at, column in enumerate(fit.model.fixed.kept)}
    if encoding.spec is None:
        return {encoding.names[column]: [at] for column, at in kept.items()}
    slices = encoding.spec.term_slices
    return {
        str(term): [kept[c] for c in range(where.start, where.stop) if c in kept]
        for term, where in slices.items()
    }


def _inflation(R: Array, own: list[int]) -> tuple[float, float, float, float]:
    """Columns, generalized VIF, factor of a standard error, and tolerance of one term."""
    rest = [k for k in range(len(R)) if k not in own]
    logs = [
        np.linalg.slogdet(part)[1] if part.size else 0.0
        for part in (R[np.ix_(own, own)], R[np.ix_(rest, rest)], R)
    ]
    vif = float(np.exp(logs[0] + logs[1] - logs[2]))
    return len(own), vif, vif ** (1 / (2 * len(own))), 1 / vif


def _conditions(X: Array, names: tuple[str, ...]) -> pd.DataFrame:
    if not X.shape[1]:
        return pd.DataFrame({"index": []})
    size = np.linalg.norm(X, axis=0)
    _, d, Vt = np.linalg.svd(X / size, full_matrices=False)
    phi = np.square(Vt / d[:, None])
    share = phi / phi.sum(axis=0)
    frame = pd.DataFrame(share, columns=list(names))
    frame.insert(0, "index", d[0] / d)
    return frame
