"""300 random structural models against lavaan, run live: never a lower log-likelihood.

pytest -m live_r tests/fuzz/test_lavaan_live.py         about fifteen minutes
python -m tests.fuzz.structural 17                      look at model 17
python -m tests.fuzz.structural_verdict                 write register and table anew
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from . import structural, structural_verdict

MODELS = pytest.mark.parametrize("seed", range(structural.COUNT), ids=lambda s: f"model-{s}-")


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """Fit every model with lavaan in one run."""
    if reason := structural_verdict.missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("lavaan")
    structural_verdict.ask([structural.draw(seed) for seed in range(structural.COUNT)], folder)
    return structural_verdict.read(folder)[1]


@pytest.mark.live_r
@MODELS
def test_never_a_lower_likelihood(seed: int, answers: dict[int, dict[str, Any]]) -> None:
    drawn = structural.draw(seed)
    found = structural_verdict.judge(drawn, answers[seed])
    assert found.kind not in structural_verdict.FAILURES, f"{found}\n{drawn}"


def test_register_has_every_model_and_no_failure() -> None:
    known = structural_verdict.registered()
    assert list(known) == list(range(structural.COUNT))
    assert not set(known.values()) & structural_verdict.FAILURES
    assert set(known.values()) <= set(structural_verdict.KINDS)


def test_most_models_are_compared() -> None:
    """In every part of the sweep at least three of four, by the register."""
    compared, whole = Counter[str](), Counter[str]()
    for seed, kind in structural_verdict.registered().items():
        whole[structural_verdict.part(seed)] += 1
        compared[structural_verdict.part(seed)] += kind in ("agree", "higher")
    assert all(compared[name] >= 0.75 * count for name, count in whole.items()), compared
