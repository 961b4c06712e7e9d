"""What the bootstrap, profiles and simulation ask of a model of structural equations.

Complete rows enter by their first two moments only, so a row (or a cluster) that is drawn k times
is a weight of k, and a thousand resamples are one product of matrices. Responses are all
variables of all rows, laid out row by row: (n p, R).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from teamlink.errors import OptionError, nearest
from teamlink.fitting.model import Reach
from teamlink.moments.samples import Samples, samples, weighted_samples
from teamlink.structural.constraints import linear_forms
from teamlink.structural.curved import CurvedModel, held_curved
from teamlink.structural.discrepancy import CompleteData
from teamlink.structural.implied import Moments
from teamlink.structural.incomplete import MissingData
from teamlink.structural.nested import NestedData
from teamlink.structural.references import fixed_exogenous
from teamlink.structural.responses import of_each
from teamlink.structural.reweighted import (
    enough_clusters,
    reweighted_clusters,
    reweighted_patterns,
)
from teamlink.typing import Array, Codes, Mask

if TYPE_CHECKING:
    from teamlink.structural.model import StructuralModel

__all__ = [
    "estimable",
    "labels_of_rows",
    "n_units",
    "pinned",
    "reach",
    "reweighted",
    "with_rows",
]


def _units(model: StructuralModel) -> tuple[list[Codes], int]:
    """The unit of each row that is drawn as a whole, per group, and the number of units."""
    seen = model.observations
    if seen.clusters is None:
        return [np.asarray(rows, dtype=np.intp) for rows in seen.rows], seen.n_rows
    shift = np.concatenate([[0], np.cumsum(seen.n_clusters)])
    return [codes + shift[g] for g, codes in enumerate(seen.clusters)], int(shift[-1])


def n_units(model: StructuralModel) -> int:
    """Number of clusters, or of rows where there are none."""
    return _units(model)[1]


def estimable(model: StructuralModel, weights: Array) -> Mask:
    """Which weightings (R, J) leave more distinct rows than variables in every group.

    At two levels it is the clusters that have to be more.
    """
    if isinstance(model.likelihood, NestedData):
        return enough_clusters(model, weights)
    found = np.ones(len(weights), dtype=np.bool_)
    for codes, block in zip(_units(model)[0], model.structure.blocks, strict=True):
        found &= (weights[:, codes] > 0).sum(axis=1) > block.p
    return found


def reweighted(model: StructuralModel, weights: Array, theta: Array) -> StructuralModel:
    """The model with units weighted by each row of weights (R, J), from theta (k,)."""
    if isinstance(model.likelihood, NestedData):
        return reweighted_clusters(model, weights, theta)
    if isinstance(model.likelihood, MissingData):
        rows = [weights[:, codes] for codes in _units(model)[0]]
        return reweighted_patterns(model, rows, theta)
    seen = model.observations
    groups = [
        weighted_samples(values[:, seen.columns(block.observed)], weights[:, codes])
        for values, codes, block in zip(
            seen.values, _units(model)[0], model.structure.blocks, strict=True
        )
    ]
    return _with_moments(model, groups, model.parameters(theta[None])[0])


def _with_moments(model: StructuralModel, groups: list[Samples], x: Array) -> StructuralModel:
    """The model with other sample moments, R replicates; the search starts at x (q,)."""
    assert isinstance(model.likelihood, CompleteData)
    sample = tuple(Moments(one.covariance, one.mean) for one in groups)
    R = len(groups[0].n)
    offset = np.zeros(R)
    for own, fixed, one in zip(sample, fixed_exogenous(model), groups, strict=True):
        if fixed.any():
            with np.errstate(all="ignore"):
                logdet = np.linalg.slogdet(own.Sigma[:, fixed][:, :, fixed])[1]
            offset += one.n * (fixed.sum() * (np.log(2 * np.pi) + 1) + logdet)
    first = np.stack([np.tile(x, (R, 1)), np.tile(model.first[0, 0], (R, 1))])
    likelihood = replace(model.likelihood, groups=tuple(groups))
    return replace(model, likelihood=likelihood, sample=sample, offset=offset, first=first)


def labels_of_rows(model: StructuralModel) -> pd.MultiIndex:
    """(n p,) labels of responses: row, then variable."""
    seen = model.observations
    return pd.MultiIndex.from_product([seen.index, seen.names], names=["row", "variable"])


def with_rows(model: StructuralModel, Y: Array) -> StructuralModel:
    """The model with responses Y (rows p, R) in the place of its rows."""
    seen = model.observations
    p = len(seen.names)
    if len(Y) != seen.n_rows * p:
        raise OptionError(
            f"responses of {len(Y)} values; {seen.n_rows} rows of {p} variables have "
            f"{seen.n_rows * p}, laid out row by row"
        )
    rows = Y.T.reshape(-1, seen.n_rows, p)
    if not isinstance(model.likelihood, CompleteData):
        return of_each(model, rows)
    groups = [
        samples(rows[:, own][:, :, seen.columns(block.observed)])
        for own, block in zip(seen.rows, model.structure.blocks, strict=True)
    ]
    return _with_moments(model, groups, model.first[0, 0])


def _form(model: StructuralModel, term: str) -> Array | None:
    """A parameter, or a defined one, as a linear form (q + 1,); None where it is none."""
    names = model.structure.names
    form = np.zeros(len(names) + 1)
    if term in names:
        form[names.index(term)] = 1.0
        return form
    table = model.structure.table
    if term not in {definition.name for definition in table.definitions}:
        raise OptionError(f"there is no parameter {term!r}; {nearest(term, names)}")
    return linear_forms(table, model.structure.row_parameter, len(names)).get(term)


def reach(model: StructuralModel, term: str, theta: Array) -> Reach:
    """The range of a parameter, and a step of the size of its standard error."""
    form = _form(model, term)
    if form is None:
        said = model.estimates(theta[None])
        error = np.nan_to_num(said.std_error[0, said.names.index(term)])
        return Reach(-np.inf, np.inf, False, float(max(error, 1e-6)))
    V = np.nan_to_num(model.covariance(theta[None])[0])
    step = float(np.sqrt(max(form[:-1] @ V @ form[:-1], 1e-12)))
    low, high = -np.inf, np.inf
    own = np.flatnonzero(form[:-1])
    if len(own) == 1 and not form[-1] and form[own[0]] == 1:
        coordinate = np.flatnonzero(model.coordinates.K[own[0]])
        alone = len(coordinate) == 1 and model.coordinates.bounded[coordinate[0]]
        if alone:
            low = float(model.coordinates.low[coordinate[0]])
            high = float(model.coordinates.high[coordinate[0]])
    return Reach(low, high, bool(np.isfinite(low) or np.isfinite(high)), step)


def pinned(
    model: StructuralModel, term: str, values: Array, theta: Array
) -> StructuralModel | CurvedModel:
    """The model with a parameter held at each of values (R,); the search starts at theta (k,)."""
    form = _form(model, term)
    if form is None:
        return held_curved(model, term, values, theta)
    coordinates = model.coordinates.pinned(form, values)
    x = np.tile(model.parameters(theta[None]), (len(values), 1))
    structure = replace(model.structure, coordinates=coordinates)
    return replace(model, structure=structure, first=np.stack([x, x * 0.9]), shared=True)
