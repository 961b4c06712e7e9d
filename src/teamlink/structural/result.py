"""The fit of structural equations, as a user meets it.

Methods here orchestrate; numbers come from functions of arrays elsewhere in the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from teamlink.errors import check_option
from teamlink.fitting.fit import Correction, Fit, RatioMethod
from teamlink.fitting.summary import Summary
from teamlink.structural.difference import Difference, correction, scaled_difference
from teamlink.structural.factorscores import ScoreMethod, factor_scores
from teamlink.structural.fitmeasures import TestOfFit, fit_indices, level_srmr, srmr
from teamlink.structural.implied import Moments, State
from teamlink.structural.levelscores import level_scores
from teamlink.structural.levelwise import level_fit
from teamlink.structural.model import StructuralModel
from teamlink.structural.modification import modification_indices
from teamlink.structural.parameters import ParameterTable
from teamlink.structural.present import parameter_frame, standardized_frame, summarize, tidy
from teamlink.structural.references import References, references_of
from teamlink.structural.robust import Scaling, scaling
from teamlink.structural.standardized import row_values
from teamlink.typing import Array

if TYPE_CHECKING:
    from teamlink.structural.estimation import Options

__all__ = ["StructuralFit"]


@dataclass(frozen=True)
class StructuralFit(Fit):
    """Fitted structural equations.

    Made by `teamlink.sem`. Besides what every fit has (``params``, ``bse``, ``pvalues``,
    ``conf_int``, ``cov_params``, ``llf``, ``deviance``, ``aic``, ``bic``, ``nobs``, ``converged``,
    ``convergence``) it knows its parameter table, how well it fits, and its factors.
    """

    model: StructuralModel
    options: Options

    @property
    def n_variances(self) -> int:
        """Parameters beyond the coefficients: none, as variances are coefficients here."""
        return 0

    @property
    def table(self) -> ParameterTable:
        """The parameter table."""
        return self.model.structure.table

    @cached_property
    def x(self) -> Array:
        """(q,) distinct free parameters, in the order of ``params``."""
        found: Array = self.model.parameters(self.working_theta[None])[0]
        return found

    @cached_property
    def states(self) -> tuple[State, ...]:
        """Implied matrices of each block, replicates of one."""
        return self.model.states(self.x[None], np.zeros(1, dtype=np.intp))

    @cached_property
    def references(self) -> References:
        """The saturated model and that of independence."""
        return references_of(self.model)

    @cached_property
    def scaling(self) -> Scaling | None:
        """Factors of the robust tests; None where nothing robust was asked."""
        if self.options.robust is None or self.table.slopes:
            return None
        return scaling(
            self.model, self.working_theta, self.options.robust, self.references,
            self.options.test_information,
        )  # fmt: skip

    @cached_property
    def test_of_fit(self) -> TestOfFit:
        """The chi-squares of the model and of independence."""
        saturated = self.references.saturated
        return TestOfFit(
            self.deviance - saturated, self.references.df,
            self.references.independence - saturated, self.references.df_independence,
            self.nobs, len(self.table.groups),
        )  # fmt: skip

    @cached_property
    def fit_measures(self) -> pd.Series[Any]:
        """Indices of fit, under lavaan's names with underscores.

        With random slopes there is no saturated model, so there are but the log-likelihood and
        what follows from it.
        """
        sizes = np.array([float(len(values)) for values in self.model.observations.values])
        said = [Moments(state.Sigma, state.mu) for state in self.states]
        measures = {"npar": float(self.n_parameters)}
        if not self.table.slopes:
            measures |= fit_indices(self.test_of_fit, self.scaling)
            measures |= self._residual_indices(said, sizes)
            measures["logl_h1"] = -self.references.saturated / 2
        measures |= {
            "logl": self.llf,
            "aic": self.aic,
            "bic": self.bic,
            "sabic": self.deviance + np.log((self.nobs + 2) / 24) * self.n_parameters,
            "ntotal": float(self.nobs),
        }
        return pd.Series(np.array(list(measures.values())), pd.Index(list(measures)), name="value")

    @cached_property
    def level_fit(self) -> pd.DataFrame:
        """Indices of fit of each level of a two-level model, the other one saturated.

        Rows "within" and "between": ``chisq, df, pvalue, cfi, tli, rmsea, rmsea_ci_lower,
        rmsea_ci_upper, srmr, n``; n is the number of rows within, of clusters between.
        """
        return level_fit(self.model, self.references)

    def _residual_indices(self, said: list[Moments], sizes: Array) -> dict[str, float]:
        """SRMR, or one a level."""
        seen = self.references.moments
        if len(self.table.levels) == 1:
            return {"srmr": srmr(seen, said, sizes, self.table.meanstructure)}
        return {
            f"srmr_{name}": level_srmr(seen[k::2], said[k::2], sizes)
            for k, name in enumerate(("within", "between"))
        }

    @cached_property
    def parameters(self) -> pd.DataFrame:
        """The parameter table with estimates, at 95 per cent.

        ``lhs, op, rhs, level, group, label, est, se, z, pvalue, ci_lower, ci_upper, std_lv,
        std_all``; a fixed parameter has a standard error of zero and no test.
        """
        return parameter_frame(self)

    @cached_property
    def standardized(self) -> pd.DataFrame:
        """The standardised solution: ``est_std`` with ``se, z, pvalue, ci_lower, ci_upper``."""
        return standardized_frame(self, "all")

    @cached_property
    def r2(self) -> pd.Series[Any]:
        """Share of variance explained, for every variable that something points at.

        A name bears ``.l2`` at the second level and ``.g2`` in the second group.
        """
        found = {}
        levels = len(self.table.levels)
        for b, (block, state) in enumerate(
            zip(self.model.structure.blocks, self.states, strict=True)
        ):
            explained = (state.A[0] != 0).any(axis=1)
            level = f".l{b % levels + 1}" if b % levels else ""
            group = f".g{b // levels + 1}" if b // levels else ""
            for i in np.flatnonzero(explained):
                share = 1 - state.S[0, i, i] / state.C[0, i, i]
                found[block.variables[i] + level + group] = float(share)
        return pd.Series(found, name="r2", dtype=float)

    @cached_property
    def improper(self) -> tuple[str, ...]:
        """What no population can have: negative variances, correlations beyond one.

        Each by name, with its level where there are two and its group where there are several.
        """
        found = []
        levels = len(self.table.levels)
        for row, value in zip(self.table.rows, self.row_values, strict=True):
            if row.op == "~~" and row.lhs == row.rhs and row.free and value < 0:
                where = self._where(row.group - 1, row.level - 1)
                found.append(f"the variance of {row.lhs}{where} is negative")
        for b, (block, state) in enumerate(
            zip(self.model.structure.blocks, self.states, strict=True)
        ):
            C, where = state.C[0], self._where(b // levels, b % levels)
            sd = np.sqrt(np.maximum(np.diag(C), 1e-300))
            for i in range(block.p, len(C)):
                for j in range(block.p, i):
                    if abs(C[i, j]) > sd[i] * sd[j] * (1 + 1e-9):
                        one, two = block.variables[j], block.variables[i]
                        found.append(f"the correlation of {one} and {two}{where} is beyond one")
        return tuple(dict.fromkeys(found))

    def _where(self, group: int, level: int) -> str:
        """Which level and group, both counted from zero, in words; empty where there is one."""
        several = len(self.table.groups) > 1
        depth = (
            (" within clusters", " between clusters")[level] if len(self.table.levels) > 1 else ""
        )
        return depth + (f" in group {self.table.groups[group]!r}" if several else "")

    @cached_property
    def row_values(self) -> Array:
        """(rows,) value of every row of the table."""
        return row_values(self.model, self.x, self.states)

    def implied(
        self, group: str | None = None, level: int = 1
    ) -> tuple[pd.DataFrame, pd.Series[Any]]:
        """Implied covariance matrix and means of one block: of the first group, and of level 1."""
        b = self._block(group, level)
        names = pd.Index(self.model.structure.blocks[b].observed)
        state = self.states[b]
        mean = state.mu[0] if self.table.meanstructure else self.model.sample[b].mu[0]
        return (
            pd.DataFrame(state.Sigma[0], index=names, columns=names),
            pd.Series(mean, index=names, name="mean"),
        )

    def residuals(
        self, kind: Literal["raw", "cor"] = "raw", group: str | None = None, level: int = 1
    ) -> pd.DataFrame:
        """Sample less implied covariances of one group, or correlations.

        Parameters
        ----------
        kind : {"raw", "cor"}
        group : label; the first group by default
        level : 1 or 2, of a model with two levels
        """
        check_option("kind", kind, ["raw", "cor"])
        b = self._block(group, level)
        names = pd.Index(self.model.structure.blocks[b].observed)
        S, Sigma = self.references.moments[b].Sigma[0], self.states[b].Sigma[0]
        if kind == "cor":
            S, Sigma = (M / np.sqrt(np.outer(np.diag(M), np.diag(M))) for M in (S, Sigma))
        return pd.DataFrame(S - Sigma, index=names, columns=names)

    def _block(self, group: str | None, level: int) -> int:
        """Which block a group and level are."""
        levels = len(self.table.levels)
        check_option("level", level, list(range(1, levels + 1)))
        if group is None:
            return level - 1
        check_option("group", str(group), list(self.table.groups))
        return self.table.groups.index(str(group)) * levels + level - 1

    def modification_indices(self, minimum: float = 0.0) -> pd.DataFrame:
        """Score tests of what is fixed or left out: ``lhs op rhs group level mi epc sepc_all``.

        Parameters
        ----------
        minimum : smallest index to show
        """
        frame = modification_indices(self.model, self.x)
        return frame[frame["mi"] >= minimum].reset_index(drop=True)

    def factor_scores(self, method: ScoreMethod = "regression") -> pd.DataFrame:
        """Scores of the rows on the factors, indexed as the table was.

        With two levels a factor between clusters has one value for all rows of a cluster.

        Parameters
        ----------
        method : {"regression", "bartlett"}
        """
        if len(self.table.levels) == 2:
            check_option("method", method, ["regression"])
            return level_scores(self.model, self.x)
        return factor_scores(self.model, self.x, method)

    def difference_test(
        self, other: StructuralFit, method: RatioMethod | None = None
    ) -> Difference:
        """Likelihood-ratio test against a fit with more parameters, scaled where both are robust.

        Parameters
        ----------
        other : the fit of a model of which this one is a special case
        method : see `teamlink.compare`
        """
        return scaled_difference(self, other, method)

    def ratio_correction(self, larger: Fit, method: RatioMethod | None) -> Correction:
        """See `teamlink.fitting.fit.Corrects`."""
        if not isinstance(larger, StructuralFit):
            return Correction(reason="one of them is no fit of structural equations")
        return correction(self, larger, method)

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """Free and defined parameters in broom's columns."""
        return tidy(self, level)

    def summary(self, level: float = 0.95) -> Summary:
        """Text to print; rich HTML in a notebook."""
        return summarize(self, level)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        return f"<StructuralFit {self.label}: deviance {self.deviance:.4f}>"
