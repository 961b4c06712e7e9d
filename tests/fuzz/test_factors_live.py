"""500 random designs with several factors against lme4, run live: never a worse optimum.

pytest -m live_r tests/fuzz/test_factors_live.py      every design (about three minutes)
python -m tests.fuzz.factor_designs 17                look at design 17
python -m tests.fuzz.show factors 17                  both fits of design 17
python -m tests.fuzz.write_register factors           after a change of designs
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from . import factor_designs, peer, verdict

pytestmark = pytest.mark.live_r

SWEEP = verdict.SEVERAL_FACTORS
SEEDS = range(factor_designs.COUNT)


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, verdict.Verdict]]:
    """Fit every design by both programs; leave the table of results behind."""
    if reason := peer.missing():
        pytest.skip(reason)
    drawn = [factor_designs.draw(seed) for seed in SEEDS]
    versions, answers = peer.ask(drawn, tmp_path_factory.mktemp("lme4"))
    found = [verdict.judge(design, answers[design.seed], SWEEP) for design in drawn]
    yield {v.seed: v for v in found}
    SWEEP.results.write_text(verdict.results(found, drawn, versions, SWEEP))


@pytest.mark.parametrize("seed", SEEDS, ids=lambda s: f"factors-{s}-")
def test_never_worse_than_lme4(seed: int, verdicts: dict[int, verdict.Verdict]) -> None:
    found = verdicts[seed]
    report = f"{found.kind} ({found.amount:.3g}): {found.note}\n{factor_designs.draw(seed)}"
    assert found.kind not in verdict.FAILURES, report
    if found.kind not in verdict.UNREMARKABLE:
        known = verdict.registered(SWEEP).get(seed)
        assert known == found.kind, f"not registered (there: {known}): {report}"


def test_at_least_450_designs_are_compared(verdicts: dict[int, verdict.Verdict]) -> None:
    compared = [v for v in verdicts.values() if not np.isnan(v.amount)]
    assert len(compared) >= 450
