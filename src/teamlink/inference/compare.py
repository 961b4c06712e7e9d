"""Comparison of fitted models: likelihood ratios and information criteria, where they apply."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import get_args

import numpy as np
import pandas as pd

from teamlink.errors import OptionError, check_option
from teamlink.fitting.fit import Correction, Corrects, Fit, RatioMethod, single_thread
from teamlink.fitting.model import Bounded, Comparable
from teamlink.fitting.progress import progress_bar
from teamlink.fitting.summary import Summary, SummaryTable, number, p_text
from teamlink.inference.ratio import chi_square, mixture, simulated_ratios, simulated_share
from teamlink.inference.simulate import generator, replicates

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Models side by side, the one with the fewest parameters first.

    Attributes
    ----------
    table : DataFrame
        One row a model: ``npar, aic, bic, llf, deviance``, and against the row above ``chisq,
        df, p_value, reference, p_chi2``: the likelihood ratio, parameters added, p by the reference
        distribution that the next column names, and p by the plain chi-square. These are missing
        where `remarks` say why.
    remarks : tuple of str
        Why a test is missing, and what to keep in mind about those that are there.
    draws : DataFrame, optional
        Simulated likelihood ratios, where they were asked for: ``model, replicate, chisq,
        failure``; a draw that failed bears its reason and counts in no p value.
    """

    table: pd.DataFrame
    remarks: tuple[str, ...]
    draws: pd.DataFrame | None = None

    def summary(self) -> Summary:
        """Text to print; rich HTML in a notebook."""
        header = (
            "Model", "npar", "AIC", "BIC", "logLik", "Deviance", "Chisq", "df", "p", "Reference",
            "p, chi2",
        )  # fmt: skip
        numbers = self.table.drop(columns=["npar", "reference"]).to_numpy(dtype=float)
        rows = tuple(
            (
                str(name), f"{npar}", number(aic, 2), number(bic, 2), number(llf, 3),
                number(deviance, 3), number(chisq, 3), number(df, 0), _p(p), str(reference),
                _p(p_chi2),
            )
            for name, npar, reference, (aic, bic, llf, deviance, chisq, df, p, p_chi2) in zip(
                self.table.index, self.table["npar"], self.table["reference"], numbers, strict=True
            )
        )  # fmt: skip
        return Summary("Comparison of models", (), (SummaryTable("", header, rows),), self.remarks)

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def _p(value: float) -> str:
    return "" if value != value else p_text(value)


@dataclass(frozen=True, slots=True)
class _Simulation:
    """How a reference distribution is simulated: n draws."""

    n: int
    rng: np.random.Generator
    progress: bool | None


@dataclass(frozen=True, slots=True)
class _Ratio:
    """A likelihood-ratio test of one model against the one above; missing where there is none."""

    chisq: float = float("nan")
    df: float = float("nan")
    p_value: float = float("nan")
    reference: str = ""
    p_chi2: float = float("nan")


