"""The fit of a linear mixed model, as a user meets it.

Methods here orchestrate; numbers come from functions of arrays elsewhere in the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from teamlink.errors import OptionError
from teamlink.fitting.summary import Summary
from teamlink.mixed.checks import simple_checks
from teamlink.mixed.components import Block
from teamlink.mixed.correlated import CorrelatedMixed
from teamlink.mixed.grouped import GroupedFit
from teamlink.mixed.membership import Membership
from teamlink.mixed.model import LinearMixed
from teamlink.mixed.predict import Interval, Level, fitted_values, predict
from teamlink.mixed.present import summarize
from teamlink.mixed.ranef import RandomEffects
from teamlink.mixed.row_checks import row_checks
from teamlink.mixed.trust import Report
from teamlink.typing import Array, Table

__all__ = ["MixedFit"]


@dataclass(frozen=True)
class MixedFit(GroupedFit):
    """A fitted linear mixed model.

    Made by `teamlink.lmm`. Besides what every fit has (``params``, ``bse``, ``tvalues``,
    ``pvalues``, ``df``, ``conf_int``, ``cov_params``, ``llf``, ``deviance``, ``aic``, ``bic``,
    ``nobs``, ``converged``, ``boundary``, ``convergence``) it knows its random effects.
    """

    model: LinearMixed | CorrelatedMixed

    def independent(self, what: str) -> LinearMixed:
        """The model, if its residuals have no structure; else an error.

        Parameters
        ----------
        what : what is asked of it, for the error

        Raises
        ------
        OptionError
            The model has a residual structure.
        """
        if isinstance(self.model, CorrelatedMixed):
            raise OptionError(
                f"{what}: not offered for a fit with a residual structure "
                f"({self.model.residuals.structure})"
            )
        return self.model

    def unweighted(self, what: str) -> LinearMixed:
        """The model, if its residuals have no structure and its rows no weights; else an error.

        Parameters
        ----------
        what : what is asked of it, for the error

        Raises
        ------
        OptionError
            The model has a residual structure or precision weights.
        """
        model = self.independent(what)
        if model.design.weights is not None:
            raise OptionError(
                f"{what}: not offered for a fit with precision weights "
                f"({model.design.weights.name}) yet"
            )
        return model

    @property
    def aliased(self) -> tuple[str, ...]:
        """Columns of the fixed part left out because the others determine them."""
        kept = set(self.model.names)
        return tuple(name for name in self.model.design.x_names if name not in kept)

    @cached_property
    def sigma(self) -> float:
        """Residual standard deviation: of a row of weight one, in the first stratum."""
        return float(np.sqrt(self.model.sigma2(self.working_theta[None])[0]))

    @cached_property
    def Lambda(self) -> Array:
        """(Q, Q) relative factor: the random effects' covariance is sigma^2 Lambda Lambda'."""
        factor: Array = self.model.relative_factor(self.working_theta[None])[0]
        return factor

    @property
    def theta(self) -> Array:
        """Elements of Lambda, each block's lower triangle down the columns, as lme4."""
        return self.model.structure.triangles(self.Lambda)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Random effects that may correlate, each set with its covariance."""
        covariance = self.sigma**2 * self.Lambda @ self.Lambda.T
        effects = self.model.design.effects
        return tuple(
            Block(effects[s.start][0], tuple(n for _, n in effects[s]), covariance[s, s])
            for s in self.model.structure.slices
        )

    @property
    def residual_sd(self) -> float:
        """Residual standard deviation: `sigma`."""
        return self.sigma

    @property
    def residual(self) -> pd.Series[Any]:
        """Estimated parameters of the residual structure, by name; empty where there is none.

        ``phi``, ``rho``, ``rho1`` for lag 1, ``cor__a.b`` for occasions a and b, and
        ``sd_ratio__s``, the standard deviation of stratum s over that of the first.
        """
        if not isinstance(self.model, CorrelatedMixed):
            return pd.Series([], dtype=float, name="estimate")
        shape, eta = self.model.residuals.shape, self.model.split(self.working_theta)[1]
        return pd.Series(shape.natural(eta), index=pd.Index(shape.names), name="estimate")

    def residual_covariance(self, unit: Any = None) -> pd.DataFrame:
        """Covariance of the residuals of one unit, sigma^2 and weights included.

        Parameters
        ----------
        unit : label, optional
            Of a unit of the residual structure; a tuple where several columns name it. The first
            of the units with the most rows when None.

        Returns
        -------
        DataFrame
            (T, T), rows and columns labelled by position, or by row of the table where the
            structure has none.

        Raises
        ------
        OptionError
            The fit has no residual structure, or no such unit.
        """
        if not isinstance(self.model, CorrelatedMixed):
            raise OptionError("residual_covariance: the fit has no residual structure")
        found, labels = self.model.unit_covariance(self.working_theta, unit)
        return pd.DataFrame(self.sigma**2 * found, index=labels, columns=labels)

    @cached_property
    def random_effects(self) -> tuple[RandomEffects, ...]:
        """Conditional means and covariances of each factor's random effects, as arrays."""
        return self.model.effects(self.working_theta)

    def ranef(self) -> dict[str, pd.DataFrame]:
        """Random effects of each group (empirical Bayes residuals) with standard errors.

        Returns
        -------
        dict
            Grouping factor to a frame indexed by group, a column for each term, and
            ``<term>_se``: the conditional standard deviation given the fixed effects and the
            variances, as lme4's ``condVar``.
        """
        found: dict[str, pd.DataFrame] = {}
        for factor, effects in zip(self.model.design.factors, self.random_effects, strict=True):
            se = np.sqrt(np.diagonal(effects.covariance, axis1=1, axis2=2))
            columns: dict[str, Array] = {}
            for k, name in enumerate(factor.names):
                columns[name], columns[f"{name}_se"] = effects.values[:, k], se[:, k]
            found[factor.name] = pd.DataFrame(columns, index=factor.levels)
        return found

    @cached_property
    def fittedvalues(self) -> pd.Series[Any]:
        """(n,) fitted values at the level of the groups, indexed as the table was."""
        return pd.Series(fitted_values(self), index=self.model.design.index, name="fitted")

    @property
    def resid(self) -> pd.Series[Any]:
        """(n,) response minus fitted value."""
        return pd.Series(
            self.model.design.y - self.fittedvalues.to_numpy(),
            index=self.model.design.index,
            name="resid",
        )

    def predict(
        self,
        newdata: Table | None = None,
        level: Level = "group",
        interval: Interval | None = None,
        coverage: float = 0.95,
        memberships: Mapping[str, Membership] | None = None,
    ) -> pd.Series[Any] | pd.DataFrame:
        """Predict at the level of groups or of the population.

        Parameters
        ----------
        newdata : table, optional
            New rows; those of the fit when None. A group that the fit has not seen gets a
            random effect of zero, its uncertainty that of a new draw.
        level : {"group", "population"}, a grouping factor, or several
            With the random effects of every factor, without any, or with those of the factors
            named: ``"school"``, ``("school", "child")``. A factor that is itself called "group"
            is named as ``("group",)``.
        interval : {"confidence", "prediction"}, optional
            For the expected value, or for a single new response.
        coverage : float
            Of the interval.
        memberships : mapping, optional
            With new rows: for each multiple-membership factor, by name, the groups of each row.

        Returns
        -------
        Series or DataFrame
            Predictions; with an interval the columns ``prediction, conf_low, conf_high``.
        """
        return predict(self, newdata, level, interval, coverage, memberships)

    def summary(self, level: float = 0.95) -> Summary:
        """Text to print; rich HTML in a notebook."""
        return summarize(self, level)

    def report(self) -> Report:
        """Say in plain words whether the fit can be trusted, and why.

        Checks convergence, boundary, number of groups, groups a group-level coefficient, method of
        tests, rows left out, rank, collinearity, influential groups, equal residual spread of
        groups, and normal group effects; each with its number, its threshold and what to do.

        Returns
        -------
        Report
            ``.verdict``, ``.status``, ``.table``, ``.summary()``; prints as text, shows as HTML in
            a notebook.
        """
        return Report((*simple_checks(self), *row_checks(self)), str(self.formula))

    def __repr__(self) -> str:
        method = "REML" if self.model.reml else "ML"
        return f"<MixedFit {str(self.formula)!r}: {method}, deviance {self.deviance:.4f}>"
