"""Factor scores: what the rows say of the factors."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from teamlink.errors import FitError, OptionError, check_option
from teamlink.structural.implied import Block, State
from teamlink.structural.model import StructuralModel
from teamlink.typing import Array

__all__ = ["ScoreMethod", "factor_scores"]

ScoreMethod = Literal["regression", "bartlett"]
"""Expected factors given the rows; or unbiased ones, each row's factors taken as fixed."""


def factor_scores(model: StructuralModel, x: Array, method: ScoreMethod) -> pd.DataFrame:
    """Scores of every row on every factor.

    Parameters
    ----------
    model : StructuralModel of complete rows, one level
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
    if any(np.isnan(values).any() for values in seen.values):
        raise OptionError("factor scores need complete rows")
    columns = list(dict.fromkeys(name for names in latent for name in names))
    found = np.full((seen.n_rows, len(columns)), np.nan)
    states = model.states(x[None], np.zeros(1, dtype=np.intp))
    for g, (block, state) in enumerate(zip(model.structure.blocks, states, strict=True)):
        weights = (_regression if method == "regression" else _bartlett)(block, state)
        centre = state.mu[0] if model.structure.table.meanstructure else model.sample[g].mu[0]
        Z = seen.values[g][:, seen.columns(block.observed)] - centre
        place = np.array([columns.index(name) for name in latent[g]], dtype=np.intp)
        found[np.ix_(seen.rows[g], place)] = Z @ weights.T + state.mean[0, block.p :]
    return pd.DataFrame(found, index=seen.index, columns=columns)


def _regression(block: Block, state: State) -> Array:
    """(f, p) weights ``Cov(factors, y) Sigma^-1``."""
    weights: Array = np.linalg.solve(state.Sigma[0], state.C[0, : block.p, block.p :]).T
    return weights


def _bartlett(block: Block, state: State) -> Array:
    """(f, p) weights ``(L' Omega^-1 L)^-1 L' Omega^-1``, L the loadings.

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
    try:
        whitened = np.linalg.solve(Omega, L)
        weights: Array = np.linalg.solve(L.T @ whitened, whitened.T)
    except np.linalg.LinAlgError as error:
        raise FitError("the indicators do not determine the factors") from error
    return weights