def compare(
    *fits: Fit,
    simulate: int | None = None,
    method: RatioMethod | None = None,
    seed: int | np.random.Generator | None = 1,
    progress: bool | None = None,
) -> Comparison:
    """Compare fitted models by likelihood ratio, AIC and BIC.

    Parameters
    ----------
    *fits : Fit
        Two or more fits to the same rows of the same response.
    simulate : int, optional
        Draw so many responses from the smaller model of each test, fit both models to each, and
        take p from these likelihood ratios.
    method : {"satorra-bentler-2001", "satorra-bentler-2010", "satorra-2000"}, optional
        How the likelihood ratio of robust fits of structural equations is scaled [3]_ [4]_ [5]_.
        By default as in 2001, or as in 2010 where that factor is not positive.
    seed : int or numpy.random.Generator, optional
        Of the simulation; the same seed gives the same numbers.
    progress : bool, optional
        Show a progress bar on standard error; None shows it on a terminal, after two seconds.

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
    Under the null a variance lies on the edge of its range. Where exactly one is added, with c
    covariances and f coefficients, the likelihood ratio is in large samples an equal mixture of
    chi-squares with c + f and c + f + 1 degrees of freedom [1]_ [2]_, and p comes from that. Where
    two or more are added the mixture depends on the design: p is then that of the plain chi-square,
    which is too large, unless `simulate` asks for the distribution itself. The column ``reference``
    says which it was.

    Of two robust fits of structural equations ``chisq`` is the scaled likelihood ratio; of other
    estimators it is the plain one. There is no test where the larger model cannot imply the moments
    that the smaller one does.

    In R: ``anova(fit0, fit1, refit = FALSE)``; with `simulate` ``pbkrtest::PBmodcomp(fit1, fit0)``;
    of structural equations ``lavaan::lavTestLRT(fit0, fit1, method = , scaled.shifted = FALSE)``.

    References
    ----------
    .. [1] Self, Liang (1987). Asymptotic properties of maximum likelihood estimators under
       nonstandard conditions. doi:10.1080/01621459.1987.10478472
    .. [2] Stram, Lee (1994). Variance components testing in the longitudinal mixed effects model.
       Biometrics 50. doi:10.2307/2533455
    .. [3] Satorra, Bentler (2001). A scaled difference chi-square test statistic for moment
       structure analysis. doi:10.1007/BF02296192
    .. [4] Satorra, Bentler (2010). Ensuring positiveness of the scaled difference chi-square test
       statistic. doi:10.1007/s11336-009-9135-y
    .. [5] Satorra (2000). Scaled and adjusted restricted tests in multi-sample analysis of moment
       structures. doi:10.1007/978-1-4615-4603-0_17

    Examples
    --------
    >>> import teamlink as tl
    >>> hsb = tl.datasets.load("hsb82")
    >>> fit0 = tl.lmm("mathach ~ ses + (1 | school)", hsb, reml=False)
    >>> fit1 = tl.lmm("mathach ~ ses + (ses | school)", hsb, reml=False)
    >>> tl.compare(fit0, fit1).table[["npar", "chisq", "df", "reference"]].round(2).values.tolist()
    [[4, nan, nan, ''], [6, 4.54, 2.0, 'chi2(1)/2 + chi2(2)/2']]
    """
    if len(fits) < 2:
        raise OptionError("compare needs at least two fits")
    check_option("method", method, [None, *get_args(RatioMethod)])
    for one, two in combinations(fits, 2):
        reason = _incomparable(one, two)
        if reason is not None:
            raise OptionError(f"these fits cannot be compared: {reason}")
    asked = None
    if simulate is not None:
        asked = _Simulation(replicates(simulate), generator(seed), progress)
    ordered = sorted(fits, key=lambda fit: fit.n_parameters)
    tests, remarks, draws = [_Ratio()], [], []
    for smaller, larger in pairwise(ordered):
        test, remark, drawn = _test(smaller, larger, asked, method)
        tests.append(test)
        remarks += remark
        draws += drawn
    table = pd.DataFrame(
        {
            "npar": [fit.n_parameters for fit in ordered],
            "aic": [fit.aic for fit in ordered],
            "bic": [fit.bic for fit in ordered],
            "llf": [fit.llf for fit in ordered],
            "deviance": [fit.deviance for fit in ordered],
            "chisq": [test.chisq for test in tests],
            "df": [test.df for test in tests],
            "p_value": [test.p_value for test in tests],
            "reference": [test.reference for test in tests],
            "p_chi2": [test.p_chi2 for test in tests],
        },
        index=pd.Index([fit.label for fit in ordered], name="model"),
    )
    simulated = pd.concat(draws, ignore_index=True) if draws else None
    return Comparison(table, tuple(dict.fromkeys(remarks)), simulated)


def _incomparable(one: Fit, two: Fit) -> str | None:
    if not isinstance(one.model, Comparable):
        return f"a {type(one.model).__name__} does not say what it may be compared with"
    return one.model.why_incomparable(two.model)


