"""The analyst's side of a study: prepare the files, fit the models, answer the claims.

It sees the files and nothing else, and does not know which scenario they come from.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from teamlink.errors import DroppedRows, StudyError, nearest
from teamlink.registry.analysis import FIELDS
from teamlink.registry.prepared import prepare
from teamlink.registry.study import Claim, Model, Pipeline
from teamlink.typing import Array, Mask

__all__ = ["analyse"]


def analyse(
    pipeline: Pipeline,
    claims: Sequence[Claim],
    scenarios: Sequence[Mapping[str, pd.DataFrame]],
    keys: Mapping[str, tuple[str, ...]],
    needed: Mask | None = None,
) -> Array:
    """Run the study's analysis on the files of several scenarios.

    Parameters
    ----------
    pipeline : Pipeline
    claims : sequence of Claim
        C claims.
    scenarios : sequence of mapping
        S scenarios, the files of each by name.
    keys : mapping
        File to the columns that name its rows.
    needed : Mask, optional
        (S, C), which claims are asked in which scenario; all where it is left out.

    Returns
    -------
    Array
        (S, C, 7), for each scenario and claim the numbers named in `FIELDS`; nan where not needed.

    Raises
    ------
    FitError
        A fit did not converge.
    """
    if needed is None:
        needed = np.ones((len(scenarios), len(claims)), dtype=bool)
    with warnings.catch_warnings():
        # answers and scores are missing by design, in every replicate anew
        warnings.simplefilter("ignore", DroppedRows)
        return _analyse(pipeline, claims, scenarios, keys, needed)


def _analyse(
    pipeline: Pipeline,
    claims: Sequence[Claim],
    scenarios: Sequence[Mapping[str, pd.DataFrame]],
    keys: Mapping[str, tuple[str, ...]],
    needed: Mask,
) -> Array:
    prepared = prepare(pipeline.steps, scenarios, keys)
    result = np.full((len(scenarios), len(claims), len(FIELDS)), np.nan)
    for names in _together(pipeline, claims):
        models = [_model(pipeline, name).analysis for name in names]
        of = [[c for c, claim in enumerate(claims) if claim.answered_by == n] for n in names]
        every = [c for part in of for c in part]
        rows = np.flatnonzero(needed[:, every].any(axis=1))
        chosen = [prepared[s] for s in rows]
        asked = [[claims[c] for c in part] for part in of]
        if len(names) == 1:
            answers = [models[0].estimate(asked[0], chosen)]
        else:
            pairs = list(zip(models, asked, strict=True))
            answers = models[0].estimate_together(pairs, chosen)  # type: ignore[attr-defined]
        for part, answer in zip(of, answers, strict=True):
            result[rows[:, None], part] = answer
    return result


def _model(pipeline: Pipeline, name: str) -> Model:
    model = pipeline.model(name)
    if model is None:
        models = [m.name for m in pipeline.models]
        raise StudyError(f"there is no model {name!r}; {nearest(name, models)}")
    return model


def _together(pipeline: Pipeline, claims: Sequence[Claim]) -> list[list[str]]:
    """Names of the models that claims ask, those with one design together."""
    groups: dict[object, list[str]] = {}
    for name in dict.fromkeys(claim.answered_by for claim in claims):
        design = getattr(_model(pipeline, name).analysis, "design", None)
        groups.setdefault(name if design is None else design, []).append(name)
    return list(groups.values())
