"""The linear mixed model whose residuals correlate within units or differ in variance.

A shell around `LinearMixed`: at given residual parameters eta the rows are whitened, and what
remains is a model with independent residuals of equal variance, with the same working basis and the
same random effects. Theta here is that of the random effects followed by eta.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from teamlink.errors import OptionError
from teamlink.fitting.components import Components
from teamlink.fitting.estimates import Estimates
from teamlink.fitting.model import Derivatives, Groups, Model
from teamlink.mixed.bind import bind, roots_of_rows
from teamlink.mixed.covariance import RandomBasis, RandomStructure
from teamlink.mixed.criterion import Criterion, criterion
from teamlink.mixed.design import MixedDesign
from teamlink.mixed.draws import simulate
from teamlink.mixed.latest import Latest
from teamlink.mixed.model import LinearMixed
from teamlink.mixed.nesting import (
    variances_added,
    why_model_not_nested,
    why_models_incomparable,
)
from teamlink.mixed.ranef import RandomEffects
from teamlink.mixed.residuals import Residuals
from teamlink.mixed.smallsample import degrees_of_freedom
from teamlink.mixed.starts import even_factor, moment_factors, scattered_factors
from teamlink.mixed.steps import Stepped, stepped
from teamlink.mixed.whitening import residual_slopes, whiten, whitened_products
from teamlink.moments.crossproducts import GroupRoots, group_roots
from teamlink.moments.standardize import FixedBasis, ResponseBasis
from teamlink.typing import Array, Codes, Mask

__all__ = ["CorrelatedMixed", "bind_correlated"]


@dataclass(frozen=True, slots=True)
class CorrelatedMixed:
    """A linear mixed model with a residual structure, bound to the rows of R responses.

    Attributes
    ----------
    base : the same model with independent residuals: design, working basis, random effects
    columns : (n, q + p) working columns of Z, factor after factor, and X
    responses : (n, R) working responses
    """

    base: LinearMixed
    columns: Array
    responses: Array

    @property
    def design(self) -> MixedDesign:
        """The rows."""
        return self.base.design

    @property
    def residuals(self) -> Residuals:
        """The residual structure."""
        if self.design.residuals is None:
            raise TypeError("the design has no residual structure")
        return self.design.residuals

    @property
    def structure(self) -> RandomStructure:
        """Which entries of Lambda are free."""
        return self.base.structure

    @property
    def fixed(self) -> FixedBasis:
        """The working basis of X."""
        return self.base.fixed

    @property
    def random(self) -> RandomBasis:
        """The working basis of Z."""
        return self.base.random

    @property
    def reml(self) -> bool:
        """Restricted likelihood."""
        return self.base.reml

    @property
    def df_method(self) -> str:
        """How degrees of freedom come about."""
        return self.base.df_method

    @property
    def latest(self) -> Latest:
        """The point last evaluated with independent residuals."""
        return self.base.latest

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the p fixed effects that are estimated."""
        return self.base.names

    @property
    def fixed_columns(self) -> Array:
        """(n, p) columns of X that are estimated."""
        return self.base.fixed_columns

    @property
    def row_labels(self) -> pd.Index[Any]:
        """(n,) labels of the rows in the table that the model was fitted to."""
        return self.base.row_labels

    @property
    def nobs(self) -> int:
        """Number of rows."""
        return self.base.nobs

    @property
    def n_variances(self) -> int:
        """Parameters beyond the fixed effects, sigma among them."""
        return self.structure.size + self.residuals.shape.size + 1

    def split(self, theta: Array) -> tuple[Array, Array]:
        """Theta of the random effects (..., k), and eta."""
        k = self.structure.size
        return theta[..., :k], theta[..., k:]

    def at(self, eta: Array, i: int = 0) -> tuple[LinearMixed, float] | None:
        """Response i with its rows whitened at eta (k,), and log|R|; None where R is singular."""
        columns = np.concatenate([self.columns, self.responses[:, i : i + 1]], axis=1)
        white = whiten(columns, self.residuals.bundles, self.residuals.shape, eta)
        if white is None:
            return None
        basis = self.base.response
        own = ResponseBasis(basis.shift[i : i + 1], basis.scale[i : i + 1], basis.offset[i : i + 1])
        model = replace(
            self.base, roots=self._roots(white.rows), response=own, df_method="normal",
            latest=Latest(),
        )  # fmt: skip
        return model, white.log_det

    @property
    def _whole(self) -> bool:
        """Whether all is a sum over units within the groups of one factor, or of none."""
        factors = self.design.factors
        return not factors or (len(factors) == 1 and factors[0].membership is None)

    def _roots(self, rows: Array) -> GroupRoots:
        """Sufficient statistics of whitened rows (n, q + p + 1)."""
        if not self._whole:
            return roots_of_rows(self.design, self.structure, rows)
        q, p = self.structure.q, self.fixed.kept.size
        groups = self.design.factors[0].n_groups if self.design.factors else 1
        return group_roots(whitened_products(rows, q, p, self.residuals.bundles, groups))

    def whitened(self, theta: Array, i: int = 0) -> tuple[LinearMixed, Array]:
        """Response i with its rows whitened, and the random effects' part of theta (k,)."""
        own, eta = self.split(theta)
        found = self.at(eta, i)
        if found is None:
            raise FloatingPointError("the residual covariance is singular")
        return found[0], own

    def deviance(self, theta: Array, index: Codes | None = None) -> Derivatives:
        """Minus twice the profiled log-likelihood with gradient and Hessian."""
        each = np.arange(len(theta)) if index is None else index
        found = [self._one(point, int(i)) for point, i in zip(theta, each, strict=True)]
        return Derivatives(*(np.stack(part) for part in zip(*found, strict=True)))

    def _one(self, theta: Array, i: int) -> tuple[Array, Array, Array]:
        k = len(theta)
        own, eta = self.split(theta)
        found = self.at(eta, i)
        if found is None:
            return np.array(np.inf), np.zeros(k), np.eye(k)
        model, log_det = found
        point = model.evaluate(own[None])
        gradient, hessian, _ = self._slopes(model, own, eta, point, i)
        return point.deviance[0] + log_det + model.constant()[0], gradient, hessian

    def _slopes(
        self, model: LinearMixed, own: Array, eta: Array, point: Criterion, i: int
    ) -> tuple[Array, Array, Array]:
        """Gradient (k,) and Hessian (k, k) at a whitened point, and how M falls (k, m, m)."""
        slopes = model.slopes(point)
        gradient, hessian = model.chain(own[None], slopes)
        D = model.directions(own[None])
        forms = slopes.along(D)[0]
        if not self._whole:
            return self._stepped(own, eta, point, i, (gradient[0], hessian[0], forms))
        columns = np.concatenate([self.columns, self.responses[:, i : i + 1]], axis=1)
        rest = residual_slopes(
            columns, self.residuals.bundles, self.residuals.shape, eta, model.roots,
            self.structure.factor(own), point, self.reml,
        )  # fmt: skip
        across = rest.mixed(D[0], forms)
        whole = np.block([[hessian[0], across.T], [across, rest.hessian]])
        falls = np.concatenate([forms, -rest.M])
        return np.concatenate([gradient[0], rest.gradient]), whole, falls

    def _stepped(
        self, own: Array, eta: Array, point: Criterion, i: int,
        known: tuple[Array, Array, Array],
    ) -> tuple[Array, Array, Array]:  # fmt: skip
        """The same with several factors: what concerns eta by steps, the rest exact."""

        def there(step: Array) -> Stepped | None:
            found = self.at(eta + step, i)
            if found is None:
                return None
            at = found[0].evaluate(own[None])
            gradient, _ = found[0].chain(own[None], found[0].slopes(at))
            return Stepped(float(at.deviance[0]) + found[1], gradient[0], at.M_root[0])

        log_det = self.at(eta, i)
        here = Stepped(
            float(point.deviance[0]) + (log_det[1] if log_det else np.inf),
            known[0], point.M_root[0],
        )  # fmt: skip
        gradient, hessian, across, M = stepped(there, here, len(eta))
        whole = np.block([[known[1], across.T], [across, hessian]])
        return np.concatenate([known[0], gradient]), whole, np.concatenate([known[2], -M])

    def _candidates(self) -> Array:
        """(S, k) residual parameters worth a try, variances guessed from least squares."""
        shape, strata = self.residuals.shape, self.residuals.strata
        square = np.square(self.responses).mean(axis=1)
        counts = np.bincount(strata, minlength=len(shape.strata))
        spread = np.sqrt(np.bincount(strata, square, len(shape.strata)) / counts)
        return shape.candidates(np.maximum(spread, 1e-3 * spread.max()))

    def starts(self) -> Array:
        """Starting points (2, R, k): the best of several residual parameters, and the weakest.

        For each of them the random effects start at their moment estimates.
        """
        candidates = self._candidates()
        best = np.empty((2, self.responses.shape[1], self.structure.size + candidates.shape[1]))
        for i in range(best.shape[1]):
            tried = []
            for eta in candidates:
                found = self.at(eta, i)
                if found is None:
                    continue
                model, log_det = found
                factor = (
                    moment_factors(model.roots, self.structure)
                    if self.structure.q
                    else np.zeros((1, 0, 0))
                )
                value = criterion(model.roots, factor, self.reml).deviance[0] + log_det
                point = np.concatenate([self.structure.parameters(factor[0]), eta])
                tried.append((float(value), point))
            best[0, i] = min(tried, key=lambda pair: pair[0])[1]
            best[1, i] = tried[0][1]
            best[1, i, : self.structure.size] = self._even()
        return best

    def _even(self) -> Array:
        """Theta (k,) of the random effects at even reliability."""
        if not self.structure.q:
            return np.zeros(0)
        return self.structure.parameters(even_factor(self.base.roots, self.structure))

    def further_starts(self) -> Array:
        """More starting points (T, R, k): every candidate, and random effects spread widely."""
        candidates = self._candidates()
        wide = (
            self.structure.parameters(scattered_factors(self.base.roots, self.structure)[:4])
            if self.structure.q
            else np.zeros((0, 0))
        )
        points = [np.concatenate([self._even(), eta]) for eta in candidates]
        points += [
            np.concatenate([own, candidates[j % len(candidates)]]) for j, own in enumerate(wide)
        ]
        return np.repeat(np.stack(points)[:, None], self.responses.shape[1], axis=1)

    def settle(self, theta: Array, index: Codes) -> tuple[Array, Mask]:
        """Put vanishing variances at exactly zero; leave a zero that the score says is too small.

        The residual parameters are held. Returns the points (A, k) and which of them (A,) have to
        be optimised again.
        """
        settled, again = theta.copy(), np.zeros(len(theta), dtype=np.bool_)
        k = self.structure.size
        if not k:
            return settled, again
        for a, i in enumerate(index):
            model, own = self.whitened(theta[a], int(i))
            moved, more = model.settle(own[None], np.zeros(1, dtype=np.intp))
            settled[a, :k], again[a] = moved[0], more[0]
        return settled, again

    def on_boundary(self, theta: Array) -> Mask:
        """Which points (A,) have a variance of zero, or a correlation at the end of its range."""
        own, eta = self.split(theta)
        edge = np.array([self.residuals.shape.at_edge(e) for e in eta], dtype=np.bool_)
        return edge | self.base.on_boundary(own)

    def relative_factor(self, theta: Array) -> Array:
        """Lambda (A, Q, Q) of the random effects as written."""
        return self.base.relative_factor(self.split(theta)[0])

    def sigma2(self, theta: Array) -> Array:
        """Residual variance (R,) of the first stratum, in squared units of the response."""
        found = [self.whitened(point, i) for i, point in enumerate(theta)]
        return np.array([float(model.sigma2(own[None])[0]) for model, own in found])

    def estimates(self, theta: Array) -> Estimates:
        """Fixed effects by generalised least squares at theta (R, k), with their tests."""
        found = [self.whitened(point, i) for i, point in enumerate(theta)]
        said = [model.estimates(own[None]) for model, own in found]
        df = self.degrees_of_freedom(theta, self.fixed.K)
        return Estimates(
            self.names,
            np.concatenate([each.values for each in said]),
            np.concatenate([each.covariance for each in said]),
            df,
            self.df_method,
        )

    def degrees_of_freedom(self, theta: Array, contrasts: Array) -> Array:
        """Degrees of freedom (R, c) of contrasts (c, p) on the working coefficients.

        Satterthwaite's count the uncertainty of the residual parameters too; all derivatives are
        exact.
        """
        df = np.full((len(theta), len(contrasts)), np.inf)
        if self.df_method == "residual":
            df[:] = self.nobs - self.fixed.kept.size
        if self.df_method != "satterthwaite":
            return df
        for i, each in enumerate(theta):
            model, own = self.whitened(each, i)
            point = model.evaluate(own[None])
            _, hessian, falls = self._slopes(model, own, self.split(each)[1], point, i)
            df[i] = degrees_of_freedom(contrasts, point, falls[None], hessian[None])[0]
        return df

    def components(self, theta: Array) -> Components:
        """Standard deviations, correlations and residual parameters at theta (R, k)."""
        own = self.base.components_of(self.relative_factor(theta), self.sigma2(theta))
        shape = self.residuals.shape
        natural = np.stack([shape.natural(eta) for eta in self.split(theta)[1]])
        return Components(
            (*own.groups, *["Residual"] * shape.size),
            (*own.terms, *shape.names),
            np.concatenate([own.values, natural], axis=1),
        )

    def effects(self, theta: Array) -> tuple[RandomEffects, ...]:
        """Random effects of each factor at theta (k,)."""
        if not self.design.factors:
            return ()
        model, own = self.whitened(theta)
        return model.effects(own)

    def relative_deviations(self, theta: Array, frame: pd.DataFrame | None = None) -> Array:
        """Standard deviation of each row's residual relative to sigma, at theta (k,)."""
        return self.base.relative_deviations(theta, frame) * self.residuals.relative_deviations(
            self.split(theta)[1], frame
        )

    def unit_covariance(self, theta: Array, unit: Any) -> tuple[Array, pd.Index[Any]]:
        """Covariance (T, T) of one unit's residuals in units of sigma^2, and what labels its rows.

        The first unit with the most rows where `unit` is None.
        """
        held = self.residuals
        rows = held.rows_of(unit)
        at = np.flatnonzero([np.isin(rows[0], bundle.rows) for bundle in held.bundles])[0]
        bundle = held.bundles[at]
        u = int(np.flatnonzero((bundle.rows == rows[0]).any(axis=1))[0])
        R = held.shape.covariance(bundle, self.split(theta)[1])[bundle.pattern[u]]
        spread = self.base.relative_deviations(theta)[bundle.rows[u]]
        labels = self.row_labels if held.positions is None else held.positions
        return R * np.outer(spread, spread), labels[bundle.rows[u]]

    def with_noise(self, theta: Array, noise: Array) -> Array:
        """Residuals (rows, n) in units of sigma, from independent draws (rows, n)."""
        shape, eta = self.residuals.shape, self.split(theta)[1]
        jet = shape.jet(eta)
        made = np.empty_like(noise)
        for bundle in self.residuals.bundles:
            root = np.linalg.cholesky(shape.covariance(bundle, eta, jet))
            made[bundle.rows] = root[bundle.pattern] @ noise[bundle.rows]
        return self.base.with_noise(theta, made)

    def simulate(
        self, theta: Array, n: int, rng: np.random.Generator, groups: Groups = "new"
    ) -> Array:
        """Responses (rows, n) drawn at theta (k,): of new groups, or of the same ones again."""
        return simulate(self, theta, n, rng, groups)

    def with_responses(self, Y: Array) -> CorrelatedMixed:
        """The same design with responses Y (n, R), in the order of the rows that were used."""
        base = self.base.with_responses(Y)
        return _around(base, np.asarray(Y, dtype=float).reshape(self.nobs, -1))

    def why_incomparable(self, other: Model) -> str | None:
        """Why the two criteria must not be set side by side; None where they may."""
        return why_models_incomparable(self, other)

    def why_not_nested_in(self, other: Model) -> str | None:
        """Why this model is no special case of the other; None where it is one."""
        return why_model_not_nested(self, other)

    def variances_added(self, other: Model) -> int:
        """How many variances of the other are zero where it is this model, a case of it."""
        return variances_added(self, other)


def bind_correlated(design: MixedDesign, reml: bool, df_method: str) -> CorrelatedMixed:
    """Bind a design with a residual structure.

    Parameters
    ----------
    design : MixedDesign
    reml, df_method : as in `LinearMixed`

    Raises
    ------
    OptionError
        Kenward and Roger's method.
    """
    if df_method == "kenward-roger":
        raise OptionError(
            "'kenward-roger' is not offered with a residual structure: its expansion takes the "
            "covariance to be linear in the parameters, and a correlation is not; use "
            "'satterthwaite'"
        )
    return _around(bind(design, reml, df_method), design.y[:, None])


def _around(base: LinearMixed, Y: Array) -> CorrelatedMixed:
    design = base.design
    X = base.fixed.columns(design.X)
    y = base.response.columns(Y, X)
    Z = [base.random.columns(factor.Z, f) for f, factor in enumerate(design.factors)]
    columns = np.concatenate([*Z, X], axis=1)
    root = design.root_weights
    if root is not None:
        columns, y = root[:, None] * columns, root[:, None] * y
    return CorrelatedMixed(base, columns, y)