def _test(
    smaller: Fit, larger: Fit, simulation: _Simulation | None, method: RatioMethod | None
) -> tuple[_Ratio, list[str], list[pd.DataFrame]]:
    """Likelihood ratio with its p values, remarks, and what was simulated."""
    df = larger.n_parameters - smaller.n_parameters
    where = f"{larger.label} against {smaller.label}"
    if df == 0:
        return _Ratio(), [f"No test of {where}: both have {larger.n_parameters} parameters."], []
    model = smaller.model
    if not isinstance(model, Comparable):
        return _Ratio(), [f"No test of {where}: the engine does not know."], []
    reason = model.why_not_nested_in(larger.model)
    if reason is not None:
        return _Ratio(), [f"No test of {where}: {reason}."], []
    correction = _correction(smaller, larger, method)
    if correction.reason:
        return _Ratio(), [f"No test of {where}: {correction.reason}."], []
    chisq = smaller.deviance - larger.deviance
    if simulation is not None:
        return _simulated(smaller, larger, chisq, df, where, simulation)
    if correction.method:
        chisq, plain = chisq / correction.factor, chi_square(chisq, df)
        p = chi_square(chisq, df)
        remark = f"{where}: the ratio is divided by {correction.factor:.4g} ({correction.method})."
        return _Ratio(chisq, float(df), p, f"chi2({df}), scaled", plain), [remark], []
    plain = chi_square(chisq, df)
    edges = model.variances_added(larger.model) if isinstance(model, Bounded) else None
    if edges == 1:
        half = f"chi2({df - 1})/2 + chi2({df})/2"
        remarks = [
            f"{where}: a variance is zero under the null, the edge of its range, so p is that of "
            f"{half}."
        ]
        if smaller.boundary:
            remarks.append(
                f"{where}: a variance of the smaller model is estimated at zero too, where this "
                "mixture does not hold; see simulate=n."
            )
        return _Ratio(chisq, float(df), mixture(chisq, df), half, plain), remarks, []
    remarks = []
    if larger.n_variances > smaller.n_variances if edges is None else edges > 1:
        remarks = [
            f"{where}: variances are zero under the null, on the edge of their range, so p is too "
            "large; simulate=n gives its own distribution."
        ]
    return _Ratio(chisq, float(df), plain, f"chi2({df})", plain), remarks, []


def _correction(smaller: Fit, larger: Fit, method: RatioMethod | None) -> Correction:
    if isinstance(smaller, Corrects):
        return smaller.ratio_correction(larger, method)
    if method is None:
        return Correction()
    return Correction(reason=f"method={method!r} is for robust fits of structural equations")


def _simulated(
    smaller: Fit, larger: Fit, chisq: float, df: int, where: str, simulation: _Simulation
) -> tuple[_Ratio, list[str], list[pd.DataFrame]]:
    """The same with p from likelihood ratios of simulated responses."""
    n = simulation.n
    with (
        single_thread().limit(limits=1),
        progress_bar(n, simulation.progress, "draws", 2.0) as advance,
    ):
        ratios, failure = simulated_ratios(smaller, larger, n, simulation.rng, advance)
    drawn = pd.DataFrame(
        {"model": larger.label, "replicate": range(n), "chisq": ratios, "failure": failure}
    )
    good = int(np.isfinite(ratios).sum())
    share = simulated_share(chisq, ratios)
    error = np.sqrt(share * (1 - share) / good) if good else float("nan")
    remarks = [f"{where}: p from {good} simulated ratios, with a standard error of {error:.2g}."]
    if good < n:
        reasons = ", ".join(sorted({reason for reason in failure if reason}))
        remarks.append(f"{where}: FAILED: {n - good} of {n} draws ({reasons}).")
    if not good:
        share = float("nan")
    ratio = _Ratio(chisq, float(df), share, f"simulated ({good})", chi_square(chisq, df))
    return ratio, remarks, [drawn]
