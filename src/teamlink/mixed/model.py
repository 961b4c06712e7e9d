"""The linear mixed model, bound to its cross-products.

The engine works in a basis of its own (`teamlink.moments.standardize`, `RandomBasis`); what leaves
this module is in the units of the data. Theta inside is that of the working basis; Lambda, sigma
and the estimates outside are those of the model as written.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from teamlink.data.schema import numbers
from teamlink.errors import DesignError, OptionError
from teamlink.fitting.components import Components
from teamlink.fitting.estimates import Estimates
from teamlink.fitting.model import Derivatives, Groups, Model, Reach
from teamlink.mixed.boundary import leave_saddles, singular, snap
from teamlink.mixed.clusters import Cluster, Clusters, clusters_of
from teamlink.mixed.components import components
from teamlink.mixed.covariance import RandomBasis, RandomStructure
from teamlink.mixed.criterion import (
    Criterion,
    Curvature,
    criterion,
    curvature,
    fixed_part,
    products,
)
from teamlink.mixed.design import MixedDesign
from teamlink.mixed.draws import resample, simulate
from teamlink.mixed.kenward_roger import (
    KenwardRoger,
    kenward_roger,
    kenward_roger_crossed,
)
from teamlink.mixed.latest import Latest
from teamlink.mixed.nesting import (
    variances_added,
    why_model_not_nested,
    why_models_incomparable,
)
from teamlink.mixed.pin import pinned_component, place_of, reach, without_column
from teamlink.mixed.products import VarianceProducts
from teamlink.mixed.ranef import RandomEffects, random_effects
from teamlink.mixed.resample import estimable, reweighted
from teamlink.mixed.smallsample import satterthwaite
from teamlink.mixed.starts import even_factor, moment_factors, scattered_factors
from teamlink.moments.crossproducts import GroupRoots
from teamlink.moments.memory import within_by_group
from teamlink.moments.standardize import FixedBasis, ResponseBasis
from teamlink.typing import Array, Codes, Mask

__all__ = ["LinearMixed"]


_FEW_GROUPS = 10
"""Factors with fewer groups than this may leave the criterion with several minima."""

_SMALL = 400
"""A search over a design with fewer groups than this, of all factors, takes milliseconds."""


@dataclass(frozen=True, slots=True)
class LinearMixed:
    """A linear mixed model bound to the statistics of R responses.

    Attributes
    ----------
    design : the rows, for residuals and prediction only; the fit does not touch them
    structure : which entries of Lambda are free
    roots : sufficient statistics in the working basis
    fixed, response, random : the working basis
    reml : restricted likelihood
    df_method : "satterthwaite", "kenward-roger", "residual" or "normal"
    origin : (k,) working theta near which every optimum is expected, where one is known
    clusters : the independent sets of rows, where they were chosen
    latest : the point last evaluated
    """

    design: MixedDesign
    structure: RandomStructure
    roots: GroupRoots
    fixed: FixedBasis
    response: ResponseBasis
    random: RandomBasis
    reml: bool
    df_method: str
    origin: Array | None = None
    clusters: Clusters | None = None
    latest: Latest = field(default_factory=Latest, repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the p fixed effects that are estimated."""
        return tuple(self.design.x_names[i] for i in self.fixed.kept)

    @property
    def fixed_columns(self) -> Array:
        """(n, p) columns of X that are estimated."""
        return self.design.X[:, self.fixed.kept]

    @property
    def row_labels(self) -> pd.Index[Any]:
        """(n,) labels of the rows in the table that the model was fitted to."""
        return self.design.index

    @property
    def nu(self) -> Array:
        """(1,) or (R,) degrees of freedom of the residual sum of squares: n; n - p under REML."""
        return self.roots.rows - self.fixed.kept.size if self.reml else self.roots.rows

    @property
    def nobs(self) -> int:
        """Number of rows."""
        return self.roots.n

    @property
    def n_variances(self) -> int:
        """Parameters beyond the fixed effects, sigma among them."""
        return self.structure.size + 1

    def constant(self) -> Array:
        """(R,) what the working basis and the weights took out of the deviance."""
        jacobian = -2 * self.fixed.log_det if self.reml else 0.0
        basis: Array = 2 * self.nu * np.log(self.response.scale) + jacobian
        return basis if self.design.weights is None else basis - self._log_weights()

    def _log_weights(self) -> float | Array:
        """Sum of the logarithms of the precision weights; (R,) where groups count differently."""
        logs = np.log(self.design.weights.values) if self.design.weights else np.zeros(0)
        if self.roots.weights is None:
            return float(logs.sum())
        codes = self.design.factors[self.eliminated].only_codes
        return self.roots.weights.values @ np.bincount(codes, logs, self.roots.S.shape[2])

    def relative_deviations(
        self,
        theta: Array,  # noqa: ARG002 (a model with a residual structure needs it)
        frame: pd.DataFrame | None = None,
    ) -> Array:
        """Standard deviation of the residual of each row of a table, relative to sigma.

        Of the rows of the fit where no table is given; theta (k,) is not needed here.
        """
        weights = self.design.weights
        if weights is None:
            return np.ones(self.design.n if frame is None else len(frame))
        values = weights.values if frame is None else numbers(frame, weights.name)
        return 1 / np.sqrt(np.where(values > 0, values, np.nan))

    def with_noise(self, theta: Array, noise: Array) -> Array:
        """Residuals (rows, n) in units of sigma, from independent draws (rows, n)."""
        if self.design.weights is None:
            return noise
        return self.relative_deviations(theta)[:, None] * noise

    def whitened(self, theta: Array) -> tuple[LinearMixed, Array]:
        """The model whose residuals are independent, and its theta (k,): this one."""
        return self, theta

    def effects(self, theta: Array) -> tuple[RandomEffects, ...]:
        """Random effects of each factor at theta (k,)."""
        return random_effects(self, theta)

    def evaluate(self, theta: Array, index: Codes | None = None) -> Criterion:
        """The criterion in the working basis at theta (A, k)."""
        roots = self.roots if index is None else self.roots.take(index)
        if self.latest.holds(roots, self.reml, theta) and self.latest.point is not None:
            return self.latest.point
        point = criterion(roots, self.structure.factor(theta), self.reml)
        if len(theta) == roots.responses == 1:
            self.latest.keep(roots, self.reml, theta, point)
        return point

    def slopes(self, point: Criterion) -> Curvature:
        """Derivatives of the criterion in Sigma at a point."""
        if point is not self.latest.point:
            return curvature(point, self.reml)
        if self.latest.slopes is None:
            self.latest.slopes = curvature(point, self.reml)
        return self.latest.slopes

    def deviance(self, theta: Array, index: Codes | None = None) -> Derivatives:
        """Minus twice the profiled log-likelihood with gradient and Hessian in theta."""
        constant = self.constant()
        if index is not None and constant.size > 1:
            constant = constant[index]
        point = self.evaluate(theta, index)
        slopes = self.slopes(point)
        gradient, hessian = self.chain(theta, slopes)
        return Derivatives(point.deviance + constant, gradient, hessian)

    def directions(self, theta: Array) -> Array:
        """(A, k, q, q) derivative of Sigma = Lambda Lambda' in each element of theta."""
        structure = self.structure
        q, entries = structure.q, len(structure.rows)
        Lambda = structure.factor(theta)
        D = np.zeros((len(theta), entries, q, q))
        each = np.arange(entries)
        D[:, each, structure.rows, :] = Lambda[:, :, structure.cols].transpose(0, 2, 1)
        return structure.gathered(D + D.transpose(0, 1, 3, 2), 1)

    def chain(self, theta: Array, slopes: Curvature) -> tuple[Array, Array]:
        """Gradient (A, k) and Hessian (A, k, k) in theta from the derivatives in Sigma."""
        structure = self.structure
        rows, cols = structure.rows, structure.cols
        gradient = 2 * (slopes.score @ structure.factor(theta))[:, rows, cols]
        D = self.directions(theta)
        same_column = cols[:, None] == cols[None, :]
        bend = 2 * slopes.score[:, rows[:, None], rows[None, :]] * same_column
        bend = structure.gathered(structure.gathered(bend, 1), 2)
        return structure.gathered(gradient, 1), slopes.second(D, D) + bend

    def starts(self) -> Array:
        """Two starting points a response, (2, R, k): by moments, and at even reliability.

        Where a search for other weights has an `origin`, it takes the place of the moments.
        """
        even = np.broadcast_to(
            even_factor(self.roots, self.structure),
            (self.roots.responses, *2 * (self.structure.q,)),
        )
        if self.origin is not None:
            first = np.repeat(self.structure.factor(self.origin)[None], len(even), axis=0)
        else:
            first = moment_factors(self.roots, self.structure)
        starts = self.structure.parameters(np.stack([first, even]))
        if self.roots.upper is None or not self._cheap:
            return starts
        # A factor of few groups leaves room for several minima, which two starts may both miss.
        return np.concatenate([starts, self.further_starts()])

    @property
    def _cheap(self) -> bool:
        """Whether some factor has few groups, and many starts cost little."""
        groups = [factor.n_groups for factor in self.design.factors]
        return min(groups) < _FEW_GROUPS and sum(groups) < _SMALL

    def further_starts(self) -> Array:
        """More starting points (T, R, k): smaller, larger, and correlated at random."""
        factors = scattered_factors(self.roots, self.structure)[:, None]
        everyone = np.repeat(factors, self.roots.responses, axis=1)
        return self.structure.parameters(everyone)

    def settle(self, theta: Array, index: Codes) -> tuple[Array, Mask]:
        """Put vanishing variances at exactly zero; leave a zero that the score says is too small.

        Returns the points (A, k) and which of them (A,) have to be optimised again.
        """
        settled = snap(theta, index, self.structure, self.evaluate)
        return leave_saddles(settled, index, self.structure, self.evaluate, self.reml)

    def on_boundary(self, theta: Array) -> Mask:
        """Which points (A,) have a variance of zero or a perfect correlation."""
        return singular(self.structure.factor(theta), self.structure)

    def relative_factor(self, theta: Array) -> Array:
        """Lambda (A, Q, Q) of the random effects as written, from working theta (A, k)."""
        return self.structure.canonical(self.random.T @ self.structure.factor(theta))

    def sigma2(self, theta: Array) -> Array:
        """Residual variance (R,) in squared units of the response."""
        return self.evaluate(theta).r2 / self.nu * self.response.scale**2

    def estimates(self, theta: Array) -> Estimates:
        """Fixed effects by generalised least squares at theta (R, k), with their tests."""
        point = self.evaluate(theta)
        beta, C = fixed_part(point)
        K = self.fixed.K
        working = self.response.offset + self.response.scale[:, None] * beta
        values = working @ K.T
        if self.fixed.intercept >= 0:
            values[:, self.fixed.intercept] += self.response.shift
        sigma2 = point.r2 / self.nu * self.response.scale**2
        if self.df_method == "kenward-roger":
            covariance, df = self._kenward_roger(theta, point)
        else:
            covariance, df = K @ C @ K.T, self.degrees_of_freedom(theta, K, point)
        covariance = sigma2[:, None, None] * covariance
        return Estimates(self.names, values, covariance, df, self.df_method)

    def _kenward_roger(self, theta: Array, point: Criterion) -> tuple[Array, Array]:
        """Adjusted covariance (R, p, p) in units of sigma, and degrees of freedom (R, p)."""
        p = self.fixed.kept.size
        covariance, df = np.empty((len(theta), p, p)), np.empty((len(theta), p))
        crossed = None if point.upper is None else products(point.upper, point)
        for i in range(len(theta)):
            adjusted, back = self.kenward_roger(theta[i : i + 1], point, i, crossed)
            covariance[i] = back @ adjusted.covariance @ back.T
            df[i] = adjusted.df(back)
        return covariance, df

    def kenward_roger(
        self, theta: Array, point: Criterion, i: int = 0, crossed: VarianceProducts | None = None
    ) -> tuple[KenwardRoger, Array]:
        """Kenward and Roger's quantities at theta (1, k), point i of the criterion.

        `crossed` are the products of several factors there, where they are known.

        Also the (p, p) matrix that carries coefficients in their columns, where (X'V^-1 X)^-1 is
        the identity, to the coefficients of the model.
        """
        whitening: Array = np.asarray(np.linalg.inv(point.M_root[i, :-1, :-1]), dtype=float)
        back = self.fixed.K @ whitening.T
        Lambda = self.structure.factor(theta)[0]
        if point.upper is None:
            found = kenward_roger(self.roots.written_out(i), self.structure, Lambda, whitening)
            return found, back
        crossed = products(point.upper, point) if crossed is None else crossed
        n = float(np.broadcast_to(self.roots.rows, len(point.deviance))[i])
        units = point.upper.units
        return kenward_roger_crossed(crossed, units, self.structure, Lambda, n, i), back

    def degrees_of_freedom(
        self, theta: Array, contrasts: Array, point: Criterion | None = None
    ) -> Array:
        """Degrees of freedom (R, c) of contrasts (c, p) on the working coefficients."""
        shape = (len(theta), len(contrasts))
        if self.df_method == "normal":
            return np.full(shape, np.inf)
        if self.df_method == "residual":
            rows = np.broadcast_to(self.roots.rows, len(theta))
            return np.repeat(rows[:, None] - self.fixed.kept.size, shape[1], axis=1)
        point = self.evaluate(theta) if point is None else point
        slopes = self.slopes(point)
        _, hessian = self.chain(theta, slopes)
        return satterthwaite(contrasts, point, slopes, self.directions(theta), hessian)

    def with_responses(self, Y: Array) -> LinearMixed:
        """The same design with responses Y (n, R), in the order of the rows that were used."""
        Y = np.asarray(Y, dtype=float)
        Y = Y[:, None] if Y.ndim == 1 else Y
        if Y.shape[0] != self.design.n:
            raise DesignError(
                f"the responses have {Y.shape[0]} rows, but the model used {self.design.n}"
            )
        if not np.isfinite(Y).all():
            columns = np.flatnonzero(~np.isfinite(Y).all(axis=0))
            raise DesignError(f"responses {columns[:5].tolist()} hold missing or infinite values")
        # What looks at rows later (residuals, clusters) must find the response that was fitted.
        design = replace(self.design, y=Y[:, 0]) if Y.shape[1] == 1 else self.design
        model = _bound(design, self.reml, self.df_method, Y, (self.fixed, self.random))
        return replace(model, clusters=self.clusters)

    def why_incomparable(self, other: Model) -> str | None:
        """Why the two criteria must not be set side by side; None where they may."""
        return why_models_incomparable(self, other)

    def why_not_nested_in(self, other: Model) -> str | None:
        """Why this model is no special case of the other; None where it is one."""
        return why_model_not_nested(self, other)

    def variances_added(self, other: Model) -> int:
        """How many variances of the other are zero where it is this model, a case of it."""
        return variances_added(self, other)

    def simulate(
        self, theta: Array, n: int, rng: np.random.Generator, groups: Groups = "new"
    ) -> Array:
        """Responses (rows, n) drawn at theta (k,): of new groups, or of the same ones again."""
        return simulate(self, theta, n, rng, groups)

    def resample(self, theta: Array, n: int, rng: np.random.Generator) -> Array:
        """Responses (rows, n) from reflated effects and residuals, drawn with replacement."""
        return resample(self, theta, n, rng)

    @property
    def eliminated(self) -> int:
        """Which factor is eliminated, group by group; -1 where none is."""
        upper = self.roots.upper
        if upper is None:
            return 0
        return self.structure.factors.index(upper.bottom) if upper.bottom.stop else -1

    def with_clusters(self, cluster: Cluster | None = None) -> LinearMixed:
        """The same with clusters chosen; without a choice those chosen before, or the top factor.

        Raises `OptionError` where there are none.
        """
        if cluster is None and self.clusters is not None:
            return self
        return replace(self, clusters=clusters_of(self.design, cluster))

    def resolved_clusters(self) -> Clusters:
        """The clusters chosen, or those of the factor that contains all others."""
        return clusters_of(self.design) if self.clusters is None else self.clusters

    def wild(
        self, theta: Array, n: int, rng: np.random.Generator, weights: str
    ) -> tuple[Array, Array, Array]:
        """Coefficients and robust errors (n, p) of the wild bootstrap, and the fit's own errors."""
        # The robust covariance takes models, so it cannot be imported before they are defined.
        from teamlink.mixed.wild import wild

        return wild(self, theta, n, rng, weights)

    def n_clusters(self) -> int:
        """Number of clusters J, as resampled."""
        return self.resolved_clusters().count

    @property
    def numbers(self) -> int:
        """About how many numbers one replicate of a batch takes."""
        q, _, J = self.roots.S.shape
        m = self.fixed.kept.size + 1
        total = int(4 * self.design.n + 6 * (m + 2 * q) * q * J)
        if self.roots.upper is not None:
            t = self.structure.size
            for stack in self.roots.upper.stacks:
                K, s = stack.shape
                total += K * s * (12 * s + 4 * t * m)
        return total

    def within_groups(self) -> Array:
        """(J, m, m) products of [X y] that the eliminated Z_j leave over, working basis."""
        f = self.eliminated
        if f < 0:
            raise OptionError(
                "the rows belong to several groups of every factor, so that no sum over groups can "
                "be weighted; use kind='parametric', 'residual' or 'wild'"
            )
        design, factor = self.design, self.design.factors[f]
        Z, Y, root = self.random.columns(factor.Z, f), design.y[:, None], design.root_weights
        if root is not None:
            Z = root[:, None] * Z
        return within_by_group(
            self.roots, design.X, Y, Z, factor.only_codes, self.fixed, self.response, root
        )

    def estimable(self, weights: Array) -> Mask:
        """Which weightings (R, J) of the clusters leave every parameter estimable, (R,)."""
        return estimable(self, weights)

    def with_group_weights(self, weights: Array, theta: Array) -> LinearMixed:
        """The response with clusters weighted by each row of (R, J); the search starts at theta."""
        return reweighted(self, weights, theta)

    def components(self, theta: Array) -> Components:
        """Standard deviations and correlations at theta (R, k), in the order of `varcorr`."""
        return self.components_of(self.relative_factor(theta), self.sigma2(theta))

    def components_of(self, Lambda: Array, sigma2: Array) -> Components:
        """The same of factors (R, Q, Q) and residual variances (R,)."""
        return components(self.design.effects, self.structure, Lambda, sigma2)

    def maximum_likelihood(self) -> LinearMixed:
        """The same model by maximum likelihood."""
        return _bound(self.design, False, "normal", None, (self.fixed, self.random))

    def reach(self, term: str, theta: Array) -> Reach:
        """The range of a coefficient or component at theta (k,); see `Reach`."""
        return reach(self, term, theta)

    def pin(self, term: str, values: Array, theta: Array) -> Model:
        """The model with a parameter held at each of values (R,); by maximum likelihood only."""
        if term not in self.names:
            return pinned_component(self, place_of(self, term), values, theta)
        k = self.names.index(term)
        X, names = without_column(self, k)
        design = replace(self.design, X=X, fixed=replace(self.design.fixed, names=names))
        Y = self.design.y[:, None] - self.fixed_columns[:, k : k + 1] * values
        return replace(_bound(design, False, "normal", Y), origin=theta)


def _bound(
    design: MixedDesign,
    reml: bool,
    df_method: str,
    Y: Array | None,
    basis: tuple[FixedBasis, RandomBasis] | None = None,
) -> LinearMixed:
    # `bind` makes the models of this module, so it cannot be imported before they are defined.
    from teamlink.mixed.bind import bind

    return bind(design, reml, df_method, Y, basis)
