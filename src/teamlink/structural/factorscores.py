"""Factor scores: what the rows say of the factors."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from teamlink.errors import FitError, OptionError, check_option
from teamlink.structural.implied import Block, State
from teamlink.structural.model import StructuralModel
from teamlink.typing import Array, Mask

__all__ = ["ScoreMethod", "factor_scores"]

ScoreMethod = Literal["regression", "bartlett"]
"""Expected factors given the rows; or unbiased ones, each row's factors taken as fixed."""


def factor_scores(model: StructuralModel, x: Array, method: ScoreMethod) -> pd.DataFrame:
    """Scores of every row on every factor.

    Parameters
    ----------
    model : StructuralModel of one level
    x : (q,)
    method : {"regression", "bartlett"}

    Raises
    ------
    OptionError
        There is no factor, or Bartlett's scores are asked of a factor without observed indicators.
    """
    check_option("method", method, ["regression", "bartlett"])
    seen = model.observations
    latent = [block.variables[block.p :] for block in model.structure.blocks]
    if not any(latent):
        raise OptionError("the model has no factors, hence no factor scores")
    columns = list(dict.fromkeys(name for names in latent for name in names))
    found = np.full((seen.n_rows, len(columns)), np.nan)
    states = model.states(x[None], np.zeros(1, dtype=np.intp))
    for g, (block, state) in enumerate(zip(model.structure.blocks, states, strict=True)):
        own = _regression if method == "regression" else _bartlett
        centre = state.mu[0] if model.structure.table.meanstructure else model.sample[g].mu[0]
        Z = seen.values[g][:, seen.columns(block.observed)] - centre
        place = np.array([columns.index(name) for name in latent[g]], dtype=np.intp)
        scores = np.full((len(Z), len(place)), np.nan)
        patterns, of = np.unique(~np.isnan(Z), axis=0, return_inverse=True)
        for k, there in enumerate(patterns):
            rows = of.ravel() == k
            scores[rows] = Z[rows][:, there] @ own(block, state, there).T
        found[np.ix_(seen.rows[g], place)] = scores + state.mean[0, block.p :]
    return pd.DataFrame(found, index=seen.index, columns=columns)


def _regression(block: Block, state: State, there: Mask) -> Array:
    """(f, o) weights ``Cov(factors, y) Sigma^-1`` of the o variables that are there."""
    Sigma = state.Sigma[0][np.ix_(there, there)]
    weights: Array = np.linalg.solve(Sigma, state.C[0, : block.p, block.p :][there]).T
    return weights


def _bartlett(block: Block, state: State, there: Mask) -> Array:
    """(f, o) weights ``(L' Omega^-1 L)^-1 L' Omega^-1``, L the loadings.

    Omega may be the residual covariance, or that plus ``L Psi L'`` for any Psi: the weights are
    the same, and the latter is regular where an indicator has no residual.
    """
    p = block.p
    A, S, C = state.A[0], state.S[0], state.C[0]
    inner = np.linalg.inv(np.eye(p) - A[:p, :p])
    L = inner @ A[:p, p:]
    bare = [n for n, column in zip(block.variables[p:], L.T, strict=True) if not column.any()]
    if bare:
        raise OptionError(
            f"method='bartlett': {', '.join(bare)} has no observed indicators; use 'regression'"
        )
    Omega = L @ C[p:, p:] @ L.T + inner @ S[:p, :p] @ inner.T
    L, Omega = L[there], Omega[np.ix_(there, there)]
    if not L.any(axis=0).all():
        # A row without any indicator of some factor has no unbiased scores.
        return np.full((L.shape[1], int(there.sum())), np.nan)
    try:
        whitened = np.linalg.solve(Omega, L)
        weights: Array = np.linalg.solve(L.T @ whitened, whitened.T)
    except np.linalg.LinAlgError as error:
        raise FitError("the indicators do not determine the factors") from error
    return weights
