"""The fit of a generalized linear mixed model, as a user meets it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from teamlink.errors import OptionError
from teamlink.fitting.summary import Summary
from teamlink.mixed.checks import simple_checks
from teamlink.mixed.components import Block
from teamlink.mixed.generalized.model import GeneralizedMixed
from teamlink.mixed.generalized.ordinal import Cumulative
from teamlink.mixed.generalized.parts import Effects, conditional_effects
from teamlink.mixed.generalized.predict import (
    Residuals,
    Scale,
    fitted_predictor,
    predict_generalized,
    residuals,
)
from teamlink.mixed.generalized.present import summarize_generalized
from teamlink.mixed.grouped import GroupedFit
from teamlink.mixed.predict import Level
from teamlink.mixed.trust import Finding, Report
from teamlink.typing import Array, Table

__all__ = ["GeneralizedFit"]


@dataclass(frozen=True)
class GeneralizedFit(GroupedFit):
    """A fitted generalized linear mixed model.

    Made by `teamlink.glmm`. Besides what every fit has (``params``, ``bse``, ``tvalues``, which
    are z values here, ``pvalues``, ``conf_int``, ``cov_params``, ``llf``, ``deviance``, ``aic``,
    ``bic``, ``nobs``, ``converged``, ``boundary``, ``convergence``) it knows its random effects.

    ``deviance`` is minus twice the approximated log-likelihood with all constants, so that fits of
    any number of quadrature points and of any program that keeps its constants stand side by side.
    """

    model: GeneralizedMixed

    def independent(self, what: str) -> NoReturn:
        """Raise, for what is offered for linear mixed models only.

        Parameters
        ----------
        what : what is asked of it, for the error

        Raises
        ------
        OptionError
            Always.
        """
        raise OptionError(f"{what}: not offered for a generalized mixed model")

    unweighted = independent

    @property
    def family(self) -> str:
        """Name of the family."""
        return self.model.family.name

    @property
    def link(self) -> str:
        """Name of the link."""
        return self.model.family.link

    @property
    def nagq(self) -> int:
        """Quadrature points a dimension; 1 is Laplace's approximation."""
        rule, q = self.model.quadrature, self.model.structures[0].q
        return 1 if rule is None else round(len(rule.nodes) ** (1 / q))

    @property
    def event(self) -> Any:
        """What a binomial response counts, where it came in two categories; else None."""
        categories = self.model.design.categories
        return categories[1] if self.family == "binomial" and categories else None

    @property
    def aliased(self) -> tuple[str, ...]:
        """Columns of the fixed part left out because the others determine them."""
        kept = set(self.model.names)
        constant = {"Intercept"} if isinstance(self.model.family, Cumulative) else set()
        return tuple(n for n in self.model.design.x_names if n not in kept | constant)

    @property
    def coefficients(self) -> Array:
        """(p,) coefficients of the fixed part; ``params`` without thresholds."""
        _, beta, _ = self.model.parts(self.working_theta[None])
        found: Array = self.model.fixed.K @ beta[0]
        return found

    @cached_property
    def thresholds(self) -> pd.Series[Any]:
        """(C - 1,) thresholds of an ordinal response; empty for others."""
        if not isinstance(self.model.family, Cumulative):
            return pd.Series([], dtype=float, name="threshold")
        values = self.model.own(self.working_theta[None])[0]
        return pd.Series(values, index=pd.Index(self.model.threshold_names), name="threshold")

    @cached_property
    def dispersion(self) -> pd.Series[Any]:
        """The family's dispersion.

        Negative binomial: ``alpha``, of the variance ``mu + alpha mu^2``, and R's ``theta``, which
        is 1 / alpha. Gaussian: ``sigma``. Empty for other families.
        """
        own = self.model.own(self.working_theta[None])[0]
        said: dict[str, float] = {}
        if self.family == "negative-binomial":
            said = {"alpha": float(own[0]), "theta": float(1 / own[0]) if own[0] else np.inf}
        elif self.family == "gaussian":
            said = {"sigma": float(np.exp(own[0]))}
        return pd.Series(said, dtype=float, name="dispersion")

    @property
    def sigma(self) -> float:
        """Residual standard deviation of a Gaussian response; 1 for others, as in lme4."""
        return float(self.dispersion["sigma"]) if self.family == "gaussian" else 1.0

    @cached_property
    def Lambda(self) -> dict[str, Array]:
        """Factor to (q, q) Lambda; the random effects' covariance is Lambda Lambda'."""
        found = self.model.factors(self.working_theta[None])
        return {f.name: L[0] for f, L in zip(self.model.design.factors, found, strict=True)}

    @property
    def theta(self) -> Array:
        """(k,) free elements of each factor's Lambda, lower triangles down the columns."""
        return np.concatenate(
            [
                s.parameters(L)
                for s, L in zip(self.model.structures, self.Lambda.values(), strict=True)
            ]
        )

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Random effects that may correlate, each set with its covariance, on the link's scale."""
        found: list[Block] = []
        for factor, structure in zip(self.model.design.factors, self.model.structures, strict=True):
            covariance = self.Lambda[factor.name] @ self.Lambda[factor.name].T
            found += [
                Block(factor.name, factor.names[s], covariance[s, s]) for s in structure.slices
            ]
        return tuple(found)

    @property
    def residual_sd(self) -> float | None:
        """Residual standard deviation of a Gaussian response; None for others."""
        return self.sigma if self.family == "gaussian" else None

    @cached_property
    def random_effects(self) -> tuple[Effects, ...]:
        """Each factor's conditional modes and covariances, as arrays."""
        return conditional_effects(self.model, self.working_theta)

    def ranef(self) -> dict[str, pd.DataFrame]:
        """Conditional modes of the random effects, with standard errors.

        Returns
        -------
        dict
            Grouping factor to a frame indexed by group, a column for each term, and
            ``<term>_se``: from the curvature at the modes, coefficients and variances taken as
            known, as lme4's ``condVar``.
        """
        found = {}
        for factor, effects in zip(self.model.design.factors, self.random_effects, strict=True):
            columns: dict[str, Array] = {}
            for k, name in enumerate(factor.names):
                columns[name] = effects.values[k]
                columns[f"{name}_se"] = np.sqrt(effects.covariance[k, k])
            found[factor.name] = pd.DataFrame(columns, index=factor.levels)
        return found

    @cached_property
    def fittedvalues(self) -> pd.Series[Any]:
        """(n,) fitted values on the scale of the response, at the level of the groups.

        Probabilities for a binomial response; for an ordinal one the probability of the category
        that was seen.
        """
        model, eta = self.model, fitted_predictor(self)
        if isinstance(model.family, Cumulative):
            shares = model.family.probabilities(eta, model.own(self.working_theta[None])[0])
            values = shares[np.arange(len(eta)), model.design.y.astype(np.intp)]
        else:
            values = model.family.mean(eta)
        return pd.Series(values, index=model.design.index, name="fitted")

    @property
    def resid(self) -> pd.Series[Any]:
        """(n,) deviance residuals, given the random effects; see `residuals` for others."""
        return self.residuals()

    def residuals(self, kind: Residuals = "deviance") -> pd.Series[Any]:
        """Residuals given the random effects.

        Parameters
        ----------
        kind : {"deviance", "pearson", "response"}
            Signed root of each row's share of the deviance; response less fitted value over its
            standard deviation; or the plain difference, of proportions where there are trials.

        Returns
        -------
        Series
            (n,) indexed as the table was.
        """
        return pd.Series(residuals(self, kind), index=self.model.design.index, name="resid")

    def predict(
        self, newdata: Table | None = None, level: Level = "group", type: Scale = "response"
    ) -> pd.Series[Any] | pd.DataFrame:
        """Predict at the level of groups or of the population.

        Parameters
        ----------
        newdata : table, optional
            New rows; those of the fit when None. A group that the fit has not seen gets a
            random effect of zero.
        level : {"group", "population"}, or names of grouping factors
            With the random effects of all factors, of none, or of those named. At population
            level they are zero: the prediction for a group in the middle, not the mean over groups.
        type : {"response", "link"}
            Expected response (a probability, a count), or linear predictor.

        Returns
        -------
        Series or DataFrame
            (m,) predictions; for an ordinal response (m, C) probabilities of its categories.
        """
        return predict_generalized(self, newdata, level, type)

    def report(self) -> Report:
        """Say in plain words whether the fit can be trusted, and why.

        Checks convergence, boundary, number of groups, groups a group-level coefficient, method of
        tests, rows left out, rank and collinearity; single rows and groups are not looked at.
        """
        says = "rows and groups are not looked at one by one in a generalized model"
        rest = Finding("rows and groups", "not checked", float("nan"), "", says)
        return Report((*simple_checks(self), rest), str(self.formula))

    def summary(self, level: float = 0.95) -> Summary:
        """Text to print; rich HTML in a notebook."""
        return summarize_generalized(self, level)

    def __repr__(self) -> str:
        return (
            f"<GeneralizedFit {str(self.formula)!r}: {self.family} ({self.link}), "
            f"deviance {self.deviance:.4f}>"
        )
