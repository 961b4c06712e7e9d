"""What the fits of linear and of generalized mixed models share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from teamlink.fitting.fit import Fit
from teamlink.fitting.summary import Summary
from teamlink.mixed.components import Block, varcorr
from teamlink.mixed.correlated import CorrelatedMixed
from teamlink.mixed.generalized.model import GeneralizedMixed
from teamlink.mixed.model import LinearMixed
from teamlink.mixed.present import tidy
from teamlink.syntax.formula import Formula

__all__ = ["GroupedFit"]


@dataclass(frozen=True)
class GroupedFit(Fit):
    """A fit with random effects of groups."""

    model: LinearMixed | CorrelatedMixed | GeneralizedMixed

    @property
    def formula(self) -> Formula:
        """The formula, as read."""
        return self.model.design.formula

    @property
    def ngroups(self) -> dict[str, int]:
        """Number of groups of each grouping factor."""
        return {factor.name: factor.n_groups for factor in self.model.design.factors}

    @property
    def dropped(self) -> Mapping[str, int]:
        """Rows left out for missing values, by the variable missing first."""
        return self.model.design.dropped

    @property
    @abstractmethod
    def blocks(self) -> tuple[Block, ...]:
        """Random effects that may correlate, each set with its covariance."""

    @property
    @abstractmethod
    def residual_sd(self) -> float | None:
        """Residual standard deviation; None where the family has none."""

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variances and covariances: ``group, term1, term2, vcov, sdcor``; residual last.

        Of a generalized model they are on the scale of the link, and only a Gaussian response has a
        residual.
        """
        return varcorr(self.blocks, self.residual_sd)

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """All parameters in one table, in broom's columns.

        ``effect, group, term, estimate, std_error, statistic, df, p_value, conf_low, conf_high``;
        standard deviations and correlations follow the fixed effects as ``effect = "ran_pars"``.
        """
        return tidy(self, level)

    @abstractmethod
    def summary(self, level: float = 0.95) -> Summary:
        """Text to print; rich HTML in a notebook."""

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()
