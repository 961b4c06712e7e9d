"""What a generalized model says besides its criterion: components, draws, what it compares with."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from teamlink.fitting.components import Components
from teamlink.fitting.model import Groups, Model
from teamlink.mixed.generalized import blocks
from teamlink.mixed.generalized.integrand import Grouped, modes
from teamlink.mixed.generalized.joint import spread_jointly
from teamlink.typing import Array

if TYPE_CHECKING:
    from teamlink.mixed.generalized.model import GeneralizedMixed

__all__ = [
    "Effects",
    "components",
    "conditional_effects",
    "drawn",
    "fixed_predictor",
    "why_incomparable",
    "why_not_nested",
]


def components(model: GeneralizedMixed, theta: Array) -> Components:
    """Standard deviations and correlations at theta (R, k), then what the family adds.

    ``sd__Observation`` is the residual standard deviation of a Gaussian response, ``alpha`` the
    dispersion of a negative binomial one.
    """
    groups: list[str] = []
    terms: list[str] = []
    values: list[Array] = []
    for factor, structure, Lambda in zip(
        model.design.factors, model.structures, model.factors(theta), strict=True
    ):
        covariance = Lambda @ Lambda.transpose(0, 2, 1)
        sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        for block in structure.slices:
            each = range(block.start, block.stop)
            terms += [f"sd__{factor.names[i]}" for i in each]
            values += [sd[:, i] for i in each]
            for i, j in combinations(each, 2):
                size = sd[:, i] * sd[:, j]
                alive = size > 0
                r = covariance[:, i, j] / np.where(alive, size, 1.0)
                terms.append(f"cor__{factor.names[i]}.{factor.names[j]}")
                values.append(np.where(alive, r, np.nan))
        groups += [factor.name] * (len(terms) - len(groups))
    own = model.own(theta)
    if model.family.name == "gaussian":
        groups, terms = [*groups, "Residual"], [*terms, "sd__Observation"]
        values.append(np.exp(own[:, 0]))
    elif model.family.name == "negative-binomial":
        groups, terms = [*groups, "Residual"], [*terms, "alpha"]
        values.append(own[:, 0])
    return Components(tuple(groups), tuple(terms), np.stack(values, axis=1))


def fixed_predictor(model: GeneralizedMixed, theta: Array) -> Array:
    """(n,) offset and fixed part at theta (k,), in the order of the table.

    For an ordinal response it belongs with the thresholds of the model as written.
    """
    _, beta, _ = model.parts(theta[None])
    eta: Array = model.design.offset + model.fixed_columns @ (model.fixed.K @ beta[0])
    return eta


def drawn(
    model: GeneralizedMixed, theta: Array, n: int, rng: np.random.Generator, groups: Groups
) -> Array:
    """Responses (rows, n) drawn at theta (k,); see `GeneralizedMixed.simulate`."""
    design = model.design
    eta = fixed_predictor(model, theta)
    factors = model.factors(theta[None])
    if groups == "same":
        effects = effects_of(model, theta)
        for factor, b in zip(design.factors, effects, strict=True):
            eta = eta + (factor.Z * b[:, factor.only_codes].T).sum(axis=1)
    natural = model.own(theta[None]).T
    # Weights of a Gaussian response are its precisions; the rows are those of the table here.
    observed = model.observed
    data = type(observed)(design.y[None], design.trials, design.weights)
    y = np.empty((design.n, n))
    # One replicate after the other, so that more replicates leave the first ones as they were.
    for r in range(n):
        at = eta
        if groups == "new":
            for factor, Lambda in zip(design.factors, factors, strict=True):
                b = Lambda[0] @ rng.standard_normal((factor.q, factor.n_groups))
                at = at + (factor.Z * b[:, factor.only_codes].T).sum(axis=1)
        y[:, r] = model.family.draw(at, data, natural, rng)
    return y


def effects_of(model: GeneralizedMixed, theta: Array) -> tuple[Array, ...]:
    """Each factor's modes (q, J) of the random effects at theta (k,), in the units of the data."""
    Lambdas, _, _ = model.parts(theta[None])
    modes = model.evaluate(theta[None]).u
    return tuple(
        basis.T @ (L[0] @ u[0]) for basis, L, u in zip(model.bases, Lambdas, modes, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Effects:
    """One factor's random effects in the units of the data.

    Attributes
    ----------
    values : (q, J) modes given the data
    covariance : (q, q, J) from the curvature at the modes; coefficients and variances known
    """

    values: Array
    covariance: Array


def conditional_effects(model: GeneralizedMixed, theta: Array) -> tuple[Effects, ...]:
    """Each factor's modes and conditional covariances at theta (k,)."""
    Lambdas, beta, free = model.parts(theta[None])
    natural = model.family.natural(free).T[:, :, None]
    offset = model.offset + beta @ model.Q.T
    start = model.evaluate(theta[None]).u
    if isinstance(model.rows, Grouped):
        at = modes(model.rows, model.family, model.observed, offset, Lambdas[0], natural, start[0])
        covariances: tuple[Array, ...] = (blocks.inverse(at.M)[0],)
    else:
        covariances = spread_jointly(
            model.rows, model.family, model.observed, offset, tuple(L[0] for L in Lambdas),
            natural, tuple(u[0] for u in start),
        )  # fmt: skip
    found = []
    for basis, L, u, C in zip(model.bases, Lambdas, start, covariances, strict=True):
        carry = basis.T @ L[0]
        found.append(Effects(carry @ u[0], np.einsum("ac,cdj,bd->abj", carry, C, carry)))
    return tuple(found)


def why_incomparable(one: GeneralizedMixed, other: Model) -> str | None:
    """Why two criteria must not be set side by side; None where they may."""
    if type(other) is not type(one):
        return f"one is a generalized mixed model, the other a {type(other).__name__}"
    mine, theirs = one.design, other.design
    if mine.n != theirs.n:
        return f"they use {mine.n} and {theirs.n} rows; fit both to the rows that both can use"
    if not np.array_equal(mine.y, theirs.y) or not np.array_equal(mine.trials, theirs.trials):
        return "they have different responses, or the same rows in another order"
    if not _same_weights(mine.weights, theirs.weights):
        return "their rows have different weights"
    counts = {"poisson", "negative-binomial"}
    if mine.family != theirs.family and not {mine.family, theirs.family} <= counts:
        return f"their families are {mine.family} and {theirs.family}"
    nodes = [0 if m.quadrature is None else len(m.quadrature.nodes) for m in (one, other)]
    if nodes[0] != nodes[1]:
        return "their likelihoods are approximated with different numbers of nodes (nagq)"
    return None


def _same_weights(one: Array | None, two: Array | None) -> bool:
    if one is None or two is None:
        return one is two
    return np.array_equal(one, two)


def why_not_nested(small: GeneralizedMixed, large: Model) -> str | None:
    """Why the smaller model is no special case of the larger; None where it is one."""
    if type(large) is not type(small):
        return "they are models of different kinds"
    if small.family.link != large.family.link:
        return "their links differ"
    if small.family.name != large.family.name and small.family.name != "poisson":
        return "a negative binomial model is no special case of a Poisson one"
    if not np.array_equal(small.design.offset, large.design.offset):
        return "their offsets differ"
    if not spans(large.fixed_columns, small.fixed_columns):
        return "the fixed effects of the smaller are not among those of the larger"
    for factor, structure in zip(small.design.factors, small.structures, strict=True):
        for block in structure.slices:
            if not any(
                np.array_equal(factor.only_codes, other.only_codes)
                and spans(other.Z[:, whole], factor.Z[:, block])
                for other, s in zip(large.design.factors, large.structures, strict=True)
                for whole in s.slices
            ):
                return "the random effects of the smaller are not among those of the larger"
    return None


def spans(columns: Array, others: Array) -> bool:
    """Whether every one of `others` (n, k) is a linear combination of `columns` (n, p)."""
    size = np.linalg.norm(columns, axis=0)
    scaled = columns / np.where(size > 0, size, 1.0)
    rest = others - scaled @ np.linalg.lstsq(scaled, others, rcond=None)[0]
    return bool((np.linalg.norm(rest, axis=0) <= 1e-8 * np.linalg.norm(others, axis=0)).all())
