"""How each Python package is asked for a fit; one call, from the data frame to the estimates."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .problems import Problem


@dataclass(frozen=True, slots=True)
class Outcome:
    """Criterion (minus twice the log-likelihood) and fixed effects, the intercept first.

    For a refit: the criteria of the first responses, and how many responses were fitted.
    """

    criterion: list[float]
    beta: list[float]
    fits: int = 1


Call = Callable[[], Outcome]
Make = Callable[[Problem, pd.DataFrame, "np.ndarray | None"], Call]

SHOWN = 20
"""Criteria of a refit that are compared between engines."""


def teamlink(problem: Problem, data: pd.DataFrame, responses: np.ndarray | None) -> Call:
    """Teamlink with Satterthwaite degrees of freedom."""
    import teamlink as tl

    def generalized() -> Outcome:
        found = tl.glmm(problem.formula, data, family=problem.family)
        return Outcome([found.deviance], list(found.params))

    if problem.family is not None:
        return generalized

    def fit() -> Outcome:
        found = tl.lmm(problem.formula, data, reml=problem.reml)
        return Outcome([found.deviance], list(found.params))

    if responses is None:
        return fit
    base = tl.lmm(problem.formula, data, reml=problem.reml)

    def refit() -> Outcome:
        table = tl.refit(base, responses)
        criteria, beta = _refit_columns(table)
        return Outcome(criteria[:SHOWN], beta, responses.shape[1])

    return refit


def teamlink_plain(problem: Problem, data: pd.DataFrame, responses: np.ndarray | None) -> Call:
    """Teamlink without degrees of freedom for t."""
    import teamlink as tl

    def fit() -> Outcome:
        found = tl.lmm(problem.formula, data, reml=problem.reml, df="normal")
        return Outcome([found.deviance], list(found.params))

    if responses is not None:
        raise NotImplementedError("the same as teamlink")
    return fit


def _refit_columns(table: pd.DataFrame) -> tuple[list[float], list[float]]:
    """Criteria by response and the first response's fixed effects, from the tidy frame."""
    replicates = table["replicate"]
    criteria = table.loc[~replicates.duplicated(), "deviance"]
    return list(criteria), list(table.loc[replicates == replicates.iloc[0], "estimate"])


def glmm(problem: Problem, data: pd.DataFrame, responses: np.ndarray | None) -> Call:
    """Glmm with its Satterthwaite pass (its default)."""
    return _glmm(problem, data, responses, satterthwaite=True)


def glmm_plain(problem: Problem, data: pd.DataFrame, responses: np.ndarray | None) -> Call:
    """Glmm without the Satterthwaite pass."""
    return _glmm(problem, data, responses, satterthwaite=False)


def _glmm(
    problem: Problem, data: pd.DataFrame, responses: np.ndarray | None, satterthwaite: bool
) -> Call:
    package = importlib.import_module("glmm")

    def one(table: pd.DataFrame) -> Outcome:
        found = package.fit(table, problem.formula, reml=problem.reml, satterthwaite=satterthwaite)
        return Outcome([-2 * found.loglik], list(found.beta))

    if responses is None:
        return lambda: one(data)
    return _one_by_one(problem, data, responses, one, SHOWN)


def mixedlm(problem: Problem, data: pd.DataFrame, responses: np.ndarray | None) -> Call:
    """mixedlm; it computes no degrees of freedom in the fit."""
    package = importlib.import_module("mixedlm")

    def one(table: pd.DataFrame) -> Outcome:
        found = package.lmer(problem.formula, table, REML=problem.reml)
        return Outcome([float(found.deviance)], list(found.fixef().values()))

    if responses is None:
        return lambda: one(data)
    base = package.lmer(problem.formula, data, REML=problem.reml)

    def refit() -> Outcome:
        fits = [base.refit(responses[:, k]) for k in range(SHOWN)]
        return Outcome([float(f.deviance) for f in fits], list(fits[0].fixef().values()), SHOWN)

    return refit


def statsmodels(problem: Problem, data: pd.DataFrame, responses: np.ndarray | None) -> Call:
    """Statsmodels' MixedLM; normal tests."""
    package = importlib.import_module("statsmodels.formula.api")
    if problem.random:
        raise NotImplementedError("MixedLM has one grouping factor")

    def one(table: pd.DataFrame) -> Outcome:
        model = package.mixedlm(
            f"{problem.response} ~ {problem.fixed}",
            table,
            groups=problem.group,
            re_formula=f"~{problem.slope}",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = model.fit(reml=problem.reml)
        return Outcome([-2 * float(found.llf)], list(found.fe_params))

    if responses is None:
        return lambda: one(data)
    return _one_by_one(problem, data, responses, one, 2)


def _one_by_one(
    problem: Problem,
    data: pd.DataFrame,
    responses: np.ndarray,
    one: Callable[[pd.DataFrame], Outcome],
    count: int,
) -> Call:
    """Refit by fitting anew, for packages without a refit."""
    tables = [data.assign(**{problem.response: responses[:, k]}) for k in range(count)]

    def refit() -> Outcome:
        found = [one(table) for table in tables]
        return Outcome([f.criterion[0] for f in found], found[0].beta, count)

    return refit


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine: how it is called, which package it is, and which tests its call computes."""

    name: str
    package: str
    tests: str
    make: Make | None = None


ENGINES = {
    e.name: e
    for e in (
        Engine("teamlink", "teamlink", "t, Satterthwaite", teamlink),
        Engine("teamlink, no df", "teamlink", "normal", teamlink_plain),
        Engine("glmm", "glmm", "t, Satterthwaite", glmm),
        Engine("glmm, no df", "glmm", "normal", glmm_plain),
        Engine("mixedlm", "mixedlm", "none", mixedlm),
        Engine("statsmodels", "statsmodels", "normal", statsmodels),
        Engine("lme4", "lme4", "none"),
        Engine("lme4, anew", "lme4", "none"),
    )
}
