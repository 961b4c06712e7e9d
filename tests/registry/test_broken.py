"""A broken estimator does not pass: some control or verdict of the study fails."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from teamlink.fitting.estimates import Estimates
from teamlink.registry.analyses import correlation, lmm
from teamlink.registry.analyses.lmm import MixedAnalysis
from teamlink.registry.analysis import FIELDS, numbers
from teamlink.registry.prepared import Prepared
from teamlink.registry.replicate import replicate
from teamlink.registry.study import Claim, Study
from teamlink.typing import Array, Mask

Changed = Callable[..., Study]


def test_a_sign_error_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = correlation._correlation

    def turned(pair: Array) -> Array:
        return sound(pair * [1.0, -1.0])

    monkeypatch.setattr(correlation, "_correlation", turned)
    again = replicate("brookings-2012", replicates=20)
    verdicts = again.claims.set_index("claim")["verdict"]
    assert verdicts["T12b-1"] == "contradicted"
    assert not again.ok


def test_a_sign_error_in_the_mixed_model_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = lmm.read_off

    def turned(estimates: Estimates, converged: Mask, term: str, unit: float) -> Array:
        row = sound(estimates, converged, term, unit)
        row[:, FIELDS.index("estimate")] *= -1
        return row

    monkeypatch.setattr(lmm, "read_off", turned)
    again = replicate("goddard-2007", replicates=6)
    assert (again.claims["verdict"] == "contradicted").all()


def least_squares(
    asked: Sequence[tuple[MixedAnalysis, Sequence[Claim]]], scenarios: Sequence[Prepared]
) -> list[Array]:
    """The mixed model without its random effect: ordinary least squares over students."""
    results = []
    for model, claims in asked:
        right = model.formula.partition("~")[2].partition("+ (1 |")[0]
        names = [name.strip() for name in right.split("+")]
        rows = []
        for scenario in scenarios:
            frame = scenario.frame(model.table, [model.outcome, *names])
            X = np.column_stack([np.ones(len(frame)), frame[names].to_numpy(dtype=float)])
            y = frame[model.outcome].to_numpy(dtype=float)
            b, rest = np.linalg.lstsq(X, y, rcond=None)[:2]
            V = np.linalg.inv(X.T @ X) * rest[0] / (len(y) - X.shape[1])
            at = [1 + names.index(claim.term) for claim in claims]
            unit = [scenario.unit(claim.term) for claim in claims]
            rows.append(numbers(b[at], np.sqrt(V[at, at]), unit=unit))
        results.append(np.array(rows))
    return results


def test_a_dropped_random_effect_is_found_out(
    monkeypatch: pytest.MonkeyPatch, changed: Changed
) -> None:
    study = changed({"math.school_sd": 0.3, "reading.school_sd": 0.3})
    monkeypatch.setattr(MixedAnalysis, "estimate_together", staticmethod(least_squares))
    again = replicate(study, replicates=12)
    zero = again.controls[again.controls["control"] == "effect zero"]
    assert (zero["significant"] > zero["most"]).all()
    assert not zero["holds"].any()
    assert not again.ok
